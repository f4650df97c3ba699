"""Every layout of every language, answered by loops that know nothing of arrays."""

import re
from collections import Counter
from itertools import pairwise

import pytest

from tasks.languages.language import Language
from tasks.task import IGNORE
from tests.tasks.languages.rows import ROWS, VARIANTS, spec

CASES = [(task, source, size) for task, source in VARIANTS for size in (2, 7)]


def walk(spec: Language, string: list[int]) -> list[int]:
    step = {"xlstm": {1: 0, 2: 1, 3: -1}, "deletang": {1: -1, 2: 0, 3: 1}}[spec.source]
    place = 0
    for token in string:
        place = (place + step[token]) % spec.positions
    return [4 + place]


def pairs(spec: Language, string: list[int]) -> list[int]:
    assert set(string) <= {1, 2}
    return [1 + sum(a != b for a, b in pairwise(string)) % 2]


def majority(spec: Language, string: list[int]) -> list[int]:
    most = max(Counter(string).values())
    return [next(token for token in string if string.count(token) == most)]


def majority_count(spec: Language, string: list[int]) -> list[int]:
    return [min(max(Counter(string).values()), spec.symbols)]


def unique(spec: Language, string: list[int]) -> list[int]:
    found = []
    for token in string:
        if token not in found:
            found.append(token)
    return found


def odds_first(spec: Language, string: list[int]) -> list[int]:
    return string[1::2] + string[::2] if spec.source == "deletang" else string[::2] + string[1::2]


def repetition(spec: Language, string: list[int]) -> list[int]:
    return string + string if spec.source == "deletang" else string


def stack(spec: Language, string: list[int]) -> list[int]:
    k, held, acted = spec.symbols, [], False
    for token in string:
        if token <= k:
            assert not acted
            held.append(token)
            continue
        acted = True
        if token <= 2 * k:
            held.append(token - k)
        else:
            assert token == 2 * k + 1
            held = held[:-1]
    if spec.source == "deletang":
        return [*held[::-1], 2 * k + 2]
    told = held or [2 * k + 2]
    return told + [0] * (len(string) - len(told))


def text(spec: Language, string: list[int]) -> str:
    """Returns the string as it is written: digits, operators, brackets."""
    if spec.name == "modular-arithmetic":
        zero = 5 if spec.source == "xlstm" else 4
        return "".join("?+-*"[token] if token < 4 else str(token - zero) for token in string)
    return "".join(str(token - 1) if token <= spec.modulus else "+-*()=x"[token - spec.modulus - 1] for token in string)


def value(expression: str, modulus: int) -> int:
    return eval(expression) % modulus


def alternating(spec: Language, string: list[int]) -> list[int]:
    written = text(spec, string)
    assert re.fullmatch(r"\d([+*-]\d)*", written)
    return [value(written, spec.modulus) + (5 if spec.source == "xlstm" else 4)]


def bracketed(spec: Language, string: list[int]) -> list[int]:
    return [1 + value(text(spec, string), spec.modulus)]


def solution(spec: Language, string: list[int]) -> list[int]:
    left, right = text(spec, string).split("=")
    assert left.count("x") == 1
    return [1 + x for x in range(spec.modulus) if value(left.replace("x", str(x)), spec.modulus) == int(right)]


# How the string is answered, and what marks its end: the number of answers follows from the answers.
LOOPS = {
    "bucket-sort": lambda spec, string: sorted(string),
    "cycle-navigation": walk,
    "even-pairs": pairs,
    "majority": majority,
    "majority-count": majority_count,
    "modular-arithmetic": alternating,
    "modular-arithmetic-brackets": bracketed,
    "odds-first": odds_first,
    "repetition": repetition,
    "reverse": lambda spec, string: string[::-1],
    "set": unique,
    "solve-equation": solution,
    "stack-manipulation": stack,
}
AT_THE_LAST_TOKEN = {
    ("cycle-navigation", "xlstm"),
    ("even-pairs", "xlstm"),
    ("majority", None),
    ("majority-count", None),
}


def mark(spec: Language) -> int | None:
    """Returns the token at the end of a string, at which the first answer is due, or None where that is a blank."""
    source = getattr(spec, "source", None)
    if source == "deletang":
        return None
    if spec.name == "modular-arithmetic":
        return 4
    if spec.name == "modular-arithmetic-brackets":
        return spec.modulus + 6
    if spec.name == "solve-equation":
        return spec.modulus + 8
    return 2 * spec.symbols + 3 if spec.name == "stack-manipulation" else spec.symbols + 1


def variant(task: type[Language], source: str | None, size: int) -> Language:
    return spec(
        task, source, **{name: size for name in ("symbols", "modulus", "positions") if name in task.model_fields}
    )


def string_of(tokens: list[int]) -> list[int]:
    return tokens[: max(place for place, token in enumerate(tokens) if token) + 1]


@pytest.mark.parametrize(("task", "source", "size"), [case for case in CASES if case[0].__name__ != "MissingDuplicate"])
def test_targets_are_those_of_a_naive_loop(task, source, size):
    posed = variant(task, source, size)
    for tokens, targets in zip(*(tensor.tolist() for tensor in posed.batch("train", 0, 300)), strict=True):
        string = string_of(tokens)
        if (posed.name, source) in AT_THE_LAST_TOKEN:
            start = len(string) - 1
        elif (end := mark(posed)) is None:
            start = len(string)
        else:
            start = len(string) - 1
            assert string.pop() == end
        answers = LOOPS[posed.name](posed, string)
        if posed.name == "solve-equation":  # the digit that was hidden: one of the solutions, where there are several
            assert len(answers) == 1 or (source == "cdes" and len(answers) == size)
            assert targets[start] in answers
            answers = [targets[start]]
        assert targets == [IGNORE] * start + answers + [IGNORE] * (len(tokens) - start - len(answers))
        assert posed.vocabulary_size > max(*tokens, *answers)


@pytest.mark.parametrize("size", [2, 7])
@pytest.mark.parametrize("source", ["deletang", "cdes"])
def test_the_hidden_symbol_is_that_of_the_other_copy(source, size):
    task = next(task for task in ROWS if task.__name__ == "MissingDuplicate")
    posed = variant(task, source, size)
    for tokens, targets in zip(*(tensor.tolist() for tensor in posed.batch("train", 0, 300)), strict=True):
        string = string_of(tokens)
        slot = len(string) if source == "deletang" else string.index(size + 1)
        if len(string) % 2:
            assert source == "deletang"
            assert string.pop() == size + 2
        half = len(string) // 2
        copies = string[:half], string[half:]
        hidden = string.index(size + 1)
        assert source == "deletang" or hidden >= half
        answer = copies[hidden < half][hidden % half]
        assert all(a == b or hidden % half == place for place, (a, b) in enumerate(zip(*copies, strict=True)))
        assert all(1 <= token <= size for token in string if token != size + 1)
        assert 1 <= answer <= size
        assert targets == [answer if place == slot else IGNORE for place in range(len(tokens))]


def test_what_the_sources_differ_in_is_as_they_have_it():
    def told(name: str, source: str | None, string: str) -> list[int]:
        task = next(task for task in ROWS if task.model_fields["name"].annotation.__args__ == (name,))
        return LOOPS[name](variant(task, source, 2), [int(symbol) for symbol in string])

    assert told("odds-first", "deletang", "112") == [1, 1, 2]
    assert told("odds-first", "cdes", "112") == [1, 2, 1]
    assert told("repetition", "deletang", "12") == [1, 2, 1, 2]
    assert told("repetition", "cdes", "12") == [1, 2]
    assert told("stack-manipulation", "deletang", "1255") == [6]
    assert told("stack-manipulation", "deletang", "1243") == [1, 2, 2, 1, 6]
    assert told("stack-manipulation", "cdes", "1255") == [6, 0, 0, 0]
    assert told("stack-manipulation", "cdes", "1253") == [1, 1, 0, 0]
