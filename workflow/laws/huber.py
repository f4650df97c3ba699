"""Minimises the summed Huber loss on log L of L(N, D) = E + A / N^alpha + B / D^beta, from many starts and for many weights.

A row of `parameters_RP` is (log E, log A', log B', alpha, beta), the terms A' and B' being those at the runs' mean log N and
log D, so that no two of them are nearly the same. Suffixes: Rows, Parameters, runs N.

The objective is a sum, in units of delta^2, and its gradient is driven to rounding: a mean of losses this small is below
the tolerances that optimisers come with, which stop where they began (Besiroglu et al. 2024, arXiv 2404.10102, section 3).
"""

from typing import NamedTuple

import numpy as np

DELTA = 1e-3  # of the Huber loss, in log L (Hoffmann et al. 2022, arXiv 2203.15556, equation 3)
GRADIENT = 1e-12  # largest component of the summed loss's gradient, for each run, at which a row has converged
MOST_STEPS = 500
EXPONENTS = (0.01, 4.0)  # searched for alpha and beta
TERMS = (-8.0, 1.0)  # searched for the logs of E, A' and B', relative to the median loss

_SMOOTHER = (0.1, 0.01)  # minimised before: a loss with fewer corners leads to the same place in fewer steps
_ROUNDING = 1e-13  # of the loss, relative


class Logs(NamedTuple):
    """Logs of parameters and tokens, each less its mean, and of the loss, less its median."""

    n_N: np.ndarray
    d_N: np.ndarray
    loss_N: np.ndarray


class Minima(NamedTuple):
    """Where the rows ended: the parameters, the summed loss in units of delta^2 and its largest gradient within the bounds."""

    parameters_RP: np.ndarray
    loss_R: np.ndarray
    gradient_R: np.ndarray


class _Local(NamedTuple):
    loss_R: np.ndarray
    gradient_RP: np.ndarray
    hessian_RPP: np.ndarray


def bounds() -> tuple[np.ndarray, np.ndarray]:
    """Returns the lowest and the highest parameters searched."""
    low, high = np.array([TERMS] * 3 + [EXPONENTS] * 2).T
    return low, high


def predicted(parameters_RP: np.ndarray, n_N: np.ndarray, d_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns log L, and the logs of its three terms along a last axis."""
    e, a, b, alpha, beta = (parameter[:, None] for parameter in parameters_RP.T)
    terms = np.stack(np.broadcast_arrays(e, a - alpha * n_N, b - beta * d_N), axis=-1)
    top = terms.max(axis=-1, keepdims=True)
    return (top + np.log(np.exp(terms - top).sum(axis=-1, keepdims=True)))[..., 0], terms


def minimised(starts_RP: np.ndarray, weights_RN: np.ndarray, logs: Logs) -> Minima:
    """Returns where damped Newton steps within the bounds lead from each start, each with its own weights of the runs."""
    found = Minima(np.clip(starts_RP, *bounds()), np.empty(len(starts_RP)), np.empty(len(starts_RP)))
    for delta in (*_SMOOTHER, DELTA):
        found = _descended(found.parameters_RP, weights_RN, logs, delta)
    return found


def _descended(at: np.ndarray, weights_RN: np.ndarray, logs: Logs, delta: float) -> Minima:
    (low, high), damping = bounds(), np.full(len(at), 1e-2)
    here = _local(at, weights_RN, logs, delta)
    limit = GRADIENT / delta**2 * weights_RN.sum(axis=1)
    for _ in range(MOST_STEPS):
        moving = np.flatnonzero((np.abs(_free(here.gradient_RP, at)).max(axis=1) > limit) & (damping < 1e12))
        if not len(moving):
            break
        tried = np.clip(at[moving] + _step(_picked(here, moving), at[moving], damping[moving]), low, high)
        there = _local(tried, weights_RN[moving], logs, delta)
        better = _better(there, _picked(here, moving))
        damping[moving] *= np.where(better, 0.2, 4.0)
        accepted = moving[better]
        at[accepted] = tried[better]
        for old, new in zip(here, there, strict=True):
            old[accepted] = new[better]
        damping = np.maximum(damping, 1e-12)
    return Minima(at, here.loss_R, np.abs(_free(here.gradient_RP, at)).max(axis=1) * delta**2)


def _better(there: _Local, here: _Local) -> np.ndarray:
    """Returns which rows have less loss or, where rounding hides that, a smaller gradient."""
    level = np.abs(there.loss_R - here.loss_R) <= _ROUNDING * here.loss_R
    flatter = np.abs(there.gradient_RP).max(axis=1) < np.abs(here.gradient_RP).max(axis=1)
    return np.where(level, flatter, there.loss_R < here.loss_R)


def _local(parameters_RP: np.ndarray, weights_RN: np.ndarray, logs: Logs, delta: float) -> _Local:
    """Returns the loss with its first two derivatives."""
    log_loss, terms = predicted(parameters_RP, logs.n_N, logs.d_N)
    shares = np.exp(terms - log_loss[..., None])
    away = (log_loss - logs.loss_N) / delta
    inside = np.abs(away) <= 1
    loss = np.where(inside, away**2 / 2, np.abs(away) - 0.5)
    slope_RN = weights_RN * np.clip(away, -1, 1) / delta
    terms_NKP = _terms(logs)
    first_RNP = np.einsum("rnk,nkp->rnp", shares, terms_NKP)
    curved = np.einsum("rn,rnk,nkp,nkq->rpq", slope_RN, shares, terms_NKP, terms_NKP, optimize=True)
    weight_RN = weights_RN * inside / delta**2 - slope_RN
    hessian = curved + np.swapaxes(first_RNP * weight_RN[..., None], 1, 2) @ first_RNP
    return _Local((weights_RN * loss).sum(axis=1), np.einsum("rn,rnp->rp", slope_RN, first_RNP), hessian)


def _terms(logs: Logs) -> np.ndarray:
    """Returns the derivatives of the logs of E, A / N^alpha and B / D^beta, K of them: constant, so log L is a softmax's."""
    terms_NKP = np.zeros((len(logs.n_N), 3, 5))
    terms_NKP[:, [0, 1, 2], [0, 1, 2]] = 1.0
    terms_NKP[:, 1, 3], terms_NKP[:, 2, 4] = -logs.n_N, -logs.d_N
    return terms_NKP


def _picked(local: _Local, rows: np.ndarray) -> _Local:
    return _Local(*(part[rows] for part in local))


def _free(gradient_RP: np.ndarray, at_RP: np.ndarray) -> np.ndarray:
    """Returns the gradient without what only a bound resists."""
    low, high = bounds()
    return np.where(((at_RP <= low) & (gradient_RP > 0)) | ((at_RP >= high) & (gradient_RP < 0)), 0.0, gradient_RP)


def _step(here: _Local, at_RP: np.ndarray, damping_R: np.ndarray) -> np.ndarray:
    """Returns a Newton step along what is free, by the size of each curvature, so that it always leads downhill."""
    gradient = _free(here.gradient_RP, at_RP)
    free = (gradient != 0).astype(float)
    sizes, axes = np.linalg.eigh(here.hessian_RPP * free[:, :, None] * free[:, None, :])
    sizes = np.abs(sizes)
    sizes += damping_R[:, None] * sizes.max(axis=1, keepdims=True)
    along = np.einsum("rpk,rp->rk", axes, gradient) / np.maximum(sizes, np.finfo(float).tiny)
    return -np.einsum("rpk,rk->rp", axes, along)
