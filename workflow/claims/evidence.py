"""What speaks for or against a claim: a number with its error, and what a reader should know about it."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pandas as pd

from workflow.confirmations import confirmations
from workflow.planfile import PlanFile
from workflow.statistics.means import Estimate


class Missing(Exception):
    """A precondition of a claim that does not hold, in words."""


class Evidence(NamedTuple):
    """An estimate of what a claim is about, from `n` of what is `counted`.

    `logarithmic`: the estimate is of the base-2 logarithm. `censored`: the true value is "at least" or "at most" that, as
    nothing was measured beyond. `runs` are those it was measured by.
    """

    estimate: Estimate
    n: int
    counted: str
    unit: str
    runs: frozenset[str]
    caveats: tuple[str, ...] = ()
    logarithmic: bool = False
    censored: str = ""


@dataclass(frozen=True)
class Tables:
    """What is known of one experiment at one scale; the last three are empty where it has none."""

    plan: PlanFile
    measurements: pd.DataFrame
    scaling: pd.DataFrame
    crossovers: pd.DataFrame
    controls: pd.DataFrame

    @cached_property
    def trained(self) -> pd.DataFrame:
        """The numbers of the fresh seeds, a failed run's the worst outcome."""
        return confirmations(self.measurements)
