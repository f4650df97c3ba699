"""Who wrote each document and when, as classes, every one of which has documents of its own in every split."""

import hashlib
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tasks.documents.library import Windows, library
from tasks.documents.profiles import trigram_counts
from tasks.documents.task import SPLITS
from tasks.draws import Split

Label = Literal["president", "half-century"]

# The presidents of at least four messages, in order of office.
PRESIDENTS = (
    "George Washington", "John Adams", "Thomas Jefferson", "James Madison", "James Monroe", "John Quincy Adams",
    "Andrew Jackson", "Martin Van Buren", "John Tyler", "James K. Polk", "Franklin Pierce", "James Buchanan",
    "Abraham Lincoln", "Andrew Johnson", "Ulysses S. Grant", "Rutherford B. Hayes", "Chester A. Arthur",
    "Grover Cleveland", "Benjamin Harrison", "William McKinley", "Theodore Roosevelt", "William Howard Taft",
    "Woodrow Wilson", "Calvin Coolidge", "Herbert Hoover", "Franklin D. Roosevelt", "Harry S. Truman",
    "Dwight D. Eisenhower", "Lyndon B. Johnson", "Richard Nixon", "Jimmy Carter", "Ronald Reagan",
    "William J. Clinton", "George W. Bush", "Barack Obama", "Donald J. Trump",
)  # fmt: skip
HALF_CENTURIES = (1750, 1800, 1850, 1900, 1950, 2000)


class Classes(NamedTuple):
    class_D: np.ndarray  # int64, the class of each document, or -1
    split_D: np.ndarray  # str


class Shelf(NamedTuple):
    """The windows of one split, class by class; class `present_C[c]` has `counts_C[c]` of them from `firsts_C[c]` on."""

    windows: Windows
    present_C: np.ndarray
    firsts_C: np.ndarray
    counts_C: np.ndarray


@lru_cache
def classes(corpus: str, sha256: str, label: Label) -> Classes:
    """Returns the class and the split of every document."""
    shelves = library(corpus, sha256)
    names = PRESIDENTS if label == "president" else HALF_CENTURIES
    name_D = shelves.president_D.tolist() if label == "president" else (shelves.year_D // 50 * 50).tolist()
    class_D = np.array([names.index(name) if name in names else -1 for name in name_D])
    split_D = np.full(len(class_D), "", dtype="<U10")
    for each, name in enumerate(names):
        years = sorted(
            set(shelves.year_D[class_D == each].tolist()),
            key=lambda year, name=name: hashlib.sha256(f"{corpus}-{name}-{year}".encode()).digest(),
        )
        share = -(-len(years) // 8)
        for place, year in enumerate(years):
            split = "test" if place < share else "validation" if place < 2 * share else "train"
            split_D[(class_D == each) & (shelves.year_D == year)] = split
    return Classes(class_D, split_D)


@lru_cache
def shelf_of(corpus: str, sha256: str, label: Label, width: int, split: Split) -> Shelf:
    shelf = library(corpus, sha256).documents
    class_D, split_D = classes(corpus, sha256, label)
    longest_CS = np.array(
        [
            [shelf.lengths_D[(class_D == each) & (split_D == split)].max() for split in SPLITS]
            for each in range(class_D.max() + 1)
        ]
    )
    reach_C = longest_CS.min(1)
    present_C = np.flatnonzero(reach_C >= width)
    if len(present_C) < 2:
        raise ValueError(
            f"length {width + 1} is more than the documents of all classes but one hold, label {label!r}: lower it to at "
            f"most {sorted(reach_C.tolist())[-2] + 1}"
        )
    chosen_D = np.flatnonzero(np.isin(class_D, present_C) & (split_D == split))
    chosen_D = chosen_D[class_D[chosen_D].argsort(kind="stable")]
    windows = Windows.of(shelf, chosen_D, width)
    last_C = np.searchsorted(class_D[chosen_D], present_C, side="right") - 1
    counts_C = np.diff(windows.ends_D[last_C], prepend=0)
    return Shelf(windows, present_C, windows.ends_D[last_C] - counts_C, counts_C)


@lru_cache
def log_trigrams(corpus: str, sha256: str, label: Label) -> Tensor:
    """Returns the log-probability of every trigram in a class's training documents, smoothed by one of all classes each."""
    shelf = library(corpus, sha256).documents
    class_D, split_D = classes(corpus, sha256, label)
    rows = []
    for each in range(class_D.max() + 1):
        chosen_D = np.flatnonzero((class_D == each) & (split_D == "train"))
        starts, ends = shelf.starts_D[chosen_D], (shelf.starts_D + shelf.lengths_D)[chosen_D]
        rows.append(
            sum(
                trigram_counts(torch.from_numpy(shelf.text_N[start:end].astype(np.int64))[None])[0]
                for start, end in zip(starts, ends, strict=True)
            )
        )
    counts_CF = torch.stack(rows)
    pooled_F = counts_CF.sum(0) + 1
    smoothed_CF = counts_CF + len(pooled_F) * pooled_F / pooled_F.sum()
    return (smoothed_CF / smoothed_CF.sum(1, keepdim=True)).log()
