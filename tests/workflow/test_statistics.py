"""Intervals cover as often as they say, tests err no more often than they say, and what is called detectable is found."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from workflow.statistics import comparisons
from workflow.statistics.comparisons import tied_with_best
from workflow.statistics.means import (
    MOST_SEEDS,
    Estimate,
    Group,
    combination,
    detectable,
    holm,
    interval,
    p_above,
    p_below,
    p_outside,
    p_within,
    seeds_needed,
    t_interval,
)
from workflow.statistics.shares import binomial, binomial_interval, p_share_above, p_share_below, with_label_noise

REPETITIONS = 4000
CHANCE = 0.0105  # three deviations of a share near .05, or near .95, of as many repetitions

SUMS = {  # weights, and the true deviations between seeds
    "one mean": ([1.0], [1.0]),
    "a difference, deviations 1 and 2": ([1.0, -1.0], [1.0, 2.0]),
    "the mean of 4 tasks": ([0.25] * 4, np.geomspace(0.2, 2, 4).tolist()),
    "the mean of 10 tasks": ([0.1] * 10, np.geomspace(0.2, 2, 10).tolist()),
    "a contrast of 4 cells": ([1.0, -1.0, -1.0, 1.0], [1.0, 2.0, 0.5, 1.0]),
}
WORST = "the mean of 10 tasks, one of 10 times the deviation"

numbers = st.floats(-100, 100)
groups = st.builds(Group, numbers, st.floats(0.01, 100), st.integers(2, 20), st.sampled_from([-1.0, -0.25, 0.5, 1.0]))
sums = st.lists(groups, min_size=1, max_size=6)


def drawn(name: str, *, n: int) -> list[Estimate]:
    """Returns estimates of a sum whose truth is 0, each from n fresh seeds a group."""
    weights, deviations = (SUMS | {WORST: ([0.1] * 10, [10.0] + [1.0] * 9)})[name]
    rng = np.random.default_rng([n, *map(ord, name)])
    seeds = rng.normal(size=(REPETITIONS, len(weights), n)) * np.array(deviations)[:, None]
    cells = np.stack([seeds.mean(2), seeds.std(2, ddof=1)], axis=2).tolist()
    return [combination([Group(*cell, n, w) for cell, w in zip(row, weights, strict=True)]) for row in cells]


def truth(name: str, *, n: int) -> Estimate:
    """Returns the sum's true error, with the freedom it has for the true deviations."""
    weights, deviations = SUMS[name]
    return combination([Group(0.0, s, n, w) for w, s in zip(weights, deviations, strict=True)])


def shifted(estimate: Estimate, shift: float) -> Estimate:
    return estimate._replace(value=estimate.value + shift)


@pytest.mark.parametrize("n", [3, 5])
@pytest.mark.parametrize("name", SUMS)
def test_an_interval_covers_the_truth_as_often_as_it_says(name, n):
    intervals = [interval(estimate, level=0.95) for estimate in drawn(name, n=n)]
    assert 0.93 <= np.mean([low <= 0 <= high for low, high in intervals]) <= 0.97


def test_an_interval_covers_little_less_where_one_task_has_most_of_the_noise():
    intervals = [interval(estimate, level=0.95) for estimate in drawn(WORST, n=3)]
    assert 0.915 <= np.mean([low <= 0 <= high for low, high in intervals]) <= 0.97


@pytest.mark.parametrize("n", [3, 5])
def test_a_column_of_intervals_covers_the_truth_as_often_as_it_says(n):
    seeds = np.random.default_rng(n).normal(3.0, 0.4, size=(20_000, n))
    low, high = t_interval(pd.Series(seeds.mean(1)), pd.Series(seeds.std(1, ddof=1)), pd.Series([n] * len(seeds)))
    assert 0.94 <= ((low <= 3.0) & (high >= 3.0)).mean() <= 0.96
    one = combination([Group(seeds[0].mean(), seeds[0].std(ddof=1), n, 1.0)])
    assert (low[0], high[0]) == pytest.approx(interval(one, level=0.95))


@pytest.mark.parametrize("n", [3, 5])
@pytest.mark.parametrize("name", SUMS)
def test_no_test_errs_more_often_than_it_says(name, n):
    estimates, margin = drawn(name, n=n), 4 * truth(name, n=n).error
    beside = [shifted(estimate, margin) for estimate in estimates]  # the truth is just outside (-margin, margin)
    wrong = {
        "above": np.mean([p_above(estimate, 0.0) <= 0.05 for estimate in estimates]),
        "below": np.mean([p_below(estimate, 0.0) <= 0.05 for estimate in estimates]),
        "within": np.mean([p_within(estimate, -margin, margin) <= 0.05 for estimate in beside]),
        "outside": np.mean([p_outside(estimate, -margin, margin) <= 0.05 for estimate in beside]),
        "not": np.mean([p_outside(estimate, 0.0, 0.0) <= 0.05 for estimate in estimates]),
    }
    assert max(wrong.values()) <= 0.05 + CHANCE, wrong


def test_equivalence_is_found_where_the_margin_is_wide_and_never_where_it_is_narrow():
    estimates = drawn("a difference, deviations 1 and 2", n=5)
    error = truth("a difference, deviations 1 and 2", n=5).error
    assert np.mean([p_within(estimate, -6 * error, 6 * error) <= 0.05 for estimate in estimates]) > 0.9
    assert np.mean([p_within(estimate, -error / 4, error / 4) <= 0.05 for estimate in estimates]) < 0.05


def test_welch_is_that_of_scipy():
    rng = np.random.default_rng(0)
    for n, m in ((3, 3), (3, 5), (10, 4)):
        one, other = rng.normal(1.0, 0.3, n), rng.normal(0.6, 0.9, m)
        ours = combination([Group(x.mean(), x.std(ddof=1), len(x), w) for x, w in ((one, 1.0), (other, -1.0))])
        theirs = stats.ttest_ind(one, other, equal_var=False)
        assert ours.freedom == pytest.approx(theirs.df)
        assert p_outside(ours, 0.0, 0.0) == pytest.approx(theirs.pvalue)
        assert interval(ours, level=0.9) == pytest.approx(tuple(theirs.confidence_interval(0.9)))
        greater = stats.ttest_ind(one, other, equal_var=False, alternative="greater")
        assert p_above(ours, 0.0) == pytest.approx(greater.pvalue)


@settings(deadline=None)
@given(sums, numbers, st.sampled_from([0.1, 0.5, 2.0, 10.0]), st.randoms(use_true_random=False))
def test_neither_origin_nor_unit_nor_order_changes_what_is_told(cells, shift, scale, order):
    plain = combination(cells)
    moved = combination([cell._replace(mean=cell.mean + shift) for cell in cells])
    assert moved.value == pytest.approx(plain.value + shift * sum(cell.weight for cell in cells), abs=1e-9)
    assert moved[1:] == pytest.approx(plain[1:])
    scaled = combination([cell._replace(mean=cell.mean * scale, deviation=cell.deviation * scale) for cell in cells])
    assert scaled == pytest.approx((plain.value * scale, plain.error * scale, plain.freedom))
    assert p_above(scaled, shift * scale) == pytest.approx(p_above(plain, shift))
    order.shuffle(cells)
    assert combination(cells) == pytest.approx(plain)


@settings(deadline=None)
@given(sums)
def test_freedom_is_never_below_that_of_the_smallest_group_nor_above_that_of_all(cells):
    freedoms = [cell.n - 1 for cell in cells]
    assert min(freedoms) * (1 - 1e-9) <= combination(cells).freedom <= sum(freedoms) * (1 + 1e-9)


@settings(deadline=None)
@given(sums, numbers, st.floats(0, 100), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_an_interval_and_its_test_say_the_same(cells, bound, width, level):
    estimate = combination(cells)
    low, high = interval(estimate, level=level)
    assert low < estimate.value < high
    assert p_outside(estimate, low, low) == pytest.approx(1 - level)
    assert p_outside(estimate, high, high) == pytest.approx(1 - level)
    assert p_above(estimate, bound) + p_below(estimate, bound) == pytest.approx(1.0)
    apart = high < bound or low > bound + width
    assert (p_outside(estimate, bound, bound + width) < 1 - level) == apart
    inside = low > bound and high < bound + width
    assert (p_within(estimate, bound, bound + width) < (1 - level) / 2) == inside


def test_a_region_without_an_edge_is_tested_at_the_other():
    estimate = combination([Group(1.0, 0.3, 3, 1.0)])
    assert p_within(estimate, 0.2, math.inf) == p_above(estimate, 0.2)
    assert p_within(estimate, -math.inf, 2.0) == p_below(estimate, 2.0)
    assert p_outside(estimate, -math.inf, 0.2) == 2 * p_above(estimate, 0.2)


def test_an_exact_number_is_compared_and_not_tested():
    exact = combination([Group(512.0, 0.0, 0, 1.0), Group(12.0, 0.0, 0, -1.0)])
    assert exact == (500.0, 0.0, math.inf)
    assert interval(exact, level=0.95) == (500.0, 500.0)
    assert (p_above(exact, 500.0), p_above(exact, 499.0)) == (1.0, 0.0)
    assert (p_below(exact, 500.0), p_below(exact, 501.0)) == (1.0, 0.0)
    assert (p_within(exact, 500.0, 500.0), p_within(exact, 501.0, 502.0)) == (0.0, 1.0)
    assert (p_outside(exact, 500.0, 500.0), p_outside(exact, 501.0, 502.0)) == (1.0, 0.0)
    assert detectable(exact) == 0.0
    mean = Group(1.0, 0.3, 3, 1.0)
    assert combination([mean, Group(12.0, 0.0, 0, -1.0)])[1:] == combination([mean])[1:]


def test_an_error_that_is_known_leaves_a_normal_distribution():
    known = Estimate(1.0, 0.5, math.inf)
    assert interval(known, level=0.95) == pytest.approx((1 - 0.98, 1 + 0.98), abs=1e-3)
    assert p_above(known, 0.0) == pytest.approx(stats.norm.sf(2.0))
    assert detectable(known) == pytest.approx(2.8016 * 0.5, abs=1e-3)


@pytest.mark.parametrize("deviation", [0.0, 1e-17])
def test_seeds_that_all_agree_are_not_tested(deviation):
    agreed = combination([Group(1.0, deviation, 3, 1.0), Group(0.1 + 0.2, deviation, 5, -1.0)])
    assert agreed[1:] == (0.0, 2.0)
    for asked in (
        lambda: interval(agreed, level=0.95),
        lambda: p_above(agreed, 0.0),
        lambda: p_below(agreed, 0.0),
        lambda: p_within(agreed, 0.0, 1.0),
        lambda: p_outside(agreed, 0.0, 0.0),
        lambda: detectable(agreed),
        lambda: seeds_needed(agreed, difference=1.0, n=3),
    ):
        with pytest.raises(ValueError, match="all seeds agree"):
            asked()


def test_one_seed_is_an_error_and_a_missing_value_stays_missing():
    with pytest.raises(ValueError, match="one seed"):
        combination([Group(1.0, math.nan, 1, 1.0), Group(0.5, 0.1, 3, -1.0)])
    missing = combination([Group(math.nan, math.nan, 3, 1.0)])
    assert all(
        math.isnan(p) for p in (p_above(missing, 0.0), p_within(missing, 0.0, 1.0), p_outside(missing, 0.0, 1.0))
    )
    unknown = combination([Group(math.nan, 0.0, 0, 1.0)])
    assert [p_above(unknown, 0.0), p_within(unknown, 0.0, 1.0), p_outside(unknown, 0.0, 1.0)] == [1.0, 1.0, 1.0]


def test_holm_is_that_of_the_hand():
    adjusted = holm([0.01, 0.04, math.nan, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, math.nan, 0.06, 0.02], nan_ok=True)
    assert holm([0.4, 0.9]) == [0.8, 0.9]
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("false", [0, 5])
@pytest.mark.parametrize("alike", [False, True])
def test_a_family_errs_no_more_often_than_one_test(false, alike):
    p = np.random.default_rng(false).uniform(size=(REPETITIONS, 10))
    p = np.repeat(p[:, :1], 10, axis=1) if alike else p
    p[:, :false] *= 1e-6
    assert np.mean([min(holm(family)[false:]) <= 0.05 for family in p.tolist()]) <= 0.05 + CHANCE


@pytest.mark.parametrize("n", [3, 5])
@pytest.mark.parametrize("name", SUMS)
def test_the_detectable_difference_is_found_in_eight_of_ten_cases(name, n):
    difference = detectable(truth(name, n=n))
    found = [p_outside(shifted(estimate, difference), 0.0, 0.0) <= 0.05 for estimate in drawn(name, n=n)]
    exact = name == "one mean"  # else the freedom is estimated too, and the seeds often give less than the truth
    assert np.mean(found) == pytest.approx(0.8, abs=0.02 if exact else 0.18 / n)


def test_the_detectable_difference_of_two_groups_is_found_in_eight_of_ten_cases():
    rng = np.random.default_rng(0)
    for n in (3, 5):
        pairs = rng.normal(size=(REPETITIONS, 2, n)) + np.array([0.0, comparisons.detectable(n)])[:, None]
        found = stats.ttest_ind(pairs[:, 0], pairs[:, 1], axis=1).pvalue < 0.05
        assert found.mean() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("freedom", [1.0, 2.0, 3.7, 18.0, 1e5])
@pytest.mark.parametrize("level", [0.05, 0.001])
def test_more_is_detectable_with_more_freedom_and_a_milder_level(freedom, level):
    found = detectable(Estimate(7.0, 2.0, freedom), level=level)
    threshold = stats.t.isf(level / 2, freedom)
    assert stats.nct.sf(threshold, freedom, found / 2) == pytest.approx(0.8, abs=1e-4)
    assert found > detectable(Estimate(7.0, 2.0, 2 * freedom), level=level)
    assert found > detectable(Estimate(7.0, 2.0, freedom), level=2 * level)
    assert found < detectable(Estimate(7.0, 2.0, freedom), level=level, power=0.9)


@pytest.mark.parametrize("name", ["one mean", "a contrast of 4 cells"])
def test_the_seeds_needed_are_the_fewest_that_find_the_difference(name):
    now = truth(name, n=3)
    for difference in (2.5, 1.0, 0.3):
        needed = seeds_needed(now, difference=difference, n=3)
        assert detectable(truth(name, n=needed)) <= difference < detectable(truth(name, n=needed - 1))
    assert seeds_needed(now, difference=-1.0, n=3) == seeds_needed(now, difference=1.0, n=3)
    assert seeds_needed(now, difference=1e3, n=3) == 2
    assert seeds_needed(now, difference=detectable(truth(name, n=MOST_SEEDS)) * 0.999, n=3) is None
    assert seeds_needed(now, difference=0.0, n=3) is None


@pytest.mark.parametrize("trials", [1, 3, 5, 20, 300])
def test_a_share_is_covered_at_least_as_often_as_said(trials):
    successes = np.arange(trials + 1)
    low, high = np.array([binomial(int(count), trials, level=0.95) for count in successes]).T
    for share in np.linspace(0, 1, 401):
        inside = (low <= share) & (share <= high)
        assert stats.binom.pmf(successes, trials, share)[inside].sum() >= 0.95 - 1e-9
    assert (low < high).all()
    columns = binomial_interval(
        pd.Series(successes, dtype="float64"), pd.Series(trials, index=successes, dtype="float64")
    )
    np.testing.assert_allclose(columns, [low, high], atol=1e-9)


def test_the_interval_of_a_missing_count_is_missing():
    low, high = binomial_interval(pd.Series([np.nan, 3.0]), pd.Series([np.nan, 3.0]))
    assert low.isna().tolist() == high.isna().tolist() == [True, False]


def test_three_of_three_seeds_is_little_evidence():
    assert binomial(3, 3, level=0.95) == pytest.approx((0.292, 1.0), abs=1e-3)
    assert binomial(0, 3, level=0.95) == pytest.approx((0.0, 0.708), abs=1e-3)
    assert p_share_above(3, 3, 0.5) == pytest.approx(0.125)
    assert p_share_below(0, 3, 0.5) == pytest.approx(0.125)
    assert p_share_above(5, 5, 0.5) == pytest.approx(1 / 32)


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(0, 30), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_a_share_and_its_test_say_the_same(trials, successes, level):
    successes = min(successes, trials)
    low, high = binomial(successes, trials, level=level)
    assert p_share_above(successes, trials, low) == pytest.approx((1 - level) / 2 if successes else 1.0)
    assert p_share_below(successes, trials, high) == pytest.approx((1 - level) / 2 if successes < trials else 1.0)


@pytest.mark.parametrize("share", [0.9, 0.99, 0.999])
def test_accuracies_of_few_labels_are_told_apart_no_more_often_than_said(share):
    hits = np.random.default_rng(0).binomial(100, share, size=(1000, 2, 3)) / 100
    wrong = 0
    for pair in hits:
        cells = [Group(x.mean(), x.std(ddof=1), 3, weight) for x, weight in zip(pair, (1.0, -1.0), strict=True)]
        wrong += p_outside(combination([with_label_noise(cell, labels=100) for cell in cells]), 0.0, 0.0) <= 0.05
    assert wrong / 1000 <= 0.05


def test_seeds_that_agree_by_saturation_are_tested_with_the_noise_of_their_labels():
    solved, failed = Group(1.0, 0.0, 3, 1.0), Group(0.0, 0.0, 3, -1.0)
    difference = combination([with_label_noise(cell, labels=500) for cell in (solved, failed)])
    assert difference.value == 1.0
    assert p_above(difference, 0.5) < 1e-6
    low, high = interval(combination([with_label_noise(solved, labels=500)]), level=0.95)
    assert low < 1 - stats.norm.isf(0.025) / 1500 < 1.0 < high
    spread = Group(0.5, 0.2, 3, 1.0)
    assert with_label_noise(spread, labels=500) == spread


def test_the_best_is_told_from_the_rest_by_welch_after_holm():
    rows = pd.DataFrame({"value": [0.9, 0.88, 0.5, 0.1], "deviation": [0.02, 0.02, 0.02, 0.02], "n": [3, 3, 3, 3]})
    assert tied_with_best(rows, lower_is_better=False).tolist() == [True, True, False, False]
    assert tied_with_best(rows, lower_is_better=True).tolist() == [False, False, False, True]
    alone = pd.DataFrame({"value": [0.9, 0.85], "deviation": [0.02, 0.02], "n": [3, 3]})
    among = pd.concat([alone, alone.tail(1).assign(value=[0.851])], ignore_index=True)
    assert tied_with_best(alone, lower_is_better=False).tolist() == [True, False]
    assert tied_with_best(among, lower_is_better=False).tolist() == [True, True, True]
    assert not tied_with_best(rows.assign(n=1), lower_is_better=False).any()
    assert tied_with_best(rows.head(1), lower_is_better=False).tolist() == [True]
    assert tied_with_best(rows.head(0), lower_is_better=False).empty
    missing = pd.concat([rows, rows.head(1).assign(value=np.nan)], ignore_index=True)
    assert tied_with_best(missing, lower_is_better=False).tolist() == [True, True, False, False, False]


def test_seeds_that_all_agree_are_told_apart_by_any_difference_but_rounding():
    values = [0.1 + 0.2, 0.3, 0.29]
    even = pd.DataFrame({"value": values, "deviation": [0.0, 1e-17, 0.0], "n": [3, 3, 3]}, index=[7, 5, 6])
    assert tied_with_best(even, lower_is_better=False).tolist() == [True, True, False]


def test_equals_are_told_apart_no_more_often_than_claimed():
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(600):
        draws = rng.normal(size=(4, 5))
        rows = pd.DataFrame({"value": draws.mean(1), "deviation": draws.std(1, ddof=1), "n": 5})
        wrong += not tied_with_best(rows, lower_is_better=False).all()
    assert wrong / 600 < 0.12  # the best of four is a choice, which costs a little of the five per cent
