"""What makes a tokenizer doubtful, and the setting that helps: alone, in `check` and in `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from textcls.cli import app
from textcls.config import TextSettings
from textcls.text.doubts import doubt_of_script, doubt_of_tokens

runner = CliRunner()
CHINESE = ["手机很好，屏幕清晰", "房间太小 iPhone 了"]
UNSPLIT: list[dict[str, Any]] = [{"split_unspaced": False}, {"tokenizer": "basic_english"}, {"tokenizer": "spacy"}]
SPLIT: list[dict[str, Any]] = [{}, {"tokenizer": "spacy", "language": "zh"}, {"tokenizer": "bpe"}]


@pytest.mark.parametrize("settings", UNSPLIT, ids=str)
def test_a_tokenizer_that_takes_clauses_is_doubted(settings: dict[str, Any]) -> None:
    doubt = doubt_of_script(CHINESE, TextSettings(**settings))
    name = settings.get("tokenizer", "unicode")
    advice = "text.split_unspaced=true" if name == "unicode" else "text.tokenizer=unicode"
    assert doubt == (
        f"most letters are of a script without spaces, which text.tokenizer {name} does not split: {advice} makes each a token"
    )


@pytest.mark.parametrize("settings", SPLIT, ids=str)
def test_a_tokenizer_that_splits_them_is_not(settings: dict[str, Any]) -> None:
    assert doubt_of_script(CHINESE, TextSettings(**settings)) is None


@pytest.mark.parametrize("texts", [[], ["", "12 !"], ["plain words", "with one 手"], ["한국어 문장"]])
def test_other_scripts_are_no_matter(texts: list[str]) -> None:
    assert doubt_of_script(texts, TextSettings(split_unspaced=False)) is None


def test_tokens_that_hardly_come_again_are_doubted() -> None:
    assert doubt_of_tokens(0.88, TextSettings()) is None
    assert "text.tokenizer=bpe learns parts of words" in str(doubt_of_tokens(0.9, TextSettings()))
    assert "text.tokenizer=bpe" not in str(doubt_of_tokens(0.9, TextSettings(tokenizer="bpe")))


@pytest.mark.parametrize(("setting", "doubted"), [("text.split_unspaced=false", True), ("text.split_unspaced=true", False)])
def test_check_and_train_say_so(setting: str, doubted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{CHINESE[row % 2]}{'一二三四五六七八九十'[row % 10]},{row % 2}" for row in range(40)]
    Path("d.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    options = ["d.csv", "--set", setting]
    quick = ["--set", "training.epochs=1", "--set", "model.hidden_size=4", "--run", "run"]
    for result in (runner.invoke(app, ["check", *options]), runner.invoke(app, ["train", *options, *quick])):
        assert result.exit_code == 0, result.stderr
        assert ("most letters are of a script without spaces" in result.output) == doubted


def test_check_of_parts_that_are_yet_to_be_learnt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.csv").write_text("text,label\n" + "".join(f"word{row},{row % 2}\n" for row in range(200)))
    told = runner.invoke(app, ["check", "d.csv"]).output
    assert "tokens that occur only once: 100%" in told
    result = runner.invoke(app, ["check", "d.csv", "--set", "text.tokenizer=bpe"])
    assert result.exit_code == 0, result.stderr
    assert "occur only once" not in result.output
