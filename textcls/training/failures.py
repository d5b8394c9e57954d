"""What ends training too soon, told in one line that says what helps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist

from textcls.errors import TrainingError, is_out_of_memory

SMALLER_NETWORK = "lower model.hidden_size, text.max_vocabulary or text.extend"


@contextmanager
def memory_for(what: str, advice: str) -> Iterator[None]:
    """Turn a lack of memory within a block into one line.

    Args:
        what: What the memory is for.
        advice: What helps.

    Raises:
        TrainingError: There is no memory for it.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(f"out of memory for {what}: {advice}") from None


def explained(error: Exception, where: str) -> TrainingError | None:
    """Return a failure of training in one line that says what helps; None where it is another kind of error.

    Args:
        error: What was raised.
        where: The epoch and the step.
    """
    if isinstance(error, TrainingError):
        return error
    if is_out_of_memory(error):
        return TrainingError(f"out of memory {where}: lower training.batch_size, text.max_tokens or model.hidden_size")
    if isinstance(error, dist.DistError) or "gloo" in str(error):
        return TrainingError(f"another process of this run ended {where}: go on from the last checkpoint with --resume")
    return None
