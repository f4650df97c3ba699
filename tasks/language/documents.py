"""Documents one after the other in one flat array, of bytes or of tokens."""

from typing import NamedTuple

import numpy as np


class Documents(NamedTuple):
    text_N: np.ndarray  # all documents one after the other: uint8 where they are bytes
    starts_D: np.ndarray  # int64, where each begins in `text_N`
    lengths_D: np.ndarray  # int64


def documents(texts: list[bytes]) -> Documents:
    lengths_D = np.array([len(text) for text in texts], dtype=np.int64)
    return Documents(np.frombuffer(b"".join(texts), dtype=np.uint8), np.cumsum(lengths_D) - lengths_D, lengths_D)


def beginning(whole: Documents, size: int) -> Documents:
    """Returns the documents that the first `size` elements hold; the last may be cut."""
    held_D = whole.starts_D < size
    starts_D = whole.starts_D[held_D]
    return Documents(whole.text_N[:size], starts_D, np.minimum(whole.lengths_D[held_D], size - starts_D))
