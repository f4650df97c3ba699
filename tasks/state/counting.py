"""Counting: how often did a symbol occur?"""

from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from tasks.draws import distinct, integers, permutations
from tasks.task import IGNORE, Batch, Predictor, SyntheticTask, most_frequent


class Counting(SyntheticTask):
    """How many times did each symbol asked at the end occur? A number, not a residue: nothing wraps round.

        length 10, symbols 3, queries 2, maximum_count 4: symbols 0-2, their questions 3-5

        tokens     1 0 2 0 1 1 1 2 3 4
        targets    . . . . . . . . 2 4

    The count of each symbol asked is uniform in [0, maximum_count], whatever the length, and the symbols that are not
    asked fill the rest: so a longer test asks for counts that training has shown, over more tokens, and neither length
    nor context gives them away. No published suite has this task; that some recurrences lack the accumulation it takes is
    said in "On Subquadratic Architectures" (2026, arXiv:2606.12364).
    """

    partitioned = True

    name: Literal["counting"]
    length: int
    symbols: Annotated[int, Field(ge=2)]
    queries: Annotated[int, Field(ge=1)]
    maximum_count: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.queries >= self.symbols:
            raise ValueError(
                f"queries {self.queries} leave none of the symbols {self.symbols} to fill the rest: raise symbols to "
                f"{self.queries + 1} or lower queries"
            )
        if self._context < self.queries * self.maximum_count:
            raise ValueError(
                f"length {self.length} cannot hold maximum_count {self.maximum_count} of each of queries "
                f"{self.queries}: raise length to {self.queries * (self.maximum_count + 1)}, or lower either"
            )
        return self

    @property
    def vocabulary_size(self) -> int:
        return max(2 * self.symbols, self.maximum_count + 1)

    @property
    def _context(self) -> int:
        return self.length - self.queries

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        symbols_BS = distinct(rng, self.symbols, self.symbols, size)
        counts_BQ = integers(rng, self.maximum_count + 1, (size, self.queries))
        # Before they are shuffled, the symbols asked lie in runs, which end where their counts add up to.
        ends_BQ1 = counts_BQ.cumsum(axis=1)[:, :, None]
        run_BT = (np.arange(self._context) >= ends_BQ1).sum(axis=1)
        others_BT = self.queries + integers(rng, self.symbols - self.queries, run_BT.shape)
        kinds_BT = np.where(run_BT < self.queries, run_BT, others_BT)
        kinds_BT = np.take_along_axis(kinds_BT, permutations(rng, self._context, size), axis=1)
        context_BT = np.take_along_axis(symbols_BS, kinds_BT, axis=1)
        tokens_BT = np.concatenate([context_BT, self.symbols + symbols_BS[:, : self.queries]], axis=1)
        targets_BT = np.concatenate([np.full_like(context_BT, IGNORE), counts_BQ], axis=1)
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`presence` knows only whether the symbol occurs at all, `half` how often in the second half of the context."""

        def counts(tokens_BT: Tensor, start: int) -> Tensor:
            context_BT = tokens_BT[:, start : self._context]
            counts_BS = tokens_BT.new_zeros(len(tokens_BT), self.symbols)
            counts_BS.scatter_add_(1, context_BT, torch.ones_like(context_BT))
            return counts_BS.gather(1, tokens_BT % self.symbols)

        def half(tokens_BT: Tensor) -> Tensor:
            return counts(tokens_BT, self._context // 2)

        return {
            "oracle": lambda tokens_BT: counts(tokens_BT, 0),
            "presence": most_frequent(sample, lambda tokens_BT: counts(tokens_BT, 0).clamp(max=1), 2),
            "half": most_frequent(sample, half, self.length),
        }
