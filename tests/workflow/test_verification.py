"""A result set is what its records say: one value changed anywhere is found, and told by its place."""

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import workflow.verification.__main__
import workflow.verification.records
from tests.workflow.synthetic import MADE, RECALL, leave_results, recall_plan, result_of
from workflow.files import write
from workflow.measurements import measurements
from workflow.planfile import read_plan
from workflow.references import reference_scores
from workflow.results import Measurement, read_result
from workflow.runs import ReferenceRun, TrainingRun
from workflow.table import read_table, write_table
from workflow.verification.checking import Found, held_against
from workflow.verification.comparison import comparison, summary
from workflow.verification.crate import describe
from workflow.verification.differing import MOST, differences
from workflow.verification.golden import golden
from workflow.verification.keeping import keep
from workflow.verification.matching import matches
from workflow.verification.records import plan_differences, read_records
from workflow.verification.remaking import remake
from workflow.verification.reruns import cheapest, compared, rerun
from workflow.verification.sums import broken, read_sums, seal

ROOT = Path(__file__).parent.parent.parent
ONE = ["recall"]
PLAN = recall_plan(RECALL.replace("  state: {y: accuracy, x: state_bytes, where: {task.pairs: 8}}\n", ""))


def described(results: Path) -> None:
    """Leaves in a result set what `seal` leaves there."""
    describe(results / "quick", experiments=ONE, date="2026-01-02", workflow=ROOT)
    seal(results / "quick", runs=results / "runs", experiments=ONE)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A result set as the workflow leaves it."""
    results = tmp_path_factory.mktemp("results")
    leave_results(PLAN, results)
    assert remake(ONE, scale="quick", results=results, folder=results / "made", jobs=1) == []
    shutil.copytree(results / "made/quick", results / "quick", dirs_exist_ok=True)
    shutil.rmtree(results / "made")
    described(results)
    return results


@pytest.fixture
def stored(made, tmp_path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "results"))


def against(made: Path, stored: Path, tmp_path: Path) -> list[str]:
    """Returns how a changed result set differs from what its records, which did not change, make."""
    again = Path(shutil.copytree(made / "quick", tmp_path / "again/quick"))
    return held_against(again, stored=stored / "quick", experiments=ONE)


def flip(path: Path) -> str:
    """Changes one digit of a file, the last that a reader would see as a number, and returns its line."""
    text = path.read_text(encoding="utf-8")
    place = [match.start() for match in re.finditer(r"(?<=\d\.)\d|(?<=, )\d", text)][-1]
    digit = str((int(text[place]) + 1) % 10)
    path.write_text(text[:place] + digit + text[place + 1 :], encoding="utf-8")
    return text[text.rfind("\n", 0, place) + 1 : text.find("\n", place)]


def verified(results: Path, monkeypatch) -> None:
    """Calls the program, which does no run again."""
    command = [
        "verification",
        "verify",
        "--scale",
        "quick",
        "--results",
        str(results),
        "--references",
        "0",
        "--jobs",
        "1",
    ]
    monkeypatch.setattr(sys, "argv", [*command, *ONE])
    workflow.verification.__main__.main()


@pytest.mark.slow
def test_one_changed_value_is_all_that_is_found(stored, monkeypatch, capsys):
    flip(stored / "quick/recall/estimates.csv")
    with pytest.raises(SystemExit, match="error: 2 differences"):
        verified(stored, monkeypatch)
    found = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("note: ")]
    assert re.match(r"quick/recall/estimates.csv: stored SHA-256 \w{12}, when it was sealed \w{12}$", found[0])
    assert re.match(r"quick/recall/estimates.csv, row \d+ \(\w+\), [\w.]+: stored [\d.]+, made again [\d.]+$", found[1])
    assert len(found) == 2


def test_a_result_set_without_a_difference_is_verified(stored, monkeypatch, capsys):
    monkeypatch.setattr(workflow.verification.__main__, "verify", lambda *_, **__: Found([], ["a note"]))
    verified(stored, monkeypatch)
    assert capsys.readouterr().out.splitlines()[0] == "note: a note"


def test_a_changed_record_is_told_by_the_seal_and_not_sealed_again(stored):
    path = stored / "runs" / PLAN.runs[-1].id / "result.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["measurements"][-1]["value"] += 0.001
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (line,) = broken(stored / "quick")
    assert line.startswith(f"../runs/{PLAN.runs[-1].id}/result.json: stored SHA-256")
    with pytest.raises(ValueError, match="1 records changed since they were sealed"):
        described(stored)


def test_a_table_made_from_a_changed_record_differs_in_that_cell(stored, tmp_path):
    plan = read_plan(stored / "quick/recall/plan.json")
    path = stored / "runs" / plan.runs[0].id / "result.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["measurements"][0]["value"] += 1
    path.write_text(json.dumps(record), encoding="utf-8")
    write_table(measurements(plan, runs=stored / "runs"), tmp_path / "measurements.csv")
    (line,) = differences(
        stored / "quick/recall/measurements.csv", tmp_path / "measurements.csv", name="measurements.csv"
    )
    assert line == "measurements.csv, row 1 (steps), value: stored 4.0, made again 5.0"


@pytest.mark.parametrize(
    "file",
    [
        *("recall/measurements.csv", "recall/estimates.csv", "recall/plan.json", "recall/tables/pairs.md"),
        *("recall/tables/pairs.tex", "recall/figures/pairs.csv", "recall/figures/pairs.svg", "report.html"),
        *("croissant.json", "ro-crate-metadata.json"),
    ],
)
def test_one_digit_changed_in_a_file_is_found_at_its_place(made, stored, tmp_path, file):
    path = stored / "quick" / file
    flip(path)
    if file == "recall/plan.json":  # what is made again starts from it, so it is the seal that tells
        assert [line.partition(":")[0] for line in broken(stored / "quick")] == [file]
        return
    found = [line for line in against(made, stored, tmp_path) if line.startswith(f"quick/{file}, ")]
    assert len(found) == 1
    assert re.search(r"row \d+|line \d+, column \d+|@graph\.\d+|version", found[0])
    assert "stored" in found[0]
    assert f"{file}: stored SHA-256" in " ".join(broken(stored / "quick"))


def test_a_changed_drawing_for_print_is_found(made, stored, tmp_path):
    path = stored / "quick/recall/figures/pairs.pdf"
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    assert "quick/recall/figures/pairs.pdf, byte 200: stored and made again differ" in against(made, stored, tmp_path)


def test_a_missing_file_and_one_that_nothing_makes_are_found(made, stored, tmp_path):
    (stored / "quick/recall/tables/pairs.md").unlink()
    write(stored / "quick/recall/tables/better.md", "| 1.000 |\n")
    found = against(made, stored, tmp_path)
    assert "quick/recall/tables/pairs.md: is missing" in found
    assert "quick/recall/tables/better.md: nothing in the records makes this file" in found


def test_a_result_set_without_its_description_says_what_writes_it(made, stored, tmp_path):
    (stored / "quick/ro-crate-metadata.json").unlink()
    assert "verification seal writes it" in against(made, stored, tmp_path)[0]
    (stored / "quick/SHA256SUMS").unlink()
    with pytest.raises(ValueError, match="verification seal writes it"):
        broken(stored / "quick")


def test_a_missing_run_a_damaged_one_and_one_of_another_run_are_found(stored):
    plan = read_plan(stored / "quick/recall/plan.json")
    first, second, third, fourth = (stored / "runs" / run.id for run in plan.runs[:4])
    shutil.rmtree(first)
    write(second / "result.json", "{}")
    shutil.copy(fourth / "result.json", third / "result.json")
    shutil.copy(second / "run.json", fourth / "run.json")
    records, wrong = read_records(plan, runs=stored / "runs")
    assert len(records) == len(plan.runs) - 4
    assert wrong[0] == f"runs/{first.name}: result.json is missing"
    assert wrong[1].startswith(f"runs/{second.name}: damaged: ")
    assert wrong[2] == f"runs/{third.name}/result.json, id: stored {fourth.name}, planned {third.name}"
    assert wrong[3] == f"runs/{fourth.name}: the run of result.json is not the run of run.json"


def test_a_plan_that_is_not_what_its_experiment_says_is_found(stored, monkeypatch):
    monkeypatch.setattr(workflow.verification.records, "plan_now", lambda *_, **__: PLAN)
    path = stored / "quick/recall/plan.json"
    assert plan_differences(path, plan=read_plan(path)) == ([], "")
    last = len(PLAN.runs) - 1
    path.write_text(path.read_text(encoding="utf-8")[::-1].replace('"mrifnoc"', '"enut"', 1)[::-1], encoding="utf-8")
    (line,), _ = plan_differences(path, plan=read_plan(path))
    assert re.match(r'quick/recall/plan.json, runs.\d+.role: stored "tune", made again "confirm"$', line)
    monkeypatch.setattr(
        workflow.verification.records, "plan_now", lambda *_, **__: PLAN._replace(runs=PLAN.runs[:last])
    )
    assert "made by other code" in plan_differences(path, plan=read_plan(path))[1]


def test_a_missing_run_ends_verification_with_one_line_for_it(stored, monkeypatch, capsys):
    shutil.rmtree(stored / "runs" / PLAN.runs[0].id)
    with pytest.raises(SystemExit, match=r"error: 3 differences"):  # two files that were sealed, and the run
        verified(stored, monkeypatch)
    assert f"\nruns/{PLAN.runs[0].id}: result.json is missing\n" in capsys.readouterr().out


def test_the_seal_can_be_checked_without_this_package(stored):
    checked = subprocess.run(
        ["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=stored / "quick", capture_output=True, check=False
    )
    assert checked.returncode == 0
    assert len([place for place in read_sums(stored / "quick") if place.startswith("../runs/")]) == 2 * len(PLAN.runs)


def test_many_differences_in_a_file_are_counted(tmp_path):
    for name, shift in (("stored.csv", 0), ("made.csv", 1)):
        write_table(pd.DataFrame({"value": [float(row + shift) for row in range(MOST + 7)]}), tmp_path / name)
    found = differences(tmp_path / "stored.csv", tmp_path / "made.csv", name="table.csv")
    assert len(found) == MOST + 1
    assert found[-1] == "table.csv: 7 more differences"


def reference_result():
    (planned,) = [planned for planned in PLAN.runs if isinstance(planned.run, ReferenceRun)][:1]
    return result_of(planned).model_copy(update={"measurements": reference_scores(planned.run).measurements})


def test_a_reference_run_done_again_is_the_same_to_the_bit(tmp_path):
    result = reference_result()
    wrong, how = rerun(result, runs=tmp_path, folder=tmp_path)
    assert wrong == []
    assert f"{len(result.measurements)} numbers compared" in how


def test_a_value_changed_in_a_reference_is_found_by_doing_it_again():
    result = reference_result()
    first, *others = result.measurements
    changed = first.model_copy(update={"value": first.value + 0.01})
    (line,), _ = compared(result.model_copy(update={"measurements": (changed, *others)}), result)
    assert line.endswith(f"stored {changed.value!r}, run again {first.value!r}")


def trained(*, step: int, value: float, made=MADE):
    planned = next(planned for planned in PLAN.runs if isinstance(planned.run, TrainingRun))
    rows = (Measurement(name="loss", value=value, unit="bit", at={"split": "train", "step": step}),)
    return result_of(planned, made=made).model_copy(update={"measurements": rows})


@pytest.mark.parametrize(
    ("step", "change", "other", "same"),
    [
        (50, 0.0, {}, True),
        (50, 1e-9, {}, False),  # one platform: to the bit
        (500, 1e-9, {}, False),
        (50, 5e-6, {"processor": "Another"}, True),
        (50, 5e-5, {"processor": "Another"}, False),
        (500, 5e-1, {"torch": "2.14.0"}, True),  # too late to tell platforms from seeds: not compared
        (50, 5e-6, {"company": 3}, True),  # of a stack, which is equal to rounding
    ],
)
def test_runs_are_compared_as_nearly_as_their_platforms_allow(step, change, other, same):
    stored = trained(step=step, value=3.0, made=MADE.model_copy(update={"company": other.get("company", 1)}))
    again = trained(step=step, value=3.0 + change, made=MADE.model_copy(update=other | {"company": 1}))
    assert (compared(stored, again)[0] == []) == same


def test_the_cheapest_runs_are_done_again_first():
    results = [
        result_of(planned, made=MADE.model_copy(update={"seconds": float(place * 7 % 5)}))
        for place, planned in enumerate(PLAN.runs)
    ]
    failed = result_of(PLAN.runs[0], status="diverged", made=MADE.model_copy(update={"seconds": 0.0}))
    assert [result.provenance.seconds for result in cheapest([failed, *results], count=3)] == [0.0, 0.0, 0.0]
    assert failed not in cheapest([failed, *results], count=3)


def test_a_golden_file_holds_early_losses_and_scores_of_every_confirming_run(stored):
    table = golden(read_table(stored / "quick/recall/measurements.csv"))
    assert set(table["of"]) == {"early loss", "score"}
    assert set(table["role"]) == {"confirm", "reference"}
    confirming = {planned.id for planned in PLAN.runs if planned.role == "confirm"}
    for of in ("early loss", "score"):
        assert set(table[(table["of"] == of) & (table["role"] == "confirm")]["run"]) == confirming
    assert not table.duplicated(["run", "of", "name", "at"]).any()
    assert read_result(stored / "runs" / PLAN.runs[0].id / "result.json").provenance.processor in table["platform"][0]


@pytest.fixture
def pair(stored, tmp_path) -> tuple[Path, Path]:
    """A fresh result set, and what a reference set keeps of it."""
    fresh, reference = stored / "quick", tmp_path / "reference"
    claims = pd.DataFrame({"claim": ["a", "b"], "experiment": "recall", "verdict": ["supported", "inconclusive"]})
    write_table(claims, fresh / "verdicts.csv")
    keep(ONE, fresh=fresh, claims=stored / "claims", reference=reference)
    return fresh, reference


def test_a_reference_keeps_tables_figures_and_verdicts_but_no_raw_measurements(pair):
    fresh, reference = pair
    kept = {path.name for path in (reference / "recall").iterdir()}
    assert {"estimates.csv", "golden.csv", "pairs.svg", "pairs.md"} <= kept
    assert {path.name for path in (fresh / "recall/figures").glob("*.svg")} <= kept
    assert {path.name for path in (fresh / "recall/tables").glob("*.md")} <= kept
    assert "measurements.csv" not in kept
    assert (reference / "verdicts.csv").read_bytes() == (fresh / "verdicts.csv").read_bytes()


def test_what_was_kept_before_is_replaced_and_nothing_is_touched_for_what_is_not_there(pair):
    fresh, reference = pair
    (reference / "recall/of-before.svg").write_text("")
    with pytest.raises(FileNotFoundError, match="no estimates of cost"):
        keep([*ONE, "cost"], fresh=fresh, claims=fresh, reference=reference)
    assert (reference / "recall/of-before.svg").exists()
    keep(ONE, fresh=fresh, claims=fresh, reference=reference)
    assert not (reference / "recall/of-before.svg").exists()


def test_claims_that_other_experiments_were_run_under_stay_in_a_reference(pair, tmp_path):
    fresh, reference = pair
    (reference / "claims/before.json").write_text("{}")
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims/now.json").write_text("{}")
    keep(ONE, fresh=fresh, claims=tmp_path / "claims", reference=reference)
    assert {"before.json", "now.json"} <= {path.name for path in (reference / "claims").iterdir()}


def test_a_result_set_is_reproduced_by_itself(pair):
    fresh, reference = pair
    table = comparison(ONE, fresh=fresh, reference=reference)
    assert set(table["outcome"]) == {"reproduced"}
    assert set(table["level"]) == {"R0", "R3", "R4"}
    assert "R4 verdicts: 2 reproduced" in summary(table)


def edited(path: Path, change) -> None:
    table = read_table(path)
    change(table)
    write_table(table, path)


def test_what_differs_from_the_reference_is_said_at_its_level(pair):
    fresh, reference = pair

    def shift(table):
        score = table[(table["name"] == "accuracy") & (table["role"] == "confirm")].index[0]
        table.loc[score, "value"] -= 0.5
        table.loc[table[table["name"] == "parameters"].index[0], "value"] += 1

    def nudge(table):
        table.loc[0, "value"] += 1e-12

    def turn(table):
        table.loc[0, "verdict"] = "refuted"

    edited(reference / "recall/estimates.csv", shift)
    edited(reference / "recall/golden.csv", nudge)
    edited(reference / "verdicts.csv", turn)
    table = comparison(ONE, fresh=fresh, reference=reference)
    bad = table[table["outcome"] == "not reproduced"]
    assert sorted(zip(bad["level"], bad["reason"].str.replace(r" [\d.e-]+$", "", regex=True), strict=True)) == [
        ("R0", "numbers differ by up to"),
        ("R3", "an exact number changed"),
        ("R3", "told apart by Welch's test"),
        ("R4", "refuted became supported"),
    ]
    told = summary(table)
    assert told.count("not reproduced: recall") == 4


def test_on_another_platform_early_losses_are_compared_and_nothing_else(pair):
    fresh, reference = pair

    def move(table):
        table["platform"] = "another"
        table.loc[table["of"] == "score", "value"] += 0.3
        table.loc[table["of"] == "early loss", "value"] += 5e-6

    edited(reference / "recall/golden.csv", move)
    table = comparison(ONE, fresh=fresh, reference=reference)
    runs = table[table["level"] == "R2"]
    confirming = sum(planned.role == "confirm" for planned in PLAN.runs)
    assert dict(runs["outcome"].value_counts())["reproduced"] == confirming
    assert set(runs["outcome"]) == {"reproduced", "not judged"}
    edited(reference / "recall/golden.csv", lambda table: table.update(table[["value"]] + 1e-4))
    assert "not reproduced" in set(comparison(ONE, fresh=fresh, reference=reference)["outcome"])


def estimates_of(value: float, *, deviation: float = 0.02, n: int = 5, **more) -> pd.DataFrame:
    row = {
        "role": "confirm",
        "status": "finished",
        "task.pairs": 4,
        "at.split": "test",
        "name": "accuracy",
        "unit": "fraction",
    }
    half = 2.8 * deviation / math.sqrt(n)
    numbers = {"value": value, "low": value - half, "high": value + half, "deviation": deviation, "n": n, "failed": 0}
    return pd.DataFrame([row | numbers | {"interval": "95 % t over seeds"} | more])


@pytest.mark.parametrize(
    ("fresh", "outcome", "reason"),
    [
        (estimates_of(0.81), "reproduced", ""),
        (estimates_of(0.6), "not reproduced", "told apart by Welch's test"),
        (estimates_of(0.8, status="diverged"), "not reproduced", "status finished became diverged"),
        (
            estimates_of(0.8, n=1, deviation=math.nan),
            "not judged",
            "one seed: nothing is known of the deviation between seeds",
        ),
        (estimates_of(0.8, **{"task.pairs": 8}), "missing", "not in the fresh set"),
    ],
)
def test_an_estimate_is_judged_by_its_seeds(fresh, outcome, reason):
    row = matches(estimates_of(0.8), fresh)[0]
    assert (row["outcome"], row["reason"]) == (outcome, reason)


def test_seeds_that_all_agree_are_held_against_the_interval_over_labels():
    reference = estimates_of(1.0, deviation=0.0, low=0.995, high=1.0)
    assert matches(reference, estimates_of(0.997, deviation=0.0))[0]["outcome"] == "reproduced"
    assert matches(reference, estimates_of(0.9, deviation=0.0))[0]["outcome"] == "not reproduced"


def test_times_are_never_judged():
    reference = estimates_of(1.0, role="profile", name="seconds", unit="s")
    row = matches(reference, estimates_of(30.0, role="profile", name="seconds", unit="s"))[0]
    assert (row["outcome"], row["ratio"]) == ("not judged", 30.0)


def test_a_blunt_comparison_says_so():
    row = matches(estimates_of(0.8), estimates_of(0.81, deviation=0.3, n=3))[0]
    assert (row["outcome"], row["sensitive"]) == ("reproduced", "no")


def test_among_many_estimates_one_small_p_is_no_difference():
    """Of 200 scores drawn twice from one truth, Holm lets none or hardly any be told apart."""
    import numpy as np

    rng = np.random.default_rng(3)
    sets = []
    for _ in range(2):
        seeds = rng.normal(0.8, 0.02, size=(200, 5))
        rows = [
            estimates_of(m, deviation=d, **{"task.pairs": at})
            for at, (m, d) in enumerate(zip(seeds.mean(1), seeds.std(1, ddof=1), strict=True))
        ]
        sets.append(pd.concat(rows, ignore_index=True))
    rows = matches(*sets)
    assert sum(row["p"] < 0.05 for row in rows) > 3
    assert sum(row["outcome"] == "not reproduced" for row in rows) == 0
