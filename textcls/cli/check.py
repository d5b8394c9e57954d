"""`textcls check`: what a data set holds, before anything is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from textcls.cli.output import STANDARD_OUTPUT, table, tell, write_json
from textcls.cli.source import SetOption, SourceArgument, read_settings

if TYPE_CHECKING:
    from textcls.data import CheckReport

EXAMPLES = """Examples:

\b
  textcls check reviews.csv
  textcls check configs/trec.yaml
  textcls check news.parquet --set data.text=body --set data.test_share=0.2
"""
_COUNTED = {
    "empty": "without a text",
    "unlabelled": "without a label",
    "repeated": "repeat an earlier text",
    "contradicting": "share a text, not the label",
}


def check(
    source: SourceArgument,
    overrides: SetOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Read a dataset as training would, and report on it."""
    config = read_settings(source, overrides)
    from textcls.data import check as check_data

    report = check_data(config.data)
    for note in report.notes:
        tell(f"note: {note}")
    if json:
        write_json(report.to_dict(), STANDARD_OUTPUT)
    else:
        typer.echo(_tables(report))


def _tables(report: CheckReport) -> str:
    """Rows of each split by label, then what is odd about them."""
    splits = report.splits
    labels = list(dict.fromkeys(label for split in splits.values() for label in split.labels))
    counts = [["rows", *splits], ["all", *(f"{split.rows:,}" for split in splits.values())]]
    counts += [[label, *(f"{split.labels.get(label, 0):,}" for split in splits.values())] for label in labels]
    for name, what in _COUNTED.items():
        values = [getattr(split, name) for split in splits.values()]
        if any(values):
            counts.append([what, *(f"{value:,}" for value in values)])
    lines = [table(counts), ""]
    lines += [f"longest text of {name}: {split.longest:,} characters, {split.longest_at}" for name, split in splits.items()]
    for pair, number in report.shared.items():
        first, second = pair.split(", ")
        lines.append(f"rows of {second} whose text also stands in {first}: {number:,}")
    for name, unseen in report.unseen_labels.items():
        lines.append(f"labels of {name} that train does not have: {', '.join(unseen)}")
    return "\n".join(lines)
