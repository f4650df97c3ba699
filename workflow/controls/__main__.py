"""Measurements -> whether what is known beforehand came out: a row per control of an experiment that trains.

    python -m workflow.controls results/quick/recall --runs results/runs --output controls.csv

Of the predictors that need no network, the oracle must be right everywhere, and the best constant answer as often as it is
counted in other data. A network that is not trained must be no better than one that knows nothing. A duplicate, an entrant
from other seeds, must tie with it; a handicapped one, which cannot do the task, must lose to it.

Columns: `experiment`; `control` (oracle, chance, duplicate, handicapped); `of`, the entrant that is copied or changed;
`expected`; `metric`; `place`, the task; `value`, with a 95 % interval from `low` to `high`; `against`, what it is compared
with; `p`; `behaved` (yes, no, not run); `reason`, why it was not run.
"""

import argparse
import sys
from pathlib import Path
from typing import get_args

import pandas as pd

from workflow.controls.evidence import Evidence, Row, read_run
from workflow.controls.networks import of_network
from workflow.controls.predictors import constant, oracle
from workflow.planfile import Control, PlanFile, read_plan
from workflow.table import read_table, write_table


def controls(plan: PlanFile, *, measurements: pd.DataFrame, runs: Path) -> pd.DataFrame:
    """Returns the controls of a plan, none where it trains nothing; OSError where a run lacks its file."""
    rows: list[Row] = []
    if any(planned.role == "confirm" for planned in plan.runs):
        asked = [planned.id for planned in plan.runs if planned.role == "reference"]
        evidence = Evidence(measurements, {id: read_run(id, runs=runs) for id in asked}, runs)
        stated = {control.control: control for control in plan.controls}
        rows = [oracle(evidence), constant(evidence)]
        rows += [of_network(control, stated.get(control), evidence) for control in get_args(Control)]
    return pd.DataFrame(rows, columns=Row._fields).assign(experiment=plan.experiment)[["experiment", *Row._fields]]


def main() -> None:
    parser = argparse.ArgumentParser(description="Say whether an experiment's controls came out as they must.")
    parser.add_argument("folder", type=Path, help="of the experiment, with plan.json and measurements.csv")
    parser.add_argument("--runs", type=Path, required=True, help="the folder of the run folders")
    parser.add_argument("--output", type=Path, required=True, help="the table to write, .csv")
    arguments = parser.parse_args()
    try:
        plan, table = read_plan(arguments.folder / "plan.json"), read_table(arguments.folder / "measurements.csv")
        write_table(controls(plan, measurements=table, runs=arguments.runs), arguments.output)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
