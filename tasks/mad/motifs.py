"""Pairs whose key and value are motifs: sequences of different tokens, and of different lengths."""

from typing import NamedTuple, Self

import numpy as np

from tasks.draws import integers


class Motifs(NamedTuple):
    tokens_BNJ: np.ndarray  # of which a motif is the leading `sizes_BN`
    sizes_BN: np.ndarray

    def at(self, places_BN: np.ndarray) -> Self:
        """Returns the motifs of these places, in this order."""
        tokens_BNJ = np.take_along_axis(self.tokens_BNJ, places_BN[:, :, None], axis=1)
        return type(self)(tokens_BNJ, np.take_along_axis(self.sizes_BN, places_BN, axis=1))

    @property
    def names_BN(self) -> np.ndarray:
        """An integer for each motif, equal where motifs are: its tokens are the digits."""
        base = int(self.tokens_BNJ.max()) + 2
        names_BN = np.zeros_like(self.sizes_BN)
        for j in range(self.tokens_BNJ.shape[2]):
            names_BN += np.where(j < self.sizes_BN, (self.tokens_BNJ[:, :, j] + 1) * base**j, 0)
        return names_BN


def drawn_motifs(
    rng: np.random.Generator, alphabet: int, *, shortest: int, longest: int, shape: tuple[int, int]
) -> Motifs:
    """Returns motifs of the tokens [0, alphabet): their lengths uniform, then the motifs of a length."""
    sizes_BN = shortest + integers(rng, longest - shortest + 1, shape)
    tokens_BNJ = integers(rng, alphabet - np.arange(longest), (*shape, longest))  # a permutation's Lehmer code
    for j in reversed(range(longest - 1)):
        tokens_BNJ[:, :, j + 1 :] += tokens_BNJ[:, :, j + 1 :] >= tokens_BNJ[:, :, j : j + 1]
    return Motifs(tokens_BNJ, sizes_BN)


def begins(widths_BN: np.ndarray) -> np.ndarray:
    """Returns begins_BN, where each of adjacent intervals begins."""
    return widths_BN.cumsum(axis=1) - widths_BN
