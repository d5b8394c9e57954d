"""`benchmark.py classify --fast`: the fast way beside the whole model and others, on test rows of real data, with their accuracy.

spaCy's textcat is trained for a moment only, for its speed; its accuracy is not told.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from _contestants import Classify, Labelled, fasttext_predict, ours, spacy_textcat, tfidf, void, write_texts
from _peers import FASTTEXT_CHOICES, Task, finish
from accuracy import ROWS, glove_at_hand, tasks_of

from textcls.artifact import Artifact, read_artifact, write_artifact
from textcls.config import Config
from textcls.data import Rows, label_text
from textcls.exports.quantized import quantize
from textcls.inference import Predictor, classify_files
from textcls.inference.graph import build_graph
from textcls.training import fit

SETS = ("ag_news_20k", "banking77", "sms_spam", "bbc", "sst2")
WHOLE, FAST, SPACY = "whole", "fast", "spaCy textcat"
Figures = dict[str, dict[str, float]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the race has of its own to the options of `classify`."""
    parser.add_argument(
        "--fast", action="store_true", help="compare the fast way of models trained with nothing set, on test rows"
    )
    parser.add_argument("--sets", nargs="+", default=SETS, metavar="NAME", help=f"with --fast, of {', '.join(SETS)}")
    parser.add_argument("--seeds", type=int, default=1, help="with --fast: models of each set, whose mean accuracy is told")
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="with --fast: keep the models there, and take them again")
    parser.add_argument("--epochs", type=int, help="with --fast: fewer than by default, for a quick look")
    parser.add_argument("--words", type=int, default=2_000_000, help="with --fast: in the rows, at most")


def main(arguments: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Train, classify and print; return the figures by data set and contestant."""
    found: dict[str, Any] = {}
    with glove_at_hand(), tempfile.TemporaryDirectory() as folder:
        for name in arguments.sets:
            asked = argparse.Namespace(test=True, set=[], threads=None, folds=1)
            (task,) = tasks_of(ROWS[name], data, asked)
            models = [model_of(task, name, seed, arguments) for seed in range(arguments.seeds)]
            found[name] = compare(task, models, arguments, Path(folder))
            show(name, found[name])
    return found


def model_of(task: Task, name: str, seed: int, arguments: argparse.Namespace) -> Artifact:
    """Train textcls with nothing set, or take what was trained before."""
    kept = arguments.models and arguments.models / f"{name}-{seed}"
    if kept and kept.exists():
        return read_artifact(kept)
    changes = {"training.seed": seed} | ({"training.epochs": arguments.epochs} if arguments.epochs else {})
    config = Config(data=task.config.data).replace(changes)
    artifact: Artifact = finish(fit(config, task.train, task.scored["validation"], validation_cut=task.cut)).artifact
    if kept:
        write_artifact(artifact, kept, "")
    return artifact


def compare(task: Task, models: Sequence[Artifact], arguments: argparse.Namespace, folder: Path) -> Figures:
    """Let everyone classify the test rows, repeated, in turns; return the figures of each."""
    test = task.scored["test"]
    texts, truth = labelled(test)
    words = statistics.mean(len(text.split()) for text in texts)
    rows = max(len(texts), min(arguments.rows, int(arguments.words / words)))
    runs = contestants(models[0], labelled(task.train), labelled(task.scored["validation"]), folder, arguments.only)
    source = write_texts(folder / "texts.csv", list(islice(cycle(texts), rows)))
    once, out = write_texts(folder / "once.csv", texts), folder / "out.csv"
    found: Figures = {name: {} for name in runs}
    for name, run in runs.items():
        run(once, out)  # also to warm it up
        if name != SPACY:
            found[name]["accuracy"] = share(labels_of(out), truth)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            started = time.process_time()
            run(source, out)
            seconds[name].append(time.process_time() - started)
    for name, taken in seconds.items():
        found[name]["rows_per_core_second"] = rows / statistics.median(taken)
        if name != WHOLE and WHOLE in seconds:
            found[name]["ratio"] = statistics.median(whole / one for whole, one in zip(seconds[WHOLE], taken, strict=True))
    for name, figures in both_ways(models, texts, truth).items():
        if name in found:
            found[name] |= figures
    return found


def both_ways(models: Sequence[Artifact], texts: list[str], truth: list[str]) -> Figures:
    """Return the mean accuracy of the whole models and of their fast way, and what share of the rows goes it."""
    whole, fast, share_short, changed = [], [], [], []
    for model in models:
        predictor = Predictor.from_artifact(model)
        names = [label_text(label) for label in predictor.labels]
        answers = [names[best] for best in predictor.predict(texts).probabilities.argmax(axis=1)]
        whole.append(share(answers, truth))
        if predictor.cascade is None:
            continue
        found = predictor.fast().predict(texts)
        assert found.linear is not None
        quick = [names[best] for best in found.probabilities.argmax(axis=1)]
        fast.append(share(quick, truth))
        changed.append(1 - share(quick, answers))
        share_short.append(float(found.linear.mean()))
    figures = {WHOLE: {"accuracy": statistics.mean(whole)}}
    if fast:
        figures[FAST] = {
            "accuracy": statistics.mean(fast),
            "share": statistics.mean(share_short),
            "changed": statistics.mean(changed),
        }
    return figures


def contestants(
    model: Artifact, train: Labelled, validation: Labelled, folder: Path, only: Sequence[str] | None
) -> dict[str, Classify]:
    """Return the classifiers by name, loaded or trained; the fast ones where the model has a fast way."""
    makers: dict[str, Callable[[], Classify]] = {WHOLE: lambda: ours(build_graph(model), folder / "whole.onnx")}
    if model.fast is not None:
        makers[FAST] = lambda: fast(model)
        makers["fast int8"] = lambda: ours(quantize(build_graph(model, fast=True)), folder / "fast.onnx")
    makers["TF-IDF + LR"] = lambda: tfidf(train)
    makers[SPACY] = lambda: spacy_textcat(train)
    if importlib.util.find_spec("fasttext"):
        makers["fastText"] = lambda: best_fasttext(train, validation, folder)
    return {name: make() for name, make in makers.items() if not only or name in only}


def best_fasttext(train: Labelled, validation: Labelled, folder: Path) -> Classify:
    """Return fastText with the settings, of four, that validation prefers."""
    source, out = write_texts(folder / "validation.csv", validation[0]), folder / "validation_out.csv"

    def quality(run: Classify) -> float:
        run(source, out)
        return share(labels_of(out), validation[1])

    return max((fasttext_predict(train, folder, **choice) for choice in FASTTEXT_CHOICES), key=quality)


def labelled(rows: Rows) -> Labelled:
    """Return texts and labels."""
    return list(rows.texts), [label_text(label) for label in rows.labels]


def fast(model: Artifact) -> Classify:
    """Classify as `textcls classify MODEL texts.csv --fast -o out.csv` does."""
    predictor = Predictor.from_artifact(model).fast()
    return lambda source, out: void(classify_files(predictor, [source], out, force=True))


def labels_of(out: Path) -> list[str]:
    """Return the column `label`."""
    with out.open(encoding="utf-8", newline="") as file:
        return [row["label"] for row in csv.DictReader(file)]


def share(found: Sequence[str], wanted: Sequence[str]) -> float:
    """Return the share of equal labels."""
    return sum(one == other for one, other in zip(found, wanted, strict=True)) / len(wanted)


def show(name: str, found: Figures) -> None:
    """Print the figures."""
    print(f"{name}: " + ("" if FAST in found else "no fast way, for want of validation rows"))
    for contestant, figures in found.items():
        ratio = f", {figures['ratio']:.2f} times the whole model" if "ratio" in figures else ""
        short = f"; {figures['share']:.1%} by n-grams alone, {figures['changed']:.2%} changed" if "share" in figures else ""
        accuracy = f", accuracy {figures['accuracy']:.4f}" if "accuracy" in figures else ""
        print(
            f"  {contestant:<14} {figures['rows_per_core_second']:>9,.0f} rows in a CPU-second{accuracy}{ratio}{short}",
            flush=True,
        )
