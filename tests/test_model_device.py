"""bf16 on the CPU: where it is taken, and that it is the recurrence rounded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TinyRun
from torch import Tensor

from textcls.config import Config, ModelSettings
from textcls.errors import ConfigError
from textcls.model import Encoder, device
from textcls.model.device import rounds_on_cpu
from textcls.parameters import check_usable
from textcls.training import EpochEnd, train

CPU, CARD = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16"])
def test_other_precisions_leave_the_cpu_as_it_is(precision: str) -> None:
    assert not rounds_on_cpu(CPU, precision, ModelSettings(cell="gru"))
    assert not rounds_on_cpu(CARD, "bf16", ModelSettings(cell="gru"))


def test_bf16_is_taken_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_bf16", lambda: True)
    assert rounds_on_cpu(CPU, "bf16", ModelSettings())
    with pytest.raises(
        ConfigError, match=r"^training.precision bf16: on the CPU it is for model.cell lstm, not gru; use fp32$"
    ):
        rounds_on_cpu(CPU, "bf16", ModelSettings(cell="gru"))


def test_bf16_is_refused_in_a_line_where_the_processor_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_bf16", lambda: False)
    with pytest.raises(
        ConfigError, match=r"^training.precision bf16: this processor has neither AVX512-BF16 nor AMX; use fp32$"
    ):
        rounds_on_cpu(CPU, "bf16", ModelSettings())


def test_torch_is_asked_for_what_the_processor_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda: False)
    assert not device.has_bf16()
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert device.has_bf16()


@pytest.mark.parametrize(
    "changes", [{}, {"layers": 2}, {"bidirectional": False}, {"bias": False}, {"pooling": "final+max"}], ids=str
)
@pytest.mark.parametrize("parallel", [False, True])
def test_only_the_recurrence_is_rounded(changes: dict[str, Any], parallel: bool) -> None:
    """Summary and gradients are near those of fp32, and in fp32; a network that does not train rounds nothing."""
    torch.manual_seed(0)
    encoder = Encoder(6, ModelSettings(**({"hidden_size": 8, "layer_dropout": 0} | changes)))
    encoder.parallel = parallel
    data, lengths = torch.randn(7, 5, 6, requires_grad=True), torch.tensor([7, 3, 1, 5, 2])

    def run() -> list[Tensor]:
        summary = encoder.summary(data, lengths)
        return [summary.detach(), *torch.autograd.grad(summary.square().sum(), [data, *encoder.parameters()])]

    exact = run()
    encoder.bf16 = True
    rounded, again = run(), run()
    for one, other, same in zip(exact, rounded, again, strict=True):
        assert other.dtype == torch.float32
        assert torch.equal(other, same)
        assert not torch.equal(other, one)
        assert float((other - one).norm() / one.norm()) < 0.05
    encoder.eval()
    assert torch.equal(encoder.summary(data, lengths).detach(), exact[0])


def test_a_run_in_bf16_is_the_same_each_time_and_is_not_resumed_elsewhere(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config().replace(
        {
            "data.train": str(tiny_run.train),
            "model.hidden_size": 8,
            "model.embedding_size": 8,
            "text.vectors": None,
            "training.epochs": 2,
            "training.threads": 1,
            "training.precision": "bf16",
        }
    )
    monkeypatch.setattr(device, "has_bf16", lambda: True)
    exact = train(config.replace({"training.precision": "fp32"}), tmp_path / "fp32").artifact.weights
    one, other = (train(config, tmp_path / name).artifact.weights for name in ("one", "other"))
    for name, array in one.items():
        np.testing.assert_array_equal(other[name], array)
    assert one["classifier.weight"].dtype == np.float32
    assert not np.array_equal(one["classifier.weight"], exact["classifier.weight"])

    def killed(event: object) -> None:
        if isinstance(event, EpochEnd):
            raise StopError

    killed_at_once = config.replace({"training.checkpoint_minutes": 1e-9})
    with pytest.raises(StopError):
        train(killed_at_once, tmp_path / "run", report=killed)
    monkeypatch.setattr(device, "has_bf16", lambda: False)
    with pytest.raises(ConfigError, match=r"^training.precision bf16: this processor has neither"):
        train(killed_at_once, tmp_path / "run", resume=True)


class StopError(Exception):
    pass


def test_what_was_trained_in_bf16_elsewhere_keeps_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model loaded here, with another setting changed, is not refused for what it was trained with."""
    monkeypatch.setattr(device, "has_bf16", lambda: False)
    trained = Config().replace({"training.precision": "bf16", "text.vectors": None})
    check_usable(trained.replace({"training.epochs": 3}), trained)
    with pytest.raises(ConfigError, match=r"^training.precision bf16: this processor has neither"):
        check_usable(trained, trained.replace({"training.precision": "fp32"}))
