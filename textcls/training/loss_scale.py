"""What the loss is multiplied by where gradients are computed in half precision, which loses those below 6e-8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_FIRST = 1024.0
_GROWS, _SHRINKS, _EVERY = 2.0, 0.5, 1000  # the factor after so many finite steps, and the one after a step that is not


class LossScale:
    """A scale that adapts (Micikevicius et al., 2018): it shrinks where gradients overflow, and grows while they do not.

    All of it stays on the device, so that nobody waits for it. On the CPU, where a run that began on a GPU may go on, it changes no
    bit: it is a power of two.

    Args:
        device: Where the gradients are.

    Attributes:
        value: The scale, float32 ().
        overflowed: Whether the gradients of the last step did, 0.0 or 1.0, float32 ().
        skipped: Steps whose gradients did, int64 ().
    """

    def __init__(self, device: torch.device) -> None:
        self.value = torch.full((), _FIRST, device=device)
        self.overflowed = torch.zeros((), device=device)
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        self._finite = torch.zeros((), dtype=torch.int32, device=device)  # steps since the scale last changed

    @torch.no_grad()
    def unscale(self, gradients: list[Tensor]) -> None:
        """Divide the gradients by the scale, in place."""
        torch._foreach_mul_(gradients, 1 / self.value)

    @torch.no_grad()
    def adapt(self, norm: Tensor) -> None:
        """Take in the norm of a step's gradients, (): whether they overflowed, and what that means for the next scale."""
        self.overflowed.copy_(~norm.isfinite())
        self.skipped.add_(self.overflowed.to(torch.int64))
        torch._amp_update_scale_(self.value, self._finite, self.overflowed, _GROWS, _SHRINKS, _EVERY)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"value": self.value, "skipped": self.skipped, "finite": self._finite}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
