"""Classifying texts and files with a trained model or an exported file. No torch at import."""

from textcls.inference.answers import Summary
from textcls.inference.explain import Explanation, Word, explain
from textcls.inference.files import classify_files
from textcls.inference.options import ClassifyOptions
from textcls.inference.predictor import Predictions, Predictor

__all__ = ["ClassifyOptions", "Explanation", "Predictions", "Predictor", "Summary", "Word", "classify_files", "explain"]
