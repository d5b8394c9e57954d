"""One ONNX file from a trained model, compared with it before it takes its place."""
