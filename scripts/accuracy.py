"""Accuracy of textcls beside others, over several seeds, on the data sets that TEXTCLS_DATA holds.

    python scripts/accuracy.py                    every row, validation scores
    python scripts/accuracy.py trec sst2          some rows
    python scripts/accuracy.py --only ours        one of the contestants; may be repeated
    python scripts/accuracy.py --small            60, 200 and 1,000 rows of trec, bbc and banking77
    python scripts/accuracy.py --test             test too; each such reading is put on record in scripts/results.json
    python scripts/accuracy.py --readme           write the table of the last recorded test scores into README.md

"nothing set" names the data and has textcls's defaults. The settings of "ours" are those of `configs/`: their sizes and epochs come
from earlier work on the same data, which had looked at test; what was chosen here was chosen on validation alone.
"""

from __future__ import annotations

import argparse
import fcntl
import importlib.util
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from _peers import CONTESTANTS, Scores, Task

import textcls
from textcls.config import Config, load_config, parse_overrides
from textcls.data import load_splits
from textcls.data.splits import split_rows
from textcls.errors import ConfigError, TextclsError
from textcls.files import write_text

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "scripts" / "results.json"
GLOVE = "glove.6B.50d.subset.txt.gz"
SeedScores = dict[str, list[float]]
"""A contestant's scores by split, one for each seed."""
FOLDS = 10
SLOW = {"training.learning_rate": 0.002}
CHINESE = SLOW | {"text.tokenizer": "spacy", "text.language": "zh", "model.ngram_slots": 262144}
NGRAMS = {"model.ngram_slots": 65536}
SHORT = SLOW | NGRAMS | {"text.vectors": GLOVE, "model.pooling": "final+max", "training.consistency": 1.0}
# Many phrases are one word: where it is dropped, nothing is left to learn from.
PHRASES = {"training.epochs": 8, "training.consistency": 0.0, "training.word_dropout": 0.0}
LONG = {"text.max_tokens": 400, "model.pooling": "final+max", "training.epochs": 8}


@dataclass(frozen=True)
class Row:
    """One row of the table: a data set of TEXTCLS_DATA, and what differs from its config, or from the defaults without one.

    Attributes:
        dataset: First part of its files' names.
        config: Its settings in `configs/`.
        settings: What differs from them.
        metric: What scores.
        train: The split whose rows are trained on.
        folds: Parts of a cross-validation; without one the splits are those of the files, or cut by the settings.
        rows: How many of the training rows there are, in `FOLDS` random draws; all of them where 0.
    """

    dataset: str
    config: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    metric: str = "accuracy"
    train: str = "train"
    folds: int = 0
    rows: int = 0


ROWS = {
    "trec": Row("trec", "trec"),
    "sst2": Row("sst2", "sst2"),
    "sst2_phrases": Row("sst2", "sst2", PHRASES, train="train_phrases"),
    "mr": Row("mr", "sst2", train="all", folds=FOLDS),
    "banking77": Row("banking77", "banking77"),
    "bbc": Row("bbc", "bbc_news", train="all"),
    "sms_spam": Row("sms_spam", settings=SHORT | {"data.test_share": 0.2}, train="all"),
    "ag_news_20k": Row("ag_news_20k", "ag_news", {"data.test_share": 0.2}),
    "goemotions": Row("goemotions", "goemotions", metric="macro_f1"),
    "chnsenticorp": Row("chnsenticorp_htl", settings=CHINESE | LONG | {"data.test_share": 0.1}, train="all"),
    "thucnews": Row("thucnews_titles", settings=CHINESE, train="validation"),
}


SIZES = (60, 200, 1000)
SMALL = {f"{name}, {rows:,} rows": replace(ROWS[name], rows=rows) for name in ("trec", "bbc", "banking77") for rows in SIZES}
MOST_OF_REST = 2000  # rows that were not drawn, to score where test is not read
OF_SMALL = ("nothing set", "majority", "TF-IDF + LR", "TF-IDF + SVM")


def main() -> None:
    """Score the rows that were asked for, a line for each contestant as it ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all of them where none is named")
    parser.add_argument("--only", action="append", metavar="NAME", help=f"of {', '.join(CONTESTANTS)}")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument(
        "--first-seed", type=int, default=0, help="the first of them; from 1 on, test scores join those on record"
    )
    parser.add_argument("--folds", type=int, default=FOLDS, help="of a cross-validation; fewer give a quick look")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads of our runs; every core where not given")
    parser.add_argument("--small", action="store_true", help="learn from few rows, and compare with the linear models")
    parser.add_argument("--test", action="store_true", help="score test too, and put the reading on record")
    parser.add_argument("--readme", action="store_true", help="write the recorded table into README.md, and train nothing")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change a setting in every row")
    arguments = parser.parse_args()
    try:
        if arguments.readme:
            write_readme()
        else:
            with glove_at_hand():
                train_and_score(arguments)
    except TextclsError as error:
        parser.error(str(error))


@contextmanager
def glove_at_hand() -> Iterator[None]:
    """Put the vectors of TEXTCLS_DATA where `text.vectors: auto` looks for them."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "vectors").mkdir()
        Path(folder, "vectors", "glove.6B.50d.txt.gz").symlink_to(Path(os.environ.get("TEXTCLS_DATA", ""), GLOVE).resolve())
        os.environ["TEXTCLS_CACHE"] = folder
        yield


def train_and_score(arguments: argparse.Namespace) -> None:
    """Train what is asked for; put each reading of test on record as soon as it is made.

    Raises:
        ConfigError: What is asked for makes no sense, or its data are not there.
    """
    names = wanted(arguments)
    commit = commit_of_files() if arguments.test else None  # of what is imported now, whatever is committed until the end
    for row in dict.fromkeys(arguments.rows or (SMALL if arguments.small else ROWS)):
        for name, scores in score_row(row, names, arguments):
            if commit is not None:
                record(row, commit, arguments.first_seed, name, scores)


def wanted(arguments: argparse.Namespace) -> list[str]:
    """Return the contestants that are asked for and can be had."""
    for what, asked, known in (("row", arguments.rows, ROWS | SMALL), ("contestant", arguments.only or [], CONTESTANTS)):
        if unknown := set(asked) - set(known):
            raise ConfigError(f"there is no {what} {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if arguments.seeds < 1 or arguments.first_seed < 0 or not 1 <= arguments.folds <= FOLDS:
        raise ConfigError(f"--seeds is at least 1, --first-seed at least 0, --folds 1 to {FOLDS}")
    if arguments.test and (arguments.set or arguments.folds != FOLDS):
        raise ConfigError("test is read with the settings of the configs and all folds: leave --set and --folds out")
    if arguments.test and Path(textcls.__file__).parent.parent != ROOT:
        raise ConfigError("textcls is imported from another checkout than this script: set PYTHONPATH to this one")
    if "TEXTCLS_DATA" not in os.environ:
        raise ConfigError("TEXTCLS_DATA is not set: name the folder with the data sets")
    names = list(dict.fromkeys(arguments.only or (OF_SMALL if arguments.small else CONTESTANTS)))
    if "fastText" in names and not importlib.util.find_spec("fasttext"):
        print("fastText is not installed (pip install 'textcls[bench]'): left out")
        names.remove("fastText")
    return [name for name in names if CONTESTANTS[name][1] or not arguments.first_seed]  # no further seed for what knows none


def score_row(name: str, contestants: Sequence[str], arguments: argparse.Namespace) -> Iterator[tuple[str, SeedScores]]:
    """Train each contestant with each seed that matters to it; yield its name, and its scores by split, a list over the seeds.

    Raises:
        ConfigError: The row's data are not in TEXTCLS_DATA.
    """
    row = (ROWS | SMALL)[name]
    tasks = list(tasks_of(row, Path(os.environ["TEXTCLS_DATA"]), arguments))
    splits = tasks[0].scored
    if arguments.test and "test" not in splits:
        raise ConfigError(f"{name}: its test rows are not in TEXTCLS_DATA")
    for contestant in contestants:
        train, seeded = CONTESTANTS[contestant]
        seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds) if seeded else range(1)
        started = time.perf_counter()
        runs: list[list[Scores]] = [[train(task, seed) for task in tasks] for seed in seeds]
        seconds = (time.perf_counter() - started) / len(seeds)
        scores = {split: [statistics.mean(fold[split] for fold in run) for run in runs] for split in splits}
        shown = ", ".join(f"{split} {spread(found)}" for split, found in scores.items())
        yield contestant, scores  # before it is shown, so that no test score is seen that is not on record
        print(f"{name}, {contestant}: {shown}; {seconds:.0f} s a run", flush=True)


def tasks_of(row: Row, folder: Path, arguments: argparse.Namespace) -> Iterator[Task]:
    """Yield what is to be learnt: one task, or one for each fold, where every tenth row (of ten folds) is test in its turn."""
    config = row_config(row, folder, arguments)
    if row.rows:
        yield from tasks_of_few(row, config, arguments)
        return
    if not row.folds:
        splits = load_splits(config.data)
        scored = {"validation": splits.validation, "test": splits.test if arguments.test else None}
        parts = {split: rows for split, rows in scored.items() if rows is not None}
        yield Task(config, row.metric, splits.train, parts, "validation" in splits.cut)
        return
    everything = load_splits(config.data.model_copy(update={"validation_share": 0.0})).train
    numbers = np.arange(len(everything))
    for fold in range(min(row.folds, arguments.folds)):
        others = everything.select(numbers[numbers % row.folds != fold])
        cut = split_rows(others, config.data.validation_share, 0.0, config.data.split_seed)
        parts = {"validation": others.select(cut.validation)}
        if arguments.test:
            parts["test"] = everything.select(numbers[numbers % row.folds == fold])
        yield Task(config, row.metric, others.select(cut.train), parts)


def tasks_of_few(row: Row, config: Config, arguments: argparse.Namespace) -> Iterator[Task]:
    """Yield tasks of some rows drawn at random; scored are those that were not drawn, or test."""
    splits = load_splits(config.data.model_copy(update={"validation_share": 0.0}))
    for draw in range(min(FOLDS, arguments.folds)):
        order = np.random.default_rng(draw).permutation(len(splits.train))
        drawn = splits.train.select(np.sort(order[: row.rows]))
        cut = split_rows(drawn, config.data.validation_share, 0.0, config.data.split_seed)
        rest = {"rest": splits.train.select(np.sort(order[row.rows :][:MOST_OF_REST]))}
        scored = {"test": splits.test} if arguments.test and splits.test is not None else rest
        yield Task(config, row.metric, drawn.select(cut.train), {"validation": drawn.select(cut.validation), **scored})


def row_config(row: Row, folder: Path, arguments: argparse.Namespace) -> Config:
    """Return the row's settings, with local files."""
    config = load_config(ROOT / "configs" / f"{row.config}.yaml") if row.config else Config()
    changes: dict[str, Any] = {"data.label": None, "training.threads": arguments.threads}
    for split in ("train", "validation", "test"):
        file = folder / f"{row.dataset}-{row.train if split == 'train' else split}.parquet"
        changes[f"data.{split}"] = str(file) if file.exists() and (split, split) != (row.train, "validation") else None
    changes |= row.settings
    vectors = changes.get("text.vectors", config.text.vectors)
    config = config.replace(changes | {"text.vectors": None if vectors in {None, "auto"} else str(folder / GLOVE)})
    return config.replace(parse_overrides(arguments.set))


def spread(scores: Sequence[float]) -> str:
    """Return the mean and the range of several seeds, in percent."""
    mean = f"{100 * statistics.mean(scores):.1f}"
    return mean if len(scores) == 1 else f"{mean} ({100 * min(scores):.1f}–{100 * max(scores):.1f})"


def commit_of_files() -> str:
    """Return the commit of this checkout, and whether files differ from it.

    Raises:
        ConfigError: There is none.
    """
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    if head.returncode:
        raise ConfigError("a reading of test names its commit, and there is none here: run it in a clone with git")
    differs = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "textcls", "configs", "scripts/*.py"], cwd=ROOT)
    return head.stdout.strip() + ("-changed" if differs.returncode else "")


def record(row: str, commit: str, first_seed: int, contestant: str, scores: SeedScores) -> None:
    """Append a reading of test to the record, with its date and the commit that it was made with."""
    reading = {"row": row, "date": time.strftime("%Y-%m-%d"), "commit": commit, "first_seed": first_seed}
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed: another run may end at this moment
        readings = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else []
        readings.append({**reading, "metric": (ROWS | SMALL)[row].metric, contestant: scores})
        write_text(RESULTS, json.dumps(readings, indent=1, ensure_ascii=False) + "\n")


def readings_of_test() -> dict[tuple[str, str], list[float]]:
    """Return the last scores on record by row and contestant, over the seeds; a reading of later seeds joins what was read before.

    Raises:
        ConfigError: Seeds between them were never read.
    """
    last: dict[tuple[str, str], list[float]] = {}
    for reading in json.loads(RESULTS.read_text(encoding="utf-8")):
        first = reading.get("first_seed", 0)
        for name in CONTESTANTS.keys() & reading.keys():
            test, key = reading[name]["test"], (reading["row"], name)
            before = last.get(key, [])[:first]
            if len(before) < first:
                raise ConfigError(f"{RESULTS.name}: {name} on {reading['row']} has seed {first}, but not seed {len(before)}")
            last[key] = before + (test if isinstance(test, list) else [test])  # the first readings had no list of one
    return last


def write_readme() -> None:
    """Put each contestant's last reading of each row into the tables of README.md.

    Raises:
        ConfigError: The record lacks seeds, or README.md has no place for the table.
    """
    last = readings_of_test()
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name, rows in (("accuracy", ROWS), ("small data", SMALL)):
        before, start, rest = text.partition(f"<!-- {name} table -->")
        _, end, after = rest.partition(f"<!-- end of the {name} table -->")
        if not (start and end):
            raise ConfigError(f"README.md has no lines <!-- {name} table --> and <!-- end of the {name} table -->")
        text = f"{before}{start}\n{table(rows, last)}\n{end}{after}"
    write_text(readme, text)


def table(rows: Mapping[str, Row], last: Mapping[tuple[str, str], list[float]]) -> str:
    """Return the scores on record of some rows as Markdown."""
    names = [name for name in CONTESTANTS if not name.startswith("ours") and any((row, name) in last for row in rows)]
    called = {"nothing set": "textcls, nothing set", "hand-written": "hand-written BiLSTM"}
    lines = [f"| data set | {' | '.join(called.get(name, name) for name in names)} |", f"|---|{'---:|' * len(names)}"]
    for row, settings in rows.items():
        found = {name: last[row, name] for name in names if (row, name) in last}
        if not found:
            continue
        best = max(map(statistics.mean, found.values()))
        cells = [spread(found[name]) if name in found else "–" for name in names]
        bold = [name in found and statistics.mean(found[name]) == best for name in names]
        cells = [f"**{cell}**" if is_best else cell for cell, is_best in zip(cells, bold, strict=True)]
        what = row if settings.metric == "accuracy" else f"{row} ({settings.metric.replace('_', '-').replace('f1', 'F1')})"
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
