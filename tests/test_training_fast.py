"""When n-grams may answer a text alone: settled on validation rows, counted without rounding up."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers import tiny_artifact
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner

from textcls import TextClassifier
from textcls.artifact import Artifact, read_artifact, write_artifact
from textcls.cli import app
from textcls.errors import InputError, ModelError
from textcls.exports import onnx_file
from textcls.fast import FastWay, LinearHalf, leads
from textcls.inference.graph import build_graph
from textcls.inference.predictor import Predictor
from textcls.scoring import evaluate
from textcls.text import Encoded
from textcls.training.batches import LabelledSplit
from textcls.training.fast import FEWEST_ROWS, BothHalves, Judged, cost, settle, settled, smallest_margin


def floats(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("agreement", "margin"),
    [(1.0, 4.0), (0.9, 4.0), (0.8, 3.0), (0.79, 3.0), (0.6, 1.0)],  # of five rows one may change from 0.8 on, two from 0.6 on
)
def test_the_least_margin_at_which_enough_rows_keep_their_labels(agreement: float, margin: float) -> None:
    found, agree = floats(5, 4, 3, 2, 1), np.array([True, True, False, False, True])
    assert smallest_margin(found, agree, agreement) == margin


def test_rows_of_one_lead_are_answered_alike() -> None:
    assert smallest_margin(floats(2, 2, 1), np.array([True, False, True]), 1.0) is None
    assert smallest_margin(floats(3, 2, 2), np.array([True, True, False]), 1.0) == 3.0
    assert smallest_margin(floats(3, 2, 2), np.array([True, True, True]), 1.0) == 2.0


def test_a_thousand_rows_may_lose_one_label_and_one_row_less_none() -> None:
    for rows, allowed in ((1000, 1), (999, 0), (1999, 1), (2000, 2)):
        agree = np.ones(rows, np.bool_)
        agree[rows - allowed - 1 :] = False
        falling = np.arange(rows, 0, -1).astype(np.float32)
        assert smallest_margin(falling, agree, 0.999) == 2.0  # all but the last


@given(st.integers(1, 40), st.randoms(use_true_random=False), st.sampled_from([0.5, 0.9, 1.0]))
def test_the_margin_is_the_smallest_that_keeps_the_promise(rows: int, random: object, agreement: float) -> None:
    draw = np.random.default_rng(rows)
    found, agree = draw.integers(0, 6, rows).astype(np.float32), draw.random(rows) < 0.8
    changed = {margin: int((~agree[found >= margin]).sum()) for margin in set(found.tolist())}
    allowed = [margin for margin, number in changed.items() if number <= rows * (1 - agreement) + 1e-9]
    kept = [margin for margin in allowed if all(other in allowed for other in changed if other >= margin)]
    assert smallest_margin(found, agree, agreement) == (min(kept) if kept else None)


def rows_of(number: int, *, many: bool = False) -> Judged:
    """Rows of three classes on which the halves agree where the lead is large."""
    draw = np.random.default_rng(3)
    linear = draw.normal(size=(number, 3)).astype(np.float32) * 2
    whole = linear + draw.normal(size=linear.shape).astype(np.float32)
    shares = (1 / (1 + np.exp(-whole))).astype(np.float32)
    if many:
        return Judged(draw.random((number, 3)) < shares, linear, shares, floats(0.4, 0.5, 0.6))
    shares = np.exp(whole) / np.exp(whole).sum(axis=1, keepdims=True)
    targets = np.array([draw.choice(3, p=row.astype(np.float64) / row.astype(np.float64).sum()) for row in shares])
    return Judged(targets, linear, shares, None)


@pytest.mark.parametrize("many", [False, True])
def test_what_is_settled_keeps_its_promise_and_is_calibrated(many: bool) -> None:
    rows = rows_of(4000, many=many)
    way = settled(rows, 0.99)
    assert way is not None
    sure = way.sure(rows.linear, rows.thresholds)
    answers = np.where(sure[:, None], way.probabilities(rows.linear, many=many), rows.whole)
    assert 0.1 < sure.mean() < 0.9
    assert 30 < rows.changed(answers).sum() <= 40  # of 4,000 a hundredth, and nearly that

    def loss(temperature: float) -> float:
        shares = replace(way, temperature=temperature).probabilities(rows.linear[sure], many=many).astype(np.float64)
        if many:
            return float(-np.log(np.where(rows.targets[sure], shares, 1 - shares)).mean())
        return float(-np.log(shares[np.arange(len(shares)), rows.targets[sure].astype(np.int64)]).mean())

    assert loss(way.temperature) <= min(loss(way.temperature * 0.8), loss(way.temperature * 1.25)) + (1e-3 if many else 0)


def halves(number: int) -> BothHalves:
    artifact = tiny_artifact(["a b c d e f g h"], ngram_slots=512)
    half = LinearHalf.of(artifact.weights)
    assert half is not None
    draw = np.random.default_rng(5)
    lengths = draw.integers(1, 6, number)
    ids = draw.integers(1, len(artifact.vocabulary), lengths.sum()).astype(np.int32)
    offsets, nothing = np.concatenate([[0], np.cumsum(lengths)]), np.zeros(number, np.bool_)
    split = LabelledSplit(Encoded(ids, offsets, nothing, nothing), draw.integers(0, 3, number), ("a", "b", "c"))
    logits = half(ids, offsets).astype(np.float64) + draw.normal(size=(number, 3)) / 100
    return BothHalves(split, half, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), None)


def told_by(both: BothHalves) -> tuple[FastWay | None, list[str]]:
    """Return what is settled, and the notes."""
    notes, going = [], settle(both, 0.999)
    while True:
        try:
            notes.append(str(next(going)))
        except StopIteration as end:
            return end.value, notes


def test_few_rows_settle_nothing_and_say_so() -> None:
    way, notes = told_by(halves(FEWEST_ROWS - 1))
    assert way is None
    assert "499 validation rows are too few" in "".join(notes)
    way, notes = told_by(halves(FEWEST_ROWS))
    assert way is not None
    assert notes == []


def test_the_cost_is_counted_on_all_rows() -> None:
    both = halves(700)
    everything = cost(both, FastWay(0.0, 1.0))
    nothing = cost(both, FastWay(1e9, 1.0))
    assert (everything["share"], nothing["share"]) == (1, 0)
    assert (nothing["changed"], nothing["agreement"]) == (0, 1)
    assert nothing["changed_at_most"] == pytest.approx(1 - 0.05 ** (1 / 700))  # the rule of three
    linear = both.half(both.split.encoded.ids, both.split.encoded.offsets).argmax(axis=1)
    assert everything["changed"] == (linear != both.whole.argmax(axis=1)).sum()
    assert everything["accuracy"] == pytest.approx((linear == both.split.targets).mean())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with enough validation rows."""
    folder = tmp_path_factory.mktemp("fast")
    draw = np.random.default_rng(0)
    words = {"sport": ["goal", "team", "cup"], "money": ["bank", "share", "cash"], "news": ["today", "said", "man"]}
    every = list(chain.from_iterable(words.values()))
    lines = ["text,label"]
    for label in draw.choice(list(words), 1600):
        own, others = draw.choice(words[label], 2), draw.choice(every, 3)
        lines.append(f"{' '.join(draw.permutation([*own, *others]))},{label}")
    (folder / "data.csv").write_text("\n".join(lines) + "\n")
    sizes = ["model.embedding_size=4", "model.hidden_size=4", "training.epochs=1", "training.threads=1"]
    sizes += ["data.validation_share=0.4", "text.vectors=none", "model.ngram_slots=auto"]
    arguments = [part for size in sizes for part in ("--set", size)]
    result = CliRunner().invoke(app, ["train", str(folder / "data.csv"), "--run", str(folder / "run"), *arguments])
    assert result.exit_code == 0, result.output
    assert "fast: n-grams alone are sure of" in result.output
    artifact = read_artifact(folder / "run" / "model")
    assert artifact.fast is not None
    half, encoded = (
        LinearHalf.of(artifact.weights),
        Predictor.from_artifact(artifact).encode([line.split(",")[0] for line in lines]),
    )
    assert half is not None
    middle = float(np.median(leads(half(encoded.ids, encoded.offsets), None, 1.0)))  # so that both halves are asked
    write_artifact(replace(artifact, fast=replace(artifact.fast, margin=middle)), folder / "model", "")
    return folder


def test_a_run_settles_it_before_the_refit_and_says_so(trained: Path) -> None:
    artifact = read_artifact(trained / "run" / "model")
    assert artifact.fast is not None
    assert "refit" in artifact.provenance
    told = artifact.metrics["validation"]["fast"]
    assert told["agreement"] >= 0.998
    assert {"share", "changed", "changed_at_most", "accuracy", "macro_f1", "log_loss", "expected_calibration_error"} == {
        *told
    } - {"agreement"}
    card = (trained / "run" / "model" / "README.md").read_text(encoding="utf-8")
    assert "- `textcls classify --fast`: n-grams alone answer the texts of which they are sure" in card
    write_artifact(artifact, trained / "again", "")
    assert read_artifact(trained / "again").fast == artifact.fast


def test_evaluate_compares_both_ways(trained: Path) -> None:
    model, data = str(trained / "model"), str(trained / "data.csv")
    whole, fast = evaluate(model, data).report, evaluate(model, data, fast=True).report
    assert fast["fast"]["whole"] == whole
    probabilities = TextClassifier.load(model)
    texts = [line.split(",")[0] for line in (trained / "data.csv").read_text().splitlines()[1:]]
    changed = int((probabilities.predict(texts) != probabilities.predict(texts, fast=True)).sum())
    assert fast["fast"]["changed"] == changed
    assert fast["accuracy"] == pytest.approx(whole["accuracy"], abs=changed / len(texts) + 1e-12)
    result = CliRunner().invoke(app, ["evaluate", model, data, "--fast"])
    assert "of the rows by n-grams alone" in result.output
    assert "whole model" in result.output


def test_files_are_classified_the_fast_way(trained: Path, tmp_path: Path) -> None:
    model, data = str(trained / "model"), str(trained / "data.csv")
    run = CliRunner()
    for name, options in (("whole", []), ("fast", ["--fast", "--by"])):
        result = run.invoke(app, ["classify", model, data, "-o", str(tmp_path / f"{name}.csv"), *options])
        assert result.exit_code == 0, result.output
    assert "by n-grams alone" in result.output
    lines = (tmp_path / "fast.csv").read_text().splitlines()
    assert lines[0] == "text,input_label,label,confidence,by,note,error"
    assert {line.split(",")[4] for line in lines[1:]} == {"linear", "network"}
    by_network = [number for number, line in enumerate(lines) if line.split(",")[4] == "network"]
    whole = (tmp_path / "whole.csv").read_text().splitlines()
    for number in by_network:
        assert lines[number].split(",")[:3] == whole[number].split(",")[:3]
    result = run.invoke(app, ["classify", model, data, "--by"])
    assert result.exit_code == 2
    assert "ask for fast too" in result.output


def test_a_fast_file_gives_what_the_model_gives_the_fast_way(trained: Path, tmp_path: Path) -> None:
    model = str(trained / "model")
    for name, options in (("fp32", []), ("int8", ["--quantize", "int8"])):
        result = CliRunner().invoke(app, ["export", model, str(tmp_path / f"{name}.onnx"), "--fast", *options])
        assert result.exit_code == 0, result.output
    texts = [line.split(",")[0] for line in (trained / "data.csv").read_text().splitlines()[1:200]]
    wanted = Predictor.load(model).fast().predict(texts)
    for name, close in (("fp32", 1e-6), ("int8", 0.1)):
        found = Predictor.load(tmp_path / f"{name}.onnx").predict(texts)
        assert found.linear is not None
        np.testing.assert_array_equal(found.linear, wanted.linear)
        np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=close)
    result = CliRunner().invoke(app, ["export", model, str(tmp_path / "folder"), "--to", "hub", "--fast"])
    assert result.exit_code == 2
    assert "--fast goes with --to onnx or web" in result.output


def test_an_export_that_sends_other_texts_the_short_way_is_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(artifact: Artifact, **options: Any) -> onnx.ModelProto:
        assert artifact.fast is not None
        return build_graph(replace(artifact, fast=replace(artifact.fast, margin=artifact.fast.margin * 0.9)), **options)

    monkeypatch.setattr(onnx_file, "build_graph", other)
    result = CliRunner().invoke(app, ["export", str(trained / "model"), str(tmp_path / "x.onnx"), "--fast"])
    assert result.exit_code == 1
    assert "n-grams alone answered the text" in result.output
    assert not (tmp_path / "x.onnx").exists()


def test_a_model_without_a_fast_way_says_how_to_get_one(tmp_path: Path) -> None:
    write_artifact(tiny_artifact(["a b"]), tmp_path / "model", "")
    (tmp_path / "texts.txt").write_text("a b\n")
    for command in (["classify", "model", "texts.txt", "--fast"], ["export", "model", "out.onnx", "--fast"]):
        arguments = [str(tmp_path / one) if one in {"model", "texts.txt", "out.onnx"} else one for one in command]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 2
        assert "has no fast way" in result.output
        assert "train it again" in result.output
    with pytest.raises(ModelError, match="has no fast way"):
        TextClassifier.load(tmp_path / "model").predict(["a"], fast=True)
    with pytest.raises(InputError, match="fast is 'no': give True or False"):
        TextClassifier.load(tmp_path / "model").predict(["a"], fast="no")  # type: ignore[arg-type]


def test_a_folder_with_a_fast_way_and_no_n_grams_is_damaged(tmp_path: Path) -> None:
    write_artifact(replace(tiny_artifact(["a b"]), fast=FastWay(1.0, 1.0)), tmp_path / "model", "")
    with pytest.raises(InputError, match="has a fast way, the model no n-grams for it"):
        read_artifact(tmp_path / "model")


def test_leads_are_those_of_the_labels_that_are_known() -> None:
    assert leads(floats(3, 1)[None], None, 1.0).tolist() == [2.0]
