"""The spaCy component `textcls`: sets `doc.cats` to the probability of each label.

spaCy finds it by itself where textcls is installed:

    nlp = spacy.blank("en")
    nlp.add_pipe("textcls", config={"model": "runs/reviews/model"})
    nlp("what a lovely film").cats
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import onnx
from spacy.language import Language
from spacy.tokens import Doc

from textcls.artifact import read_artifact
from textcls.data.labels import label_text
from textcls.errors import ModelError
from textcls.files import replacing
from textcls.inference.graph import build_graph
from textcls.inference.predictor import Predictor, read_graph

FILE = "model.onnx"
_BATCH = 256  # texts scored together, so that long ones stand beside long ones


class TextclsComponent:
    """Classifies the text of a document with its own tokens; those of the pipeline play no part.

    Args:
        name: Name of the component in its pipeline.
        model: A model folder or an exported `.onnx` file; else `from_disk` or `from_bytes` brings the model.
    """

    def __init__(self, name: str = "textcls", model: str | Path | None = None) -> None:
        self.name = name
        self.source = model
        self._content: bytes | None = None
        self._predictor: Predictor | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """Texts of the labels; none before there is a model: spaCy asks while it still loads the pipeline.

        Raises:
            ModelError: The model cannot be read.
        """
        there = self._content is not None or (self.source is not None and Path(self.source).exists())
        return tuple(map(label_text, self._loaded().labels)) if there else ()

    @property
    def thresholds(self) -> dict[str, float] | None:
        """Where a text may have many labels, the probability from which each is given; else None.

        Raises:
            ModelError: There is no model yet, or it cannot be read.
        """
        cuts = self._loaded().thresholds
        return None if cuts is None else dict(zip(self.labels, cuts.tolist(), strict=True))

    def __call__(self, doc: Doc) -> Doc:
        """Set `doc.cats`.

        Raises:
            ModelError: There is no model yet, or it cannot be read.
        """
        self._classify([doc])
        return doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = _BATCH) -> Iterator[Doc]:
        """Set `doc.cats` of many documents, `batch_size` at a time, in order."""
        stream = iter(stream)
        while batch := list(islice(stream, batch_size)):
            self._classify(batch)
            yield from batch

    def _classify(self, docs: list[Doc]) -> None:
        probabilities = self._loaded().predict([doc.text for doc in docs]).probabilities
        labels = self.labels
        for doc, row in zip(docs, probabilities.tolist(), strict=True):
            doc.cats = dict(doc.cats) | dict(zip(labels, row, strict=True))

    def _loaded(self) -> Predictor:
        """Return the predictor, which is made where it is first needed: spaCy makes components before it loads them."""
        if self._predictor is None:
            model = onnx.ModelProto()
            model.ParseFromString(self.to_bytes())
            self._predictor = Predictor.from_graph(model)
        return self._predictor

    def to_bytes(self, *, exclude: Collection[str] = ()) -> bytes:
        """Return the model as one ONNX file.

        Raises:
            ModelError: There is no model yet, or it cannot be read.
        """
        if self._content is None:
            if self.source is None:
                raise ModelError(f'{self.name}: has no model; nlp.add_pipe("textcls", config={{"model": FOLDER_OR_FILE}})')
            path = Path(self.source)
            graph = read_graph(path) if path.is_file() else build_graph(read_artifact(path))
            self._content = graph.SerializeToString(deterministic=True)
        return self._content

    def from_bytes(self, content: bytes, *, exclude: Collection[str] = ()) -> TextclsComponent:
        """Take the model of `to_bytes`, and return itself."""
        self._content, self._predictor = content, None
        return self

    def to_disk(self, path: str | Path, *, exclude: Collection[str] = ()) -> None:
        """Write the model into a folder, as one ONNX file that `textcls` reads too.

        Raises:
            ModelError: There is no model yet, or it cannot be read.
        """
        content = self.to_bytes()
        Path(path).mkdir(parents=True, exist_ok=True)
        with replacing(Path(path) / FILE) as neighbour:
            neighbour.write_bytes(content)

    def from_disk(self, path: str | Path, *, exclude: Collection[str] = ()) -> TextclsComponent:
        """Take the model that `to_disk` wrote, and return itself.

        Raises:
            ModelError: The file is missing, damaged, or a newer textcls wrote it.
        """
        return self.from_bytes(read_graph(Path(path) / FILE).SerializeToString(deterministic=True))

    def __getstate__(self) -> dict[str, Any]:
        """Return what other processes get: the model, from which each makes its own predictor."""
        if self._content is None and self.source is not None:
            self.to_bytes()
        return self.__dict__ | {"_predictor": None}


@Language.factory("textcls", assigns=["doc.cats"], default_config={"model": None})
def make_textcls(nlp: Language, name: str, model: str | None) -> TextclsComponent:
    """Make the component; spaCy calls this by its entry point."""
    return TextclsComponent(name, model)
