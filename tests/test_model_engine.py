"""The torch engine against the ONNX one, and the devices a setting may name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from textcls.artifact import Artifact
from textcls.config import Config, ModelSettings
from textcls.errors import ConfigError
from textcls.inference.engine import OnnxEngine
from textcls.inference.graph import build_graph
from textcls.model import Network, engine
from textcls.model.device import full_precision, resolve_device
from textcls.model.engine import TorchEngine
from textcls.text import SPECIAL_TOKENS, Vocabulary

WORDS = 30


def artifact(**changes: Any) -> Artifact:
    torch.manual_seed(0)
    config = Config().replace({"model.embedding_size": 5, "model.hidden_size": 4, "model.ngram_slots": 0} | changes)
    vocabulary = Vocabulary((*SPECIAL_TOKENS, *(f"w{n}" for n in range(WORDS - 2))))
    weights = {name: 2 * tensor.numpy() for name, tensor in Network(config.model, WORDS, 3).state_dict().items()}
    return Artifact(config, vocabulary, ("a", "b", "c"), weights, temperature=0.7)


def texts(lengths: list[int]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    ids = np.random.default_rng(0).integers(1, WORDS, sum(lengths)).astype(np.int32)
    return ids, np.cumsum([0, *lengths])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model.layers": 2, "model.pooling": "final+max"},
        {"model.bidirectional": False, "model.bias": False, "model.pooling": "final+mean"},
        {"model.ngram_slots": 50},
    ],
    ids=str,
)
def test_equals_the_onnx_engine(cell: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model = artifact(**{"model.cell": cell} | changes)
    ids, offsets = texts([3, 1, 40, 7, 7, 2, 19] * 3)
    ids[3] = 0  # the second text is an empty one
    expected = OnnxEngine(build_graph(model), threads=1)(ids, offsets)
    scores = TorchEngine(model, "cpu")(ids, offsets)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    features = TorchEngine(model, "cpu").features(ids, offsets)
    assert (features.shape, features.dtype) == ((21, TorchEngine(model, "cpu").width), np.dtype(np.float32))
    np.testing.assert_allclose(features, OnnxEngine(build_graph(model), threads=1).features(ids, offsets), atol=1e-5)
    monkeypatch.setattr(engine, "_BATCH_TOKENS", 16)  # many batches, one of a text longer than that
    np.testing.assert_allclose(TorchEngine(model, "cpu")(ids, offsets), expected, atol=1e-5)


def test_no_texts_give_no_scores() -> None:
    scores = TorchEngine(artifact(), "cpu")(np.zeros(0, np.int32), np.zeros(1, np.int64))
    assert scores.shape == (0, 3)


@pytest.mark.parametrize("allowed", [True, False])
def test_tf32_is_off_while_scoring_and_then_as_before(allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
    with full_precision():
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 is allowed
    scorer, seen = TorchEngine(artifact(), "cpu"), []
    scorer._network.register_forward_hook(lambda *_: seen.append(torch.backends.cudnn.allow_tf32))
    scorer(*texts([3, 2]))
    assert seen == [False]
    assert torch.backends.cudnn.allow_tf32 is allowed
    with pytest.raises(IndexError):
        scorer(np.array([999], np.int32), np.array([0, 1]))
    assert torch.backends.cudnn.allow_tf32 is allowed


def test_auto_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, expected in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert resolve_device("auto", ModelSettings()) == torch.device(expected)


def test_a_device_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1", ModelSettings()) == torch.device("cuda:1")
    with pytest.raises(ConfigError, match=r"^training.device cuda:2: there are 2 CUDA devices here; use cpu or auto$"):
        resolve_device("cuda:2", ModelSettings())
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"^training.device mps: there is no Apple GPU here; use cpu or auto$"):
        resolve_device("mps", ModelSettings())


@pytest.mark.parametrize("name", ["banana", "meta", "cuda:x", ""])
def test_an_unknown_device_is_one_line(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^device {name}: must be auto, cpu, cuda, cuda:N or mps$"):
        resolve_device(name, ModelSettings())


@pytest.mark.parametrize("broken", [False, True])
def test_mps_is_compared_with_the_cpu(broken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Played on the CPU: the first pass is the CPU's, the second the device's."""
    passes: list[Any] = []
    forward = Network.forward

    def played(self: Network, batch: Any) -> torch.Tensor:
        passes.append(batch)
        return forward(self, batch) + (0.01 if broken and len(passes) == 2 else 0)

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(Network, "forward", played)
    monkeypatch.setattr(Network, "to", lambda self, _device: self)
    monkeypatch.setattr("textcls.model.packing.Batch.to", lambda self, _device: self)
    if broken:
        with pytest.raises(ConfigError, match="its packed lstm gives other results than the CPU"):
            resolve_device("mps", ModelSettings(hidden_size=4))
    else:
        assert resolve_device("mps", ModelSettings(hidden_size=4)).type == "mps"
    assert len(passes) == 2
