"""Selective copying against a loop over tokens."""

import pytest
from pydantic import ValidationError

from tasks.draws import stream
from tasks.mad.selective_copying import MadSelectiveCopying
from tasks.task import IGNORE
from tests.tasks.mad.drawings import drawn


def copying(length=256, vocabulary=16, tokens_to_copy=16, examples=None) -> MadSelectiveCopying:
    return MadSelectiveCopying(
        name="mad-selective-copying",
        length=length,
        vocabulary=vocabulary,
        tokens_to_copy=tokens_to_copy,
        examples=examples,
    )


@pytest.mark.parametrize(
    "spec",
    [copying(), copying(length=4, tokens_to_copy=1), copying(length=30, vocabulary=5, tokens_to_copy=14)],
    ids=repr,
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_data_are_asked_in_order_after_the_asking_token(spec, split):
    blank, ask = spec.vocabulary - 2, spec.vocabulary - 1
    for tokens, targets in zip(*(tensor.tolist() for tensor in spec.batch(split, 0, 300)), strict=True):
        assert len(tokens) == len(targets) == spec.length
        asked = tokens.index(ask)
        data = [token for token in tokens[:asked] if token != blank]
        assert len(data) == spec.tokens_to_copy
        assert tokens[asked:] == [ask] + [blank] * spec.tokens_to_copy
        assert targets == [IGNORE] * (asked + 1) + data


def test_the_drawing_is_a_batch():
    tokens_BT, targets_BT = copying(length=13, vocabulary=6, tokens_to_copy=4).batch("train", 27, 1)
    assert tokens_BT.tolist() == [drawn(MadSelectiveCopying, "tokens")]
    assert targets_BT.tolist() == [drawn(MadSelectiveCopying, "targets")]


def test_blanks_are_as_many_in_every_gap_the_last_one_too():
    tokens_BT = copying(length=64, tokens_to_copy=4).draw(stream("train", 0), 4000).tokens_BT[:, :59]
    gaps = [0] * 5
    for row in tokens_BT.tolist():
        gap = 0
        for token in row:
            gap += token != 14
            gaps[gap] += token == 14
    assert [gap / (4000 * 55 / 5) for gap in gaps] == pytest.approx([1] * 5, abs=0.02)
    # Each blank picks on its own, so how many are in a gap is binomial.
    first = (tokens_BT == 14).cumprod(1).sum(1).double()
    assert first.var().item() == pytest.approx(55 * 0.2 * 0.8, rel=0.08)


def test_data_are_uniform():
    tokens_BT = copying().draw(stream("train", 0), 2000).tokens_BT
    counts = tokens_BT[tokens_BT < 14].bincount().double()
    assert (counts / counts.mean()).tolist() == pytest.approx([1] * 14, abs=0.06)


def test_floors_are_those_of_guessing_and_of_repeating_one_token():
    references = copying().references(4000)
    assert references["constant"] == pytest.approx(1 / 14, abs=0.005)
    assert references["last_data"] == pytest.approx(1 / 16 + 15 / 16 / 14, abs=0.006)
    assert 1 / 14 < references["place"] < 0.2


def test_a_place_tells_more_where_there_are_few_blanks():
    assert copying(length=34).references(2000)["place"] > 0.7
    assert copying(length=64).references(2000)["place"] < 0.4


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [({"length": 33}, {"length": 34}), ({"length": 0}, {"length": 34}), ({"tokens_to_copy": 128}, {"length": 258})],
)
def test_infeasible_points_are_refused_with_a_remedy_that_works(fields, remedy):
    with pytest.raises(ValidationError, match=f"raise length to {remedy['length']} or lower tokens_to_copy"):
        copying(**fields)
    copying(**(fields | remedy)).batch("train", 0, 3)


@pytest.mark.parametrize("fields", [{"vocabulary": 3}, {"tokens_to_copy": 0}])
def test_a_vocabulary_or_a_task_of_nothing_is_refused(fields):
    with pytest.raises(ValidationError, match="greater than or equal to"):
        copying(**fields)
