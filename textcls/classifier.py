"""`TextClassifier`: train, classify, evaluate and export from Python, in scikit-learn's words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textcls.artifact import Artifact, check_gives_way, read_artifact, write_artifact
from textcls.config import Config, DataSettings, parse_config
from textcls.data import Label, Rows
from textcls.data.memory import Given, rows_from_memory, rows_to_fit, texts_from_memory
from textcls.errors import DataError, InputError, ModelError
from textcls.estimator import Estimator
from textcls.inference.explain import explain, explain_given
from textcls.inference.hub import PREFIX, fetch_model
from textcls.inference.predictor import Predictor
from textcls.parameters import resolved
from textcls.scoring import evaluate_rows
from textcls.storage import row_blocks

if TYPE_CHECKING:
    from textcls.exports import ExportReport
    from textcls.training.events import Event

_ONE_AT_A_TIME = threading.Lock()  # torch's random state belongs to the process: two trainings at once would share it


class TextClassifier(Estimator):
    """A text classifier with scikit-learn's interface.

    Texts, `X`, are a pandas or polars `DataFrame`, an Arrow table, a Hugging Face `Dataset` or a dictionary of columns, of which
    `data.text` names the column or columns of the text, or which has one column alone; or a list, a `Series` or an array of texts.

    Where `data.labels` is set, or the labels that `fit` gets are lists, tuples or sets, or it gets an indicator matrix, a text may
    have many labels, or none.

    Labels keep their type, but for whole numbers, which are ints: `1.0` is `1`, as in files. `data.strip_labels` and
    `data.missing_labels` hold for them too.

    Args:
        config: Settings: a `Config`, a nested dictionary, a YAML file, or None for the defaults.

    Attributes:
        classes_: The labels, in the order of the columns of `predict_proba`: sorted, or of an indicator matrix its columns, all of
            them and in their order. Set by `fit` and `load`.
        metrics_: Reports of the splits that training saw, such as `validation`.

    Raises:
        ConfigError: A setting is unknown, does not fit, or names what is not on this machine: vectors, a language, a device.

    Example:
        >>> from textcls import TextClassifier
        >>> classifier = TextClassifier({"training": {"epochs": 2}, "model": {"hidden_size": 8}})
        >>> texts, labels = ["good film", "bad film"] * 20, ["pos", "neg"] * 20
        >>> classifier.fit(texts, labels, verbose=False).predict(["a good one"]).shape
        (1,)
    """

    _by_indicator = False  # whether `fit` got an indicator matrix, which `predict` then gives too

    def __init__(self, config: Config | Mapping[str, Any] | str | Path | None = None) -> None:
        super().__init__(config)
        self._predictor: Predictor | None = None
        self._artifact: Artifact | None = None

    def fit(
        self,
        X: Given = None,
        y: Any = None,
        sample_weight: Iterable[float] | None = None,
        *,
        validation_data: Any = None,
        verbose: bool = True,
        report: Callable[[Event], None] | None = None,
    ) -> TextClassifier:
        """Train.

        Args:
            X: Training texts, [n]; or nothing: then the data that the settings name are read.
            y: The label of each text, or the labels, [n]; or an indicator matrix of 0 and 1, [n, labels]: an array, whose labels are
                0, 1, 2, …, or a table whose columns are the labels. None where `X` is a table with the column `data.label`, or
                `data.labels`.
            sample_weight: What each text weighs, [n], 0 or more: a text of weight 2 counts as if it stood there twice. Where not
                given, the column that `data.weight` names, if it does.
            validation_data: Rows for early stopping and calibration, a table with labels or a pair of texts and labels; where not
                given, `data.validation_share` of the training rows is held out.
            verbose: Whether to show progress, in a terminal or a notebook; elsewhere nothing is shown.
            report: Called with each event of training.

        Returns:
            Itself.

        Raises:
            InputError: The settings or the data cannot be used.
            TrainingError: The loss is no longer a finite number.
        """
        from textcls.training.display import FitDisplay
        from textcls.training.events import Note
        from textcls.training.fit import fit

        config = resolved(self.config)
        with ExitStack() as stack:
            listeners: list[Callable[[Event], None]] = (
                [stack.enter_context(FitDisplay(config.training.metric))] if verbose else []
            )
            listeners += [report] if report else []

            def tell(event: Event) -> None:
                for listener in listeners:
                    listener(event)

            train, validation, notes = rows_to_fit(config.data, X, y, sample_weight, validation_data)
            for note in notes:
                tell(Note(note))
            stack.enter_context(_ONE_AT_A_TIME)
            training = stack.enter_context(closing(fit(config, train, validation, validation_cut=validation_data is None)))
            while True:
                try:
                    tell(next(training))
                except StopIteration as end:
                    self._use(end.value.artifact)
                    self._by_indicator = train.named is not None
                    return self

    def predict(self, X: Given, *, fast: bool = False) -> NDArray[Any]:
        """Return the label of each text, [n], with the type it had in training.

        With many labels a text: a tuple of them for each text, in the order of `classes_`, in an object array [n]; where `fit` got
        an indicator matrix, such a matrix again, int64 [n, classes], as scikit-learn has it. A model that was loaded gives tuples.

        Args:
            X: The texts, [n].
            fast: Let n-grams answer alone where they are sure, and the network the other texts.

        Raises:
            DataError: `X` is one string, lacks the column of the text, or holds something that is no text.
            ModelError: `fast`, and nothing settled when n-grams are sure.
        """
        predictor, texts = self._way(fast), self._texts(X)
        parts = row_blocks(len(texts), len(predictor.labels))
        blocks = (predictor.predict(texts[rows]).probabilities for rows in parts)
        if predictor.thresholds is None:
            chosen: NDArray[Any] = self.classes_[np.concatenate([block.argmax(axis=1) for block in blocks])]
            return chosen
        reached = (block >= predictor.thresholds for block in blocks)
        if self._by_indicator:
            return np.concatenate([has.astype(np.int64) for has in reached])
        found = np.empty(len(texts), object)
        for row, has in enumerate(chain.from_iterable(reached)):
            found[row] = tuple(predictor.labels[column] for column in np.flatnonzero(has))
        return found

    def predict_proba(self, X: Given, *, fast: bool = False) -> NDArray[np.float32]:
        """Return the calibrated probability of each label for each text, float32 [n, classes]; the arguments are those of `predict`.

        Raises:
            DataError: As `predict`.
            ModelError: As `predict`.
        """
        return self._way(fast).predict(self._texts(X)).probabilities

    def classify(
        self,
        X: Given,
        *,
        top_k: int = 1,
        all_scores: bool = False,
        min_confidence: float | None = None,
        unsure_label: str = "unsure",
        fast: bool = False,
        by: bool = False,
    ) -> Any:
        """Return a table as it came in, with the columns beside it that `textcls classify` writes, `label` and `confidence` first.

        See `textcls.inference.frames.classify_frame`, and `textcls.inference.ClassifyOptions` for what the arguments mean.

        Raises:
            InputError: `X` is no table, lacks the column of the text, or an argument is at fault.
        """
        return self._trained().classify(
            X,
            top_k=top_k,
            all_scores=all_scores,
            min_confidence=min_confidence,
            unsure_label=unsure_label,
            fast=fast,
            by=by,
        )

    def explain(self, X: Given, label: Label | None = None) -> list[Any]:
        """Measure what each word of each text adds to a label's probability, by leaving it out.

        Args:
            X: The texts, [n].
            label: The label to explain, one of `classes_`; where not named, what each text gets.

        Returns:
            For each text a `textcls.inference.explain.Explanation`: the label, its probability, and the words with their effects,
            in order. With many labels a text, where `label` is not named, a list of them: one for each label that the text gets,
            the most probable first.

        Raises:
            InputError: As `predict`, or the model has no such label.
        """
        predictor, texts = self._trained(), self._texts(X)
        if predictor.many and label is None:
            return [explain_given(predictor, text) for text in texts]
        return [explain(predictor, text, label) for text in texts]

    def features(self, X: Given) -> NDArray[np.float32]:
        """Return what feeds the classifier layer as an array, float32 [n, width], whatever `set_output` says.

        Raises:
            DataError: As `predict`.
        """
        return self._trained().transform(self._texts(X))

    @property
    def width(self) -> int:
        """How many features `transform` gives for each text."""
        return self._trained().engine.width

    def score(self, X: Given, y: Any = None, sample_weight: Iterable[float] | None = None) -> float:
        """Return the share of texts whose label is predicted, or whose labels are, all of them and no other.

        Args:
            X: The texts, [n].
            y: Their labels, as `fit` takes them; of an indicator matrix the columns must be `classes_`, of an array in their order.
            sample_weight: What each text weighs in the share, [n]; the same for all where not given, whatever `data.weight` says.

        Raises:
            DataError: The model knows no label of the texts, or they all weigh 0.
        """
        rows = self._rows(X, y, sample_weight)
        report, _, wrong = evaluate_rows(self._trained(), rows)
        if rows.weights is None:
            return float(report["accuracy"])
        if not rows.weights.any():
            raise DataError("the texts all weigh 0, so they have no score")
        right = np.ones(len(rows))
        right[wrong] = 0
        return float(np.average(right, weights=rows.weights))

    def evaluate(self, X: Given, y: Any = None) -> dict[str, Any]:
        """Evaluate on labelled texts.

        Args:
            X: The texts, [n].
            y: Their labels, as `score` takes them.

        Returns:
            `rows`, `accuracy`, `macro_f1`, `micro_f1`, `weighted_f1`, `log_loss`, `expected_calibration_error`,
            `unseen_label_rows` and `per_class`.

        Raises:
            DataError: The model knows no label of the texts.
        """
        return evaluate_rows(self._trained(), self._rows(X, y))[0]

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, [classes]; an object array where they are of several types, but for numbers that floats hold exactly."""
        labels = self._trained().labels
        kinds, plain = {type(label) for label in labels}, np.array(labels)
        alike = len(kinds) == 1 or (kinds == {int, float} and plain.tolist() == list(labels))
        return plain if alike else np.array(labels, object)

    @property
    def metrics_(self) -> Mapping[str, Any]:
        """Reports of the splits that training saw."""
        metrics: Mapping[str, Any] = self._trained().record["metrics"]
        return metrics

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Write a model folder, which `load` and every `textcls` command reads.

        Args:
            folder: Where to; its parents are made.
            force: Write over a model that is there.

        Raises:
            InputError: A model is there and `force` is not given, or other files are, which would be lost.
            ModelError: It was loaded from an exported file, which cannot become a folder again.
        """
        from textcls.training.card import model_card

        artifact = self._folder_model()
        check_gives_way(Path(folder), force=force)
        write_artifact(artifact, Path(folder), model_card(artifact))

    @classmethod
    def load(cls, path: str | Path, *, device: str = "cpu") -> TextClassifier:
        """Load a model folder, an exported `.onnx` file or a model on the Hugging Face Hub.

        Args:
            path: The folder or the file, or `hub:owner/name`, with `@revision` behind it to pin one.
            device: `cpu`, which runs ONNX Runtime, or `cuda`, which runs torch and needs a model folder.

        Raises:
            ModelError: There is no model, it is damaged, or a newer textcls wrote it.
            ConfigError: There is no such device.
        """
        path = fetch_model(path) if isinstance(path, str) and path.startswith(PREFIX) else Path(path)
        if path.is_file():
            if device != "cpu":
                raise ModelError(f"{path}: exported files run on the CPU; load the model folder for device {device}")
            predictor = Predictor.load(path)
            loaded = cls()  # its settings may name vectors that are not here: it needs them no more
            loaded.config = parse_config({name: predictor.record[name] for name in ("data", "text", "model")}, str(path))
            loaded._predictor = predictor
            return loaded
        artifact = read_artifact(path)
        loaded = cls()
        loaded.config = artifact.config
        loaded._use(artifact, path)
        if device != "cpu":
            from textcls.model.engine import TorchEngine

            loaded._trained().engine = TorchEngine(artifact, device)
        return loaded

    def export(self, path: str | Path, *, force: bool = False) -> ExportReport:
        """Write one file (`.onnx`, or `.pt2` for PyTorch programs), once it gives what the model gives; see `textcls.exports.export`.

        Raises:
            InputError: The place is taken, or lies in a model folder.
            ExportError: The file differs from the model; nothing was written.
        """
        import tempfile

        from textcls.exports import export

        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder) / "model")
            return export(Path(folder) / "model", path, force=force)

    def __sklearn_is_fitted__(self) -> bool:
        """Tell scikit-learn whether `fit` or `load` was called."""
        return self._predictor is not None or self._artifact is not None

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickling and copying keep: the model as plain data, from which its engine is built again, for the CPU.

        Raises:
            ModelError: It was loaded from an exported file.
        """
        if self._predictor is not None:
            self._folder_model()
        return self.__dict__ | {"_predictor": None}

    def _columns(self) -> DataSettings:
        """Return the settings of `data` that the model took along: of many labels, too, where `fit` found out."""
        return parse_config({"data": self._trained().record["data"]}, "the model").data

    def _texts(self, X: Given) -> list[str]:
        return texts_from_memory(X, self._columns(), or_text=True)

    def _rows(self, X: Given, y: Any, sample_weight: Any = None) -> Rows:
        """Return labelled rows to evaluate on."""
        known = self._trained()
        columns = self._columns().model_copy(update={"weight": None})
        return rows_from_memory(X, y, columns, many=known.many, sample_weight=sample_weight, classes=known.labels)

    def _use(self, artifact: Artifact, folder: Path | None = None) -> None:
        self._artifact = artifact
        self._predictor = Predictor.from_artifact(artifact, folder)

    def _trained(self) -> Predictor:
        if self._predictor is None and self._artifact is not None:
            self._use(self._artifact)
        if self._predictor is None:
            from textcls.untrained import NotTrainedError

            raise NotTrainedError("this TextClassifier is not trained yet: call fit, or TextClassifier.load")
        return self._predictor

    def _way(self, fast: bool) -> Predictor:
        if not isinstance(fast, bool):
            raise InputError(f"fast is {fast!r}: give True or False")
        return self._trained().fast() if fast else self._trained()

    def _folder_model(self) -> Artifact:
        self._trained()
        if self._artifact is None:
            raise ModelError(
                "this TextClassifier was loaded from an exported file: load the model folder to save, export or copy it"
            )
        return self._artifact
