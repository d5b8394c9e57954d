"""Parts of words: learnt from texts, read from a file, and through a whole model."""

from __future__ import annotations

import builtins
import gzip
import io
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from textcls import TextClassifier
from textcls.artifact import SUBWORDS, changed_files, read_artifact
from textcls.cli import app
from textcls.config import TextSettings
from textcls.errors import ConfigError, DataError, MissingPackageError, ModelError, TextclsError
from textcls.exports import export
from textcls.inference import Predictor
from textcls.text import build_tokenizer
from textcls.text.bpemb import find_bpemb, with_bpemb
from textcls.text.subwords import Subwords, read_subwords, train_subwords
from textcls.text.vectors import load_vectors

pytest.importorskip("sentencepiece", reason="SentencePiece is not installed")
TEXTS = ["the film was good", "a bad film indeed", "filming films, filmed 1984 times", "großartiger Film"] * 5
FEW: dict[str, Any] = {"training": {"epochs": 2, "epoch_steps": 3}, "model": {"hidden_size": 8, "embedding_size": 4}}
runner = CliRunner()


@pytest.fixture(scope="module")
def subwords() -> Subwords:
    return train_subwords((text.lower() for text in TEXTS), 70)


@pytest.fixture
def model_file(subwords: Subwords, tmp_path: Path) -> Path:
    (tmp_path / "en.wiki.bpe.vs70.model").write_bytes(subwords.model)
    return tmp_path / "en.wiki.bpe.vs70.model"


@pytest.fixture
def vectors_file(subwords: Subwords, model_file: Path) -> Path:
    """Every part has a vector, its place in the list; packed as it is published."""
    rows = [f"{piece} ".encode() + np.full(3, at, "<f4").tobytes() + b"\n" for at, piece in enumerate(sorted(subwords.pieces))]
    content = f"{len(rows)} 3\n".encode() + b"".join(rows)
    path = model_file.with_name("en.wiki.bpe.vs70.d3.w2v.bin.tar.gz")
    with tarfile.open(path, "w:gz") as packed:
        entry = tarfile.TarInfo("data/en/en.wiki.bpe.vs70.d3.w2v.bin")
        entry.size = len(content)
        packed.addfile(entry, io.BytesIO(content))
    return path


def classifier(**text: Any) -> TextClassifier:
    return TextClassifier({**FEW, "text": {"tokenizer": "bpe", "bpe_size": 70, **text}})


LABELS = ["good", "bad", "film", "film"] * 5


def test_parts_make_the_word_again_and_all_are_known(subwords: Subwords) -> None:
    for word in ("film", "films", "großartig", "deed"):
        parts = subwords.split(word)
        assert "".join(parts) == f"▁{word}"
        assert set(parts) <= subwords.pieces
    assert subwords.split("film") == ["▁film"]
    assert subwords.split("") == []
    assert 40 < len(subwords.pieces) <= 70


def test_the_same_texts_give_the_same_parts(subwords: Subwords) -> None:
    assert train_subwords((text.lower() for text in TEXTS), 70) == subwords


def test_few_texts_have_fewer_parts_than_wanted() -> None:
    assert len(train_subwords(TEXTS, 8000).pieces) < 200


@pytest.mark.parametrize(
    ("texts", "size", "said"),
    [
        ([], 8000, r"there is no letter in the training texts"),
        ([" ", ""], 8000, r"there is no letter in the training texts"),
        (
            TEXTS,
            5,
            r"^text\.bpe_size 5: subwords cannot be learnt from these texts \(they have 2\d different letters.+: give more\)$",
        ),
        (TEXTS, 2, r"different letters"),
    ],
)
def test_what_cannot_be_learnt_from_is_one_line(texts: list[str], size: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        train_subwords(texts, size)


def test_a_long_text_is_learnt_from_like_many_short_ones() -> None:
    assert train_subwords([" ".join(TEXTS * 2000)], 70).pieces & {"▁film", "▁films"}
    assert train_subwords(["手机很好" * 50_000], 70).pieces >= {"手", "机"}


def test_no_more_parts_are_asked_for_than_there_can_be() -> None:
    with pytest.raises(ValueError, match="bpe_size"):
        TextSettings(bpe_size=2**31)


def test_settings_say_what_a_word_is_before_it_is_split(subwords: Subwords) -> None:
    plain = build_tokenizer(TextSettings(tokenizer="bpe"), subwords)
    assert plain.tokens("FILM") == ["▁film"]
    assert "".join(plain.tokens("1984")) == "▁1984"
    zeros = build_tokenizer(TextSettings(tokenizer="bpe", zero_digits=True), subwords)
    assert "".join(zeros.tokens("x1984y٣")) == "▁x0000y0"
    kept = build_tokenizer(TextSettings(tokenizer="bpe", lowercase=False), subwords)
    assert "".join(kept.tokens("FILM")) == "▁FILM"


@pytest.mark.parametrize("name", ["bpe_model", "zero_digits"])
def test_they_need_the_tokenizer(name: str) -> None:
    with pytest.raises(ValueError, match=f"text.{name} needs text.tokenizer bpe"):
        TextSettings.model_validate({name: True if name == "zero_digits" else "x.model"})


def test_a_file_that_is_no_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"text\.bpe_model: no such file"):
        read_subwords(tmp_path / "none.model")
    (tmp_path / "x.model").write_bytes(b"no model")
    with pytest.raises(DataError, match=r"x\.model: is damaged, or no model of SentencePiece"):
        read_subwords(tmp_path / "x.model")
    with pytest.raises(DataError, match=r"x\.model: is damaged"):
        classifier(bpe_model=str(tmp_path / "x.model"))


def test_without_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, subwords: Subwords) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name == "sentencepiece":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(MissingPackageError, match=r"pip install 'textcls\[bpe\]'"):
        train_subwords(TEXTS, 70)
    with pytest.raises(MissingPackageError, match=r"text\.tokenizer bpe"):
        Subwords(subwords.model).split("a")


def test_a_model_carries_its_parts_wherever_it_goes(tmp_path: Path) -> None:
    model = classifier().fit(TEXTS, LABELS)
    expected = model.predict_proba(TEXTS)
    model.save(tmp_path / "model")
    assert changed_files(tmp_path / "model") == []
    artifact = read_artifact(tmp_path / "model")
    assert artifact.vocabulary.subwords is not None
    assert "▁film" in artifact.vocabulary.tokens
    assert "textcls[bpe]" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    np.testing.assert_allclose(Predictor.load(tmp_path / "model").predict(TEXTS).probabilities, expected, atol=1e-6)
    export(tmp_path / "model", tmp_path / "model.onnx")  # takes ids; textcls makes them
    np.testing.assert_allclose(Predictor.load(tmp_path / "model.onnx").predict(TEXTS).probabilities, expected, atol=1e-6)
    result = runner.invoke(app, ["export", str(tmp_path / "model"), str(tmp_path / "page"), "--to", "web"])
    assert result.exit_code == 2
    assert "has the tokenizer bpe, which a browser does not" in result.stderr
    again = TextClassifier.load(tmp_path / "model")
    assert [word.text for word in again.explain(["films"])[0].words] == artifact.vocabulary.subwords.split("films")


@pytest.mark.parametrize("damage", ["gone", "empty", "other"])
def test_a_model_whose_parts_are_damaged_is_one_line(damage: str, tmp_path: Path) -> None:
    classifier().fit(TEXTS, LABELS).save(tmp_path / "model")
    path = tmp_path / "model" / SUBWORDS
    path.unlink() if damage == "gone" else path.write_bytes(b"" if damage == "empty" else b"other")
    assert changed_files(tmp_path / "model") == [SUBWORDS]
    with pytest.raises((ModelError, DataError)) as caught:
        TextClassifier.load(tmp_path / "model").predict(["a film"])
    assert SUBWORDS in str(caught.value)
    assert "\n" not in str(caught.value)


class TestBpemb:
    def test_by_path(self, vectors_file: Path, subwords: Subwords, tmp_path: Path) -> None:
        model = TextClassifier({**FEW, "model": {"hidden_size": 8}, "text": {"vectors": str(vectors_file)}}).fit(TEXTS, LABELS)
        model.save(tmp_path / "model")
        artifact = read_artifact(tmp_path / "model")
        text = artifact.config.text
        assert (text.tokenizer, text.zero_digits, text.lowercase) == ("bpe", True, True)
        assert (text.vectors, text.bpe_model) == (vectors_file.name, "en.wiki.bpe.vs70.model")
        assert artifact.provenance["vectors"]["name"] == vectors_file.name
        assert set(artifact.vocabulary.tokens[2:]) >= subwords.pieces - {"<unk>", "<s>", "</s>"}

    def test_training_goes_on_from_a_model_where_its_vectors_are_gone(
        self, vectors_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        rows = "".join(f"{text},{label}\n" for text, label in zip(TEXTS, LABELS, strict=True) if "," not in text)
        Path("d.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
        quick = ["--set", "training.epochs=1", "--set", "model.hidden_size=4"]
        first = runner.invoke(app, ["train", "d.csv", "--run", "one", "--vectors", str(vectors_file), *quick])
        assert first.exit_code == 0, first.stderr
        assert "will take token ids, not raw text: the tokenizer bpe" in first.stderr
        vectors_file.unlink()
        again = runner.invoke(app, ["train", "d.csv", "--run", "two", "--from", "one/model", *quick[:2]])
        assert again.exit_code == 0, again.stderr
        one, two = (read_artifact(Path(name, "model")).vocabulary for name in ("one", "two"))
        assert one == two

    def test_by_name(self, vectors_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("TEXTCLS_CACHE", str(tmp_path / "cache"))
        with pytest.raises(TextclsError) as caught:
            with_bpemb(TextSettings(vectors="bpemb.en.3d.70"))
        for word in ("en.wiki.bpe.vs70.d3.w2v.bin.tar.gz", "en.wiki.bpe.vs70.model", str(tmp_path / "cache" / "vectors")):
            assert word in str(caught.value)
        (tmp_path / "cache" / "vectors").mkdir(parents=True)
        for file in (vectors_file, vectors_file.with_name("en.wiki.bpe.vs70.model")):
            shutil.copy(file, tmp_path / "cache" / "vectors")
        settings = with_bpemb(TextSettings(vectors="bpemb.en.3d.70"))
        assert settings.bpe_model == str(tmp_path / "cache" / "vectors" / "en.wiki.bpe.vs70.model")
        assert with_bpemb(settings) == settings
        assert load_vectors("bpemb.en.3d.70", ["▁film"]).dimension == 3

    @pytest.mark.parametrize("packed", ["", ".gz"])
    def test_unpacked(self, packed: str, vectors_file: Path) -> None:
        with tarfile.open(vectors_file) as archive:
            (member,) = archive.getmembers()
            stream = archive.extractfile(member)
            assert stream is not None
            content = stream.read()
        path = vectors_file.with_name(f"en.wiki.bpe.vs70.d3.w2v.bin{packed}")
        path.write_bytes(gzip.compress(content) if packed else content)
        one, other = (load_vectors(str(file), ["▁film", "s"]) for file in (vectors_file, path))
        assert np.array_equal(one.matrix, other.matrix)
        assert one.found.tolist() == [0, 1]

    def test_what_does_not_fit_is_one_line(self, vectors_file: Path) -> None:
        with pytest.raises(ConfigError, match=r"are of parts of words: leave text\.tokenizer spacy out"):
            with_bpemb(TextSettings(tokenizer="spacy", vectors=str(vectors_file)))
        vectors_file.with_name("en.wiki.bpe.vs70.model").unlink()
        with pytest.raises(ConfigError, match=r"put en\.wiki\.bpe\.vs70\.model beside it"):
            with_bpemb(TextSettings(vectors=str(vectors_file)))

    def test_a_model_that_is_named_comes_first(self, vectors_file: Path, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        named = shutil.copy(vectors_file.with_name("en.wiki.bpe.vs70.model"), tmp_path / "other" / "en.wiki.bpe.vs70.model")
        given = TextSettings(vectors=str(vectors_file), tokenizer="bpe", bpe_model=str(named))
        assert with_bpemb(given).bpe_model == str(named)
        vectors_file.with_name("en.wiki.bpe.vs70.model").unlink()
        assert with_bpemb(given).bpe_model == str(named)

    def test_files_of_ones_own_belong_together_by_name(self, vectors_file: Path) -> None:
        own = vectors_file.rename(vectors_file.with_name("mine.w2v.bin.tar.gz"))
        assert find_bpemb(str(own)) is None  # words, without a .model of its name
        model = vectors_file.with_name("en.wiki.bpe.vs70.model").rename(own.with_name("mine.model"))
        assert with_bpemb(TextSettings(vectors=str(own))).bpe_model == str(model)

    def test_vectors_that_are_not_what_they_are_called_are_one_line(self, vectors_file: Path, tmp_path: Path) -> None:
        other = vectors_file.rename(vectors_file.with_name("en.wiki.bpe.vs70.d5.w2v.bin.tar.gz"))
        model = TextClassifier({**FEW, "model": {"hidden_size": 8}, "text": {"vectors": str(other)}})
        with pytest.raises(ConfigError, match="the file has 3 dimensions, its name says 5"):
            model.fit(TEXTS, LABELS)
        foreign = train_subwords(["手机很好 不错"] * 20, 70)
        other.with_name("en.wiki.bpe.vs70.model").write_bytes(foreign.model)
        other.rename(vectors_file)
        model = TextClassifier({**FEW, "model": {"hidden_size": 8}, "text": {"vectors": str(vectors_file)}})
        with pytest.raises(ConfigError, match=r"25% of the parts of words have a vector, so they are of other parts"):
            model.fit(["手机很好", "不错"] * 10, ["a", "b"] * 10)

    def test_a_bit_that_changed_in_an_archive_is_found(self, vectors_file: Path) -> None:
        whole = vectors_file.read_bytes()
        for place in range(300, len(whole), 7):
            vectors_file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(DataError):
                load_vectors(str(vectors_file), ["▁film"])
        vectors_file.write_bytes(whole[:-8])
        with pytest.raises(DataError, match="damaged or cut short"):
            load_vectors(str(vectors_file), ["▁film"])

    def test_damaged_archives(self, vectors_file: Path) -> None:
        whole = vectors_file.read_bytes()
        for content in (whole[:60], b"", b"nothing packed"):
            vectors_file.write_bytes(content)
            with pytest.raises(DataError, match="damaged or cut short"):
                load_vectors(str(vectors_file), ["▁film"])
        with tarfile.open(vectors_file, "w:gz"):
            pass
        with pytest.raises(DataError, match="no file in it ends in"):
            load_vectors(str(vectors_file), ["▁film"])

    @pytest.mark.parametrize("other", ["glove.6B.50d", "my.bin", "bpemb.en.50d", "auto"])
    def test_what_is_not_of_bpemb(self, other: str) -> None:
        assert find_bpemb(other) is None
        assert with_bpemb(TextSettings(vectors=other)) == TextSettings(vectors=other)


@pytest.mark.parametrize("kind", ["hub", "spacy"])
def test_folders_for_others_take_raw_text(kind: Any, tmp_path: Path) -> None:
    model = classifier().fit(TEXTS, LABELS)
    model.save(tmp_path / "model")
    export(tmp_path / "model", tmp_path / "out", to=kind)
    if kind == "hub":
        assert (tmp_path / "out" / SUBWORDS).is_file()
        found = TextClassifier.load(tmp_path / "out").predict_proba(TEXTS)
    else:
        import spacy

        pipeline = spacy.load(tmp_path / "out")
        found = np.array([[pipeline(text).cats[label] for label in model.classes_] for text in TEXTS])
    np.testing.assert_allclose(found, model.predict_proba(TEXTS), atol=1e-6)
