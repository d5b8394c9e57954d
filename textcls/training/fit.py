"""From labelled rows to a trained model: labels, vocabulary, vectors, network, loop, calibration."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import textcls
from textcls.artifact import Artifact
from textcls.config import Config, ModelSettings, available_cores
from textcls.data import LabelSet, Rows
from textcls.errors import ConfigError, InputError, TrainingError
from textcls.evaluation import Targets, probabilities_of
from textcls.model import Network
from textcls.model.device import resolve_device
from textcls.text import PAD, UNK, Encoder, Vocabulary
from textcls.text.bpemb import with_bpemb
from textcls.text.vectors import PretrainedVectors
from textcls.training.batches import LabelledSplit, texts_a_step
from textcls.training.checkpoint import Checkpoints
from textcls.training.distributed import ALONE, World
from textcls.training.events import Event, Note
from textcls.training.failures import SMALLER_NETWORK, memory_for
from textcls.training.fast import cost
from textcls.training.finish import Baselines, finish, halves, report_of, unsettled
from textcls.training.loop import kept_epoch, score, training_loop
from textcls.training.prepare import Prepared, labelled_split, prepare, vectors_as_before

_RANDOM_EMBEDDING_STD = 0.1  # about the spread of a trained table; torch's own 1.0 drowns the pretrained rows
_DEFAULT_EMBEDDING_SIZE = 100
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
    should_stop: Callable[[], bool] = lambda: False,
    checkpoints: Checkpoints | None = None,
    world: World = ALONE,
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
        should_stop: Asked after each step; once true, the best weights so far are kept.
        checkpoints: Where training goes on from, and what it leaves behind.
        world: The processes that train together; each yields its own events.

    Yields:
        Notes, progress and the end of each epoch.

    Returns:
        The trained model.

    Raises:
        InputError: The rows or settings cannot be used.
        TrainingStoppedError: Training failed after its first epoch; the error holds the best model until then.
        TrainingError: It failed before: the loss is no longer a finite number, or memory or disk is full.
    """
    started, date = time.perf_counter(), _fixed_date()
    checkpoints = checkpoints or Checkpoints()
    if start_from is not None:
        yield from _setting_notes(start_from, config)
    if config.model.ngram_slots not in {0, "auto"} and validation is None:
        raise ConfigError("model.ngram_slots needs validation rows, which settle what it weighs, and there are none")
    if start_from is not None:
        config = _settings_of(start_from, config)
    if config.model.ngram_slots and validation is None:
        yield Note("n-grams are left out: there are no validation rows to settle what they weigh")
        config = _without_ngrams(config)
    config = vectors_as_before(config, checkpoints)
    if start_from is None:
        text = with_bpemb(config.text)
        if text != config.text:
            yield Note(
                "BPEmb's vectors: texts are split into its parts of words (text.tokenizer bpe), lower-cased, each digit a 0"
            )
        config = config.model_copy(update={"text": text})
    if not world.first:
        config = _without_ngrams(config)  # the first process alone keeps the model
    device = world.device(resolve_device(config.training.device, config.model))  # a wrong one is told before the work begins
    threads = checkpoints.settled("threads", config.training.threads or max(1, available_cores() // world.local_size))
    with torch_settings(config, threads):
        if prepared is None:
            prepared = yield from prepare(config, train, validation, start_from=start_from)
        labels, vocabulary, encoder, vectors = prepared.labels, prepared.vocabulary, prepared.encoder, prepared.vectors
        train_split, validation_split = prepared.train, prepared.validation
        checkpoints.expect("text.vectors", _origin(vectors))
        if vocabulary.subwords is not None:
            checkpoints.expect("text.tokenizer.subwords", vocabulary.subwords.sha256)
        config = config.model_copy(update={"model": _settle_embedding(config.model, vectors)})
        with memory_for("the network", SMALLER_NETWORK):
            network = Network(_without_ngrams(config).model, len(vocabulary), len(labels))  # they join once it is trained
            network.encoder.parallel = threads > 1 and by_direction(config.model)
            initialise(network, vectors, vocabulary)
            if start_from is not None:
                yield from _load_weights(network, start_from, labels, train.many)
            network.to(device)
        kind = f"{'bidirectional ' if config.model.bidirectional else ''}{config.model.cell.upper()}"
        size = sum(p.numel() for p in network.parameters())
        yield Note(f"network: {kind}, hidden size {config.model.hidden_size}, {size:,} weights; {device}, threads: {threads}")

        failure = yield from training_loop(
            network, train_split, validation_split, config.training, should_stop, checkpoints, world
        )
        stopped = should_stop()  # asked now: who stops it later finds it trained

        if validation_split is None:
            done = unsettled(train_split)
        else:
            refit = validation_cut and config.training.refit
            done = yield from finish(network, train_split, validation_split, config, refit=refit, known=prepared.linears)
            failure = failure or done.failure
    provenance = {
        "textcls_version": textcls.__version__,
        "torch_version": torch.__version__,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(date)),
        "train_rows": len(train),
        "validation_rows": 0 if validation is None else len(validation),
        "training_seconds": round(time.perf_counter() - started, 1),
        "vectors": _origin(vectors) if start_from is None else start_from.provenance.get("vectors"),
    }
    if start_from is not None:
        provenance["started_from"] = start_from.fingerprint
    if done.refitted:
        provenance["refit"] = {"rows": done.refitted, "splits": ["train", "validation"]}
    artifact = Artifact(
        config=_resolved(config, network, vectors, train_split, validation_split),
        vocabulary=vocabulary,
        labels=labels.labels,
        weights={name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()},
        temperature=done.temperature,
        many=train.many,
        thresholds=None if done.thresholds is None else tuple(done.thresholds.tolist()),
        fast=done.fast,
        metrics={} if validation_split is None else {"validation": done.metrics},
        provenance=provenance,
    )
    targets = None if validation_split is None else validation_split.targets
    fitted = Fitted(artifact, network, labels, encoder, done.baselines, done.probabilities, targets, stopped)
    if failure is not None:
        raise TrainingStoppedError(str(failure), fitted)
    return fitted


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
def torch_settings(config: Config, threads: int) -> Iterator[None]:
    """Seed torch and settle its threads for the length of a block.

    A thread for each direction (see `textcls.model.recurrence`) comes before threads inside the operations, which wait for each
    other at every one of them: on a busy machine that made training twenty times slower.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // 2) if by_direction(config.model) else threads)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(config.training.seed)
            yield
    finally:
        torch.set_num_threads(before)


def by_direction(settings: ModelSettings) -> bool:
    """Whether the network has directions that can run side by side."""
    return settings.cell == "lstm" and settings.bidirectional


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


def _settle_embedding(settings: ModelSettings, vectors: PretrainedVectors | None) -> ModelSettings:
    size = settings.embedding_size
    if vectors is not None and size not in {None, vectors.dimension}:
        raise ConfigError(
            f"model.embedding_size is {size}, but {vectors.name} has {vectors.dimension} dimensions: leave it out"
        )
    settled = vectors.dimension if vectors is not None else size or _DEFAULT_EMBEDDING_SIZE
    return settings.model_copy(update={"embedding_size": settled})


def _without_ngrams(config: Config) -> Config:
    return config.model_copy(update={"model": config.model.model_copy(update={"ngram_slots": 0})})


def _settings_of(artifact: Artifact, config: Config) -> Config:
    """Text settings and the network's shape come from the trained model; dropouts may change, and n-grams, which are fitted anew."""
    changes = {name: value for name, value in config.model.model_dump().items() if name.endswith("_dropout")}
    if config.model.ngram_slots == "auto" and not artifact.config.model.ngram_slots:
        changes["ngram_slots"] = 0
    else:
        changes["ngram_slots"] = config.model.ngram_slots
    model = artifact.config.model.model_copy(update=changes)
    return config.model_copy(update={"text": artifact.config.text, "model": model})


def _setting_notes(artifact: Artifact, config: Config) -> Iterator[Note]:
    """Name the settings that were asked for and give way to those of the trained model."""
    settled = _settings_of(artifact, config)
    for section in ("text", "model"):
        asked, has, default = (getattr(tree, section).model_dump() for tree in (config, settled, Config()))
        for name in asked:
            if asked[name] not in (has[name], default[name]):
                want, have = ("none" if value is None else value for value in (asked[name], has[name]))
                yield Note(f"{section}.{name} {want} is not used: the trained model has {have}")
    if config.model.ngram_slots == "auto" and not settled.model.ngram_slots:
        yield Note("n-grams are left out, as in the trained model: model.ngram_slots=65536 would fit some")


def _resolved(
    config: Config,
    network: Network,
    vectors: PretrainedVectors | None,
    train: LabelledSplit,
    validation: LabelledSplit | None,
) -> Config:
    """Return the settings as they turned out, for the model to keep."""
    text = config.text
    if text.vectors == "auto":
        text = text.model_copy(update={"vectors": vectors and vectors.name})
    text = text.model_copy(update={"extend": text.words_beside})
    slots = 0 if network.ngrams is None else len(network.ngrams.weight)
    model = config.model.model_copy(update={"ngram_slots": slots})
    settled = {"batch_size": texts_a_step(config.training, len(train.encoded)), "keep": kept_epoch(config.training, validation)}
    training = config.training.model_copy(update=settled)
    whole = config.model_copy(update={"text": text, "model": model, "training": training})
    return _without_paths(_with_label_column(whole, train.many))


def _with_label_column(config: Config, many: bool) -> Config:
    """Return the settings with a column for lists of labels also where rows came from memory, so that files can be evaluated."""
    if not many or config.data.labels is not None:
        return config
    data = config.data.model_copy(update={"label": None, "labels": config.data.label or "labels"})
    return config.model_copy(update={"data": data})


def _without_paths(config: Config) -> Config:
    """Return the settings with files by name alone: a model must not tell where it was made."""

    def name(source: str) -> str:
        return source if source.startswith(("hub:", "package:")) else Path(source).name

    changes = {}
    for split in ("train", "validation", "test"):
        source = getattr(config.data, split)
        changes[split] = tuple(map(name, source)) if isinstance(source, tuple) else source and name(source)
    files = {"vectors": config.text.vectors and name(config.text.vectors), "bpe_model": config.text.bpe_model}
    files["bpe_model"] = files["bpe_model"] and name(files["bpe_model"])
    text = config.text.model_copy(update=files)
    return config.model_copy(update={"data": config.data.model_copy(update=changes), "text": text})


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
