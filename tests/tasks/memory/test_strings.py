"""Copying and n-gram look-up against Python's own string methods."""

from string import ascii_lowercase

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tasks.draws import stream
from tasks.memory.copying import Copying
from tasks.memory.ngram_lookup import NgramLookup
from tasks.memory.strings import Strings
from tasks.partition import side_of
from tasks.task import IGNORE, accuracy


def copying(letters=26, minimum_string=5, maximum_string=20, context=None) -> Copying:
    return Copying(
        name="copying",
        letters=letters,
        minimum_string=minimum_string,
        maximum_string=maximum_string,
        context=context,
    )


def lookup(key="suffix", ngram=2, answer=3, letters=26, minimum_string=6, maximum_string=20, context=None):
    return NgramLookup(
        name="ngram-lookup",
        key=key,
        ngram=ngram,
        answer=answer,
        letters=letters,
        minimum_string=minimum_string,
        maximum_string=maximum_string,
        context=context,
    )


BOTH_KEYS = pytest.mark.parametrize("key", ["prefix", "suffix"])
SPECS = [
    copying(),
    copying(letters=2, minimum_string=4),
    copying(context=219),
    copying(letters=3, context=42),
    copying(letters=4, minimum_string=7, maximum_string=7, context=33),  # in which two lines fit to the letter
    copying(letters=4, minimum_string=7, maximum_string=7, context=32),  # and here, but for a token
    *(lookup(key=key) for key in ("prefix", "suffix")),
    *(lookup(key=key, letters=2, context=99) for key in ("prefix", "suffix")),
    *(lookup(key=key, letters=2, ngram=1, answer=1, minimum_string=3) for key in ("prefix", "suffix")),
    *(lookup(key=key, letters=3, ngram=4, answer=6, minimum_string=10, context=70) for key in ("prefix", "suffix")),
]


def text_of(spec: Strings, tokens: list[int]) -> str:
    return "".join((ascii_lowercase[: spec.letters] + "$|.*")[token] for token in tokens)


def token_of(spec: Strings, character: str) -> int:
    return (ascii_lowercase[: spec.letters] + "$|.*").index(character)


def line_of(spec: Strings, text: str) -> tuple[str, int] | None:
    """Returns the line, full stop included, that the text begins with, and its number of labels; None if it is cut."""
    first, *others = text[1:].split("|")
    if len(others) < 1 + (isinstance(spec, NgramLookup) and spec.key == "prefix"):
        return None
    if isinstance(spec, Copying):
        assert first.isalpha()
        return f"${first}|{first}.", len(first) + 1
    string, key = (first, others[0][: spec.ngram]) if spec.key == "suffix" else (others[0], first)
    assert string.isalpha()
    if len(key) < spec.ngram:
        return None
    place = string.index(key) + spec.ngram
    answer = string[place : place + spec.answer]
    assert len(answer) == spec.answer
    line = f"${string}|{key}{answer}." if spec.key == "suffix" else f"${key}|{string}|{answer}."
    return line, spec.answer + 1


@pytest.mark.parametrize("spec", SPECS)
def test_rows_are_lines_and_each_answer_is_found_by_string_methods(spec):
    cut = 0
    for tokens, targets in zip(*(tensor.tolist() for tensor in spec.batch("train", 0, 300)), strict=True):
        text, expected, written = text_of(spec, tokens), [IGNORE] * len(tokens), 0
        while written < len(tokens) and text[written] == "$":
            line, labels = line_of(spec, text[written:]) or ("", 0)
            if not line or written + len(line) > len(tokens) + 1:
                cut += 1
                assert not line or line.startswith(text[written:])
                written = len(tokens)
                break
            read = line if spec.context is not None else line[:-1]
            assert text[written:].startswith(read[: len(tokens) - written])
            for label in range(len(line) - labels, len(line)):
                expected[written + label - 1] = token_of(spec, line[label])
            written += len(read)
        assert text[written:] == "*" * max(0, len(tokens) - written)
        assert targets == expected
    assert (cut > 0) == (spec.context not in (None, 33))


@pytest.mark.parametrize("spec", SPECS)
def test_no_row_of_a_context_is_padded_and_one_of_a_line_is_as_wide_as_the_longest(spec):
    tokens_BT, _ = spec.batch("train", 0, 300)
    if spec.context is not None:
        assert (tokens_BT != spec.padding).all()
        assert tokens_BT.shape[1] == spec.context
    else:
        assert (tokens_BT[:, -1] != spec.padding).any()


@pytest.mark.parametrize("context", [None, 60])
def test_lengths_and_letters_are_uniform(context):
    tokens_BT, _ = copying(letters=7, minimum_string=3, maximum_string=8, context=context).draw(
        stream("train", 0), 12_000
    )
    strings = (tokens_BT == 8).int().argmax(1) - 1
    assert (strings.bincount(minlength=9)[3:] / 2000).numpy() == pytest.approx(np.ones(6), abs=0.08)
    shares = tokens_BT[tokens_BT < 7].bincount() / (tokens_BT < 7).sum()
    assert shares.numpy() == pytest.approx(np.full(7, 1 / 7), abs=0.004)


@BOTH_KEYS
def test_every_place_that_leaves_room_for_the_answer_is_as_likely(key):
    spec = lookup(key=key, letters=26, ngram=4, answer=3, minimum_string=12, maximum_string=12)
    tokens_BT, _ = spec.draw(stream("train", 0), 12_000)
    texts = [text_of(spec, tokens) for tokens in tokens_BT.tolist()]
    places = [text[1:13].index(text[14:18]) if key == "suffix" else text[6:18].index(text[1:5]) for text in texts]
    assert np.bincount(places) / 2000 == pytest.approx(np.ones(6), abs=0.08)


@BOTH_KEYS
def test_where_an_ngram_stands_twice_the_first_place_is_the_answer(key):
    spec = lookup(key=key, letters=3, ngram=1, answer=1, minimum_string=12, maximum_string=12)
    tokens_BT, targets_BT = spec.batch("test", 0, 300)
    again = 0
    for tokens, targets in zip(tokens_BT.tolist(), targets_BT.tolist(), strict=True):
        text = text_of(spec, tokens)
        string, letter = (text[1:13], text[14]) if key == "suffix" else (text[3:15], text[1])
        again += string.count(letter) > 1
        answer = next(target for target in targets if target != IGNORE)
        assert answer == token_of(spec, string[string.index(letter) + 1])
    assert again > 200


@pytest.mark.parametrize(
    ("spec", "lengths"),
    [
        (copying(), [4, 42, 64, 128, 400]),
        (copying(context=60), [64]),
        (lookup(key="suffix"), [12, 13, 64, 127]),
        (lookup(key="prefix"), [13, 14, 64, 127]),
        (lookup(key="prefix", ngram=1, answer=1), [7, 64]),
    ],
)
def test_a_task_posed_at_a_length_is_one_line_that_ends_with_its_answer(spec, lengths):
    for length in lengths:
        posed = spec.at({"length": length, "letters": 20})
        tokens_BT, targets_BT = posed.batch("test", 0, 40)
        assert tokens_BT.shape == (40, length)
        assert ((tokens_BT == 20).sum(1) == 1).all()
        assert (tokens_BT < 22).all()
        assert (targets_BT[:, -1] == 22).all()


@BOTH_KEYS
def test_a_length_is_posed_with_another_key_or_answer(key):
    posed = lookup(context=90).at({"length": 50, "key": key, "ngram": 5, "answer": 7})
    tokens_BT, targets_BT = posed.batch("test", 0, 40)
    assert tokens_BT.shape == (40, 50)
    assert ((targets_BT != IGNORE).sum(1) == 8).all()


def test_a_line_is_of_the_same_split_whatever_the_width_of_its_row():
    tokens_BT, _ = copying(letters=3, minimum_string=3, maximum_string=9).batch("train", 0, 400)
    short = tokens_BT[(tokens_BT == 6).sum(1) == 8]  # strings of five
    assert len(short) > 20
    assert (side_of(short[:, :12].numpy(), padding=6) == "train").all()


def looked_up(spec: Strings) -> float:
    """Returns how much of the answers follows the letter just read where that stands first in the string, by a loop."""
    right = total = 0
    for tokens in spec.batch("validation", 0, 4000).tokens_BT.tolist():
        line, labels = line_of(spec, text_of(spec, tokens))
        string = max(line[1:-1].split("|"), key=len)
        for place in range(len(line) - labels, len(line)):
            read = line[place - 1]
            guess = string[0] if read == "|" else f"{string}."[string.index(read) + 1]
            right, total = right + (guess == line[place]), total + 1
    return right / total


@pytest.mark.parametrize(("string", "letters"), [(5, 26), (31, 4)])
def test_the_floors_of_copying_are_those_of_knowing_its_end_and_of_looking_up_one_letter(string, letters):
    spec = copying(letters=letters, minimum_string=string, maximum_string=string)
    references = spec.references(6000)
    assert references["constant"] == pytest.approx(max(1, string / letters) / (string + 1), abs=0.01)
    assert references["full_stop"] == pytest.approx((1 + string / letters) / (string + 1), abs=0.01)
    assert references["last_token"] == pytest.approx(looked_up(spec), abs=0.015)


@BOTH_KEYS
def test_the_floors_of_look_up_are_those_of_knowing_its_end_and_of_looking_up_one_letter(key):
    spec = lookup(key=key, letters=26, ngram=3, answer=4, minimum_string=40, maximum_string=40)
    references = spec.references(6000)
    assert references["constant"] == pytest.approx(1 / 5, abs=0.01)
    assert references["full_stop"] == pytest.approx(1 / 5 + 4 / 5 / 26, abs=0.01)
    assert references["last_token"] == pytest.approx(looked_up(spec), abs=0.015)


def drawn(spec: Strings, tokens: list[int]) -> list[int]:
    """Returns the targets of the row of these tokens, of which there are few enough to draw them all."""
    tokens_BT, targets_BT = spec.draw(stream("train", 0), 20_000)
    same_B = (tokens_BT == torch.tensor(tokens)).all(1)
    assert same_B.any()
    return targets_BT[same_B][0].tolist()


@pytest.mark.parametrize(
    ("spec", "tokens", "targets"),
    [
        (copying(3, 2, 3), "3 1 0 4 1 0 6 6", ". . . 1 0 5 . ."),
        (copying(3, 2, 3, 11), "3 1 0 4 1 0 5 3 2 2 4", ". . . 1 0 5 . . . . ."),
        (lookup("suffix", 2, 2, 3, 5, 5), "3 1 0 0 2 1 4 0 0 2 1", ". . . . . . . . 2 1 5"),
        (lookup("prefix", 2, 2, 3, 5, 5), "3 0 0 4 1 0 0 2 1 4 2 1", ". . . . . . . . . 2 1 5"),
    ],
)
def test_the_worked_examples_are_right(spec, tokens, targets):
    read = [int(token) for token in tokens.split()]
    expected = [IGNORE if target == "." else int(target) for target in targets.split()]
    assert drawn(spec, read) == expected
    oracle = spec.predictors(spec.batch("train", 0, 10))["oracle"]
    assert accuracy(oracle(torch.tensor([read])), torch.tensor([expected])) == 1


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"minimum_string": 21}, "raise maximum_string or lower minimum_string"),
        ({"minimum_string": 0}, "greater than or equal to 1"),
        ({"letters": 1}, "greater than or equal to 2"),
        ({"context": 41}, "raise context to 42 or lower maximum_string"),
        ({"context": 0}, "raise context to 42 or lower maximum_string"),
    ],
)
def test_infeasible_copying_is_refused_with_a_remedy(fields, remedy):
    with pytest.raises(ValidationError, match=remedy):
        copying(**fields)


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"ngram": 4}, "raise minimum_string to 7, or lower ngram or answer"),
        ({"answer": 5}, "raise minimum_string to 7, or lower ngram or answer"),
        ({"ngram": 0}, "greater than or equal to 1"),
        ({"answer": 0}, "greater than or equal to 1"),
        ({"context": 26}, "raise context to 27 or lower maximum_string"),
    ],
)
def test_infeasible_look_up_is_refused_with_a_remedy(fields, remedy):
    with pytest.raises(ValidationError, match=remedy):
        lookup(**fields)


@pytest.mark.parametrize(
    ("spec", "length", "possible"),
    [(copying(), 33, 32), (copying(), 3, 4), (lookup(), 11, 12), (lookup(key="prefix"), 9, 13)],
)
def test_a_length_that_no_string_makes_is_refused_with_the_nearest_that_one_does(spec, length, possible):
    with pytest.raises(ValueError, match=f"length {length}: choose length {possible}"):
        spec.at_length(length)
    assert spec.at_length(possible).batch("test", 0, 3).tokens_BT.shape == (3, possible)


def test_the_remedies_are_feasible():
    assert copying(context=42).context == 42
    assert lookup(ngram=4, minimum_string=7).ngram == 4
    assert lookup(context=27).context == 27
