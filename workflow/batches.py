"""Batches as a step takes them. Where the labels are is decided on the host, so that no step waits for its device."""

from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from tasks import AnyTask
from tasks.draws import Split
from tasks.series.series import SeriesBatch
from tasks.task import Batch
from workflow.processes import processes

AnyBatch = Batch | SeriesBatch

TOGETHER = 32  # training batches, at most, made at once on a CPU
_TOGETHER_BYTES = 2**22  # of memory, at most, that these take


class Prepared(NamedTuple):
    """Sequences with their N labels. `index_N` says where these are among all positions, None that they are everywhere."""

    inputs: Tensor
    index_N: Tensor | None
    targets: Tensor

    def to(self, device: torch.device) -> "Prepared":
        """Returns the same on the device, where a copy goes on while the host does."""
        if device.type == "cpu":
            return self
        moved = (x if x is None else x.pin_memory().to(device, non_blocking=True) for x in self)
        return Prepared(*moved)


class StepBatch(NamedTuple):
    """What one step computes here, part by part, and the count of numbers that the whole step predicts, everywhere."""

    parts: list[Prepared]
    predicted: int


def prepared(batch: AnyBatch) -> Prepared:
    """Returns the batch with its labels gathered."""
    labelled_BT = batch.labelled_BT
    if labelled_BT.all():
        return Prepared(batch.inputs, None, batch.targets.flatten(0, 1))
    index_N = labelled_BT.flatten().nonzero()[:, 0]
    return Prepared(batch.inputs, index_N, batch.targets.flatten(0, 1)[index_N])


class _Kept:
    """Batches that may be read again, as many of those last read as fit into so many bytes."""

    def __init__(self, room_bytes: int):
        self._room = room_bytes
        self._batches: OrderedDict[tuple[AnyTask, Split, int, int], AnyBatch] = OrderedDict()

    def batch(self, task: AnyTask, split: Split, index: int, size: int) -> AnyBatch:
        """Returns `task.batch(split, index, size)`."""
        address = (task, split, index, size)
        if address in self._batches:
            self._batches.move_to_end(address)
            return self._batches[address]
        batch = task.batch(split, index, size)
        self._batches[address] = batch
        self._room -= _bytes(batch)
        while self._room < 0:
            self._room += _bytes(self._batches.popitem(last=False)[1])
        return batch


def _bytes(batch: AnyBatch | Prepared) -> int:
    return sum(x.nbytes for x in batch if x is not None)


_kept = _Kept(2**28)


def batch_of(task: AnyTask, split: Split, index: int, size: int) -> AnyBatch:
    """Returns `task.batch`, perhaps without drawing it again: all runs of a cohort are scored on the same batches."""
    return task.batch(split, index, size) if split == "train" else _kept.batch(task, split, index, size)


def share_of(batch: AnyBatch) -> AnyBatch:
    """Returns the rows that this process scores: all, if it is the only one."""
    mine = processes()
    return batch if mine.count == 1 else type(batch)(*(x[mine.rank :: mine.count] for x in batch))


class Supply:
    """The training batches of one seed, by step.

    On CUDA the next one is made while the device is still at the last. On a CPU a few are made at once: that takes half the
    time of making each between two steps, which sweep what makes it out of the processor's cache.
    """

    def __init__(
        self,
        task: AnyTask,
        *,
        seed: int,
        size: int,
        micro_batch: int | None,
        device: torch.device,
        share: tuple[int, int] = (0, 1),
    ):
        self._task, self._seed, self._size, self._device = task, seed, size, device
        self._rank, self._processes = share
        self._together = micro_batch or size
        self._ahead: dict[int, Future[StepBatch]] = {}
        self._waiting: dict[int, StepBatch] = {}
        self._maker = ThreadPoolExecutor(1) if device.type == "cuda" else None

    def at(self, step: int) -> StepBatch:
        """Returns the batch of a step, of which this process has the rows `rank`, `rank + processes`, ..."""
        if self._maker is None:
            if step not in self._waiting:
                self._waiting = self._several(step)
            return self._waiting.pop(step)
        waiting = self._ahead.pop(step, None) or self._maker.submit(self._made, step)
        self._ahead = {step + 1: self._maker.submit(self._made, step + 1)}
        return waiting.result()

    def _several(self, first: int) -> dict[int, StepBatch]:
        """Returns the batches of some steps, by step."""
        made = self._made(first)
        count = min(TOGETHER, _TOGETHER_BYTES // sum(_bytes(part) for part in made.parts))
        return {first: made} | {step: self._made(step) for step in range(first + 1, first + count)}

    def _made(self, step: int) -> StepBatch:
        batch = self._task.batch("train", self._seed << 32 | step, self._size)
        counted = batch.targets[batch.labelled_BT].numel() if self._parted else None
        rows = [x[self._rank :: self._processes] for x in batch]
        parts = [prepared(type(batch)(*part)) for part in zip(*(x.split(self._together) for x in rows), strict=True)]
        predicted = sum(part.targets.numel() for part in parts) if counted is None else counted
        return StepBatch([part.to(self._device) for part in parts], predicted)

    @property
    def _parted(self) -> bool:
        return self._processes > 1
