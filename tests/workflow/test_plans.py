"""An experiment file becomes runs, or one line that says what is wrong with it."""

import json

import pytest
import yaml

from tasks.memory.recall import Recall
from tasks.presets import PRESETS
from tests.models.rows import ARCHITECTURES, settings
from workflow import plans
from workflow.planfile import SCALES
from workflow.plans import cohorts, experiment_names, needs, plan, plan_of, reproduced_names, write_plan
from workflow.runs import RunFile, Selected, TrainingRun

SHARED = {"block": "shared", "width": 8, "depth": 1, "positions": 0, "convolution": 4, "feedforward": 0}
NATIVE = {
    "block": "native",
    "width": 8,
    "depth": 1,
    "tied": False,
    "mixer": ARCHITECTURES["llama"].model_dump(mode="json"),
}
EXPERIMENT = {
    "question": "How much?",
    "figures": {"pairs": {"y": "accuracy", "x": "task.pairs"}},
    "base": {
        "kind": "training",
        "task": {"name": "recall", "length": 32, "vocabulary": 64, "pairs": 4, "fillers": 1, "power": 0.01},
        "network": SHARED,
        "optimizer": {
            "final_rate": 0.1,
            "warmup_steps": 1,
            "steps": 4,
            "until": None,
            "batch_size": 2,
            "weight_decay": 0.1,
            "beta2": 0.95,
            "gradient_clip": 1.0,
        },
        "evaluation": {"every_steps": 2, "batches": 1, "stop_accuracy": None, "piece": None, "grid": {}},
        "precision": "float32",
        "execution": {"compile": False, "recompute": False, "micro_batch": None},
    },
    "grid": {
        "network.mixer": [{"name": "lstm", "hidden": 8}, settings("attention", {})],
        "task.pairs": [2, 4, 8],
    },
    "tune": {"at": {"task.pairs": 4}, "grid": {"optimizer.learning_rate": [0.001, 0.01], "seed": [0]}},
    "confirm": {"seed": [1, 2, 3]},
    "reference_examples": 16,
    "scales": {"quick": {"base": {"optimizer": {"steps": 5}}, "confirm": {"seed": [7]}}},
}


def planned(changes=None, *, scale="smoke"):
    text = json.dumps(EXPERIMENT | (changes or {}))
    return plan_of(text, experiment="trial", scale=scale)


@pytest.mark.parametrize("experiment", experiment_names())
@pytest.mark.parametrize("scale", SCALES)
def test_every_experiment_can_be_planned_at_every_scale(experiment, scale):
    assert plan(experiment, scale=scale).runs


def test_a_plan_is_base_times_grid_with_tuning_shared_where_the_file_says():
    roles = [run.role for run in planned().runs]
    assert roles.count("tune") == 2 * 2  # mixers x rates, at one setting of the task
    assert roles.count("confirm") == 2 * 3 * 3  # mixers x pairs x seeds
    assert roles.count("reference") == 3  # one a task


def test_tuning_everywhere_is_the_default_without_a_place():
    tune = EXPERIMENT["tune"] | {"at": {}}
    assert [run.role for run in planned({"tune": tune}).runs].count("tune") == 2 * 3 * 2


def test_a_scale_changes_what_it_names_and_nothing_else():
    smoke, quick = (
        next(run.run for run in planned(scale=scale).runs if run.role == "confirm") for scale in ("smoke", "quick")
    )
    assert (smoke.optimizer.steps, quick.optimizer.steps) == (4, 5)
    assert (smoke.seed, quick.seed) == (1, 7)
    assert smoke.task == quick.task


def test_every_architecture_gets_the_same_budget():
    training = [run.run for run in planned().runs if isinstance(run.run, TrainingRun)]
    shared = {run.optimizer.model_copy(update={"learning_rate": 1.0}).model_dump_json() for run in training}
    assert len(shared) == 1


def test_confirmation_learns_at_the_rate_its_own_tuning_selects():
    plan = planned()
    rates = {run.id: run.run for run in plan.runs if run.role == "tune"}
    for run in plan.runs:
        if run.role == "confirm":
            assert isinstance(run.run.optimizer.learning_rate, Selected)
            for id in run.run.optimizer.learning_rate.best_of:
                assert rates[id].network == run.run.network


def test_a_cohort_is_of_one_network_and_its_runs_wait_for_the_same():
    for name, cohort in cohorts([planned()]).items():
        trained = [run.run for run in cohort if isinstance(run.run, TrainingRun)]
        assert len({run.network.model_dump_json() for run in trained}) <= 1, name
        assert len({str(run.optimizer.learning_rate) for run in trained if run.seed in (1, 2, 3)}) <= 1, name
        assert all(need not in {run.id for run in cohort} for need in needs(cohort))


def test_cells_that_wait_for_the_same_rates_share_processes_a_few_at_a_time():
    tasks = [
        {"name": "recall", "length": 16 + at, "vocabulary": 32, "pairs": 2, "fillers": 1, "power": 0.01}
        for at in range(6)
    ]
    grid = {"network.mixer": EXPERIMENT["grid"]["network.mixer"][:1], "task": tasks}
    tune = EXPERIMENT["tune"] | {"at": {"task": tasks[0]}}
    confirming = [
        len(cohort)
        for cohort in cohorts([planned({"grid": grid, "tune": tune})]).values()
        if cohort[0].role == "confirm"
    ]
    assert sorted(confirming) == [2 * 3, 4 * 3]  # cells x seeds


HALVING = {
    "at": {"task.pairs": 4},
    "grid": {"optimizer.learning_rate": [0.001, 0.003, 0.01, 0.03], "seed": [0, 9]},
    "halving": [{"until": 2, "keep": 3}, {"until": 4, "keep": 2}],
}
LONGER = EXPERIMENT["base"] | {"optimizer": EXPERIMENT["base"]["optimizer"] | {"steps": 6}}


def test_halving_tries_all_rates_a_little_and_fewer_for_longer():
    runs = [run for run in planned({"tune": HALVING, "base": LONGER}).runs if run.role in ("screen", "tune")]
    for mixer in ("lstm", "attention"):
        ends = [run.run.optimizer.until for run in runs if run.run.network.mixer.name == mixer]
        assert ends == [2] * 4 * 2 + [4] * 3 * 2 + [None] * 2 * 2  # rates x seeds
    assert {run.role for run in runs if run.run.optimizer.until is None} == {"tune"}
    assert {run.role for run in runs if run.run.optimizer.until is not None} == {"screen"}


def test_every_rung_chooses_among_the_rung_before_and_waits_for_it():
    plan = planned({"tune": HALVING, "base": LONGER})
    mine = [run for run in plan.runs if run.role != "reference" and run.run.network.mixer.name == "lstm"]
    rungs = [[run for run in mine if run.role == "screen" and run.run.optimizer.until == until] for until in (2, 4)]
    rungs.append([run for run in mine if run.role == "tune"])
    for before, rung, kept in zip(rungs[:2], rungs[1:], (3, 2), strict=True):
        asked = [run.run.optimizer.learning_rate for run in rung]
        assert {rate.best_of for rate in asked} == {tuple(run.id for run in before)}
        assert sorted((rate.place, run.run.seed) for rate, run in zip(asked, rung, strict=True)) == [
            (place, seed) for place in range(kept) for seed in (0, 9)
        ]
    asked = {run.run.optimizer.learning_rate for run in mine if run.role == "confirm"}
    assert asked == {Selected(best_of=tuple(run.id for run in rungs[-1]), place=0)}
    waits = {cohort[0].id: needs(cohort) for cohort in cohorts([plan]).values()}
    assert [waits[rung[0].id] for rung in rungs] == [[], *(sorted(run.id for run in rung) for rung in rungs[:2])]


def test_a_scale_can_halve_otherwise_or_not_at_all():
    for halving, screened in ((None, 4 + 3), ([], 0), ([{"until": 2, "keep": 1}], 4)):
        change = {"base": {"optimizer": {"steps": 6}}} | ({} if halving is None else {"halving": halving})
        runs = planned({"tune": HALVING, "scales": {"smoke": change}}).runs
        assert [run.role for run in runs].count("screen") == screened * 2 * 2  # seeds x mixers


@pytest.mark.parametrize(
    ("halving", "told"),
    [
        ([{"until": 2, "keep": 2}], "halving: keep=2 of 2 learning rates drops none"),
        ([{"until": 4, "keep": 1}], "halving: until must grow from rung to rung, and stay below steps=4"),
        ([{"until": 8, "keep": 1}], "until=8 is beyond the schedule's steps=4"),
        ([{"until": 3, "keep": 1}], "until=3 is no multiple of evaluation.every_steps=2"),
        ([{"until": 2}], "keep"),
    ],
)
def test_halving_that_cannot_be_is_told_in_one_line(halving, told):
    with pytest.raises(ValueError, match="experiment trial, scale smoke: ") as error:
        planned({"tune": EXPERIMENT["tune"] | {"halving": halving}})
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_preset_is_written_out_and_can_be_changed(monkeypatch):
    monkeypatch.setitem(PRESETS, "somewhere/recall/64", Recall(**EXPERIMENT["base"]["task"] | {"length": 64}))
    base = EXPERIMENT["base"] | {"task": {"preset": "somewhere/recall/64", "vocabulary": 40}}
    tasks = {run.run.task for run in planned({"base": base}).runs}
    assert {(task.length, task.vocabulary) for task in tasks} == {(64, 40)}
    assert "preset" not in planned({"base": base}).runs[0].run.model_dump_json()


def test_an_unknown_preset_is_refused_with_those_that_are_near(monkeypatch):
    monkeypatch.setitem(PRESETS, "somewhere/recall/64", Recall(**EXPERIMENT["base"]["task"]))
    with pytest.raises(ValueError, match="unknown preset 'somewhere/recal/64': did you mean somewhere/recall/64"):
        planned({"base": EXPERIMENT["base"] | {"task": {"preset": "somewhere/recal/64"}}})


def test_tasks_of_one_name_and_two_sources_are_not_compared(monkeypatch):
    class Sourced(Recall):
        source: str

    one, other = (Sourced(**EXPERIMENT["base"]["task"], source=source) for source in ("deletang", "xlstm"))
    plans._refuse_mixed_sources([one, one], "here")
    with pytest.raises(ValueError, match=r"task\.source of recall is deletang in some runs and xlstm in others"):
        plans._refuse_mixed_sources([one, other], "here")


def test_a_scale_with_several_grids_runs_the_points_of_all_and_each_once():
    pairs = [{"task.pairs": [2, 4]}, {"task.pairs": [4, 6]}]
    several = planned({"scales": {"quick": {"grid": pairs}}})
    whole = planned({"scales": {"quick": {"grid": {"task.pairs": [2, 4, 6]}}}})
    assert {run.id for run in several.runs} == {run.id for run in whole.runs}
    assert several.varied == whole.varied


def test_a_point_of_the_grid_that_needs_another_network_is_refused():
    evaluation = EXPERIMENT["base"]["evaluation"] | {"grid": {"vocabulary": [40]}}
    with pytest.raises(ValueError, match=r"vocabulary_size would be 40 at .* vary that in the experiment"):
        planned({"base": EXPERIMENT["base"] | {"evaluation": evaluation}})


def test_runs_shared_by_two_experiments_are_served_once():
    one = planned()
    other = one._replace(experiment="another")
    served = [run.id for cohort in cohorts([one, other]).values() for run in cohort]
    assert len(served) == len(set(served)) == len(one.runs)


def test_a_process_makes_no_run_that_one_of_its_experiments_does_not_want():
    whole = planned()
    part = whole._replace(experiment="part", runs=whole.runs[::2])
    for serving in (cohorts([whole, part]), cohorts([part, whole])):
        wanted = {run.id for run in part.runs}
        assert all(len({run.id in wanted for run in cohort}) == 1 for cohort in serving.values())
        assert {run.id for cohort in serving.values() for run in cohort} == {run.id for run in whole.runs}


def test_a_written_plan_reads_back_as_the_same_runs(tmp_path):
    plan = planned()
    write_plan(plan, results=tmp_path)
    for run in plan.runs:
        text = (tmp_path / "runs" / run.id / "run.json").read_text(encoding="utf-8")
        assert RunFile.model_validate_json(text).run == run.run
    record = json.loads((tmp_path / "smoke" / "trial" / "plan.json").read_text(encoding="utf-8"))
    assert [row["id"] for row in record["runs"]] == [run.id for run in plan.runs]


def test_axes_that_go_together_vary_together():
    grid = {"network.mixer": EXPERIMENT["grid"]["network.mixer"][:1], "task.length, task.pairs": [[16, 2], [32, 8]]}
    tasks = {
        (run.run.task.length, run.run.task.pairs)
        for run in planned({"grid": grid, "tune": EXPERIMENT["tune"] | {"at": {}}}).runs
    }
    assert tasks == {(16, 2), (32, 8)}


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("base.optimizer.step", 5, "optimizer.step: Extra inputs"),
        ("base.optimizer.steps", "many", "optimizer.steps"),
        ("base.optimizer.steps", 1, "warmup_steps=1 must be below steps=1"),
        ("base.task.length", 8, "pairs"),
        ("base.network.width", -8, "width"),
        ("base.network.mixer", {"name": "mlstn"}, "mlstn"),
        (
            "grid",
            {"network": [SHARED | {"mixer": settings("lstm", {})}, NATIVE], "task.pairs": [2]},
            "network.block is shared in some runs and native in others",
        ),
        ("confirm.seed", [0, 1], "confirm.seed must share no seed"),
        ("base.optimizer.until", 2, "optimizer.until must be null, or no run is tested"),
        ("qestion", "What?", "qestion"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_before_any_run(path, value, told):
    tree = json.loads(json.dumps(EXPERIMENT))
    *parents, leaf = path.split(".")
    node = tree
    for parent in parents:
        node = node[parent]
    node[leaf] = value
    if leaf == "mixer":
        del tree["grid"]["network.mixer"]
    with pytest.raises(ValueError, match="experiment trial, scale smoke: ") as error:
        plan_of(yaml.safe_dump(tree), experiment="trial", scale="smoke")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_unknown_names_are_told_with_the_known_ones():
    with pytest.raises(ValueError, match="choose one of smoke, quick, paper"):
        plan("recall", scale="large")
    with pytest.raises(ValueError, match=f"choose one of {', '.join(experiment_names())}"):
        plan("recal", scale="smoke")


def test_what_is_apart_is_no_part_of_reproduce_all():
    assert set(reproduced_names()) < set(experiment_names())
    for name in experiment_names():
        stated = yaml.safe_load((plans.FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
        assert (name in reproduced_names()) != stated.get("apart", False)


def test_forecasts_are_compared_on_the_windows_that_networks_are_tested_on():
    for run in plan("forecasting", scale="quick").runs:
        if run.role == "reference":
            assert run.run.examples == 16 * 32
