"""The script about scale runs, at toy size: the runs asked for, in as many experiments as it takes, and a line per program."""

import sys

from tests.benchmarks import scale
from workflow.plans import plan_of


def test_experiments_have_the_runs_asked_for_and_share_none():
    plans = [plan_of(text, experiment=name, scale=scale.SCALE) for name, text in scale.experiments(1150).items()]
    sizes = [len(plan.runs) for plan in plans]
    assert len(plans) == 2
    assert 1000 <= sizes[0] < 1030
    assert 150 <= sizes[1] < 180
    shared = {run.id for run in plans[0].runs} & {run.id for run in plans[1].runs}
    assert {run.role for run in plans[0].runs if run.id in shared} <= {"reference"}


def test_what_runs_and_results_cost_is_told_in_a_table(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["scale", "--runs", "60"])
    scale.main()
    told = capsys.readouterr().out.splitlines()
    names = [line.split("|")[1].strip() for line in told]
    assert names[0] == "runs"
    assert {"`workflow.measurements`", "`workflow.report`", "report.html, 2 at a time"} <= set(names)
    assert all(line.count("|") == 3 for line in told)
