"""Measurements -> verdicts: every claim of `workflow/claims/*.yaml`, judged by what experiments at one scale have measured.

    python -m workflow.claims --scale quick --results results --output results/quick/verdicts.csv recall cost

Reads, in results/<scale>/<experiment>, `plan.json`, `measurements.csv`, `controls.csv` and, where it profiles,
`scaling.csv` and `crossovers.csv`; and results/claims, where lies what was claimed when.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from workflow.claims.evidence import Tables
from workflow.claims.files import all_claims, kept
from workflow.claims.verdicts import verdicts
from workflow.planfile import SCALES, read_plan
from workflow.table import is_own, read_table, without_own, write_table


def tables_of(folder: Path) -> Tables:
    """Returns what is known of the experiment in a folder; OSError or ValueError naming what is missing."""
    measured, plan = read_table(folder / "measurements.csv"), read_plan(folder / "plan.json")
    added = set(measured.loc[is_own(measured), "run"])  # no claim is about a mixer from a reader's own file
    return Tables(
        plan.model_copy(update={"runs": tuple(run for run in plan.runs if run.id not in added)}),
        without_own(measured),
        *(_there(folder / f"{name}.csv") for name in ("scaling", "crossovers", "controls")),
    )


def _there(path: Path) -> pd.DataFrame:
    return without_own(read_table(path)) if path.exists() else pd.DataFrame()


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge every claim by the results of experiments at one scale.")
    parser.add_argument("experiments", nargs="+", help="names of experiments whose results are there")
    parser.add_argument("--scale", choices=SCALES, required=True)
    parser.add_argument("--results", type=Path, required=True, help="the folder of results")
    parser.add_argument("--output", type=Path, required=True, help="the table to write, .csv")
    arguments = parser.parse_args()
    try:
        folder = arguments.results / arguments.scale
        tables = {name: tables_of(folder / name) for name in arguments.experiments}
        write_table(verdicts(all_claims(), tables, archive=kept(arguments.results)), arguments.output)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
