"""Words of a command line -> runs: what is not said is as the experiments have it at quick."""

import difflib
import functools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from tasks import AnyTask
from tasks.presets import PRESETS
from workflow.entrants import entrants_of, value_of
from workflow.grids import points
from workflow.planfile import Tree
from workflow.plans import FOLDER, Stated, experiment_names, stated
from workflow.runs import Run
from workflow.settings import placed, run_of

SCALE = "quick"
_MIXER = "network.mixer"
_TASK: TypeAdapter[AnyTask] = TypeAdapter(AnyTask)
_RATE = "optimizer.learning_rate"


class Recipe(NamedTuple):
    """All settings of a run but its mixer, and the experiment they are those of."""

    tree: Tree
    experiment: Stated
    name: str


class Asked(NamedTuple):
    """The runs of a command line, each with the values in which it differs from the others, and where the rest is from."""

    runs: list[tuple[dict[str, Any], Run]]
    recipe: Recipe


@functools.cache
def files() -> dict[str, Stated]:
    """Returns every experiment at quick, those apart last."""
    found = {
        name: stated((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), experiment=name, scale=SCALE)
        for name in experiment_names()
    }
    return dict(sorted(found.items(), key=lambda item: (item[1].spec.apart, item[0])))


def training_asked(mixers: str, task: str, words: Iterable[str]) -> Asked:
    """Returns the runs that train these mixers on a task; ValueError, with the remedy, for a word that says nothing."""
    recipe = _for_task(task)
    return _asked(recipe, mixers, words)


def profiling_asked(mixers: str, words: Iterable[str]) -> Asked:
    """Returns the runs that profile these mixers; ValueError, with the remedy, for a word that says nothing."""
    found = files()["cost"]
    (first, *_) = points({path: values for path, values in found.grids[0].items() if path != _MIXER})
    return _asked(Recipe(placed(found.base, first), found, "cost"), mixers, words)


def mixers_of(name: str) -> Iterator[tuple[str, Tree, Tree]]:
    """Yields every network that experiments have with a mixer, or an architecture, of this name: of which, it, and all around."""
    for experiment, mixer, network in _networks():
        if mixer["name"] == name:
            yield experiment, mixer, network


def tasks_of(name: str) -> Iterator[tuple[str, Tree]]:
    """Yields the task of this name in every experiment that has it, with the settings around."""
    for experiment, found in files().items():
        for recipe in _recipes(experiment, found):
            if _task_name(recipe.tree.get("task")) == name:
                yield experiment, recipe.tree


def settings_of(words: Iterable[str]) -> dict[str, list[Any]]:
    """Returns the values that words such as `task.pairs=4,8` give to fields; ValueError for a word of another kind."""
    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name or not text:
            raise ValueError(f"{word!r} sets no field: write it as in optimizer.learning_rate=0.003 or task.pairs=4,8")
        found[name] = values_of(text)
    return found


def values_of(text: str) -> list[Any]:
    """Returns one value or, of a text such as 4,8,16, several; a list in brackets is one."""
    for form in (text, f"[{text}]"):
        try:
            value = json.loads(form)
        except json.JSONDecodeError:
            continue
        return value if form != text else [value]
    return [value_of(part) for part in text.split(",")]


def _for_task(word: str) -> Recipe:
    if word.startswith("{"):
        name, task = _task_name(json.loads(word)), json.loads(word)
    else:
        name, task = (PRESETS[word].name, {"preset": word}) if word in PRESETS else (word, None)
    order = sorted(files().items(), key=lambda item: item[0] != name)
    known = [recipe for experiment, file in order for recipe in _recipes(experiment, file)]
    for recipe in known:
        if _task_name(recipe.tree["task"]) == name and task is None:
            return recipe
        if _task_name(recipe.tree["task"]) == name:
            return _posed(recipe, task)
    settings = [setting for setting, published in PRESETS.items() if published.name == name]
    if not settings:
        names = {str(_task_name(recipe.tree["task"])) for recipe in known}
        raise ValueError(
            f"no task or setting is called {word!r}{_near(word, {*names, *PRESETS})}; "
            "`python -m workflow list tasks` and `list settings` have all"
        )
    task = task or {"preset": settings[0]}
    return next(_posed(recipe, task) for recipe in known if _family(recipe.tree["task"]) == _family(task))


def _posed(recipe: Recipe, task: Tree) -> Recipe:
    """Returns the settings with another task, tested as it is: the points of an experiment's grid may not suit it."""
    return recipe._replace(tree=placed(recipe.tree, {"task": task, "evaluation.grid": {}}))


def _family(task: Tree) -> str:
    """Returns the folder of a task's file: what is of one family is trained alike."""
    return type(_TASK.validate_python(PRESETS[task["preset"]] if "preset" in task else task)).__module__.rpartition(
        "."
    )[0]


def _recipes(name: str, found: Stated) -> Iterator[Recipe]:
    """Yields the settings at every point of the grids of an experiment that trains, at its middle rate and its tuning seed."""
    if found.spec.tune is None:
        return
    tune = found.spec.tune.grid | found.change.tune
    rates = sorted(tune[_RATE])
    for grid in found.grids:
        axes = {path: values for path, values in grid.items() if path not in (_MIXER, f"{_RATE}.times")}
        for point in points(axes):
            single = {_RATE: rates[len(rates) // 2], "seed": tune["seed"][0]}
            yield Recipe(placed(found.base, point | single), found, name)


def _task_name(task: Tree | None) -> str | None:
    if not task:
        return None
    return PRESETS[task["preset"]].name if "preset" in task else task.get("name")


def _asked(recipe: Recipe, mixers: str, words: Iterable[str]) -> Asked:
    axes = settings_of(words)
    networks = [_network(recipe, word, axes) for word in _separate(mixers)]
    runs = []
    for network in networks:
        plain = placed(recipe.tree, {"network": network})
        usual = run_of(plain).model_dump(mode="json")
        named = {_path(name, usual): values for name, values in axes.items()}
        for point in points(named):
            varied = {path: value for path, value in point.items() if len(named[path]) > 1}
            if len(networks) > 1:
                varied = {"network.mixer.name": network["mixer"]["name"]} | varied
            runs.append((varied, run_of(placed(usual, point))))
    return Asked(runs, recipe)


def _separate(mixers: str) -> list[str]:
    return [mixers] if mixers.startswith("{") else mixers.split(",")


def _network(recipe: Recipe, word: str, axes: dict[str, list[Any]]) -> Tree:
    """Returns a network with the mixer that a word names: by name, as an experiment has it, as JSON, or in a file."""
    around = recipe.tree["network"]
    if word.endswith(".py"):
        first = {name: values[0] for name, values in axes.items()}
        own = {name.removeprefix(f"{_MIXER}."): value for name, value in first.items() if name.startswith(f"{_MIXER}.")}
        found = entrants_of(Path(word), own, offered=first)
        if len(found) > 1:
            names = " or ".join(mixer["name"] for mixer in found)
            raise ValueError(f"{word} has several mixers: say which, as in {_MIXER}.name={names.partition(' ')[0]}")
        return around | {"mixer": found[0]}
    if word.startswith("{"):
        return around | {"mixer": json.loads(word)}
    known = sorted(mixers_of(word), key=lambda found: (found[2]["block"] == "native", found[0] != recipe.name))
    if not known:
        names = {mixer["name"] for _, mixer, _ in _networks()}
        raise ValueError(
            f"no mixer that experiments have is called {word!r}{_near(word, names)}; "
            "`python -m workflow list mixers` has all, a file of your own ends in .py"
        )
    _, mixer, network = known[0]
    return (network if network["block"] == "native" else around) | {"mixer": mixer}


def _networks() -> Iterator[tuple[str, Tree, Tree]]:
    """Yields the networks of all experiments: of which, the mixer, and all around it."""
    for experiment, found in files().items():
        for grid in found.grids:
            for path, values in grid.items():
                paths = path.split(", ")
                for value in values if _MIXER in paths else []:
                    settings = dict(zip(paths, value if len(paths) > 1 else [value], strict=True))
                    network = placed({"network": found.base["network"]}, settings)["network"]
                    yield experiment, network["mixer"], network


def _path(name: str, tree: Tree) -> str:
    """Returns the dotted path of a field that is named by its end, as `steps`; ValueError if none, or several, end so."""
    paths = list(_paths(tree))
    if name in paths:
        return name
    ends = [path for path in paths if path.endswith(f".{name}")]
    if len(ends) > 1:
        raise ValueError(f"{name} may be {' or '.join(ends)}: write one of them out")
    if ends:
        return ends[0]
    if name.partition(".")[0] in tree and "." in name:  # one that may be absent; the run knows
        return name
    raise ValueError(f"no field is called {name}{_near(name, {*paths, *(path.rpartition('.')[2] for path in paths)})}")


def _paths(tree: Tree, prefix: str = "") -> Iterator[str]:
    for name, value in tree.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{name}.")


def _near(word: str, known: set[str]) -> str:
    near = difflib.get_close_matches(word, sorted(known), n=3)
    return f": did you mean {' or '.join(near)}?" if near else ""
