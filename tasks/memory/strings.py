"""Lines that state a string and end in letters of it: the core that copying and n-gram look-up share.

Shapes: B rows of a batch, L lines of a row, S letters of a string, T tokens of a row.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from tasks.draws import integers
from tasks.task import IGNORE, Batch, Predictor, SyntheticTask

DOLLAR, BAR, STOP, PADDING = range(4)  # the tokens after the letters


class Strings(SyntheticTask):
    """A row is one line, `$...|...`, or as many as fill `context`; a line ends in its answer and a full stop.

    Strings have minimum_string to maximum_string letters, uniformly. Every token of the answer is predicted from those
    before it, the full stop last. `context` is the number of tokens read, so a row of n in a language model is context
    n - 1; a line cut there has no labels. Without `context` the full stop is predicted but not read, and shorter rows
    are padded on the right.
    """

    partitioned = True

    letters: Annotated[int, Field(ge=2)]
    minimum_string: Annotated[int, Field(ge=1)]
    maximum_string: Annotated[int, Field(ge=1)]
    context: int | None

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.minimum_string > self.maximum_string:
            raise ValueError(
                f"no string lies between minimum_string {self.minimum_string} and maximum_string "
                f"{self.maximum_string}: raise maximum_string or lower minimum_string"
            )
        longest = self._width(self.maximum_string) - 1
        if self.context is not None and self.context < longest:
            raise ValueError(
                f"context {self.context} cannot hold a line of maximum_string {self.maximum_string}: raise context to "
                f"{longest} or lower maximum_string"
            )
        return self

    @abstractmethod
    def _width(self, string: np.ndarray | int) -> np.ndarray | int:
        """Returns how many tokens a line with a string of so many letters has, the full stop included."""

    @abstractmethod
    def _labels(self, string: np.ndarray | int) -> np.ndarray | int:
        """Returns how many of them, at the end of the line, are to be predicted."""

    @abstractmethod
    def _starts(self, rng: np.random.Generator, letters_BLS: np.ndarray, string_BL: np.ndarray) -> np.ndarray:
        """Returns start_BL, the place in its string that each line is about."""

    @abstractmethod
    def _source(self, offset_BT: np.ndarray, string_BT: np.ndarray, start_BT: np.ndarray) -> np.ndarray:
        """Returns for each offset in a line the letter of its string that stands there, or maximum_string + a mark."""

    @property
    def vocabulary_size(self) -> int:
        return self.padding + 1

    @property
    def padding(self) -> int:
        return self.letters + PADDING

    @property
    def _shortest(self) -> int:
        """The shortest string that a line can be about."""
        return 1

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        width = self.context or self._width(self.maximum_string) - 1
        lines = 1 if self.context is None else -(-width // self._width(self.minimum_string))
        string_BL = self.minimum_string + integers(rng, self.maximum_string - self.minimum_string + 1, (size, lines))
        letters_BLS = integers(rng, self.letters, (size, lines, self.maximum_string))
        start_BL = self._starts(rng, letters_BLS, string_BL)

        end_BL = self._width(string_BL).cumsum(axis=1)
        ended_BT = np.zeros((size, width + 2), dtype=np.int64)
        np.put_along_axis(ended_BT, np.minimum(end_BL, width + 1), 1, axis=1)
        line_BT = np.minimum(ended_BT[:, :-1].cumsum(axis=1), lines - 1)
        end_BT, string_BT, start_BT = (np.take_along_axis(of_BL, line_BT, 1) for of_BL in (end_BL, string_BL, start_BL))

        position_T = np.arange(width + 1)
        offset_BT = position_T - end_BT + self._width(string_BT)
        source_BT = self._source(offset_BT, string_BT, start_BT)
        letter_BT = line_BT * self.maximum_string + np.minimum(source_BT, self.maximum_string - 1)
        text_BT = np.where(
            source_BT < self.maximum_string,
            np.take_along_axis(letters_BLS.reshape(size, -1), letter_BT, axis=1),
            self.letters + source_BT - self.maximum_string,
        )
        tokens_BT, next_BT = text_BT[:, :-1], text_BT[:, 1:]
        if self.context is None:
            tokens_BT = np.where(position_T[:-1] < end_BT[:, :-1] - 1, tokens_BT, self.padding)
        labelled_BT = (position_T >= end_BT - self._labels(string_BT)) & (position_T < end_BT) & (end_BT <= width + 1)
        targets_BT = np.where(labelled_BT[:, 1:], next_BT, IGNORE)
        return Batch(torch.from_numpy(np.ascontiguousarray(tokens_BT)), torch.from_numpy(targets_BT))

    def at(self, point: Mapping[str, Any]) -> Self:
        """Returns the task with other fields; `length` is one line of exactly so many tokens in a row."""
        fields = dict(point)
        if (length := fields.pop("length", None)) is not None:
            string = self.model_copy(update=fields)._string(length)
            fields |= {"minimum_string": string, "maximum_string": string, "context": None}
        return super().at(fields)

    def _string(self, length: int) -> int:
        """Returns how many letters fill a line of so many tokens."""
        rest = self._width(0) - 1
        each = self._width(1) - 1 - rest
        string, left = divmod(length - rest, each)
        if left or string < self._shortest:
            possible = rest + each * max(string, self._shortest)
            raise ValueError(f"no string makes a line of exactly length {length}: choose length {possible}")
        return string

    def _shortcuts(self, oracle: Predictor, *, before: int) -> dict[str, Predictor]:
        """Returns the shortcuts of a task whose strings begin `before` tokens after the dollar."""

        def full_stop(tokens_BT: Tensor) -> Tensor:
            stop = self.letters + STOP
            return torch.where(oracle(tokens_BT) == stop, stop, 0)

        def last_token(tokens_BT: Tensor) -> Tensor:
            first_BT = latest(tokens_BT == self.letters + DOLLAR) + before
            last = tokens_BT.shape[1] - 1
            place_BT = first_BT - 1
            for letter in range(self.letters):
                next_BT = following(tokens_BT == letter)
                place_BT = torch.where(tokens_BT == letter, next_BT.gather(1, first_BT.clamp(max=last)), place_BT)
            return self._letter_at(tokens_BT, place_BT + 1)

        return {"full_stop": full_stop, "last_token": last_token}

    def _letter_at(self, tokens_BT: Tensor, place_BT: Tensor) -> Tensor:
        """Returns the tokens at these places, a full stop where that is the bar that ends the string."""
        found_BT = tokens_BT.gather(1, place_BT.clamp(max=tokens_BT.shape[1] - 1))
        return torch.where(found_BT == self.letters + BAR, self.letters + STOP, found_BT)


def latest(marked_BT: Tensor) -> Tensor:
    """Returns the last marked position up to each position, 0 where there is none."""
    position_T = torch.arange(marked_BT.shape[1])
    return torch.where(marked_BT, position_T, 0).cummax(1).values


def following(marked_BT: Tensor) -> Tensor:
    """Returns the first marked position from each position on, the last position where there is none."""
    return marked_BT.shape[1] - 1 - latest(marked_BT.flip(1)).flip(1)
