"""Tables, drawings and files as HTML: what sorts them, what a screen reader hears, what may be in an address."""

import math
import re
from urllib.parse import unquote

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow.report.markup import frame_table, inlined, saved, sort_key, table_html
from workflow.report.verdicts import bounds, drawn_interval, interval_text, p_text
from workflow.tabular import Cell, Table


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("0.41 ± 0.12", 0.41),
        ("0.98 [0.91, 1.00]", 0.98),
        ("1,234", 1234),
        ("-3e-05", -3e-5),
        ("2/3 [0.09, 0.99]", 2 / 3),
        ("< 0.001", 0.001),
        ("4k", 4096),
        ("90 s", 90),
        ("5 min", 300),
        ("1.5 h", 5400),
        ("3 KiB", 3072),
        ("16 pairs", 16),
        ("3\N{EN DASH}15", 3),
        ("\N{EN DASH}", None),
        ("out of memory", None),
        ("", None),
    ],
)
def test_cells_sort_by_the_number_they_begin_with(text, key):
    assert sort_key(text) == key


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_any_number_as_python_prints_it_sorts_as_itself(value):
    assert sort_key(f"{value!r} of many") == value


def test_a_name_is_shown_once_but_is_in_every_row():
    rows = [[Cell("a<"), Cell("x"), Cell("1")], [Cell("a<"), Cell("y"), Cell("out of memory", remark="1 of 3")]]
    told = table_html(Table("T&U", ["N", "M", "V"], rows, 2, "", 0, ""), anchor="t")
    assert '<td class="name"><span class="again">a&lt;</span></td><td class="name">y</td>' in told
    assert '<td class="number" data-sort="1">1</td>' in told
    assert '<td class="number">out of memory<small>1 of 3</small></td>' in told
    assert told.count('scope="col"><button type="button" disabled>') == 3
    assert "<caption>T&amp;U</caption>" in told


def test_what_was_plotted_is_a_table_without_its_empty_columns():
    frame = pd.DataFrame(
        {"x": [1.0, 2.0], "panel": [None, None], "series": ["out_of_memory", "b"], "edge": [True, False]}
    )
    table = frame_table(frame, title="t")
    assert table.head == ["Series", "X", "Edge"]
    assert table.named == 1
    assert [[cell.text for cell in row] for row in table.rows] == [["out of memory", "1", "yes"], ["b", "2", "no"]]


@given(st.text(alphabet=st.characters(codec="utf-8")))
def test_what_is_saved_is_what_was_given_and_stays_inside_its_quotes(text):
    address = re.fullmatch(
        r'<a download="n\.csv" href="data:text/csv;charset=utf-8,([^"<>& #]*)">n\.csv</a>', saved(text, name="n.csv")
    )
    assert unquote(address[1]) == text


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


@pytest.mark.parametrize(
    ("numbers", "unit", "text"),
    [
        ((0.3, 0.2, 0.4), "fraction", "0.30 [0.20, 0.40]"),
        ((0.0, -0.001, 0.04), "1", "0.000 [-0.001, 0.040]"),
        ((-0.0001, -0.06, 0.06), "1", "0.000 [-0.060, 0.060]"),
        ((453.2, 340.0, 549.0), "token", "453 [340, 549] tokens"),
        ((1.0, 1.0, 1.0), "1", "1"),
        ((1536.0, math.nan, math.nan), "B", "1,536 B"),
        ((0.5, 0.4, math.inf), "1", "0.50 [0.40, ∞]"),
        ((math.nan, math.nan, math.nan), "1", "\N{EN DASH}"),
    ],
)
def test_a_number_has_the_digits_its_interval_allows(numbers, unit, text):
    assert interval_text(*numbers, unit=unit) == text


def test_small_p_values_are_not_told_as_zero():
    assert [p_text(p) for p in (0.0, 0.0004, 0.04, math.nan)] == ["< 0.001", "< 0.001", "0.040", "\N{EN DASH}"]


def test_regions_are_read_as_claims_write_them():
    assert bounds("above 0") == (0, math.inf)
    assert bounds("below -1e-05") == (-math.inf, -1e-5)
    assert bounds("between -0.05 and 0.05") == (-0.05, 0.05)
    with pytest.raises(ValueError, match="'about 1' is no region"):
        bounds("about 1")


@given(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=5), st.sampled_from(["above", "below", "between"]))
def test_an_interval_is_drawn_inside_its_picture_and_on_its_side_of_the_edge(numbers, kind):
    low, value, high = sorted(numbers[:3])
    first, last = sorted(numbers[3:])
    region = {"above": (first, math.inf), "below": (-math.inf, last), "between": (first, last)}[kind]
    told = drawn_interval(value, low, high, region=region)
    band, width = (float(re.search(rf'<rect [^>]*\b{name}="([\d.-]+)"', told)[1]) for name in ("x", "width"))
    left, right = map(float, re.search(r'<path d="M([\d.-]+) [\d.]+H([\d.-]+)', told).groups())
    point = float(re.search(r'cx="([\d.-]+)"', told)[1])
    assert 0 <= left <= point <= right <= 132
    assert 0 <= band <= band + width <= 132.1
    if low > region[1]:
        assert left >= band + width - 0.11
    if high < region[0]:
        assert right <= band + 0.11
