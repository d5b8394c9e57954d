"""Accuracy of textcls beside baselines, over several seeds, on the data sets that TEXTCLS_DATA holds.

    python scripts/accuracy.py                  every row, validation scores
    python scripts/accuracy.py trec sst2        some rows
    python scripts/accuracy.py --test           test too; each such reading is put on record in scripts/results.json
    python scripts/accuracy.py --readme         write the table of the last recorded test scores into README.md

The baselines see our tokens and the same training rows. Settings are those of `configs/`. Their sizes and
epochs come from earlier work on the same data, which had looked at test; here they were tried on validation alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from textcls.config import Config, load_config
from textcls.data import LabelSet, Rows, load_splits
from textcls.evaluation import evaluate_predictions
from textcls.evaluation.baselines import majority, tfidf_linear_svm, tfidf_logistic_regression
from textcls.text import Encoder, encode_training
from textcls.training import EpochEnd, Event, fit
from textcls.training.fit import evaluate_rows

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "scripts" / "results.json"
GLOVE = "glove.6B.50d.subset.txt.gz"
README_START, README_END = "<!-- accuracy table -->", "<!-- end of the accuracy table -->"


@dataclass(frozen=True)
class Row:
    """One row of the table: a data set of TEXTCLS_DATA, and what differs from its config, or from the defaults without one."""

    dataset: str
    config: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    metric: str = "accuracy"
    train: str = "train"


ROWS = {
    "trec": Row("trec", "trec"),
    "sst2": Row("sst2", "sst2"),
    "banking77": Row("banking77", "banking77"),
    "chnsenticorp": Row(
        "chnsenticorp_htl",
        settings={"text.tokenizer": "spacy", "text.language": "zh", "text.max_tokens": 400, "data.test_share": 0.1},
        train="all",
    ),
    "bbc": Row("bbc", "bbc_news", train="all"),
    "sms_spam": Row("sms_spam", settings={"text.vectors": GLOVE, "data.test_share": 0.2}, train="all"),
}


def main() -> None:
    """Score the rows that were asked for, a line each as they end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all of them where none is named")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None, help="CPU threads of a run; every core where not given")
    parser.add_argument("--test", action="store_true", help="score test too, and put the reading on record")
    parser.add_argument("--readme", action="store_true", help="write the recorded table into README.md, and train nothing")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change a setting in every row")
    arguments = parser.parse_args()
    if arguments.readme:
        write_readme()
        return
    if unknown := set(arguments.rows) - set(ROWS):
        parser.error(f"there is no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    folder = os.environ.get("TEXTCLS_DATA")
    if folder is None:
        parser.error("TEXTCLS_DATA is not set: name the folder with the data sets")
    for name in arguments.rows or ROWS:
        result = score_row(ROWS[name], Path(folder), arguments)
        print(f"{name}: {summary(result)}", flush=True)
        if arguments.test:
            record(name, result)


def score_row(row: Row, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train each seed and each baseline; return their scores by split."""
    config = row_config(row, folder, arguments)
    splits = load_splits(config.data)
    asked = {"validation": splits.validation, "test": splits.test if arguments.test else None}
    scored = {split: rows for split, rows in asked.items() if rows is not None}
    result: dict[str, Any] = {"metric": row.metric, "ours": {}, "seconds": []}
    for seed in range(arguments.seeds):
        started = time.perf_counter()
        training = fit(config.replace({"training.seed": seed}), splits.train, splits.validation)
        while True:
            try:
                show(next(training))
            except StopIteration as end:
                fitted = end.value
                break
        result["seconds"].append(round(time.perf_counter() - started, 1))
        for split, rows in scored.items():
            report, _, _ = evaluate_rows(fitted, rows)
            result["ours"].setdefault(split, []).append(report[row.metric])
    for name, predictions in baselines(config, splits.train, scored):
        result.setdefault(name, {}).update({split: report[row.metric] for split, report in predictions.items()})
    return result


def row_config(row: Row, folder: Path, arguments: argparse.Namespace) -> Config:
    """Return the row's settings, with local files."""
    config = load_config(ROOT / "configs" / f"{row.config}.yaml", arguments.set) if row.config else Config()
    changes: dict[str, Any] = {"data.label": None, "training.threads": arguments.threads}
    for split in ("train", "validation", "test"):
        file = folder / f"{row.dataset}-{row.train if split == 'train' else split}.parquet"
        changes[f"data.{split}"] = str(file) if file.exists() else None
    changes |= row.settings
    vectors = changes.get("text.vectors", config.text.vectors)
    return config.replace(changes | {"text.vectors": str(folder / GLOVE) if vectors else None})


def baselines(config: Config, train: Rows, scored: dict[str, Rows]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each baseline's name and its report on each split."""
    labels = LabelSet.from_rows(train.single_labels)
    targets = labels.encode(train.single_labels)
    _, vocabulary, _ = encode_training(train.texts, config.text)
    encoder = Encoder.from_settings(config.text, vocabulary)
    train_tokens = [encoder.tokens(text) for text in train.texts]
    for split, rows in scored.items():
        together = labels.extended(rows.single_labels)
        truth = together.encode(rows.single_labels)
        tokens = [encoder.tokens(text) for text in rows.texts]
        predicted: dict[str, np.ndarray[Any, np.dtype[np.int64]]] = {
            "majority": majority(targets, len(rows)),
            "TF-IDF + LR": tfidf_logistic_regression(train_tokens, targets, tokens),
            "TF-IDF + SVM": tfidf_linear_svm(train_tokens, targets, tokens),
        }
        for name, classes in predicted.items():
            yield name, {split: evaluate_predictions(classes, truth, together.texts)}


def show(event: Event) -> None:
    """Print a dot for each epoch, so that a long run is seen to live."""
    if isinstance(event, EpochEnd):
        print(".", end="", file=sys.stderr, flush=True)


def summary(result: dict[str, Any]) -> str:
    """Return one line of scores."""
    parts = []
    for split in result["ours"]:
        parts.append(f"{split} {spread(result['ours'][split])}")
        parts += [f"{name} {100 * scores[split]:.1f}" for name, scores in result.items() if is_baseline(scores)]
    return ", ".join(parts) + f"; {statistics.mean(result['seconds']):.0f} s a run"


def is_baseline(scores: Any) -> bool:
    """Whether an entry of a result is a baseline's: one score a split."""
    return isinstance(scores, dict) and all(isinstance(score, float) for score in scores.values())


def spread(scores: list[float]) -> str:
    """Return the mean and the range of several seeds, in percent."""
    mean = f"{100 * statistics.mean(scores):.1f}"
    return mean if len(scores) == 1 else f"{mean} ({100 * min(scores):.1f}–{100 * max(scores):.1f})"


def record(name: str, result: dict[str, Any]) -> None:
    """Append a reading of test to the record, with its date and commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    readings = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    readings.append({"row": name, "date": time.strftime("%Y-%m-%d"), "commit": commit.stdout.strip(), **result})
    RESULTS.write_text(json.dumps(readings, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_readme() -> None:
    """Put the last reading of each row into README.md."""
    last = {reading["row"]: reading for reading in json.loads(RESULTS.read_text())}
    names = [name for name in next(iter(last.values())) if is_baseline(next(iter(last.values()))[name])]
    lines = [f"| data set | {' | '.join(names)} | textcls, mean (range) of seeds |", f"|---|{'---:|' * (len(names) + 1)}"]
    for row in (name for name in ROWS if name in last):
        means = [last[row][name]["test"] for name in names] + [statistics.mean(last[row]["ours"]["test"])]
        cells = [f"{100 * mean:.1f}" for mean in means[:-1]] + [spread(last[row]["ours"]["test"])]
        cells = [f"**{cell}**" if mean == max(means) else cell for cell, mean in zip(cells, means, strict=True)]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(README_START)
    _, _, after = rest.partition(README_END)
    readme.write_text(f"{before}{README_START}\n" + "\n".join(lines) + f"\n{README_END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
