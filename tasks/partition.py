"""Which split an example belongs to, by its tokens: so that no split can hold an example of another."""

import numpy as np

_SIDES = np.array(["train"] * 6 + ["validation", "test"])  # by the three leading bits of the digest


def side_of(tokens_BT: np.ndarray, *, padding: int | None) -> np.ndarray:
    """Returns the split of every row, 6:1:1 in expectation. Padding does not count, so neither does the width of the batch."""
    weight_T = _mixed(np.arange(1, tokens_BT.shape[1] + 1, dtype=np.uint64))
    mixed_V = _mixed(np.arange(tokens_BT.max(initial=0) + 1, dtype=np.uint64))
    if padding is not None:
        mixed_V[padding : padding + 1] = 0
    symbols_BT = mixed_V.take(tokens_BT)
    return _SIDES[_mixed((symbols_BT * weight_T).sum(axis=1, dtype=np.uint64)) >> np.uint64(61)]


def _mixed(words: np.ndarray) -> np.ndarray:
    """Returns the words after a round of SplitMix64 (Steele et al. 2014, OOPSLA, figure 17), modulo 2^64."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
