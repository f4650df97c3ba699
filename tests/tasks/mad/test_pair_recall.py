"""In-context recall with and without noise, against a loop over pairs."""

import pytest
import torch
from pydantic import ValidationError

from tasks.draws import stream
from tasks.mad.in_context_recall import InContextRecall
from tasks.mad.noisy_recall import NoisyRecall
from tasks.mad.pairs import PairRecall
from tasks.task import IGNORE
from tests.tasks.mad.drawings import drawn

NOISE = {"noise_tokens": 16, "noise_fraction": 0.2}


def clean(length=128, vocabulary=16, labels="seen", examples=None) -> InContextRecall:
    return InContextRecall(
        name="mad-in-context-recall", length=length, vocabulary=vocabulary, labels=labels, examples=examples
    )


def noisy(length=128, vocabulary=32, labels="seen", examples=None, **noise) -> NoisyRecall:
    fields = {"length": length, "vocabulary": vocabulary, "labels": labels, "examples": examples}
    return NoisyRecall(name="mad-noisy-recall", **fields, **(NOISE | noise))


SPECS = [
    clean(),
    clean(length=4, vocabulary=4),
    clean(length=30, vocabulary=7),
    noisy(),
    noisy(length=8, noise_fraction=0.95),
    noisy(length=40, vocabulary=13, noise_tokens=4, noise_fraction=0.6),
]
EACH = pytest.mark.parametrize("spec", SPECS, ids=repr)


def halves(spec: PairRecall) -> tuple[int, int]:
    """Returns the first value and the first noise token."""
    first_noise = spec.vocabulary - getattr(spec, "noise_tokens", 0)
    return first_noise // 2, first_noise


def seen_labels(spec: PairRecall, tokens: list[int]) -> list[int]:
    first_value, first_noise = halves(spec)
    values, targets = {}, []
    for key, value in zip(tokens[::2], tokens[1::2], strict=True):
        if key >= first_noise:
            assert value >= first_noise
            targets += [IGNORE, IGNORE]
            continue
        assert key < first_value <= value < first_noise
        targets += [values.get(key, IGNORE), IGNORE]
        assert values.setdefault(key, value) == value
    return targets


@EACH
@pytest.mark.parametrize("split", ["train", "test"])
def test_targets_are_the_values_of_the_keys_seen_before(spec, split):
    for tokens, targets in zip(*(tensor.tolist() for tensor in spec.batch(split, 0, 300)), strict=True):
        assert len(tokens) == spec.length
        assert targets == seen_labels(spec, tokens)
        assert targets[-2] == tokens[-1]


@EACH
def test_all_labels_are_the_next_tokens_in_training_and_those_of_seen_elsewhere(spec):
    every = spec.at({"labels": "all"})
    tokens_BT, targets_BT = every.batch("train", 2, 50)
    assert torch.equal(tokens_BT, spec.batch("train", 2, 50).tokens_BT)
    assert torch.equal(targets_BT[:, :-1], tokens_BT[:, 1:])
    assert (targets_BT[:, -1] == IGNORE).all()
    for split in ("validation", "test"):
        for found, expected in zip(every.batch(split, 2, 50), spec.batch(split, 2, 50), strict=True):
            assert torch.equal(found, expected)
    assert every.references(200) == spec.references(200)


@pytest.mark.parametrize(
    ("spec", "index"),
    [
        (clean(length=10, vocabulary=6), 49),
        (noisy(length=12, vocabulary=8, noise_tokens=2, noise_fraction=0.4), 109),
    ],
    ids=["clean", "noisy"],
)
def test_the_drawing_is_a_batch(spec, index):
    for labels in ("seen", "all"):
        tokens_BT, targets_BT = spec.at({"labels": labels}).batch("train", index, 1)
        assert tokens_BT.tolist() == [drawn(type(spec), "tokens")]
        assert targets_BT.tolist() == [drawn(type(spec), f"targets, {labels}")]


@pytest.mark.parametrize("spec", [clean(), noisy()], ids=["clean", "noisy"])
def test_keys_and_values_are_uniform_and_every_key_shown_is_as_likely_to_be_the_probe(spec):
    tokens_BT = spec.draw(stream("train", 0), 4000).tokens_BT
    first_value, first_noise = halves(spec)
    for columns, first, end in ((slice(0, -2, 2), 0, first_value), (slice(1, -2, 2), first_value, first_noise)):
        kept = tokens_BT[:, columns]
        counts = kept[(kept >= first) & (kept < end)].bincount()[first:].double()
        assert (counts / counts.mean()).tolist() == pytest.approx([1] * (end - first), abs=0.06)
    shown = [{key for key in row[:-2:2] if key < first_value} for row in tokens_BT.tolist()]
    ranks = [sorted(keys).index(key) / len(keys) for keys, key in zip(shown, tokens_BT[:, -2].tolist(), strict=True)]
    assert sum(ranks) / len(ranks) == pytest.approx(0.5 - 1 / 16, abs=0.02)


def test_a_rare_key_is_as_likely_the_probe_as_a_frequent_one():
    # Three pairs of which two show one key and one another: each is asked in half of the rows.
    tokens_BT = clean(length=8, vocabulary=4).draw(stream("train", 0), 20_000).tokens_BT
    twice_B = tokens_BT[:, :6:2].sum(1) == 1
    assert twice_B.sum() > 5000
    assert (tokens_BT[twice_B, 6] == 1).double().mean().item() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.8])
def test_pairs_are_noise_in_the_stated_fraction_but_for_one(fraction):
    spec = noisy(noise_fraction=fraction)
    tokens_BT = spec.draw(stream("train", 0), 3000).tokens_BT
    noise_BN = tokens_BT[:, :-2:2] >= 16
    assert torch.equal(noise_BN, tokens_BT[:, 1:-2:2] >= 16)
    assert noise_BN.double().mean().item() == pytest.approx(fraction * 62 / 63, abs=0.005)
    assert not noise_BN.all(1).any()
    if fraction:
        assert tokens_BT[tokens_BT >= 16].unique().tolist() == list(range(16, 32))


def test_the_only_pair_that_is_no_noise_may_be_anywhere():
    tokens_BT = noisy(length=10, noise_fraction=0.999).draw(stream("train", 0), 4000).tokens_BT
    shares = (tokens_BT[:, :-2:2] < 16).double().mean(0)
    assert shares.tolist() == pytest.approx([0.25] * 4, abs=0.03)


def test_answering_by_a_value_of_the_context_is_better_than_chance_by_far():
    # MAD states 1/8, one of eight values.
    references = clean().references(4000)
    labels = 1 + sum(1 - (7 / 8) ** before for before in range(63))
    same = 63 / 8 / labels  # ask for the key just read
    assert references["constant"] == pytest.approx(1 / 8, abs=0.01)
    assert references["last_token"] == pytest.approx(1 / 8, abs=0.01)
    assert references["last_value"] == pytest.approx(same + (1 - same) / 8, abs=0.01)
    assert references["common_value"] == pytest.approx(0.317, abs=0.01)


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"length": 7}, {"length": 8}),
        ({"length": 0}, {"length": 4}),
        ({"vocabulary": 3}, {"vocabulary": 4}),
        ({"vocabulary": 19, "noise_tokens": 16}, {"vocabulary": 20}),
    ],
)
def test_infeasible_points_are_refused_with_a_remedy_that_works(fields, remedy):
    spec = noisy() if "noise_tokens" in fields else clean()
    (field, value), *_ = remedy.items()
    with pytest.raises(ValidationError, match=f"raise {field} to {value}"):
        spec.at(fields)
    spec.at(fields | remedy)


@pytest.mark.parametrize("fraction", [1.0, -0.1])
def test_a_row_of_noise_alone_is_refused(fraction):
    with pytest.raises(ValidationError, match="noise_fraction"):
        noisy(noise_fraction=fraction)
