"""What all formal languages share: drawings, lengths, padding, presets, refusals."""

import re

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tasks.draws import stream
from tasks.languages.counting import Set
from tasks.languages.presets import PRESETS
from tasks.languages.stack import StackManipulation
from tasks.languages.strings import OddsFirst, Repetition
from tasks.task import IGNORE, Batch
from tests.tasks.languages.rows import ROWS, VARIANTS, language, spec

ALL = pytest.mark.parametrize(("task", "source"), VARIANTS)
DRAWING = re.compile(r"^ *tokens(?:, (\w+))? +(\d[ \d]*).*\n *targets(?:, (\w+))? +([ .\d]+)", re.MULTILINE)
PARAMETER = re.compile(r"(symbols|positions|modulus) (\d+)")
DRAWINGS = [
    pytest.param(task, source, tokens.split(), targets.split(), id=f"{task.__name__}-{source}-{place}")
    for task in ROWS
    for place, (source, tokens, again, targets) in enumerate(DRAWING.findall(task.__doc__))
    if source == again
]


def test_every_layout_of_every_language_is_drawn():
    drawn = {(param.values[0], param.values[1] or None) for param in DRAWINGS}
    assert drawn == set(VARIANTS)
    assert len(DRAWINGS) == sum(len(re.findall(r"^ *tokens", task.__doc__, re.MULTILINE)) for task in ROWS)


@pytest.mark.parametrize(("task", "source", "tokens", "targets"), DRAWINGS)
def test_the_drawing_in_the_docstring_is_right(task, source, tokens, targets):
    assert len(tokens) == len(targets)
    fields = {name: int(value) for name, value in PARAMETER.findall(task.__doc__.split("\n\n")[1])}
    drawn = spec(task, source, **fields, length=len(tokens))
    answers = [IGNORE if target == "." else int(target) for target in targets]
    sample = drawn.draw(stream("train", 0), 9)
    answers_BT = drawn.predictors(sample)["oracle"](torch.tensor([[int(token) for token in tokens]]))
    assert answers_BT.tolist() == [answers]
    assert max(map(int, tokens)) < drawn.vocabulary_size


@ALL
def test_answers_are_due_where_the_oracle_gives_them_and_blanks_are_on_the_right(task, source):
    posed = spec(task, source)
    tokens_BT, targets_BT = posed.batch("train", 0, 300)
    answers_BT = posed.predictors(Batch(tokens_BT, targets_BT))["oracle"](tokens_BT)
    assert torch.equal(answers_BT == IGNORE, targets_BT == IGNORE)
    filled_BT = tokens_BT != posed.padding
    assert torch.equal(filled_BT, filled_BT.int().cummin(1).values.bool())


@ALL
@pytest.mark.parametrize("length", [*range(4, 13), 40])
def test_a_task_posed_at_a_length_takes_up_all_of_it_but_what_no_example_takes(task, source, length):
    posed = spec(task, source, length=length, **({"symbols": 126} if task is Set else {}))
    tokens_BT, targets_BT = posed.draw(stream("test", 0), 200)
    used_B = ((tokens_BT != posed.padding) | (targets_BT != IGNORE)).flip(1).int().argmax(1)
    unused = 2 if (task, source) == (Repetition, "deletang") else 1
    assert tokens_BT.shape == (200, length)
    assert used_B.min() <= unused
    if task not in (Set, StackManipulation):
        assert used_B.unique().numel() == 1


@ALL
def test_lengths_are_uniform(task, source):
    mixed = spec(task, source, minimum_length=6, maximum_length=17)
    tokens_BT = mixed.draw(stream("train", 0), 12_000).tokens_BT
    alone = [spec(task, source, length=length).draw(stream("train", 1), 50) for length in range(6, 18)]
    content = [int((tokens != 0).sum(1).max()) for tokens, _ in alone]
    expected = np.bincount(content, minlength=18) * 1000
    found = (tokens_BT != 0).sum(1).bincount(minlength=18).numpy()
    assert found == pytest.approx(expected, abs=150)
    assert (found == 0).tolist() == (expected == 0).tolist()


def test_presets_have_the_vocabularies_of_the_paper():
    found = {key.split("/")[1]: task.vocabulary_size for key, task in PRESETS.items() if key.startswith("xlstm/")}
    assert found == {
        "bucket-sort": 11,
        "cycle-navigation": 9,
        "even-pairs": 3,
        "majority": 64,
        "majority-count": 64,
        "missing-duplicate": 11,
        "modular-arithmetic": 10,
        "modular-arithmetic-brackets": 12,
        "odds-first": 12,
        "repetition": 12,
        "reverse": 12,
        "stack-manipulation": 11,
        "set": 128,
        "solve-equation": 14,
    }


CHANCE = {
    "bucket-sort": 10,
    "cycle-navigation": 5,
    "majority": 63,
    "missing-duplicate": 9,
    "odds-first": 10,
    "set": 126,
}


@pytest.mark.parametrize(("name", "answers"), CHANCE.items())
def test_presets_have_as_many_answers_as_the_paper_takes_for_chance(name, answers):
    _, targets_BT = PRESETS[f"xlstm/{name}"].draw(stream("train", 0), 3000)
    assert len(targets_BT[targets_BT != IGNORE].unique()) == answers


SIZES = {
    "xlstm/cycle-navigation": range(2, 40),  # and the answer: 3 to 40
    "xlstm/even-pairs": range(2, 40),
    "xlstm/modular-arithmetic": range(2, 40, 2),  # odd sizes 3 to 39, and = for the answer
    "xlstm/reverse": range(3, 22),
    "deletang/bucket-sort": range(1, 41),
    "deletang/cycle-navigation": range(1, 41),
    "deletang/even-pairs": range(1, 41),
    "deletang/missing-duplicate": range(2, 41),
    "deletang/modular-arithmetic": range(1, 41, 2),
    "deletang/modular-arithmetic-brackets": range(1, 41),
    "deletang/odds-first": range(1, 41),
    "deletang/repetition": range(1, 41),
    "deletang/reverse": range(1, 41),
    "deletang/stack-manipulation": range(1, 41),
    "deletang/solve-equation": range(3, 41),
    "cdes/bucket-sort": range(3, 22),  # 2 to 20 symbols and ACT
    "cdes/set": range(3, 22),
    "cdes/stack-manipulation": range(3, 22),
    "cdes/majority": range(3, 41),
    "cdes/missing-duplicate": range(4, 41, 2),
    "cdes/modular-arithmetic-brackets": range(3, 41),
    "cdes/solve-equation": range(4, 41),
    "grazzi/modular-arithmetic-brackets": range(3, 39),
}


@pytest.mark.parametrize(("key", "sizes"), SIZES.items(), ids=SIZES)
def test_strings_of_a_preset_are_of_the_sizes_of_its_source_equally_often(key, sizes):
    tokens_BT = PRESETS[key].draw(stream("train", 0), 12_000).tokens_BT
    found = (tokens_BT != 0).sum(1).bincount(minlength=41).numpy()
    assert found.nonzero()[0].tolist() == list(sizes)
    assert found[found > 0] * len(sizes) / 12_000 == pytest.approx(np.ones(len(sizes)), abs=0.3)


@pytest.mark.parametrize("key", PRESETS)
def test_presets_are_named_for_their_source_and_can_be_drawn_at_the_lengths_of_the_test(key):
    source, name = key.split("/")
    assert PRESETS[key].name == name
    assert source == "xlstm" or getattr(PRESETS[key], "source", "cdes") in (source, "xlstm")
    tokens_BT, targets_BT = PRESETS[key].at({"minimum_length": 40, "maximum_length": 256}).batch("test", 0, 8)
    assert tokens_BT.shape == (8, 256)
    assert (targets_BT != IGNORE).any(1).all()


@ALL
def test_infeasible_lengths_are_refused_with_a_remedy_that_works(task, source):
    with pytest.raises(ValidationError, match="raise maximum_length or lower minimum_length"):
        spec(task, source, minimum_length=31)
    for length in range(1, task.shortest):
        with pytest.raises(ValidationError, match=f"raise minimum_length to {task.shortest}"):
            spec(task, source, minimum_length=length)
    shortest = spec(task, source, length=task.shortest)
    assert (shortest.draw(stream("train", 0), 40).targets_BT != IGNORE).any(1).all()


@pytest.mark.parametrize(
    ("task", "fields", "remedy"),
    [
        (OddsFirst, {"symbols": 1, "source": "cdes"}, "greater than or equal to 2"),
        (OddsFirst, {"symbols": 2, "source": "xlstm"}, "'deletang' or 'cdes'"),
        (StackManipulation, {"symbols": 0, "source": "cdes"}, "greater than or equal to 2"),
    ],
)
def test_fields_out_of_range_are_refused_with_the_range(task, fields, remedy):
    with pytest.raises(ValidationError, match=remedy):
        language(task, minimum_length=3, maximum_length=9, **fields)


@ALL
def test_the_oracle_leaves_the_tokens_as_they_are(task, source):
    posed = spec(task, source)
    batch = posed.batch("test", 0, 50)
    before = batch.tokens_BT.clone()
    for predict in posed.predictors(batch).values():
        predict(batch.tokens_BT)
    assert torch.equal(batch.tokens_BT, before)
