"""Frequent words: which words lead a list whose counts follow Zipf's law?"""

from functools import lru_cache
from itertools import count
from math import fsum, sqrt
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tasks.context.word_counts import WordCounts


class FrequentWords(WordCounts):
    """RULER's frequent words extraction with one token for a word (Hsieh et al. 2024, arXiv:2404.06654).

    The word of rank k has its share 1 / k^alpha of the context, rounded down; rank 1 is noise and takes what is left:

        length 27, words 6, alpha 1.0, answers 2: question 0, noise 1, words 2-7, of which 5 leads, then 3

        tokens     1 5 1 4 1 3 7 1 5 1 2 6 1 3 1 5 1 3 1 4 1 1 5 1 1   0 5
        targets    . . . . . . . . . . . . . . . . . . . . . . . . .   5 3

    A tie that an answer has with the next word is broken by one token more, so the order is unique. RULER scores three
    answers in any order (`freq_words_extraction.py`), leaves ties to chance, and normalises by the infinite sum of
    Zipf's law, where this does by the sum over `words` and the noise. There is no depth: the words are everywhere.
    """

    name: Literal["frequent-words"]
    alpha: Annotated[float, Field(ge=1, multiple_of=0.5)]  # so that its powers are the same on every machine
    answers: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.words <= self.answers:
            raise ValueError(
                f"words {self.words} are no more than answers {self.answers}: raise words to {self.answers + 1} or "
                f"lower answers"
            )
        if self._counts[0] < 0:
            needed = next(length for length in count(max(self.length, 1)) if self._counts_at(length)[0] >= 0)
            raise ValueError(
                f"length {self.length} is too short for answers {self.answers} of different counts: raise length to "
                f"{needed} or lower answers"
            )
        return self

    def _counts_at(self, length: int) -> tuple[int, ...]:
        return zipf_counts(length - self.answers, words=self.words, alpha=self.alpha, answers=self.answers)

    @property
    def _answers(self) -> int:
        return self.answers

    @property
    def _counts(self) -> tuple[int, ...]:
        return self._counts_at(self.length)

    def _ordered(self, ranked_BA: np.ndarray) -> np.ndarray:
        return ranked_BA


@lru_cache
def zipf_counts(total: int, *, words: int, alpha: float, answers: int) -> tuple[int, ...]:
    """Returns how often rank 1 to words + 1 occur among `total`, where ranks 2 to answers + 1 have no ties.

    A rank without a lead over the next gets one token more than that; rank 1 takes what is left.
    """
    halves = round(2 * alpha)
    weights = [1 / (rank ** (halves // 2) * (sqrt(rank) if halves % 2 else 1)) for rank in range(1, words + 2)]
    whole = fsum(weights)
    counts = [int(total * weight / whole) for weight in weights[1:]]
    for place in reversed(range(answers)):
        counts[place] = max(counts[place], counts[place + 1] + 1)
    return total - sum(counts), *counts
