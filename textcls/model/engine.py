"""The engine that scores encoded texts with torch, on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textcls.artifact import Artifact
from textcls.model.device import full_precision, resolve_device
from textcls.model.network import trained_network
from textcls.model.packing import Batch, batches_of_tokens, pack

_BATCH_TOKENS = 262_144  # places of a grid; enough to fill a GPU, little enough for its memory


class TorchEngine:
    """Probabilities of encoded texts, from the network itself.

    Args:
        artifact: The trained model.
        device: `auto`, `cuda`, `cuda:N`, `cpu` or `mps`.

    Raises:
        ConfigError: There is no such device.
    """

    def __init__(self, artifact: Artifact, device: str = "auto") -> None:
        self.device = resolve_device(device, artifact.config.model)
        self.temperature = artifact.temperature
        self.many = artifact.many
        self._network = trained_network(artifact).to(self.device)

    @property
    def width(self) -> int:
        """What feeds the classifier layer of one text, in values."""
        return int(self._network.classifier.in_features)

    def __call__(self, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score texts.

        Args:
            ids: Token ids of all texts, int32 [n_tokens].
            offsets: Where each text starts, and the end, int64 [n_texts + 1]; every text has at least one token.

        Returns:
            Probabilities in the order of the texts, float32 [n_texts, classes].
        """
        return self._run(self._probabilities, int(self._network.classifier.out_features), ids, offsets)

    def features(self, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what feeds the classifier layer, float32 [n_texts, width]; the arguments are those of scoring."""
        return self._run(self._network.summary, self.width, ids, offsets)

    def _probabilities(self, batch: Batch) -> Tensor:
        logits: Tensor = self._network(batch) / self.temperature
        return logits.sigmoid() if self.many else logits.softmax(dim=1)

    @torch.inference_mode()
    def _run(
        self, compute: Callable[[Batch], Tensor], width: int, ids: NDArray[np.int32], offsets: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return what is computed of each text, float32 [n_texts, width]."""
        lengths = np.diff(offsets)
        found = np.empty((len(lengths), width), np.float32)
        with full_precision():
            for rows in batches_of_tokens(lengths, _BATCH_TOKENS):
                found[rows] = compute(pack(ids, offsets, rows).to(self.device)).float().cpu().numpy()
        return found
