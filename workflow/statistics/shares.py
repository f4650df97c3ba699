"""How many of a count succeed: what is known of the share, and of the deviation between seeds that count it.

Right where the trials are independent and alike. Seeds that solve a task are: their share speaks of the architecture, also
where some solve it and others fail, which no t interval covers. The pooled labels of seeds that all agree are so only
given those seeds' weights: what is known of them says nothing of a seed that was not drawn.
"""

import math

import pandas as pd
import scipy
from scipy import special

from workflow.statistics.means import Group


def binomial(successes: int, trials: int, *, level: float) -> tuple[float, float]:
    """Returns low and high of the interval of a share (Clopper and Pearson 1934); never of no width."""
    found = scipy.stats.binomtest(successes, trials).proportion_ci(level, method="exact")
    return float(found.low), float(found.high)


def p_share_above(successes: int, trials: int, bound: float) -> float:
    """Returns the one-sided exact p of "the share is `bound` or less"."""
    return float(scipy.stats.binomtest(successes, trials, bound, alternative="greater").pvalue)


def p_share_below(successes: int, trials: int, bound: float) -> float:
    """Returns the one-sided exact p of "the share is `bound` or more"."""
    return float(scipy.stats.binomtest(successes, trials, bound, alternative="less").pvalue)


def with_label_noise(group: Group, *, labels: int) -> Group:
    """Returns a mean accuracy, its deviation at least what drawing `labels` independent labels leaves between seeds.

    For seeds that agree by saturation, which leave no deviation to test with. The share of which the noise is told is drawn
    to one half by four labels (Agresti and Coull 1998), so it is above 0 where no label, or every one, is wrong.
    """
    share = (group.mean * labels + 2) / (labels + 4)
    return group._replace(deviation=max(group.deviation, math.sqrt(share * (1 - share) / labels)))


def binomial_interval(successes: pd.Series, trials: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Returns low and high of the 95 % intervals of a column of shares (`binomial`); missing where `trials` is."""
    failures = trials - successes
    low = special.betaincinv(successes.where(successes > 0), failures + 1, 0.025)
    high = special.betaincinv(successes + 1, failures.where(failures > 0), 0.975)
    return (
        pd.Series(low, index=trials.index).where(successes != 0, 0.0),
        pd.Series(high, index=trials.index).where(failures != 0, 1.0),
    )
