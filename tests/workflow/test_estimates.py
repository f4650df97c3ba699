"""What is said of a few seeds is right as often as it claims, and nothing is left out of it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.workflow.synthetic import failing, leave_results, recall_plan
from workflow.confirmations import confirmations
from workflow.estimates import AGREED, ALONE, LABELS, QUARTILES, SEEDS, estimates
from workflow.measurements import measurements
from workflow.planfile import read_plan
from workflow.table import read_table, write_table
from workflow.tuning import tuning

PLAN = recall_plan()


def measured(folder, *, ended=None) -> pd.DataFrame:
    leave_results(PLAN, folder, ended=ended)
    write_table(measurements(read_plan(folder / "quick/recall/plan.json"), runs=folder / "runs"), folder / "m.csv")
    return read_table(folder / "m.csv")


def table_of(scores: list[list[float]], *, name: str = "accuracy", labels: int = 100) -> pd.DataFrame:
    """Returns measurements of one confirming run per score, a list of them per cell."""
    rows = []
    for cell, values in enumerate(scores):
        for seed, value in enumerate(values):
            run = {"run": f"{cell}-{seed}", "role": "confirm", "status": "finished", "kind": "training"}
            run |= {"experiment": "e", "scale": "quick", "detail": "", "task.pairs": cell, "seed": seed}
            run |= {"provenance.device": "cpu", "provenance.torch": "2", "provenance.machine": "a"}
            for what, number, unit in ((name, value, "1"), ("labels", labels, "count")):
                rows.append(run | {"at.split": "test", "name": what, "value": number, "unit": unit})
    return pd.DataFrame(rows)


def of(table: pd.DataFrame, name: str) -> pd.DataFrame:
    return table[table["name"] == name].reset_index(drop=True)


@pytest.mark.parametrize("n", [3, 5])
def test_the_interval_covers_the_truth_as_often_as_it_says(n):
    draws = np.random.default_rng(n).normal(3.0, 0.4, size=(3000, n))
    found = of(estimates(table_of(draws.tolist(), name="bits_per_byte")), "bits_per_byte")
    assert len(found) == 3000
    covered = ((found["low"] <= 3.0) & (found["high"] >= 3.0)).mean()
    assert 0.93 <= covered <= 0.97


@settings(deadline=None, max_examples=25)
@given(
    scores=st.lists(
        st.lists(st.floats(0, 1), min_size=1, max_size=5) | st.floats(0, 1).map(lambda same: [same] * 3),
        min_size=1,
        max_size=4,
    ),
    order=st.randoms(use_true_random=False),
)
def test_an_estimate_lies_in_its_interval_and_no_order_of_rows_changes_it(scores, order):
    table = table_of(scores)
    found = estimates(table)
    shuffled = list(table.index)
    order.shuffle(shuffled)
    pd.testing.assert_frame_equal(estimates(table.loc[shuffled]), found, check_exact=True)
    known = found[found["low"].notna()]
    assert (known["low"] <= known["value"]).all()
    assert (known["value"] <= known["high"]).all()
    assert (known["low"] < known["high"]).all()
    assert known["low"].min() >= 0
    assert known.loc[known["name"] == "accuracy", "high"].le(1).all()


def test_seeds_that_agree_get_the_interval_of_their_labels_and_never_one_of_no_width():
    found = of(estimates(table_of([[1.0, 1.0, 1.0], [0.5, 0.6, 0.7], [0.9]])), "accuracy")
    assert found["interval"].tolist() == [LABELS, SEEDS, ALONE]
    assert found.loc[0, "low"] == pytest.approx(stats.beta.ppf(0.025, 300, 1))
    assert found.loc[0, "high"] == 1.0
    assert found.loc[2, ["low", "high"]].isna().all()
    bits = of(estimates(table_of([[2.0, 2.0]], name="bits_per_byte")), "bits_per_byte")
    assert bits["interval"].tolist() == [AGREED]
    assert bits["low"].isna().all()


def test_a_task_is_solved_by_the_seeds_that_reach_the_threshold():
    solved = of(estimates(table_of([[1.0, 0.99, 0.98]])), "solved")
    assert solved["value"].tolist() == [2 / 3]
    assert solved["n"].tolist() == [3]


def test_tuning_runs_never_enter(tmp_path):
    table = measured(tmp_path)
    found = estimates(table)
    assert set(found["role"]) == {"confirm", "reference"}
    assert (of(found, "accuracy").query("role == 'confirm'")["n"] == 3).all()
    poisoned = table.assign(value=table["value"].where(table["role"] != "tune", 1e6))
    pd.testing.assert_frame_equal(estimates(poisoned), found)


def test_a_failed_run_counts_as_the_best_constant_answer(tmp_path):
    ended = failing(PLAN, role="confirm", mixer="attention", status="diverged", most=2)
    table = measured(tmp_path, ended=ended)
    found = of(estimates(table), "accuracy").query("failed > 0 and role == 'confirm' and `at.split` == 'test'")
    assert found["failed"].tolist() == [2]
    assert found["n"].tolist() == [3]
    assert found["status"].tolist() == ["diverged"]
    constant = table[(table["at.predictor"] == "constant") & (table["task.pairs"] == found["task.pairs"].iloc[0])]
    finished = table[(table["name"] == "accuracy") & (table["at.split"] == "test") & (table["role"] == "confirm")]
    alive = finished[
        (finished["network.mixer.name"] == "attention") & (finished["task.pairs"] == found["task.pairs"].iloc[0])
    ]
    assert len(alive) == 1
    assert found["value"].iloc[0] == pytest.approx((2 * constant["value"].iloc[0] + alive["value"].iloc[0]) / 3)


def test_a_cell_whose_every_run_failed_is_still_there(tmp_path):
    found = estimates(measured(tmp_path, ended=failing(PLAN, role="confirm", mixer="attention", status="diverged")))
    lost = of(found, "accuracy").query("`network.mixer.name` == 'attention'")
    assert lost["failed"].tolist() == [3, 3]
    assert lost["interval"].tolist() == [AGREED, AGREED]
    assert lost["low"].isna().all()


def test_a_failed_run_of_a_task_without_a_measured_floor_is_an_error(tmp_path):
    table = measured(tmp_path, ended=failing(PLAN, role="confirm", mixer="attention", status="diverged", most=1))
    with pytest.raises(ValueError, match="no reference run"):
        estimates(table[table["role"] != "reference"])


@pytest.mark.parametrize("column", ["device", "torch"])
def test_runs_of_different_platforms_are_not_averaged(column):
    table = table_of([[0.5, 0.6]])
    table.loc[table["seed"] == 1, f"provenance.{column}"] = "other"
    with pytest.raises(ValueError, match=f"differ in {column}: 0-0 .*, 0-1 "):
        estimates(table)


def test_runs_of_several_machines_are_averaged_and_counted():
    table = table_of([[0.5, 0.6]])
    table.loc[table["seed"] == 1, "provenance.machine"] = "b"
    assert of(estimates(table), "accuracy")["machines"].tolist() == [2]


def profile_table(samples: list[float], *, status: str = "finished") -> pd.DataFrame:
    run = {"run": "r", "role": "profile", "status": status, "kind": "profiling", "experiment": "e", "scale": "quick"}
    run |= {"detail": "", "length": 64, "provenance.device": "cpu", "provenance.torch": "2", "provenance.machine": "a"}
    rows = [{"name": "seconds", "value": value, "unit": "s", "at.sample": at} for at, value in enumerate(samples)]
    rows += (
        [{"name": "peak_bytes", "value": 5.0, "unit": "B"}]
        if samples
        else [{"name": None, "value": np.nan, "unit": None}]
    )
    return pd.DataFrame([run | row for row in rows])


def test_a_time_is_the_median_of_its_samples_with_quartiles():
    samples = np.arange(101.0)[::-1].tolist()
    found = estimates(profile_table(samples))
    time = of(found, "seconds").iloc[0]
    assert time[["value", "low", "high", "p5", "p95"]].tolist() == [50.0, 25.0, 75.0, 5.0, 95.0]
    assert (time["interval"], time["n"]) == (QUARTILES, 101)
    assert of(found, "peak_bytes")[["value", "n"]].to_numpy().tolist() == [[5.0, 1]]


def test_a_point_that_did_not_fit_is_a_row_with_a_status_and_no_value():
    found = estimates(profile_table([], status="out_of_memory"))
    assert found["status"].tolist() == ["out_of_memory"]
    assert found[["name", "value"]].isna().all(axis=None)
    assert found["failed"].tolist() == [1]


def test_the_choice_of_a_learning_rate_is_shown_with_its_edge(tmp_path):
    table = measured(tmp_path, ended=failing(PLAN, role="tune", mixer="attention", status="diverged", most=1))
    trials = tuning(table, rates=PLAN.tuned)
    assert len(trials) == 9
    assert set(trials["role"]) == {"tune"}
    assert (trials["selected"] == 0.003).all()
    assert not trials["edge"].any()
    assert trials["loss"].isna().sum() == 1
    best = trials.loc[trials.groupby("network.mixer.key_dim", dropna=False)["loss"].idxmin()]
    assert (best["optimizer.learning_rate"] == 0.003).all()
    assert tuning(table, rates=(0.003, 0.01))["edge"].all()


def test_confirmations_hold_each_seed_once(tmp_path):
    rows = confirmations(measured(tmp_path))
    tested = rows[(rows["name"] == "accuracy") & (rows["at.split"] == "test")]
    assert tested.groupby("cell")["seed"].apply(sorted).tolist() == [[1, 2, 3]] * 6
