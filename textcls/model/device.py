"""Where the network runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from textcls.config import ModelSettings
from textcls.errors import ConfigError


def resolve_device(name: str, settings: ModelSettings) -> torch.device:
    """Return the device that a setting names; `auto` is CUDA where there is one, else the CPU.

    `mps` is taken only when named, and only once a batch came out as on the CPU: packed LSTMs have given silently wrong results there.

    Raises:
        ConfigError: The device is not there, or computes something else than the CPU.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in {"cpu", "cuda", "mps"}:
        raise ConfigError(f"device {name}: must be auto, cpu, cuda, cuda:N or mps")
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise ConfigError(f"training.device {name}: there are {count} CUDA devices here; use cpu or auto")
    if device.type == "mps":
        if not torch.backends.mps.is_available():
            raise ConfigError("training.device mps: there is no Apple GPU here; use cpu or auto")
        _compare_with_cpu(device, settings)
    return device


@contextmanager
def full_precision() -> Iterator[None]:
    """Score without TF32 for the length of a block: scores must not depend on the device by more than 1e-5."""
    with reduced_precision("fp32"):
        yield


@contextmanager
def reduced_precision(precision: str) -> Iterator[None]:
    """Let CUDA round the factors of matrix products to TF32 in training, or keep it from it, for the length of a block."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return a block in which CUDA makes the network's products in half precision, where the setting asks for it."""
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision) if device.type == "cuda" else None
    # Without a cache, whose memory a CUDA graph would keep; each weight is used once a step.
    return torch.autocast(device.type, half, enabled=half is not None, cache_enabled=False)


def rounds_on_cpu(device: torch.device, precision: str, settings: ModelSettings) -> bool:
    """Whether the recurrence is trained in bf16 on the CPU, as `training.precision` asks for.

    Raises:
        ConfigError: The processor has nothing for it, without which it is many times slower, or the cell is another one than LSTM,
            which it makes no faster.
    """
    if device.type != "cpu" or precision != "bf16":
        return False
    if settings.cell != "lstm":
        raise ConfigError(f"training.precision bf16: on the CPU it is for model.cell lstm, not {settings.cell}; use fp32")
    if not has_bf16():
        raise ConfigError("training.precision bf16: this processor has neither AVX512-BF16 nor AMX; use fp32")
    return True


def has_bf16() -> bool:
    """Whether the processor multiplies in bf16."""
    known = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile"))
    return any(supported is not None and supported() for supported in known)


def _compare_with_cpu(device: torch.device, settings: ModelSettings) -> None:
    """Run one small random batch on both."""
    import numpy as np

    from textcls.model.network import Network
    from textcls.model.packing import pack

    slots = 0 if settings.ngram_slots == "auto" else settings.ngram_slots
    sizes = settings.model_copy(update={"embedding_size": settings.embedding_size or 8, "ngram_slots": slots})
    network = Network(sizes, 50, 3).eval()
    lengths = np.array([5, 1, 9, 9, 3])
    ids = np.random.default_rng(0).integers(1, 50, lengths.sum()).astype(np.int32)
    batch = pack(ids, np.cumsum([0, *lengths]))
    with torch.inference_mode():
        expected = network(batch)
        got = network.to(device)(batch.to(device)).cpu()
    if not torch.allclose(expected, got, atol=1e-4):
        raise ConfigError(
            f"training.device {device.type}: its packed {settings.cell} gives other results than the CPU; use cpu"
        )
