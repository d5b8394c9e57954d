"""Metrics, calibration, thresholds, plots and baselines, in numpy."""

from textcls.evaluation.calibration import fit_temperature, fit_temperature_multi, sigmoid, softmax
from textcls.evaluation.metrics import confusion_matrix, evaluate_multi, evaluate_predictions, evaluate_single
from textcls.evaluation.thresholds import choose_thresholds

__all__ = [
    "choose_thresholds",
    "confusion_matrix",
    "evaluate_multi",
    "evaluate_predictions",
    "evaluate_single",
    "fit_temperature",
    "fit_temperature_multi",
    "sigmoid",
    "softmax",
]
