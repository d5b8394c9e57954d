"""`textcls export`: other forms of a model, from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from textcls.cli.output import size, tell

EXAMPLES = """Examples:

\b
  textcls export runs/trec/model trec.onnx
  textcls export runs/trec/model trec.onnx --texts some_real_texts.txt --force
  textcls export runs/trec/model page --to web

The file runs in stock ONNX Runtime. Before it is kept it is compared with the model on real and on hard texts; where they
differ, the command fails and writes nothing. Vocabulary, labels and settings travel inside it.

--to web writes a folder with a page that classifies in the browser; any server of static files serves it. The runtime that it
needs is fetched once with npm; --runtime names the unpacked package instead where there is no network.
"""


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder.", show_default=False)],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="What to write: a .onnx file, or a folder with --to web.", show_default=False)
    ],
    to: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="onnx or web; by the ending of OUT if not given.", show_default=False),
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
    force: Annotated[bool, typer.Option("--force", help="Replace what an earlier export wrote.")] = False,
    runtime: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="With --to web: the unpacked npm package onnxruntime-web.", show_default=False),
    ] = None,
) -> None:
    """Export a model as one ONNX file, or as a page for the browser."""
    from textcls.exports import export as export_model

    report = export_model(model, out, to=to, locale=locale, texts=texts, force=force, runtime=runtime)
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
    following = f"python3 -m http.server --directory {out}" if to == "web" else f"textcls classify {out} FILES"
    tell(f"\nNext:\n  {following}")
