from hypothesis import strategies as st

from tasks.series.forecasting import Forecasting
from tasks.series.lorenz import Lorenz
from tasks.series.mackey_glass import MackeyGlass
from tasks.series.narma import Narma
from tasks.series.recordings import RECORDINGS
from tests.tasks.rows import Row


def forecasting(*, dataset="beijing-pm25", length=12, horizon=3, labels="dense", reads="levels") -> Forecasting:
    return Forecasting(
        name="forecasting",
        dataset=dataset,
        dataset_sha256=RECORDINGS[dataset].member.sha256,
        length=length,
        horizon=horizon,
        labels=labels,
        reads=reads,
    )


ROWS = {
    MackeyGlass: Row(
        MackeyGlass(name="mackey-glass", length=24, washout=4, ahead=3, delay=17),
        {"name": "lorenz", "length": 25, "washout": 5, "ahead": 4, "delay": 30},
        {"name": 1, "length": "24", "washout": 4.5, "ahead": None, "delay": "17"},
        100,
        {"train": "fdd38aea2662d0ed", "validation": "d20dfa89499215be", "test": "419ece7353419dbd"},
    ),
    Lorenz: Row(
        Lorenz(name="lorenz", length=24, washout=4, ahead=3, observed="x"),
        {"name": "narma", "length": 25, "washout": 5, "ahead": 4, "observed": "xyz"},
        {"name": 1, "length": 24.0, "washout": "4", "ahead": 3.5, "observed": 0},
        100,
        {"train": "aab39bcfad37eeb9", "validation": "ae57e3a154acee29", "test": "9dc7083cc8462a28"},
    ),
    Narma: Row(
        Narma(name="narma", length=24, washout=10),
        {"name": "parity", "length": 25, "washout": 11},
        {"name": 1, "length": [24], "washout": 10.5},
        100,
        {"train": "ca4a95957207c5e8", "validation": "8e24281c1becc48e", "test": "e8e78ec7e602d121"},
    ),
    Forecasting: Row(
        forecasting(),
        {
            "name": "recall",
            "dataset": "appliances-energy",
            "dataset_sha256": "0" * 64,
            "length": 13,
            "horizon": 4,
            "labels": "final",
            "reads": "relative",
        },
        {"name": 1, "dataset": 7, "dataset_sha256": 0, "length": "12", "horizon": 3.5, "labels": True, "reads": 0},
        100,
        {"train": "1e95ca8839694666", "validation": "3e631ed94de18825", "test": "83931953efab13ec"},
    ),
}

_WINDOWS = {"length": st.integers(6, 300), "washout": st.integers(0, 5)}

SPECS = st.one_of(
    st.builds(
        MackeyGlass,
        name=st.just("mackey-glass"),
        **_WINDOWS,
        ahead=st.integers(1, 1748),
        delay=st.sampled_from([17, 30]),
    ),
    st.builds(
        Lorenz, name=st.just("lorenz"), **_WINDOWS, ahead=st.integers(1, 1748), observed=st.sampled_from(["x", "xyz"])
    ),
    st.builds(Narma, name=st.just("narma"), **_WINDOWS),
    st.builds(
        forecasting,
        dataset=st.sampled_from(["appliances-energy", "beijing-pm25"]),
        length=st.integers(1, 600),
        horizon=st.integers(1, 200),
        labels=st.sampled_from(["final", "dense"]),
    ),
)
