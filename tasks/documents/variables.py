"""Variable tracking in real text: how many sentences does a model chain?"""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from tasks.documents.haystack import (
    FRAME,
    NAME,
    VOCABULARY,
    Answer,
    Said,
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


class TextVariables(DocumentTask):
    """Which number has the last name of a chain? After variable tracking in RULER (Hsieh et al. 2024, arXiv:2404.06654).

    Each of `chains` names one number, then `hops` names have the number of the one before, in this order anywhere in
    one document. The last name of one chain is asked for the last `digits` of its number. 256 asks, 257 wants it:

        length 131, chains 1, hops 1, digits 2

        tokens      The number of bkbpb is 00059.ge of water and give some control over the floods of
                    The number of dgxvf is bkbpb. the Chagre 256 dgxvf 257 5
        targets    59 at the last two tokens, none before

    RULER (`scripts/data/synthetic/variable_tracking.py`: VAR X = 12345, VAR Y = VAR X; one chain, four hops) asks for
    all names that have a number. Then, given one name, the next is one sentence away; here no hop is given away. Names
    and text are those of the needles, `digits` are scored one by one, and those unsaid are zeros in the text.
    """

    name: Literal["text-variables"]
    length: int
    chains: Annotated[int, Field(ge=1)]
    hops: Annotated[int, Field(ge=1)]
    digits: Annotated[int, Field(ge=1, le=NAME)]

    @model_validator(mode="after")
    def _feasible(self) -> Self:
        if self._text < 1:
            raise ValueError(
                f"length {self.length} leaves no text between the sentences and the question of chains {self.chains}, "
                f"hops {self.hops}, digits {self.digits}: raise length to {self.length + 1 - self._text} or lower these"
            )
        return self

    @property
    def vocabulary_size(self) -> int:
        return VOCABULARY

    @property
    def _text(self) -> int:
        """The bytes of real text: the row, whose last answer byte is not read, less sentences and question."""
        return self.length + 1 - self.chains * (1 + self.hops) * (FRAME + NAME) - (2 + NAME + self.digits)

    def examples(self, split: Split, rng: np.random.Generator, size: int) -> Batch:
        haystack_BH = haystacks(self._library, split, self._text, rng, size)
        links = 1 + self.hops
        name_BCKL = drawn_names(rng, self.chains * links, size).reshape(size, self.chains, links, NAME)
        number_BCL = drawn_digits(rng, (size, self.chains, NAME))
        number_BCL[:, :, : NAME - self.digits] = ord("0")
        value_BCKL = np.concatenate([number_BCL[:, :, None], name_BCKL[:, :, :-1]], axis=2)
        slot_BCK = np.sort(integers(rng, self._text + 1, (size, self.chains, links)), axis=2)
        sentence_BNL = sentences(name_BCKL.reshape(size, -1, NAME), value_BCKL.reshape(size, -1, NAME))
        text_BL = hidden(haystack_BH, sentence_BNL, slot_BCK.reshape(size, -1))
        return batch(text_BL, *asked(name_BCKL[:, :1, -1], number_BCL[:, :1, None, NAME - self.digits :]))

    def predictors(self, sample: Batch) -> dict[str, Predictor]:
        """`first_value` answers with the number said first, `value_prefix` with the first that begins as the answer does.

        `last_value` answers with the one said last before the sentence about the name asked for.
        """

        def followed(said: Said, name: bytes, j: int, given: bytes) -> bytes:
            values = dict(said)
            while name in values:
                name = values[name]
            return name[NAME - self.digits :]

        def numbers(said: Said) -> list[bytes]:
            return [value[NAME - self.digits :] for _, value in said if value.isdigit()]

        def before(said: Said, name: bytes, j: int, given: bytes) -> bytes:
            return numbers(said[: [key for key, _ in said].index(name) + 1])[-1]

        answers: dict[str, Answer] = {
            "oracle": followed,
            "first_value": lambda said, name, j, given: numbers(said)[0],
            "last_value": before,
            "value_prefix": lambda said, name, j, given: next(n for n in numbers(said) if n.startswith(given)),
        }
        return {name: answering(answer, numbers=1, digits=self.digits) for name, answer in answers.items()}
