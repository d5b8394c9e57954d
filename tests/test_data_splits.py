import hashlib
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import put

from textcls.config import DataSettings
from textcls.data import Cut, Label, Rows, label_text, load_splits, split_rows
from textcls.data.labels import sorted_texts
from textcls.data.splits import _gather, _quotas
from textcls.errors import ConfigError, DataError

LABELS = st.sampled_from(["a", "b", "c", 1, 2])
SHARES = st.sampled_from([0.0, 0.05, 0.1, 0.25, 0.4])


def make_rows(texts: list[str], labels: Any) -> Rows:
    return Rows.of(texts, labels)


def parts(cut: Cut) -> list[list[int]]:
    return [cut.train.tolist(), cut.validation.tolist(), cut.test.tolist()]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 25), LABELS), min_size=1, max_size=80), SHARES, SHARES, st.integers(0, 2**40))
def test_every_row_once_and_equal_texts_on_one_side(
    pairs: list[tuple[int, Label]], validation: float, test: float, seed: int
) -> None:
    texts = [" " * (index % 3) + str(number) for index, (number, _) in enumerate(pairs)]
    cut = split_rows(make_rows(texts, [label for _, label in pairs]), validation, test, seed)
    assert sorted(np.concatenate(parts(cut))) == list(range(len(texts)))
    assert all(part == sorted(part) for part in parts(cut))
    sides = [{texts[index].strip() for index in part} for part in parts(cut)]
    assert len(sides[0] | sides[1] | sides[2]) == sum(map(len, sides))
    assert len(cut.train)


@settings(max_examples=80, deadline=None)
@given(st.lists(LABELS, min_size=1, max_size=120), SHARES, SHARES, st.integers(0, 99))
def test_shares_of_distinct_texts(labels: list[Label], validation: float, test: float, seed: int) -> None:
    cut = split_rows(make_rows([f"t{i}" for i in range(len(labels))], labels), validation, test, seed)
    for number, share in ((1, validation), (2, test)):
        taken = Counter(labels[index] for index in parts(cut)[number])
        for label, size in Counter(labels).items():
            room = size - 1 - sum(labels[index] == label for index in parts(cut)[2] if number == 1)
            assert taken[label] - share * size < 1
            assert share * size - taken[label] < 1 or taken[label] == room  # the last one stays in train
    assert {labels[index] for index in cut.train} == set(labels)


@settings(max_examples=40, deadline=None)
@given(st.lists(LABELS, min_size=2, max_size=60), SHARES, SHARES, st.integers(0, 99))
def test_test_rows_do_not_depend_on_the_validation_share(labels: list[Label], one: float, other: float, seed: int) -> None:
    rows = make_rows([f"t{i}" for i in range(len(labels))], labels)
    assert split_rows(rows, one, 0.2, seed).test.tolist() == split_rows(rows, other, 0.2, seed).test.tolist()


@settings(max_examples=40, deadline=None)
@given(st.lists(LABELS, min_size=2, max_size=60), st.randoms(use_true_random=False))
def test_row_order_does_not_matter(labels: list[Label], random: Any) -> None:
    order = list(range(len(labels)))
    random.shuffle(order)
    rows = make_rows([f"t{i}" for i in range(len(labels))], labels)
    shuffled = split_rows(rows.select(order), 0.2, 0.1, 0)
    assert sorted(order[index] for index in shuffled.validation) == split_rows(rows, 0.2, 0.1, 0).validation.tolist()


def test_the_cut_is_pinned() -> None:
    """A later version must cut the same rows, or runs could not be repeated."""
    rows = make_rows([f"text {i}" for i in range(40)], ["ab"[i % 2] for i in range(40)])
    cut = split_rows(rows, 0.1, 0.1, 0)
    assert (cut.validation.tolist(), cut.test.tolist()) == ([4, 13, 26, 31], [10, 16, 21, 33])
    assert cut.validation.dtype == np.int64
    assert split_rows(rows, 0.1, 0.1, 1).test.tolist() != cut.test.tolist()


def test_sum_over_many_small_classes_is_near_the_share() -> None:
    labels = [f"label {i // 4}" for i in range(400)]
    cut = split_rows(make_rows([f"t{i}" for i in range(400)], labels), 0.1, 0, 0)
    assert len(cut.validation) == 40


def test_small_class_stays_in_train_and_is_named() -> None:
    labels = ["big"] * 30 + ["tiny"]
    cut = split_rows(make_rows([f"t{i}" for i in range(31)], labels), 0.2, 0.1, 0)
    assert 30 in cut.train
    assert cut.notes == tuple(
        f"too few rows to cut {role} rows from, so they stay in train: 'tiny'" for role in ("test", "validation")
    )


def test_nothing_to_cut() -> None:
    cut = split_rows(make_rows(["x", "x ", "y"], ["a", "a", "b"]), 0.5, 0, 0)
    assert parts(cut) == [[0, 1, 2], [], []]
    assert cut.notes == ("no validation rows could be cut from train: it has too few different texts",)


def test_many_labels_are_cut_by_text() -> None:
    rows = make_rows([f"t{i // 2}" for i in range(100)], [[], ["a"], ["a", "b"], ["c"]] * 25)
    cut = split_rows(rows, 0.2, 0, 0)
    assert len(cut.validation) == 20
    assert {i // 2 for i in cut.train}.isdisjoint({i // 2 for i in cut.validation})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(40))
    (tmp_path / "train.csv").write_text(f"text,label\n{rows}")
    (tmp_path / "other.csv").write_text("text,label\ntext 1 ,a\nnew,c\n")
    return tmp_path


def load(folder: Path, **names: Any) -> Any:
    roles = ("train", "validation", "test")
    return load_splits(DataSettings(**{key: str(folder / value) if key in roles else value for key, value in names.items()}))


class TestLoading:
    def test_cut_from_train(self, folder: Path) -> None:
        splits = load(folder, train="train.csv", test_share=0.2)
        assert (len(splits.train), len(splits.validation), len(splits.test)) == (28, 4, 8)
        assert set(splits.cut) == {"train", "validation", "test"}
        assert sorted(np.concatenate(list(splits.cut.values()))) == list(range(40))
        assert splits.test.texts == [f"text {i}" for i in splits.cut["test"]]
        assert splits.test.where(0) == f"train.csv, row {splits.cut['test'][0] + 2}"
        assert splits.notes == ()
        digest = hashlib.sha256((folder / "train.csv").read_bytes()).hexdigest()
        size = (folder / "train.csv").stat().st_size
        assert splits.files == {"train": [{"file": "train.csv", "sha256": digest, "bytes": size}]}

    def test_given_splits_are_used_as_they_are(self, folder: Path) -> None:
        splits = load(folder, train="train.csv", validation="other.csv", test="other.csv", test_share=0.5)
        assert (len(splits.train), splits.validation.labels, splits.test.texts) == (40, ["a", "c"], ["text 1 ", "new"])
        assert splits.cut == {}
        assert set(splits.files) == {"train", "validation", "test"}
        assert splits.notes == tuple(
            f"{role}: 1 of 2 rows have a text that also stands in train" for role in ("validation", "test")
        )

    def test_nothing_asked_for(self, folder: Path) -> None:
        splits = load(folder, train="train.csv", validation_share=0)
        assert (len(splits.train), splits.validation, splits.test, splits.cut) == (40, None, None, {})
        assert any("no test split" in note for note in splits.notes)

    def test_folder_is_recorded_as_one(self, tmp_path: Path) -> None:
        for name in ("a/1.txt", "a/2.txt", "b/1.txt", "b/2.txt"):
            (tmp_path / "news" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "news" / name).write_text(name)
        first = load(tmp_path, train="news").files["train"]
        assert [(one["file"], one["texts"], one["bytes"]) for one in first] == [("news/", 4, 28)]
        (tmp_path / "news" / "b" / "2.txt").write_text("other..")
        second = load(tmp_path, train="news").files["train"]
        assert second[0]["sha256"] != first[0]["sha256"]

    def test_dataset_is_recorded_by_its_fingerprint(self, tmp_path: Path) -> None:
        import datasets

        rows = {"text": [f"t{i}" for i in range(20)], "label": ["a", "b"] * 10}
        datasets.DatasetDict({"train": datasets.Dataset.from_dict(rows)}).save_to_disk(str(tmp_path / "saved"))
        (record,) = load(tmp_path, train="saved").files["train"]
        assert record.pop("fingerprint")
        assert record == {"dataset": "saved", "config": None, "split": "train", "rows": 20}

    def test_replaced_bytes_are_noted(self, folder: Path) -> None:
        with (folder / "train.csv").open("ab") as stream:
            stream.write(b"\xa3,a\n")
        notes = load(folder, train="train.csv", encoding_errors="replace").notes
        assert "train: rows with bytes that cannot be decoded, replaced by U+FFFD: 1" in notes

    def test_train_is_needed(self) -> None:
        with pytest.raises(ConfigError, match=r"data\.train is not set"):
            load_splits(DataSettings())

    def test_one_class(self, folder: Path) -> None:
        (folder / "one.csv").write_text("text,label\nx,a\ny,a\n")
        with pytest.raises(DataError, match=r"all 2 rows have the label 'a' \(first: one.csv, row 2\)"):
            load(folder, train="one.csv")

    def test_no_label_at_all(self, folder: Path) -> None:
        (folder / "none.csv").write_text("text,tags\nx,\ny,\n")
        with pytest.raises(DataError, match="no row has a label in column 'tags'"):
            load_splits(DataSettings(train=str(folder / "none.csv"), labels="tags"))


def test_test_rows_that_are_not_wanted_are_in_no_split_and_their_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text("text,label\n" + "".join(f"row {n},{'ab'[n % 2]}\n" for n in range(40)), encoding="utf-8")
    named = DataSettings(train=str(path), validation=str(path), test=str(tmp_path / "missing.csv"))
    splits = load_splits(named, test=False)
    assert (splits.test, set(splits.files), len(splits.train)) == (None, {"train", "validation"}, 40)
    cut = DataSettings(train=str(path), test_share=0.25)
    with_test, without = load_splits(cut), load_splits(cut, test=False)
    assert with_test.test is not None
    assert without.test is None
    assert without.train.texts == with_test.train.texts
    assert not any("test" in note for note in without.notes)


def place_of(text: str, seed: int) -> bytes:
    """Return what orders texts: a keyed hash of each."""
    content = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, key=seed.to_bytes(16, "big"), digest_size=8).digest()


@settings(max_examples=80)
@given(
    st.lists(st.tuples(st.sampled_from(["x", " x", "y\ud800", "z", "Z", "", "\t"]), LABELS), min_size=1, max_size=40),
    st.integers(0, 9),
)
def test_groups_are_those_of_a_dictionary_of_texts(pairs: list[tuple[str, Label]], seed: int) -> None:
    """The definition: groups of equal text by a keyed hash of it, in parts of one label; rows without text are told apart."""
    expected: dict[str, dict[str, list[int]]] = {}
    seen: Counter[str] = Counter()
    for index, (text, label) in enumerate(pairs):
        name = label_text(label)
        seen[name] += not text.strip()
        group = text.strip() or f" {seen[name]} {[name]}"
        expected.setdefault(group, {}).setdefault(name, []).append(index)
    in_order = [expected[text] for text in sorted(expected, key=lambda text: place_of(text, seed))]

    groups = _gather(make_rows(*map(list, zip(*pairs, strict=True))), seed)
    parts = np.split(groups.order, np.cumsum(groups.sizes)[:-1])
    named = [(groups.labels[label], part.tolist()) for label, part in zip(groups.classes, parts, strict=True)]
    assert [dict(named[one:end]) for one, end in pairwise(groups.starts)] == in_order
    assert groups.labels == sorted_texts({label_text(label) for _, label in pairs})


def cut_by_class(labels_of: dict[str, tuple[str, int]], share: dict[str, float], seed: int) -> dict[str, set[str]]:
    """The rule for texts with one label each, class by class: whole groups in order while they fit, at least one left in train.

    Args:
        labels_of: The label of each text, and how many rows have it.
        share: The share of test, then that of validation.
        seed: The seed.
    """
    taken: dict[str, set[str]] = {role: set() for role in share}
    classes: dict[str, list[str]] = {label: [] for label in sorted_texts({label for label, _ in labels_of.values()})}
    for text in sorted(labels_of, key=lambda text: place_of(text, seed)):
        classes[labels_of[text][0]].append(text)
    sizes = {label: sum(labels_of[text][1] for text in own) for label, own in classes.items()}
    for role, part in share.items():
        for label, quota in _quotas(sizes, part).items() if part else ():
            for text in list(classes[label]):
                size = labels_of[text][1]
                if size <= quota and len(classes[label]) > 1:
                    taken[role].add(text)
                    classes[label].remove(text)
                    quota -= size
    return taken


@settings(max_examples=150)
@given(
    st.dictionaries(
        st.integers(0, 99).map(str), st.tuples(st.sampled_from("abc12"), st.integers(1, 4)), min_size=1, max_size=60
    ),
    SHARES,
    SHARES,
    st.integers(0, 2**40),
)
def test_texts_with_one_label_each_are_cut_class_by_class(
    labels_of: dict[str, tuple[str, int]], validation: float, test: float, seed: int
) -> None:
    """Runs that are resumed or repeated rely on it."""
    texts = [text for text, (_, size) in labels_of.items() for _ in range(size)]
    cut = split_rows(make_rows(texts, [labels_of[text][0] for text in texts]), validation, test, seed)
    expected = cut_by_class(labels_of, {"test": test, "validation": validation}, seed)
    assert {role: {texts[row] for row in getattr(cut, role)} for role in expected} == expected


MESSY = st.lists(st.tuples(st.sampled_from(["", " ", *"abcdefghijklmnopqrst"]), LABELS), min_size=1, max_size=150)


def counts(cut: Cut, pairs: list[tuple[str, Label]]) -> list[Counter[tuple[str, str]]]:
    """Count, in each split, the rows with each text and label."""
    return [Counter((pairs[row][0].strip(), label_text(pairs[row][1])) for row in part) for part in parts(cut)]


@settings(max_examples=80)
@given(MESSY, SHARES, SHARES, st.integers(0, 99), st.randoms(use_true_random=False))
def test_no_class_gets_more_than_its_share_whatever_texts_are_empty_or_contradict(
    pairs: list[tuple[str, Label]], validation: float, test: float, seed: int, random: Any
) -> None:
    cut = split_rows(make_rows(*map(list, zip(*pairs, strict=True))), validation, test, seed)
    found = counts(cut, pairs)
    assert sum(found, Counter()) == Counter((text.strip(), label_text(label)) for text, label in pairs)
    sides = [{text for text, _ in side if text} for side in found]
    assert len(sides[0] | sides[1] | sides[2]) == sum(map(len, sides))
    sizes = Counter(label_text(label) for _, label in pairs)
    assert {label for _, label in found[0]} == set(sizes)
    for side, share in zip(found[1:], (validation, test), strict=True):
        for label, size in sizes.items():
            assert sum(count for (_, own), count in side.items() if own == label) - share * size < 1

    random.shuffle(pairs)
    shuffled = split_rows(make_rows(*map(list, zip(*pairs, strict=True))), validation, test, seed)
    assert counts(shuffled, pairs) == found
    other = split_rows(make_rows(*map(list, zip(*pairs, strict=True))), 0.3, test, seed)
    assert other.test.tolist() == shuffled.test.tolist()


def test_empty_texts_are_spread_as_others_are() -> None:
    """1,570 empty bodies of a set of mails were one group, and one class had twice its share of validation rows."""
    rows = [("", "a")] * 500 + [(" ", "b")] * 300 + [(f"t{i}", "abc"[i % 3]) for i in range(3000)]
    cut = split_rows(make_rows(*map(list, zip(*rows, strict=True))), 0.1, 0.2, 0)
    for role, share in (("validation", 0.1), ("test", 0.2)):
        taken = Counter(rows[row][1] for row in getattr(cut, role))
        assert taken == {"a": 1500 * share, "b": 1300 * share, "c": 1000 * share}
        empty = Counter(rows[row] for row in getattr(cut, role) if not rows[row][0].strip())
        assert 0.6 * 500 * share < empty["", "a"] < 1.4 * 500 * share
        assert 0.5 * 300 * share < empty[" ", "b"] < 1.5 * 300 * share


def test_a_group_counts_for_the_labels_of_all_its_rows() -> None:
    """Texts that stand with two labels went by the first one alone, and the other had more than its share, or less."""
    rows = [(f"t{i}", label) for i in range(200) for label in "abbbb"]
    rows += [(f"{label}{i}", label) for label, size in (("a", 800), ("b", 700)) for i in range(size)]
    cut = split_rows(make_rows(*map(list, zip(*rows, strict=True))), 0.1, 0.2, 0)
    assert Counter(rows[row][1] for row in cut.test) == {"a": 200, "b": 300}
    assert Counter(rows[row][1] for row in cut.validation) == {"a": 100, "b": 150}


def test_empty_texts_with_lists_of_labels_stand_alone_too() -> None:
    labels: list[list[str]] = [["a", "b"], ["b", "a"], []] * 100
    cut = split_rows(make_rows([""] * 300, labels), 0.1, 0.2, 0)
    assert [len(part) for part in parts(cut)] == [210, 30, 60]
    order = [(index * 7) % 300 for index in range(300)]
    other = split_rows(make_rows([""] * 300, [labels[row] for row in order]), 0.1, 0.2, 0)
    kinds = [Counter(len(labels[row]) for row in part) for part in parts(cut)]
    assert [Counter(len(labels[order[row]]) for row in part) for part in parts(other)] == kinds


def test_labels_of_test_that_are_those_of_train_otherwise_spelt_are_noted(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\n" + "x,money\ny,corn\n" * 5)
    (tmp_path / "test.csv").write_text("text,label\nz,Money\nw,corn\nv,rye\n")
    splits = load(tmp_path, train="train.csv", test="test.csv")
    assert splits.notes[-1] == "test: labels that train has otherwise spelt: 'Money' for 'money'"


def test_settings_that_no_file_is_for_are_noted_once_for_all_splits(tmp_path: Path) -> None:
    put(tmp_path / "train.jsonl", "".join(f'{{"text": "t{n}", "label": {n % 2}}}\n' for n in range(8)))
    put(tmp_path / "test.csv", "text;label\nz;0\n")
    names = {"train": "train.jsonl", "validation_share": 0.5}
    notes = load(tmp_path, **names, delimiter=";", header=False).notes
    assert notes[:2] == (
        "data.header (--no-header) is for csv and tsv files, and none is read",
        "data.delimiter (--delimiter) is for csv and tsv files, and none is read",
    )
    assert not any("is for" in note for note in load(tmp_path, **names, delimiter=";", test="test.csv").notes)


def test_empty_texts_are_none_that_two_splits_share(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\n" + ",a\n,b\nx,a\ny,b\n" * 5)
    (tmp_path / "test.csv").write_text("text,label\n,a\n  ,b\nx,a\n")
    splits = load(tmp_path, train="train.csv", test="test.csv", validation_share=0.3)
    assert splits.notes == ("test: 1 of 3 rows have a text that also stands in train",)
    assert "" in splits.validation.texts
    assert "" in splits.train.texts
