import json
import os
from pathlib import Path

import pytest

from textcls.config import DataSettings
from textcls.data import check, read_labelled


def test_report(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\none,10\n one,9\ntwo,9\n  ,9\nthe longest,9\n")
    (tmp_path / "test.csv").write_text("text,label\ntwo,9\nnew,11\ntwo,9\n")
    report = check(DataSettings(train=str(tmp_path / "train.csv"), test=str(tmp_path / "test.csv"), validation_share=0))
    train, test = report.splits["train"], report.splits["test"]
    assert (train.rows, train.labels, list(train.labels)) == (5, {"9": 4, "10": 1}, ["9", "10"])
    assert (train.empty, train.repeated, train.contradicting, train.unlabelled) == (1, 1, 2, 0)
    assert (train.longest, train.longest_at) == (11, "train.csv, row 6")
    assert (test.rows, test.repeated, test.contradicting) == (3, 1, 0)
    assert report.shared == {"train, test": 2}
    assert report.unseen_labels == {"test": ["11"]}
    assert str(tmp_path) not in json.dumps(report.to_dict())


def test_many_labels(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,tags\nx,a;b\ny,\nx,b;a\nz,b\n")
    report = check(DataSettings(train=str(tmp_path / "a.csv"), labels="tags", validation_share=0))
    train = report.splits["train"]
    assert (train.labels, train.unlabelled, train.repeated, train.contradicting) == ({"a": 2, "b": 3}, 1, 1, 0)


def test_cut_splits_share_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"t{i % 20},{'ab'[i % 2]}\n" for i in range(60)))
    report = check(DataSettings(train=str(tmp_path / "a.csv"), validation_share=0.2, test_share=0.2))
    assert report.shared == {"train, validation": 0, "train, test": 0, "validation, test": 0}
    assert {name: split.rows for name, split in report.splits.items()} == {"train": 36, "validation": 12, "test": 12}


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("trec-train", 5452),
        ("sst2-test", 1821),
        ("banking77-train", 10003),
        ("chnsenticorp_htl-all", 7765),
        ("sms_spam-all", 5574),
    ],
)
def test_real_data(name: str, rows: int) -> None:
    folder = os.environ.get("TEXTCLS_DATA")
    if not folder:
        pytest.skip("TEXTCLS_DATA does not name a folder with the evaluation data")
    assert len(read_labelled(str(Path(folder) / f"{name}.parquet"), DataSettings())) == rows


def test_empty_texts_repeat_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n" + ",a\n,b\n" * 3 + "x,a\ny,b\n")
    train = check(DataSettings(train=str(tmp_path / "a.csv"), validation_share=0)).splits["train"]
    assert (train.empty, train.repeated, train.contradicting) == (6, 0, 0)


def test_tokens_are_counted_where_they_can_be_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na b,x\na c,y\na d,x\n")
    settings = DataSettings(train=str(tmp_path / "a.csv"), validation_share=0)
    assert check(settings).seen_once is None
    assert check(settings, str.split).seen_once == 0.75
