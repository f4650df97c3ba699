"""Fuzzy in-context recall against a loop that reads its rows, and one that writes them as MAD does."""

import random
from collections import Counter
from itertools import groupby, permutations

import pytest
import torch
from pydantic import ValidationError

from tasks.mad.fuzzy_recall import FuzzyRecall
from tasks.task import IGNORE
from tests.tasks.mad.drawings import drawn

Pair = tuple[tuple[int, ...], tuple[int, ...]]


def fuzzy(length=128, vocabulary=16, longest_key=3, longest_value=3, labels="seen", examples=None) -> FuzzyRecall:
    return FuzzyRecall(
        name="mad-fuzzy-recall",
        length=length,
        vocabulary=vocabulary,
        labels=labels,
        examples=examples,
        longest_key=longest_key,
        longest_value=longest_value,
    )


SPECS = [
    fuzzy(),
    fuzzy(length=5, vocabulary=5, longest_key=1, longest_value=1),
    fuzzy(length=20, vocabulary=9, longest_key=4, longest_value=2),
    fuzzy(length=41, vocabulary=64, longest_key=1, longest_value=4),
    fuzzy(length=60, vocabulary=8, longest_key=2, longest_value=4),
]
EACH = pytest.mark.parametrize("spec", SPECS, ids=repr)


def first_value(spec: FuzzyRecall) -> int:
    return (spec.vocabulary - 1) // 2


def pairs_of(spec: FuzzyRecall, tokens: list[int]) -> list[Pair]:
    runs = [tuple(run) for _, run in groupby(tokens, key=lambda token: token < first_value(spec))]
    return list(zip(runs[::2], runs[1::2], strict=True))


def whole_rows(spec: FuzzyRecall, split: str, size: int) -> list[list[int]]:
    """Returns the rows without pads, with the last token of the probe, which the tokens lack."""
    tokens_BT, targets_BT = spec.batch(split, 0, size)
    rows = torch.cat([tokens_BT, targets_BT[:, -1:]], dim=1).tolist()
    return [[token for token in row if token != spec.vocabulary - 1] for row in rows]


def seen_labels(spec: FuzzyRecall, pairs: list[Pair]) -> list[int]:
    """Returns what is asked at every token but the last, with pads before the first."""
    values, asked = {}, []
    for key, value in pairs:
        asked += [IGNORE] * len(key) + list(value if key in values else [IGNORE] * len(value))
        assert values.setdefault(key, value) == value
    return [IGNORE] * (spec.length + 1 - len(asked)) + asked


@EACH
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_targets_are_the_values_of_the_keys_seen_before(spec, split):
    tokens_BT, targets_BT = spec.batch(split, 0, 300)
    for row, tokens, targets in zip(whole_rows(spec, split, 300), tokens_BT.tolist(), targets_BT.tolist(), strict=True):
        pairs = pairs_of(spec, row)
        assert tokens == ([spec.vocabulary - 1] * spec.length + row)[-1 - spec.length : -1]
        assert targets == seen_labels(spec, pairs)[1:]
        assert pairs[-1] in pairs[:-1]
        for key, value in pairs:
            assert len(set(key)) == len(key) <= spec.longest_key
            assert len(set(value)) == len(value) <= spec.longest_value
            assert split == "train" or len(key) == spec.longest_key


@EACH
def test_pairs_are_read_as_long_as_any_two_would_fit(spec):
    for row in whole_rows(spec, "train", 300):
        *read, probe = [len(key) + len(value) for key, value in pairs_of(spec, row)]
        end = spec.length - probe - spec.longest_key - spec.longest_value
        assert sum(read[:-1]) < end <= sum(read)


@EACH
def test_all_labels_are_the_next_tokens_in_training_and_those_of_seen_elsewhere(spec):
    every = spec.at({"labels": "all"})
    tokens_BT, targets_BT = every.batch("train", 2, 50)
    seen = spec.batch("train", 2, 50)
    assert torch.equal(tokens_BT, seen.tokens_BT)
    assert torch.equal(targets_BT[:, :-1], tokens_BT[:, 1:])
    assert torch.equal(targets_BT[:, -1], seen.targets_BT[:, -1])
    for split in ("validation", "test"):
        for found, expected in zip(every.batch(split, 2, 50), spec.batch(split, 2, 50), strict=True):
            assert torch.equal(found, expected)
    assert every.references(200) == spec.references(200)


def test_the_drawing_is_a_batch():
    spec = fuzzy(length=15, vocabulary=8, longest_key=2, longest_value=2)
    for labels in ("seen", "all"):
        tokens_BT, targets_BT = spec.at({"labels": labels}).batch("train", 697, 1)
        assert tokens_BT.tolist() == [drawn(FuzzyRecall, "tokens")]
        assert targets_BT.tolist() == [drawn(FuzzyRecall, f"targets, {labels}")]


def motif(rng: random.Random, tokens: range, shortest: int, longest: int) -> tuple[int, ...]:
    return tuple(rng.sample(tokens, rng.randint(shortest, longest)))


def written(spec: FuzzyRecall, rng: random.Random, tested: bool) -> list[Pair]:
    """Returns the pairs of a row, one after the other as MAD draws them, but the last one is the probe if none was yet."""
    keys, values = range(first_value(spec)), range(first_value(spec), spec.vocabulary - 1)
    shortest, longest = spec.longest_key if tested else 1, spec.longest_key + spec.longest_value
    probe = motif(rng, keys, shortest, spec.longest_key), motif(rng, values, 1, spec.longest_value)
    end = spec.length - sum(map(len, probe)) - longest
    place, value_of, pairs, width = rng.randrange(end), dict([probe]), [], 0
    while width < end:
        key = motif(rng, keys, shortest, spec.longest_key)
        pair = key, value_of.get(key) or motif(rng, values, 1, spec.longest_value)
        if probe not in pairs and (width >= place or width + sum(map(len, pair)) >= end):
            pair = probe
        value_of |= dict([pair])
        pairs.append(pair)
        width += sum(map(len, pair))
    return [*pairs, probe]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("spec", [SPECS[0], SPECS[2], SPECS[4]], ids=repr)
def test_rows_are_like_those_written_one_pair_after_the_other(spec, split):
    rng = random.Random(1)
    naive = [written(spec, rng, split == "test") for _ in range(4000)]
    found = [pairs_of(spec, row) for row in whole_rows(spec, split, 4000)]

    def described(rows: list[list[Pair]]) -> list[float]:
        return [
            sum(map(statistic, rows)) / len(rows)
            for statistic in (
                len,
                lambda row: sum(len(key) + len(value) for key, value in row) / spec.length,
                lambda row: sum(len(key) for key, _ in row) / len(row),
                lambda row: len(set(row)) / len(row),
                lambda row: row.index(row[-1]) / len(row),
            )
        ]

    assert described(found) == pytest.approx(described(naive), rel=0.03)


def test_motifs_are_uniform_among_those_of_their_length_and_lengths_are_uniform():
    spec = fuzzy(vocabulary=8, longest_key=3, longest_value=1)
    keys = Counter(pairs_of(spec, row)[0][0] for row in whole_rows(spec, "train", 12_000))
    for size in (1, 2, 3):
        motifs = list(permutations(range(3), size))
        expected = 12_000 / 3 / len(motifs)
        assert [keys.pop(key) / expected for key in motifs] == pytest.approx([1] * len(motifs), abs=0.12)
    assert not keys


def test_the_probe_is_shown_at_a_place_drawn_at_random():
    spec = fuzzy(length=256, vocabulary=128)  # where no key is drawn twice by chance
    places = []
    for row in whole_rows(spec, "test", 2000):
        pairs = pairs_of(spec, row)
        places.append(pairs.index(pairs[-1]) / (len(pairs) - 2))
    shares = [sum(first / 4 <= place < (first + 1) / 4 for place in places) / 2000 for first in range(4)]
    assert shares == pytest.approx([0.25] * 4, abs=0.04)


def test_the_last_token_of_a_key_tells_most_of_its_value_where_few_keys_share_it():
    assert fuzzy().references(1500)["one_token"] == pytest.approx(0.47, abs=0.02)
    assert fuzzy(vocabulary=128).references(1500)["one_token"] == pytest.approx(0.825, abs=0.02)


def test_the_oracle_leaves_its_tokens_as_they_are():
    spec = fuzzy()
    tokens_BT, _ = spec.batch("test", 0, 5)
    before = tokens_BT.clone()
    spec.predictors(spec.batch("train", 0, 5))["oracle"](tokens_BT)
    assert torch.equal(tokens_BT, before)


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"length": 12}, {"length": 13}),
        ({"length": 0, "longest_key": 1, "longest_value": 1}, {"length": 5}),
        ({"vocabulary": 6}, {"vocabulary": 7}),
        ({"vocabulary": 8, "longest_value": 5}, {"vocabulary": 10}),
        ({"vocabulary": 4, "longest_key": 1, "longest_value": 1}, {"vocabulary": 5}),
        ({"vocabulary": 10_000, "longest_key": 9}, {"longest_key": 3}),
    ],
)
def test_infeasible_points_are_refused_with_a_remedy_that_works(fields, remedy):
    ((field, value),) = remedy.items()
    with pytest.raises(ValidationError, match=f"(raise|lower) {field} to {value}"):
        fuzzy(**fields)
    fuzzy(**(fields | remedy)).batch("train", 0, 3)
