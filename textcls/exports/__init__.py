"""Other forms of a trained model, each compared with it before it takes its place."""

from textcls.exports.formats import FORMATS, export
from textcls.exports.onnx_file import ExportReport

__all__ = ["FORMATS", "ExportReport", "export"]
