"""What the tables of laws and crossovers say, in sentences and in rows of text. No number and no name is typed in."""

from collections.abc import Iterator

import pandas as pd

from workflow.captions import ENDED, Answer
from workflow.points import compared
from workflow.scaling.against import LESS, UNITS, against, listed, place, times
from workflow.scaling.crossings import SURE
from workflow.scaling.exponents import BEND, END, INCONCLUSIVE, LEAST_LENGTHS, LEAST_SPAN, LEVEL, MARGIN
from workflow.scaling.laws import BENT, LEAST_CALLS, NOT_EVALUABLE, NOT_TRIED, OVER_ROUNDS, OVER_SAMPLES
from workflow.scaling.lines import BATCH, LENGTH
from workflow.scaling.pairs import ALIKE, RESAMPLED
from workflow.styles import DASH, number, quantity, sentence, uncertain

_FINEST = 0.001  # half an interval of an exponent is not told as less
COSTS = {"seconds": "time", "peak_bytes": "memory", "state_bytes": "state"}
_ORDER = (
    *("falling", "constant", "between constant and linear", "linear", "between linear and quadratic", "quadratic"),
    *("more than quadratic", BENT, INCONCLUSIVE, NOT_EVALUABLE),
)

_NO_LINES = "No setting was tried at two lengths, nor at two batches."

Rows = tuple[list[str], list[list[tuple[str, str]]], str]  # of cells: a text and a remark


def sentences(scaling: pd.DataFrame, crossovers: pd.DataFrame) -> list[Answer]:
    """Returns, for every phase and setting, what was found: how cost grows, where lines cross, what did not finish."""
    found = []
    for panel in dict.fromkeys(scaling["panel"]):
        rows, pairs = scaling[scaling["panel"] == panel], crossovers[crossovers["panel"] == panel]
        time = rows[rows["name"] == "seconds"]
        items = [*_tendencies(time), *(item for name in COSTS for item in _growth(rows[rows["name"] == name], name))]
        items += [item for name in LESS for item in against(pairs[pairs["name"] == name], name)]
        found.append(Answer(f"{sentence(panel)}.", [*items, _reach(time)]))
    return found


def scaling_rows(scaling: pd.DataFrame) -> Rows:
    """Returns a head, a row per line and cost, and a note; lines of one length have none."""
    shown = scaling[(scaling["lengths"] > 1) | (scaling["ended"] != NOT_TRIED)]
    range_of_all = f"{number(shown['first'].min())}{DASH}{number(shown['longest'].max())}" if len(shown) else DASH
    named = sentence(compared(scaling) if len(scaling) else "mixer")
    head = ["Cost", named, "Exponent", "Verdict", f"First {END}-fold", f"Last {END}-fold"]
    rows = [
        [
            (f"{sentence(row['panel'])}: {COSTS[row['name']]}", ""),
            (row["line"], _span(row, range_of_all)),
            (_exact(row) if row["name"] == "state_bytes" else _exponent(row, ""), ""),
            (row["verdict"], ""),
            *((_exponent(row, end), "") for end in ("first_", "last_", "last_doubling_")),
            _beyond(row),
        ]
        for _, row in shown.iterrows()
    ]
    said = " or ".join(f"{range_of_all} {UNITS[over]}" for over in dict.fromkeys(shown["over"]))
    note = f"Range: {said}, unless told. {_scaling_note(shown)}" if rows else _NO_LINES
    return [*head, "Last doubling", "Beyond a floor"], rows, note


def crossover_rows(crossovers: pd.DataFrame) -> Rows:
    """Returns a head, a row per crossing or pair without one, and a note."""
    units = " or ".join(UNITS[over] for over in dict.fromkeys(crossovers["over"])) or UNITS[LENGTH]
    head = ["Cost", "Lines", "Range", f"Crossing ({units})", "Resamples", "Less before", "Less after", "Ratio"]
    rows = [
        [
            f"{sentence(row['panel'])}: {COSTS[row['name']]}",
            f"{row['line']} / {row['other']}",
            f"{number(row['first'])}{DASH}{number(row['longest'])}",
            DASH if pd.isna(row["crossing"]) else place(row, ""),
            DASH if pd.isna(row["share"]) else f"{row['share'] * 100:.0f} %",
            row["less_before"],
            row["less_after"],
            f"{times(row['ratio_low'])}{DASH}{times(row['ratio_high'])}",
        ]
        for _, row in crossovers.iterrows()
    ]
    return head, [[(text, "") for text in row] for row in rows], _crossover_note(crossovers) if rows else _NO_LINES


def _tendencies(rows: pd.DataFrame) -> Iterator[str]:
    """Yields a sentence per last doubling: how time grows there, which is what it tends to."""
    rows = rows[rows["last_doubling_verdict"].notna()]
    for (first, longest, over), group in rows.groupby(["last_doubling_from", "longest", "over"], sort=True):
        told = []
        for kind in sorted(set(group["last_doubling_verdict"]), key=_ORDER.index):
            alike = group[group["last_doubling_verdict"] == kind]
            lines = [f"{row['line']} ({_exponent(row, 'last_doubling_')})" for _, row in alike.iterrows()]
            told.append(f"{kind} for {listed(lines)}")
        yield f"Time at the end of the range, {first:,.0f} to {longest:,.0f} {UNITS[over]}: {'; '.join(told)}."


def _growth(rows: pd.DataFrame, name: str) -> Iterator[str]:
    """Yields a sentence per range: the lines by what they were found to be."""
    what = {"seconds": "Time", "peak_bytes": "Memory beyond what stays between calls", "state_bytes": "State"}[name]
    for (first, longest, over), group in rows.groupby(["first", "longest", "over"], sort=True):
        kinds = sorted(set(group["verdict"]), key=_ORDER.index)
        told = "; ".join(_kind(kind, group[group["verdict"] == kind], of=len(group)) for kind in kinds)
        yield f"{what} over the whole range, {first:,.0f} to {longest:,.0f} {UNITS[over]}: {told}.{_aside(group)}"


def _kind(kind: str, rows: pd.DataFrame, *, of: int) -> str:
    """Returns what some lines, of so many, were found to be; numbers where they say more than that."""
    if kind == NOT_EVALUABLE:
        parts = [f"{listed(list(alike['line']))} ({reason})" for reason, alike in rows.groupby("reason", sort=False)]
    elif kind in (BENT, INCONCLUSIVE):
        parts = list(rows["line"]) if len(rows) < of else ["all"]
    else:
        parts = [f"{row['line']} ({_detail(row)})" for _, row in rows.iterrows()]
    return f"{kind} for {listed(parts)}"


def _detail(row: pd.Series) -> str:
    if row["name"] != "state_bytes":
        return _exponent(row, "")
    said = f"{row['floor']:,.0f} B"
    more = f"{row['per_token']:,.0f} B a {UNITS[row['over']].removesuffix('s')}"
    return f"exactly {more} and {said}" if row["per_token"] else f"exactly {said}"


def _aside(rows: pd.DataFrame) -> str:
    """Returns how many lengths are too short to be told from a call that does nothing, where there are any."""
    most = rows["set_aside"].max()
    return (
        f" Up to {most} of them, where a call is hardly longer than one that does nothing, count for none."
        if most
        else ""
    )


def _reach(rows: pd.DataFrame) -> str:
    """Returns the longest length that finished, by line where they differ, and what ended each."""
    told = []
    over = rows["over"].iloc[0]
    most = {LENGTH: "Longest length", BATCH: "Largest batch"}[over]
    for (longest, ended, at), group in rows.groupby(["longest", "ended", "ended_at"], dropna=False, sort=True):
        names = "all" if len(group) == len(rows) else listed(list(group["line"]))
        beyond = f"the {most.split()[0].lower()} tried" if ended == NOT_TRIED else f"which {ENDED[ended]} at {at:,.0f}"
        reached = f"{longest:,.0f} {UNITS[over]}" if pd.notna(longest) else "none"
        told.append(f"{reached} for {names}, {beyond}")
    return f"{most} that finished: {'; '.join(told)}."


def _span(row: pd.Series, range_of_all: str) -> str:
    """Returns the lengths that finished where they are not those of all, and how one beyond them ended where it was tried."""
    told = DASH if pd.isna(row["first"]) else f"{number(row['first'])}{DASH}{number(row['longest'])}"
    if row["ended"] == NOT_TRIED:
        return "" if told == range_of_all else told
    return f"{told}, {row['ended'].replace('_', ' ')} at {number(row['ended_at'])}"


def _exponent(row: pd.Series, prefix: str) -> str:
    names = {"value": f"{prefix}exponent", "low": f"{prefix}low", "high": f"{prefix}high"}
    numbers = pd.Series({name: row[column] for name, column in names.items()} | {"interval": ""})
    if pd.isna(numbers["value"]):
        return DASH
    if numbers["high"] - numbers["low"] < 2 * _FINEST:
        return f"{numbers['value']:z.3f} ± {_FINEST:g}"
    return uncertain(numbers, factor=1.0)


def _exact(row: pd.Series) -> str:
    return DASH if pd.isna(row["exponent"]) else f"{row['exponent']:.0f}, exactly"


def _beyond(row: pd.Series) -> tuple[str, str]:
    """Returns the exponent beyond a floor, and the floor, with the verdict on it; of a count what it grows by."""
    if pd.notna(row["per_token"]):
        grown = f"{row['per_token']:,.0f} B per token" if row["per_token"] else "nothing"
        return f"{grown} over {row['floor']:,.0f} B", ""
    if pd.isna(row["beyond_exponent"]):
        return DASH, ""
    return f"{_exponent(row, 'beyond_')} over {_size(row, 'floor')}", row["beyond_verdict"]


def _size(row: pd.Series, column: str) -> str:
    said = quantity(row["name"], unit=row["unit"], values=[row[column]])
    return f"{row[column] * said.factor:.3g} {said.unit}"


def _scaling_note(rows: pd.DataFrame) -> str:
    missing = rows[rows["verdict"] == NOT_EVALUABLE]
    reasons = [f"{reason} ({count})" for reason, count in missing["reason"].value_counts(sort=False).items()]
    kinds = [kind for kind in (OVER_ROUNDS, OVER_SAMPLES) if (rows["last_doubling_interval"] == kind).any()]
    doubling = f"in time with {' or '.join(kinds)}" if kinds else "without intervals"
    parts = [
        "Exponents of cost = c length^p, with 95 % t intervals over the lengths that finished; memory is the peak less "
        "the tensors counted to stay between calls; states are counted, their law is exact.",
        f"Constant, linear, quadratic: an interval within {MARGIN:g} of 0, 1, 2. No power law: the local exponent moves by "
        f"more than {BEND:g} over the range, at {LEVEL * 100:.0f} %. Last doubling: between the last two, {doubling}. "
        f"Beyond a floor: cost = floor + c length^p, missing where the floor is not told from none at {LEVEL * 100:.0f} %.",
        f"An exponent needs {LEAST_LENGTHS} lengths and a factor of {LEAST_SPAN} between them, and calls that take more "
        f"than {LEAST_CALLS} times one that does nothing.",
        f"Not evaluable: {'; '.join(reasons)}." if reasons else "",
    ]
    text = " ".join(part for part in parts if part)
    return text.replace("length", "batch") if set(rows["over"]) == {BATCH} else text


def _crossover_note(rows: pd.DataFrame) -> str:
    parts = [
        "Between measured places, lines are straight in log-log. Ratio: the second line's cost, relative to the first."
    ]
    timed = rows[rows["name"] == "seconds"]
    if len(timed):
        rounds = timed["fewest_rounds"].min()
        parts.append(
            f"Time: intervals are {RESAMPLED}, of at least {timed['fewest_samples'].min():.0f} samples in "
            f"{rounds:.0f} {'round' if rounds == 1 else 'rounds'}. Resamples: the share that agrees on which line is less at "
            f"the two shortest and at the two longest; a pair with less than {SURE * 100:.0f} % is {ALIKE}."
        )
    if (rows["name"] == "peak_bytes").any():
        parts.append("Memory: peaks measured once, so without intervals.")
    return " ".join(parts)
