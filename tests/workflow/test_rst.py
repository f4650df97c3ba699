"""Captions of Snakemake's own report are good reStructuredText that says what the files say."""

import re
from pathlib import Path

import pytest
from docutils.core import publish_parts

from workflow.rst import captions, listed, plain
from workflow.tabular import Cell, Table, markdown

ROOT = Path(__file__).parent.parent.parent
FOLDERS = sorted({path.parent for path in (ROOT / "results" / "reference" / "quick").glob("*/*.md")})


def page(rst: str) -> str:
    """Returns HTML; a warning of docutils is an error."""
    return publish_parts(rst, writer="html", settings_overrides={"halt_level": 2, "report_level": 2})["body"]


@pytest.mark.parametrize("text", ["a_b_ |x| *no* `y` \\z", "n = 2; 95 % t intervals", "Bars: |a - b|_"])
def test_plain_text_stays_what_it_is(text):
    assert page(plain(text)).strip() == f"<p>{text}</p>"


def test_a_table_keeps_its_cells():
    rows = [[Cell("a|b"), Cell("0.5 ± 0.1", bold=True, remark="1 failed")], [Cell("x_"), Cell("")]]
    shown = page(listed(markdown(Table("Title", ["Mixer", "n"], rows, named=1, span="", spanned=0, note="A *note*."))))
    told = [re.sub(r"<.*?>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", shown, re.DOTALL)]
    assert [cell.strip() for cell in told] == ["Mixer", "n", "a|b", "0.5 ± 0.1 (1 failed)", "x_", "&nbsp;"]
    assert "<strong>Title</strong>" in shown
    assert "<strong>0.5 ± 0.1</strong>" in shown
    assert "A *note*." in shown


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_table_of_the_reference_results_is_a_caption(folder):
    found = captions(folder)
    assert found.keys() >= {path.stem for path in folder.glob("*.md")}
    for text in found.values():
        assert "<table" in page(text)


def test_there_are_none_before_there_is_a_folder(tmp_path):
    assert captions(tmp_path / "figures") == {}


def test_every_result_of_the_report_has_a_caption_that_is_there():
    rules = {path: path.read_text(encoding="utf-8") for path in (ROOT / "workflow" / "rules").glob("*.smk")}
    shown = {path: re.findall(r'\bcaption="(.*?)"', text) for path, text in rules.items()}
    assert sum(map(len, shown.values())) == 5
    for path, text in rules.items():
        assert len(re.findall(r"\breport\(", text)) == len(shown[path]) == len(re.findall(r'\bcategory="', text))
        assert all((path.parent / caption).exists() for caption in shown[path])
