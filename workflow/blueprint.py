"""What the rules need to know of the plans, in a file: a job on another machine reads it, and plans nothing anew."""

import hashlib
from pathlib import Path

from workflow.configuration import Configuration
from workflow.files import write
from workflow.laws import sizes_vary
from workflow.planfile import Role
from workflow.spec import Spec


class Cohort(Spec):
    """Runs that one process serves, and those `needs` that must have ended before."""

    role: Role
    runs: tuple[str, ...]
    needs: tuple[str, ...]


class Chapter(Spec):
    """The runs of an experiment, and which steps follow them."""

    runs: tuple[str, ...]
    trains: bool
    confirms: bool
    follows_cost: bool  # over the length of sequences
    has_laws: bool  # of the loss over sizes


class Blueprint(Spec):
    """The experiments, the cohorts of all of them together, by name, and the runs that are looked into."""

    experiments: dict[str, Chapter]
    cohorts: dict[str, Cohort]
    interpreted: tuple[str, ...]


def blueprint(stated: Configuration, *, anew: bool) -> Blueprint:
    """Returns the blueprint: drawn `anew`, every plan being made and written down; else as it was, if it is there.

    ValueError, in one line, for what cannot be planned.
    """
    which = hashlib.sha256(f"{stated.also}\n{stated.model}".encode()).hexdigest()[:12]
    path = Path(stated.results) / "blueprints" / f"{stated.scale}-{which}.json"
    if not anew and path.exists():
        return Blueprint.model_validate_json(path.read_text(encoding="utf-8"))
    drawn = _drawn(stated)
    text = drawn.model_dump_json(indent=1) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write(path, text)
    return drawn


def _drawn(stated: Configuration) -> Blueprint:
    from workflow import plans  # with torch, which no reader of a blueprint needs
    from workflow.entrants import entrants
    from workflow.identity import run_id
    from workflow.interpretation.subjects import SUBJECTS, subjects

    own = entrants(stated.model)
    names = [*plans.reproduced_names(), *stated.also.split()]
    made = {name: plans.plan(name, scale=stated.scale, own=own) for name in names}
    for plan in made.values():
        plans.write_plan(plan, results=Path(stated.results))
    experiments = {
        name: Chapter(
            runs=tuple(planned.id for planned in plan.runs),
            trains=any(planned.run.kind == "training" for planned in plan.runs),
            confirms=any(planned.role == "confirm" for planned in plan.runs),
            follows_cost=any(
                planned.run.kind == "profiling" and planned.run.phase != "stream" for planned in plan.runs
            ),
            has_laws=sizes_vary(plan.varied),
        )
        for name, plan in made.items()
    }
    cohorts = {
        name: Cohort(
            role=cohort[0].role, runs=tuple(planned.id for planned in cohort), needs=tuple(plans.needs(cohort))
        )
        for name, cohort in plans.cohorts(made.values()).items()
    }
    interpreted = tuple(run_id(subject.run) for subject in subjects(SUBJECTS, scale=stated.scale))
    return Blueprint(experiments=experiments, cohorts=cohorts, interpreted=interpreted)
