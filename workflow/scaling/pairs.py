"""Lines -> crossovers: where two lines cross in time and in peak memory, a row per crossing, or per pair without one.

Columns, after the settings that both share: `name` of the cost; `line` and `other`, with their networks' fields
(`line.network.*`, `other.network.*`); `lengths`, how many both finished at, `first` and `longest` of them; `crossing`
with `low`, `high` and `interval`, missing where there is none; `share` of the resamples that agree, on this crossing or
on there being none; `less_before` and `less_after`, which of the two costs less on either side; `ratio_low` and
`ratio_high`, the range of what the other costs relative to `line`; `fewest_rounds` and `fewest_samples` at one length.
"""

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from workflow.estimates import ONCE
from workflow.scaling.crossings import Crossing, crossings, resampled, with_intervals
from workflow.scaling.lines import Line

RESAMPLED = "95 % percentiles over resampled times"
CROSSED = ("seconds", "peak_bytes")
TIE = "tie"

Samples = dict[tuple[str, float], tuple[np.ndarray, np.ndarray]]
_LAST = (
    *("name", "line", "other", "lengths", "first", "longest", "crossing", "low", "high", "interval", "share"),
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
        both = first.points.merge(second.points, on="length", suffixes=("", "_other"))
        both = both[both[name].notna() & both[f"{name}_other"].notna()]
        both = both[(both[name] > 0) & (both[f"{name}_other"] > 0)]
        if len(both) > 1:
            fields, resamples = _fields(first, second, name), []
            if name == "seconds":
                resamples = [medians[line.key][both["length"]].to_numpy() for line in (first, second)]
                counts = pd.concat([taken[line.key].loc[both["length"]] for line in (first, second)])
                fields |= counts.min().to_dict()
            yield from (fields | row for row in _pair(first, second, both, name, resamples))


def _resampled(line: Line, samples: Samples) -> pd.DataFrame:
    """Returns the resampled medians, a column per length."""
    lengths = [float(length) for length in line.points.loc[line.points["seconds"].notna(), "length"]]
    taken = [samples[line.key, length] for length in lengths]
    key = int.from_bytes(hashlib.sha256(line.key.encode()).digest()[:8])
    drawn = resampled(taken, key=key, seeds=[int(length) for length in lengths]) if lengths else np.empty((0, 0))
    return pd.DataFrame(drawn, columns=lengths)


def _taken(line: Line, samples: Samples) -> pd.DataFrame:
    """Returns how many rounds and samples there are, by length."""
    mine = {length: taken for (key, length), taken in samples.items() if key == line.key}
    counts = {length: (len(np.unique(rounds)), len(seconds)) for length, (rounds, seconds) in mine.items()}
    return pd.DataFrame.from_dict(counts, orient="index", columns=["fewest_rounds", "fewest_samples"])


def _pair(
    line: Line, other: Line, both: pd.DataFrame, name: str, resamples: list[np.ndarray]
) -> Iterator[dict[str, Any]]:
    lengths = both["length"].to_numpy(dtype="float64")
    first, second = both[name].to_numpy(), both[f"{name}_other"].to_numpy()
    found, none = crossings(lengths, first, second), np.nan
    crossed = [Crossing(place, np.nan, np.nan, np.nan, lead) for place, lead in found]
    if resamples:
        crossed, none = with_intervals(found, lengths, *resamples)
    ratio = second / first
    row = {"lengths": len(lengths), "first": lengths[0], "longest": lengths[-1]}
    row |= {"ratio_low": ratio.min(), "ratio_high": ratio.max()}
    for at in crossed:
        names = (line.label, other.label) if at.first_leads else (other.label, line.label)
        place = {"crossing": at.length, "low": at.low, "high": at.high, "share": at.share}
        told = {"less_before": names[0], "less_after": names[1], "interval": RESAMPLED if resamples else ONCE}
        yield row | place | told
    if not crossed:
        leader = TIE if (ratio == 1).all() else line.label if (ratio >= 1).all() else other.label
        yield row | {"share": none, "less_before": leader, "less_after": leader, "interval": ""}


def _fields(line: Line, other: Line, name: str) -> dict[str, Any]:
    """Returns what both share, and the network of each."""
    shared = {field: value for field, value in line.fields.items() if not field.startswith("network.")}
    networks = {
        f"{which}.{field}": value
        for which, one in {"line": line, "other": other}.items()
        for field, value in one.fields.items()
        if field.startswith("network.")
    }
    return shared | networks | {"panel": line.panel, "name": name, "line": line.label, "other": other.label}
