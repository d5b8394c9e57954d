"""The engine that scores encoded texts on the CPU: ONNX Runtime, one session of one thread for each core's share of the batches."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from textcls.config import available_cores
from textcls.inference.folding import fold_input_product, words_to_fold
from textcls.inference.graph import numeric_core
from textcls.text import PAD

# Small batches of like length suit ONNX Runtime's LSTM; the second bound keeps a batch of very long texts from filling the memory.
_BATCH_TEXTS, _BATCH_TOKENS = 32, 16_384
# Few texts, too, are cut into batches for several threads, but not by their number: it must not change a score, not in int8 either.
_FEWEST_BATCHES, _FEWEST_TEXTS = 8, 4


class OnnxEngine:
    """Probabilities of encoded texts, from the numeric core of a model's graph.

    Args:
        model: A graph that `build_graph` made, or an exported file of one; it is taken apart.
        threads: Batches scored at the same time; every core where not given.

    Attributes:
        classes: Probabilities of one text.
        width: What feeds the classifier layer of one text: values of `features`.
    """

    def __init__(self, model: onnx.ModelProto, threads: int | None = None) -> None:
        core = numeric_core(model)
        self.classes: int = core.graph.output[0].type.tensor_type.shape.dim[1].dim_value
        self._features, self.width = _show_features(core)
        self._session, self._folded = _session(core), None
        self._words = words_to_fold(core)
        self._core = core if self._words else None
        self._threads = threads or available_cores()

    def __call__(self, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score texts.

        Args:
            ids: Token ids of all texts, int32 [n_tokens].
            offsets: Where each text starts, and the end, int64 [n_texts + 1]; every text has at least one token.

        Returns:
            Probabilities in the order of the texts, float32 [n_texts, classes].
        """
        return self._run("probabilities", self.classes, ids, offsets)

    def features(self, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return what feeds the classifier layer, float32 [n_texts, width]; the arguments are those of scoring."""
        return self._run(self._features, self.width, ids, offsets)

    def _run(self, output: str, width: int, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return an output of the core for each text, float32 [n_texts, width]."""
        found = np.empty((len(offsets) - 1, width), np.float32)
        session = self._session_for(len(ids))

        def score(rows: NDArray[np.int64]) -> None:
            feed = pad(ids, offsets, rows)
            found[rows] = session.run([output], feed)[0]

        batches = list(batches_of_like_length(np.diff(offsets)))
        if self._threads == 1 or len(batches) == 1:
            for rows in batches:
                score(rows)
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                list(pool.map(score, batches))  # a list, so that an error in a thread is raised here
        return found

    def _session_for(self, tokens: int) -> Any:
        """Return the session for a call: the folded one where so many tokens pay for a table of all words.

        The call alone decides, not those before it, so that a run that is resumed gives what it would have given.
        """
        if self._words is None or tokens < self._words:
            return self._session
        if self._core is not None:
            fold_input_product(self._core)
            self._folded, self._core = _session(self._core), None
        return self._folded


def _show_features(core: onnx.ModelProto) -> tuple[str, int]:
    """Make what feeds the classifier layer an output of a core, too; return its name, which was another one once, and its width."""
    layer = next(node for node in core.graph.node if "classifier" in node.input)
    width = next(int(array.dims[0]) for array in core.graph.initializer if array.name == "classifier")
    core.graph.output.append(helper.make_tensor_value_info(layer.input[0], TensorProto.FLOAT, ["texts", width]))
    return layer.input[0], width


def _session(core: onnx.ModelProto) -> Any:
    """Return a session of one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a second thread gains little; a second batch all
    options.log_severity_level = 4  # its errors are raised
    return onnxruntime.InferenceSession(core.SerializeToString(), options, providers=["CPUExecutionProvider"])


def pad(ids: NDArray[np.int32], offsets: NDArray[np.int64], rows: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
    """Return the core's inputs for some texts: `ids` int64 [rows, longest], `lengths` int32 [rows]."""
    lengths = offsets[rows + 1] - offsets[rows]
    columns = np.arange(lengths.max())
    real = columns < lengths[:, None]
    padded = np.full(real.shape, PAD, np.int64)
    padded[real] = ids[(offsets[rows][:, None] + columns)[real]]
    return {"ids": padded, "lengths": lengths.astype(np.int32)}


def batches_of_like_length(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each batch, longest texts first, so that the threads end together."""
    order = np.argsort(-lengths, kind="stable")
    most = min(_BATCH_TEXTS, max(_FEWEST_TEXTS, len(order) // _FEWEST_BATCHES))
    start = 0
    while start < len(order):
        size = min(most, max(1, _BATCH_TOKENS // int(lengths[order[start]])))
        yield order[start : start + size]
        start += size
