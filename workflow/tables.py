"""Estimates -> tables, each as Markdown and LaTeX (booktabs), and all in tables.json for the report and the paper.

    python -m workflow.tables plan.json estimates.csv measurements.csv --output results/quick/recall/tables

One table per figure of the plan, `<figure>-solved` (the share of seeds that solve the task) beside those of an
accuracy, `fairness`: what each network is, what it costs and what it was given, and of what was timed `conditions`, where
the machine told any. With `--scaling` and `--crossovers`,
which `workflow.scaling` left, two tables more of the same names.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from workflow.conditions import condition_rows
from workflow.confirmations import FLOORS
from workflow.estimates import SHARE, SOLVED
from workflow.fairness import fairness_rows
from workflow.measured import Measured, read_measured
from workflow.planfile import Figure
from workflow.points import Points, points, yardsticks
from workflow.scaling.told import crossover_rows, scaling_rows
from workflow.statistics.comparisons import tied_with_best
from workflow.styles import BETTER_LOW, DASH, QUARTILES, exact, number, predictor, sentence, uncertain, words
from workflow.table import read_table
from workflow.tabular import CONDITIONS, CROSSOVERS, FAIRNESS, SCALING, Cell, Table, leave_tables, plain_table

_MOST_COLUMNS = 5


def tables_of(measured: Measured) -> dict[str, Table]:
    """Returns every table of an experiment by name."""
    found: dict[str, Table] = {}
    for name, spec in measured.plan.figures.items():
        found[name] = score_table(spec, shown=points(spec, measured))
        if spec.y == "accuracy":
            solved = spec.model_copy(update={"y": "solved"})
            found[f"{name}-solved"] = score_table(solved, shown=points(solved, measured))
    found[FAIRNESS] = plain_table("What each network is, costs and was given", fairness_rows(measured))
    conditions = condition_rows(measured.measurements)
    if conditions[1]:
        found[CONDITIONS] = plain_table("Under what conditions it was timed", conditions)
    return found


def cost_tables(scaling: pd.DataFrame, crossovers: pd.DataFrame) -> dict[str, Table]:
    """Returns, by name, how cost grows and where lines cross, as far as either is known."""
    told = {
        SCALING: ("How cost grows", scaling_rows(scaling)),
        CROSSOVERS: ("Where lines cross", crossover_rows(crossovers)),
    }
    return {
        name: Table(title, head, [[Cell(text, remark=remark) for text, remark in row] for row in rows], 2, "", 0, note)
        for name, (title, (head, rows, note)) in told.items()
        if rows
    }


def score_table(figure: Figure, *, shown: Points) -> Table:
    """Returns what a figure shows: a row per panel and line, a column per x or, where each line has its own, one."""
    if shown.named and not shown.by_line:
        return _table_by_name(figure, shown=shown)
    rows, names = shown.estimates, [sentence(shown.compared)]
    if len(shown.panels) > 1:
        names.insert(0, sentence(words(figure.panels or "")))
    across = not shown.named and bool(rows.duplicated(["panel", "series"]).any())
    every = sorted({*rows["x"], *shown.failures["x"].dropna()})
    xs = _thinned(every) if across else []
    thinned = (
        f" {len(xs)} of {len(every)} columns; the figure's CSV has all." if len(xs) < len(every) and across else ""
    )
    tied = _tied(rows, figure, together=["panel", "x"] if across else ["panel"])
    repeated = (rows["role"] == "confirm").any() or (rows["interval"] == QUARTILES).any()
    body = []

    def titled(panel: str, label: str) -> list[Cell]:
        return [Cell(label)] if len(shown.panels) == 1 else [Cell(sentence(panel)), Cell(label)]

    for panel in shown.panels:
        for label in shown.looks:
            line = rows[(rows["panel"] == panel) & (rows["series"] == label)]
            lost = shown.failures[(shown.failures["panel"] == panel) & (shown.failures["series"] == label)]
            if len(line) or len(lost):
                numbers = _across(line, lost, xs, shown, tied=tied) if across else _single(line, shown, tied=tied)
                body.append([*titled(panel, label), *numbers, *([Cell(_count(line))] if repeated else [])])
        for name, scores in _references(shown, panel):
            numbers = [Cell(_score(scores.get(x), shown)) for x in xs]
            if not across:
                numbers = [*([] if shown.named else [Cell(DASH)]), Cell(_score(scores.iloc[0], shown))]
            body.append([*titled(panel, f"no network: {name}"), *numbers, *([Cell(DASH)] if repeated else [])])
    titles = [number(x * shown.x.factor) for x in xs] if across else _single_titles(shown)
    span, spanned = (shown.x.label, len(xs)) if across else ("", 0)
    title = shown.y.label if shown.named else f"{shown.y.label} by {shown.x.name}"
    return Table(
        title,
        [*names, *titles, *(["n"] if repeated else [])],
        body,
        len(names),
        span,
        spanned,
        (_note(figure, shown, tied=tied) + thinned).strip(),
    )


def _table_by_name(figure: Figure, *, shown: Points) -> Table:
    """Returns a row per name on the x axis and a column per line, beside what is scored without a network."""
    labels = [label for label in shown.looks if label in set(shown.estimates["series"])]
    tied = _tied(shown.estimates, figure, together=["panel", "x"])
    names = [*([sentence(words(figure.panels or ""))] if len(shown.panels) > 1 else []), sentence(shown.x.name)]
    without = ["best constant", "best shortcut", "oracle"] if len(shown.references) else []
    body = []
    for (panel, x), rows in shown.estimates.groupby(["panel", "x"], sort=False):
        at = {row["series"]: (index, row) for index, row in rows.iterrows()}
        cells = [_cell(*at[label], shown, tied=tied) if label in at else Cell(DASH) for label in labels]
        here = shown.references[(shown.references["panel"] == panel) & (shown.references["x"] == x)]
        title = [Cell(sentence(panel)), Cell(str(x))] if len(shown.panels) > 1 else [Cell(str(x))]
        body.append([*title, *(Cell(text) for text in _yardsticks(here, shown) if without), *cells, Cell(_count(rows))])
    head = [*names, *without, *labels, "n"]
    return Table(sentence(shown.y.name), head, body, len(names), "", 0, _note(figure, shown, tied=tied))


def _yardsticks(here: pd.DataFrame, shown: Points) -> list[str]:
    """Returns what the best constant answer, the best shortcut, with its name, and the oracle score on one task."""
    found = yardsticks(here, lower_is_better=shown.better_low)
    oracle = here.loc[here["predictor"] == "oracle", "value"]
    constant, shortcut = (_score(values.iloc[0] if len(values) else None, shown) for values in found.values())
    if shortcut != DASH:
        best = here.loc[~here["predictor"].isin(["oracle", *FLOORS])]
        names = best.loc[best["value"] == found["best shortcut"].iloc[0], "predictor"]
        shortcut = f"{shortcut} ({predictor(names.iloc[0])})"
    return [constant, shortcut, _score(oracle.iloc[0] if len(oracle) else None, shown)]


def _references(shown: Points, panel: str) -> list[tuple[str, pd.Series]]:
    """Returns, by name, what predictors without a network score at every x of a panel, the worst first."""
    here = shown.references[shown.references["panel"] == panel]
    found = [(predictor(str(name)), rows.set_index("x")["value"]) for name, rows in here.groupby("predictor")]
    return sorted(found, key=lambda pair: pair[1].mean(), reverse=shown.better_low)


def _score(value: float | None, shown: Points) -> str:
    return DASH if value is None or pd.isna(value) else f"{value * shown.y.factor:.3g}"


def _across(
    line: pd.DataFrame, lost: pd.DataFrame, xs: Sequence[float], shown: Points, *, tied: pd.Series
) -> list[Cell]:
    """Returns the cells of one line, one per x: an estimate, how the run failed, or a dash."""
    at, failed = (
        {row["x"]: (index, row) for index, row in line.iterrows()},
        dict(zip(lost["x"], lost["status"], strict=True)),
    )
    return [_cell(*at[x], shown, tied=tied) if x in at else Cell(words(failed.get(x, DASH))) for x in xs]


def _single(line: pd.DataFrame, shown: Points, *, tied: pd.Series) -> list[Cell]:
    if line.empty:
        return [Cell(DASH) for _ in _single_titles(shown)]
    index, row = line.index[0], line.iloc[0]
    cell = _cell(index, row, shown, tied=tied)
    return [cell] if shown.named else [Cell(exact(row["x"] * shown.x.factor)), cell]


def _single_titles(shown: Points) -> list[str]:
    return [shown.y.label] if shown.named else [shown.x.label, shown.y.label]


def _cell(index: int, row: pd.Series, shown: Points, *, tied: pd.Series) -> Cell:
    text = uncertain(row, factor=shown.y.factor)
    if row["interval"] == SHARE:
        text = f"{row['value'] * row['n']:.0f}/{row['n']} [{row['low']:.2f}, {row['high']:.2f}]"
    remark = f"{row['failed']} of {row['n']} {words(row['status'])}" if row["failed"] else ""
    return Cell(text, bold=bool(tied.get(index, False)), remark=remark)


def _tied(rows: pd.DataFrame, figure: Figure, *, together: list[str]) -> pd.Series:
    """Returns, by row, what is set in bold; nothing where no seeds were compared."""
    if figure.y == "solved" or (rows["role"] == "profile").any():
        return pd.Series(False, index=rows.index)
    groups = [tied_with_best(group, lower_is_better=figure.y in BETTER_LOW) for _, group in rows.groupby(together)]
    return pd.concat(groups)


def _count(line: pd.DataFrame) -> str:
    low, high = int(line["n"].min() if len(line) else 0), int(line["n"].max() if len(line) else 0)
    return str(low) if low == high else f"{low}{DASH}{high}"


def _thinned(xs: list[float]) -> list[float]:
    """Returns the numbers, or where there are too many of them, an even choice with the first and the last."""
    if len(xs) <= _MOST_COLUMNS:
        return xs
    return [xs[round(place * (len(xs) - 1) / (_MOST_COLUMNS - 1))] for place in range(_MOST_COLUMNS)]


def _note(figure: Figure, shown: Points, *, tied: pd.Series) -> str:
    kinds = sorted(kind for kind in set(shown.estimates["interval"].dropna()) if not kind.startswith("none"))
    parts = [f"Interval: {'; '.join(kinds)}."] if kinds else []
    if kinds == [QUARTILES]:
        parts = ["Medians of n samples ± half the distance between their quartiles."]
    if figure.y == "solved":
        parts.append(f"A seed solves the task with an accuracy of at least {SOLVED:g}.")
    if tied.any():
        line = "row" if shown.named and not shown.by_line else "column"
        parts.append(f"Bold: not told apart from the best of its {line} (Welch's t test at 5 %, after Holm).")
    if (shown.estimates["failed"] > 0).any() and len(shown.seeds):
        parts.append("Failed runs are counted as the worst outcome.")
    return " ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description="Set the tables of an experiment.")
    parser.add_argument("plan", type=Path, help="plan.json of the experiment")
    parser.add_argument("estimates", type=Path, help="the table of estimates, .csv")
    parser.add_argument("measurements", type=Path, help="the table of measurements, .csv")
    parser.add_argument("--scaling", type=Path, help="the table of exponents of an experiment that profiles, .csv")
    parser.add_argument("--crossovers", type=Path, help="its table of crossings, .csv; both or neither")
    parser.add_argument("--output", type=Path, required=True, help="the folder to leave the tables in")
    arguments = parser.parse_args()
    if (arguments.scaling is None) != (arguments.crossovers is None):
        parser.error("give --scaling and --crossovers together")
    try:
        found = tables_of(read_measured(arguments.plan, arguments.estimates, arguments.measurements))
        if arguments.scaling is not None:
            found |= cost_tables(read_table(arguments.scaling), read_table(arguments.crossovers))
        leave_tables(found, folder=arguments.output)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
