"""textcls: train a small, fast text classifier, classify text files with it, export it as one file."""

__version__ = "0.1.0"
