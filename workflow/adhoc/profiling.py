"""`python -m workflow profile`: what a phase costs, measured as all profiling runs are, in one table."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from workflow.adhoc.recipes import profiling_asked
from workflow.adhoc.terminal import plot, table
from workflow.adhoc.training import interruptible
from workflow.identity import run_id
from workflow.plans import write_runs
from workflow.profiling.rounds import execute
from workflow.progress import Progress
from workflow.results import Result, read_result
from workflow.runs import ProfilingRun
from workflow.serving import work

_QUANTILES = (0.5, 0.05, 0.25, 0.75, 0.95)
_MIB = 2**20


def profile(mixers: str, words: Iterable[str], *, results: Path) -> str:
    """Returns what is to be told of the points that a command line asks for, once all are measured."""
    asked = profiling_asked(mixers, words)
    runs = {run_id(run): run for _, run in asked.runs}
    write_runs(runs, results=results)
    folders = [results / "runs" / id for id in runs]
    interruptible()
    work(folders, kind=ProfilingRun, execute=execute, progress=Progress(None, total=len(folders)))
    rows, series = [], {}
    for varied, run in asked.runs:
        assert isinstance(run, ProfilingRun)
        result = read_result(results / "runs" / run_id(run) / "result.json")
        rows.append([run.network.mixer.name, run.phase, str(run.length), str(run.batch), *_numbers(result, run)])
        if result.status == "finished" and "length" in varied:
            others = ", ".join(str(value) for path, value in varied.items() if path != "length")
            median = float(np.median(_values(result, "seconds")))
            series.setdefault(others or run.network.mixer.name, []).append((float(run.length), median * 1e3))
    head = ["mixer", "phase", "length", "batch", "median ms", "5 %", "25 %", "75 %", "95 %", "samples"]
    head += ["tokens/s", "peak MiB", "state KiB"]
    first = asked.runs[0][1]
    assert isinstance(first, ProfilingRun)
    network = first.network
    told = [
        f"networks of width {network.width} and depth {network.depth}, {first.precision}, of {first.subject}; the rest as in "
        f"{asked.recipe.name} at quick",
        "",
        table(head, rows),
    ]
    phases = {run.phase for _, run in asked.runs if isinstance(run, ProfilingRun)}
    if len(phases) == 1 and any(len(points) > 1 for points in series.values()):
        told += ["", plot(series, x="length", y="median ms")]
    told += [
        "",
        "Quantiles of the samples of one process a round; peak is above what the process held before the network.",
    ]
    return "\n".join([*told, *map(str, folders)])


def _numbers(result: Result, run: ProfilingRun) -> list[str]:
    seconds = _values(result, "seconds")
    if not seconds:
        return [f"{result.status}: {result.detail}" if result.detail else result.status, *[""] * 8]
    quantiles = [f"{1e3 * value:.2f}" for value in np.quantile(seconds, _QUANTILES)]
    tokens = run.batch * {"decode": 1, "generate": run.new_tokens or 0}.get(run.phase, run.length)
    rate = f"{tokens / float(np.median(seconds)):,.0f}"
    return [*quantiles, str(len(seconds)), rate, _size(result, "peak_bytes", _MIB), _size(result, "state_bytes", 1024)]


def _values(result: Result, name: str) -> list[float]:
    return [row.value for row in result.measurements if row.name == name]


def _size(result: Result, name: str, unit: int) -> str:
    values = _values(result, name)
    return f"{values[0] / unit:,.1f}" if values else ""
