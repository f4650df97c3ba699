"""Parity and the word problems against loops that know nothing of scans."""

from itertools import permutations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tasks.draws import stream
from tasks.state.parity import Parity
from tasks.state.tracking import ELEMENTS, StateTracking, composition, prefix_products
from tasks.state.word_problem import WordProblem
from tasks.task import IGNORE

BOTH = pytest.mark.parametrize("group", ["S2", "S3"])
EVERY = pytest.mark.parametrize("group", sorted(ELEMENTS))
ORDER = {"S2": 2, "S3": 6, "S5": 120, "A5": 60, "A4xZ5": 60, "Z60": 60}


def tracking(group: str, minimum_length=3, maximum_length=40, labels="dense") -> StateTracking:
    fields = {"minimum_length": minimum_length, "maximum_length": maximum_length, "labels": labels}
    return Parity(name="parity", **fields) if group == "S2" else WordProblem(name="word-problem", group=group, **fields)


def unpadded(spec: StateTracking, tokens: list[int]) -> list[int]:
    return [token for token in tokens if token != spec.vocabulary_size - 1]


def parities(bits: list[int]) -> list[int]:
    return [bits[: t + 1].count(1) % 2 for t in range(len(bits))]


def where_letters_go(word: str, element: int) -> str:
    """Returns the word with every letter replaced by where the element, written as in the docstring, sends it."""
    images = ["abc", "acb", "bac", "bca", "cab", "cba"]
    return word.translate(str.maketrans("abc", images[element]))


def products(elements: list[int]) -> list[int]:
    images, word, found = ["abc", "acb", "bac", "bca", "cab", "cba"], "abc", []
    for element in elements:
        word = where_letters_go(word, element)
        found.append(images.index(word))
    return found


def even(arrangement: tuple[int, ...]) -> bool:
    """Sorts by swaps, and counts them."""
    arrangement, swaps = list(arrangement), 0
    for place in range(len(arrangement)):
        while arrangement[place] != place:
            other = arrangement[place]
            arrangement[place], arrangement[other] = arrangement[other], other
            swaps += 1
    return swaps % 2 == 0


def arranged(points: int, elements: list[int], *, only_even: bool) -> list[int]:
    """The running product of permutations as what becomes of a row of cards that each reorders."""
    numbered = [p for p in sorted(permutations(range(points))) if not only_even or even(p)]
    image, found = list(range(points)), []
    for element in elements:
        image = [numbered[element][card] for card in image]
        found.append(numbered.index(tuple(image)))
    return found


def pairs(elements: list[int]) -> list[int]:
    left = arranged(4, [element // 5 for element in elements], only_even=True)
    right = [sum(element % 5 for element in elements[: t + 1]) % 5 for t in range(len(elements))]
    return [5 * a + z for a, z in zip(left, right, strict=True)]


NAIVE = {
    "S2": parities,
    "S3": products,
    "S5": lambda elements: arranged(5, elements, only_even=False),
    "A5": lambda elements: arranged(5, elements, only_even=True),
    "A4xZ5": pairs,
    "Z60": lambda elements: [sum(elements[: t + 1]) % 60 for t in range(len(elements))],
}


@EVERY
@pytest.mark.parametrize("labels", ["dense", "final"])
def test_targets_are_those_of_a_naive_loop_and_padding_is_on_the_right(group, labels):
    spec = tracking(group, labels=labels)
    for tokens, targets in zip(*(tensor.tolist() for tensor in spec.batch("train", 0, 300)), strict=True):
        elements = unpadded(spec, tokens)
        padding = [spec.vocabulary_size - 1] * (40 - len(elements))
        answers = NAIVE[group](elements)
        if labels == "final":
            answers = [IGNORE] * (len(elements) - 1) + answers[-1:]
        assert 3 <= len(elements) <= 40
        assert tokens == elements + padding
        assert targets == answers + [IGNORE] * len(padding)


@BOTH
def test_lengths_and_elements_are_uniform(group):
    spec = tracking(group, minimum_length=3, maximum_length=10)
    tokens_BT = spec.draw(stream("train", 0), 16_000).tokens_BT  # of which the splits take their parts
    elements = spec.vocabulary_size - 1
    lengths = (tokens_BT != elements).sum(1).bincount(minlength=11)
    assert lengths[3:].double().numpy() / 2000 == pytest.approx(np.ones(8), abs=0.12)
    shares = tokens_BT[tokens_BT != elements].bincount().double()
    assert (shares / shares.mean()).numpy() == pytest.approx(np.ones(elements), abs=0.03)


@EVERY
def test_elements_form_a_group(group):
    table, n = composition(group), len(ELEMENTS[group])
    assert n == ORDER[group]
    assert table.shape == (n, n)
    assert all(sorted(row) == list(range(n)) for row in (*table.tolist(), *table.T.tolist()))
    assert all(table[0, a] == table[a, 0] == a for a in range(n))
    assert np.array_equal(table[table], table[:, table])


@EVERY
def test_order_matters_unless_the_group_is_commutative(group):
    assert np.array_equal(composition(group), composition(group).T) == (group in ("S2", "Z60"))


@pytest.mark.parametrize(("group", "members"), [("A5", 60), ("S5", 60), ("S3", 3), ("A4xZ5", 4), ("Z60", 1)])
def test_commutators_generate_all_of_a5_alone(group, members):
    # A5 is its own commutator subgroup, so not solvable; those of the others are A5, A3, four elements of A4, and one.
    table = composition(group)
    inverse = table.argmin(1)
    commutators = set(table[table, table[inverse[:, None], inverse]].flatten().tolist())
    while (grown := {int(table[a, b]) for a in commutators for b in commutators}) != commutators:
        commutators = grown
    assert len(commutators) == members


def test_the_first_token_acts_first():
    assert prefix_products(np.array([[1, 2], [2, 1]]), "S3")[:, -1].tolist() == [3, 4]


def test_s2_is_addition_modulo_two():
    assert composition("S2").tolist() == [[0, 1], [1, 0]]


def test_the_worked_examples_are_right():
    assert prefix_products(np.array([[1, 0, 1, 1]]), "S2").tolist() == [[1, 1, 0, 1]]
    assert prefix_products(np.array([[1, 2, 5, 5]]), "S3").tolist() == [[1, 3, 2, 3]]


@pytest.mark.parametrize("length", [1, 2, 3, 31, 32, 33, 100])
def test_the_scan_is_the_loop_at_every_length(length):
    elements_BT = np.floor(stream("test", length).random((4, length)) * 6).astype(np.int64)
    assert prefix_products(elements_BT, "S3").tolist() == [products(row) for row in elements_BT.tolist()]


@EVERY
def test_a_task_posed_at_a_length_is_unpadded_and_labelled_at_the_last_token_alone(group):
    spec = tracking(group).at_length(57)
    tokens_BT, targets_BT = spec.batch("test", 0, 50)
    assert spec.labels == "final"
    assert (tokens_BT < spec.vocabulary_size - 1).all()
    assert (targets_BT[:, :-1] == IGNORE).all()
    assert targets_BT[:, -1].tolist() == [NAIVE[group](row)[-1] for row in tokens_BT.tolist()]


@BOTH
def test_shortcuts_are_worth_nothing_at_the_last_token(group):
    # Of shorter sequences there are so few that those of one split are not balanced.
    references = tracking(group, minimum_length=14, labels="final").references(8000)
    for name in ("constant", "last_token", "length"):
        assert references[name] == pytest.approx(1 / {"S2": 2, "S3": 6}[group], abs=0.02), name


@BOTH
def test_dense_labels_give_the_first_token_away(group):
    references, chance = tracking(group).references(4000), 1 / {"S2": 2, "S3": 6}[group]
    first = 1 / 21.5  # one label in as many as an example has on average
    assert references["last_token"] == pytest.approx(first + (1 - first) * chance, abs=0.01)
    assert references["length"] == pytest.approx(chance, abs=0.01)


def test_the_oracle_reads_tokens_alone_and_leaves_them_as_they_are():
    spec = tracking("S3")
    tokens_BT, _ = spec.batch("test", 0, 5)
    before = tokens_BT.clone()
    spec.predictors(spec.batch("train", 0, 5))["oracle"](tokens_BT)
    assert torch.equal(tokens_BT, before)


@BOTH
@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"minimum_length": 41}, "raise maximum_length or lower minimum_length"),
        ({"minimum_length": 0}, "greater than or equal to 1"),
        ({"minimum_length": 1, "maximum_length": 1}, "greater than or equal to 2"),
        ({"labels": "last"}, "'dense' or 'final'"),
    ],
)
def test_infeasible_points_are_refused_with_a_remedy(group, fields, remedy):
    with pytest.raises(ValidationError, match=remedy):
        tracking(group, **fields)
