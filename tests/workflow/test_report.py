"""The report needs nothing but itself, hides nothing, and is the same page when written again."""

import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

import workflow.estimates
import workflow.figures
import workflow.measurements
import workflow.report.__main__
import workflow.scaling.__main__
import workflow.tables
from tests.workflow.synthetic import MADE, failing, leave_results, recall_plan, result_of
from tests.workflow.test_figures import cost_plan, tables_of
from tests.workflow.verdicts import CLAIMS, leave_controls, leave_verdicts
from workflow.figures import draw_all
from workflow.files import write
from workflow.measured import Measured, measured_in
from workflow.measurements import measurements
from workflow.planfile import read_plan
from workflow.report import page
from workflow.scaling.laws import laws
from workflow.scaling.lines import lines, samples
from workflow.scaling.pairs import crossovers
from workflow.styles import uncertain
from workflow.table import read_table, write_table
from workflow.tables import cost_tables
from workflow.tables import tables_of as set_tables
from workflow.tabular import leave_tables


def made(folder: Path, *plans, ended=None) -> Path:
    for plan in plans:
        measured = Measured(*tables_of(plan, folder, ended=ended))
        home = folder / plan.scale / plan.experiment
        draw_all(measured, folder=home / "figures")
        leave_tabulated(home, measured)
        if plan.tuned:
            leave_controls(home)
        leave_verdicts(home.parent)
    return folder


def leave_tabulated(home: Path, measured: Measured) -> None:
    """Leaves what the report reads beside estimates and figures: the tables and, where it profiles, how cost grows."""
    found, tables = lines(measured.estimates), set_tables(measured)
    if found:
        taken = samples(measured.measurements)
        write_table(laws(found, taken), home / "scaling.csv")
        write_table(crossovers(found, taken), home / "crossovers.csv")
        tables |= cost_tables(*(read_table(home / f"{name}.csv") for name in ("scaling", "crossovers")))
    leave_tables(tables, folder=home / "tables")


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    ended = failing(recall_plan(), role="confirm", mixer="attention", status="diverged", most=2)
    return made(tmp_path_factory.mktemp("results"), recall_plan(), cost_plan(), ended=ended)


@pytest.fixture(scope="module")
def text(results) -> str:
    return page(["recall", "cost"], scale="quick", results=results)


class Checked(HTMLParser):
    """Collects ids and references, and checks that what is opened is closed."""

    VOID = frozenset({"meta", "br", "img", "link", "hr"})

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.named: list[str] = []
        self.buttons: list[tuple[str, ...]] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "button":
            self.buttons.append(tuple(self.open[-2:]))
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "xlink:href") and value.startswith("#"):
                self.named.append(value[1:])
            self.named += re.findall(r"url\(#([^)]+)\)", value or "")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def checked(text) -> Checked:
    found = Checked()
    found.feed(text)
    return found


def test_the_page_is_well_formed_and_its_drawings_do_not_clash(text, checked):
    assert checked.open == []
    assert len(checked.ids) == len(set(checked.ids))
    assert set(checked.named) <= set(checked.ids)
    assert text.count('<svg id="') == 5


def test_the_page_needs_nothing_else(text):
    assert "default-src 'none'" in text
    assert not re.search(r"<script [^>]*src|<link|<iframe|@import|@font-face|fetch\(|XMLHttp", text)
    addresses = set(re.findall(r"""(?:src|href)=["'](?!#)([^"']*)""", text))
    assert all(address.startswith("data:text/csv;charset=utf-8,") for address in addresses)


def test_the_page_written_again_is_the_same(results, text):
    assert page(["recall", "cost"], scale="quick", results=results) == text
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", text)


def test_every_claim_of_the_file_is_on_the_page_and_in_reach(text, checked):
    for claim in CLAIMS:
        assert f"claim-{claim['claim']}" in checked.ids
    assert text.count('<details class="claim ') == len(CLAIMS)
    assert {f"family-{name}" for name in ("recall", "cost")} <= set(checked.named) & set(checked.ids)
    assert text.index('id="verdicts"') < text.index('id="controls"') < text.index('id="recall"')


def test_verdicts_are_counted_in_one_sentence(text):
    assert "Of 5 claims, 2 are supported, 1 is refuted, 1 is inconclusive and 1 is not evaluable." in text
    assert "Written down: 3 before the runs, 1 post hoc and 1 at a time unknown." in text


def test_a_claim_names_what_speaks_for_and_against_it(text):
    shown = re.search(r'<details class="claim inconclusive".*?</details>', text, re.DOTALL)[0]
    for told in (
        "0.04 [-0.06, 0.14]",
        "claimed above 0",
        "20 seeds are needed",
        "0.12 from the edge",
        "0.400",
        "post hoc",
    ):
        assert told in shown, told
    missing = re.search(r'<details class="claim not-evaluable".*?</details>', text, re.DOTALL)[0]
    assert "2 of 6 runs failed" in missing
    assert "<svg" not in missing


def test_what_is_named_is_escaped(text):
    assert "&lt;b&gt;mLSTM&lt;/b&gt; &amp; memory" in text
    assert "<b>mLSTM" not in text


def test_controls_that_behaved_are_one_sentence(text):
    assert "All 3 controls behaved as they must, in 1 of the experiments (oracle, duplicate and handicapped)." in text
    assert '"box alarm"' not in text


def test_a_control_that_misbehaved_is_loud_before_any_verdict(tmp_path, results):
    shutil.copytree(results, tmp_path, dirs_exist_ok=True)
    leave_controls(tmp_path / "quick/recall", behaved={"duplicate": "no", "handicapped": "not run"})
    told = page(["recall", "cost"], scale="quick", results=tmp_path)
    assert told.index("1 control misbehaved.") < told.index('id="verdicts"')
    alarm = re.search(r'<div class="box alarm" role="alert">(.*?)</div>', told, re.DOTALL)[1]
    assert "recall, duplicate of mLSTM, key 16" in alarm
    assert "p = 0.002" in alarm
    assert "1 of 2 controls behaved as they must" in told
    assert "1 was not run." in told
    assert "handicapped of Attention: no network leaves the floor" in told


@pytest.mark.parametrize("name", ["verdicts", "recall/controls"])
def test_what_an_earlier_step_did_not_leave_is_named_with_the_step(tmp_path, results, name):
    shutil.copytree(results, tmp_path, dirs_exist_ok=True)
    (tmp_path / f"quick/{name}.csv").unlink()
    step = {"verdicts": "claims", "recall/controls": "controls"}[name]
    with pytest.raises(ValueError, match=rf"{name}\.csv is missing: python -m workflow\.{step} writes it"):
        page(["recall", "cost"], scale="quick", results=tmp_path)


def test_tables_are_sorted_by_the_buttons_in_their_heads(text, checked):
    assert text.count('<table class="sortable') == text.count("<table")
    assert {pair for pair in checked.buttons if pair[0] != "div"} == {("th", "button")}
    assert text.count(" disabled>") == text.count("<button") - 1  # what only a script can do is off without one
    assert "aria-sort" in text


def test_what_is_plotted_can_be_saved_as_it_is(results, text):
    for name in ("recall/figures/pairs", "cost/figures/time", "recall/figures/learning-rates"):
        saved = re.search(
            rf'download="{name.replace("/figures/", "-")}\.csv" href="data:text/csv;charset=utf-8,([^"]*)"', text
        )
        assert unquote(saved[1]) == (results / f"quick/{name}.csv").read_text(encoding="utf-8")


def test_every_figure_and_table_has_an_anchor_in_the_contents(text, checked):
    contents = re.search(r"<nav.*?</nav>", text, re.DOTALL)[0]
    figures = [name for name in checked.ids if "-figure-" in name]
    assert len(figures) == 5
    assert all(f'href="#{name}"' in contents for name in figures)
    assert re.findall(r'<figure id="([^"]+)"', text) == figures
    assert 'href="#recall-table-fairness"' in contents


def test_what_networks_do_with_an_input_is_shown_where_it_was_drawn(tmp_path, sound):
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    drawn = tmp_path / "quick/interpretation/figures"
    drawn.mkdir(parents=True)
    for kind in ("svg", "txt"):
        shutil.copy(tmp_path / f"quick/recall/figures/pairs.{kind}", drawn / f"gates.{kind}")
    write_table(pd.DataFrame({"position": range(50_000), "value": 0.5}), drawn / "gates.csv")
    told = page(["recall"], scale="quick", results=tmp_path)
    assert '<figure id="interpretation-figure-gates">' in told
    assert "<code>interpretation/figures/gates.csv</code>" in told  # too large to be part of a page
    assert "interpretation-table-gates" not in told
    assert "What networks do with an input" not in page(["recall"], scale="quick", results=sound)


def test_the_page_answers_from_the_estimates(results, text):
    estimated = read_table(results / "quick/recall/estimates.csv")
    tested = estimated.query("name == 'accuracy' and role == 'confirm' and `at.split` == 'test'")
    best = tested[tested["task.pairs"] == 8].sort_values("value").iloc[-1]
    told = re.search(r'<p class="answer">(.*?)</p>', text, re.DOTALL)[1]
    assert told.startswith("At 8 key-value pairs, the highest test accuracy is that of ")
    assert uncertain(best, factor=1.0) in told.partition(";")[0]


def test_failures_are_told_before_anything_else_and_listed_one_by_one(results, text):
    box = re.search(r'<div class="box warn">(.*?)</div>', text, re.DOTALL)[1]
    assert "2 of 18 confirming runs diverged." in box
    assert text.index("Read with care") < text.index("<h2>How to read this")
    listed = re.search(r'<table[^>]* id="recall-table-failed">(.*?)</table>', text, re.DOTALL)[1]
    measured = read_table(results / "quick/recall/measurements.csv").drop_duplicates("run")
    failed = measured[measured["status"] != "finished"]
    assert all(f">{run}<" in listed for run in failed["run"])
    assert listed.count("for a test") == len(failed) == 2
    assert "Attention, key-value pairs" in listed


def test_every_planned_run_is_counted(text):
    ran = re.search(r'<table[^>]* id="recall-table-ran">(.*?)</table>', text, re.DOTALL)[1]
    counts = [int(n) for n in re.findall(r'data-sort="\d+">(\d+)</td><td', ran)]
    assert sum(counts) == len(recall_plan().runs)
    assert f"All planned: {len(recall_plan().runs)} runs" in text
    assert "9 tuning, 18 confirming, 2 reference" in text


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("sound"), recall_plan())


def test_a_page_with_nothing_wrong_has_no_warning(sound):
    told = page(["recall"], scale="quick", results=sound)
    assert "Read with care" not in told
    assert "Runs that failed" not in told


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"commit": "0123456789ab+"}, "made by code that differs from its commit"),
        ({"commit": ""}, "outside a checkout"),
        ({"machine": "ffffffff"}, "come from 2 machines"),
    ],
)
def test_what_is_wrong_with_where_it_was_made_is_told(tmp_path, sound, changed, said):
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    confirm = next(planned for planned in recall_plan().runs if planned.role == "confirm")
    other = result_of(confirm, made=MADE.model_copy(update=changed))
    write(tmp_path / "runs" / confirm.id / "result.json", other.model_dump_json())
    table = measurements(read_plan(tmp_path / "quick/recall/plan.json"), runs=tmp_path / "runs")
    write_table(table, tmp_path / "quick/recall/measurements.csv")
    assert said in page(["recall"], scale="quick", results=tmp_path)


@pytest.mark.parametrize(
    ("scale", "said"), [("smoke", "say nothing about any"), ("quick", "evidence about larger networks")]
)
def test_the_page_says_what_its_scale_is_worth(tmp_path, sound, scale, said):
    shutil.copytree(sound / "quick", tmp_path / scale)
    assert said in page(["recall"], scale=scale, results=tmp_path)


def test_the_steps_follow_one_another_as_commands(tmp_path, monkeypatch):
    leave_results(recall_plan(), tmp_path)
    home = tmp_path / "quick/recall"
    tables = [home / "plan.json", home / "estimates.csv", home / "measurements.csv"]
    told = ["--scale", "quick", "--results", tmp_path, "--output", tmp_path / "report.html", "recall"]
    steps = [
        (workflow.measurements, [tables[0], "--runs", tmp_path / "runs", "--output", tables[2]]),
        (workflow.estimates, [tables[2], "--output", tables[1]]),
        (workflow.figures, [*tables, "--output", home / "figures"]),
        (workflow.tables, [*tables, "--output", home / "tables"]),
        (workflow.report.__main__, told),
    ]
    leave_controls(home)
    leave_verdicts(home.parent)
    for module, rest in steps:
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, rest)])
        module.main()
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert {path.suffix for path in (home / "tables").iterdir()} == {".md", ".tex", ".json"}


def test_what_profiles_has_its_scaling_on_the_page_and_what_trains_has_none(text):
    recall, cost = (text.index(f'<section class="experiment" id="{name}">') for name in ("recall", "cost"))
    assert text.count("<h3>How cost grows</h3>") == 1
    assert text.index("<h3>How cost grows</h3>") > cost > recall
    assert "Longest length that finished: 64 tokens for all, the longest tried." in text
    assert "not evaluable for Attention and LSTM (3 lengths finished, and an exponent needs 6)" in text
    assert text.index("Where lines cross</caption>") > text.index("How cost grows</caption>")


def test_what_profiles_is_told_by_commands_too(tmp_path, monkeypatch):
    leave_results(cost_plan(), tmp_path)
    home = tmp_path / "quick/cost"
    plan, estimates, measurements, *scaling = [
        home / name for name in ("plan.json", "estimates.csv", "measurements.csv", "scaling.csv", "crossovers.csv")
    ]
    told = ["--scaling", scaling[0], "--crossovers", scaling[1]]
    asked = ["--scale", "quick", "--results", tmp_path, "--output", tmp_path / "report.html", "cost"]
    steps = [
        (workflow.measurements, [plan, "--runs", tmp_path / "runs", "--output", measurements]),
        (workflow.estimates, [measurements, "--output", estimates]),
        (workflow.figures, [plan, estimates, measurements, "--output", home / "figures"]),
        (workflow.scaling.__main__, [estimates, measurements, *told]),
        (workflow.tables, [plan, estimates, measurements, *told, "--output", home / "tables"]),
        (workflow.report.__main__, asked),
    ]
    leave_verdicts(home.parent)
    for module, rest in steps:
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, rest)])
        module.main()
    assert {"scaling.md", "scaling.tex", "crossovers.md"} <= {path.name for path in (home / "tables").iterdir()}
    assert "No experiment here trains a network" in (tmp_path / "report.html").read_text(encoding="utf-8")
    scaling[0].unlink()
    with pytest.raises(SystemExit, match=r"error: .*scaling\.csv"):
        workflow.report.__main__.main()


def test_a_report_without_its_tables_is_an_error_of_one_line(tmp_path, monkeypatch):
    given = ["--scale", "quick", "--results", tmp_path, "--output", tmp_path / "report.html", "recall"]
    monkeypatch.setattr(sys, "argv", ["workflow.report", *map(str, given)])
    with pytest.raises(SystemExit, match=r"error: .*recall/plan\.json"):
        workflow.report.__main__.main()
    assert not (tmp_path / "report.html").exists()


def test_conditions_of_timing_are_on_the_page_where_the_machine_told_any(tmp_path, results, text):
    shutil.copytree(results, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "quick/cost/measurements.csv"
    table = read_table(path)
    one = table[table["name"] == "seconds"].drop_duplicates("run")
    told = {"clock": (2.6e9, "Hz"), "busy": (0.25, "fraction"), "joules_per_token": (0.002, "J/token")}
    rows = [one.assign(**{"name": name, "value": value, "unit": unit}) for name, (value, unit) in told.items()]
    write_table(pd.concat([table, *rows]), path)
    leave_tabulated(path.parent, measured_in(path.parent))
    shown = re.search(
        r'<table[^>]* id="cost-table-conditions">(.*?)</table>',
        page(["recall", "cost"], scale="quick", results=tmp_path),
        re.DOTALL,
    )[1]
    heads = re.findall(r"<button[^>]*>(.*?)</button>", shown)
    assert heads[:4] == ["Mixer", "Clock (GHz)", "Others had, median (%)", "Others had, most (%)"]
    assert heads[4:] == ["Energy per token, training step (mJ)", "Energy per token, decode (mJ)"]
    assert re.findall(r"<td[^>]*>(.*?)</td>", shown)[:6] == ["Attention", "2.60", "25.0", "25.0", "2", "2"]
    assert "cost-table-conditions" not in text
