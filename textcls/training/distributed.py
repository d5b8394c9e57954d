"""Several processes that train one network together, as `torchrun` starts them: each learns from its share of each batch."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from textcls.errors import ConfigError
from textcls.model import Network


@dataclass(frozen=True)
class World:
    """The processes that train together; one alone where nothing else is said.

    Attributes:
        rank: Number of this process, from 0. The first one validates, writes and speaks.
        size: Number of processes.
        local_rank: Number of this process on its machine.
        local_size: Processes on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process validates, writes and speaks."""
        return self.rank == 0

    def share(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return this process's rows of a batch: every `size`th, so that lengths are alike. There may be none."""
        return rows[self.rank :: self.size]

    def parallel(self, network: Network) -> nn.Module:
        """Return the network, or where there are several processes one whose gradients are means over them."""
        return network if self.size == 1 else DistributedDataParallel(network)

    def agreed(self, value: bool) -> bool:
        """Return what the first process says."""
        if self.size == 1:
            return value
        said = torch.tensor([int(value)])
        dist.broadcast(said, src=0)
        return bool(said.item())

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Return the mean of a value, of any shape, over the processes."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.size

    def device(self, device: torch.device) -> torch.device:
        """Return this process's own GPU where training is on GPUs.

        Raises:
            ConfigError: There are fewer GPUs than processes.
        """
        if self.size == 1 or device.type != "cuda":
            return device
        if self.local_size > torch.cuda.device_count():
            raise ConfigError(
                f"{self.local_size} processes were started, but there are {torch.cuda.device_count()} CUDA devices: "
                "start one process for each (torchrun --nproc-per-node), or set training.device to cpu"
            )
        own = torch.device("cuda", self.local_rank)
        torch.cuda.set_device(own)
        return own

    def seed(self, seed: int, epoch: int, step: int) -> None:
        """Let each of several processes draw dropouts of its own in a step, whether or not the run was resumed before it."""
        if self.size > 1:
            torch.manual_seed(int(np.random.SeedSequence([seed, self.rank, epoch, step]).generate_state(1)[0]))


ALONE = World()


@contextmanager
def joined() -> Iterator[World]:
    """Join the processes that `torchrun` started, for the length of a block; elsewhere this process is alone."""
    if not dist.is_torchelastic_launched() or os.environ["WORLD_SIZE"] == "1":
        yield ALONE
        return
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    world = World(*(int(os.environ[name]) for name in names))
    if world.size == world.local_size and sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # on one machine nobody outside needs to reach them
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    yield world
    dist.destroy_process_group()  # only in good order: after an error the others may wait for us in vain
