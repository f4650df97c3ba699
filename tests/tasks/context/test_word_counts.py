"""Common and frequent words against a loop that counts words."""

from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.context.common_words import CommonWords
from tasks.context.frequent_words import FrequentWords, zipf_counts
from tasks.context.word_counts import WordCounts
from tasks.draws import stream
from tasks.task import IGNORE


def common_words(**fields) -> CommonWords:
    base = {"length": 64, "words": 60, "common": 3, "common_repeats": 6, "uncommon_repeats": 1}
    return CommonWords(name="common-words", **(base | fields))


def frequent_words(**fields) -> FrequentWords:
    return FrequentWords(name="frequent-words", **({"length": 64, "words": 24, "alpha": 1.0, "answers": 3} | fields))


def rows(spec: WordCounts, size: int) -> list[tuple[list[int], list[int]]]:
    return list(zip(*(tensor.tolist() for tensor in spec.batch("train", 0, size)), strict=True))


@pytest.mark.parametrize(
    "spec",
    [common_words(), common_words(length=65, common=5, common_repeats=5, uncommon_repeats=3), common_words(common=1)],
    ids=str,
)
def test_common_words_are_asked_in_the_order_of_their_ids(spec):
    for tokens, targets in rows(spec, 300):
        context, question = tokens[: -spec.common], tokens[-spec.common :]
        counts = Counter(token for token in context if token != 1)
        common = sorted(word for word, times in counts.items() if times == spec.common_repeats)
        assert set(counts.values()) == {spec.common_repeats, spec.uncommon_repeats}
        assert len(common) == spec.common
        assert context.count(1) == len(context) - sum(counts.values()) < spec.uncommon_repeats
        assert min(context) >= 1
        assert question == [0, *common[:-1]]
        assert targets == [IGNORE] * len(context) + common


@pytest.mark.parametrize(
    "spec",
    [
        frequent_words(),
        frequent_words(alpha=2.0, length=33),
        frequent_words(alpha=1.5, answers=5, length=90),
        frequent_words(answers=1, words=2),
    ],
    ids=str,
)
def test_frequent_words_are_asked_from_the_most_frequent_on(spec):
    for tokens, targets in rows(spec, 300):
        context, question = tokens[: -spec.answers], tokens[-spec.answers :]
        ranked = Counter(token for token in context if token != 1).most_common()
        answers = [word for word, _ in ranked[: spec.answers]]
        leading = [times for _, times in ranked[: spec.answers + 1]]
        assert leading == sorted(set(leading), reverse=True)
        assert min(context) >= 1
        assert question == [0, *answers[:-1]]
        assert targets == [IGNORE] * len(context) + answers


def test_counts_follow_zipfs_law():
    total = 100_000
    for alpha in (1.0, 1.5, 2.0, 3.0):
        counts = zipf_counts(total, words=50, alpha=alpha, answers=3)
        law = np.arange(1, 52) ** -alpha
        assert sum(counts) == total
        assert np.array(counts[1:4]) == pytest.approx(total * (law / law.sum())[1:4], abs=1)


def test_rulers_counts_lead_by_far():
    # RULER at 4096 tokens; with its infinite sum of 1.645 the first word would have 622.
    assert zipf_counts(4093, words=80, alpha=2.0, answers=3)[1:5] == (626, 278, 156, 100)


@pytest.mark.parametrize("alpha", [1.0, 2.0, 3.5])
def test_ties_are_broken_at_every_length(alpha):
    for length in range(9, 120):
        counts = zipf_counts(length - 3, words=20, alpha=alpha, answers=3)
        assert counts[1] > counts[2] > counts[3] > counts[4]
        assert counts[0] >= 0
        assert frequent_words(length=length, alpha=alpha).draw(stream("test", 0), 2).tokens_BT.shape == (2, length)


@pytest.mark.parametrize(
    ("spec", "tokens", "answers"),
    [
        (
            common_words(length=13, words=9, common=2, common_repeats=3),
            [7, 4, 2, 7, 9, 4, 7, 10, 4, 3, 5, 0, 4],
            [4, 7],
        ),
        (
            frequent_words(length=27, words=6, answers=2),
            [1, 5, 1, 4, 1, 3, 7, 1, 5, 1, 2, 6, 1, 3, 1, 5, 1, 3, 1, 4, 1, 1, 5, 1, 1, 0, 5],
            [5, 3],
        ),
    ],
    ids=["common", "frequent"],
)
def test_the_worked_examples_are_right(spec, tokens, answers):
    drawn_BT, targets_BT = spec.batch("train", 0, 1)
    context = tokens[: -len(answers)]
    drawn = Counter(drawn_BT[0, : len(context)].tolist())
    assert sorted(Counter(context).values()) == sorted(drawn.values())
    assert context.count(1) == drawn[1]
    assert max(tokens) < spec.vocabulary_size
    oracle = spec.predictors(spec.batch("train", 0, 50))["oracle"]
    assert oracle(targets_BT.new_tensor([tokens]))[targets_BT != IGNORE].tolist() == answers


@pytest.mark.parametrize("spec", [common_words(), frequent_words()], ids=["common", "frequent"])
def test_every_word_is_an_answer_as_often_and_lies_anywhere(spec):
    tokens_BT, targets_BT = spec.draw(stream("train", 0), 20_000)
    shares = targets_BT[:, -3:].flatten().bincount(minlength=spec.vocabulary_size)[2:].double()
    assert (shares / shares.mean()).numpy() == pytest.approx(np.ones(spec.words), abs=0.15)
    where = (tokens_BT[:, :61] == targets_BT[:, -1:]).double().mean(0)
    assert (where / where.mean()).numpy() == pytest.approx(np.ones(61), abs=0.2)


def test_shortcuts_are_worth_little():
    for spec, eighth in ((common_words(), 0.17), (frequent_words(), 0.19)):
        references = spec.references(5000)
        assert references["oracle"] == 1
        assert references["last_eighth"] == pytest.approx(eighth, abs=0.02)
        assert references["constant"] < 0.06


@pytest.mark.parametrize(
    ("refused", "fields", "remedy", "remedied"),
    [
        (common_words, {"length": 21}, "raise length to 22 or lower either", {"length": 22}),
        (common_words, {"words": 45}, "raise words to 46", {"words": 46}),
        (common_words, {"uncommon_repeats": 6}, "raise common_repeats to 7", {"common_repeats": 7}),
        (frequent_words, {"words": 3}, "raise words to 4 or lower answers", {"words": 4}),
        (frequent_words, {"length": 7}, "raise length to 9 or lower answers", {"length": 9}),
        (frequent_words, {"alpha": 1.3}, "multiple of 0.5", {"alpha": 1.5}),
        (frequent_words, {"alpha": 0.5}, "greater than or equal to 1", {"alpha": 1.0}),
    ],
)
def test_infeasible_points_are_refused_with_a_remedy(refused, fields, remedy, remedied):
    with pytest.raises(ValidationError, match=remedy):
        refused(**fields)
    refused(**(fields | remedied)).batch("train", 0, 5)
