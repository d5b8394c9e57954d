"""`TextClassifier`: train, classify, evaluate and export from Python, in scikit-learn's words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from textcls.artifact import Artifact, read_artifact, saved_data, write_artifact
from textcls.config import Config, load_config, parse_config
from textcls.data import Label, LabelSet, Rows, load_splits, read_labelled, split_rows
from textcls.data.labels import require_known
from textcls.data.memory import checked_texts, rows_from_memory
from textcls.errors import ModelError
from textcls.evaluation import Mistake, Targets, evaluate_blocks, mistakes
from textcls.inference.hub import PREFIX, fetch_model
from textcls.inference.own_columns import with_own_columns
from textcls.inference.predictor import Predictor
from textcls.storage import row_blocks

if TYPE_CHECKING:
    from datasets import Dataset
    from sklearn.utils import Tags

    from textcls.exports import ExportReport
    from textcls.training.events import Event


class TextClassifier:
    """A text classifier with scikit-learn's interface.

    Where `data.labels` is set, or every label that `fit` gets is a list, a tuple or a set, a text may have many labels, or none.

    Args:
        config: Settings: a `Config`, a nested dictionary, a YAML file, or None for the defaults.

    Attributes:
        classes_: The labels, in the order of the columns of `predict_proba`; set by `fit` and `load`.
        metrics_: Reports of the splits that training saw, such as `validation`.

    Example:
        >>> from textcls import TextClassifier
        >>> classifier = TextClassifier({"training": {"epochs": 2}, "model": {"hidden_size": 8}})
        >>> texts, labels = ["good film", "bad film"] * 20, ["pos", "neg"] * 20
        >>> classifier.fit(texts, labels).predict(["a good one"]).shape
        (1,)
    """

    def __init__(self, config: Config | Mapping[str, Any] | str | Path | None = None) -> None:
        self.config = config  # as given: scikit-learn's `clone` wants the very object back
        self._predictor: Predictor | None = None
        self._artifact: Artifact | None = None

    def fit(
        self,
        texts: Iterable[str] | Dataset | None = None,
        labels: Iterable[Label | Collection[Label]] | None = None,
        *,
        report: Callable[[Event], None] = lambda _event: None,
    ) -> TextClassifier:
        """Train.

        Args:
            texts: Training texts, [n]; or a Hugging Face `Dataset` whose columns `data.text` and `data.label` name; or nothing:
                then the data that the settings name are read.
            labels: The label of each text, or the labels, [n].
            report: Called with each event of training.

        Returns:
            Itself.

        Raises:
            InputError: The settings or the data cannot be used.
            TrainingError: The loss is no longer a finite number.
        """
        from textcls.training.events import Note
        from textcls.training.fit import fit

        config = self._resolved()
        if texts is None:
            splits = load_splits(config.data)
            train, validation, notes = splits.train, splits.validation, splits.notes
        else:
            rows = rows_from_memory(texts, labels, config.data, many=True if config.data.labels else None)
            cut = split_rows(rows, config.data.validation_share, 0.0, config.data.split_seed)
            train, validation = rows.select(cut.train), rows.select(cut.validation) if len(cut.validation) else None
            notes = rows.notes + cut.notes
        for note in notes:
            report(Note(note))
        with closing(fit(config, train, validation)) as training:
            while True:
                try:
                    report(next(training))
                except StopIteration as end:
                    self._use(end.value.artifact)
                    return self

    def predict(self, texts: Sequence[str]) -> NDArray[Any]:
        """Return the label of each text, [n], with the type it had in training.

        With many labels a text: a tuple of them for each text, in the order of `classes_`, in an object array [n].
        """
        predictor, given = self._trained(), checked_texts(texts)
        parts = row_blocks(len(given), len(predictor.labels))
        blocks = (predictor.predict(given[rows]).probabilities for rows in parts)
        if predictor.thresholds is None:
            chosen: NDArray[Any] = self.classes_[np.concatenate([block.argmax(axis=1) for block in blocks])]
            return chosen
        found = np.empty(len(given), object)
        for row, has in enumerate(chain.from_iterable(block >= predictor.thresholds for block in blocks)):
            found[row] = tuple(predictor.labels[column] for column in np.flatnonzero(has))
        return found

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the calibrated probability of each label for each text, float32 [n, classes].

        Raises:
            DataError: `texts` is one string, or holds something that is no text.
        """
        return self._trained().predict(checked_texts(texts)).probabilities

    def score(self, texts: Sequence[str], labels: Iterable[Label | Collection[Label]]) -> float:
        """Return the share of texts whose label is predicted, or whose labels are, all of them and no other."""
        return float(self.evaluate(texts, labels)["accuracy"])

    def evaluate(
        self, texts: Iterable[str] | Dataset, labels: Iterable[Label | Collection[Label]] | None = None
    ) -> dict[str, Any]:
        """Evaluate on labelled texts.

        Args:
            texts: Texts, [n], or a Hugging Face `Dataset` with the columns that `data.text` and `data.label` name.
            labels: The label of each text, or the labels, [n].

        Returns:
            `rows`, `accuracy`, `macro_f1`, `micro_f1`, `weighted_f1`, `log_loss`, `expected_calibration_error`,
            `unseen_label_rows` and `per_class`.

        Raises:
            DataError: The model knows no label of the texts.
        """
        predictor = self._trained()
        columns = parse_config(
            {"data": saved_data(predictor.record)}, "the model"
        ).data  # many labels, too, where `fit` found out
        return evaluate_rows(predictor, rows_from_memory(texts, labels, columns, many=predictor.many))[0]

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, [classes]; an object array where they are of several types."""
        labels = self._trained().labels
        return np.array(labels, dtype=None if len({type(label) for label in labels}) == 1 else object)

    @property
    def metrics_(self) -> Mapping[str, Any]:
        """Reports of the splits that training saw."""
        metrics: Mapping[str, Any] = self._trained().record["metrics"]
        return metrics

    def save(self, folder: str | Path) -> None:
        """Write a model folder, which `load` and every `textcls` command reads.

        Raises:
            ModelError: It was loaded from an exported file, which cannot become a folder again.
        """
        from textcls.training.card import model_card

        artifact = self._folder_model()
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
            loaded = cls({section: predictor.record[section] for section in ("data", "text", "model")})
            loaded._predictor = predictor
            return loaded
        artifact = read_artifact(path)
        loaded = cls(artifact.config)
        loaded._use(artifact, path)
        if device != "cpu":
            from textcls.model.engine import TorchEngine

            loaded._trained().engine = TorchEngine(artifact, device)
        return loaded

    def export(self, path: str | Path, *, force: bool = False) -> ExportReport:
        """Write one file (`.onnx`, or `.pt2` for PyTorch programs), once it gives what the model gives; see `textcls.exports.export`.

        Raises:
            ExportError: The file differs from the model; nothing was written.
        """
        import tempfile

        from textcls.exports import export

        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder) / "model")
            return export(Path(folder) / "model", path, force=force)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return scikit-learn's parameters: `config`, and with `deep` each setting, as `training__epochs`."""
        params: dict[str, Any] = {"config": self.config}
        if deep:
            tree = self._resolved().model_dump()
            params |= {f"{section}__{name}": value for section, settings in tree.items() for name, value in settings.items()}
        return params

    def set_params(self, **params: Any) -> TextClassifier:
        """Set `config`, or single settings such as `training__epochs=5`.

        Raises:
            ConfigError: A setting is unknown or does not fit.
        """
        if "config" in params:
            self.config = params.pop("config")
        if params:
            self.config = self._resolved().replace({name.replace("__", ".", 1): value for name, value in params.items()})
        return self

    def __sklearn_tags__(self) -> Tags:
        """Tell scikit-learn that this is a classifier of strings."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(one_d_array=True, two_d_array=False, string=True),
        )

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

    def _resolved(self) -> Config:
        if self.config is None:
            return Config()
        if isinstance(self.config, Config):
            return self.config
        if isinstance(self.config, Mapping):
            return parse_config(self.config, "config")
        return load_config(self.config)

    def _use(self, artifact: Artifact, folder: Path | None = None) -> None:
        self._artifact = artifact
        self._predictor = Predictor.from_artifact(artifact, folder)

    def _trained(self) -> Predictor:
        if self._predictor is None and self._artifact is not None:
            self._use(self._artifact)
        if self._predictor is None:
            raise ModelError("this TextClassifier is not trained yet: call fit, or TextClassifier.load")
        return self._predictor

    def _folder_model(self) -> Artifact:
        self._trained()
        if self._artifact is None:
            raise ModelError(
                "this TextClassifier was loaded from an exported file: load the model folder to save, export or copy it"
            )
        return self._artifact


@dataclass(frozen=True)
class Evaluation:
    """The outcome of `evaluate`.

    Attributes:
        report: Metrics over all rows.
        errors: The rows labelled wrongly, the most confident first: `file`, `row`, `text`, `label`, `predicted`, `confidence`.
            With many labels a text `label` and `predicted` are lists, and the confidence is that of the surest label that is
            wrongly given or wrongly left out.
        notes: What reading the rows found.
    """

    report: dict[str, Any]
    errors: list[dict[str, Any]]
    notes: tuple[str, ...]


def evaluate(
    model: str | Path,
    data: str | Sequence[str],
    *,
    text: str | Sequence[str] | None = None,
    label: str | Sequence[str] | None = None,
    header: bool | None = None,
    delimiter: str | None = None,
    quoting: str | None = None,
    encoding: str | None = None,
    encoding_errors: str | None = None,
    missing_labels: str | None = None,
    own_columns: bool = False,
) -> Evaluation:
    """Evaluate a model folder or an exported file on labelled files.

    Args:
        model: The folder or the file.
        data: Files, folders or named sources of labelled rows, as `data.test`.
        text: Column or columns of the text; those of training where not given.
        label: Column of the label or labels, or for many labels columns of 0 and 1; that of training where not given.
        header: Whether csv and tsv files have a line of column names; as in training where not given.
        delimiter: What separates the fields of csv and tsv files; as in training where not given.
        quoting: `auto`, `csv` or `none`; as in training where not given.
        encoding: Of text files without a byte order mark; as in training where not given.
        encoding_errors: `strict` or `replace`; as in training where not given.
        missing_labels: `error` or `skip` rows without a label; as in training where not given.
        own_columns: Give the wrong rows all columns that they have in their files, for which these are read again.

    Raises:
        InputError: The model or the rows cannot be read, or the model knows no label of the rows.
    """
    predictor = Predictor.load(model)
    column = "labels" if predictor.many else "label"
    given = {"text": text, column: label, "header": header, "encoding_errors": encoding_errors}
    given |= {"delimiter": delimiter, "quoting": quoting, "encoding": encoding, "missing_labels": missing_labels}
    columns = saved_data(predictor.record) | {name: value for name, value in given.items() if value is not None}
    settings = parse_config({"data": columns}, "evaluate").data
    source = data if isinstance(data, str) else tuple(data)
    rows = read_labelled(source, settings, "test")
    report, errors, places = evaluate_rows(predictor, rows)
    if own_columns:
        errors = with_own_columns(errors, places, source, settings)
    return Evaluation(report, errors, rows.notes)


def evaluate_rows(predictor: Predictor, rows: Rows) -> tuple[dict[str, Any], list[dict[str, Any]], list[int]]:
    """Return the report over some rows, those labelled wrongly, the most confident first, and the place of each of these.

    Raises:
        DataError: There are labels, and the model knows none of them.
    """
    if found := rows.labels.distinct:
        require_known(found, LabelSet(predictor.labels), "row", "the model knows", "check which column holds the label")
    together = LabelSet(predictor.labels).extended(found)
    wrong: list[Mistake] = []

    def blocks() -> Iterator[tuple[NDArray[np.float32], Targets]]:
        for some in row_blocks(len(rows), len(together)):
            part = rows.select(np.arange(some.start, some.stop))
            probabilities, targets = predictor.predict(part.texts).probabilities, part.targets(together)
            wrong.extend(mistakes(probabilities, targets, together.texts, predictor.thresholds, some.start))
            yield probabilities, targets

    report = evaluate_blocks(blocks(), together.texts, predictor.thresholds)
    wrong.sort(key=lambda one: -one.confidence)
    errors = [
        {
            "file": rows.sources[rows.source[one.row]],
            "row": int(rows.row[one.row]),
            "text": rows.texts[one.row],
            "label": one.label,
            "predicted": one.predicted,
            "confidence": round(one.confidence, 6),
        }
        for one in wrong
    ]
    return report, errors, [one.row for one in wrong]
