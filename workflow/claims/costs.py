"""What profiling runs tell of claims: exponents, crossings, and the largest of what was measured once."""

import math
from typing import Any

import numpy as np
import pandas as pd
import scipy

from workflow.claims.evidence import Evidence, Missing, Tables
from workflow.claims.selection import selected
from workflow.claims.specs import Claim, Crossing, Exponent, Largest
from workflow.estimates import COUNTED
from workflow.scaling.laws import BENT, NOT_EVALUABLE
from workflow.statistics.means import Estimate

_PREFIX = {"whole": "", "last": "last_", "beyond": "beyond_"}
_PARAMETERS = {"whole": 2, "last": 2, "beyond": 3}  # of what is fitted


def exponent(claim: Claim, tables: Tables) -> Evidence:
    """Returns the evidence of an exponent; `Missing` where the law of that line could not be told."""
    estimand = claim.estimand
    assert isinstance(estimand, Exponent)
    runs = _profiled(tables, estimand.where)
    law = _only(selected(tables.scaling, {"name": estimand.cost} | estimand.where), "lines")
    if law["verdict"] == NOT_EVALUABLE:
        raise Missing(str(law["reason"]))
    lengths = int(law["lengths"])
    if law["interval"] == COUNTED:
        if law["verdict"] == BENT:
            raise Missing(str(law["reason"]))
        return Evidence(Estimate(float(law["exponent"]), 0.0, math.inf), lengths, "lengths", "1", runs)
    if law["verdict"] == BENT and estimand.part == "whole":
        raise Missing(f"no power law: {law['reason']}")
    prefix = _PREFIX[estimand.part]
    value, low, high = (float(law[f"{prefix}{name}"]) for name in ("exponent", "low", "high"))
    if math.isnan(low):
        raise Missing("no exponent is told from so few lengths, or no floor from none")
    if estimand.part == "last":
        lengths = _lengths_from(tables, estimand, float(law["last_from"]))
    else:
        lengths -= int(law["set_aside"])
    freedom = lengths - _PARAMETERS[estimand.part]
    error = (high - low) / 2 / float(scipy.stats.t.isf(0.025, freedom))
    return Evidence(Estimate(value, error, freedom), lengths, "lengths", "1", runs)


def crossing(claim: Claim, tables: Tables) -> Evidence:
    """Returns the evidence of where one line begins to cost less than another, as a base-2 logarithm."""
    estimand = claim.estimand
    assert isinstance(estimand, Crossing)
    runs = _profiled(tables, estimand.where | estimand.of) | _profiled(tables, estimand.where | estimand.against)
    pairs, of = _pair(tables.crossovers, estimand)
    crossed = pairs[pairs["crossing"].notna()]
    counted = {"n": int(pairs["fewest_samples"].fillna(1).min()), "counted": "samples at a length", "unit": "token"}
    if crossed.empty:
        leader, first = pairs["less_before"].iloc[0], pairs.iloc[0]
        if leader not in (first["line"], first["other"]):
            raise Missing("what the two cost is not told apart")
        ahead = leader == of
        edge = float(first["first"] if ahead else first["longest"])
        known = Estimate(math.log2(edge), 0.0, math.inf)
        return Evidence(known, runs=runs, logarithmic=True, censored="at most" if ahead else "at least", **counted)
    last = crossed.sort_values("crossing").iloc[-1]
    if last["less_after"] != of:
        raise Missing(f"from {last['crossing']:.0f} tokens on {last['less_after']} costs less, not {of}")
    if len(crossed) > 1:
        raise Missing(f"the lines cross {len(crossed)} times")
    spread = (math.log2(last["high"]) - math.log2(last["low"])) / 2 / float(scipy.stats.norm.isf(0.025))
    known = Estimate(math.log2(last["crossing"]), spread, math.inf)
    return Evidence(known, runs=runs, logarithmic=True, **counted)


def largest(claim: Claim, tables: Tables) -> Evidence:
    """Returns the evidence of the largest of the numbers of a name."""
    estimand = claim.estimand
    assert isinstance(estimand, Largest)
    runs = _profiled(tables, estimand.where)
    measured = tables.measurements[tables.measurements["name"] == estimand.metric]
    if measured.empty:
        raise Missing(f"no run has measured {estimand.metric}")
    rows = selected(measured, estimand.where)
    known = Estimate(float(rows["value"].max()), 0.0, math.inf)
    return Evidence(known, len(rows), "numbers", rows["unit"].iloc[0], runs, ("each was measured once",))


def _profiled(tables: Tables, where: dict[str, Any]) -> frozenset[str]:
    """Returns the runs of a line; `Missing` where there are none."""
    profiled = tables.measurements[tables.measurements["role"] == "profile"].drop_duplicates("run")
    return frozenset(selected(profiled, where)["run"])


def _only(rows: pd.DataFrame, what: str) -> pd.Series:
    if len(rows) > 1:
        networks = [column for column in rows.columns if column.startswith("network.")]
        apart = [column for column in networks if rows[column].nunique(dropna=False) > 1]
        raise Missing(f"several {what} are meant: they differ in {', '.join(apart)}, which the claim is to name")
    return rows.iloc[0]


def _lengths_from(tables: Tables, estimand: Exponent, shortest: float) -> int:
    """Returns at how many lengths from `shortest` on the line finished."""
    rows = selected(tables.measurements[tables.measurements["name"] == estimand.cost], estimand.where)
    return int(np.count_nonzero(rows["length"].unique() >= shortest))


def _pair(crossovers: pd.DataFrame, estimand: Crossing) -> tuple[pd.DataFrame, str]:
    """Returns the rows of the two lines, whichever is named first, and what the line of `of` is called."""
    rows = crossovers[crossovers["name"] == estimand.cost]
    found = []
    for of, against in (("line", "other"), ("other", "line")):
        where = estimand.where | _of(estimand.of, of) | _of(estimand.against, against)
        try:
            found.append((selected(rows, where), of))
        except Missing:
            continue
    if not found:
        raise Missing("the two lines were not measured at two lengths both")
    pairs, side = found[0]
    if pairs[["line", "other"]].drop_duplicates().shape[0] > 1 or len(found) > 1:
        raise Missing("several pairs of lines are meant: the claim is to name more of their networks' fields")
    return pairs, str(pairs[side].iloc[0])


def _of(where: dict[str, Any], side: str) -> dict[str, Any]:
    return {f"{side}.{column}": value for column, value in where.items()}
