"""Search for better settings: takes what `textcls tune` takes."""

import sys

from textcls.cli import main

if __name__ == "__main__":
    main(["tune", *sys.argv[1:]])
