"""The years that matching draws from: each has a partner, so that a piece alone does not tell its label."""

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from tasks.documents.library import Library, library
from tasks.draws import Split

Negatives = Literal["any", "half-century"]


class Years(NamedTuple):
    """The years of a split with a document of two pieces, by group; negatives are of two years of one group."""

    group_starts_Y: np.ndarray  # the place of the first year of the year's group
    group_sizes_Y: np.ndarray
    firsts_Y: np.ndarray  # the place in `document_E` of the first document of the year
    counts_Y: np.ndarray  # how many it has there
    document_E: np.ndarray  # the long documents, year by year


@lru_cache
def years_of(corpus: str, sha256: str, split: Split, piece: int, negatives: Negatives) -> Years:
    shelves = library(corpus, sha256)
    inside_D = shelves.split_D == split
    longest = _longest_piece(shelves, inside_D, negatives)
    if piece > longest:
        raise ValueError(
            f"piece {piece} fits twice in no {split} documents of two years with negatives {negatives!r}: lower piece "
            f"to at most {longest}, length to at most {2 * longest + 2}"
        )
    document_E = np.flatnonzero(inside_D & (shelves.documents.lengths_D >= 2 * piece))
    document_E = document_E[shelves.year_D[document_E].argsort(kind="stable")]
    year_Y = np.unique(shelves.year_D[document_E])
    group_Y = _group(year_Y, negatives)
    paired_Y = np.searchsorted(group_Y, group_Y, side="right") - np.searchsorted(group_Y, group_Y) > 1
    year_Y, group_Y = year_Y[paired_Y], group_Y[paired_Y]
    starts_Y = np.searchsorted(group_Y, group_Y)
    year_E = shelves.year_D[document_E]
    firsts_Y = np.searchsorted(year_E, year_Y)
    return Years(
        starts_Y,
        np.searchsorted(group_Y, group_Y, side="right") - starts_Y,
        firsts_Y,
        np.searchsorted(year_E, year_Y, side="right") - firsts_Y,
        document_E,
    )


def _longest_piece(shelves: Library, inside_D: np.ndarray, negatives: Negatives) -> int:
    """Returns the longest piece that fits twice in documents of two years of one group."""
    longest: dict[int, dict[int, int]] = {}
    for year, length in zip(
        shelves.year_D[inside_D].tolist(), shelves.documents.lengths_D[inside_D].tolist(), strict=True
    ):
        years = longest.setdefault(int(_group(np.array(year), negatives)), {})
        years[year] = max(length, years.get(year, 0))
    return max(sorted(years.values())[-2] for years in longest.values() if len(years) > 1) // 2


def _group(year_Y: np.ndarray, negatives: Negatives) -> np.ndarray:
    return year_Y // 50 if negatives == "half-century" else year_Y * 0
