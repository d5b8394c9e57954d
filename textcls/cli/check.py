"""`textcls check`: what a data set holds, before anything is trained."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from json import dumps
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textcls.cli.output import print_json, say, table, tell
from textcls.cli.source import (
    DelimiterOption,
    EncodingOption,
    LabelOption,
    LabelsOption,
    QuotingOption,
    SetOption,
    SourceArgument,
    TextOption,
    VectorsOption,
    column_options,
    read_settings,
    reading_options,
)
from textcls.errors import named, quoted

if TYPE_CHECKING:
    from textcls.config import TextSettings
    from textcls.data import CheckReport

EXAMPLES = """Examples:

\b
  textcls check reviews.csv
  textcls check configs/trec.yaml
  textcls check news.parquet --text body --label kind --set data.test_share=0.2
  textcls check export.csv --delimiter ';' --encoding cp1252
"""
_COUNTED = {
    "empty": "without a text",
    "unlabelled": "with no label, as they may",
    "repeated": "repeat an earlier text",
    "contradicting": "share a text, not the label",
    "broken": "hold separator and new line",
}
_SHOWN_LABELS, _SHOWN_NAMES, _SHOWN_FILES, _SHOWN_CHARACTERS = 20, 8, 3, 72


def check(
    source: SourceArgument,
    overrides: SetOption = None,
    text: TextOption = None,
    label: LabelOption = None,
    labels: LabelsOption = None,
    vectors: VectorsOption = None,
    delimiter: DelimiterOption = None,
    quoting: QuotingOption = None,
    encoding: EncodingOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Read a dataset as training would, and report on it."""
    written = {f"data.{name}": value for name, value in reading_options(delimiter, quoting, encoding).items()}
    config = read_settings(source, overrides, column_options(text, label, labels, vectors) | written)
    from textcls.data import check as check_data
    from textcls.parameters import check_usable
    from textcls.text.bpemb import with_bpemb
    from textcls.text.doubts import doubt_of_script

    check_usable(config)  # or the command that is shown last would fail
    text_settings = with_bpemb(config.text)
    report = check_data(config.data, _takes_apart(text_settings), partial(doubt_of_script, settings=text_settings))
    if json:
        for note in report.notes:
            tell(f"note: {note}")
        print_json(report.to_dict())
        return
    for part in (_how(report), _tables(report), _doubts(report, config.data.missing_labels, text_settings)):
        if part:
            say("\n".join(part) + "\n")
    for note in report.notes:
        tell(f"note: {note}")
    settings = [*(overrides or ()), *(f"{name}={dumps(value)}" for name, value in written.items())]
    settings += ["data.missing_labels=skip"] if _stops(report, config.data.missing_labels) else []
    options = {
        "--set": settings,
        "--text": text,
        "--label": label and [label],
        "--labels": labels,
        "--vectors": vectors and [vectors],
    }
    words = [word for name, values in options.items() for value in values or () for word in (name, value)]
    tell(f"\nNext:\n  {shlex.join(['textcls', 'train', source, *words])}")


def _how(report: CheckReport) -> list[str]:
    """What was read, and the first rows as they were understood."""
    lines = []
    files = [file for split in report.splits.values() for file in split.files]
    for file in files[:_SHOWN_FILES]:
        lines.append(f"{file['file']}: {_format(file)}")
        lines.append(f"  columns: {_named(list(map(repr, _list(file['columns']))))}" if file["columns"] else "")
    if len(files) > _SHOWN_FILES:
        lines.append(f"and {len(files) - _SHOWN_FILES} more files")
    for row in report.splits["train"].first:
        label = row["label"] if "label" in row else row["labels"]
        lines.append(
            f"  {row['at']}: {quoted(label, _SHOWN_CHARACTERS)} ← {quoted(row['text'][: 2 * _SHOWN_CHARACTERS], _SHOWN_CHARACTERS)}"
        )
    return [line for line in lines if line]


def _format(file: dict[str, object]) -> str:
    parts = [str(file["format"])]
    if "delimiter" in file:
        parts.append("tabs between fields" if file["delimiter"] == "\t" else f"{file['delimiter']!r} between fields")
        parts.append("quotes hold a field together" if file["quotes"] else "quotes are characters like others")
    if file.get("layout") == "columns":
        parts.append("one object of columns")
    if "encoding" in file:
        parts.append(str(file["encoding"]).upper())
    return ", ".join(parts)


def _tables(report: CheckReport) -> list[str]:
    """Rows of each split by label, then what is odd about them."""
    splits = report.splits
    labels = list(dict.fromkeys(label for split in splits.values() for label in split.labels))
    counts = [["rows", *splits], ["all", *(f"{split.rows:,}" for split in splits.values())]]
    shown = labels if len(labels) <= _SHOWN_LABELS + 1 else labels[:_SHOWN_LABELS]
    counts += [[_quoted(label), *(f"{split.labels.get(label, 0):,}" for split in splits.values())] for label in shown]
    if len(shown) < len(labels):
        rest = labels[_SHOWN_LABELS:]
        sums = [f"{sum(split.labels.get(label, 0) for label in rest):,}" for split in splits.values()]
        counts.append([f"… and {len(rest):,} more labels", *sums])
    for name, what in _COUNTED.items():
        values = [getattr(split, name) for split in splits.values()]
        if any(values):
            counts.append([what, *(f"{value:,}" for value in values)])
    return table(counts).split("\n")


def _doubts(report: CheckReport, missing_labels: str, settings: TextSettings) -> list[str]:
    """What may be wrong, a line each."""
    return [*_of_splits(report, missing_labels), *_of_labels(report), *_of_tokens(report, settings)]


def _of_splits(report: CheckReport, missing_labels: str) -> Iterator[str]:
    for name, split in report.splits.items():
        if split.missing:
            what = "left out" if missing_labels == "skip" else "training stops there, unless data.missing_labels is skip"
            yield f"rows of {name} without a label: {split.missing:,}; {what}"
    for name, split in report.splits.items():
        yield f"longest text of {name}: {split.longest:,} characters, {split.longest_at}"
    for pair, number in report.shared.items():
        first, second = pair.split(", ")
        yield f"rows of {second} whose text also stands in {first}: {number:,}"


def _of_labels(report: CheckReport) -> Iterator[str]:
    if report.alike:
        yield f"labels that look alike: {'; '.join(' and '.join(map(quoted, group)) for group in report.alike[:_SHOWN_NAMES])}"
    if report.rare:
        yield f"labels of which train has a row or two: {_named(list(map(_quoted, report.rare)))}"
    for name, unseen in report.unseen_labels.items():
        yield f"labels of {name} that train does not have: {_named(list(map(_quoted, unseen)))}"


def _of_tokens(report: CheckReport, settings: TextSettings) -> Iterator[str]:
    from textcls.text.doubts import doubt_of_tokens

    if report.script:
        yield report.script
    elif report.seen_once is not None and (doubt := doubt_of_tokens(report.seen_once, settings)):
        yield doubt


def _takes_apart(settings: TextSettings) -> Callable[[str], list[str]] | None:
    """Return what gives the tokens of a text; None where they are yet to be learnt."""
    from textcls.text import SPECIAL_TOKENS, Encoder, Vocabulary
    from textcls.text.subwords import read_subwords

    if settings.tokenizer == "bpe" and settings.bpe_model is None:
        return None
    subwords = read_subwords(settings.bpe_model) if settings.bpe_model else None
    return Encoder.from_settings(settings, Vocabulary(SPECIAL_TOKENS, subwords)).tokens


def _stops(report: CheckReport, missing_labels: str) -> bool:
    """Whether training would stop at a row without a label."""
    return missing_labels == "error" and any(split.missing for split in report.splits.values())


def _quoted(label: str) -> str:
    """Return a label as a table shows it: in quotes where it is empty, long, has blanks around it, or cannot be printed."""
    plain = label and label == label.strip() and label.isprintable() and len(label) <= _SHOWN_CHARACTERS
    return label if plain else quoted(label, _SHOWN_CHARACTERS)


def _named(names: Sequence[str]) -> str:
    return named(names, _SHOWN_NAMES)


def _list(value: Any) -> list[str]:
    return list(value)
