"""A corpus as tokens: encoded once into memory maps beside its text, read from there ever after."""

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from tasks.draws import Split
from tasks.language.corpora import SOURCES, Corpus, corpus_folder, read
from tasks.language.documents import Documents, beginning
from tasks.language.memory_map import Writer, read_documents, read_manifest
from tasks.language.tokenization import (
    GPT2,
    BytePairs,
    Bytes,
    Encoder,
    gpt2_merges,
    learnt_merges,
    vocabulary,
)
from tasks.storage import building, locked, settle

LEARNT_FROM = 64_000_000  # byte pairs are learnt from so many bytes of the train split, at most
_GROUP = 4_000_000  # bytes of whole documents encoded in one call


@lru_cache
def read_tokens(corpus: Corpus, corpus_sha256: str, tokenizer: Bytes | BytePairs | GPT2) -> dict[Split, Documents]:
    """Returns the documents of each split, as tokens.

    A corpus that comes with a package is encoded at first use, by one process while the others wait. ValueError, with the
    remedy, where another one is not prepared, or where byte pairs are not those of the corpus.
    """
    if isinstance(tokenizer, Bytes):
        return read(corpus, corpus_sha256)
    folder = _encoded(corpus, corpus_sha256, tokenizer)
    return read_documents(folder, read_manifest(folder))


@lru_cache
def read_token_bytes(corpus: Corpus, corpus_sha256: str, tokenizer: Bytes | BytePairs | GPT2) -> np.ndarray:
    """Returns the number of bytes of each token, int64; ValueError where the tokenizer's file is damaged."""
    if isinstance(tokenizer, Bytes):
        return np.ones(tokenizer.vocabulary_size, dtype=np.int64)
    path = _encoded(corpus, corpus_sha256, tokenizer) / "merges.txt"
    merges = path.read_bytes()
    if hashlib.sha256(merges).hexdigest() != tokenizer.sha256:
        raise ValueError(f"{path} is damaged: delete its folder and prepare it again (python -m tasks.data prepare)")
    return vocabulary(merges).token_bytes_N


def learn(corpus: Corpus, corpus_sha256: str, size: int) -> tuple[BytePairs, bytes]:
    """Returns the byte pairs of a corpus, learnt from its train split alone, and the file of their merges."""
    train = beginning(read(corpus, corpus_sha256)["train"], LEARNT_FROM)
    merges = learnt_merges((text for group in _groups(train) for text in group), size)
    return BytePairs(name="bpe", vocabulary=size, sha256=hashlib.sha256(merges).hexdigest()), merges


def encode(corpus: Corpus, corpus_sha256: str, tokenizer: BytePairs | GPT2, merges: bytes) -> Path:
    """Returns the folder of a corpus's tokens, newly written, whole or not at all."""
    known = vocabulary(merges)
    encoder, token_bytes_N = Encoder(known), known.token_bytes_N
    target = tokens_folder(corpus, corpus_sha256, tokenizer)
    with building(target.parent) as folder:
        (folder / "merges.txt").write_bytes(merges)
        writer = Writer(folder, "<u2")
        for split, whole in read(corpus, corpus_sha256).items():
            for group in _groups(whole):
                for text, tokens_N in zip(group, encoder(group), strict=True):
                    assert token_bytes_N[tokens_N].sum() == len(text)
                    writer.append(split, tokens_N)
        writer.finish(source=f"{corpus} {corpus_sha256}", versions={"tokenizers": version("tokenizers")})
        settle(folder, target)
    return target


def tokens_folder(corpus: Corpus, corpus_sha256: str, tokenizer: BytePairs | GPT2) -> Path:
    return corpus_folder(corpus, corpus_sha256) / tokenizer.key


def _encoded(corpus: Corpus, corpus_sha256: str, tokenizer: BytePairs | GPT2) -> Path:
    folder = tokens_folder(corpus, corpus_sha256, tokenizer)
    if folder.is_dir():
        return folder
    read(corpus, corpus_sha256)
    wanted = "gpt2" if isinstance(tokenizer, GPT2) else f"bpe-{tokenizer.vocabulary}"
    if corpus not in SOURCES:
        raise ValueError(
            f"{corpus!r} is not encoded by {tokenizer.key}: python -m tasks.data prepare {corpus} --tokenizer {wanted}"
        )
    with locked(f"{corpus}-{tokenizer.key}"):
        if folder.is_dir():
            return folder
        if isinstance(tokenizer, GPT2):
            return encode(corpus, corpus_sha256, tokenizer, gpt2_merges())
        learnt, merges = learn(corpus, corpus_sha256, tokenizer.vocabulary)
        if learnt.sha256 != tokenizer.sha256:
            raise ValueError(
                f"tokenizer.sha256 {tokenizer.sha256} is not the digest of {wanted} of {corpus!r}, {learnt.sha256}: "
                f"install the pinned tokenizers, or state the digest of the byte pairs you mean"
            )
        return encode(corpus, corpus_sha256, tokenizer, merges)


def _groups(whole: Documents) -> Iterator[list[bytes]]:
    """Yields the documents in order, some at a time."""
    group, size = [], 0
    for start, length in zip(whole.starts_D.tolist(), whole.lengths_D.tolist(), strict=True):
        group.append(whole.text_N[start : start + length].tobytes())
        size += length
        if size >= _GROUP:
            yield group
            group, size = [], 0
    if group:
        yield group
