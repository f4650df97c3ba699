"""How the loss of trained networks falls with parameters, tokens and compute, computed: laws with intervals.

`trained` reads what every confirming run was and scored; `parametric` fits L(N, D), by the minimiser in `huber`, `isoflop`
the optimum of every compute budget; `table` has a row per number of either, `told` says them in sentences and in rows of
text, and `drawn` has the figures. A number that the runs do not identify is said to be none.
"""

from collections.abc import Collection


def sizes_vary(varied: Collection[str]) -> bool:
    """Returns whether an experiment that varies these fields varies what a law of the loss is told over: sizes and steps."""
    return {"network.width", "optimizer.steps"} <= set(varied)
