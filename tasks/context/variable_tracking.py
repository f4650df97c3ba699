"""Variable tracking: following assignments from one variable to the next."""

from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from tasks.context.haystack import Haystack
from tasks.draws import distinct
from tasks.task import IGNORE, Batch, Predictor


class VariableTracking(Haystack):
    """RULER's variable tracking with one token for a variable, a value, a filler (Hsieh et al. 2024, arXiv:2404.06654).

    A chain assigns a value to a variable, that variable to another, and so on for `hops`; chains are mixed, each in its
    order (`variable_tracking.py`). The new variable stands side by side with what it is assigned:

        length 16, fillers 1, names 6, value_tokens 2, chains 2, hops 2: question 0, filler 1, variables 2-7, values 8, 9

        asked value       tokens     3 8   5 9   6 3   7 6   2 5   4 2   0   8 3 6
                          targets    . .   . .   . .   . .   . .   . .   .   3 6 7

        asked variable    tokens     3 8   5 9   1 1   6 3   7 6   2 5   4 2   0   4
                          targets    . .   . .   . .   . .   . .   . .   . .   .   9

    `value`, as in RULER, asks for all variables that hold a value. Each is read before the next is asked, so each is one
    assignment away. `variable` asks what the last of a chain holds, hops + 1 assignments away at once: there the hops
    ask for depth, and hops 0 is a plain look-up. With a single chain, either answer can be read off without following it.
    """

    name: Literal["variable-tracking"]
    names: int
    value_tokens: int
    chains: Annotated[int, Field(ge=1)]
    hops: Annotated[int, Field(ge=0)]
    asked: Literal["value", "variable"]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        assignments = self.chains * (self.hops + 1)
        self._require_slots(assignments, "chains or hops")
        if self.names < assignments or self.value_tokens < self.chains:
            raise ValueError(
                f"names {self.names} and value_tokens {self.value_tokens} are too few for chains {self.chains} of hops "
                f"{self.hops}: raise names to {assignments} and value_tokens to {self.chains}, or lower chains or hops"
            )
        return self

    @property
    def vocabulary_size(self) -> int:
        return self._first_value + self.value_tokens

    @property
    def _first_name(self) -> int:
        return 1 + self.fillers

    @property
    def _first_value(self) -> int:
        return self._first_name + self.names

    @property
    def _question(self) -> int:
        return 2 + self.hops if self.asked == "value" else 2

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        shape = size, self.chains, self.hops + 1
        names_BCH = self._first_name + distinct(rng, self.names, shape[1] * shape[2], size).reshape(shape)
        values_BC1 = self._first_value + distinct(rng, self.value_tokens, self.chains, size)[:, :, None]
        sources_BCH = np.concatenate([values_BC1, names_BCH[:, :, :-1]], axis=2)
        slots_BN = self._placed(rng, size, groups=shape[1], members=shape[2]).reshape(size, -1)
        tokens_BT = self._filled(rng, size)
        first_BS, second_BS = self._pairs(tokens_BT)
        np.put_along_axis(first_BS, slots_BN, names_BCH.reshape(size, -1), axis=1)
        np.put_along_axis(second_BS, slots_BN, sources_BCH.reshape(size, -1), axis=1)
        value = self.asked == "value"
        tokens_BT[:, self._context + 1 :] = sources_BCH[:, 0] if value else names_BCH[:, 0, -1:]
        targets_BT = np.full_like(tokens_BT, IGNORE)
        targets_BT[:, self._context + 1 :] = names_BCH[:, 0] if value else values_BC1[:, 0]
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`first` and `last` answer, without following anything, what the first assignments say, or the last ones.

        That is their variables, in order, or their one value.
        """

        def spread(tokens_BT: Tensor, answers_BA: Tensor) -> Tensor:
            answers_BT = torch.zeros_like(tokens_BT)
            answers_BT[:, self._context + 1 :] = answers_BA
            return answers_BT

        def oracle(tokens_BT: Tensor) -> Tensor:
            first_BS, second_BS = self._pairs(tokens_BT)
            asked_BA = tokens_BT[:, self._context + 1 :]
            if self.asked == "value":
                return spread(tokens_BT, _looked_up(asked_BA, second_BS, first_BS))
            for _ in range(self.hops + 1):
                asked_BA = _looked_up(asked_BA, first_BS, second_BS)
            return spread(tokens_BT, asked_BA)

        def stated(tokens_BT: Tensor) -> Tensor:
            """Returns, in order, every variable of the context or every value."""
            first_BS, second_BS = self._pairs(tokens_BT)
            said_BS = first_BS if self.asked == "value" else second_BS
            lowest = self._first_name if self.asked == "value" else self._first_value
            order_BS = (said_BS < lowest).to(torch.int8).argsort(dim=1, stable=True)
            count = self.chains * (self.hops + 1 if self.asked == "value" else 1)
            return said_BS.gather(1, order_BS[:, :count])

        answers = self._question - 1
        return {
            "oracle": oracle,
            "first": lambda tokens_BT: spread(tokens_BT, stated(tokens_BT)[:, :answers]),
            "last": lambda tokens_BT: spread(tokens_BT, stated(tokens_BT)[:, -answers:]),
        }


def _looked_up(asked_BA: Tensor, from_BS: Tensor, to_BS: Tensor) -> Tensor:
    """Returns for every token that is asked what stands in `to` where it stands in `from`."""
    return to_BS.gather(1, (from_BS[:, None] == asked_BA[:, :, None]).int().argmax(2))
