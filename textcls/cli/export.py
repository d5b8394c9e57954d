"""`textcls export`: other forms of a model, from its folder."""

from __future__ import annotations

import json
import keyword
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textcls.cli.output import metric_names, say, showing, size, tell

if TYPE_CHECKING:
    from textcls.exports.onnx_file import ExportReport, Quantization

EXAMPLES = """Examples:

\b
  textcls export runs/trec/model trec.onnx
  textcls export runs/trec/model trec.onnx --texts some_real_texts.txt --force
  textcls export runs/trec/model small.onnx --quantize int8
  textcls export runs/trec/model quick.onnx --fast
  textcls export runs/trec/model trec.pt2
  textcls export runs/trec/model page --to web
  textcls export runs/trec/model pipeline --to spacy
  textcls export runs/trec/model folder --to hub --push owner/trec

The file runs in stock ONNX Runtime. Before it is kept it is compared with the model on real and on hard texts; where they
differ, the command fails and writes nothing. Vocabulary, labels and settings travel inside it. A model folder that was changed
since it was written (textcls info --verify) is not exported.

--quantize int8 makes it about a quarter of the size (more of a tiny model), and quicker for LSTMs. Its scores move by some
hundredths, also with the batch that a text is in; at least 99.5 % of its labels must be the model's. With --to hub it adds such
a file.

--fast makes the file, or the page, several times as quick where n-grams alone are sure of most texts: only the others reach the
network. Training settles on validation rows when they are (model.fast_agreement), and says what that costs.

A .pt2 file is for PyTorch programs: torch.export.load opens it, in the release of torch that wrote it; token ids go in.

--to web writes a folder with a page that classifies in the browser; any server of static files serves it. The runtime that it
needs is fetched once with npm; --runtime names the unpacked package instead where there is no network.

--to spacy writes a pipeline that spacy.load opens; its component sets doc.cats to the probability of each label.

--to hub writes a folder for the Hugging Face Hub, with a model card that the Hub reads; --push sends it there.
"""


_WHEELS = "spacy_wheels"
_SPACY_THRESHOLDS = '; nlp.get_pipe("textcls").thresholds says from which on it is given'


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder.", show_default=False)],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="What to write: a .onnx or .pt2 file; with any other --to a folder.", show_default=False
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="onnx, pt2, web, spacy or hub; by the ending if not given.", show_default=False),
    ] = None,
    quantize: Annotated[
        str | None,
        typer.Option(metavar="int8", help="Weights of eight bits: smaller, quicker, a little less exact.", show_default=False),
    ] = None,
    locale: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Locale of the machine that will run it, in which text is lower-cased; C.UTF-8 if not given.",
            show_default=False,
        ),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Texts to compare on, one a line; the run's validation rows if not given.",
            show_default=False,
        ),
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Let n-grams answer alone where they are sure, as classify --fast does.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an earlier export; of a folder only where it holds nothing else.")
    ] = False,
    runtime: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="With --to web: the unpacked npm package onnxruntime-web.", show_default=False),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="With --to hub: send the folder to this repository.", show_default=False),
    ] = None,
) -> None:
    """Export a model as one ONNX file, a program of torch.export, a page for the browser, a spaCy pipeline, or for the Hub."""
    from textcls.exports import export as export_model
    from textcls.exports import format_of

    kind = format_of(out, to)
    report = export_model(
        model,
        out,
        to=to,
        quantize=quantize,
        locale=locale,
        texts=texts,
        fast=fast,
        force=force,
        runtime=runtime,
        push=push,
    )
    with showing():
        _show(report, kind, out, push)


def _show(report: ExportReport, kind: str, out: Path, push: str | None) -> None:
    """Print what the export takes and gives, how near to the model it is, and what to do with it."""
    from textcls.exports.parity import rounded_up
    from textcls.files import is_special

    piped = is_special(out)  # perhaps into standard output, which is to hold nothing else
    write = tell if piped else say
    if kind == "spacy":
        write("sets doc.cats to the probability of each label" + (_SPACY_THRESHOLDS if report.many else ""))
    elif report.takes_text:
        write(f"takes raw text, gives {'which labels are selected' if report.many else 'label'} and probabilities")
    elif kind == "pt2":
        write("takes token ids and lengths, not raw text: it is for PyTorch programs (textcls.exports.pt2.load_pt2)")
    else:
        write("takes token ids and lengths, not raw text: ONNX cannot express this model's tokenizer (textcls classify can)")
    if kind != "onnx" or not report.int8:
        write(
            f"equal to the model on {report.texts:,} texts: largest difference of a probability "
            f"{rounded_up(report.largest_difference, 1):.1g}"
        )
    if report.int8:
        write(_what_int8_did(report.int8, report.texts, report.many))
    hashed = "SHA-256" if kind in {"onnx", "pt2"} else "SHA-256 of its model.onnx"
    write(f"{out}: {size(report.bytes)}, {hashed} {report.sha256}")
    if push:
        write(f"sent to the Hub: {push}")
    tell(f"  compared on {report.source}, and on hard texts")
    if piped:
        return
    tell("\nNext:")
    for command in following(kind, out, push):
        tell(f"  {command}")


def following(kind: str, out: Path, push: str | None = None) -> list[str]:
    """Return commands that use an export, each to be pasted as it is, but for `FILES`."""
    place = shlex.quote(str(out))
    if kind == "pt2":
        program = f"from textcls.exports.pt2 import load_pt2; print(load_pt2({json.dumps(str(out))}).module)"
        return [f"python3 -c {shlex.quote(program)}"]
    if push:
        program = f'from textcls import TextClassifier; print(TextClassifier.load("hub:{push}").predict(["some text"]))'
        return [f"python3 -c {shlex.quote(program)}"]
    if kind == "web":
        return [f"python3 -m http.server --directory {place}"]
    if kind == "spacy":
        name = re.sub(r"\W+", "_", out.name.lower(), flags=re.ASCII).strip("_")
        if keyword.iskeyword(name) or not name.isidentifier():  # Python must be able to import it
            name = f"textcls_{name}".rstrip("_")
        load = f'import spacy; print(spacy.load({json.dumps(str(out))})("some text").cats)'
        return [
            f"python3 -c {shlex.quote(load)}",
            f"mkdir -p {_WHEELS} && python3 -m pip install build",
            f"python3 -m spacy package {place} {_WHEELS} --build wheel --name {name}",
        ]
    return [f"textcls classify {place} FILES"]


def _what_int8_did(int8: Quantization, texts: int, many: bool) -> str:
    from textcls.exports.parity import rounded_down, rounded_up

    difference, across = rounded_up(int8.largest_difference), rounded_up(int8.across_batchings)
    lines = [
        f"int8: {rounded_down(int8.agreement):.2%} of the labels are the model's, on {texts:,} texts in batches of 1, 7 and 64",
        f"probabilities move by at most {difference:.2g}, and by {across:.2g} with the batch a text is in",
        f"{int8.size_share:.0%} of the size without --quantize"
        + (
            ": vocabulary, labels and the table of n-grams, which stay as they are, weigh much here"
            if int8.size_share > 0.3
            else ""
        ),
    ]
    if int8.accuracy:
        model, file = int8.accuracy
        lines.append(
            f"{metric_names(many)['accuracy']} on {int8.rows:,} rows of the run's validation split: {file:.4f}, "
            f"the model's {model:.4f} ({file - model:+.4f})"
            + ("; its n-grams learned from these rows in the last fit" if int8.learned else "")
        )
    return "\n".join(lines)
