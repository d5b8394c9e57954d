"""Cases beside the reading of tables: pretrained vectors as they are distributed, and labels that are equal but spelt otherwise."""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from commands import TINY, command, evaluated, refusal, set_to, trained, write_jsonl
from made_cases import CASES, TEXTS
from pyarrow import parquet

MARK = b"\xef\xbb\xbf"
VECTORS = (CASES / "15_bom.txt").read_bytes().removeprefix(MARK)
HEADER = b"14 10\n"
SIZES = ("model.embedding_size=10", "text.extend=100")
FILMS = [
    ("lovely film great acting", "good"),
    ("dull bad awful music", "bad"),
    ("boring plot", "bad"),
    ("a joy to watch", "good"),
]


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take a second each."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda _, path, **__: Path(path).touch())


# --- 15: vectors


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that learns from the same vectors in a plain file."""
    folder = tmp_path_factory.mktemp("plain")
    (folder / "plain.txt").write_bytes(VECTORS)
    table = write_jsonl(folder / "films.jsonl", FILMS)
    return trained(table, folder / "run", *SIZES, f"text.vectors={folder}/plain.txt")


def zipped(**files: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.txt", MARK + VECTORS),
        ("bom_and_header.vec", MARK + HEADER + VECTORS),
        ("bom.vec.gz", gzip.compress(MARK + VECTORS)),
        ("glove.zip", zipped(**{"glove.10d.txt": VECTORS})),
        (
            "mac.zip",
            zipped(**{"glove/": b"", "glove/glove.10d.txt": MARK + VECTORS, "__MACOSX/glove/._glove.10d.txt": b"\0\5"}),
        ),
        ("wiki.vec.zip", zipped(**{"wiki.vec": HEADER + VECTORS, "LICENSE": b"free"})),
    ],
)
def test_vectors_give_the_weights_that_a_plain_file_gives(name: str, content: bytes, plain: Path, tmp_path: Path) -> None:
    table = write_jsonl(tmp_path / "films.jsonl", FILMS)
    (tmp_path / name).write_bytes(content)
    model = trained(table, tmp_path / "run", *SIZES, f"text.vectors={tmp_path / name}")
    for file in ("vocabulary.txt", "model.safetensors"):
        assert (model / file).read_bytes() == (plain / file).read_bytes(), file
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert any("and 100.0% of tokens" in event.get("text", "") for event in log)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("two.zip", zipped(**{"g.10d.txt": VECTORS, "g.20d.txt": VECTORS}), r"holds g\.10d\.txt, g\.20d\.txt: choose one"),
        ("none.zip", zipped(README=b"x"), r"no file in it ends in \.txt"),
        ("cut.zip", zipped(**{"g.10d.txt": VECTORS})[:-40], "damaged or cut short"),
        ("utf16.txt", VECTORS.decode().encode("utf-16"), "UTF-16"),
    ],
)
def test_vectors_that_cannot_be_read_are_refused(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    table = write_jsonl(tmp_path / "films.jsonl", FILMS)
    (tmp_path / name).write_bytes(content)
    sets = set_to([*TINY, "model.embedding_size=10", f"text.vectors={tmp_path / name}"])
    result = command("train", table, "--run", tmp_path / "run", *sets)
    assert (result.exit_code, (tmp_path / "run" / "model").exists()) == (2, False)
    assert re.search(rf"^textcls: .*{said}", result.stderr, re.M), result.stderr


# --- 07: labels that are equal, but spelt otherwise


def of_parquet(*labels: Any) -> Callable[[Path], Path]:
    def write(stem: Path) -> Path:
        parquet.write_table(pa.table({"text": TEXTS, "label": list(labels) * 4}), stem.with_suffix(".parquet"))
        return stem.with_suffix(".parquet")

    return write


def of_json(*labels: Any) -> Callable[[Path], Path]:
    return lambda stem: write_jsonl(stem.with_suffix(".jsonl"), zip(TEXTS, labels * 4, strict=True))


def of_csv(*labels: str) -> Callable[[Path], Path]:
    def write(stem: Path) -> Path:
        rows = "".join(f"{text},{label}\n" for text, label in zip(TEXTS, labels * 4, strict=True))
        stem.with_suffix(".csv").write_text(f"text,label\n{rows}")
        return stem.with_suffix(".csv")

    return write


@pytest.mark.parametrize(
    ("learned", "met", "pair"),
    [
        pytest.param(of_parquet(0, 1), of_parquet(0.0, 1.0), ("1", "1.0"), id="07_int.parquet, 07_float.parquet"),
        pytest.param(of_parquet(0.0, 1.0), of_parquet(0, 1), ("1.0", "1"), id="floats, ints"),
        pytest.param(of_csv("0", "1"), of_csv("0.0", "1.0"), ("1", "1.0"), id="csv"),
        pytest.param(of_csv("0.0", "1.0"), of_json(0, 1), ("1.0", "1"), id="csv floats, JSON"),
        pytest.param(of_json(0, 1), of_csv("False", "True"), ("1", "True"), id="JSON, pandas' bools"),
        pytest.param(of_parquet(False, True), of_csv("0", "1"), ("true", "1"), id="bools, csv"),
        pytest.param(of_json(False, True), of_csv("FALSE", "TRUE"), ("true", "TRUE"), id="JSON, Excel's bools"),
        pytest.param(of_json(1, 2), of_parquet(1.0, 2.0), ("2", "2.0"), id="stars"),
    ],
)
def test_labels_spelt_otherwise_are_equal_or_the_error_names_the_pair(
    learned: Callable[[Path], Path], met: Callable[[Path], Path], pair: tuple[str, str], tmp_path: Path
) -> None:
    table, other = learned(tmp_path / "learned"), met(tmp_path / "met")
    model = trained(table, tmp_path / "run")
    result = command("evaluate", model, other, "--json", "-")
    if result.exit_code:
        assert all(repr(spelling) in refusal(result) for spelling in pair)
    else:
        assert json.loads(result.stdout) == evaluated(model, table)


@pytest.mark.parametrize(
    ("learned", "met"), [(("bad", "good"), ("0", "1")), (("0", "1"), ("bad", "good")), (("0", "1"), ("1.5", "2.5"))]
)
def test_no_label_that_is_known_is_an_error(learned: tuple[str, str], met: tuple[str, str], tmp_path: Path) -> None:
    table, other = of_csv(*learned)(tmp_path / "learned"), of_csv(*met)(tmp_path / "met")
    lines = [refusal(command("evaluate", trained(table, tmp_path / "run"), other))]
    command_ = ["train", table, "--run", tmp_path / "other", *set_to([*TINY, f"data.test={other}"])]
    result = command(*command_)
    assert (result.exit_code, (tmp_path / "other").exists()) == (2, False)
    lines.append(result.stderr)
    for line in lines:
        assert all(repr(label) in line for label in learned + met), line
