"""The processes that train one run together, as `torchrun` starts them: each has its rows of every batch.

What is large (gradients, weights) travels between their devices, what decides (questions, sums, files) between their hosts.
"""

import functools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from workflow import interruption

SHARD = "TRIAL_SHARD"  # the environment variable by which the command line tells all of the process

_TORCHRUN = (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1"))
_PATIENCE = timedelta(days=1)  # the first process may have to wait so long for a folder
_MOST_STEPS, _MOST_SECONDS = 16, 1.0  # from one question to the next

Found = TypeVar("Found")


class Processes(NamedTuple):
    """Which of how many processes this is, here and on its machine; `sharded`: the weights are split over them."""

    rank: int
    local_rank: int
    count: int
    sharded: bool

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes and tells."""
        return self.rank == 0


@functools.cache
def processes() -> Processes:
    """Returns the place of this process among those of `torchrun`, or the only one."""
    rank, local, count = (int(os.environ.get(name, value)) for name, value in _TORCHRUN)
    return Processes(rank, local, count, bool(os.environ.get(SHARD)) and count > 1)


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Connects the processes; ValueError if this machine has fewer devices than processes.

    An error of one of them alone is not waited for by leaving the others: `torchrun` ends them.
    """
    if processes().count == 1:
        yield
        return
    if device.type == "cuda":
        if device.index >= torch.cuda.device_count():
            raise ValueError(
                f"torchrun started more processes here than the {torch.cuda.device_count()} CUDA devices: lower --nproc_per_node"
            )
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield
    except interruption.Interrupted:
        dist.destroy_process_group()
        raise
    dist.destroy_process_group()


def led(function: Callable[[], Found]) -> Found:
    """Returns, on every process, what the function does or finds on the first; an error there is raised on all."""
    if processes().count == 1:
        return function()
    told: list[tuple[Found | None, Exception | None]] = [(None, None)]
    if processes().leads:
        try:
            told = [(function(), None)]
        except (ValueError, OSError, RuntimeError, interruption.Interrupted) as error:
            told = [(None, error)]
    dist.broadcast_object_list(told)
    ((found, error),) = told
    if error is not None:
        raise error
    return found


def summed(x: Tensor) -> Tensor:
    """Returns the sum over the processes, on the CPU."""
    if processes().count == 1:
        return x
    x = x.detach().to("cpu", copy=True)
    dist.all_reduce(x)
    return x


def averaged(x: Tensor) -> Tensor:
    """Returns the mean over the processes, on the CPU where there are several."""
    return x if processes().count == 1 else summed(x) / processes().count


def check() -> None:
    """Raises Interrupted on every process if any was asked to stop; all must call it at the same place."""
    if processes().count == 1:
        interruption.check()
    elif summed(torch.tensor(float(interruption.asked()))) > 0:
        raise interruption.Interrupted


class Questions:
    """What depends on signals and clocks, decided by all processes alike, at the same step.

    Several ask each other about once a second, and at least every 16 steps; one alone knows at every step.
    """

    def __init__(self) -> None:
        self._steps, self._every, self._asked = 0, 1, time.monotonic()

    def due(self, here: bool) -> bool:
        """Returns whether something is due, as the first process sees it; Interrupted if any was asked to stop."""
        if processes().count == 1:
            interruption.check()
            return here
        self._steps += 1
        if self._steps < self._every:
            return False
        seconds = time.monotonic() - self._asked
        said = torch.tensor([interruption.asked(), here and processes().leads, seconds], dtype=torch.float64)
        dist.all_reduce(said, op=dist.ReduceOp.MAX)
        asked, due, seconds = said.tolist()
        self._every = max(1, min(_MOST_STEPS, int(self._steps * _MOST_SECONDS / max(seconds, 1e-6))))
        self._steps, self._asked = 0, time.monotonic()
        if asked:
            raise interruption.Interrupted
        return bool(due)
