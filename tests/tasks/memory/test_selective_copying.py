"""Selective copying against a loop, and its floors against their formulas."""

from itertools import product

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tasks.draws import stream
from tasks.memory.selective_copying import SelectiveCopying
from tasks.task import IGNORE, accuracy


def selective_copying(length=40, vocabulary=16, data=6) -> SelectiveCopying:
    return SelectiveCopying(name="selective-copying", length=length, vocabulary=vocabulary, data=data)


SPECS = [selective_copying(), selective_copying(length=12), selective_copying(length=129, vocabulary=4, data=16)]


@pytest.mark.parametrize("spec", SPECS)
def test_answers_are_what_is_not_noise_in_the_order_read(spec):
    for tokens, targets in zip(*(tensor.tolist() for tensor in spec.batch("train", 0, 300)), strict=True):
        read, asked = tokens[: spec.length - spec.data], tokens[spec.length - spec.data :]
        data = [token for token in read if token != 0]
        assert len(data) == spec.data
        assert all(1 <= token <= spec.vocabulary - 2 for token in data)
        assert asked == [spec.vocabulary - 1] * spec.data
        assert targets == [IGNORE] * len(read) + data


def test_places_and_symbols_are_uniform():
    tokens_BT, targets_BT = selective_copying(length=30, data=6).draw(stream("train", 0), 20_000)
    assert (tokens_BT[:, :24] != 0).double().mean(0).numpy() == pytest.approx(np.full(24, 6 / 24), abs=0.015)
    shares = targets_BT[:, 24:].reshape(-1).bincount(minlength=15)[1:] / 120_000
    assert shares.numpy() == pytest.approx(np.full(14, 1 / 14), abs=0.004)


def test_every_order_of_places_is_as_likely():
    tokens_BT, _ = selective_copying(length=6, data=2).draw(stream("train", 0), 12_000)
    places, counts = np.unique((tokens_BT[:, :4] != 0).numpy(), axis=0, return_counts=True)
    assert len(places) == 6
    assert counts / 2000 == pytest.approx(np.ones(6), abs=0.1)


@pytest.mark.parametrize(("vocabulary", "data"), [(4, 3), (6, 4), (5, 2)])
def test_the_floors_are_those_of_knowing_one_symbol_and_of_knowing_all_but_their_order(vocabulary, data):
    references = selective_copying(length=40, vocabulary=vocabulary, data=data).references(8000)
    symbols = vocabulary - 2
    most = np.mean([max(map(draw.count, draw)) for draw in product(range(symbols), repeat=data)])
    assert references["constant"] == pytest.approx(1 / symbols, abs=0.02)
    assert references["last_data"] == pytest.approx(1 / data + (1 - 1 / data) / symbols, abs=0.015)
    assert references["unordered"] == pytest.approx(most / data, abs=0.015)


def test_the_worked_example_is_right():
    tokens_BT = torch.tensor([[0, 4, 0, 2, 0, 0, 4, 0, 0, 6, 6, 6]])
    targets_BT = torch.tensor([[IGNORE] * 9 + [4, 2, 4]])
    spec = selective_copying(length=12, vocabulary=7, data=3)
    predictors = spec.predictors(spec.batch("train", 0, 10))
    scores = {name: accuracy(predict(tokens_BT), targets_BT) for name, predict in predictors.items()}
    assert scores == pytest.approx({"oracle": 1, "unordered": 2 / 3, "last_data": 2 / 3})


def test_a_longer_row_has_more_noise_and_no_more_data():
    tokens_BT, _ = selective_copying().at_length(400).batch("test", 0, 20)
    assert ((tokens_BT[:, :394] != 0).sum(1) == 6).all()


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"length": 11}, "raise length to 12 or lower data"),
        ({"data": 21}, "raise length to 42 or lower data"),
        ({"data": 1}, "greater than or equal to 2"),
        ({"vocabulary": 3}, "greater than or equal to 4"),
    ],
)
def test_infeasible_points_are_refused_with_a_remedy(fields, remedy):
    with pytest.raises(ValidationError, match=remedy):
        selective_copying(**fields)


def test_the_remedy_is_feasible():
    assert selective_copying(length=12).length == 12
    assert selective_copying(length=42, data=21).data == 21
