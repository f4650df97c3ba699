"""What strings are made of: uniform symbols, hidden places, stacks, and expressions of the grammar."""

import re

import numpy as np
import pytest

from tasks.draws import stream
from tasks.languages.arithmetic import ModularArithmetic
from tasks.languages.brackets import ModularArithmeticBrackets, SolveEquation
from tasks.languages.counting import Majority, Set
from tasks.languages.expressions import drawn, evaluated
from tasks.languages.missing_duplicate import MissingDuplicate
from tasks.languages.regular import CycleNavigation, EvenPairs
from tasks.languages.stack import StackManipulation
from tasks.languages.strings import BucketSort, Reverse
from tests.tasks.languages.rows import spec
from tests.tasks.languages.test_answers import text

OPERATORS = {"grazzi": "+-", "deletang": "+-*", "cdes": "+-*"}


def shares(values) -> dict:
    found, counts = np.unique(np.array(values), return_counts=True)
    return dict(zip(found.tolist(), counts / counts.sum(), strict=True))


def uniform(values, among) -> bool:
    found = shares(values)
    return set(found) == set(among) and max(abs(share * len(found) - 1) for share in found.values()) < 0.12


def rows_of(task, source, size=12_000, **fields) -> list[list[int]]:
    return spec(task, source, **fields).draw(stream("train", 0), size).tokens_BT.tolist()


@pytest.mark.parametrize(
    ("task", "source", "letters"),
    [
        (Reverse, "cdes", range(1, 6)),
        (BucketSort, "deletang", range(1, 6)),
        (Majority, None, range(1, 6)),
        (Set, None, range(1, 6)),
        (CycleNavigation, "xlstm", range(1, 4)),
        (EvenPairs, "deletang", range(1, 3)),
    ],
)
def test_symbols_are_uniform_at_every_place(task, source, letters):
    strings = rows_of(task, source, length=12)
    for place in range(6):
        assert uniform([string[place] for string in strings], letters)


@pytest.mark.parametrize(("source", "zero"), [("xlstm", 5), ("deletang", 4)])
def test_digits_and_operators_alternate_and_are_uniform(source, zero):
    strings = rows_of(ModularArithmetic, source, length=8)
    for place in range(7):
        letters = range(1, 4) if place % 2 else range(zero, zero + 5)
        assert uniform([string[place] for string in strings], letters)


@pytest.mark.parametrize(("source", "places"), [("deletang", range(8)), ("cdes", range(4, 8))])
def test_any_symbol_of_either_copy_or_of_the_second_is_hidden(source, places):
    strings = rows_of(MissingDuplicate, source, length=9 if source == "deletang" else 8, symbols=3)
    assert uniform([string.index(4) for string in strings], places)
    assert uniform([string[0] for string in strings if string[0] != 4], range(1, 4))


@pytest.mark.parametrize(("source", "sizes"), [("deletang", range(1, 9)), ("cdes", range(1, 10))])
def test_the_first_stack_is_of_any_size_and_any_action_follows(source, sizes):
    strings = rows_of(StackManipulation, source, length=19 if source == "deletang" else 18, symbols=3)
    assert uniform([sum(1 <= token <= 3 for token in string[:9]) for string in strings], sizes)
    assert uniform([string[0] for string in strings], range(1, 4))
    assert uniform([string[8] for string in strings if string[8] > 3], range(4, 8))


def is_expression(written: str, operators: str) -> bool:
    """Returns whether the grammar of Delétang et al. has such an expression: it is read off its definition."""
    if len(written) < 5:
        return re.fullmatch(r"\d|-\d|\(\d\)|\(-\d\)", written) is not None
    if written[0] + written[-1] != "()":
        return False
    inner = written[1:-1]
    splits = [place for place in range(1, len(inner) - 1) if inner[place] in operators]
    return any(is_expression(inner[:at], operators) and is_expression(inner[at + 1 :], operators) for at in splits)


@pytest.mark.parametrize("source", OPERATORS)
def test_expressions_are_of_the_grammar(source):
    posed = spec(ModularArithmeticBrackets, source, minimum_length=2, maximum_length=30)
    for tokens in posed.draw(stream("train", 0), 300).tokens_BT.tolist():
        written = text(posed, [token for token in tokens if token])
        assert is_expression(written.rstrip("="), OPERATORS[source]), written


def root(written: str) -> int:
    """Returns the place of the operator that comes last."""
    depth = 0
    for place, letter in enumerate(written):
        depth += (letter == "(") - (letter == ")")
        if depth == 1 and letter in "+-*" and written[place - 1] != "(":
            return place
    raise AssertionError(written)


@pytest.mark.parametrize("source", OPERATORS)
def test_left_operands_are_of_any_size_and_operators_any(source):
    posed = spec(ModularArithmeticBrackets, source, length=13)
    written = [text(posed, [token for token in row if token]) for row in rows_of(type(posed), source, length=13)]
    assert uniform([root(expression) for expression in written], range(2, 10))
    assert uniform([expression[root(expression)] for expression in written], OPERATORS[source])
    assert uniform([int(re.findall(r"\d", expression)[0]) for expression in written], range(5))


def test_the_value_known_when_an_expression_is_drawn_is_the_value_read_token_by_token():
    size_B = np.arange(1, 257).repeat(2)
    for product in (False, True):
        tokens_BT, values_B = drawn(stream("test", 3), size_B, width=300, modulus=7, product=product)
        assert ((tokens_BT > 0).sum(1) == size_B).all()
        assert (evaluated(tokens_BT, modulus=7)[:, 0] == values_B).all()


@pytest.mark.parametrize(("source", "first"), [("deletang", 3 / 5), ("cdes", 1 / 2)])
def test_the_unknown_is_the_digit_after_a_random_token_or_a_random_digit(source, first):
    strings = rows_of(SolveEquation, source, length=8)  # (a+b)=c and a slot
    assert {string.index(12) for string in strings} == {1, 3}
    assert np.mean([string[1] == 12 for string in strings]) == pytest.approx(first, abs=0.02)
