"""The shipped configs: every one loads, and the documented one is what the code does."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from commands import command, refusal

from textcls.config import Config, load_config

CONFIGS = Path(__file__).parent.parent / "configs"


def test_default_yaml_is_what_the_code_does() -> None:
    assert load_config(CONFIGS / "default.yaml") == Config()


def test_default_yaml_is_what_the_command_prints() -> None:
    """The settings and their docstrings are the one source of both: `textcls config > configs/default.yaml`."""
    result = command("config")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == (CONFIGS / "default.yaml").read_text(encoding="utf-8")
    words = " ".join(result.stdout.replace("#", " ").split())
    for _, settings in Config():
        for field in type(settings).model_fields.values():
            assert field.description is not None
            assert " ".join(field.description.split()) in words


def test_the_settings_of_a_file_are_printed_whole(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("data: {train: a.csv}\ntraining: {epochs: 3}\n")
    result = command("config", tmp_path / "mine.yaml", "--set", "model.layers=2")
    expected = load_config(tmp_path / "mine.yaml", ["model.layers=2"])
    (tmp_path / "again.yaml").write_text(result.stdout, encoding="utf-8")
    assert load_config(tmp_path / "again.yaml") == expected
    assert yaml.safe_load(result.stdout)["training"]["epochs"] == 3
    assert set(yaml.safe_load(result.stdout)["model"]) == set(Config().model_dump()["model"])
    of_data = command("config", "reviews.csv")
    assert yaml.safe_load(of_data.stdout)["data"]["train"] == "reviews.csv"


def test_what_steers_a_terminal_comes_back_from_printed_settings(tmp_path: Path) -> None:
    column = "te\x1b[31m\x9b\u202e\u2066\x85\u2028xt"
    result = command("config", "d.csv", "--set", f"data.text={json.dumps(column)}")
    assert result.stdout.replace("\n", "").isprintable()
    assert yaml.safe_load(result.stdout)["data"]["text"] == column


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("m.onnx", "m.onnx: a file that ends in .onnx cannot be read as a table"),
        ("folder", "folder: a folder needs one subfolder per class"),
        ("nothing", "nothing: is no regular file"),
    ],
)
def test_settings_of_what_is_no_data_are_refused(name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m.onnx").write_bytes(b"")
    Path("folder").mkdir()
    Path("nothing").symlink_to(os.devnull)
    assert refusal(command("config", name)).startswith(said)


def test_settings_of_data_that_are_there_are_printed(tmp_path: Path) -> None:
    (tmp_path / "news" / "sport").mkdir(parents=True)
    (tmp_path / "news" / "sport" / "1.txt").write_text("x")
    (tmp_path / "d.csv").write_text("text,label\n")
    for name in ("news", "d.csv"):
        result = command("config", tmp_path / name)
        assert yaml.safe_load(result.stdout)["data"]["train"] == str(tmp_path / name), result.stderr


def test_settings_that_are_not_there_are_refused() -> None:
    assert refusal(command("config", "none.yaml")).startswith("none.yaml: cannot be read")
    assert refusal(command("config", "--set", "training.epochs=3")).startswith("--set changes the settings of a file")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_loads_and_says_how_to_use_local_files(path: Path) -> None:
    config = load_config(path)
    if path.stem != "default":
        source = config.data.train
        assert isinstance(source, str)
        assert source.startswith(("hub:", "package:"))
        assert config.data.test is not None or config.data.test_share > 0
        assert "data.train" in path.read_text(encoding="utf-8").split("\n\n")[0]
