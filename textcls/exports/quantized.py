"""The int8 form of a graph: weights as whole numbers of eight bits, a quarter of the size, and quicker."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from textcls.inference.graph import VOCABULARY
from textcls.inference.seal import seal

_LARGEST = 127


def quantize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph that `build_graph` made with the embedding table and the recurrent weights as int8.

    The LSTM multiplies whole numbers (`DynamicQuantizeLSTM`: it quantises its inputs too, over the batch and for each step, so
    scores move a little with the batch). ONNX Runtime has no such operator for GRU and RNN, whose weights are turned back into
    floats as the file is loaded: smaller, not quicker. Written node by node, as the graph was: ONNX Runtime's own tool leaves
    the weights of GRU and RNN as they are, and gives all n-grams one scale.

    Args:
        model: The graph; it is left as it is.
    """
    quantized = onnx.ModelProto()
    quantized.CopyFrom(model)
    graph = quantized.graph
    constants = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if (
            node.op_type == "Gather" and node.input[0] in constants
        ):  # not the n-grams' whole numbers, which are turned into int32
            nodes += _table(node, constants)
        elif node.op_type == "LSTM":
            nodes.append(_whole_number_lstm(node, constants))
        elif node.op_type in {"GRU", "RNN"}:
            nodes += [_floats_again(name, constants) for name in node.input[1:3]]
            nodes.append(node)
        else:
            nodes.append(node)
    kept = helper.make_graph(
        nodes,
        graph.name,
        list(graph.input),
        list(graph.output),
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
        value_info=[*graph.value_info, *(value for node in nodes for value in _declared(node))],
    )
    graph.CopyFrom(kept)
    if any(value.type.tensor_type.elem_type == onnx.TensorProto.STRING for value in graph.input):
        told_once = [entry for entry in model.metadata_props if entry.key != VOCABULARY]  # the text part holds it too
        del quantized.metadata_props[:]
        quantized.metadata_props.extend(told_once)
    seal(quantized)
    return quantized


def _whole_numbers(weights: NDArray[np.float32], axis: tuple[int, ...]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return weights as whole numbers from -127 to 127, and the scale along `axis` (kept, of length 1) that gives them back."""
    largest = np.abs(weights).max(axis=axis, keepdims=True)
    scale = np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32)
    return np.rint(weights / scale).astype(np.int8), scale


def _table(node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> list[onnx.NodeProto]:
    """Look rows up in a table of whole numbers, and turn those alone into floats.

    The embedding table has one scale. The n-grams of models of before, which are floats, have one for each row, for a few of them
    are far larger than the others, which one scale would round to nothing.
    """
    table, ids = node.input
    if table == "ngrams":
        return _table_by_rows(node, constants)
    constants[table], scale = _whole_numbers(constants[table], (0, 1))
    constants[f"{table}_scale"] = scale.reshape(())
    rows = f"{node.output[0]}_int8"
    return [
        helper.make_node("Gather", [table, ids], [rows]),
        helper.make_node("DequantizeLinear", [rows, f"{table}_scale"], list(node.output)),
    ]


def _table_by_rows(node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> list[onnx.NodeProto]:
    """Look rows up with their scales, half floats."""
    (table, ids), (found,) = node.input, node.output
    weights = constants[table]
    scale = (np.abs(weights).max(axis=1, keepdims=True) / _LARGEST).astype(np.float16)
    divisor = np.where(scale > 0, scale, 1).astype(np.float32)
    constants[table] = np.clip(np.rint(weights / divisor), -_LARGEST, _LARGEST).astype(np.int8)
    constants[f"{table}_scale"] = scale
    return [
        helper.make_node("Gather", [table, ids], [f"{found}_int8"]),
        helper.make_node("Cast", [f"{found}_int8"], [f"{found}_whole"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Gather", [f"{table}_scale", ids], [f"{found}_half"]),  # (texts, n-grams, 1)
        helper.make_node("Cast", [f"{found}_half"], [f"{found}_scale"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [f"{found}_whole", f"{found}_scale"], [found]),
    ]


def _whole_number_lstm(node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> onnx.NodeProto:
    """Weights (directions, gates * hidden, inputs) become (directions, inputs, gates * hidden), with a scale for each column."""
    scales = []
    for name in node.input[1:3]:
        weights, scale = _whole_numbers(constants[name], (2,))
        constants[name] = np.ascontiguousarray(weights.transpose(0, 2, 1))
        constants[f"{name}_scale"] = scale[:, :, 0]
        constants[f"{name}_zero"] = np.zeros(scale.shape[:2], np.int8)
        scales += [f"{name}_scale", f"{name}_zero"]
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    no_states_no_peepholes = ("", "", "")
    inputs = [*node.input, *no_states_no_peepholes, *scales]
    return helper.make_node("DynamicQuantizeLSTM", inputs, list(node.output), domain="com.microsoft", **attributes)


def _declared(node: onnx.NodeProto) -> list[onnx.ValueInfoProto]:
    """Declare what a whole-number LSTM gives: tools of onnx know none of ONNX Runtime's own operators."""
    if node.op_type != "DynamicQuantizeLSTM":
        return []
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    states = [2 if attributes["direction"] == b"bidirectional" else 1, "texts", attributes["hidden_size"]]
    shapes = (["longest", *states], states)
    return [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in zip(node.output, shapes, strict=False)
        if name
    ]


def _floats_again(name: str, constants: dict[str, NDArray[Any]]) -> onnx.NodeProto:
    """Weights (directions, gates * hidden, inputs) are scaled along their second axis."""
    constants[f"{name}_int8"], scale = _whole_numbers(constants.pop(name), (0, 2))
    constants[f"{name}_scale"] = scale.reshape(-1)
    return helper.make_node("DequantizeLinear", [f"{name}_int8", f"{name}_scale"], [name], axis=1)
