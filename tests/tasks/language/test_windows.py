"""Nothing crosses from one document to another, or all of it does; and every target is as likely as it is said to be."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.draws import stream
from tasks.language.documents import beginning, documents
from tasks.language.modeling import LanguageModeling
from tasks.language.prepare import prepare
from tasks.language.tokenization import Bytes
from tasks.language.windows import Across, Within
from tasks.task import IGNORE

END = 256
TEXTS = [b"abc", b"d", b"efgh", b"ijklmnopqrs", b"tu"]  # no byte twice: a byte tells its document and its place


def drawn(windows, size=400, index=0) -> tuple[list[list[int]], list[list[bool]]]:
    rows = windows.draw(stream("train", index), size)
    return rows.tokens_BS.tolist(), rows.inside_BS.tolist()


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 10])
def test_a_row_within_is_one_window_of_one_document_or_all_of_a_shorter_one(length):
    possible = set()
    for text in TEXTS:
        if 1 < len(text) <= length:
            possible.add((*text, *[END] * (length + 1 - len(text))))
        possible |= {tuple(text[start : start + length + 1]) for start in range(len(text) - length)}
    tokens, inside = drawn(Within(documents(TEXTS), length=length, end=END), 3000)
    assert {tuple(row) for row in tokens} == possible
    assert all(
        (token != END) == real
        for row, seen in zip(tokens, inside, strict=True)
        for token, real in zip(row, seen, strict=True)
    )


@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 10])
def test_a_target_of_one_document_is_as_likely_as_one_of_another(length):
    tokens, _ = drawn(Within(documents(TEXTS), length=length, end=END), 60_000)
    of_document = Counter(next(place for place, text in enumerate(TEXTS) if row[0] in text) for row in tokens)
    share = {
        place: of_document[place] * min(len(text) - 1, length) / (len(text) - 1)
        for place, text in enumerate(TEXTS)
        if len(text) > 1
    }
    mean = np.mean(list(share.values()))
    assert list(share.values()) == pytest.approx([mean] * len(share), rel=0.06)


def test_windows_within_a_document_are_uniform():
    tokens, _ = drawn(Within(documents([b"abcdefgh"]), length=3, end=END), 50_000)
    counts = Counter(bytes(row) for row in tokens)
    assert set(counts) == {b"abcd", b"bcde", b"cdef", b"defg", b"efgh"}
    assert list(counts.values()) == pytest.approx([10_000] * 5, rel=0.05)


@pytest.mark.parametrize("length", [1, 2, 5, 20, 24])
def test_a_row_across_is_a_slice_of_the_documents_in_one_order_with_an_end_after_each(length):
    windows = Across(documents(TEXTS), "train", length=25, end=END)
    tokens, _ = drawn(windows, 1)
    ring = tokens[0]  # 21 bytes and 5 ends: all of it, from somewhere
    first = ring.index(END) + 1
    ring = ring[first:] + ring[:first]
    found = [bytes(map(ord, piece)) for piece in "".join(map(chr, ring)).split(chr(END))[:-1]]
    assert sorted(found) == sorted(TEXTS)
    slices = {tuple((ring + ring)[start : start + length + 1]) for start in range(26)}
    rows = Across(documents(TEXTS), "train", length=length, end=END).draw(stream("train", 1), 2000)
    assert {tuple(row) for row in rows.tokens_BS.tolist()} == slices
    assert rows.inside_BS.all()


def test_every_token_across_is_as_likely_a_target_at_every_position():
    tokens, _ = drawn(Across(documents(TEXTS), "train", length=6, end=END), 52_000)
    for position in range(7):
        counts = Counter(row[position] for row in tokens)
        assert counts.pop(END) == pytest.approx(10_000, rel=0.08)
        assert list(counts.values()) == pytest.approx([2000] * 21, rel=0.1)


def test_the_order_across_is_reproducible_shuffled_and_of_its_split():
    many = documents([bytes([byte]) for byte in range(100)])
    orders = {}
    for split in ("train", "validation", "test"):
        twice = [Across(many, split, length=199, end=END).draw(stream("train", 0), 1).tokens_BS for _ in range(2)]
        assert np.array_equal(*twice)
        row = [token for token in twice[0][0].tolist() if token != END]
        first = row.index(0)
        orders[split] = tuple(row[first:] + row[:first])
    assert len(set(orders.values())) == 3
    assert sum(after == before + 1 for before, after in zip(orders["train"], orders["train"][1:], strict=False)) < 6


TEXT = st.lists(st.integers(1, 40), min_size=1, max_size=8).filter(lambda sizes: max(sizes) > 1)


@given(sizes=TEXT, length=st.integers(1, 50), index=st.integers(0, 1 << 40))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_no_row_within_holds_two_documents_and_a_row_across_never_joins_two_without_an_end(sizes, length, index):
    """Document number n is n repeated, so a row tells which documents it holds."""
    texts = documents([bytes([number]) * size for number, size in enumerate(sizes)])
    tokens, inside = drawn(Within(texts, length=length, end=END), 20, index)
    for row, seen in zip(tokens, inside, strict=True):
        assert len({token for token, real in zip(row, seen, strict=True) if real}) == 1
        assert seen == sorted(seen, reverse=True)
        assert sum(seen) == min(sizes[row[0]], length + 1) > 1
        assert {token for token, real in zip(row, seen, strict=True) if not real} <= {END}
    if length < sum(sizes) + len(sizes):
        for row in drawn(Across(texts, "train", length=length, end=END), 20, index)[0]:
            assert all(END in pair for pair in pairwise(row) if pair[0] != pair[1])


def test_the_beginning_of_documents_cuts_the_last_and_drops_the_rest():
    text_N, starts_D, lengths_D = beginning(documents([b"abc", b"def", b"gh"]), 5)
    assert (text_N.tobytes(), starts_D.tolist(), lengths_D.tolist()) == (b"abcde", [0, 3], [3, 2])
    assert [field.tolist() for field in beginning(documents([b"abc"]), 9)] == [[97, 98, 99], [0], [3]]


def test_the_drawing_is_what_the_task_makes(data, copy, monkeypatch):
    from tasks.language import modeling

    ready = prepare("text8", tokenizer="bytes", mirror=copy(b"x" * 20), train_bytes=None)
    drawn = documents([b"Fellow-Citizens", b"Madam"])
    monkeypatch.setattr(modeling, "read_tokens", lambda *_: dict.fromkeys(("train", "validation", "test"), drawn))
    for policy, tokens, targets in (
        ("reset", b"Fellow-C", list(b"ellow-Ci")),
        ("reset", [*b"Madam", END, END, END], [*b"adam", *[IGNORE] * 4]),
        ("carry", [*b"izens", END, *b"Ma"], [*b"zens", END, *b"Mad"]),
    ):
        task = LanguageModeling(
            name="language-modeling",
            corpus="text8",
            corpus_sha256=ready.corpus_sha256,
            tokenizer=Bytes(name="bytes"),
            documents=policy,
            length=8,
        )
        batch = task.batch("train", 0, 500)
        rows = list(zip(batch.tokens_BT.tolist(), batch.targets_BT.tolist(), strict=True))
        assert (list(tokens), targets) in rows
        modeling._windows.cache_clear()
