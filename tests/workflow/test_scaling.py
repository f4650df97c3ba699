"""How cost grows and where lines cross, of whole experiments: the tables, what is said of them, what is missing."""

import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context

import workflow.scaling.__main__ as command
from tests.workflow.test_exponents import drawn
from tests.workflow.test_figures import COST, tables_of
from workflow import plans
from workflow.panels import house_style
from workflow.scaling.drawn import ROOFLINE, drawings
from workflow.scaling.laws import (
    BENT,
    NOT_EVALUABLE,
    NOT_TRIED,
    laws,
)
from workflow.scaling.lines import Line, Samples, lines, samples
from workflow.scaling.pairs import ALIKE, TIE, crossovers
from workflow.scaling.told import sentences
from workflow.styles import DASH
from workflow.table import read_table
from workflow.tables import cost_tables
from workflow.tabular import latex, markdown

SWEEP = COST.replace("length: [16, 32, 64]", "length: [16, 32, 64, 128, 256, 512, 1024]")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    plan = plans.plan_of(SWEEP, experiment="cost", scale="quick")
    lost = {p.id: "out_of_memory" for p in plan.runs if _is(p, "attention", "train_step", at_least=512)}
    return tables_of(plan, tmp_path_factory.mktemp("swept"), ended=lost)


def _is(planned, mixer: str, phase: str, *, at_least: int) -> bool:
    run = planned.run
    return run.network.mixer.name == mixer and run.phase == phase and run.length >= at_least


@pytest.fixture(scope="module")
def found(swept):
    _, estimated, measured = swept
    mine = lines(estimated)
    return laws(mine, samples(measured)), crossovers(mine, samples(measured))


def of(table: pd.DataFrame, panel: str, line: str, name: str) -> pd.Series:
    (row,) = table[(table["panel"] == panel) & (table["line"] == line) & (table["name"] == name)].to_dict("records")
    return pd.Series(row)


def test_every_line_has_a_law_of_time_memory_and_in_decoding_state(found):
    scaling, _ = found
    assert scaling.groupby(["panel", "name"], sort=False).size().to_dict() == {
        ("training step", "seconds"): 2,
        ("training step", "peak_bytes"): 2,
        ("decode", "seconds"): 2,
        ("decode", "peak_bytes"): 2,
        ("decode", "state_bytes"): 2,
    }
    assert of(scaling, "training step", "LSTM", "seconds")["verdict"] == "linear"


def test_memory_is_told_beyond_the_measured_floor(found):
    row = of(found[0], "training step", "LSTM", "peak_bytes")  # 2^20 bytes stay, 4096 bytes a token do not
    assert row["exponent"] == pytest.approx(1)
    assert row["verdict"] == "linear"


def test_states_are_told_by_exact_arithmetic(found):
    scaling, _ = found
    cache, cell = (of(scaling, "decode", line, "state_bytes") for line in ("Attention", "LSTM"))
    assert (cache["verdict"], cache["exponent"], cell["verdict"], cell["exponent"]) == ("linear", 1, "constant", 0)
    assert cache["per_token"] == 2 * 16 * 4  # a key and a value of width 16 in float32
    assert cell["per_token"] == 0
    assert np.isnan([cache["low"], cell["high"]]).all()
    assert set(scaling.loc[scaling["name"] == "state_bytes", "interval"]) == {"none, a count"}


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([5, 5, 5], "constant"),
        ([64, 128, 256], "linear"),
        ([64, 128, 128], BENT),
        ([64, 128, 257], BENT),
        ([5, 5], NOT_EVALUABLE),
    ],
)
def test_a_count_that_is_off_by_one_is_not_linear(swept, counts, said):
    points = pd.DataFrame({"x": [64, 128, 256][: len(counts)], "status": "finished", "state_bytes": counts})
    line = lines(swept[1])[-1]
    changed = line._replace(points=points.reindex(columns=line.points.columns).fillna({"seconds": 1.0}))
    assert of(laws([changed], samples(swept[2])), line.panel, line.label, "state_bytes")["verdict"] == said


def test_the_longest_length_is_told_with_what_ended_it(found):
    lost, kept = (of(found[0], "training step", line, "seconds") for line in ("Attention", "LSTM"))
    assert (lost["longest"], lost["ended"], lost["ended_at"]) == (256, "out_of_memory", 512)
    assert (kept["longest"], kept["ended"]) == (1024, NOT_TRIED)
    assert (lost["verdict"], lost["reason"]) == (NOT_EVALUABLE, "5 lengths finished, and an exponent needs 6")


def edited(line: Line, **columns) -> Line:
    return line._replace(points=line.points.assign(**columns))


def timed_like(line: Line) -> Samples:
    """Returns three samples, all at the median, of every point of a line."""
    finished = line.points[line.points["seconds"].notna()]
    return {(line.key, float(row.x)): (np.zeros(3), np.full(3, row.seconds)) for row in finished.itertuples()}


def test_what_is_missing_is_named(swept):
    line = next(line for line in lines(swept[1]) if line.label == "LSTM" and line.panel == "training step")
    points = line.points
    narrow = line._replace(points=points.assign(x=[16, 17, 18, 19, 20, 21, 22]))
    hole = edited(
        line,
        seconds=points["seconds"].mask(points["x"] == 64),
        status=["finished"] * 2 + ["timed_out"] + ["finished"] * 4,
    )
    below = edited(line, peak_bytes=points["static_bytes"])
    never = edited(line, seconds=np.nan, status="unsupported")
    reasons = [
        of(laws([each], timed_like(each)), line.panel, "LSTM", name)["reason"]
        for each, name in ((narrow, "seconds"), (hole, "seconds"), (below, "peak_bytes"), (never, "seconds"))
    ]
    assert "span a factor of 1.375" in reasons[0]
    assert reasons[1] == "lengths within the range did not finish: 64 (timed out)"
    assert reasons[2] == "7 of 7 lengths need no more than what stays between calls"
    assert reasons[3].startswith("0 lengths finished")
    assert of(laws([never], {}), line.panel, "LSTM", "seconds")["ended"] == "unsupported"


def test_an_experiment_of_which_nothing_finished_says_so(tmp_path):
    plan = plans.plan_of(SWEEP, experiment="cost", scale="quick")
    _, estimated, measured = tables_of(plan, tmp_path, ended={p.id: "unsupported" for p in plan.runs})
    mine = lines(estimated)
    scaling, crossed = laws(mine, {}), crossovers(mine, samples(measured))
    assert set(scaling["verdict"]) == {NOT_EVALUABLE}
    assert crossed.empty
    told = sentences(scaling, crossed)
    assert all(
        "Longest length that finished: none for all, which cannot be run there at 16." in each.items for each in told
    )


def test_no_exponent_is_fitted_to_calls_hardly_longer_than_one_that_does_nothing(swept):
    line = next(line for line in lines(swept[1]) if line.label == "LSTM" and line.panel == "training step")
    seconds = np.maximum(line.points["x"] / 1e6, 4e-5)  # a floor of 40 microseconds, up to 40 tokens
    slow, fast = (edited(line, seconds=seconds, floor_seconds=floor) for floor in (1e-7, 9e-6))
    whole, rest = (of(laws([each], timed_like(each)), line.panel, "LSTM", "seconds") for each in (slow, fast))
    assert (whole["set_aside"], rest["set_aside"]) == (0, 2)
    assert whole["verdict"] == BENT
    assert (rest["lengths"], rest["first"], rest["verdict"]) == (7, 16, NOT_EVALUABLE)
    told = (
        "5 lengths finished, and an exponent needs 6; at 2 more, a call takes less than 5 times one that does nothing"
    )
    assert rest["reason"] == told


def test_each_pair_has_one_row_of_time_and_crosses_there_or_does_not(found):
    timed = found[1][found[1]["name"] == "seconds"]
    assert timed["panel"].tolist() == ["training step", "decode"]
    assert timed["longest"].tolist() == [256, 1024]  # of what both finished
    within = timed.dropna(subset="low")
    assert (within["low"] <= within["high"]).all()
    assert timed["crossing"].notna().tolist() == (timed["less_before"] != timed["less_after"]).tolist()


def test_a_pair_whose_order_the_resamples_do_not_agree_on_is_not_told_apart(swept):
    rng = np.random.default_rng(13)
    scaling, pair = (
        laws(lines(swept[1]), samples(swept[2])),
        [each for each in lines(swept[1]) if each.panel == "decode"],
    )
    lengths = pair[0].points["x"].to_numpy(dtype="float64")
    taken = {
        (line.key, length): sample
        for line in pair
        for length, sample in zip(lengths, drawn(np.ones(7), rng, rounds=3, each=5), strict=True)
    }
    pair = [edited(line, seconds=[np.median(taken[line.key, length][1]) for length in lengths]) for line in pair]
    crossed = crossovers(pair, taken)
    row = crossed[crossed["name"] == "seconds"].squeeze()
    assert (row["less_before"], row["less_after"]) == (ALIKE, ALIKE)
    assert row["share"] < 0.95
    assert np.isnan([row["crossing"], row["low"], row["high"]]).all()
    said = [item for each in sentences(scaling, crossed) for item in each.items]
    times = f"{row['ratio_low']:.2f} to {row['ratio_high']:.2f} times"
    assert f"Against Attention. Not told apart from it: LSTM ({times})." in said


def planted(swept, first: np.ndarray, second: np.ndarray, *, swap: bool) -> pd.DataFrame:
    """Returns the crossovers of decoding where Attention and LSTM take just so long, every time."""
    pair = [line for line in lines(swept[1]) if line.panel == "decode"]
    pair = [edited(line, seconds=times) for line, times in zip(pair, (first, second), strict=True)]
    taken = {
        (line.key, float(row.x)): (np.zeros(5), np.full(5, row.seconds))
        for line in pair
        for row in line.points.itertuples()
    }
    return crossovers(pair[::-1] if swap else pair, taken)


@pytest.mark.parametrize("swap", [False, True])
def test_who_leads_and_by_how_much_does_not_depend_on_the_order_of_the_pair(swept, swap):
    scaling, steps = laws(lines(swept[1]), samples(swept[2])), np.arange(7.0)
    crossed = planted(swept, np.exp(steps), np.full(7, np.exp(2.5)), swap=swap)
    row = crossed[crossed["name"] == "seconds"].iloc[0]
    assert row["crossing"] == row["low"] == row["high"] == pytest.approx(16 * 2**2.5)
    assert (row["less_before"], row["less_after"], row["share"]) == ("Attention", "LSTM", 1)
    said = " ".join(item for each in sentences(scaling, crossed) for item in each.items)
    assert "Faster from some length on (in brackets, 95 % intervals): LSTM from 91 tokens (91 to 91)." in said
    for factor, told in (
        (4.0, "Slower throughout: LSTM (2.00 to 4.00"),
        (0.25, "Faster throughout: LSTM (0.25 to 0.50"),
    ):
        apart = planted(swept, np.ones(7), np.where(steps > 3, factor, factor**0.5), swap=swap)
        assert apart.loc[apart["name"] == "seconds", "less_after"].item() == ("Attention" if factor > 1 else "LSTM")
        said = " ".join(item for each in sentences(scaling, apart) for item in each.items)
        assert f"Against Attention. {told} times)." in said


def test_two_identical_lines_tie(swept):
    _, estimated, measured = swept
    one = next(line for line in lines(estimated) if line.panel == "decode")
    table = crossovers([one, one], samples(measured))
    assert set(table["less_before"]) == {TIE}
    assert table["crossing"].isna().all()
    assert (table[["ratio_low", "ratio_high"]] == 1).all().all()


def test_a_million_tokens_in_other_batches_are_one_line(tmp_path):
    text = SWEEP.replace("  batch: 1\n", "").replace(
        "length: [16, 32, 64, 128, 256, 512, 1024]",
        "length, batch: [[16, 64], [32, 32], [64, 16], [128, 8], [256, 4], [512, 2]]",
    )
    _, estimated, _ = tables_of(plans.plan_of(text, experiment="cost", scale="quick"), tmp_path)
    mine = lines(estimated)
    assert len(mine) == 4
    assert {(line.over, line.fields["tokens_per_call"]) for line in mine} == {("length", 1024)}
    assert all(len(line.points) == 6 for line in mine)
    assert {line.panel for line in mine} == {f"{phase}, 1,024 tokens a call" for phase in ("training step", "decode")}


def test_lines_of_other_batches_are_not_compared(tmp_path):
    text = SWEEP.replace("  batch: 1\n", "").replace("  phase:", "  batch: [1, 4]\n  phase:")
    _, estimated, measured = tables_of(plans.plan_of(text, experiment="cost", scale="quick"), tmp_path)
    mine = lines(estimated)
    assert {line.panel for line in mine} == {
        f"{phase}, batch {batch}" for phase in ("training step", "decode") for batch in (1, 4)
    }
    assert crossovers(mine, samples(measured)).groupby("panel")["line"].nunique().eq(1).all()


BATCHES = COST.replace("  batch: 1\n", "").replace(
    "length: [16, 32, 64]", "length: [16]\n  batch: [1, 2, 4, 8, 16, 32]"
)


def test_where_the_batch_varies_and_not_the_length_lines_run_over_the_batch(tmp_path):
    plan = plans.plan_of(BATCHES, experiment="cost", scale="quick")
    lost = {planned.id: "out_of_memory" for planned in plan.runs if planned.run.batch == 32}
    _, estimated, measured = tables_of(plan, tmp_path, ended=lost)
    mine = lines(estimated)
    assert {(line.over, line.panel, len(line.points)) for line in mine} == {
        ("batch", phase, 6) for phase in ("training step", "decode")
    }
    assert all(line.points["x"].tolist() == [1, 2, 4, 8, 16, 32] for line in mine)
    assert {line.fields["length"] for line in mine} == {16}
    scaling, crossed = laws(mine, samples(measured)), crossovers(mine, samples(measured))
    assert set(scaling["over"]) == set(crossed["over"]) == {"batch"}
    assert set(scaling.loc[scaling["name"] == "seconds", "reason"]) == {"5 batches finished, and an exponent needs 6"}
    said = " ".join(item for each in sentences(scaling, crossed) for item in each.items)
    assert "Largest batch that finished: 16 sequences for all, which ran out of memory at 32." in said
    assert "tokens" not in said
    for table in cost_tables(scaling, crossed).values():
        assert "tokens" not in f"{table.note} {' '.join(table.head)}"
    (roof, *bars) = (each.data for each in drawings(estimated).values())
    assert all("batch" in data and "length" not in data for data in (roof, *bars))


def test_settings_that_were_tried_once_are_no_lines_and_leave_empty_tables(tmp_path, monkeypatch):
    plan = plans.plan_of(COST.replace("length: [16, 32, 64]", "length: [16]"), experiment="cost", scale="quick")
    _, estimated, measured = tables_of(plan, tmp_path)
    assert lines(estimated) == []
    assert samples(measured) == {}
    assert drawings(estimated) == {}
    home = tmp_path / "quick/cost"
    left = [
        home / "estimates.csv",
        home / "measurements.csv",
        "--scaling",
        tmp_path / "s",
        "--crossovers",
        tmp_path / "c",
    ]
    monkeypatch.setattr(sys, "argv", ["x", *map(str, left)])
    command.main()
    tables = [read_table(tmp_path / name) for name in "sc"]
    assert all(table.empty for table in tables)
    assert sentences(*tables) == []
    assert all(table.rows == [] for table in cost_tables(*tables).values())


def test_a_point_measured_twice_is_refused(swept):
    estimated = pd.concat([swept[1], swept[1]])
    with pytest.raises(ValueError, match="measured more than once at one length"):
        lines(estimated)


def test_the_command_leaves_the_same_files_again_whatever_the_order_of_rows(tmp_path, swept, monkeypatch):
    _, estimated, measured = swept
    left = []
    for turn, seed in enumerate((0, 1)):
        folder = tmp_path / str(turn)
        folder.mkdir()
        estimated.sample(frac=1, random_state=seed).to_csv(folder / "estimates.csv", index=False)
        measured.sample(frac=1, random_state=seed).to_csv(folder / "measurements.csv", index=False)
        files = [folder / f"{name}.csv" for name in ("estimates", "measurements", "scaling", "crossovers")]
        monkeypatch.setattr(
            sys, "argv", ["x", *map(str, files[:2]), "--scaling", str(files[2]), "--crossovers", str(files[3])]
        )
        command.main()
        left.append([path.read_bytes() for path in files[2:]])
    assert left[0] == left[1]


def test_a_table_without_profiles_is_an_error_of_one_line(tmp_path, swept, monkeypatch):
    swept[1].assign(kind="training").to_csv(tmp_path / "estimates.csv", index=False)
    given = [tmp_path / "estimates.csv", "x.csv", "--scaling", "y.csv", "--crossovers", "z.csv"]
    monkeypatch.setattr(sys, "argv", ["x", *map(str, given)])
    with pytest.raises(SystemExit, match=r"error: .*estimates\.csv has no profiling run"):
        command.main()


def test_what_is_said_is_what_was_found(found):
    said = {answer.lead: answer.items for answer in sentences(*found)}
    assert list(said) == ["Training step.", "Decode."]
    training, decoding = said.values()
    linear = of(found[0], "training step", "LSTM", "seconds")
    assert any(f"to 1,024 tokens: linear for LSTM ({linear['exponent']:.2f}" in item for item in training)
    assert any("not evaluable for Attention (5 lengths finished, and an exponent needs 6)" in item for item in training)
    assert training[-1] == (
        "Longest length that finished: 256 tokens for Attention, which ran out of memory at 512; "
        "1,024 tokens for LSTM, the longest tried."
    )
    assert not any(wrong in item for item in [*training, *decoding] for wrong in ("e-", "e+", "nan"))
    assert any(item.startswith("Memory") and "linear for LSTM (1.000 ± 0.001)" in item for item in training)
    state = "State over the whole range, 16 to 1,024 tokens: "
    assert any(item.startswith(f"{state}constant for LSTM (exactly") and "128 B a token" in item for item in decoding)
    assert any(item.startswith("Against Attention. ") for item in decoding)


def test_what_time_tends_to_is_told_of_every_line(found):
    timed = found[0][found[0]["name"] == "seconds"]
    assert timed["last_doubling_from"].tolist() == [128, 512, 512, 512]
    assert (timed["last_doubling_low"] < timed["last_doubling_high"]).all()
    items = [item for answer in sentences(*found) for item in answer.items if item.startswith("Time at the end")]
    assert [item.split(": ")[0] for item in items] == [
        f"Time at the end of the range, {told} tokens" for told in ("128 to 256", "512 to 1,024", "512 to 1,024")
    ]
    for row in timed.itertuples():
        assert any(f"{row.line} ({row.last_doubling_exponent:.1f}" in item for item in items)


def test_achieved_operations_stand_under_the_ceilings_measured_beside_them(swept):
    drawing = drawings(swept[1])[ROOFLINE]
    rows = drawing.data
    assert (rows["flops_per_second"] * rows["seconds"]).to_numpy() == pytest.approx(rows["flops"].to_numpy())
    assert (rows["flops_per_byte"] * rows["static_bytes"]).to_numpy() == pytest.approx(rows["flops"].to_numpy())
    assert "(1e+11 to 1e+11 FLOP/s, 2e+10 to 2e+10 B/s)" in drawing.caption
    with rc_context(house_style()):
        axes = drawing.draw().axes
    assert [ax.get_title() for ax in axes] == ["Training step", "Decode"]
    x, y = axes[0].lines[-1].get_data()
    assert y == pytest.approx(np.minimum(1e11, 2e10 * x))
    without = swept[1][~swept[1]["name"].isin(["ceiling_flops", "ceiling_bytes"])]
    assert ROOFLINE not in drawings(without)


def test_bars_add_up_to_the_peak(swept):
    estimated = swept[1]
    peaks = estimated[(estimated["name"] == "peak_bytes") & (estimated["phase"] == "train_step")]
    shares = {"parameter_bytes": 0.1, "gradient_bytes": 0.1, "optimizer_bytes": 0.2, "activation_bytes": 0.6}
    parts = [peaks.assign(name=name, value=share * peaks["value"]) for name, share in shares.items()]
    (drawing,) = [
        each for name, each in drawings(pd.concat([estimated, *parts])).items() if name == "breakdown-training-step"
    ]
    assert drawing.data["state_bytes"].eq(0).all()  # a state is counted at every phase, and held in decoding
    assert drawing.caption.startswith("Training step: what the peak memory is made of")
    assert "parameters, gradients and optimizer; the rest" in drawing.caption
    with rc_context(house_style()):
        axes = drawing.draw().axes
    assert [ax.get_title() for ax in axes] == ["Attention", "LSTM"]
    heights = sum(bar.get_height() for bar in axes[1].patches if round(bar.get_x()) == 6)
    tops = {round(bar.get_x()): bar.get_y() + bar.get_height() for bar in axes[1].patches}
    mine = peaks[peaks["network.mixer.name"] == "lstm"].sort_values("length")["value"].to_numpy()
    assert np.array([tops[place] for place in sorted(tops)]) / tops[6] == pytest.approx(mine / mine[-1])
    assert tops[6] == pytest.approx(heights)
    assert axes[1].get_xticklabels()[0].get_text() == "1k"


def test_both_tables_have_a_row_per_law_and_per_crossing(found):
    tables = cost_tables(*found)
    assert [len(table.rows) for table in tables.values()] == [len(each) for each in found]
    for table in tables.values():
        assert {len(row) for row in table.rows} == {len(table.head)}
        assert "nan" not in markdown(table)
        assert latex(table).count("{") == latex(table).count("}")
    spans = {row[1].text: row[1].remark for row in tables["scaling"].rows if row[0].text == "Training step: time"}
    assert spans == {"Attention": f"16{DASH}256, out of memory at 512", "LSTM": ""}
