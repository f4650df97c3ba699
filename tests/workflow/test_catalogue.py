"""The table of tasks says what the estimates say."""

import subprocess
import sys

import pandas as pd
import pytest

from tests.workflow.synthetic import recall_plan
from tests.workflow.test_figures import tables_of
from workflow.catalogue import catalogue
from workflow.table import write_table


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("scale")
    _, estimated, _ = tables_of(recall_plan(), tmp_path_factory.mktemp("recall"))
    (path / "recall").mkdir()
    write_table(estimated, path / "recall" / "estimates.csv")
    return path, estimated


def test_a_task_has_its_setting_floors_ceiling_and_scores(folder):
    path, estimated = folder
    head, _, first, second = catalogue(path).splitlines()
    assert head.startswith("| task | setting | in | score | constant | shortcut | ceiling | Attention | mLSTM |")
    cells = [cell.strip() for cell in first.strip("|").split("|")]
    assert cells[:4] == ["recall", "length 32, vocabulary 64, pairs 4, fillers 1, power 0.01", "recall", "accuracy"]
    assert cells[5].endswith("(position)")
    assert cells[6] == "1"
    mine = estimated[(estimated["name"] == "accuracy") & (estimated["task.pairs"] == 4)]
    tested = mine[(mine["at.split"] == "test") & (mine["role"] == "confirm")].set_index("network.mixer.name")["value"]
    assert float(cells[7]) == pytest.approx(tested["attention"], abs=0.0006)
    assert [float(part) for part in cells[8].split(" / ")] == pytest.approx(tested["mlstm"].tolist(), abs=0.0006)
    assert "pairs 8" in second


def test_networks_that_were_trained_otherwise_are_left_out(folder, tmp_path):
    path, estimated = folder
    trained = estimated["role"] == "confirm"
    above = estimated[trained].assign(**{"optimizer.learning_rate.times": 4.0, "value": 0.125})
    begun = estimated[trained].assign(**{"pretraining.steps": 300.0, "value": 0.125})
    (tmp_path / "recall").mkdir()
    write_table(pd.concat([estimated, above, begun]), tmp_path / "recall" / "estimates.csv")
    assert catalogue(tmp_path) == catalogue(path)


def test_an_empty_folder_is_one_line(tmp_path):
    command = [sys.executable, "-m", "workflow.catalogue", str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert told.stderr.startswith("error: no estimates of trained networks below")
