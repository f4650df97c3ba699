"""Results become one table, and none of them is lost on the way."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.workflow.synthetic import failing, leave_results, recall_plan
from workflow.measurements import main, measurements
from workflow.planfile import read_plan
from workflow.table import read_table, write_table

PLAN = recall_plan()


@pytest.fixture
def left(tmp_path) -> Path:
    leave_results(PLAN, tmp_path)
    return tmp_path


def table_of(folder: Path) -> pd.DataFrame:
    return measurements(read_plan(folder / "quick/recall/plan.json"), runs=folder / "runs")


def test_every_planned_run_and_every_number_has_a_row(left):
    table = table_of(left)
    assert set(table["run"]) == {planned.id for planned in PLAN.runs}
    assert table.groupby("run")["role"].first().to_dict() == {planned.id: planned.role for planned in PLAN.runs}
    assert table[["name", "value", "unit"]].notna().all(axis=None)
    assert {"network.mixer.key_dim", "task.pairs", "at.split", "at.step", "provenance.commit"} <= set(table.columns)


def test_a_learning_rate_still_to_be_found_is_the_one_that_was_found(left):
    confirm = table_of(left).query("role == 'confirm'")
    assert (confirm["optimizer.learning_rate"] == 0.003).all()
    tuned = {planned.id for planned in PLAN.runs if planned.role == "tune"}
    named = confirm["optimizer.learning_rate.best_of"].str.split().explode()
    assert set(named) <= tuned


def test_a_run_that_left_no_number_still_has_a_row(tmp_path):
    ended = failing(PLAN, role="confirm", mixer="attention", status="diverged", most=1)
    leave_results(PLAN, tmp_path, ended=ended)
    result = tmp_path / "runs" / next(iter(ended)) / "result.json"
    lost = result.read_text().partition('"measurements": [')
    result.write_text(lost[0] + '"measurements": []' + lost[2].partition("]")[2])
    table = table_of(tmp_path)
    row = table[table["run"] == next(iter(ended))]
    assert row["status"].tolist() == ["diverged"]
    assert row[["name", "value"]].isna().all(axis=None)


def test_missing_and_damaged_results_are_named(left):
    missing, damaged, swapped = [planned.id for planned in PLAN.runs[:3]]
    (left / "runs" / missing / "result.json").unlink()
    (left / "runs" / damaged / "result.json").write_text("{")
    other = left / "runs" / PLAN.runs[4].id / "result.json"
    (left / "runs" / swapped / "result.json").write_text(other.read_text())
    with pytest.raises(ValueError, match="3 of the") as error:
        table_of(left)
    assert all(run in str(error.value) for run in (missing, damaged, swapped))


def test_a_table_reads_back_as_it_was_written(tmp_path):
    values = np.random.default_rng(0).standard_normal(1000) * 10.0 ** np.random.default_rng(1).integers(-12, 12, 1000)
    written = pd.DataFrame({"run": "1e5", "provenance.commit": "123456789012", "name": "loss", "value": values})
    written.loc[0, "provenance.commit"] = None
    write_table(written, tmp_path / "table.csv")
    read = read_table(tmp_path / "table.csv")
    pd.testing.assert_frame_equal(read, written, check_exact=True, check_dtype=False)
    assert read["run"].iloc[0] == "1e5"


def test_a_plan_that_cannot_be_read_ends_the_command_with_one_line(tmp_path, monkeypatch):
    plan, output = tmp_path / "plan.json", tmp_path / "measurements.csv"
    plan.write_text('{"experiment": 3}')
    given = [str(plan), "--runs", str(tmp_path), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["workflow.measurements", *given])
    with pytest.raises(SystemExit, match=r"^error: .*plan\.json is damaged: experiment: [^\n]*$"):
        main()
    assert not output.exists()
