"""Stored result set -> what in it is not what its records say."""

import tempfile
from pathlib import Path
from typing import NamedTuple

from workflow.planfile import PlanFile, Role, read_plan
from workflow.results import Result
from workflow.verification.crate import date_of, describe
from workflow.verification.differing import differences
from workflow.verification.records import by_this_code, plan_differences, read_records
from workflow.verification.remaking import remake
from workflow.verification.reruns import cheapest, rerun
from workflow.verification.sums import broken, files_of


class Found(NamedTuple):
    """What is wrong, a line each, and what a reader should know about what was compared."""

    differences: list[str]
    notes: list[str]


def verify(experiments: list[str], *, scale: str, results: Path, references: int, reruns: int, jobs: int) -> Found:
    """Returns what is wrong with a result set; OSError or ValueError where a plan is missing or damaged.

    So many `references` and training runs (`reruns`) are done again, those that took the least time.
    """
    plans = {name: read_plan(results / scale / name / "plan.json") for name in experiments}
    wrong, notes = _sealed(results / scale), []
    records: dict[str, Result] = {}
    for name, plan in plans.items():
        found, problems = _recorded(plan, path=results / scale / name / "plan.json", runs=results / "runs")
        records |= found
        wrong += problems.differences
        notes += problems.notes
    if {run.id for plan in plans.values() for run in plan.runs} > records.keys():
        return Found(wrong, [*notes, "nothing was made again, as records are missing or wrong"])
    known = by_this_code(records)
    again = cheapest(_of(plans, known, "reference"), count=references)
    again += cheapest(_of(plans, known, "confirm"), count=reruns)
    with tempfile.TemporaryDirectory() as folder:
        wrong += remade(experiments, scale=scale, results=results, folder=Path(folder) / "results", jobs=jobs)
        for result in again:
            lines, how = rerun(result, runs=results / "runs", folder=Path(folder) / "again")
            wrong += lines
            notes += [how] if how else []
    return Found(wrong, notes)


def remade(experiments: list[str], *, scale: str, results: Path, folder: Path, jobs: int) -> list[str]:
    """Makes the result set again in `folder` and returns where the stored one differs, a line each."""
    failed = remake(experiments, scale=scale, results=results, folder=folder, jobs=jobs)
    return failed or held_against(folder / scale, stored=results / scale, experiments=experiments)


def held_against(made: Path, *, stored: Path, experiments: list[str]) -> list[str]:
    """Describes what was made again as the stored result set is described, and returns where the two differ, a line each."""
    wrong = []
    try:
        describe(made, experiments=experiments, date=date_of(stored), workflow=stored)
    except (OSError, ValueError) as error:
        wrong = [str(error)]
    names = sorted({*files_of(stored, experiments=experiments), *files_of(made, experiments=experiments)})
    told = [differences(stored / name, made / name, name=f"{stored.name}/{name}") for name in names]
    return wrong + [line for lines in told for line in lines]


def _of(plans: dict[str, PlanFile], records: dict[str, Result], role: Role) -> list[Result]:
    """Returns the records of the runs that have a role in one of the plans."""
    named = {run.id for plan in plans.values() for run in plan.runs if run.role == role}
    return [result for id, result in records.items() if id in named]


def _sealed(home: Path) -> list[str]:
    try:
        return [f"{home.name}/{line}" for line in broken(home)]
    except ValueError as error:
        return [str(error)]


def _recorded(plan: PlanFile, *, path: Path, runs: Path) -> tuple[dict[str, Result], Found]:
    records, wrong = read_records(plan, runs=runs)
    lines, why = plan_differences(path, plan=plan)
    notes = [why] if why else []
    others = len(records) - len(by_this_code(records))
    if others:
        notes.append(f"{plan.experiment}: {others} of {len(records)} records were made by other code than this")
    return records, Found(wrong + lines, notes)
