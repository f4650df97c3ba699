"""Lines -> laws: how time, memory and state of each line grow with length, or with the batch, a row per line and cost.

Columns, after those of the line (`panel`, `line` and its fields): `over`, what it runs over, `name` of the cost and `unit`;
`lengths`, how many finished (batches, where it runs over those), `first` and `longest`; `ended`, the status at the next
tried, `ended_at`, or `not tried`; `set_aside`, at how many a call took less than five times one that does nothing, which
no exponent is fitted to; `verdict`, `reason` and `interval`, what the intervals are; `exponent` over the whole range with
`low` and `high`, `bend`, by how much the local exponent changes from the first length to the longest, and `bend_p`;
`first_exponent` up to `first_to` and `last_exponent` from `last_from` on, with their intervals; `last_doubling_exponent`
between the last two lengths, from `last_doubling_from` on, with its interval, of the kind `last_doubling_interval`, and
`last_doubling_verdict`; `floor`, `beyond_exponent` with its interval and `beyond_verdict`, of the fit with a floor;
`per_token`, the exact growth of a count (per sequence, over the batch).

Memory is `peak_bytes` less `static_bytes`, the tensors counted to stay between two calls. The state is that of decoding.
"""

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from workflow.estimates import COUNTED, ONCE
from workflow.scaling.exponents import (
    BEND,
    LEAST_LENGTHS,
    LEAST_SPAN,
    LEVEL,
    Exponent,
    bend,
    between,
    beyond_floor,
    ends,
    exponent,
    verdict,
)
from workflow.scaling.lines import BATCH, LENGTH, Line, Samples

FITTED = "95 % t over lengths"
OVER_ROUNDS, OVER_SAMPLES = "95 % t over rounds", "95 % t over samples of one round"
PLACES = {LENGTH: "lengths", BATCH: "batches"}
LEAST_CALLS = 5  # that do nothing: what takes less is told by starting it
BENT, NOT_EVALUABLE, NOT_IDENTIFIED = "not a power law", "not evaluable", "not identified"
NOT_TRIED = "not tried"
UNITS = {"seconds": "s", "peak_bytes": "B", "state_bytes": "B"}

_NUMBERS = (
    *("exponent", "low", "high", "bend", "bend_p"),
    *("first_to", "first_exponent", "first_low", "first_high"),
    *("last_from", "last_exponent", "last_low", "last_high"),
    *("last_doubling_from", "last_doubling_exponent", "last_doubling_low", "last_doubling_high"),
    *("floor", "beyond_exponent", "beyond_low", "beyond_high"),
)
_AFTER = (
    *("over", "name", "unit", "lengths", "first", "longest", "ended", "ended_at", "set_aside"),
    *("verdict", "reason", "interval"),
)
_LAST = ("last_doubling_verdict", "last_doubling_interval", "beyond_verdict", "per_token")


def laws(lines: list[Line], samples: Samples) -> pd.DataFrame:
    """Returns the table of all lines."""
    panels = [list(panel) for _, panel in itertools.groupby(lines, key=lambda line: line.compared)]
    rows = [_row(line, name, samples) for panel in panels for name in UNITS for line in panel if _has(line, name)]
    before = ["experiment", "scale", "panel", "line"]
    fields = [field for field in (lines[0].fields if lines else {}) if field not in before]
    return pd.DataFrame(rows, columns=[*before, *fields, *_AFTER, *_NUMBERS, *_LAST])


def _has(line: Line, name: str) -> bool:
    return name != "state_bytes" or line.fields["phase"] == "decode"


def _row(line: Line, name: str, samples: Samples) -> dict[str, Any]:
    points = line.points
    finished = points[points[name].notna()]
    row = line.fields | {"panel": line.panel, "line": line.label, "over": line.over, "name": name, "unit": UNITS[name]}
    row |= {"lengths": len(finished), "first": finished["x"].min(), "longest": finished["x"].max()}
    following = points[points["x"] > finished["x"].max()] if len(finished) else points
    ended = following.iloc[0] if len(following) else None
    row |= {"ended": NOT_TRIED, "ended_at": np.nan, "set_aside": 0}
    if ended is not None:
        row |= {"ended": ended["status"], "ended_at": ended["x"]}
    if name == "state_bytes":
        return row | _counted(finished, line.over)
    if name == "seconds":
        return (
            row | last_doubling(finished, {x: samples[line.key, x] for x in finished["x"]}) | _timed(points, line.over)
        )
    rest = points.assign(peak_bytes=points["peak_bytes"] - points["static_bytes"])
    return row | _last_step(rest[rest[name].notna()]) | _fitted(rest, name, line.over)


def _timed(points: pd.DataFrame, over: str) -> dict[str, Any]:
    """Returns the law of the calls that take long enough to be told from one that does nothing, where such were timed."""
    short = points["seconds"] <= LEAST_CALLS * points["floor_seconds"]
    found = _fitted(points[~short], "seconds", over) | {"set_aside": int(short.sum())}
    if short.any() and found["verdict"] == NOT_EVALUABLE:
        found["reason"] += f"; at {short.sum()} more, a call takes less than {LEAST_CALLS} times one that does nothing"
    return found


def _fitted(points: pd.DataFrame, name: str, over: str) -> dict[str, Any]:
    finished = points[points[name].notna()]
    if reason := _missing(points, finished, name, PLACES[over]):
        return {"verdict": NOT_EVALUABLE, "reason": reason}
    return law(finished["x"].to_numpy(dtype="float64"), finished[name].to_numpy(dtype="float64"))


def _missing(points: pd.DataFrame, finished: pd.DataFrame, name: str, places: str) -> str:
    """Returns what keeps an exponent from being told, empty where nothing does."""
    x = finished["x"]
    if len(x) < LEAST_LENGTHS:
        return f"{len(x)} {places} finished, and an exponent needs {LEAST_LENGTHS}"
    if x.max() < LEAST_SPAN * x.min():
        return f"the {places} span a factor of {x.max() / x.min():g}, and an exponent needs {LEAST_SPAN}"
    inside = points[points["x"].between(x.min(), x.max()) & ~points["x"].isin(x)]
    if len(inside):
        told = ", ".join(f"{row.x:g} ({row.status.replace('_', ' ')})" for row in inside.itertuples())
        return f"{places} within the range did not finish: {told}"
    if (finished[name] <= 0).any():
        return f"{(finished[name] <= 0).sum()} of {len(x)} {places} need no more than what stays between calls"
    return ""


def last_doubling(finished: pd.DataFrame, taken: dict[float, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Returns how time grows between the last two lengths: by the medians of rounds or, of one round, by its samples."""
    if len(finished) < 2:
        return {}
    last = finished["x"].to_numpy(dtype="float64")[-2:]
    several = all(len(np.unique(taken[x][0])) > 1 for x in last)
    repeats = [_medians(*taken[x]) if several else taken[x][1] for x in last]
    found, interval = between(last, repeats), OVER_ROUNDS if several else OVER_SAMPLES
    told = {"last_doubling_from": last[0], "last_doubling_verdict": verdict(found), "last_doubling_interval": interval}
    return _named(found, "last_doubling_") | told


def _medians(rounds: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    return np.array([np.median(seconds[rounds == turn]) for turn in np.unique(rounds)])


def _last_step(finished: pd.DataFrame) -> dict[str, Any]:
    """Returns the same of what was measured once, where there is any."""
    if len(finished) < 2 or (finished["peak_bytes"].iloc[-2:] <= 0).any():
        return {}
    last, values = (finished[column].to_numpy(dtype="float64")[-2:] for column in ("x", "peak_bytes"))
    slope = float(np.log(values[1] / values[0]) / np.log(last[1] / last[0]))
    return {"last_doubling_from": last[0], "last_doubling_exponent": slope, "last_doubling_interval": ONCE}


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


def _counted(finished: pd.DataFrame, over: str) -> dict[str, Any]:
    """Returns the law of a count by exact arithmetic: constant, or a floor and as much again for every token."""
    found = {"interval": COUNTED, "reason": ""}
    lengths = [Fraction(length) for length in finished["x"]]
    counts = [Fraction(count) for count in finished["state_bytes"]]
    if len(counts) < 3:
        told = f"{len(counts)} {PLACES[over]} finished, and a count's law needs 3"
        return {"verdict": NOT_EVALUABLE, "reason": told}
    slope = (counts[-1] - counts[0]) / (lengths[-1] - lengths[0])
    floor = counts[0] - slope * lengths[0]
    if any(count != floor + slope * length for length, count in zip(lengths, counts, strict=True)):
        told = f"the count is neither the same at all {PLACES[over]} nor a floor and as much again for every one more"
        return found | {"verdict": BENT, "reason": told}
    law = found | {"floor": float(floor), "per_token": float(slope)}
    return law | ({"verdict": "linear", "exponent": 1.0} if slope else {"verdict": "constant", "exponent": 0.0})
