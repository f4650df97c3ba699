"""Every task in the registry keeps the contract of `tasks/task.py`. To add a task, add its row."""

import hashlib
import random
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tasks import AnyTask
from tasks.draws import integers, stream
from tasks.partition import side_of
from tasks.series.series import SeriesBatch
from tasks.task import SyntheticTask, Task, TokenTask
from tests.tasks.context import rows as context
from tests.tasks.documents import rows as documents
from tests.tasks.language import rows as language
from tests.tasks.languages import rows as languages
from tests.tasks.mad import rows as mad
from tests.tasks.memory import rows as memory
from tests.tasks.series import rows as series
from tests.tasks.state import rows as state

SPLITS = ("train", "validation", "test")
MEMBERS = get_args(get_args(AnyTask)[0])
ADAPTER = TypeAdapter(AnyTask)


FAMILIES = (memory, state, language, documents, languages, context, mad, series)
TABLE = {task: row for family in FAMILIES for task, row in family.ROWS.items()}
ROWS = [pytest.param(row, id=task.__name__) for task, row in TABLE.items()]
SYNTHETIC = [pytest.param(row, id=task.__name__) for task, row in TABLE.items() if issubclass(task, SyntheticTask)]
PARTITIONED = [param for param in SYNTHETIC if param.values[0].spec.partitioned]
LARGE = [param for param in SYNTHETIC if not param.values[0].spec.partitioned]
FIELDS = [
    pytest.param(row, field, id=f"{task.__name__}-{field}")
    for task, row in TABLE.items()
    for field in task.model_fields
]


def digest(batch: tuple[torch.Tensor, ...]) -> str:
    little = {torch.int64: "<i8", torch.float32: "<f4", torch.bool: "|b1"}
    parts = [tensor.numpy().astype(little[tensor.dtype]).tobytes() for tensor in batch]
    return hashlib.sha256(b"".join([str(tuple(batch[0].shape)).encode(), *parts])).hexdigest()[:16]


def assert_kept(task: Task, batch: tuple[torch.Tensor, ...], size: int) -> None:
    assert len(batch.inputs) == size
    assert batch.inputs.is_contiguous()
    assert batch.labelled_BT.shape == batch.inputs.shape[:2]
    assert batch.labelled_BT.any(1).all()
    if isinstance(batch, SeriesBatch):
        assert batch.values_BTC.dtype == batch.targets_BTH.dtype == torch.float32
        assert batch.values_BTC.shape[2] == task.channels
        assert batch.targets_BTH.shape == (*batch.labelled_BT.shape, task.outputs)
        assert batch.values_BTC.isfinite().all()
        assert batch.targets_BTH.isfinite().all()
        return
    assert batch.tokens_BT.dtype == batch.targets_BT.dtype == torch.int64
    assert batch.tokens_BT.shape == batch.targets_BT.shape
    for values in (batch.tokens_BT, batch.targets_BT[batch.labelled_BT]):
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


@pytest.mark.parametrize("row", PARTITIONED)
def test_no_example_of_a_small_task_is_in_two_splits(row):
    for task in (row.spec, row.spec.at_length(row.length)):
        for split in SPLITS:
            tokens_BT = task.batch(split, 0, 300).tokens_BT.numpy()
            assert (side_of(tokens_BT, padding=task.padding) == split).all()


@pytest.mark.parametrize("row", LARGE)
def test_no_example_of_a_large_task_is_drawn_twice(row):
    drawn = [example.tobytes() for split in SPLITS for example in row.spec.batch(split, 0, 3000).tokens_BT.numpy()]
    assert len(set(drawn)) == len(drawn)


def test_padding_does_not_move_an_example_to_another_split():
    tokens_BT = integers(stream("train", 0), 5, (500, 30))
    padded_BT = np.pad(tokens_BT, ((0, 0), (0, 40)), constant_values=5)
    assert (side_of(tokens_BT, padding=5) == side_of(padded_BT, padding=5)).all()
    shares = [(side_of(tokens_BT, padding=5) == split).mean() for split in SPLITS]
    assert shares == pytest.approx([6 / 8, 1 / 8, 1 / 8], abs=0.04)


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
    if isinstance(longer, TokenTask):
        assert longer.vocabulary_size == row.spec.vocabulary_size
    batch = longer.batch("test", 0, 9)
    assert_kept(longer, batch, 9)
    assert batch.inputs.shape[:2] == (9, row.length)
    assert longer.at_length(row.length) == longer


@pytest.mark.parametrize("row", ROWS)
def test_an_infeasible_length_is_refused(row):
    for length in (0, -1):
        with pytest.raises(ValueError, match="length"):
            row.spec.at_length(length)


@pytest.mark.parametrize("row", SYNTHETIC)
def test_the_oracle_is_perfect_and_every_shortcut_lies_between_chance_and_it(row):
    references = row.spec.references(4000)
    assert references.pop("oracle") == pytest.approx(row.ceiling, abs=0 if row.ceiling == 1 else 0.03)
    assert len(references) >= 2
    assert "constant" in references
    batch = row.spec.batch("test", 0, 4000)
    chance = 1 / len(batch.targets_BT[batch.labelled_BT].unique())
    for name, score in references.items():
        assert chance - 0.03 < score, name
        assert score > 0.99 if name in row.solved_by else score < 0.9, name


@pytest.mark.parametrize("row", SYNTHETIC)
def test_references_can_be_measured_at_another_length(row):
    references = row.spec.at_length(row.length).references(500)
    assert references["oracle"] == 1 or row.ceiling < 1
    assert references.keys() == row.spec.references(500).keys()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@given(
    data=st.data(),
    split=st.sampled_from(SPLITS),
    index=st.integers(0, 2**62),
    size=st.integers(1, 12),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_feasible_spec_keeps_the_contract(family, data, split, index, size):
    spec = data.draw(family.SPECS)
    batch = spec.batch(split, index, size)
    assert_kept(spec, batch, size)
    if isinstance(spec, SyntheticTask) and TABLE[type(spec)].ceiling == 1:
        labelled = batch.labelled_BT
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
