"""Sentences computed from estimates: what a figure shows, and what it says. No number and no name is typed in."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from workflow.estimates import AGREED, ALONE, LABELS, SEEDS, SHARE
from workflow.planfile import Figure, PlanFile
from workflow.points import Points
from workflow.statistics.comparisons import tied_with_best
from workflow.styles import QUARTILES, number, predictor, sentence, uncertain, words

_INTERVALS = {
    SEEDS: "95 % t intervals of the mean over seeds",
    LABELS: "95 % Clopper-Pearson intervals over the pooled labels where all seeds agree",
    SHARE: "95 % Clopper-Pearson intervals over seeds",
    QUARTILES: "the quartiles of the samples",
    ALONE: "missing where there is one seed",
    AGREED: "missing where all seeds agree",
}


# How runs ended, as what they did.
ENDED = {
    "diverged": "diverged",
    "out_of_memory": "ran out of memory",
    "timed_out": "timed out",
    "unsupported": "cannot be run there",
    "unequal": "differed from their definition",
}


def caption(figure: Figure, *, plan: PlanFile, points: Points) -> str:
    """Returns what is plotted, over what, from how many runs, what the intervals are, and what failed."""
    measured = f"{points.y.name}{_over(figure, points)}{_where(figure)}, by {_what_differs(figure, points)}"
    parts = [f"{sentence(measured)}.", _marks(points), _references(points), _ranges(points), _runs(points, plan=plan)]
    return " ".join(part for part in parts if part)


def tuning_caption(trials: pd.DataFrame, *, plan: PlanFile) -> str:
    """Returns what the figure of the learning rates shows."""
    rates, seeds = len(plan.tuned), trials["seed"].nunique()
    trial = ["panel", "series", "rate", "seed", "until", "status"]
    failed = trials[trial].drop_duplicates()["status"].ne("finished").sum()
    at_edge = trials.loc[trials["edge"], ["panel", "series"]].drop_duplicates()
    told = [
        f"Validation loss at the end of training over learning rate; {rates} rates for every mixer, "
        f"{_counted(seeds, 'seed')} each. The ring marks the rate chosen, which fresh seeds then confirm.",
        *_halving(trials),
        f"{_counted(failed, 'trial')} did not finish." if failed else "Every trial finished.",
        f"The rate chosen is the lowest or highest tried in {len(at_edge)} of "
        f"{len(trials[['panel', 'series']].drop_duplicates())} choices: a better one may lie beyond."
        if len(at_edge)
        else "No rate chosen is the lowest or highest tried.",
        f"Scale {plan.scale}.",
    ]
    return " ".join(told)


def _halving(trials: pd.DataFrame) -> list[str]:
    """Returns how many rates were tried for how long, where that differs."""
    rates = trials.groupby(["panel", "series", "until"], dropna=False)["rate"].nunique()
    tried = rates.groupby("until", dropna=False).max()
    if len(tried) == 1:
        return []
    rungs = _listed([f"{count} until step {step:.0f}" for step, count in tried.items() if not pd.isna(step)])
    return [f"Successive halving: {rungs}, and of these the best {tried.iloc[-1]} to the end, which are shown."]


class Answer(NamedTuple):
    """What a figure says: a sentence or, where it has panels, the start of one and its end for each panel."""

    lead: str
    items: list[str]


def answer(figure: Figure, *, points: Points) -> Answer:
    """Returns the best line, those not told apart from it, and the worst, at the largest x of every panel."""
    clauses: dict[str, str] = {}
    first = "lowest" if points.better_low else "highest"
    if points.named and not points.by_line:
        for (panel, x), rows in points.estimates.groupby(["panel", "x"], sort=False):
            place = f"{panel}, {x}" if len(points.panels) > 1 else str(x)
            clauses[place] = _comparison(rows, points.failures.iloc[:0], figure, points)
        items = [f"{sentence(place)}: {clause}" for place, clause in clauses.items()]
        return Answer(f"The {first} {points.y.name} on each task:", items)
    for panel in points.panels:
        rows = points.estimates[points.estimates["panel"] == panel]
        several = not points.named and bool(rows["series"].duplicated().any())
        last = max(rows["x"].max(), points.failures["x"].max()) if several else None
        lost = points.failures[(points.failures["panel"] == panel) & (points.failures["x"] == last)]
        clauses[panel] = _comparison(rows[rows["x"] == last] if several else rows, lost, figure, points)
    place = f"{_at(points, float(last))}, t" if several else "T"
    said = f"{place}he {first} {points.y.name}"
    if len(clauses) == 1:
        return Answer(f"{said} is that of {next(iter(clauses.values()))}.", [])
    return Answer(f"{said}:", [f"{sentence(panel)}: {clause}" for panel, clause in clauses.items()])


def _comparison(rows: pd.DataFrame, lost: pd.DataFrame, figure: Figure, points: Points) -> str:
    low = points.better_low
    rows = rows.sort_values("value", ascending=low, kind="stable")
    best, worst = rows.iloc[0], rows.iloc[-1]
    seeds = (rows["role"] == "confirm").all()
    tied = tied_with_best(rows, lower_is_better=low) if seeds else pd.Series(False, index=rows.index)
    also = [row["series"] for index, row in rows.iterrows() if tied[index] and row["series"] != best["series"]]
    text = f"{best['series']}, {_value(best, points)}"
    if also:
        text += f" (not told apart from {_listed(also)} by Welch's t test after Holm)"
    if worst["series"] != best["series"] and worst["series"] not in also:
        text += f"; the {'highest' if low else 'lowest'} that of {worst['series']}, {_value(worst, points)}"
    for status, group in lost.groupby("status"):
        text += f"; {_listed(list(group['series']))} {ENDED[str(status)]}"
    return text


def _value(row: pd.Series, points: Points) -> str:
    return f"{uncertain(row, factor=points.y.factor)} {points.y.unit}".strip()


def _at(points: Points, x: float) -> str:
    """Returns `At 16 key-value pairs` or `At test length 256`."""
    said = number(x * points.x.factor)
    return f"At {said} {points.x.name}" if points.x.name.endswith("s") else f"At {points.x.name} {said}"


def _over(figure: Figure, points: Points) -> str:
    named = {"network.mixer": "", "task": " on every task"}
    return named.get(figure.x, f" over {points.x.name}")


def _where(figure: Figure) -> str:
    told = ", ".join(f"{words(path)} {value}" for path, value in sorted(_flat(figure.where).items()))
    return f" where {told}" if told else ""


def _flat(tree: dict[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def _what_differs(figure: Figure, points: Points) -> str:
    return points.compared if figure.panels is None else f"{points.compared}, one panel per {words(figure.panels)}"


def _marks(points: Points) -> str:
    """Returns what the points, dots and bars are."""
    rows = points.estimates
    n = _range(rows["n"])
    kinds = [kind for kind in _INTERVALS if kind in set(rows["interval"])]
    bars = "; ".join(_INTERVALS[kind] for kind in kinds)
    spread = f" {'Bands' if points.crowded else 'Bars'}: {bars}." if bars else ""
    if (rows["role"] == "profile").all():
        sampled = (rows["interval"] == QUARTILES).any()
        return f"Points: medians of {n} samples.{spread}" if sampled else "Every point is one measurement."
    lines = f"Lines: means over n = {n} fresh seeds, each a faint dot"
    return f"{lines}; seeds vary the initial weights and the training data.{spread}"


def _references(points: Points) -> str:
    if points.references.empty:
        return ""
    if points.named and not points.by_line:
        return (
            "Without a network: the best constant answer (dotted) and the best other shortcut (dashed) at every task."
        )
    mean = points.references.groupby("predictor")["value"].agg(["min", "max"])
    told = [
        f"{predictor(str(name))}: {_span(row['min'], row['max'])}" for name, row in mean.sort_values("min").iterrows()
    ]
    return f"Dotted: predictors without a network ({', '.join(told)})."


def _ranges(points: Points) -> str:
    return "Shaded: lengths seen in training." if len(points.trained) else ""


def _runs(points: Points, *, plan: PlanFile) -> str:
    total = sum(points.statuses.values())
    failed = {status: count for status, count in points.statuses.items() if status != "finished"}
    told = ", ".join(f"{count} {ENDED[status]}" for status, count in failed.items())
    if not failed:
        return f"{_counted(total, 'run')}, none failed; scale {plan.scale}."
    counted = "crosses, counted as the worst outcome" if len(points.seeds) else "crosses at the first place that failed"
    return f"{_counted(total, 'run')}, of which {told} ({counted}); scale {plan.scale}."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _range(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


def _span(low: float, high: float) -> str:
    return f"{low:.3g}" if np.isclose(low, high, rtol=5e-3) else f"{low:.3g} to {high:.3g}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{'; '.join(names[:-1])} and {names[-1]}"
