"""The ONNX graph of a trained model, built from plain arrays: raw text in for `unicode` models, ids and lengths for the others.

    text → lower-cased → tokens → ids, lengths │ → embedding → recurrent layers → pooled → logits → probabilities │ → label
           the text part, names "text/…"       │ the numeric core, which our own runtime feeds with ids                 │ "label/…"

With many labels a text the probabilities are sigmoids, and in the place of the label stands which labels reach their thresholds.
Built node by node: no exporter of torch takes a packed sequence. Stock ONNX Runtime runs it, without custom operators.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from textcls.artifact import FORMAT_VERSION, Artifact, weights_sha256
from textcls.config import ModelSettings
from textcls.data.labels import label_text
from textcls.inference.graph_fast import BY_LINEAR, answer_part, fast_part, is_fast, whole_again
from textcls.inference.graph_ngrams import ngram_part
from textcls.inference.seal import seal
from textcls.text import PAD, SPECIAL_TOKENS, UNK, unicode_token
from textcls.text.subwords import Subwords

OPSETS = (("", 20), ("ai.onnx.ml", 3), ("com.microsoft", 1))
IR_VERSION = 10  # what ONNX Runtime 1.20 reads
# Places of torch's gates in ONNX's order: LSTM i, f, g, o → i, o, f, g; GRU r, z, n → z, r, n.
_GATES = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
# Settings of `data` that reading more rows needs.
_READING = {
    "text",
    "label",
    "labels",
    "strip_labels",
    "missing_labels",
    "header",
    "delimiter",
    "quoting",
    "encoding",
    "encoding_errors",
}
TEXT_PART, LABEL_PART = "text/", "label/"
ALWAYS_FAST = "always_fast"
VOCABULARY, SUBWORDS = "textcls.vocabulary", "textcls.subwords"


def takes_text(artifact: Artifact) -> bool:
    """Whether the model's graph takes raw text: the other tokenizers cannot be written in ONNX."""
    return artifact.config.text.tokenizer == "unicode"


def build_graph(artifact: Artifact, *, locale: str = "C.UTF-8", fast: bool = False) -> onnx.ModelProto:
    """Build the graph of a trained model.

    Args:
        artifact: The trained model.
        locale: Locale of the machine that runs it, in which text is lower-cased.
        fast: Whether n-grams answer alone where they are sure, for a model that has a fast way.

    Returns:
        A model with outputs `label` (string [texts]), or with many labels a text `selected` (bool [texts, classes]), and
        `probabilities` (float32 [texts, classes]); inputs `text` (string [texts], at least one) or `ids` (int64 [texts,
        longest], 0 behind each text's end) and `lengths` (int32 [texts], at least 1). One that is fast has a third output,
        `by_linear`: whether n-grams answered alone (bool [texts]).
    """
    value, classes = helper.make_tensor_value_info, len(artifact.labels)
    nodes, constants = _core(artifact, fast=fast)
    label_nodes, label_constants = _selected_part(artifact) if artifact.many else _label_part(artifact)
    nodes, constants = nodes + label_nodes, constants | label_constants
    if takes_text(artifact):
        text_nodes, text_constants = _text_part(artifact, locale)
        nodes, constants = text_nodes + nodes, constants | text_constants
        inputs = [value("text", TensorProto.STRING, ["texts"])]
        # What ONNX Runtime's own `Tokenizer` gives is unknown to onnx, whose tools crash on a LabelEncoder of an unknown type.
        declared = [value("tokens", TensorProto.STRING, ["texts", "tokens"])]
    else:
        inputs, declared = core_inputs(), []
    label = value("label", TensorProto.STRING, ["texts"])
    selected = value("selected", TensorProto.BOOL, ["texts", classes])
    outputs = [selected if artifact.many else label, value("probabilities", TensorProto.FLOAT, ["texts", classes])]
    outputs += [value(BY_LINEAR, TensorProto.BOOL, ["texts"])] if fast else []
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "textcls", inputs, outputs, initializers, value_info=declared),
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in OPSETS],
        ir_version=IR_VERSION,
        producer_name="textcls",
    )
    helper.set_model_props(model, metadata(artifact, fast=fast))
    seal(model)
    return model


def core_inputs() -> list[onnx.ValueInfoProto]:
    """Return the inputs of the numeric core."""
    value = helper.make_tensor_value_info
    return [value("ids", TensorProto.INT64, ["texts", "longest"]), value("lengths", TensorProto.INT32, ["texts"])]


def metadata(artifact: Artifact, *, fast: bool = False) -> dict[str, str]:
    """Return what travels in the file: everything that classifying raw text needs, where the model came from, and if it goes fast."""
    record = {
        "format_version": FORMAT_VERSION,
        "text": artifact.config.text.model_dump(mode="json"),
        "model": artifact.config.model.model_dump(mode="json"),
        "data": artifact.config.data.model_dump(mode="json", include=_READING),
        "labels": list(artifact.labels),
        "many": artifact.many,
        "temperature": artifact.temperature,
        "thresholds": artifact.thresholds,
        "fast": None if artifact.fast is None else artifact.fast.record(),
        ALWAYS_FAST: fast,
        "fingerprint": artifact.fingerprint,
        "weights_sha256": weights_sha256(artifact.weights),
        "metrics": dict(artifact.metrics),
        "provenance": dict(artifact.provenance),
    }
    told = {
        "textcls": json.dumps(record, ensure_ascii=False, sort_keys=True),
        VOCABULARY: "\n".join(artifact.vocabulary.tokens),
    }
    if artifact.vocabulary.subwords is not None:
        told[SUBWORDS] = base64.b64encode(artifact.vocabulary.subwords.model).decode()
    return told


def subwords_of(model: onnx.ModelProto) -> Subwords | None:
    """Return the parts of words that a graph carries, where these are its tokens.

    Raises:
        ValueError: They are damaged.
    """
    for entry in model.metadata_props:
        if entry.key == SUBWORDS:
            return Subwords(base64.b64decode(entry.value, validate=True))
    return None


def vocabulary_of(model: onnx.ModelProto) -> tuple[str, ...]:
    """Return a graph's tokens by id: from its metadata or, where those do not repeat them, from its text part; none if it has none."""
    for entry in model.metadata_props:
        if entry.key == VOCABULARY:
            return tuple(entry.value.split("\n"))
    return (*SPECIAL_TOKENS, *list(words)[1:]) if (words := ids_by_word(model)) else ()  # the first is `<pad>`


def ids_by_word(model: onnx.ModelProto) -> dict[str, int]:
    """Return the id that a graph's text part gives to each word, `<pad>` among them; nothing where it has no text part."""
    for node in model.graph.node:
        if node.name == f"{TEXT_PART}uncut_ids":
            attributes = {attribute.name: attribute for attribute in node.attribute}
            words = (word.decode() for word in attributes["keys_strings"].strings)
            return dict(zip(words, attributes["values_int64s"].ints, strict=True))
    return {}


def add_to_record(model: onnx.ModelProto, **entries: Any) -> None:
    """Add entries to what a graph says of itself."""
    for entry in model.metadata_props:
        if entry.key == "textcls":
            entry.value = json.dumps(json.loads(entry.value) | entries, ensure_ascii=False, sort_keys=True)
    seal(model)


def _text_part(artifact: Artifact, locale: str) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    """From `text` to `ids` and `lengths`, with the regular expression that Python uses too."""

    def node(kind: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, outputs, f"{TEXT_PART}{outputs[0]}", domain=domain, **attributes)

    words = artifact.vocabulary.tokens[UNK + 1 :]
    case = "LOWER" if artifact.config.text.lowercase else "NONE"
    nodes = [
        node("StringNormalizer", ["text"], ["cased"], case_change_action=case, is_case_sensitive=1, locale=locale),
        node(
            "Tokenizer", ["cased"], ["tokens"], "com.microsoft",
            mark=0, mincharnum=1, pad_value=SPECIAL_TOKENS[PAD], tokenexp=unicode_token(artifact.config.text.split_unspaced),
        ),
        node(
            "LabelEncoder", ["tokens"], ["uncut_ids"], "ai.onnx.ml",
            keys_strings=[SPECIAL_TOKENS[PAD], *words], values_int64s=[PAD, *range(UNK + 1, len(words) + UNK + 1)], default_int64=UNK,
        ),
        node("Slice", ["uncut_ids", "text_start", "text_end", "axis_1"], ["cut_ids"]),
        node("Greater", ["cut_ids", "pad_id"], ["real"]),  # a token's id is above 0, so zeros are behind the end
        node("Cast", ["real"], ["real_int"], to=TensorProto.INT32),
        node("ReduceSum", ["real_int", "axis_1"], ["counted"], keepdims=0),
        node("Max", ["counted", "one"], ["lengths"]),  # the empty text is one `<pad>`
        node("Pad", ["cut_ids", "one_column"], ["ids"]),  # a batch of only empty texts has no column at all
    ]  # fmt: skip
    constants = {
        "text_start": np.array([0]),
        "text_end": np.array([artifact.config.text.max_tokens]),
        "axis_1": np.array([1]),
        "pad_id": np.array(PAD),
        "one": np.array(1, np.int32),
        "one_column": np.array([0, 0, 0, 1]),
    }
    return nodes, constants


def _core(artifact: Artifact, *, fast: bool) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    """From `ids` and `lengths` to `probabilities`. No strings here, so that it can be quantised."""
    settings, weights = artifact.config.model, artifact.weights
    network, constants = _network(artifact)
    constants |= {"temperature": np.array(artifact.temperature, np.float32)}
    if not settings.ngram_slots:
        return [*network, *answer_part(many=artifact.many, summed=False)], constants
    ngrams, ngram_constants = ngram_part(weights)
    constants |= ngram_constants
    if not fast:
        return [*network, *ngrams, *answer_part(many=artifact.many, summed=True)], constants
    assert artifact.fast is not None
    cascade, fast_constants = fast_part(network, artifact.fast, artifact.thresholds)
    return [*ngrams, *cascade], constants | fast_constants


def _network(artifact: Artifact) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    """From `ids` and `lengths` to its logits."""
    settings, weights, node = artifact.config.model, artifact.weights, helper.make_node
    directions, pooled = 2 if settings.bidirectional else 1, settings.pooling != "final"
    attributes: dict[str, Any] = {"linear_before_reset": 1} if settings.cell == "gru" else {}  # as torch defines the GRU
    nodes = [node("Transpose", ["ids"], ["ids_by_step"], perm=[1, 0]), node("Gather", ["embedding", "ids_by_step"], ["x_0"])]
    constants: dict[str, NDArray[Any]] = {"embedding": weights["embedding.weight"]}
    for layer in range(settings.layers):
        constants |= _layer_constants(artifact, layer)
        last = layer == settings.layers - 1
        nodes.append(
            node(
                settings.cell.upper(),
                [f"x_{layer}", f"W_{layer}", f"R_{layer}", f"B_{layer}" if settings.bias else "", "lengths"],
                ["outputs" if pooled else "", "final"] if last else [f"outputs_{layer}"],
                hidden_size=settings.hidden_size,
                direction="bidirectional" if settings.bidirectional else "forward",
                **attributes,
            )
        )
        if not last:  # (longest, directions, texts, hidden) → (longest, texts, directions * hidden)
            nodes.append(node("Transpose", [f"outputs_{layer}"], [f"joined_{layer}"], perm=[0, 2, 1, 3]))
            nodes.append(node("Reshape", [f"joined_{layer}", "joined_shape"], [f"x_{layer + 1}"]))
            constants["joined_shape"] = np.array([0, 0, directions * settings.hidden_size])
    if pooled:
        pooling_nodes, pooling_constants = _pooling(settings.pooling)
        nodes, constants = nodes + pooling_nodes, constants | pooling_constants
    nodes += [
        node("Transpose", ["final_and_pooled" if pooled else "final"], ["summary_by_text"], perm=[1, 0, 2]),
        node("Reshape", ["summary_by_text", "summary_shape"], ["summary"]),  # (texts, …): final forward, backward, pooled alike
        node("Gemm", ["summary", "classifier", "classifier_bias"], ["network_logits" if settings.ngram_slots else "logits"]),
    ]
    bias = weights["classifier.bias"]
    if settings.ngram_slots and "ngrams.scale" not in weights:  # as it was in older models
        bias = bias + weights["ngrams.bias"]
    constants |= {
        "summary_shape": np.array([-1, weights["classifier.weight"].shape[1]]),
        "classifier": np.ascontiguousarray(weights["classifier.weight"].T),
        "classifier_bias": bias,
    }
    return nodes, constants


def _pooling(pooling: str) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    """From `outputs` (longest, directions, texts, hidden) and `final` (directions, texts, hidden) to both over the directions."""
    node = helper.make_node
    nodes = [
        node("Cast", ["lengths"], ["lengths_long"], to=TensorProto.INT64),
        node("Shape", ["ids_by_step"], ["longest_1d"], start=0, end=1),
        node("Squeeze", ["longest_1d"], ["longest"]),
        node("Range", ["zero", "longest", "step"], ["places"]),
        node("Unsqueeze", ["places", "axis_last"], ["places_by_step"]),
        node("Less", ["places_by_step", "lengths_long"], ["before_end"]),  # (longest, texts)
        node("Unsqueeze", ["before_end", "axes_1_3"], ["within"]),  # (longest, 1, texts, 1)
        node("Where", ["within", "outputs", "behind_end"], ["outputs_within"]),
    ]
    constants = {
        "zero": np.array(0),
        "step": np.array(1),
        "axis_last": np.array([-1]),
        "axes_1_3": np.array([1, 3]),
        "axis_0": np.array([0]),
        "behind_end": np.array(-np.inf if pooling == "final+max" else 0, np.float32),
    }
    if pooling == "final+max":
        nodes.append(node("ReduceMax", ["outputs_within", "axis_0"], ["pooled"], keepdims=0))
    else:
        nodes += [
            node("ReduceSum", ["outputs_within", "axis_0"], ["pooled_sum"], keepdims=0),
            node("Cast", ["lengths"], ["lengths_float"], to=TensorProto.FLOAT),
            node("Unsqueeze", ["lengths_float", "axis_last"], ["lengths_column"]),
            node("Div", ["pooled_sum", "lengths_column"], ["pooled"]),
        ]
    nodes.append(node("Concat", ["final", "pooled"], ["final_and_pooled"], axis=0))
    return nodes, constants


def _layer_constants(artifact: Artifact, layer: int) -> dict[str, NDArray[np.float32]]:
    """W (directions, gates * hidden, inputs), R (directions, gates * hidden, hidden), B (directions, 2 * gates * hidden)."""
    settings = artifact.config.model
    suffixes = ("", "_reverse") if settings.bidirectional else ("",)

    def stacked(name: str) -> NDArray[np.float32]:
        return np.stack([_reorder(artifact.weights[f"encoder.rnn.{name}_l{layer}{s}"], settings) for s in suffixes])

    arrays = {f"W_{layer}": stacked("weight_ih"), f"R_{layer}": stacked("weight_hh")}
    if settings.bias:
        arrays[f"B_{layer}"] = np.concatenate([stacked("bias_ih"), stacked("bias_hh")], axis=1)
    return arrays


def _reorder(weight: NDArray[np.float32], settings: ModelSettings) -> NDArray[np.float32]:
    """Put the gates, which lie one after the other along the first axis, into ONNX's order."""
    order = _GATES[settings.cell]
    return np.concatenate([np.split(weight, len(order))[place] for place in order])


def _label_part(artifact: Artifact) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    """From `probabilities` to `label`."""
    labels = [label_text(label) for label in artifact.labels]
    nodes = [
        helper.make_node("ArgMax", ["probabilities"], ["best"], f"{LABEL_PART}best", axis=-1, keepdims=0),
        helper.make_node(
            "LabelEncoder", ["best"], ["label"], f"{LABEL_PART}label", domain="ai.onnx.ml",
            keys_int64s=list(range(len(labels))), values_strings=labels,
        ),
    ]  # fmt: skip
    return nodes, {}


def _selected_part(artifact: Artifact) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    """From `probabilities` to `selected`."""
    node = helper.make_node("GreaterOrEqual", ["probabilities", "thresholds"], ["selected"], f"{LABEL_PART}selected")
    return [node], {"thresholds": np.array(artifact.thresholds, np.float32)}


def numeric_core(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the part between ids and probabilities of a graph that `build_graph` made, of the whole model where that is fast.

    The model itself is taken apart.
    """
    graph = model.graph
    nodes = [node for node in graph.node if not node.name.startswith((TEXT_PART, LABEL_PART))]
    if is_fast(model):
        nodes = whole_again(nodes)
    used = {name for node in nodes for name in node.input}
    core = helper.make_graph(
        nodes,
        "textcls core",
        core_inputs(),
        [output for output in graph.output if output.name == "probabilities"],
        [constant for constant in graph.initializer if constant.name in used],
    )
    return helper.make_model(core, opset_imports=model.opset_import, ir_version=model.ir_version)
