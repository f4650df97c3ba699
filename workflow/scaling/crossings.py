"""The statistics of two lines that cross: where, which is faster on each side, and how sure that is.

A line is a row of medians, one per length; resampled, it is many such rows.
"""

from typing import NamedTuple

import numpy as np

RESAMPLES = 2000
SURE = 0.95  # the share of resamples that have to agree


class Crossing(NamedTuple):
    """Where the first line stops being the faster one (`first_leads` before it, or after it).

    `low` and `high` are the 95 % interval of the percentiles of those resamples that cross here, the same way, which are the
    `share`; all three are missing without resamples.
    """

    length: float
    low: float
    high: float
    share: float
    first_leads: bool  # below this length


def resampled(samples: list[tuple[np.ndarray, np.ndarray]], *, key: int, seeds: list[int]) -> np.ndarray:
    """Returns the medians of resampled times, by resample and length; each length has rounds and seconds of its samples.

    Rounds are drawn with replacement and then samples within them, since samples of one process are alike. What is drawn
    depends on `key`, the line's, and the round on `seeds`, the lengths', alone: lines measured in turn share their rounds.
    """
    medians = [_medians(*sample, key=key, seed=seed) for sample, seed in zip(samples, seeds, strict=True)]
    return np.column_stack(medians)


def _medians(rounds: np.ndarray, seconds: np.ndarray, *, key: int, seed: int) -> np.ndarray:
    members = [seconds[rounds == name] for name in np.unique(rounds)]
    sizes = np.array([len(member) for member in members])
    padded = np.full((len(members), sizes.max()), np.nan)
    for place, member in enumerate(members):
        padded[place, : len(member)] = member
    chosen = np.random.default_rng([seed]).integers(len(members), size=(RESAMPLES, len(members)))
    drawn = np.random.default_rng([seed, key]).random((RESAMPLES, len(members), sizes.max()))
    places = (drawn * sizes[chosen][..., None]).astype(int)
    picked = padded[chosen[..., None], places]
    beyond = np.arange(sizes.max()) >= sizes[chosen][..., None]  # a short round gives as many as it has
    return np.nanmedian(np.where(beyond, np.nan, picked).reshape(RESAMPLES, -1), axis=1)


def crossings(lengths: np.ndarray, first: np.ndarray, second: np.ndarray) -> list[tuple[float, bool]]:
    """Returns every length at which the order of two lines changes, and whether the first is the lower one before it.

    Between measured lengths both are straight in log-log. A tie is no change of order; where order changes over a tie, the
    crossing is at the last length that ties.
    """
    where, leads = _changes(lengths, (np.log(first) - np.log(second))[None])
    return [(float(place), bool(lead)) for place, lead in zip(where[0], leads[0], strict=True) if np.isfinite(place)]


def with_intervals(
    found: list[tuple[float, bool]], lengths: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[list[Crossing], float]:
    """Returns the crossings with what resamples of both lines say of them, and the share of resamples that have none.

    A resample's crossing counts for the nearest found one of the same direction.
    """
    where, leads = _changes(lengths, np.log(first) - np.log(second))
    said = [_said(place, lead, found, where, leads) for place, lead in found]
    return said, float(np.isnan(where).all(axis=1).mean())


def _said(place: float, lead: bool, found: list[tuple[float, bool]], where: np.ndarray, leads: np.ndarray) -> Crossing:
    alike = np.log([other for other, other_leads in found if other_leads == lead])
    same = np.where(leads == lead, where, np.nan)
    apart = np.nan_to_num(np.abs(np.log(same)[..., None] - alike), nan=np.inf)
    mine = np.isfinite(same) & (np.argmin(apart, axis=-1) == np.argmin(np.abs(alike - np.log(place))))
    away = np.where(mine, np.abs(np.log(same) - np.log(place)), np.inf)
    nearest = np.take_along_axis(same, np.argmin(away, axis=1)[:, None], axis=1)[mine.any(axis=1), 0]
    if not len(nearest):
        return Crossing(place, np.nan, np.nan, 0.0, lead)
    low, high = np.exp(np.quantile(np.log(nearest), [0.025, 0.975]))
    return Crossing(place, float(low), float(high), len(nearest) / len(where), lead)


def _changes(lengths: np.ndarray, apart: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns, by row and gap between lengths, where log first - log second changes its sign, and whether it was negative."""
    x, sign = np.log(lengths), np.sign(apart)
    for place in range(1, len(x)):
        sign[:, place] = np.where(sign[:, place] == 0, sign[:, place - 1], sign[:, place])
    before, after = apart[:, :-1], apart[:, 1:]
    changes = sign[:, :-1] * sign[:, 1:] < 0
    share = np.divide(before, before - after, out=np.zeros_like(before), where=changes)
    return np.where(changes, np.exp(x[:-1] + share * np.diff(x)), np.nan), sign[:, :-1] < 0
