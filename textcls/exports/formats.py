"""Which format an export takes: by name, or by the ending of what is to be written."""

from __future__ import annotations

from pathlib import Path

from textcls.errors import InputError
from textcls.exports import onnx_file
from textcls.exports.onnx_file import ExportReport

FORMATS = ("onnx",)


def export(
    model: str | Path,
    out: str | Path,
    *,
    to: str | None = None,
    locale: str = "C.UTF-8",
    texts: str | Path | None = None,
    force: bool = False,
) -> ExportReport:
    """Write a trained model in another form, once that form has shown that it gives what the model gives.

    Args:
        model: The model folder.
        out: The file to write.
        to: One of `FORMATS`; by the ending of `out` if not given.
        locale: Locale of the machine that will run it, in which text is lower-cased.
        texts: A file of texts, one a line, to compare on; the run's validation split, or texts drawn from the vocabulary, if not given.
        force: Write over what exists.

    Raises:
        InputError: There is no model or no such format, or the place cannot be written.
        ExportError: The export differs from the model; nothing was written.
    """
    if to in (None, "onnx"):
        return onnx_file.export(model, out, locale=locale, texts=texts, force=force)
    raise InputError(f"--to {to}: no such format; there is {', '.join(FORMATS)}")
