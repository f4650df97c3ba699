"""What the tables of laws and crossovers say, in sentences and in rows of text. No number and no name is typed in."""

from collections.abc import Iterable

import pandas as pd

from workflow.captions import ENDED, Answer
from workflow.points import compared
from workflow.scaling.crossings import SURE
from workflow.scaling.exponents import BEND, END, INCONCLUSIVE, LEAST_LENGTHS, LEAST_SPAN, LEVEL, MARGIN
from workflow.scaling.laws import BENT, NOT_EVALUABLE, NOT_TRIED
from workflow.scaling.pairs import RESAMPLED, TIE
from workflow.styles import DASH, number, quantity, sentence, uncertain

_FINEST = 0.001  # half an interval of an exponent is not told as less
TRANSFORMERS = ("attention", "llama")  # what the sentences compare all others with
COSTS = {"seconds": "time", "peak_bytes": "memory", "state_bytes": "state"}
_ORDER = (
    *("falling", "constant", "between constant and linear", "linear", "between linear and quadratic", "quadratic"),
    *("more than quadratic", BENT, INCONCLUSIVE, NOT_EVALUABLE),
)

Rows = tuple[list[str], list[list[tuple[str, str]]], str]  # of cells: a text and a remark


def sentences(scaling: pd.DataFrame, crossovers: pd.DataFrame) -> list[Answer]:
    """Returns, for every phase and setting, what was found: how cost grows, where lines cross, what did not finish."""
    found = []
    for panel in dict.fromkeys(scaling["panel"]):
        rows, pairs = scaling[scaling["panel"] == panel], crossovers[crossovers["panel"] == panel]
        items = [item for name in COSTS for item in _growth(rows[rows["name"] == name], name)]
        items += [item for name in COSTS for item in _against(pairs[pairs["name"] == name], name)]
        found.append(Answer(f"{sentence(panel)}.", [*items, _reach(rows[rows["name"] == "seconds"])]))
    return found


def scaling_rows(scaling: pd.DataFrame) -> Rows:
    """Returns a head, a row per line and cost, and a note; lines of one length have none."""
    shown = scaling[(scaling["lengths"] > 1) | (scaling["ended"] != NOT_TRIED)]
    range_of_all = f"{number(shown['first'].min())}{DASH}{number(shown['longest'].max())}" if len(shown) else DASH
    head = ["Cost", sentence(compared(scaling)), "Exponent", "Verdict"]
    rows = [
        [
            (f"{sentence(row['panel'])}: {COSTS[row['name']]}", ""),
            (row["line"], _span(row, range_of_all)),
            (_exact(row) if row["name"] == "state_bytes" else _exponent(row, ""), ""),
            (row["verdict"], ""),
            *((_exponent(row, end), "") for end in ("first_", "last_")),
            _beyond(row),
        ]
        for _, row in shown.iterrows()
    ]
    note = f"Lengths: {range_of_all} tokens, unless said. {_scaling_note(shown)}"
    return [*head, f"First {END}-fold", f"Last {END}-fold", "Beyond a floor"], rows, note


def crossover_rows(crossovers: pd.DataFrame) -> Rows:
    """Returns a head, a row per crossing or pair without one, and a note."""
    head = ["Cost", "Lines", "Range", "Crossing (tokens)", "Resamples", "Less before", "Less after", "Ratio"]
    rows = [
        [
            f"{sentence(row['panel'])}: {COSTS[row['name']]}",
            f"{row['line']} / {row['other']}",
            f"{number(row['first'])}{DASH}{number(row['longest'])}",
            DASH if pd.isna(row["crossing"]) else _place(row, sure=True),
            DASH if pd.isna(row["share"]) else f"{row['share'] * 100:.0f} %",
            row["less_before"],
            row["less_after"],
            f"{_times(row['ratio_low'])}{DASH}{_times(row['ratio_high'])}",
        ]
        for _, row in crossovers.iterrows()
    ]
    return head, [[(text, "") for text in row] for row in rows], _crossover_note(crossovers)


def _growth(rows: pd.DataFrame, name: str) -> Iterable[str]:
    """Yields a sentence per range of lengths: the lines by what they were found to be."""
    what = {"seconds": "Time", "peak_bytes": "Memory beyond what stays between calls", "state_bytes": "State"}[name]
    for (first, longest), group in rows.groupby(["first", "longest"], sort=True):
        kinds = sorted(set(group["verdict"]), key=_ORDER.index)
        told = [_kind(kind, group[group["verdict"] == kind]) for kind in kinds]
        yield f"{what} over {first:,.0f} to {longest:,.0f} tokens: {'; '.join(told)}."


def _kind(kind: str, rows: pd.DataFrame) -> str:
    if kind == NOT_EVALUABLE:
        parts = [f"{_listed(list(alike['line']))} ({reason})" for reason, alike in rows.groupby("reason", sort=False)]
    else:
        parts = [f"{row['line']} ({_detail(row)})" for _, row in rows.iterrows()]
    return f"{kind} for {_listed(parts)}"


def _detail(row: pd.Series) -> str:
    if row["name"] == "state_bytes":
        if pd.isna(row["per_token"]):
            return "counted"
        said = f"{row['floor']:,.0f} B"
        return f"exactly {row['per_token']:,.0f} B per token and {said}" if row["per_token"] else f"exactly {said}"
    last = f"{_exponent(row, 'last_')} from {row['last_from']:,.0f} tokens on"
    told = _exponent(row, "")
    if row["verdict"] == BENT:
        told = f"{_exponent(row, 'first_')} up to {row['first_to']:,.0f} tokens and {last}"
    elif row["name"] == "seconds":
        told = f"{told}, {last}"
    if pd.isna(row["beyond_exponent"]) or row["beyond_verdict"] == INCONCLUSIVE:
        return told
    return f"{told}; over a floor of {_size(row, 'floor')} {row['beyond_verdict']}, {_exponent(row, 'beyond_')}"


def _against(pairs: pd.DataFrame, name: str) -> Iterable[str]:
    """Yields a sentence per Transformer: where each other line begins or ceases to cost less."""
    mixers = {which: pairs.get(f"{which}.network.mixer.name", pd.Series(dtype="str")) for which in ("line", "other")}
    less, more = {"seconds": ("faster", "slower"), "peak_bytes": ("smaller", "larger")}.get(name, ("", ""))
    what = {"seconds": "time", "peak_bytes": "peak memory, measured once"}.get(name, "")
    labels = [set(pairs.loc[mixers[which].isin(TRANSFORMERS), which]) for which in mixers]
    for reference in sorted(set().union(*labels)):
        mine = pairs[(pairs["line"] == reference) | (pairs["other"] == reference)]
        others = mine["line"].where(mine["line"] != reference, mine["other"])
        told = [_order(str(label), rows, less=less, more=more) for label, rows in mine.groupby(others, sort=False)]
        pairs = pairs.drop(mine.index)  # one Transformer is told against another once
        if told:
            yield f"Against {reference}, in {what}: {'; '.join(told)}."


def _order(label: str, rows: pd.DataFrame, *, less: str, more: str) -> str:
    """Returns where a line costs less than the one it is compared with."""
    row = rows.iloc[0]
    if len(rows) > 1:
        widest = max(row["ratio_high"], 1 / row["ratio_low"])
        places = f"between {_length(rows['crossing'].min())} and {_length(rows['crossing'].max())} tokens"
        return (
            f"{label} changes places with it {len(rows)} times {places}, by at most {_times(widest)} times either way"
        )
    if pd.notna(row["crossing"]):
        before, after = (less, more) if row["less_before"] == label else (more, less)
        return f"{label} is {before} up to {_place(row, sure=False)} and {after} beyond"
    if row["less_before"] == TIE:
        return f"{label} is the same"
    ratios = (row["ratio_low"], row["ratio_high"])
    leads = row["less_before"] == label
    costs = ratios if leads == (row["other"] != label) else (1 / ratios[1], 1 / ratios[0])
    return f"{label} is {less if leads else more} throughout, by {_times(costs[0])} to {_times(costs[1])} times"


def _reach(rows: pd.DataFrame) -> str:
    """Returns the longest length that finished, by line where they differ, and what ended each."""
    told = []
    for (longest, ended, at), group in rows.groupby(["longest", "ended", "ended_at"], dropna=False, sort=True):
        names = "all" if len(group) == len(rows) else _listed(list(group["line"]))
        beyond = "the longest tried" if ended == NOT_TRIED else f"which {ENDED[ended]} at {at:,.0f}"
        reached = f"{longest:,.0f} tokens" if pd.notna(longest) else "none"
        told.append(f"{reached} for {names}, {beyond}")
    return f"Longest length that finished: {'; '.join(told)}."


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
        return f"{numbers['value']:.3f} ± {_FINEST:g}"
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


def _place(row: pd.Series, *, sure: bool) -> str:
    """Returns the length of a crossing with its interval, and unless `sure`, how many resamples agree where few do."""
    inside = [] if pd.isna(row["low"]) else [f"95 % {_length(row['low'])} to {_length(row['high'])}"]
    if not sure and row["share"] < SURE:
        inside.append(f"in {row['share'] * 100:.0f} % of the resamples")
    told = f" ({', '.join(inside)})" if inside else ""
    return f"{_length(row['crossing'])}{'' if sure else ' tokens'}{told}"


def _length(value: float) -> str:
    return f"{value if value < 1000 else float(f'{value:.3g}'):,.0f}"


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}" if ratio < 100 else f"{ratio:,.0f}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _scaling_note(rows: pd.DataFrame) -> str:
    missing = rows[rows["verdict"] == NOT_EVALUABLE]
    reasons = [f"{reason} ({count})" for reason, count in missing["reason"].value_counts(sort=False).items()]
    parts = [
        "Exponents of cost = c length^p, with 95 % t intervals over the lengths that finished; memory is the peak less "
        "the tensors counted to stay between calls; states are counted, their law is exact.",
        f"Constant, linear, quadratic: an interval within {MARGIN:g} of 0, 1, 2. No power law: the local exponent moves by "
        f"more than {BEND:g} over the range, at {LEVEL * 100:.0f} %. Beyond a floor: cost = floor + c length^p, missing "
        f"where the floor is not told from none at {LEVEL * 100:.0f} %.",
        f"An exponent needs {LEAST_LENGTHS} lengths and a factor of {LEAST_SPAN} between them.",
        f"Not evaluable: {'; '.join(reasons)}." if reasons else "",
    ]
    return " ".join(part for part in parts if part)


def _crossover_note(rows: pd.DataFrame) -> str:
    parts = [
        "Between measured lengths, lines are straight in log-log. Ratio: the second line's cost, relative to the first."
    ]
    timed = rows[rows["name"] == "seconds"]
    if len(timed):
        rounds = timed["fewest_rounds"].min()
        parts.append(
            f"Time: intervals are {RESAMPLED.removeprefix('95 % ')}, of at least {timed['fewest_samples'].min():.0f} samples in "
            f"{rounds:.0f} {'round' if rounds == 1 else 'rounds'}; the share of resamples is "
            "of those with this crossing or, where there is none, without any."
        )
    if (rows["name"] == "peak_bytes").any():
        parts.append("Memory: peaks measured once, so without intervals.")
    return " ".join(parts)
