"""What is drawn once for all runs of a cohort, and what anew."""

import pytest
import torch

from tasks.memory.recall import Recall
from workflow import batches
from workflow.batches import Supply, _Kept, batch_of, prepared

TASK = Recall(name="recall", length=16, vocabulary=32, pairs=2, fillers=1, power=0.01)
BYTES = sum(x.nbytes for x in TASK.batch("test", 0, 4))


def test_what_scores_a_run_is_drawn_once_and_what_trains_it_every_time():
    for split in ("validation", "test"):
        assert batch_of(TASK, split, 3, 4) is batch_of(TASK, split, 3, 4)
        assert batch_of(TASK, split, 3, 4).tokens_BT.equal(TASK.batch(split, 3, 4).tokens_BT)
        assert batch_of(TASK, split, 4, 4).tokens_BT.equal(TASK.batch(split, 4, 4).tokens_BT)
        assert len(batch_of(TASK, split, 3, 5).tokens_BT) == 5
    longer = batch_of(TASK.at_length(24), "test", 3, 4)
    assert longer.tokens_BT.shape == (4, 24)
    assert batch_of(TASK, "train", 3, 4) is not batch_of(TASK, "train", 3, 4)


def test_no_more_is_kept_than_there_is_room_for_and_what_was_read_last_stays():
    kept = _Kept(2 * BYTES)
    first, second = (kept.batch(TASK, "test", index, 4) for index in (0, 1))
    assert kept.batch(TASK, "test", 0, 4) is first
    kept.batch(TASK, "test", 2, 4)
    assert kept.batch(TASK, "test", 0, 4) is first
    assert kept.batch(TASK, "test", 1, 4) is not second


def test_a_batch_that_is_too_large_is_drawn_and_not_kept():
    kept = _Kept(BYTES - 1)
    once, again = (kept.batch(TASK, "test", 0, 4) for _ in range(2))
    assert once is not again
    assert once.tokens_BT.equal(again.tokens_BT)


@pytest.mark.parametrize("room", [0, 10_000, 2**22])
def test_a_step_has_its_own_batch_however_many_are_made_at_once(monkeypatch, room):
    monkeypatch.setattr(batches, "_TOGETHER_BYTES", room)
    supply = Supply(TASK, seed=5, size=4, micro_batch=None, device=torch.device("cpu"))
    for step in (0, 1, 2, 31, 32, 33, 7):  # a run may be continued anywhere
        (part,) = supply.at(step).parts
        expected = prepared(TASK.batch("train", 5 << 32 | step, 4))
        assert all(mine.equal(theirs) for mine, theirs in zip(part, expected, strict=True))
