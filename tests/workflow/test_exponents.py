"""Exponents and crossings by themselves: true to a planted truth, as sure as they say, silent where the data are."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.scaling.crossings import Order, crossings, order, resampled
from workflow.scaling.exponents import Exponent, bend, between, beyond_floor, exponent, verdict
from workflow.scaling.laws import (
    BENT,
    NOT_IDENTIFIED,
    OVER_ROUNDS,
    OVER_SAMPLES,
    last_doubling,
    law,
)

LENGTHS = 64 * 2.0 ** np.arange(7)
LONG = 512 * 2.0 ** np.arange(8)
NOISE = 0.05


def noisy(values: np.ndarray, rng: np.random.Generator, *, spread: float = NOISE) -> np.ndarray:
    return values * np.exp(spread * rng.standard_normal(values.shape))


def test_the_interval_of_an_exponent_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for power in (0.0, 1.0, 2.0):
        found = [exponent(LENGTHS, noisy(3e-6 * LENGTHS**power, rng)) for _ in range(400)]
        assert 0.90 <= np.mean([each.low <= power <= each.high for each in found]) <= 0.99


def test_the_interval_beyond_a_floor_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    for floor, power in ((500.0, 1.0), (3e5, 2.0)):
        fits = [beyond_floor(LENGTHS, noisy(floor + LENGTHS**power, rng, spread=0.02)) for _ in range(100)]
        assert all(fit.told_apart for fit in fits)
        assert 0.90 <= np.mean([fit.exponent.low <= power <= fit.exponent.high for fit in fits]) <= 0.99


def test_a_power_law_is_seldom_said_to_bend_or_to_have_a_floor():
    rng = np.random.default_rng(2)
    values = [noisy(LENGTHS, rng) for _ in range(100)]
    assert np.mean([bend(LENGTHS, each).matters for each in values]) <= 0.05
    assert np.mean([beyond_floor(LENGTHS, each).told_apart for each in values]) <= 0.08


def test_a_line_over_a_floor_is_no_power_law_but_linear_beyond_it():
    found = law(LONG, noisy(2e9 + 1e6 * LONG, np.random.default_rng(3), spread=0.002))
    assert found["exponent"] < 0.8
    assert found["verdict"] == BENT
    assert found["beyond_verdict"] == "linear"
    assert found["floor"] == pytest.approx(2e9, rel=0.02)


def test_a_square_over_a_floor_is_quadratic_beyond_it():
    found = law(LONG, noisy(2e9 + 30 * LONG**2, np.random.default_rng(4), spread=0.002))
    assert (found["verdict"], found["beyond_verdict"]) == (BENT, "quadratic")
    assert found["beyond_exponent"] == pytest.approx(2, abs=0.02)


@pytest.mark.parametrize("floor", [0.0, 1e8])
def test_a_sum_of_linear_and_quadratic_passes_as_no_power_law(floor):
    found = law(LONG, noisy(floor + 1e6 * LONG + 60 * LONG**2, np.random.default_rng(5), spread=0.002))
    assert found["verdict"] == BENT
    assert found["beyond_verdict"] in (BENT, NOT_IDENTIFIED)
    assert found["first_exponent"] < found["exponent"] < found["last_exponent"]


def test_where_there_is_no_floor_none_is_told():
    found = law(LONG, noisy(1e6 * LONG, np.random.default_rng(6), spread=0.002))
    assert (found["verdict"], found["beyond_verdict"]) == ("linear", NOT_IDENTIFIED)
    assert "floor" not in found


def test_a_bend_that_is_sure_but_small_does_not_matter():
    x = np.log(LENGTHS / LENGTHS[0])
    found = bend(LENGTHS, np.exp(x + 0.02 * x**2))
    assert found.p < 1e-6
    assert found.change == pytest.approx(2 * 0.02 * x[-1])
    assert not found.matters


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.05, 0.05, "constant"),
        (0.91, 1.09, "linear"),
        (1.95, 2.05, "quadratic"),
        (0.2, 0.8, "between constant and linear"),
        (1.2, 1.8, "between linear and quadratic"),
        (-0.4, -0.2, "falling"),
        (2.2, 2.4, "more than quadratic"),
        (0.85, 1.05, "inconclusive"),
        (-1.0, 3.0, "inconclusive"),
    ],
)
def test_verdicts_follow_the_interval(low, high, said):
    assert verdict(Exponent((low + high) / 2, low, high)) == said


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.1, 10), min_size=7, max_size=7), st.sampled_from([0.001, 0.5, 2.0**20]))
def test_the_unit_of_a_cost_changes_no_exponent(factors, unit):
    values = np.array(factors) * LENGTHS
    one, other = exponent(LENGTHS, values), exponent(LENGTHS, unit * values)
    assert one == pytest.approx(other, rel=1e-6, abs=1e-6)
    assert bend(LENGTHS, values).change == pytest.approx(bend(LENGTHS, unit * values).change, abs=1e-6)
    assert bend(LENGTHS, values).matters == bend(LENGTHS, unit * values).matters


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from([0.5, 0.8, 1.0, 1.25, 3.0]), min_size=7, max_size=7),
    st.sampled_from([0.001, 4.0]),
)
def test_the_unit_of_time_and_the_order_of_the_pair_change_no_crossing(ratios, unit):
    first, second = LENGTHS, LENGTHS * np.array(ratios)
    found = crossings(LENGTHS, first, second)
    swapped = crossings(LENGTHS, unit * second, unit * first)
    assert [place for place, _ in swapped] == pytest.approx([place for place, _ in found])
    assert [lead for _, lead in swapped] == [not lead for _, lead in found]
    order = [ratio for ratio in ratios if ratio != 1]
    assert len(found) == sum((one > 1) != (other > 1) for one, other in itertools.pairwise(order))


def test_a_tie_is_a_crossing_only_where_the_order_changes_over_it():
    first = np.ones(5)
    lengths = LENGTHS[:5]
    assert crossings(lengths, first, np.array([2.0, 2.0, 1.0, 2.0, 2.0])) == []
    assert crossings(lengths, first, np.array([1.0, 1.0, 2.0, 2.0, 2.0])) == []
    assert crossings(lengths, first, first) == []
    ((place, leads),) = crossings(lengths, first, np.array([2.0, 2.0, 1.0, 0.5, 0.5]))
    assert place == pytest.approx(lengths[2])
    assert leads


def drawn(
    values: np.ndarray, rng: np.random.Generator, *, rounds: int, each: int, apart: float = 0.0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns rounds and seconds at each length, of samples that differ by 5 % and rounds that differ by `apart`."""
    turn = np.repeat(np.arange(float(rounds)), each)
    shift = [np.repeat(apart * rng.standard_normal(rounds), each) for _ in values]
    noise = [NOISE * rng.standard_normal(len(turn)) for _ in values]
    return [(turn, value * np.exp(mine + own)) for value, mine, own in zip(values, shift, noise, strict=True)]


Taken = list[tuple[np.ndarray, np.ndarray]]


def order_of(one: Taken, other: Taken, lengths: np.ndarray = LENGTHS) -> Order:
    medians = [np.array([np.median(seconds) for _, seconds in taken]) for taken in (one, other)]
    seeds = lengths.astype(int).tolist()
    first, second = (resampled(taken, key=key, seeds=seeds) for key, taken in enumerate((one, other)))
    return order(lengths, *medians, resamples=(first, second))


@pytest.mark.parametrize(("rounds", "each"), [(1, 15), (3, 5)])
def test_a_crossing_lies_within_its_interval_as_often_as_it_says(rounds, each):
    rng, truth, hits = np.random.default_rng(7), 700.0, []
    for _ in range(60):
        one, other = (drawn((LENGTHS / truth) ** power, rng, rounds=rounds, each=each) for power in (1.0, 0.5))
        found = order_of(one, other)
        hits.append(found.low <= truth <= found.high)
        assert (found.short, found.long, found.share) == (-1, 1, 1)
    assert np.mean(hits) >= 0.9


@pytest.mark.parametrize(("rounds", "each", "apart"), [(1, 15, 0.0), (3, 5, NOISE), (3, 1, NOISE)])
def test_two_lines_that_are_the_same_within_noise_are_not_said_to_cross(rounds, each, apart):
    rng = np.random.default_rng(10)
    found = [
        order_of(*(drawn(LENGTHS, rng, rounds=rounds, each=each, apart=apart) for _ in range(2))) for _ in range(60)
    ]
    assert np.mean([each.sure for each in found]) <= 0.05


def test_lines_that_cross_are_told_apart_though_noise_makes_them_cross_more_than_once():
    rng = np.random.default_rng(11)
    slow = np.array([1.02, 1.2, 1.01, 0.99, 1.0, 0.8, 0.6])  # noise decides the order at four of seven lengths
    for _ in range(10):
        found = order_of(drawn(np.ones(7), rng, rounds=3, each=5), drawn(slow, rng, rounds=3, each=5))
        assert found.sure
        assert (found.short, found.long) == (-1, 1)
        assert LENGTHS[1] < found.low <= found.crossing <= found.high < LENGTHS[5]


def test_one_length_that_is_off_turns_no_order():
    ones = np.ones(7)
    off = np.array([0.99, 1.3, 1.3, 0.9, 1.3, 1.3, 1.2])
    found = order(LENGTHS, ones, off, resamples=(np.ones((4, 7)), np.tile(off, (4, 1))))
    assert found[:3] == (-1, -1, 1)
    assert np.isnan([found.crossing, found.low, found.high]).all()


def test_resamples_of_another_order_widen_no_interval():
    crossing = np.where(LENGTHS < 300, 0.5, 2.0)
    again = np.vstack([np.tile(crossing, (97, 1)), np.tile(np.where(LENGTHS < 300, 0.5, 0.6), (3, 1))])
    found = order(LENGTHS, crossing, np.ones(7), resamples=(again, np.ones((100, 7))))
    assert found.share == 0.97
    assert found.low == found.high == found.crossing == pytest.approx(256 * 2**0.5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.5, 0.8, 1.0, 1.25, 3.0]), min_size=2, max_size=7))
def test_where_order_changes_once_the_crossing_is_where_the_lines_meet(ratios):
    ratios = np.sort(ratios)
    lengths, first = LENGTHS[: len(ratios)], np.ones(len(ratios))
    found = order(lengths, ratios, first, resamples=(ratios[None], first[None]))
    swapped = order(lengths, first, ratios, resamples=(first[None], ratios[None]))
    assert (swapped.short, swapped.long, swapped.share) == (-found.short, -found.long, 1)
    if (found.short, found.long) == (-1, 1):
        ((place, leads),) = crossings(lengths, ratios, first)
        assert leads
        assert lengths[ratios < 1][-1] <= found.low == found.crossing <= lengths[ratios > 1][0]
        assert (ratios == 1).any() or found.crossing == pytest.approx(place)
        assert swapped.crossing == pytest.approx(found.crossing)


def test_what_differs_between_rounds_widens_an_interval():
    turn = np.repeat(np.arange(3.0), 100)
    seconds = np.exp(0.2 * turn + 0.2 * np.random.default_rng(9).standard_normal(300))
    spread = [
        np.ptp(np.quantile(resampled([(rounds, seconds)], key=0, seeds=[64]), [0.025, 0.975]))
        for rounds in (turn, np.zeros(300))
    ]
    assert spread[0] > 3 * spread[1]


@pytest.mark.parametrize(("rounds", "each", "apart"), [(1, 15, 0.0), (1, 3, 0.0), (3, 5, NOISE), (3, 1, 0.0)])
def test_the_interval_of_the_last_doubling_covers_the_truth_as_often_as_it_says(rounds, each, apart):
    rng, ends = np.random.default_rng(12), LENGTHS[-2:]
    found = [
        _last_doubling(ends, drawn(3e-6 * ends**1.5, rng, rounds=rounds, each=each, apart=apart)) for _ in range(400)
    ]
    assert 0.93 <= np.mean([row["last_doubling_low"] <= 1.5 <= row["last_doubling_high"] for row in found]) <= 0.985
    assert {row["last_doubling_interval"] for row in found} == {OVER_ROUNDS if rounds > 1 else OVER_SAMPLES}


def _last_doubling(ends: np.ndarray, taken: Taken) -> dict[str, float]:
    finished = pd.DataFrame({"x": ends, "seconds": [np.median(seconds) for _, seconds in taken]})
    return last_doubling(finished, dict(zip(ends, taken, strict=True)))


def test_an_exponent_between_two_lengths_is_that_of_the_law_and_without_spread_has_no_interval():
    alike = between(np.array([64.0, 128.0]), [np.full(3, 2.0), np.full(3, 8.0)])
    assert alike.value == pytest.approx(2)
    assert np.isnan([alike.low, alike.high]).all()
