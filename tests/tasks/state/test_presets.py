"""The published settings of state tracking can be drawn, at their lengths and at those of their tests."""

import pytest

from tasks.state.presets import PRESETS


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_can_be_drawn(name):
    assert len(PRESETS[name].batch("train", 0, 2).tokens_BT) == 2


@pytest.mark.parametrize(
    ("name", "length"), [("xlstm/parity", 256), ("grazzi/S5", 500), ("2606.12364/anbn", 2048), ("merrill/A5/20", 20)]
)
def test_presets_can_be_tested_at_the_published_lengths(name, length):
    assert PRESETS[name].at_length(length).batch("test", 0, 2).tokens_BT.shape == (2, length)


def test_merrills_lengths_are_6_to_20_for_three_groups_of_order_60():
    merrill = {name: task for name, task in PRESETS.items() if name.startswith("merrill/")}
    assert len(merrill) == 3 * 15
    assert {task.padding for task in merrill.values()} == {60}
    assert all(task.maximum_length == int(name.split("/")[2]) for name, task in merrill.items())
