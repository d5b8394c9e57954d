"""From rows to numbers: what training needs of its data, however often it then trains."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from textcls.artifact import Artifact
from textcls.config import Config, TextSettings
from textcls.data import LabelSet, Rows
from textcls.data.labels import require_known
from textcls.data.weights import summable
from textcls.errors import ConfigError, DataError, quoted
from textcls.text import UNK, Encoded, Encoder, Vocabulary
from textcls.text.bpemb import check_fit, find_bpemb, with_bpemb
from textcls.text.cache import EncodingCache
from textcls.text.doubts import doubt_of_script, doubt_of_tokens
from textcls.text.encoding import replace_surrogates
from textcls.text.subwords import MOST_CHARACTERS, Subwords, read_subwords, train_subwords
from textcls.text.tokenizers import plain_word
from textcls.text.vector_names import on_this_machine
from textcls.text.vectors import PretrainedVectors, load_vectors
from textcls.training.batches import LabelledSplit
from textcls.training.checkpoint import Checkpoints
from textcls.training.events import Event, Note
from textcls.training.ngrams import Linears

_ENOUGH_TO_DOUBT = 100  # different tokens; of fewer most may occur once
_COVERED = 0.8  # of the tokens, for vectors that nobody asked for: below, they are of another language


@dataclass(frozen=True)
class Prepared:
    """Rows as numbers: what training needs of them, whatever the settings of the network and the loop.

    Attributes:
        labels: The classes.
        vocabulary: The tokens.
        encoder: From text to ids.
        vectors: The pretrained vectors of the vocabulary; None where `text.vectors` is not given or training starts from a model.
        train: The rows to learn from.
        validation: The rows that choose the best epoch; None where there are none.
        linears: The linear classifiers that were fitted to `train` so far, for who trains several times.
    """

    labels: LabelSet
    vocabulary: Vocabulary
    encoder: Encoder
    vectors: PretrainedVectors | None
    train: LabelledSplit
    validation: LabelledSplit | None
    linears: Linears = field(default_factory=dict)


def prepare(
    config: Config, train: Rows, validation: Rows | None, *, start_from: Artifact | None = None
) -> Generator[Event, None, Prepared]:
    """Turn rows into numbers: labels, vocabulary, vectors and encoded texts.

    Args:
        config: The settings; those of `text` and `model.embedding_size` count here.
        train: Rows to learn from: labels, vocabulary and vectors come from these alone.
        validation: Rows that choose the best epoch.
        start_from: A trained model whose vocabulary to use.

    Yields:
        Notes.

    Returns:
        What `fit` takes as `prepared`.

    Raises:
        InputError: The rows or settings cannot be used.
    """
    labels = train.classes
    if len(labels) < 2 or not train.labels.distinct:
        what = f"one label alone, {quoted(labels.texts[0])}" if len(labels) == 1 else "no label"
        raise DataError(f"the training rows have {what}: a classifier needs at least two")
    if validation is not None:
        check_labels(train, validation, "validation")
    vectors: PretrainedVectors | None = None
    if start_from is None:
        config = config.model_copy(update={"text": with_bpemb(config.text)})
        subwords = yield from _subwords(config.text, train.texts)
    else:
        subwords = start_from.vocabulary.subwords
    cache = EncodingCache(config.text, subwords)
    if start_from is None:
        encoded, vocabulary, counts = cache.encode_training(train.texts)
        vectors = yield from _load_vectors(config, vocabulary, counts)
        if vectors is not None:
            vocabulary = vocabulary.extended(vectors.extra_words)
    else:
        vocabulary = start_from.vocabulary
        encoded = cache.encode(train.texts, Encoder.from_settings(config.text, vocabulary), vocabulary)
    encoder = Encoder.from_settings(config.text, vocabulary)
    yield from _encoding_notes(encoded, len(vocabulary), config.text.max_tokens)
    if start_from is None:
        yield from _doubts(train.texts, counts[UNK + 1 :], config.text)
    train_split = LabelledSplit(encoded, train.targets(labels), labels.texts, _weights(train))
    validation_split = None
    if validation is not None:
        validation_split = labelled_split(cache.encode(validation.texts, encoder, vocabulary), labels, validation)
        validation_split = replace(validation_split, weights=validation.weights)
    if cache.hits:
        yield Note("encoded texts: from the cache")
    if validation_split is None:
        yield Note("there is no validation split: the last epoch is kept, and probabilities are not calibrated")
    return Prepared(labels, vocabulary, encoder, vectors, train_split, validation_split)


def _subwords(settings: TextSettings, texts: Sequence[str]) -> Generator[Event, None, Subwords | None]:
    """Return the parts of words that the settings name, or learn them from the training texts; None where words are the tokens."""
    if settings.tokenizer != "bpe":
        return None
    if settings.bpe_model is not None:
        return read_subwords(settings.bpe_model)
    lower, zero = settings.lowercase, settings.zero_digits
    words = (" ".join(plain_word(word, lower, zero) for word in text.split()) for text in replace_surrogates(texts))
    subwords = train_subwords(words, settings.bpe_size)
    learnt_from = "the training texts"
    if sum(map(len, texts)) > MOST_CHARACTERS:
        learnt_from = f"the first {MOST_CHARACTERS:,} characters of the training texts"
    yield Note(f"subwords: {len(subwords.pieces):,} parts of words, learnt from {learnt_from}")
    return subwords


def vectors_as_before(config: Config, checkpoints: Checkpoints) -> Config:
    """A run that goes on has the vectors that it began with, whatever has come to this machine since.

    Raises:
        ConfigError: They are not here any more; what nobody named is never downloaded.
    """
    if config.text.vectors != "auto" or not checkpoints.resumed:
        return config
    origin = checkpoints.noted("text.vectors")
    if origin and on_this_machine() != origin["name"]:
        raise ConfigError(
            f"the run began with the vectors {quoted(origin['name'])}, which text.vectors auto found and does not find now: "
            "put them back, or train anew without --resume"
        )
    text = {"vectors": origin["name"]} if origin else {"vectors": None}
    return config.model_copy(update={"text": config.text.model_copy(update=text)})


def _load_vectors(
    config: Config, vocabulary: Vocabulary, counts: NDArray[np.int64]
) -> Generator[Event, None, PretrainedVectors | None]:
    """Load the vectors that the settings name; for `auto` those that are on this machine, if they know most of the tokens."""
    source, auto = config.text.vectors, config.text.vectors == "auto"
    if auto:
        source = None if config.model.embedding_size else on_this_machine()
    if source is None:
        yield from _nothing_to_keep(config)
        return None
    encoder = Encoder.from_settings(config.text, vocabulary)
    vectors = load_vectors(
        source,
        vocabulary.tokens,
        extend=config.text.words_beside,
        accept=encoder.yields,
    )
    if find_bpemb(source):
        check_fit(source, vectors.dimension, vectors.coverage(counts)[0])
    covered = vectors.coverage(counts)[1]
    if auto and covered < _COVERED:
        yield Note(f"vectors: {vectors.name} is here, and not used: it covers {covered:.1%} of the tokens")
        yield from _nothing_to_keep(config)
        return None
    yield Note(_coverage(vectors, counts) + ("; text.vectors none leaves them out" if auto else ""))
    return vectors


def _doubts(texts: Sequence[str], counts: NDArray[np.int64], settings: TextSettings) -> Iterator[Note]:
    """Say where the tokenizer hardly fits the training texts, whose different tokens occur so often."""
    doubt = doubt_of_script(texts, settings)
    if doubt is None and len(counts) >= _ENOUGH_TO_DOUBT:
        doubt = doubt_of_tokens(float((counts == 1).mean()), settings)
    if doubt:
        yield Note(doubt)


def _nothing_to_keep(config: Config) -> Iterator[Note]:
    """Say that words were asked for which only vectors have."""
    if config.text.extend not in {0, "auto"}:
        yield Note(f"text.extend {config.text.extend} is not used: the model starts without vectors")


def _weights(train: Rows) -> NDArray[np.float64] | None:
    """Return what the rows weigh; None where all weigh 1, so that nothing is computed otherwise than without weights.

    Raises:
        DataError: All weigh 0, or the sum of their weights is beyond all measure.
    """
    if train.weights is None or (train.weights == 1).all():
        return None
    if not train.weights.any():
        raise DataError("the training rows all weigh 0, so nothing would be learnt: give some of them more")
    return summable(train.weights)


def labelled_split(encoded: Encoded, labels: LabelSet, rows: Rows) -> LabelledSplit:
    """Return a split other than train; labels that training does not know get classes beyond the model's."""
    together = labels.extended(rows.labels.distinct)
    return LabelledSplit(encoded, rows.targets(together), together.texts)


def check_labels(train: Rows, rows: Rows, role: str) -> None:
    """Make sure that some rows of a split have a label that the training rows have.

    Args:
        train: The training rows.
        rows: Those of the split.
        role: `validation` or `test`.

    Raises:
        DataError: None has.
    """
    advice = f"check data.{role} and data.{'labels' if train.many else 'label'}"
    known = LabelSet.from_rows(train.labels.distinct)
    require_known(rows.labels.distinct, known, f"{role} row", "the training rows have", advice)


def _coverage(vectors: PretrainedVectors, counts: NDArray[np.int64]) -> str:
    types, tokens = vectors.coverage(counts)
    extra = f", {len(vectors.extra_words):,} words added" if vectors.extra_words else ""
    return (
        f"vectors: {vectors.name}, {vectors.dimension} dimensions, cover {types:.1%} of types and {tokens:.1%} of tokens{extra}"
    )


def _encoding_notes(encoded: Encoded, size: int, max_tokens: int) -> Iterator[Note]:
    yield Note(f"vocabulary: {size:,} tokens; training text: {len(encoded.ids):,} tokens")
    if encoded.empty.any():
        yield Note(f"{int(encoded.empty.sum()):,} training texts are empty: each counts as one <pad>")
    if encoded.truncated.any():
        yield Note(f"{int(encoded.truncated.sum()):,} training texts were cut at text.max_tokens {max_tokens:,}")
