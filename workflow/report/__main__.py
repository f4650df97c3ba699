"""The command: see the package."""

import argparse
import sys
from pathlib import Path

from workflow.files import write
from workflow.planfile import SCALES
from workflow.report.document import page


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the report of experiments at one scale.")
    parser.add_argument("experiments", nargs="+", help="names of experiments, in the order of the report")
    parser.add_argument("--scale", choices=SCALES, required=True)
    parser.add_argument("--results", type=Path, required=True, help="the folder of results")
    parser.add_argument("--output", type=Path, required=True, help="the page to write, .html")
    arguments = parser.parse_args()
    try:
        write(arguments.output, page(arguments.experiments, scale=arguments.scale, results=arguments.results))
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
