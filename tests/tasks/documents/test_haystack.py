"""Needles and variables against a reader of plain strings."""

import re
from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.documents.haystack import drawn_names
from tasks.documents.needle import TextNeedle
from tasks.documents.variables import TextVariables
from tasks.draws import stream
from tasks.task import IGNORE
from tests.tasks.documents.corpus import SPLITS, holding, messages
from tests.tasks.documents.rows import needle, variables

OPENING = " The number of "


def read(tokens: list[int], value_width: int) -> tuple[str, list[tuple[int, str, str]], list[int]]:
    """Returns the text without the sentences, these as (bytes of text before, name, value), and the tokens after it."""
    end = tokens.index(256)
    rest, text, said = bytes(tokens[:end]).decode("latin-1"), "", []
    while (place := re.search(OPENING + "[b-z]{5} is ", rest)) is not None:
        text += rest[: place.start()]
        name, value = place.group()[15:20], rest[place.end() : place.end() + value_width]
        assert rest[place.end() + value_width] == "."
        said.append((len(text), name, value))
        rest = rest[place.end() + value_width + 1 :]
    return text + rest, said, tokens[end:]


def questions_of(pairs: list[tuple[str, list[str]]]) -> tuple[list[int], list[int]]:
    """Returns the tokens of these questions with their answers, and the targets; one place apart."""
    tokens, targets = [], []
    for name, answers in pairs:
        tokens += [256, *name.encode()]
        targets += [IGNORE] * 6
        for answer in answers:
            tokens += [257, *answer.encode()]
            targets += [IGNORE, *answer.encode()]
    return tokens[:-1], targets[1:]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(
    "fields",
    [
        {"names": 1, "values": 1, "queries": 1, "digits": 1, "length": 120},
        {"names": 4, "values": 1, "queries": 1, "digits": 7, "length": 300},
        {"names": 1, "values": 4, "queries": 1},
        {"names": 4, "values": 2, "queries": 4, "digits": 3, "length": 500},
        {"names": 3, "values": 2, "queries": 2, "depth": 0.3},
        {"names": 2, "values": 1, "queries": 2, "depth": 1.0},
    ],
)
def test_needles_are_hidden_in_real_text_and_asked_for(split, fields):
    spec = needle(**fields)
    for tokens, targets in zip(*(tensor.tolist() for tensor in spec.batch(split, 0, 60)), strict=True):
        text, said, asked = read(tokens, spec.digits)
        assert len(tokens) == spec.length
        assert holding(text.encode("latin-1"), split)
        by_name: dict[str, list[str]] = {}
        for _, name, value in said:
            assert value.isdigit()
            by_name.setdefault(name, []).append(value)
        assert len(by_name) == spec.names
        assert {len(values) for values in by_name.values()} == {spec.values}
        names = re.findall(b"\x00([b-z]{5})", bytes(0 if token == 256 else token % 256 for token in asked))
        assert len(set(names)) == len(names) == spec.queries
        expected = questions_of([(name.decode(), by_name[name.decode()]) for name in names])
        assert (asked, targets[-len(asked) :]) == expected
        assert set(targets[: -len(asked)]) == {IGNORE}
        if spec.depth is not None:
            assert {before for before, name, _ in said if name.encode() in names} == {int(spec.depth * len(text))}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(
    "fields", [{"chains": 1, "hops": 4}, {"chains": 3, "hops": 1, "digits": 5}, {"chains": 2, "hops": 2, "digits": 1}]
)
def test_variables_chain_to_the_number_asked_for(split, fields):
    spec = variables(**fields)
    for tokens, targets in zip(*(tensor.tolist() for tensor in spec.batch(split, 0, 60)), strict=True):
        text, said, asked = read(tokens, 5)
        assert len(tokens) == spec.length
        assert holding(text.encode("latin-1"), split)
        order = [name for _, name, _ in said]
        values = {name: value for _, name, value in said}
        assert len(values) == len(said) == spec.chains * (1 + spec.hops)
        lasts = set(values) - set(values.values())
        assert len(lasts) == spec.chains
        number_of = {}
        for last in lasts:
            chain = [last]
            while chain[-1] in values:
                chain.append(values[chain[-1]])
            assert len(chain) == 2 + spec.hops
            assert [order.index(name) for name in chain[:-1]] == sorted(map(order.index, chain[:-1]), reverse=True)
            assert chain[-1].isdigit()
            assert chain[-1].startswith("0" * (5 - spec.digits))
            number_of[last] = chain[-1][5 - spec.digits :]
        name = bytes(asked[1:6]).decode()
        assert (asked, targets[-len(asked) :]) == questions_of([(name, [number_of[name]])])
        assert set(targets[: -len(asked)]) == {IGNORE}


def test_no_message_holds_anything_like_a_name():
    assert not any(re.search(b"[bcdfgjkmpqvwxz]{5}", message.text) for message in messages())


def test_names_are_distinct_and_uniform_in_every_letter_and_place():
    rows = drawn_names(stream("train", 0), 6, 8000)
    assert all(len({name.tobytes() for name in row}) == 6 for row in rows)
    for place in range(6):
        for letter in range(5):
            counts = np.bincount(rows[:, place, letter], minlength=256)
            assert bytes(np.flatnonzero(counts).tolist()) == b"bcdfgjkmpqvwxz"
            assert counts[counts > 0] / (8000 / 14) == pytest.approx(np.ones(14), abs=0.2)


def test_equal_draws_give_distinct_names():
    class Constant:
        def random(self, shape):
            return np.full(shape, 1 - 2.0**-53)

    names = drawn_names(Constant(), 5, 2)
    assert [bytes(name.tolist()) for name in names[0]] == [b + b"zzzz" for b in (b"q", b"v", b"w", b"x", b"z")]


def test_needles_lie_at_any_depth_and_the_asked_one_is_any_of_them():
    depths, ranks = [], Counter()
    for tokens in needle(length=400, values=1, queries=1, names=4).batch("train", 0, 3000).tokens_BT.tolist():
        text, said, asked = read(tokens, 4)
        name = bytes(asked[1:6]).decode()
        depths.append(next(before for before, other, _ in said if other == name) / len(text))
        ranks[[other for _, other, _ in said].index(name)] += 1
    assert np.histogram(depths, bins=10, range=(0, 1))[0] / 300 == pytest.approx(np.ones(10), abs=0.25)
    assert [ranks[rank] / 750 for rank in range(4)] == pytest.approx([1] * 4, abs=0.12)
    assert min(depths) == 0
    assert max(depths) == 1


def expected_prefix(numbers: int, digits: int) -> float:
    """Returns how often a digit is that of the first of so many random numbers that agrees in the digits before it."""
    scores = []
    for given in range(digits):
        agree = 0.1**given  # of each other number; the first that agrees is right, or right by chance
        first = sum((1 - agree) ** before for before in range(numbers)) / numbers
        scores.append(first + (1 - first) * 0.1)
    return sum(scores) / digits


@pytest.mark.parametrize(
    ("names", "digits", "length", "prefix"), [(4, 4, 300, 0.797), (4, 1, 240, 0.325), (8, 7, 512, 0.846)]
)
def test_shortcuts_are_worth_what_can_be_calculated(names, digits, length, prefix):
    references = needle(length=length, names=names, values=1, queries=1, digits=digits).references(2500)
    assert expected_prefix(names, digits) == pytest.approx(prefix, abs=0.002)
    assert references == pytest.approx(
        {
            "constant": 0.1,
            "oracle": 1,
            "first_value": 0.1 + 0.9 / names,
            "value_prefix": prefix,
        },
        abs=0.035,
    )
    assert references["oracle"] == 1


@pytest.mark.parametrize(("chains", "hops"), [(2, 2), (4, 1)])
def test_guessing_a_chain_is_worth_what_can_be_calculated(chains, hops):
    references = variables(length=400, chains=chains, hops=hops, digits=1).references(2500)
    assert references["constant"] == pytest.approx(0.1, abs=0.025)
    assert references["first_value"] == references["value_prefix"] == pytest.approx(0.1 + 0.9 / chains, abs=0.025)
    assert references["first_value"] < references["last_value"] < 0.75
    assert references["oracle"] == 1


def test_a_needle_within_the_words_of_a_needle_is_read():
    # The text itself may say `The number of` where a sentence begins.
    tokens = [*b"x The number of The number of bcdfg is 7. y", 256, *b"bcdfg", 257]
    assert read(tokens, 1)[1] == [(15, "bcdfg", "7")]
    spec = needle(length=len(tokens), names=1, values=1, queries=1, digits=1)
    oracle = spec.predictors(spec.batch("train", 0, 1))["oracle"]
    row = spec.batch("train", 0, 1).tokens_BT.new_tensor([tokens])
    assert chr(oracle(row)[0, -1]) == "7"


def test_the_worked_examples_are_examples():
    for spec, drawing in (
        (needle(length=100, names=2, values=1, queries=1, digits=3), TextNeedle.__doc__),
        (variables(length=131, chains=1, hops=1, digits=2), TextVariables.__doc__),
    ):
        tokens, targets = (tensor[0].tolist() for tensor in spec.batch("train", 0, 1))
        written = "".join(chr(token) if token < 256 else f" {token} " for token in tokens).replace("  ", " ")
        drawn = re.search(r"tokens     (.*)\n        targets", drawing, re.DOTALL).group(1).replace("\n" + " " * 19, "")
        assert drawn == written
        answer = bytes(target for target in targets if target != IGNORE).decode()
        assert f"targets    {answer} at the last" in drawing


@pytest.mark.parametrize("make", [needle, variables])
def test_lengths_that_do_not_fit_are_refused_with_a_remedy_that_works(make):
    with pytest.raises(ValueError, match=r"length 50 leaves no text .* raise length to") as error:
        make().at_length(50)
    shortest = int(re.search(r"raise length to (\d+)", str(error.value)).group(1))
    assert make().at_length(shortest).batch("test", 0, 3).tokens_BT.shape == (3, shortest)
    with pytest.raises(ValueError, match="raise length"):
        make().at_length(shortest - 1)
    with pytest.raises(ValueError, match=r"no train document holds .* lower length by at least") as error:
        make().at_length(300_000)
    longest = 300_000
    for split in SPLITS:
        with pytest.raises(ValueError, match=f"no {split} document") as error:
            make(length=300_000).batch(split, 0, 1)
        longest = min(longest, 300_000 - int(str(error.value).rpartition(" ")[2]))
    assert make().at_length(longest).batch("test", 0, 1).tokens_BT.shape == (1, longest)
    with pytest.raises(ValueError, match="lower length"):
        make().at_length(longest + 1)


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"queries": 4}, "raise names to 4 or lower queries"),
        ({"depth": 1.5}, "less than or equal to 1"),
        ({"depth": -0.1}, "greater than or equal to 0"),
        ({"values": 0}, "greater than or equal to 1"),
    ],
)
def test_infeasible_needles_are_refused(fields, remedy):
    with pytest.raises(ValidationError, match=remedy):
        needle(**fields)


def test_longer_numbers_than_names_are_refused():
    with pytest.raises(ValidationError, match="less than or equal to 5"):
        variables(digits=6)
