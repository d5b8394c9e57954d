"""Other forms of a trained model, each compared with it before it takes its place."""

from textcls.exports.formats import FORMATS, export, format_of
from textcls.exports.onnx_file import ExportReport

__all__ = ["FORMATS", "ExportReport", "export", "format_of"]
