"""Intervals of simulated costs: means, ratios, paired differences and optimality gaps.

An interval is right only if the values that it takes as independent are so. Values are therefore
given with their *factors*: the paths, seeds, series, stores or blocks of weeks that several values
have in common. Values of one unit of any factor may depend on each other, and all others do not.
One path after another, each with noise of its own, is the one factor `paths`; seeds that see the
same paths are two crossed factors; series that replay the same weeks share these, in blocks, for
stock carries from one week to the next. Policies are compared on the same noise, so what is taken
apart is the pair.

All intervals are made alike, in four steps:

1. A number becomes a sum of what each value adds to its error (the linearisation of a ratio of
   sums).
2. The variance and the third cumulant of that sum add up over the units of each factor, less what
   two factors share: multiway clustering (Cameron, Gelbach & Miller 2011), and never less than one
   factor has by itself.
3. Quantiles are Student's, with the degrees of freedom of the sum (Satterthwaite 1946), for there
   are few weeks or seeds.
4. Costs are skewed: rare shortages are dear. The interval is widened to what Hall's transformation
   (1992, section 3.9) makes of the third cumulant.

Nothing is drawn, so an interval is the same each time.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit


class Estimate(NamedTuple):
    """A number and its interval; the ends are NaN where there is none, as for a single path.

    `over` says what the interval is over, such as "60 series and 7 blocks of 6 weeks".
    """

    value: float
    low: float
    high: float
    over: str = ""

    @property
    def interval(self) -> tuple[float, float]:
        return self.low, self.high

    def times(self, factor: float) -> "Estimate":
        """In another unit, such as percent, or turned round where the factor is below zero."""
        low, high = sorted((factor * self.low, factor * self.high))
        return self._replace(value=factor * self.value, low=low, high=high)


class Factor(NamedTuple):
    """What values may have in common.

    Attributes:
      name: of its units, in the plural.
      units: a label for each index of an axis of the values; those with the same label are of one
        unit.
      axis: which one.
    """

    name: str
    units: np.ndarray
    axis: int = -1


Over = Sequence[str | Factor]
"""The factors of an array of values: a bare name stands for the axis in its place, each index a
unit.
"""


def blocks(length: int, lead_time: int = 0, name: str = "periods") -> Factor:
    """Blocks of consecutive periods, a factor of values `[..., length, B]`.

    A block has about as many periods as there are blocks (batch means), and more than a lead time,
    so that what one block leaves in stock and on its way is little of the next; but there are at
    least 4 blocks where there are as many periods.
    """
    size = max(round(math.sqrt(length)), lead_time + 1)
    count = max(length // max(size, 1), min(4, length))
    units = np.arange(length) * count // max(length, 1)
    return Factor(f"blocks of {length / max(count, 1):.3g} {name}", units, axis=-2)


def each_of(family: int, level: float = 0.95) -> float:
    """The level of each of several intervals that hold all at once with `level` (Bonferroni)."""
    return 1 - (1 - level) / family


def mean_of(values, over: Over | None = None, level: float = 0.95) -> Estimate:
    """The mean of an array with its interval.

    Args:
      values: one value a path `[B]`, or of S training seeds on the same B paths `[S, B]`; other
        shapes with `over`.
      over: the factors of the values.
    """
    values = np.asarray(values, np.float64)
    return ratio_of_sums(values, np.ones_like(values), over, level)


def ratio_of_sums(
    numerator, denominator, over: Over | None = None, level: float = 0.95
) -> Estimate:
    """Sum of the numerators over sum of the denominators, such as a fill rate; both of the shape of
    `mean_of`.

    Unlike a mean of ratios it weighs a path by its size. NaN where the denominators add up to zero.
    """
    numerator, denominator = np.broadcast_arrays(
        np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    )
    total = denominator.sum()
    if not total:
        return Estimate(math.nan, math.nan, math.nan)
    value = numerator.sum() / total
    return _interval(value, (numerator - value * denominator) / total, over, level)


def paired_difference(cost, other, over: Over | None = None, level: float = 0.95) -> Estimate:
    """Mean of `cost - other` on the same noise; below zero, `cost` is the cheaper.

    `other` may have no seeds of its own, as a tuned rule has none.
    """
    return mean_of(np.asarray(cost, np.float64) - np.asarray(other, np.float64), over, level)


def relative_difference(cost, other, over: Over | None = None, level: float = 0.95) -> Estimate:
    """Paired difference as a share of the other's cost: sum(cost - other) / sum(other)."""
    cost, other = np.broadcast_arrays(np.asarray(cost, np.float64), np.asarray(other, np.float64))
    return ratio_of_sums(cost - other, other, over, level)


def optimality_gap(cost, reference, over: Over | None = None, level: float = 0.95) -> Estimate:
    """C / C* - 1 on the same noise.

    Args:
      reference: C*, a known average cost or one that broadcasts to the costs, as one a path `[B]`
        (the optimum or a lower bound); above zero in sum.
    """
    return relative_difference(cost, np.broadcast_to(reference, np.shape(cost)), over, level)


def means_of_columns(
    values, over: Factor, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean of each column of `[T, B]` and the ends of its interval `[B]`, over one factor of
    the rows: `mean_of` each column by itself, for thousands of them at once. NaN where there is but
    one unit."""
    values = np.asarray(values, np.float64)
    mean = values.mean(0)
    (factor,) = _factors(values.shape, (over,))
    units = int(factor.units.max()) + 1
    if units < 2:
        return mean, *np.full((2, *mean.shape), math.nan)
    first = np.unique(factor.units.ravel(), return_index=True)[1]
    sums = np.add.reduceat((values - mean) / len(values), first, 0)
    deviation = np.sqrt((sums**2).sum(0) * units / (units - 1))
    third = (sums**3).sum(0) * units**2 / max((units - 1) * (units - 2), 1) * (units > 2)
    quantiles = stdtrit(units - 1.0, [[(1 - level) / 2], [(1 + level) / 2]])
    skew = np.divide(third, deviation**3, out=np.zeros_like(third), where=deviation > 0)
    skewed = np.abs(skew) > 1e-6
    safe = np.where(skewed, skew, 1.0)
    bent = np.where(skewed, 3 / safe * (np.cbrt(1 + safe * (quantiles - safe / 6)) - 1), quantiles)
    return (
        mean,
        mean - deviation * np.maximum(quantiles[1], bent[1]),
        mean - deviation * np.minimum(quantiles[0], bent[0]),
    )


def left_out(paths: int, groups: int = 64) -> np.ndarray:
    """Weights of B paths `[G, B]` with each of G groups of them left out in turn, for numbers that
    are no mean or ratio.
    """
    groups = min(groups, paths)
    kept = np.arange(groups)[:, None] != np.arange(paths) * groups // max(paths, 1)
    return kept / np.maximum(kept.sum(1, keepdims=True), 1)


def jackknife(
    value: float, without: np.ndarray, name: str = "groups of paths", level: float = 0.95
) -> Estimate:
    """The interval of a number from what it is without each of G groups `[G]` (`left_out`), by its
    influence.
    """
    without = np.asarray(without, np.float64)
    groups = len(without)
    return _interval(
        value, (without.mean() - without) * (groups - 1) / max(groups, 1), (name,), level
    )


def _interval(value: float, errors: np.ndarray, over: Over | None, level: float) -> Estimate:
    """The interval of a number whose error is the sum of the errors `[...]` that each value adds;
    these sum to zero.
    """
    factors = [factor for factor in _factors(errors.shape, over) if factor.units.max(initial=0) > 0]
    if not factors or not np.all(np.isfinite(errors)):
        return Estimate(float(value), math.nan, math.nan)
    counts = [int(factor.units.max()) + 1 for factor in factors]
    variance, third, freedom = _cumulants(*_by_unit(errors, factors), counts)
    deviation = math.sqrt(variance)
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    quantiles = stdtrit(freedom, ends)
    high, low = value - deviation * quantiles
    skew = third / deviation**3 if deviation > 0 else 0.0
    if abs(skew) > 1e-6:
        bent = 3 / skew * (np.cbrt(1 + skew * (quantiles - skew / 6)) - 1)
        low, high = min(low, value - deviation * bent[1]), max(high, value - deviation * bent[0])
    return Estimate(float(value), float(low), float(high), _said(factors, counts))


def _said(factors: list[Factor], counts: list[int]) -> str:
    *before, last = (f"{count} {factor.name}" for count, factor in zip(counts, factors))
    return " and ".join(([", ".join(before)] if before else []) + [last])


def _factors(shape: tuple[int, ...], over: Over | None) -> list[Factor]:
    """The factors with their units numbered from 0 and broadcasting to the shape."""
    over = over or (("paths",) if len(shape) == 1 else ("seeds", "paths"))
    factors = []
    for place, factor in enumerate(over):
        if isinstance(factor, str):
            factor = Factor(factor, np.arange(shape[place]), place)
        along = [1] * len(shape)
        along[factor.axis] = -1
        units = np.unique(np.asarray(factor.units), return_inverse=True)[1]
        factors.append(factor._replace(units=units.reshape(along)))
    return factors


def _by_unit(errors: np.ndarray, factors: list[Factor]) -> tuple[np.ndarray, list[Factor]]:
    """Errors summed over the units of a factor that has an axis to itself, as blocks do; the sums
    below are then few.
    """
    shared = [factor.units.shape for factor in factors]
    factors = list(factors)
    for number, (name, units, axis) in enumerate(factors):
        if shared.count(units.shape) == 1 and units.max() + 1 < units.size:
            order = np.argsort(units.ravel(), kind="stable")
            first = np.unique(units.ravel()[order], return_index=True)[1]
            errors = np.add.reduceat(np.take(errors, order, axis), first, axis)
            along = [1] * errors.ndim
            along[axis] = -1
            factors[number] = Factor(name, np.arange(len(first)).reshape(along), axis)
    return errors, factors


def _cumulants(
    errors: np.ndarray, factors: list[Factor], counts: list[int]
) -> tuple[float, float, float]:
    """Variance and third cumulant of the sum of the errors, and the degrees of freedom of the
    variance.
    """
    second = third = 0.0
    alone = []
    for size in range(1, len(factors) + 1):
        for chosen in itertools.combinations(range(len(factors)), size):
            label = np.zeros((), np.int64)
            for number in chosen:
                label = label * counts[number] + factors[number].units
            label = np.broadcast_to(label, errors.shape).ravel()
            sums = np.bincount(label, errors.ravel())
            units = np.count_nonzero(np.bincount(label))
            sign = -1 if size % 2 == 0 else 1
            part = np.sum(sums**2) * units / (units - 1)
            second += sign * part
            third += (
                sign * np.sum(sums**3) * units**2 / max((units - 1) * (units - 2), 1) * (units > 2)
            )
            if size == 1:
                alone.append(part)
    variance = max(second, *alone) if len(alone) > 1 else alone[0]
    of_parts = sum(part**2 / (count - 1) for part, count in zip(alone, counts))
    freedom = variance**2 / of_parts if of_parts > 0 else 1.0
    return variance, third, max(freedom, min(counts) - 1.0)
