"""Laws -> one table: a row per number of every line's law, or a reason why it is none.

Columns: `experiment`, `scale`, `line`; `law` (parametric or isoflop), `parameter`, `compute` (of a budget, FLOP), `unit`;
`value`, `low`, `high`, `interval`, what they are; `n`, the runs behind it; `starts`, `share` of them that reached the best
basin, and `gradient`, the largest component of the summed loss's there; `verdict` (identified or not identified), `reason`;
`runs`, the names of those behind it.

Of a parametric law: E, A, B, alpha, beta, a = beta / (alpha + beta), `holdout` (relative error at the largest compute of a fit
to the rest), `residual` (root mean square of log L about the law) and `spread` (deviation of log L between seeds). Of an
isoflop one: by budget `size` and `loss` at the vertex, and over the budgets `size_exponent`, `size_coefficient` (k of
N = k C^a) and `loss_exponent`.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from workflow.laws.isoflop import DRAWN, FIELLER, Optimum, Profile, isoflop
from workflow.laws.parametric import NAMES, RESAMPLED, Law, parametric
from workflow.laws.runs import Number, unknown
from workflow.laws.trained import Line

PARAMETRIC, ISOFLOP = "parametric", "isoflop"
IDENTIFIED, NOT_IDENTIFIED = "identified", "not identified"
LOSS, ONE, RELATIVE = "bit/byte", "1", "relative"
ONCE = "none"

_UNITS = {"E": LOSS, "A": LOSS, "B": LOSS}
_COLUMNS = (
    *("experiment", "scale", "line", "law", "parameter", "compute", "unit", "value", "low", "high", "interval", "n"),
    *("starts", "share", "gradient", "verdict", "reason", "runs"),
)
_MISFIT = 0.05


class Found(NamedTuple):
    """A line with its two laws."""

    line: Line
    law: Law
    optimum: Optimum


def found(line: Line, *, seed: int) -> Found:
    """Returns the laws of a line; a failed run leaves none, as the law of the others would be that of a choice."""
    parametric_rng, isoflop_rng = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    law, optimum = parametric(line.runs, rng=parametric_rng), isoflop(line.runs, rng=isoflop_rng)
    if not line.failed:
        return Found(line, law, optimum)
    of = len(line.runs.loss) + line.failed
    gone = unknown(f"{line.failed} of {of} runs did not finish, and a law of the rest would be that of a choice")
    profiles = [one._replace(size=gone, loss=gone) for one in optimum.profiles]
    law = Law(dict.fromkeys(NAMES, gone), gone, np.nan, None)
    return Found(line, law, optimum._replace(profiles=profiles, size=gone, loss=gone, coefficient=np.nan))


def table(laws: list[Found]) -> pd.DataFrame:
    """Returns a row per number of every line."""
    rows = [row for each in laws for row in (*_parametric_rows(each), *_isoflop_rows(each))]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _parametric_rows(each: Found) -> list[dict[str, Any]]:
    fit, runs = each.law.fit, each.line.runs
    how = {} if fit is None else {"starts": fit.starts, "share": fit.share, "gradient": fit.gradient}
    first = _first(each.line, PARAMETRIC, n=len(runs.loss)) | how
    rows = [
        first | _row(name, each.law.numbers[name], unit=_UNITS.get(name, ONE), interval=RESAMPLED) for name in NAMES
    ]
    rows.append(first | _row("holdout", each.law.holdout, unit=RELATIVE, interval=RESAMPLED))
    residual = "nothing was fitted" if np.isnan(each.law.residual) else ""
    spread = "no two runs differ in the seed only" if np.isnan(runs.spread) else ""
    for name, value, reason in (("residual", each.law.residual, residual), ("spread", runs.spread, spread)):
        rows.append(first | _row(name, Number(value, np.nan, np.nan, reason), unit=RELATIVE, interval=ONCE))
    return rows


def _isoflop_rows(each: Found) -> list[dict[str, Any]]:
    first, optimum = _first(each.line, ISOFLOP, n=len(each.line.runs.loss)), each.optimum
    budgets = [np.flatnonzero(each.line.runs.budget == place) for place in range(len(optimum.profiles))]
    rows = [
        first | row | _named(each.line, inside)
        for one, inside in zip(optimum.profiles, budgets, strict=True)
        for row in _profile_rows(one)
    ]
    coefficient = Number(10**optimum.coefficient, np.nan, np.nan, optimum.size.reason)
    return [
        *rows,
        first | _row("size_exponent", optimum.size, unit=ONE, interval=DRAWN),
        first | _row("size_coefficient", coefficient, unit=ONE, interval=ONCE),
        first | _row("loss_exponent", optimum.loss, unit=ONE, interval=DRAWN),
    ]


def _profile_rows(one: Profile) -> list[dict[str, Any]]:
    """Returns the rows of a budget; where a parabola does not fit the sizes' means, its vertex says so."""
    at = {"compute": one.compute, "n": one.runs}
    rows = [
        at | _row("size", one.size, unit=ONE, interval=FIELLER),
        at | _row("loss", one.loss, unit=LOSS, interval=DRAWN),
    ]
    if not one.size.reason and one.misfit < _MISFIT:
        told = f"the sizes' means are no parabola (p = {one.misfit:.2g})"
        rows = [row | {"reason": told} for row in rows]
    return rows


def _first(line: Line, law: str, *, n: int) -> dict[str, Any]:
    told = {"experiment": line.experiment, "scale": line.scale, "line": line.look.label, "law": law, "n": n}
    return told | _named(line, range(len(line.names)))


def _named(line: Line, inside: Iterable[int]) -> dict[str, str]:
    return {"runs": " ".join(sorted(line.names[place] for place in inside))}


def _row(parameter: str, number: Number, *, unit: str, interval: str) -> dict[str, Any]:
    verdict = NOT_IDENTIFIED if number.reason else IDENTIFIED
    return {"parameter": parameter, "unit": unit, "interval": interval, "verdict": verdict} | number._asdict()
