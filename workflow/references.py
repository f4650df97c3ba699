"""ReferenceRun -> Result: what a task's floors and ceiling score. By hand: `python -m workflow.references results/runs/<id>`."""

from workflow.results import Measurement, Outcome
from workflow.runs import ReferenceRun
from workflow.serving import Desk, main

_UNITS = {"accuracy": "fraction", "bits_per_byte": "bit/byte"}


def reference_scores(run: ReferenceRun) -> Outcome:
    """Returns the score of every predictor of the task that needs no network, by its name."""
    task = run.task
    rows = [
        Measurement(name=task.score, value=score, unit=_UNITS[task.score], at={"predictor": name})
        for name, score in task.references(run.examples).items()
    ]
    return Outcome("finished", "", tuple(rows))


def execute(desk: Desk, run: ReferenceRun) -> Outcome:
    return reference_scores(run)


if __name__ == "__main__":
    main(ReferenceRun, execute)
