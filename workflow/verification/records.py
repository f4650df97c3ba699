"""Are the records those of the planned runs, and made by this code?"""

import tempfile
from pathlib import Path

from pydantic import ValidationError

from workflow.identity import run_id
from workflow.planfile import PlanFile, read_plan
from workflow.plans import plan as plan_now
from workflow.plans import write_plan
from workflow.results import Result, read_result
from workflow.runs import RunFile
from workflow.verification.differing import differences


def read_records(plan: PlanFile, *, runs: Path) -> tuple[dict[str, Result], list[str]]:
    """Returns the results of the planned runs by name, and a line for each that is missing, damaged or of another run."""
    found: dict[str, Result] = {}
    wrong: list[str] = []
    for planned in plan.runs:
        told = f"runs/{planned.id}"
        try:
            result = read_result(runs / planned.id / "result.json")
            run = RunFile.model_validate_json((runs / planned.id / "run.json").read_text(encoding="utf-8")).run
        except FileNotFoundError as error:
            wrong.append(f"{told}: {Path(error.filename).name} is missing")
            continue
        except (UnicodeDecodeError, ValidationError) as error:
            wrong.append(f"{told}: damaged: {' '.join(str(error).split())[:160]}")
            continue
        if result.id != planned.id:
            wrong.append(f"{told}/result.json, id: stored {result.id}, planned {planned.id}")
        elif result.run != run:
            wrong.append(f"{told}: the run of result.json is not the run of run.json")
        else:
            found[planned.id] = result
    return found, wrong


def by_this_code(records: dict[str, Result]) -> dict[str, Result]:
    """Returns the records that this code would give the same name; the others were made by other code."""
    return {id: result for id, result in records.items() if run_id(result.run) == id}


def plan_differences(path: Path, *, plan: PlanFile) -> tuple[list[str], str]:
    """Returns where a plan is not what its experiment file says, and why that cannot be told where it cannot."""
    name = f"{plan.scale}/{plan.experiment}/plan.json"
    try:
        now = plan_now(plan.experiment, scale=plan.scale)
    except ValueError as error:
        return [], f"{name} was not made again: {error}"
    if {run.id for run in now.runs} != {run.id for run in plan.runs}:
        return [], f"{name} was made by other code or another experiment file than this one's, and not made again"
    with tempfile.TemporaryDirectory() as folder:
        write_plan(now, results=Path(folder))
        made = Path(folder) / plan.scale / plan.experiment / "plan.json"
        read_plan(made)
        return differences(path, made, name=name), ""
