"""Published settings, by source and setting."""

from typing import get_args

from tasks.series.forecasting import Forecasting
from tasks.series.lorenz import Lorenz
from tasks.series.mackey_glass import MackeyGlass
from tasks.series.narma import Narma
from tasks.series.recordings import RECORDINGS, Dataset
from tasks.series.series import SeriesTask

# The horizons of long-term forecasting, after 96 values as in Informer and 336 or 512 as in NLinear and PatchTST.
PRESETS: dict[str, SeriesTask] = {
    f"ltsf/{dataset}/{length}-{horizon}": Forecasting(
        name="forecasting",
        dataset=dataset,
        dataset_sha256=RECORDINGS[dataset].member.sha256,
        length=length,
        horizon=horizon,
        labels="final",
        reads="relative",
    )
    for dataset in get_args(Dataset)
    for length in (96, 336, 512)
    for horizon in (96, 192, 336, 720)
}

# The systems are published, and of Mackey-Glass the 84 units ahead (Jaeger and Haas 2004, Science 304:78), there reached
# step by step; the other fields are ours.
PRESETS |= {
    f"mackey-glass/{delay}": MackeyGlass(name="mackey-glass", length=256, washout=64, ahead=84, delay=delay)
    for delay in (17, 30)
}
PRESETS |= {
    f"lorenz/{observed}": Lorenz(name="lorenz", length=256, washout=64, ahead=25, observed=observed)
    for observed in ("x", "xyz")
}
PRESETS["narma/10"] = Narma(name="narma", length=256, washout=32)
