"""Train a classifier: takes what `textcls train` takes. For `torchrun`, Slurm and whoever starts scripts."""

import sys

from textcls.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
