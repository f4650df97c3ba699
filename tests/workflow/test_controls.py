"""What is known beforehand is told from what came out, whichever way it came out, and enters nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.task import Batch
from tests.workflow.synthetic import RECALL, failing, leave_results, recall_plan
from workflow.agenda import items_of
from workflow.controls.__main__ import controls
from workflow.controls.evidence import ALARM, Evidence
from workflow.controls.networks import of_network
from workflow.controls.predictors import different
from workflow.estimates import estimates
from workflow.evaluation import network_of
from workflow.figures import plotted
from workflow.measured import Measured
from workflow.measurements import measurements
from workflow.planfile import read_plan
from workflow.plans import cohorts, experiment_names, needs, plan
from workflow.points import points
from workflow.runs import TrainingRun
from workflow.statistics.means import Group, combination, p_outside
from workflow.table import read_table, write_table
from workflow.tuning import tuning

ROOT = Path(__file__).parent.parent.parent
STATED = """
controls:
  of: {network.mixer.name: attention, task.pairs: 8}
  seeds_from: 101
  handicap: {network.mixer.window: 1, network.convolution: 0}
reference_examples: 256
"""
CONTROLLED = RECALL.replace("\nreference_examples: 16\n", STATED)
PLAN = recall_plan(CONTROLLED)


def runs_of(control: str) -> list[str]:
    return list(next(made.runs for made in PLAN.controls if made.control == control))


def copied_runs() -> list[str]:
    return list(PLAN.controls[0].of)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("controls")
    leave_results(PLAN, folder)
    return folder


def measured(folder) -> pd.DataFrame:
    found = measurements(read_plan(folder / "quick/recall/plan.json"), runs=folder / "runs")
    write_table(found, folder / "measurements.csv")
    return read_table(folder / "measurements.csv")


@pytest.fixture(scope="module")
def table(folder) -> pd.DataFrame:
    """Measurements in which every control comes out as it must."""
    found = measured(folder)
    found = scored(found, runs_of("chance"), [0.01, 0.03, 0.02])
    return scored(found, runs_of("handicapped"), [0.04, 0.02, 0.03])


def scored(table: pd.DataFrame, runs: list[str], values: list[float]) -> pd.DataFrame:
    """Returns the table with other test accuracies of these runs."""
    tested = (table["name"] == "accuracy") & (table["at.split"] == "test")
    place = table["run"].map(dict(zip(runs, values, strict=True)))
    return table.assign(value=table["value"].mask(tested & place.notna(), place))


def judged(table: pd.DataFrame, folder) -> pd.DataFrame:
    found = controls(read_plan(folder / "quick/recall/plan.json"), measurements=table, runs=folder / "runs")
    return found.set_index(found["control"] + found["of"].where(found["of"] == "", " network"))


def network(control: str, table: pd.DataFrame, folder) -> pd.Series:
    """Returns the row of one control of a network."""
    planned = read_plan(folder / "quick/recall/plan.json")
    references = {run.id: run.run for run in PLAN.runs if run.role == "reference"}
    stated = next(each for each in planned.controls if each.control == control)
    return pd.Series(of_network(control, stated, Evidence(table, references, folder / "runs"))._asdict())


def test_a_plan_has_three_controls_beside_what_it_has_without_them():
    without = recall_plan()
    assert [run for run in PLAN.runs if run.role not in ("control", "reference")] == [
        run for run in without.runs if run.role != "reference"
    ]
    made = {planned.id: planned.run for planned in PLAN.runs if planned.role == "control"}
    copied = {planned.id: planned.run for planned in PLAN.runs}[copied_runs()[0]]
    assert (copied.network.mixer.name, copied.task.pairs) == ("attention", 8)
    duplicates = [made[id] for id in runs_of("duplicate")]
    assert [run.seed for run in duplicates] == [101, 102, 103]
    assert all(run.model_copy(update={"seed": copied.seed}) == copied for run in duplicates)
    assert {made[id].network == copied.network for id in runs_of("chance")} == {True}
    assert {(made[id].optimizer.steps, made[id].optimizer.learning_rate) for id in runs_of("chance")} == {(1, 1e-9)}
    handicapped = [made[id] for id in runs_of("handicapped")]
    assert {(run.network.mixer.window, run.network.convolution) for run in handicapped} == {(1, 0)}
    tuned = {id for run in handicapped for id in run.optimizer.learning_rate.best_of}
    assert {made[id].network == handicapped[0].network for id in tuned} == {True}
    assert len(made) == 3 + 3 + 3 + len(tuned)


def test_controls_come_last_in_a_sweep_and_wait_for_their_own_tuning():
    items = items_of([PLAN], seeds=1)
    roles = {planned.id: planned.role for planned in PLAN.runs}
    order = [roles[item.id] for item in items]
    assert set(order[order.index("control") :]) == {"control"}
    places = {item.id: place for place, item in enumerate(items)}
    assert all(places[need] < places[item.id] for item in items for need in item.needs)
    for cohort in cohorts([PLAN]).values():
        assert all(need not in {run.id for run in cohort} for need in needs(cohort))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("of: {network.mixer.name: lstm}", 'controls.of: no cell of the grid has {"network.mixer.name": "lstm"}'),
        ("of: {network.mixer.nam: attention}", "controls.of: no cell of the grid has"),
        ("seeds_from: 3", "seeds_from=3: a duplicate shares no seed with tune and confirm"),
        ("seeds_from: 0", "seeds_from=0: a duplicate shares no seed with tune and confirm"),
        ("handicap: {network.mixer.window: 0}", "window"),
        ("handicap: {task.pairs: 4}", "the runs of handicapped are those of an entrant"),
        ("seed: 4", "controls.seed: Extra inputs"),
    ],
)
def test_controls_that_are_none_are_told_in_one_line(change, told):
    field = change.partition(":")[0]
    lines = [line for line in CONTROLLED.splitlines() if not line.startswith(f"  {field}:") or "[" in line]
    text = "\n".join(lines).replace("controls:", f"controls:\n  {change}")
    with pytest.raises(ValueError, match="experiment recall, scale quick: ") as error:
        recall_plan(text)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_scale_changes_what_it_names_of_the_controls():
    text = CONTROLLED.replace("quick: {}", "quick: {controls: {of: {task.pairs: 4}, handicap: Nobody learns this.}}")
    made = {control.control: control for control in recall_plan(text).controls}
    copied = {planned.id: planned.run for planned in recall_plan(text).runs}[made["duplicate"].of[0]]
    assert (copied.network.mixer.name, copied.task.pairs) == ("attention", 4)
    assert (made["handicapped"].runs, made["handicapped"].reason) == ((), "Nobody learns this.")


def handicapped_runs() -> list:
    found = []
    for name in experiment_names():
        planned = plan(name, scale="quick")
        runs = {run.id: run.run for run in planned.runs}
        made = [control for control in planned.controls if control.control == "handicapped"]
        found += [pytest.param(runs[each.runs[0]], runs[each.of[0]], id=name) for each in made if each.runs]
    return found


@pytest.mark.parametrize(("handicapped", "copied"), handicapped_runs())
def test_a_handicapped_network_knows_no_past_and_the_one_it_was_made_of_does(handicapped, copied):
    batch = handicapped.task.batch("test", 0, 4)
    other = batch.inputs.clone()
    other[:, :-1] = batch.inputs[:, 1:]
    for run, forgets in ((handicapped, True), (copied, False)):
        torch.manual_seed(1)
        network = network_of(run.network, run.task).double().eval()
        with torch.inference_mode():
            last, again = (
                network.features(inputs.double() if inputs.is_floating_point() else inputs)[:, -1]
                for inputs in (batch.inputs, other)
            )
        apart = (last - again).abs().max().item()
        assert apart < 1e-9 if forgets else apart > 1e-6, run.network


@pytest.mark.parametrize("name", experiment_names())
def test_every_experiment_that_trains_has_controls_at_every_scale(name):
    for scale in ("smoke", "quick", "paper"):
        planned = plan(name, scale=scale)
        trains = any(isinstance(run.run, TrainingRun) for run in planned.runs)
        assert [control.control for control in planned.controls] == (
            ["chance", "duplicate", "handicapped"] if trains else []
        )
        assert all(control.runs or control.reason for control in planned.controls)


def test_controls_enter_no_estimate_no_figure_and_no_choice(folder, table):
    mine = table["role"] == "control"
    assert mine.any()
    poisoned = table.assign(value=table["value"].mask(mine, 1e6))
    planned = read_plan(folder / "quick/recall/plan.json")
    found = estimates(poisoned)
    pd.testing.assert_frame_equal(found, estimates(table[~mine]))
    assert set(found["role"]) == {"confirm", "reference"}
    assert not set(tuning(poisoned, rates=planned.tuned)["run"]) & set(table.loc[mine, "run"])
    for figure in planned.figures.values():
        shown = (points(figure, Measured(planned, found, rows)) for rows in (poisoned, table[~mine]))
        pd.testing.assert_frame_equal(*map(plotted, shown))


def test_all_controls_behave_where_all_came_out_as_they_must(folder, table):
    found = judged(table, folder)
    assert dict(found["behaved"]) == {
        "oracle": "yes",
        "chance": "yes",
        "chance network": "yes",
        "duplicate network": "yes",
        "handicapped network": "yes",
    }
    assert (found["reason"] == "").all()
    assert found["of"].iloc[-1] == "Attention"
    assert found["place"].iloc[-1] == "recall, key-value pairs 8"
    tested = found.loc[["chance", "chance network", "duplicate network", "handicapped network"]]
    assert ((tested["low"] < tested["value"]) & (tested["value"] < tested["high"])).all()
    assert tested["p"].between(0, 1).all()


def test_an_oracle_that_is_wrong_anywhere_misbehaves(folder, table):
    oracle = (table["at.predictor"] == "oracle").to_numpy()
    last = table.index[oracle][-1]
    wrong = judged(table.assign(value=table["value"].mask(table.index == last, 0.999)), folder).loc["oracle"]
    assert (wrong["behaved"], wrong["value"]) == ("no", 0.999)


@pytest.mark.parametrize("added", [0.12, 0.06])
def test_a_constant_answer_that_scores_what_it_cannot_misbehaves(folder, table, added):
    constant = table["at.predictor"] == "constant"
    assert constant.any()
    moved = table.assign(value=table["value"].mask(constant, table["value"] + added))
    assert judged(moved, folder).loc["chance", "behaved"] == "no"


def test_a_split_with_few_different_examples_tells_as_much_as_those():
    tokens_BT = torch.arange(6).unsqueeze(1)
    assert different(Batch(tokens_BT, tokens_BT)) == 6
    assert different(Batch(tokens_BT.repeat(9, 1), tokens_BT)) == 6
    assert different(Batch(torch.zeros(100, 3), tokens_BT)) == 1
    often = torch.tensor([0] * 90 + list(range(1, 11))).unsqueeze(1)  # one example nine times in ten
    assert different(Batch(often, often)) == 1


def test_an_untrained_network_that_is_better_than_chance_misbehaves_and_a_worse_one_does_not(folder, table):
    for values, behaved in (([0.2, 0.22, 0.21], "no"), ([0.0, 0.0, 0.0], "yes")):
        assert network("chance", scored(table, runs_of("chance"), values), folder)["behaved"] == behaved


def test_a_duplicate_that_scores_otherwise_misbehaves_whichever_way(folder, table):
    table = scored(table, copied_runs(), [0.5, 0.51, 0.49])
    for values, behaved in (([0.7, 0.71, 0.69], "no"), ([0.3, 0.31, 0.29], "no"), ([0.52, 0.48, 0.51], "yes")):
        assert network("duplicate", scored(table, runs_of("duplicate"), values), folder)["behaved"] == behaved


def test_where_all_seeds_agree_the_number_of_labels_says_how_far_they_may_lie_apart(folder, table):
    table = scored(table, copied_runs(), [1.0] * 3)
    for values, behaved in (([1.0] * 3, "yes"), ([0.99] * 3, "yes"), ([0.5] * 3, "no")):
        found = network("duplicate", scored(table, runs_of("duplicate"), values), folder)
        assert found["behaved"] == behaved
        assert found["low"] < found["high"]


def test_a_handicapped_entrant_that_does_not_lose_misbehaves(folder, table):
    table = scored(table, copied_runs(), [0.9, 0.8, 0.85])
    for values in ([0.9, 0.85, 0.8], [0.95, 0.96, 0.97]):
        assert network("handicapped", scored(table, runs_of("handicapped"), values), folder)["behaved"] == "no"


def test_nothing_can_lose_to_an_entrant_that_learned_nothing(folder, table):
    found = network("handicapped", scored(table, copied_runs(), [0.03, 0.02, 0.04]), folder)
    assert found["behaved"] == "not run"
    assert found["reason"].startswith("Attention itself is not shown to be better than 0.0")


def test_a_failed_run_counts_as_the_worst_outcome(folder, table, tmp_path):
    ended = dict.fromkeys(runs_of("duplicate"), "diverged")
    leave_results(PLAN, tmp_path, ended=ended)
    assert network("duplicate", measured(tmp_path), tmp_path)["behaved"] == "no"
    leave_results(PLAN, tmp_path, ended=failing(PLAN, role="control", mixer="attention", status="diverged"))
    assert network("handicapped", measured(tmp_path), tmp_path)["behaved"] == "yes"


def test_what_was_not_run_is_said_with_the_reason(folder, table):
    planned = read_plan(folder / "quick/recall/plan.json")
    partial = table[table["run"] != runs_of("duplicate")[0]]
    row = network("duplicate", partial, folder)
    assert (row["behaved"], row["reason"]) == ("not run", "1 of 3 results are missing")
    row = judged(table[table["at.predictor"] != "oracle"], folder).loc["oracle"]
    assert (row["behaved"], row["reason"]) == ("not run", "2 of 2 results are missing")
    row = judged(table[table["at.predictor"] != "constant"], folder).loc["chance"]
    assert (row["behaved"], row["reason"]) == ("not run", "its result is missing")
    row = network("duplicate", table[~table["run"].isin(copied_runs())], folder)
    assert (row["behaved"], row["reason"]) == ("not run", "the entrant it is made of has no result")
    none = table[table["role"] != "reference"].drop(columns="at.predictor")
    assert dict(judged(none, folder)["behaved"].iloc[:3]) == {
        "oracle": "not run",
        "chance": "not run",
        "chance network": "not run",
    }
    found = controls(planned.model_copy(update={"controls": ()}), measurements=table, runs=folder / "runs")
    assert set(found["behaved"].iloc[2:]) == {"not run"}
    assert set(found["reason"].iloc[2:]) == {"the experiment states none"}


def test_an_experiment_that_trains_nothing_has_no_controls(folder, table):
    planned = read_plan(folder / "quick/recall/plan.json")
    timed = planned.model_copy(update={"runs": (), "controls": ()})
    found = controls(timed, measurements=table.iloc[:0], runs=folder / "runs")
    assert found.empty
    assert list(found.columns[:3]) == ["experiment", "control", "of"]


def test_identical_entrants_are_told_apart_as_rarely_as_said():
    draws = np.random.default_rng(5).normal(0.5, 0.1, size=(4000, 2, 3))
    alarms = 0
    for one, other in draws:
        groups = [
            Group(float(each.mean()), float(each.std(ddof=1)), 3, weight) for each, weight in ((one, 1), (other, -1))
        ]
        alarms += p_outside(combination(groups), 0.0, 0.0) < ALARM
    assert 0.2 * ALARM < alarms / len(draws) < ALARM + 3 * (ALARM / len(draws)) ** 0.5


def test_the_command_leaves_the_table(folder, table):
    write_table(table, folder / "quick/recall/measurements.csv")
    command = [sys.executable, "-m", "workflow.controls", folder / "quick/recall", "--runs", folder / "runs"]
    subprocess.run([*command, "--output", folder / "controls.csv"], check=True, cwd=ROOT)
    found = read_table(folder / "controls.csv")
    assert list(found["control"]) == ["oracle", "chance", "chance", "duplicate", "handicapped"]
    assert set(found["behaved"]) == {"yes"}
    assert set(found["experiment"]) == {"recall"}
    failed = subprocess.run([*command[:3], folder / "nowhere", *command[4:], "--output", folder / "c.csv"],
                            check=False, cwd=ROOT, capture_output=True, text=True)  # fmt: skip
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: ")
    assert json.loads((folder / "quick/recall/plan.json").read_text(encoding="utf-8"))["controls"]
