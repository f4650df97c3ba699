"""Rows of tokens out of documents: within one document each, or across the ends of documents."""

from typing import NamedTuple, Protocol

import numpy as np

from tasks.draws import Split, integers, permutations, stream
from tasks.language.documents import Documents

_ORDER = 1 << 63  # an address no batch has: the order of a split's documents is drawn there


class Rows(NamedTuple):
    """`length` + 1 tokens a row: the last is a target only."""

    tokens_BS: np.ndarray
    inside_BS: np.ndarray  # False for what only fills the row up


class Windows(Protocol):
    def draw(self, rng: np.random.Generator, size: int) -> Rows: ...


class Within:
    """Windows that lie within one document each; a document shorter than a window is a row of its own, filled up.

    Documents are drawn so that a target of one is as likely as a target of any other; within a document every window is
    as likely, so the targets nearest to its ends are rarer.
    """

    def __init__(self, documents: Documents, *, length: int, end: int) -> None:
        self._documents, self._length, self._end = documents, length, end
        targets_D = documents.lengths_D - 1
        # A row holds min(targets, length) targets: targets / min(targets, length) rows of it, times length.
        self._ends_D = np.where(targets_D > 0, np.maximum(targets_D, length), 0).cumsum()

    def draw(self, rng: np.random.Generator, size: int) -> Rows:
        text_N, starts_D, lengths_D = self._documents
        document_B = np.searchsorted(self._ends_D, integers(rng, self._ends_D[-1], (size,)), side="right")
        length_B1 = lengths_D[document_B][:, None]
        first_B1 = integers(rng, np.maximum(length_B1 - self._length, 1), (size, 1))
        offset_BS = first_B1 + np.arange(self._length + 1)
        inside_BS = offset_BS < length_B1
        place_BS = starts_D[document_B][:, None] + np.minimum(offset_BS, length_B1 - 1)
        return Rows(np.where(inside_BS, text_N[place_BS].astype(np.int64), self._end), inside_BS)


class Across:
    """Windows of all documents in a fixed random order, each followed by the end token, the last by the first again.

    Every token, each end among them, is as likely a target as any other.
    """

    def __init__(self, documents: Documents, split: Split, *, length: int, end: int) -> None:
        self._length, self._end = length, end
        order_D = permutations(stream(split, _ORDER), len(documents.lengths_D), 1)[0]
        self._text_N = documents.text_N
        self._starts_D = documents.starts_D[order_D]
        self._lengths_D = documents.lengths_D[order_D]
        self._ends_D = (self._lengths_D + 1).cumsum()

    def draw(self, rng: np.random.Generator, size: int) -> Rows:
        first_B1 = integers(rng, self._ends_D[-1], (size, 1))
        position_BS = (first_B1 + np.arange(self._length + 1)) % self._ends_D[-1]
        document_BS = np.searchsorted(self._ends_D, position_BS, side="right")
        length_BS = self._lengths_D[document_BS]
        offset_BS = position_BS - (self._ends_D[document_BS] - length_BS - 1)
        place_BS = self._starts_D[document_BS] + np.minimum(offset_BS, length_BS - 1)
        tokens_BS = np.where(offset_BS < length_BS, self._text_N[place_BS].astype(np.int64), self._end)
        return Rows(tokens_BS, np.ones_like(tokens_BS, dtype=bool))
