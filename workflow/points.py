"""Estimates -> the points of one figure: what its lines, its table and the sentences about it are made of."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from workflow.confirmations import FLOORS, NOT_POINTS, SCORES
from workflow.measured import Measured
from workflow.planfile import Figure, PlanFile
from workflow.styles import BETTER_LOW, Look, Quantity, described, differing, looks, quantity, words
from workflow.table import at_columns, field_columns

_MIXER = "network.mixer"
_TASK = "task"
_MANY = 8


class Points(NamedTuple):
    """All of a figure's numbers, by `panel` and `series`, as labels, and `x`.

    `estimates`: with value, low, high, interval, n, failed, status, deviation. `seeds`: with value and failed.
    `failures`: with status, where a profiling run did not finish. `references`: with predictor and value.
    `trained`: by panel, the lengths trained on, low and high. `statuses`: how the runs ended, and how many.
    """

    estimates: pd.DataFrame
    seeds: pd.DataFrame
    failures: pd.DataFrame
    references: pd.DataFrame
    trained: pd.DataFrame
    panels: list[str]
    looks: dict[str, Look]
    statuses: dict[str, int]
    x: Quantity
    y: Quantity
    named: bool  # x is a name, not a number
    by_line: bool  # x is the line's own name
    better_low: bool  # less of y is better
    compared: str  # what the lines are: mixers, or architectures

    @property
    def crowded(self) -> bool:
        """Whether there are so many places on the x axis that intervals are drawn as bands."""
        return not self.named and self.estimates.groupby("panel")["x"].nunique().max() > _MANY


def points(figure: Figure, measured: Measured) -> Points:
    """Returns the points of a figure; ValueError, with the remedy, if the figure asks for what was not measured.

    They are found once, and stay with what was measured: a figure, its table, its numbers and the answer are made of them.
    """
    asked = figure.model_dump_json()
    if asked not in measured.points:
        measured.points[asked] = _found(figure, measured)
    return measured.points[asked]


def _found(figure: Figure, measured: Measured) -> Points:
    estimates, where = measured.estimates, dict(_leaves(figure.where))
    shown = _where(estimates[estimates["role"].isin(["confirm", "profile"])], where)
    rows = _addressed(shown[shown["name"] == figure.y], figure, where)
    if rows.empty:
        told = f" where {where}" if where else ""
        raise ValueError(
            f"no run has measured {figure.y} over {figure.x}{told}: correct the figure, or see why its runs failed"
        )
    series, panels = _series_fields(figure, measured.plan, shown, where), columns_of(shown, figure.panels)
    failing = shown[(shown["role"] == "profile") & shown["name"].isna()]
    label = Labels(pd.concat([rows, failing]), series=series, panels=panels)
    rows = label.put_on(_with_x(rows, figure, among=shown, keys=field_columns(estimates)))
    seeds = _where(measured.trained, where)
    chosen = _addressed(seeds[seeds["name"] == figure.y], figure, where)
    chosen = label.put_on(_with_x(chosen, figure, among=seeds, keys=["run"]))
    failing = label.put_on(failing).assign(x=failing[figure.x] if figure.x in failing else float("nan"))
    named = rows["x"].dtype.kind not in "iuf"
    if figure.x == _MIXER:
        rows, chosen = rows.assign(x=rows["series"]), chosen.assign(x=chosen["series"])
        failing, named = failing.assign(x=failing["series"]), True
    if figure.x == _TASK:
        name_of = _task_names(measured.runs[measured.runs["role"] == "confirm"])  # in the order of the plan
        rows, chosen, failing = (
            part.assign(x=key(part, columns_of(part, _TASK)).map(name_of)) for part in (rows, chosen, failing)
        )
    _refuse_ambiguous(rows)
    profiled = rows[rows["role"] == "profile"].drop_duplicates(field_columns(estimates))  # a run may have many rows
    units = {name: unit for name, unit in zip(shown["name"], shown["unit"], strict=True) if isinstance(name, str)}
    split = rows["at.split"].iloc[0] if "at.split" in rows and rows["at.split"].nunique() == 1 else None
    if figure.panels and figure.panels.startswith("at."):
        order = list(dict.fromkeys(rows.sort_values(figure.panels, kind="stable")["panel"]))
    else:
        order = panel_order(measured.runs, label, roles=("confirm", "profile"))
    places = {x: place for place, x in enumerate(name_of.values())} if figure.x == _TASK else None
    return Points(
        estimates=_ranked(rows, order, label.looks, places),
        seeds=_ranked(chosen, order, label.looks, places),
        failures=failing[["panel", "series", "x", "status"]].sort_values(["panel", "series", "x"], ignore_index=True),
        references=_references(estimates, rows, y=figure.y),
        trained=_trained(rows) if figure.x == "at.length" else pd.DataFrame(columns=["panel", "low", "high"]),
        panels=[panel for panel in order if panel in set(rows["panel"]) | set(failing["panel"])],
        looks=label.looks,
        statuses=_statuses(chosen.drop_duplicates("run"), profiled, failing),
        x=quantity(figure.x, unit="" if named else units.get(figure.x, ""), values=[] if named else rows["x"]),
        y=quantity(
            figure.y, unit=units[figure.y], values=rows["value"], split=split if isinstance(split, str) else None
        ),
        named=named,
        by_line=figure.x == _MIXER,
        better_low=figure.y in BETTER_LOW,
        compared=compared(rows),
    )


class Labels:
    """Names the line and the panel of a row by the fields that differ among all of them."""

    def __init__(self, rows: pd.DataFrame, *, series: Sequence[str], panels: Sequence[str]):
        self._series, self._panels = series, panels
        lines = rows.assign(key=key(rows, series)).drop_duplicates("key")
        found = looks(lines, series).reindex(lines.index)
        order = {look.label: look for look in looks(lines, series)}
        self.looks: dict[str, Look] = order
        self._line_of = dict(zip(lines["key"], [look.label for look in found], strict=True))
        places = rows.assign(key=key(rows, panels)).drop_duplicates("key")
        said = described(places, panels)
        if "task.name" in panels:
            tasks = columns_of(places, _TASK)
            other = described(places, [field for field in panels if field not in tasks])
            said = [
                f"{name}, {rest}" if rest else name
                for name, rest in zip(key(places, tasks).map(_task_names(rows)), other, strict=True)
            ]
        self._panel_of = dict(zip(places["key"], said, strict=True))

    def put_on(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Returns the rows with `series` and `panel`."""
        line, panel = key(rows, self._series).map(self._line_of), key(rows, self._panels).map(self._panel_of)
        return rows.assign(series=line, panel=panel)


def key(rows: pd.DataFrame, fields: Sequence[str]) -> pd.Series:
    """Returns the fields of each row in one text: equal texts, equal fields, whatever types their columns have."""
    told = [""]  # what the distinct rows say, as far as their fields were seen
    place = np.zeros(len(rows), dtype="int64")  # of each row among these
    for field in fields:
        cells, texts = _cells(rows[field])
        place, pairs = pd.factorize(place * len(texts) + cells)
        told = [f"{told[pair // len(texts)]}\t{texts[pair % len(texts)]}" for pair in pairs]
    return pd.Series(told, dtype="str").take(place).set_axis(rows.index)


def _cells(column: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Returns the place of each cell among the distinct ones, and the texts of these."""
    known = column.astype("str") if column.dtype.kind == "O" else column  # there, 1 and True are the same
    cells, distinct = pd.factorize(known, use_na_sentinel=False)
    text = float if known.dtype.kind in "iuf" else str
    return cells, ["" if pd.isna(value) else str(text(value)) for value in distinct.tolist()]


def _task_names(rows: pd.DataFrame) -> dict[str, str]:
    """Returns what tasks are called, by their fields: the name and, where several have it, the fields in which those differ."""
    fields = columns_of(rows, _TASK)
    told = [field for field in fields if field != "task.name" and not field.endswith("sha256")]
    tasks = rows.assign(key=key(rows, fields)).drop_duplicates("key")
    named: dict[str, str] = {}
    for name, alike in tasks.groupby("task.name", sort=False):
        rest = described(alike, told)
        for place, said in zip(alike["key"], rest, strict=True):
            named[place] = ", ".join(part for part in (words(str(name)), said) if part)
    return named


def _series_fields(figure: Figure, plan: PlanFile, rows: pd.DataFrame, where: dict[str, Any]) -> list[str]:
    """Returns the fields that tell lines apart: the mixer's, and what else varies and x and the panel leave open."""
    placed = [column for path in (figure.x, figure.panels) if path != _MIXER for column in columns_of(rows, path)]
    varied = [column for path in plan.varied for column in columns_of(rows, path)]
    groups = rows.groupby(placed or np.zeros(len(rows)), dropna=False)
    undecided = [column for column in varied if (groups[column].nunique(dropna=False) > 1).any()]
    kept = dict.fromkeys([*columns_of(rows, _MIXER), *undecided])
    return [column for column in kept if column not in placed and column not in where]


def compared(rows: pd.DataFrame) -> str:
    """Returns what is compared: mixers in the shared block, architectures in blocks of their own."""
    return "architecture" if (rows["network.block"] == "native").all() else "mixer"


def columns_of(rows: pd.DataFrame, path: str | None) -> list[str]:
    """Returns the columns of a field: itself, or its parts where it is a mapping."""
    return [column for column in rows.columns if path and (column == path or column.startswith(f"{path}."))]


def _where(rows: pd.DataFrame, where: dict[str, Any]) -> pd.DataFrame:
    for column, value in where.items():
        if column not in rows.columns:
            raise ValueError(f"a figure's where names {column}, which no run has")
        rows = rows[rows[column] == value]
    return rows


def _leaves(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    nested = [(f"{prefix}{name}", value) for name, value in tree.items()]
    return list(
        itertools.chain.from_iterable(_leaves(v, f"{n}.") if isinstance(v, dict) else [(n, v)] for n, v in nested)
    )


def _addressed(rows: pd.DataFrame, figure: Figure, where: dict[str, Any]) -> pd.DataFrame:
    """Returns the rows at the one address meant: with x and panels given, on the test split, nothing else stated."""
    placed = [column for column in (figure.x, figure.panels) if column in at_columns(rows)]
    rows = rows[rows[placed].notna().all(axis=1)]
    for column in at_columns(rows):
        if column in placed or column in where or column == "at.split":
            continue
        if rows[column].isna().any() or rows.empty:
            rows = rows[rows[column].isna()]
        elif column == "at.length" and not (placed and (rows.groupby(placed)[column].nunique() <= 1).all()):
            rows = _at_own_length(rows)  # unless it varies together with what is placed
    for split in ("test", "validation"):
        if "at.split" in rows and "at.split" not in where and (rows["at.split"] == split).any():
            return rows[rows["at.split"] == split]
    return rows


def own_length(rows: pd.DataFrame) -> pd.Series:
    """Returns the length, in tokens, that each row's run was trained on or measured at; missing where none is told."""
    lengths = [
        rows[name].astype("float64")
        for name in ("task.length", "task.maximum_length", "length")
        if name in rows.columns
    ]
    return pd.concat(lengths, axis=1).bfill(axis=1).iloc[:, 0] if lengths else pd.Series(float("nan"), index=rows.index)


def _at_own_length(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["at.length"] == own_length(rows)]


def _with_x(rows: pd.DataFrame, figure: Figure, *, among: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Returns the rows with `x`: a field, an address or, joined on `keys`, another measurement of the same run."""
    if figure.x in (_MIXER, _TASK):
        return rows.assign(x="")
    if figure.x in rows.columns:
        return rows.assign(x=rows[figure.x])
    other = among[among["name"] == figure.x]
    if len(among) and other.empty:
        raise ValueError(f"a figure's x is {figure.x}, which is neither a field, nor an address, nor a measurement")
    other = _at_own_length(other) if other.get("at.length", pd.Series()).notna().any() else other
    shared = [name for name in keys if name in rows.columns]
    return rows.merge(other[[*shared, "value"]].rename(columns={"value": "x"}), on=shared, how="inner")


def _refuse_ambiguous(rows: pd.DataFrame) -> None:
    twice = rows[rows.duplicated(["panel", "series", "x"], keep=False)]
    if len(twice):
        first = twice[key(twice, ["panel", "series", "x"]) == key(twice, ["panel", "series", "x"]).iloc[0]]
        apart = differing(first, [*field_columns(first), *at_columns(first)])
        named = ", ".join(field for field in apart if field not in ("panel", "series", "x"))
        raise ValueError(
            f"a figure has several values in one place; they differ in {named}: name that in panels or where"
        )


def panel_order(runs: pd.DataFrame, label: Labels, *, roles: Sequence[str]) -> list[str]:
    """Returns the panels in the order of the plan, which a row per run has."""
    return list(dict.fromkeys(label.put_on(runs[runs["role"].isin(roles)])["panel"].dropna()))


def _ranked(
    rows: pd.DataFrame, panels: list[str], by_label: dict[str, Look], places: dict[str, int] | None
) -> pd.DataFrame:
    """Returns the rows by panel, line and x, or the place of its name, in the order in which they are drawn and tabulated."""
    panel = {name: place for place, name in enumerate(panels)}
    line = {name: place for place, name in enumerate(by_label)}
    x = rows["x"] if places is None else rows["x"].map(places)
    rows = rows.assign(_panel=rows["panel"].map(panel), _line=rows["series"].map(line), _x=x)
    ties = [column for column in ("run",) if column in rows.columns]
    rows = rows.sort_values(["_panel", "_line", "_x", *ties], kind="stable", ignore_index=True)
    return rows.drop(columns=["_panel", "_line", "_x"])


def _statuses(*parts: pd.DataFrame) -> dict[str, int]:
    counted = pd.concat([part["status"] for part in parts]).value_counts()
    return {str(status): int(counted[status]) for status in sorted(counted.index)}


def _references(estimates: pd.DataFrame, rows: pd.DataFrame, *, y: str) -> pd.DataFrame:
    """Returns what the reference predictors score, at every panel and x."""
    scaled = y == "scaled_accuracy"
    named = estimates["name"] == ("accuracy" if scaled else y)
    references = estimates[(estimates["role"] == "reference") & named]
    if y not in SCORES or references.empty:
        return pd.DataFrame(columns=["panel", "x", "predictor", "value"])
    place = [field for field in field_columns(estimates) if field.startswith("task.")]
    place += [column for column in at_columns(estimates) if column not in NOT_POINTS]
    scores = references.rename(columns={"at.predictor": "predictor"})[[*place, "predictor", "value"]]
    if scaled:  # as `confirmations` scales what is trained
        floors = scores[scores["predictor"].isin(FLOORS)].drop(columns="predictor").rename(columns={"value": "floor"})
        scores = scores.merge(floors, on=place)
        scores["value"] = (scores["value"] - scores["floor"]) / (1 - scores["floor"])
    found = rows[[*place, "panel", "x"]].drop_duplicates().merge(scores, on=place)
    return found.drop_duplicates(["panel", "x", "predictor"])[["panel", "x", "predictor", "value"]]


def yardsticks(references: pd.DataFrame, *, lower_is_better: bool) -> dict[str, pd.Series]:
    """Returns, by x, what the best constant answer scores and what the best of the other shortcuts does."""
    constant = references["predictor"].isin(FLOORS)
    shortcuts = references[~constant & (references["predictor"] != "oracle")].groupby("x", sort=False)["value"]
    return {
        "best constant": references[constant].groupby("x", sort=False)["value"].first(),
        "best shortcut": shortcuts.min() if lower_is_better else shortcuts.max(),
    }


def _trained(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the shortest and longest training example of each panel's task, where the task states both."""
    if not {"task.minimum_length", "task.maximum_length"} <= set(rows.columns):
        return pd.DataFrame(columns=["panel", "low", "high"])
    renamed = rows.rename(columns={"task.minimum_length": "low", "task.maximum_length": "high"})
    return renamed[["panel", "low", "high"]].dropna().drop_duplicates()
