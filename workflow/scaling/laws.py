"""Lines -> laws: how time, memory and state of each line grow with length, a row per line and cost.

Columns, after those of the line (`panel`, `line` and its fields): `name` of the cost and `unit`; `lengths`, how many
finished, `first` and `longest`; `ended`, the status at the next length tried, `ended_at`, or `not tried`; `verdict`,
`reason` and `interval`, what the intervals are; `exponent` over the whole range with `low` and `high`, `bend`, by how
much the local exponent changes from the first length to the longest, and `bend_p`; `first_exponent` up to `first_to`
and `last_exponent` from `last_from` on, with their intervals; `floor`, `beyond_exponent` with its interval and
`beyond_verdict`, of the fit with a floor; `per_token`, the exact growth of a count.

Memory is `peak_bytes` less `static_bytes`, the tensors counted to stay between two calls. The state is that of decoding.
"""

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from workflow.estimates import COUNTED
from workflow.scaling.exponents import (
    BEND,
    LEAST_LENGTHS,
    LEAST_SPAN,
    LEVEL,
    Exponent,
    bend,
    beyond_floor,
    ends,
    exponent,
    verdict,
)
from workflow.scaling.lines import Line

FITTED = "95 % t over lengths"
BENT, NOT_EVALUABLE, NOT_IDENTIFIED = "not a power law", "not evaluable", "not identified"
NOT_TRIED = "not tried"
UNITS = {"seconds": "s", "peak_bytes": "B", "state_bytes": "B"}

_NUMBERS = (
    *("exponent", "low", "high", "bend", "bend_p"),
    *("first_to", "first_exponent", "first_low", "first_high"),
    *("last_from", "last_exponent", "last_low", "last_high"),
    *("floor", "beyond_exponent", "beyond_low", "beyond_high"),
)
_AFTER = ("name", "unit", "lengths", "first", "longest", "ended", "ended_at", "verdict", "reason", "interval")


def laws(lines: list[Line]) -> pd.DataFrame:
    """Returns the table of all lines."""
    panels = [list(panel) for _, panel in itertools.groupby(lines, key=lambda line: line.compared)]
    rows = [_row(line, name) for panel in panels for name in UNITS for line in panel if _has(line, name)]
    before = ["experiment", "scale", "panel", "line"]
    fields = [field for field in (lines[0].fields if lines else {}) if field not in before]
    return pd.DataFrame(rows, columns=[*before, *fields, *_AFTER, *_NUMBERS, "beyond_verdict", "per_token"])


def _has(line: Line, name: str) -> bool:
    return name != "state_bytes" or line.fields["phase"] == "decode"


def _row(line: Line, name: str) -> dict[str, Any]:
    points = line.points
    finished = points[points[name].notna()]
    row = line.fields | {"panel": line.panel, "line": line.label, "name": name, "unit": UNITS[name]}
    row |= {"lengths": len(finished), "first": finished["length"].min(), "longest": finished["length"].max()}
    following = points[points["length"] > finished["length"].max()] if len(finished) else points
    ended = following.iloc[0] if len(following) else None
    row |= {"ended": NOT_TRIED, "ended_at": np.nan}
    if ended is not None:
        row |= {"ended": ended["status"], "ended_at": ended["length"]}
    return row | (_counted(finished) if name == "state_bytes" else _fitted(points, name))


def _fitted(points: pd.DataFrame, name: str) -> dict[str, Any]:
    finished = points[points[name].notna()]
    values = finished[name] - (finished["static_bytes"] if name == "peak_bytes" else 0.0)
    if reason := _missing(points, finished, values):
        return {"verdict": NOT_EVALUABLE, "reason": reason}
    return law(finished["length"].to_numpy(dtype="float64"), values.to_numpy(dtype="float64"))


def _missing(points: pd.DataFrame, finished: pd.DataFrame, values: pd.Series) -> str:
    """Returns what keeps an exponent from being told, empty where nothing does."""
    lengths = finished["length"]
    if len(lengths) < LEAST_LENGTHS:
        return f"{len(lengths)} lengths finished, and an exponent needs {LEAST_LENGTHS}"
    if lengths.max() < LEAST_SPAN * lengths.min():
        return f"the lengths span a factor of {lengths.max() / lengths.min():g}, and an exponent needs {LEAST_SPAN}"
    inside = points[points["length"].between(lengths.min(), lengths.max()) & ~points["length"].isin(lengths)]
    if len(inside):
        told = ", ".join(f"{row.length:g} ({row.status.replace('_', ' ')})" for row in inside.itertuples())
        return f"lengths within the range did not finish: {told}"
    if (values <= 0).any():
        return f"{(values <= 0).sum()} of {len(values)} lengths need no more than what stays between calls"
    return ""


def law(lengths: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    """Returns the law of measured values above zero at six lengths or more, in increasing order."""
    whole, bent = exponent(lengths, values), bend(lengths, values)
    early, late = ends(lengths)
    rest = beyond_floor(lengths, values)
    found = {"verdict": verdict(whole), "reason": "", "interval": FITTED, "bend": bent.change, "bend_p": bent.p}
    if bent.matters:
        told = f"the local exponent changes by {bent.change:+.2f}, more than {BEND:g}, with p = {bent.p:.2g}, below {LEVEL:g}"
        found |= {"verdict": BENT, "reason": told}
    found |= _named(whole, "") | {"first_to": lengths[early][-1], "last_from": lengths[late][0]}
    for end, inside in {"first_": early, "last_": late}.items():
        if inside.sum() > 1:
            found |= _named(exponent(lengths[inside], values[inside]), end)
    if not rest.told_apart:
        return found | {"beyond_verdict": NOT_IDENTIFIED}
    beyond = BENT if rest.bend.matters else verdict(rest.exponent)
    return found | _named(rest.exponent, "beyond_") | {"floor": rest.floor, "beyond_verdict": beyond}


def _named(found: Exponent, prefix: str) -> dict[str, float]:
    return {f"{prefix}exponent": found.value, f"{prefix}low": found.low, f"{prefix}high": found.high}


def _counted(finished: pd.DataFrame) -> dict[str, Any]:
    """Returns the law of a count by exact arithmetic: constant, or a floor and as much again for every token."""
    found = {"interval": COUNTED, "reason": ""}
    lengths = [Fraction(length) for length in finished["length"]]
    counts = [Fraction(count) for count in finished["state_bytes"]]
    if len(counts) < 3:
        told = f"{len(counts)} lengths finished, and a count's law needs 3"
        return {"verdict": NOT_EVALUABLE, "reason": told}
    slope = (counts[-1] - counts[0]) / (lengths[-1] - lengths[0])
    floor = counts[0] - slope * lengths[0]
    if any(count != floor + slope * length for length, count in zip(lengths, counts, strict=True)):
        told = "the count is neither the same at all lengths nor a floor and as much again for every token"
        return found | {"verdict": BENT, "reason": told}
    law = found | {"floor": float(floor), "per_token": float(slope)}
    return law | ({"verdict": "linear", "exponent": 1.0} if slope else {"verdict": "constant", "exponent": 0.0})
