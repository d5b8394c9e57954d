"""The proof of the `web` export: the file in the browser's runtime, under Node.js, gives what the trained model gives."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textcls.artifact import Artifact
from textcls.exports.onnx_file import answered
from textcls.exports.parity import compare
from textcls.exports.stranger import stranger
from textcls.exports.texts import LONG_TEXT_TOKENS, hard_texts, long_text
from textcls.text.encoding import replace_surrogates

PROGRAM = Path(__file__).with_name("_stranger.mjs")


def prove(artifact: Artifact, path: Path, runtime: Path, real: Sequence[str], *, fast: bool = False) -> float | None:
    """Compare an exported file, in WebAssembly, with the model on real and hard texts.

    Args:
        artifact: The trained model.
        path: The file.
        runtime: The JavaScript of the runtime; its WebAssembly lies beside it.
        real: Real texts.
        fast: Whether the file goes the fast way.

    Returns:
        The largest difference of a probability; None where Node.js, which runs the runtime, is not installed.

    Raises:
        ExportError: They differ.
    """
    node = shutil.which("node")
    if node is None:
        return None
    texts = [text for text in (*real, *hard_texts()) if "\0" not in text]  # JavaScript's runtimes end a string there
    long = long_text(artifact, LONG_TEXT_TOKENS).replace("\0", "")
    batches = (texts, [long], ["short", long], ["", " ", "\u3000"])  # as in `onnx_file.prove`
    with stranger(path, PROGRAM, runtime, interpreter=[node]) as ask:

        def run(texts: Sequence[str]) -> tuple[Any, ...]:
            return answered(ask({"text": replace_surrogates(texts)}), "selected" if artifact.many else "label")

        return max(compare(artifact, run, batch, fast=fast).largest_difference for batch in batches)
