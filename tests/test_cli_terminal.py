"""Labels, file names, settings, columns and rows that would steer a terminal: no command lets them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import TINY, command, set_to
from rich.console import Console

import textcls.cli
from textcls.cli import app
from textcls.cli.output import table
from textcls.cli.progress import Lines
from textcls.errors import visible

EVIL = "\x1b[31m\x9b2J\u202e\x07\r\u2066\x85!"
DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def steers(text: str) -> list[str]:
    """The characters of a text that a terminal would act on, but for the new line."""
    return [
        char
        for char in text
        if (unicodedata.category(char) in {"Cc", "Zl", "Zp", "Cs"} and char != "\n")
        or unicodedata.bidirectional(char) in DIRECTIONS
    ]


@dataclass(frozen=True)
class Hostile:
    """What everything is called in the tests, and what was made of it."""

    data: Path
    many: Path
    model: Path
    many_model: Path
    settings: tuple[str, ...]
    many_settings: tuple[str, ...]


TEXT, LABEL = f"te{EVIL}xt", f"la{EVIL}bel"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Hostile:
    folder = tmp_path_factory.mktemp("hostile") / f"in{EVIL}"
    folder.mkdir()
    for name, one, two in (("data", f"a{EVIL}", f"b{EVIL}"), ("many", f"a{EVIL},c", f"b{EVIL}")):
        with (folder / f"{name}{EVIL}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([TEXT, LABEL, f"other{EVIL}"])
            writer.writerows([f"{'good' if n % 2 else 'bad'} {EVIL} {n}", one if n % 2 else two, EVIL] for n in range(40))
    single = (f"data.text={json.dumps(TEXT)}", f"data.label={json.dumps(LABEL)}", *TINY[1:])
    many = (f"data.text={json.dumps(TEXT)}", f"data.labels={json.dumps(LABEL)}", *TINY[1:])
    found = Hostile(
        folder / f"data{EVIL}.csv",
        folder / f"many{EVIL}.csv",
        folder / f"run{EVIL}" / "model",
        folder / f"runs{EVIL}" / "model",
        single,
        many,
    )
    for data, model, settings in ((found.data, found.model, single), (found.many, found.many_model, many)):
        result = command("train", data, "--run", model.parent, *set_to(settings))
        assert result.exit_code == 0, result.output
        assert r"\x1b[31m" in result.stderr
        assert not steers(result.stdout + result.stderr)
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "DATA", "SETTINGS"],
        ["check", "MANY", "MANY_SETTINGS"],
        ["check", "DATA"],  # which lacks the columns text and label: the message names those there are
        ["check", f"no{EVIL}.csv"],
        ["check", "DATA", "--set", f"data.{EVIL}=1"],
        ["check", "DATA", "--set", f"training.device={EVIL}"],
        ["check", "DATA", "--set", EVIL],
        ["check", "DATA", f"--no{EVIL}"],
        ["check", "DATA", EVIL],
        [EVIL],
        [f"--{EVIL}"],
        ["train", "DATA", "--run", "RUN"],  # not empty
        ["train", f"no{EVIL}.yaml"],
        ["tune", "DATA", "SETTINGS", "--minutes", EVIL],
        ["tune", f"no{EVIL}.yaml"],
        ["evaluate", "MODEL", "DATA"],
        ["evaluate", "MANY_MODEL", "MANY"],
        ["evaluate", "MODEL", "DATA", "--errors", f"OUT/wrong{EVIL}.csv"],
        ["evaluate", "MODEL", "DATA", "--errors", f"OUT/wrong{EVIL}.doc"],
        ["evaluate", "MODEL", "DATA", "--label", EVIL],
        ["classify", "MODEL", "DATA", "--format", "table"],
        ["classify", "MODEL", "DATA", "-o", f"OUT/out{EVIL}.csv"],
        ["classify", "MODEL", "DATA", "-o", f"OUT/no{EVIL}/out.csv"],
        ["classify", "MODEL", "DATA", "--threads", EVIL],
        ["explain", "MODEL", f"good {EVIL} x{EVIL}y"],
        ["explain", "MANY_MODEL", f"good {EVIL}"],
        ["explain", "MODEL", "good", "--label", EVIL],
        ["explain", "MODEL", "DATA", "-o", f"OUT/out{EVIL}.jsonl"],
        ["explain", "MODEL", "DATA", "-o", f"OUT/out{EVIL}.csv"],
        ["explain", "MODEL", EVIL, EVIL],
        ["config", "DATA", "SETTINGS"],
        ["config", f"no{EVIL}.yaml"],
        ["config", "DATA", "--set", f"training.epochs={EVIL}", "--set", f"training.epochs={EVIL}"],
        ["check", "DATA", "--text", EVIL, "--label", EVIL, "--vectors", EVIL],
        ["check", "DATA", "--text", "x", "--set", f"data.text={EVIL}"],
        ["info", "MODEL"],
        ["info", "MANY_MODEL"],
        ["info", "MODEL", "--verify"],
        ["info", EVIL],
        ["export", "MODEL", f"OUT/out{EVIL}.onnx"],
        ["export", "MODEL", f"OUT/out{EVIL}.xyz"],
    ],
    ids=lambda arguments: " ".join(arguments).replace(EVIL, "EVIL"),
)
def test_no_command_lets_a_terminal_be_steered(arguments: list[str], hostile: Hostile, tmp_path: Path) -> None:
    places = {"DATA": hostile.data, "MANY": hostile.many, "MODEL": hostile.model, "MANY_MODEL": hostile.many_model}
    places["RUN"] = hostile.model.parent
    given: list[object] = []
    for one in arguments:
        if one in {"SETTINGS", "MANY_SETTINGS"}:
            given += set_to(hostile.settings if one == "SETTINGS" else hostile.many_settings)
        else:
            given.append(places.get(one, one.replace("OUT/", f"{tmp_path}/")))
    result = command(*given)
    assert not steers(result.stdout + result.stderr)
    assert result.stdout + result.stderr


def test_a_search_lets_no_terminal_be_steered(hostile: Hostile, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="needs the extra tune")
    options = ["--run", tmp_path / f"run{EVIL}", "--minutes", "0.02", *set_to(hostile.settings)]
    result = command("tune", hostile.data, *options)
    assert result.exit_code == 0, result.output
    assert r"\x1b[31m" in result.stderr
    assert not steers(result.stdout + result.stderr)


def test_what_programs_read_is_written_as_it_is(hostile: Hostile, tmp_path: Path) -> None:
    report = json.loads(command("evaluate", hostile.model, hostile.data, "--json", "-").stdout)
    assert {f"a{EVIL}", f"b{EVIL}"} == set(report["per_class"])
    assert set(json.loads(command("info", hostile.model, "--json").stdout)["labels"]) == {f"a{EVIL}", f"b{EVIL}"}
    assert command("classify", hostile.model, hostile.data, "-o", tmp_path / "out.csv").exit_code == 0
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))[f"other{EVIL}"] == EVIL


def on_terminal(arguments: list[object], monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a command whose standard output is a terminal, which `FD` stands for; return what the terminal got."""
    import pty

    shown = bytearray()
    reading, writing = pty.openpty()

    def read() -> None:
        with suppress(OSError):  # on Linux the end of it
            while part := os.read(reading, 4096):
                shown.extend(part)

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(writing, "w", encoding="utf-8") as terminal, monkeypatch.context() as patch:
        patch.setattr("sys.stdout", terminal)
        given = [str(one).replace("FD", f"/dev/fd/{writing}") for one in arguments]
        app(given, standalone_mode=False)
    reader.join()
    os.close(reading)
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.skipif(os.name != "posix", reason="terminals as POSIX has them")
@pytest.mark.parametrize(
    "arguments",
    [
        ["classify", "MODEL", "DATA", "--format", "jsonl"],
        ["classify", "MODEL", "DATA", "-o", "FD"],
        ["explain", "MODEL", "DATA"],
        ["explain", "MODEL", f"good x{EVIL}y", "--json"],
        ["evaluate", "MODEL", "DATA", "--json", "-"],
        ["evaluate", "MODEL", "DATA", "--json", "FD"],
        ["info", "MODEL", "--json"],
        ["check", "MANY", "MANY_SETTINGS", "--json"],
    ],
    ids=lambda arguments: " ".join(arguments).replace(EVIL, "EVIL"),
)
def test_json_on_a_terminal_is_the_same_and_does_not_steer_it(
    arguments: list[str], hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: dict[str, list[object]] = {"DATA": [hostile.data], "MODEL": [hostile.model], "MANY": [hostile.many]}
    places["MANY_SETTINGS"] = list(set_to(hostile.many_settings))
    given = [part for one in arguments for part in places.get(one, [one])]
    shown = on_terminal(given, monkeypatch)
    assert not steers(shown)
    value, _ = json.JSONDecoder().raw_decode(shown)
    assert any(EVIL in text for text in strings(value))


@pytest.mark.skipif(os.name != "posix", reason="terminals as POSIX has them")
@pytest.mark.parametrize(
    ("arguments", "separator"),
    [
        (["classify", "MODEL", "DATA", "--format", "csv"], ","),
        (["classify", "MODEL", "DATA", "--format", "tsv"], "\t"),
        (["classify", "MODEL", "DATA", "-o", "FD", "--format", "tsv"], "\t"),
    ],
    ids=["csv", "tsv", "tsv by the descriptor"],
)
def test_tables_on_a_terminal_have_escapes(
    arguments: list[str], separator: str, hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: dict[str, object] = {"DATA": hostile.data, "MODEL": hostile.model}
    shown = on_terminal([places.get(one, one) for one in arguments], monkeypatch)
    assert not steers(shown.replace(separator, "") if separator == "\t" else shown)
    rows = list(csv.DictReader(io.StringIO(shown), delimiter=separator))
    assert len(rows) == 40
    assert {row[visible(f"other{EVIL}")] for row in rows} == {visible(EVIL)}


def strings(value: object) -> Iterator[str]:
    """All texts in a value of JSON, the names of members among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in [*value.items()] if isinstance(value, dict) else value:
            yield from (text for part in (one if isinstance(one, tuple) else [one]) for text in strings(part))


def test_what_is_not_printed_is_shown_as_its_escape() -> None:
    assert visible("\x1b[0m\x9b\u202e\udc9b\t\n体育 é नि\u200dx") == "\\x1b[0m\\x9b\\u202e\\udc9b\\t\n体育 é नि\u200dx"
    assert table([["a\nb", "1"], ["\x1b", "2"]]) == "a\\nb  1\n\\x1b  2"


def test_lines_over_a_live_display_are_made_visible_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Live:
        console = Console(file=io.StringIO())

    lines = Lines("")
    lines._live = Live()
    lines.line(f"epoch {EVIL}")
    shown = Live.console.file.getvalue()  # type: ignore[attr-defined]
    assert r"\x1b[31m" in shown
    assert not steers(shown)


def test_one_place_prints() -> None:
    for path in Path(textcls.cli.__file__).parent.glob("*.py"):
        if path.name != "output.py":
            assert not re.search(r"typer\.s?echo|^ *print\(|std(out|err)\.(buffer\.)?write", path.read_text("utf-8"), re.M), (
                path
            )
