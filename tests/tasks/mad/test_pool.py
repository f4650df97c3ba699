"""A fixed number of training examples, and test examples without end."""

import numpy as np
import pytest
import torch

from tasks.mad.pool import pool
from tasks.mad.presets import PRESETS
from tasks.task import Batch

BASELINES = [pytest.param(task, id=name) for name, task in PRESETS.items() if name.endswith("/baseline")]


def rows(batch: Batch) -> list[bytes]:
    return [np.concatenate(pair).tobytes() for pair in zip(*(tensor.numpy() for tensor in batch), strict=True)]


@pytest.mark.parametrize("task", BASELINES)
@pytest.mark.parametrize(("examples", "size"), [(1, 3), (40, 8), (300, 64)])
def test_every_example_is_shown_once_in_every_epoch(task, examples, size):
    task = task.at({"examples": examples})
    batches = 3 * examples // np.gcd(examples, size)
    shown = [row for index in range(batches) for row in rows(task.batch("train", index, size))]
    epochs = [shown[first : first + examples] for first in range(0, len(shown), examples)]
    assert len(set(shown)) == examples
    assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)
    assert examples == 1 or len({tuple(epoch) for epoch in epochs}) == len(epochs)


@pytest.mark.parametrize("task", BASELINES)
def test_fewer_examples_are_the_first_of_more(task):
    few, many = (pool(task.at({"examples": examples})) for examples in (100, 700))
    assert len(few.tokens_BT) == 100
    assert all(torch.equal(some, more[:100]) for some, more in zip(few, many, strict=True))


@pytest.mark.parametrize("task", BASELINES)
def test_neither_test_nor_endless_training_shows_an_example_of_the_pool(task):
    pooled, endless = task.at({"examples": 700}), task.at({"examples": None})
    known = {row.tobytes() for row in pool(pooled).tokens_BT.long().numpy()}
    assert len(known) == 700
    for spec, split in ((pooled, "validation"), (pooled, "test"), (endless, "train")):
        drawn = [row.tobytes() for index in range(3) for row in spec.batch(split, index, 300).tokens_BT.numpy()]
        assert not known & set(drawn)
    for split in ("validation", "test"):
        assert rows(pooled.batch(split, 4, 20)) == rows(endless.batch(split, 4, 20))


@pytest.mark.parametrize("task", BASELINES)
def test_a_batch_can_be_changed_without_changing_the_pool(task):
    task = task.at({"examples": 5})
    before = rows(task.batch("train", 0, 5))
    for tensor in task.batch("train", 0, 5):
        tensor.zero_()
    assert rows(task.batch("train", 0, 5)) == before


@pytest.mark.parametrize("examples", [0, -1])
def test_a_pool_without_examples_is_refused(examples):
    for param in BASELINES:
        with pytest.raises(ValueError, match="greater than or equal to 1"):
            param.values[0].at({"examples": examples})
