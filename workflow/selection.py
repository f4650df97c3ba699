"""How a learning rate is chosen from its tuning runs: by validation data, never by the test split."""

from pathlib import Path

from workflow.results import Result, read_result
from workflow.runs import Selected


def selected_rate(selected: Selected, *, runs: Path) -> float:
    """Returns the learning rate of the best tuning run, the smallest rate where all are alike; ValueError if one is missing."""
    trials: list[Result] = []
    for id in selected.best_of:
        path = runs / id / "result.json"
        if not path.exists():
            raise ValueError(f"{path} is missing: train it first, with python -m workflow.training {runs / id}")
        trials.append(read_result(path))
    return min((*rank(trial), trial.run.optimizer.learning_rate) for trial in trials)[-1]


def rank(trial: Result) -> tuple[float, float]:
    """Returns what the best tuning run has least of.

    First the steps to the accuracy at which training stops, for all such runs are as good as each other then; infinite for
    a run that never got there. Among those, the last validation loss, in bits; infinite for a run that failed.
    """
    losses = [row.value for row in trial.measurements if row.name == "loss" and row.at.get("split") == "validation"]
    if trial.status != "finished":
        return float("inf"), float("inf")
    reached = [
        row.value for row in trial.measurements if row.name == "accuracy" and row.at.get("split") == "validation"
    ]
    goal = trial.run.evaluation.stop_accuracy
    if goal is None or reached[-1] < goal:
        return float("inf"), losses[-1]
    return next(row.value for row in trial.measurements if row.name == "steps"), losses[-1]
