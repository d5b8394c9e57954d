"""`benchmark.py grow`: what ten times the rows cost, in CPU-seconds an epoch and in memory.

A process of its own trains a small model on a csv file of short texts, as `textcls train` does: it reads, cuts, encodes, trains,
evaluates and writes. Its anonymous memory (`RssAnon`, Linux alone) is looked at every few milliseconds: pages of mapped files do not
count, for the system takes them back when it needs them. The vocabulary is kept to the same size, so that model and optimiser are too.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from textcls.config import Config
from textcls.training import EpochEnd, Event, Note, train

LABELS = ("art", "science", "sport", "travel")
FACTOR = 10
_LOOK_AGAIN = 0.005  # seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `benchmark.py grow`."""
    parser.add_argument("--rows", type=int, default=200_000, help=f"rows, and then {FACTOR} times as many")
    parser.add_argument("--epochs", type=int, default=3, help="passes over the rows; the median counts")
    parser.add_argument("--batch", type=int, default=256, help="texts a step")
    parser.add_argument("--hidden", type=int, default=8, help="units of one direction, and dimensions of the embedding table")
    parser.add_argument("--vocabulary", type=int, default=10_000, help="most tokens")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)  # training in a process of its own: the file
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")


def main(arguments: argparse.Namespace, texts: Iterable[str]) -> None:
    """Measure, or be what is measured."""
    if arguments.one:
        train_once(arguments)
        return
    few, many = (measure(rows, texts) for rows in (arguments.rows, FACTOR * arguments.rows))
    figures = {
        "few": few,
        "many": many,
        "ratio_cpu_seconds": round(many["cpu_seconds_per_epoch"] / few["cpu_seconds_per_epoch"], 2),
        "more_megabytes": round(many["peak_megabytes"] - few["peak_megabytes"], 1),
    }
    print(
        f"{FACTOR} times the rows: {figures['ratio_cpu_seconds']} times the CPU-seconds an epoch, "
        f"{figures['more_megabytes']} MB more anonymous memory"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def measure(rows: int, texts: Iterable[str]) -> dict[str, Any]:
    """Train on so many rows in a process of its own; return its CPU-seconds an epoch and its peak, by phase."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.csv"
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(("text", "label"))
            writer.writerows((text, LABELS[len(text.split()[0]) % len(LABELS)]) for text in islice(texts, rows))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TEXTCLS_CACHE": str(Path(folder) / "cache")}
        child = subprocess.Popen(
            [sys.executable, *sys.argv, "--one", str(file)], stdout=subprocess.PIPE, text=True, env=environment
        )
        said: list[dict[str, Any]] = []
        assert child.stdout is not None
        listening = threading.Thread(target=lambda lines: said.extend(map(json.loads, lines)), args=(child.stdout,))
        listening.start()
        peaks: dict[str, float] = {}
        while child.poll() is None:
            phase = said[-1]["phase"] if said else "start"
            peaks[phase] = max(peaks.get(phase, 0.0), anonymous_megabytes(child.pid))
            time.sleep(_LOOK_AGAIN)
        listening.join()
    if child.returncode:
        sys.exit(f"training on {rows:,} rows failed")
    clocks = [line["cpu_seconds"] for line in said if line["phase"].startswith("epoch")]
    result = {
        "rows": rows,
        "cpu_seconds_per_epoch": round(statistics.median(after - before for before, after in pairwise(clocks)), 2),
        "peak_megabytes": round(max(peaks.values()), 1),
        "peak_megabytes_by_phase": {phase: round(peak, 1) for phase, peak in peaks.items()},
    }
    print(f"{rows:>9,} rows: {result}", flush=True)
    return result


def anonymous_megabytes(process: int) -> float:
    """Return the memory of a process that no file stands behind."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:  # it has just ended
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), 0.0)


def train_once(arguments: argparse.Namespace) -> None:
    """Train, and tell each phase as it begins, with the CPU-seconds until then."""

    def tell(phase: str) -> None:
        print(json.dumps({"phase": phase, "cpu_seconds": time.process_time()}), flush=True)

    def report(event: Event) -> None:
        if isinstance(event, Note) and event.text.startswith("vocabulary:"):
            tell("other rows")
        elif isinstance(event, Note) and event.text.startswith("network:"):
            tell("epoch 1")
        elif isinstance(event, EpochEnd):
            tell(f"epoch {event.epoch + 1}" if event.epoch < arguments.epochs else "epochs are over")

    tell("reading and encoding")
    config = Config().replace(
        {
            "data.train": str(arguments.one),
            "text.max_vocabulary": arguments.vocabulary,
            "model.hidden_size": arguments.hidden,
            "model.pooling": "final",
            "model.ngram_slots": 0,
            "model.embedding_size": arguments.hidden,
            "training.batch_size": arguments.batch,
            "training.epochs": arguments.epochs,
            "training.patience": arguments.epochs,
            "training.threads": 1,
        }
    )
    train(config, arguments.one.parent / "run", report=report)
