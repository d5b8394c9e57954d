"""Batches, the loop, and the run that ties them."""

from textcls.training.events import EpochEnd, Event, Note, Progress, SearchEvent, TrialEnd, TrialStart
from textcls.training.fit import Fitted, fit
from textcls.training.run import Run, train
from textcls.training.search import Search, tune

__all__ = [
    "EpochEnd",
    "Event",
    "Fitted",
    "Note",
    "Progress",
    "Run",
    "Search",
    "SearchEvent",
    "TrialEnd",
    "TrialStart",
    "fit",
    "train",
    "tune",
]
