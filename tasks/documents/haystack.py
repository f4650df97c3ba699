"""Sentences hidden in real text: `The number of NAME is VALUE.`, with names that no message holds, and questions after it."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tasks.documents.library import Library, Windows, pieces
from tasks.draws import Split, integers
from tasks.task import IGNORE, Batch, Predictor

QUESTION, ANSWER = 256, 257
VOCABULARY = 258

NAME = 5  # bytes
LETTERS = b"bcdfgjkmpqvwxz"  # five of these in a row are in no message
_OPENING, _MIDDLE, _CLOSING = b" The number of ", b" is ", b"."
_SENTENCE = re.compile(b"%b([%b]{%d})%b(.*?)%b" % (_OPENING, LETTERS, NAME, _MIDDLE, re.escape(_CLOSING)))
FRAME = len(_OPENING) + NAME + len(_MIDDLE) + len(_CLOSING)  # a sentence but for its value


def drawn_names(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Returns bytes_BNL, in each row distinct names, in random order."""
    choices = len(LETTERS) ** NAME
    number_BN = np.sort(integers(rng, choices - count + 1, (size, count)), axis=1) + np.arange(count)
    number_BN = np.take_along_axis(number_BN, rng.random((size, count)).argsort(axis=1, kind="stable"), axis=1)
    return _array(LETTERS)[number_BN[:, :, None] // len(LETTERS) ** np.arange(NAME) % len(LETTERS)]


def drawn_digits(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Returns bytes, each of 0 to 9."""
    return ord("0") + integers(rng, 10, shape)


def sentences(name_BNL: np.ndarray, value_BNL: np.ndarray) -> np.ndarray:
    """Returns bytes_BNL of the sentences that say these values of these names."""
    return _joined([_array(_OPENING), name_BNL, _array(_MIDDLE), value_BNL, _array(_CLOSING)], name_BNL.shape[:2])


def asked(prompt_BQL: np.ndarray, answer_BQAL: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the tokens of the questions, and which of them are answers, both _BL.

    Each is a mark, the prompt, and, after a mark each, the answers.
    """
    size, questions, answers, _ = answer_BQAL.shape
    marked_BQAL = _joined([np.array([ANSWER]), answer_BQAL], (size, questions, answers))
    answer_BQL = marked_BQAL.reshape(size, questions, -1)
    tokens_BQL = _joined([np.array([QUESTION]), prompt_BQL, answer_BQL], (size, questions))
    is_answer_BQL = np.zeros(tokens_BQL.shape, dtype=bool)
    is_answer_BQL[:, :, -answer_BQL.shape[2] :] = answer_BQL != ANSWER
    return tokens_BQL.reshape(size, -1), is_answer_BQL.reshape(size, -1)


def _array(text: bytes) -> np.ndarray:
    return np.frombuffer(text, dtype=np.uint8)


def _joined(parts: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    return np.concatenate([np.broadcast_to(part, (*shape, part.shape[-1])).astype(np.int64) for part in parts], axis=-1)


def haystacks(shelves: Library, split: Split, width: int, rng: np.random.Generator, size: int) -> np.ndarray:
    """Returns bytes_BH, windows of the split's documents; ValueError where none is so long."""
    chosen_D = np.flatnonzero(shelves.split_D == split)
    windows = Windows.of(shelves.documents, chosen_D, width)
    if not windows.ends_D[-1]:
        longest = shelves.documents.lengths_D[chosen_D].max()
        raise ValueError(
            f"no {split} document holds the {width} bytes of text around the sentences: lower length by at least "
            f"{width - longest}"
        )
    return pieces(shelves.documents, windows.starts(integers(rng, windows.ends_D[-1], (size,))), width)


def hidden(haystack_BH: np.ndarray, sentence_BNL: np.ndarray, slot_BN: np.ndarray) -> np.ndarray:
    """Returns bytes_BL, the text with each sentence put in before byte `slot` of it, at one slot in their own order."""
    size, sentences, width = sentence_BNL.shape
    order_BN = slot_BN.argsort(axis=1, kind="stable")
    start_BN = np.take_along_axis(slot_BN, order_BN, axis=1) + width * np.arange(sentences)
    place_BL = (start_BN[:, :, None] + np.arange(width)).reshape(size, -1)
    tokens_BL = np.empty((size, haystack_BH.shape[1] + sentences * width), dtype=np.int64)
    free_BL = np.ones(tokens_BL.shape, dtype=bool)
    np.put_along_axis(free_BL, place_BL, False, axis=1)
    np.put_along_axis(
        tokens_BL, place_BL, np.take_along_axis(sentence_BNL, order_BN[:, :, None], axis=1).reshape(size, -1), axis=1
    )
    tokens_BL[free_BL] = haystack_BH.ravel()
    return tokens_BL


def batch(text_BL: np.ndarray, question_BL: np.ndarray, is_answer_BL: np.ndarray) -> Batch:
    """Returns text and questions, every answer byte the target of the token before it; the last byte is not read."""
    tokens_BT = np.concatenate([text_BL, question_BL], axis=1)
    is_answer_BT = np.pad(is_answer_BL, ((0, 0), (text_BL.shape[1], 0)))
    targets_BT = np.where(is_answer_BT, tokens_BT, IGNORE)[:, 1:]
    return Batch(*(torch.from_numpy(np.ascontiguousarray(array_BT)) for array_BT in (tokens_BT[:, :-1], targets_BT)))


Said = list[tuple[bytes, bytes]]  # the names and values of the sentences, in the order of the text
Answer = Callable[[Said, bytes, int, bytes], bytes]  # of a prompt, the j-th number, whose first digits are given


def answering(answer: Answer, *, numbers: int, digits: int) -> Predictor:
    """Returns the predictor of questions with so many numbers of so many digits each."""

    def predict(tokens_BT: Tensor) -> Tensor:
        predictions_BT = torch.zeros_like(tokens_BT)
        for row, tokens in enumerate(tokens_BT.tolist()):
            said, questions = read_row(tokens)
            for place, prompt in questions:
                for j in range(numbers):
                    mark = place + j * (1 + digits)
                    for digit in range(digits):
                        given = bytes(tokens[mark + 1 : mark + 1 + digit])
                        predictions_BT[row, mark + digit] = answer(said, prompt, j, given)[digit]
        return predictions_BT

    return predict


class Question(NamedTuple):
    place: int  # that of the first answer's mark
    prompt: bytes


def read_row(tokens: list[int]) -> tuple[Said, list[Question]]:
    """Returns what the text of a row says and the questions after it."""
    first = tokens.index(QUESTION)
    return _SENTENCE.findall(bytes(tokens[:first])), list(_questions(tokens, first))


def _questions(tokens: list[int], first: int) -> Iterator[Question]:
    while first < len(tokens):
        place = tokens.index(ANSWER, first)
        yield Question(place, bytes(tokens[first + 1 : place]))
        first = tokens.index(QUESTION, place) if QUESTION in tokens[place:] else len(tokens)
