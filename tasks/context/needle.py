"""A needle in a haystack: what was said of a key, long ago?"""

from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from tasks.context.haystack import Haystack, skipping
from tasks.draws import distinct, integers
from tasks.task import IGNORE, Batch, Predictor, most_frequent


class Needle(Haystack):
    """RULER's retrieval tasks with one token for a key, a value, a filler (Hsieh et al. 2024, arXiv:2404.06654, `niah.py`).

    A needle is a key and a value side by side. After the context and the question token, each key that is asked is
    followed by its values in the order stated, of which all but the last are read, so that every token asks for the next:

        length 16, fillers 2, key_tokens 3, value_tokens 6, hidden_keys 2, values_per_key 2, queries 1,
        haystack filler: question 0, fillers 1 and 2, keys 3-5, values 6-11

        tokens     1 2 2   5 9   3 6   5 7   1 2   3 11   0   5 9
        targets    . . .   . .   . .   . .   . .   . .    .   9 7

    Values of different needles differ. In the haystack `needles`, every other slot is a needle too, with a key that
    is not hidden. RULER scores values in any order, over sentences of text; here their order makes the answer unique.
    """

    name: Literal["needle"]
    key_tokens: int
    value_tokens: int
    hidden_keys: Annotated[int, Field(ge=1)]
    values_per_key: Annotated[int, Field(ge=1)]
    queries: Annotated[int, Field(ge=1)]
    haystack: Literal["filler", "needles"]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        needles = self.hidden_keys * self.values_per_key
        self._require_slots(needles, "hidden_keys, values_per_key or queries")
        if self.queries > self.hidden_keys:
            raise ValueError(
                f"queries {self.queries} ask for more keys than hidden_keys {self.hidden_keys}: raise hidden_keys to "
                f"{self.queries} or lower queries"
            )
        keys = self.hidden_keys + (self.haystack == "needles")
        if self.key_tokens < keys or self.value_tokens < needles:
            raise ValueError(
                f"key_tokens {self.key_tokens} and value_tokens {self.value_tokens} are too few for hidden_keys "
                f"{self.hidden_keys} with values_per_key {self.values_per_key} in a haystack of {self.haystack}: raise "
                f"key_tokens to {keys} and value_tokens to {needles}"
            )
        return self

    @property
    def vocabulary_size(self) -> int:
        return self._first_value + self.value_tokens

    @property
    def _first_key(self) -> int:
        return 1 + self.fillers

    @property
    def _first_value(self) -> int:
        return self._first_key + self.key_tokens

    @property
    def _question(self) -> int:
        return 1 + self.queries * self.values_per_key

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        shape = size, self.hidden_keys, self.values_per_key
        keys_BK = distinct(rng, self.key_tokens, self.hidden_keys, size)
        values_BKV = self._first_value + distinct(rng, self.value_tokens, shape[1] * shape[2], size).reshape(shape)
        slots_BN = self._placed(rng, size, groups=shape[1], members=shape[2]).reshape(size, -1)
        tokens_BT = self._filled(rng, size)
        first_BS, second_BS = self._pairs(tokens_BT)
        if self.haystack == "needles":
            others_BS = integers(rng, self.key_tokens - self.hidden_keys, first_BS.shape)
            first_BS[:] = self._first_key + skipping(others_BS, keys_BK)
            second_BS[:] = self._first_value + integers(rng, self.value_tokens, second_BS.shape)
        keys_BKV = np.repeat(self._first_key + keys_BK[:, :, None], self.values_per_key, axis=2)
        np.put_along_axis(first_BS, slots_BN, keys_BKV.reshape(size, -1), axis=1)
        np.put_along_axis(second_BS, slots_BN, values_BKV.reshape(size, -1), axis=1)
        answers_BQV = values_BKV[:, : self.queries]
        asked_BQV = np.concatenate([keys_BKV[:, : self.queries, :1], answers_BQV[:, :, :-1]], axis=2)
        tokens_BT[:, self._context + 1 :] = asked_BQV.reshape(size, -1)
        targets_BT = np.full_like(tokens_BT, IGNORE)
        targets_BT[:, self._context + 1 :] = answers_BQV.reshape(size, -1)
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`first_value` and `last_value` are of any needle, `position` is the value in the slot most often asked.

        With a single needle any value is the answer, and at a depth so is the value in its slot.
        """

        def slots_asked(tokens_BT: Tensor) -> Tensor:
            asked_BQ1 = tokens_BT[:, self._context + 1 :: self.values_per_key, None]
            elsewhere_BQS = self._pairs(tokens_BT)[0][:, None] != asked_BQ1
            slots_BQV = elsewhere_BQS.to(torch.int8).argsort(dim=2, stable=True)[:, :, : self.values_per_key]
            slots_BT = torch.zeros_like(tokens_BT)
            slots_BT[:, self._context + 1 :] = slots_BQV.flatten(1)
            return slots_BT

        def position(tokens_BT: Tensor) -> Tensor:
            return torch.arange(self.length).expand_as(tokens_BT)

        def value_in(slots_BT: Tensor, tokens_BT: Tensor) -> Tensor:
            return self._pairs(tokens_BT)[1].gather(1, slots_BT)

        def needles(tokens_BT: Tensor) -> Tensor:
            return (self._pairs(tokens_BT)[0] >= self._first_key).int()

        slots_BT = slots_asked(sample.tokens_BT).where(sample.labelled_BT, IGNORE)
        slot_at = most_frequent(Batch(sample.tokens_BT, slots_BT), position, self.length)
        last = self._slots - 1
        return {
            "oracle": lambda tokens_BT: value_in(slots_asked(tokens_BT), tokens_BT),
            "first_value": lambda tokens_BT: value_in(
                needles(tokens_BT).argmax(1, keepdim=True).expand_as(tokens_BT), tokens_BT
            ),
            "last_value": lambda tokens_BT: value_in(
                (last - needles(tokens_BT).flip(1).argmax(1, keepdim=True)).expand_as(tokens_BT), tokens_BT
            ),
            "position": lambda tokens_BT: value_in(slot_at(tokens_BT), tokens_BT),
        }
