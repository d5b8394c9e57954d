"""Whether a checkpoint holds what a run writes: a file from elsewhere may hold anything, also under a right SHA-256.

Nothing of it is shown, compared or counted through before its type is known: it may be nested without end.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textcls.config import TrainingSettings
from textcls.settings import MOST_THREADS
from textcls.training.batches import shuffled_batches

_MOST = 2**53  # steps, seconds, bytes: what a float counts up to
_FINITE = torch.finfo(torch.float32).max
_RANGES = {  # of tensors; others are finite
    **dict.fromkeys(("squared", "pending"), (0.0, _FINITE)),
    **dict.fromkeys(("last", "skipped", "finite"), (0, _MOST)),
    "value": (2.0**-126, _FINITE),
}
_DEEPEST = 12  # brackets inside brackets; the settings have four
_MOST_PROCESSES = 65_536


class OddError(Exception):
    """What a checkpoint holds is not what a run writes; the message says what."""


def check(right: bool, what: str) -> None:
    """Refuse what is not right.

    Raises:
        OddError: It is not.
    """
    if not right:
        raise OddError(what)


def tree_of(text: Any, name: str) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        OddError: The text is none.
    """
    check(type(text) is str, f"{name} is no text")
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise OddError(f"{name} is no JSON") from None
    check(type(tree) is dict and _is_shallow(tree, _DEEPEST), f"{name} is no JSON object of the usual depth")
    return dict(tree)


def check_about(about: Mapping[str, Any]) -> None:
    """Check what a run was begun with, as far as more is done with it than to compare it.

    Raises:
        OddError: It has not the form.
    """
    for name, most in (("processes", _MOST_PROCESSES), ("threads", MOST_THREADS)):
        check(name not in about or _whole(about[name], 1, most), f"about.{name} is no such number")
    origin = about.get("text.vectors")
    if origin is not None:
        check(_has(origin, ("name", "sha256")) and type(origin["name"]) is str, "about.text.vectors names no vectors")


def check_record(record: Mapping[str, Any], epoch: int) -> None:
    """Check what the log gave before or in an epoch: a row for each one that ended, and how long the log was.

    Raises:
        OddError: It has not the form.
    """
    check(_has(record, ("history", "bytes")) and _whole(record["bytes"]), "record is none of a log")
    history = record["history"]
    check(type(history) is list and len(history) == epoch - 1, "record.history has not a row for each epoch")
    for number, row in enumerate(history, start=1):
        usual = type(row) is dict and _whole(row.get("epoch"), number, number) and type(row.get("best")) is bool
        check(usual and all(map(_is_figure, row.values())), f"record.history has an odd row {number}")


def check_plain(plain: Mapping[str, Any]) -> None:
    """Check the form of where training stands, tensors left out.

    Raises:
        OddError: It has another one.
    """
    names = ("order", "epoch", "step", "best", "epochs_without_better", "finished", "clock")
    check(_has(plain, names), "its parts are not the usual ones")
    check(_whole(plain["epoch"], 1), "epoch is no such number")
    for name in ("step", "epochs_without_better"):
        check(_whole(plain[name]), f"{name} is no such number")
    check(type(plain["finished"]) is bool, "finished is not true or false")
    best, clock = plain["best"], plain["clock"]
    right = type(best) is list and len(best) == 2 and all(_number(value, -math.inf, math.inf) for value in best)
    check(best is None or right, "best is no pair of numbers")
    check(_has(clock, ("seconds", "tokens", "epoch_seconds", "epoch_tokens")), "clock has not the usual figures")
    for name, value in clock.items():
        check(_whole(value) if name.endswith("tokens") else _number(value, 0, _MOST), f"clock.{name} is no such number")


def check_standing(
    plain: Mapping[str, Any],
    steps: int,
    own_order: Mapping[str, Any],
    settings: TrainingSettings,
    lengths: NDArray[np.int64],
    *,
    choosing: bool,
) -> None:
    """Check whether a run can stand there.

    Args:
        plain: What `check_plain` has passed.
        steps: Those of the optimiser, of all epochs.
        own_order: The state of the generator of batches when a run begins.
        settings: Epochs, patience, batches.
        lengths: Tokens of each training row, int64 [n].
        choosing: Whether validation chooses the best epoch.

    Raises:
        OddError: It cannot.
    """
    epoch, step, waited = plain["epoch"], plain["step"], plain["epochs_without_better"]
    check(epoch <= settings.epochs + 1, f"epoch is not 1 to {settings.epochs + 1}")
    check(waited <= (max(0, epoch - 2) if choosing else 0), "epochs_without_better is more than there were")
    over = epoch > settings.epochs or (choosing and waited >= settings.patience)
    check(plain["finished"] == over, f"finished is not {str(over).lower()} in this epoch")
    check((plain["best"] is None) == (not choosing or epoch == 1), "best is there where none is, or the other way round")
    check_order(plain["order"], own_order)
    draw = np.random.default_rng()
    draw.bit_generator.state = plain["order"]
    whole = len(shuffled_batches(lengths, settings, draw))
    check(step <= (0 if over else whole), f"step is not 0 to {0 if over else whole}")
    before = epoch - 1 if settings.batch_tokens is not None else (epoch - 1) * whole  # epochs differ in their batches, or not
    fits = steps == before + step if settings.batch_tokens is None else steps >= before + step
    check(steps > 0 and fits, "optimizer.steps is not the sum of all epochs")


def check_order(order: Any, own: Mapping[str, Any]) -> None:
    """Check the state of the generator of batches, which numpy takes without looking.

    Raises:
        OddError: It is none of this run's generator.
    """
    right = (
        _has(order, tuple(own)) and order["bit_generator"] == own["bit_generator"] and _has(order["state"], ("state", "inc"))
    )
    right = right and _whole(order["state"]["state"], 0, 2**128 - 1) and _whole(order["state"]["inc"], 0, 2**128 - 1)
    right = right and order["state"]["inc"] == own["state"]["inc"]
    right = right and _whole(order["has_uint32"], 0, 1) and _whole(order["uinteger"], 0, 2**32 - 1)
    check(right, "order is no state of this run's generator")


def check_generator(saved: Any, device: torch.device, name: str) -> None:
    """Check the state of a generator of torch.

    Raises:
        OddError: It is none.
    """
    check(type(saved) is Tensor and saved.dtype == torch.uint8 and saved.layout == torch.strided, f"{name} is no state")
    try:
        torch.Generator(device).set_state(saved)
    except (RuntimeError, TypeError):
        raise OddError(f"{name} is no state of a generator") from None


def check_like(value: Any, own: Any, name: str) -> None:
    """Check that a tree of tensors and numbers is like the run's own: names, lengths, types, shapes, ranges.

    Args:
        value: What was read.
        own: What it is to be like.
        name: Of the value in its tree, for the message.

    Raises:
        OddError: It is not.
    """
    if isinstance(own, Tensor):
        _check_tensor(value, own, name)
    elif isinstance(own, Mapping):
        check(_has(value, own.keys()), f"{name} has other parts")
        for key, one in own.items():
            check_like(value[key], one, f"{name}.{key}")
    elif isinstance(own, list):
        check(type(value) is list and len(value) == len(own), f"{name} has another length")
        for number, one in enumerate(own):
            check_like(value[number], one, f"{name}[{number}]")
    elif own is None:
        check(value is None, f"{name} is there")
    else:
        check(_whole(value) if type(own) is int else _number(value, 0, _FINITE), f"{name} is no such number")


def _check_tensor(value: Any, own: Tensor, name: str) -> None:
    shape = f"{str(own.dtype).removeprefix('torch.')} {list(own.shape)}"
    plain = type(value) is Tensor and value.layout == torch.strided and not value.is_nested and value.device.type == "cpu"
    like = plain and value.dtype == own.dtype and value.shape == own.shape
    check(like and value.is_contiguous() and not value.requires_grad, f"{name} is not {shape}")
    if own.numel():
        low, high = _RANGES.get(name.rpartition(".")[2].partition("[")[0], (-_FINITE, _FINITE))
        least, most = (float(one) for one in value.aminmax())  # which are NaN where one number is
        check(least >= low and most <= high, f"{name} holds numbers that are not finite, or out of range")


def _is_shallow(value: Any, levels: int) -> bool:
    inner: Collection[Any] = value.values() if type(value) is dict else value if type(value) is list else ()
    return levels > 0 and all(_is_shallow(one, levels - 1) for one in inner)


def _has(value: Any, names: Collection[str]) -> bool:
    """Whether a value is a dictionary with these keys, and no others."""
    return type(value) is dict and value.keys() == set(names)


def _whole(value: Any, least: int = 0, most: int = _MOST) -> bool:
    return type(value) is int and least <= value <= most


def _number(value: Any, least: float, most: float) -> bool:
    """Whether a value is a number in a range, ends included; NaN is in none."""
    return type(value) in {int, float} and least <= value <= most


def _is_figure(value: Any) -> bool:
    return value is None or type(value) in {bool, float} or _whole(value, -_MOST)
