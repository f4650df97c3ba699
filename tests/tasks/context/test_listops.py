"""ListOps against a parser and against a generator that grow and read one expression at a time."""

import random
import statistics

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tasks.context.listops import ListOps
from tasks.context.presets import PRESETS
from tasks.draws import stream
from tasks.task import IGNORE, accuracy, most_frequent

OPERATORS = {10: min, 11: max, 12: lambda values: int(statistics.median(values)), 13: lambda values: sum(values) % 10}


def listops(**fields) -> ListOps:
    base = {"minimum_length": 8, "maximum_length": 40, "maximum_depth": 4, "maximum_arguments": 4}
    return ListOps(name="listops", **(base | {"digit_probability": 0.6} | fields))


def read(tokens: list[int]) -> list:
    """Returns the expression as [operator, argument, ...], where an argument is a digit or such a list."""
    stack = [[]]
    for token in tokens:
        if token < 10:
            stack[-1].append(token)
        elif token < 14:
            stack.append([token])
        else:
            closed = stack.pop()
            stack[-1].append(closed)
    ((expression,),) = stack
    return expression


def value(expression: list | int) -> int:
    if isinstance(expression, int):
        return expression
    return OPERATORS[expression[0]]([value(argument) for argument in expression[1:]])


def depth(expression: list | int) -> int:
    return 1 if isinstance(expression, int) else 1 + max(depth(argument) for argument in expression[1:])


def lists(expression: list | int) -> list[list]:
    if isinstance(expression, int):
        return []
    return [expression] + [nested for argument in expression[1:] for nested in lists(argument)]


@pytest.mark.parametrize(
    "spec",
    [
        listops(),
        listops(maximum_length=41, maximum_depth=7, maximum_arguments=10, minimum_length=30),
        listops(maximum_depth=3, minimum_length=4),
        listops(maximum_depth=2, minimum_length=4, maximum_length=6),
        listops(digit_probability=0.0, maximum_depth=3, maximum_arguments=3),
    ],
    ids=str,
)
def test_the_answer_is_the_value_of_the_expression(spec):
    for tokens, targets in zip(*(tensor.tolist() for tensor in spec.batch("train", 0, 300)), strict=True):
        length = len([token for token in tokens if token != 15])
        assert tokens[length:] == [15] * (spec.maximum_length - length)
        assert spec.minimum_length <= length
        expression = read(tokens[:length])
        assert targets == [IGNORE] * (length - 1) + [value(expression)] + [IGNORE] * (spec.maximum_length - length)
        assert 2 <= depth(expression) <= spec.maximum_depth
        assert all(2 <= len(nested) - 1 <= spec.maximum_arguments for nested in lists(expression))


def test_the_worked_example_is_right():
    tokens = [13, 7, 12, 3, 9, 4, 8, 14, 5, 14]
    assert read(tokens) == [13, 7, [12, 3, 9, 4, 8], 5]
    assert value(read(tokens)) == 8
    spec = listops(minimum_length=4, maximum_length=12)
    oracle = spec.predictors(spec.batch("train", 0, 50))["oracle"]
    assert oracle(torch.tensor([[*tokens, 15, 15]]))[0, [7, 9]].tolist() == [6, 8]


def tree(rng: random.Random, *, level: int, spec: ListOps) -> list | int:
    """The script of the Long Range Arena as it reads: an operator where a draw says so, unless as deep as may be."""
    if level == spec.maximum_depth or rng.random() < spec.digit_probability:
        return rng.randrange(10)
    arguments = rng.randint(2, spec.maximum_arguments)
    return [rng.randint(10, 13)] + [tree(rng, level=level + 1, spec=spec) for _ in range(arguments)]


def size(expression: list | int) -> int:
    return 1 if isinstance(expression, int) else 2 + sum(size(argument) for argument in expression[1:])


@pytest.mark.parametrize(
    "spec",
    [listops(), listops(minimum_length=20, maximum_length=60, maximum_depth=6, maximum_arguments=6)],
    ids=["short", "deep"],
)
def test_lengths_depths_and_operators_are_distributed_as_by_rejection_one_by_one(spec):
    rng, naive = random.Random(0), []
    while len(naive) < 4000:
        expression = tree(rng, level=1, spec=spec)
        if spec.minimum_length <= size(expression) <= spec.maximum_length:
            naive.append(expression)
    tokens_BT, _ = spec.draw(stream("train", 0), 4000)
    ours = [read([token for token in tokens if token != 15]) for tokens in tokens_BT.tolist()]
    for fact in (size, depth, lambda e: len(lists(e)), lambda e: len(e) - 1, lambda e: e[0], value):
        found, expected = ([fact(expression) for expression in drawn] for drawn in (ours, naive))
        # Kolmogorov and Smirnov's distance; 0.043 is exceeded once in a thousand.
        places = np.unique(found + expected)
        gaps = [np.mean(np.array(found) <= place) - np.mean(np.array(expected) <= place) for place in places]
        assert np.abs(gaps).max() < 0.043


def test_at_lras_settings_majority_and_root_operator_score_what_was_found_of_its_data():
    spec = PRESETS["lra/listops"]
    sample, test = spec.draw(stream("train", 0), 2000), spec.draw(stream("test", 0), 6000)
    constant = most_frequent(sample, torch.zeros_like, 1)
    root = spec.predictors(sample)["root_operator"]
    assert accuracy(constant(test.tokens_BT), test.targets_BT) == pytest.approx(0.169, abs=0.02)
    assert accuracy(root(test.tokens_BT), test.targets_BT) == pytest.approx(0.371, abs=0.02)  # of 2,000, in sample
    lengths = (test.tokens_BT != 15).sum(1)
    assert 501 <= lengths.min() < 520
    assert 1900 < lengths.max() <= 1999


def test_a_length_is_the_width_of_rows_at_least_half_full():
    for length in (4, 21, 40):
        spec = listops().at_length(length)
        tokens_BT, _ = spec.batch("test", 0, 100)
        filled = (tokens_BT != 15).sum(1)
        assert tokens_BT.shape == (100, length)
        assert filled.min() >= length / 2
        assert spec.at_length(length) == spec
    assert listops().at({"length": 30, "minimum_length": 30}).minimum_length == 30


def test_splits_share_no_expression_however_padded():
    spec = listops(minimum_length=4, maximum_length=12)
    examples = {}
    for width in (12, 14):
        for split in ("train", "validation", "test"):
            tokens_BT, _ = spec.at({"maximum_length": width}).batch(split, 0, 400)
            for tokens in tokens_BT.tolist():
                examples.setdefault(tuple(token for token in tokens if token != 15), set()).add(split)
    assert {len(splits) for splits in examples.values()} == {1}


@pytest.mark.parametrize(
    ("fields", "remedy", "remedied"),
    [
        ({"minimum_length": 41}, "raise maximum_length or lower minimum_length", {"maximum_length": 41}),
        (
            {"minimum_length": 30, "maximum_depth": 3},
            "lower minimum_length to 26, or raise either",
            {"minimum_length": 26, "digit_probability": 0.1},
        ),
        ({"digit_probability": 1.0}, "lower minimum_length to 6", {"minimum_length": 6}),
        ({"minimum_length": 3}, "greater than or equal to 4", {"minimum_length": 4}),
        ({"maximum_depth": 1}, "greater than or equal to 2", {"maximum_depth": 3}),
    ],
)
def test_infeasible_points_are_refused_with_a_remedy(fields, remedy, remedied):
    with pytest.raises(ValidationError, match=remedy):
        listops(**fields)
    listops(**(fields | remedied)).batch("train", 0, 5)


def test_lengths_that_next_to_no_expression_has_are_refused_when_drawn():
    with pytest.raises(ValueError, match="next to no expression has minimum_length 100"):
        listops(minimum_length=100, maximum_length=106, digit_probability=0.9).batch("train", 0, 1)
    listops(minimum_length=50, maximum_length=106, digit_probability=0.1).batch("train", 0, 1)
