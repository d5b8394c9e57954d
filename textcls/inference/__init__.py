"""Classifying texts and files with a trained model or an exported file. No torch at import."""
