"""When work is captured and when it is not: on a card `test_gpu` shows what comes of it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from textcls.training.graphs import GraphedCalls

CARD = torch.device("cuda", 0)


class Recorded:
    """Stands for a CUDA graph: what was called while it was captured is called again."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, ...]] = []
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1


class Card:
    """Stands for torch's side of a card."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.capturing: Recorded | None = None
        self.random, self.emptied = "before", 0
        for name, value in {
            "CUDAGraph": Recorded,
            "graph": self.graph,
            "graph_pool_handle": lambda: "pool",
            "Stream": lambda device: f"stream of {device}",
            "empty_cache": self.empty_cache,
            "device": self.device,
            "get_rng_state": lambda _device: self.random,
            "set_rng_state": self.set_rng_state,
        }.items():
            patch.setattr(torch.cuda, name, value)

    def empty_cache(self) -> None:
        self.emptied += 1

    def set_rng_state(self, state: str, device: torch.device) -> None:
        assert device == CARD
        self.random = state

    @contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        assert device == CARD
        yield

    @contextmanager
    def graph(self, graph: Recorded, pool: str, stream: str) -> Iterator[None]:
        assert (pool, stream) == ("pool", "stream of cuda:0")
        self.capturing = graph
        try:
            yield
        finally:
            self.capturing = None


class Work:
    """Counts its calls, and moves the generator."""

    def __init__(self, card: Card) -> None:
        self.card, self.done = card, list[tuple[int, ...]]()
        self.fails: Exception | None = None

    def __call__(self, *shape: int) -> None:
        if self.card.capturing is None:
            self.done.append(shape)
            return
        self.card.random = "moved"
        if self.fails is not None:
            raise self.fails
        self.card.capturing.calls.append(shape)


def test_a_shape_is_captured_at_its_third_call_and_then_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(monkeypatch)
    calls = GraphedCalls(work := Work(card), CARD, capture=True)
    for shape in [(8, 3), (8, 4), (8, 3), (8, 3), (8, 3), (8, 4)]:
        calls(*shape)
    assert work.done == [(8, 3), (8, 4), (8, 3), (8, 4)]
    graphs: dict[Any, Any] = calls.graphs
    assert {shape: (graph.calls, graph.replays) for shape, graph in graphs.items()} == {(8, 3): ([(8, 3)], 2)}
    assert card.random == "before"
    assert not calls.failure


def test_nothing_is_captured_unless_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = GraphedCalls(work := Work(Card(monkeypatch)), CARD, capture=False)
    for _ in range(5):
        calls(2)
    assert work.done == [(2,)] * 5


@pytest.mark.parametrize("chained", [False, True])
def test_without_memory_the_work_goes_on_uncaptured(monkeypatch: pytest.MonkeyPatch, chained: bool) -> None:
    """Torch may raise another error on the way out, with the first one as its context."""
    work = Work(card := Card(monkeypatch))
    calls = GraphedCalls(work, CARD, capture=True)
    for _ in range(4):
        calls(1)
    memory = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    work.fails = RuntimeError("CUDA error: operation failed due to a previous error during capture") if chained else memory
    if chained:
        work.fails.__context__ = memory
    for _ in range(5):
        calls(2)
    work.fails = None
    for shape in (1, 2, 3, 3, 3):
        calls(shape)
    assert work.done == [(1,)] * 2 + [(2,)] * 5 + [(1,), (2,)] + [(3,)] * 3
    assert not calls.graphs  # whose memory an ordinary step cannot use
    assert calls.failure == "steps are not captured as CUDA graphs: there is no memory for them"
    assert (card.random, card.emptied) == ("before", 1)


def test_a_driver_that_captures_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work(Card(monkeypatch))
    calls = GraphedCalls(work, CARD, capture=True)
    calls(1)
    calls(1)
    work.fails = RuntimeError("operation not permitted when stream is capturing\nCompile with TORCH_USE_CUDA_DSA")
    calls(1)
    assert work.done == [(1,)] * 3
    assert calls.failure == "steps are not captured as CUDA graphs: operation not permitted when stream is capturing"


def test_what_a_failed_capture_held_is_freed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no memory to spare: the same step follows, uncaptured."""
    card, held = Card(monkeypatch), list[weakref.ref[torch.Tensor]]()

    def work() -> None:
        if card.capturing is not None:
            states = torch.zeros(3)
            held.append(weakref.ref(states))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        assert all(reference() is None for reference in held)

    calls = GraphedCalls(work, CARD, capture=True)
    gc.disable()
    try:
        for _ in range(3):
            calls()
    finally:
        gc.enable()
    assert len(held) == 1
