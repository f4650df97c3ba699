"""Estimates and raw times -> how cost grows with length or the batch, and where lines cross; empty tables without lines.

    python -m workflow.scaling estimates.csv measurements.csv --scaling scaling.csv --crossovers crossovers.csv

The columns are those of `workflow.scaling.laws` and `workflow.scaling.pairs`. Made again from the same tables, both files
are the same, byte for byte.
"""

import argparse
import sys
from pathlib import Path

from workflow.scaling.laws import laws
from workflow.scaling.lines import lines, over_length, samples
from workflow.scaling.pairs import crossovers
from workflow.table import read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell how cost grows with length, and where lines cross.")
    parser.add_argument("estimates", type=Path, help="the table of estimates, .csv")
    parser.add_argument("measurements", type=Path, help="the table of measurements, .csv")
    parser.add_argument("--scaling", type=Path, required=True, help="the table of exponents to write, .csv")
    parser.add_argument("--crossovers", type=Path, required=True, help="the table of crossings to write, .csv")
    arguments = parser.parse_args()
    try:
        estimates = read_table(arguments.estimates)
        if over_length(estimates).empty:
            raise ValueError(f"{arguments.estimates} has no profiling run, so nothing grows with length")
        found, taken = lines(estimates), samples(read_table(arguments.measurements))
        write_table(laws(found, taken), arguments.scaling)
        write_table(crossovers(found, taken), arguments.crossovers)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
