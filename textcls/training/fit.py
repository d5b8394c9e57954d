"""From labelled rows to a trained model: labels, vocabulary, vectors, network, loop, calibration."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import textcls
from textcls.artifact import Artifact
from textcls.config import Config, ModelSettings, available_cores
from textcls.data import LabelSet, Rows
from textcls.errors import InputError, TrainingError
from textcls.evaluation import Targets, probabilities_of
from textcls.model import Network
from textcls.model.device import resolve_device, rounds_on_cpu
from textcls.settings import MOST_THREADS
from textcls.text import PAD, UNK, Encoder, Vocabulary
from textcls.text.vectors import PretrainedVectors
from textcls.training.checkpoint import Checkpoints
from textcls.training.distributed import World
from textcls.training.events import Event, Note
from textcls.training.failures import SMALLER_NETWORK, memory_for
from textcls.training.fast import cost
from textcls.training.finish import Baselines, Finished, finish, halves, report_of, unsettled
from textcls.training.loop import Context, training_loop
from textcls.training.prepare import Prepared, labelled_split, prepare
from textcls.training.scoring import score
from textcls.training.settled import resolved, settled, with_embedding_size, without_ngrams

_RANDOM_EMBEDDING_STD = 0.1  # about the spread of a trained table; torch's own 1.0 drowns the pretrained rows
_LAST_SECOND = 253_402_300_799  # of the year 9999


@dataclass(frozen=True)
class Fitted:
    """A trained model, still with its network.

    Attributes:
        artifact: The model as plain data.
        network: The network with the same weights, on its device.
        labels: Its classes.
        encoder: Its encoder.
        baselines: What it is compared with.
        probabilities: Calibrated, of the validation split, float64 [n, classes]; None without that split.
        targets: Class of each validation text, int64 [n], or whether it has each label, bool [n, labels].
        stopped: Whether `should_stop` ended training before its time.
    """

    artifact: Artifact
    network: Network
    labels: LabelSet
    encoder: Encoder
    baselines: Baselines
    probabilities: NDArray[np.float64] | None = None
    targets: Targets | None = None
    stopped: bool = False


class TrainingStoppedError(TrainingError):
    """Training failed, but an epoch before that left a model.

    Attributes:
        fitted: That model.
    """

    def __init__(self, message: str, fitted: Fitted) -> None:
        super().__init__(message)
        self.fitted = fitted


def fit(
    config: Config,
    train: Rows,
    validation: Rows | None,
    *,
    validation_cut: bool = False,
    prepared: Prepared | None = None,
    start_from: Artifact | None = None,
    context: Context | None = None,
) -> Generator[Event, None, Fitted]:
    """Train a model on rows in memory.

    Args:
        config: The settings; those of `data` are not used here.
        train: Rows to learn from: labels, vocabulary, vectors and class weights come from these alone. Where they have lists of
            labels, a text may have many of them, or none.
        validation: Rows that choose the best epoch, the temperature and the thresholds.
        validation_cut: Whether they were cut from the training data, so that `training.refit` may learn from them in the end.
        prepared: What `prepare` gave for the same rows, `text` settings and `start_from`, so that it need not be done again.
        start_from: A trained model whose vocabulary, text and network settings and weights to start from.
        context: Checkpoints, other processes, each of which yields its own events, and what may stop training.

    Yields:
        Notes, progress and the end of each epoch.

    Returns:
        The trained model.

    Raises:
        InputError: The rows or settings cannot be used.
        TrainingStoppedError: Training failed after its first epoch; the error holds the best model until then.
        TrainingError: It failed before: the loss is no longer a finite number, or memory or disk is full.
    """
    started, date, context = time.perf_counter(), _fixed_date(), context or Context()
    config = yield from settled(config, validation, start_from, context)
    device = context.world.device(resolve_device(config.training.device, config.model))  # told before the work begins
    rounds_on_cpu(device, config.training.precision, config.model)  # likewise
    threads = context.checkpoints.settled("threads", config.training.threads or _threads(context.world))
    with torch_settings(config, threads, device):
        if prepared is None:
            prepared = yield from prepare(config, train, validation, start_from=start_from)
        config = with_embedding_size(config, prepared.vectors)
        _expect(context.checkpoints, prepared)
        network = yield from _network(config, prepared, start_from, device, threads)
        failure = yield from training_loop(network, prepared.train, prepared.validation, config.training, context)
        stopped = context.should_stop()  # asked now: who stops it later finds it trained
        if prepared.validation is None:
            done = unsettled(prepared.train)
        else:
            refit, known = validation_cut and config.training.refit, prepared.linears
            done = yield from finish(network, prepared.train, prepared.validation, config, refit=refit, known=known)
            failure = failure or done.failure
    created, seconds = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(date)), round(time.perf_counter() - started, 1)
    artifact = _artifact(config, network, prepared, done, start_from, created=created, seconds=seconds)
    targets = None if prepared.validation is None else prepared.validation.targets
    fitted = Fitted(artifact, network, prepared.labels, prepared.encoder, done.baselines, done.probabilities, targets, stopped)
    if failure is not None:
        raise TrainingStoppedError(str(failure), fitted)
    return fitted


def _threads(world: World) -> int:
    return min(MOST_THREADS, max(1, available_cores() // world.local_size))


def _expect(checkpoints: Checkpoints, prepared: Prepared) -> None:
    """Note what the rows were made numbers with; a resumed run must have the same."""
    checkpoints.expect("text.vectors", _origin(prepared.vectors))
    if prepared.vocabulary.subwords is not None:
        checkpoints.expect("text.tokenizer.subwords", prepared.vocabulary.subwords.sha256)


def _network(
    config: Config, prepared: Prepared, start_from: Artifact | None, device: torch.device, threads: int
) -> Generator[Event, None, Network]:
    """Return the network before its first step, on its device, without n-grams."""
    settings, vocabulary, labels = config.model, prepared.vocabulary, prepared.labels
    with memory_for("the network", SMALLER_NETWORK):
        network = Network(without_ngrams(config).model, len(vocabulary), len(labels))  # they join once it is trained
        network.encoder.parallel = threads > 1 and by_direction(settings)
        network.encoder.bf16 = rounds_on_cpu(device, config.training.precision, settings)
        initialise(network, prepared.vectors, vocabulary)
        if start_from is not None:
            yield from _load_weights(network, start_from, labels, prepared.train.many)
        network.to(device)
    kind = f"{'bidirectional ' if settings.bidirectional else ''}{settings.cell.upper()}"
    size = sum(p.numel() for p in network.parameters())
    yield Note(f"network: {kind}, hidden size {settings.hidden_size}, {size:,} weights; {device}, threads: {threads}")
    return network


def _artifact(
    config: Config,
    network: Network,
    prepared: Prepared,
    done: Finished,
    start_from: Artifact | None,
    *,
    created: str,
    seconds: float,
) -> Artifact:
    """Return the trained model as plain data."""
    held_out = prepared.validation
    provenance: dict[str, Any] = {
        "textcls_version": textcls.__version__,
        "torch_version": torch.__version__,
        "created": created,
        "train_rows": len(prepared.train.targets),
        "validation_rows": 0 if held_out is None else len(held_out.targets),
        "training_seconds": seconds,
        "vectors": _origin(prepared.vectors) if start_from is None else start_from.provenance.get("vectors"),
    }
    if start_from is not None:
        provenance["started_from"] = start_from.fingerprint
    if done.refitted:
        provenance["refit"] = {"rows": done.refitted, "splits": ["train", "validation"]}
    return Artifact(
        config=resolved(config, network, prepared),
        vocabulary=prepared.vocabulary,
        labels=prepared.labels.labels,
        weights={name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()},
        temperature=done.temperature,
        many=prepared.train.many,
        thresholds=None if done.thresholds is None else tuple(done.thresholds.tolist()),
        fast=done.fast,
        metrics={} if held_out is None else {"validation": done.metrics},
        provenance=provenance,
    )


def evaluate_rows(fitted: Fitted, rows: Rows) -> tuple[dict[str, Any], NDArray[np.float64], Targets]:
    """Evaluate a trained network on rows; return the report, calibrated probabilities [n, classes] and targets."""
    split = labelled_split(fitted.encoder.encode(rows.texts), fitted.labels, rows)
    model = fitted.artifact
    probabilities = probabilities_of(score(fitted.network, split.encoded), model.temperature, many=model.many)
    thresholds = None if model.thresholds is None else np.array(model.thresholds, np.float32)
    report = report_of(probabilities, split, thresholds) | fitted.baselines.report(split)
    if model.fast is not None:
        report["fast"] = cost(halves(fitted.network, split, probabilities, thresholds), model.fast)
    return report, probabilities, split.targets


@contextmanager
def torch_settings(config: Config, threads: int, device: torch.device) -> Iterator[None]:
    """Seed torch and settle its threads for the length of a block.

    A thread for each direction (see `textcls.model.recurrence`) comes before threads inside the operations, which wait for each
    other at every one of them: on a busy machine that made training twenty times slower.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // 2) if by_direction(config.model) else threads)
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):  # of all cards it would make contexts, and warn
            torch.manual_seed(config.training.seed)
            yield
    finally:
        torch.set_num_threads(before)


def by_direction(settings: ModelSettings) -> bool:
    """Whether the network has directions that can run side by side."""
    return settings.bidirectional


def initialise(network: Network, vectors: PretrainedVectors | None, vocabulary: Vocabulary) -> None:
    """Fill the embedding table: pretrained rows as they are, the others at random with a like spread, `<pad>` zero."""
    table = network.embedding.weight.data
    spread = _RANDOM_EMBEDDING_STD if vectors is None or not len(vectors.matrix) else float(vectors.matrix.std())
    torch.nn.init.normal_(table, std=spread)
    if vectors is not None:
        table[torch.from_numpy(vectors.found)] = torch.from_numpy(vectors.matrix)
        if len(vectors.extra_words):
            table[len(vocabulary) - len(vectors.extra_words) :] = torch.from_numpy(vectors.extra_matrix)
        if len(vectors.matrix):
            table[UNK] = torch.from_numpy(vectors.matrix.mean(axis=0))
    table[PAD] = 0


def _load_weights(network: Network, artifact: Artifact, labels: LabelSet, many: bool) -> Iterator[Note]:
    """Start from trained weights; the classifier too where the labels are the same."""
    state = {name: torch.from_numpy(np.array(array)) for name, array in artifact.weights.items()}
    if LabelSet(artifact.labels).texts != labels.texts or artifact.many != many:
        state = {name: tensor for name, tensor in state.items() if not name.startswith("classifier.")}
        yield Note("the labels differ from those of the trained model: the classifier layer starts anew")
    network.load_state_dict(state, strict=False)


def _origin(vectors: PretrainedVectors | None) -> dict[str, str | None] | None:
    return None if vectors is None else {"name": vectors.name, "sha256": vectors.sha256}


def _fixed_date() -> int | None:
    """Return the seconds since 1970 of `SOURCE_DATE_EPOCH`, which stands for the time of training in reproducible files.

    Raises:
        InputError: It is no such number.
    """
    told = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not told:
        return None
    if not (told.isascii() and told.isdecimal() and len(told) <= len(str(_LAST_SECOND)) and int(told) <= _LAST_SECOND):
        short = told if len(told) <= 20 else f"{told[:20]}…"
        raise InputError(f"SOURCE_DATE_EPOCH={short}: is no date: give whole seconds since 1970, or unset it")
    return int(told)
