"""Memorization: facts that no context tells, only training."""

from functools import lru_cache
from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from tasks.draws import integers, permutations, stream
from tasks.mad.pool import PooledTask, pool
from tasks.task import IGNORE, Batch, Predictor, most_frequent

_MAP = 1 << 66  # the training stream of the map, which is that of no batch


class Memorization(PooledTask):
    """MAD's memorization (Poli et al. 2024, arXiv:2403.17844, `mad/data/instances.py`): one map from keys to values, the same
    in every row and split, and a function of the vocabulary alone.

        length 8, vocabulary 8: keys 0-2, values 3-6, insert 7, and the map 0 to 4, 1 to 5, 2 to 3

        tokens             2 7   1 7   2 7   2 7
        targets            . 3   . 5   . 3   . 3

    No two keys share a value. Keys are drawn with replacement, so `examples`, 256 in MAD, do not show every key: that sets
    a ceiling to every learner, which is the reference `seen`, and the oracle is above it.
    """

    name: Literal["mad-memorization"]
    length: int
    vocabulary: Annotated[int, Field(ge=5)]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.length < 2 or self.length % 2:
            raise ValueError(
                f"length {self.length} is not that of keys with an insert token each: raise length to {max(2, self.length + 1)}"
            )
        return self

    @property
    def vocabulary_size(self) -> int:
        return self.vocabulary

    @property
    def _keys(self) -> int:
        return (self.vocabulary - 1) // 2

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        keys_BN = integers(rng, self._keys, (size, self.length // 2))
        tokens_BT = np.full((size, self.length), self.vocabulary - 1)
        tokens_BT[:, ::2] = keys_BN
        targets_BT = np.full_like(tokens_BT, IGNORE)
        targets_BT[:, 1::2] = values_of_keys(self.vocabulary)[keys_BN]
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`seen` knows the keys that the examples of training show, and else guesses a value it has not seen."""
        value_K = torch.from_numpy(values_of_keys(self.vocabulary))
        known_K = value_K.clone()
        if self.examples is not None:
            unseen_K = torch.ones(self._keys, dtype=torch.bool)
            unseen_K[pool(self).tokens_BT[:, ::2].long()] = False
            known_K[unseen_K] = value_K[unseen_K].min() if unseen_K.any() else 0

        def answers(tokens_BT: Tensor, value_K: Tensor) -> Tensor:
            return value_K[tokens_BT[:, ::2]].repeat_interleave(2, dim=1)

        def position(tokens_BT: Tensor) -> Tensor:
            return torch.arange(self.length).expand_as(tokens_BT)

        return {
            "oracle": lambda tokens_BT: answers(tokens_BT, value_K),
            "seen": lambda tokens_BT: answers(tokens_BT, known_K),
            "position": most_frequent(sample, position, self.length),
        }


@lru_cache
def values_of_keys(vocabulary: int) -> np.ndarray:
    """Returns value_K of key 0, 1, ..., no value twice; the values are the tokens from the number of keys on."""
    keys = (vocabulary - 1) // 2
    return keys + permutations(stream("train", _MAP), vocabulary - 1 - keys, 1)[0, :keys]
