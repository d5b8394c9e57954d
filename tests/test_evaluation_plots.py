from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from textcls.evaluation.plots import plot_confusion_matrix, plot_learning_curves, plot_reliability, plot_search


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures saved during a test, as they were when saved."""
    figures: list[Figure] = []
    save = Figure.savefig

    def remember(self: Figure, *args: Any, **kwargs: Any) -> None:
        figures.append(self)
        save(self, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", remember)
    return figures


def texts(figure: Figure) -> list[str]:
    """Every text shown in a figure."""
    return [artist.get_text() for artist in figure.findobj(Text) if isinstance(artist, Text)]


def size(path: Path) -> tuple[int, int]:
    """Width and height in pixels of a picture that is not blank."""
    picture = imread(path)
    assert picture[..., :3].std() > 0.01
    return picture.shape[1], picture.shape[0]


def history(epochs: int) -> list[dict[str, Any]]:
    names = ("train_loss", "validation_loss", "macro_f1", "accuracy")
    return [
        {"epoch": e, "best": e in (1, 3), **{name: e / 10 + i for i, name in enumerate(names)}} for e in range(1, epochs + 1)
    ]


@pytest.mark.parametrize(("epochs", "best"), [(1, 1), (5, 3)])
def test_learning_curves_show_every_epoch_and_the_best(tmp_path: Path, drawn: list[Figure], epochs: int, best: int) -> None:
    plot_learning_curves(history(epochs), tmp_path / "curves.png")
    assert size(tmp_path / "curves.png") > (1000, 400)
    loss_axes, metric_axes = drawn[0].axes
    for axes, names in ((loss_axes, ["training", "validation"]), (metric_axes, ["macro-F1", "accuracy"])):
        lines = {str(line.get_label()): np.asarray(line.get_ydata()) for line in axes.lines}
        assert [len(lines[name]) for name in names] == [epochs, epochs]
        assert f"best epoch ({best})" in lines
    assert f"at the best epoch, {best}: macro-F1 {2 + best / 10:.3f}, accuracy {3 + best / 10:.3f}" in texts(drawn[0])


@pytest.mark.parametrize("before", [False, True])
def test_learning_curves_say_where_n_grams_are_not_in_them(tmp_path: Path, drawn: list[Figure], before: bool) -> None:
    plot_learning_curves(history(3), tmp_path / "curves.png", before_ngrams=before)
    assert ("Validation metrics, without n-grams" in texts(drawn[0])) == before


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"epoch": 1, "train_loss": 1.0}],
        [{"epoch": 1, "train_loss": float("nan")}, {"epoch": 2, "train_loss": 0.5, "macro_f1": None, "best": True}],
    ],
)
def test_learning_curves_bear_missing_values(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    plot_learning_curves(rows, tmp_path / "curves.png")
    assert size(tmp_path / "curves.png") > (1000, 400)


def test_confusion_matrix_states_counts_and_commonest_error(tmp_path: Path, drawn: list[Figure]) -> None:
    plot_confusion_matrix(np.array([[1234, 5], [6, 70]]), ["ham", "spam"], tmp_path / "matrix.png")
    size(tmp_path / "matrix.png")
    shown = texts(drawn[0])
    assert {"1,234", "5", "6", "70", "ham", "spam"} <= set(shown)
    assert "99.2% of 1,315 texts classified correctly" in shown
    assert "commonest error: spam taken for ham, 6 of 76" in shown
    image = np.asarray(drawn[0].axes[0].images[0].get_array())
    assert image.sum(axis=1) == pytest.approx([1, 1])


@pytest.mark.parametrize(("n", "named", "counted"), [(20, 20, True), (21, 21, False), (101, 51, False)])
def test_confusion_matrix_of_many_labels(tmp_path: Path, drawn: list[Figure], n: int, named: int, counted: bool) -> None:
    labels = [f"a label of a rather long name that goes on and on, number {i}" for i in range(n)]
    plot_confusion_matrix(np.eye(n, dtype=np.int64), labels, tmp_path / "matrix.png")
    width, height = size(tmp_path / "matrix.png")
    assert max(width, height) < 3500
    (axes,) = drawn[0].axes
    names = [tick.get_text() for tick in axes.get_xticklabels()]
    assert (len(names), len(set(names)), max(map(len, names))) == (named, named, 30)
    assert (len(axes.texts) >= n * n) == counted


def test_any_label_can_be_drawn(tmp_path: Path, drawn: list[Figure]) -> None:
    labels = ["财经", "", "\ud800\x00a\nb", "😀 हिन्दी العربية", "$\\frac{$"]
    plot_confusion_matrix(np.ones((5, 5), np.int64), labels, tmp_path / "图.png")
    size(tmp_path / "图.png")
    assert [tick.get_text() for tick in drawn[0].axes[0].get_yticklabels()] == [
        "财经",
        "",
        "a b",
        "😀 हिन्दी العربية",
        "$\\frac{$",
    ]


def test_confusion_matrix_without_rows(tmp_path: Path) -> None:
    plot_confusion_matrix(np.zeros((2, 2), np.int64), ["a", "b"], tmp_path / "matrix.png")
    size(tmp_path / "matrix.png")


def test_reliability_states_the_calibration_error(tmp_path: Path, drawn: list[Figure]) -> None:
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4]])
    plot_reliability(probabilities, np.array([0, 0, 0]), tmp_path / "one.png")
    plot_reliability(probabilities, np.eye(3, dtype=bool)[:, :2], tmp_path / "many.png")
    assert "Expected calibration error 0.400" in texts(drawn[0])
    assert "top label of each text, 3 predictions" in texts(drawn[0])
    assert "every label's probability, 6 predictions" in texts(drawn[1])
    size(tmp_path / "one.png")


def trial(number: int, score: float | None, rate: float, ending: str = "finished") -> dict[str, Any]:
    settings = {"training.learning_rate": rate, "training.average": 0.99, "training.class_weights": "none"}
    return {"trial": number, "origin": "search", "ending": ending, "score": score, "searched_seconds": 60.0 * number} | settings


@pytest.mark.parametrize(("metric", "best"), [("macro_f1", "0.9000"), ("log_loss", "0.2000")])
def test_a_search_states_its_best_and_leaves_the_worst_out_of_the_slices(
    metric: str, best: str, tmp_path: Path, drawn: list[Figure]
) -> None:
    scores = [0.9, 0.88, 0.87, 0.2] if metric == "macro_f1" else [0.2, 0.22, 0.23, 1.8]
    trials = [trial(4 - i, score, 10.0 ** (-1 - i), "pruned" if i == 2 else "finished") for i, score in enumerate(scores)]
    rows = [{**row, metric: row["score"]} for row in [*trials, trial(5, None, 0.5, "failed")]]
    rows[3]["origin"] = "given"
    kinds = {"training.learning_rate": "log", "training.average": "choice", "training.class_weights": "choice"}
    plot_search(rows, metric, kinds, tmp_path / "search.png")
    size(tmp_path / "search.png")
    shown = texts(drawn[0])
    assert any(text.startswith("Best validation ") and text.endswith(best) for text in shown)
    assert {"of 5 trials; each setting that was tried stands below", "as given", "learning rate", "class weights"} <= {*shown}
    progress, rates = drawn[0].axes[0], drawn[0].axes[1]
    line = [float(value) for value in np.asarray(progress.lines[0].get_ydata())]
    assert line == [*reversed(scores), scores[0]]  # the best one so far, until the search ended
    dots = np.concatenate([np.asarray(line.get_xdata(), float) for line in rates.lines[:2]])
    assert sorted(dots) == pytest.approx([1e-3, 1e-2, 1e-1])  # that of 1e-4 lies far below the others


def test_a_search_among_class_weights_is_drawn(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [trial(1, 0.5, 0.1), trial(2, 0.6, 0.1) | {"training.class_weights": {"neg": 1.0, "pos": 2.0}}]
    plot_search(rows, "score", {"training.class_weights": "choice"}, tmp_path / "search.png")
    assert {"given", "none"} <= {*texts(drawn[0])}


def test_a_search_of_one_trial_is_drawn(tmp_path: Path) -> None:
    plot_search([trial(1, 0.5, 0.1)], "score", {"training.learning_rate": "log"}, tmp_path / "search.png")
    size(tmp_path / "search.png")


def test_a_failed_save_leaves_the_old_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "curves.png"
    path.write_bytes(b"old")

    def half(self: Figure, target: Path, **kwargs: Any) -> None:
        Path(target).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(OSError, match="disk full"):
        plot_learning_curves(history(2), path)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("curves.png", b"old")]


@pytest.mark.parametrize(
    "call", [lambda p: plot_learning_curves([], p), lambda p: plot_confusion_matrix(np.eye(2, dtype=int), ["a", "b"], p)]
)
def test_a_missing_folder_is_an_os_error(tmp_path: Path, call: Callable[[Path], None]) -> None:
    with pytest.raises(OSError, match="nowhere"):
        call(tmp_path / "nowhere" / "picture.png")


def test_evaluation_imports_neither_matplotlib_nor_scikit_learn() -> None:
    modules = "textcls.evaluation, textcls.evaluation.plots, textcls.evaluation.baselines"
    code = f"import sys, {modules}; print({{'torch', 'sklearn', 'matplotlib', 'scipy'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
