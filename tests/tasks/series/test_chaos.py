"""Mackey-Glass and Lorenz against integrators that know nothing of ours, and their windows against the trajectories."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.integrate import solve_ivp

from tasks.draws import stream
from tasks.series import chaos, lorenz, mackey_glass
from tasks.series.chaos import SAMPLES, TRAJECTORIES, ChaoticSeries, initial_states
from tasks.series.lorenz import Lorenz
from tasks.series.mackey_glass import MackeyGlass

SPLITS = ("train", "validation", "test")
SYSTEMS = pytest.mark.parametrize("system", [17, 30, "x", "xyz"])


def chaotic(system: int | str, length=64, washout=32, ahead=5) -> ChaoticSeries:
    fields = {"length": length, "washout": washout, "ahead": ahead}
    if isinstance(system, int):
        return MackeyGlass(name="mackey-glass", delay=system, **fields)
    return Lorenz(name="lorenz", observed=system, **fields)


def naive_mackey_glass(past: float, *, delay: int, count: int) -> list[float]:
    """Returns one solution, one number at a time, looking every delayed value up on the whole grid of step 0.1."""
    xs, slopes = [past], []

    def production(x: float) -> float:
        return 0.2 * x / (1 + x**10)

    def delayed(halves: int) -> float:
        n = halves // 2 - 10 * delay
        if halves % 2 == 0:
            return past if n <= 0 else xs[n]
        if n < 0:
            return past
        right = slopes[n + 1] if n + 1 < len(slopes) else production(delayed(2 * (n + 1))) - 0.1 * xs[n + 1]
        return (xs[n] + xs[n + 1]) / 2 + 0.1 / 8 * (slopes[n] - right)

    while len(xs) <= 10 * (count - 1):
        t, x = len(xs) - 1, xs[-1]
        g0, g1, g2 = (production(delayed(2 * t + half)) for half in range(3))
        k1 = g0 - 0.1 * x
        k2 = g1 - 0.1 * (x + 0.05 * k1)
        k3 = g1 - 0.1 * (x + 0.05 * k2)
        k4 = g2 - 0.1 * (x + 0.1 * k3)
        slopes.append(k1)
        xs.append(x + 0.1 * (k1 + 2 * k2 + 2 * k3 + k4) / 6)
    return xs[::10]


def naive_lorenz(start: list[float], *, count: int) -> list[list[float]]:
    def slope(s: list[float]) -> list[float]:
        return [10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 * s[2] / 3]

    def moved(s: list[float], k: list[float], h: float) -> list[float]:
        return [a + h * b for a, b in zip(s, k, strict=True)]

    states = [start]
    while len(states) < 2 * count:
        s = states[-1]
        k1 = slope(s)
        k2 = slope(moved(s, k1, 0.005))
        k3 = slope(moved(s, k2, 0.005))
        k4 = slope(moved(s, k3, 0.01))
        mean = [(a + 2 * b + 2 * c + d) / 6 for a, b, c, d in zip(k1, k2, k3, k4, strict=True)]
        states.append(moved(s, mean, 0.01))
    return states[::2]


@pytest.mark.parametrize("delay", [17, 30])
def test_mackey_glass_is_a_naive_loop(delay):
    past_M = np.array([0.9, 1.2, 1.4])
    x_NM = mackey_glass.samples(past_M, delay=delay, count=150)
    assert x_NM.shape == (150, 3)
    for past, x_N in zip(past_M, x_NM.T, strict=True):
        assert x_N.tolist() == pytest.approx(naive_mackey_glass(past, delay=delay, count=150), abs=1e-9)


@pytest.mark.parametrize("delay", [17, 30])
def test_mackey_glass_solves_the_equation(delay):
    """Against scipy, one stretch of the delay after the other, its solution of one being the past of the next."""
    found_N = mackey_glass.samples(np.array([1.2]), delay=delay, count=4 * delay + 1)[:, 0]
    past, x = (lambda t: 1.2), 1.2
    for stretch in range(4):

        def slope(t, x, past=past, origin=delay * (stretch - 1)):
            return 0.2 * past(t - delay) / (1 + past(t - delay) ** 10) - 0.1 * x

        span = (delay * stretch, delay * (stretch + 1))
        solved = solve_ivp(slope, span, [x], method="DOP853", rtol=1e-11, atol=1e-12, dense_output=True)
        past, x = (lambda t, solution=solved.sol: solution(t)[0]), solved.y[0, -1]
        times = np.arange(span[0], span[1] + 1)
        assert found_N[times] == pytest.approx(solved.sol(times)[0], abs=2e-7)


def test_lorenz_is_a_naive_loop():
    start_CM = np.array([[1.0, -3.0], [1.0, 5.0], [20.0, 30.0]])
    found_NCM = lorenz.samples(start_CM, count=200)
    for m in range(2):
        expected = naive_lorenz(start_CM[:, m].tolist(), count=200)
        assert np.abs(found_NCM[:, :, m] - expected).max() < 1e-8


def test_lorenz_solves_the_equations():
    found_NC = lorenz.samples(np.array([[1.0], [1.0], [20.0]]), count=51)[:, :, 0]

    def slope(t, s):
        return 10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]

    times = 0.02 * np.arange(51)
    solved = solve_ivp(slope, (0, 1), [1, 1, 20], method="DOP853", rtol=1e-12, atol=1e-12, t_eval=times)
    assert np.abs(found_NC - solved.y.T).max() < 5e-4


def test_a_trajectory_does_not_depend_on_its_company():
    past_M = 0.9 + 0.6 * initial_states(1)[0]
    assert np.array_equal(
        mackey_glass.samples(past_M, delay=17, count=90)[:, 200:203],
        mackey_glass.samples(past_M[200:203], delay=17, count=90),
    )
    start_CM = 20 * initial_states(3)
    assert np.array_equal(
        lorenz.samples(start_CM, count=90)[:, :, 200:203], lorenz.samples(start_CM[:, 200:203], count=90)
    )


@pytest.mark.parametrize(("delay", "expected"), [(17, 200), (30, 140)])
def test_mackey_glass_forgets_at_the_stated_rate(delay, expected):
    past_M = 0.9 + 0.6 * initial_states(1)[0, :32]
    x_NM = mackey_glass.samples(np.concatenate([past_M, past_M + 1e-9]), delay=delay, count=2000)
    distance_NM = np.abs(x_NM[:, :32] - x_NM[:, 32:]).reshape(40, 50, 32).mean(axis=1)
    growth = np.polyfit(50 * np.arange(4, 40), np.log(distance_NM).mean(axis=1)[4:], 1)[0]
    assert 1 / growth == pytest.approx(expected, rel=0.15)


def test_lorenz_forgets_at_the_stated_rate():
    start_CM = 20 * initial_states(3)[:, :32] - 10 + np.array([[0], [0], [25]])
    states_NCM = lorenz.samples(np.concatenate([start_CM, start_CM + 1e-9], axis=1), count=900)
    distance_NM = np.linalg.norm(states_NCM[:, :, :32] - states_NCM[:, :, 32:], axis=1)
    growth = np.polyfit(np.arange(100, 900), np.log(distance_NM).mean(axis=1)[100:], 1)[0]
    assert 1 / growth == pytest.approx(55, rel=0.1)


@SYSTEMS
def test_values_are_in_units_of_the_attractors_deviation(system):
    trajectories = chaotic(system)._trajectories()
    for split in SPLITS:
        assert trajectories[split].shape == (TRAJECTORIES, SAMPLES, chaotic(system).channels)
        for channel in range(chaotic(system).channels):
            x = trajectories[split][:, :, channel].ravel()
            tolerance = 0.003 if split == "train" and isinstance(system, int) else 0.025
            assert x.mean() == pytest.approx(0, abs=tolerance)
            assert x.std() == pytest.approx(1, abs=tolerance)


@SYSTEMS
def test_trajectories_are_of_one_split_and_have_forgotten_their_beginning(system):
    trajectories = chaotic(system)._trajectories()
    x_MN = np.concatenate([trajectories[split][:, :, 0] for split in SPLITS])
    assert len({x_N.tobytes() for x_N in x_MN}) == len(SPLITS) * TRAJECTORIES
    correlation_MM = np.corrcoef(x_MN)
    np.fill_diagonal(correlation_MM, 0)
    assert np.abs(correlation_MM).max() < 0.97
    assert x_MN[:, 0].std() == pytest.approx(1, abs=0.15)


def numbered(monkeypatch, system: int | str) -> ChaoticSeries:
    """Returns the task on trajectories whose values tell their own split, channel, number and time."""
    spec = chaotic(system, length=50, washout=7, ahead=9)

    def trajectories(self):
        m, n, c = np.ogrid[:TRAJECTORIES, :SAMPLES, : self.channels]
        return {split: ((s * self.channels + c) * TRAJECTORIES + m) * SAMPLES + n for s, split in enumerate(SPLITS)}

    monkeypatch.setattr(type(spec), "_trajectories", trajectories)
    return spec


@SYSTEMS
@pytest.mark.parametrize("split", SPLITS)
def test_a_window_is_a_stretch_of_one_trajectory_of_its_split(monkeypatch, system, split):
    spec = numbered(monkeypatch, system)
    values_BTC, targets_BTH, labelled_BT = spec.batch(split, 0, 100)
    for values_TC, targets_TH, labelled_T in zip(values_BTC, targets_BTH, labelled_BT, strict=True):
        code, time = divmod(int(values_TC[0, 0]), SAMPLES)
        series, trajectory = divmod(code, TRAJECTORIES)
        assert series == SPLITS.index(split) * spec.channels
        assert 0 <= trajectory < TRAJECTORIES
        assert time + 50 + 9 <= SAMPLES
        for t in range(50):
            for c in range(spec.channels):
                assert values_TC[t, c] == ((series + c) * TRAJECTORIES + trajectory) * SAMPLES + time + t
                assert targets_TH[t, c] == 9
        assert labelled_T.tolist() == [False] * 7 + [True] * 43


def test_windows_are_uniform_over_all_trajectories_and_times(monkeypatch):
    spec = numbered(monkeypatch, 17).at({"length": 8, "ahead": 40})
    first_B = spec.draw(stream("train", 0), 60_000).values_BTC[:, 0, 0].long()
    trajectories, times = (first_B // SAMPLES).bincount(), (first_B % SAMPLES).bincount()
    assert len(trajectories) == TRAJECTORIES
    assert len(times) == SAMPLES - 48 + 1
    assert times.min() > 0
    assert (trajectories / (60_000 / TRAJECTORIES)).numpy() == pytest.approx(np.ones(TRAJECTORIES), abs=0.2)
    assert times.view(3, 667).sum(1).div(20_000).numpy() == pytest.approx(np.ones(3), abs=0.03)


@pytest.mark.parametrize(
    ("system", "values", "targets", "next_two"),
    [
        (17, "0.69 0.43 0.17 -0.08 -0.31 -0.54", "-0.47 -0.44 -0.41", "-0.75 -0.96"),
        ("x", "-0.18 -0.20 -0.23 -0.26 -0.30 -0.35", "-0.09 -0.11 -0.13", "-0.41 -0.48"),
    ],
)
def test_the_worked_examples_are_right(system, values, targets, next_two):
    spec = chaotic(system, length=6, washout=3, ahead=2)
    values_BTC, targets_BTH, labelled_BT = spec.batch("test", 0, 1)
    drawn = " ".join([values, targets, next_two]).split()
    found = [*values_BTC[0, :, 0].tolist(), *targets_BTH[labelled_BT][:, 0].tolist()]
    found += (values_BTC[0, -2:, 0] + targets_BTH[0, -2:, 0]).tolist()
    assert [f"{value:.2f}" for value in found] == drawn
    written = " ".join(type(spec).__doc__.split())
    assert f"values {values} targets . . . {targets}" in written
    assert f"goes on with {next_two.replace(' ', ' and ')}" in written


@SYSTEMS
def test_references_are_those_of_a_naive_regression(monkeypatch, system):
    monkeypatch.setattr(chaos, "FITTED", 3000)
    spec = chaotic(system, length=20, washout=3, ahead=4)
    errors = spec.errors(200)
    designs = {}
    for split, size in (("train", 3000 // 17 + 1), ("test", 200)):
        values_BTC, targets_BTH, _ = spec.batch(split, 0, size)
        rows = [[1, *values_BTC[b, t - 3 : t + 1].ravel().tolist()] for b in range(size) for t in range(3, 20)]
        designs[split] = np.array(rows), targets_BTH[:, 3:].reshape(-1, spec.channels).double().numpy(), values_BTC
    weights, *_ = np.linalg.lstsq(*designs["train"][:2], rcond=None)
    features, changes, values_BTC = designs["test"]
    levels = changes + values_BTC[:, 3:].reshape(-1, spec.channels).double().numpy()
    expected = {"mean": levels, "last": changes, "linear": features @ weights - changes}
    assert errors.keys() == expected.keys()
    for name, difference in expected.items():
        assert errors[name].mse == pytest.approx((difference**2).mean(), rel=1e-6), name
        assert errors[name].mae == pytest.approx(np.abs(difference).mean(), rel=1e-6), name
    assert spec.references(200) == {name: error.mse for name, error in errors.items()}


@SYSTEMS
def test_a_constant_explains_nothing_and_a_linear_model_not_all(system):
    near, far = (chaotic(system, ahead=ahead).errors(1500) for ahead in (1, 84))
    for errors in (near, far):
        assert errors["mean"].mse == pytest.approx(1, abs=0.05)
    assert near["linear"].mse < 1e-4 < near["last"].mse < 0.03
    assert 0.25 < far["linear"].mse < 1.05 < far["last"].mse


def test_one_variable_of_three_needs_the_past():
    """The present alone says where the whole state goes next; of x alone it says next to nothing."""
    present = {system: chaotic(system, washout=0, ahead=5).errors(400)["linear"].mse for system in ("x", "xyz")}
    past = chaotic("x", washout=4, ahead=5).errors(400)["linear"].mse
    assert past < 0.1 * present["x"]


@SYSTEMS
@pytest.mark.parametrize(
    ("fields", "message", "remedy"),
    [
        ({"washout": 64}, "raise length to 65", {"washout": 64, "length": 65}),
        ({"length": 32}, "raise length to 33", {"length": 33}),
        ({"length": 2044}, "lower their sum to 2048", {"length": 2043}),
        ({"ahead": 0}, "greater than or equal to 1", {"ahead": 1}),
        ({"washout": -1}, "greater than or equal to 0", {"washout": 0}),
    ],
)
def test_infeasible_points_are_refused_with_a_remedy_that_works(system, fields, message, remedy):
    with pytest.raises(ValidationError, match=message):
        chaotic(system, **fields)
    assert chaotic(system, **remedy).batch("test", 0, 2).values_BTC.isfinite().all()


def test_trajectories_are_shared_and_cannot_be_written():
    values_BTC = chaotic("xyz").batch("train", 0, 3).values_BTC
    values_BTC.zero_()
    assert not torch.equal(chaotic("xyz").batch("train", 0, 3).values_BTC, values_BTC)
    with pytest.raises(ValueError, match="read-only"):
        chaotic("xyz")._trajectories()["train"][0, 0, 0] = 0
