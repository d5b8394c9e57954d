"""`benchmark.py encode`: texts to ids with the `spacy` tokenizer, beside spaCy's own `tokenizer.pipe` and look-ups.

Both start cold in each round, with the same vocabulary, that of the texts; loading spaCy and building vocabulary and index are not
counted. CPU-seconds are compared, for other processes may share the cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from textcls.config import TextSettings
from textcls.text import UNK, Encoded, Encoder, Vocabulary, encode_training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `benchmark.py encode`."""
    parser.add_argument("--rows", type=int, default=200_000, help="distinct short texts")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each; the median counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")


def main(arguments: argparse.Namespace, texts: Iterable[str]) -> None:
    """Encode in turn, compare, and print or write the figures."""
    some = list(islice(distinct(texts), arguments.rows))
    settings = TextSettings(tokenizer="spacy")
    encoded, vocabulary, _ = encode_training(some, settings)
    runs: dict[str, Callable[[], float]] = {
        "ours": lambda: ours(some, settings, vocabulary, encoded),
        "spaCy": lambda: spacy_alone(some, vocabulary, encoded),
        "ours, vocabulary too": lambda: clocked(lambda: encode_training(some, settings))[0],
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.rounds):
        for name, run in runs.items():
            seconds[name].append(run())
    figures: dict[str, Any] = {
        "texts": len(some),
        "tokens": len(encoded.ids),
        "cpu_seconds": {name: round(statistics.median(times), 2) for name, times in seconds.items()},
        "ratio_encoding": round(
            statistics.median(theirs / own for theirs, own in zip(seconds["spaCy"], seconds["ours"], strict=True)), 2
        ),
    }
    print(f"{len(some):,} distinct texts, {len(encoded.ids):,} tokens: {figures['cpu_seconds']} CPU-seconds")
    print(f"ours is {figures['ratio_encoding']} times as fast as spaCy's tokenizer.pipe and look-ups")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def distinct(texts: Iterable[str]) -> Iterator[str]:
    """Yield each text once."""
    seen = set()
    for text in texts:
        if text not in seen:
            seen.add(text)
            yield text


def clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU-seconds that some work takes, and what it gives."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def ours(texts: Sequence[str], settings: TextSettings, vocabulary: Vocabulary, expected: Encoded) -> float:
    """Encode with textcls."""
    encoder = Encoder.from_settings(settings, vocabulary)
    encoder.encode(["loads spaCy"])
    seconds, found = clocked(lambda: encoder.encode(texts))
    if not (found.ids == expected.ids).all():
        sys.exit("encoding with the vocabulary gave other ids than building it did")
    return seconds


def spacy_alone(texts: Sequence[str], vocabulary: Vocabulary, expected: Encoded) -> float:
    """Encode as one would with spaCy: each text through the tokenizer, each token looked up."""
    import spacy

    tokenizer: Any = spacy.blank("en").tokenizer
    index = vocabulary.index

    def work() -> list[list[int]]:
        return [[index.get(token.lower_, UNK) for token in doc if not token.is_space] for doc in tokenizer.pipe(texts)]

    seconds, found = clocked(work)
    if sum(map(len, found)) != int(expected.lengths[~expected.empty].sum()):
        sys.exit("spaCy gave other tokens")
    return seconds
