"""Common words: which words does a long list repeat more often than the others?"""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tasks.context.word_counts import WordCounts


class CommonWords(WordCounts):
    """RULER's common words extraction with one token for a word (Hsieh et al. 2024, arXiv:2404.06654).

    `common` words occur `common_repeats` times each, as many others as there is room for `uncommon_repeats` times:

        length 13, words 9, common 2, common_repeats 3, uncommon_repeats 1: question 0, noise 1, words 2-10

        tokens     7 4 2 7 9 4 7 10 4 3 5   0 4
        targets    . . . . . . . .  . . .   4 7

    RULER scores the common words in any order (`common_words_extraction.py`); here they are asked in the order of their
    ids, which makes the answer unique. Tokens left over are noise. There is no depth: the words are everywhere.
    """

    name: Literal["common-words"]
    common: Annotated[int, Field(ge=1)]
    common_repeats: Annotated[int, Field(ge=2)]
    uncommon_repeats: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.common_repeats <= self.uncommon_repeats:
            raise ValueError(
                f"common_repeats {self.common_repeats} are no more than uncommon_repeats {self.uncommon_repeats}: raise "
                f"common_repeats to {self.uncommon_repeats + 1} or lower uncommon_repeats"
            )
        if self._uncommon < 1:
            needed = self.common * (self.common_repeats + 1) + self.uncommon_repeats
            raise ValueError(
                f"length {self.length} cannot hold common {self.common} with common_repeats {self.common_repeats} and "
                f"an uncommon word: raise length to {needed} or lower either"
            )
        if self.words < self.common + self._uncommon:
            raise ValueError(
                f"words {self.words} are too few to fill length {self.length}: raise words to "
                f"{self.common + self._uncommon}, raise uncommon_repeats or lower length"
            )
        return self

    @property
    def _uncommon(self) -> int:
        return (self._context - self.common * self.common_repeats) // self.uncommon_repeats

    @property
    def _answers(self) -> int:
        return self.common

    @property
    def _counts(self) -> tuple[int, ...]:
        repeats = self.common * (self.common_repeats,) + self._uncommon * (self.uncommon_repeats,)
        return self._context - sum(repeats), *repeats

    def _ordered(self, ranked_BA: np.ndarray) -> np.ndarray:
        return np.sort(ranked_BA, axis=1)
