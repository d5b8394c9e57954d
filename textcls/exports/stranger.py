"""A fresh process that runs an exported file with nothing of textcls behind it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from textcls.errors import ExportError, InputError

PROGRAM = Path(__file__).with_name("_stranger.py")
PYTHON = (sys.executable, "-P")  # -P: the neighbours of the program are no modules of it
Ask = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Gives the outputs of a file by name for inputs by name, as nested lists."""


@contextmanager
def stranger(path: Path, program: Path = PROGRAM, *arguments: str | Path, interpreter: Sequence[str] = PYTHON) -> Iterator[Ask]:
    """Start a process that runs an exported file, and end it with the block.

    Args:
        path: The file.
        program: What runs it: the name of the file is its first argument, and it answers lines of JSON with lines of JSON.
        arguments: Its other arguments.
        interpreter: What runs the program.

    Raises:
        ExportError: The file is refused, or the process ended; also raised where outputs are asked for.
        InputError: This machine lacks the locale in which the file lower-cases, or the component of a spaCy pipeline.
    """
    runtime = f"{'Node.js' if Path(interpreter[0]).stem == 'node' else 'Python'} ({interpreter[0]})"
    with tempfile.TemporaryFile() as complaints:
        command = [*interpreter, *map(str, (program, path, *arguments))]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True, encoding="utf-8"
        )
        assert process.stdin
        assert process.stdout
        given, answers = process.stdin, process.stdout

        def named(said: str) -> str:  # the file has a temporary name, which means nothing to people
            return said.replace(str(path), "the export")

        def receive() -> dict[str, Any]:
            if not (line := answers.readline()):
                complaints.seek(0)
                last = complaints.read().decode("utf-8", "replace").strip().splitlines()[-1:]
                said = named("".join(last or ["it said nothing"]))
                raise ExportError(f"the process that ran the export, {runtime}, ended with code {process.wait()}: {said}")
            answer: dict[str, Any] = json.loads(line)
            if "error" in answer:
                raise _refusal(named(answer["error"]))
            return answer

        def ask(inputs: Mapping[str, Any]) -> dict[str, Any]:
            with suppress(BrokenPipeError):  # it has ended; `receive` says how
                given.write(json.dumps(inputs) + "\n")
                given.flush()
            return receive()

        try:
            receive()  # it is loaded
            yield ask
        finally:
            process.kill()
            process.communicate()


def _refusal(reason: str) -> ExportError | InputError:
    if missing := re.search(r"construct locale with name:(.*):locale::", reason):
        return InputError(
            f"--locale {missing[1]}: this machine has no such locale, so the export cannot be proven here; "
            "`locale -a` lists those it has"
        )
    if "[E002]" in reason:  # spaCy's: there is no factory of that name
        return InputError(
            "spaCy does not find the component textcls: this installation of textcls does not register it; "
            "install textcls again with pip"
        )
    return ExportError(f"its runtime refuses the export: {reason.splitlines()[0]}")
