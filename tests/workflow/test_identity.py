"""Equal names mean equal specification and equal deciding code; nothing else moves a name."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models.rows import settings
from workflow.identity import group_id, run_id
from workflow.plans import plan, run_at
from workflow.runs import ReferenceRun, Run, RunFile

ROOT = Path(__file__).parent.parent.parent


def subject(run: Run) -> str:
    return run.task.name if isinstance(run, ReferenceRun) else run.network.mixer.name


RUNS = {
    f"{planned.run.kind} of {subject(planned.run)}": planned.run
    for name in ("recall", "cost")
    for planned in plan(name, scale="smoke").runs
}
HYBRID = {"name": "hybrid", "pattern": [settings("mamba2", {}), settings("slstm", {})]}
RUNS["training of hybrid"] = run_at(
    RUNS["training of lstm"].model_dump(mode="json"), {"network.mixer": HYBRID}, where="test"
)
PROGRAM = """
import json, sys
from workflow.identity import run_id
from workflow.runs import ReferenceRun, Run, RunFile
runs = json.load(sys.stdin)
print(json.dumps({name: run_id(RunFile.model_validate_json(json.dumps({"run": run})).run) for name, run in runs.items()}))
"""


def named_in(root: Path) -> dict[str, str]:
    runs = {name: run.model_dump(mode="json") for name, run in RUNS.items()}
    command = [sys.executable, "-c", PROGRAM]
    told = subprocess.run(command, cwd=root, input=json.dumps(runs), capture_output=True, text=True, check=True)
    return json.loads(told.stdout)


@pytest.fixture
def copy(tmp_path):
    for folder in ("models", "tasks", "workflow"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def changed(copy: Path) -> set[str]:
    return {name for name, id in named_in(copy).items() if id != run_id(RUNS[name])}


def test_names_are_the_same_in_another_place_and_process(copy):
    assert changed(copy) == set()


def test_comments_docstrings_and_layout_move_no_name(copy):
    edit(copy / "models" / "network.py", '"""', '"""Other words. ')
    edit(
        copy / "workflow" / "training" / "alone.py",
        "    torch.manual_seed(run.seed)\n",
        "\n    # a comment\n    torch.manual_seed(run.seed)\n",
    )
    assert changed(copy) == set()


def test_a_change_in_one_mixer_moves_its_own_runs_only(copy):
    with (copy / "models" / "lstm.py").open("a", encoding="utf-8") as file:
        file.write("\nCHANGED = True\n")
    assert changed(copy) == {"training of lstm", "profiling of lstm"}


@pytest.mark.parametrize("file", ["hybrid", "mamba2", "slstm"])
def test_a_hybrid_is_named_after_the_code_of_all_its_parts(copy, file):
    with (copy / "models" / f"{file}.py").open("a", encoding="utf-8") as opened:
        opened.write("\nCHANGED = True\n")
    assert "training of hybrid" in changed(copy)


def test_a_change_in_the_task_moves_what_is_trained_or_scored_on_it(copy):
    with (copy / "tasks" / "memory" / "recall.py").open("a", encoding="utf-8") as file:
        file.write("\nCHANGED = True\n")
    assert changed(copy) == {name for name in RUNS if not name.startswith("profiling")}


def test_a_change_in_what_mixers_share_moves_every_network(copy):
    with (copy / "models" / "layers.py").open("a", encoding="utf-8") as file:
        file.write("\nCHANGED = True\n")
    assert changed(copy) == {name for name in RUNS if not name.startswith("reference")}


def test_a_change_in_how_results_are_drawn_moves_nothing(copy):
    with (copy / "workflow" / "figures.py").open("a", encoding="utf-8") as file:
        file.write("\nCHANGED = True\n")
    assert changed(copy) == set()


@pytest.mark.parametrize("name", sorted(RUNS))
def test_every_field_of_a_run_moves_its_name(name):
    tree = RUNS[name].model_dump(mode="json")
    field = "samples" if "samples" in tree else "examples" if "examples" in tree else "seed"
    other = RunFile.model_validate_json(json.dumps({"run": tree | {field: tree[field] + 1}})).run
    assert run_id(other) != run_id(RUNS[name])


def test_a_group_is_named_whatever_its_order():
    assert group_id(["a", "b"]) == group_id(["b", "a"]) != group_id(["a", "c"])
