"""Tables say the same as the figures, with what failed, and survive Markdown and LaTeX."""

import re

import pytest

from tests.workflow.synthetic import RECALL, failing, recall_plan
from tests.workflow.test_figures import cost_plan, tables_of
from workflow.captions import answer, caption
from workflow.estimates import estimates as estimated_from
from workflow.fairness import parameter_mismatch
from workflow.measured import Measured
from workflow.plans import plan
from workflow.points import points
from workflow.tables import tables_of as tables
from workflow.tabular import Cell, Table, escaped, latex, leave_tables, markdown, read_tables


@pytest.fixture(scope="module")
def recall(tmp_path_factory):
    ended = failing(recall_plan(), role="confirm", mixer="attention", status="diverged", most=1)
    read, estimated, measured = tables_of(recall_plan(), tmp_path_factory.mktemp("recall"), ended=ended)
    return tables(Measured(read, estimated, measured))


def texts(table: Table, column: int) -> list[str]:
    return [row[column].text for row in table.rows]


def test_a_table_has_a_row_per_line_and_a_column_per_x(recall):
    table = recall["pairs"]
    assert table.head == ["Mixer", "4", "8", "n"]
    assert texts(table, 0)[:3] == ["Attention", "mLSTM, key 4", "mLSTM, key 16"]
    assert texts(table, 3)[:3] == ["3", "3", "3"]
    assert all(re.fullmatch(r"[\d.]+ (± [\d.]+|\[[\d.]+, [\d.]+\])", text) for text in texts(table, 1)[:3])


def test_what_needs_no_network_stands_below_every_line_the_worst_first(recall):
    table = recall["pairs"]
    names = [text.removeprefix("no network: ") for text in texts(table, 0)[3:]]
    assert set(names) == {"constant", "position", "any value", "oracle"}
    assert names[-1] == "oracle"
    scores = [float(text) for text in texts(table, 1)[3:]]
    assert scores[-1] == 1
    assert scores[0] == min(scores)


def test_failed_runs_are_counted_in_their_cell(recall):
    remarks = [cell.remark for row in recall["pairs"].rows for cell in row if cell.remark]
    assert remarks == ["1 of 3 diverged"]
    assert "(1 of 3 diverged)" in markdown(recall["pairs"])
    assert "(1 of 3 diverged)" in latex(recall["pairs"])


def test_the_best_and_what_cannot_be_told_from_it_are_bold(recall):
    for column in (1, 2):
        assert any(row[column].bold for row in recall["pairs"].rows)
    assert not any(cell.bold for row in recall["pairs-solved"].rows for cell in row)


def test_solved_seeds_are_told_as_a_share(recall):
    assert all(re.fullmatch(r"\d/3 \[[\d.]+, [\d.]+\]", text) for text in texts(recall["pairs-solved"], 1))


def test_the_fairness_table_says_what_each_network_is_and_was_given(recall):
    table = recall["fairness"]
    assert table.head == [
        "Mixer",
        "Parameters",
        "FLOPs per token",
        "State at 32 tokens (KiB)",
        "Training steps",
        "Training tokens (M)",
        "Tuning trials",
        "Learning rate",
    ]
    assert texts(table, 4) == ["4", "4", "4"]
    assert texts(table, 6) == ["3", "3", "3"]
    assert texts(table, 7) == ["0.003"] * 3


def test_a_learning_rate_at_the_edge_of_the_grid_is_flagged(tmp_path):
    read, estimated, measured = tables_of(recall_plan(), tmp_path)
    edged = tables(Measured(read.model_copy(update={"tuned": (0.003, 0.01)}), estimated, measured))
    assert texts(edged["fairness"], 7) == ["0.003 (edge)"] * 3


def test_points_that_did_not_fit_are_named_in_their_cell(tmp_path):
    plan = cost_plan()
    lost = {p.id: "out_of_memory" for p in plan.runs if p.run.network.mixer.name == "attention" and p.run.length == 64}
    read, estimated, measured = tables_of(plan, tmp_path, ended=lost)
    table = tables(Measured(read, estimated, measured))["time"]
    assert table.head == ["Phase", "Mixer", "16", "32", "64", "n"]
    assert [row[4].text for row in table.rows if row[1].text == "Attention"] == ["out of memory"] * 2


def test_blocks_of_their_own_are_compared_as_architectures(tmp_path):
    read, estimated, measured = tables_of(plan("native-cost", scale="smoke"), tmp_path)
    found = tables(Measured(read, estimated, measured))
    assert found["time"].head[:2] == ["Phase", "Architecture"]
    assert found["fairness"].head[0] == "Architecture"
    figure = read.figures["time"]
    shown = points(figure, Measured(read, estimated, measured))
    assert "by architecture, one panel per phase" in caption(figure, plan=read, points=shown)


def test_more_parameters_are_noticed(tmp_path):
    _, estimated, _ = tables_of(recall_plan(), tmp_path)
    sizes = estimated.loc[estimated["name"] == "parameters", "value"]
    assert parameter_mismatch(estimated) == pytest.approx(sizes.max() / sizes.min() - 1)


def test_both_languages_print_what_the_cell_says():
    head = ["a_b", "50 %"]
    table = Table("T & U", head, [[Cell("x|y"), Cell("1 ± 2", bold=True, remark="1 of 3")]], 1, "µ", 1, "note")
    assert "| x\\|y | **1 ± 2** (1 of 3) |" in markdown(table)
    told = latex(table)
    assert "a\\_b & 50 \\% \\\\" in told
    assert "x|y & \\textbf{1 $\\pm$ 2} (1 of 3) \\\\" in told
    assert "\\multicolumn{1}{c}{$\\mu$}" in told
    assert told.count("{") == told.count("}")
    assert escaped("\\{}~^<>") == (r"\textbackslash{}\{\}\textasciitilde{}\textasciicircum{}\textless{}\textgreater{}")


TASKS = """  task:
    - {name: recall, length: 32, vocabulary: 64, pairs: 4, fillers: 1, power: 0.01}
    - {name: parity, minimum_length: 12, maximum_length: 20, labels: dense}
    - {name: parity, minimum_length: 12, maximum_length: 20, labels: final}
"""


@pytest.fixture(scope="module")
def by_task(tmp_path_factory):
    text = RECALL.replace("  task.pairs: [4, 8]\n", TASKS).replace("at: {task.pairs: 4}", "at: {}")
    figures = "  raw: {y: accuracy, x: task}\n  scaled: {y: scaled_accuracy, x: task}\n"
    start, end = text.index("  pairs: {y"), text.index("base:")
    return tables_of(recall_plan(text[:start] + figures + text[end:]), tmp_path_factory.mktemp("tasks"))


def test_tasks_by_name_are_rows_beside_their_floors_and_ceiling(by_task):
    read, estimated, measured = by_task
    table = tables(Measured(read, estimated, measured))["raw"]
    lines = ["Attention", "mLSTM, key 4", "mLSTM, key 16"]
    assert table.head == ["Task", "best constant", "best shortcut", "oracle", *lines, "n"]
    assert texts(table, 0) == ["recall", "parity, dense labels", "parity, final label"]
    assert texts(table, 3) == ["1", "1", "1"]
    assert texts(table, 2)[0].endswith("(position)")
    references = estimated[(estimated["role"] == "reference") & (estimated["task.labels"] == "final")]
    constant = references.loc[references["at.predictor"] == "constant", "value"].item()
    assert texts(table, 1)[2] == f"{constant:.3g}"


def test_scaled_accuracy_is_zero_at_the_measured_floor_and_one_at_perfection(by_task):
    _, estimated, _ = by_task
    tested = estimated[(estimated["role"] == "confirm") & (estimated["at.split"] == "test")]
    place = ["network.mixer.name", "network.mixer.key_dim", "task.name", "task.labels"]
    raw, scaled = (tested[tested["name"] == name].set_index(place)["value"] for name in ("accuracy", "scaled_accuracy"))
    assert len(raw) == len(scaled) == 9
    floors = estimated[estimated["at.predictor"] == "constant"]
    for at, value in raw.items():
        name, labels = at[2:]
        same = (floors["task.name"] == name) & ((floors["task.labels"] == labels) | floors["task.labels"].isna())
        floor = floors.loc[same, "value"].item()
        assert scaled.loc[[at]].iloc[0] == pytest.approx((value - floor) / (1 - floor))


def test_the_interval_of_a_scaled_accuracy_ends_at_one_and_may_begin_below_zero(by_task):
    _, _, measured = by_task
    confirmed = (measured["role"] == "confirm") & (measured["name"] == "accuracy") & (measured["at.split"] == "test")
    spread = {1: 1.0, 2: 0.6, 3: 0.3}
    moved = measured.assign(value=measured["value"].mask(confirmed, measured["seed"].map(spread)))
    found = estimated_from(moved)
    scaled = found[(found["name"] == "scaled_accuracy") & (found["role"] == "confirm") & (found["at.split"] == "test")]
    assert (scaled["high"] == 1).all()
    parity = scaled[scaled["task.name"] == "parity"]
    assert (parity["low"] < 0).all()


def test_what_is_said_of_tasks_by_name_is_said_of_each(by_task):
    read, estimated, measured = by_task
    figure = read.figures["raw"]
    shown = points(figure, Measured(read, estimated, measured))
    said = answer(figure, points=shown)
    assert said.lead == "The highest test accuracy on each task:"
    assert [item.split(":")[0] for item in said.items] == ["Recall", "Parity, dense labels", "Parity, final label"]
    assert "best constant answer (dotted)" in caption(figure, plan=read, points=shown)


def test_tables_are_read_as_they_were_left_and_in_their_order(recall, tmp_path):
    leave_tables(recall, folder=tmp_path)
    found = read_tables(tmp_path)
    assert found == recall
    assert list(found) == list(recall)
    assert any(cell.bold for row in found["pairs"].rows for cell in row)
