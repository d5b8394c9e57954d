"""Runs a `.pt2` file as its users would: `torch.export.load` alone, nothing of textcls.

A program as `_stranger.py` is, with the same lines; on an error it ends, and what torch said is the last line of its complaints.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch


@torch.inference_mode()
def main() -> None:
    """Answer until the input ends."""
    network = torch.export.load(sys.argv[1]).module()
    _answer({"torch": torch.__version__})
    for line in sys.stdin:
        given = json.loads(line)
        outputs = network(torch.tensor(given["ids"]), torch.tensor(given["lengths"]))
        together = outputs if isinstance(outputs, tuple) else (outputs,)
        _answer({name: value.tolist() for name, value in zip(("probabilities", "selected"), together, strict=False)})


def _answer(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
