"""What a claim says, in types: the quantity it is about, where that is to lie, and what must hold before it is judged."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from workflow.planfile import Tree
from workflow.spec import Spec

# Columns of the tidy table to what they must hold: a value, or "least" or "most" of the numbers there are. `predictor` names
# a predictor without a network in the place of one that was trained.
Where = Tree


class Contrast(Spec):
    """The sum of the means of `plus` less that of `minus`, of a test score over fresh seeds.

    Each item selects networks by their fields, and where they were tested (`at.length`); several tasks that it selects are
    averaged. What one run contributes to several items is summed within the run before runs are averaged.
    """

    kind: Literal["contrast"]
    experiment: str
    metric: str
    where: Where = {}
    plus: tuple[Where, ...] = Field(min_length=1)
    minus: tuple[Where, ...] = ()


class Exponent(Spec):
    """The exponent p of cost = c length^p, as `workflow.scaling` finds it.

    `part`: over the whole range, over its last factor of 8, or beyond a floor. That of `state_bytes` is exact.
    """

    kind: Literal["exponent"]
    experiment: str
    cost: Literal["seconds", "peak_bytes", "state_bytes"]
    where: Where
    part: Literal["whole", "last", "beyond"]


class Crossing(Spec):
    """The length from which on `of` costs less than `against`; before it, it costs more."""

    kind: Literal["crossing"]
    experiment: str
    cost: Literal["seconds", "peak_bytes"]
    where: Where
    of: Where
    against: Where


class Largest(Spec):
    """The largest of all numbers of a name that were measured once each."""

    kind: Literal["largest"]
    experiment: str
    metric: str
    where: Where


class Unmeasured(Spec):
    """What no experiment here measures yet; `needs` says what would."""

    kind: Literal["unmeasured"]
    needs: str


Estimand = Annotated[
    Contrast | Exponent | Crossing | Largest | Unmeasured,
    Field(discriminator="kind"),
]


class Region(Spec):
    """Where the quantity is claimed to lie: above or below a number, or between two."""

    above: FiniteFloat | None = None
    below: FiniteFloat | None = None
    between: tuple[FiniteFloat, FiniteFloat] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(bound is not None for bound in (self.above, self.below, self.between)) != 1:
            raise ValueError("claimed: name one of above, below, between")
        if self.between is not None and self.between[0] >= self.between[1]:
            raise ValueError("claimed.between: the first number must be below the second")
        return self

    def __str__(self) -> str:
        if self.between is not None:
            return f"between {_said(self.between[0])} and {_said(self.between[1])}"
        return f"above {_said(self.above)}" if self.above is not None else f"below {_said(self.below)}"


def _said(bound: float | None) -> str:
    return f"{bound:.0f}" if bound is not None and bound == int(bound) else f"{bound:g}"


class Preconditions(Spec):
    """What must hold, beside that every planned run has a result and that the experiment's controls behaved.

    `seeds`: at least so many of every network. `failures`: the largest share of runs that may have failed and counted as the
    worst outcome. `matched`: numbers of the networks compared, as `parameters`, by how much they may differ, relatively.
    `interior`: whether a learning rate chosen at the grid's edge keeps the claim from being judged, or is only said.
    """

    seeds: int = Field(default=3, ge=2)
    failures: float = Field(default=0.0, ge=0, lt=1)
    matched: dict[str, float] = {}
    interior: bool = False


class Claim(Spec):
    """A statement of `source`, in the words of this project; claims of one `family` share its rate of errors."""

    id: str = Field(pattern=r"[a-z0-9]+(-[a-z0-9]+)*")
    family: str
    statement: str
    source: str
    scope: str
    estimand: Estimand
    claimed: Region
    preconditions: Preconditions = Preconditions()

    @property
    def experiment(self) -> str:
        """The experiment whose results it is judged by, empty where there is none."""
        return "" if isinstance(self.estimand, Unmeasured) else self.estimand.experiment


class ClaimsFile(Spec):
    """A file of claims of one family."""

    family: str
    claims: tuple[dict[str, Any], ...] = Field(min_length=1)
