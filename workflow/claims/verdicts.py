"""Claims and their evidence -> verdicts: a row per claim, each family sharing one rate of errors."""

import math
from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from workflow.claims.contrasts import contrast
from workflow.claims.costs import crossing, exponent, largest
from workflow.claims.evidence import Evidence, Missing, Tables
from workflow.claims.files import digests
from workflow.claims.specs import Claim, Contrast, Crossing, Exponent, Largest, Region, Unmeasured
from workflow.claims.told import described, said
from workflow.statistics import means
from workflow.statistics.means import Estimate

LEVEL = 0.05  # of a family
SUPPORTED, REFUTED, INCONCLUSIVE, NOT_EVALUABLE = "supported", "refuted", "inconclusive", "not evaluable"
BEFORE, POST_HOC, UNKNOWN = "before the runs", "post hoc", "unknown"
COLUMNS = (
    *("claim", "family", "statement", "source", "scope", "experiment", "estimand", "region", "unit"),
    *("value", "censored", "low", "high", "level", "p", "p_holm", "n", "counted"),
    *("verdict", "reason", "detectable", "seeds_needed", "registered", "runs", "sentence"),
)

_EVIDENCE: dict[type, Callable[[Claim, Tables], Evidence]] = {
    Contrast: contrast,
    Exponent: exponent,
    Crossing: crossing,
    Largest: largest,
}


class Leaning(NamedTuple):
    """How an estimate stands to a region: the p value of the verdict it leans to, and which that is."""

    p: float
    verdict: str


def verdicts(
    claims: tuple[Claim, ...], tables: dict[str, Tables], *, archive: dict[str, dict[str, str]]
) -> pd.DataFrame:
    """Returns a row per claim, in order: every claim is there, whatever is known of it.

    `tables` by experiment, of those that were run; `archive` has what was claimed when (`files.kept`).
    """
    rows = pd.DataFrame([_row(claim, tables, archive=archive) for claim in claims], columns=COLUMNS)
    for _, family in rows.groupby("family", sort=False):
        rows.loc[family.index, "p_holm"] = means.holm([float(p) for p in family["p"]])
    decided = rows["p_holm"].astype("float64") <= LEVEL
    rows["verdict"] = rows["verdict"].where(decided | (rows["verdict"] == NOT_EVALUABLE), INCONCLUSIVE)
    return rows.assign(sentence=[said(row) for row in rows.to_dict("records")])


def leaning(estimate: Estimate, region: Region) -> Leaning:
    """Returns the test of a claim: of one bound two-sided, of two bounds by TOST for it and two-sided against it."""
    if region.between is not None:
        inside, outside = means.p_within(estimate, *region.between), means.p_outside(estimate, *region.between)
        return Leaning(inside, SUPPORTED) if inside <= outside else Leaning(outside, REFUTED)
    bound = _bound(region)
    holds = means.p_above(estimate, bound) if region.above is not None else means.p_below(estimate, bound)
    if estimate.error == 0:  # an exact number at the bound is not beyond it
        return Leaning(0.0, SUPPORTED if holds == 0 else REFUTED)
    return Leaning(2 * holds, SUPPORTED) if holds <= 0.5 else Leaning(2 * (1 - holds), REFUTED)


def _row(claim: Claim, tables: dict[str, Tables], *, archive: dict[str, dict[str, str]]) -> dict[str, object]:
    row: dict[str, object] = {
        name: getattr(claim, name) for name in ("family", "statement", "source", "scope", "experiment")
    }
    row |= {"claim": claim.id, "estimand": described(claim.estimand), "region": str(claim.claimed)}
    row |= {"p": math.nan, "registered": UNKNOWN}
    try:
        evidence = _evidence(claim, tables)
        row["runs"] = " ".join(sorted(evidence.runs))
        row["registered"] = _registered(claim, tables[claim.experiment].measurements, evidence, archive)
        return row | _judged(evidence, claim.claimed)
    except Missing as missing:
        return row | {"verdict": NOT_EVALUABLE, "reason": str(missing)}


def _evidence(claim: Claim, tables: dict[str, Tables]) -> Evidence:
    """Returns what speaks for or against the claim; `Missing` where something keeps it from being judged."""
    if isinstance(claim.estimand, Unmeasured):
        raise Missing(f"nothing measures it: it takes {claim.estimand.needs}")
    if claim.experiment not in tables:
        raise Missing(f"the experiment {claim.experiment} was not run at this scale")
    found = tables[claim.experiment]
    planned = {run.id for run in found.plan.runs if run.role in ("confirm", "profile", "reference")}
    absent = planned - set(found.measurements["run"])
    if absent:
        raise Missing(f"{len(absent)} of {len(planned)} planned runs have no result")
    if any(run.role == "confirm" for run in found.plan.runs):
        _behaved(found.controls)
    return _EVIDENCE[type(claim.estimand)](claim, found)


def _behaved(controls: pd.DataFrame) -> None:
    """`Missing` where it is not known that controls behaved, or where one did not."""
    if controls.empty:
        raise Missing("whether its controls behaved is not known: `python -m workflow.controls` tells")
    wrong = controls.loc[controls["behaved"] == "no", "control"]
    if len(wrong):
        raise Missing(f"a control did not behave ({', '.join(wrong)}): nothing of this experiment is judged")


def _judged(evidence: Evidence, region: Region) -> dict[str, object]:
    """Returns the row's numbers and the verdict it leans to, before the family is looked at."""
    shown = _logarithm(region) if evidence.logarithmic else region
    try:
        test = _censored(evidence, shown) if evidence.censored else leaning(evidence.estimate, shown)
        numbers = _numbers(evidence, shown) if evidence.estimate.error > 0 else {"value": evidence.estimate.value}
    except ValueError as error:
        raise Missing(str(error)) from None
    if evidence.logarithmic:
        numbers |= {name: 2.0 ** numbers[name] for name in ("value", "low", "high") if name in numbers}
    said = {"n": evidence.n, "counted": evidence.counted, "unit": evidence.unit, "censored": evidence.censored}
    return numbers | said | {"p": test.p, "verdict": test.verdict, "reason": "; ".join(evidence.caveats)}


def _numbers(evidence: Evidence, region: Region) -> dict[str, object]:
    """Returns an estimate that has an error with its interval and, but of a logarithm, what could have been told."""
    estimate, level = evidence.estimate, 0.9 if region.between is not None else 0.95
    low, high = means.interval(estimate, level=level)
    numbers: dict[str, object] = {"value": estimate.value, "low": low, "high": high, "level": level}
    if evidence.logarithmic:
        return numbers
    numbers["detectable"] = means.detectable(estimate)
    away = min(abs(estimate.value - bound) for bound in _bounds(region))
    if evidence.counted == "seeds" and away > 0:
        numbers["seeds_needed"] = means.seeds_needed(estimate, difference=away, n=evidence.n)
    return numbers


def _censored(evidence: Evidence, region: Region) -> Leaning:
    """Returns what a number that is at least, or at most, the value says; `Missing` where it leaves both open."""
    value, least = evidence.estimate.value, evidence.censored == "at least"
    bounds = _bounds(region)
    if least and value >= max(bounds):
        return Leaning(0.0, SUPPORTED if region.above is not None else REFUTED)
    if not least and value <= min(bounds):
        return Leaning(0.0, SUPPORTED if region.below is not None else REFUTED)
    raise Missing(f"it is {evidence.censored} {2**value:.0f}, and nothing was measured beyond")


def _registered(
    claim: Claim, measurements: pd.DataFrame, evidence: Evidence, archive: dict[str, dict[str, str]]
) -> str:
    """Returns whether the claim was made, as it is, before every run that it is judged by."""
    runs = measurements[measurements["run"].isin(evidence.runs)]
    column = "provenance.claims"
    stated = set(runs[column].fillna("")) if column in runs else {""}
    if not stated <= set(archive):
        return UNKNOWN
    now = digests((claim,))[claim.id]
    return BEFORE if all(archive[digest].get(claim.id) == now for digest in stated) else POST_HOC


def _bound(region: Region) -> float:
    bound = region.above if region.above is not None else region.below
    assert bound is not None
    return bound


def _bounds(region: Region) -> tuple[float, ...]:
    return region.between or (_bound(region),)


def _logarithm(region: Region) -> Region:
    stated = region.model_dump(exclude_none=True)
    told = {
        name: tuple(math.log2(bound) for bound in value) if name == "between" else math.log2(value)
        for name, value in stated.items()
    }
    return Region.model_validate(told)
