"""The accuracy table on toys: what is trained, scored, folded, recorded and written."""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parent.parent
LINEAR = ["majority", "TF-IDF + LR", "TF-IDF + SVM"]
FEW = ["training.epochs=2", "model.hidden_size=4", "text.tokenizer=unicode", "training.learning_rate=0.05"]


@pytest.fixture
def accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, with toys for data, and a record and a README of its own."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import accuracy

    assert isinstance(accuracy, ModuleType)
    monkeypatch.setattr(accuracy, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(accuracy, "ROOT", tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.setenv("TEXTCLS_DATA", str(tmp_path))
    with gzip.open(tmp_path / accuracy.GLOVE, "wt") as file:
        file.write("good 1 0 0\nbad 0 1 0\nfilm 0 0 1\n")
    texts = [f"{word} film {number}" for number in range(30) for word in ("good", "bad")]
    labels = ["yes", "no"] * 30
    many = [["yes"], ["no", "odd"]] * 30
    write(tmp_path / "mr-all.parquet", text=texts, label=labels)
    for split in ("train", "validation", "test"):
        write(tmp_path / f"goemotions-{split}.parquet", text=[f"{split} {text}" for text in texts], labels=many)
    return accuracy


def write(path: Path, **columns: list[Any]) -> None:
    pq.write_table(pa.table(columns), path)


def options(**changes: Any) -> argparse.Namespace:
    return argparse.Namespace(**({"seeds": 2, "first_seed": 0, "folds": 10, "threads": 1, "test": True, "set": FEW} | changes))


def test_every_row_of_a_cross_validation_is_tested_once(accuracy: Any, tmp_path: Path) -> None:
    tasks = list(accuracy.tasks_of(accuracy.ROWS["mr"], tmp_path, options()))
    tested = [text for task in tasks for text in task.scored["test"].texts]
    assert (len(tasks), len(tested), len(set(tested))) == (10, 60, 60)
    for task in tasks:
        parts = [set(task.train.texts), set(task.scored["validation"].texts), set(task.scored["test"].texts)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 60
    assert "test" not in next(accuracy.tasks_of(accuracy.ROWS["mr"], tmp_path, options(test=False))).scored


def test_few_rows_are_drawn_and_others_score(accuracy: Any, tmp_path: Path) -> None:
    row = accuracy.Row("mr", "sst2", train="all", rows=20)
    drawn = []
    for task in accuracy.tasks_of(row, tmp_path, options()):
        train, validation, rest = task.train.texts, task.scored["validation"].texts, task.scored["rest"].texts
        drawn.append(frozenset(train) | frozenset(validation))
        assert (len(train) + len(validation), len(rest)) == (20, 40)
        assert len(drawn[-1] | set(rest)) == 60
        assert validation
    assert len(drawn) == len(set(drawn)) == 10
    assert {name for name in accuracy.SMALL if name.startswith("trec")} == {f"trec, {n} rows" for n in ("60", "200", "1,000")}


def test_contestants_are_scored_by_split_and_seed(accuracy: Any) -> None:
    result = dict(accuracy.score_row("mr", [*LINEAR, "hand-written", "ours"], options(folds=2)))
    assert [len(scores) for scores in result["majority"].values()] == [1, 1]  # no seed matters to it
    assert result["TF-IDF + LR"] == result["TF-IDF + SVM"] == {"validation": [1.0], "test": [1.0]}
    for name in ("hand-written", "ours"):
        assert [len(scores) for scores in result[name].values()] == [2, 2]


def test_further_seeds_are_those_of_a_longer_run(accuracy: Any) -> None:
    together = dict(accuracy.score_row("mr", ["hand-written"], options(folds=1)))["hand-written"]["validation"]
    later = dict(accuracy.score_row("mr", ["hand-written"], options(folds=1, seeds=1, first_seed=1)))
    assert later["hand-written"]["validation"] == together[1:]


def test_many_labels_have_thresholds_from_validation(accuracy: Any) -> None:
    result = dict(accuracy.score_row("goemotions", [*LINEAR, "hand-written", "ours"], options(seeds=1)))
    assert result["majority"]["test"] == [pytest.approx(2 / 3)]  # half of the texts have each label, and all get it
    assert result["TF-IDF + LR"] == result["TF-IDF + SVM"] == {"validation": [1.0], "test": [1.0]}
    for name in ("hand-written", "ours"):
        assert result[name]["test"][0] > 0.66  # a threshold below all scores gives that


def test_fasttext_sees_the_same_rows_and_vectors(accuracy: Any) -> None:
    pytest.importorskip("fasttext", reason="needs the extra bench")
    for row in ("mr", "goemotions"):
        result = dict(accuracy.score_row(row, ["fastText"], options(folds=1, seeds=1)))
        assert result["fastText"]["test"][0] > 0.9


def test_the_table_holds_each_contestants_last_reading(accuracy: Any, tmp_path: Path) -> None:
    names = ("accuracy", "small data")

    def readme(*tables: str) -> str:
        both = zip(names, tables, strict=True)
        return "text\n".join(f"\n<!-- {name} table -->\n{one}\n<!-- end of the {name} table -->\n" for name, one in both)

    (tmp_path / "README.md").write_text(readme("old", "older\nthan old"), encoding="utf-8")
    readings = [
        {"row": "trec", "metric": "accuracy", "hand-written": {"test": [0.9, 0.92]}, "seconds": [1], "majority": {"test": 0.2}},
        {"row": "goemotions", "metric": "macro_f1", "TF-IDF + LR": {"test": [0.5]}, "hand-written": {"test": [0.4]}},
        {"row": "trec", "metric": "accuracy", "hand-written": {"test": [0.94, 0.96]}},
        {"row": "trec", "metric": "accuracy", "first_seed": 2, "hand-written": {"test": [0.98]}},
        {"row": "trec", "metric": "accuracy", "ours": {"test": [0.99]}},  # not of this version: not told
        {"row": "trec, 60 rows", "metric": "accuracy", "nothing set": {"test": [0.5]}, "TF-IDF + SVM": {"test": [0.6]}},
    ]
    accuracy.RESULTS.write_text(json.dumps(readings), encoding="utf-8")
    accuracy.write_readme()
    large = [
        "| data set | majority | TF-IDF + LR | hand-written BiLSTM |",
        "|---|---:|---:|---:|",
        "| trec | 20.0 | – | **96.0 (94.0–98.0)** |",
        "| goemotions (macro-F1) | – | **50.0** | 40.0 |",
    ]
    small = ["| data set | textcls, nothing set | TF-IDF + SVM |", "|---|---:|---:|", "| trec, 60 rows | 50.0 | **60.0** |"]
    written = readme("\n".join(large), "\n".join(small))
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == written
    for name in names:
        torn = written.replace(f"<!-- end of the {name} table -->", "")
        (tmp_path / "README.md").write_text(torn, encoding="utf-8")
        with pytest.raises(accuracy.ConfigError, match=rf"README\.md has no lines <!-- {name} table -->"):
            accuracy.write_readme()
        assert (tmp_path / "README.md").read_text(encoding="utf-8") == torn


def test_a_reading_of_test_is_on_record_before_the_next_begins(accuracy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise KeyboardInterrupt

    def closed(*_: Any, **__: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setitem(accuracy.CONTESTANTS, "ours", (fails, True))
    monkeypatch.setattr(accuracy, "commit_of_files", lambda: "abc1234")
    monkeypatch.setattr(accuracy.textcls, "__file__", str(accuracy.ROOT / "textcls" / "__init__.py"))
    asked = options(rows=["mr"], only=["TF-IDF + LR", "ours"], set=[])
    with pytest.raises(KeyboardInterrupt):
        accuracy.train_and_score(asked)
    readings = json.loads(accuracy.RESULTS.read_text(encoding="utf-8"))
    monkeypatch.setattr("builtins.print", closed)
    with pytest.raises(BrokenPipeError):
        accuracy.train_and_score(asked)
    assert json.loads(accuracy.RESULTS.read_text(encoding="utf-8")) == readings * 2
    date = readings[0].pop("date")
    assert len(date) == len("2026-11-22")
    scores = {"validation": [1.0], "test": [1.0]}
    assert readings == [{"row": "mr", "commit": "abc1234", "first_seed": 0, "metric": "accuracy", "TF-IDF + LR": scores}]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--seeds 0", "--seeds is at least 1"),
        ("--first-seed -1", "--first-seed at least 0"),
        ("mr --folds 0", "--folds 1 to 10"),
        ("nothing", "there is no row nothing; there are trec"),
        ("--only nobody", "there is no contestant nobody"),
        ("--test --set training.epochs=1", "leave --set and --folds out"),
        ("--test", "is imported from another checkout"),
        ("trec", "data.train"),
        ("mr --set training.epoch=1", "training.epoch"),
        ("--readme", "has seed 1, but not seed 0"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    arguments: str, told: str, accuracy: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reading = {"row": "trec", "metric": "accuracy", "first_seed": 1, "ours": {"test": [0.9]}}
    accuracy.RESULTS.write_text(json.dumps([reading]), encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["accuracy.py", *arguments.split()])
    with pytest.raises(SystemExit) as end:
        accuracy.main()
    assert end.value.code == 2
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_test_is_not_read_without_its_rows_or_a_commit(accuracy: Any, tmp_path: Path) -> None:
    (tmp_path / "goemotions-test.parquet").unlink()
    with pytest.raises(accuracy.ConfigError, match=r"goemotions: its test rows are not in TEXTCLS_DATA"):
        next(accuracy.score_row("goemotions", LINEAR, options()))
    with pytest.raises(accuracy.ConfigError, match="run it in a clone with git"):
        accuracy.commit_of_files()


def test_padding_does_not_reach_a_hand_written_score(accuracy: Any) -> None:
    import torch
    from _handwritten import HandWritten, padded

    model = HandWritten(9, 4, 3, 2).eval()
    one, other = torch.tensor([3, 4]), torch.tensor([5, 6, 7, 8, 2])
    np.testing.assert_allclose(model(*padded([one, other]))[0].detach(), model(*padded([one]))[0].detach(), atol=1e-6)


def test_the_hand_written_network_is_the_same_on_our_layer(accuracy: Any) -> None:
    import torch
    from _handwritten import HandWritten, padded
    from _peers import SameNetwork

    same, written = SameNetwork(50, 8, 16, 3), HandWritten(50, 8, 16, 3)
    written.load_state_dict({name: weight for name, weight in same.state_dict().items() if not name.startswith("encoder")})
    batch = padded([torch.randint(1, 50, (length,)) for length in (3, 9, 1, 5)])
    gradients = []
    for network in (same, written):
        network.dropout.p = 0.0  # each would draw its own
        cost = torch.nn.functional.cross_entropy(network(*batch), torch.tensor([0, 1, 2, 0]))
        gradients.append(torch.autograd.grad(cost, list(network.parameters())))
    np.testing.assert_allclose(same(*batch).detach(), written(*batch).detach(), atol=1e-6)
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
