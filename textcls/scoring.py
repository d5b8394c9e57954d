"""Evaluating a model on labelled rows: the report, and the rows that it labels wrongly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textcls.config import parse_config
from textcls.data import LabelSet, Rows
from textcls.data.formats import for_none
from textcls.data.labelled import read_sources
from textcls.data.labels import require_known, spelt_otherwise
from textcls.data.sources import Labelled, resolve
from textcls.errors import named
from textcls.evaluation import Mistake, Targets, evaluate_blocks, mistakes
from textcls.fast import changed_labels
from textcls.inference.own_columns import with_own_columns
from textcls.inference.predictor import Predictor
from textcls.storage import row_blocks

ALL_FAST = "this file goes the fast way: n-grams answer alone where they are sure; --fast compares with the whole model"


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
    fast: bool = False,
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
        fast: Let n-grams answer alone where they are sure; `fast` in the report then compares with the whole model.

    Raises:
        InputError: The model or the rows cannot be read, or the model knows no label of the rows.
    """
    predictor = Predictor.load(model)
    predictor = predictor.fast() if fast else predictor
    column = "labels" if predictor.many else "label"
    given = {"text": text, column: label, "header": header, "encoding_errors": encoding_errors}
    given |= {"delimiter": delimiter, "quoting": quoting, "encoding": encoding, "missing_labels": missing_labels}
    usual = dict(predictor.record["data"])
    changed = usual | {name: value for name, value in given.items() if value is not None}
    settings = parse_config({"data": changed}, "evaluate").data
    sources = resolve(data, "test")
    rows = read_sources(sources, settings, "test")
    report, errors, places = evaluate_rows(predictor, rows)
    if fast:
        report["fast"] = compare_with_whole(predictor, rows)
    if own_columns:
        errors = with_own_columns(errors, places, data if isinstance(data, str) else tuple(data), settings)
    spelt = spelt_otherwise(rows.labels.distinct, LabelSet(predictor.labels))
    notes = for_none({one.kind for one in sources}, settings, parse_config({"data": usual}, "the model").data)
    notes += [
        *([ALL_FAST] if predictor.is_fast and not fast else []),
        *_learned_from(predictor.record, sources),
        *rows.notes,
        *([f"labels that the model knows otherwise spelt: {spelt}"] if spelt else []),
    ]
    return Evaluation(report, errors, tuple(notes))


def _learned_from(record: Mapping[str, Any], sources: Sequence[Labelled]) -> list[str]:
    """Tell of rows that the model was trained on."""
    origin = record["provenance"]
    known = {file.get("sha256") or file.get("fingerprint") for file in origin.get("data", {}).get("train", [])} - {None}
    if not known:
        return []
    found = (one.fingerprint() for one in sources)
    names = [str(one.get("file") or one.get("dataset")) for one in found if {one.get("sha256"), one.get("fingerprint")} & known]
    if not names:
        return []
    what = "its rows, in the end those of validation too" if "refit" in origin else "its rows"
    if "test" in record["metrics"] and "test" not in origin["data"]:
        what += ", but for those cut for test"
    return [f"the model learned from {named(names)}, {what}: these figures say little of new texts"]


def compare_with_whole(predictor: Predictor, rows: Rows) -> dict[str, Any]:
    """Return how the fast way of a model compares with the whole of it on some rows.

    Returns:
        `share` of the rows that n-grams answer alone, how many rows `changed` their labels, `agreement`, and the report of the
        `whole` model.
    """
    together = LabelSet(predictor.labels).extended(rows.labels.distinct)
    linear = changed = 0

    def blocks() -> Iterator[tuple[NDArray[np.float32], Targets]]:
        nonlocal linear, changed
        for some in row_blocks(len(rows), len(together)):
            part = rows.select(np.arange(some.start, some.stop))
            encoded = predictor.encode(part.texts)
            found, whole = predictor.score(encoded), predictor.engine(encoded.ids, encoded.offsets)
            assert found.linear is not None
            linear += int(found.linear.sum())
            changed += int(changed_labels(found.probabilities, whole, predictor.thresholds).sum())
            yield whole, part.targets(together)

    report = evaluate_blocks(blocks(), together.texts, predictor.thresholds)
    return {"share": linear / len(rows), "changed": changed, "agreement": 1 - changed / len(rows), "whole": report}


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
