"""Classify text files: takes what `textcls classify` takes."""

import sys

from textcls.cli import main

if __name__ == "__main__":
    main(["classify", *sys.argv[1:]])
