"""Estimates of a profiling experiment -> its lines: what one setting costs over length or, at one length, over the batch."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from workflow.confirmations import PLATFORM
from workflow.points import Labels, columns_of, key
from workflow.styles import described, words
from workflow.table import field_columns, is_own, without_own

COSTS = ("seconds", "floor_seconds", "peak_bytes", "static_bytes", "state_bytes")
TOKENS = "tokens_per_call"  # batch x length, where that is what a line holds, and not its batch
PHASES = ("train_step", "forward", "prefill", "decode", "generate")
LENGTH, BATCH = "length", "batch"  # what a line may run over
_NETWORK = "network"

Samples = dict[tuple[str, float], tuple[np.ndarray, np.ndarray]]  # rounds and seconds, by line and place on it


class Line(NamedTuple):
    """One setting over length or over the batch, as `over` says.

    `fields` has all that is not `over`, and the platform; `compared` is equal for lines that differ in the network only.
    `panel` and `label` are what readers call both. `points` has a row per length or batch tried: that as `x`, `status` and
    the costs, missing where they were not measured.
    """

    key: str
    compared: str
    panel: str
    label: str
    over: str
    fields: dict[str, object]
    points: pd.DataFrame


def over_length(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of the profiling runs that time one phase at one length, of estimates or of measurements."""
    profiled = table[table["kind"] == "profiling"]
    return profiled[profiled["phase"].isin(PHASES)] if len(profiled) else profiled


def lines(estimates: pd.DataFrame) -> list[Line]:
    """Returns the lines of the profiling runs, by phase, panel and architecture, none where no setting was tried twice.

    ValueError where a point is there twice.
    """
    rows = over_length(estimates)
    rows = along_lines(rows) if len(rows) else rows
    if rows.empty:
        return []
    series = columns_of(rows, _NETWORK)
    label = Labels(rows, series=series, panels=[])
    rows = label.put_on(rows).assign(panel=panels(rows))
    order = {name: place for place, name in enumerate(label.looks)}
    kept = ["experiment", "scale", *_settings(rows), *PLATFORM]
    found = [_line(group, kept) for _, group in rows.groupby("line", sort=True)]
    return sorted(found, key=lambda line: (*_rank(line), order[line.label], line.key))


def along_lines(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of `over_length` that lie on lines, with what they run `over`, the place `x` on it, `line` and `compared`.

    The last two are texts that are equal on the lines so called. Where no setting was tried at two lengths, lines run over the
    batch; a setting tried once is no line.
    """
    over = _axis(rows)
    rows = _holding_tokens(rows) if over == LENGTH else rows.assign(**{TOKENS: np.nan})
    rows = rows.assign(over=over, x=rows[over])
    settings = _settings(rows)
    network = columns_of(rows, _NETWORK)
    rest = [field for field in settings if field not in network]
    # What a line is called decides what is drawn of its times: it has no fields that only a reader's own mixer brings.
    plain = [field for field in settings if field in without_own(rows).columns]
    named = key(rows, [*settings, *PLATFORM]).where(is_own(rows), key(rows, [*plain, *PLATFORM]))
    rows = rows.assign(line=named, compared=key(rows, [*rest, *PLATFORM]))
    return rows[rows.groupby("line")["x"].transform("nunique") > 1]


def _axis(rows: pd.DataFrame) -> str:
    rest = [field for field in field_columns(rows) if field not in (LENGTH, BATCH)]
    groups = rows.assign(_rest=key(rows, [*rest, *PLATFORM])).groupby("_rest")
    several = {over: (groups[over].nunique() > 1).any() for over in (LENGTH, BATCH)}
    return BATCH if several[BATCH] and not several[LENGTH] else LENGTH


def _settings(rows: pd.DataFrame) -> list[str]:
    named = (*rows["over"].unique(), "over", "x", "line", "compared", "panel", "series")
    return [field for field in field_columns(rows) if field not in named]


def _holding_tokens(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows with `tokens_per_call` instead of `batch` where one batch belongs to each length, all products equal."""
    others = [field for field in field_columns(rows) if field not in (LENGTH, BATCH)]
    tokens = rows[BATCH] * rows[LENGTH]
    groups = rows.assign(_tokens=tokens, _other=key(rows, [*others, *PLATFORM])).groupby("_other")
    alike = groups["_tokens"].transform("nunique") == 1
    held = alike & (groups[LENGTH].transform("nunique") > 1)
    batch = rows[BATCH].astype("float64").mask(held)
    return rows.assign(batch=batch, **{TOKENS: tokens.astype("float64").where(held)})


def panels(rows: pd.DataFrame) -> list[str]:
    """Returns what is compared in each row, as readers call it: the phase, the tokens it holds, and in what else rows differ."""
    network = columns_of(rows, _NETWORK)
    rest = [field for field in _settings(rows) if field not in (*network, "phase", TOKENS)]
    places = rows.assign(_key=key(rows, rest)).drop_duplicates("_key")
    said = dict(zip(places["_key"], described(places, rest), strict=True))
    held = ["" if pd.isna(tokens) else f"{tokens:,.0f} tokens a call" for tokens in rows[TOKENS]]
    parts = zip(rows["phase"], held, key(rows, rest).map(said), strict=True)
    return [", ".join(part for part in (words(phase), tokens, told) if part) for phase, tokens, told in parts]


def _rank(line: Line) -> tuple[int, str]:
    return PHASES.index(str(line.fields["phase"])), line.compared


def _line(rows: pd.DataFrame, kept: list[str]) -> Line:
    first = rows.iloc[0]
    statuses = rows.groupby("x")["status"].first()
    measured = rows[rows["name"].isin(COSTS)]
    if measured.duplicated(["x", "name"]).any():
        told = f"{first['series']} was measured more than once at one {first['over']}: give one experiment at a time"
        raise ValueError(told)
    table = measured.pivot(index="x", columns="name", values="value").reindex(index=statuses.index, columns=COSTS)
    points = table.assign(status=statuses).reset_index().rename_axis(columns=None)
    fields = {name: first[name] for name in kept}
    return Line(first["line"], first["compared"], first["panel"], first["series"], first["over"], fields, points)


def samples(measurements: pd.DataFrame) -> Samples:
    """Returns, by line and place on it, the round and the seconds of every time sample, in the order taken."""
    rows = over_length(measurements)
    if not (rows["name"] == "seconds").any():
        return {}
    rows = along_lines(rows)
    rows = rows[rows["name"] == "seconds"].sort_values("at.sample", kind="stable")
    rounds = rows["at.round"] if "at.round" in rows else pd.Series(0.0, index=rows.index)
    rows = rows.assign(round=rounds.fillna(0.0))
    return dict(_by_point(rows))


def _by_point(rows: pd.DataFrame) -> Iterator[tuple[tuple[str, float], tuple[np.ndarray, np.ndarray]]]:
    for (line, x), group in rows.groupby(["line", "x"], sort=False):
        yield (line, float(x)), (group["round"].to_numpy(), group["value"].to_numpy())
