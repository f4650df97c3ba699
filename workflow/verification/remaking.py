"""Plans and records -> a result set made again in another folder, by the programs that made it."""

import importlib
import importlib.util
import multiprocessing
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from workflow.laws import sizes_vary
from workflow.planfile import read_plan
from workflow.scaling.lines import over_length
from workflow.table import read_table

# What is not made again, beside the plans: what networks that leave no record did, by pattern.
_GIVEN = tuple(f"interpretation/{name}" for name in ("gates.csv", "summary.csv", "inputs.csv", "runs/*/run.json"))
_BESIDE = ("runs", "claims")  # the records, and what was claimed when they were made


def always(home: Path) -> bool:
    return True


def grows(home: Path) -> bool:
    """Returns whether the experiment follows a cost over length."""
    return len(over_length(read_table(home / "estimates.csv"))) > 0


def level(home: Path) -> bool:
    return not grows(home)


def trains(home: Path) -> bool:
    """Returns whether the experiment trains anything."""
    return any(planned.role == "confirm" for planned in read_plan(home / "plan.json").runs)


def has_laws(home: Path) -> bool:
    """Returns whether laws of the loss are told of the experiment."""
    return sizes_vary(read_plan(home / "plan.json").varied)


def interpreted(home: Path) -> bool:
    return (home / "interpretation").exists()


class Step(NamedTuple):
    """A program, its arguments, and of which folders it is called: `{home}` is that of an experiment or of a scale."""

    module: str
    arguments: str
    where: Callable[[Path], bool] = always


_TABLES = "{home}/plan.json {home}/estimates.csv {home}/measurements.csv"
_COSTS = "--scaling {home}/scaling.csv --crossovers {home}/crossovers.csv"

# In the order, and with the arguments, of workflow/rules: first those of each experiment, then those of all together.
EACH = (
    Step("workflow.measurements", "{home}/plan.json --runs {results}/runs --output {home}/measurements.csv"),
    Step("workflow.estimates", "{home}/measurements.csv --output {home}/estimates.csv"),
    Step("workflow.controls", "{home} --runs {results}/runs --output {home}/controls.csv", trains),
    Step("workflow.scaling", "{home}/estimates.csv {home}/measurements.csv " + _COSTS, grows),
    Step("workflow.laws", "{home}/measurements.csv --output {home}/laws.csv --figures {home}/laws", has_laws),
    Step("workflow.figures", _TABLES + " --output {home}/figures"),
    Step("workflow.tables", _TABLES + " --output {home}/tables", level),
    Step("workflow.tables", _TABLES + " " + _COSTS + " --output {home}/tables", grows),
)
_TOLD = "--scale {scale} --results {results} --output {home}"
TOGETHER = (
    Step(
        "workflow.interpretation.pictures", "{home}/interpretation --output {home}/interpretation/figures", interpreted
    ),
    Step("workflow.claims", _TOLD + "/verdicts.csv {experiments}"),
    Step("workflow.report", _TOLD + "/report.html {experiments}"),
    Step("workflow.paper", _TOLD + "/paper --report {home}/report.pdf {experiments}"),
)


def remake(experiments: list[str], *, scale: str, results: Path, folder: Path, jobs: int) -> list[str]:
    """Leaves in `folder` what the records in `results` say, and returns which programs failed, in one line each."""
    home = folder / scale
    home.mkdir(parents=True)
    for beside in _BESIDE:
        (folder / beside).symlink_to((results / beside).absolute())
    for pattern in (*(f"{name}/plan.json" for name in experiments), *_GIVEN):
        for stored in (results / scale).glob(pattern):
            given = home / stored.relative_to(results / scale)
            given.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(stored, given)
    # In processes of their own, which need not know what this one has imported or set.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        told = [pool.submit(_done, EACH, [name], home=home / name, results=folder) for name in experiments]
        failed = [line for line in (each.result() for each in told) if line]
        if not failed:
            failed = [
                line for line in [pool.submit(_done, TOGETHER, experiments, home=home, results=folder).result()] if line
            ]
    return failed


def _done(steps: tuple[Step, ...], experiments: list[str], *, home: Path, results: Path) -> str:
    """Calls the programs in turn, and returns which failed, if one did."""
    places = {"home": str(home), "results": str(results), "scale": home.relative_to(results).parts[0]}
    for step in steps:
        if not step.where(home):
            continue
        arguments: list[str] = []
        for word in step.arguments.split():
            arguments += experiments if word == "{experiments}" else [word.format(**places)]
        failed = _called(step.module, arguments)
        if failed:
            return f"{' '.join(experiments)}: {step.module} cannot be done again: {failed}"
    return ""


def _called(module: str, arguments: list[str]) -> str:
    """Calls a program as its command line would, and returns why it failed, if it did."""
    found = importlib.util.find_spec(module)
    assert found is not None, module
    package = found.submodule_search_locations is not None
    program = importlib.import_module(f"{module}.__main__" if package else module)
    sys.argv = [module, *arguments]
    try:
        program.main()
    except SystemExit as ended:
        if ended.code:
            return " ".join(str(ended.code).removeprefix("error: ").split())
    return ""
