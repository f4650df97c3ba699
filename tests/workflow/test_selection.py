"""The learning rate that is chosen, by validation data alone, from trials that ended well, badly, early or not at all."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workflow.synthetic import MADE, RECALL, failing, leave_results, recall_plan
from tests.workflow.test_figures import tables_of
from tests.workflow.test_training import folder_of, served
from workflow.captions import tuning_caption
from workflow.fairness import fairness_rows
from workflow.figures import draw_all, learning_rates
from workflow.files import write
from workflow.identity import run_id
from workflow.measured import Measured
from workflow.plans import run_at
from workflow.results import Measurement, Result, read_result
from workflow.runs import Selected, TrainingRun
from workflow.selection import selected_rate, selected_trial
from workflow.table import RATE, TIMES, TUNED_BY
from workflow.tuning import tuning

HALVED = RECALL.replace("seed: [0]}\n", "seed: [0, 4]}\n  halving: [{until: 2, keep: 2}]\n")
TRIAL = recall_plan().runs[0].run
GOAL = 0.99


def run_of(changes) -> TrainingRun:
    return run_at(TRIAL.model_dump(mode="json"), {"evaluation.stop_accuracy": GOAL} | changes, where="test")


def leave(runs: Path, name: str, rate, *, seed=0, loss=1.0, steps=None, status="finished", until=None, test=0.0) -> str:
    """Leaves the result of a trial, which got to the goal if it has `steps`, and returns its name."""
    run = run_of({"optimizer.learning_rate": rate, "seed": seed, "optimizer.until": until})
    reached = GOAL if steps else 0.5
    scores = [("loss", 9.0, "validation"), ("accuracy", 0.4, "validation")]
    scores += [("loss", loss, "validation"), ("accuracy", reached, "validation")]
    scores += [("loss", test, "test"), ("accuracy", 1.0 - test, "test")]
    trained_at = best(runs, rate["best_of"], place=rate["place"]) if isinstance(rate, dict) else rate
    rows = [Measurement(name="learning_rate", value=trained_at, unit="1")]
    if status == "finished":
        rows.append(Measurement(name="steps", value=steps or 4, unit="step"))
        rows += [Measurement(name=what, value=value, unit="1", at={"split": split}) for what, value, split in scores]
    result = Result(id=name, run=run, status=status, measurements=tuple(rows), provenance=MADE)
    write(runs / name / "result.json", result.model_dump_json())
    return name


def best(runs: Path, names, *, place=0) -> float:
    return selected_rate(Selected(best_of=tuple(names), place=place), runs=runs)


def test_the_lowest_last_validation_loss_is_best_and_a_failed_trial_worst(tmp_path):
    left = [
        leave(tmp_path, "low", 0.001, loss=3.0),
        leave(tmp_path, "middle", 0.01, loss=2.0),
        leave(tmp_path, "high", 0.1, status="diverged"),
    ]
    assert [best(tmp_path, left, place=place) for place in range(3)] == [0.01, 0.001, 0.1]


def test_of_trials_that_stopped_at_the_goal_the_first_to_get_there_is_best(tmp_path):
    left = [
        leave(tmp_path, "slow", 0.009, steps=9, loss=0.1),
        leave(tmp_path, "fast", 0.003, steps=3, loss=0.2),
        leave(tmp_path, "short of it", 0.012, loss=0.0),
    ]
    assert [best(tmp_path, left, place=place) for place in range(3)] == [0.003, 0.009, 0.012]


def test_the_test_split_is_never_looked_at(tmp_path):
    left = [leave(tmp_path, "one", 0.5, loss=1.0, test=0.9), leave(tmp_path, "two", 0.1, loss=2.0, test=0.0)]
    assert best(tmp_path, left) == 0.5


def test_a_rate_is_judged_by_all_its_seeds(tmp_path):
    lucky = [leave(tmp_path, f"lucky-{seed}", 0.1, seed=seed, loss=loss) for seed, loss in enumerate((0.1, 3.0))]
    steady = [leave(tmp_path, f"steady-{seed}", 0.01, seed=seed, loss=1.0) for seed in range(2)]
    assert best(tmp_path, [*lucky, *steady]) == 0.01


def test_a_rate_of_which_any_seed_failed_comes_after_all_of_which_none_did(tmp_path):
    wild = [
        leave(tmp_path, "wild-0", 0.1, seed=0, steps=1, loss=0.0),
        leave(tmp_path, "wild-1", 0.1, seed=1, status="diverged"),
    ]
    lost = [leave(tmp_path, f"lost-{seed}", 0.01, seed=seed, status="out_of_memory") for seed in range(2)]
    poor = [leave(tmp_path, f"poor-{seed}", 0.001, seed=seed, loss=8.0) for seed in range(2)]
    places = [best(tmp_path, [*lost, *wild, *poor], place=place) for place in range(3)]
    assert places == [0.001, 0.1, 0.01]


def test_steps_decide_only_among_rates_of_which_every_seed_got_to_the_goal(tmp_path):
    some = [
        leave(tmp_path, "some-0", 0.1, seed=0, steps=1, loss=0.1),
        leave(tmp_path, "some-1", 0.1, seed=1, loss=0.5),
    ]
    every = [leave(tmp_path, f"every-{seed}", 0.01, seed=seed, steps=4 + seed, loss=0.9) for seed in range(2)]
    later = [leave(tmp_path, f"later-{seed}", 0.001, seed=seed, steps=6 - seed, loss=0.1) for seed in range(2)]
    assert [best(tmp_path, [*some, *every, *later], place=place) for place in range(3)] == [0.01, 0.001, 0.1]


TRIALS = st.tuples(
    st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([None, 2, 3]), st.sampled_from(["finished", "diverged"])
)


@settings(deadline=None, max_examples=40)
@given(trials=st.lists(TRIALS, min_size=1, max_size=5), order=st.randoms(use_true_random=False))
def test_of_one_seed_the_best_is_who_stopped_first_or_lost_least_and_has_the_smallest_rate(trials, order):
    with tempfile.TemporaryDirectory() as folder:
        runs, keys = Path(folder), []
        for place, (loss, steps, status) in enumerate(trials):
            rate = 0.001 * (place + 1)
            leave(runs, str(place), rate, loss=loss, steps=steps, status=status)
            failed = status != "finished"
            keys.append((float("inf") if failed or steps is None else steps, float("inf") if failed else loss, rate))
        names = [str(place) for place in range(len(trials))]
        order.shuffle(names)
        assert [best(runs, names, place=place) for place in range(len(trials))] == [key[-1] for key in sorted(keys)]


def test_a_missing_trial_and_a_place_too_many_are_told(tmp_path):
    left = [leave(tmp_path, "one", 0.1), leave(tmp_path, "two", 0.2)]
    with pytest.raises(ValueError, match=r"three/result\.json is missing: train it first"):
        best(tmp_path, [*left, "three"])
    with pytest.raises(ValueError, match="place=2 of 2 learning rates"):
        best(tmp_path, left, place=2)


def rungs(runs: Path) -> tuple[list[str], list[str]]:
    """Leaves three rates with two seeds each, and the two best of them on the next rung."""
    losses = {0.1: 3.0, 0.01: 1.0, 0.001: 2.0}
    first = [
        leave(runs, f"{rate:g}-{seed}", rate, seed=seed, loss=loss + seed, until=2)
        for rate, loss in losses.items()
        for seed in (0, 4)
    ]
    second = [
        leave(runs, f"place-{place}-{seed}", {"best_of": first, "place": place}, seed=seed, loss=2.0 - place)
        for place in range(2)
        for seed in (0, 4)
    ]
    return first, second


def test_the_last_rung_chooses_among_the_rates_that_got_there(tmp_path):
    _, second = rungs(tmp_path)
    assert [best(tmp_path, second, place=place) for place in range(2)] == [0.001, 0.01]


def test_a_trial_that_ran_out_of_memory_leaves_its_rate_the_worst_of_the_rung(tmp_path):
    first, second = rungs(tmp_path)
    leave(tmp_path, second[2], {"best_of": first, "place": 1}, status="out_of_memory")
    assert [best(tmp_path, second, place=place) for place in range(2)] == [0.01, 0.001]


def test_a_run_goes_on_from_the_trial_that_is_its_beginning_and_from_no_other(tmp_path):
    first, _ = rungs(tmp_path)
    choice = {"optimizer.learning_rate": {"best_of": first, "place": 1}}
    assert selected_trial(run_of(choice | {"seed": 0}), runs=tmp_path) == "0.001-0"
    assert selected_trial(run_of(choice | {"seed": 4}), runs=tmp_path) == "0.001-4"
    assert selected_trial(run_of(choice | {"seed": 1}), runs=tmp_path) is None
    assert selected_trial(run_of(choice | {"seed": 0, "task.pairs": 2}), runs=tmp_path) is None
    assert selected_trial(run_of(choice | {"seed": 0, "optimizer.until": 2}), runs=tmp_path) is None
    assert selected_trial(run_of({"optimizer.learning_rate": 0.001}), runs=tmp_path) is None


def test_every_trial_of_every_rung_is_shown_behind_the_choice(tmp_path):
    _, _, measured = tables_of(recall_plan(HALVED), tmp_path)
    trials = tuning(measured, rates=(0.001, 0.003, 0.01))
    assert trials["role"].value_counts().to_dict() == {"screen": 3 * 3 * 2, "tune": 3 * 2 * 2}  # mixers x rates x seeds
    assert trials.groupby(TUNED_BY)["run"].nunique().tolist() == [3 * 2 + 2 * 2] * 3
    assert (trials["selected"] == 0.003).all()
    assert not trials["edge"].any()  # compared with the whole grid, of which the last rung has not all


def test_a_curve_has_no_losses_after_different_numbers_of_steps(tmp_path, monkeypatch):
    plan = recall_plan(HALVED)
    read, estimated, measured = tables_of(
        plan, tmp_path, ended=failing(plan, role="screen", mixer="attention", status="diverged", most=1)
    )
    drawn = []
    monkeypatch.setattr("workflow.figures.curves_of", lambda trials, **_: drawn.append(trials))
    monkeypatch.setattr("workflow.figures.save", lambda *_: None)
    draw_all(Measured(read.model_copy(update={"figures": {}}), estimated, measured), folder=tmp_path)
    assert drawn[0]["until"].isna().all()
    assert drawn[0].groupby("series")["rate"].nunique().tolist() == [2, 2, 2]
    trials, _, _ = learning_rates(Measured(read, estimated, measured))
    told = tuning_caption(trials, plan=read)
    assert "Successive halving: 3 until step 2, and of these the best 2 to the end, which are shown." in told
    assert "1 trial did not finish." in told
    assert "Successive halving" not in tuning_caption(trials[trials["until"].isna()], plan=read)
    head, rows, _ = fairness_rows(Measured(read, estimated, measured))
    assert {row[head.index("Tuning trials")] for row in rows} == {str(3 * 2)}


def test_screening_enters_no_estimate(tmp_path):
    _, estimated, measured = tables_of(recall_plan(HALVED), tmp_path)
    assert set(measured["role"]) == {"screen", "tune", "confirm", "reference"}
    assert set(estimated["role"]) == {"confirm", "reference"}
    assert not [column for column in estimated.columns if column.endswith((".place", ".best_of"))]


def test_a_halved_plan_leaves_results_that_select_each_other(tmp_path):
    plan = recall_plan(HALVED)
    leave_results(plan, tmp_path)
    for planned in plan.runs:
        if planned.role == "confirm":
            assert selected_rate(planned.run.optimizer.learning_rate, runs=tmp_path / "runs") == 0.003
            assert selected_trial(planned.run, runs=tmp_path / "runs") is None
        if planned.role == "tune":
            name = selected_trial(planned.run, runs=tmp_path / "runs")
            assert name in planned.run.optimizer.learning_rate.best_of


MULTIPLES = RECALL.replace("  task.pairs: [4, 8]\n", "  optimizer.learning_rate.times: [1.0, 4.0, 16.0]\n").replace(
    "tune:\n  at: {task.pairs: 4}", "tune:\n  at: {}"
)


def test_multiples_of_the_rate_chosen_share_its_trials_and_tell_no_choice_of_their_own(tmp_path):
    plan = recall_plan(MULTIPLES)
    stored, estimates, measured = tables_of(plan, tmp_path)
    confirm = [planned.run for planned in plan.runs if planned.role == "confirm"]
    assert len(confirm) == 3 * 3 * 3  # mixers x multiples x seeds
    assert len({run.optimizer.learning_rate.best_of for run in confirm}) == 3
    assert [planned.role for planned in plan.runs].count("tune") == 3 * 3  # mixers x rates
    chosen = measured[measured["role"] == "confirm"].drop_duplicates("run")
    assert set(chosen[RATE] / chosen[TIMES]) == {0.003}
    trials = tuning(measured, rates=stored.tuned)
    assert set(trials["selected"]) == {0.003}
    assert not trials["edge"].any()
    counted = estimates[(estimates["name"] == "accuracy") & (estimates["role"] == "confirm")]
    assert counted.groupby("network.mixer.name")[TIMES].nunique().to_dict() == {"attention": 3, "mlstm": 3}
    assert set(counted["n"]) == {3}


def test_a_run_is_trained_at_its_multiple_of_the_rate_chosen(tmp_path):
    trials = [leave(tmp_path, name, rate, loss=rate) for name, rate in (("low", 0.001), ("high", 0.004))]
    rate = {"best_of": trials, "place": 0, "times": 8.0}
    run = run_at(TRIAL.model_dump(mode="json"), {"optimizer.learning_rate": rate, "optimizer.steps": 2}, where="test")
    folder = folder_of(tmp_path / run_id(run), run)
    served([folder])
    result = read_result(folder / "result.json")
    assert [row.value for row in result.measurements if row.name == "learning_rate"] == [0.008]
