"""What a text looks like without reading it: how often each byte, and each three bytes in a row, occur."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

_BUCKETS = 4096

Profile = Callable[[Tensor], Tensor]  # bytes_BP -> how often each of F features occurs, counts_BF, float64


def byte_counts(bytes_BP: Tensor) -> Tensor:
    return _counts(bytes_BP, 256)


def trigram_counts(bytes_BP: Tensor) -> Tensor:
    """Returns the counts of three bytes in a row, in 4,096 buckets by Fibonacci hashing (Knuth, volume 3, 6.4)."""
    packed_BP = bytes_BP[:, :-2] << 16 | bytes_BP[:, 1:-1] << 8 | bytes_BP[:, 2:]
    return _counts((packed_BP * 0x9E3779B1 & 0xFFFFFFFF) >> 20, _BUCKETS)


def _counts(features_BP: Tensor, features: int) -> Tensor:
    rows = len(features_BP)
    cells_BP = features_BP + features * torch.arange(rows)[:, None]
    return cells_BP.flatten().bincount(minlength=features * rows).view(rows, features).double()


def by_parts(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Returns the function of the tensors' rows, a few at a time, so that no count of all rows is held at once."""
    parts = zip(*(tensor.split(256) for tensor in tensors), strict=True)
    return torch.cat([function(*part) for part in parts])


def distance(profile: Profile, first_BP: Tensor, second_BP: Tensor) -> Tensor:
    """Returns how far the profiles of two pieces of one length are apart: 0, none, to 1, nothing in common."""

    def apart(first_BP: Tensor, second_BP: Tensor) -> Tensor:
        first_BF = profile(first_BP)
        return (first_BF - profile(second_BP)).abs().sum(1) / (2 * first_BF.sum(1))

    return by_parts(apart, first_BP, second_BP)


def text(tokens_P: Tensor) -> bytes:
    return tokens_P.numpy().astype(np.uint8).tobytes()
