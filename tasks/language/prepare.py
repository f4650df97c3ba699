"""Writes a corpus, and then its tokens, into the data folder: whole or not at all."""

from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tasks.language.corpora import SOURCES, Corpus, Prepared, corpus_folder, read
from tasks.language.memory_map import Writer, damages, read_manifest
from tasks.language.sources import REMOTE, HubSource, UrlSource, hub_documents, url_documents
from tasks.language.tokenization import GPT2, BytePairs, Bytes, gpt2_merges
from tasks.language.tokens import encode, learn, tokens_folder
from tasks.storage import building, data_folder, locked, settle


class Ready(NamedTuple):
    """What a specification has to state to be trained on it."""

    corpus: Corpus
    corpus_sha256: str
    tokenizer: Bytes | BytePairs | GPT2


def prepare(corpus: Corpus, *, tokenizer: str, mirror: Path | None, train_bytes: int | None) -> Ready:
    """Fetches a corpus, unless it comes with a package, and encodes it.

    `tokenizer` is bytes, gpt2 or bpe-<size>; `mirror` a folder to read instead of the network; `train_bytes` ends the train
    split with the document that reaches it. RuntimeError or ValueError in one line, with nothing left half-written.
    """
    size = _size(tokenizer)
    with locked(f"prepare-{corpus}"):
        sha256 = SOURCES[corpus].sha256 if corpus in SOURCES else _written(corpus, mirror, train_bytes)
        read(corpus, sha256)
        if tokenizer == "bytes":
            return Ready(corpus, sha256, Bytes(name="bytes"))
        spec, merges = (GPT2(name="gpt2"), gpt2_merges()) if size is None else learn(corpus, sha256, size)
        if not is_sound(tokens_folder(corpus, sha256, spec)):
            encode(corpus, sha256, spec, merges)
        return Ready(corpus, sha256, spec)


def _size(tokenizer: str) -> int | None:
    """Returns the vocabulary of bpe-<size>, None for the others."""
    if tokenizer in ("bytes", "gpt2"):
        return None
    name, _, size = tokenizer.partition("-")
    if name != "bpe" or not size.isdecimal() or not 256 < int(size) <= 1 << 16:
        raise ValueError(
            f"tokenizer {tokenizer!r} is none: choose bytes, gpt2 or bpe-<size>, as in bpe-4096, up to 65536"
        )
    return int(size)


def _written(corpus: Prepared, mirror: Path | None, train_bytes: int | None) -> str:
    """Returns the digest of the corpus: newly written, or of the sound one that an earlier call read from the network."""
    source = REMOTE[corpus]
    origin = (source.path if isinstance(source, HubSource) else source.url) + (
        "" if train_bytes is None else f", train up to {train_bytes} bytes"
    )
    if mirror is None:
        for folder in prepared(corpus):
            if is_sound(folder) and read_manifest(folder).source == origin:
                return read_manifest(folder).sha256
    with building(data_folder() / "corpora") as folder:
        writer = Writer(folder, "<u1")
        try:
            _fill(writer, source, mirror, train_bytes)
        finally:
            writer.close()
        versions = {"datasets": version("datasets")} if isinstance(source, HubSource) else {}
        manifest = writer.finish(source=origin if mirror is None else f"{origin}, from a copy", versions=versions)
        target = corpus_folder(corpus, manifest.sha256)
        if not is_sound(target):
            settle(folder, target)
    return manifest.sha256


def _fill(writer: Writer, source: HubSource | UrlSource, mirror: Path | None, train_bytes: int | None) -> None:
    if isinstance(source, UrlSource):
        for split, document in url_documents(source, mirror):
            writer.append(split, np.frombuffer(document, dtype=np.uint8))
        return
    for theirs in dict.fromkeys(share.split for share in source.splits.values()):
        for split, document in hub_documents(source, theirs, mirror):
            writer.append(split, np.frombuffer(document, dtype=np.uint8))
            if split == "train" and train_bytes is not None and writer.size(split) >= train_bytes:
                break


def prepared(corpus: Corpus) -> list[Path]:
    """Returns the folders of a corpus's prepared texts, sound or not."""
    return sorted(path for path in (data_folder() / "corpora").glob(f"{corpus}-*") if path.is_dir())


def is_sound(folder: Path) -> bool:
    """Whether a prepared folder holds what was written, by reading every byte of it."""
    try:
        return not damages(folder)
    except ValueError:
        return False
