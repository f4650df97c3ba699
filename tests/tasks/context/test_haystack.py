"""Needles and variable tracking against readers that go through the context pair by pair."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.context.haystack import skipping
from tasks.context.needle import Needle
from tasks.context.variable_tracking import VariableTracking
from tasks.draws import stream
from tasks.task import IGNORE


def needle(**fields) -> Needle:
    base = {"length": 48, "fillers": 4, "depth": None, "key_tokens": 12, "value_tokens": 20, "haystack": "filler"}
    return Needle(name="needle", **(base | {"hidden_keys": 4, "values_per_key": 1, "queries": 1} | fields))


def tracking(**fields) -> VariableTracking:
    base = {"length": 48, "fillers": 4, "depth": None, "names": 20, "value_tokens": 9}
    return VariableTracking(name="variable-tracking", **(base | {"chains": 2, "hops": 2, "asked": "variable"} | fields))


def rows(spec: Needle | VariableTracking, size: int) -> list[tuple[list[int], list[int]]]:
    return list(zip(*(tensor.tolist() for tensor in spec.batch("train", 0, size)), strict=True))


def split(spec: Needle | VariableTracking, tokens: list[int]) -> tuple[list[tuple[int, int]], list[int]]:
    """Returns the pairs that are no filler, and what follows the question token, which occurs once."""
    end = tokens.index(0)
    assert tokens.count(0) == 1
    start = end % 2
    assert all(1 <= token <= spec.fillers for token in tokens[:start])
    pairs = [tuple(tokens[place : place + 2]) for place in range(start, end, 2)]
    fillers = [[token <= spec.fillers for token in pair] for pair in pairs]
    assert all(both == [both[0]] * 2 for both in fillers)
    return [pair for pair in pairs if pair[0] > spec.fillers], tokens[end + 1 :]


NEEDLES = [
    needle(),
    needle(length=49, hidden_keys=1),
    needle(hidden_keys=1, values_per_key=4),
    needle(queries=4),
    needle(hidden_keys=3, values_per_key=3, queries=2, depth=0.3),
    needle(haystack="needles"),
    needle(haystack="needles", length=51, hidden_keys=2, values_per_key=2, queries=2, depth=1.0),
]


@pytest.mark.parametrize("spec", NEEDLES, ids=str)
def test_every_key_asked_is_followed_by_its_values_in_the_order_stated(spec):
    first_value = 1 + spec.fillers + spec.key_tokens
    for tokens, targets in rows(spec, 300):
        pairs, question = split(spec, tokens)
        stated = defaultdict(list)
        for key, value in pairs:
            assert spec.fillers < key < first_value <= value
            stated[key].append(value)
        asked = question[:: spec.values_per_key]
        assert len(set(asked)) == spec.queries
        answers = [value for key in asked for value in stated[key]]
        assert len(answers) == len(set(answers)) == spec.queries * spec.values_per_key
        read = [token for key in asked for token in (key, *stated[key][:-1])]
        assert question == read
        assert targets == [IGNORE] * (len(tokens) - len(answers)) + answers
        if spec.haystack == "filler":
            assert [len(values) for values in stated.values()] == [spec.values_per_key] * spec.hidden_keys
        else:
            assert len(pairs) == (spec.length - len(question) - 1) // 2


def test_the_worked_example_of_the_needle_is_right():
    spec = needle(length=16, fillers=2, key_tokens=3, value_tokens=6, hidden_keys=2, values_per_key=2)
    tokens_BT, targets_BT = (tensor[:1].clone() for tensor in spec.batch("train", 0, 1))
    tokens_BT[0] = tokens_BT.new_tensor([1, 2, 2, 5, 9, 3, 6, 5, 7, 1, 2, 3, 11, 0, 5, 9])
    answers_BT = spec.predictors(spec.batch("train", 0, 50))["oracle"](tokens_BT)
    assert spec.vocabulary_size == 12
    assert answers_BT[0, 14:].tolist() == [9, 7]
    assert (targets_BT[0] != IGNORE).nonzero()[:, 0].tolist() == [14, 15]


TRACKING = [
    tracking(),
    tracking(asked="value"),
    tracking(length=49, chains=1, hops=4, asked="value", depth=0.0),
    tracking(chains=4, hops=3, depth=0.6),
    tracking(chains=3, hops=1, depth=1.0),
    tracking(chains=4, hops=0),
    tracking(chains=4, hops=0, asked="value", depth=0.2),
]


@pytest.mark.parametrize("spec", TRACKING, ids=str)
def test_variables_hold_what_following_the_assignments_says(spec):
    first_value = 1 + spec.fillers + spec.names
    for tokens, targets in rows(spec, 300):
        pairs, question = split(spec, tokens)
        assert len(pairs) == len(dict(pairs)) == spec.chains * (spec.hops + 1)
        held, steps = {}, {}
        for variable, source in pairs:  # no variable is assigned before its source is
            held[variable] = source if source >= first_value else held[source]
            steps[variable] = 0 if source >= first_value else steps[source] + 1
        assert Counter(steps.values()) == {step: spec.chains for step in range(spec.hops + 1)}
        if spec.asked == "variable":
            assert steps[question[0]] == spec.hops
            answers = [held[question[0]]]
        else:
            answers = [variable for variable, value in held.items() if value == question[0]]
            assert question[1:] == answers[:-1]
        assert targets == [IGNORE] * (len(tokens) - len(answers)) + answers


@pytest.mark.parametrize(
    ("asked", "tokens", "answers"),
    [
        ("value", [3, 8, 5, 9, 6, 3, 7, 6, 2, 5, 4, 2, 0, 8, 3, 6], [3, 6, 7]),
        ("variable", [3, 8, 5, 9, 1, 1, 6, 3, 7, 6, 2, 5, 4, 2, 0, 4], [9]),
    ],
)
def test_the_worked_examples_of_variable_tracking_are_right(asked, tokens, answers):
    spec = tracking(length=16, fillers=1, names=6, value_tokens=2, asked=asked)
    assert spec.vocabulary_size == 10
    _, targets_BT = spec.batch("train", 0, 1)
    oracle = spec.predictors(spec.batch("train", 0, 50))["oracle"]
    assert oracle(targets_BT.new_tensor([tokens]))[targets_BT != IGNORE].tolist() == answers


@pytest.mark.parametrize("depth", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("haystack", ["filler", "needles"])
def test_a_needle_lies_at_its_depth(depth, haystack):
    for length in (48, 131):
        spec = needle(depth=depth, haystack=haystack, length=length)
        slots = (length - 2) // 2
        for tokens, _ in rows(spec, 50):
            asked = tokens[-1]
            place = tokens.index(asked)
            assert (place - length % 2) / 2 == pytest.approx(depth * (slots - 1), abs=0.5)


def test_a_chain_starts_at_its_depth_and_goes_on_behind_it():
    for depth in (0.0, 0.5, 1.0):
        for tokens, targets in rows(tracking(depth=depth), 50):
            place = tokens[1:46:2].index(targets[-1])
            assert place == pytest.approx(depth * (23 - 3), abs=0.5)


@pytest.mark.parametrize("spec", [needle(), needle(depth=0.5), needle(haystack="needles", depth=0.5)], ids=str)
def test_needles_that_are_not_placed_lie_anywhere(spec):
    tokens_BT, targets_BT = spec.draw(stream("train", 0), 8000)
    pairs_BS = tokens_BT[:, 1:46:2]
    counts_S = np.zeros(23)
    for pairs_S, answer in zip(pairs_BS.numpy(), targets_BT[:, -1].numpy(), strict=True):
        first_value = 1 + spec.fillers + spec.key_tokens
        counts_S += (pairs_S >= first_value) & ((pairs_S != answer) | (spec.depth is None))
    if spec.depth is not None:
        counts_S = np.delete(counts_S, 11)
    assert counts_S / counts_S.mean() == pytest.approx(np.ones(len(counts_S)), abs=0.12)


def test_places_are_counted_over_those_taken():
    taken = np.array([[4, 0, 2], [5, 6, 1]])
    found = skipping(np.tile(np.arange(4), (2, 1)), taken)
    assert found.tolist() == [[1, 3, 5, 6], [0, 2, 3, 4]]
    assert skipping(np.zeros((2, 0), dtype=int), taken).shape == (2, 0)


@pytest.mark.parametrize(
    ("spec", "any_value", "position"),
    [
        (needle(hidden_keys=1), 1, 1 / 23),
        (needle(hidden_keys=1, depth=0.5), 1, 1),
        (needle(), 1 / 4, None),
        (needle(queries=4), 1 / 4, None),
        (needle(hidden_keys=1, values_per_key=4), 1 / 4, None),
        (needle(haystack="needles", hidden_keys=1), 1 / 23 + 1 / 20, 1 / 23 + 1 / 20),
    ],
    ids=str,
)
def test_shortcuts_of_the_needle_score_what_they_should(spec, any_value, position):
    references = spec.references(6000)
    assert references["oracle"] == 1
    assert references["first_value"] == pytest.approx(any_value, abs=0.025)
    assert references["last_value"] == pytest.approx(any_value, abs=0.025)
    assert position is None or references["position"] == pytest.approx(position, abs=0.025)


@pytest.mark.parametrize(
    ("spec", "stated"),
    [
        (tracking(), 1 / 2),
        (tracking(chains=4, hops=1), 1 / 4),
        (tracking(chains=1, asked="value"), 1),
        (tracking(chains=1), 1),
    ],
    ids=str,
)
def test_shortcuts_of_variable_tracking_score_what_they_should(spec, stated):
    references = spec.references(6000)
    assert references["oracle"] == 1
    assert references["first"] == pytest.approx(stated, abs=0.025)
    assert references["last"] == pytest.approx(stated, abs=0.025)


@pytest.mark.parametrize(
    ("refused", "fields", "remedy", "remedied"),
    [
        (needle, {"length": 9}, "raise length to 10 or lower hidden_keys", {"length": 10}),
        (needle, {"queries": 5}, "raise hidden_keys to 5 or lower queries", {"hidden_keys": 5}),
        (needle, {"key_tokens": 3}, "raise key_tokens to 4", {"key_tokens": 4}),
        (needle, {"key_tokens": 4, "haystack": "needles"}, "raise key_tokens to 5", {"key_tokens": 5}),
        (needle, {"value_tokens": 3}, "value_tokens to 4", {"value_tokens": 4}),
        (needle, {"depth": 1.5}, "less than or equal to 1", {"depth": 1}),
        (tracking, {"length": 13}, "raise length to 14 or lower chains or hops", {"length": 14}),
        (tracking, {"length": 15, "asked": "value"}, "raise length to 16 or lower", {"length": 16}),
        (tracking, {"names": 5}, "raise names to 6", {"names": 6}),
        (tracking, {"value_tokens": 1}, "value_tokens to 2, or lower chains", {"value_tokens": 2}),
    ],
)
def test_infeasible_points_are_refused_with_a_remedy(refused, fields, remedy, remedied):
    with pytest.raises(ValidationError, match=remedy):
        refused(**fields)
    refused(**(fields | remedied)).batch("train", 0, 5)
