"""The report needs nothing but itself, hides nothing, and is the same page when written again."""

import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import workflow.estimates
import workflow.figures
import workflow.measurements
import workflow.report
import workflow.scaling.__main__
import workflow.tables
from tests.workflow.synthetic import MADE, failing, leave_results, recall_plan, result_of
from tests.workflow.test_figures import cost_plan, tables_of
from workflow.figures import draw_all
from workflow.files import write
from workflow.measurements import measurements
from workflow.planfile import read_plan
from workflow.report import inlined, page
from workflow.scaling.laws import laws
from workflow.scaling.lines import lines, samples
from workflow.scaling.pairs import crossovers
from workflow.styles import uncertain
from workflow.table import read_table, write_table


def made(folder: Path, *plans, ended=None) -> Path:
    for plan in plans:
        read, estimated, measured = tables_of(plan, folder, ended=ended)
        figures = folder / plan.scale / plan.experiment / "figures"
        draw_all(read, estimates=estimated, measurements=measured, folder=figures)
        leave_scaling(figures.parent, estimates=estimated, measurements=measured)
    return folder


def leave_scaling(home: Path, *, estimates, measurements) -> None:
    """Leaves, of an experiment that profiles, what its report reads beside the estimates."""
    found = lines(estimates)
    if found:
        write_table(laws(found), home / "scaling.csv")
        write_table(crossovers(found, samples(measurements)), home / "crossovers.csv")


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

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
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


def test_the_page_is_well_formed_and_its_drawings_do_not_clash(text):
    checked = Checked()
    checked.feed(text)
    assert checked.open == []
    assert len(checked.ids) == len(set(checked.ids))
    assert set(checked.named) <= set(checked.ids)
    assert text.count("<svg") == 5


def test_the_page_needs_nothing_else(text):
    assert "<script" not in text
    assert "<link" not in text
    assert "@import" not in text
    assert "@font-face" not in text
    addresses = set(re.findall(r"""(?:src|href)=["'](?!#)([^"']*)""", text))
    assert addresses == set()


def test_the_page_written_again_is_the_same(results, text):
    assert page(["recall", "cost"], scale="quick", results=results) == text
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", text)


def test_the_page_answers_from_the_estimates(results, text):
    estimated = read_table(results / "quick/recall/estimates.csv")
    tested = estimated.query("name == 'accuracy' and role == 'confirm' and `at.split` == 'test'")
    best = tested[tested["task.pairs"] == 8].sort_values("value").iloc[-1]
    told = re.search(r'<p class="answer">(.*?)</p>', text, re.DOTALL)[1]
    assert told.startswith("At 8 key-value pairs, the highest test accuracy is that of ")
    assert uncertain(best, factor=1.0) in told.partition(";")[0]


def test_failures_are_told_before_anything_else(text):
    box = re.search(r'<div class="box warn">(.*?)</div>', text, re.DOTALL)[1]
    assert "2 of 18 confirming runs diverged." in box
    assert text.index("Read with care") < text.index("How to read this")


def test_every_planned_run_is_counted(text):
    ran = re.search(r"<h3>What was run</h3>(.*?)</table>", text, re.DOTALL)[1]
    counts = [int(n) for n in re.findall(r'<td class="number">(\d+)</td>', ran)]
    assert sum(counts[:-1]) == counts[-1] == len(recall_plan().runs)


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("sound"), recall_plan())


def test_a_page_with_nothing_wrong_has_no_warning(sound):
    assert "Read with care" not in page(["recall"], scale="quick", results=sound)


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


def test_drawings_keep_their_own_names():
    svg = (
        '<?xml?><svg width="72pt" height="36pt" viewBox="0 0 72 36"><metadata>x</metadata><defs><style>*{a: b}</style>'
    )
    svg += '<path id="m1"/></defs><use xlink:href="#m1" clip-path="url(#m1)"/></svg>'
    told = inlined(svg, name="a", caption='5 < 6 "quoted"')
    assert 'id="a-m1"' in told
    assert 'xlink:href="#a-m1"' in told
    assert "url(#a-m1)" in told
    assert "metadata" not in told
    assert "<style>#a *{a: b}" in told.replace("* {", "*{")
    assert 'aria-label="5 &lt; 6 &#34;quoted&#34;"' in told


def test_the_steps_follow_one_another_as_commands(tmp_path, monkeypatch):
    leave_results(recall_plan(), tmp_path)
    home = tmp_path / "quick/recall"
    tables = [home / "plan.json", home / "estimates.csv", home / "measurements.csv"]
    steps = [
        (workflow.measurements, [tables[0], "--runs", tmp_path / "runs", "--output", tables[2]]),
        (workflow.estimates, [tables[2], "--output", tables[1]]),
        (workflow.figures, [*tables, "--output", home / "figures"]),
        (workflow.tables, [*tables, "--output", home / "tables"]),
        (workflow.report, ["--scale", "quick", "--results", tmp_path, "--output", tmp_path / "report.html", "recall"]),
    ]
    for module, rest in steps:
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, rest)])
        module.main()
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert {path.suffix for path in (home / "tables").iterdir()} == {".md", ".tex"}


def test_what_profiles_has_its_scaling_on_the_page_and_what_trains_has_none(text):
    recall, cost = (text.index(f'<section class="experiment" id="{name}">') for name in ("recall", "cost"))
    assert text.count("<h3>How cost grows with length</h3>") == 1
    assert text.index("<h3>How cost grows with length</h3>") > cost > recall
    assert "Longest length that finished: 64 tokens for all, the longest tried." in text
    assert "not evaluable for Attention and LSTM (3 lengths finished, and an exponent needs 6)" in text
    assert text.index("Where lines cross</caption>") > text.index("How cost grows with sequence length</caption>")


def test_what_profiles_is_told_by_commands_too(tmp_path, monkeypatch):
    leave_results(cost_plan(), tmp_path)
    home = tmp_path / "quick/cost"
    plan, estimates, measurements, *scaling = [
        home / name for name in ("plan.json", "estimates.csv", "measurements.csv", "scaling.csv", "crossovers.csv")
    ]
    told = ["--scaling", scaling[0], "--crossovers", scaling[1]]
    steps = [
        (workflow.measurements, [plan, "--runs", tmp_path / "runs", "--output", measurements]),
        (workflow.estimates, [measurements, "--output", estimates]),
        (workflow.figures, [plan, estimates, measurements, "--output", home / "figures"]),
        (workflow.scaling.__main__, [estimates, measurements, *told]),
        (workflow.tables, [plan, estimates, measurements, *told, "--output", home / "tables"]),
        (workflow.report, ["--scale", "quick", "--results", tmp_path, "--output", tmp_path / "report.html", "cost"]),
    ]
    for module, rest in steps:
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, rest)])
        module.main()
    assert {"scaling.md", "scaling.tex", "crossovers.md"} <= {path.name for path in (home / "tables").iterdir()}
    scaling[0].unlink()
    with pytest.raises(SystemExit, match=r"error: .*scaling\.csv"):
        workflow.report.main()


def test_a_report_without_its_tables_is_an_error_of_one_line(tmp_path, monkeypatch):
    given = ["--scale", "quick", "--results", tmp_path, "--output", tmp_path / "report.html", "recall"]
    monkeypatch.setattr(sys, "argv", ["workflow.report", *map(str, given)])
    with pytest.raises(SystemExit, match=r"error: .*measurements\.csv"):
        workflow.report.main()
    assert not (tmp_path / "report.html").exists()
