"""`python -m workflow train`: runs are trained as all are, and told on the terminal."""

import signal
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from tasks.series.series import SeriesTask
from workflow import references
from workflow.adhoc.recipes import Asked, training_asked
from workflow.adhoc.terminal import plot, table
from workflow.identity import run_id
from workflow.plans import write_runs
from workflow.progress import Progress
from workflow.results import Measurement, Result, read_result
from workflow.runs import ReferenceRun, Run, TrainingRun
from workflow.serving import one_by_one, work
from workflow.styles import BETTER_LOW, exact, words
from workflow.training.cohort import execute

_LOOK = (
    "This is a look, not a result: {seeds}, a learning rate that {rate}, scores on validation data.\n"
    "What a claim takes, tuning for everyone, fresh seeds and a test at the end, is: snakemake {experiment}"
)


def train(mixers: str, task: str, words_: Iterable[str], *, results: Path, stack: str) -> str:
    """Returns what is to be told of the runs that a command line asks for, once all have a result."""
    asked = training_asked(mixers, task, words_)
    runs = {run_id(run): run for _, run in asked.runs}
    floors = {run_id(run): run for run in (_reference(run, asked) for run in runs.values())}
    write_runs(runs | floors, results=results)
    interruptible()
    _serve(floors, results, kind=ReferenceRun, execute=one_by_one(references.execute))
    _serve(runs, results, kind=TrainingRun, execute=partial(execute, policy=stack))
    found = {id: read_result(results / "runs" / id / "result.json") for id in (*runs, *floors)}
    if len(asked.runs) == 1:
        (id,), (floor,) = runs, floors
        told = _one(found[id], found[floor], asked)
    else:
        told = _several(asked, found)
    return "\n".join([*told, "", _caution(asked, found), *(f"{results / 'runs' / id}" for id in runs)])


def interruptible() -> None:
    """Makes Ctrl-C ask for what SIGTERM does: to save, so that the same command goes on."""
    signal.signal(signal.SIGINT, lambda *_: signal.raise_signal(signal.SIGTERM))


def _serve(runs: dict[str, Run], results: Path, *, kind: type[Run], execute: Any) -> None:
    folders = [results / "runs" / id for id in runs]
    work(folders, kind=kind, execute=execute, progress=Progress(None, total=len(folders)))


def _reference(run: TrainingRun, asked: Asked) -> ReferenceRun:
    """Returns what scores the predictors without a network, as an experiment asks for it."""
    examples = asked.recipe.experiment.spec.reference_examples
    if isinstance(run.task, SeriesTask):
        examples = run.evaluation.batches * run.optimizer.batch_size
    return ReferenceRun(kind="reference", task=run.task, examples=examples, grid=run.evaluation.grid)


def _one(result: Result, floors: Result, asked: Asked) -> list[str]:
    run = result.run
    assert isinstance(run, TrainingRun)
    curve = {split: _curve(result, "loss", split) for split in ("train", "validation")}
    unit = next((row.unit for row in result.measurements if row.name == "loss"), "")
    told = [f"{_network(result)} on {_task(run)}: {run.optimizer.steps} steps of {run.optimizer.batch_size} sequences"]
    told += [
        f"learning rate {run.optimizer.learning_rate:g}, seed {run.seed}; the rest as in {asked.recipe.name} at quick"
    ]
    if result.status != "finished":
        return [*told, "", f"{result.status}: {result.detail}"]
    name = run.task.score
    scores = _curve(result, name, "validation")
    rows = [(value, predictor.replace("_", " "), "test") for predictor, value in _floors(floors, name).items()]
    rows.append((scores[-1][1], f"{run.network.mixer.name}, after {scores[-1][0]:.0f} steps", "validation"))
    rows.sort(key=lambda row: row[0], reverse=name not in BETTER_LOW)
    shown = table([words(name), "", "on"], [[f"{value:.4f}", who, split] for value, who, split in rows])
    drawn = plot(curve, x="step", y=f"loss ({unit})" if unit not in ("", "1") else "loss")
    return [*told, "", drawn, "", shown]


def _several(asked: Asked, found: dict[str, Result]) -> list[str]:
    """Returns a row per run and, where one number is varied, its scores over that."""
    first = asked.runs[0][1]
    assert isinstance(first, TrainingRun)
    score = first.task.score
    fields = list(dict.fromkeys(path for varied, _ in asked.runs for path in varied))
    rows, series = [], {}
    for varied, run in asked.runs:
        result = found[run_id(run)]
        floors = _floors(found[run_id(_reference(run, asked))], score)
        best = (max if score not in BETTER_LOW else min)(
            (value for name, value in floors.items() if name != "oracle"), default=float("nan")
        )
        curve, losses = _curve(result, score, "validation"), _curve(result, "loss", "train")
        value = curve[-1][1] if result.status == "finished" else float("nan")
        steps = f"{losses[-1][0]:.0f}" if losses else ""
        numbers = [f"{value:.4f}" if value == value else result.status, f"{best:.4f}", steps]
        rows.append([*(_said(varied.get(path)) for path in fields), *numbers, f"{result.provenance.seconds:.1f}"])
        numeric = [path for path in fields if isinstance(varied.get(path), int | float)]
        others = ", ".join(str(value) for path, value in varied.items() if path not in numeric)
        if len(numeric) == 1:
            series.setdefault(others or run.network.mixer.name, []).append((float(varied[numeric[0]]), value))
    head = [*(path.rpartition(".")[2] if path != "network.mixer.name" else "mixer" for path in fields)]
    shown = table([*head, words(score), "best shortcut", "steps", "seconds"], rows)
    told = [
        f"{_task(first, but=fields)}, {words(score)} on validation data",
        f"the rest as in {asked.recipe.name} at quick",
    ]
    told += ["", shown]
    if series and any(len(points) > 1 for points in series.values()):
        told += ["", plot(series, x=numeric[0], y=words(score))]
    return told


def _caution(asked: Asked, found: dict[str, Result]) -> str:
    seeds = {run.seed for _, run in asked.runs if isinstance(run, TrainingRun)}
    rates = {run.optimizer.learning_rate for _, run in asked.runs if isinstance(run, TrainingRun)}
    told = "one seed" if len(seeds) == 1 else f"{len(seeds)} seeds that saw what is looked at"
    rate = "is not tuned" if len(rates) == 1 else "is seen beside others on the same data"
    return _LOOK.format(seeds=told, rate=rate, experiment=asked.recipe.name)


def _network(result: Result) -> str:
    parameters = next((row.value for row in result.measurements if row.name == "parameters"), None)
    name = result.run.network.mixer.name
    return name if parameters is None else f"{name} ({exact(parameters)} parameters)"


def _task(run: TrainingRun, *, but: Iterable[str] = ()) -> str:
    unsaid = {"name", *(path.removeprefix("task.") for path in but)}
    fields = {name: value for name, value in run.task.model_dump(mode="json").items() if name not in unsaid}
    told = ", ".join(
        f"{name.replace('_', ' ')} {_said(value)}" for name, value in fields.items() if "sha256" not in name
    )
    return f"{run.task.name} ({told})" if told else run.task.name


def _curve(result: Result, name: str, split: str) -> list[tuple[float, float]]:
    at = [row for row in result.measurements if row.name == name and row.at.get("split") == split and "step" in row.at]
    return [(float(row.at["step"]), row.value) for row in at]


def _floors(result: Result, name: str) -> dict[str, float]:
    return {str(row.at["predictor"]): row.value for row in result.measurements if row.name == name and _alone(row)}


def _alone(row: Measurement) -> bool:
    return set(row.at) == {"predictor"}


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
