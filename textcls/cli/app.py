"""The application: its commands, and how errors leave it. Nothing heavy is imported here, so that `--help` answers at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import BufferedWriter, FileIO, TextIOWrapper
from traceback import clear_frames
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import textcls
from textcls.cli.check import check
from textcls.cli.classify import classify
from textcls.cli.config import config
from textcls.cli.evaluate import evaluate
from textcls.cli.explain import explain
from textcls.cli.export import export
from textcls.cli.info import info
from textcls.cli.output import (
    CUT_OFF,
    HUNG_UP,
    INTERRUPTED,
    STANDARD_OUTPUT_NAME,
    TERMINATED,
    complain,
    drop,
    fault_of_output,
    say,
)
from textcls.cli.train import train
from textcls.cli.tune import tune
from textcls.descriptors import only_those_open
from textcls.errors import InputError, TextclsError, is_out_of_memory, visible

_EXAMPLES = """Examples:

\b
  textcls check reviews.csv                       look at the data
  textcls train reviews.csv --run runs/reviews    train with the defaults
  textcls classify runs/reviews/model new.csv     classify files
  textcls export runs/reviews/model reviews.onnx  one file that holds it all
"""

_STREAMS = (("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))
_MORE_MEMORY = "close other programs, or use a machine with more of it"
_SMALLER = "lower training.batch_size, text.max_tokens, text.max_vocabulary or model.hidden_size"
_DOING = {
    "check": ("reading the data", f"check a part of them, or {_MORE_MEMORY}"),
    "train": ("training", f"{_SMALLER}, or {_MORE_MEMORY}; a run that had begun goes on with --resume"),
    "tune": ("searching", f"{_SMALLER}, or {_MORE_MEMORY}; a search that had begun goes on with --resume"),
    "evaluate": ("evaluating", f"give fewer rows, or {_MORE_MEMORY}"),
    "classify": ("classifying", f"give fewer --threads, or {_MORE_MEMORY}"),
    "export": ("exporting the model", _MORE_MEMORY),
    "explain": ("explaining", f"give a shorter text, or {_MORE_MEMORY}"),
    "info": ("reading the model", _MORE_MEMORY),
    "config": ("reading the settings", _MORE_MEMORY),
}
"""What each command was doing, and what helps where there is no memory for it."""


class Commands(TyperGroup):
    """The commands; an error of any of them becomes lines on standard error and an exit code."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line; help goes the way of all output here."""
        try:
            return super().main(*arguments, **options)
        except OSError as error:  # of what is written beside the commands: help, or that an option is unknown
            if error.filename != STANDARD_OUTPUT_NAME:
                drop(sys.stderr)
                sys.exit(InputError.exit_code)
            drop(sys.stdout)
            complain(fault_of_output(error))
            sys.exit(1)
        finally:
            try:
                sys.stdout.flush()
            except (OSError, ValueError):
                drop(sys.stdout)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read what stands before the name of a command."""
        with _wrong_usage_visible():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            with _wrong_usage_visible():
                result = super().invoke(ctx)
            sys.stdout.flush()  # here, where a full disk or a closed pipe can still be told
            return result
        except TextclsError as error:
            complain(str(error))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            complain("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:  # whoever read our output has enough of it
            drop(sys.stdout)
            drop(sys.stderr)
            raise typer.Exit(CUT_OFF) from None
        except ModuleNotFoundError as error:  # textcls without its dependencies, to classify with an exported file
            complain(f"this needs the package {error.name}, which is not installed: pip install {error.name}")
            raise typer.Exit(InputError.exit_code) from None
        except OSError as error:
            if error.filename == STANDARD_OUTPUT_NAME:
                drop(sys.stdout)
            _end_if_exhausted(error, ctx.invoked_subcommand)
            complain(_what_failed(error))
            raise typer.Exit(1) from None
        except Exception as error:
            _end_if_exhausted(error, ctx.invoked_subcommand)
            raise  # a fault of our own


def _what_failed(error: OSError) -> str:
    """Return what an error of the system is about."""
    if error.filename == STANDARD_OUTPUT_NAME:
        return fault_of_output(error)
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)


@contextmanager
def _wrong_usage_visible() -> Iterator[None]:
    """Let what typer says of wrong options, which quotes them and which it prints itself, steer no terminal."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own; their base has a place of its own in each release
            error.message = visible(error.message)  # type: ignore[attr-defined]
        raise


def _end_if_exhausted(error: Exception, command: str | None) -> None:
    """End a command with one line where memory is used up, or the depth to which Python nests calls; else go on.

    Raises:
        typer.Exit: It is.
    """
    doing, advice = _DOING.get(command or "", ("at work", _MORE_MEMORY))
    if isinstance(error, RecursionError):
        message = (
            f"brackets inside brackets, too many to be read, while {doing}: look into the data, the settings and the model"
        )
    elif is_out_of_memory(error):
        message = f"out of memory while {doing}: {advice}"
    else:
        return
    clear_frames(error.__traceback__)  # what the command held: to say this takes memory too
    complain(message)
    raise typer.Exit(InputError.exit_code) from None


app = typer.Typer(
    cls=Commands,
    name="textcls",
    help="Train a small, fast text classifier on a dataset, classify text files with it, export it as one file.",
    epilog=_EXAMPLES,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,  # plain help: rich alone would double the time it takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for command in (train, tune, evaluate, classify, export, explain, info, check, config):
    app.command(no_args_is_help=command is not config, epilog=getattr(sys.modules[command.__module__], "EXAMPLES", None))(
        command
    )


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"textcls {textcls.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Args:
        arguments: What stands behind `textcls`; that of this process where not given.

    Raises:
        SystemExit: Always: 0 all is well, 1 something failed, 2 bad input, 130 interrupted by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP,
            141 the reader of its output has enough.
    """
    # Threads that wait for each other should sleep: spinning, on cores that others use too, made training several times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read as torch is imported, which is later
    with only_those_open():  # before a library opens files of its own
        _stand_in_for_closed()
        _name_standard_output()
        _write_utf8()
        _clean_up_when_ended()
        app(None if arguments is None else list(arguments), prog_name="textcls")


def _clean_up_when_ended() -> None:
    """Let SIGTERM, and SIGHUP of a terminal that closes, take back what is half done, as Ctrl-C does, instead of leaving it.

    Not under torchrun, which ends the processes of a training with SIGTERM: one that waits for another would not hear of it. A
    signal that is ignored, as `nohup` has it, stays so.
    """
    if threading.current_thread() is not threading.main_thread() or "RANK" in os.environ:
        return
    for name, code in (("SIGTERM", TERMINATED), ("SIGHUP", HUNG_UP)):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, partial(_end, code))


def _end(code: int, *_: object) -> None:
    sys.exit(code)


class _StandardOutput(FileIO):
    """Standard output, whose errors say that they are its own."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or 0
        except OSError as error:
            error.filename = STANDARD_OUTPUT_NAME
            raise


def _name_standard_output() -> None:
    """Let errors of standard output name it, where it is one of Python's own files."""
    usual = sys.stdout
    if usual is not sys.__stdout__ or not isinstance(usual, TextIOWrapper):
        return
    unbuffered = type(usual.buffer) is FileIO  # as PYTHONUNBUFFERED has it
    if unbuffered or type(getattr(usual.buffer, "raw", None)) is FileIO:
        file: Any = _StandardOutput(usual.fileno(), "w", closefd=False)
        file = file if unbuffered else BufferedWriter(file)
        lines, through = usual.line_buffering, usual.write_through
        sys.stdout = TextIOWrapper(file, usual.encoding, usual.errors, line_buffering=lines, write_through=through)


def _write_utf8() -> None:
    """Write UTF-8 into pipes and files whatever the locale; a terminal keeps its encoding and shows `?` for what it lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")


def _stand_in_for_closed() -> None:
    """Put something in the place of standard streams that are closed (`>&-`), or the next files to be opened would have their numbers.

    To read it and to write it fails, as on what is closed; but not for standard error, for nobody could be told.
    """
    for number, (name, mode, way) in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, way)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
