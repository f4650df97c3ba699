"""What the rules know of the plans is what the plans say, and is there without making them."""

import subprocess
import sys
from pathlib import Path

import pytest

from workflow import plans
from workflow.blueprint import blueprint
from workflow.configuration import configuration

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    stated = configuration(
        {"scale": "smoke", "results": str(tmp_path_factory.mktemp("results")), "also": "scaling-law"}
    )
    return stated, blueprint(stated, anew=True)


def test_it_has_every_run_of_every_plan_in_one_cohort(drawn):
    stated, found = drawn
    made = {name: plans.plan(name, scale="smoke") for name in [*plans.reproduced_names(), "scaling-law"]}
    assert {name: set(chapter.runs) for name, chapter in found.experiments.items()} == {
        name: {planned.id for planned in plan.runs} for name, plan in made.items()
    }
    served = [id for cohort in found.cohorts.values() for id in cohort.runs]
    assert sorted(served) == sorted({id for chapter in found.experiments.values() for id in chapter.runs})
    assert all(Path(stated.results, "runs", id, "run.json").exists() for id in served)
    tuned = {
        id for cohort in found.cohorts.values() if cohort.role in ("tune", "pretrain", "screen") for id in cohort.runs
    }
    needed = {id for cohort in found.cohorts.values() if cohort.role == "confirm" for id in cohort.needs}
    assert needed
    assert needed <= tuned


def test_it_says_which_steps_follow(drawn):
    _, found = drawn
    chapters = found.experiments
    assert [name for name, chapter in chapters.items() if chapter.has_laws] == ["scaling-law"]
    assert {name for name, chapter in chapters.items() if chapter.follows_cost} == {"cost", "native-cost"}
    assert {name for name, chapter in chapters.items() if not chapter.trains} == {"cost", "native-cost", "streaming"}
    assert all(chapter.confirms == chapter.trains for chapter in chapters.values())
    assert found.interpreted


def test_a_job_reads_it_and_needs_no_torch(drawn):
    stated, found = drawn
    code = "import sys; from workflow.configuration import configuration; from workflow.blueprint import blueprint\n"
    code += f"read = blueprint(configuration({stated.model_dump()!r}), anew=False)\n"
    code += "assert 'torch' not in sys.modules, 'torch'; print(read.model_dump_json())"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == found.model_dump_json()


def test_where_there_is_none_yet_it_is_drawn(tmp_path):
    stated = configuration({"scale": "smoke", "results": str(tmp_path)})
    assert blueprint(stated, anew=False) == blueprint(stated, anew=True)


def test_calls_that_ask_for_other_experiments_have_one_each(tmp_path):
    stated = configuration({"scale": "smoke", "results": str(tmp_path)})
    more = configuration({"scale": "smoke", "results": str(tmp_path), "also": "survey"})
    assert "survey" in blueprint(more, anew=True).experiments
    assert "survey" not in blueprint(stated, anew=False).experiments


def test_what_cannot_be_planned_is_one_line(tmp_path):
    stated = configuration({"scale": "smoke", "results": str(tmp_path), "also": "nothing"})
    with pytest.raises(ValueError, match="unknown experiment 'nothing': choose one of"):
        blueprint(stated, anew=True)
