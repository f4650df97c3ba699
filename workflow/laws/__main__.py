"""Measurements -> how the loss falls with parameters, tokens and compute, with figures.

    python -m workflow.laws measurements.csv --output laws.csv --figures results/quick/scaling-law/laws

The columns are those of `workflow.laws.table`. Made again from the same table, every file is the same, byte for byte.
"""

import argparse
import sys
from pathlib import Path

import matplotlib

from workflow.figures import save
from workflow.files import write
from workflow.laws.drawn import drawings
from workflow.laws.table import found, table
from workflow.laws.trained import lines
from workflow.panels import house_style
from workflow.table import read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell how the loss falls with parameters, tokens and compute.")
    parser.add_argument("measurements", type=Path, help="the table of measurements, .csv")
    parser.add_argument("--output", type=Path, required=True, help="the table of laws to write, .csv")
    parser.add_argument("--figures", type=Path, required=True, help="the folder to leave the figures in")
    arguments = parser.parse_args()
    try:
        laws = [found(line, seed=place) for place, line in enumerate(lines(read_table(arguments.measurements)))]
        for name, drawing in drawings(laws).items():
            with matplotlib.rc_context(house_style()):
                save(drawing.draw(), arguments.figures / name)
            write_table(drawing.data, arguments.figures / f"{name}.csv")
            write(arguments.figures / f"{name}.txt", drawing.caption + "\n")
        write_table(table(laws), arguments.output)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
