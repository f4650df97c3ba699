"""Needles in real text: what does a model find, and how deep may it lie?"""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tasks.documents.haystack import (
    FRAME,
    NAME,
    VOCABULARY,
    Answer,
    answering,
    asked,
    batch,
    drawn_digits,
    drawn_names,
    haystacks,
    hidden,
    sentences,
)
from tasks.documents.task import DocumentTask
from tasks.draws import Split, integers
from tasks.task import Batch, Predictor


class TextNeedle(DocumentTask):
    """Which numbers did the text say a name has? Needle in a haystack, as RULER (Hsieh et al. 2024, arXiv:2404.06654).

    `names` names have `values` numbers of `digits` digits each, one sentence a number, put anywhere into one document;
    `queries` names are asked for, each with all its numbers in the order of the text. 256 asks, 257 wants a number:

        length 100, names 2, values 1, queries 1, digits 3

        tokens      The number of bkbpb is 967.ng a normal figure. The indivi The number of dgxvf is 598.dual 256 bkbpb 257 96
        targets    967 at the last three tokens, none before

    RULER (`scripts/data/synthetic/niah.py`) hides sentences of English words between those of essays and asks a
    language model in words; here the names are five rare consonants, which no message holds, the sentences stand
    wherever a byte ends, the text is of one public-domain document, and a byte is right or wrong by itself, given
    those before it. So, given a number's first digits, the rest can be found without the name: `value_prefix`.

    `depth` is how deep into the text, from 0 to 1, the sentences lie that answer; null is anywhere, as the others are.
    """

    name: Literal["text-needle"]
    length: int
    names: Annotated[int, Field(ge=1)]
    values: Annotated[int, Field(ge=1)]
    queries: Annotated[int, Field(ge=1)]
    digits: Annotated[int, Field(ge=1)]
    depth: Annotated[float, Field(ge=0, le=1)] | None

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self.queries > self.names:
            raise ValueError(
                f"queries {self.queries} ask for more than names {self.names}: raise names to {self.queries} or lower queries"
            )
        if self._text < 1:
            raise ValueError(
                f"length {self.length} leaves no text between the sentences and questions of names {self.names}, values "
                f"{self.values}, queries {self.queries}, digits {self.digits}: raise length to "
                f"{self.length + 1 - self._text} or lower these"
            )
        return self

    @property
    def vocabulary_size(self) -> int:
        return VOCABULARY

    @property
    def _text(self) -> int:
        """The bytes of real text: the row, whose last answer byte is not read, less sentences and questions."""
        question = 1 + NAME + self.values * (1 + self.digits)
        return self.length + 1 - self.names * self.values * (FRAME + self.digits) - self.queries * question

    def examples(self, split: Split, rng: np.random.Generator, size: int) -> Batch:
        haystack_BH = haystacks(self._library, split, self._text, rng, size)
        name_BKL = drawn_names(rng, self.names, size)
        value_BKVL = drawn_digits(rng, (size, self.names, self.values, self.digits))
        slot_BKV = integers(rng, self._text + 1, (size, self.names, self.values))
        if self.depth is not None:
            slot_BKV[:, : self.queries] = int(self.depth * self._text)
        slot_BKV.sort(axis=2)
        sentence_BNL = sentences(np.repeat(name_BKL, self.values, axis=1), value_BKVL.reshape(size, -1, self.digits))
        text_BL = hidden(haystack_BH, sentence_BNL, slot_BKV.reshape(size, -1))
        return batch(text_BL, *asked(name_BKL[:, : self.queries], value_BKVL[:, : self.queries]))

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`first_value` answers with the number said first, `value_prefix` with the first that begins as the answer does."""
        answers: dict[str, Answer] = {
            "oracle": lambda said, name, j, given: [value for key, value in said if key == name][j],
            "first_value": lambda said, name, j, given: said[0][1],
            "value_prefix": lambda said, name, j, given: next(value for _, value in said if value.startswith(given)),
        }
        return {name: answering(answer, numbers=self.values, digits=self.digits) for name, answer in answers.items()}
