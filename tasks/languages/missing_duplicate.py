"""Missing duplicate: a string said twice with one symbol hidden."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from tasks.draws import integers
from tasks.languages.language import Language, most_common
from tasks.task import IGNORE, Batch, Predictor


class MissingDuplicate(Language):
    """Which symbol of a string said twice is hidden?

        symbols 3, a string of 3 symbols: blank 0, hidden 4, filler 5

        tokens, deletang      3 4 2 3 1 2 0
        targets, deletang     . . . . . . 1
        tokens, deletang      3 1 2 3 1 4 5 0
        targets, deletang     . . . . . . . 2
        tokens, cdes          3 1 2 3 4 2
        targets, cdes         . . . . 1 .

    Delétang's `missing_duplicate_string` hides a symbol of either copy, asks at the end, and fills odd strings by a token
    of its own; that of one token, which has no copies, is left out here. `cdes` hides one of the second copy only and
    asks there: a look-up. The xLSTM paper's generator is not public.
    """

    shortest = 3

    name: Literal["missing-duplicate"]
    symbols: Annotated[int, Field(ge=2)]
    source: Literal["deletang", "cdes"]

    @property
    def vocabulary_size(self) -> int:
        return self.symbols + (3 if self.source == "deletang" else 2)

    def _examples(self, rng: np.random.Generator, length_B1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(length_B1), self.maximum_length)
        size_B1 = length_B1 - (self.source == "deletang")
        half_B1 = size_B1 // 2
        place_T = np.arange(self.maximum_length)
        symbols_BT = np.take_along_axis(1 + integers(rng, self.symbols, shape), place_T % half_B1, axis=1)
        if self.source == "deletang":
            hidden_B1 = integers(rng, 2 * half_B1, half_B1.shape)
            rest_BT = np.where(place_T < size_B1, self.symbols + 2, self.padding)
        else:
            hidden_B1 = half_B1 + integers(rng, half_B1, half_B1.shape)
            rest_BT = np.full(shape, self.padding)
        tokens_BT = np.where(place_T < 2 * half_B1, symbols_BT, rest_BT)
        np.put_along_axis(tokens_BT, hidden_B1, self.symbols + 1, axis=1)
        return tokens_BT, self._answers(tokens_BT)

    def _answers(self, tokens_BT: np.ndarray) -> np.ndarray:
        size_B1 = (tokens_BT > 0).sum(axis=1, keepdims=True)
        half_B1 = size_B1 // 2
        hidden_B1 = (tokens_BT == self.symbols + 1).argmax(axis=1)[:, None]
        answer_B1 = np.take_along_axis(tokens_BT, (hidden_B1 + half_B1) % (2 * half_B1), axis=1)
        slot_B1 = size_B1 if self.source == "deletang" else hidden_B1
        return np.where(np.arange(tokens_BT.shape[1]) == slot_B1, answer_B1, IGNORE)

    def _shortcuts(self, sample: Batch) -> dict[str, Predictor]:
        """`most_common` answers with the symbol that all tokens, also those after the slot of `cdes`, have most often."""
        return {"most_common": lambda tokens_BT: most_common(tokens_BT, self.symbols)}
