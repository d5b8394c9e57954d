"""The borders between the rooms of the package, and what it costs to enter them."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import textcls

PACKAGE = Path(textcls.__file__).parent
HEAVY = (
    "torch",
    "spacy",
    "datasets",
    "sklearn",
    "matplotlib",
    "pyarrow",
    "pandas",
    "ray",
    "onnx",
    "onnxruntime",
    "numpy",
    "pydantic",
)
COMMANDS = ("train", "tune", "evaluate", "classify", "export", "explain", "info", "check", "config")
HELP_SECONDS, CLASSIFY_SECONDS = 0.5, 1.2  # CPU-seconds, the best of three

# Each room may import those named here, and `FOR_ALL`. Imports run one way: a room names rooms above it alone.
FOR_ALL = {"errors", "settings", "config", "descriptors", "files", "storage"}
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "settings": set(),
    "yaml_values": set(),
    "config": {"yaml_values"},
    "descriptors": set(),
    "files": set(),
    "storage": set(),
    "evaluation": set(),
    "text": set(),
    "data": set(),
    "fast": {"text"},
    "saved_settings": set(),
    "artifact": {"text", "fast", "saved_settings"},
    "model": {"text", "artifact"},  # the torch engine scores the arrays of a model folder
    "inference": {"text", "data", "artifact", "fast", "saved_settings"},
    "training": {"data", "text", "model", "evaluation", "artifact", "fast"},
}
ROOMS["spacy_component"] = {"data", "artifact", "inference"}
ROOMS["exports"] = {*ROOMS}
ROOMS["parameters"] = {"text", "model"}  # whether there are such vectors, such a device
ROOMS["untrained"] = set()
ROOMS["estimator"] = {"parameters"}
ROOMS["scoring"] = {"data", "artifact", "inference", "evaluation", "fast"}
ROOMS["classifier"] = {*ROOMS}
ROOMS["cli"] = {*ROOMS}


def loaded_by(code: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has loaded after running some code."""
    report = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def help_of(command: str | None) -> str:
    arguments = [command, "--help"] if command else ["--help"]
    return f"from textcls.cli import main\ntry:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code"


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the room of each import from this package, wherever it stands in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: imports are absolute"
            names = [f"textcls.{name.name}" for name in node.names] if node.module == "textcls" else [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [name.name for name in node.names]
        else:
            continue
        for parts in (name.split(".") for name in names):
            if parts[0] == "textcls" and len(parts) > 1 and not parts[1].startswith("__"):
                yield node.lineno, parts[1]


def test_every_room_is_in_the_plan() -> None:
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert found - {"__init__", "__main__"} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    files = [PACKAGE / f"{room}.py"] if (PACKAGE / f"{room}.py").is_file() else sorted((PACKAGE / room).rglob("*.py"))
    allowed = {room} | FOR_ALL | ROOMS[room]
    wrong = [
        f"{file.name}, line {line}: {name}" for file in files for line, name in imported_rooms(file) if name not in allowed
    ]
    assert not wrong


def test_import_textcls_loads_nothing_heavy() -> None:
    assert not loaded_by("import textcls") & {*HEAVY, "typer", "rich", "yaml"}


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_loads_nothing_heavy(command: str | None) -> None:
    assert not loaded_by(help_of(command)) & ({*HEAVY, "yaml"} - {"pydantic"})  # which typer takes for its own use


@pytest.mark.parametrize(
    "room",
    [
        "inference",
        "inference.predictor",
        "inference.files",
        "inference.graph",
        "inference.ray_engine",
        "text",
        "data",
        "evaluation",
    ],
)
def test_rooms_that_must_do_without_torch(room: str) -> None:
    assert not loaded_by(f"import textcls.{room}") & {"torch", "spacy", "datasets", "sklearn", "matplotlib", "ray"}


def test_classifying_with_an_exported_file_needs_no_torch(tiny_onnx: Path) -> None:
    code = f"from textcls.inference.predictor import Predictor\nPredictor.load({str(tiny_onnx)!r}).predict(['the team'])"
    assert not loaded_by(code) & {"torch", "spacy", "datasets", "sklearn", "matplotlib", "pyarrow", "rich"}


@pytest.mark.skipif(sys.platform == "win32", reason="the resource module is POSIX's")
@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_answers_at_once(command: str | None) -> None:
    arguments = ["-m", "textcls", *([command] if command else []), "--help"]
    assert any(cpu_seconds(arguments) < HELP_SECONDS for _ in range(3))


@pytest.mark.skipif(sys.platform == "win32", reason="the resource module is POSIX's")
def test_one_line_is_classified_at_once(tiny_onnx: Path) -> None:
    arguments = ["-m", "textcls", "classify", str(tiny_onnx), "-"]
    assert any(cpu_seconds(arguments, "the team won\n") < CLASSIFY_SECONDS for _ in range(3))


def cpu_seconds(arguments: list[str], given: str = "") -> float:
    """Return the CPU time that a fresh interpreter takes, its own and its kernel's."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], input=given, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
