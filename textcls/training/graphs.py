"""Work of few shapes as CUDA graphs: captured once for each, then replayed with one launch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import torch

from textcls.errors import is_out_of_memory

# Calls of a shape before it is captured: a rare one is not worth it, and what torch sets up at a first call is there.
_EAGER = 2


class GraphedCalls:
    """Calls work, which does the same for the same shape, and from its third call on replays it as a CUDA graph.

    What the work reads and writes must be tensors that stay where they are. All graphs share one pool of memory, as they run one
    after the other and leave nothing in it.

    Args:
        work: Takes a shape; nothing in it may wait for the device.
        device: Where it happens.
        capture: Whether graphs are captured at all; else every call is an ordinary one.

    Attributes:
        graphs: By shape.
        failure: Why there are no graphs any more, once that is so.
    """

    def __init__(self, work: Callable[..., None], device: torch.device, *, capture: bool) -> None:
        self._work, self._device, self._capture = work, device, capture
        self._met: Counter[tuple[int, ...]] = Counter()
        self._pool = torch.cuda.graph_pool_handle() if capture else None
        # Torch's own one is on the first card that was used, whichever it was.
        self._stream = torch.cuda.Stream(device) if capture else None  # type: ignore[no-untyped-call]
        self.graphs: dict[tuple[int, ...], torch.cuda.CUDAGraph] = {}
        self.failure = ""

    def __call__(self, *shape: int) -> None:
        """Do the work of a shape."""
        if self._capture and shape not in self.graphs and self._met[shape] >= _EAGER:
            self._try_to_capture(shape)
        if shape in self.graphs:
            self.graphs[shape].replay()
        else:
            self._met[shape] += 1
            self._work(*shape)

    def _try_to_capture(self, shape: tuple[int, ...]) -> None:
        """Capture the work, which does not do it; where that fails, all work is done without graphs, whose memory is freed."""
        graph = torch.cuda.CUDAGraph()
        random = torch.cuda.get_rng_state(self._device)
        try:
            with torch.cuda.device(self._device), torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                self._work(*shape)
            self.graphs[shape] = graph
        except RuntimeError as error:
            memory = any(
                reason is not None and is_out_of_memory(reason) for reason in (error, error.__cause__, error.__context__)
            )
            reason = "there is no memory for them" if memory else str(error).partition("\n")[0]
            self.failure = f"steps are not captured as CUDA graphs: {reason}"
        if self.failure:
            self._capture, self._pool = False, None
            self.graphs.clear()
            del graph
            torch.cuda.empty_cache()
        torch.cuda.set_rng_state(random, self._device)  # so that a run draws the same whenever it captured
