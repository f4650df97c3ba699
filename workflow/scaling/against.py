"""What the table of crossovers says of all lines against a Transformer, in sentences."""

from collections.abc import Iterator

import pandas as pd

from workflow.scaling.lines import BATCH, LENGTH
from workflow.scaling.pairs import ALIKE, TIE

TRANSFORMERS = ("attention", "llama")
UNITS = {LENGTH: "tokens", BATCH: "sequences"}
LESS = {"seconds": ("Faster", "Slower"), "peak_bytes": ("Less peak memory", "More")}


def against(pairs: pd.DataFrame, name: str) -> Iterator[str]:
    """Yields a sentence or more per Transformer: from where on each other line costs less, or more."""
    mixers = {which: pairs.get(f"{which}.network.mixer.name", pd.Series(dtype="str")) for which in ("line", "other")}
    labels = [set(pairs.loc[mixers[which].isin(TRANSFORMERS), which]) for which in mixers]
    for reference in sorted(set().union(*labels)):
        mine = pairs[(pairs["line"] == reference) | (pairs["other"] == reference)]
        others = mine["line"].where(mine["line"] != reference, mine["other"])
        told: dict[str, list[tuple[float, str]]] = {}
        for label, rows in mine.groupby(others, sort=False):
            kind, place, text = _order(str(label), rows, name)
            told.setdefault(kind, []).append((place, text))
        pairs = pairs.drop(mine.index)  # one Transformer is told against another once
        clauses = [f"{kind}: {listed([text for _, text in sorted(told[kind])])}" for kind in sorted(told, key=_rank)]
        if clauses:
            once = " Peaks were measured once." if name == "peak_bytes" else ""
            yield f"Against {reference}. {'. '.join(clauses)}.{once}"


def _rank(kind: str) -> int:
    """Returns the place of a kind of order: what begins to cost less, what costs less, what costs more, what is not told."""
    ends = ("from some", "up to some", "throughout", "at both ends", "Changes places", "The same", "Not told")
    place = next(place for place, end in enumerate(ends) if end in kind)
    return 2 * place + kind.startswith(("Slower", "More"))


def _order(label: str, rows: pd.DataFrame, name: str) -> tuple[str, float, str]:
    """Returns how a line compares with the Transformer: the kind, where, and both in words."""
    row, (less, more), unit = rows.iloc[0], LESS[name], UNITS[rows.iloc[0]["over"]]
    ratios = (row["ratio_low"], row["ratio_high"])
    costs = ratios if row["other"] == label else (1 / ratios[1], 1 / ratios[0])
    span = f"{times(costs[0])} to {times(costs[1])} times"
    if len(rows) > 1:
        places = f"between {length(rows['crossing'].min())} and {length(rows['crossing'].max())} {unit}"
        return "Changes places with it", rows["crossing"].min(), f"{label} {len(rows)} times {places} ({span})"
    if pd.notna(row["crossing"]):
        ends = "up to some" if row["less_before"] == label else "from some"
        told = f"{label} {ends.removesuffix(' some')} {place(row, f' {unit}')}"
        where = f"{ends} {row['over']}{' on' if ends == 'from some' else ''}"
        brackets = "" if pd.isna(row["low"]) else " (in brackets, 95 % intervals)"
        return f"{less} {where}{brackets}", row["crossing"], told
    if row["less_before"] == ALIKE:
        return "Not told apart from it", costs[0], f"{label} ({span})"
    if row["less_before"] == TIE:
        return "The same", 1.0, label
    where = "throughout" if costs[0] >= 1 or costs[1] <= 1 else "at both ends of the range"
    return f"{less if row['less_before'] == label else more} {where}", costs[0], f"{label} ({span})"


def place(row: pd.Series, unit: str) -> str:
    """Returns where lines cross, with its 95 % interval if there is one."""
    told = "" if pd.isna(row["low"]) else f" ({length(row['low'])} to {length(row['high'])})"
    return f"{length(row['crossing'])}{unit}{told}"


def length(value: float) -> str:
    return f"{value if value < 1000 else float(f'{value:.3g}'):,.0f}"


def times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}" if ratio < 100 else f"{ratio:,.0f}"


def listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
