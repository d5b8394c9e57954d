"""What a network gives for a whole split, while it is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textcls.errors import TrainingError
from textcls.evaluation import choose_thresholds, evaluate_blocks, in_single_precision, probabilities_of
from textcls.model import Network, pack
from textcls.model.device import full_precision
from textcls.model.packing import batches_of_tokens
from textcls.storage import row_blocks
from textcls.text import Encoded
from textcls.training.batches import LabelledSplit

_SCORE_TOKENS = 16_384  # of one batch; the LSTM on the CPU takes about 100 bytes a hidden unit for each


@torch.inference_mode()
@full_precision()
def score(network: Network, encoded: Encoded) -> NDArray[np.float32]:
    """Return the logits of a split with the network as it is, dropouts off, float32 [n, classes]."""
    network.eval()
    device = next(network.parameters()).device
    logits = np.empty((len(encoded), network.classifier.out_features), np.float32)
    for rows in batches_of_tokens(encoded.lengths, _SCORE_TOKENS):
        logits[rows] = network(pack(encoded.ids, encoded.offsets, rows).to(device)).float().cpu().numpy()
    return logits


def validation_metrics(network: Network, validation: LabelledSplit) -> dict[str, Any]:
    """Evaluate the network as it is on the validation split, with the thresholds that are best there.

    Raises:
        TrainingError: Its weights are such that a logit is infinite or NaN.
    """
    logits = score(network, validation.encoded)
    if not np.isfinite(logits).all():
        raise TrainingError("the logits of validation rows are no longer finite numbers: lower training.learning_rate")
    many, targets = validation.many, validation.targets
    thresholds = best_thresholds(probabilities_of(logits, many=True), validation) if many else None
    blocks = ((probabilities_of(logits[rows], many=many), targets[rows]) for rows in row_blocks(*logits.shape))
    report = evaluate_blocks(blocks, validation.labels, thresholds)
    return {name: value for name, value in report.items() if name != "per_class"}


def best_thresholds(probabilities: NDArray[np.float64], split: LabelledSplit) -> NDArray[np.float32] | None:
    """Choose the threshold of each label on a split, float32 [classes]; None where a text has one label."""
    if not split.many:
        return None
    known = split.targets[:, : probabilities.shape[1]].astype(np.bool_)
    return in_single_precision(choose_thresholds(probabilities.astype(np.float32), known))
