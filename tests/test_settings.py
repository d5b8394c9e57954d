"""The bounds of every setting: what no run could use is one line, whatever way it is given, and the bounds themselves are harmless."""

from __future__ import annotations

import csv
import inspect
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from textcls.cli import app
from textcls.cli.classify import classify
from textcls.config import Config, load_config, parse_overrides
from textcls.errors import ConfigError, TextclsError
from textcls.settings import MOST_THREADS
from textcls.training import Event, Progress, train

runner = CliRunner()

EVERY = [f"{section}.{name}" for section, settings in Config() for name in type(settings).model_fields]
EXTREME: dict[str, Any] = {
    "huge": 10**26,
    "huge below 0": -(10**26),
    "huge digits": 10**400,
    "unwritable": 10**5000,
    "large": 1e308,
    "tiny": 5e-324,
    "nan": math.nan,
    "inf": math.inf,
    "empty": "",
    "long": "x" * 11_000,
    "digits": "9" * 5000,
    "nul": "a\0b",
    "lists": [[]],
    "list": ["x" * 11_000],
    "table": {"a": 10**26},
    "bytes": b"\xff",
}


def field(dotted: str) -> Any:
    section, _, name = dotted.partition(".")
    return type(getattr(Config(), section)).model_fields[name]


def bounds(dotted: str) -> tuple[Any, Any]:
    """Return the least and the largest value that a setting may have, None where it has no such."""
    given = {
        name: getattr(rule, name) for rule in field(dotted).metadata for name in ("ge", "gt", "le", "lt") if hasattr(rule, name)
    }
    low = given.get("ge", 5e-324 if "gt" in given else None)
    high = given.get("le", math.nextafter(given["lt"], 0) if "lt" in given else None)
    return low, high


def given_ways(dotted: str, value: Any, folder: Path) -> Iterator[Config | str]:
    """Give a setting in each way that there is; yield what came of it, or what was said."""
    section, _, name = dotted.partition(".")
    (folder / "c.yaml").write_text(f"{section}: {{{name}: {written(value)}}}\n", encoding="utf-8")
    ways: list[Callable[[], Config]] = [
        lambda: load_config(folder / "c.yaml"),
        lambda: Config().replace(parse_overrides([f"{dotted}={written(value)}"])),
        lambda: Config().replace({dotted: value}),
    ]
    for way in ways:
        try:
            yield way()
        except ConfigError as error:
            yield str(error)


def written(value: Any) -> str:
    """Return a value as YAML in one line."""
    if value == EXTREME["unwritable"]:  # Python writes no such number
        return "1" + "0" * 5000
    if isinstance(value, bytes):
        return '!!binary "/w=="'
    return yaml.safe_dump(value, width=math.inf, default_flow_style=True).removesuffix("\n").removesuffix("\n...")


@pytest.mark.parametrize("dotted", EVERY)
def test_extreme_values_are_refused_in_short_lines_or_finite_and_in_64_bits(dotted: str, tmp_path: Path) -> None:
    found = {kind: list(given_ways(dotted, value, tmp_path)) for kind, value in EXTREME.items()}
    refused = [(kind, said) for kind, ways in found.items() for said in ways if isinstance(said, str)]
    for kind, said in refused:
        lines = said.splitlines()
        assert all(dotted in line or "thousands of digits" in line for line in lines), kind
        assert max(map(len, lines)) < 400, kind
        assert len(lines) <= 2, kind  # of a setting that may be two things, such as `balanced` or a table, two faults
    for kind, taken in ((kind, way) for kind, ways in found.items() for way in ways if isinstance(way, Config)):
        section, _, name = dotted.partition(".")
        kept = getattr(getattr(taken, section), name)
        for number in kept.values() if isinstance(kept, dict) else [kept]:
            if isinstance(number, int | float):
                assert abs(number) <= (2**63 - 1 if isinstance(number, int) else 1e38), kind  # which nan is not either
        assert Config.model_validate_json(taken.model_dump_json()) == taken, kind
    assert refused


@pytest.mark.parametrize("dotted", EVERY)
def test_every_number_has_bounds(dotted: str) -> None:
    kind = field(dotted).annotation
    if kind in {int, float, int | None}:
        low, high = bounds(dotted)
        assert low is not None
        assert high is not None
        assert getattr(getattr(Config().replace({dotted: low}), dotted.split(".")[0]), dotted.split(".")[1]) == low
        for value in (low - 1, math.nan, math.inf, 2 * high + 2):
            with pytest.raises(ConfigError, match=f"^the settings: {dotted}: "):
                Config().replace({dotted: value})


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 1e39])
def test_a_weight_of_a_class_has_bounds_too(value: float) -> None:
    with pytest.raises(ConfigError, match=r"training\.class_weights"):
        Config().replace({"training.class_weights": {"a": 1.0, "b": value}})


@pytest.mark.parametrize("path", ["a\0b", "x" * 256, "d/" * 3000])
@pytest.mark.parametrize("dotted", ["data.train", "data.validation", "data.test", "text.vectors", "text.bpe_model"])
def test_what_no_file_is_called(dotted: str, path: str) -> None:
    with pytest.raises(ConfigError, match=rf"^the settings: {dotted}: must not (hold the character NUL|be longer than a path)"):
        Config().replace({dotted: path, "text.tokenizer": "bpe"})


def test_a_home_that_is_not_there(tmp_path: Path) -> None:
    for name in ("data.train", "text.vectors"):
        (tmp_path / "d.csv").write_text("text,label\nx,a\ny,b\n", encoding="utf-8")
        config = Config().replace({"data.train": str(tmp_path / "d.csv"), name: "~no-such-user/x.txt"})
        with pytest.raises(TextclsError, match=r"~no-such-user/x\.txt"):
            train(config, tmp_path / "run")


def test_the_options_of_the_command_line_have_the_same_bounds(tmp_path: Path) -> None:
    options = inspect.signature(classify, eval_str=True).parameters["threads"].annotation.__metadata__[0]
    assert (options.min, options.max) == (1, MOST_THREADS)
    for minutes in ("1e300", "nan", "inf", "0", "-1"):
        result = runner.invoke(app, ["tune", str(tmp_path / "x.csv"), "--minutes", minutes])
        assert result.exit_code == 2
        assert result.stderr.startswith(f"textcls: --minutes {float(minutes):g}: give the search some time")


class EnoughError(Exception):
    """A run is long enough."""


NUMBERS = [dotted for dotted in EVERY if bounds(dotted)[1] is not None and dotted != "model.embedding_size"]
WHOLE = {"text.extend": 2**63 - 1, "model.ngram_slots": 1 << 16, "training.batch_size": 1 << 24}


@pytest.mark.slow
@pytest.mark.parametrize("end", [0, 1], ids=["least", "largest"])
@pytest.mark.parametrize("dotted", [*NUMBERS, *WHOLE])
def test_a_run_survives_the_bounds(dotted: str, end: int, tmp_path: Path) -> None:
    """It ends well, or in one line: nothing overflows."""
    with (tmp_path / "d.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [(f"{word} film number {n} seen", label) for n in range(20) for word, label in (("good", "pos"), ("bad", "neg"))]
        csv.writer(file).writerows([("text", "label"), *rows])
    base = {
        **{"data.train": str(tmp_path / "d.csv"), "data.validation_share": 0.2, "data.test_share": 0.1, "text.vectors": None},
        **{"model.embedding_size": 4, "model.hidden_size": 4, "model.ngram_slots": 512, "training.threads": 1},
        **{"training.epochs": 1, "training.epoch_steps": 2, "training.batch_size": 8},
    }
    value = (0, 1, 1)[list(WHOLE).index(dotted)] if dotted in WHOLE and not end else WHOLE.get(dotted) or bounds(dotted)[end]
    value = 0 if (dotted, end) == ("model.ngram_slots", 0) else value
    value = min(value, {"model.layers": 40, "training.threads": 16}.get(dotted, value))  # what other tests leave of the machine
    steps = []

    def report(event: Event) -> None:
        steps.extend([event] if isinstance(event, Progress) else [])
        if dotted in {"training.epochs", "training.epoch_steps"} and len(steps) > 2:
            raise EnoughError

    said = ""
    try:
        train(Config().replace({**base, dotted: value}), tmp_path / "run", report=report)
    except EnoughError:
        pass
    except TextclsError as error:
        said = str(error)
    assert "\n" not in said
