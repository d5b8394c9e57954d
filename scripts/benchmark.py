"""Speed of textcls beside what else a user might run, file to file, in one interleaved run.

    TEXTCLS_DATA=folder python scripts/benchmark.py classify                              200,000 short and 5,000 long texts
    TEXTCLS_DATA=folder python scripts/benchmark.py classify --rows 20000 --long-rows 500 --json speed.json
    TEXTCLS_DATA=folder python scripts/benchmark.py classify --fast --rows 100000 --rounds 3   n-grams alone where they are sure
    TEXTCLS_DATA=folder python scripts/benchmark.py train --json training.json            on the sentences of sst2
    TEXTCLS_DATA=folder python scripts/benchmark.py encode                                200,000 short texts to ids
    TEXTCLS_DATA=folder python scripts/benchmark.py grow                                  200,000 rows, then 2,000,000

A round is one slice of the texts, which everyone classifies in turn, from a csv file to a csv file with a label beside each text;
loading a model is not counted. Ratios are medians over the rounds, so that what else the machine does falls on all alike. The floor
is the time that the network's multiply-adds take at the rate of large fp32 matrix products on all cores, measured in each round;
`floor_share` is the floor over our time. Where other processes share the cores, `cpu_ratio_…` and `cpu_floor_share` say more:
they compare CPU-seconds, and `rows_per_core_second` tells what a core does in one. fastText is left out where it is not installed
(`pip install textcls[bench]`).
"""

from __future__ import annotations

import os

# Before torch is imported: threads that spin while they wait would slow the others down far more than ours, on cores in use.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import csv
import json
import platform
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import _encoding_race
import _fast_race
import _growth
import _training_race
import numpy as np
from _contestants import Classify, contestants, write_texts

from textcls.artifact import Artifact
from textcls.config import Config, available_cores
from textcls.data import Rows, read_labelled
from textcls.text import SPECIAL_TOKENS, Encoder, Vocabulary, build_tokenizer

LABELS = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
RATIOS = ("ratio_handwritten", "ratio_spacy", "ratio_ngrams", "ratio_int8", "floor_share")
Times = tuple[dict[str, list[float]], list[float]]  # of each classifier in each round; of the floor in each round
SHORT = ("trec-train", "sst2-train", "mr-all")
LONG = ("bbc-all", "ag_news_20k-train")


def main() -> None:
    """Compare the classifiers and print, or write, how fast they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    classify = commands.add_parser("classify", help="classify files")
    classify.add_argument("--rows", type=int, default=200_000, help="short texts")
    classify.add_argument("--long-rows", type=int, default=5_000, help="long texts; 0 leaves them out")
    classify.add_argument("--rounds", type=int, default=10, help="slices of the texts")
    classify.add_argument("--tokenizer", choices=("unicode", "spacy"), default="unicode", help="of our model")
    classify.add_argument("--embedding", type=int, default=100, help="dimensions of the embedding table")
    classify.add_argument("--hidden", type=int, default=128, help="units of one direction")
    classify.add_argument("--only", action="append", metavar="NAME", help="one of the classifiers; may be repeated")
    classify.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    _fast_race.add_arguments(classify)
    _training_race.add_arguments(commands.add_parser("train", help="train on the same rows"))
    _encoding_race.add_arguments(commands.add_parser("encode", help="texts to ids, beside spaCy's tokenizer"))
    _growth.add_arguments(commands.add_parser("grow", help="what ten times the rows cost in time and memory"))
    arguments = parser.parse_args()
    if "TEXTCLS_DATA" not in os.environ:
        parser.error("TEXTCLS_DATA is not set: name the folder with the data sets")
    if arguments.command == "train":
        _training_race.main(arguments, available_cores())
        return
    if arguments.command in ("encode", "grow"):
        module = _encoding_race if arguments.command == "encode" else _growth
        module.main(arguments, short_texts(Path(os.environ["TEXTCLS_DATA"])))
        return
    race_of = _fast_race.main if arguments.fast else compare
    result = race_of(arguments, Path(os.environ["TEXTCLS_DATA"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def compare(arguments: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Run every classifier on short and on long texts; return the figures of both, those of the short ones on top."""
    short = list(islice(short_texts(data), arguments.rows))
    artifact = random_model(arguments, short)
    result: dict[str, Any] = {"machine": f"{platform.machine()}, {available_cores()} cores", "rounds": arguments.rounds}
    with tempfile.TemporaryDirectory() as folder:
        runs = contestants(artifact, labelled_rows(data), Path(folder), arguments.only)
        for name, texts in {"short": short, "long": list(islice(long_texts(data), arguments.long_rows))}.items():
            if texts:
                times, cpu_times = race(runs, texts, arguments.rounds, Path(folder), artifact)
                result[name] = figures(*times, texts, arguments.rounds)
                on_cpu = figures(*cpu_times, texts, arguments.rounds)
                result[name] |= {f"cpu_{key}": value for key, value in on_cpu.items() if key in RATIOS}
                result[name]["rows_per_core_second"] = on_cpu["rows_per_second"]
                show(name, texts, result[name])
    return {**result.get("long", {}), **result.get("short", {}), **result}


def short_texts(data: Path) -> Iterator[str]:
    """Yield sentences without end, each of the first half of one and the second half of another of the same data set."""
    draw = random.Random(0)
    sets = [[text.split() for text in rows_of(data, name).texts] for name in SHORT]
    while True:
        first, second = draw.choices(draw.choice(sets), k=2)
        yield " ".join(first[: len(first) // 2] + second[len(second) // 2 :]) or "nothing"


def long_texts(data: Path) -> Iterator[str]:
    """Yield news without end: an article of the BBC, or four short ones, one after the other."""
    draw = random.Random(0)
    articles, notices = (rows_of(data, name).texts for name in LONG)
    while True:
        yield " ".join([draw.choice(articles), draw.choice(notices)] if draw.random() < 0.5 else draw.choices(notices, k=4))


def labelled_rows(data: Path) -> tuple[list[str], list[str]]:
    """Return the texts and labels that the classifiers with a training of their own learn from."""
    rows = rows_of(data, "trec-train")
    return list(rows.texts), [str(label) for label in rows.labels]


def rows_of(data: Path, name: str) -> Rows:
    """Return the rows of a data set."""
    return read_labelled(data / f"{name}.parquet", Config().data)


def random_model(arguments: argparse.Namespace, texts: Sequence[str]) -> Artifact:
    """Return an untrained model whose vocabulary holds the 20,000 most frequent tokens of some texts."""
    config = Config().replace(
        {
            "text.tokenizer": arguments.tokenizer,
            "model.embedding_size": arguments.embedding,
            "model.hidden_size": arguments.hidden,
            "model.pooling": "final",
            "model.ngram_slots": 0,
        }
    )
    encoder = Encoder(build_tokenizer(config.text), lambda _: 1, config.text.max_tokens)
    counts = Counter(chain.from_iterable(map(encoder.tokens, texts[:50_000])))
    vocabulary = Vocabulary(
        (*SPECIAL_TOKENS, *(token for token, _ in counts.most_common(20_000) if token not in SPECIAL_TOKENS))
    )
    draw, gates, hidden = np.random.default_rng(0), 4 * arguments.hidden, arguments.hidden
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (len(vocabulary), arguments.embedding)}
    for suffix in ("l0", "l0_reverse"):
        shapes |= {f"encoder.rnn.weight_ih_{suffix}": (gates, arguments.embedding)}
        shapes |= {f"encoder.rnn.weight_hh_{suffix}": (gates, hidden)}
        shapes |= {f"encoder.rnn.bias_{kind}_{suffix}": (gates,) for kind in ("ih", "hh")}
    shapes |= {"classifier.weight": (len(LABELS), 2 * hidden), "classifier.bias": (len(LABELS),)}
    weights = {name: draw.normal(scale=0.1, size=shape).astype(np.float32) for name, shape in shapes.items()}
    weights["embedding.weight"] *= 10
    weights["embedding.weight"][0] = 0
    return Artifact(config, vocabulary, LABELS, weights)


def race(runs: dict[str, Classify], texts: Sequence[str], rounds: int, folder: Path, artifact: Artifact) -> tuple[Times, Times]:
    """Let everyone classify each slice in turn; return their seconds and the floor's for each slice, then those of the CPU."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    cpu_seconds: dict[str, list[float]] = {name: [] for name in runs}
    floors: list[float] = []
    cpu_floors: list[float] = []
    encoder = Encoder.from_settings(artifact.config.text, artifact.vocabulary)
    warm_up = write_texts(folder / "warm_up.csv", texts[:64])
    for run in runs.values():
        run(warm_up, folder / "out.csv")
    for number in range(rounds):
        some = texts[number::rounds]
        source = write_texts(folder / "texts.csv", some)
        floors.append(multiply_adds(artifact, encoder, some) / multiply_adds_per_second(time.perf_counter, available_cores()))
        cpu_floors.append(multiply_adds(artifact, encoder, some) / multiply_adds_per_second(time.process_time, 1))
        for name, run in runs.items():
            started, cpu_started = time.perf_counter(), time.process_time()
            run(source, folder / "out.csv")
            seconds[name].append(time.perf_counter() - started)
            cpu_seconds[name].append(time.process_time() - cpu_started)
            with (folder / "out.csv").open(encoding="utf-8", newline="") as file:
                found = [row["text"] for row in csv.DictReader(file)]
            if found != list(some):
                sys.exit(f"{name} lost or changed rows")
    return (seconds, floors), (cpu_seconds, cpu_floors)


def multiply_adds(artifact: Artifact, encoder: Encoder, texts: Sequence[str]) -> float:
    """Return the multiply-adds of the network on some texts: both directions of the LSTM, and the classifier."""
    model = artifact.config.model
    assert model.embedding_size is not None
    a_token = 2 * 4 * model.hidden_size * (model.embedding_size + model.hidden_size)
    return float(len(encoder.encode(texts).ids) * a_token + len(texts) * 2 * model.hidden_size * len(artifact.labels))


def multiply_adds_per_second(clock: Callable[[], float], threads: int, size: int = 1536, repeats: int = 3) -> float:
    """Return this machine's rate of fp32 matrix products by a clock, the best of some."""
    import torch

    torch.set_num_threads(threads)
    matrix = torch.rand(size, size)
    best = float("inf")
    for _ in range(repeats):
        started = clock()
        matrix @ matrix
        best = min(best, clock() - started)
    torch.set_num_threads(available_cores())
    return float(size**3) / best


def figures(seconds: dict[str, list[float]], floors: list[float], texts: Sequence[str], rounds: int) -> dict[str, Any]:
    """Return the medians over the rounds."""
    rows = [len(texts[number::rounds]) for number in range(rounds)]

    def median(of: Callable[[int], float]) -> float:
        return round(statistics.median(map(of, range(rounds))), 3)

    result: dict[str, Any] = {
        "rows": len(texts),
        "rows_per_second": {name: round(median(lambda i, t=times: rows[i] / t[i])) for name, times in seconds.items()},  # type: ignore[misc]
    }
    ours = seconds.get("ours fp32")
    if ours:
        others = {"ratio_handwritten": "hand-written", "ratio_spacy": "spaCy textcat", "ratio_ngrams": "ours, n-grams"}
        result |= {key: median(lambda i, t=seconds[name]: t[i] / ours[i]) for key, name in others.items() if name in seconds}  # type: ignore[misc]
        if "ours int8" in seconds:
            result["ratio_int8"] = median(lambda i: ours[i] / seconds["ours int8"][i])
        result["floor_share"] = median(lambda i: floors[i] / ours[i])
    result["floor_rows_per_second"] = round(median(lambda i: rows[i] / floors[i]))
    return result


def show(name: str, texts: Sequence[str], result: dict[str, Any]) -> None:
    """Print the figures."""
    words = statistics.mean(len(text.split()) for text in texts)
    print(f"{len(texts):,} {name} texts of {words:.0f} words")
    for contestant, rate in {**result["rows_per_second"], "floor": result["floor_rows_per_second"]}.items():
        on_core = result["rows_per_core_second"].get(contestant)
        print(f"  {contestant:<14} {rate:>9,} rows/s" + (f", {on_core:,} in a CPU-second" if on_core else ""))
    for key in RATIOS:
        if key in result:
            print(f"  {key:<18} {result[key]:>5.2f}, in CPU-seconds {result[f'cpu_{key}']:.2f}")


if __name__ == "__main__":
    main()
