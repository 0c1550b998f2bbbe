"""Bootstrap intervals for simulated costs: means, ratios, paired differences and optimality gaps.

The unit of resampling is the path (an episode, or an SKU of a panel), never the period: periods of one path
depend on each other. Policies are compared on the same paths, so what is resampled is the pair. With several
training seeds, values are `[seeds, paths]` and both are resampled, each seed seeing the same paths (a crossed
two-level bootstrap).

Every interval is deterministic given its seed, and all use the same resamples for the same seed.
"""

from typing import NamedTuple

import numpy as np

from jaxinv.keys import Role, generator

CELLS = 1 << 22
"""Resampled values that are held in memory at a time."""


class Estimate(NamedTuple):
    """A number and its percentile interval; the ends are NaN where there is none, as for a single path."""

    value: float
    low: float
    high: float

    @property
    def interval(self) -> tuple[float, float]:
        return self.low, self.high

    def times(self, factor: float) -> "Estimate":
        """In another unit, such as percent."""
        return Estimate(*(factor * number for number in self))


def bootstrap_interval(
    values, seed: int = 0, level: float = 0.95, resamples: int = 2000
) -> tuple[float, float]:
    """Percentile bootstrap interval (Efron & Tibshirani 1993, section 13.3) of the mean.

    Args:
      values: `[B]` one value a path, or `[S, B]` of S training seeds on the same B paths.
      level: coverage.
    """
    return mean_of(values, seed, level, resamples).interval


def mean_of(values, seed: int = 0, level: float = 0.95, resamples: int = 2000) -> Estimate:
    """The mean of `[B]` or `[S, B]` with its interval."""
    values = _table(values)
    means = _resampled_sums([values], seed, resamples)[0] / values.size
    return _estimate(values.mean(), means, values.size, level)


def ratio_of_sums(
    numerator, denominator, seed: int = 0, level: float = 0.95, resamples: int = 2000
) -> Estimate:
    """Sum of the numerators over sum of the denominators, such as a fill rate; both `[B]` or `[S, B]`.

    Unlike a mean of ratios it weighs a path by its size. NaN where the denominators add up to zero.
    """
    numerator, denominator = np.broadcast_arrays(_table(numerator), _table(denominator))
    sums = _resampled_sums([numerator, denominator], seed, resamples)
    with np.errstate(divide="ignore", invalid="ignore"):
        value, resampled = numerator.sum() / denominator.sum(), sums[0] / sums[1]
    return _estimate(value, resampled, numerator.size, level)


def paired_difference(cost, other, seed: int = 0, level: float = 0.95, resamples: int = 2000) -> Estimate:
    """Mean of `cost - other` on the same noise, `[B]` or `[S, B]` each; below zero, `cost` is the cheaper.

    `other` may have no seeds of its own, as a tuned rule has none.
    """
    return mean_of(_table(cost) - _table(other), seed, level, resamples)


def relative_difference(cost, other, seed: int = 0, level: float = 0.95, resamples: int = 2000) -> Estimate:
    """Paired difference as a share of the other's cost: sum(cost - other) / sum(other)."""
    return ratio_of_sums(_table(cost) - _table(other), other, seed, level, resamples)


def optimality_gap(cost, reference, seed: int = 0, level: float = 0.95, resamples: int = 2000) -> Estimate:
    """C / C* - 1 on the same noise.

    Args:
      cost: `[B]` or `[S, B]`.
      reference: C*, a known average cost or one a path `[B]` (the optimum or a lower bound); above zero in
        sum.
    """
    return relative_difference(cost, np.broadcast_to(reference, np.shape(cost)), seed, level, resamples)


def resampled_counts(paths: int, seed: int = 0, resamples: int = 2000) -> np.ndarray:
    """Share of each path in each bootstrap resample `[resamples, paths]`, for numbers that are no mean or ratio."""
    return generator(Role.BOOTSTRAP, seed).multinomial(paths, np.full(paths, 1 / paths), resamples) / paths


def percentile_estimate(value: float, resampled: np.ndarray, count: int, level: float = 0.95) -> Estimate:
    """A number with the percentile interval of what it was on resamples; NaN ends where `count` paths are but one."""
    return _estimate(value, resampled, count, level)


def _table(values) -> np.ndarray:
    values = np.asarray(values, np.float64)
    return values[None] if values.ndim == 1 else values


def _estimate(value, resampled, count, level) -> Estimate:
    if count < 2:
        return Estimate(float(value), float("nan"), float("nan"))
    tail = (1 - level) / 2
    known = np.all(np.isfinite(resampled))
    low, high = np.quantile(resampled, [tail, 1 - tail]) if known else (np.nan, np.nan)
    return Estimate(float(value), float(low), float(high))


def _resampled_sums(tables: list[np.ndarray], seed: int, resamples: int) -> np.ndarray:
    """Sums of each table `[S, B]` over resampled seeds and paths: `[len(tables), resamples]`.

    Seeds and paths are drawn apart, so every seed of a resample sees the same paths.
    """
    rows, columns = tables[0].shape
    draw = generator(Role.BOOTSTRAP, seed)
    sums = []
    for start in range(0, resamples, step := max(CELLS // columns, 1)):
        count = min(step, resamples - start)
        paths = draw.integers(columns, size=(count, columns), dtype=np.int32)
        seeds = draw.multinomial(rows, np.full(rows, 1 / rows), count)
        of_seeds = ([row[paths].sum(1) for row in table] for table in tables)
        sums.append([np.sum(seeds.T * np.stack(of_seed), 0) for of_seed in of_seeds])
    return np.concatenate(sums, 1)
