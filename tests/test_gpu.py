"""What only a card can show: the same numbers as the CPU's, and nothing of torch's own in the terminal."""

from __future__ import annotations

import copy
import itertools
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TinyRun
from torch import Tensor, nn

from textcls.artifact import read_artifact
from textcls.config import Config, ModelSettings, TrainingSettings
from textcls.model import Network, pack
from textcls.model.device import reduced_precision
from textcls.text import Encoded
from textcls.training import EpochEnd, Progress, train
from textcls.training.batches import LabelledSplit
from textcls.training.loop import Context, training_loop
from textcls.training.step import ResidentStep, Step, make_step

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]

DEVICE = torch.device("cuda")
SIZES = {"embedding_size": 20, "hidden_size": 16, "ngram_slots": 0}
NO_DROPOUT = {"embedding_dropout": 0, "layer_dropout": 0, "output_dropout": 0}
SHAPES = list(itertools.product(("lstm", "gru", "rnn"), (1, 2), ("final", "final+max", "final+mean")))


def split(rows: int) -> LabelledSplit:
    draw = np.random.default_rng(rows)
    lengths = draw.integers(1, 30, rows)
    nothing = np.zeros(rows, np.bool_)
    encoded = Encoded(draw.integers(2, 50, lengths.sum()).astype(np.int32), np.cumsum([0, *lengths]), nothing, nothing)
    return LabelledSplit(encoded, draw.integers(0, 3, rows), ("a", "b", "c"))


def network(**changes: Any) -> Network:
    torch.manual_seed(0)
    return Network(ModelSettings(**(SIZES | NO_DROPOUT | changes)), 50, 3)


@pytest.mark.parametrize(("cell", "layers", "pooling"), SHAPES)
@pytest.mark.parametrize("changes", [{}, {"bidirectional": False}, {"bias": False}], ids=str)
def test_logits_and_gradients_are_the_cpus(cell: str, layers: int, pooling: str, changes: dict[str, Any]) -> None:
    here = network(cell=cell, layers=layers, pooling=pooling, **changes)
    there = copy.deepcopy(here).to(DEVICE)
    texts = split(40)
    batch = pack(texts.encoded.ids, texts.encoded.offsets)
    found = []
    for model, given in ((here, batch), (there, batch.to(DEVICE))):
        with reduced_precision("fp32"):  # torch lets cuDNN round to TF32 unless it is told not to
            logits: Tensor = model(given)
            gradients = torch.autograd.grad(
                nn.functional.cross_entropy(logits, torch.from_numpy(texts.targets).to(logits.device)), list(model.parameters())
            )
        found.append([logits.detach(), *gradients])
    for name, one, other in zip(["logits", *(name for name, _ in here.named_parameters())], *found, strict=True):
        torch.testing.assert_close(other.cpu(), one, atol=1e-5, rtol=1e-4, msg=name)


KINDS = {"cut on the CPU": (Step, False), "cut there": (ResidentStep, False), "captured": (ResidentStep, True)}


def steps(model: Network, rows: LabelledSplit, settings: TrainingSettings, make: type[Step], epochs: int) -> Step:
    """Train for some passes over the rows, ten steps each, in batches of like length."""
    order = np.argsort(rows.encoded.lengths, kind="stable")
    step = make(model, rows, settings)
    with reduced_precision(settings.precision):
        for epoch in range(1, epochs + 1):
            for batch in step.batches(np.split(order, 10), epoch):
                step(batch, settings.learning_rate)
    return step


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("changes", [{}, {"cell": "gru"}, {"layers": 2}, {"pooling": "final+max"}], ids=str)
def test_thirty_steps_without_dropout_end_in_the_cpus_weights(changes: dict[str, Any], kind: str) -> None:
    make, capture = KINDS[kind]
    settings = TrainingSettings(word_dropout=0, batch_size=16, learning_rate=1e-3, capture=capture)
    here, there = network(**changes), network(**changes).to(DEVICE)
    steps(here, split(160), settings, Step, 3)
    step = steps(there, split(160), settings, make, 3)
    assert not isinstance(step, ResidentStep) or bool(step.graphs) == capture
    for (name, one), other in zip(here.named_parameters(), there.parameters(), strict=True):
        torch.testing.assert_close(other.cpu(), one, atol=3e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
@pytest.mark.parametrize("changes", [{}, {"consistency": 1.0}, {"batch_tokens": 200}, {"freeze_embeddings": True}], ids=str)
def test_captured_steps_are_the_ordinary_ones_to_the_bit(precision: str, changes: dict[str, Any]) -> None:
    """With dropouts: a graph draws what the ordinary step draws."""
    results = []
    for capture in (False, True):
        settings = TrainingSettings(batch_size=16, precision=precision, capture=capture, **changes)
        model = network(embedding_dropout=0.3, output_dropout=0.4, recurrent_dropout=0.2, type_dropout=0.1).to(DEVICE)
        torch.manual_seed(5)
        step = steps(model, split(160), settings, ResidentStep, 4)
        assert isinstance(step, ResidentStep)
        assert bool(step.graphs) == capture
        results.append([*(p.detach().clone() for p in model.parameters()), torch.rand(3, device=DEVICE)])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    assert all(bool(tensor.isfinite().all()) for tensor in results[0])


def test_a_card_gets_the_step_whose_rows_lie_there() -> None:
    assert isinstance(make_step(network().to(DEVICE), split(20), TrainingSettings()), ResidentStep)


@pytest.mark.parametrize("capture", [False, True])
def test_dropouts_of_every_kind_train_without_a_warning(capture: bool) -> None:
    dropped = {"recurrent_dropout": 0.3, "type_dropout": 0.2, "embedding_dropout": 0.3, "layer_dropout": 0.3}
    model, settings = (
        network(layers=2, **dropped).to(DEVICE),
        TrainingSettings(epochs=2, batch_size=16, epoch_steps=1, capture=capture),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        events = list(training_loop(model, split(160), split(60), settings, Context()))
    losses = [event.train_loss for event in events if isinstance(event, EpochEnd)]
    assert len(losses) == 2
    assert all(map(np.isfinite, losses))


@pytest.mark.parametrize("capture", ["false", "true"])
def test_a_run_on_a_card_ends_and_classifies_like_the_cpu(capture: str, tiny_run: TinyRun, tmp_path: Path) -> None:
    """In processes of their own, whose standard errors are read: nothing there is torch's."""
    sizes = ["model.hidden_size=8", "model.embedding_size=8", "training.epochs=3", "training.threads=1", "text.vectors=none"]
    settings = [
        argument
        for setting in [*sizes, "training.device=cuda", f"training.capture={capture}"]
        for argument in ("--set", setting)
    ]
    textcls = [sys.executable, "-m", "textcls"]
    trained = subprocess.run(
        [*textcls, "train", str(tiny_run.train), "--run", str(tmp_path / "run"), *settings], capture_output=True, text=True
    )
    assert trained.returncode == 0, trained.stderr
    assert "Warning" not in trained.stderr
    answers = []
    for device in ("cuda", "cpu"):
        done = subprocess.run(
            [*textcls, "classify", str(tmp_path / "run" / "model"), str(tiny_run.test), "--device", device],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert "Warning" not in done.stderr
        answers.append([json.loads(line) for line in done.stdout.splitlines()])
    assert len(answers[0]) == len(answers[1]) == 9
    for one, other in zip(*answers, strict=True):
        assert one["label"] == other["label"]
        assert one["confidence"] == pytest.approx(other["confidence"], abs=1e-4)


class StopError(Exception):
    pass


@pytest.mark.parametrize("capture", [False, True])
def test_a_stopped_run_goes_on_to_the_same_weights(capture: bool, tiny_run: TinyRun, tmp_path: Path) -> None:
    """With dropouts, and graphs that are captured anew: it draws what it would have drawn."""
    config = Config().replace(
        {
            "data.train": str(tiny_run.train),
            "model.hidden_size": 8,
            "model.embedding_size": 8,
            "text.vectors": None,
            "training.epochs": 3,
            "training.device": "cuda",
            "training.capture": capture,
            "training.checkpoint_minutes": 1e-9,
        }
    )

    def killed(event: object) -> None:
        if isinstance(event, Progress) and event.epoch == 2:
            raise StopError

    with pytest.raises(StopError):
        train(config, tmp_path / "run", report=killed)
    train(config, tmp_path / "run", resume=True)
    train(config, tmp_path / "whole")
    gone_on, whole = (read_artifact(tmp_path / run / "model").weights for run in ("run", "whole"))
    for name, array in whole.items():
        np.testing.assert_allclose(gone_on[name], array, atol=1e-5, err_msg=name)
