"""Metrics, calibration, thresholds, plots and baselines, in numpy."""

from textcls.evaluation.calibration import (
    fit_temperature,
    fit_temperature_multi,
    probabilities_of,
    sigmoid,
    softmax,
)
from textcls.evaluation.metrics import (
    Targets,
    confusion_matrix,
    evaluate,
    evaluate_blocks,
    evaluate_multi,
    evaluate_predictions,
    evaluate_single,
)
from textcls.evaluation.mistakes import Mistake, mistakes
from textcls.evaluation.mixture import Mixture, fit_mixture
from textcls.evaluation.thresholds import choose_thresholds, in_single_precision

__all__ = [
    "Mistake",
    "Mixture",
    "Targets",
    "choose_thresholds",
    "confusion_matrix",
    "evaluate",
    "evaluate_blocks",
    "evaluate_multi",
    "evaluate_predictions",
    "evaluate_single",
    "fit_mixture",
    "fit_temperature",
    "fit_temperature_multi",
    "in_single_precision",
    "mistakes",
    "probabilities_of",
    "sigmoid",
    "softmax",
]
