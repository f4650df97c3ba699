"""How far a scale is, and how long the rest may take, from its plans and results."""

import json
import os
import subprocess
import sys
from pathlib import Path

from workflow.progress import Standings, board, summary

ROOT = Path(__file__).parent.parent.parent


def planned(results, experiment, runs):
    """Plans runs, given as `network: seconds`, or None for one that has not ended."""
    folder = results / "quick" / experiment
    folder.mkdir(parents=True)
    stated = []
    for place, (network, seconds) in enumerate(runs):
        id = f"{experiment}-{place}"
        stated.append({"id": id, "role": "confirm", "network": network})
        if seconds is not None:
            (results / "runs" / id).mkdir(parents=True)
            told = json.dumps({"provenance": {"seconds": seconds}})
            (results / "runs" / id / "result.json").write_text(told, encoding="utf-8")
    (folder / "plan.json").write_text(json.dumps({"runs": stated}), encoding="utf-8")


def test_a_run_takes_what_its_kind_took_and_a_new_kind_what_all_took(tmp_path):
    planned(tmp_path, "recall", [("lstm", 10.0), ("lstm", 30.0), ("lstm", None), ("mlstm", None)])
    planned(tmp_path, "mad", [("lstm", 50.0)])
    mad, recall = Standings(tmp_path / "quick").read()
    assert (mad.experiment, mad.done, mad.total, mad.seconds_left) == ("mad", 1, 1, 0.0)
    assert (recall.experiment, recall.done, recall.total, recall.seconds_left) == ("recall", 2, 4, 20.0 + 30.0)


def test_no_time_is_told_before_a_run_has_ended_or_after_the_last(tmp_path):
    planned(tmp_path, "recall", [("lstm", None)])
    assert summary(Standings(tmp_path / "quick").read()) == "0 of 1 runs"
    planned(tmp_path, "mad", [("lstm", 50.0)])
    mad, _ = Standings(tmp_path / "quick").read()
    assert summary([mad]) == "1 of 1 runs"


def test_a_result_that_came_meanwhile_is_seen(tmp_path):
    planned(tmp_path, "recall", [("lstm", 8.0), ("lstm", None)])
    standings = Standings(tmp_path / "quick")
    assert standings.read()[0].done == 1
    (tmp_path / "runs" / "recall-1").mkdir()
    (tmp_path / "runs" / "recall-1" / "result.json").write_text('{"provenance": {"seconds": 8.0}}', encoding="utf-8")
    assert standings.read()[0].done == 2


def test_the_board_has_a_bar_for_what_is_begun_and_one_for_all(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    planned(tmp_path, "recall", [("lstm", 60.0), ("lstm", None)])
    planned(tmp_path, "mad", [("lstm", None), ("lstm", None)])
    assert board(Standings(tmp_path / "quick").read()).splitlines() == [
        "recall [###############               ] 1 of 2 runs, about 0:30 left",
        "all    [#######                       ] 1 of 4 runs, about 1:30 left",
    ]


def test_the_command_ends_with_the_last_run_and_says_where_nothing_is_planned(tmp_path):
    planned(tmp_path, "recall", [("lstm", 1.0)])
    command = [sys.executable, "-m", "workflow.progress"]
    told = subprocess.run([*command, tmp_path / "quick"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0
    assert "1 of 1 runs" in told.stdout
    told = subprocess.run([*command, tmp_path / "paper"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert told.stderr.startswith("error: nothing of that is planned in")
