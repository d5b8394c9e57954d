"""`TextClassifier` on columns of the `datasets` library, and within its `map`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import TinyRun
from datasets import Dataset

from textcls import TextClassifier

TEXTS = ["the team won twice", "a virus made news again", "", "our budget looks stronger"]


@pytest.fixture(scope="module")
def classifier(tiny_run: TinyRun) -> TextClassifier:
    return TextClassifier.load(tiny_run.model)


def test_a_column_is_classified_like_a_list(classifier: TextClassifier) -> None:
    column = Dataset.from_dict({"text": TEXTS})["text"]
    assert classifier.predict(column).tolist() == classifier.predict(TEXTS).tolist()
    assert classifier.predict_proba(column).tolist() == classifier.predict_proba(TEXTS).tolist()


def test_map_adds_the_labels_in_order(classifier: TextClassifier, tmp_path: Path) -> None:
    dataset = Dataset.from_dict({"text": TEXTS * 3, "n": list(range(12))})

    def label(batch: dict[str, list[Any]]) -> dict[str, Any]:
        return {"label": classifier.predict(batch["text"])}

    mapped = dataset.map(label, batched=True, batch_size=5, cache_file_name=str(tmp_path / "mapped.arrow"))
    assert mapped["n"][:] == list(range(12))
    assert mapped["label"][:] == classifier.predict(TEXTS).tolist() * 3
