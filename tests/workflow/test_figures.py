"""Figures show what was measured, all of it, in one style, and are the same file when drawn again."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.colors import to_rgb

from tests.models.rows import ARCHITECTURES, MIXERS
from tests.workflow.synthetic import RECALL, failing, leave_results, recall_plan
from workflow import plans
from workflow.captions import answer
from workflow.drawing import figure_of, spread
from workflow.estimates import estimates
from workflow.figures import draw_all
from workflow.measured import Measured
from workflow.measurements import measurements
from workflow.panels import house_style
from workflow.planfile import Figure, PlanFile, read_plan
from workflow.plans import Plan
from workflow.points import Labels, Points, key, points
from workflow.scaling.drawn import drawings
from workflow.styles import RC, STYLES, number, quantity, uncertain
from workflow.table import read_table, write_table
from workflow.tables import tables_of as tabulated
from workflow.tabular import markdown

COST = """
question: What does it cost?
figures:
  time: {y: seconds, x: length, panels: phase}
base:
  kind: profiling
  subject: network
  network: {block: shared, width: 16, depth: 1, positions: 0, convolution: 4, feedforward: 0}
  vocabulary: 64
  batch: 1
  new_tokens: null
  precision: float32
  compile: false
  rounds: 1
  warmup: 1
  samples: 5
  budget_seconds: 1.0
  timeout_seconds: 60.0
grid:
  network.mixer:
    - {name: attention, heads: 1, key_value_heads: 1, window: null, rotary_base: 10000.0, kernel: sdpa}
    - {name: lstm, hidden: 16}
  phase: [train_step, decode]
  length: [16, 32, 64]
scales: {quick: {}}
"""


def cost_plan() -> Plan:
    return plans.plan_of(COST, experiment="cost", scale="quick")


def tables_of(plan: Plan, folder: Path, *, ended=None) -> tuple[PlanFile, pd.DataFrame, pd.DataFrame]:
    """Returns the plan as read, the estimates and the measurements, both as read back from their files."""
    leave_results(plan, folder, ended=ended)
    home = folder / plan.scale / plan.experiment
    read = read_plan(home / "plan.json")
    write_table(measurements(read, runs=folder / "runs"), home / "measurements.csv")
    measured = read_table(home / "measurements.csv")
    write_table(estimates(measured), home / "estimates.csv")
    return read, read_table(home / "estimates.csv"), measured


def points_of(plan: Plan, folder: Path, figure: Figure, *, ended=None) -> Points:
    read, estimated, measured = tables_of(plan, folder, ended=ended)
    return points(figure, Measured(read, estimated, measured))


def luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("rows", [MIXERS, ARCHITECTURES], ids=["mixers", "native"])
def test_no_two_architectures_look_alike_even_without_colour(rows):
    styles = [STYLES[name] for name in {row.name for row in rows.values()} | {"hybrid"}]
    assert len({style.marker for style in styles}) == len({style.dash for style in styles}) == len(styles)
    assert len({style.colour for style in styles}) == len(styles)


def test_every_style_is_visible_on_white_paper():
    assert max(luminance(style.colour) for style in STYLES.values()) < 0.5


def test_text_is_large_enough_to_read():
    sizes = [
        value for name, value in RC.items() if name.endswith(("size", "labelsize", "titlesize")) and "font" in name
    ]
    assert all(
        7 <= RC[name] <= 9 for name in RC if name.endswith((".labelsize", ".titlesize", ".fontsize", "font.size"))
    )
    assert sizes
    assert RC["pdf.fonttype"] == 42


@pytest.mark.parametrize("experiment", plans.experiment_names())
def test_every_experiment_is_drawn_and_tabulated_from_its_file_alone(tmp_path, experiment):
    plan = plans.plan(experiment, scale="smoke")
    read, estimated, measured = tables_of(plan, tmp_path)
    draw_all(Measured(read, estimated, measured), folder=tmp_path / "figures")
    names = [*plan.figures, *drawings(estimated), *(["learning-rates"] if plan.tuned else [])]
    left = {path.name for path in (tmp_path / "figures").iterdir()}
    assert left == {f"{name}.{kind}" for name in names for kind in ("svg", "pdf", "csv", "txt")}
    for name, table in tabulated(Measured(read, estimated, measured)).items():
        assert {len(row) for row in table.rows} == {len(table.head)}, name
        assert markdown(table).count("\n| ") == len(table.rows) + 2, name


def test_a_figure_drawn_again_is_the_same_file(tmp_path):
    read, estimated, measured = tables_of(recall_plan(), tmp_path)
    shuffled = measured.sample(frac=1, random_state=0).sort_values("run", kind="stable")
    for folder in ("once", "again"):
        draw_all(Measured(read, estimated, measured), folder=tmp_path / folder)
    with rc_context({"font.size": 20, "svg.hashsalt": "x", "xtick.direction": "in", "axes.facecolor": "red"}):
        draw_all(Measured(read, estimates(shuffled), measured), folder=tmp_path / "elsewhere")
    for path in (tmp_path / "once").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name
        assert path.read_bytes() == (tmp_path / "elsewhere" / path.name).read_bytes(), path.name
    svg = (tmp_path / "once/pairs.svg").read_text()
    assert not re.search(r"20\d\d-\d\d-\d\d", svg)
    assert "<text" not in svg  # letters are drawn, so that no font is needed


def test_a_run_that_tells_of_many_places_is_counted_once(tmp_path):
    plan = plans.plan("streaming", scale="smoke")
    shown = points_of(plan, tmp_path, plan.figures["latency"])
    assert len(shown.estimates) > len(plan.runs)
    assert shown.statuses == {"finished": len(plan.runs)}


def test_every_seed_is_drawn_and_failed_ones_as_failed(tmp_path):
    ended = failing(recall_plan(), role="confirm", mixer="attention", status="diverged", most=2)
    shown = points_of(recall_plan(), tmp_path, Figure(y="accuracy", x="task.pairs"), ended=ended)
    assert shown.seeds.groupby(["series", "x"]).size().tolist() == [3] * 6
    assert shown.seeds["failed"].sum() == 2
    assert shown.statuses == {"diverged": 2, "finished": 16}
    assert list(shown.looks) == ["Attention", "mLSTM, key 4", "mLSTM, key 16"]
    with rc_context(house_style()):
        axes = figure_of(shown, y="accuracy").axes[0]
    drawn = sum(len(collection.get_offsets()) for collection in axes.collections if collection.get_offsets().size > 2)
    assert drawn >= 16


def test_specs_of_one_architecture_share_its_style_and_differ_in_fill(tmp_path):
    shown = points_of(recall_plan(), tmp_path, Figure(y="accuracy", x="task.pairs"))
    small, large = shown.looks["mLSTM, key 4"], shown.looks["mLSTM, key 16"]
    assert small.style == large.style == STYLES["mlstm"]
    assert small.face != large.face
    assert small.width < large.width


def test_a_point_that_did_not_fit_ends_its_line_with_a_cross(tmp_path):
    plan = cost_plan()
    lost = [
        planned.id
        for planned in plan.runs
        if planned.run.network.mixer.name == "attention"
        and planned.run.phase == "train_step"
        and planned.run.length > 16
    ]
    shown = points_of(plan, tmp_path, plan.figures["time"], ended=dict.fromkeys(lost, "out_of_memory"))
    assert shown.panels == ["training step", "decode"]
    assert shown.failures["x"].tolist() == [32, 64]
    assert len(shown.estimates) == 10
    with rc_context(house_style()):
        axes = figure_of(shown, y="seconds").axes[0]
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [line.get_xdata().tolist() for line in crosses] == [[32]]
    told = answer(plan.figures["time"], points=shown)
    assert told.items[0].endswith("Attention ran out of memory")


def test_another_measurement_of_the_same_run_can_be_x(tmp_path):
    plan = recall_plan()
    shown = points_of(plan, tmp_path, plan.figures["state"])
    assert len(shown.estimates) == 3
    assert shown.x.unit == "KiB"
    assert shown.references["predictor"].nunique() >= 3


def test_a_figure_that_leaves_a_choice_open_is_refused(tmp_path):
    read, *tables = tables_of(recall_plan(), tmp_path)
    measured = Measured(read, *tables)
    lines = points(Figure(y="accuracy", x="network.mixer"), measured).looks
    assert "Attention, key-value pairs 8" in lines
    with pytest.raises(ValueError, match=r"several values in one place; they differ in task\.pairs"):
        points(Figure(y="accuracy", x="precision"), Measured(read.model_copy(update={"varied": ()}), *tables))
    with pytest.raises(ValueError, match=r"no run has measured speed over task\.pairs"):
        points(Figure(y="speed", x="task.pairs"), measured)
    with pytest.raises(ValueError, match=r"task\.colour, which no run has"):
        points(Figure(y="accuracy", x="task.pairs", where={"task.colour": 1}), measured)


def test_fields_varied_together_with_x_do_not_split_a_line(tmp_path):
    text = RECALL.replace("  task.pairs: [4, 8]\ntune", "  task.length, task.pairs: [[32, 4], [64, 8]]\ntune")
    assert text != RECALL
    shown = points_of(recall_plan(text), tmp_path, Figure(y="accuracy", x="task.pairs"))
    assert list(shown.looks) == ["Attention", "mLSTM, key 4", "mLSTM, key 16"]


CELLS = {
    "number": st.sampled_from([0.0, 1.0, 0.1, 1e-9, float("nan")]),
    "count": st.integers(0, 2),
    "name": st.sampled_from(["a", "b", "1.0", None]),
    "flag": st.booleans(),
    "mixed": st.sampled_from([True, 1, "1", None]),
}


@given(st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=12))
def test_keys_are_equal_where_all_fields_are(cells):
    rows = pd.DataFrame(cells, index=range(5, 5 + len(cells))).astype({"name": "str", "mixed": "object"})
    said = [tuple("" if pd.isna(value) else str(value) for value in map(cell.get, CELLS)) for cell in cells]
    found = key(rows, list(CELLS))
    assert (found.index == rows.index).all()
    assert [[one == other for other in found] for one in found] == [[one == other for other in said] for one in said]
    assert list(key(rows, [])) == [""] * len(cells)
    assert list(key(rows.astype({"count": "float64"}), list(CELLS))) == list(found)  # a table elsewhere has it as such


def test_labels_are_spread_without_changing_their_order():
    places = spread(np.array([0.1, 0.11, 0.12, 0.9]), gap=0.1)
    assert (np.diff(places) >= 0.1 - 1e-6).all()
    assert places[3] == 0.9
    assert places[1] == pytest.approx(0.11)


def test_numbers_are_said_shortly_and_units_are_handy():
    assert [number(value) for value in (64, 1024, 65536, 0.003, 2.5)] == ["64", "1k", "64k", "0.003", "2.5"]
    assert quantity("seconds", unit="s", values=[0.002, 0.004]).label == "Time per call (ms)"
    assert quantity("peak_bytes", unit="B", values=[3 * 2.0**20]).label == "Peak memory (MiB)"
    assert quantity("accuracy", unit="fraction", values=[0.5], split="test").label == "Test accuracy"


@pytest.mark.parametrize(
    ("value", "low", "high", "said"),
    [
        (0.4123, 0.29, 0.5346, "0.41 ± 0.12"),
        (0.98, 0.9123, 1.0, "0.980 [0.912, 1.000]"),
        (0.41234, 0.41134, 0.41334, "0.4123 ± 0.0010"),
        (1234.5, 1200.0, 1269.0, "1,234 ± 34"),
        (0.5, np.nan, np.nan, "0.5"),
    ],
)
def test_a_number_has_the_digits_its_uncertainty_allows(value, low, high, said):
    row = pd.Series({"value": value, "low": low, "high": high, "interval": ""})
    assert uncertain(row, factor=1.0) == said


def test_panels_of_tasks_and_of_other_settings_are_named_after_both():
    rows = pd.DataFrame({"network.mixer.name": "lstm", "task.name": ["recall", "parity"] * 2, "depth": [1, 1, 2, 2]})
    label = Labels(rows, series=["network.mixer.name"], panels=["task.name", "depth"])
    assert label.put_on(rows)["panel"].tolist() == [
        "recall, depth 1",
        "parity, depth 1",
        "recall, depth 2",
        "parity, depth 2",
    ]
    label = Labels(rows, series=["network.mixer.name"], panels=["task.name"])
    assert label.put_on(rows)["panel"].tolist() == ["recall", "parity"] * 2
