"""verdicts.csv -> every claim with its verdict, the numbers behind it, and the interval drawn against the region claimed."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup

from workflow.report.markup import listed
from workflow.styles import DASH
from workflow.table import read_table

NOT_EVALUABLE = "not evaluable"
VERDICTS = ("supported", "refuted", "inconclusive", NOT_EVALUABLE)
_REGISTERED = {"before the runs": "before the runs", "post hoc": "post hoc", "unknown": "at a time unknown"}
_REGION = re.compile(r"(above|below|between) (\S+?)(?: and (\S+))?$")  # as `workflow.claims` writes it
_UNITS = {"1": "", "fraction": "", "count": "", "token": " tokens"}  # as they are said behind a number
_WIDTH, _HEIGHT, _MARGIN = 132, 18, 3  # of a drawn interval, in pixels
_AROUND = 0.15  # of what is drawn, on either side of it


class Claim(NamedTuple):
    """A claim as it is shown: a line, and what unfolds below it."""

    id: str
    statement: str
    verdict: str
    kind: str  # the verdict as one word
    drawing: Markup
    estimate: str
    region: str
    n: str
    p: str
    registered: str
    experiment: str
    missing: str  # what keeps it from being judged
    rest: list[tuple[str, str]]


class Family(NamedTuple):
    """Claims that share a rate of errors."""

    name: str
    anchor: str
    claims: list[Claim]


def read_verdicts(path: Path) -> pd.DataFrame:
    """Returns a row per claim; ValueError naming the step to run where the table is missing."""
    if not path.exists():
        raise ValueError(f"{path} is missing: python -m workflow.claims writes it")
    return read_table(path)


def families(verdicts: pd.DataFrame) -> list[Family]:
    """Returns every claim of the table, by family, in the order of the table."""
    return [
        Family(str(name), f"family-{_slug(str(name))}", [_claim(row) for _, row in rows.iterrows()])
        for name, rows in verdicts.groupby("family", sort=False)
    ]


def summary(verdicts: pd.DataFrame) -> str:
    """Returns how many claims have which verdict, in one sentence."""
    total, counts = len(verdicts), verdicts["verdict"].value_counts()
    told = [f"{counts[name]} {'is' if counts[name] == 1 else 'are'} {name}" for name in VERDICTS if name in counts]
    return f"Of {total} {'claim' if total == 1 else 'claims'}, {listed(told)}."


def registration(verdicts: pd.DataFrame) -> str:
    """Returns how many claims were written down before their runs."""
    counts = verdicts["registered"].value_counts()
    told = listed([f"{counts[name]} {said}" for name, said in _REGISTERED.items() if name in counts])
    return f"Written down: {told}."


def p_text(p: float) -> str:
    """Returns a p value to three decimals."""
    return DASH if pd.isna(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_equation(p: float) -> str:
    """Returns a p value as `p = 0.030` or `p < 0.001`."""
    return f"p {p_text(p)}" if p < 0.001 else f"p = {p_text(p)}"


def interval_text(value: float, low: float, high: float, *, unit: str) -> str:
    """Returns a number with the digits that its interval allows, the interval, where there is one, and its unit."""
    if pd.isna(value):
        return DASH
    said = _UNITS.get(unit, f" {unit}")
    ends = [end for end in (low, high) if np.isfinite(end)]
    half = (max(ends) - min(ends)) / 2 if len(ends) == 2 else max((abs(end - value) for end in ends), default=0.0)
    if half == 0:
        return f"{value:z,.4g}{said}" if abs(value) < 10_000 else f"{value:z,.0f}{said}"
    digits = max(0, 1 - int(np.floor(np.log10(half))))
    left, right = (
        f"{end:z,.{digits}f}" if np.isfinite(end) else infinite for end, infinite in ((low, "-∞"), (high, "∞"))
    )
    return f"{value:z,.{digits}f} [{left}, {right}]{said}"


def bounds(region: str) -> tuple[float, float]:
    """Returns the ends of a region, which may be infinite; ValueError for one that is not written as regions are."""
    found = _REGION.match(region)
    if found is None:
        raise ValueError(f"{region!r} is no region: above a, below b, or between a and b")
    kind, first, second = found[1], float(found[2]), float(found[3] or "nan")
    return {"above": (first, np.inf), "below": (-np.inf, first), "between": (first, second)}[kind]


def drawn_interval(value: float, low: float, high: float, *, region: tuple[float, float]) -> Markup:
    """Returns a drawing of the interval over the region claimed, which is shaded; nothing without a value."""
    if pd.isna(value):
        return Markup("")
    marks = [mark for mark in (value, low, high, *region) if np.isfinite(mark)]
    around = _AROUND * ((max(marks) - min(marks)) or abs(value) or 1.0)
    left, right = min(marks) - around, max(marks) + around

    def x(mark: float, otherwise: float) -> float:
        inside = min(max(mark, left), right) if not np.isnan(mark) else otherwise
        return round(_MARGIN + (_WIDTH - 2 * _MARGIN) * (inside - left) / (right - left), 1)

    band = x(region[0], left), x(region[1], right)
    edges = [x(edge, left) for edge in region if np.isfinite(edge)]
    ends = x(low, value), x(high, value)
    caps = [end for end, mark in zip(ends, (low, high), strict=True) if np.isfinite(mark)]
    middle = _HEIGHT / 2
    parts = [
        f'<rect x="{band[0]}" y="1" width="{band[1] - band[0]:.1f}" height="{_HEIGHT - 2}"/>',
        *(f'<path class="edge" d="M{edge} 1V{_HEIGHT - 1}"/>' for edge in edges),
        f'<path d="M{ends[0]} {middle:g}H{ends[1]}{"".join(f"M{cap} {middle - 3:g}v6" for cap in caps)}"/>',
        f'<circle cx="{x(value, left)}" cy="{middle:g}" r="2.6"/>',
    ]
    opening = (
        f'<svg class="span" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" aria-hidden="true">'
    )
    return Markup(f"{opening}{''.join(parts)}</svg>")


def _claim(row: pd.Series) -> Claim:
    numbers = [float(row[name]) for name in ("value", "low", "high")]
    unit = _text(row["unit"])
    return Claim(
        id=row["claim"],
        statement=row["statement"],
        verdict=row["verdict"],
        kind=_slug(row["verdict"]),
        drawing=drawn_interval(*numbers, region=bounds(row["region"])),
        estimate=" ".join(part for part in (_text(row["censored"]), interval_text(*numbers, unit=unit)) if part),
        region=row["region"],
        n=_whole(row["n"]),
        p=p_text(row["p_holm"]),
        registered=row["registered"].removesuffix(" the runs"),
        experiment=_text(row["experiment"]),
        missing=_text(row["reason"]) if row["verdict"] == NOT_EVALUABLE else "",
        rest=_rest(row, unit=unit),
    )


def _rest(row: pd.Series, *, unit: str) -> list[tuple[str, str]]:
    """Returns what unfolds below a claim, as pairs of a term and a text, without those that have nothing to say."""
    told = {
        "Found": _text(row["sentence"]),
        "Reason": _text(row["reason"]),
        "Source": _text(row["source"]),
        "Scope": _text(row["scope"]),
        "Measured": _text(row["estimand"]),
        "Test": _tested(row),
        "Power": _power(row, unit=unit),
    }
    return [(term, text) for term, text in told.items() if text]


def _tested(row: pd.Series) -> str:
    parts = [] if pd.isna(row["low"]) and pd.isna(row["high"]) else [f"{row['level'] * 100:g} % interval"]
    parts += [] if pd.isna(row["n"]) else [f"n = {_whole(row['n'])} {_text(row['counted'])}"]
    parts += [] if pd.isna(row["p"]) else [f"{p_equation(row['p'])} before Holm's correction"]
    return "; ".join([*parts, f"written down {_REGISTERED[row['registered']]}"])


def _power(row: pd.Series, *, unit: str) -> str:
    """Returns what difference would have been found, and what it would take to tell."""
    smallest = interval_text(row["detectable"], np.nan, np.nan, unit=unit)
    seen = (
        []
        if smallest == DASH
        else [f"a difference of {smallest} from the edge of the region is found in 8 of 10 cases"]
    )
    needed = [] if pd.isna(row["seeds_needed"]) else [f"to tell, {_whole(row['seeds_needed'])} seeds are needed"]
    return "; ".join([*seen, *needed])


def _whole(value: object) -> str:
    return DASH if pd.isna(value) else f"{value:,.0f}" if isinstance(value, float | int | np.number) else str(value)


def _text(value: object) -> str:
    return "" if pd.isna(value) else str(value)


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", text.lower()).strip("-")
