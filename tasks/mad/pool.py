"""Tasks that may train on a fixed number of examples: what every task of MAD has in common."""

from functools import lru_cache
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from tasks.draws import Split, permutations, stream
from tasks.task import Batch, SyntheticTask

# Where the training streams of pools and of their orders begin, beyond the address of any batch.
_POOL = 1 << 64
_ORDERS = 1 << 65
_BLOCK = 256  # examples drawn from one stream, so that a smaller pool is the beginning of a larger one


class PooledTask(SyntheticTask):
    """A task that trains on `examples` distinct draws, epoch after epoch, or on fresh ones without end where that is None.

    An epoch shows every example once, in an order of its own. Validation and test are fresh draws in any case, from
    streams of their own, which tell what was learnt of the task from what was learnt of the examples. MAD draws its test
    set from the generator of training, after it, so that the one is not the same without the other.
    """

    examples: Annotated[int, Field(ge=1)] | None

    def draw_tested(self, rng: np.random.Generator, size: int) -> Batch:
        """Returns `size` fresh examples of validation and test, where MAD does not test what it trains."""
        return self.draw(rng, size)

    def batch(self, split: Split, index: int, size: int) -> Batch:
        if split != "train":
            return self.draw_tested(stream(split, index), size)
        if self.examples is None:
            return self.draw(stream(split, index), size)
        epoch, place = divmod(index * size, self.examples)
        picked = [_order(self.examples, epoch)[place : place + size]]
        while (missing := size - sum(map(len, picked))) > 0:
            epoch += 1
            picked.append(_order(self.examples, epoch)[:missing])
        rows = torch.from_numpy(np.concatenate(picked))
        return Batch(*(tensor[rows].long() for tensor in pool(self)))


@lru_cache(maxsize=2)
def pool(task: PooledTask) -> Batch:
    """Returns the examples that the task trains on, int32 to save memory; whoever changes them changes the task."""
    assert task.examples is not None
    blocks = [task.draw(stream("train", _POOL + block), _BLOCK) for block in range(-(-task.examples // _BLOCK))]
    return Batch(*(torch.cat(tensors)[: task.examples].int() for tensors in zip(*blocks, strict=True)))


@lru_cache(maxsize=4)
def _order(examples: int, epoch: int) -> np.ndarray:
    """Returns order_N, in which an epoch shows the examples."""
    return permutations(stream("train", _ORDERS + epoch), examples, 1)[0]
