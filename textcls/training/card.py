"""The model card: what a person should know of a trained model, in Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from textcls.artifact import Artifact
from textcls.data import label_text

_METRICS = ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "log_loss", "expected_calibration_error")


_NGRAMS = "- Beside the network: a linear classifier over words and pairs of words, in a hashed table of {slots:,} rows"


def model_card(artifact: Artifact) -> str:
    """Return the model card of a trained model."""
    text, model = artifact.config.text, artifact.config.model
    labels = ", ".join(_label(artifact, index) for index in range(len(artifact.labels)))
    kind = f"{'bidirectional ' if model.bidirectional else ''}{model.cell.upper()}"
    vectors = artifact.provenance.get("vectors")
    lines = [
        "# Text classifier",
        "",
        f"A {kind} of {model.layers} layer{'s' if model.layers > 1 else ''} with {model.hidden_size} units a direction over "
        f"{model.embedding_size}-dimensional embeddings, trained with textcls {artifact.provenance.get('textcls_version', '')}.",
        "",
        f"- Labels ({len(artifact.labels)}{', many a text' if artifact.many else ''}): {labels}",
        f"- Tokenizer: `{text.tokenizer}`"
        + (f", language `{text.language}`" if text.tokenizer == "spacy" else "")
        + (", parts of words (`pip install 'textcls[bpe]'`)" if text.tokenizer == "bpe" else "")
        + (", lower-cased" if text.lowercase else "")
        + f"; texts are cut after {text.max_tokens:,} tokens",
        f"- Vocabulary: {len(artifact.vocabulary):,} tokens, readable in `vocabulary.txt` and in every export: "
        "do not publish the model if the words of the training texts are secret",
        f"- Vectors at the start: {vectors['name'] if vectors else 'random'}",
        *([_NGRAMS.format(slots=model.ngram_slots)] if model.ngram_slots else []),
        *_fast_line(artifact),
        "- Probabilities: " + _calibration(artifact),
        "",
        "## Data",
        "",
        *_data_lines(artifact.provenance),
        "",
        "## Metrics",
        "",
        *_metric_lines(artifact.metrics, artifact.many),
        "",
        "## Use",
        "",
        "```console",
        "textcls classify MODEL_FOLDER texts.csv",
        "```",
        "",
        "## Limits",
        "",
        f"It knows the labels above alone and gives {_given(artifact)}, also to one of another kind or language. "
        "Words that training never saw count as unknown. In an int8 export probabilities move a little, also with the batch that a "
        "text is in: `textcls info` says how far they did.",
        "",
    ]
    return "\n".join(lines)


def _fast_line(artifact: Artifact) -> list[str]:
    """Say what `--fast` costs on the validation rows."""
    found = artifact.metrics.get("validation", {}).get("fast")
    if artifact.fast is None or found is None:
        return []
    return [
        f"- `textcls classify --fast`: n-grams alone answer the texts of which they are sure, {found['share']:.0%} of the validation "
        f"rows; {found['agreement']:.2%} of all keep the labels of the whole model"
    ]


def _given(artifact: Artifact) -> str:
    return "any number of them, or none, to a text" if artifact.many else "one of them to every text"


def _calibration(artifact: Artifact) -> str:
    if not artifact.provenance.get("validation_rows"):
        return "not calibrated, for want of a validation split"
    return (
        f"logits are divided by temperature {artifact.temperature:.3f}, chosen on the validation split: "
        "calibrated for texts like those"
    )


def _label(artifact: Artifact, index: int) -> str:
    name = _code(label_text(artifact.labels[index]))
    return f"{name} from probability {artifact.thresholds[index]:.3f}" if artifact.thresholds else name


def _code(text: str) -> str:
    """Return a text as Markdown's code, which shows every character: line ends escaped, backticks within a longer fence."""
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    return f"{fence} {shown} {fence}" if len(fence) > 1 else f"`{shown}`"


def _data_lines(provenance: Mapping[str, Any]) -> list[str]:
    lines = [
        f"- Rows: {provenance.get('train_rows', 0):,} for training, {provenance.get('validation_rows', 0):,} for validation"
    ]
    if refit := provenance.get("refit"):
        lines.append(
            f"- N-grams were fitted once more in the end, to {refit['rows']:,} of both; validation scores come from before"
        )
    for split, files in provenance.get("data", {}).items():
        for file in files:
            name = file.get("file") or file.get("dataset")
            lines.append(f"- {split}: {_code(str(name))}, SHA-256 `{file.get('sha256') or file.get('fingerprint')}`")
    return lines


def _metric_lines(metrics: Mapping[str, Any], many: bool) -> list[str]:
    if not metrics:
        return ["None was measured: there was no validation or test split."]
    lines = [f"| metric | {' | '.join(metrics)} |", f"|---|{'---|' * len(metrics)}"]
    for name in ("rows", *_METRICS):
        values = (report.get(name) for report in metrics.values())
        called = "accuracy (exact match)" if many and name == "accuracy" else name
        lines.append(f"| {called} | {' | '.join(_shown(value) for value in values)} |")
    return lines


def _shown(value: float | int | None) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
