"""One ONNX file from a trained model, compared with it before it takes its place."""

from textcls.exports.onnx_file import ExportReport, export

__all__ = ["ExportReport", "export"]
