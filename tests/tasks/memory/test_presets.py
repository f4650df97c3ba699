"""The published settings of recall and memory."""

import re

import pytest
from pydantic import TypeAdapter

from tasks import AnyTask
from tasks.memory.presets import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_drawn_and_survives_json(name):
    task = PRESETS[name]
    batch = task.batch("test", 0, 2)
    assert batch.tokens_BT.max() < task.vocabulary_size
    assert TypeAdapter(AnyTask).validate_json(task.model_dump_json()) == task
    if setting := re.search(r"(\d+)-(\d+)$", name):
        length, pairs = map(int, setting.groups())
        assert batch.tokens_BT.shape == (2, length)
        assert (batch.labelled_BT.sum(1) == pairs).all()


@pytest.mark.parametrize(("name", "count"), [("zoology/figure-2", 4), ("zoology/mixture", 8), ("xlstm/mqar", 20)])
def test_every_setting_of_a_publication_is_there(name, count):
    assert sum(preset.startswith(name) for preset in PRESETS) == count


def test_the_token_ranges_of_recall_are_those_of_zoology():
    tokens_BT, targets_BT = PRESETS["zoology/figure-2/256-16"].batch("train", 0, 2000)
    asked = targets_BT != -100
    assert (tokens_BT[asked].min(), tokens_BT[asked].max()) == (1, 4095)
    assert (targets_BT[asked].min(), targets_BT[asked].max()) == (4096, 8191)


def test_settings_of_the_mixture_weigh_as_many_examples_as_zoology_trains_on():
    found = {setting[:2]: setting.weight * 20_000 for setting in PRESETS["zoology/mixture"].settings}
    assert found == {(64, 4): 100_000, (128, 8): 20_000, (256, 16): 20_000, (256, 32): 20_000, (256, 64): 20_000}


def test_a_third_of_the_vocabulary_fills_where_the_source_fills_with_any_token():
    task = PRESETS["based/figure-2"]
    assert task.vocabulary == 8192
    assert task.vocabulary - task.fillers == pytest.approx(2 * task.fillers, abs=2)


@pytest.mark.parametrize(
    ("name", "length", "labels", "symbols"),
    [
        ("mamba/selective-copying", 4096, 16, 15),
        ("minhzou/selective-copying", 4128, 16, 14),
        ("mamba/induction-heads", 256, 1, 15),
    ],
)
def test_presets_have_as_many_answers_of_as_many_symbols_as_published(name, length, labels, symbols):
    batch = PRESETS[name].batch("train", 0, 300)
    assert batch.tokens_BT.shape == (300, length)
    assert (batch.labelled_BT.sum(1) == labels).all()
    assert len(batch.targets_BT[batch.labelled_BT].unique()) == symbols


def test_copying_is_packed_into_a_context_of_220_tokens_of_which_the_last_is_only_predicted():
    batch = PRESETS["jelassi/copying"].batch("train", 0, 300)
    assert batch.tokens_BT.shape == (300, 219)
    lines = (batch.targets_BT == 28).sum(1)
    assert lines.min() >= 5
    assert lines.double().mean() == pytest.approx(220 / 28 - 0.5, abs=0.6)  # a line has 28 tokens on average
