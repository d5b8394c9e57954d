"""The pictures of a run are drawn, or a note says why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from textcls.evaluation.confusion import plot_confusion_matrix
from textcls.training.pictures import drawn
from textcls.training.results import Results


def test_characters_without_a_font_are_told(tmp_path: Path) -> None:
    matrix = np.array([[3, 1], [2, 4]])
    results = Results(tmp_path, ["a.png", "b.png"], force=False)
    told = list(drawn(results, "a.png", lambda path: plot_confusion_matrix(matrix, ["a", "\U00016a40"], path)))
    assert [note.text for note in told] == ["a.png: some characters are boxes there, for no font on this machine has them"]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert not list(drawn(results, "b.png", lambda path: plot_confusion_matrix(matrix, ["a", "b"], path)))
