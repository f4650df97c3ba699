"""Settings by dotted path, as an experiment file writes them, and the run that they say."""

import difflib
import json
from typing import Any

from pydantic import ValidationError

from tasks import AnyTask
from tasks.presets import PRESETS
from tasks.task import TokenTask
from workflow.planfile import Tree, first_problem
from workflow.runs import Run, RunFile, TrainingRun


def run_at(base: Tree, settings: Tree, *, where: str) -> Run:
    """Returns the run at one point of the grid: the base with `settings`, by dotted path, put in."""
    try:
        return run_of(placed(base, settings))
    except ValueError as error:
        point = ", ".join(f"{path}={json.dumps(value)}" for path, value in settings.items())
        raise ValueError(f"{where}: {error} (at {point})") from None


def placed(base: Tree, settings: Tree) -> Tree:
    """Returns the base with `settings`, by dotted path, put in."""
    tree: Tree = json.loads(json.dumps(base))
    for path, value in json.loads(json.dumps(settings)).items():
        *parents, leaf = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


def run_of(tree: Tree) -> Run:
    """Returns the run that nested settings say; ValueError, in one line, for the first that is wrong."""
    try:
        run = RunFile.model_validate_json(json.dumps({"run": _complete(tree)})).run
    except ValidationError as error:
        raise ValueError(first_problem(error)) from None
    if isinstance(run, TrainingRun):  # not in the type: a result stays readable where its corpus is not at hand
        for point in run.evaluation.points:
            _posed(run.task, point)
    return run


def has(run: Run, settings: Tree) -> bool:
    """Returns whether the run has these settings, by dotted path."""
    for path, value in settings.items():
        node: Any = run.model_dump(mode="json")
        for part in path.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        if node != value:
            return False
    return True


def _complete(tree: Tree) -> Tree:
    """Returns the settings with a published setting of the task, where one is named, written out."""
    task = tree.get("task")
    if not isinstance(task, dict) or "preset" not in task:
        return tree
    name = task["preset"]
    if name not in PRESETS:
        near = difflib.get_close_matches(str(name), PRESETS, n=3)
        raise ValueError(f"task.preset: unknown preset {name!r}{': did you mean ' + ', '.join(near) if near else ''}")
    fields = {field: value for field, value in task.items() if field != "preset"}
    return tree | {"task": PRESETS[name].model_dump(mode="json") | fields}


def _posed(task: AnyTask, point: Tree) -> None:
    """ValueError where the task cannot be tested there, or by the same network."""
    other = task.at(point)
    asked = ["vocabulary_size"] if isinstance(task, TokenTask) else ["channels", "outputs"]
    for field in asked:
        if getattr(other, field) != getattr(task, field):
            raise ValueError(
                f"evaluation.grid: {field} would be {getattr(other, field)} at {point}, but the network is made for "
                f"{getattr(task, field)}: vary that in the experiment's grid"
            )


def merged(tree: Tree, change: Tree) -> Tree:
    """Returns `tree` with the leaves of `change` put over its own; a grid and a mapping with a `name` are replaced whole."""
    found = dict(tree)
    for key, value in change.items():
        inner = found.get(key)
        whole = (
            not (isinstance(inner, dict) and isinstance(value, dict))
            or "name" in value
            or "preset" in value
            or key == "grid"
        )
        found[key] = value if whole else merged(inner, value)
    return found
