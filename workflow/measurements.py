"""Results -> measurements: one tidy table, a row per number.

    python -m workflow.measurements results/quick/recall/plan.json --runs results/runs --output measurements.csv

Columns: `experiment`, `scale`, `role`, `run` (its id), `kind`, `status`, `detail`; the run's own fields by dotted name
(`task.pairs`, `network.mixer.name`, `seed`, ...), with `optimizer.learning_rate` the resolved number and
`optimizer.learning_rate.best_of` the tuning runs it was chosen from; the number's address
(`at.split`, `at.length`, ...); `name`, `value`, `unit`; and where it was made (`provenance.commit`, ...). A run that
left no number, as one that ran out of memory, still has a row, with an empty name.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from workflow.planfile import PlanFile, PlannedRun, read_plan
from workflow.resultfile import Measurement, ResultFile, read_result_file
from workflow.table import FIXED, NUMBER, RATE, write_table


def measurements(plan: PlanFile, *, runs: Path) -> pd.DataFrame:
    """Returns every number of every planned run; ValueError naming each run whose result is missing or damaged."""
    of_runs: list[dict[str, Any]] = []
    numbers: list[list[dict[str, Any]]] = []
    made: list[dict[str, Any]] = []
    problems: list[str] = []
    for planned in plan.runs:
        try:
            result = _result_of(planned, runs=runs)
        except ValueError as error:
            problems.append(str(error))
            continue
        of_runs.append({"experiment": plan.experiment, "scale": plan.scale, "role": planned.role} | _fields(result))
        numbers.append([_number(measurement) for measurement in result.measurements] or [dict.fromkeys(NUMBER)])
        made.append({f"provenance.{name}": value for name, value in result.provenance.items()})
    if problems:
        listed = "\n  ".join(problems)
        raise ValueError(
            f"{len(problems)} of the {len(plan.runs)} planned runs of {plan.experiment} have no result:\n  {listed}"
        )
    table = pd.DataFrame([number for of_run in numbers for number in of_run])
    table = table[[*sorted(set(table.columns) - set(NUMBER)), *NUMBER]]
    fields = pd.DataFrame(of_runs)
    fields = fields[[*FIXED, *(column for column in fields.columns if column not in FIXED)]]
    run = np.repeat(np.arange(len(numbers)), [len(of_run) for of_run in numbers])
    parts = [fields.iloc[run], table, pd.DataFrame(made).iloc[run]]
    return pd.concat([part.reset_index(drop=True) for part in parts], axis=1)


def present(plan: PlanFile, *, runs: Path) -> PlanFile:
    """Returns the plan of those runs that have a result; ValueError if none has one."""
    there = tuple(planned for planned in plan.runs if (runs / planned.id / "result.json").exists())
    if not there:
        raise ValueError(f"none of the {len(plan.runs)} planned runs of {plan.experiment} has a result")
    return plan.model_copy(update={"runs": there})


def _result_of(planned: PlannedRun, *, runs: Path) -> ResultFile:
    path = runs / planned.id / "result.json"
    try:
        result = read_result_file(path)
    except FileNotFoundError:
        raise ValueError(f"{planned.id}: {path} is missing") from None
    except (UnicodeDecodeError, ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{planned.id}: {path} is damaged, delete it and run again ({reason})") from None
    if result.id != planned.id:
        raise ValueError(f"{planned.id}: {path} is the result of another run, {result.id}; delete it and run again")
    return result


def _fields(result: ResultFile) -> dict[str, Any]:
    """Returns what is the same in all rows of a result."""
    fields = dict(_flat(result.run))
    fields.pop(f"{RATE}.place", None)  # said by the rate itself
    for measurement in result.measurements:
        if measurement.name == "learning_rate" and RATE not in fields:
            fields = {RATE: measurement.value} | fields
    return {"run": result.id, "status": result.status, "detail": result.detail} | fields


def _number(measurement: Measurement) -> dict[str, Any]:
    address = {f"at.{name}": value for name, value in measurement.at.items()}
    return address | {"name": measurement.name, "value": measurement.value, "unit": measurement.unit}


def _flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the leaves by dotted name; a list is one leaf, its items joined by spaces or, where nested, JSON."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            nested = any(isinstance(item, dict | list) for item in value)
            yield f"{prefix}{name}", json.dumps(value) if nested else " ".join(str(item) for item in value)
        else:
            yield f"{prefix}{name}", value


def main() -> None:
    parser = argparse.ArgumentParser(description="Collect the results of a plan's runs in one tidy table.")
    parser.add_argument("plan", type=Path, help="plan.json of the experiment")
    parser.add_argument("--runs", type=Path, required=True, help="the folder of the run folders")
    parser.add_argument("--output", type=Path, required=True, help="the table to write, .csv")
    parser.add_argument("--partial", action="store_true", help="leave out the runs that have no result yet")
    arguments = parser.parse_args()
    try:
        plan = read_plan(arguments.plan)
        found = present(plan, runs=arguments.runs) if arguments.partial else plan
        write_table(measurements(found, runs=arguments.runs), arguments.output)
        if missing := len(plan.runs) - len(found.runs):
            print(
                f"{missing} of the {len(plan.runs)} planned runs of {plan.experiment} have no result", file=sys.stderr
            )
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
