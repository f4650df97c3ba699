"""Strings of many lengths and the slots of their answers: the core that all formal languages share."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from tasks.draws import integers
from tasks.task import Batch, Predictor, SyntheticTask, most_frequent


class Language(SyntheticTask):
    """A string, then the slots in which its answers are due: the tasks of the xLSTM paper (arXiv:2405.04517, B.1).

    A length is a number of tokens: of the string, its marks and its slots. Lengths are uniform in [minimum_length,
    maximum_length]; where no example is so long, it is the next shorter one and one or two blanks.

    Token 0 is blank: it stands in the slots and, as padding, on the right. Sources lay the same task out differently:

        xlstm      NX-AI/xlstm, `experiments/data/formal_language`: the answer is due at the last token of the string.
                   There it is token `size - 1` of the sequence, hidden, and predicted one token before: size is
                   length + 1.
        deletang   Delétang et al. (2023, arXiv:2207.02098), `neural_networks_chomsky_hierarchy`: answers are due at
                   blanks after the string. There inputs are one-hot and the model may read to both sides.
        cdes       Walker et al. (2025, arXiv:2505.17761), `structured-linear-cdes/data_dir/fl_tasks`: a string of
                   several answers ends with the mark ACT, where the first is due, the others at blanks. Odd lengths
                   there are rounded up: 3 to 40 are 4 to 41 here.
    """

    partitioned = True
    shortest: ClassVar[int]  # the length of the shortest example

    minimum_length: Annotated[int, Field(ge=1)]
    maximum_length: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.minimum_length > self.maximum_length:
            raise ValueError(
                f"no length lies between minimum_length {self.minimum_length} and maximum_length "
                f"{self.maximum_length}: raise maximum_length or lower minimum_length"
            )
        if self.minimum_length < self.shortest:
            raise ValueError(
                f"minimum_length {self.minimum_length} is shorter than any example of {self.name}: "
                f"raise minimum_length to {self.shortest}"
            )
        return self

    @property
    def padding(self) -> int:
        return 0

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        choices = self.maximum_length - self.minimum_length + 1
        length_B1 = self.minimum_length + integers(rng, choices, (size, 1))
        tokens_BT, targets_BT = self._examples(rng, length_B1)
        return Batch(torch.from_numpy(tokens_BT), torch.from_numpy(targets_BT))

    @abstractmethod
    def _examples(self, rng: np.random.Generator, length_B1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns tokens_BT and targets_BT, `maximum_length` wide, of an example of each length."""

    @abstractmethod
    def _answers(self, tokens_BT: np.ndarray) -> np.ndarray:
        """Returns the best answers_BT, by the tokens alone, and IGNORE where none is due."""

    def at(self, point: Mapping[str, Any]) -> Self:
        """Returns the task with other fields; `length` is exactly so many tokens."""
        fields = dict(point)
        if (length := fields.pop("length", None)) is not None:
            fields |= {"minimum_length": length, "maximum_length": length}
        return super().at(fields)

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`length` knows only how many tokens there are and which slot is asked; the rest are the language's own."""
        width = self.maximum_length

        def length(tokens_BT: Tensor) -> Tensor:
            return (tokens_BT != self.padding).sum(1, keepdim=True) * width + torch.arange(width)

        return {
            "oracle": lambda tokens_BT: torch.from_numpy(self._answers(tokens_BT.numpy())),
            "length": most_frequent(sample, length, (width + 1) * width),
        } | self._shortcuts(sample)

    def _shortcuts(self, sample: Batch) -> dict[str, Predictor]:
        """Returns the language's own shortcuts, which may be fitted on `sample`."""
        return {}


def token_at(tokens_BT: Tensor, place_B1: Tensor) -> Tensor:
    """Returns, at every position, the token at the row's place; _BT."""
    return tokens_BT.gather(1, place_B1).expand_as(tokens_BT)


def most_common(tokens_BT: Tensor, symbols: int) -> Tensor:
    """Returns, at every position, the row's most common token of 1 to `symbols`, the least of several; _BT."""
    counts_BV = (tokens_BT[:, :, None] == torch.arange(1, symbols + 1)).sum(1)
    return 1 + counts_BV.argmax(1, keepdim=True).expand_as(tokens_BT)
