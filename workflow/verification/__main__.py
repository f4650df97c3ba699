"""The commands `verify`, `seal`, `compare` and `keep` of `python -m workflow.verification`.

    python -m workflow.verification seal    --scale quick --results results recall cost
    python -m workflow.verification verify  --scale quick --results results recall cost
    python -m workflow.verification keep    --fresh results/quick --reference results/reference/quick recall cost
    python -m workflow.verification compare --fresh results/quick --reference results/reference/quick --output table.csv recall

`seal` leaves SHA256SUMS, croissant.json, ro-crate-metadata.json and the workflow beside the results, `verify` exits with 1 and a
line per difference where a stored number is not what the records say, `keep` makes a reference of a result set, `compare` says
what of a reference is reproduced.
"""

import argparse
import os
import sys
from pathlib import Path

from workflow.planfile import SCALES
from workflow.table import write_table
from workflow.verification.checking import verify
from workflow.verification.comparison import comparison, summary
from workflow.verification.crate import describe, last_run
from workflow.verification.keeping import keep
from workflow.verification.sums import seal

_ROOT = Path(__file__).parent.parent.parent


def parser() -> argparse.ArgumentParser:
    """Returns the command line."""
    parser = argparse.ArgumentParser(description="Verify, seal and compare result sets.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, told in (("verify", "hold a result set against its records"), ("seal", "describe and seal a result set")):
        command = commands.add_parser(name, help=told, description=told.capitalize())
        command.add_argument("experiments", nargs="+", help="names of experiments, in the order of the report")
        command.add_argument("--scale", choices=SCALES, required=True)
        command.add_argument("--results", type=Path, required=True, help="the folder of results")
        if name == "verify":
            command.add_argument("--references", type=int, default=3, help="reference runs to do again, the cheapest")
            command.add_argument("--rerun", type=int, default=0, help="training runs to do again, the cheapest")
            command.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="programs at a time")
    for name, told in (("keep", "make a result set a reference"), ("compare", "set a result set against a reference")):
        command = commands.add_parser(name, help=told, description=told.capitalize())
        command.add_argument("experiments", nargs="+", help="names of experiments")
        command.add_argument("--fresh", type=Path, required=True, help="folder of a scale, as results/quick")
        command.add_argument("--reference", type=Path, required=True, help="as results/reference/quick")
        if name == "compare":
            command.add_argument("--output", type=Path, required=True, help="the table to write, .csv")
    return parser


def main() -> None:
    arguments = parser().parse_args()
    commands = {"verify": _verify, "seal": _seal, "compare": _compare, "keep": _keep}
    try:
        commands[arguments.command](arguments)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


def _verify(arguments: argparse.Namespace) -> None:
    found = verify(
        arguments.experiments,
        scale=arguments.scale,
        results=arguments.results,
        references=arguments.references,
        reruns=arguments.rerun,
        jobs=arguments.jobs,
    )
    for note in found.notes:
        print(f"note: {note}")
    for line in found.differences:
        print(line)
    if found.differences:
        sys.exit(f"error: {len(found.differences)} differences between what is stored and what the records say")
    print("verified: every stored file is what the records say, byte for byte")


def _seal(arguments: argparse.Namespace) -> None:
    home, experiments = arguments.results / arguments.scale, arguments.experiments
    runs = arguments.results / "runs"
    date = last_run(home, runs=runs, experiments=experiments)
    describe(home, experiments=experiments, date=date, workflow=_ROOT)
    seal(home, runs=runs, experiments=experiments)


def _compare(arguments: argparse.Namespace) -> None:
    table = comparison(arguments.experiments, fresh=arguments.fresh, reference=arguments.reference)
    write_table(table, arguments.output)
    print(summary(table))


def _keep(arguments: argparse.Namespace) -> None:
    claims = arguments.fresh.parent / "claims"
    keep(arguments.experiments, fresh=arguments.fresh, claims=claims, reference=arguments.reference)


if __name__ == "__main__":
    main()
