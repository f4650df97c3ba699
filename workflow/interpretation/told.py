"""Captions of the pictures, computed: what is shown, and what is seen in it."""

import pandas as pd

from workflow.interpretation.page import asked, readers
from workflow.styles import STYLES, words

_SCORES = ("accuracy", "bits_per_byte")


def page_caption(gates: pd.DataFrame, summary: pd.DataFrame, tokens: pd.DataFrame) -> str:
    """Returns the caption of a page."""
    places = readers(tokens)
    wide = tokens["label"].str.len().max() > 1
    heads, due = summary["head"].max() > 0, tokens["due"].notna().sum()
    parts = [
        f"Who is read by whom, and the gates: {_who(summary)} read the same test input, "
        f"{(' ' if wide else '').join(tokens['label'])}.",
        f"Maps: each row is one of the {'last ' if len(places) < due else ''}{len(places)} positions where a token is "
        "due, the token there on the left, the due one on the right (a cross: it was missed); greys are the shares of the "
        f"absolute weights with which tokens are read{', means over heads' if heads else ''}"
        f"{'; a square holds the token due' if asked(tokens) else ''}.",
        "Below: what the forget gate keeps of the memory (band: heads and cells) and what the input gate writes, relative "
        "to its largest in the input; attention has no gates.",
        _seen(summary) if asked(tokens) else _scores(summary),
        _right(gates, tokens),
        _by_kind(summary, "forget", said="Kept"),
        _by_kind(summary, "written", said="Written"),
        "Weights say what enters the sum of values, not what decides the answer.",
    ]
    return " ".join(parts)


def horizons_caption(gates: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Returns the caption of the horizons."""
    parts = [
        f"How long is kept and how far back is read: {_who(summary)} read the same test input. Kept: the tokens, the present "
        "one included, of which forgetting alone leaves more than 1/e; dotted: all there are. Read: the mean distance "
        "under the shares of the absolute weights; dotted: the first token. Both are means over heads and cells.",
        _kept(gates),
        _distances(summary),
    ]
    return " ".join(parts)


def _who(summary: pd.DataFrame) -> str:
    steps = summary[summary["name"] == "steps"]["value"]
    long = f"{steps.max():,.0f}" if steps.nunique() == 1 else f"{steps.min():,.0f} to {steps.max():,.0f}"
    return (
        f"{len(steps)} networks trained alike on {words(summary['task.name'].iloc[0])}, from one seed at one learning rate for "
        f"{long} steps,"
    )


def _seen(summary: pd.DataFrame) -> str:
    """Returns, by mixer, the layer that reads most of the token due, its share and the test score, over the test batch."""
    rows = summary[summary["name"] == "answer_share"]
    alike = summary.loc[summary["name"] == "uniform_share", "value"].iloc[0]
    told = []
    for mixer, mine in rows.groupby("network.mixer.name", sort=False):
        by_layer = mine.groupby("layer")["value"].mean()
        layer = by_layer.idxmax()
        told.append(f"{STYLES[str(mixer)].label} {_percent(by_layer[layer])} (layer {layer:.0f})")
    return (
        f"Share of the reading that is on the token due, in the layer where it is largest, over {rows['n'].max():,.0f} test "
        f"positions: {', '.join(told)}; {_percent(alike)} if all were read alike. {_scores(summary)}"
    )


def _scores(summary: pd.DataFrame) -> str:
    mixers = summary["network.mixer.name"].unique()
    name = summary.loc[summary["name"].isin(_SCORES), "name"].iloc[0]
    told = [f"{STYLES[mixer].label} {_score(summary, mixer):.3g}" for mixer in mixers]
    return f"Test {words(name)}: {', '.join(told)}."


def _by_kind(summary: pd.DataFrame, name: str, *, said: str) -> str:
    """Returns, by mixer, where a gate is lowest and highest, in the layer in which kinds of token differ most."""
    rows = summary[(summary["name"] == name) & summary["kind"].notna()]
    told = []
    for mixer, mine in rows.groupby("network.mixer.name", sort=False):
        layers = mine.groupby(["layer", "kind"])["value"].mean().unstack()
        layer = (layers.max(axis=1) - layers.min(axis=1)).idxmax()
        least, most = layers.loc[layer].idxmin(), layers.loc[layer].idxmax()
        told.append(
            f"{STYLES[str(mixer)].label} {layers.loc[layer, least]:.2f} at {least}s to {layers.loc[layer, most]:.2f} at {most}s "
            f"(layer {layer:.0f})"
        )
    return f"{said}, where kinds of token differ most, means over the test inputs: {'; '.join(told)}."


def _score(summary: pd.DataFrame, mixer: object) -> float:
    return summary.loc[(summary["network.mixer.name"] == mixer) & summary["name"].isin(_SCORES), "value"].iloc[0]


def _right(gates: pd.DataFrame, tokens: pd.DataFrame) -> str:
    due = tokens.loc[tokens["due"].notna(), "position"]
    rows = gates[(gates["name"] == "right") & gates["position"].isin(due)]
    told = [
        f"{STYLES[str(mixer)].label} {mine['value'].sum():.0f}"
        for mixer, mine in rows.groupby("network.mixer.name", sort=False)
    ]
    return f"Right in this input, of {len(due)}: {', '.join(told)}."


def _kept(gates: pd.DataFrame) -> str:
    """Returns, by mixer and layer, the horizon at the last token, with its range over heads and cells."""
    rows = gates[gates["name"] == "horizon"]
    rows = rows[rows["position"] == rows["position"].max()]
    rows = rows.assign(low=rows["low"].fillna(rows["value"]), high=rows["high"].fillna(rows["value"]))
    told = []
    for mixer, mine in rows.groupby("network.mixer.name", sort=False):
        layers = mine.groupby("layer").agg(value=("value", "mean"), low=("low", "min"), high=("high", "max"))
        spans = [f"{row.value:.0f}{_span(row.low, row.high)} in layer {layer:.0f}" for layer, row in layers.iterrows()]
        told.append(f"{STYLES[str(mixer)].label} {', '.join(spans)}")
    return f"At the last token, kept: {'; '.join(told)}."


def _span(low: float, high: float) -> str:
    return "" if low == high else f" ({low:.0f} to {high:.0f})"


def _distances(summary: pd.DataFrame) -> str:
    rows = summary[summary["name"] == "distance"]
    told = []
    for mixer, mine in rows.groupby("network.mixer.name", sort=False):
        layers = mine.groupby("layer")["value"].mean()
        told.append(f"{STYLES[str(mixer)].label} {', '.join(f'{value:.1f}' for value in layers)}")
    return f"Tokens back, by layer, over {rows['n'].max():,.0f} test positions: {'; '.join(told)}."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
