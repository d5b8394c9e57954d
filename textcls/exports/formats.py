"""Which format an export takes: by name, or by the ending of what is to be written."""

from __future__ import annotations

from pathlib import Path

from textcls.errors import InputError
from textcls.exports import onnx_file
from textcls.exports.hub import export_hub
from textcls.exports.onnx_file import LOCALE, ExportReport
from textcls.exports.pt2 import export_pt2
from textcls.exports.spacy_folder import export_spacy
from textcls.exports.web import export_web
from textcls.files import is_special

FORMATS = ("onnx", "pt2", "web", "spacy", "hub")


def format_of(out: str | Path, to: str | None) -> str:
    """Return the name of the format: the one asked for, else by the ending of what is to be written."""
    return to or ("pt2" if Path(out).suffix == ".pt2" else "onnx")


def export(
    model: str | Path,
    out: str | Path,
    *,
    to: str | None = None,
    quantize: str | None = None,
    locale: str | None = None,
    texts: str | Path | None = None,
    fast: bool = False,
    force: bool = False,
    runtime: str | Path | None = None,
    push: str | None = None,
) -> ExportReport:
    """Write a trained model in another form, once that form has shown that it gives what the model gives.

    Args:
        model: The model folder.
        out: The file to write, for `onnx` and `pt2`, or a pipe or the like; a folder for the other formats.
        to: One of `FORMATS`; by the ending of `out` if not given.
        quantize: `int8` for weights of eight bits: of the file for `onnx`, of a second one for `hub`.
        locale: For what takes raw text: locale of the machine that will run it, in which text is lower-cased; C.UTF-8 if not given.
        texts: A file of texts, one a line, to compare on; the run's validation split, or texts drawn from the vocabulary, if not given.
        fast: For `onnx` and `web`: n-grams answer alone where they are sure, and the network the other texts.
        force: Write over what exists.
        runtime: For `web` alone: where the files of the browser's runtime are; fetched once with npm, and cached, if not given.
        push: For `hub` alone: the repository to send the folder to, `owner/name`.

    Raises:
        InputError: There is no model, it was changed since it was written, the format does not exist or does not suit the model, or
            the place cannot be written.
        TextclsError: Something that the format needs could not be fetched.
        ExportError: The export differs from the model; nothing was written.
    """
    if to is None and Path(out).suffix not in {".onnx", ".pt2"} and not is_special(Path(out)):
        name = f"{Path(out).stem or 'model'}.onnx"
        raise InputError(
            f"{out}: says no format; name one, such as {name}, or give the format (--to), one of {', '.join(FORMATS)}"
        )
    to = format_of(out, to)
    if runtime is not None and to != "web":
        raise InputError("--runtime goes with --to web alone")
    if push is not None and to != "hub":
        raise InputError("--push goes with --to hub alone")
    if quantize is not None and to not in {"onnx", "hub"}:
        raise InputError(f"--quantize goes with --to onnx or hub; a {to} export has no such form")
    if quantize not in (None, "int8"):
        raise InputError(f"--quantize {quantize}: no such form; there is int8")
    if fast and to not in {"onnx", "web"}:
        raise InputError(f"--fast goes with --to onnx or web; a {to} export has the whole model alone")
    if locale is not None and to in {"pt2", "spacy"}:
        raise InputError(f"--locale goes with --to onnx, web or hub; a {to} export lower-cases in Python")
    if locale is not None and not locale.strip():
        raise InputError(f"--locale names none; give one, such as {LOCALE}, which is taken where the option is left out")
    locale = locale or LOCALE
    if to == "onnx":
        return onnx_file.export(model, out, quantize=quantize, locale=locale, texts=texts, fast=fast, force=force)
    if to == "pt2":
        return export_pt2(model, out, texts=texts, force=force)
    if to == "web":
        return export_web(model, out, locale=locale, texts=texts, fast=fast, force=force, runtime=runtime)
    if to == "spacy":
        return export_spacy(model, out, texts=texts, force=force)
    if to == "hub":
        return export_hub(model, out, quantize=quantize, locale=locale, texts=texts, force=force, push=push)
    raise InputError(f"--to {to}: no such format; there is {', '.join(FORMATS)}")
