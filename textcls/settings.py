"""The sections of the settings: data, text, model and training, each frozen and validated, with a docstring under each setting."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

MOST_THREADS = 1024  # of many more torch's threads may not start, which ends the process
MOST = (1 << 63) - 1  # 64 bits, of what counts rows, tokens, epochs; seeds too
_WIDEST = 1 << 20  # dimensions and units: no memory holds such a network, and no size overflows
_LARGEST = 1e38  # single precision
_LONGEST_NAME, _LONGEST_FILE, _LONGEST_PATH = 10_000, 255, 4095  # characters of a column's name; bytes that a system opens
_WHOLE = TypeAdapter(int)
_WORDS_BESIDE = 20_000  # on trec and sst2 +.5 points of a held-out fifth in the mean of five seeds, for 4 MB at 50 dimensions


def _auto_or_whole(value: Any, low: int, high: int) -> int | Literal["auto"]:
    """Check a setting that is `auto` or a whole number."""
    if value == "auto":
        return "auto"
    try:
        number = -1 if isinstance(value, bool) else _WHOLE.validate_python(value)
    except ValidationError:
        number = -1
    if not low <= number <= high:
        raise ValueError(f"must be auto, or a whole number from {low} to {high}")
    return number


class Settings(BaseModel):
    """What every section shares: no unknown names, no changes after the check, a docstring under each field as its help."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse `epochs: true`, which Python takes for 1."""
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation in {int, float, int | None}:
            raise ValueError("must be a number")
        return value


class _NamingSettings(Settings):
    """What the sections share that name files and columns."""

    @field_validator("*")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """Refuse what is no name: it would fill every message."""
        if any(len(name) > _LONGEST_NAME for name in _texts(value)):
            raise ValueError(f"must not be longer than {_LONGEST_NAME:,} characters")
        return value

    @field_validator("train", "validation", "test", "vectors", "bpe_model", "language", check_fields=False)
    @classmethod
    def _possible(cls, value: Any) -> Any:
        """Refuse what no file is called, where asking for it ends in an error of its own kind."""
        for path in map(os.fsencode, _texts(value)):
            if b"\0" in path:
                raise ValueError("must not hold the character NUL")
            if len(path) > _LONGEST_PATH or max(map(len, path.split(b"/"))) > _LONGEST_FILE:
                raise ValueError(f"must not be longer than a path, {_LONGEST_PATH:,} bytes, of names of {_LONGEST_FILE}")
        return value


def _texts(value: Any) -> list[str]:
    """Return the texts of a setting that may be a text, several or something else."""
    return [text for text in (value if isinstance(value, tuple) else (value,)) if isinstance(text, str)]


class DataSettings(_NamingSettings):
    """Which rows to read, and how to split them."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # YAML reads the column names 0, 1, 2 as numbers

    train: str | tuple[str, ...] | None = None
    """Training rows: a path, a glob, a list of them, `hub:owner/name[:config][@split]` or `package:NAME/path`."""
    validation: str | tuple[str, ...] | None = None
    """Validation rows, for early stopping and calibration; cut from `train` by `validation_share` where not given."""
    test: str | tuple[str, ...] | None = None
    """Test rows, read once after training; cut from `train` by `test_share` where not given."""
    text: str | tuple[str, ...] = "text"
    """The column that holds the text, or a list of columns, joined by a new line."""
    label: str | None = None
    """The column that holds the label; `label` where neither this nor `labels` is given."""
    labels: str | tuple[str, ...] | None = None
    """The column that holds all labels of a text, or none: a list, also as JSON or as Python writes it, an object such as
    `{"a": 1, "b": 0}`, or text with `,`, `;` or `|` between them. Or a list of columns of 0 and 1, which are then the labels.
    Excludes `label`."""
    weight: str | None = None
    """The column of what each training row weighs, a number from 0 on: in the loss, the n-grams and balanced class weights."""
    strip_labels: bool = True
    """Strip blanks around labels, so that `spam ` is `spam`."""
    missing_labels: Literal["error", "skip"] = "error"
    """What to do with rows that have no label: `error` counts them and stops, `skip` leaves them out and says how many."""
    header: bool = True
    """Whether csv and tsv files start with a line of column names; without one the columns are named 0, 1, 2, …"""
    delimiter: str | None = None
    """What separates the fields of csv and tsv files: one character, or `tab`. Where not given, a comma in `.csv` and a tab in
    `.tsv`, or another of `,` tab `;` `|` where the header has one column and that one splits header and rows evenly."""
    quoting: Literal["auto", "csv", "none"] = "auto"
    """Whether double quotes hold a field together (`csv`) or are characters like others (`none`). `auto` is `csv`, but for fields
    between tabs `none` where the first megabyte, read as csv, has a fault or seems to hold rows together by their quotes."""
    encoding: str = "utf-8"
    """Of text files without a byte order mark, such as `cp1252` or `gbk`."""
    encoding_errors: Literal["strict", "replace"] = "strict"
    """What to do with bytes that cannot be decoded: `strict` stops and names the row, `replace` puts U+FFFD and counts them."""
    max_row_bytes: int = Field(64_000_000, ge=1000, le=MOST)
    """The longest row, or whole text file, that is read; a longer one is an error."""
    validation_share: float = Field(0.1, ge=0, lt=1)
    """Share of `train` held out for validation, by label, equal texts on one side; used where `validation` is not given."""
    test_share: float = Field(0.0, ge=0, lt=1)
    """Share of `train` held out for test in the same way; used where `test` is not given."""
    split_seed: int = Field(0, ge=0, le=MOST)
    """Seed of the cut, independent of `training.seed`."""

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, value: str | None) -> str | None:
        value = {"tab": "\t", "\\t": "\t"}.get(value or "", value)
        if value is not None and (len(value) != 1 or value in '"\r\n'):
            raise ValueError("must be one character other than a double quote, or tab")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            if codecs.lookup(value).name == "utf-8":
                return "utf-8"
            "".encode(value)  # refuses codecs of bytes, such as base64
            codecs.getincrementaldecoder(value)("surrogateescape").decode(b"")  # some codecs know no handlers of errors
        except (LookupError, TypeError, ValueError):  # the latter for a NUL, too
            raise ValueError("must be an encoding that Python knows, such as utf-8, cp1252 or gbk") from None
        return value

    @model_validator(mode="after")
    def _consistent(self) -> DataSettings:
        if () in (self.text, self.labels):
            raise ValueError(f"data.{'text' if self.text == () else 'labels'} must name a column")
        if isinstance(self.labels, tuple) and len({*self.labels}) < len(self.labels):
            raise ValueError("data.labels names a column twice")
        if self.label is not None and self.labels is not None:
            raise ValueError("data.label and data.labels exclude each other: name one of them")
        texts, labels = (
            (names,) if isinstance(names, str) else names or () for names in (self.text, self.label or self.labels)
        )
        if both := [name for name in labels if name in texts]:
            raise ValueError(f"data.text and data.label{'s' * (self.label is None)} both name the column {both[0]!r}")
        if self.validation_share + self.test_share >= 1:
            raise ValueError("data.validation_share and data.test_share leave no rows to train on: their sum must be below 1")
        return self


class TextSettings(_NamingSettings):
    """From raw text to token ids: the same in training, evaluation, classification and export."""

    tokenizer: Literal["unicode", "spacy", "basic_english", "bpe"] = "unicode"
    """`unicode` (one regular expression; exports take raw text), `spacy` (its blank one), `basic_english` (torchtext's) or `bpe`
    (parts of words, by SentencePiece)."""
    language: str = "en"
    """Language code of the `spacy` tokenizer, for example `en`, `de`, `zh`."""
    lowercase: bool = True
    """Lower-case the tokens; `basic_english` always does."""
    split_unspaced: bool = True
    """Take each letter of a script that has no spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) for a token of
    `unicode`, with its marks; `max_tokens` then counts letters."""
    bpe_size: int = Field(8000, ge=2, le=1_000_000)
    """With the tokenizer `bpe`: how many parts of words are learnt from the training split, at most."""
    bpe_model: str | None = None
    """With the tokenizer `bpe`: a `.model` file of SentencePiece that knows the parts of words, so that none are learnt."""
    zero_digits: bool = False
    """With the tokenizer `bpe`: replace each digit by 0 first, as it was done with the texts of BPEmb."""
    min_count: int = Field(1, ge=1, le=MOST)
    """Keep a token when the training split holds it at least this often; the others become `<unk>`."""
    max_vocabulary: int | None = Field(None, ge=1, le=MOST)
    """Keep at most this many of the most frequent training tokens; no limit where not given."""
    max_tokens: int = Field(1000, ge=1, le=MOST)
    """Cut longer texts after this many tokens, everywhere alike."""
    vectors: str | None = "auto"
    """Pretrained vectors: a GloVe, word2vec or fastText file, also in a zip (`glove.6B.zip/glove.6B.100d.txt`), or a name such as
    `glove.6B.50d`; `none` starts at random. `auto` is `glove.6B.50d` where it is on this machine and knows the texts' words."""
    extend: int | Literal["auto"] = "auto"
    """Keep up to this many pretrained words that training never saw, in the vectors' order; `auto` is 20,000 with vectors."""

    @property
    def words_beside(self) -> int:
        """Pretrained words to keep beside those of the training texts, at most."""
        if self.vectors is None:
            return 0
        return _WORDS_BESIDE if self.extend == "auto" else self.extend

    @field_validator("extend", mode="plain")
    @classmethod
    def _some_words(cls, value: Any) -> int | Literal["auto"]:
        return _auto_or_whole(value, 0, MOST)

    @field_validator("vectors")
    @classmethod
    def _none(cls, value: str | None) -> str | None:
        return None if value == "none" else value

    @model_validator(mode="after")
    def _consistent(self) -> TextSettings:
        for name in ("bpe_model", "zero_digits"):
            if getattr(self, name) and self.tokenizer != "bpe":
                raise ValueError(f"text.{name} needs text.tokenizer bpe")
        if self.tokenizer == "basic_english" and not self.lowercase:
            raise ValueError("text.tokenizer basic_english always lower-cases: take unicode or spacy with text.lowercase false")
        return self


class ModelSettings(Settings):
    """The network: embedding table, packed recurrent layers, final states, linear classifier."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    """The recurrent cell."""
    embedding_size: int | None = Field(None, ge=1, le=_WIDEST)
    """Dimensions of the embedding table: those of `text.vectors` where given, else 100."""
    hidden_size: int = Field(128, ge=1, le=_WIDEST)
    """Units of one direction of one layer."""
    layers: int = Field(1, ge=1, le=1000)
    """Recurrent layers, stacked."""
    bidirectional: bool = True
    """Read each text in both directions and concatenate the two final states."""
    bias: bool = True
    """Whether the recurrent layers have bias weights."""
    pooling: Literal["final", "final+max", "final+mean"] = "final+max"
    """What the classifier sees of a text: the final states alone, or beside them the largest value or the mean of each of the
    last layer's outputs over the text's tokens."""
    ngram_slots: int | Literal["auto"] = "auto"
    """Rows of a hashed table of words and pairs of words, the linear classifier that stands beside the network: fitted in
    seconds after training, its weight settled on validation rows. `auto` follows how many there are; 0 leaves it out."""
    fast_agreement: float = Field(0.999, ge=0.5, le=1)
    """Share of the validation rows that must keep their labels where n-grams answer those alone of which they are sure, and the
    network the others (`classify --fast`). 500 rows or more settle when they are; 1 lets no label change."""
    embedding_dropout: float = Field(0.4, ge=0, lt=1)
    """Dropout on the values of the token embeddings, in training."""
    type_dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the vocabulary whose whole vectors are dropped, drawn anew in each step: a token is lost wherever it stands."""
    recurrent_dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout on the recurrent weights, drawn anew in each step (DropConnect)."""
    layer_dropout: float = Field(0.3, ge=0, lt=1)
    """Dropout between stacked recurrent layers, in training."""
    output_dropout: float = Field(0.5, ge=0, lt=1)
    """Dropout on the final states before the linear classifier, in training."""

    @field_validator("ngram_slots", mode="plain")
    @classmethod
    def _room_for_ngrams(cls, value: Any) -> int | Literal["auto"]:
        if value == 1 and not isinstance(value, bool):
            raise ValueError("model.ngram_slots 1 leaves no row for a word: give 0, or some thousands")
        return _auto_or_whole(value, 0, 1 << 24)


class TrainingSettings(Settings):
    """The optimiser, the loop and where it runs."""

    epochs: int = Field(20, ge=1, le=MOST)
    """Passes over the training rows, at most: early stopping may end sooner."""
    batch_size: int | Literal["auto"] = "auto"
    """Texts a step. `auto` is 64, or of few rows a sixteenth of them, but at least 8."""
    epoch_steps: int = Field(30, ge=1, le=1_000_000)
    """Steps of an epoch, at least: where the rows make fewer, it passes over them several times."""
    batch_tokens: int | None = Field(None, ge=1, le=MOST)
    """Tokens a step, at most: steps of long texts have fewer texts than `batch_size`."""
    learning_rate: float = Field(4e-3, gt=0, le=_LARGEST)
    """Peak learning rate of AdamW."""
    weight_decay: float = Field(0.01, ge=0, le=_LARGEST)
    """AdamW's decoupled weight decay, on matrices alone; embeddings and biases are left out."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of all steps in which the learning rate rises from zero."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls after the warm-up."""
    clip: float = Field(1.0, gt=0, le=_LARGEST)
    """Largest norm of the gradient; a longer one is scaled down to it."""
    label_smoothing: float = Field(0.05, ge=0, lt=1)
    """Share of the target that is spread over all classes; with `data.labels` it draws each label's target to 0.5."""
    class_weights: Literal["none", "balanced"] | dict[str, float] = "none"
    """What a text weighs in the loss, by its class: `none`, `balanced` (rows / (classes * rows of the class)) or a weight by label.
    With `data.labels` it is that of having the label, and `balanced` is rows without it / rows with it, from 1/20 to 20."""
    consistency: float = Field(0.0, ge=0, le=_LARGEST)
    """Weight in the loss of how far two passes over a batch disagree, each with dropouts of its own; above 0 a step costs two."""
    word_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of the training tokens replaced by `<unk>`, drawn anew in each step."""
    refit: bool = True
    """Fit the n-grams again in the end, with the validation rows too where these were cut from train. What is reported, and
    what validation rows settle, comes from before."""
    average: float = Field(0.998, ge=0, lt=1)
    """Decay of the moving average of the weights, which is what is evaluated and kept; 0 switches it off."""
    embedding_rate: float = Field(1.0, gt=0, le=_LARGEST)
    """Learning rate of the embedding table, as a share of the others': below 1 it stays nearer to pretrained vectors."""
    freeze_embeddings: bool = False
    """Leave the embedding table as it was initialised."""
    keep: Literal["auto", "best", "last"] = "auto"
    """Which epoch's weights are kept: those of the `best` by `metric`, or of the `last`. `auto` is the best, and the last where fewer
    than 100 validation rows would choose it by luck."""
    patience: int = Field(6, ge=1, le=MOST)
    """Where the best epoch is kept: stop after this many epochs without a better validation metric."""
    metric: Literal["macro_f1", "accuracy", "micro_f1", "weighted_f1", "log_loss"] = "log_loss"
    """The validation metric that chooses the best epoch."""
    seed: int = Field(0, ge=0, le=MOST)
    """Seed of the initial weights, the batches and every dropout."""
    device: str = "auto"
    """`auto` (CUDA where there is one, else the CPU), `cpu`, `cuda`, `cuda:1`, … or `mps` (checked against the CPU first)."""
    precision: Literal["fp32", "tf32", "bf16", "fp16"] = "fp32"
    """Of matrix products in training on CUDA, where torch's recurrent layers take `bf16` for `fp16`; every score keeps fp32. On the CPU
    `bf16` is for LSTMs, on processors with AVX512-BF16 or AMX, and the others leave it at fp32."""
    capture: bool = False
    """Capture the steps on CUDA as graphs, one for each shape of a batch: the same weights, launched at once."""
    threads: int | None = Field(None, ge=1, le=MOST_THREADS)
    """CPU threads: every core where not given. Weights are identical only for the same number."""
    checkpoint_minutes: float = Field(10.0, gt=0, le=1e9)
    """Minutes between two checkpoints within an epoch; each epoch ends with one. `textcls train --resume` goes on from them."""
    tensorboard: bool = False
    """Write TensorBoard's event files beside the log (needs the `tensorboard` extra)."""

    def label_metric(self, many: bool) -> str:
        """Return the metric of labels that counts: `metric`, or for log loss accuracy, of many labels a text macro-F1."""
        return self.metric if self.metric != "log_loss" else "macro_f1" if many else "accuracy"

    @field_validator("batch_size", mode="plain")
    @classmethod
    def _some_texts(cls, value: Any) -> int | Literal["auto"]:
        return _auto_or_whole(value, 1, 1 << 24)

    @field_validator("class_weights", mode="before")
    @classmethod
    def _labels_by_text(cls, value: Any) -> Any:
        """Labels that YAML reads as numbers or truth values compare by their text, as in the data."""
        if not isinstance(value, Mapping):
            return value
        return {str(label).lower() if isinstance(label, bool) else str(label): weight for label, weight in value.items()}

    @field_validator("class_weights")
    @classmethod
    def _measured_weights(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and any(weight < 0 for weight in value.values()):
            raise ValueError("training.class_weights must not be negative")
        if isinstance(value, Mapping) and any(weight > _LARGEST for weight in value.values()):
            raise ValueError(f"training.class_weights must not be greater than {_LARGEST:g}")
        return value

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if re.fullmatch("auto|cpu|mps|cuda(:[0-9]{1,3})?", value) is None:
            raise ValueError("must be auto, cpu, cuda, cuda:N or mps")
        return value
