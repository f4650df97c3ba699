"""Contrasts: sums of means over fresh seeds, from the runs themselves, as runs that serve several terms are paired."""

from typing import Any, NamedTuple

import pandas as pd

from workflow.claims.evidence import Evidence, Missing, Tables
from workflow.claims.selection import addressed, selected
from workflow.claims.specs import Claim, Contrast, Preconditions
from workflow.statistics.means import Group, combination
from workflow.statistics.shares import with_label_noise
from workflow.styles import differing
from workflow.table import RATE, at_columns

PREDICTOR = "predictor"
_SHARES = ("accuracy", "scaled_accuracy")
_TELLING = 6  # seeds that are all on one side of a bound by chance in less than 5 % of cases, two-sided


class Term(NamedTuple):
    """Rows of one weight, a share of it each for the several tasks that they are of."""

    weight: int
    rows: pd.DataFrame


def contrast(claim: Claim, tables: Tables) -> Evidence:
    """Returns the evidence of a contrast; `Missing` where a selection is empty or ambiguous, or a precondition fails."""
    estimand = claim.estimand
    assert isinstance(estimand, Contrast)
    trained = tables.trained
    stated = [(1, item) for item in estimand.plus] + [(-1, item) for item in estimand.minus]
    terms = [
        Term(weight, _reference(tables.measurements, estimand, item))
        if PREDICTOR in item
        else Term(weight, _trained(trained, estimand, item))
        for weight, item in stated
    ]
    networks = [term for term in terms if "cell" in term.rows]
    if not networks:
        raise Missing("no network is meant, so there are no seeds to average over")
    rows = pd.concat([term.rows for term in networks])
    caveats = _checked(rows, trained, tables, claim.preconditions)
    groups = [*_groups(networks, trained, estimand), *_fixed(terms)]
    try:
        estimate = combination(groups)
    except ValueError as error:
        raise Missing(str(error)) from None
    seeds = min(group.n for group in groups if group.n)
    if estimand.metric in _SHARES and not estimand.minus and seeds < _TELLING:
        caveats = (*caveats, f"were some seeds to solve it and others to fail, {seeds} could all be of one kind")
    runs = frozenset(run for term in terms for run in term.rows["run"])
    return Evidence(estimate, seeds, "seeds", rows["unit"].iloc[0], runs, caveats)


def _trained(rows: pd.DataFrame, estimand: Contrast, item: dict[str, Any]) -> pd.DataFrame:
    """Returns the rows of one network, a run of which has one row."""
    where = estimand.where | item
    rows = addressed(rows[rows["name"] == estimand.metric], set(where))
    if rows.empty:
        raise Missing(f"no run has measured {estimand.metric}")
    rows = selected(rows, where)
    networks = [column for column in rows.columns if column.startswith("network.")]
    if apart := differing(rows, networks):
        raise Missing(f"several networks are meant: they differ in {', '.join(apart)}, which the claim is to name")
    if rows["run"].duplicated().any():
        apart = differing(rows, at_columns(rows))
        raise Missing(f"several numbers of one run are meant: they differ in {', '.join(apart)}")
    return rows


def _reference(measurements: pd.DataFrame, estimand: Contrast, item: dict[str, Any]) -> pd.DataFrame:
    """Returns what a predictor without a network scores, a row per task."""
    where = {column: value for column, value in (estimand.where | item).items() if column != PREDICTOR}
    rows = measurements[(measurements["role"] == "reference") & (measurements["name"] == estimand.metric)]
    named = {*where, "at.predictor"}
    told = selected(addressed(rows, named), where | {"at.predictor": item[PREDICTOR]})
    return told.drop_duplicates("run")


def _groups(terms: list[Term], trained: pd.DataFrame, estimand: Contrast) -> list[Group]:
    """Returns a group per cell, of what its runs contribute to all terms together."""
    rows = pd.concat([term.rows.assign(weight=term.weight / term.rows["cell"].nunique()) for term in terms])
    rows = rows.assign(part=rows["weight"] * rows["value"])
    runs = rows.groupby(["cell", "run"], sort=True).agg(value=("part", "sum"), terms=("part", "size"))
    groups = []
    for cell, inside in runs.groupby("cell"):
        if inside["terms"].nunique() > 1:
            raise Missing("not every run of one network was tested at every place that is compared")
        group = Group(float(inside["value"].mean()), float(inside["value"].std()), len(inside), 1)
        if estimand.metric in _SHARES and inside["terms"].iloc[0] == 1:
            group = _with_noise(group, rows[rows["cell"] == cell], trained)
        groups.append(group)
    return groups


def _with_noise(group: Group, rows: pd.DataFrame, trained: pd.DataFrame) -> Group:
    """Returns the group, its deviation at least what drawing the labels leaves."""
    at = at_columns(rows)
    counted = trained[trained["name"] == "labels"][["run", *at, "value"]].rename(columns={"value": "labels"})
    labels = rows.merge(counted, on=["run", *at], how="inner")["labels"]
    if labels.empty:
        return group
    share = Group(min(max(float(rows["value"].mean()), 0.0), 1.0), 0.0, group.n, 1)
    noise = with_label_noise(share, labels=int(labels.min())).deviation
    return group._replace(deviation=max(group.deviation, abs(float(rows["weight"].iloc[0])) * noise))


def _fixed(terms: list[Term]) -> list[Group]:
    """Returns a group per task of every predictor, whose score is exact."""
    return [
        Group(float(value), 0.0, 0, term.weight / len(term.rows))
        for term in terms
        if "cell" not in term.rows
        for value in term.rows["value"]
    ]


def _checked(rows: pd.DataFrame, trained: pd.DataFrame, tables: Tables, asked: Preconditions) -> tuple[str, ...]:
    """Returns what should be known of the runs; `Missing` where a precondition fails."""
    runs = rows.drop_duplicates("run")
    seeds = runs.groupby("cell")["run"].size().min()
    if seeds < asked.seeds:
        raise Missing(f"{seeds} seeds of a network, and the claim asks for {asked.seeds}")
    failed = runs[runs["failed"]]
    if len(failed) > asked.failures * len(runs):
        told = ", ".join(sorted(set(failed["status"])))
        raise Missing(f"{len(failed)} of {len(runs)} runs failed ({told})")
    for name, allowed in asked.matched.items():
        _matched(name, allowed, trained[trained["run"].isin(runs["run"])])
    edges = _at_the_edge(runs, tables)
    if edges and asked.interior:
        raise Missing(f"the learning rate chosen is the lowest or highest tried for {', '.join(edges)}")
    told = f"the learning rate chosen is the lowest or highest tried for {', '.join(edges)}" if edges else ""
    lost = f"{len(failed)} of {len(runs)} runs failed, counted as the worst outcome" if len(failed) else ""
    return tuple(caveat for caveat in (told, lost) if caveat)


def _matched(name: str, allowed: float, rows: pd.DataFrame) -> None:
    numbers = rows[(rows["name"] == name) & rows["value"].notna()]
    numbers = addressed(numbers, set())
    if numbers.empty:
        raise Missing(f"{name} was not measured, and the networks are to match in it")
    tasks = [column for column in numbers.columns if column.startswith("task.")]
    for _, alike in numbers.groupby(tasks, dropna=False) if tasks else [(None, numbers)]:
        apart = alike["value"].max() / alike["value"].min() - 1
        if apart > allowed:
            raise Missing(f"the networks differ in {name} by {apart:.1%}, and {allowed:.0%} is allowed")


def _at_the_edge(runs: pd.DataFrame, tables: Tables) -> list[str]:
    """Returns the mixers whose chosen rate is the lowest or highest of several."""
    rates = tables.plan.tuned
    if len(rates) < 2:
        return []
    chosen = runs[RATE].astype("float64")
    return sorted(set(runs.loc[chosen.isin([min(rates), max(rates)]), "network.mixer.name"]))
