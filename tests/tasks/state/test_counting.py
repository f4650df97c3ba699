"""Counting against a loop that counts."""

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.draws import stream
from tasks.state.counting import Counting
from tasks.task import IGNORE


def counting(*, length=40, symbols=4, queries=2, maximum_count=12) -> Counting:
    return Counting(name="counting", length=length, symbols=symbols, queries=queries, maximum_count=maximum_count)


@pytest.mark.parametrize(
    "spec",
    [
        counting(),
        counting(length=64, symbols=9, queries=3, maximum_count=20),
        counting(queries=1, symbols=2),
        counting(length=26),
    ],
    ids=str,
)
def test_every_question_is_answered_by_the_count(spec):
    for tokens, targets in zip(*(tensor.tolist() for tensor in spec.batch("train", 0, 300)), strict=True):
        context, asked = tokens[: -spec.queries], tokens[-spec.queries :]
        assert max(context) < spec.symbols
        assert len(set(asked)) == spec.queries
        assert targets == [IGNORE] * len(context) + [context.count(token - spec.symbols) for token in asked]


def test_counts_are_uniform_at_every_length():
    for length in (40, 120):
        _, targets_BT = counting(length=length).draw(stream("train", 0), 13_000)
        for answers_B in targets_BT[:, -2:].T:
            shares = answers_B.bincount(minlength=13).double() / 1000
            assert shares.numpy() == pytest.approx(np.ones(13), abs=0.15)


def test_symbols_lie_anywhere_in_the_context():
    tokens_BT, _ = counting(symbols=5).draw(stream("train", 0), 10_000)
    asked_B1 = tokens_BT[:, -1:] - 5
    shares = (tokens_BT[:, :38] == asked_B1).double().mean(0)
    assert shares.numpy() == pytest.approx(np.full(38, 6 / 38), abs=0.02)
    assert (tokens_BT[:, -2:] - 5).flatten().bincount().double().numpy() / 4000 == pytest.approx(np.ones(5), abs=0.1)


def test_the_worked_example_is_right():
    spec = counting(length=10, symbols=3, queries=2, maximum_count=4)
    drawn = [
        (tokens[8:], targets[8:])
        for tokens, targets in zip(*(tensor.tolist() for tensor in spec.draw(stream("train", 0), 30_000)), strict=True)
        if tokens[:8] == [1, 0, 2, 0, 1, 1, 1, 2]
    ]
    assert ([3, 4], [2, 4]) in drawn


def test_shortcuts_score_what_they_should():
    references = counting(length=64, maximum_count=15).references(8000)
    assert references["oracle"] == 1
    assert references["constant"] == pytest.approx(1 / 16, abs=0.015)
    assert references["presence"] == pytest.approx(2 / 16, abs=0.015)
    assert references["half"] < 0.3


@pytest.mark.parametrize(
    ("fields", "remedy", "remedied"),
    [
        ({"queries": 4, "maximum_count": 3}, "raise symbols to 5 or lower queries", {"symbols": 5}),
        ({"length": 25}, "raise length to 26, or lower either", {"length": 26}),
        ({"symbols": 1}, "greater than or equal to 2", {"symbols": 3}),
        ({"maximum_count": 0}, "greater than or equal to 1", {"maximum_count": 1}),
    ],
)
def test_infeasible_points_are_refused_with_a_remedy(fields, remedy, remedied):
    with pytest.raises(ValidationError, match=remedy):
        counting(**fields)
    counting(**(fields | remedied)).batch("test", 0, 20)
