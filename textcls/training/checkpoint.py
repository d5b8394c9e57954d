"""Checkpoints: what the rest of a run depends on, in files from which it goes on as if it had never ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textcls.config import TrainingSettings
from textcls.errors import InputError, TrainingError, differences
from textcls.files import remove_torn
from textcls.model import Network
from textcls.training.batches import shuffled_batches
from textcls.training.checkpoint_checks import (
    OddError,
    check,
    check_about,
    check_generator,
    check_like,
    check_plain,
    check_record,
    check_standing,
    tree_of,
)
from textcls.training.checkpoint_file import INSTEAD, read_checkpoint, write_checkpoint
from textcls.training.clock import Clock
from textcls.training.optimizer import Optimizer

_KEPT = 2  # should the last one be damaged, there is one before it


@dataclass
class TrainingState:
    """Where training stands: everything that the steps to come depend on, and nothing else.

    Attributes:
        network: With its weights.
        optimizer: With its moments, and the moving average of the weights.
        order: Draws the batches of each epoch.
        epoch: The one under way.
        step: Steps done in it.
        loss: Sum over these steps, on the network's device, ().
        best: Validation metric and minus the log loss of the best epoch, higher is better; None before the first epoch ends.
        best_weights: The weights of the best epoch, by name.
        epochs_without_better: Epochs since then.
        finished: Whether the last epoch is over.
        clock: Seconds and tokens so far.
    """

    network: Network
    optimizer: Optimizer
    order: np.random.Generator
    loss: Tensor
    epoch: int = 1
    step: int = 0
    best: tuple[float, float] | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    epochs_without_better: int = 0
    finished: bool = False
    clock: Clock = field(default_factory=Clock)
    _order_before: Mapping[str, Any] = field(default_factory=dict)  # of the epoch's batches

    def batches(self, lengths: NDArray[np.int64], settings: TrainingSettings) -> list[NDArray[np.int64]]:
        """Draw the batches of the epoch under way; see `shuffled_batches`."""
        self._order_before = self.order.bit_generator.state
        return shuffled_batches(lengths, settings, self.order)

    def is_better(self, standing: tuple[float, float] | None) -> bool:
        """Whether an epoch of this standing is the best so far, which is then remembered; without one every epoch is."""
        better = self.best is None or standing is None or standing > self.best
        self.best = standing if better else self.best
        return better

    def keep(self, better: bool) -> None:
        """Keep the network's weights, if they are better than those kept so far."""
        if better:
            self.best_weights = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
        self.epochs_without_better = 0 if better else self.epochs_without_better + 1

    def end_epoch(self) -> None:
        """Stand before the first step of the next epoch."""
        self.epoch, self.step = self.epoch + 1, 0
        self.loss = torch.zeros_like(self.loss)
        self._order_before = self.order.bit_generator.state

    def to_dict(self) -> dict[str, Any]:
        """Return tensors, and everything else as JSON, which needs no trust to be read."""
        plain = {
            "order": self._order_before,
            "epoch": self.epoch,
            "step": self.step,
            "best": self.best,
            "epochs_without_better": self.epochs_without_better,
            "finished": self.finished,
            "clock": self.clock.figures(),
        }
        return {
            "plain": json.dumps(plain),
            "network": dict(self.network.state_dict()),
            "optimizer": self.optimizer.state(),
            "loss": self.loss,
            "best_weights": self.best_weights,
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.loss.device) if self.loss.device.type == "cuda" else None,
        }

    def check(
        self, saved: Mapping[str, Any], settings: TrainingSettings, lengths: NDArray[np.int64], *, choosing: bool
    ) -> None:
        """Check, before anything changes, whether a run like this one can stand where a checkpoint says; `plain` has its form.

        Args:
            saved: What `to_dict` of another state gave, read from a file.
            settings: Of the run.
            lengths: Tokens of each training row, int64 [n].
            choosing: Whether validation chooses the best epoch.

        Raises:
            OddError: It cannot.
        """
        plain, own = json.loads(saved["plain"]), self.to_dict()
        check(saved.keys() == own.keys(), "its parts are not the usual ones")
        own["best_weights"] = own["network"] if plain["epoch"] > 1 else {}
        for name in ("network", "best_weights", "optimizer", "loss"):
            check_like(saved[name], own[name], name)
        optimizer = saved["optimizer"]
        steps, table, scale = optimizer["steps"], optimizer["table"], optimizer["scale"]
        check(optimizer["rate"] <= settings.learning_rate, "optimizer.rate is more than training.learning_rate")
        check(table is None or int(table["last"].max()) <= steps, "optimizer.table.last is behind the last step")
        check(scale is None or int(scale["skipped"]) <= steps, "optimizer.scale.skipped is more than there were steps")
        check_standing(plain, steps, self.order.bit_generator.state, settings, lengths, choosing=choosing)
        check_generator(saved["torch"], torch.device("cpu"), "torch")
        if self.loss.device.type == "cuda" and saved["cuda"] is not None:
            check_generator(saved["cuda"], self.loss.device, "cuda")

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Stand where `to_dict` stood; what is no state of a run like this one `check` tells."""
        plain, device = json.loads(saved["plain"]), self.loss.device
        self.network.load_state_dict(saved["network"])
        self.optimizer.restore(saved["optimizer"])
        self.loss = saved["loss"].to(device)
        self.best_weights = {name: tensor.to(device) for name, tensor in saved["best_weights"].items()}
        self.order.bit_generator.state = plain["order"]
        self._order_before = plain["order"]
        self.epoch, self.step, self.finished = plain["epoch"], plain["step"], plain["finished"]
        self.best = None if plain["best"] is None else (plain["best"][0], plain["best"][1])
        self.epochs_without_better = plain["epochs_without_better"]
        self.clock = Clock(**plain["clock"])
        torch.set_rng_state(saved["torch"])
        if device.type == "cuda" and saved["cuda"] is not None:
            torch.cuda.set_rng_state(saved["cuda"], device)


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: Where they are; None keeps none.
        minutes: Between two of them within an epoch.
        writes: Whether this process writes them; of several that train together, one does.

    Attributes:
        resumed: Whether the run goes on from a checkpoint.
        damaged: Those that were passed over for it.
        record: Gives what the run's log wants back when it goes on, as JSON takes it.
    """

    def __init__(self, folder: Path | None = None, minutes: float = 0.0, *, writes: bool = True) -> None:
        self.folder = folder
        self.resumed = False
        self.damaged: list[Path] = []
        self.record: Callable[[], dict[str, Any]] = dict
        self._minutes = minutes
        self._writes = writes and folder is not None
        self._path = Path()  # of the checkpoint that the run goes on from
        self._saved: dict[str, Any] = {}
        self._about: dict[str, Any] = {}
        self._written = time.monotonic()

    def resume(self) -> dict[str, Any]:
        """Read the last whole checkpoint; what was written after it goes with the next one.

        Returns:
            What `record` gave then.

        Raises:
            InputError: There is none, or the last one cannot be read although it may be whole, or holds what no run writes.
            TrainingError: There is no memory for it.
        """
        assert self.folder is not None
        if self._writes and self.folder.is_dir():
            remove_torn(self.folder)
        for path in reversed(self._paths()):
            content = read_checkpoint(path)
            if content is None:
                self.damaged.append(path)
                continue
            self._path, self.resumed = path, True
            with self._odd():
                return self._take(content)
        raise InputError(f"{self.folder}: holds no checkpoint to go on from; train anew, with --force over what is there")

    def _take(self, content: Mapping[Any, Any]) -> dict[str, Any]:
        """Keep what a checkpoint holds, and return what `record` gave; what depends on the network `restore` checks."""
        check(content.keys() == {"version", "about", "record", "state"}, "its parts are not the usual ones")
        state = content["state"]
        check(type(state) is dict and "plain" in state, "it holds no state")
        about, record, plain = (
            tree_of(content["about"], "about"),
            tree_of(content["record"], "record"),
            tree_of(state["plain"], "plain"),
        )
        check_plain(plain)
        check_about(about)
        check_record(record, plain["epoch"])
        check(_name(plain["epoch"], plain["step"]) == self._path.name, "epoch and step are not those of its name")
        self._saved, self._about = state, about
        return record

    @contextmanager
    def _odd(self) -> Iterator[None]:
        """Say in one line that a checkpoint holds what no run writes."""
        try:
            yield
        except OddError as error:
            raise InputError(f"{self._path}: is no checkpoint of this run: {error}; {INSTEAD}") from None

    def expect(self, name: str, value: Any) -> None:
        """Note what the run was begun with; a resumed run must have the same.

        Raises:
            InputError: It has not; the difference is named.
        """
        value = json.loads(json.dumps(value))
        if self.resumed and (odd := list(differences(self._about.get(name), value, name))):
            told = "; ".join(odd[:3]).replace("\n", "\\n")
            raise InputError(f"{_run_of(self.folder)}: cannot be resumed, for {told}; put it back, or train anew")
        self._about[name] = value

    def noted(self, name: str) -> Any:
        """Return what `expect` noted when the run began; None where it noted nothing."""
        return self._about.get(name)

    def settled(self, name: str, value: Any) -> Any:
        """Return what this machine settles, such as its number of threads, or for a resumed run what the first one settled."""
        return self._about.setdefault(name, value)

    def restore(self, state: TrainingState, settings: TrainingSettings, lengths: NDArray[np.int64], *, choosing: bool) -> None:
        """Put a state where the checkpoint stood, if the run goes on from one.

        Args:
            state: At the start of the run.
            settings: Of the run.
            lengths: Tokens of each training row, int64 [n].
            choosing: Whether validation chooses the best epoch.

        Raises:
            InputError: The checkpoint holds what this run does not write; the state is as it was.
        """
        if self.resumed:
            saved, self._saved = self._saved, {}
            with self._odd():
                state.check(saved, settings, lengths, choosing=choosing)
            state.restore(saved)

    def due(self) -> bool:
        """Whether the last one is old enough for another, within an epoch."""
        return self._writes and time.monotonic() - self._written >= 60 * self._minutes

    def save(self, state: TrainingState) -> None:
        """Write a checkpoint, whole or not at all, and remove all but the last two.

        Raises:
            TrainingError: It cannot be written, for example to a full disk.
        """
        if not self._writes or self.folder is None:
            return
        content = {"about": json.dumps(self._about), "record": json.dumps(self.record()), "state": state.to_dict()}
        try:
            self.folder.mkdir(exist_ok=True)
            write_checkpoint(new := self.folder / _name(state.epoch, state.step), content)
            damaged, self.damaged = [path for path in self.damaged if path != new], []
            for old in (*damaged, *[path for path in self._paths() if path not in damaged][:-_KEPT]):
                old.unlink(missing_ok=True)
        except (OSError, RuntimeError) as error:
            told = error if isinstance(error, OSError) else error.__context__  # torch's own error hides the file's
            if not isinstance(told, OSError):
                raise
            then = "go on with --resume" if self._paths() else "train anew, with --force"
            raise TrainingError(
                f"{self.folder}: the checkpoint cannot be written: {told.strerror}; make room, then {then}"
            ) from error
        self._written = time.monotonic()

    def remove(self) -> None:
        """Remove all of them, and what a process that was killed left of one."""
        if self.folder is not None and self.folder.is_dir():
            remove_torn(self.folder)
            for path in self._paths():
                path.unlink(missing_ok=True)
            with suppress(OSError):  # holds something else
                self.folder.rmdir()

    def _paths(self) -> list[Path]:
        """Those that are there, the last one last."""
        return sorted(self.folder.glob("[0-9]*-[0-9]*.pt")) if self.folder is not None else []


def _name(epoch: int, step: int) -> str:
    return f"{epoch:06}-{step:09}.pt"


def _run_of(folder: Path | None) -> Path | str:
    return folder.parent if folder is not None else "the run"
