"""Induction heads against a loop, and its floors against their formulas."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tasks.draws import stream
from tasks.memory.induction_heads import InductionHeads
from tasks.task import IGNORE, accuracy


def induction_heads(length=64, vocabulary=16) -> InductionHeads:
    return InductionHeads(name="induction-heads", length=length, vocabulary=vocabulary)


SPECS = [induction_heads(), induction_heads(length=3, vocabulary=9), induction_heads(length=20, vocabulary=3)]


@pytest.mark.parametrize("spec", SPECS)
def test_the_one_answer_is_what_followed_the_special_token(spec):
    for tokens, targets in zip(*(tensor.tolist() for tensor in spec.batch("train", 0, 300)), strict=True):
        special = [place for place, token in enumerate(tokens) if token == spec.vocabulary - 1]
        assert len(special) == 2
        assert special[1] == spec.length - 1
        assert special[0] < spec.length - 2
        assert targets == [IGNORE] * (spec.length - 1) + [tokens[special[0] + 1]]


def test_places_and_tokens_are_uniform():
    tokens_BT, targets_BT = induction_heads(length=12).draw(stream("train", 0), 30_000)
    places = (tokens_BT[:, :-1] == 15).double().mean(0)
    assert places.numpy() == pytest.approx([*[1 / 10] * 10, 0], abs=0.008)
    for tokens in (targets_BT[:, -1], tokens_BT[tokens_BT != 15]):
        assert (tokens.bincount(minlength=15) / len(tokens)).numpy() == pytest.approx(np.full(15, 1 / 15), abs=0.006)


@pytest.mark.parametrize(("length", "size"), [(16_384, 20), (1 << 20, 2)])
def test_lengths_of_the_papers_test_can_be_posed(length, size):
    batch = induction_heads(length=256).at_length(length).batch("test", 0, size)
    assert batch.tokens_BT.shape == (size, length)
    oracle = induction_heads(length=length).predictors(batch)["oracle"]
    assert accuracy(oracle(batch.tokens_BT), batch.targets_BT) == 1


@pytest.mark.parametrize(("length", "vocabulary"), [(8, 16), (64, 16), (256, 5)])
def test_a_token_of_the_context_is_hardly_better_than_any_token(length, vocabulary):
    references = induction_heads(length=length, vocabulary=vocabulary).references(8000)
    chance, right = 1 / (vocabulary - 1), 1 / (length - 2)
    assert references["constant"] == pytest.approx(chance, abs=0.015)
    assert references["last_token"] == pytest.approx(right + (1 - right) * chance, abs=0.015)


def test_unordered_is_the_most_frequent_token_of_the_context():
    spec = induction_heads(length=30, vocabulary=6)
    tokens_BT, _ = spec.batch("test", 0, 200)
    answers_BT = spec.predictors(spec.batch("train", 0, 10))["unordered"](tokens_BT)
    for tokens, answers in zip(tokens_BT.tolist(), answers_BT.tolist(), strict=True):
        assert answers == [max(range(5), key=tokens.count)] * 30


def test_the_worked_example_is_right():
    tokens_BT = torch.tensor([[3, 0, 5, 2, 2, 4, 1, 5]])
    targets_BT = torch.tensor([[IGNORE] * 7 + [2]])
    spec = induction_heads(length=8, vocabulary=6)
    predictors = spec.predictors(spec.batch("train", 0, 10))
    scores = {name: accuracy(predict(tokens_BT), targets_BT) for name, predict in predictors.items()}
    assert scores == {"oracle": 1, "unordered": 1, "last_token": 0}


@pytest.mark.parametrize(
    ("fields", "remedy"), [({"length": 2}, "raise length to 3"), ({"vocabulary": 2}, "greater than or equal to 3")]
)
def test_infeasible_points_are_refused_with_a_remedy(fields, remedy):
    with pytest.raises(ValidationError, match=remedy):
        induction_heads(**fields)


def test_the_remedy_is_feasible():
    assert induction_heads(length=3).length == 3
