"""Two processes learn what one learns."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from textcls.artifact import read_artifact
from textcls.config import Config, ModelSettings, TrainingSettings
from textcls.errors import ConfigError
from textcls.model import Network
from textcls.text import Encoded
from textcls.training.batches import LabelledSplit
from textcls.training.distributed import ALONE, World
from textcls.training.step import Step

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="two processes meet on the loopback interface of Linux"),
    pytest.mark.slow,
]

PROCESSES = 2
LABELS = ("a", "b", "c")
CASES: dict[str, dict[str, Any]] = {
    "equal shares": {"rows": [0, 1, 2, 3]},
    "unequal shares": {"rows": [4, 0, 6, 1, 3]},
    "one row": {"rows": [5]},
    "class weights": {"rows": [0, 1, 2, 4, 6], "class_weights": {"a": 0.0, "b": 5, "c": 0.5}, "label_smoothing": 0.2},
    "nothing weighs": {"rows": [0, 3, 6], "class_weights": {"a": 0.0, "b": 5, "c": 0.5}, "label_smoothing": 0.2},
    "many labels": {"rows": [6, 1, 0], "many": True, "class_weights": {"a": 2, "b": 5, "c": 0.5}, "label_smoothing": 0.2},
    "gru": {"rows": [0, 1, 2], "cell": "gru"},
    "two passes": {"rows": [0, 1, 2, 4, 6], "consistency": 1.0, "class_weights": {"a": 2, "b": 5, "c": 0.5}},
    "frozen": {"rows": [3, 1, 2], "frozen": True},
    "weights of rows": {"rows": [0, 1, 2, 4, 6], "weights": [1, 2, 0, 4, 5, 0, 7], "class_weights": {"a": 2, "b": 5, "c": 0.5}},
    "weights of rows, two passes": {"rows": [0, 1, 2, 4], "weights": [1, 2, 0, 4, 5, 0, 7], "consistency": 1.0},
    "weights of rows with many labels": {"rows": [0, 1, 2, 4], "weights": [1, 2, 0, 4, 5, 0, 7], "many": True},
}


def split(many: bool, row_weights: list[int] | None) -> LabelledSplit:
    """Seven texts of 1 to 7 tokens."""
    lengths = np.array([3, 1, 7, 2, 5, 4, 6])
    ids = np.random.default_rng(0).integers(1, 20, lengths.sum()).astype(np.int32)
    targets = np.arange(7) % 3
    no = np.zeros(7, bool)
    chosen = (targets[:, None] <= np.arange(3)) if many else targets
    weights = None if row_weights is None else np.array(row_weights, np.float64)
    return LabelledSplit(Encoded(ids, np.concatenate([[0], np.cumsum(lengths)]), no, no), chosen, LABELS, weights)


def gradients(world: World, case: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The gradients of one step, and the network's mean loss under `loss`."""
    torch.manual_seed(3 + world.rank)  # each process has another network, until the first one's goes round
    plain = {"ngram_slots": 0, "embedding_dropout": 0, "layer_dropout": 0, "output_dropout": 0}
    network = Network(ModelSettings(embedding_size=4, hidden_size=5, layers=2, cell=case.get("cell", "lstm"), **plain), 20, 3)
    settings = TrainingSettings(
        word_dropout=0,
        clip=1e9,
        class_weights=case.get("class_weights", "none"),
        freeze_embeddings=case.get("frozen", False),
        label_smoothing=case.get("label_smoothing", 0),
        consistency=case.get("consistency", 0),
    )
    train = split(case.get("many", False), case.get("weights"))
    step = Step(network, train, settings, world)
    (batch,) = step.batches([np.array(case["rows"])], epoch=1)
    assert batch.tokens == train.encoded.lengths[case["rows"]].sum()
    found: dict[str, np.ndarray[Any, Any]] = {}
    names = [name for name, _ in network.named_parameters() if name != "embedding.weight"]
    take = step.optimizer.step

    def noted(gradients: list[torch.Tensor], types: torch.Tensor | None) -> None:
        of = names if types is None else [*names, "embedding.weight"]
        found.update({name: gradient.numpy().copy() for name, gradient in zip(of, gradients, strict=True)})
        take(gradients, types)

    step.optimizer.step = noted  # type: ignore[assignment, method-assign]
    loss = step(batch, settings.learning_rate)
    return found | {"loss": world.mean(loss).numpy()}


def work(rank: int, meeting: str, results: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=PROCESSES)
    world = World(rank, PROCESSES)
    assert world.agreed(rank == 0)
    assert not world.agreed(rank == 1)  # the first one's word counts
    for number, case in enumerate(CASES.values()):
        np.savez(f"{results}/{number}-{rank}.npz", **gradients(world, case))  # type: ignore[arg-type]
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(rank, str(folder / "meeting"), str(folder))) for rank in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    return folder


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_one_process(name: str, results: Path) -> None:
    alone = gradients(ALONE, CASES[name])
    assert ("embedding.weight" in alone) == (name != "frozen")
    assert any(gradient.any() for gradient in alone.values()) == (name != "nothing weighs")
    for rank in range(PROCESSES):
        together = np.load(results / f"{list(CASES).index(name)}-{rank}.npz")
        assert set(together) == set(alone)
        for parameter, gradient in alone.items():
            np.testing.assert_allclose(together[parameter], gradient, atol=1e-6, err_msg=parameter)


def test_every_row_has_one_process() -> None:
    rows = np.array([5, 3, 8, 1, 9])
    shares = [World(rank, 3).share(rows).tolist() for rank in range(3)]
    assert shares == [[5, 1], [3, 9], [8]]
    assert World(1, 2).share(rows[:1]).tolist() == []
    assert ALONE.share(rows) is rows or ALONE.share(rows).tolist() == rows.tolist()


def test_more_processes_than_gpus_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="2 processes were started, but there are 1 CUDA devices: start one process for each"):
        World(1, 2, 1, 2).device(torch.device("cuda"))
    assert World(1, 2, 1, 2).device(torch.device("cpu")).type == "cpu"


SCRIPT = """
import os, signal, sys
from textcls.config import load_config
from textcls.training import clock, train
from textcls.training.step import Step

clock._REPORT_SECONDS = 0
real, steps = Step.__call__, iter(range(1, 10_000))

def step(*arguments):
    if os.environ["RANK"] == "1" and next(steps) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)

if __name__ == "__main__":
    Step.__call__ = step
    train(load_config(sys.argv[1]), sys.argv[2], resume=sys.argv[3] == "0", report=lambda event: print(type(event).__name__))
"""


@pytest.mark.slow
def test_torchrun_trains_and_a_dead_process_ends_the_run_with_a_whole_checkpoint(tmp_path: Path) -> None:
    words = np.random.default_rng(0).permutation(120)
    lines = [f"{'good' if n % 2 else 'bad'} film {n},{'pos' if n % 2 else 'neg'}" for n in words]
    (tmp_path / "data.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    sizes = {
        "model.embedding_size": 8,
        "model.hidden_size": 8,
        "model.ngram_slots": 64,
        "training.batch_size": 7,
        "training.epoch_steps": 1,
        "training.epochs": 8,
    }
    rates = {"training.learning_rate": 0.02, "training.checkpoint_minutes": 1e-9, "training.device": "cpu"}
    settings = Config().replace({"data.train": str(tmp_path / "data.csv")} | sizes | rates)
    (tmp_path / "config.yaml").write_text(settings.to_yaml())
    (tmp_path / "script.py").write_text(SCRIPT)

    def torchrun(death: int, run: str = "run") -> subprocess.CompletedProcess[str]:
        launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "--"]
        arguments = [str(tmp_path / "script.py"), str(tmp_path / "config.yaml"), str(tmp_path / run), str(death)]
        return subprocess.run([*launch, *arguments], capture_output=True, text=True, timeout=300)

    died = torchrun(40)
    assert died.returncode != 0
    assert "another process of this run ended in epoch 3" in died.stderr or "SIGTERM" in died.stderr  # whichever comes first
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").glob("*.pt"))
    assert kept, died.stderr
    # Of 16 steps an epoch the 39th was the last to end; torchrun may stop the other process while it writes that one's checkpoint.
    assert kept[-1] in {f"000003-00000000{step}.pt" for step in (6, 7, 8)}
    resumed = torchrun(0)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.count("EpochEnd\n") == 6  # epochs 3 to 8, from one process alone
    model = read_artifact(tmp_path / "run" / "model")
    assert model.metrics["validation"]["accuracy"] == 1
    assert model.weights["ngrams.weight"].any()
    whole = torchrun(9999, "whole")
    assert whole.returncode == 0, whole.stderr
    assert read_artifact(tmp_path / "whole" / "model").fingerprint == model.fingerprint  # dropouts are drawn for each step
    ends = [line for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines() if '"EpochEnd"' in line]
    assert [json.loads(line)["epoch"] for line in ends] == [*range(1, 9)]
