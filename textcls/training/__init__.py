"""Batches, the loop, and the run that ties them."""

from textcls.training.events import EpochEnd, Event, Note, Progress
from textcls.training.fit import Fitted, fit
from textcls.training.run import Run, train

__all__ = ["EpochEnd", "Event", "Fitted", "Note", "Progress", "Run", "fit", "train"]
