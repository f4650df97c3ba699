"""Recall of pairs of one token each, with or without noise: the core of two of MAD's tasks."""

from abc import abstractmethod
from typing import Self

import numpy as np
import torch
from pydantic import model_validator
from torch import Tensor

from tasks.draws import integers
from tasks.mad.labels import Labels, RecallTask, common_value, first_of_each
from tasks.task import IGNORE, Batch, Predictor, most_frequent


class PairRecall(RecallTask):
    """A row of `length` / 2 pairs of a key and its value, the last one of a key that the row has shown.

    Each row has a map of its own from keys to values, in which keys may share a value. Keys are the first half of the
    tokens that are not noise, values the second half, noise tokens the last of the vocabulary. A pair is noise, two
    noise tokens, with probability `noise`; one place, drawn at random, never is.
    """

    length: int
    vocabulary: int

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.length < 4 or self.length % 2:
            raise ValueError(
                f"length {self.length} is not that of two pairs or more: raise length to {max(4, self.length + 1)}"
            )
        if self.vocabulary - self._noise_tokens < 4:
            raise ValueError(
                f"vocabulary {self.vocabulary} is too small for two keys and two values beside {self._noise_tokens} noise "
                f"tokens: raise vocabulary to {4 + self._noise_tokens}"
            )
        return self

    @property
    @abstractmethod
    def _noise_tokens(self) -> int:
        """How many tokens of the vocabulary are noise."""

    @property
    @abstractmethod
    def _noise(self) -> float:
        """The probability that a pair is noise."""

    @property
    def vocabulary_size(self) -> int:
        return self.vocabulary

    @property
    def _first_noise(self) -> int:
        return self.vocabulary - self._noise_tokens

    @property
    def _keys(self) -> int:
        return self._first_noise // 2

    def draw_labelled(self, rng: np.random.Generator, size: int, *, labels: Labels, tested: bool) -> Batch:
        pairs = self.length // 2 - 1
        values_BK = self._keys + integers(rng, self._first_noise - self._keys, (size, self._keys))
        keys_BN = integers(rng, self._keys, (size, pairs))
        noisy_BN = rng.random((size, pairs)) < self._noise
        np.put_along_axis(noisy_BN, integers(rng, pairs, (size, 1)), False, axis=1)
        noise_BT = self._first_noise + integers(rng, self._noise_tokens, (size, 2 * pairs))
        place_N = np.arange(pairs)
        opens_BN = (first_of_each(keys_BN, ~noisy_BN) == place_N) & ~noisy_BN
        probe_B1 = np.where(opens_BN, rng.random((size, pairs)), -1).argmax(axis=1)[
            :, None
        ]  # any key shown is as likely

        tokens_BT = np.empty((size, self.length), dtype=np.int64)
        tokens_BT[:, 0:-2:2] = keys_BN
        tokens_BT[:, -2:-1] = np.take_along_axis(keys_BN, probe_B1, axis=1)
        tokens_BT[:, 1::2] = np.take_along_axis(values_BK, tokens_BT[:, ::2], axis=1)
        tokens_BT[:, :-2] = np.where(noisy_BN.repeat(2, axis=1), noise_BT, tokens_BT[:, :-2])

        targets_BT = np.full_like(tokens_BT, IGNORE)
        targets_BT[:, :-1] = tokens_BT[:, 1:]
        if labels == "seen":
            targets_BT[:, 1::2] = IGNORE
            targets_BT[:, 0:-2:2][noisy_BN | opens_BN] = IGNORE
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`last_token` knows only the key asked, `common_value` answers with the value read most often, and `last_value`
        with the one read last.
        """

        def oracle(tokens_BT: Tensor) -> Tensor:
            value_BN = tokens_BT.new_zeros(len(tokens_BT), self.vocabulary)
            value_BN.scatter_(1, tokens_BT[:, ::2], tokens_BT[:, 1::2])
            return value_BN.gather(1, tokens_BT)

        def last_value(tokens_BT: Tensor) -> Tensor:
            is_value_BT = (tokens_BT >= self._keys) & (tokens_BT < self._first_noise)
            latest_BT = torch.arange(self.length).where(is_value_BT, 0).cummax(1).values
            return tokens_BT.gather(1, latest_BT)

        return {
            "oracle": oracle,
            "last_token": most_frequent(sample, lambda tokens_BT: tokens_BT, self.vocabulary),
            "common_value": common_value(self._keys, self._first_noise),
            "last_value": last_value,
        }
