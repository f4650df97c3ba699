"""Two files that should be the same -> where they are not, a line per difference."""

import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST = 10  # lines told of one file

_TEXT = {".html", ".svg", ".md", ".tex", ".txt", ".bib", ".typ", ".smk", ""}
_NAMES = ("claim", "control", "name")  # columns that say what a row is of
_AROUND = 20  # characters beside the first that differs


def differences(stored: Path, made: Path, *, name: str) -> list[str]:
    """Returns what differs in the file of this name, at most `MOST` lines; nothing where the bytes are the same."""
    if not stored.exists() or not made.exists():
        return [f"{name}: {'is missing' if made.exists() else 'nothing in the records makes this file'}"]
    if stored.read_bytes() == made.read_bytes():
        return []
    lines = [f"{name}, {line}" for line in _by_kind(stored, made)]
    more = [f"{name}: {len(lines) - MOST} more differences"] if len(lines) > MOST else []
    return [*lines[:MOST], *more]


def _by_kind(stored: Path, made: Path) -> list[str]:
    kinds = {".csv": _cells, ".json": _leaves} | dict.fromkeys(_TEXT, _lines)
    try:
        found = list(kinds.get(stored.suffix, _bytes)(stored, made))
    except ValueError as error:  # of bytes that are no text, and of text that is no JSON
        return [f"damaged: {' '.join(str(error).split())[:120]}"]
    return found or list(_bytes(stored, made))


def _cells(stored: Path, made: Path) -> Iterator[str]:
    (old_head, *old), (new_head, *new) = [
        list(csv.reader(path.read_text(encoding="utf-8").splitlines())) or [[]] for path in (stored, made)
    ]
    if old_head != new_head:
        yield f"columns: stored {sorted(set(old_head) - set(new_head))}, made again {sorted(set(new_head) - set(old_head))}"
        return
    if len(old) != len(new):
        yield f"rows: stored {len(old)}, made again {len(new)}"
    told = next((place for place, column in enumerate(old_head) if column in _NAMES), None)
    for number, (was, now) in enumerate(zip(old, new, strict=False), start=1):
        row = f"row {number}" if told is None or told >= len(now) else f"row {number} ({now[told]})"
        if len(was) != len(now):
            yield f"{row}: stored {len(was)} cells, made again {len(now)}"
            continue
        for column, before, after in zip(old_head, was, now, strict=False):
            if before != after:
                yield f"{row}, {column}: stored {before or 'nothing'}, made again {after or 'nothing'}"


def _leaves(stored: Path, made: Path) -> Iterator[str]:
    old, new = [dict(_flat(json.loads(path.read_text(encoding="utf-8")), "")) for path in (stored, made)]
    for place in [*old, *(place for place in new if place not in old)]:
        before, after = old.get(place, "nothing"), new.get(place, "nothing")
        if before != after:
            yield f"{place}: stored {before}, made again {after}"


def _flat(tree: Any, prefix: str) -> Iterator[tuple[str, str]]:
    if isinstance(tree, dict | list):
        for name, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _flat(value, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, json.dumps(tree, ensure_ascii=False)


def _lines(stored: Path, made: Path) -> Iterator[str]:
    old, new = [path.read_text(encoding="utf-8").split("\n") for path in (stored, made)]
    for number, (before, after) in enumerate(itertools.zip_longest(old, new, fillvalue=""), start=1):
        if before != after:
            place = next(
                (at for at, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]),
                min(len(before), len(after)),
            )
            part = slice(max(0, place - _AROUND), place + _AROUND)
            yield f"line {number}, column {place + 1}: stored {before[part]!r}, made again {after[part]!r}"


def _bytes(stored: Path, made: Path) -> Iterator[str]:
    old, new = stored.read_bytes(), made.read_bytes()
    place = next((at for at, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), None)
    yield f"byte {min(len(old), len(new)) if place is None else place}: stored and made again differ"
