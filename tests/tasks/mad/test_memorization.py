"""Memorization: one map for all rows, and what its examples show of it."""

import pytest
from pydantic import ValidationError

from tasks.draws import stream
from tasks.mad.memorization import Memorization, values_of_keys
from tasks.mad.pool import pool
from tasks.mad.presets import PRESETS
from tasks.task import IGNORE
from tests.tasks.mad.drawings import drawn


def memorization(length=32, vocabulary=256, examples=None) -> Memorization:
    return Memorization(name="mad-memorization", length=length, vocabulary=vocabulary, examples=examples)


@pytest.mark.parametrize("vocabulary", [5, 6, 256])
def test_one_map_answers_every_row_of_every_split_and_length(vocabulary):
    known: dict[int, int] = {}
    for length, examples in ((32, None), (2, 50)):
        spec = memorization(length=length, vocabulary=vocabulary, examples=examples)
        for split in ("train", "validation", "test"):
            for tokens, targets in zip(*(tensor.tolist() for tensor in spec.batch(split, 1, 200)), strict=True):
                assert tokens[1::2] == [vocabulary - 1] * (length // 2)
                assert targets[::2] == [IGNORE] * (length // 2)
                for key, value in zip(tokens[::2], targets[1::2], strict=True):
                    assert known.setdefault(key, value) == value
    keys = (vocabulary - 1) // 2
    assert sorted(known) == list(range(keys))
    assert len(set(known.values())) == keys
    assert set(known.values()) <= set(range(keys, vocabulary - 1))


def test_the_map_is_no_order():
    values = values_of_keys(256).tolist()
    assert values != sorted(values)
    assert len({value - key for key, value in enumerate(values)}) > 60


def test_the_drawing_is_a_batch():
    tokens_BT, targets_BT = memorization(length=8, vocabulary=8).batch("train", 1, 1)
    assert tokens_BT.tolist() == [drawn(Memorization, "tokens")]
    assert targets_BT.tolist() == [drawn(Memorization, "targets")]


def test_keys_are_uniform():
    tokens_BT = memorization(vocabulary=32).draw(stream("train", 0), 3000).tokens_BT
    counts = tokens_BT[:, ::2].flatten().bincount().double()
    assert (counts / counts.mean()).tolist() == pytest.approx([1] * 15, abs=0.08)


@pytest.mark.parametrize(("vocabulary", "ceiling"), [(256, 1.0), (2048, 0.982), (4096, 0.865), (8192, 0.632)])
def test_the_ceiling_of_a_learner_is_the_share_of_keys_that_training_shows(vocabulary, ceiling):
    name = "baseline" if vocabulary == 256 else f"vocabulary-{vocabulary}"
    references = PRESETS[f"mad/memorization/{name}"].references(2000)
    assert references["oracle"] == 1
    assert references["seen"] == pytest.approx(ceiling, abs=0.012)


def test_a_learner_is_right_at_the_keys_that_training_shows_and_there_alone():
    spec = memorization(vocabulary=512, examples=8)
    shown = set(pool(spec).tokens_BT[:, ::2].flatten().tolist())
    assert 60 < len(shown) < 128
    tokens_BT, targets_BT = spec.batch("test", 0, 500)
    answers_BT = spec.predictors(spec.batch("train", 0, 8))["seen"](tokens_BT)
    right = {
        key: answer == value
        for keys, answers, values in zip(tokens_BT.tolist(), answers_BT.tolist(), targets_BT.tolist(), strict=True)
        for key, answer, value in zip(keys[::2], answers[1::2], values[1::2], strict=True)
    }
    assert all(right[key] for key in shown)
    assert sum(right[key] for key in right.keys() - shown) == 1  # the value not seen that it guesses is that of one


def test_without_end_training_shows_every_key():
    assert memorization().references(200)["seen"] == 1


def test_floors_are_those_of_guessing():
    references = memorization().references(4000)
    assert references["constant"] == pytest.approx(1 / 127, abs=0.002)
    assert references["position"] == pytest.approx(1 / 127, abs=0.002)


@pytest.mark.parametrize(("length", "remedy"), [(7, 8), (0, 2), (-1, 2)])
def test_infeasible_lengths_are_refused_with_a_remedy_that_works(length, remedy):
    with pytest.raises(ValidationError, match=f"raise length to {remedy}"):
        memorization(length=length)
    memorization(length=remedy).batch("train", 0, 3)


def test_a_vocabulary_without_two_keys_is_refused():
    with pytest.raises(ValidationError, match="greater than or equal to 5"):
        memorization(vocabulary=4)
