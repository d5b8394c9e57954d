"""`textcls explain`: which words made the difference."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from textcls.cli.output import STANDARD_OUTPUT, say, table, tell, write_json

EXAMPLES = """Examples:

\b
  textcls explain runs/trec/model "Who wrote Hamlet ?"
  textcls explain trec.onnx "Who wrote Hamlet ?" --label location
  textcls explain trec.onnx - < article.txt

Each word's effect is what the label's probability loses when that word is left out. A word in parentheses is unknown to the
model.
"""
_BAR = 20  # characters of the longest bar
_MOST_WORDS = 25


def explain(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model folder or an exported .onnx file.", show_default=False)
    ],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The text; - reads it from standard input.", show_default=False)],
    label: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Label to explain; the most probable one if not given.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, with every word in the order of the text.")] = False,
) -> None:
    """Show each word's effect on the label, by leaving it out."""
    from textcls.inference.explain import explain as explain_text
    from textcls.inference.predictor import Predictor

    if text == STANDARD_OUTPUT:
        text = sys.stdin.buffer.read().decode("utf-8", "replace")
    result = explain_text(Predictor.load(model), text, label)
    if json:
        write_json(asdict(result), STANDARD_OUTPUT)
        return
    say(f"{result.label}  {result.confidence:.4f}")
    strongest = sorted(result.words, key=lambda word: -abs(word.effect))[:_MOST_WORDS]
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
    if len(result.words) > len(strongest):
        tell(f"\n{len(result.words) - len(strongest):,} words of less effect are not shown; --json gives them all")
