"""Settings as training settles them, before it for what it needs, and after it for the model to keep."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

from textcls.artifact import Artifact
from textcls.config import Config
from textcls.data import Rows
from textcls.errors import ConfigError
from textcls.model import Network
from textcls.text.bpemb import with_bpemb
from textcls.text.vectors import PretrainedVectors
from textcls.training.batches import texts_a_step
from textcls.training.events import Event, Note
from textcls.training.loop import Context, kept_epoch
from textcls.training.prepare import Prepared, vectors_as_before

_DEFAULT_EMBEDDING_SIZE = 100


def settled(
    config: Config, validation: Rows | None, start_from: Artifact | None, context: Context
) -> Generator[Event, None, Config]:
    """Return the settings that training goes by, before the rows are read as numbers.

    Args:
        config: As given.
        validation: Rows that choose the best epoch.
        start_from: A trained model to start from, whose settings come first.
        context: What a run that is resumed was begun with.

    Yields:
        Notes of what is not as it was given.

    Raises:
        ConfigError: They do not go together.
    """
    if start_from is not None:
        yield from _setting_notes(start_from, config)
    if config.model.ngram_slots not in {0, "auto"} and validation is None:
        raise ConfigError("model.ngram_slots needs validation rows, which settle what it weighs, and there are none")
    if start_from is not None:
        config = _settings_of(start_from, config)
    if config.model.ngram_slots and validation is None:
        yield Note("n-grams are left out: there are no validation rows to settle what they weigh")
        config = without_ngrams(config)
    config = vectors_as_before(config, context.checkpoints)
    if start_from is None:
        text = with_bpemb(config.text)
        if text != config.text:
            yield Note(
                "BPEmb's vectors: texts are split into its parts of words (text.tokenizer bpe), lower-cased, each digit a 0"
            )
        config = config.model_copy(update={"text": text})
    return config if context.world.first else without_ngrams(config)  # the first process alone keeps the model


def with_embedding_size(config: Config, vectors: PretrainedVectors | None) -> Config:
    """Return the settings with the size of the embedding settled: that of the vectors where there are any.

    Raises:
        ConfigError: Another one was given.
    """
    size = config.model.embedding_size
    if vectors is not None and size not in {None, vectors.dimension}:
        raise ConfigError(
            f"model.embedding_size is {size}, but {vectors.name} has {vectors.dimension} dimensions: leave it out"
        )
    size = vectors.dimension if vectors is not None else size or _DEFAULT_EMBEDDING_SIZE
    return config.model_copy(update={"model": config.model.model_copy(update={"embedding_size": size})})


def without_ngrams(config: Config) -> Config:
    """Return the settings without n-grams, which join the network once it is trained."""
    return config.model_copy(update={"model": config.model.model_copy(update={"ngram_slots": 0})})


def resolved(config: Config, network: Network, prepared: Prepared) -> Config:
    """Return the settings as they turned out, for the model to keep."""
    text = config.text
    if text.vectors == "auto":
        text = text.model_copy(update={"vectors": prepared.vectors and prepared.vectors.name})
    text = text.model_copy(update={"extend": text.words_beside})
    slots = 0 if network.ngrams is None else len(network.ngrams.weight)
    model = config.model.model_copy(update={"ngram_slots": slots})
    chosen = {
        "batch_size": texts_a_step(config.training, len(prepared.train.encoded)),
        "keep": kept_epoch(config.training, prepared.validation),
    }
    training = config.training.model_copy(update=chosen)
    whole = config.model_copy(update={"text": text, "model": model, "training": training})
    return _without_paths(_with_label_column(whole, prepared.train.many))


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
