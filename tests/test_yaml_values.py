"""YAML that is none, or that would fill time and memory, is one line; what people write is read."""

from __future__ import annotations

import datetime
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from textcls.cli import app
from textcls.config import load_config
from textcls.errors import ConfigError
from textcls.yaml_values import read_yaml

runner = CliRunner()


def bomb(width: int, depth: int) -> str:
    """Return lists of aliases of lists of aliases: `width ** depth` values in a few lines."""
    lines = ["a0: &a0 [" + ", ".join(["x"] * width) + "]"]
    lines += [f"a{level}: &a{level} [" + ", ".join([f"*a{level - 1}"] * width) + "]" for level in range(1, depth)]
    return "\n".join(lines)


def merge_bomb(width: int, depth: int) -> str:
    """Return tables that take in tables that take in tables, each of them many times."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{level}: &a{level} {{<<: [" + ", ".join([f"*a{level - 1}"] * width) + "]}" for level in range(1, depth)]
    return "\n".join(lines)


REFUSED = [
    (bomb(9, 9), "line 6: not valid YAML: more than 200,000 values, with those that aliases repeat"),
    (merge_bomb(9, 9), "line 6: not valid YAML: more than 200,000 values, with those that aliases repeat"),
    ("training: {class_weights: &a {b: *a}}", "line 1: not valid YAML: an alias stands inside of what it stands for"),
    ("&a\n[*a]", "line 2: not valid YAML: an alias stands inside of what it stands for"),
    ("a: *b", "line 1: not valid YAML: found undefined alias 'b'"),
    ("data:\n  train: " + "[" * 3000, "line 2: not valid YAML: more than 16 levels, one inside the other"),
    ("data: " + "{a: " * 3000, "line 1: not valid YAML: more than 16 levels, one inside the other"),
    ("".join(f"{' ' * level}a:\n" for level in range(300)), "line 16: not valid YAML: more than 16 levels"),
    ("- " * 3000, "line 1: not valid YAML: more than 16 levels"),
    ("? [a, b]\n: 1", "line 1: not valid YAML: found unhashable key"),
    ("? {a: b}\n: 1", "line 1: not valid YAML: found unhashable key"),
    ("? !!seq x\n: 1", "line 1: not valid YAML: a list as a name"),
    ("a: 1\n'a': 2", "line 2: not valid YAML: a is given twice"),
    ("1: 1\n0x1: 2", "line 2: not valid YAML: 0x1 is given twice"),
    ("{yes: 1, true: 2}", "line 1: not valid YAML: true is given twice"),
    ("{&n a: 1, *n : 2}", "line 1: not valid YAML: a is given twice"),
    ("a: 2020-13-45", "line 1: not valid YAML: month must be in 1..12"),
    ("a: 2020-01-01T00:00:00+99:99", "line 1: not valid YAML: "),
    ("a: !!int x", "line 1: not valid YAML: invalid literal for int()"),
    ("a: !!int ''", "line 1: not valid YAML: '' is no int"),
    ("a: !!float ''", "line 1: not valid YAML: '' is no float"),
    ("a: !!bool maybe", "line 1: not valid YAML: 'maybe' is no bool"),
    ("a: !!timestamp never", "line 1: not valid YAML: 'never' is no timestamp"),
    ("a: !!binary é", "line 1: not valid YAML: failed to"),
    ("a: !!python/object/apply:os.system [ls]", "line 1: not valid YAML: could not determine a constructor for the tag"),
    (f"a: !{'x' * 5000} b", "line 1: not valid YAML: could not determine a constructor for the tag"),
    ("a: !!set [b]", "line 1: not valid YAML: expected a mapping node"),
    ("a: {<<: b}", "line 1: not valid YAML: expected a mapping or list of mappings for merging"),
    (f"%YAML {'9' * 5000}.1\n--- a", "not valid YAML: "),
    ('a: "\\UFFFFFFFF"', "not valid YAML: "),
    ("a: 1\n---\nb: 2", "line 2: not valid YAML: but found another document"),
    ("a: \x00", "not valid YAML: unacceptable character #x0000"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[text[:40] for text, _ in REFUSED])
def test_it_is_one_line_at_once(text: str, said: str, tmp_path: Path) -> None:
    begun = time.process_time()
    with pytest.raises(ConfigError) as raised:
        read_yaml(text, "file.yaml")
    message = str(raised.value)
    assert message.startswith(f"file.yaml, {said}") or message.startswith(f"file.yaml: {said}")
    assert "\n" not in message
    assert len(message) < 300
    assert time.process_time() - begun < 10  # a second on a usual machine
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    result = runner.invoke(app, ["config", str(path)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"textcls: {path}")
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux counts it")
def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "bomb.yaml").write_text(bomb(9, 9), encoding="utf-8")
    script = """
import resource, sys
from textcls.config import load_config
from textcls.errors import ConfigError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load_config(sys.argv[1])
except ConfigError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "bomb.yaml")]
    taken, _, message = subprocess.run(command, check=True, capture_output=True, text=True).stdout.partition(" ")
    assert "values, with those that aliases repeat" in message
    assert int(taken) < 50_000  # KiB


@pytest.mark.parametrize(
    "number", ["9" * 101, "-" + "9" * 5000, "0x" + "f" * 5000, "1" + ":1" * 100_000, "1" + ":1" * 100_000 + ".5"]
)
def test_a_number_of_too_many_digits_is_none(number: str, tmp_path: Path) -> None:
    begun = time.process_time()
    assert read_yaml(f"a: {number}", "x") == {"a": number}
    (tmp_path / "c.yaml").write_text(f"training: {{seed: {number}, clip: {number}}}", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_config(tmp_path / "c.yaml")
    clip, seed = str(raised.value).splitlines()
    assert clip.startswith(f"{tmp_path / 'c.yaml'}: training.clip: input should be ")
    assert seed.startswith(f"{tmp_path / 'c.yaml'}: training.seed: input should be ") or "unable to parse" in seed
    assert max(len(clip), len(seed)) < 300
    assert time.process_time() - begun < 10


def test_there_may_be_so_many_values_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textcls.yaml_values._MOST_VALUES", 12)
    assert len(read_yaml("a: [" + "[], " * 9 + "]", "x")["a"]) == 9
    with pytest.raises(ConfigError, match=r"^x, line 2: not valid YAML: more than 12 values, with those that aliases repeat$"):
        read_yaml("a: [" + "[], " * 11 + "\n[], []]", "x")


def test_what_has_no_end_is_not_read_whole(tmp_path: Path) -> None:
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match=r"zero\.yaml: is longer than 4,000,000 bytes, so it is no settings file$"):
        load_config(tmp_path / "zero.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: 1\nb: [x, 'y']\n", {"a": 1, "b": ["x", "y"]}),
        ("base: &b {x: 1, y: 2}\nmore: {<<: *b, y: 3}\nmost: {<<: [*b], z: *b}\n", None),
        ("a: &a [1]\nb: *a\nc: *a", {"a": [1], "b": [1], "c": [1]}),
        ("a: 2020-01-02", {"a": datetime.date(2020, 1, 2)}),
        ("=: 1\n<<: {a: 2}", {"=": 1, "a": 2}),
        ("a: " + "9" * 100, {"a": int("9" * 100)}),
        ("\ufeffa: é\r\nb: 1\r\n", {"a": "é", "b": 1}),
    ],
)
def test_what_people_write_is_read(text: str, value: Any) -> None:
    found = read_yaml(text, "x")
    assert found == yaml.safe_load(text)
    assert value is None or found == value


def test_a_table_of_weights_may_be_long(tmp_path: Path) -> None:
    path = tmp_path / "many.yaml"
    path.write_text("training:\n  class_weights:\n" + "".join(f"    l{n}: 1\n" for n in range(20_000)), encoding="utf-8")
    assert len(load_config(path).training.class_weights) == 20_000


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**90), 10**90) | st.floats(allow_nan=False) | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_what_yaml_writes_is_read(value: Any) -> None:
    assert read_yaml(yaml.safe_dump(value), "x") == value


@given(st.text(alphabet="ab1:-[]{},&*<!?|>%'\"\\ \n\t#.=~@", max_size=60))
def test_whatever_is_written_is_read_as_yaml_does_or_refused(text: str) -> None:
    try:
        found = read_yaml(text, "x")
    except ConfigError as error:
        said = str(error)
        assert said.startswith(("x: ", "x, line "))  # most examples are refused
        assert len(said.splitlines()) == 1
    else:
        assert repr(found) == repr(yaml.safe_load(text))
