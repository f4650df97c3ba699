"""Multi-query associative recall: how many pairs does a model's state hold?"""

from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from tasks.draws import distinct, integers
from tasks.task import IGNORE, Batch, Predictor, SyntheticTask, most_frequent


class Recall(SyntheticTask):
    """Zoology's multi-query associative recall (Arora et al. 2024, arXiv:2312.04927, `zoology/data/multiquery_ar.py`).

    Every key is stated once with its value, then asked once, at one of the even positions after the context:

        length 12, vocabulary 9, pairs 2, fillers 1: filler 0, keys 1-4, values 5-8

        tokens     3 8   1 6   0 0   3 0   1 0   0 0
        targets    . .   . .   . .   8 .   6 .   . .

    Key j of the context is asked at the j-th slot drawn without replacement with p(i) proportional to i^(power - 1):
    power 0.01, Zoology's, asks soon after the context, power 1 anywhere. Fillers are reserved tokens, where Zoology's
    `random_non_queries` may repeat a key. So its settings without that, as in figure 2, are those of fillers 1, and its
    settings with it, the default and Based's figure 2, are not posed identically.
    """

    name: Literal["recall"]
    length: int
    vocabulary: int
    pairs: Annotated[int, Field(ge=2)]
    fillers: Annotated[int, Field(ge=1)]
    power: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.length < 4 * self.pairs:
            raise ValueError(
                f"length {self.length} cannot hold pairs {self.pairs}, which take two tokens each to state and two to "
                f"ask: raise length to {4 * self.pairs} or lower pairs"
            )
        if self._keys < self.pairs:
            raise ValueError(
                f"vocabulary {self.vocabulary} less fillers {self.fillers} has too few keys for pairs {self.pairs}: "
                f"raise vocabulary to {2 * self.pairs + self.fillers}, or lower pairs or fillers"
            )
        return self

    @property
    def vocabulary_size(self) -> int:
        return self.vocabulary

    @property
    def _keys(self) -> int:
        return (self.vocabulary - self.fillers) // 2

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        first_value = self.fillers + self._keys
        keys_BK = self.fillers + distinct(rng, self._keys, self.pairs, size)
        values_BK = first_value + distinct(rng, self.vocabulary - first_value, self.pairs, size)
        asked_BK = 2 * self.pairs + 2 * self._slots(rng, size)
        tokens_BT = integers(rng, self.fillers, (size, self.length))
        tokens_BT[:, 0 : 2 * self.pairs : 2] = keys_BK
        tokens_BT[:, 1 : 2 * self.pairs : 2] = values_BK
        np.put_along_axis(tokens_BT, asked_BK, keys_BK, axis=1)
        targets_BT = np.full_like(tokens_BT, IGNORE)
        np.put_along_axis(targets_BT, asked_BK, values_BK, axis=1)
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    def _slots(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Returns slots_BK, the first arrivals of an exponential race: successive draws without replacement."""
        slots = (self.length - 2 * self.pairs) // 2
        rate = np.arange(1, slots + 1) ** (self.power - 1)
        arrival = -np.log1p(-rng.random((size, slots))) / rate
        return arrival.argsort(axis=1)[:, : self.pairs]

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`any_value` answers with a value of the context, `position` with that of the pair most often asked there."""

        def values(tokens_BT: Tensor) -> Tensor:
            return tokens_BT[:, 1 : 2 * self.pairs : 2]

        def answers(tokens_BT: Tensor, answers_BK: Tensor) -> Tensor:
            answer_of_key_BN = tokens_BT.new_zeros(len(tokens_BT), self.vocabulary)
            answer_of_key_BN.scatter_(1, tokens_BT[:, 0 : 2 * self.pairs : 2], answers_BK)
            return answer_of_key_BN.gather(1, tokens_BT)

        def position(tokens_BT: Tensor) -> Tensor:
            return torch.arange(self.length).expand_as(tokens_BT)

        pair_BT = answers(sample.tokens_BT, torch.arange(self.pairs).expand(len(sample.tokens_BT), -1))
        asked = Batch(sample.tokens_BT, pair_BT.where(sample.targets_BT != IGNORE, IGNORE))
        pair_at = most_frequent(asked, position, self.length)
        return {
            "oracle": lambda tokens_BT: answers(tokens_BT, values(tokens_BT)),
            "any_value": lambda tokens_BT: values(tokens_BT)[:, :1].expand_as(tokens_BT),
            "position": lambda tokens_BT: values(tokens_BT).gather(1, pair_at(tokens_BT)),
        }
