"""a^n b^n against a loop that counts letters."""

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.draws import stream
from tasks.state.anbn import AnBn
from tasks.task import IGNORE


def anbn(*, letters=2, minimum_length=8, maximum_length=31, edit=2) -> AnBn:
    return AnBn(name="anbn", letters=letters, minimum_length=minimum_length, maximum_length=maximum_length, edit=edit)


def kinds(spec: AnBn, tokens: list[int]) -> str:
    """Returns the word with its letters reduced to their kind, without padding."""
    return "".join("ab"[token // spec.letters] for token in tokens if token < 2 * spec.letters)


@pytest.mark.parametrize(("letters", "edit"), [(2, 1), (2, 3), (5, 2)])
def test_words_are_accepted_whose_halves_are_of_one_kind_each(letters, edit):
    spec = anbn(letters=letters, edit=edit)
    seen = set()
    for tokens, targets in zip(*(tensor.tolist() for tensor in spec.batch("train", 0, 400)), strict=True):
        word = kinds(spec, tokens)
        half = len(word) // 2
        moved = word.count("a") - half
        assert word == "a" * word.count("a") + "b" * word.count("b")
        assert tokens[len(word) :] == [spec.padding] * (31 - len(word))
        assert targets[len(word) - 1] == (word == "a" * half + "b" * half)
        assert [target for target in targets if target != IGNORE] == [targets[len(word) - 1]]
        assert abs(moved) <= edit
        assert 8 <= len(word) <= 30
        seen.add(moved)
    assert seen == set(range(-edit, edit + 1))


def test_the_worked_examples_are_right():
    spec = AnBn(name="anbn", letters=2, minimum_length=4, maximum_length=7, edit=1)
    drawn = {
        tuple(tokens): tuple(targets)
        for tokens, targets in zip(*(tensor.tolist() for tensor in spec.draw(stream("train", 0), 40_000)), strict=True)
    }
    _ = IGNORE
    assert drawn[0, 1, 1, 2, 3, 2, 4] == (_, _, _, _, _, 1, _)
    assert drawn[0, 0, 2, 2, 4, 4, 4] == (_, _, _, 1, _, _, _)
    assert drawn[1, 0, 0, 1, 2, 3, 4] == (_, _, _, _, _, 0, _)


def test_half_are_words_and_lengths_and_letters_are_uniform():
    spec = anbn(letters=3, minimum_length=8, maximum_length=15)
    tokens_BT, targets_BT = spec.draw(stream("train", 0), 16_000)
    lengths = (tokens_BT != spec.padding).sum(1).bincount(minlength=15)
    assert lengths[8:15:2].double().numpy() / 4000 == pytest.approx(np.ones(4), abs=0.08)
    assert lengths[9:15:2].sum() == 0
    accepted = targets_BT[targets_BT != IGNORE].double()
    assert accepted.mean().item() == pytest.approx(0.5, abs=0.02)
    shares = tokens_BT[tokens_BT < 3].bincount().double()
    assert (shares / shares.mean()).numpy() == pytest.approx(np.ones(3), abs=0.03)


def test_only_the_two_counts_together_tell_a_word():
    references = anbn(minimum_length=8, maximum_length=128, edit=1).references(8000)
    assert references["oracle"] == 1
    for name in ("constant", "length", "last_token", "border"):
        assert references[name] == pytest.approx(0.5, abs=0.03), name


@pytest.mark.parametrize("length", [30, 31])
def test_at_one_length_the_border_is_all_there_is_to_know(length):
    spec = anbn().at_length(length)
    tokens_BT, targets_BT = spec.batch("test", 0, 50)
    assert ((tokens_BT != spec.padding).sum(1) == 30).all()
    assert (targets_BT[:, 29] != IGNORE).all()
    references = spec.references(2000)
    assert references["border"] == 1
    assert references["length"] == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("fields", "remedy", "remedied"),
    [
        ({"minimum_length": 32}, "raise maximum_length or lower minimum_length", {"maximum_length": 32}),
        ({"minimum_length": 7, "edit": 3}, "raise minimum_length to 8 or lower edit", {"minimum_length": 8}),
        ({"letters": 1}, "greater than or equal to 2", {"letters": 2}),
        ({"edit": 0}, "greater than or equal to 1", {"edit": 1}),
    ],
)
def test_infeasible_points_are_refused_with_a_remedy(fields, remedy, remedied):
    with pytest.raises(ValidationError, match=remedy):
        anbn(**fields)
    anbn(**(fields | remedied)).batch("test", 0, 20)
