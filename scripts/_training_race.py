"""`benchmark.py train`: how fast, and how well, we and others train on the same rows.

Every run is a process of its own, so that threads and caches are its own too; the contestants take turns. Tokens a second are those
of the epochs alone: reading, tokenizing and evaluation are not counted. We and the hand-written loop run with one thread and with
every core, and the better of each counts.

With `--device cuda` we, with and without CUDA graphs, race the hand-written loop moved to the card, and with `--before` another
version of textcls. Told beside the speed: the share of an epoch in which the card computes, and the most memory that was taken.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from textcls.config import Config
from textcls.data import LabelSet, Rows, Splits, load_splits
from textcls.text import Encoded, Encoder, encode_training

LEARNING_RATE = 2e-3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `benchmark.py train`."""
    parser.add_argument("--train", default="sst2-train.parquet", help="training rows, a file of TEXTCLS_DATA")
    parser.add_argument(
        "--validation", default="sst2-validation.parquet", help="rows that accuracy is measured on; none: cut from train"
    )
    parser.add_argument("--epochs", type=int, default=4, help="passes over the rows, of the networks")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contestant")
    parser.add_argument("--batch", type=int, default=64, help="texts a step, of the networks")
    parser.add_argument("--embedding", type=int, default=100, help="dimensions of the embedding table, random at first")
    parser.add_argument("--hidden", type=int, default=128, help="units of one direction")
    parser.add_argument("--tokens", type=int, default=Config().text.max_tokens, help="texts are cut there")
    parser.add_argument("--seed", type=int, default=0, help="of the networks of ours, and of the hand-written one")
    parser.add_argument("--device", default="cpu", help="cuda: race on a card")
    parser.add_argument("--precision", default="fp32", help="of ours on a card: fp32, tf32, bf16 or fp16")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="on a card: another version of textcls, its repository")
    parser.add_argument("--only", action="append", metavar="NAME", help="one of the contestants; may be repeated")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # a run in a process of its own: NAME:THREADS
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")


def main(arguments: argparse.Namespace, cores: int) -> None:
    """Race, or be one of the runners."""
    if arguments.one:
        name, _, threads = arguments.one.rpartition(":")
        print(json.dumps(CONTESTANTS[name](splits_of(arguments), arguments, int(threads))))
        return
    report(race(arguments, sys.argv[2:], cores), arguments)


def race(arguments: argparse.Namespace, options: list[str], cores: int) -> dict[str, list[dict[str, float]]]:
    """Let all train in turn; return what each did in each round, without those that failed, which is told.

    Args:
        arguments: What `options` mean.
        options: Those of `benchmark.py train`.
        cores: Threads of those who take all of them.
    """
    runners = runners_on_card(arguments, cores) if arguments.device.startswith("cuda") else runners_on_cpu(cores)
    wanted = [runner for runner in runners if not arguments.only or runner.rpartition(":")[0] in arguments.only]
    results: dict[str, list[dict[str, float]]] = {runner: [] for runner in wanted}
    for number in range(arguments.rounds):
        for runner in list(results):
            if (result := run(runner, options, arguments.before)) is None:
                print(f"round {number + 1}, {runner}: failed", file=sys.stderr, flush=True)
                del results[runner]
                continue
            results[runner].append(result)
            print(f"round {number + 1}, {runner}: {result}", file=sys.stderr, flush=True)
    return results


def runners_on_cpu(cores: int) -> list[str]:
    """Return who races on the CPU, and with how many threads."""
    runners = [f"{name}:{threads}" for name in ("ours", "hand-written") for threads in sorted({1, cores})]
    runners += [f"{name}:{cores}" for name in ("spaCy textcat", "TF-IDF + LR", "fastText")]
    if not importlib.util.find_spec("fasttext"):
        runners.remove(f"fastText:{cores}")
        print("fastText is not installed (pip install 'textcls[bench]'): left out")
    return runners


def runners_on_card(arguments: argparse.Namespace, cores: int) -> list[str]:
    """Return who races on a card."""
    names = ["hand-written", "ours", "ours, captured", *(["before"] if arguments.before else [])]
    return [f"{name}:{cores}" for name in names]


def run(runner: str, options: list[str], before: Path | None) -> dict[str, float] | None:
    """Train one contestant in a process of its own; return its figures, None where it failed."""
    name, _, threads = runner.rpartition(":")
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONWARNINGS": "ignore"}
    if name == "before":
        environment["PYTHONPATH"] = str(before)
    done = subprocess.run(
        [sys.executable, __file__, *options, "--one", runner], env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        return None
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def report(results: dict[str, list[dict[str, float]]], arguments: argparse.Namespace) -> None:
    """Print the medians, and write them."""
    peers = medians(results)
    best: dict[str, float] = {}
    for row in peers:
        name = str(row["name"])
        best[name] = max(best.get(name, 0.0), row["tokens_per_second"])
        card = f"  busy {row['busy']:.0%}" if "busy" in row else ""
        card += f"  {row['peak_mb']:,.0f} MB" if "peak_mb" in row else ""
        print(
            f"{name:<14} {row['threads']} threads  {row['tokens_per_second']:>10,.0f} tokens/s  "
            f"{row['seconds']:>7.1f} s  accuracy {row['accuracy']:.4f}{card}"
        )
    figures: dict[str, Any] = {"device": device_name(arguments.device), "precision": arguments.precision, "peers": peers}
    if {"ours", "hand-written"} <= best.keys():
        figures |= {
            "ours_tokens_per_second": best["ours"],
            "handwritten_tokens_per_second": best["hand-written"],
            "ratio": best["ours"] / best["hand-written"],
        }
        print(f"ours over hand-written, each with its better number of threads: {figures['ratio']:.2f}")
    if {"ours, captured", "hand-written"} <= best.keys():
        figures["ratio_captured"] = best["ours, captured"] / best["hand-written"]
        print(f"ours, captured, over hand-written: {figures['ratio_captured']:.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def medians(results: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """Return name, threads and the median of each figure of those who ran."""
    rows = []
    for runner, runs in results.items():
        name, _, threads = runner.rpartition(":")
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        rows.append({"name": name, "threads": int(threads), **middle})
    return rows


def device_name(device: str) -> str:
    """Return the name of the card, or `cpu`."""
    if not device.startswith("cuda"):
        return device
    import torch

    return torch.cuda.get_device_name(device)


def splits_of(arguments: argparse.Namespace) -> Splits:
    """Read the rows."""
    folder = Path(os.environ["TEXTCLS_DATA"])
    return load_splits(config_of(arguments, folder).data)


def config_of(arguments: argparse.Namespace, folder: Path) -> Config:
    """Return our settings: plain ones, so that all networks learn the same thing."""
    own = {} if arguments.validation == "none" else {"data.validation": str(folder / arguments.validation)}
    return Config().replace(
        own
        | {
            "data.train": str(folder / arguments.train),
            "model.embedding_size": arguments.embedding,
            "model.hidden_size": arguments.hidden,
            "model.pooling": "final",
            "model.ngram_slots": 0,
            "training.batch_size": arguments.batch,
            "training.epochs": arguments.epochs,
            "training.patience": arguments.epochs,
            "training.learning_rate": LEARNING_RATE,
            "training.seed": arguments.seed,
            "text.max_tokens": arguments.tokens,
        }
    )


def ours(splits: Splits, arguments: argparse.Namespace, threads: int, *, capture: bool = False) -> dict[str, float]:
    """Train with textcls."""
    from _card import Card

    from textcls.training import EpochEnd, fit

    config = config_of(arguments, Path(os.environ["TEXTCLS_DATA"])).replace(
        {"training.threads": threads, "training.device": arguments.device, "training.precision": arguments.precision}
    )
    if "capture" in type(config.training).model_fields:  # older versions have no graphs
        config = config.replace({"training.capture": capture})
    card = Card(arguments.device)
    speeds, seconds, accuracy = [], 0.0, 0.0
    for event in fit(config, splits.train, splits.validation):
        if isinstance(event, EpochEnd):
            if card.counts(event.epoch):
                speeds.append(event.tokens_per_second)
            card.epoch_ended(event.epoch)
            seconds += event.seconds
            accuracy = max(accuracy, event.metrics["accuracy"])
    return {"tokens_per_second": statistics.median(speeds), "seconds": seconds, "accuracy": accuracy} | card.figures()


def ours_captured(splits: Splits, arguments: argparse.Namespace, threads: int) -> dict[str, float]:
    """Train with textcls, each step a CUDA graph."""
    return ours(splits, arguments, threads, capture=True)


def hand_written(splits: Splits, arguments: argparse.Namespace, threads: int) -> dict[str, float]:
    """Train as people write it: padded batches in random order, packed for `nn.LSTM`, dense Adam over all weights."""
    import torch
    from _card import Card
    from _handwritten import HandWritten, padded
    from torch import Tensor, nn
    from torch.utils.data import DataLoader

    torch.set_num_threads(threads)
    torch.manual_seed(arguments.seed)
    train: Any
    validation: Any
    train, validation, labels = encoded_rows(splits, config_of(arguments, Path(os.environ["TEXTCLS_DATA"])))

    def collate(rows: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor, Tensor]:
        texts, targets = zip(*rows, strict=True)
        return *padded(texts), torch.tensor(targets)

    vocabulary = max(int(ids.max()) for ids, _ in train) + 1
    card, device = Card(arguments.device), torch.device(arguments.device)
    model = HandWritten(vocabulary, arguments.embedding, arguments.hidden, len(labels)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    loader: Any = DataLoader(train, arguments.batch, shuffle=True, collate_fn=collate)
    tokens = sum(len(ids) for ids, _ in train)
    speeds, seconds, accuracy = [], 0.0, 0.0
    for epoch in range(1, arguments.epochs + 1):
        model.train()
        started = time.perf_counter()
        for ids, lengths, targets in loader:
            loss = nn.functional.cross_entropy(model(ids.to(device), lengths), targets.to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        took = time.perf_counter() - started
        if card.counts(epoch):
            speeds.append(tokens / took)
        seconds += took
        model.eval()
        with torch.inference_mode():
            right: int = sum(
                int((model(ids.to(device), lengths).argmax(1).cpu() == targets).sum())
                for ids, lengths, targets in DataLoader(validation, 256, collate_fn=collate)
            )
        accuracy = max(accuracy, right / len(validation))
        card.epoch_ended(epoch)
    return {"tokens_per_second": statistics.median(speeds), "seconds": seconds, "accuracy": accuracy} | card.figures()


def encoded_rows(splits: Splits, config: Config) -> tuple[list[Any], list[Any], LabelSet]:
    """Return train and validation as lists of ids and class, from our own tokens."""
    import torch

    labels = LabelSet.from_rows(splits.train.single_labels)
    encoded, vocabulary, _ = encode_training(splits.train.texts, config.text)

    def rows(texts: Encoded, found: Rows) -> list[Any]:
        ids = torch.from_numpy(texts.ids.astype(np.int64))
        cuts = texts.offsets.tolist()
        targets = labels.encode(found.single_labels).tolist()
        return [(ids[cuts[i] : cuts[i + 1]], target) for i, target in enumerate(targets)]

    validation = splits.validation
    assert validation is not None
    encoder = Encoder.from_settings(config.text, vocabulary)
    return rows(encoded, splits.train), rows(encoder.encode(validation.texts), validation), labels


def spacy_textcat(splits: Splits, arguments: argparse.Namespace, threads: int) -> dict[str, float]:
    """Train spaCy's text classifier with its default architecture."""
    import spacy
    import torch
    from spacy.training import Example
    from thinc.util import fix_random_seed

    torch.set_num_threads(threads)
    fix_random_seed(0)
    nlp: Any = spacy.blank("en")
    textcat = nlp.add_pipe("textcat")
    labels = LabelSet.from_rows(splits.train.single_labels)
    validation = splits.validation
    assert validation is not None

    def examples(rows: Rows) -> list[Any]:
        docs = nlp.tokenizer.pipe(rows.texts)
        given = map(str, rows.single_labels)
        return [
            Example.from_dict(doc, {"cats": {label: float(label == own) for label in labels.texts}})
            for doc, own in zip(docs, given, strict=True)
        ]

    train = examples(splits.train)
    optimizer = nlp.initialize(lambda: train[:200])
    tokens = sum(len(example.reference) for example in train)
    draw = np.random.default_rng(0)
    started = time.perf_counter()
    for _ in range(arguments.epochs):
        order = draw.permutation(len(train))
        for start in range(0, len(order), arguments.batch):
            nlp.update([train[i] for i in order[start : start + arguments.batch]], sgd=optimizer)
    seconds = time.perf_counter() - started
    docs = textcat.pipe(nlp.tokenizer.pipe(validation.texts))
    found = [max(doc.cats, key=doc.cats.get) for doc in docs]
    accuracy = statistics.mean(float(one == str(label)) for one, label in zip(found, validation.single_labels, strict=True))
    return {"tokens_per_second": tokens * arguments.epochs / seconds, "seconds": seconds, "accuracy": accuracy}


def tfidf(splits: Splits, arguments: argparse.Namespace, _threads: int) -> dict[str, float]:
    """Fit TF-IDF and logistic regression on our tokens."""
    from textcls.evaluation.baselines import tfidf_logistic_regression

    (train_tokens, train_targets), (tokens, targets) = tokens_and_targets(splits, arguments)
    started = time.perf_counter()
    predicted = tfidf_logistic_regression(train_tokens, train_targets, tokens, 10)
    seconds = time.perf_counter() - started
    accuracy = float((predicted == targets).mean())
    return {"tokens_per_second": sum(map(len, train_tokens)) / seconds, "seconds": seconds, "accuracy": accuracy}


def tokens_and_targets(splits: Splits, arguments: argparse.Namespace) -> list[tuple[list[list[str]], Any]]:
    """Return our tokens of each text and its class, int64 [n], of train and of validation."""
    settings = config_of(arguments, Path(os.environ["TEXTCLS_DATA"])).text
    labels = LabelSet.from_rows(splits.train.single_labels)
    _, vocabulary, _ = encode_training(splits.train.texts, settings)
    encoder = Encoder.from_settings(settings, vocabulary)
    assert splits.validation is not None
    return [
        ([encoder.tokens(text) for text in rows.texts], labels.encode(rows.single_labels))
        for rows in (splits.train, splits.validation)
    ]


def fasttext_supervised(splits: Splits, arguments: argparse.Namespace, threads: int) -> dict[str, float]:
    """Train fastText with bigrams for 25 passes, the settings that did best for it on small data."""
    import tempfile

    fasttext: Any = importlib.import_module("fasttext")  # of the extra `bench`

    (train_tokens, train_targets), (tokens, targets) = tokens_and_targets(splits, arguments)
    passes = 25
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "train.txt"
        lines = [f"__label__{own} {' '.join(text)}\n" for own, text in zip(train_targets, train_tokens, strict=True)]
        random.Random(0).shuffle(lines)  # fastText learns in the order of the file
        file.write_text("".join(lines), encoding="utf-8")
        started = time.perf_counter()
        model = fasttext.train_supervised(str(file), wordNgrams=2, lr=0.5, epoch=passes, thread=threads, verbose=0)
        seconds = time.perf_counter() - started
    found = model.predict([" ".join(text) for text in tokens])[0]
    accuracy = statistics.mean(float(one[0] == f"__label__{own}") for one, own in zip(found, targets, strict=True))
    learned = sum(map(len, train_tokens)) * passes
    return {"tokens_per_second": learned / seconds, "seconds": seconds, "accuracy": accuracy}


CONTESTANTS: dict[str, Callable[[Splits, argparse.Namespace, int], dict[str, float]]] = {
    "ours": ours,
    "ours, captured": ours_captured,
    "before": ours,
    "hand-written": hand_written,
    "spaCy textcat": spacy_textcat,
    "TF-IDF + LR": tfidf,
    "fastText": fasttext_supervised,
}

if __name__ == "__main__":  # one contestant alone, which another version of textcls can be as well
    of_one = argparse.ArgumentParser(description=__doc__)
    add_arguments(of_one)
    main(of_one.parse_args(), os.cpu_count() or 1)
