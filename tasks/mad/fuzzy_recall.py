"""Fuzzy in-context recall: keys and values of several tokens each."""

from math import log2
from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from tasks.draws import integers
from tasks.mad.labels import Labels, RecallTask, common_value, first_of_each
from tasks.mad.motifs import Motifs, begins, drawn_motifs
from tasks.task import IGNORE, Batch, Predictor, most_frequent


class FuzzyRecall(RecallTask):
    """MAD's fuzzy in-context recall (Poli et al. 2024, arXiv:2403.17844, `mad/data/instances.py`, `multi_query` as in its
    settings): a key is a motif of 1 to `longest_key` different tokens, a value one of 1 to `longest_value`.

        length 15, vocabulary 8, longest_key 2, longest_value 2: keys of 0-2, values of 3-6, pad 7

        tokens             7 7   0 6   1 3 4   0 6   1 0 4 5   1 3
        targets, seen      . .   . .   . . .   6 .   . . . .   3 4
        targets, all       7 0   6 1   3 4 0   6 1   0 4 5 1   3 4

    The last pair is a probe, drawn first and shown at a random place; its last token is not in the row. In validation
    and test every key has `longest_key` tokens. Short rows are padded on the left, as in MAD, so that they end with the
    probe; these pads are tokens like others. In MAD the place may be one where no pair begins any more, so that the probe
    is asked without having been shown: here the last pair before it then shows it.
    """

    name: Literal["mad-fuzzy-recall"]
    length: int
    vocabulary: int
    longest_key: Annotated[int, Field(ge=1)]
    longest_value: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        longest = self.longest_key + self.longest_value
        if self.length <= 2 * longest:
            raise ValueError(
                f"length {self.length} cannot hold two pairs of longest_key {self.longest_key} and longest_value "
                f"{self.longest_value}: raise length to {2 * longest + 1} or lower longest_key or longest_value"
            )
        enough = max(2 * self.longest_key + 1, 2 * self.longest_value, 5)
        if self.vocabulary < enough:
            raise ValueError(
                f"vocabulary {self.vocabulary} has too few tokens for motifs of longest_key {self.longest_key} and "
                f"longest_value {self.longest_value} different ones, half of it for each, and a pad: raise vocabulary to "
                f"{enough} or lower longest_key or longest_value"
            )
        if (self._keys + 1) ** self.longest_key > 2**48:
            raise ValueError(
                f"vocabulary {self.vocabulary} makes more keys of longest_key {self.longest_key} tokens than can be numbered: "
                f"lower longest_key to {int(48 / log2(self._keys + 1))} or lower vocabulary"
            )
        return self

    @property
    def vocabulary_size(self) -> int:
        return self.vocabulary

    @property
    def _pad(self) -> int:
        return self.vocabulary - 1

    @property
    def _keys(self) -> int:
        return self._pad // 2

    def draw_labelled(self, rng: np.random.Generator, size: int, *, labels: Labels, tested: bool) -> Batch:
        shortest_key = self.longest_key if tested else 1
        shape = (size, 1 + self.length // (shortest_key + 1))  # the probe, then as many pairs as fit
        keys = drawn_motifs(rng, self._keys, shortest=shortest_key, longest=self.longest_key, shape=shape)
        values = drawn_motifs(rng, self._pad - self._keys, shortest=1, longest=self.longest_value, shape=shape)
        pair_BN = first_of_each(keys.names_BN, np.ones(shape, dtype=bool))
        widths_BN = keys.sizes_BN + values.at(pair_BN).sizes_BN
        end_B1 = self.length - widths_BN[:, :1] - self.longest_key - self.longest_value
        pair_BN = _with_probe(rng, pair_BN, widths_BN, end_B1)
        return self._written(keys.at(pair_BN), values.at(pair_BN), pair_BN, end_B1, labels=labels)

    def _written(
        self, keys: Motifs, values: Motifs, pair_BN: np.ndarray, end_B1: np.ndarray, *, labels: Labels
    ) -> Batch:
        """Returns the rows that state these pairs, but for those that would begin at `end_B1` or later, and last the probe."""
        widths_BN = keys.sizes_BN + values.sizes_BN
        read_BN = begins(widths_BN) < end_B1
        read_BN[:, -1] = True
        seen_BN = first_of_each(pair_BN, read_BN) < np.arange(pair_BN.shape[1])
        widths_BN = np.where(read_BN, widths_BN, 0)
        key_BN = self.length + 1 - widths_BN.sum(axis=1, keepdims=True) + begins(widths_BN)
        value_BN = key_BN + keys.sizes_BN

        spare = self.length + 1  # the column of all that is not written
        row_BT = np.full((len(pair_BN), self.length + 2), self._pad)
        targets_BT = np.full_like(row_BT, IGNORE)
        for j in range(self.longest_key):
            written_BN = read_BN & (j < keys.sizes_BN)
            np.put_along_axis(row_BT, np.where(written_BN, key_BN + j, spare), keys.tokens_BNJ[:, :, j], axis=1)
        for j in range(self.longest_value):
            written_BN, tokens_BN = read_BN & (j < values.sizes_BN), self._keys + values.tokens_BNJ[:, :, j]
            np.put_along_axis(row_BT, np.where(written_BN, value_BN + j, spare), tokens_BN, axis=1)
            asked_BN = np.where(written_BN & seen_BN, value_BN + j - 1, spare)
            np.put_along_axis(targets_BT, asked_BN, tokens_BN, axis=1)
        if labels == "all":
            targets_BT[:, :-1] = row_BT[:, 1:]
        tokens_BT, targets_BT = (columns_BT[:, : self.length].copy() for columns_BT in (row_BT, targets_BT))
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`last_token` knows only the token at the position asked; `one_token` takes it for the whole key, so that it
        answers with what first followed it, and `common_value` with the token read most often in values.
        """

        def one_token(tokens_BT: Tensor) -> Tensor:
            return self._first_following(tokens_BT.numpy(), tokens_BT.numpy())

        return {
            "oracle": self._oracle,
            "last_token": most_frequent(sample, lambda tokens_BT: tokens_BT, self.vocabulary),
            "one_token": one_token,
            "common_value": common_value(self._keys, self._pad),
        }

    def _oracle(self, tokens_BT: Tensor) -> Tensor:
        """Returns what followed the same key, and as much of its value, when a value's token first did."""
        tokens = tokens_BT.numpy()
        place_T = np.arange(tokens.shape[1])
        is_key = tokens < self._keys
        follows_key = np.pad(is_key, ((0, 0), (1, 0)))[:, :-1]
        opened = np.maximum.accumulate(np.where(is_key & ~follows_key, place_T, 0), axis=1)
        exponent = (place_T - opened).clip(0, self.longest_key - 1)
        upto = np.where(is_key, (tokens + 1) * (self._keys + 1) ** exponent, 0).cumsum(axis=1)
        before = np.pad(upto, ((0, 0), (1, 0)))
        key = upto - np.take_along_axis(before, opened, axis=1)
        since_key = place_T - np.maximum.accumulate(np.where(is_key, place_T, 0), axis=1)
        return self._first_following(tokens, key * (self.longest_value + 1) + since_key)

    def _first_following(self, tokens_BT: np.ndarray, contexts_BT: np.ndarray) -> Tensor:
        """Returns the token of a value that first followed the same context."""
        before_value_BT = np.pad((tokens_BT[:, 1:] >= self._keys) & (tokens_BT[:, 1:] < self._pad), ((0, 0), (0, 1)))
        first_BT = first_of_each(contexts_BT, before_value_BT)
        return torch.from_numpy(np.take_along_axis(tokens_BT, (first_BT + 1).clip(max=tokens_BT.shape[1] - 1), axis=1))


def _with_probe(rng: np.random.Generator, pair_BN: np.ndarray, widths_BN: np.ndarray, end_B1: np.ndarray) -> np.ndarray:
    """Returns pair_BN in the order read: the probe, which came first, is last, and shown before, from a random place on."""
    order_BN = pair_BN[:, 1:].copy()
    begins_BN = begins(widths_BN[:, 1:])
    place_B1 = (begins_BN < integers(rng, end_B1, end_B1.shape)).sum(axis=1, keepdims=True)
    last_B1 = (begins_BN < end_B1).sum(axis=1, keepdims=True) - 1
    place_B1 = np.minimum(place_B1, last_B1)
    place_N = np.arange(order_BN.shape[1])
    shown_B1 = ((order_BN == 0) & (place_N < place_B1)).any(axis=1, keepdims=True)
    order_BN[(place_N == place_B1) & ~shown_B1] = 0
    return np.concatenate([order_BN, np.zeros_like(pair_BN[:, :1])], axis=1)
