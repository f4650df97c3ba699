"""How a learning rate is chosen from its tuning runs: by validation data, never by the test split."""

from collections import defaultdict
from pathlib import Path
from statistics import fmean

from workflow.results import Result, read_result
from workflow.runs import Selected, TrainingRun


def selected_rate(selected: Selected, *, runs: Path) -> float:
    """Returns the learning rate in that place, by the means of `rank` over its seeds, the smaller rate first where all is alike.

    ValueError if a result is missing, or there are not as many rates.
    """
    ranks: dict[float, list[tuple[float, float, float]]] = defaultdict(list)
    for trial in _trials(selected, runs=runs).values():
        ranks[_rate(trial)].append(rank(trial))
    best_first = sorted((*map(fmean, zip(*seeds, strict=True)), rate) for rate, seeds in ranks.items())
    if selected.place >= len(best_first):
        raise ValueError(f"place={selected.place} of {len(best_first)} learning rates, which are counted from 0")
    return best_first[selected.place][-1]


def selected_trial(run: TrainingRun, *, runs: Path) -> str | None:
    """Returns the name of the tuning run that this one goes on from: the one it is equal to, but for where both end.

    None where there is none, as for a fresh seed. ValueError as for `selected_rate`.
    """
    if not isinstance(run.optimizer.learning_rate, Selected):
        return None
    rate = selected_rate(run.optimizer.learning_rate, runs=runs)
    for name, trial in _trials(run.optimizer.learning_rate, runs=runs).items():
        earlier = trial.run.optimizer.last_step < run.optimizer.last_step
        if earlier and _rate(trial) == rate and _endless(trial.run) == _endless(run):
            return name
    return None


def rank(trial: Result) -> tuple[float, float, float]:
    """Returns what the best tuning run has least of.

    First whether it failed, as 0 or 1. Then the steps to the accuracy at which training stops, for all such runs are as good as
    each other then; infinite for a run that never got there. Among those, the last validation loss, in bits.
    """
    if trial.status != "finished":
        return 1.0, float("inf"), float("inf")
    losses = [row.value for row in trial.measurements if row.name == "loss" and row.at.get("split") == "validation"]
    reached = [
        row.value for row in trial.measurements if row.name == "accuracy" and row.at.get("split") == "validation"
    ]
    goal = trial.run.evaluation.stop_accuracy
    if goal is None or reached[-1] < goal:
        return 0.0, float("inf"), losses[-1]
    return 0.0, next(row.value for row in trial.measurements if row.name == "steps"), losses[-1]


def _trials(selected: Selected, *, runs: Path) -> dict[str, Result]:
    """Returns the results to choose from, by name."""
    for name in selected.best_of:
        if not (runs / name / "result.json").exists():
            raise ValueError(
                f"{runs / name / 'result.json'} is missing: train it first, with python -m workflow.training {runs / name}"
            )
    return {name: read_result(runs / name / "result.json") for name in selected.best_of}


def _rate(trial: Result) -> float:
    """Returns the learning rate of a tuning run, which at a later rung (`plans.Rung`) was selected itself."""
    stated = trial.run.optimizer.learning_rate
    if not isinstance(stated, Selected):
        return stated
    return next(row.value for row in trial.measurements if row.name == "learning_rate")


def _endless(run: TrainingRun) -> TrainingRun:
    """Returns the run without its learning rate and its end."""
    return run.model_copy(update={"optimizer": run.optimizer.model_copy(update={"learning_rate": 1.0, "until": None})})
