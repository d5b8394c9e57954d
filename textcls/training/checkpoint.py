"""Checkpoints: what the rest of a run depends on, in files from which it goes on as if it had never ended."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textcls.config import TrainingSettings
from textcls.errors import InputError, TrainingError, differences
from textcls.files import remove_torn, replacing
from textcls.model import Network
from textcls.training.batches import shuffled_batches
from textcls.training.clock import Clock
from textcls.training.failures import memory_for
from textcls.training.optimizer import Optimizer

_VERSION = 2
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
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state(),
            "loss": self.loss,
            "best_weights": self.best_weights,
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.loss.device) if self.loss.device.type == "cuda" else None,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Stand where `to_dict` stood."""
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
        record: Gives what the run's log wants back when it goes on, as JSON takes it.
    """

    def __init__(self, folder: Path | None = None, minutes: float = 0.0, *, writes: bool = True) -> None:
        self.folder = folder
        self.resumed = False
        self.record: Callable[[], dict[str, Any]] = dict
        self._minutes = minutes
        self._writes = writes and folder is not None
        self._saved: dict[str, Any] = {}
        self._about: dict[str, Any] = {}
        self._written = time.monotonic()

    def resume(self) -> dict[str, Any]:
        """Read the last whole checkpoint; what was written after it goes.

        Returns:
            What `record` gave then.

        Raises:
            InputError: There is none, or the last one cannot be read although it may be whole.
            TrainingError: There is no memory for it.
        """
        assert self.folder is not None
        if self._writes and self.folder.is_dir():
            remove_torn(self.folder)
        damaged = []
        for path in reversed(self._paths()):
            saved = _read(path)
            if saved is None:
                damaged.append(path)
                continue
            for other in damaged if self._writes else ():
                other.unlink()
            self._saved, self._about, self.resumed = saved, json.loads(saved["about"]), True
            return dict(json.loads(saved["record"]))
        raise InputError(f"{self.folder}: holds no checkpoint to go on from; train anew, with --force over what is there")

    def expect(self, name: str, value: Any) -> None:
        """Note what the run was begun with; a resumed run must have the same.

        Raises:
            InputError: It has not; the difference is named.
        """
        value = json.loads(json.dumps(value))
        if self.resumed and (odd := list(differences(self._about.get(name), value, name))):
            raise InputError(f"{_run_of(self.folder)}: cannot be resumed, for {'; '.join(odd[:3])}; put it back, or train anew")
        self._about[name] = value

    def noted(self, name: str) -> Any:
        """Return what `expect` noted when the run began; None where it noted nothing."""
        return self._about.get(name)

    def settled(self, name: str, value: Any) -> Any:
        """Return what this machine settles, such as its number of threads, or for a resumed run what the first one settled."""
        return self._about.setdefault(name, value)

    def restore(self, state: TrainingState) -> None:
        """Put a state where the checkpoint stood, if the run goes on from one."""
        if self.resumed:
            state.restore(self._saved.pop("state"))

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
        content = {"version": _VERSION, "about": json.dumps(self._about), "record": json.dumps(self.record())}
        try:
            self.folder.mkdir(exist_ok=True)
            with replacing(self.folder / f"{state.epoch:06}-{state.step:09}.pt") as neighbour, neighbour.open("wb") as file:
                torch.save(content | {"state": state.to_dict()}, file)
                file.flush()
                os.fsync(file.fileno())  # or a machine that dies could leave the new name with nothing behind it
            for old in self._paths()[:-_KEPT]:
                old.unlink(missing_ok=True)
        except (OSError, RuntimeError) as error:
            told = error if isinstance(error, OSError) else error.__context__  # torch's own error hides the file's
            if not isinstance(told, OSError):
                raise
            raise TrainingError(
                f"{self.folder}: the checkpoint cannot be written: {told.strerror}; make room, then go on with --resume"
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


def _read(path: Path) -> dict[str, Any] | None:
    """Read a checkpoint; None where it is damaged.

    Raises:
        InputError: Another version of textcls wrote it, or the system does not let it be read.
        TrainingError: There is no memory for it.
    """
    try:
        with memory_for(f"the checkpoint {path}", "close other programs, then --resume again"):
            saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        version = saved["version"]
    except TrainingError:
        raise
    except OSError as error:
        if error.errno == errno.EINVAL:  # in a file that was cut short torch looks before its start
            return None
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception:  # torch raises whatever the damage leads it to
        return None
    if version != _VERSION:
        raise InputError(f"{path}: is a checkpoint of format {version}; this textcls goes on from format {_VERSION} alone")
    return saved


def _run_of(folder: Path | None) -> Path | str:
    return folder.parent if folder is not None else "the run"
