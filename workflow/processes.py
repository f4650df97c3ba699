"""The processes that train one run together, as `torchrun` starts them: each has its rows of every batch."""

import functools
import os
from typing import NamedTuple

SHARD = "TRIAL_SHARD"  # the environment variable by which the command line tells all of the process


class Processes(NamedTuple):
    """Which of how many processes this is, here and on its machine; `sharded`: the weights are split over them."""

    rank: int
    local_rank: int
    count: int
    sharded: bool


@functools.cache
def processes() -> Processes:
    """Returns the place of this process among those of `torchrun`, or the only one."""
    rank, local, count = (int(os.environ.get(name, value)) for name, value in _TORCHRUN)
    return Processes(rank, local, count, bool(os.environ.get(SHARD)) and count > 1)


_TORCHRUN = (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1"))
