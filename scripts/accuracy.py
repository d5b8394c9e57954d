"""Accuracy of textcls beside others, over several seeds, on the data sets that TEXTCLS_DATA holds.

    python scripts/accuracy.py                    every row, validation scores
    python scripts/accuracy.py trec sst2          some rows
    python scripts/accuracy.py --only ours        one of the contestants; may be repeated
    python scripts/accuracy.py --test             test too; each such reading is put on record in scripts/results.json
    python scripts/accuracy.py --readme           write the table of the last recorded test scores into README.md

Settings are those of `configs/`. Their sizes and epochs come from earlier work on the same data, which had looked at test; what was
chosen here was chosen on validation alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from _peers import CONTESTANTS, Scores, Task

from textcls.config import Config, load_config, parse_overrides
from textcls.data import load_splits
from textcls.data.splits import split_rows

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "scripts" / "results.json"
GLOVE = "glove.6B.50d.subset.txt.gz"
README_START, README_END = "<!-- accuracy table -->", "<!-- end of the accuracy table -->"
CHINESE = {"text.tokenizer": "spacy", "text.language": "zh", "model.ngram_slots": 262144}
NGRAMS = {"model.ngram_slots": 65536}
SHORT = NGRAMS | {"text.vectors": GLOVE, "text.extend": 20000, "model.pooling": "final+max", "training.consistency": 1.0}
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
    """

    dataset: str
    config: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    metric: str = "accuracy"
    train: str = "train"
    folds: int = 0


ROWS = {
    "trec": Row("trec", "trec"),
    "sst2": Row("sst2", "sst2"),
    "sst2_phrases": Row("sst2", "sst2", PHRASES, train="train_phrases"),
    "mr": Row("mr", "sst2", train="all", folds=10),
    "banking77": Row("banking77", "banking77"),
    "bbc": Row("bbc", "bbc_news", train="all"),
    "sms_spam": Row("sms_spam", settings=SHORT | {"data.test_share": 0.2}, train="all"),
    "ag_news_20k": Row("ag_news_20k", "ag_news", {"data.test_share": 0.2}),
    "goemotions": Row("goemotions", "goemotions", metric="macro_f1"),
    "chnsenticorp": Row("chnsenticorp_htl", settings=CHINESE | LONG | {"data.test_share": 0.1}, train="all"),
    "thucnews": Row("thucnews_titles", settings=CHINESE, train="validation"),
}


def main() -> None:
    """Score the rows that were asked for, a line for each contestant as it ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all of them where none is named")
    parser.add_argument("--only", action="append", metavar="NAME", help=f"of {', '.join(CONTESTANTS)}")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument(
        "--first-seed", type=int, default=0, help="the first of them; from 1 on, test scores join those on record"
    )
    parser.add_argument("--folds", type=int, default=10, help="of a cross-validation; fewer give a quick look")
    parser.add_argument("--threads", type=int, default=None, help="CPU threads of our runs; every core where not given")
    parser.add_argument("--test", action="store_true", help="score test too, and put the reading on record")
    parser.add_argument("--readme", action="store_true", help="write the recorded table into README.md, and train nothing")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change a setting in every row")
    arguments = parser.parse_args()
    if arguments.readme:
        write_readme()
        return
    for what, asked, known in (("row", arguments.rows, ROWS), ("contestant", arguments.only or [], CONTESTANTS)):
        if unknown := set(asked) - set(known):
            parser.error(f"there is no {what} {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if arguments.test and (arguments.set or arguments.folds != parser.get_default("folds")):
        parser.error("test is read with the settings of the configs and all folds: leave --set and --folds out")
    if "TEXTCLS_DATA" not in os.environ:
        parser.error("TEXTCLS_DATA is not set: name the folder with the data sets")
    names = arguments.only or list(CONTESTANTS)
    if "fastText" in names and not importlib.util.find_spec("fasttext"):
        print("fastText is not installed (pip install 'textcls[bench]'): left out")
        names.remove("fastText")
    for row in arguments.rows or ROWS:
        result = score_row(row, names, arguments)
        if arguments.test:
            record(row, arguments.first_seed, result)


def score_row(name: str, contestants: Sequence[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Train each contestant with each seed that matters to it; return its scores by split, a list over the seeds."""
    row = ROWS[name]
    tasks = list(tasks_of(row, Path(os.environ["TEXTCLS_DATA"]), arguments))
    result: dict[str, Any] = {"metric": row.metric}
    for contestant in contestants:
        train, seeded = CONTESTANTS[contestant]
        if arguments.first_seed and not seeded:
            continue
        started, seeds = (
            time.perf_counter(),
            range(arguments.first_seed, arguments.first_seed + (arguments.seeds if seeded else 1)),
        )
        runs: list[list[Scores]] = [[train(task, seed) for task in tasks] for seed in seeds]
        seconds = (time.perf_counter() - started) / len(seeds)
        splits = tasks[0].scored
        result[contestant] = {split: [statistics.mean(fold[split] for fold in run) for run in runs] for split in splits}
        shown = ", ".join(f"{split} {spread(scores)}" for split, scores in result[contestant].items())
        print(f"{name}, {contestant}: {shown}; {seconds:.0f} s a run", flush=True)
    return result


def tasks_of(row: Row, folder: Path, arguments: argparse.Namespace) -> Iterator[Task]:
    """Yield what is to be learnt: one task, or one for each fold, where every tenth row (of ten folds) is test in its turn."""
    config = row_config(row, folder, arguments)
    if not row.folds:
        splits = load_splits(config.data)
        scored = {"validation": splits.validation, "test": splits.test if arguments.test else None}
        yield Task(config, row.metric, splits.train, {split: rows for split, rows in scored.items() if rows is not None})
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


def row_config(row: Row, folder: Path, arguments: argparse.Namespace) -> Config:
    """Return the row's settings, with local files."""
    config = load_config(ROOT / "configs" / f"{row.config}.yaml") if row.config else Config()
    changes: dict[str, Any] = {"data.label": None, "training.threads": arguments.threads}
    for split in ("train", "validation", "test"):
        file = folder / f"{row.dataset}-{row.train if split == 'train' else split}.parquet"
        changes[f"data.{split}"] = str(file) if file.exists() and (split, split) != (row.train, "validation") else None
    changes |= row.settings
    vectors = changes.get("text.vectors", config.text.vectors)
    config = config.replace(changes | {"text.vectors": str(folder / GLOVE) if vectors else None})
    return config.replace(parse_overrides(arguments.set))


def spread(scores: Sequence[float]) -> str:
    """Return the mean and the range of several seeds, in percent."""
    mean = f"{100 * statistics.mean(scores):.1f}"
    return mean if len(scores) == 1 else f"{mean} ({100 * min(scores):.1f}–{100 * max(scores):.1f})"


def record(name: str, first_seed: int, result: dict[str, Any]) -> None:
    """Append a reading of test to the record, with its date and commit, and whether files differed from that commit."""
    head = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(head, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    if subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "textcls", "configs", "scripts/*.py"], cwd=ROOT).returncode:
        commit += "-changed"
    readings = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    readings.append({"row": name, "date": time.strftime("%Y-%m-%d"), "commit": commit, "first_seed": first_seed, **result})
    RESULTS.write_text(json.dumps(readings, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_readme() -> None:
    """Put each contestant's last reading of each row into README.md, with the further seeds that were read after it."""
    last: dict[tuple[str, str], dict[int, float]] = {}
    for reading in json.loads(RESULTS.read_text(encoding="utf-8")):
        first = reading.get("first_seed", 0)
        for name in CONTESTANTS.keys() & reading.keys():
            test, key = reading[name]["test"], (reading["row"], name)
            scores = test if isinstance(test, list) else [test]  # the first readings had no list of one
            last[key] = (last.get(key, {}) if first else {}) | dict(enumerate(scores, first))
    names = [name for name in CONTESTANTS if any(name == known for _, known in last)]
    lines = [
        f"| data set | {' | '.join(names)} |".replace("ours", "textcls").replace("hand-written", "hand-written BiLSTM"),
        f"|---|{'---:|' * len(names)}",
    ]
    for row in ROWS:
        found = {name: list(last[row, name].values()) for name in names if (row, name) in last}
        if not found:
            continue
        best = max(map(statistics.mean, found.values()))
        cells = [spread(found[name]) if name in found else "–" for name in names]
        bold = [name in found and statistics.mean(found[name]) == best for name in names]
        cells = [f"**{cell}**" if is_best else cell for cell, is_best in zip(cells, bold, strict=True)]
        what = row if ROWS[row].metric == "accuracy" else f"{row} ({ROWS[row].metric.replace('_', '-').replace('f1', 'F1')})"
        lines.append(f"| {what} | {' | '.join(cells)} |")
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(README_START)
    _, _, after = rest.partition(README_END)
    readme.write_text(f"{before}{README_START}\n" + "\n".join(lines) + f"\n{README_END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
