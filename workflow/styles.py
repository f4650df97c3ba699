"""How things look and what they are called, the same in every figure and table."""

import json
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb

TEXT_WIDTH = 5.5  # inches, of a NeurIPS or ICLR page: figures are drawn at their final size
WIDTHS = {"icml": 3.25, "neurips": TEXT_WIDTH}  # inches, of one column of two, and of the text
GREY = "#6e6e6e"
DASH = "\N{EN DASH}"  # between the ends of a range, and for nothing

# Fonts are those that come with matplotlib, so a figure is the same file on every machine.
RC: dict[str, Any] = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.labelsize": 8.5,
    "axes.titlesize": 8.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e9e9e9",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.columnspacing": 1.6,
    "lines.solid_capstyle": "round",
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "figure",
    "savefig.dpi": 300,
    "axes.unicode_minus": True,
}


QUARTILES = "quartiles of the samples"  # the kind of interval of a time


class Style(NamedTuple):
    """One architecture: its name for readers, its colour (Okabe and Ito 2008), marker and dash, the same everywhere."""

    label: str
    colour: str
    marker: str
    dash: tuple[float, tuple[float, ...]]


STYLES: dict[str, Style] = {
    "attention": Style("Attention", "#0072B2", "o", (0, ())),
    "mlstm": Style("mLSTM", "#D55E00", "s", (0, (6, 1.2))),
    "slstm": Style("sLSTM", "#E69F00", "D", (0, (3, 1.2))),
    "mamba": Style("Mamba", "#56B4E9", "v", (0, (4, 1.2, 1, 1.2, 1, 1.2))),
    "mamba2": Style("Mamba-2", "#009E73", "^", (0, (4, 1.2, 1, 1.2))),
    "gated-deltanet": Style("Gated DeltaNet", "#000000", "P", (0, (8, 1.2, 2, 1.2))),
    "lstm": Style("LSTM", "#CC79A7", "p", (0, (1, 1.2))),
    "hybrid": Style("Hybrid", "#999999", "X", (0, (2, 1.2))),
    # Architectures in their own blocks, which no figure shows beside the mixers above.
    "llama": Style("Llama", "#0072B2", "o", (0, ())),
    "xlstm": Style("xLSTM", "#D55E00", "s", (0, (6, 1.2))),
    "xlstm-7b": Style("xLSTM 7B", "#E69F00", "D", (0, (3, 1.2))),
}


# What no architecture above has, for mixers of a reader's own files.
_SPARE = (
    ("#7B3294", "*", (0, (5, 1.2, 1, 1.2, 3, 1.2))),
    ("#8C510A", "h", (0, (1, 0.8, 3, 0.8))),
    ("#B2182B", "<", (0, (7, 1.2, 1, 1.2))),
    ("#4D4D00", ">", (0, (3, 1.2, 3, 2.4))),
)


def style(name: str, *, among: Iterable[str] = ()) -> Style:
    """Returns the style of an architecture; of those that have none, each of `among`, in order, gets a spare one."""
    if name in STYLES:
        return STYLES[name]
    place = sorted({name, *among} - set(STYLES)).index(name)
    colour, marker, dash = _SPARE[place % len(_SPARE)]
    return Style(name, colour, marker, dash)


class Look(NamedTuple):
    """One line of a figure: a style, and the fill and weight that tell specs of one architecture apart."""

    label: str
    style: Style
    face: tuple[float, float, float]
    width: float


class Quantity(NamedTuple):
    """An axis or a column: its name, its unit, empty for a plain number, and what to multiply by to get that unit."""

    name: str
    unit: str
    factor: float

    @property
    def label(self) -> str:
        return f"{sentence(self.name)} ({self.unit})" if self.unit else sentence(self.name)


# Measurements of which less is better.
BETTER_LOW = (
    "bits_per_byte",
    "mse",
    "mae",
    "loss",
    "seconds",
    "step_seconds",
    "deviation",
    "joules_per_token",
    "peak_bytes",
    "static_bytes",
    "state_bytes",
    "growth_bytes",
    "flops",
    "steps",
    "parameters",
)

_WORDS = {
    "accuracy": "accuracy",
    "scaled_accuracy": "scaled accuracy",
    "mse": "mean squared error",
    "mae": "mean absolute error",
    "bits_per_byte": "bits per byte",
    "solved": "share of seeds that solve the task",
    "seconds": "time per call",
    "first_seconds": "time of the first call",
    "step_seconds": "time per token",
    "deviation": "largest log-probability difference",
    "flops_per_second": "operations per second",
    "ceiling_share": "share of the largest matrix-product rate seen",
    "joules_per_token": "energy per token",
    "peak_bytes": "peak memory",
    "static_bytes": "static memory",
    "state_bytes": "state",
    "growth_bytes": "memory gained since the first window",
    "flops": "FLOPs",
    "at.length": "test length",
    "length": "sequence length",
    "at.position": "position in the context",
    "at.step": "training step",
    "task.pairs": "key-value pairs",
    "optimizer.learning_rate.times": "learning rate, in times the one chosen",
    "pretraining.steps": "steps of pretraining",
    "network.mixer": "",
    "train_step": "training step",
    "mlstm": "mLSTM",
    "slstm": "sLSTM",
    "dense": "dense labels",
    "final": "final label",
}
_UNITS = {"at.length": "tokens", "length": "tokens", "batch": "sequences"}
_SCALES = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "B": ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")),
}
_PLAIN_UNITS = {"1", "fraction", "bit/byte", "count", ""}


def words(name: str) -> str:
    """Returns a field, measurement or value as a reader would say it."""
    return _WORDS.get(name, name.rpartition(".")[2].replace("_", " ").replace("-", " "))


def predictor(name: str) -> str:
    """Returns a reference predictor as a reader would say it."""
    return name.replace("_", " ")


def sentence(text: str) -> str:
    """Returns the text with its first letter large, unless that is part of a name such as mLSTM."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def quantity(name: str, *, unit: str, values: Iterable[float], split: str | None = None) -> Quantity:
    """Returns what values are called, with a unit of a handy size."""
    said = words(name) if split is None or name == "solved" else f"{split} {words(name)}"
    finite = np.array([value for value in values if np.isfinite(value) and value > 0])
    middle = float(np.median(finite)) if len(finite) else 1.0
    for factor, symbol in _SCALES.get(unit, ()):
        if middle >= factor:
            return Quantity(said, symbol, 1 / factor)
    return Quantity(said, _UNITS.get(name, "" if unit in _PLAIN_UNITS else unit), 1.0)


def number(value: float) -> str:
    """Returns a setting as short as it can be said: 64, 1k for 1024, 0.003."""
    if value >= 1024 and value % 1024 == 0:
        return f"{value / 1024:.0f}k" if value < 2**20 else f"{value / 2**20:g}M"
    return f"{value:g}" if abs(value) < 1e6 else f"{value:.3g}"


def setting(field: str, value: Hashable) -> str:
    """Returns one field and its value in a word or two: `key 32`, `dense labels`, `no convolution`."""
    said = words(field).removesuffix(" dim").removesuffix(" size")
    if isinstance(value, bool | np.bool_):
        return said if value else f"no {said}"
    if isinstance(value, str) and field.endswith(".pattern"):
        return " + ".join(style(part["name"]).label for part in json.loads(value))
    if isinstance(value, str):
        return words(value)
    return f"{said} {number(float(value))}"


def differing(table: pd.DataFrame, fields: Sequence[str]) -> list[str]:
    """Returns the fields in which the rows differ."""
    return [field for field in fields if table[field].nunique(dropna=False) > 1]


def described(table: pd.DataFrame, fields: Sequence[str]) -> pd.Series:
    """Returns, in words, the settings in which the rows differ, names first; a field that a row lacks goes unsaid."""
    apart = sorted(differing(table, fields), key=lambda field: not field.endswith("name"))
    for field in [field for field in apart if table[field].nunique() == 1]:  # one that rows have or lack
        rest = [other for other in apart if other != field]
        if rest and len(table[rest].drop_duplicates()) == len(table[apart].drop_duplicates()):
            apart = rest
    told = [
        ", ".join(setting(field, value) for field, value in zip(apart, row, strict=True) if not pd.isna(value))
        for row in table[apart].itertuples(index=False, name=None)
    ]
    return pd.Series(told, index=table.index, dtype="str")


def looks(specs: pd.DataFrame, fields: Sequence[str]) -> pd.Series:
    """Returns the look of every distinct spec: those of one architecture (`network.mixer.name`) share its style.

    They are told apart by a label of the fields in which they differ, by weight, and by the marker's fill.
    """
    found: dict[int, Look] = {}
    names = [str(name) for name in specs["network.mixer.name"].unique()]
    order = {name: place for place, name in enumerate([*STYLES, *sorted(set(names) - set(STYLES))])}
    for name, group in sorted(specs.groupby("network.mixer.name"), key=lambda pair: order[pair[0]]):
        apart = differing(group, fields)
        group = group.sort_values(apart) if apart else group
        said = described(group, fields)
        for place, index in enumerate(group.index):
            share = 1.0 if len(group) == 1 else place / (len(group) - 1)
            found[index] = _look(style(name, among=names), said[index], share=share)
    return pd.Series(found)


def _look(style: Style, said: str, *, share: float) -> Look:
    colour = np.array(to_rgb(style.colour))
    red, green, blue = (colour * share + (1 - share)).tolist()
    return Look(", ".join(part for part in (style.label, said) if part), style, (red, green, blue), 0.8 + 0.6 * share)


def uncertain(row: pd.Series, *, factor: float) -> str:
    """Returns `value` with the digits that its interval (`low`, `high`) allows: 0.41 ± 0.12, or 0.98 [0.91, 1.00].

    The latter is for a lopsided interval. Quartiles are always told as ± half their distance.
    """
    value, low, high = (float(row[name]) * factor for name in ("value", "low", "high"))
    digits = decimals(low, high)
    if digits is None:
        return exact(value)
    half = (high - low) / 2
    if row["interval"] != QUARTILES and abs((high - value) - (value - low)) > 0.02 * (high - low):
        return f"{value:z,.{digits}f} [{low:z,.{digits}f}, {high:z,.{digits}f}]"
    return f"{value:z,.{digits}f} ± {half:,.{digits}f}"


def decimals(low: float, high: float) -> int | None:
    """Returns how many decimals an interval allows, two digits of its half; None where it has no width or no end."""
    if not np.isfinite(low) or not np.isfinite(high) or high <= low:
        return None
    return max(0, 1 - int(np.floor(np.log10((high - low) / 2))))


def exact(value: float) -> str:
    """Returns a number that has no interval: whole if it is, else to three digits."""
    if not np.isfinite(value):
        return DASH
    return f"{value:z,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.3g}"
