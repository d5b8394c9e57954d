"""Folding the input product of an LSTM into the embedding table, which pays where the vectors are wide.

An LSTM multiplies every token's vector with the same matrix, step by step. Done once for each word of the vocabulary instead, the
rows to look up are the products, and only the recurrent half of the work is left. ONNX's `LSTM` takes no product, so two `Scan`s,
one a direction, stand in its place. The table is made when a model is loaded and never stands in a file.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

# With 128 units a core was 1.2, 1.6 and 2.1 times as quick at 100, 200 and 300 dimensions; making the table took it half a second.
FEWEST_DIMENSIONS: Final = 200
MOST_BYTES: Final = 256 << 20  # of the table: 64,000 words at 128 units


def words_to_fold(core: onnx.ModelProto) -> int | None:
    """Return how many rows the table of products would have; None where folding is not possible or does not pay.

    It is possible for one fp32 LSTM of which the final states alone are used, and pays where its vectors have at least
    `FEWEST_DIMENSIONS`, in a table of at most `MOST_BYTES`.

    Args:
        core: What `numeric_core` returned.
    """
    recurrent = [node for node in core.graph.node if node.op_type in {"LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"}]
    if len(recurrent) != 1 or recurrent[0].op_type != "LSTM" or recurrent[0].output[0]:
        return None
    sizes = {one.name: one.dims for one in core.graph.initializer}
    words = int(sizes["embedding"][0])
    directions, gates, dimensions = sizes[recurrent[0].input[1]]
    return words if dimensions >= FEWEST_DIMENSIONS and 4 * words * directions * gates <= MOST_BYTES else None


def fold_input_product(core: onnx.ModelProto) -> None:
    """Replace the LSTM of a numeric core by scans over a table of products; the scores stay equal within 1e-5.

    Args:
        core: One for which `words_to_fold` gives a number; it is changed in place.
    """
    graph = core.graph
    lstm = next(node for node in graph.node if node.op_type == "LSTM")
    arrays = {one.name: one for one in graph.initializer}
    table, w, r = (numpy_helper.to_array(arrays[name]) for name in ("embedding", *lstm.input[1:3]))
    directions, gates, _ = w.shape
    bias = numpy_helper.to_array(arrays[lstm.input[3]]) if lstm.input[3] else np.zeros((directions, 2 * gates), np.float32)
    nodes, constants = _places(gates // 4)
    for direction in range(directions):
        constants |= {
            f"products_{direction}": table @ w[direction].T + bias[direction, :gates] + bias[direction, gates:],
            f"recurrent_{direction}": np.ascontiguousarray(r[direction].T),
        }
        nodes.append(_scan(direction, gates // 4))
        nodes.append(helper.make_node("Unsqueeze", [f"final_{direction}", "fold_front"], [f"state_{direction}"]))
    nodes.append(helper.make_node("Concat", [f"state_{d}" for d in range(directions)], [lstm.output[1]], axis=0))
    _replace(graph, lstm, nodes, constants)


def _places(hidden: int) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    """Return what the scans share: states of zeros (texts, hidden), the number of each step, sizes."""
    node = helper.make_node
    nodes = [
        node("Shape", ["ids_by_step"], ["fold_shape"]),  # (longest, texts)
        node("Gather", ["fold_shape", "fold_0"], ["fold_longest"]),
        node("Slice", ["fold_shape", "fold_1", "fold_2"], ["fold_texts"]),
        node("Range", ["fold_0", "fold_longest", "fold_step"], ["fold_steps_long"]),
        node("Cast", ["fold_steps_long"], ["fold_steps"], to=TensorProto.INT32),
        node("Concat", ["fold_texts", "fold_hidden"], ["fold_state_shape"], axis=0),
        node("ConstantOfShape", ["fold_state_shape"], ["fold_zeros"], value=numpy_helper.from_array(np.zeros(1, np.float32))),
        node("Unsqueeze", ["lengths", "fold_1"], ["fold_lengths"]),  # (texts, 1)
    ]
    constants = {
        "fold_0": np.array(0),
        "fold_1": np.array([1]),
        "fold_2": np.array([2]),
        "fold_step": np.array(1),
        "fold_hidden": np.array([hidden]),
        "fold_front": np.array([0]),
        "fold_gates": np.array([3 * hidden, hidden]),
        "fold_thirds": np.array([hidden] * 3),
    }
    return nodes, constants


def _scan(direction: int, hidden: int) -> onnx.NodeProto:
    """Return the scan of one direction; the second one goes from the longest text's end to the front.

    A text's state moves only at its own tokens, so that it is final after the last step whatever the direction.
    """
    node, value = helper.make_node, helper.make_tensor_value_info
    state: list[str | int | None] = ["texts", hidden]
    body = helper.make_graph(
        [
            node("Gather", [f"products_{direction}", "ids"], ["product"]),
            node("Gemm", ["h", f"recurrent_{direction}", "product"], ["all"]),  # (texts, 4 * hidden): i, o, f, c
            node("Split", ["all", "fold_gates"], ["open", "candidate"], axis=1),
            node("Sigmoid", ["open"], ["opened"]),
            node("Split", ["opened", "fold_thirds"], ["i", "o", "f"], axis=1),
            node("Tanh", ["candidate"], ["new"]),
            node("Mul", ["f", "c"], ["kept"]),
            node("Mul", ["i", "new"], ["added"]),
            node("Add", ["kept", "added"], ["c_moved"]),
            node("Tanh", ["c_moved"], ["c_squashed"]),
            node("Mul", ["o", "c_squashed"], ["h_moved"]),
            node("Less", ["step", "fold_lengths"], ["moves"]),  # (texts, 1)
            node("Where", ["moves", "h_moved", "h"], ["h_next"]),
            node("Where", ["moves", "c_moved", "c"], ["c_next"]),
        ],
        f"direction {direction}",
        [
            value("h", TensorProto.FLOAT, state),
            value("c", TensorProto.FLOAT, state),
            value("ids", TensorProto.INT64, ["texts"]),
            value("step", TensorProto.INT32, []),
        ],
        [value("h_next", TensorProto.FLOAT, state), value("c_next", TensorProto.FLOAT, state)],
    )
    return node(
        "Scan",
        ["fold_zeros", "fold_zeros", "ids_by_step", "fold_steps"],
        [f"final_{direction}", f"cell_{direction}"],
        body=body,
        num_scan_inputs=2,
        scan_input_directions=[direction, direction],
    )


def _replace(
    graph: onnx.GraphProto, lstm: onnx.NodeProto, nodes: list[onnx.NodeProto], constants: dict[str, NDArray[Any]]
) -> None:
    """Put nodes in the place of the LSTM and of the lookup before it, and constants in the place of what those two had."""
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.output[-1] == lstm.output[-1]:
            kept += nodes
        elif node.output[0] != lstm.input[0]:
            kept.append(node)
    gone = {"embedding", *lstm.input[1:4]}
    arrays = [one for one in graph.initializer if one.name not in gone]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend([*arrays, *(numpy_helper.from_array(array, name) for name, array in constants.items())])
