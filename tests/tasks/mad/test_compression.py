"""Compression: random tokens, all of them to be told from the last one's features."""

import pytest
import torch
from pydantic import ValidationError

from tasks.draws import stream
from tasks.mad.compression import Compression
from tests.tasks.mad.drawings import drawn


def compression(length=32, vocabulary=16, examples=None) -> Compression:
    return Compression(name="mad-compression", length=length, vocabulary=vocabulary, examples=examples)


@pytest.mark.parametrize("spec", [compression(), compression(length=2, vocabulary=3)], ids=repr)
def test_every_token_is_asked_and_the_last_one_closes(spec):
    tokens_BT, targets_BT = spec.batch("test", 0, 300)
    assert torch.equal(tokens_BT, targets_BT)
    assert tokens_BT.data_ptr() != targets_BT.data_ptr()
    assert tokens_BT.shape == (300, spec.length)
    assert (tokens_BT[:, -1] == spec.vocabulary - 1).all()
    assert (tokens_BT[:, :-1] < spec.vocabulary - 1).all()


def test_a_network_sees_the_last_position_alone():
    assert compression().bottleneck


def test_the_drawing_is_a_batch():
    tokens_BT, targets_BT = compression(length=8, vocabulary=6).batch("train", 0, 1)
    assert tokens_BT.tolist() == [drawn(Compression, "tokens")]
    assert targets_BT.tolist() == [drawn(Compression, "targets")]


def test_tokens_are_uniform_and_independent_of_their_neighbours():
    tokens_BT = compression(length=41, vocabulary=6).draw(stream("train", 0), 4000).tokens_BT[:, :-1]
    cells = (5 * tokens_BT[:, :-1] + tokens_BT[:, 1:]).flatten().bincount().double()
    assert (cells / cells.mean()).tolist() == pytest.approx([1] * 25, abs=0.06)


def test_floors_are_those_of_guessing_with_the_last_token_for_free():
    references = compression().references(4000)
    assert references["constant"] == pytest.approx(31 / 32 / 15, abs=0.004)
    assert references["position"] == pytest.approx(1 / 32 + 31 / 32 / 15, abs=0.004)
    assert references["last_four"] == pytest.approx(4 / 32 + 28 / 32 / 15, abs=0.004)


@pytest.mark.parametrize("fields", [{"length": 1}, {"vocabulary": 2}])
def test_nothing_to_compress_is_refused(fields):
    with pytest.raises(ValidationError, match="greater than or equal to"):
        compression(**fields)
