"""Document attribution against a search of all messages; classes as equally often as can be."""

from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.documents import attribution as module
from tasks.documents import task as task_module
from tasks.documents.attribution import DocumentAttribution
from tasks.documents.classes import HALF_CENTURIES, PRESIDENTS, Shelf, classes, shelf_of
from tasks.documents.library import Library, Windows
from tasks.draws import stream
from tasks.language.corpora import documents
from tasks.task import IGNORE
from tests.tasks.documents.corpus import SPLITS, messages
from tests.tasks.documents.rows import SHA256, attribution

BOTH = pytest.mark.parametrize("label", ["president", "half-century"])


@BOTH
@pytest.mark.parametrize("split", SPLITS)
def test_the_label_is_of_a_document_of_the_split_that_holds_the_piece(split, label):
    split_D = classes("sotu", SHA256, label).split_D
    shelf = [message for message, own in zip(messages(), split_D, strict=True) if own == split]
    for tokens, targets in zip(
        *(tensor.tolist() for tensor in attribution(label, 200).batch(split, 0, 100)), strict=True
    ):
        assert tokens[-1] == 256
        assert targets[:-1] == [IGNORE] * 199
        name = (PRESIDENTS if label == "president" else HALF_CENTURIES)[targets[-1] - 257]
        assert any(
            bytes(tokens[:-1]) in message.text
            for message in shelf
            if name in (message.president, message.year // 50 * 50)
        )


@BOTH
@pytest.mark.parametrize("size", [1, 5, 36, 100, 360])
def test_a_batch_holds_all_classes_as_equally_often_as_can_be(label, size):
    present = {"president": 36, "half-century": 6}[label]
    counts = Counter(attribution(label).batch("test", 0, size).targets_BT[:, -1].tolist())
    assert len(counts) == min(size, present)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_classes_are_uniform_over_small_batches_and_in_random_order():
    first = Counter()
    total = Counter()
    for index in range(800):
        targets = attribution("half-century", 65).batch("train", index, 4).targets_BT[:, -1].tolist()
        first[targets[0]] += 1
        total.update(targets)
    assert [first[257 + each] / 800 for each in range(6)] == pytest.approx([1 / 6] * 6, abs=0.045)
    assert [total[257 + each] / 3200 for each in range(6)] == pytest.approx([1 / 6] * 6, abs=0.02)


def test_the_windows_of_a_class_are_drawn_from_equal_parts_and_uniformly(monkeypatch):
    # Class 2 has 40 windows in two documents, class 5 has 10; each begins with a byte of its own.
    texts = [bytes(range(94)), bytes(range(100, 174)), bytes(range(180, 253))]
    shelf = documents(texts)
    shelves = Library(shelf, np.array(["train"] * 3), np.array([1800] * 3), np.array(["x"] * 3))
    windows = Windows.of(shelf, np.arange(3), 64)
    assert windows.ends_D.tolist() == [31, 42, 52]
    fake = Shelf(windows, np.array([2, 5]), np.array([0, 42]), np.array([42, 10]))
    monkeypatch.setattr(task_module, "library", lambda corpus, sha256: shelves)
    monkeypatch.setattr(module, "shelf_of", lambda *address: fake)
    place = [*range(31), *range(100, 111)]
    seen = Counter()
    for index in range(600):
        tokens_BT, targets_BT = attribution("president", 65).draw(stream("train", index), 14)
        starts = {each: tokens_BT[targets_BT[:, -1] == 257 + each, 0].tolist() for each in (2, 5)}
        assert len(starts[2]) == len(starts[5]) == 7
        assert sorted(place.index(start) // 6 for start in starts[2]) == list(range(7))
        assert len(set(starts[5])) == 7
        seen.update(starts[2])
        assert set(starts[5]) <= set(range(180, 190))
    assert [seen[start] / 100 for start in place] == pytest.approx([1] * 42, abs=0.4)


@pytest.mark.parametrize(
    ("label", "length", "histogram", "trigrams"),
    [
        ("president", 257, 0.087, 0.308),
        ("president", 2048, 0.21, 0.56),
        ("half-century", 257, 0.328, 0.584),
        ("half-century", 2048, 0.43, 0.73),
    ],
)
def test_counting_bytes_is_a_strong_reference(label, length, histogram, trigrams):
    references = attribution(label, length).references(1800)
    present = {"president": 36, "half-century": 6}[label]
    assert references["constant"] == pytest.approx(1 / present, abs=1 / 1800)
    assert references["histogram"] == pytest.approx(histogram, abs=0.05)
    assert references["trigrams"] == pytest.approx(trigrams, abs=0.05)
    assert references["oracle"] > 0.999  # some messages quote others


@BOTH
def test_what_is_tested_hardly_repeats_what_is_trained(label):
    split_D = classes("sotu", SHA256, label).split_D
    trained = b"\0".join(message.text for message, split in zip(messages(), split_D, strict=True) if split == "train")
    for split in ("validation", "test"):
        rows = attribution(label, 129).batch(split, 0, 150).tokens_BT[:, :-1].tolist()
        assert sum(bytes(row) in trained for row in rows) <= 2


@pytest.mark.parametrize(
    ("label", "present"),
    [
        ("president", {8193: 36, 16385: 31, 32769: 22, 65537: 6}),
        ("half-century", {8193: 6, 16385: 5, 32769: 5, 65537: 3}),
    ],
)
def test_classes_without_long_documents_in_every_split_are_left_out_of_all(label, present):
    for length, number in present.items():
        found = [set(attribution(label, length).batch(split, 0, 50).targets_BT[:, -1].tolist()) for split in SPLITS]
        assert found[0] == found[1] == found[2]
        assert len(found[0]) == number
        assert shelf_of("sotu", SHA256, label, length - 1, "train").present_C.tolist() == sorted(
            each - 257 for each in found[0]
        )


@BOTH
def test_a_length_that_leaves_one_class_is_refused_with_a_remedy_that_works(label):
    with pytest.raises(ValueError, match=f"length 300000 is more .* label '{label}': lower it to at most") as error:
        attribution(label).at_length(300_000)
    longest = int(str(error.value).rpartition(" ")[2])
    assert longest == {"president": 95854, "half-century": 81129}[label]
    assert attribution(label).at_length(longest).batch("test", 0, 2).tokens_BT.shape == (2, longest)
    with pytest.raises(ValueError, match="lower it"):
        attribution(label).at_length(longest + 1)


def test_short_pieces_are_refused():
    with pytest.raises(ValidationError, match="greater than or equal to 65"):
        attribution(length=64)


def test_the_worked_example_is_an_example():
    tokens_BT, targets_BT = attribution("half-century", 65).batch("train", 0, 32)
    drawing = f"tokens     {bytes(tokens_BT[0, :-1].tolist()).decode()} 256\n        targets    "
    assert f"{drawing}{targets_BT[0, -1].item()} at the last token" in DocumentAttribution.__doc__
