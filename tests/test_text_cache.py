"""The cache of encoded texts: found, made anew, bounded, and never in the way."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textcls.config import TextSettings
from textcls.errors import ConfigError
from textcls.text import Encoded, Encoder, Vocabulary, cache, encode_training
from textcls.text.cache import EncodingCache, cache_dir

TEXTS = ["b a c.", "", "a B <pad> d", "c \ud800 c c"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXTCLS_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "_FEWEST_TOKENS", 1)
    return tmp_path / "encoded"


def same(one: Encoded, other: Encoded) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in cache._ARRAYS)


def train(texts: list[str] = TEXTS, **settings: Any) -> tuple[int, Encoded, Vocabulary, list[int]]:
    """Encode training texts as one run does, and compare with the plain way; return the hits and what was found."""
    made = EncodingCache(TextSettings(**settings))
    encoded, vocabulary, counts = made.encode_training(texts)
    plain, words, often = encode_training(texts, TextSettings(**settings))
    assert (vocabulary.tokens, counts.tolist()) == (words.tokens, often.tolist())
    assert same(encoded, plain)
    return made.hits, encoded, vocabulary, counts.tolist()


def test_a_second_run_finds_what_the_first_one_encoded(folder: Path) -> None:
    assert train()[0] == 0
    assert train()[0] == 1
    assert len(list(folder.iterdir())) == 1
    assert (next(folder.iterdir()).stat().st_mode & 0o077) == 0


@pytest.mark.parametrize(
    "settings",
    [{"lowercase": False}, {"max_tokens": 3}, {"min_count": 2}, {"max_vocabulary": 2}, {"tokenizer": "basic_english"}],
    ids=str,
)
def test_other_settings_are_another_entry(settings: dict[str, Any]) -> None:
    train()
    assert train(**settings)[0] == 0


@pytest.mark.parametrize("texts", [TEXTS[::-1], TEXTS[:3], ["b a c.a", " B <pad> d", "c \ud800 c c"], [*TEXTS, ""]], ids=str)
def test_other_texts_are_another_entry(texts: list[str]) -> None:
    train()
    assert train(texts)[0] == 0


@pytest.mark.parametrize(
    ("name", "other"), [("_version", lambda _package: "99"), ("_code", lambda: "new")], ids=["package", "code"]
)
def test_another_version_is_another_entry(name: str, other: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    train()
    monkeypatch.setattr(cache, name, other)
    assert train()[0] == 0


def test_other_splits_depend_on_the_vocabulary() -> None:
    def encode(*words: str) -> int:
        vocabulary, made = Vocabulary(("<pad>", "<unk>", *words)), EncodingCache(TextSettings())
        encoder = Encoder.from_settings(TextSettings(), vocabulary)
        assert same(made.encode(TEXTS, encoder, vocabulary), encoder.encode(TEXTS))
        return made.hits

    assert [encode("a", "b"), encode("a", "b"), encode("b", "a"), encode("ab")] == [0, 1, 0, 0]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def deepen(path: Path) -> None:
    path.write_text("[" * 100_000)


@pytest.mark.parametrize("damage", [cut, flip, deepen, Path.unlink], ids=["cut", "flipped", "deep", "gone"])
@pytest.mark.parametrize("name", ["ids.npy", "offsets.npy", "counts.npy", "tokens.json", "sums.json"])
def test_a_damaged_entry_is_made_anew(name: str, damage: Callable[[Path], None], folder: Path) -> None:
    train()
    (entry,) = folder.iterdir()
    damage(entry / name)
    assert train()[0] == 0
    assert train()[0] == 1


def test_off(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("TEXTCLS_CACHE", "off")
    assert [train()[0], train()[0]] == [0, 0]
    assert not folder.exists()


def test_few_texts_are_not_worth_it(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(cache, "_FEWEST_TOKENS", 100)
    assert [train()[0], train()[0]] == [0, 0]
    assert not folder.exists()


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TEXTCLS_CACHE", str(tmp_path / "file"))
    assert [train()[0], train()[0]] == [0, 0]


def test_a_run_that_was_slower_leaves_the_entry_of_the_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(*arguments: Any) -> Any:
        monkeypatch.undo()
        monkeypatch.setenv("TEXTCLS_CACHE", str(folder.parent))
        monkeypatch.setattr(cache, "_FEWEST_TOKENS", 1)
        assert train()[0] == 0
        return encode_training(*arguments)

    monkeypatch.setattr(cache, "encode_training", meanwhile)
    EncodingCache(TextSettings()).encode_training(TEXTS)
    assert len(list(folder.iterdir())) == 1
    assert train()[0] == 1


def test_the_least_recently_used_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(["a"])
    (first,) = folder.iterdir()
    size = sum(file.stat().st_size for file in first.iterdir())
    monkeypatch.setattr(cache, "_MOST_BYTES", int(2.5 * size))
    os.utime(first, (1, 1))
    train(["b"])
    (second,) = set(folder.iterdir()) - {first}
    os.utime(second, (2, 2))
    assert train(["a"])[0] == 1  # used: now the other one is older
    train(["c"])
    assert (first.exists(), second.exists(), len(list(folder.iterdir()))) == (True, False, 2)


@given(st.lists(st.text(max_size=5), max_size=5), st.lists(st.text(max_size=5), max_size=5))
def test_digests_tell_texts_apart(one: list[str], other: list[str]) -> None:
    assert (cache._digest(one) == cache._digest(other)) == (one == other)


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for named in ("", " "):
        monkeypatch.setenv("TEXTCLS_CACHE", named)
        assert cache_dir() == platformdirs.user_cache_path("textcls", appauthor=False)
    monkeypatch.delenv("TEXTCLS_CACHE")
    assert cache_dir() == platformdirs.user_cache_path("textcls", appauthor=False)
    monkeypatch.chdir(tmp_path)
    for named, place in (("here/it", tmp_path / "here/it"), ("./off", tmp_path / "off"), ("~/it", Path.home() / "it")):
        monkeypatch.setenv("TEXTCLS_CACHE", named)
        assert cache_dir() == place


@pytest.mark.skipif(sys.platform != "linux", reason="where Linux keeps caches")
def test_where_it_is_on_linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TEXTCLS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own" / "textcls"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path.home() / ".cache" / "textcls"


@pytest.mark.parametrize("word", ["off", "OFF", "0", "no", "false"])
def test_nothing_is_kept_where_it_is_off(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTCLS_CACHE", word)
    assert cache_dir() is None


def test_a_home_that_there_is_not_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTCLS_CACHE", "~nobody-of-this-name/cache")
    with pytest.raises(ConfigError, match=r"^TEXTCLS_CACHE=~nobody-of-this-name/cache: there is no such home folder; name .*"):
        cache_dir()


def test_words_from_other_packages_are_not_kept() -> None:
    assert EncodingCache(TextSettings(tokenizer="spacy", language="ja"))._folder is None
    assert EncodingCache(TextSettings(tokenizer="spacy", language="en"))._folder is not None
