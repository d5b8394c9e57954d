"""The n-grams of a graph: from token ids to the linear classifier's logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from textcls.fast import LinearHalf
from textcls.text import FIRST_FACTOR, UNK, WORD_FACTOR


def ngram_part(weights: Mapping[str, NDArray[Any]]) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    """From `ids` to `ngram_logits`: what `textcls.model.ngrams` does, with the same numbers in the same order."""
    node, table = helper.make_node, weights["ngrams.weight"]
    nodes = [
        node("Greater", ["ids", "unk_id"], ["known"]),
        node("Mul", ["ids", "word_factor"], ["hashed"]),
        node("Mod", ["hashed", "ngram_divisor"], ["hashed_word"]),
        node("Slice", ["ids", "ngram_0", "ngram_but_last", "ngram_1"], ["first_ids"]),
        node("Slice", ["known", "ngram_0", "ngram_but_last", "ngram_1"], ["first_known"]),
        node("Slice", ["hashed", "ngram_1", "ngram_end", "ngram_1"], ["second_hashed"]),
        node("Slice", ["known", "ngram_1", "ngram_end", "ngram_1"], ["second_known"]),
        node("Mul", ["first_ids", "first_factor"], ["first_hashed"]),
        node("Add", ["first_hashed", "second_hashed"], ["hashed_sum"]),
        node("Mod", ["hashed_sum", "ngram_divisor"], ["hashed_pair"]),
        node("And", ["first_known", "second_known"], ["known_pair"]),
        # (texts, 2 * longest - 1), for the last word has no next
        node("Concat", ["hashed_word", "hashed_pair"], ["hashed_ngram"], axis=1),
        node("Concat", ["known", "known_pair"], ["known_ngram"], axis=1),
        node("Add", ["hashed_ngram", "ngram_1"], ["known_slot"]),
        node("Where", ["known_ngram", "known_slot", "ngram_0"], ["slots"]),
        node("Cast", ["known_ngram"], ["known_float"], to=TensorProto.FLOAT),
        node("ReduceSum", ["known_float", "ngram_1"], ["ngram_count"], keepdims=1),
        node("Max", ["ngram_count", "fewest_ngrams"], ["ngram_number"]),
        node("Sqrt", ["ngram_number"], ["ngram_root"]),
    ]
    constants = {
        "ngrams": table,
        "unk_id": np.array(UNK),
        "word_factor": np.array(WORD_FACTOR),
        "first_factor": np.array(FIRST_FACTOR),
        "ngram_divisor": np.array(len(table) - 1),
        "ngram_0": np.array([0]),
        "ngram_1": np.array([1]),
        "ngram_but_last": np.array([-1]),
        "ngram_end": np.array([np.iinfo(np.int64).max]),
        "fewest_ngrams": np.array(1, np.float32),
    }
    if "ngrams.scale" in weights:
        constants |= {"ngram_scale": weights["ngrams.scale"], "ngram_bias": weights["ngrams.bias"]}
        nodes += [
            node("Cast", ["ngrams"], ["ngrams_int32"], to=TensorProto.INT32),  # ONNX Runtime does it once, as it loads the file
            node("Transpose", ["slots"], ["slots_by_place"], perm=[1, 0]),  # it sums whole numbers faster over the first axis
            node("Gather", ["ngrams_int32", "slots_by_place"], ["ngram_scores"]),  # (2 * longest - 1, texts, classes)
            node("ReduceSum", ["ngram_scores", "ngram_0"], ["ngram_whole_sums"], keepdims=0),
            node("Cast", ["ngram_whole_sums"], ["ngram_float_sums"], to=TensorProto.FLOAT),
            node("Mul", ["ngram_float_sums", "ngram_scale"], ["ngram_sums"]),
            node("Div", ["ngram_sums", "ngram_root"], ["ngram_shares"]),
            node("Add", ["ngram_shares", "ngram_bias"], ["ngram_logits"]),
        ]
    else:
        nodes += [
            node("Gather", ["ngrams", "slots"], ["ngram_scores"]),  # (texts, 2 * longest - 1, classes)
            node("ReduceSum", ["ngram_scores", "ngram_1"], ["ngram_sums"], keepdims=0),
            node("Div", ["ngram_sums", "ngram_root"], ["ngram_logits"]),
        ]
    return nodes, constants


def linear_half(model: onnx.ModelProto) -> LinearHalf | None:
    """Return the linear classifier of a graph, as arrays; None where it has none, or an older one, of floats."""
    names = {"ngrams": "ngrams.weight", "ngram_scale": "ngrams.scale", "ngram_bias": "ngrams.bias"}
    found = {names[one.name]: numpy_helper.to_array(one) for one in model.graph.initializer if one.name in names}
    return LinearHalf.of(found)
