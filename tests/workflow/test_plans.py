"""An experiment file becomes runs, or one line that says what is wrong with it."""

import json

import pytest
import yaml

from tests.models.rows import ARCHITECTURES, settings
from workflow.plans import SCALES, cohorts, experiment_names, needs, plan, plan_of, write_plan
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
            "batch_size": 2,
            "weight_decay": 0.1,
            "beta2": 0.95,
            "gradient_clip": 1.0,
        },
        "evaluation": {"every_steps": 2, "batches": 1, "stop_accuracy": None, "piece": None, "grid": {}},
        "precision": "float32",
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


def test_a_cohort_differs_only_in_learning_rate_and_seed():
    for name, cohort in cohorts([planned()]).items():
        left = {
            run.run.model_copy(
                update={"seed": 0, "optimizer": run.run.optimizer.model_copy(update={"learning_rate": 1.0})}
            ).model_dump_json()
            for run in cohort
            if isinstance(run.run, TrainingRun)
        }
        assert len(left) <= 1, name
        assert all(need not in {run.id for run in cohort} for need in needs(cohort))


def test_runs_shared_by_two_experiments_are_served_once():
    one = planned()
    other = one._replace(experiment="another")
    served = [run.id for cohort in cohorts([one, other]).values() for run in cohort]
    assert len(served) == len(set(served)) == len(one.runs)


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
    with pytest.raises(ValueError, match="choose one of cost, language-modeling, native-cost, recall, state-tracking"):
        plan("recal", scale="smoke")
