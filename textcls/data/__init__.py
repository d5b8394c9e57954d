"""Reading labelled and unlabelled rows of every format, splitting them, checking a dataset."""

from textcls.data.check import CheckReport, SplitReport, check
from textcls.data.labelled import read_labelled, rows_from_dataset
from textcls.data.labels import Label, LabelSet, label_text
from textcls.data.rows import Rows
from textcls.data.splits import Cut, Splits, load_splits, split_rows

__all__ = [
    "CheckReport",
    "Cut",
    "Label",
    "LabelSet",
    "Rows",
    "SplitReport",
    "Splits",
    "check",
    "label_text",
    "load_splits",
    "read_labelled",
    "rows_from_dataset",
    "split_rows",
]
