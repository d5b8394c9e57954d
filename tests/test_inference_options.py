"""One object of options for every engine: none is forgotten on the way to what it decides."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from test_inference_files import ByLength

from textcls.data.blocks import Reading
from textcls.errors import InputError
from textcls.inference.answers import Answers
from textcls.inference.options import ClassifyOptions

READ: dict[str, tuple[Any, Any]] = {
    "text": (("a", "b"), ("a", "b")),
    "lines": (True, True),
    "header": (False, False),
    "delimiter": (";", ";"),
    "quoting": ("csv", "csv"),
    "encoding": ("cp1252", "cp1252"),
    "max_row_bytes": (100, 100),
    "follow": (True, True),
}
ANSWERED: dict[str, Any] = {"top_k": 2, "all_scores": True, "min_confidence": 0.5, "unsure_label": "look", "by": True}
ELSEWHERE = {
    "format",
    "input_format",
    "glob",
    "fast",
    "rejects",
    "strict",
    "force",
    "resume",
}  # used by their names, not handed on


def test_each_option_is_known_here() -> None:
    assert {field.name for field in fields(ClassifyOptions)} == {*READ, *ANSWERED, *ELSEWHERE}


@pytest.mark.parametrize("name", READ)
def test_reading_has_what_was_asked_for(name: str) -> None:
    given, expected = READ[name]
    usual = ClassifyOptions().reading(ByLength(), 10)
    assert usual == Reading(block_rows=10)
    changed: dict[str, Any] = {{"max_row_bytes": "longest"}.get(name, name): expected}
    assert replace(ClassifyOptions(), **{name: given}).reading(ByLength(), 10) == replace(usual, **changed)


def test_answers_have_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(Answers, "__init__", lambda _self, _predictor, *given: asked.extend(given))
    ClassifyOptions(**ANSWERED).answers(ByLength())
    assert asked == list(ANSWERED.values())


def test_the_fast_way_is_taken_where_it_is_asked_for() -> None:
    class Fast(ByLength):
        def fast(self) -> str:
            return "the fast way"

    predictor = Fast()
    assert ClassifyOptions().way(predictor) is predictor
    assert ClassifyOptions(fast=True).way(predictor) == "the fast way"  # type: ignore[comparison-overlap]
    with pytest.raises(InputError, match="ByLength has no fast way"):
        ClassifyOptions(fast=True).way(ByLength())


def test_options_by_name_stand_over_those_of_an_object() -> None:
    options = ClassifyOptions(top_k=2, lines=True)
    assert ClassifyOptions.of(options, {"top_k": 3}) == ClassifyOptions(top_k=3, lines=True)
    assert ClassifyOptions.of(None, {}) == ClassifyOptions()
    with pytest.raises(TypeError, match="topk"):
        ClassifyOptions.of(options, {"topk": 3})
