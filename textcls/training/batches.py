"""Which rows make up each step, and what the network needs of them: rows of like length together, in random order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textcls.config import TrainingSettings
from textcls.evaluation import Targets
from textcls.model import Batch, pack
from textcls.model.packing import moved
from textcls.text import PAD, UNK, Encoded
from textcls.training.distributed import World

_USUAL_BATCH, _SMALLEST_BATCH, _FEWEST_BATCHES = 64, 8, 16  # texts a step, and steps a pass, where the batch size is `auto`
_WINDOW = 50  # batches sorted by length together: wide enough for like lengths, narrow enough for a fresh mix in each epoch

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class LabelledSplit:
    """One split as numbers.

    Attributes:
        encoded: The texts.
        targets: Class of each text, int64 [n]; or with many labels a text whether it has each one, bool [n, labels]. A class
            beyond the model's is a label it does not know.
        labels: Text of each class: the model's first, then those that only this split has.
        weights: What each text weighs in training, float64 [n]; None where all weigh the same.
    """

    encoded: Encoded
    targets: Targets
    labels: tuple[str, ...]
    weights: NDArray[np.float64] | None = None

    @property
    def many(self) -> bool:
        """Whether a text may have many labels, or none."""
        return self.targets.ndim == 2


@dataclass(frozen=True)
class TrainingBatch:
    """One step's share of one process.

    Attributes:
        texts: Its texts, all of them twice for `training.consistency`; their ids count in `types`.
        types: Every token of the whole batch once, `<pad>` and `<unk>`, ascending ids, int64 (types,): the rows of the embedding
            table in use. None where the ids count in the whole table.
        targets: As in `LabelledSplit`, of its texts.
        own: Whether the share has rows: a process without one learns nothing from the row that stands in.
        rows: Rows of the whole batch.
        tokens: Tokens of the whole batch.
        weights: What its texts weigh, float32 (texts,); None where all weigh the same.
        real: Which of its texts count, 0.0 or 1.0, float32 (texts,), where others fill it up; then `rows` and `tokens` are not told.
    """

    texts: Batch
    types: Tensor | None
    targets: Tensor
    own: bool = True
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    tokens: int = 0
    weights: Tensor | None = None
    real: Tensor | None = None

    def to(self, device: torch.device) -> TrainingBatch:
        """Return the batch on a device; on its way to a GPU it does not keep the CPU waiting."""
        if device.type == "cpu":
            return self
        types, weights = (None if one is None else moved(one, device) for one in (self.types, self.weights))
        return replace(self, texts=self.texts.to(device), types=types, targets=moved(self.targets, device), weights=weights)


def make_batch(
    split: LabelledSplit, rows: NDArray[np.int64], settings: TrainingSettings, world: World, epoch: int, step: int
) -> TrainingBatch:
    """Cut a batch from the flat arrays, and drop words from it.

    Args:
        split: The training rows.
        rows: Those of the batch.
        settings: The share of words to drop, and the seed.
        world: Which rows of the batch are this process's.
        epoch: With the step and the rank it settles which words are dropped, so that nothing needs to be kept of earlier ones.
        step: Of the epoch.
    """
    encoded, own = split.encoded, world.share(rows)
    part = own if len(own) else rows[:1]  # a process without a row of its own learns nothing, but must take part
    if settings.consistency:
        part = np.tile(part, 2)  # so that both passes are one, each with dropouts of its own
    texts = pack(encoded.ids, encoded.offsets, part)
    ids = texts.ids.numpy()
    whole = ids if world.size == 1 else pack(encoded.ids, encoded.offsets, rows).ids.numpy()
    types = np.unique(np.append(whole, (PAD, UNK)))
    if settings.word_dropout:
        draw = np.random.default_rng([settings.seed, world.rank, epoch, step])
        ids = drop_words(ids, settings.word_dropout, draw)
    local = torch.from_numpy(np.searchsorted(types, ids))
    return TrainingBatch(
        replace(texts, ids=local),
        torch.from_numpy(types),
        torch.from_numpy(split.targets[part]),
        own=bool(len(own)),
        rows=rows,
        tokens=int(encoded.lengths[rows].sum()),
        weights=None if split.weights is None else torch.from_numpy(split.weights[part].astype(np.float32)),
    )


def drop_words(ids: NDArray[np.int64], share: float, draw: np.random.Generator) -> NDArray[np.int64]:
    """Replace a random share of the tokens by `<unk>`, so that the network learns to do without any one word."""
    return np.where((draw.random(ids.shape, np.float32) < share) & (ids > 0), UNK, ids)


def texts_a_step(settings: TrainingSettings, rows: int) -> int:
    """Return the batch size of a training split with so many rows."""
    usual = min(_USUAL_BATCH, max(_SMALLEST_BATCH, rows // _FEWEST_BATCHES))
    return usual if settings.batch_size == "auto" else settings.batch_size


def shuffled_batches(
    lengths: NDArray[np.int64], settings: TrainingSettings, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Split all rows into the batches of one epoch, again and again where they make fewer than `epoch_steps`.

    Args:
        lengths: Tokens of each row, int64 [n].
        settings: `batch_size` rows a batch, and where `batch_tokens` is given no more tokens than that, but for a longer row alone.
        generator: Settles the order.

    Returns:
        Row numbers of each batch; every row as often as every other.
    """
    size = texts_a_step(settings, len(lengths))
    batches: list[NDArray[np.int64]] = []
    while len(batches) < settings.epoch_steps:
        batches += _one_pass(lengths, size, settings.batch_tokens, generator)
    return batches


def _one_pass(
    lengths: NDArray[np.int64], size: int, tokens: int | None, generator: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Split all rows into batches, in random order; every row once."""
    order = generator.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), _WINDOW * size):
        window = order[start : start + _WINDOW * size]
        window = window[np.argsort(lengths[window], kind="stable")]
        batches += [window[cut:end] for cut, end in _cuts(lengths[window], size, tokens)]
    return [batches[i] for i in generator.permutation(len(batches))]


def _cuts(lengths: NDArray[np.int64], rows: int, tokens: int | None) -> Iterator[tuple[int, int]]:
    """Yield where each batch of a window starts and ends."""
    ends = np.cumsum(lengths)
    start = 0
    while start < len(lengths):
        end = min(start + rows, len(lengths))
        if tokens is not None:
            before = int(ends[start - 1]) if start else 0
            end = max(start + 1, min(end, int(np.searchsorted(ends, before + min(tokens, int(ends[-1])), side="right"))))
        yield start, end
        start = end


def made_ahead(make: Callable[[_Item], _Made], items: Iterable[_Item]) -> Iterator[_Made]:
    """Make each item's batch while the GPU still works on the one before."""
    with ThreadPoolExecutor(1, thread_name_prefix="textcls-batches") as pool:
        following: Future[_Made] | None = None
        for item in items:
            current, following = following, pool.submit(make, item)
            if current is not None:
                yield current.result()
        if following is not None:
            yield following.result()
