"""Ridge regression of demand to come on what is known: the one that rules follow, and the one whose
forecasts a world tells.

The regressors are the last week one by one, means of older parts of a window, what is known of the
coming period, and these times the mean of the window, for what a season or a promotion adds goes
with the level.
"""

from typing import Any

import numpy as np

RIDGES = (1e-8, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Penalties that are tried, on regressors of variance 1; the best on the last of the training
periods is taken.
"""

SINGLE = 7
"""Latest periods of the window that are regressors one by one: a week of days."""


def window_weights(window: int) -> np.ndarray:
    """Weights `[1 + P, W]` on the ages of a window: of its mean, of the latest periods one by one,
    and then of parts that are each as long as all later ones."""
    edges = [*range(min(SINGLE, window) + 1)]
    while edges[-1] < window:
        edges.append(window if 3 * edges[-1] > window else 2 * edges[-1])
    age = np.arange(window)
    parts = [
        ((age >= start) & (age < stop)) / (stop - start) for start, stop in zip(edges, edges[1:])
    ]
    return np.array([np.full(window, 1.0 / window), *parts])


def joined(means: Any, known: Any, arrays: Any) -> Any:
    """Regressors `[..., D, K, F]`, the first of which is 1.

    Args:
      means: `[..., D, K, 1 + P]`, the `window_weights` of a window of demand.
      known: covariates of the coming period `[..., C]`.
      arrays: `numpy` or `jax.numpy`.
    """
    level, parts = means[..., :1], means[..., 1:]
    known = arrays.broadcast_to(known[..., None, None, :], (*means.shape[:-1], known.shape[-1]))
    return arrays.concatenate([arrays.ones_like(level), parts, known, known * level], -1)


def ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """Weights `[F, H]` of y `[n, H]` on x `[n, F]`, whose first column is 1 and not penalised."""
    middle, spread = x[:, 1:].mean(0), x[:, 1:].std(0)
    z = (x[:, 1:] - middle) / np.where(spread > 1e-9, spread, np.inf)
    centred = y - y.mean(0)
    slopes = np.linalg.solve(
        z.T @ z / len(z) + penalty * np.eye(z.shape[1]), z.T @ centred / len(z)
    )
    slopes = slopes / np.where(spread > 1e-9, spread, np.inf)[:, None]
    return np.concatenate([(y.mean(0) - middle @ slopes)[None], slopes])
