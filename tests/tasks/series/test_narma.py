"""NARMA-10 against a loop that writes the recurrence out."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tasks.draws import stream
from tasks.series import narma as module
from tasks.series.narma import INPUT, LONGEST, OUTPUT, Narma, outputs


def narma(length=64, washout=20) -> Narma:
    return Narma(name="narma", length=length, washout=washout)


def naive(u: list[float]) -> list[float]:
    y = [0.0]
    for t in range(len(u)):
        before = sum(y[max(t - 9, 0) : t + 1])
        y.append(0.3 * y[t] + 0.05 * y[t] * before + 1.5 * (u[t - 9] if t >= 9 else 0) * u[t] + 0.1)
    return y[1:]


@pytest.mark.parametrize("split", ["train", "test"])
def test_targets_are_those_of_a_naive_loop_over_what_is_read(split):
    values_BTC, targets_BTH, labelled_BT = narma(length=90, washout=13).batch(split, 0, 200)
    for values_T, targets_T in zip(values_BTC[:, :, 0].tolist(), targets_BTH[:, :, 0].tolist(), strict=True):
        y = naive([0.25 + value * 0.5 / math.sqrt(12) for value in values_T])
        assert targets_T == pytest.approx([(level - 0.388) / 0.1085 for level in y], abs=1e-5)
        assert max(y) < 1
    assert labelled_BT.sum(0).tolist() == [0] * 13 + [200] * 77


def test_inputs_are_uniform():
    u = INPUT[0] + INPUT[1] * narma().batch("train", 0, 3000).values_BTC.numpy()
    assert u.min() >= -1e-6
    assert u.max() < 0.5 + 1e-6
    assert np.histogram(u, bins=10, range=(0, 0.5))[0] / u.size == pytest.approx(np.full(10, 0.1), abs=0.003)


def test_targets_after_the_transient_are_in_units_of_the_deviation():
    targets = narma(length=300, washout=100).batch("train", 0, 3000)
    y = targets.targets_BTH[targets.labelled_BT].double().numpy()
    assert y.mean() == pytest.approx(0, abs=0.02)
    assert y.std() == pytest.approx(1, abs=0.02)


class Divergent:
    """A generator whose first row, and every row of the first call but one, makes the system diverge."""

    def __init__(self):
        self.calls = 0
        self.real = stream("train", 0)

    def random(self, shape):
        drawn = self.real.random(shape)
        drawn[: 1 if self.calls else -1] = 0.999
        self.calls += 1
        return drawn


def test_divergent_sequences_are_discarded_and_others_take_their_place():
    rng = Divergent()
    values_BTC, targets_BTH, _ = narma(length=100).draw(rng, 12)
    assert rng.calls > 1
    assert len({row.numpy().tobytes() for row in values_BTC}) == 12
    assert (values_BTC.amin(dim=(1, 2)) < 1.7).all()
    assert targets_BTH.max() < (1 - OUTPUT[0]) / OUTPUT[1]


@pytest.mark.parametrize(("length", "expected"), [(64, 0.0005), (512, 0.008)])
def test_the_share_of_divergent_sequences_is_as_stated(length, expected):
    y_TB = outputs(0.5 * stream("train", 0).random((length, 20_000)))
    assert (y_TB.max(axis=0) >= 1).mean() == pytest.approx(expected, rel=0.4)
    assert y_TB.max() <= 1


def test_at_the_greatest_length_some_sequences_are_left():
    assert narma(length=LONGEST).batch("test", 0, 1).values_BTC.shape == (1, LONGEST, 1)


def test_the_worked_example_is_right():
    drawing = dict(line.split(maxsplit=1) for line in Narma.__doc__.split("throughout")[1].splitlines()[2:6])
    y = outputs(np.full((12, 1), 0.2))[:, 0].tolist()
    targets = ["."] * 8 + [f"{(level - OUTPUT[0]) / OUTPUT[1]:.2f}" for level in y[8:]]
    assert y == pytest.approx(naive([0.2] * 12), abs=1e-12)
    assert drawing["u"].split() == ["0.200"] * 12
    assert drawing["y_(t+1)"].split() == [f"{level:.3f}" for level in y]
    assert drawing["values"].split() == [f"{(0.2 - INPUT[0]) / INPUT[1]:.2f}"] * 12
    assert drawing["targets"].split() == targets


def test_the_last_ten_inputs_decide_and_earlier_ones_through_the_output_alone():
    u_TB = 0.5 * stream("train", 0).random((40, 1))
    changed_TB = np.repeat(u_TB, 2, axis=1)
    changed_TB[20, 1] = 0.5 - changed_TB[20, 1]
    difference_T = np.abs(np.diff(outputs(changed_TB), axis=1))[:, 0]
    assert (difference_T[:20] == 0).all()
    assert 0 < difference_T[20] < 1.5 * 0.25
    assert difference_T[29] > 10 * difference_T[28]


def test_references_are_those_of_a_naive_regression(monkeypatch):
    monkeypatch.setattr(module, "FITTED", 3000)
    spec = narma(length=40, washout=12)
    errors, designs = spec.errors(300), {}
    for split, size in (("train", 3000 // 28 + 1), ("test", 300)):
        values_BTC, targets_BTH, _ = spec.batch(split, 0, size)
        u_BT = values_BTC[:, :, 0].double().numpy()
        rows = [[1, *u[t - 12 : t + 1], u[t] * u[t - 9]] for u in u_BT for t in range(12, 40)]
        designs[split] = np.array(rows), targets_BTH[:, 12:].double().reshape(-1).numpy()
    (train, wanted), (test, expected) = designs["train"], designs["test"]
    for name, columns in (("linear", slice(0, -1)), ("product", slice(None))):
        weights, *_ = np.linalg.lstsq(train[:, columns], wanted, rcond=None)
        difference = test[:, columns] @ weights - expected
        assert errors[name].mse == pytest.approx((difference**2).mean(), rel=1e-6), name
        assert errors[name].mae == pytest.approx(np.abs(difference).mean(), rel=1e-6), name
    assert errors["mean"].mse == pytest.approx((expected**2).mean(), rel=1e-9)


def test_a_linear_model_leaves_a_seventh_of_the_variance_and_the_product_half_of_that():
    references = narma(length=128, washout=32).references(1500)
    assert references == pytest.approx({"mean": 1, "linear": 0.145, "product": 0.061}, rel=0.06)


def test_references_can_be_measured_where_fewer_inputs_than_ten_are_read():
    references = narma(length=12, washout=2).references(300)
    assert references["product"] <= references["linear"] + 0.01


@pytest.mark.parametrize(
    ("fields", "message", "remedy"),
    [
        ({"washout": 64}, "raise length to 65", {"washout": 64, "length": 65}),
        ({"length": 20}, "raise length to 21", {"length": 21}),
        ({"length": LONGEST + 1}, f"less than or equal to {LONGEST}", {"length": 2000}),
        ({"washout": -1}, "greater than or equal to 0", {"washout": 0}),
    ],
)
def test_infeasible_points_are_refused_with_a_remedy_that_works(fields, message, remedy):
    with pytest.raises(ValidationError, match=message):
        narma(**fields)
    assert torch.isfinite(narma(**remedy).batch("test", 0, 2).targets_BTH).all()
