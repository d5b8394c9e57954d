"""`textcls export`: one ONNX file from a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from textcls.cli.output import size, tell

EXAMPLES = """Examples:

\b
  textcls export runs/trec/model trec.onnx
  textcls export runs/trec/model trec.onnx --texts some_real_texts.txt --force

The file runs in stock ONNX Runtime. Before it is kept it is compared with the model on real and on hard texts; where they
differ, the command fails and writes nothing. Vocabulary, labels and settings travel inside it.
"""


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder.", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="The file to write.", show_default=False)],
    to: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="What to write: onnx; by the ending of OUT if not given.", show_default=False),
    ] = None,
    locale: Annotated[
        str, typer.Option(metavar="NAME", help="Locale of the machine that will run it, in which text is lower-cased.")
    ] = "C.UTF-8",
    texts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Texts to compare on, one a line; the run's validation rows if not given.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Export a model as one ONNX file."""
    from textcls.exports import export as export_model

    report = export_model(model, out, to=to, locale=locale, texts=texts, force=force)
    if report.takes_text:
        typer.echo(f"takes raw text, gives {'which labels are selected' if report.many else 'label'} and probabilities")
    else:
        typer.echo(
            "takes token ids and lengths, not raw text: ONNX cannot express this model's tokenizer (textcls classify can)"
        )
    typer.echo(
        f"equal to the model on {report.texts:,} texts: largest difference of a probability {report.largest_difference:.1g}"
    )
    typer.echo(f"{out}: {size(report.bytes)}, SHA-256 {report.sha256}")
    tell(f"  compared on {report.source}, and on hard texts")
    tell(f"\nNext:\n  textcls classify {out} FILES")
