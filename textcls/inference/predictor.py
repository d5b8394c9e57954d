"""A trained model ready to classify: raw texts in, calibrated probabilities out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from textcls.artifact import FORMAT_VERSION, GRAPH_FILE, Artifact, read_artifact
from textcls.config import TextSettings
from textcls.data.labels import Label
from textcls.errors import ModelError, is_out_of_memory
from textcls.fast import Cascade, FastWay
from textcls.files import replacing
from textcls.inference.engine import OnnxEngine
from textcls.inference.graph import build_graph, subwords_of, vocabulary_of
from textcls.inference.graph_fast import is_fast
from textcls.inference.graph_ngrams import linear_half
from textcls.saved_settings import saved_settings
from textcls.text import Encoded, Encoder, Vocabulary

if TYPE_CHECKING:
    from textcls.inference.options import ClassifyOptions


NO_FAST_WAY = (
    "has no fast way: it takes n-grams, and 500 validation rows or more that settle when these may answer alone; "
    "train it again with both, by this version of textcls"
)


class Engine(Protocol):
    """What runs a model on encoded texts: token ids, int32 [n_tokens], and where each text starts, int64 [n_texts + 1]."""

    @property
    def width(self) -> int:
        """What feeds the classifier layer of one text, in values."""

    def __call__(self, ids: NDArray[np.int32], offsets: NDArray[np.int64], /) -> NDArray[np.float32]:
        """Return calibrated probabilities, float32 [n_texts, classes]."""

    def features(self, ids: NDArray[np.int32], offsets: NDArray[np.int64], /) -> NDArray[np.float32]:
        """Return what feeds the classifier layer, float32 [n_texts, width]."""


@dataclass(frozen=True)
class Predictions:
    """What a model says of some texts.

    Attributes:
        probabilities: Calibrated, float32 [n_texts, classes].
        empty: Texts without a token; they get the model's answer for one `<pad>`, bool [n_texts].
        truncated: Texts cut at `text.max_tokens`, bool [n_texts].
        linear: Texts that n-grams answered alone, bool [n_texts]; None where they were not asked.
    """

    probabilities: NDArray[np.float32]
    empty: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    linear: NDArray[np.bool_] | None = None


class Predictor:
    """Classifies texts with any engine `(ids, offsets) → probabilities`.

    Args:
        settings: The model's text settings.
        vocabulary: Its tokens by id.
        labels: Its classes by index.
        engine: What scores encoded texts.
        record: What the model says of itself: metrics, provenance, versions.

    Attributes:
        thresholds: With many labels a text, the probability from which each label is given, float32 [classes]; else None.
        path: The folder or file that it was loaded from; None where it was not.
        cascade: Answers the fast way; None where the model has none.
        is_fast: Whether n-grams answer alone where they are sure: after `fast`, and of a file that was exported so.
    """

    path: Path | None = None
    cascade: Cascade | None = None
    is_fast = False

    def __init__(
        self,
        settings: TextSettings,
        vocabulary: Vocabulary,
        labels: tuple[Label, ...],
        engine: Engine,
        record: Mapping[str, Any],
    ) -> None:
        self.settings = settings
        self.vocabulary = vocabulary
        self.labels = labels
        self.engine = engine
        self.record = record
        cuts = record.get("thresholds")
        self.thresholds: NDArray[np.float32] | None = None if cuts is None else np.array(cuts, np.float32)
        self.encoder = Encoder.from_settings(settings, vocabulary)

    @property
    def many(self) -> bool:
        """Whether a text may have many labels, or none."""
        return self.thresholds is not None

    @classmethod
    def load(cls, path: str | Path, *, threads: int | None = None) -> Predictor:
        """Load a model folder or an exported `.onnx` file for the CPU.

        Args:
            path: The folder or the file.
            threads: Batches scored at the same time; every core where not given.

        Raises:
            ModelError: There is no model, it is damaged, or a newer textcls wrote it.
        """
        path = Path(path)
        predictor = cls._loaded(path, threads)
        predictor.path = path
        return predictor

    @classmethod
    def _loaded(cls, path: Path, threads: int | None) -> Predictor:
        if path.is_dir() or not path.exists():
            return cls.from_artifact(read_artifact(path), path, threads=threads)
        graph = read_graph(path)
        try:
            return cls.from_graph(graph, threads)
        except Exception as error:  # ONNX Runtime's error classes share no base but this
            if is_out_of_memory(error):
                raise
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ModelError(f"{path}: is damaged: {reason}; export the model again") from error

    @classmethod
    def from_artifact(cls, artifact: Artifact, folder: Path | None = None, *, threads: int | None = None) -> Predictor:
        """Return a predictor for a trained model; its graph is taken from, or kept in, the model folder where one is given."""
        return cls.from_graph(_kept_graph(artifact, folder) if folder else build_graph(artifact), threads)

    @classmethod
    def from_graph(cls, model: onnx.ModelProto, threads: int | None = None) -> Predictor:
        """Return a predictor for a graph that `build_graph` made; it is taken apart."""
        properties = {entry.key: entry.value for entry in model.metadata_props}
        record = saved_settings(json.loads(properties["textcls"]))
        vocabulary = Vocabulary(vocabulary_of(model), subwords_of(model))
        settings = TextSettings.model_validate(record["text"])
        way, half, fast = FastWay.of(record.get("fast")), linear_half(model), is_fast(model)
        if fast and (way is None or half is None):
            raise ValueError("it goes the fast way, and does not say when n-grams answer alone")
        predictor = cls(settings, vocabulary, tuple(record["labels"]), OnnxEngine(model, threads), record)
        predictor.cascade = None if way is None or half is None else Cascade(half, way, predictor.thresholds)
        predictor.is_fast = fast
        return predictor

    def fast(self) -> Predictor:
        """Return the same predictor the fast way: texts of which n-grams alone are sure never reach the network.

        Raises:
            ModelError: Nothing settled when they are.
        """
        if self.cascade is None:
            raise ModelError(f"{self.path or 'this model'}: {NO_FAST_WAY}")
        other = copy(self)
        other.is_fast = True
        return other

    def predict(self, texts: Sequence[str]) -> Predictions:
        """Classify texts.

        Args:
            texts: Raw texts, [n_texts]; none is fine.
        """
        return self.score(self.encode(texts))

    def transform(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return what feeds the classifier layer, float32 [n_texts, width]: the final states, and what is pooled beside them.

        Args:
            texts: Raw texts, [n_texts]; none is fine.
        """
        encoded = self.encode(texts)
        return self.engine.features(encoded.ids, encoded.offsets)

    def classify(self, frame: Any, options: ClassifyOptions | None = None, **given: Any) -> Any:
        """Return a table with labels beside its rows; see `textcls.inference.frames.classify_frame`.

        Args:
            frame: The table.
            options: The columns of the text, and what is answered.
            given: The same by name, such as `top_k=2`; they come before `options`.
        """
        from textcls.inference.frames import classify_frame
        from textcls.inference.options import ClassifyOptions

        return classify_frame(self, frame, ClassifyOptions.of(options, given))

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return texts as token ids; one thread at a time may call it."""
        return self.encoder.encode(texts)

    def score(self, encoded: Encoded) -> Predictions:
        """Classify encoded texts."""
        probabilities, linear = self.answers(encoded.ids, encoded.offsets)
        return Predictions(probabilities, encoded.empty, encoded.truncated, linear)

    def answers(
        self, ids: NDArray[np.int32], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
        """Return the probabilities of encoded texts, and which of them n-grams answered alone; None where they were not asked.

        Args:
            ids: Token ids of all texts, int32 [n_tokens].
            offsets: Where each text starts, and the end, int64 [n_texts + 1].
        """
        if self.is_fast and self.cascade is not None:
            return self.cascade.score(self.engine, ids, offsets)
        return self.engine(ids, offsets), None


def read_graph(path: Path) -> onnx.ModelProto:
    """Read an exported file.

    Raises:
        ModelError: It is no ONNX file, none of ours, or a newer textcls wrote it.
    """
    try:
        model = onnx.load(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except MemoryError:
        raise
    except Exception as error:  # protobuf's own error class is private to its implementation
        raise ModelError(f"{path}: is no ONNX file; a model is a folder or a .onnx file that `textcls export` wrote") from error
    properties = {entry.key: entry.value for entry in model.metadata_props}
    try:
        if "textcls" not in properties or not vocabulary_of(model):
            raise ModelError(
                f"{path}: is an ONNX file, but not one that `textcls export` wrote: it carries no vocabulary and labels"
            )
        version = int(json.loads(properties["textcls"])["format_version"])
    except (
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
    ) as error:  # protobuf gives bytes for a string that is no UTF-8 any more
        raise ModelError(f"{path}: its textcls metadata is damaged; export the model again") from error
    if version > FORMAT_VERSION:
        raise ModelError(
            f"{path}: format version {version}, written by a newer textcls; this one reads up to {FORMAT_VERSION}: upgrade textcls"
        )
    return model


def _kept_graph(artifact: Artifact, folder: Path) -> onnx.ModelProto:
    """Return the graph beside the weights where it is theirs, else build it and keep it there if the folder can be written."""
    path = folder / GRAPH_FILE
    with suppress(ModelError):
        model = read_graph(path)
        record = json.loads(next(entry.value for entry in model.metadata_props if entry.key == "textcls"))
        if record.get("fingerprint") == artifact.fingerprint and not is_fast(model) and "quantized" not in record:
            return model
    model = build_graph(artifact)
    with suppress(OSError), replacing(path) as neighbour:  # a read-only folder: the graph is built at each load
        onnx.save(model, neighbour)
    return model
