"""A mixture is recall, setting by setting."""

from collections import Counter

import pytest
import torch
from pydantic import ValidationError

from tasks.memory.mixture import RecallMixture, Setting
from tasks.memory.recall import Recall
from tasks.task import IGNORE, accuracy

SETTINGS = ((16, 2, 5.0), (32, 4, 1.0), (32, 8, 2.0))


def mixture(settings=SETTINGS, vocabulary=120, fillers=1, power=0.01) -> RecallMixture:
    return RecallMixture(name="recall-mixture", settings=settings, vocabulary=vocabulary, fillers=fillers, power=power)


def recall(length: int, pairs: int, vocabulary=120, fillers=1, power=0.01) -> Recall:
    return Recall(name="recall", length=length, vocabulary=vocabulary, pairs=pairs, fillers=fillers, power=power)


def setting_of(batch) -> tuple[int, int]:
    (pairs,) = batch.labelled_BT.sum(1).unique().tolist()
    return batch.tokens_BT.shape[1], pairs


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_mixture_of_one_setting_is_recall_to_the_byte(split):
    for single in (mixture(((32, 8, 0.3),), fillers=5), mixture(fillers=5).at({"length": 32, "pairs": 8})):
        for found, expected in zip(
            single.batch(split, 3, 20), recall(32, 8, fillers=5).batch(split, 3, 20), strict=True
        ):
            assert torch.equal(found, expected)


def test_every_label_is_the_value_that_follows_its_key_in_the_context():
    for index in range(40):
        batch = mixture(fillers=3).batch("train", index, 8)
        length, pairs = setting_of(batch)
        assert (length, pairs) in [(16, 2), (32, 4), (32, 8)]
        for tokens, targets in zip(batch.tokens_BT.tolist(), batch.targets_BT.tolist(), strict=True):
            stated = dict(zip(tokens[0 : 2 * pairs : 2], tokens[1 : 2 * pairs : 2], strict=True))
            assert {tokens[t]: target for t, target in enumerate(targets) if target != IGNORE} == stated


def test_batches_are_of_a_setting_as_often_as_it_weighs():
    counts = Counter(setting_of(mixture().batch("train", index, 1)) for index in range(4000))
    shares = {setting: count / 4000 for setting, count in counts.items()}
    assert shares == pytest.approx({(16, 2): 5 / 8, (32, 4): 1 / 8, (32, 8): 2 / 8}, abs=0.025)


@pytest.mark.parametrize(
    ("point", "setting"),
    [
        ({"length": 16}, (16, 2)),
        ({"length": 32, "pairs": 8}, (32, 8)),
        ({"length": 32, "pairs": 3}, (32, 3)),
        ({"length": 64}, (64, 16)),
        ({"length": 66}, (66, 16)),
        ({"length": 100, "pairs": 5, "vocabulary": 31}, (100, 5)),
        ({"settings": ((20, 3, 1.0),)}, (20, 3)),
    ],
)
def test_a_point_leaves_one_setting(point, setting):
    single = mixture().at(point)
    assert [tuple(kept[:2]) for kept in single.settings] == [setting]
    assert setting_of(single.batch("test", 0, 5)) == setting
    assert single.vocabulary == point.get("vocabulary", 120)


def test_pairs_alone_keep_the_length_of_a_mixture_of_one_length():
    assert mixture(((32, 4, 1.0), (32, 8, 2.0))).at({"pairs": 6}).settings == (Setting(32, 6, 1.0),)
    assert mixture().at({"vocabulary": 200}).settings == mixture().settings


@pytest.mark.parametrize(
    ("point", "remedy"),
    [
        ({"length": 32}, r"settings of length 32 have pairs \[4, 8\]: name one beside length"),
        ({"pairs": 2}, r"settings are of the lengths \[16, 32\]: name one beside pairs 2"),
        ({"length": 7}, "the setting of length 7 and pairs 1 is infeasible: pairs: .* greater than or equal to 2"),
    ],
)
def test_a_point_that_leaves_more_or_less_than_one_setting_is_refused(point, remedy):
    with pytest.raises(ValueError, match=remedy):
        mixture().at(point)


def test_references_are_those_of_recall_as_the_labels_weigh_them():
    found = mixture().references(500)
    singles = [recall(length, pairs).references(500) for length, pairs, _ in SETTINGS]
    assert found["oracle"] == 1
    for name, score in found.items():
        expected = sum(w * s[name] for w, s in zip((10, 4, 16), singles, strict=True)) / 30
        assert score == pytest.approx(expected)
    assert found["any_value"] == pytest.approx((10 / 2 + 4 / 4 + 16 / 8) / 30)
    assert mixture(((32, 8, 0.3),)).references(500) == recall(32, 8).references(500)


def test_references_are_what_predictors_score_over_many_batches():
    spec = mixture()
    predictors = spec.predictors(spec.batch("train", 0, 500))
    right, labels = Counter(), 0
    for index in range(1500):
        batch = spec.batch("test", index, 4)
        weight = int(batch.labelled_BT.sum())
        labels += weight
        for name, predict in predictors.items():
            right[name] += weight * accuracy(predict(batch.tokens_BT), batch.targets_BT)
    references = spec.references(500)
    assert references.keys() == {"constant", *right}
    for name, count in right.items():
        assert count / labels == pytest.approx(references[name], abs=0.02), name


@pytest.mark.parametrize(
    ("tokens", "targets"),
    [
        ("3 8 1 6 0 0 3 0 1 0 0 0", ". . . . . . 8 . 6 . . ."),
        ("2 5 4 8 4 0 2 0", ". . . . 8 . 5 ."),
    ],
)
def test_the_worked_examples_are_right(tokens, targets):
    spec = mixture(((12, 2, 3.0), (8, 2, 1.0)), vocabulary=9)
    expected_BT = torch.tensor([[IGNORE if target == "." else int(target) for target in targets.split()]])
    oracle = spec.predictors(spec.batch("train", 0, 10))["oracle"]
    assert accuracy(oracle(torch.tensor([[int(token) for token in tokens.split()]])), expected_BT) == 1


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"settings": ((16, 2, 1.0), (31, 8, 1.0))}, "length 31 and pairs 8 is infeasible.* raise length to 32 or"),
        ({"vocabulary": 16}, "length 32 and pairs 8 is infeasible.* raise vocabulary to 17, or lower pairs or fillers"),
        ({"settings": ((16, 1, 1.0),)}, "pairs: Input should be greater than or equal to 2"),
        ({"settings": ((16, 2, 0.0),)}, "greater than 0"),
        ({"settings": ()}, "at least 1 item"),
        ({"fillers": 0}, "greater than or equal to 1"),
        ({"power": 0.0}, "greater than 0"),
    ],
)
def test_infeasible_points_are_refused_with_a_remedy(fields, remedy):
    with pytest.raises(ValidationError, match=remedy):
        mixture(**fields)


def test_the_remedy_is_feasible():
    assert mixture(((16, 2, 1.0), (32, 8, 1.0))).settings[1].length == 32
    assert mixture(vocabulary=17).vocabulary == 17
