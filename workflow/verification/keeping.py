"""A result set -> the reference set that later ones are compared with: what is small enough to be tracked with the code.

    reference/verdicts.csv            what came of every claim
    reference/claims/<digest>.json    what the claims said when its runs were made
    reference/<experiment>/           its tables of numbers, figures as .svg, tables as .md, golden.csv
    reference/interpretation/         likewise, with the captions

Raw measurements and the series behind the gates' pictures stay with the runs.
"""

import shutil
from pathlib import Path

from workflow.table import read_table, write_table
from workflow.verification.golden import NAME, golden

_RAW = ("measurements.csv", "gates.csv")


def keep(experiments: list[str], *, fresh: Path, claims: Path, reference: Path) -> None:
    """Puts into `reference`, a folder of a scale, what is kept of the experiments of `fresh`; others there stay as they are.

    Raises FileNotFoundError before anything is changed where an experiment has no estimates.
    """
    lacking = [name for name in experiments if not (fresh / name / "estimates.csv").exists()]
    if lacking:
        raise FileNotFoundError(f"no estimates of {', '.join(lacking)} in {fresh}")
    for name in experiments:
        _keep_folder(fresh / name, reference / name)
        kept = golden(read_table(fresh / name / "measurements.csv"))
        if len(kept):
            write_table(kept, reference / name / NAME)
    if (fresh / "interpretation").exists():
        _keep_folder(fresh / "interpretation", reference / "interpretation")
    if (fresh / "verdicts.csv").exists():
        shutil.copyfile(fresh / "verdicts.csv", reference / "verdicts.csv")
    (reference / "claims").mkdir(exist_ok=True)
    for path in claims.glob("*.json"):  # beside those that other experiments were run under
        shutil.copyfile(path, reference / "claims" / path.name)


def _keep_folder(source: Path, target: Path) -> None:
    pictures = sorted((source / "figures").glob("*.svg"))
    captions = [path.with_suffix(".txt") for path in pictures] if source.name == "interpretation" else []
    numbers = [path for path in sorted(source.glob("*.csv")) if path.name not in _RAW]
    _replace(target, [*numbers, *pictures, *captions, *sorted((source / "tables").glob("*.md"))])


def _replace(target: Path, files: list[Path]) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for path in files:
        shutil.copyfile(path, target / path.name)
