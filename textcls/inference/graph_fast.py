"""The fast way in a graph: n-grams first, and the network for those texts alone of which they are not sure.

    ids, lengths → scores of the n-grams → sure? → ids of the others → network → answers of both, put together

To the others comes one token of the first text, dropped afterwards: no recurrent operator bears an empty batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from textcls.fast import FastWay, logits_of

FAST_PART, BY_LINEAR = "fast/", "by_linear"
_RENAMED = {"ids": "fast_ids", "lengths": "fast_lengths"}  # what the network reads
_Part = tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]


def answer_part(*, many: bool, summed: bool) -> list[onnx.NodeProto]:
    """Return the nodes from `network_logits` and `ngram_logits` to `probabilities`; from `logits` where nothing is to be summed."""
    nodes = [helper.make_node("Add", ["network_logits", "ngram_logits"], ["logits"])] if summed else []
    return [
        *nodes,
        helper.make_node("Div", ["logits", "temperature"], ["calibrated"]),
        _probabilities("calibrated", "probabilities", many=many),
    ]


def _probabilities(logits: str, probabilities: str, name: str = "", *, many: bool) -> onnx.NodeProto:
    if many:
        return helper.make_node("Sigmoid", [logits], [probabilities], name)
    return helper.make_node("Softmax", [logits], [probabilities], name, axis=-1)


def fast_part(network: list[onnx.NodeProto], way: FastWay, thresholds: tuple[float, ...] | None) -> _Part:
    """Return the nodes from `ngram_logits` to `probabilities`, those of the network among them, and their constants.

    Args:
        network: Its nodes, from `ids` and `lengths` to `network_logits`; they are given the texts of which n-grams are not sure.
        way: When they are.
        thresholds: With many labels a text, of each label.
    """
    many = thresholds is not None

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, [output], f"{FAST_PART}{output}", **attributes)

    _rename(network, _RENAMED)
    lead, constants = _lead(thresholds)
    before = [
        *lead,
        node("GreaterOrEqual", ["fast_lead", "fast_margin"], BY_LINEAR),
        node("Not", [BY_LINEAR], "fast_unsure"),
        node("NonZero", ["fast_unsure"], "fast_places"),  # (1, others)
        node("Squeeze", ["fast_places", "fast_0"], "fast_others"),
        node("Concat", ["fast_others", "fast_0"], "fast_rows", axis=0),  # of the first text a token: so that there is a row
        node("Gather", ["lengths", "fast_others"], "fast_their_lengths"),
        node("Concat", ["fast_their_lengths", "fast_one_token"], "fast_lengths", axis=0),
        node("ReduceMax", ["fast_lengths"], "fast_longest", keepdims=1),
        node("Cast", ["fast_longest"], "fast_end", to=TensorProto.INT64),
        node("Slice", ["ids", "fast_0", "fast_end", "fast_1"], "fast_cut"),
        node("Gather", ["fast_cut", "fast_rows"], "fast_ids"),
    ]
    behind = [
        node("Slice", ["network_logits", "fast_0", "fast_but_last", "fast_0"], "fast_network_logits"),
        node("Gather", ["ngram_logits", "fast_others"], "fast_ngram_logits"),
        node("Add", ["fast_network_logits", "fast_ngram_logits"], "fast_logits"),
        node("Div", ["fast_logits", "temperature"], "fast_calibrated"),
        _probabilities("fast_calibrated", "fast_theirs", f"{FAST_PART}fast_theirs", many=many),
        node("Div", ["ngram_logits", "fast_temperature"], "fast_alone"),
        _probabilities("fast_alone", "fast_linear", f"{FAST_PART}fast_linear", many=many),
        node("Unsqueeze", ["fast_others", "fast_1"], "fast_targets"),
        node("ScatterND", ["fast_linear", "fast_targets", "fast_theirs"], "probabilities"),
    ]
    constants |= {
        "fast_margin": np.array(way.margin, np.float32),
        "fast_temperature": np.array(way.temperature, np.float32),
        "fast_0": np.array([0]),
        "fast_1": np.array([1]),
        "fast_but_last": np.array([-1]),
        "fast_one_token": np.array([1], np.int32),
    }
    return [*before, *network, *behind], constants


def _lead(thresholds: tuple[float, ...] | None) -> _Part:
    """Return the nodes from `ngram_logits` to `fast_lead`, (texts,): what `textcls.fast.leads` does, step by step."""

    def node(kind: str, inputs: list[str], *outputs: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, list(outputs), f"{FAST_PART}{outputs[-1]}", **attributes)

    if thresholds is None:
        nodes = [
            node("TopK", ["ngram_logits", "fast_2"], "fast_largest", "fast_labels", axis=1),
            node("Split", ["fast_largest"], "fast_first", "fast_second", axis=1, num_outputs=2),
            node("Sub", ["fast_first", "fast_second"], "fast_difference"),
            node("Squeeze", ["fast_difference", "fast_1"], "fast_lead"),
        ]
        return nodes, {"fast_2": np.array([2])}
    nodes = [
        node("Div", ["ngram_logits", "fast_temperature"], "fast_scaled"),
        node("Sub", ["fast_scaled", "fast_cuts"], "fast_over"),
        node("Abs", ["fast_over"], "fast_distances"),
        node("ReduceMin", ["fast_distances", "fast_1"], "fast_lead", keepdims=0),
    ]
    return nodes, {"fast_cuts": logits_of(np.array(thresholds, np.float32))}


def is_fast(model: onnx.ModelProto) -> bool:
    """Whether a graph goes the fast way."""
    return any(output.name == BY_LINEAR for output in model.graph.output)


def whole_again(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the nodes of the whole model's numeric core, from those of a graph that goes the fast way."""
    many = any(node.name == f"{FAST_PART}fast_scaled" for node in nodes)
    network = [node for node in nodes if not node.name.startswith(FAST_PART)]
    _rename(network, {new: old for old, new in _RENAMED.items()})
    return [*network, *answer_part(many=many, summed=True)]


def _rename(nodes: list[onnx.NodeProto], names: dict[str, str]) -> None:
    """Give some inputs of nodes other names, in place."""
    for node in nodes:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
