"""What thousands of runs cost beside their training: Snakemake's plan of the jobs, and the report of their results.

    python -m tests.benchmarks.scale --runs 100 1000 10000

The runs are those of `recall` at `quick`, confirmed from as many seeds as it takes, at most a thousand to an experiment, in a
copy of this repository that has no other experiment. Prints the CPU seconds of `snakemake -n`, the first time, when it leaves the
runs' folders, again, and where every run has its result; then, on results that no network made, those of the programs behind
report.html and report.pdf, all experiments together, started `--jobs` at a time. Wall seconds are in brackets.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import yaml

from tests.workflow.synthetic import leave_results
from workflow.plans import FOLDER, plan_of
from workflow.verification.remaking import EACH, TOGETHER, Step

ROOT = Path(__file__).parent.parent.parent
SCALE = "quick"
_COPIED = ("models", "tasks", "workflow", "profiles", "Snakefile", "environment.yml", "requirements.lock")
_MOST = 1000  # runs of an experiment
_APART = 10**6  # between the seeds of two experiments


class Taken(NamedTuple):
    """The seconds of processes: of the processor, and of the clock."""

    cpu: float
    wall: float

    def __str__(self) -> str:
        return f"{self.cpu:.1f} ({self.wall:.1f})"


def experiment(runs: int, *, place: int) -> str:
    """Returns the text of `recall` with at least so many runs at its scale, none of them of an experiment in another place."""
    stated = yaml.safe_load((FOLDER / "recall.yaml").read_text(encoding="utf-8"))
    first = place * _APART
    stated["tune"]["grid"]["seed"] = [first]
    stated["controls"]["seeds_from"] = first + _APART // 2

    def text(seeds: int) -> str:
        stated["scales"][SCALE]["confirm"] = {"seed": list(range(first + 1, first + 1 + seeds))}
        return yaml.safe_dump(stated, sort_keys=False)

    few, more = (len(plan_of(text(seeds), experiment="recall", scale=SCALE).runs) for seeds in (2, 3))
    return text(max(2, 2 - (few - runs) // (more - few)))


def experiments(runs: int) -> dict[str, str]:
    """Returns the texts of as many experiments, by name, as have so many runs."""
    shares = [_MOST] * (runs // _MOST) + ([runs % _MOST] if runs % _MOST else [])
    return {f"recall-{place}": experiment(share, place=place) for place, share in enumerate(shares)}


def copy(folder: Path, texts: dict[str, str]) -> None:
    """Leaves in the folder this repository, with these experiments only."""
    for name in _COPIED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    for path in (folder / "workflow" / "experiments").glob("*.yaml"):
        path.unlink()
    for name, text in texts.items():
        (folder / "workflow" / "experiments" / f"{name}.yaml").write_text(text, encoding="utf-8")


def taken(command: Iterable[str], *, folder: Path) -> Taken:
    """Returns what a command took; CalledProcessError with what it said if it fails."""
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args, output=said.read())
    return Taken(used.ru_utime + used.ru_stime, wall)


def planned(folder: Path, *targets: str) -> Taken:
    """Returns what Snakemake takes to plan the jobs of the targets, or of everything."""
    command = [sys.executable, "-m", "snakemake", *targets, "-n", "--config", f"scale={SCALE}", "results=results"]
    return taken(command, folder=folder)


def reported(folder: Path, names: list[str], *, jobs: int) -> tuple[dict[str, Taken], dict[str, float]]:
    """Returns what each program took, all experiments together, and when report.html and report.pdf were there."""
    results, found, there = folder / "results", dict[str, list[Taken]](), dict[str, float]()
    started = time.perf_counter()

    def call(step: Step, home: Path) -> None:
        words = [names if word == "{experiments}" else [word] for word in step.arguments.split()]
        places = {"home": str(home), "results": str(results), "scale": SCALE}
        arguments = [word.format(**places) for several in words for word in several]
        found.setdefault(step.module, []).append(taken([sys.executable, "-m", step.module, *arguments], folder=folder))

    def call_each(name: str) -> None:
        home = results / SCALE / name
        for step in EACH:
            if step.where(home):
                call(step, home)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(call_each, names))
    for step in TOGETHER:
        if step.where(results / SCALE):
            call(step, results / SCALE)
            there[step.module] = time.perf_counter() - started
    sums = {module: Taken(*map(sum, zip(*each, strict=True))) for module, each in found.items()}
    return sums, {"report.html": there["workflow.report"], "report.pdf": there["workflow.paper"]}


def measured(runs: int, *, jobs: int) -> list[tuple[str, str]]:
    """Returns a name and a value per line of the table."""
    texts = experiments(runs)
    plans = [plan_of(text, experiment=name, scale=SCALE) for name, text in texts.items()]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        copy(folder, texts)
        rows = [("runs", f"{len({run.id for plan in plans for run in plan.runs}):,}")]
        rows += [("`snakemake -n`, first", str(planned(folder))), ("again", str(planned(folder)))]
        for plan in plans:
            leave_results(plan, folder / "results")
        results = [f"results/runs/{run.id}/result.json" for plan in plans for run in plan.runs]
        rows.append(("again, all runs done", str(planned(folder))))
        by_program, there = reported(folder, list(texts), jobs=jobs)
        numbers = sum(_lines(folder / "results" / SCALE / name / "measurements.csv") for name in texts)
        rows += [("results", f"{len(results):,}"), ("their numbers", f"{numbers:,}")]
        rows += [(f"`{module}`", str(each)) for module, each in by_program.items()]
        rows += [(f"{name}, {jobs} at a time", f"({seconds:.1f})") for name, seconds in there.items()]
    return rows


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--jobs", type=int, default=2, help="programs at a time")
    arguments = parser.parse_args()
    columns = [measured(runs, jobs=arguments.jobs) for runs in arguments.runs]
    for place, lines in enumerate(zip(*columns, strict=True)):
        print(f"| {' | '.join([lines[0][0], *(value for _, value in lines)])} |")
        if place == 0:
            print(f"|---{'|--:' * len(columns)}|")


if __name__ == "__main__":
    main()
