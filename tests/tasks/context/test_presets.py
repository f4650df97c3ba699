"""The published settings of long context can be drawn, longer ones too, and at every depth."""

import pytest

from tasks.context.haystack import Haystack
from tasks.context.presets import PRESETS


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_can_be_drawn(name):
    assert len(PRESETS[name].batch("train", 0, 2).tokens_BT) == 2


@pytest.mark.parametrize("name", sorted(name for name in PRESETS if name.startswith("ruler/")))
def test_rulers_tasks_take_its_grid_of_lengths_and_depths(name):
    task = PRESETS[name]
    assert task.batch("train", 0, 1).tokens_BT.shape == (1, 4096)
    for depth in (0.0, 0.5, 1.0):
        point = {"length": 8192} | ({"depth": depth} if isinstance(task, Haystack) else {})
        assert task.at(point).batch("test", 0, 1).tokens_BT.shape == (1, 8192)
        assert task.at(point).vocabulary_size == task.vocabulary_size


def test_single_needles_and_a_single_chain_need_no_search():
    for name in ("ruler/niah-single-1", "ruler/niah-single-2"):
        assert PRESETS[name].references(100)["first_value"] == 1
    assert PRESETS["ruler/vt"].references(100)["first"] == 1
