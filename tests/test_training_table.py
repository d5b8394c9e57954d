"""The embedding table by blocks; that it learns as torch's AdamW would, `test_training_optimizer` shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from textcls.training.table import RowTable

WORDS, SIZE = 7, 3


def test_a_large_table_is_worked_on_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    start = torch.from_numpy(np.random.default_rng(0).normal(size=(WORDS, SIZE)).astype(np.float32))
    results = []
    for block in (2, 100):
        monkeypatch.setattr("textcls.training.table._BLOCK", block)
        table = RowTable(start.clone())
        for used in ([1, 2, 6], [3], [1]):
            types = torch.tensor(used)
            table.rows(types)
            table.step(torch.ones(len(used), SIZE), 0.1, 0.5)
        table.swap()
        results.append((table.table, table.average))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
