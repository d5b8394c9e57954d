"""`textcls explain`: which words made the difference."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textcls.cli.output import STANDARD_INPUT, print_json, say, table, tell
from textcls.cli.source import (
    DelimiterOption,
    EncodingOption,
    ForceOption,
    LinesOption,
    ModelTextOption,
    NoHeaderOption,
    QuotingOption,
    reading_options,
)
from textcls.errors import InputError, quoted

if TYPE_CHECKING:
    from textcls.inference.explain import Explanation
    from textcls.inference.predictor import Predictor

EXAMPLES = """Examples:

\b
  textcls explain runs/trec/model "Who wrote Hamlet ?"
  textcls explain trec.onnx "Who wrote Hamlet ?" --label location
  textcls explain trec.onnx - < article.txt
  textcls explain trec.onnx questions.csv -o explained.jsonl
  textcls explain trec.onnx questions.csv | head -1

Each word's effect is what the label's probability loses when that word is left out. A word in parentheses is unknown to the
model. Of a model that gives a text many labels every one that the text gets is explained.

What is no text but the name of a .txt, .csv, .tsv, .jsonl, .json or .parquet file that is there is read as textcls classify reads
it, and with -o whatever is named: files, folders, or - for standard input. Each row comes back as a line of JSON.
"""
_BAR = 20  # characters of the longest bar
_MOST_WORDS = 25


def explain(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model folder or an exported .onnx file.", show_default=False)
    ],
    given: Annotated[
        list[str],
        typer.Argument(metavar="TEXT|INPUT", help="A text; - reads it from standard input. Or files.", show_default=False),
    ],
    label: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Label to explain; what the text gets if not given.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, with every word in the order of the text.")] = False,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="Explain files, into this one of .jsonl.", show_default=False),
    ] = None,
    text: ModelTextOption = None,
    lines: LinesOption = False,
    no_header: NoHeaderOption = False,
    delimiter: DelimiterOption = None,
    quoting: QuotingOption = None,
    encoding: EncodingOption = None,
    input_format: Annotated[
        str, typer.Option("--input-format", metavar="FORMAT", help="What - is with -o: lines, each a text, jsonl, csv or tsv.")
    ] = "lines",
    force: ForceOption = False,
) -> None:
    """Show each word's effect on the label, by leaving it out."""
    from textcls.inference.predictor import Predictor

    if output is None and not all(map(_is_table, given)):
        if len(given) > 1:
            doubts = [f"; {doubt}" for one in given if (doubt := _doubt(one))][:1]
            hint = "one text is explained at a time: put it in quotes; or give files, and with -o what to write"
            raise InputError("".join([hint, *doubts]))
        if doubt := _doubt(given[0]):
            tell(f"note: {doubt}, and is explained as a text")
        _explain_text(Predictor.load(model), given[0], label, json)
        return
    from textcls.cli.classify import ProgressBar
    from textcls.inference.explain_files import explain_files
    from textcls.inference.options import ClassifyOptions

    options = ClassifyOptions(
        text=tuple(text) if text else None,
        lines=lines,
        header=not no_header,
        **reading_options(delimiter, quoting, encoding),
        input_format=input_format,
        force=force,
    )
    with ProgressBar(shown=output is not None) as progress:
        done = explain_files(Predictor.load(model), given, output, options, label=label, progress=progress)
    for note in done.notes:
        tell(f"note: {note}")
    tell(f"{done.rows:,} row{'s' * (done.rows != 1)} explained" + (f" → {output}" if output else ""))
    if done.errors:
        tell(f"  {done.errors:,} could not be read: they have no explanations, and error says why")
        raise typer.Exit(1)


def _is_table(given: str) -> bool:
    """Whether an argument names a file with rows that is there, and is no text."""
    from textcls.data.formats import ENDINGS
    from textcls.data.places import ending

    with suppress(OSError, ValueError):  # a text may be too long for a name, or have a NUL
        return ending(Path(given)) in ENDINGS and Path(given).is_file()
    return False


def _doubt(given: str) -> str | None:
    """Return why an argument may be meant as the name of a file, although it is not read as one; None where nothing says so."""
    from textcls.data.formats import ENDINGS
    from textcls.data.places import ending

    if given in {"", STANDARD_INPUT} or "\n" in given or _is_table(given):
        return None
    with suppress(OSError, ValueError):
        if Path(given).is_dir():
            return f"{quoted(given)} is a folder, which is read with -o alone"
        if Path(given).exists():
            return f"{quoted(given)} is a file, but ends in none of {', '.join(ENDINGS)}"
        if ending(Path(given)) in ENDINGS:
            return f"{quoted(given)} is no file that is there"
    return None


def _explain_text(predictor: Predictor, text: str, label: str | None, json: bool) -> None:
    """Print what made the difference in one text."""
    from textcls.data.labels import label_text
    from textcls.data.places import standard_input
    from textcls.inference.explain import explain as explain_label
    from textcls.inference.explain import explain_given

    if text == STANDARD_INPUT:
        text = b"".join(standard_input(sys.stdin).chunks()).decode("utf-8", "replace")
    every = predictor.many and label is None
    found = explain_given(predictor, text) if every else [explain_label(predictor, text, label)]
    if json:
        from dataclasses import asdict

        trees = [{**asdict(one), "label": label_text(one.label)} for one in found]
        print_json({"explanations": trees} if every else trees[0])
        return
    if not found:
        found = [explain_label(predictor, text)]
        tell("the text gets none of the labels; this is the most probable one")
    for place, one in enumerate(found):
        if place:
            say()
        say(f"{label_text(one.label)}  {one.confidence:.4f}")
        _show_words(one)


def _show_words(explained: Explanation) -> None:
    """Print the words of most effect."""
    strongest = sorted(explained.words, key=lambda word: -abs(word.effect))[:_MOST_WORDS]
    if not strongest:
        tell("the text has no word: this is the model's answer to nothing")
        return
    most = max(abs(strongest[0].effect), 1e-9)
    rows = [
        [
            word.text if word.known else f"({word.text})",
            f"{word.effect:+.4f}",
            ("+" if word.effect > 0 else "-") * round(_BAR * abs(word.effect) / most),
        ]
        for word in strongest
    ]
    say(f"\n{table(rows, numbers=False)}")
    if len(explained.words) > len(strongest):
        tell(f"\n{len(explained.words) - len(strongest):,} words of less effect are not shown; --json gives them all")
