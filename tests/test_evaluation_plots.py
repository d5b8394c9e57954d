from __future__ import annotations

import errno
import os
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

import textcls.evaluation
from textcls.evaluation.confusion import plot_confusion_matrix, write_confusions
from textcls.evaluation.label_plot import plot_labels
from textcls.evaluation.plots import compact, plot_learning_curves, plot_reliability
from textcls.evaluation.search_plot import plot_search


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


@pytest.mark.parametrize("n", [20, 30])
@pytest.mark.slow
def test_confusion_matrix_names_every_label(tmp_path: Path, drawn: list[Figure], n: int) -> None:
    labels = [f"a label of a rather long name that goes on and on, number {i}" for i in range(n)]
    plot_confusion_matrix(np.eye(n, dtype=np.int64), labels, tmp_path / "matrix.png")
    width, height = size(tmp_path / "matrix.png")
    assert max(width, height) < 3500
    names = [tick.get_text() for tick in drawn[0].axes[0].get_xticklabels()]
    assert (len(names), len(set(names)), max(map(len, names))) == (n, n, 30)


def test_confusion_matrix_of_more_labels_has_the_confused_ones_and_counts_the_others(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    n = 154
    matrix, labels = 50 * np.eye(n, dtype=np.int64), [f"label {i}" for i in range(n)]
    matrix[7, 100], matrix[100, 90], matrix[3, 4] = 9, 8, 1
    matrix[40:60, 61:81] += np.eye(20, dtype=np.int64) * 2
    plot_confusion_matrix(matrix, labels, tmp_path / "matrix.png")
    assert max(size(tmp_path / "matrix.png")) < 3500
    axes = drawn[0].axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names[:5] == ["label 7", "label 100", "label 90", "label 40", "label 61"]
    assert (len(names), names[-1]) == (31, "the 124 others")
    assert "label 3" not in names
    counts = [int(text.get_text().replace(",", "")) for text in axes.texts if text.get_text().replace(",", "").isdigit()]
    assert sum(counts) == matrix.sum()
    assert f"{matrix.trace() / matrix.sum():.1%} of 7,758 texts classified correctly" in texts(drawn[0])
    said = "the 30 of 154 labels with the most confusions; commonest error: label 7 taken for label 100, 9 of 59"
    assert said in texts(drawn[0])


@pytest.mark.parametrize(("n", "others"), [(2, "1 other pair"), (12, "11 other pairs"), (154, "153 other pairs")])
def test_confusions_that_are_equally_common_are_counted(tmp_path: Path, drawn: list[Figure], n: int, others: str) -> None:
    labels = [f"label {i}" for i in range(n)]
    matrix = 9 * np.eye(n, dtype=np.int64) + np.roll(np.eye(n, dtype=np.int64), 1, axis=1)
    plot_confusion_matrix(matrix, labels, tmp_path / "matrix.png")
    said = f"commonest errors: label 0 taken for label 1, 1 of 10, and {others} as often"
    assert any(text.endswith(said) for text in texts(drawn[0]))


def test_many_labels_without_a_confusion_are_drawn(tmp_path: Path, drawn: list[Figure]) -> None:
    plot_confusion_matrix(np.eye(40, dtype=np.int64), list(map(str, range(40))), tmp_path / "matrix.png")
    assert "the 30 of 40 labels with the most confusions; no errors" in texts(drawn[0])


def test_the_table_of_confusions_has_every_pair_the_worst_first(tmp_path: Path) -> None:
    matrix = np.array([[5, 1, 0], [3, 6, 1], [0, 0, 0]])
    write_confusions(matrix, ["a", "b, c", "d"], tmp_path / "table.csv")
    expected = 'label,predicted,rows,share\n"b, c",a,3,0.3000\na,"b, c",1,0.1667\n"b, c",d,1,0.1000\n'
    assert (tmp_path / "table.csv").read_text() == expected


@pytest.mark.filterwarnings("ignore::textcls.evaluation.drawing.MissingGlyphs")
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


def test_bins_of_a_few_predictions_are_no_bars(tmp_path: Path, drawn: list[Figure]) -> None:
    top = np.repeat([0.55, 0.75, 0.95], [2, 20, 100])
    plot_reliability(np.stack([top, 1 - top], 1), np.zeros(122, np.int64), tmp_path / "small.png")
    axes, histogram = drawn[0].axes
    assert len(axes.patches) == 2
    assert "fewer than 10 predictions (chance)" in texts(drawn[0])
    assert [text.get_text() for text in histogram.texts] == ["2", "20", "100"]


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0"), (999, "999"), (1000, "1.0k"), (9949, "9.9k"), (9950, "10k"), (999_499, "999k"), (1_500_000, "1.5M")],
)
def test_counts_are_short(count: int, said: str) -> None:
    assert compact(count) == said


@pytest.mark.slow
def test_many_labels_have_a_picture_each_up_to_twelve(tmp_path: Path, drawn: list[Figure]) -> None:
    draw = np.random.default_rng(0)
    probabilities = draw.random((200, 30)) * 0.6
    targets = draw.random((200, 31)) < 0.2
    targets[:, 5] = probabilities[:, 5] < 0.5  # the worst
    plot_labels(probabilities, targets, [f"label {i}" for i in range(31)], [0.5] * 30, tmp_path / "many.png")
    assert max(size(tmp_path / "many.png")) < 2500
    shown = [axes for axes in drawn[0].axes if axes.get_visible()]
    assert len(shown) == 12
    assert shown[0].get_title(loc="left") == "label 5"
    found = (targets[:, 5] & (probabilities[:, 5] >= 0.5)).sum()
    wrongly = (~targets[:, 5] & (probabilities[:, 5] >= 0.5)).sum()
    assert f"found {found} of {targets[:, 5].sum()}, wrongly given {wrongly}" in texts(drawn[0])
    assert "Where the model errs: the 12 labels with the most errors, of 30" in texts(drawn[0])
    plot_labels(probabilities[:, :1], targets[:, :1], ["only"], [0.5], tmp_path / "one.png")
    assert "Where the model errs: the labels, the worst first" in texts(drawn[1])


def trial(number: int, score: float | None, rate: float, ending: str = "finished") -> dict[str, Any]:
    settings = {"training.learning_rate": rate, "training.average": 0.99, "training.class_weights": "none"}
    return {"trial": number, "origin": "search", "ending": ending, "score": score, "searched_seconds": 60.0 * number} | settings


@pytest.mark.parametrize(("metric", "best"), [("macro_f1", "0.9000"), ("log_loss", "0.2000")])
def test_a_search_states_its_best_and_leaves_the_worst_out_of_the_slices(
    metric: str, best: str, tmp_path: Path, drawn: list[Figure]
) -> None:
    scores = [0.9, 0.88, 0.87, 0.86, 0.2] if metric == "macro_f1" else [0.2, 0.22, 0.23, 0.24, 1.8]
    trials = [trial(5 - i, score, 10.0 ** (-1 - i), "pruned" if i == 2 else "finished") for i, score in enumerate(scores)]
    rows = [{**row, metric: row["score"]} for row in [*trials, trial(6, None, 0.5, "failed")]]
    rows[4]["origin"] = "given"
    kinds = {"training.learning_rate": "log", "training.average": "choice", "training.class_weights": "choice"}
    plot_search(rows, metric, kinds, tmp_path / "search.png")
    size(tmp_path / "search.png")
    shown = texts(drawn[0])
    assert any(text.startswith("Best validation ") and text.endswith(best) for text in shown)
    assert {"of 6 trials; each setting that was tried stands below", "as given", "learning rate"} <= {*shown}
    assert "class weights" not in shown  # all trials had the same
    progress, rates = drawn[0].axes[0], drawn[0].axes[1]
    line = [float(value) for value in np.asarray(progress.lines[0].get_ydata())]
    assert line == [*reversed(scores), scores[0]]  # the best one so far, until the search ended
    dots = np.concatenate([np.asarray(line.get_xdata(), float) for line in rates.lines[:2]])
    assert sorted(dots) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])  # that of 1e-5 lies far below the others


def test_a_search_among_class_weights_is_drawn(tmp_path: Path, drawn: list[Figure]) -> None:
    weighted = trial(5, 0.6, 0.1) | {"training.class_weights": {"neg": 1.0, "pos": 2.0}}
    rows = [weighted, *(trial(i, 0.5 + i / 100, 0.1) for i in (4, 3, 2, 1))]
    plot_search(rows, "score", {"training.class_weights": "choice"}, tmp_path / "search.png")
    assert {"given", "none"} <= {*texts(drawn[0])}


def test_two_trials_show_no_setting(tmp_path: Path, drawn: list[Figure]) -> None:
    rows = [trial(2, 0.6, 0.2), trial(1, 0.5, 0.1)]
    plot_search(rows, "score", {"training.learning_rate": "log", "training.average": "choice"}, tmp_path / "search.png")
    assert len(drawn[0].axes) == 1
    assert "of 2 trials; too few to show what a setting does" in texts(drawn[0])


def test_a_search_of_one_trial_is_drawn(tmp_path: Path) -> None:
    plot_search([trial(1, 0.5, 0.1)], "score", {"training.learning_rate": "log"}, tmp_path / "search.png")
    size(tmp_path / "search.png")


def test_a_failed_save_leaves_the_old_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "curves.png"
    path.write_bytes(b"old")

    def half(self: Figure, target: Path, **kwargs: Any) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "disk full")

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


JUPYTERS = "module://matplotlib_inline.backend_inline"


@pytest.mark.parametrize(
    ("backend", "first"),
    [
        *((JUPYTERS, name) for name in ("confusion", "labels", "curves", "reliability", "search")),
        ("TkAgg", "curves"),
        ("no", "curves"),
    ],
)
def test_pictures_are_drawn_whatever_the_backend_of_the_environment(backend: str, first: str, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("text.usetex: true\nfont.size: 40\n")  # LaTeX, which is not there
    code = """if True:
        import os, pathlib, numpy as np
        from textcls.evaluation.confusion import plot_confusion_matrix
        from textcls.evaluation.label_plot import plot_labels
        from textcls.evaluation.plots import plot_learning_curves, plot_reliability
        from textcls.evaluation.search_plot import plot_search
        scores, here = np.full((4, 2), 0.5), pathlib.Path(os.environ["HERE"])
        row = {"trial": 1, "origin": "given", "ending": "finished", "score": 1.0, "searched_seconds": 1.0, "model.layers": 1}
        {
            "confusion": lambda: plot_confusion_matrix(np.eye(2, dtype=int), ["a", "b"], here / "1.png"),
            "labels": lambda: plot_labels(scores, scores > 1, ["a", "b"], [0.5, 0.5], here / "2.png"),
            "curves": lambda: plot_learning_curves([{"epoch": 1, "train_loss": 1.0}], here / "3.png"),
            "reliability": lambda: plot_reliability(scores, np.zeros(4, int), here / "4.png"),
            "search": lambda: plot_search([row], "score", {"model.layers": "linear"}, here / "5.png"),
        }[os.environ["FIRST"]]()
        assert os.environ["MPLBACKEND"] == os.environ["BACKEND"]
    """
    own = {"MPLBACKEND": backend, "BACKEND": backend, "HERE": str(tmp_path), "FIRST": first, "DISPLAY": ""}
    environment = {**os.environ, **own, "MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*.png"))) == 1


def test_evaluation_imports_neither_matplotlib_nor_scikit_learn() -> None:
    modules = ", ".join(
        f"textcls.evaluation.{path.stem}" for path in Path(textcls.evaluation.__file__).parent.glob("[a-z]*.py")
    )
    code = f"import sys, {modules}; print({{'torch', 'sklearn', 'matplotlib', 'scipy'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
