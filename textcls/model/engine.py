"""The engine that scores encoded texts with torch, on a GPU where there is one."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from textcls.artifact import Artifact
from textcls.model.device import full_precision, resolve_device
from textcls.model.network import Network
from textcls.model.packing import batches_of_tokens, pack

_BATCH_TOKENS = 262_144  # of packed tokens; enough to fill a GPU, little enough for its memory


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
        self._network = Network(artifact.config.model, len(artifact.vocabulary), len(artifact.labels)).eval()
        self._network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in artifact.weights.items()})
        self._network.to(self.device)

    @torch.inference_mode()
    def __call__(self, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score texts.

        Args:
            ids: Token ids of all texts, int32 [n_tokens].
            offsets: Where each text starts, and the end, int64 [n_texts + 1]; every text has at least one token.

        Returns:
            Probabilities in the order of the texts, float32 [n_texts, classes].
        """
        lengths = np.diff(offsets)
        scores = np.empty((len(lengths), self._network.classifier.out_features), np.float32)
        with full_precision():
            for rows in batches_of_tokens(lengths, _BATCH_TOKENS):
                logits = self._network(pack(ids, offsets, rows).to(self.device)) / self.temperature
                probabilities = logits.sigmoid() if self.many else logits.softmax(dim=1)
                scores[rows] = probabilities.float().cpu().numpy()
        return scores
