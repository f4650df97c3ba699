"""Recall is Zoology's construction, re-derived here without its code."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tasks.draws import distinct, stream
from tasks.memory.recall import Recall
from tasks.task import IGNORE, accuracy


def recall(length=64, vocabulary=256, pairs=4, fillers=1, power=0.01) -> Recall:
    return Recall(name="recall", length=length, vocabulary=vocabulary, pairs=pairs, fillers=fillers, power=power)


def queries(tokens: list[int], targets: list[int]) -> list[tuple[int, int, int]]:
    """Returns (position, key, label) of every label."""
    return [(t, tokens[t], target) for t, target in enumerate(targets) if target != IGNORE]


SPECS = [
    recall(),
    recall(length=19, vocabulary=17, fillers=5),
    recall(pairs=16, power=1.0),
    recall(pairs=16, fillers=223),
]


@pytest.mark.parametrize("spec", SPECS)
def test_every_label_is_the_value_that_follows_its_key_in_the_context(spec):
    for tokens, targets in zip(*(tensor.tolist() for tensor in spec.batch("train", 0, 200)), strict=True):
        stated = dict(zip(tokens[0 : 2 * spec.pairs : 2], tokens[1 : 2 * spec.pairs : 2], strict=True))
        asked = queries(tokens, targets)
        assert {key: label for _, key, label in asked} == stated
        assert len(asked) == len(set(stated.values())) == spec.pairs
        assert all(position >= 2 * spec.pairs and position % 2 == 0 for position, _, _ in asked)


@pytest.mark.parametrize("spec", SPECS)
def test_fillers_keys_and_values_are_disjoint_thirds_of_the_vocabulary(spec):
    tokens_BT, targets_BT = spec.batch("train", 0, 3000)
    asked = targets_BT != IGNORE
    context = torch.arange(spec.length) < 2 * spec.pairs
    fillers, keys, values = (
        set(part.unique().tolist()) for part in (tokens_BT[~asked & ~context], tokens_BT[asked], targets_BT[asked])
    )
    half = (spec.vocabulary - spec.fillers) // 2
    assert fillers == set(range(spec.fillers))
    assert keys == set(range(spec.fillers, spec.fillers + half))
    assert values == set(range(spec.fillers + half, spec.vocabulary))


def test_one_filler_reproduces_the_token_ranges_of_zoology():
    tokens_BT, targets_BT = recall().batch("train", 0, 4000)
    asked = targets_BT != IGNORE
    assert (tokens_BT[asked].min(), tokens_BT[asked].max()) == (1, 127)
    assert (targets_BT[asked].min(), targets_BT[asked].max()) == (128, 255)
    assert (tokens_BT[:, 8:][~asked[:, 8:]] == 0).all()


def test_queries_crowd_after_the_context_as_measured_in_zoology():
    tokens_BT, targets_BT = recall().batch("train", 0, 20_000)
    row, position = (targets_BT != IGNORE).nonzero().unbind(1)
    stated_at = 2 * (tokens_BT[row, 0:8:2] == tokens_BT[row, position][:, None]).int().argmax(1)
    slot = (position - 8) // 2
    assert (slot[stated_at == 0] == 0).double().mean().item() == pytest.approx(0.25, abs=0.015)
    assert (slot < 7).double().mean().item() == pytest.approx(0.60, abs=0.01)
    assert (position - stated_at).median().item() == pytest.approx(14, abs=1)


def test_slots_follow_the_law_of_successive_draws_without_replacement():
    spec = recall(length=12, pairs=2, power=0.3)
    weight = np.arange(1, 5) ** -0.7
    p = weight / weight.sum()
    slots = spec._slots(stream("train", 0), 100_000)
    for a in range(4):
        for b in range(4):
            expected = p[a] * p[b] / (1 - p[a]) if a != b else 0
            assert np.mean((slots == (a, b)).all(1)) == pytest.approx(expected, abs=0.006)


def test_power_one_asks_anywhere():
    slots = recall(power=1.0)._slots(stream("train", 0), 20_000)
    assert np.bincount(slots.ravel(), minlength=28) / slots.size == pytest.approx(np.full(28, 1 / 28), abs=0.003)


def test_distinct_draws_are_uniform_over_ordered_selections():
    rows = distinct(stream("train", 0), 4, 3, 48_000)
    selections, counts = np.unique(rows, axis=0, return_counts=True)
    assert len(selections) == 24
    assert all(len(set(selection)) == 3 for selection in selections.tolist())
    assert counts / 2000 == pytest.approx(np.ones(24), abs=0.1)


def test_the_floor_is_a_value_of_the_context_not_a_value_of_the_vocabulary():
    for pairs in (4, 8, 16):
        references = recall(pairs=pairs).references(5000)
        assert references["constant"] == pytest.approx(1 / 128, abs=0.004)
        assert references["any_value"] == pytest.approx(1 / pairs)


def test_position_alone_beats_the_published_floor_of_one_in_pairs():
    for pairs, floor in ((4, 0.287), (8, 0.166), (16, 0.120)):
        assert recall(pairs=pairs).references(5000)["position"] == pytest.approx(floor, abs=0.015)
    assert recall(power=1.0).references(5000)["position"] == pytest.approx(0.25, abs=0.015)


def test_the_worked_example_is_right():
    tokens_BT = torch.tensor([[3, 8, 1, 6, 0, 0, 3, 0, 1, 0, 0, 0]])
    targets_BT = torch.full_like(tokens_BT, IGNORE)
    targets_BT[0, 6], targets_BT[0, 8] = 8, 6
    spec = recall(length=12, vocabulary=9, pairs=2)
    oracle = spec.predictors(spec.batch("train", 0, 10))["oracle"]
    assert accuracy(oracle(tokens_BT), targets_BT) == 1
    assert spec._keys == 4


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"length": 15}, "raise length to 16 or lower pairs"),
        ({"vocabulary": 8}, "raise vocabulary to 9, or lower pairs or fillers"),
        ({"fillers": 300}, "raise vocabulary to 308, or lower pairs or fillers"),
        ({"pairs": 1}, "greater than or equal to 2"),
        ({"fillers": 0}, "greater than or equal to 1"),
        ({"power": 0.0}, "greater than 0"),
        ({"power": float("nan")}, "finite number"),
    ],
)
def test_infeasible_points_are_refused_with_a_remedy(fields, remedy):
    with pytest.raises(ValidationError, match=remedy):
        recall(**fields)


def test_the_remedy_is_feasible():
    assert recall(length=16).length == 16
    assert recall(vocabulary=9).vocabulary == 9
    assert recall(fillers=300, vocabulary=308).vocabulary == 308
