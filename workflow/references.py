"""ReferenceRun -> Result: what a task's floors and ceiling score. By hand: `python -m workflow.references results/runs/<id>`."""

from tasks import AnyTask
from tasks.series.series import SeriesTask
from workflow.grids import points
from workflow.results import Measurement, Outcome
from workflow.runs import ReferenceRun
from workflow.serving import Desk, main, one_by_one

_UNITS = {"accuracy": "fraction", "bits_per_byte": "bit/byte"}


def reference_scores(run: ReferenceRun) -> Outcome:
    """Returns the scores of every predictor of the task that needs no network, by its name, on the task and on the grid."""
    rows = []
    for point in ({}, *(points(run.grid) if run.grid else ())):
        task = run.task.at(point)
        for name, found in _scores(task, run.examples).items():
            at = {"predictor": name, **point}
            rows += [Measurement(name=n, value=v, unit=_UNITS.get(n, "1"), at=at) for n, v in found.items()]
    return Outcome("finished", "", tuple(rows))


def _scores(task: AnyTask, examples: int) -> dict[str, dict[str, float]]:
    if isinstance(task, SeriesTask):
        return {name: errors._asdict() for name, errors in task.errors(examples).items()}
    return {name: {task.score: score} for name, score in task.references(examples).items()}


def execute(desk: Desk) -> Outcome:
    return reference_scores(desk.run)


if __name__ == "__main__":
    main(ReferenceRun, one_by_one(execute))
