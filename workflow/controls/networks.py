"""The controls that are trained like any network, or not trained: chance, a duplicate, a handicapped one."""

import math
from collections.abc import Callable

import pandas as pd

from tasks.task import TextTask
from workflow.controls.evidence import ALARM, Evidence, Row
from workflow.planfile import Control, PlannedControl
from workflow.points import Labels, columns_of
from workflow.statistics.means import Estimate, Group, combination, interval, p_above, p_outside
from workflow.styles import BETTER_LOW, described, words

LOST = 0.05  # a p above does not tell the handicapped entrant from the one that is not
EXPECTED: dict[Control, str] = {
    "chance": f"not trained: no better than one that knows nothing, p at least {ALARM}",
    "duplicate": f"other seeds: ties, p at least {ALARM}",
    "handicapped": f"loses, p at most {LOST}",
}


def of_network(control: Control, planned: PlannedControl | None, evidence: Evidence) -> Row:
    """Returns whether a network scored as it must, or why that is not known."""
    if planned is None:
        return Row(control, "", EXPECTED[control], "", "", reason="the experiment states none")
    task = evidence.task(planned.of[0])
    metric = "loss" if control == "chance" and isinstance(task, TextTask) else task.score
    row = Row(control, "", EXPECTED[control], metric, words(task.name))
    try:
        label, place = _names(planned.of[0], evidence.measurements)
        row = row._replace(of=label, place=place)
        if not planned.runs:
            return row._replace(reason=planned.reason)
        found = evidence.scored(planned.runs, metric, beside=planned.of)
        low, high = interval(combination([found]), level=0.95)
        high = min(high, 1.0) if metric == "accuracy" else high
        return _JUDGED[control](row._replace(value=found.mean, low=max(low, 0.0), high=high), found, planned, evidence)
    except ValueError as error:
        return row._replace(reason=str(error))


def _names(id: str, measurements: pd.DataFrame) -> tuple[str, str]:
    """Returns what the entrant of a run is called in figures, and its task, with what varies beside the mixer.

    ValueError if it has no result.
    """
    entrants = measurements[measurements["role"] == "confirm"].drop_duplicates("run")
    if id not in set(entrants["run"]):
        raise ValueError("the entrant it is made of has no result")
    label = Labels(entrants, series=columns_of(entrants, "network.mixer"), panels=[])
    (mine,) = label.put_on(entrants[entrants["run"] == id]).to_dict("records")
    alike = entrants[entrants["task.name"] == mine["task.name"]]
    mixer = set(columns_of(entrants, "network.mixer"))
    fields = [field for path in ("task", "network") for field in columns_of(entrants, path) if field not in mixer]
    told = described(alike, [field for field in fields if not field.endswith("sha256")])[alike["run"] == id].iloc[0]
    return mine["series"], ", ".join(text for text in (words(mine["task.name"]), told) if text)


def _better(one: Group, other: Group, *, metric: str) -> Estimate:
    """Returns by how much one is better than the other."""
    sign = -1 if metric in BETTER_LOW else 1
    return combination([one._replace(weight=sign), other._replace(weight=-sign)])


def _untrained(row: Row, found: Group, planned: PlannedControl, evidence: Evidence) -> Row:
    task = evidence.task(planned.of[0])
    if isinstance(task, TextTask):
        known = Group(math.log2(task.vocabulary_size), 0.0, 0, 1)
    else:
        known = evidence.forgetful(task, row.metric, beside=planned.runs)
    p = p_above(_better(found, known, metric=row.metric), 0.0)
    return row._replace(against=known.mean, p=p, behaved="yes" if p >= ALARM else "no")


def _duplicate(row: Row, found: Group, planned: PlannedControl, evidence: Evidence) -> Row:
    copied = evidence.scored(planned.of, row.metric, beside=planned.runs)
    p = p_outside(_better(found, copied, metric=row.metric), 0.0, 0.0)
    return row._replace(against=copied.mean, p=p, behaved="yes" if p >= ALARM else "no")


def _handicapped(row: Row, found: Group, planned: PlannedControl, evidence: Evidence) -> Row:
    """Returns whether it lost; where the other learned nothing to lose to, that is not known."""
    whole = evidence.scored(planned.of, row.metric, beside=planned.runs)
    p = p_above(_better(whole, found, metric=row.metric), 0.0)
    row = row._replace(against=whole.mean, p=p)
    if p <= LOST:
        return row._replace(behaved="yes")
    known = evidence.forgetful(evidence.task(planned.of[0]), row.metric, beside=planned.of)
    if p_above(_better(whole, known, metric=row.metric), 0.0) > LOST:
        reason = f"{row.of} itself is not shown to be better than {known.mean:.3g}, which needs no memory"
        return row._replace(reason=reason)
    return row._replace(behaved="no")


_JUDGED: dict[Control, Callable[[Row, Group, PlannedControl, Evidence], Row]] = {
    "chance": _untrained,
    "duplicate": _duplicate,
    "handicapped": _handicapped,
}
