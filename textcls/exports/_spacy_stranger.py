"""Runs a spaCy pipeline as its users would: `spacy.load`, which finds the component by itself, and `nlp.pipe`.

A program as `_stranger.py` is, with the same lines.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import spacy


def main() -> None:
    """Answer until the input ends."""
    try:
        nlp = spacy.load(sys.argv[1])
        _answer({"pipeline": nlp.pipe_names})
        for line in sys.stdin:
            texts = json.loads(line)["text"]
            _answer({"cats": [doc.cats for doc in nlp.pipe(texts, batch_size=len(texts))]})
    except Exception as error:  # whatever it is, the export is refused with it
        _answer({"error": str(error).strip() or type(error).__name__})


def _answer(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
