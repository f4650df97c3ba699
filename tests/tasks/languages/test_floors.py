"""What no computation is worth, as published or as it follows: by constants, by lengths, by shortcuts."""

import numpy as np
import pytest

from tasks.draws import stream
from tasks.languages.presets import PRESETS
from tasks.task import IGNORE

SHORT, LONG = {"minimum_length": 3, "maximum_length": 40}, {"minimum_length": 40, "maximum_length": 256}


def best_guess(key: str, lengths: dict[str, int], *, bucket: int | None = None) -> float:
    """Returns how often the answer is the likeliest one, of all or of all examples about so long, in `bucket` tokens."""
    tokens_BT, targets_BT = PRESETS[key].at(lengths).draw(stream("test", 0), 12_000)
    answer_B = targets_BT[targets_BT != IGNORE].numpy()
    assert len(answer_B) == 12_000
    group_B = (tokens_BT != 0).sum(1).numpy() // (bucket or 1000)
    right = sum(np.bincount(answer_B[group_B == group]).max() for group in np.unique(group_B))
    return right / len(answer_B)


@pytest.mark.parametrize(
    ("key", "short", "long"),
    [
        ("xlstm/modular-arithmetic", 0.207, 0.213),
        ("xlstm/modular-arithmetic-brackets", 0.262, 0.301),
        ("deletang/modular-arithmetic-brackets", 0.262, 0.301),
        ("grazzi/modular-arithmetic-brackets", 0.205, 0.205),
        ("xlstm/majority", 0.021, 0.020),
        ("xlstm/majority-count", 0.469, 0.176),
        ("xlstm/even-pairs", 0.5, 0.5),
        ("xlstm/cycle-navigation", 0.2, 0.2),
    ],
)
def test_the_best_constants_are_those_measured_on_the_generators_of_the_sources(key, short, long):
    assert best_guess(key, SHORT) == pytest.approx(short, abs=0.015)
    assert best_guess(key, LONG) == pytest.approx(long, abs=0.015)


def test_the_length_alone_tells_much_of_a_majority_count():
    assert best_guess("xlstm/majority-count", LONG, bucket=8) == pytest.approx(0.432, abs=0.015)


def test_even_pairs_are_solved_by_the_first_token_and_the_last():
    for lengths in (SHORT, LONG):
        references = PRESETS["xlstm/even-pairs"].at(lengths).references(2000)
        assert references["ends"] == references["oracle"] == 1
        assert references["last_token"] < 0.6


@pytest.mark.parametrize(("lengths", "ambiguous"), [({"minimum_length": 4, "maximum_length": 40}, 0.14), (LONG, 0.385)])
def test_equations_with_products_may_have_any_solution(lengths, ambiguous):
    references = PRESETS["cdes/solve-equation"].at(lengths).references(3000)
    assert references["oracle"] == pytest.approx(1 - ambiguous * 4 / 5, abs=0.025)
    assert PRESETS["deletang/solve-equation"].at(lengths).references(500)["oracle"] == 1


@pytest.mark.parametrize(
    ("key", "shortcut", "short", "long"),
    [
        ("xlstm/majority", "first_token", 0.38, 0.08),
        ("xlstm/set", "copy", 0.83, 0.25),
        ("deletang/bucket-sort", "length", 0.615, 0.835),
        ("cdes/stack-manipulation", "no_pop", 0.785, 0.75),
    ],
)
def test_shortcuts_are_worth_more_than_chance(key, shortcut, short, long):
    for lengths, share in ((SHORT | {"minimum_length": 4}, short), (LONG, long)):
        assert PRESETS[key].at(lengths).references(2000)[shortcut] == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(
    "key", ["xlstm/cycle-navigation", "xlstm/modular-arithmetic", "grazzi/modular-arithmetic-brackets"]
)
def test_shortcuts_are_worth_nothing_where_the_answer_is_uniform(key):
    for name, score in PRESETS[key].at(LONG).references(3000).items():
        assert score == pytest.approx(1 if name == "oracle" else 0.2, abs=0.035), name
