"""Counting words: which are the most frequent of a long list?"""

from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor

from tasks.draws import permutations
from tasks.task import IGNORE, Batch, Predictor, SyntheticTask, most_frequent

QUESTION, NOISE, FIRST_WORD = 0, 1, 2


class WordCounts(SyntheticTask):
    """A list of words, each as often as its rank says, shuffled; then a question for the most frequent.

    Every row has the same counts, of other words. The answers are read one by one, each asking for the next.
    """

    partitioned = True

    length: int
    words: int

    @property
    @abstractmethod
    def _counts(self) -> tuple[int, ...]:
        """How often the noise occurs, then each word of a row; they add up to the tokens of the context."""

    @property
    @abstractmethod
    def _answers(self) -> int:
        """How many words are asked for: the first that many of `_counts` after the noise."""

    @abstractmethod
    def _ordered(self, ranked_BA: np.ndarray) -> np.ndarray:
        """Returns the answers in the order asked for, given them in the order of `_counts`."""

    @property
    def vocabulary_size(self) -> int:
        return FIRST_WORD + self.words

    @property
    def _context(self) -> int:
        return self.length - self._answers

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        counts = self._counts
        words_BN = FIRST_WORD + permutations(rng, self.words, size)[:, : len(counts) - 1]
        listed_BN = np.concatenate([np.full((size, 1), NOISE), words_BN], axis=1)
        place_BT = np.repeat(np.arange(len(counts)), counts)[permutations(rng, self._context, size)]
        context_BT = np.take_along_axis(listed_BN, place_BT, axis=1)
        answers_BA = self._ordered(words_BN[:, : self._answers])
        question_B1 = np.full((size, 1), QUESTION)
        tokens_BT = np.concatenate([context_BT, question_B1, answers_BA[:, :-1]], axis=1)
        targets_BT = np.concatenate([np.full_like(context_BT, IGNORE), answers_BA], axis=1)
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`last_eighth` counts in the last eighth of the context alone, `position` knows only which answer is asked."""

        def counted_from(start: int, tokens_BT: Tensor) -> Tensor:
            context_BT = tokens_BT[:, start : self._context]
            counts_BW = tokens_BT.new_zeros(len(tokens_BT), self.vocabulary_size)
            counts_BW.scatter_add_(1, context_BT, torch.ones_like(context_BT))
            ranked_BW = counts_BW[:, FIRST_WORD:].argsort(dim=1, descending=True, stable=True)
            answers_BA = self._ordered(FIRST_WORD + ranked_BW[:, : self._answers].numpy())
            answers_BT = torch.zeros_like(tokens_BT)
            answers_BT[:, self._context :] = torch.from_numpy(answers_BA)
            return answers_BT

        def position(tokens_BT: Tensor) -> Tensor:
            return torch.arange(self.length).expand_as(tokens_BT)

        return {
            "oracle": lambda tokens_BT: counted_from(0, tokens_BT),
            "last_eighth": lambda tokens_BT: counted_from(self._context * 7 // 8, tokens_BT),
            "position": most_frequent(sample, position, self.length),
        }
