"""`textcls classify`: files in, the same rows with labels out."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textcls.cli.output import native_messages_dropped, tell
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

if TYPE_CHECKING:
    from textcls.inference.answers import Summary
    from textcls.inference.options import ClassifyOptions
    from textcls.inference.predictor import Predictor
    from textcls.inference.ray_engine import GpuEngine

EXAMPLES = """Examples:

\b
  textcls classify runs/news/model articles/              one text a file
  textcls classify runs/news/model notes.txt --lines      one text a line
  textcls classify news.onnx reviews.csv -o labelled.csv  one text a row
  textcls classify news.onnx old.csv new.parquet --text title --text body -o out.parquet
  echo "Shares fell on Monday" | textcls classify news.onnx -
  textcls classify news.onnx 's3://news/2024-*/*.parquet' -o s3://news/labelled --engine ray --address auto

Inputs end in .txt, .csv, .tsv, .jsonl, .json or .parquet (text also compressed: .gz, .bz2, .zst); - reads standard input.
The output is written whole or not at all: a run that fails or is interrupted leaves what was there before.
Every row of the input comes back in its place, with its own columns and with label and confidence; from a model that gives a
text many labels with labels and confidences, lists with the most probable first.
"""
_MOST_COUNTS = 12  # labels that a summary counts
_MOMENT = 1.0  # seconds; what takes no longer needs no bar


# The options, in the order of their help. Their defaults are those of `ClassifyOptions`, which is too heavy to import here.
_Output = Annotated[
    str | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="Write to .jsonl, .csv, .tsv or .parquet, or into a pipe.", show_default=False
    ),
]
_Format = Annotated[
    str | None,
    typer.Option(
        metavar="FORMAT",
        help="jsonl, csv, tsv, parquet or table; else by the output's ending, a table on a terminal, jsonl into a pipe.",
    ),
]
_InputFormat = Annotated[
    str, typer.Option("--input-format", metavar="FORMAT", help="What - is: lines, each a text, jsonl, csv or tsv.")
]
_Glob = Annotated[
    str | None, typer.Option(metavar="PATTERN", help="Read only those files of a folder that match, such as '*.csv'.")
]
_TopK = Annotated[int, typer.Option("--top-k", metavar="N", help="Give the N most probable labels.")]
_AllScores = Annotated[bool, typer.Option("--all-scores", help="Give the probability of every label.")]
_MinConfidence = Annotated[
    float | None,
    typer.Option("--min-confidence", metavar="P", help="Label rows unsure below this probability.", show_default=False),
]
_UnsureLabel = Annotated[str, typer.Option("--unsure-label", metavar="NAME", help="What --min-confidence calls such rows.")]
_Fast = Annotated[bool, typer.Option("--fast", help="Let n-grams answer alone where they are sure: the network does the rest.")]
_By = Annotated[bool, typer.Option("--by", help="With --fast: say of each row who answered, linear or network.")]
_Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first row that cannot be read.")]
_Follow = Annotated[
    bool, typer.Option("--follow", help="Wait for more lines of a growing .txt or .jsonl file; answer each as it comes.")
]
_Rejects = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the rows that cannot be read to .jsonl, .csv or .tsv, too.", show_default=False),
]
_Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with a run that was killed; give it from the start, then again.")
]
_Device = Annotated[str, typer.Option(metavar="DEVICE", help="cpu, or cuda, cuda:1, …: a model folder with torch.")]
_Threads = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=1024, help="CPU threads; every core where not given.", show_default=False)
]
_Engine = Annotated[
    str, typer.Option(metavar="ENGINE", help="local, or ray: with many processes, on one machine or a Ray cluster.")
]
_Address = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="With ray: a running cluster, such as auto; else this machine's cores.", show_default=False
    ),
]
_Ordered = Annotated[bool, typer.Option("--ordered", help="With ray: keep the order of the rows.")]
_Workers = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="With ray: processes; one for each core, or GPU, if not given.", show_default=False),
]


def classify(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model folder or an exported .onnx file.", show_default=False)
    ],
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT", help="Files, folders, or - for standard input.", show_default=False)
    ],
    output: _Output = None,
    format: _Format = None,
    lines: LinesOption = False,
    text: ModelTextOption = None,
    no_header: NoHeaderOption = False,
    delimiter: DelimiterOption = None,
    quoting: QuotingOption = None,
    encoding: EncodingOption = None,
    input_format: _InputFormat = "lines",
    glob: _Glob = None,
    top_k: _TopK = 1,
    all_scores: _AllScores = False,
    min_confidence: _MinConfidence = None,
    unsure_label: _UnsureLabel = "unsure",
    fast: _Fast = False,
    by: _By = False,
    strict: _Strict = False,
    follow: _Follow = False,
    rejects: _Rejects = None,
    force: ForceOption = False,
    resume: _Resume = False,
    device: _Device = "cpu",
    threads: _Threads = None,
    engine: _Engine = "local",
    address: _Address = None,
    ordered: _Ordered = False,
    workers: _Workers = None,
) -> None:
    """Classify text files, or the rows of tables."""
    from textcls.files import is_special
    from textcls.inference.options import ClassifyOptions

    options = ClassifyOptions(
        format=format,
        text=tuple(text) if text else None,
        lines=lines,
        header=not no_header,
        **reading_options(delimiter, quoting, encoding),
        input_format=input_format,
        glob=glob,
        top_k=top_k,
        all_scores=all_scores,
        min_confidence=min_confidence,
        unsure_label=unsure_label,
        fast=fast,
        by=by,
        rejects=rejects,
        strict=strict,
        follow=follow,
        force=force,
        resume=resume,
    )
    on_ray: dict[str, Any] = {"address": address, "ordered": ordered, "workers": workers}
    _check_engine(engine, output, on_ray, options, threads)
    with ProgressBar(shown=output is not None and not is_special(Path(output))) as progress:
        if engine == "ray":
            summary = _on_ray(model, inputs, str(output), options, device, progress=progress, **on_ray)
        else:
            summary = _here(_load(model, device, threads), inputs, output, options, progress)
    show(summary, output)
    if summary.errors:
        raise typer.Exit(1)  # the rows are all there, those that could not be read with an empty label


def _here(
    predictor: Predictor, inputs: list[str], output: str | None, options: ClassifyOptions, progress: ProgressBar
) -> Summary:
    """Classify in this process."""
    from textcls.inference.files import classify_files

    try:
        return classify_files(predictor, inputs, output, options, progress=progress)
    except KeyboardInterrupt:
        if options.resume:
            tell("what is done is kept: give the same command again to go on")
        raise


def _on_ray(model: Path, inputs: list[str], output: str, options: ClassifyOptions, device: str, **others: Any) -> Summary:
    """Classify on a Ray cluster."""
    from textcls.inference.ray_engine import classify_with_ray

    gpu_engine = _torch_engine(device)
    with native_messages_dropped():
        return classify_with_ray(model, inputs, output, options, gpu_engine=gpu_engine, **others)


def _check_engine(
    engine: str, output: str | None, on_ray: Mapping[str, Any], options: ClassifyOptions, threads: int | None
) -> None:
    """Refuse options that the engine does not have."""
    from textcls.errors import InputError

    if engine not in {"local", "ray"}:
        raise InputError(f"{engine}: is no engine; there are local and ray")
    others = [name for name, given in on_ray.items() if given not in {None, False}]
    if engine == "ray":
        others = [*options.local, *(["threads"] if threads is not None else [])]
    if others:
        raise InputError(f"{', '.join(f'--{name}' for name in others).replace('_', '-')}: not with --engine {engine}")
    if engine == "ray" and output is None:
        raise InputError("--engine ray writes a folder of part files: name it with -o")


def _torch_engine(device: str) -> GpuEngine | None:
    if device == "cpu":
        return None
    from textcls.model.engine import TorchEngine

    return functools.partial(TorchEngine, device=device)


def _load(model: Path, device: str, threads: int | None) -> Predictor:
    """Return the model, with torch's engine where another device than the CPU is asked for."""
    from textcls.inference.predictor import Predictor

    predictor = Predictor.load(model, threads=threads)
    if device != "cpu":
        from textcls.artifact import read_artifact
        from textcls.errors import InputError

        if not model.is_dir():
            raise InputError(f"--device {device}: an exported file runs on the CPU alone; name the model folder")
        from textcls.model.engine import TorchEngine

        predictor.engine = TorchEngine(read_artifact(model), device)
    return predictor


class ProgressBar:
    """A bar on standard error for what takes longer than a moment; rich is imported only then.

    Args:
        shown: Whether to draw it: not where rows go to the same terminal.
    """

    def __init__(self, shown: bool) -> None:
        from textcls.cli.progress import is_terminal

        self._shown = shown and is_terminal()
        self._started = time.monotonic()
        self._bar: Any = None

    def __call__(self, rows: int, share: float | None) -> None:
        """Show how many rows are done, and the share of the input."""
        if not self._shown or (self._bar is None and time.monotonic() - self._started < _MOMENT):
            return
        if self._bar is None:
            self._bar = _bar()
            self._bar.start()
            self._bar.add_task("", total=1)
        rate = rows / (time.monotonic() - self._started)
        self._bar.update(0, completed=share or 0, description=f"{rows:,} rows, {rate:,.0f} rows/s")

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def show(summary: Summary, output: str | Path | None) -> None:
    """Print what happened, to standard error."""
    for note in summary.notes:
        tell(f"note: {note}")
    where = f" → {output}" if output else ""
    tell(f"{summary.rows:,} row{'s' * (summary.rows != 1)} in {summary.seconds:.1f} s{where}")
    given = [(label, number) for label, number in summary.counts.most_common(_MOST_COUNTS) if number]
    others = sum(number > 0 for number in summary.counts.values()) - len(given)
    if given and summary.rows > 1:
        tell("  " + ", ".join(f"{label} {number:,}" for label, number in given) + (f" and {others} more" if others else ""))
    if summary.linear is not None and summary.rows:
        tell(f"  {summary.linear:,} ({summary.linear / summary.rows:.0%}) by n-grams alone")
    if summary.unsure:
        tell(f"  {summary.unsure:,} unsure: less probable than asked for")
    if summary.unlabelled:
        tell(f"  {summary.unlabelled:,} with none of the labels")
    if summary.empty:
        tell(f"  {summary.empty:,} without a token: their label is the model's answer to nothing")
    if summary.truncated:
        tell(f"  {summary.truncated:,} cut at the model's text.max_tokens")
    if summary.replaced:
        tell(f"  {summary.replaced:,} with lone surrogates, which only JSON can write: U+FFFD stands for them")
    if summary.errors:
        tell(f"  {summary.errors:,} could not be read: they have no label, and the column error says why")
