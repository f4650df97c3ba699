"""An experiment file becomes runs: base x grid at one scale, every run validated before the first one starts."""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml
from pydantic import Field, ValidationError

from models.own import digest_of, kept_file
from tasks import AnyTask
from tasks.series.series import SeriesTask
from workflow.claims.files import keep
from workflow.files import write
from workflow.grids import points
from workflow.identity import group_id, run_id
from workflow.planfile import SCALES, Control, Figure, PlanFile, PlannedControl, PlannedRun, Role, Tree, first_problem
from workflow.runs import ReferenceRun, Run, RunFile, TrainingRun
from workflow.settings import has, merged, run_at
from workflow.spec import Spec

FOLDER = Path(__file__).parent / "experiments"

_CELLS = 4  # that share a process where they may
_MIXER = "network.mixer"
_RATE = "optimizer.learning_rate"
_TIMES = f"{_RATE}.times"
_PRETRAINED_AT = "pretraining.learning_rate"
_UNTRAINED = {"optimizer.steps": 1, "optimizer.warmup_steps": 0, "evaluation.every_steps": 1, _RATE: 1e-9}

Axes = dict[str, list[Any]]


class Rung(Spec):
    """A step of successive halving: learning rates are tried `until` this step, and the best `keep` of them go on."""

    until: int = Field(gt=0)
    keep: int = Field(gt=0)


class Tuning(Spec):
    """Where the learning rate is chosen: these axes, at this point of the grid or, where `at` is empty, in every cell of it.

    `halving` has the rungs before the last, which is the whole of training (Jamieson and Talwalkar 2016; none: all rates are
    trained to the end). The seeds of a rate are judged together.
    """

    at: Tree
    grid: Axes
    halving: tuple[Rung, ...] = ()


class Controls(Spec):
    """Three entrants of known outcome, made of the first cell of the grid that has the settings `of`, by dotted path.

    A duplicate, trained from the seeds `seeds_from` and on, as many as confirm, at the rate chosen for the cell. A handicapped
    one, with the settings of `handicap`, tuned and confirmed as all are; or why there can be none. One that is not trained.
    """

    of: Tree
    seeds_from: int = Field(ge=0)
    handicap: Tree | str


class Change(Spec):
    """What a scale changes; an axis named here, or `halving`, replaces the one above. Of several grids, all points are run."""

    base: Tree = {}
    grid: Axes | list[Axes] = {}
    tune: Axes = {}
    tune_at: Tree = {}
    halving: tuple[Rung, ...] | None = None
    confirm: Axes = {}
    controls: Tree = {}


class Experiment(Spec):
    """A question, the settings all its runs share, what varies, what answers it, and what each scale changes.

    One that is `apart`, for its length, is no part of `reproduce-all`.
    """

    question: str
    apart: bool = False
    figures: dict[str, Figure] = Field(min_length=1)
    base: Tree
    grid: Axes
    tune: Tuning | None = None
    confirm: Axes = {}
    controls: Controls | None = None
    reference_examples: int = Field(default=0, ge=0)
    scales: dict[Literal["smoke", "quick", "paper"], Change]


class Stated(NamedTuple):
    """An experiment file at one scale: all of it, what the scale changes, what all runs share, every grid, whose file it is."""

    spec: Experiment
    change: Change
    base: Tree
    grids: list[Axes]
    where: str


class Protocol(NamedTuple):
    """What all entrants of a plan share: their settings, how a rate is chosen, the axes of confirmation, whose file it is."""

    base: Tree
    tune: Tuning
    fresh: Axes
    where: str

    def runs(self, settings: Tree, axes: Axes) -> list[Run]:
        """Returns the runs at every point of the axes."""
        return [run_at(self.base, settings | point, where=self.where) for point in points(axes)]


class Planned(NamedTuple):
    """A run with its name, its part in the experiment, and the cohort whose process serves it."""

    id: str
    role: Role
    cohort: str
    run: Run


class Plan(NamedTuple):
    """Every run of one experiment at one scale. `varied` are the fields the grid varies, `tuned` the grid of learning rates."""

    experiment: str
    scale: str
    question: str
    figures: dict[str, Figure]
    varied: tuple[str, ...]
    tuned: tuple[float, ...]
    runs: tuple[Planned, ...]
    controls: tuple[PlannedControl, ...]


def experiment_names() -> list[str]:
    """Returns the names of the experiments: the names of the files in `workflow/experiments`."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def reproduced_names() -> list[str]:
    """Returns the names of the experiments that `reproduce-all` runs: of all that are not apart."""
    stated = {
        name: yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")) for name in experiment_names()
    }
    return [name for name, file in stated.items() if not file.get("apart", False)]


def plan(experiment: str, *, scale: str, own: Sequence[Tree] = ()) -> Plan:
    """Returns the plan of an experiment; ValueError in one line that names the file and the field if anything in it is wrong.

    `own` mixers are more entrants beside those of the file, tuned and confirmed as all are.
    """
    if scale not in SCALES:
        raise ValueError(f"unknown scale {scale!r}: choose one of {', '.join(SCALES)}, as in --config scale=quick")
    path = FOLDER / f"{experiment}.yaml"
    if not path.exists():
        raise ValueError(f"unknown experiment {experiment!r}: choose one of {', '.join(experiment_names())}")
    return plan_of(path.read_text(encoding="utf-8"), experiment=experiment, scale=scale, own=own)


def stated(text: str, *, experiment: str, scale: str) -> Stated:
    """Returns what the text of an experiment file says at a scale; ValueError as for `plan`."""
    where = f"experiment {experiment}, scale {scale}"
    try:
        spec = Experiment.model_validate_json(json.dumps(yaml.safe_load(text)))
    except ValidationError as error:
        raise ValueError(f"{where}: {first_problem(error)}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{where}: not YAML: {' '.join(str(error).split())}") from None
    change = spec.scales.get(scale, Change())
    grids = [spec.grid | axes for axes in (change.grid if isinstance(change.grid, list) else [change.grid])]
    return Stated(spec, change, merged(spec.base, change.base), grids, where)


def plan_of(text: str, *, experiment: str, scale: str, own: Sequence[Tree] = ()) -> Plan:
    """Returns the plan that the text of an experiment file describes; ValueError as for `plan`."""
    spec, change, base, grids, where = stated(text, experiment=experiment, scale=scale)
    grids = _with_own(grids, own, base=base)
    runs: dict[str, Planned] = {}
    waiting: dict[str, list[list[Run]]] = {}
    protocol = _protocol(spec, change, base=base, where=where)
    entrants: list[tuple[Tree, list[Run]]] = []
    for cell in itertools.chain.from_iterable(points(grid) for grid in grids):
        if protocol is None:
            _add(runs, "profile", [run_at(base, cell, where=where)])
            continue
        multiple = {"times": cell[_TIMES]} if _TIMES in cell else {}
        cell = _pretrained({path: value for path, value in cell.items() if path != _TIMES}, runs, protocol=protocol)
        selected = _tune(runs, cell | protocol.tune.at, protocol=protocol, control=False)
        confirming = protocol.runs(cell | {_RATE: selected | multiple}, protocol.fresh)
        entrants.append((cell, confirming))
        # Cells that wait for the same tuning runs share processes, as starting one costs more than a small run.
        cells = waiting.setdefault(group_id(selected["best_of"]), [])
        cells.append(confirming)
        _add(runs, "confirm", confirming, cohort=_cohort("confirm", cells[(len(cells) - 1) // _CELLS * _CELLS]))
        told = confirming[0].model_dump(mode="json")
        reference = {"kind": "reference", "task": told["task"], "examples": spec.reference_examples}
        reference["grid"] = told["evaluation"]["grid"]
        if isinstance(confirming[0].task, SeriesTask):  # single windows weigh much: on those that the networks see
            reference["examples"] = told["evaluation"]["batches"] * told["optimizer"]["batch_size"]
        _add(runs, "reference", [run_at(reference, {}, where=where)])
    controls: tuple[PlannedControl, ...] = ()
    if protocol is not None and spec.controls is not None:
        controls = _controls(runs, _controls_at(spec.controls, change, where=where), entrants, protocol=protocol)
    if len({planned.run.network.block for planned in runs.values() if not isinstance(planned.run, ReferenceRun)}) > 1:
        raise ValueError(
            f"{where}: network.block is shared in some runs and native in others, which are not to be compared: "
            "give each an experiment of its own"
        )
    _refuse_mixed_sources(
        [planned.run.task for planned in runs.values() if isinstance(planned.run, TrainingRun)], where
    )
    varied = tuple(dict.fromkeys(path for grid in grids for key in grid for path in key.split(", ")))
    return Plan(
        experiment=experiment,
        scale=scale,
        question=" ".join(spec.question.split()),
        figures=spec.figures,
        varied=varied,
        tuned=tuple(protocol.tune.grid[_RATE]) if protocol else (),
        runs=tuple(runs.values()),
        controls=controls,
    )


def write_plan(plan: Plan, *, results: Path) -> None:
    """Leaves the plan beside its future tables, and what `write_runs` does. What exists stays as it is."""
    write_runs({planned.id: planned.run for planned in plan.runs}, results=results)
    runs = tuple(PlannedRun(id=run.id, role=run.role, network=_network(run.run)) for run in plan.runs)
    text = PlanFile(**plan._asdict() | {"runs": runs}).model_dump_json(indent=1) + "\n"
    path = results / plan.scale / plan.experiment / "plan.json"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write(path, text)


def write_runs(runs: Mapping[str, Run], *, results: Path) -> None:
    """Leaves a `run.json` in the folder of every run, by name, and what is claimed beforehand.

    Beside them the files of mixers that are a reader's own. What exists stays as it is.
    """
    keep(results)
    for digest in {digest_of(run.network.mixer) for run in runs.values() if not isinstance(run, ReferenceRun)} - {None}:
        copy = results / "models" / f"{digest}.py"
        if not copy.exists():
            write(copy, kept_file(digest).read_bytes().decode("utf-8"))
    for id, run in runs.items():
        path = results / "runs" / id / "run.json"
        if not path.exists():
            write(path, RunFile(run=run).model_dump_json(indent=1) + "\n")


def cohorts(plans: Iterable[Plan]) -> dict[str, list[Planned]]:
    """Returns the runs of all plans by the process that serves them.

    A run that plans share is served once, with no run that any of them does not want: one experiment makes none of another.
    """
    wanted: dict[str, list[str]] = {}
    shared: dict[str, Planned] = {}
    for plan in plans:
        for planned in plan.runs:
            wanted.setdefault(planned.id, []).append(plan.experiment)
            shared.setdefault(planned.id, planned)
    found: dict[str, list[Planned]] = {}
    for id, planned in shared.items():
        found.setdefault("_".join([*wanted[id], planned.cohort]), []).append(planned)
    return found


def needs(cohort: list[Planned]) -> list[str]:
    """Returns the names of the tuning runs that must have ended before this cohort can learn."""
    trained = [planned.run for planned in cohort if isinstance(planned.run, TrainingRun)]
    return sorted({id for run in trained for id in run.chosen_from})


def _with_own(grids: list[Axes], own: Sequence[Tree], *, base: Tree) -> list[Axes]:
    """Returns the grids with `own` mixers behind theirs, as they are where mixers have settings of their own beside them."""
    mixers = [grid.get(_MIXER) for grid in grids]
    native = base.get("network", {}).get("block") != "shared"
    if native or None in mixers or any(path.startswith(f"{_MIXER}.") for grid in grids for path in grid):
        return grids
    if any(other != mixers[0] for other in mixers):
        return grids
    return [grid | {_MIXER: [*grid[_MIXER], *own]} for grid in grids]


def _network(run: Run) -> str:
    return "" if isinstance(run, ReferenceRun) else run.network.model_dump_json()


def _add(runs: dict[str, Planned], role: Role, cell: list[Run], *, cohort: str | None = None) -> list[str]:
    """Puts the runs of a cell into the plan, unless they are there, and returns their names.

    They are served in one process, with those of the cohort where one is named.
    """
    ids = [run_id(run) for run in cell]
    cohort = cohort or _cohort(role, cell)
    for id, run in zip(ids, cell, strict=True):
        runs.setdefault(id, Planned(id, role, cohort, run))
    return ids


def _cohort(role: Role, cell: list[Run]) -> str:
    if role in ("profile", "reference"):
        return role  # one process for all
    return f"{role}-{cell[0].network.mixer.name}-{group_id(list(map(run_id, cell)))}"


def _protocol(spec: Experiment, change: Change, *, base: Tree, where: str) -> Protocol | None:
    """Returns how entrants are tuned and confirmed at a scale, None where they are not; ValueError where that is unsound."""
    if spec.tune is None:
        return None
    halving = spec.tune.halving if change.halving is None else change.halving
    tune = Tuning(at=spec.tune.at | change.tune_at, grid=spec.tune.grid | change.tune, halving=halving)
    fresh = spec.confirm | change.confirm
    if set(fresh["seed"]) & set(tune.grid["seed"]):
        raise ValueError(
            f"{where}: confirm.seed must share no seed with tune.grid.seed: a selected run is not a confirmation"
        )
    return Protocol(base, tune, fresh, where)


def _controls_at(controls: Controls, change: Change, *, where: str) -> Controls:
    try:
        return Controls.model_validate(merged(controls.model_dump(), change.controls))
    except ValidationError as error:
        raise ValueError(f"{where}: controls.{first_problem(error)}") from None


def _pretrained(cell: Tree, runs: dict[str, Planned], *, protocol: Protocol) -> Tree:
    """Puts the tuning runs of a cell's pretraining, if it has one, into the plan; returns the cell with the rate they select."""
    stated = protocol.base.get("pretraining") or {}
    if not cell.get("pretraining.steps", stated.get("steps", 0)):
        return cell
    if protocol.tune.halving:
        raise ValueError(f"{protocol.where}: halving: a run that has a pretraining is trained to its end: leave it out")
    rates = protocol.tune.grid[_RATE]
    axes = protocol.tune.grid | {_RATE: rates[:1], _PRETRAINED_AT: rates}
    tried = [run.before for run in protocol.runs(cell, axes) if isinstance(run, TrainingRun) and run.before]
    return cell | {_PRETRAINED_AT: {"best_of": _add(runs, "pretrain", tried), "place": 0}}


def _tune(runs: dict[str, Planned], cell: Tree, *, protocol: Protocol, control: bool) -> Tree:
    """Puts the tuning runs of a cell into the plan, rung by rung, and returns the learning rate that they select."""
    tune, where = protocol.tune, protocol.where
    rates: list[Any] = tune.grid[_RATE]
    for rung in tune.halving:
        if rung.keep >= len(rates):
            raise ValueError(f"{where}: halving: keep={rung.keep} of {len(rates)} learning rates drops none")
        tried = protocol.runs(cell | {"optimizer.until": rung.until}, tune.grid | {_RATE: rates})
        ids = _add(runs, "control" if control else "screen", tried)
        rates = [{"best_of": ids, "place": place} for place in range(rung.keep)]
    whole = protocol.runs(cell, tune.grid | {_RATE: rates})
    if whole[0].optimizer.until is not None:
        raise ValueError(
            f"{where}: optimizer.until must be null, or no run is tested; tune.halving has an until of its own"
        )
    ends = [*(rung.until for rung in tune.halving), whole[0].optimizer.last_step]
    if ends != sorted(set(ends)):
        raise ValueError(f"{where}: halving: until must grow from rung to rung, and stay below steps={ends[-1]}")
    return {"best_of": _add(runs, "control" if control else "tune", whole), "place": 0}


def _controls(
    runs: dict[str, Planned], controls: Controls, entrants: list[tuple[Tree, list[Run]]], *, protocol: Protocol
) -> tuple[PlannedControl, ...]:
    """Puts the controls into the plan, and returns which of its runs they are."""
    named = [(cell, confirming) for cell, confirming in entrants if has(confirming[0], controls.of)]
    if not named:
        raise ValueError(f"{protocol.where}: controls.of: no cell of the grid has {json.dumps(controls.of)}")
    cell, copied = named[0]
    against, known = tuple(map(run_id, copied)), set(runs)
    made: dict[Control, list[Run]] = {
        "chance": protocol.runs(cell | _UNTRAINED, protocol.fresh),
        "duplicate": _duplicates(copied, cell, first=controls.seeds_from, protocol=protocol),
    }
    for fresh in made.values():  # they share their network with the copied runs, and so a process
        _add(runs, "control", fresh, cohort=runs[against[0]].cohort)
    if isinstance(controls.handicap, dict):
        # The changes come last, as they may go into what the cell states.
        selected = _tune(runs, cell | protocol.tune.at | controls.handicap, protocol=protocol, control=True)
        made["handicapped"] = protocol.runs(cell | controls.handicap | {_RATE: selected}, protocol.fresh)
        _add(runs, "control", made["handicapped"])
    names = {control: tuple(map(run_id, cohort)) for control, cohort in made.items()}
    if twice := [control for control, ids in names.items() if known & set(ids)]:
        raise ValueError(
            f"{protocol.where}: controls: the runs of {twice[0]} are those of an entrant: change another field"
        )
    reason = controls.handicap if isinstance(controls.handicap, str) else ""
    return (
        PlannedControl(control="chance", of=against, runs=names["chance"], reason=""),
        PlannedControl(control="duplicate", of=against, runs=names["duplicate"], reason=""),
        PlannedControl(control="handicapped", of=against, runs=names.get("handicapped", ()), reason=reason),
    )


def _duplicates(copied: list[Run], cell: Tree, *, first: int, protocol: Protocol) -> list[Run]:
    """Returns as many runs of the cell as confirm it, from other seeds, at the rate that was chosen for it."""
    seeds = list(range(first, first + len(protocol.fresh["seed"])))
    if set(seeds) & {*protocol.fresh["seed"], *protocol.tune.grid["seed"]}:
        raise ValueError(
            f"{protocol.where}: controls.seeds_from={first}: a duplicate shares no seed with tune and confirm"
        )
    rate = copied[0].optimizer.learning_rate.model_dump(mode="json")
    return protocol.runs(cell | {_RATE: rate}, protocol.fresh | {"seed": seeds})


def _refuse_mixed_sources(tasks: Iterable[AnyTask], where: str) -> None:
    """ValueError where an experiment would compare a task with another of the same name that its source builds otherwise."""
    sources: dict[str, str] = {}
    for task in tasks:
        source = getattr(task, "source", None)
        if source is not None and sources.setdefault(task.name, source) != source:
            raise ValueError(
                f"{where}: task.source of {task.name} is {sources[task.name]} in some runs and {source} in others, which "
                "are different tasks: give each an experiment of its own"
            )
