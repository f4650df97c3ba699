"""What is looked at: the training runs of a scale, and the test input that the networks of each task read."""

import json
from pathlib import Path
from typing import Literal, NamedTuple

import yaml
from pydantic import Field, ValidationError

from workflow.planfile import SCALES, Tree, first_problem
from workflow.plans import run_at
from workflow.runs import TrainingRun
from workflow.spec import Spec

SUBJECTS = Path(__file__).parent / "subjects.yaml"


class Input(Spec):
    """An input of `length` tokens, the first of the test split, and what all networks that read it have in common."""

    length: int = Field(gt=1)
    base: Tree


class Subjects(Spec):
    """Every mixer reads every input; a scale changes the base of an input by dotted path."""

    mixers: tuple[Tree, ...] = Field(min_length=1)
    inputs: dict[str, Input] = Field(min_length=1)
    scales: dict[Literal["smoke", "quick", "paper"], dict[str, Tree]]


class Subject(NamedTuple):
    """A network to be, by the run that trains it, and the length of the test input that it then reads."""

    input: str
    length: int
    run: TrainingRun


def subjects(path: Path, *, scale: str) -> list[Subject]:
    """Returns the subjects at a scale, input by input; ValueError in one line if anything in the file is wrong."""
    if scale not in SCALES:
        raise ValueError(f"unknown scale {scale!r}: choose one of {', '.join(SCALES)}")
    try:
        stated = Subjects.model_validate_json(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8"))))
    except ValidationError as error:
        raise ValueError(f"{path}: {first_problem(error)}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    changes = stated.scales.get(scale, {})
    if unknown := set(changes) - set(stated.inputs):
        raise ValueError(f"{path}: scales.{scale}: no input is called {', '.join(sorted(unknown))}")
    return [
        Subject(name, asked.length, _run(asked.base, changes.get(name, {}) | {"network.mixer": mixer}, where=name))
        for name, asked in stated.inputs.items()
        for mixer in stated.mixers
    ]


def _run(base: Tree, settings: Tree, *, where: str) -> TrainingRun:
    run = run_at(base, settings, where=f"input {where}")
    if not isinstance(run, TrainingRun) or not isinstance(run.optimizer.learning_rate, float):
        raise ValueError(f"input {where}: state a training run with a learning rate, as kind: training")
    return run
