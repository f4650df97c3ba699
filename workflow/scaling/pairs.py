"""Lines -> crossovers: where two lines cross in time and in peak memory, a row per pair, or per crossing in memory.

Columns, after the settings that both share: `name` of the cost; `line` and `other`, with their networks' fields
(`line.network.*`, `other.network.*`); `lengths`, how many both finished at (batches, as `over` says), `first` and `longest`
of them; `crossing` with `low`, `high` and `interval`, missing where there is none; `share` of the resamples that agree on
who costs less at either end; `less_before` and `less_after`, which of the two that is before and after the crossing, or all
along, and of both `not told apart` where fewer than 95 % of the resamples agree; `ratio_low` and `ratio_high`, the range of
what the other costs relative to `line`; `fewest_rounds` and `fewest_samples` at one length.
"""

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from workflow.estimates import ONCE
from workflow.scaling.crossings import crossings, order, resampled
from workflow.scaling.lines import Line, Samples

RESAMPLED = "95 % percentiles over resampled times"
CROSSED = ("seconds", "peak_bytes")
TIE, ALIKE = "tie", "not told apart"

_LAST = (
    *("over", "name", "line", "other", "lengths", "first", "longest", "crossing", "low", "high", "interval", "share"),
    *("less_before", "less_after", "ratio_low", "ratio_high", "fewest_rounds", "fewest_samples"),
)


def crossovers(lines: list[Line], samples: Samples) -> pd.DataFrame:
    """Returns the table of all pairs of lines that differ in the network only and finished at two lengths or more."""
    alike = itertools.groupby(lines, key=lambda line: line.compared)
    rows = [row for _, group in alike for row in _rows(list(group), samples)]
    network = [field for field in (lines[0].fields if lines else {}) if field.startswith("network.")]
    shared = [field for field in (lines[0].fields if lines else {}) if field not in network]
    apart = [f"{which}.{field}" for which in ("line", "other") for field in network]
    return pd.DataFrame(rows, columns=["panel", *shared, *_LAST, *apart])


def _rows(lines: list[Line], samples: Samples) -> Iterator[dict[str, Any]]:
    medians, taken = ({line.key: of(line, samples) for line in lines} for of in (_resampled, _taken))
    for name, (first, second) in itertools.product(CROSSED, itertools.combinations(lines, 2)):
        both = first.points.merge(second.points, on="x", suffixes=("", "_other"))
        both = both[both[name].notna() & both[f"{name}_other"].notna()]
        both = both[(both[name] > 0) & (both[f"{name}_other"] > 0)]
        if len(both) > 1:
            fields = _fields(first, second, name) | _range(both, name)
            if name == "seconds":
                yield fields | _timed(first, second, both, medians) | _fewest(taken, first, second, both)
            else:
                yield from (fields | row for row in _weighed(first, second, both, name))


def _resampled(line: Line, samples: Samples) -> pd.DataFrame:
    """Returns the resampled medians, a column per length."""
    lengths = [float(length) for length in line.points.loc[line.points["seconds"].notna(), "x"]]
    taken = [samples[line.key, length] for length in lengths]
    key = int.from_bytes(hashlib.sha256(line.key.encode()).digest()[:8])
    drawn = resampled(taken, key=key, seeds=[int(length) for length in lengths]) if lengths else np.empty((0, 0))
    return pd.DataFrame(drawn, columns=lengths)


def _taken(line: Line, samples: Samples) -> pd.DataFrame:
    """Returns how many rounds and samples there are, by length."""
    mine = {length: taken for (key, length), taken in samples.items() if key == line.key}
    counts = {length: (len(np.unique(rounds)), len(seconds)) for length, (rounds, seconds) in mine.items()}
    return pd.DataFrame.from_dict(counts, orient="index", columns=["fewest_rounds", "fewest_samples"])


def _fewest(taken: dict[str, pd.DataFrame], line: Line, other: Line, both: pd.DataFrame) -> dict[str, float]:
    return pd.concat([taken[one.key].loc[both["x"]] for one in (line, other)]).min().to_dict()


def _range(both: pd.DataFrame, name: str) -> dict[str, float]:
    ratio = both[f"{name}_other"] / both[name]
    span = {"lengths": len(both), "first": both["x"].iloc[0], "longest": both["x"].iloc[-1]}
    return span | {"ratio_low": ratio.min(), "ratio_high": ratio.max()}


def _timed(line: Line, other: Line, both: pd.DataFrame, medians: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """Returns what resampled times say of a pair."""
    again = medians[line.key][both["x"]].to_numpy(), medians[other.key][both["x"]].to_numpy()
    columns = (both[column].to_numpy(dtype="float64") for column in ("x", "seconds", "seconds_other"))
    found = order(*columns, resamples=again)
    if not found.sure:
        return {"share": found.share, "less_before": ALIKE, "less_after": ALIKE, "interval": ""}
    named = {-1: line.label, 0: TIE, 1: other.label}
    row = {"share": found.share, "less_before": named[found.short], "less_after": named[found.long], "interval": ""}
    if found.short == found.long:
        return row
    return row | {"crossing": found.crossing, "low": found.low, "high": found.high, "interval": RESAMPLED}


def _weighed(line: Line, other: Line, both: pd.DataFrame, name: str) -> Iterator[dict[str, Any]]:
    """Yields every crossing of what was measured once, or the one that costs less throughout."""
    first, second = both[name].to_numpy(), both[f"{name}_other"].to_numpy()
    found = crossings(both["x"].to_numpy(dtype="float64"), first, second)
    for place, leads in found:
        before, after = (line.label, other.label) if leads else (other.label, line.label)
        yield {"crossing": place, "less_before": before, "less_after": after, "interval": ONCE}
    if not found:
        leader = TIE if (first == second).all() else line.label if (first <= second).all() else other.label
        yield {"less_before": leader, "less_after": leader, "interval": ""}


def _fields(line: Line, other: Line, name: str) -> dict[str, Any]:
    """Returns what both share, and the network of each."""
    shared = {field: value for field, value in line.fields.items() if not field.startswith("network.")}
    networks = {
        f"{which}.{field}": value
        for which, one in {"line": line, "other": other}.items()
        for field, value in one.fields.items()
        if field.startswith("network.")
    }
    return (
        shared
        | networks
        | {"panel": line.panel, "over": line.over, "name": name, "line": line.label, "other": other.label}
    )
