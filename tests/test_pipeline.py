"""The whole pipeline at toy size: from a bare results folder to the report, again, and after a kill."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest
from markupsafe import escape

from workflow.claims.files import all_claims
from workflow.results import read_result

ROOT = Path(__file__).parent.parent
SNAKEMAKE = str(Path(sys.executable).parent / "snakemake")


def snakemake(*targets: str, results: Path, scale: str = "smoke", **config: object) -> subprocess.CompletedProcess:
    settings = {"scale": scale, "results": results} | config
    command = [SNAKEMAKE, *targets, "--config", *(f"{name}={value}" for name, value in settings.items())]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def measured(results: Path) -> dict[str, tuple]:
    """Returns what every trained or reference run measured; times are not compared."""
    found = [read_result(path) for path in sorted((results / "runs").glob("*/result.json"))]
    return {result.id: (result.status, result.measurements) for result in found if result.run.kind != "profiling"}


def planned(results: Path, experiments: Iterable[str]) -> set[str]:
    """Returns the names of the runs of some experiments."""
    plans = [results / "smoke" / experiment / "plan.json" for experiment in experiments]
    return {run["id"] for plan in plans for run in json.loads(plan.read_text(encoding="utf-8"))["runs"]}


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".snakemake_timestamp"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    told = snakemake("reproduce-all", results=results)
    assert told.returncode == 0, told.stdout + told.stderr
    return results


@pytest.mark.slow
def test_one_command_leaves_a_report_of_every_experiment(finished):
    report = (finished / "smoke" / "report.html").read_text(encoding="utf-8")
    for path in (finished / "smoke").glob("*/plan.json"):
        question = json.loads(path.read_text(encoding="utf-8"))["question"]
        assert escape(question.split("?")[0]) in report
        assert list((path.parent / "figures").glob("*.svg"))
        assert list((path.parent / "figures").glob("*.pdf"))
        assert list((path.parent / "tables").glob("*.md"))
        assert list((path.parent / "tables").glob("*.tex"))
    claims = pd.read_csv(finished / "smoke" / "verdicts.csv")["claim"]
    assert set(claims) == {claim.id for claim in all_claims()}
    assert all((finished / "smoke" / name).exists() for name in ("report.pdf", "paper/numbers.tex", "SHA256SUMS"))
    assert "<svg" in report
    assert 'src="http' not in report
    assert 'href="http' not in report


@pytest.mark.slow
def test_snakemake_makes_its_own_report_of_it(finished, tmp_path):
    page = tmp_path / "report.html"
    told = snakemake("reproduce-all", "--report", str(page), results=finished)
    assert told.returncode == 0, told.stdout + told.stderr
    shown = page.read_text(encoding="utf-8")
    for path in [*finished.glob("smoke/*/figures/*.svg"), *finished.glob("smoke/*/tables/*.md")]:
        assert str(path) in shown
    caption = (finished / "smoke" / "recall" / "figures" / "pairs.txt").read_text(encoding="utf-8")
    assert caption.split(".")[0] in shown


@pytest.mark.slow
def test_every_planned_run_has_its_result_and_nothing_is_left_over(finished):
    experiments = [path.parent.name for path in (finished / "smoke").glob("*/plan.json")]
    assert {path.parent.name for path in (finished / "runs").glob("*/result.json")} == planned(finished, experiments)
    assert not list(finished.rglob("checkpoints"))


@pytest.mark.slow
def test_a_second_call_does_nothing_and_soon(finished):
    before = digests(finished)
    started = time.monotonic()
    told = snakemake("reproduce-all", results=finished)
    assert told.returncode == 0
    assert "Nothing to be done" in told.stdout + told.stderr
    assert time.monotonic() - started < 60
    assert digests(finished) == before


@pytest.mark.slow
def test_everything_for_readers_is_made_again_byte_for_byte(finished):
    told = snakemake("verify", results=finished)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "byte for byte" in (finished / "logs/smoke_verify.log").read_text(encoding="utf-8")


@pytest.mark.slow
def test_what_a_step_refuses_fails_the_command(finished):
    told = snakemake("compare", results=finished, reference=finished / "none")
    assert told.returncode == 1
    log = (finished / "logs/smoke_compare.log").read_text(encoding="utf-8")
    assert log.startswith(f"error: {finished / 'none'} holds none of these experiments")


@pytest.mark.slow
def test_killed_in_the_middle_and_called_again_it_ends_in_the_same_results(finished, tmp_path):
    experiments = ("forecasting",)
    command = [SNAKEMAKE, *experiments, "--config", "scale=smoke", f"results={tmp_path}"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while len(list(tmp_path.glob("runs/*/result.json"))) < 5:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.read_bytes() for path in tmp_path.glob("runs/*/result.json")}
    told = snakemake(*experiments, results=tmp_path)
    assert told.returncode == 0, told.stdout + told.stderr
    continued, undisturbed = measured(tmp_path), measured(finished)
    assert continued == {id: undisturbed[id] for id in continued}
    assert continued.keys() == planned(finished, experiments)
    assert all(path.read_bytes() == content for path, content in kept.items())


def test_an_experiment_apart_runs_by_its_name(tmp_path):
    command = [SNAKEMAKE, "recall-mixture", "--dry-run", "--config", "scale=smoke", "also=recall-mixture"]
    told = subprocess.run([*command, f"results={tmp_path}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "recall-mixture_measurements" in told.stdout + told.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"scale": "big"}, "unknown scale 'big': choose one of smoke, quick, paper"),
    ],
)
def test_bad_input_is_one_line_before_any_job(tmp_path, arguments, told):
    answer = snakemake("reproduce-all", results=tmp_path, **arguments)
    assert answer.returncode == 1
    lines = [line for line in (answer.stdout + answer.stderr).splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert told in lines[0]
    assert not list(tmp_path.iterdir())
