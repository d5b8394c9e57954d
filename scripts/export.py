"""Export a model as one ONNX file: takes what `textcls export` takes."""

import sys

from textcls.cli import main

if __name__ == "__main__":
    main(["export", *sys.argv[1:]])
