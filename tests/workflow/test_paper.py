"""What papers take in is at its final size, says where every number is from, and compiles."""

import json
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import get_args

import pytest
from matplotlib.figure import Figure

import workflow.laws.__main__
import workflow.paper.__main__
from models import Architecture, Mixer
from models.hybrid import HybridSpec
from models.mixer import MixerSpec
from tasks import AnyTask
from tests.workflow.synthetic import failing, recall_plan
from tests.workflow.test_figures import cost_plan, tables_of
from tests.workflow.test_interpretation import leave_pictures
from tests.workflow.test_report import leave_tabulated
from tests.workflow.verdicts import CLAIMS, leave_controls, leave_verdicts
from workflow import plans
from workflow.laws import isoflop, parametric
from workflow.measured import Measured
from workflow.paper import numerals
from workflow.paper.checklist import checklist, markdown
from workflow.paper.citations import bibliography, cited, entries, uses
from workflow.paper.document import report
from workflow.paper.latex import printed
from workflow.paper.numerals import numbers
from workflow.paper.records import PICTURES, Paper, read_paper, read_record
from workflow.paper.tabulars import tabulars
from workflow.report.verdicts import read_verdicts
from workflow.styles import DASH, WIDTHS
from workflow.table import read_table
from workflow.tabular import Cell, Table

EXPERIMENTS = ["recall", "cost"]
SMALLEST = 7  # points


def made(folder: Path) -> Path:
    """Leaves the tables of two experiments, one with runs that failed, and the verdicts on them."""
    lost = failing(recall_plan(), role="confirm", mixer="attention", status="diverged", most=2)
    unfit = [planned.id for planned in cost_plan().runs if planned.run.length == 64]
    for plan, ended in ((recall_plan(), lost), (cost_plan(), dict.fromkeys(unfit[:1], "out_of_memory"))):
        leave_tabulated(folder / plan.scale / plan.experiment, Measured(*tables_of(plan, folder, ended=ended)))
    leave_controls(folder / "quick/recall", behaved={"handicapped": "no"})
    leave_verdicts(
        folder / "quick", runs=" ".join(sorted(run.id for run in recall_plan().runs if run.role == "confirm"))
    )
    (folder / "quick" / PICTURES).mkdir()
    leave_pictures(folder / "quick" / PICTURES)
    return folder


def called(results: Path, folder: Path, monkeypatch) -> None:
    given = ["--scale", "quick", "--results", results, "--output", folder, "--report", folder / "report.pdf"]
    monkeypatch.setattr(sys, "argv", ["workflow.paper", *map(str, given), *EXPERIMENTS])
    workflow.paper.__main__.main()


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def paper(results) -> Paper:
    return read_paper(EXPERIMENTS, scale="quick", results=results)


@pytest.fixture(scope="module")
def left(results, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    with pytest.MonkeyPatch.context() as patch:
        called(results, folder, patch)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_that_is_shown_is_there_to_take_in(left):
    names = set(files(left))
    stems = {f"figures/{name}" for name in ("recall-pairs", "recall-state", "recall-learning-rates", "cost-time")}
    assert {f"{stem}-{page}.pdf" for stem in stems for page in WIDTHS} <= names
    assert {f"{stem}.csv" for stem in stems} <= names
    assert {f"figures/interpretation-{name}-neurips.pdf" for name in ("recall", "text-horizons")} <= names
    tables = {"recall-pairs", "recall-fairness", "cost-scaling", "verdicts", "verdicts-recall", "controls"}
    assert {f"tables/{name}.tex" for name in tables} <= names
    texts = {"numbers.tex", "numbers.json", "captions.tex", "captions.json", "references.bib", "main.tex"}
    assert texts | {"checklist.tex", "checklist.md", "report.pdf"} <= names


def test_made_again_every_file_is_the_same(results, left, tmp_path, monkeypatch):
    called(results, tmp_path, monkeypatch)
    once, again = files(left), files(tmp_path)
    assert set(once) == set(again)
    assert [name for name in once if once[name] != again[name]] == []
    dated = re.compile(rb"CreationDate|ModDate|<xmp:CreateDate|\b20\d\d-\d\d-\d\d\b")
    assert [name for name in once if name.endswith((".pdf", ".tex")) and dated.search(once[name])] == []


def drawn_text(pdf: bytes) -> tuple[float, list[float]]:
    """Returns the width of a page, in inches, and the size of every piece of its text."""
    streams = re.findall(rb"/FlateDecode[^>]*>>\s*stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    sizes = [float(size) for part in streams for size in re.findall(rb"/F\d+ ([\d.]+) Tf", zlib.decompress(part))]
    width = re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", pdf)
    assert width is not None
    return float(width[1]) / 72, sizes


def test_figures_have_the_width_of_the_page_and_no_small_text(left):
    for path in sorted((left / "figures").glob("*.pdf")):
        width, sizes = drawn_text(path.read_bytes())
        assert width == pytest.approx(WIDTHS[path.stem.rpartition("-")[2]], abs=1e-6), path.name
        assert min(sizes) >= SMALLEST, path.name
        assert b"/Type3" not in path.read_bytes(), path.name


def test_the_sizes_of_text_are_those_in_the_file(tmp_path):
    figure = Figure(figsize=(2, 1))
    figure.text(0.1, 0.1, "$10^{3}$", fontsize=10)
    figure.savefig(tmp_path / "figure.pdf")
    assert drawn_text((tmp_path / "figure.pdf").read_bytes()) == (2.0, [10.0, 7.0])


def test_a_number_is_the_estimate_that_its_key_says(results, paper):
    every = numbers(paper)
    found = every["recall.mlstm-key-16.pairs-8.accuracy"]
    assert "recall.mlstm-key-16.accuracy" not in every  # a figure at one number of pairs says which
    rows = read_table(results / "quick/recall/estimates.csv").query("name == 'accuracy' and role == 'confirm'")
    row = rows[(rows["network.mixer.key_dim"] == 16) & (rows["task.pairs"] == 8) & (rows["at.split"] == "test")].iloc[0]
    assert (found.value, found.low, found.high, found.n) == (row["value"], row["low"], row["high"], 3)
    assert found.text == f"{row['value']:.{found.rounding}f}"
    assert found.text in paper.records[0].tables["pairs"].rows[2][2].text
    confirming = {run.id for run in paper.records[0].plan.runs if run.role == "confirm"}
    assert len(found.runs) == 3
    assert set(found.runs) <= confirming


def test_every_number_of_a_table_of_scores_has_a_key(paper):
    told = {each.text for each in numbers(paper).values()}
    for record in paper.records:
        for name in record.plan.figures:
            table = record.tables[name]
            cells = [cell.text for row in table.rows for cell in row[table.named : len(table.head) - 1]]
            missing = {re.split(r" [±\[]", text)[0] for text in cells} - told - {DASH}
            assert not missing, name


def test_every_verdict_and_control_has_a_key(paper):
    found = numbers(paper)
    for claim in CLAIMS:
        assert found[f"claim.{claim['claim']}"].text == claim["verdict"]
    assert found["claims.all"].text == str(len(CLAIMS))
    assert found["claim.more-pairs.value"].interval == "[0.20, 0.40]"
    assert found["claim.more-pairs.p"].text == "below 0.001"
    assert found["recall.control.handicapped-attention.recall-at-the-test-split.accuracy.behaved"].text == "no"


def test_laws_of_the_loss_are_taken_in(tmp_path, monkeypatch):
    monkeypatch.setattr(parametric, "RESAMPLES", 20)
    monkeypatch.setattr(isoflop, "DRAWS", 200)
    measured = Measured(*tables_of(plans.plan("scaling-law", scale="smoke"), tmp_path))
    home = tmp_path / "smoke/scaling-law"
    leave_tabulated(home, measured)
    given = [home / "measurements.csv", "--output", home / "laws.csv", "--figures", home / "laws"]
    monkeypatch.setattr(sys, "argv", ["workflow.laws", *map(str, given)])
    workflow.laws.__main__.main()
    leave_controls(home)
    leave_verdicts(tmp_path / "smoke")
    record = read_record(home)
    assert {path.stem for path in (home / "laws").glob("*.svg")} <= set(record.drawings)
    assert len(record.tables["laws"].rows) == len(record.laws)
    told = numbers(Paper("smoke", [record], read_verdicts(tmp_path / "smoke/verdicts.csv"), {}))
    laws = {name: each for name, each in told.items() if re.search(r"[.](isoflop|parametric)[.]", name)}
    assert set(record.laws["value"].dropna()) == {each.value for each in laws.values()} - {None}
    assert sum(name.endswith(".verdict") for name in laws) == len(record.laws)
    assert all(printed(drawing.caption) for drawing in record.drawings.values())


def test_what_did_not_fit_is_told_by_its_key(paper):
    found = [each for each in numbers(paper).values() if each.text == "out of memory"]
    assert [each.value for each in found] == [None]
    assert found[0].key.endswith("length-64.seconds")


def test_two_numbers_do_not_share_a_key(paper, monkeypatch):
    monkeypatch.setattr(numerals, "slug", lambda text: "x")
    with pytest.raises(ValueError, match="x would be "):
        numbers(paper)


def test_numbers_are_backed_by_their_runs(left, paper):
    backed = json.loads((left / "numbers.json").read_text(encoding="utf-8"))
    assert set(backed) == set(numbers(paper))
    planned = {run.id for record in paper.records for run in record.plan.runs}
    assert {run for each in backed.values() for run in each["runs"]} <= planned
    bare = {key for key, each in backed.items() if each["value"] is not None and not each["runs"]}
    assert not [key for key in bare if not re.match(r"recall\.control\.(duplicate|handicapped)", key)]  # it has none


def test_a_missing_table_is_an_error_that_says_which_step_makes_it(results, tmp_path, monkeypatch):
    shutil.copytree(results / "quick", tmp_path / "quick")
    (tmp_path / "quick/verdicts.csv").unlink()
    with pytest.raises(SystemExit, match=r"error: .*verdicts\.csv is missing: python -m workflow\.claims"):
        called(tmp_path, tmp_path / "paper", monkeypatch)
    shutil.copy(results / "quick/verdicts.csv", tmp_path / "quick")
    (tmp_path / "quick/recall/controls.csv").unlink()
    with pytest.raises(SystemExit, match=r"error: .*controls\.csv is missing: python -m workflow\.controls"):
        called(tmp_path, tmp_path / "paper", monkeypatch)


def test_what_is_used_is_cited_and_nothing_else(left, paper):
    told = (left / "references.bib").read_text(encoding="utf-8")
    assert "Zoology" in told
    assert "Long Short-Term Memory" in told
    assert "Mamba" not in told
    unknown = paper.runs.assign(**{"task.name": "unheard-of"})
    with pytest.raises(ValueError, match=r"task\.name unheard-of is not in"):
        cited(unknown)


def test_everything_registered_is_cited():
    asked = uses()
    for registry, column in (
        (AnyTask, "task.name"),
        (Mixer, "network.mixer.name"),
        (Architecture, "network.mixer.name"),
    ):
        names = {get_args(spec.model_fields["name"].annotation)[0] for spec in every_spec(registry)}
        assert names <= set(asked[column])


def every_spec(registry) -> set[type]:
    """Returns the specifications in a union of unions, those of a reader's own files apart."""
    if isinstance(registry, type) and not get_args(registry):
        return {registry}
    return {spec for part in get_args(registry) if part not in (HybridSpec, MixerSpec) for spec in every_spec(part)}


def test_entries_are_whole():
    keys = {key for by_value in uses().values() for listed in by_value.values() for key in listed}
    every = entries()
    assert keys == set(every)
    for key, text in every.items():
        fields = set(re.findall(r"^  (\w+) = \{.*\},$", text, re.MULTILINE))
        assert {"author", "title"} <= fields, key
        assert {"year", "howpublished"} & fields, key
        assert fields & {"journal", "booktitle", "note", "howpublished", "institution"}, key
        assert text.count("{") == text.count("}"), key
    assert bibliography(list(every)).count("\n@") == len(every) - 1


def test_the_checklist_answers_from_the_records(paper):
    items = checklist(paper)
    assert [item.number for item in items] == list(range(1, 17))
    told = {item.topic: item for item in items}
    assert told["Significance"].answer == "Yes"
    assert "95 % t over seeds" in told["Significance"].told
    assert "2 diverged" in told["Compute"].told
    assert "handicapped of Attention" in told["Limitations"].told
    assert told["Ethics"].answer == "Not answerable from the records"
    assert markdown(items).count("\n") >= 2 * len(items)


def test_a_table_that_is_too_wide_is_broken_into_lines_and_a_long_one_into_parts():
    names = [Cell(f"group {place // 30}") for place in range(90)]
    rows = [[name, Cell("several words " * 12), Cell("0.41 ± 0.12")] for name in names]
    parts = tabulars(Table("T", ["Group", "What", "Number"], rows, 2, "", 0, ""))
    assert len(parts) > 1
    assert sum(part.count(r"$\pm$") for part in parts) == 90
    assert all(re.search(r"p\{[\d.]+em\}", part) for part in parts)
    assert parts[0].count("group 0 &") == 1  # a name is said once
    narrow = tabulars(Table("T", ["Group", "Number"], [[Cell("a"), Cell("1")]], 1, "", 0, ""))
    assert "\\begin{tabular}{lr}" in narrow[0]


def test_a_letter_that_cannot_be_printed_is_refused():
    assert printed("p < 5 % ± -1") == r"p \textless{} 5 \% $\pm$ $-$1"
    with pytest.raises(ValueError, match="LaTeX is not told how to print ☃"):
        printed("a ☃")


def test_the_report_in_print_is_a_pdf_that_says_no_time(paper, left):
    once = report(paper, folder=left)
    assert once.startswith(b"%PDF-")
    assert once == (left / "report.pdf").read_bytes()


ENGINE = shutil.which("pdflatex") or shutil.which("tectonic")
needs_tex = pytest.mark.skipif(ENGINE is None, reason="no TeX engine: pdflatex or tectonic")


def typeset(folder: Path, name: str) -> str:
    """Returns the log of LaTeX; CalledProcessError where it fails."""
    options = (
        ["--keep-logs"] if Path(str(ENGINE)).name == "tectonic" else ["-interaction=nonstopmode", "-halt-on-error"]
    )
    subprocess.run([ENGINE, *options, f"{name}.tex"], cwd=folder, check=True, capture_output=True)
    return (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")


@needs_tex
def test_a_document_that_takes_in_everything_compiles(left, tmp_path):
    shutil.copytree(left, tmp_path, dirs_exist_ok=True)
    typeset(tmp_path, "main")
    subprocess.run(["bibtex", "-terse", "main"], cwd=tmp_path, check=True, capture_output=True)
    log = typeset(tmp_path, "main")
    assert (tmp_path / "main.pdf").stat().st_size > 10_000
    wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]
    assert max(wide, default=0) < 8, wide
    assert "Float too large" not in log
    named = [f"{part}/{path.name}" for part in ("tables", "figures") for path in (left / part).glob("*.???")]
    assert [name for name in named if not name.endswith(".csv") and name not in log.replace("\n", "")] == []


@needs_tex
def test_numbers_work_in_titles_and_captions_and_an_unknown_key_is_named(left, tmp_path):
    shutil.copy(left / "numbers.tex", tmp_path)
    key = "recall.mlstm-key-16.pairs-8.accuracy"
    told = json.loads((left / "numbers.json").read_text(encoding="utf-8"))[key]
    start = (
        "\\documentclass{article}\\usepackage[hidelinks]{hyperref}\\input{numbers}\\begin{document}\\tableofcontents"
    )
    table = f"\\begin{{table}}\\caption[\\trial{{{key}}}]{{\\trialinterval{{{key}}}}}\\end{{table}}"
    inside = f"\\section{{Up to \\trial{{{key}}}}}{table}"
    (tmp_path / "good.tex").write_text(f"{start}{inside}\\end{{document}}")
    typeset(tmp_path, "good")
    log = typeset(tmp_path, "good")
    assert told["text"] in (tmp_path / "good.toc").read_text()
    assert "Token not allowed" not in log
    (tmp_path / "bad.tex").write_text(f"{start}\\section{{\\trial{{no.such.key}}}}\\end{{document}}")
    with pytest.raises(subprocess.CalledProcessError):
        typeset(tmp_path, "bad")
    assert "no.such.key" in (tmp_path / "bad.log").read_text(errors="replace")


def test_it_starts_without_torch():
    program = "import sys, workflow.paper.__main__; assert not {'torch', 'models', 'tasks'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
