"""`python -m workflow show`: the fields of what can be named, from its specification and what that says of them."""

import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from models.network import SharedNetworkSpec
from models.own import DIGEST, own_mixer
from tasks.presets import PRESETS
from tasks.show import shown as task_shown
from workflow.adhoc.listing import documented
from workflow.adhoc.recipes import files, mixers_of, profiling_asked, tasks_of, training_asked
from workflow.adhoc.registry import architectures, mixers, tasks
from workflow.adhoc.terminal import table
from workflow.entrants import mixers_of as mixers_in
from workflow.grids import points
from workflow.planfile import Tree
from workflow.runs import EvaluationSpec, ExecutionSpec, OptimizerSpec, ProfilingRun

Values = dict[str, list[Any]]  # what experiments give to a field

_TYPES = {"object": "mapping"}
_SHOWN = 4  # usual values of a field, at most
_KINDS: dict[str, dict[str, type[BaseModel]]] = {
    "training": {
        "network": SharedNetworkSpec,
        "optimizer": OptimizerSpec,
        "evaluation": EvaluationSpec,
        "execution": ExecutionSpec,
    },
    "profiling": {"": ProfilingRun},
}


def shown(name: str, *, examples: int) -> str:
    """Returns what is to be known of all that has this name; ValueError if nothing has."""
    told: list[str] = []
    if name.endswith(".py"):
        for mixer in mixers_in(Path(name), {}, offered={}):
            own = type(own_mixer(mixer))
            told.append(_spec(f"mixer {mixer['name']} of {name}", own, [mixer], documented(own)))
    if name in PRESETS:
        told.append(task_shown(PRESETS[name], examples=examples))
    if name in _KINDS:
        told.append(_run(name))  # type: ignore[arg-type]
    if name in mixers():
        usual = [mixer for _, mixer, network in mixers_of(name) if network["block"] == "shared"]
        told.append(_spec(f"mixer {name}", mixers()[name], usual, documented(mixers()[name])))
    if name in architectures() and name not in ("hybrid",):
        usual = [mixer for _, mixer, network in mixers_of(name) if network["block"] == "native"]
        told.append(_spec(f"architecture {name}", architectures()[name], usual, documented(architectures()[name])))
    if name in tasks():
        settings = [task.model_dump(mode="json") for task in PRESETS.values() if task.name == name]
        usual = [tree["task"] for _, tree in tasks_of(name) if "preset" not in tree["task"]]
        told.append(_spec(f"task {name}", tasks()[name], usual or settings, ""))
        if published := [setting for setting, task in PRESETS.items() if task.name == name]:
            told.append(_wrapped(f"published settings: {', '.join(published)}"))
    if name in files():
        told.append(_experiment(name))
    if not told:
        raise ValueError(
            f"nothing is called {name!r}: `python -m workflow list mixers`, `tasks`, ... says what there is"
        )
    return "\n\n".join(told)


def _spec(title: str, spec: type[BaseModel], usual: list[Tree], said: str) -> str:
    """Returns a specification's fields; `said` of it, or all its documentation where nothing is."""
    return "\n".join([title, said or _documentation(spec), "", fields_of(spec, usual)])


def fields_of(spec: type[BaseModel], usual: Iterable[Tree], *, prefix: str = "") -> str:
    """Returns a table of fields: what each may be, what experiments at quick give it, and what is said of it."""
    seen: Values = {}
    for tree in usual:
        for path, value in _leaves(tree):
            seen.setdefault(path, []).append(value)
    schema = TypeAdapter(spec).json_schema()
    rows = []
    for path, allowed in _allowed(schema, schema.get("$defs", {})):
        if path not in ("name", "kind", "mixer", "network", DIGEST):
            rows.append([f"{prefix}{path}", allowed, _usual(seen.get(path, [])), _meaning(spec, path)])
    return table(["field", "may be", "usual", "says"], rows) if rows else "no fields"


def _run(kind: Literal["training", "profiling"]) -> str:
    asked = training_asked("mlstm", "recall", ()) if kind == "training" else profiling_asked("mlstm", ())
    tree = asked.runs[0][1].model_dump(mode="json")
    told = [f"a {kind} run: fields beside network.mixer and task, usual as in {asked.recipe.name} at quick"]
    for path, spec in _KINDS[kind].items():
        prefix = f"{path}." if path else ""
        first, _, _ = _documentation(spec).partition("\n\n")
        told += ["", first, fields_of(spec, [tree[path] if path else tree], prefix=prefix)]
    if kind == "training":
        rest = [[name, "", json.dumps(tree[name]), ""] for name in ("precision", "seed")]
        told += ["", table(["field", "may be", "usual", "says"], rest)]
    return "\n".join(told)


def _experiment(name: str) -> str:
    found = files()[name]
    axes = [f"  {path}: {len(values)} values" for grid in found.grids for path, values in grid.items()]
    counts = [len(list(points(grid))) for grid in found.grids]
    figures = [f"  {figure}: {told.y} over {told.x}" for figure, told in found.spec.figures.items()]
    return "\n".join(
        [
            f"experiment {name}",
            " ".join(found.spec.question.split()),
            f"at quick, {sum(counts)} cells:",
            *dict.fromkeys(axes),
            "figures:",
            *figures,
            f"run it: snakemake {name}{f' --config also={name}' if found.spec.apart else ''}",
        ]
    )


def _documentation(spec: type[BaseModel]) -> str:
    return textwrap.dedent(f"    {spec.__doc__ or ''}").strip("\n")


def _meaning(spec: type[BaseModel], path: str) -> str:
    """Returns the sentence that a specification, or one that it inherits or has inside, says of a field; nothing if none does."""
    *parents, leaf = path.split(".")
    for parent in parents:
        spec = _inside(spec, parent)
    for cls in spec.__mro__:
        for sentence in re.split(r"(?<=[.;])\s+", " ".join((cls.__doc__ or "").split())):
            if f"`{leaf}`" in sentence:
                return sentence
    return ""


def _inside(spec: type[BaseModel], field: str) -> type[BaseModel]:
    annotation = spec.model_fields[field].annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else BaseModel


def _allowed(schema: Tree, inside: Tree, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields the fields of a JSON schema by dotted path, with what they may be in words."""
    for name, field in schema.get("properties", {}).items():
        target = inside.get(field.get("$ref", "").rpartition("/")[2], {})
        if target.get("properties"):
            yield from _allowed(target, inside, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _said(field | target, inside)


def _said(field: Tree, inside: Tree) -> str:
    if "$ref" in field and "type" not in field:
        field = inside.get(field["$ref"].rpartition("/")[2], field)
    if "const" in field:
        return json.dumps(field["const"]).strip('"')
    if "enum" in field:
        return ", ".join(json.dumps(value).strip('"') for value in field["enum"])
    if options := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(dict.fromkeys(_said(option, inside) for option in options))
    if field.get("type") == "array":
        parts = [_said(part, inside) for part in field.get("prefixItems", ())]
        return f"[{', '.join(parts)}]" if parts else f"list of {_said(field.get('items', {}), inside)}"
    words = {"exclusiveMinimum": "above", "minimum": "from", "exclusiveMaximum": "below", "maximum": "to"}
    bounds = [f"{said} {field[key]:g}" for key, said in words.items() if key in field]
    return " ".join([_TYPES.get(field.get("type"), str(field.get("type", "mapping"))), *bounds])


def _usual(values: list[Any]) -> str:
    counted = Counter(json.dumps(value) for value in values)
    told = [value.strip('"') for value, _ in counted.most_common()]
    return ", ".join(told[:_SHOWN]) + (", ..." if len(told) > _SHOWN else "")


def _leaves(tree: Tree, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)
