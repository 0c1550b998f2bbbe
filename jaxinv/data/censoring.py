"""Demand where stock was out: what was sold then only says that demand was at least as much.

A part of a period (a day, or a week of a weekly table) is censored where it began with stock 0,
where it sold exactly the stock that it began with, or where it sold more than that, out of
deliveries, and the next one began with stock 0. The law of a series' demand is estimated from
censored and other parts together by the product-limit estimator (Kaplan and Meier 1958; the rest of
the mass goes to the largest sale, Efron 1967), and each censored part gets a draw from that law,
given that demand was at least what was sold. Draws are evenly spread over the law and their order
is drawn by a seed, so the mean and the spread of the estimates are those of the law. What moves
with the season or a promotion is not in it.
"""

from dataclasses import dataclass

import numpy as np

from jaxinv.data.grid import Grid
from jaxinv.keys import Role, generator

Law = tuple[np.ndarray, np.ndarray]
"""Values in rising order and their probabilities."""


def sold_out(sales: np.ndarray, stock: np.ndarray) -> np.ndarray:
    """Which parts are censored.

    Args:
      sales: units sold `[S, T]`.
      stock: units on hand at the start `[S, T]`, NaN where unknown; nothing is concluded there.
    """
    after = np.concatenate([stock[:, 1:], np.full((len(stock), 1), np.nan)], axis=1)
    return (stock == 0) | (sales == stock) | ((sales > stock) & (after == 0))


@dataclass(frozen=True, eq=False)
class OwnPeriods:
    """The parts that periods are summed from: the periods of the table's own step.

    Attributes:
      sales: units sold `[S, O]`.
      out: which parts are censored, bool `[S, O]`.
      grid: sums parts `[S, O]` to periods `[S, T]`.
    """

    sales: np.ndarray
    out: np.ndarray
    grid: Grid

    def rows(self, rows: np.ndarray) -> "OwnPeriods":
        return OwnPeriods(self.sales[rows], self.out[rows], self.grid)

    def estimate(self, first: np.ndarray, stop: int, seed: int = 0) -> "Estimates":
        """Demand of each part, an estimate where it is censored.

        Args:
          first: the period from which sales of a series are demand `[S]`; before it nothing is
            estimated.
          stop: the law of demand is estimated from the periods before this one, and holds for all.
          seed: of the order of the draws.
        """
        units, where = self.sales.copy(), np.zeros(self.sales.shape, bool)
        laws: list[Law | None] = [None] * len(units)
        draw = generator(Role.CENSORED, seed)
        starts = np.arange(units.shape[1] + 1) if self.grid.starts is None else self.grid.starts
        for row in np.flatnonzero(self.out.any(1)):
            begin = starts[first[row]]
            sold, out = self.sales[row, begin:], self.out[row, begin:]
            fitted = slice(0, max(starts[stop] - begin, 0))
            laws[row] = product_limit(sold[fitted], out[fitted])
            if laws[row] is not None:
                units[row, begin:][out] = _at_least(sold[out], *laws[row], draw)
                where[row, begin:] = out
        return Estimates(units, where, tuple(laws), self.grid)

    def later(self, known: "Estimates", seed: int = 0) -> "Estimates":
        """Demand where the parts of `known` are the first of these: what was estimated stays as it
        is, and censored parts after it get draws from the laws that were fitted then."""
        units, where, before = (
            self.sales.copy(),
            np.zeros(self.sales.shape, bool),
            known.units.shape[1],
        )
        units[:, :before][known.where], where[:, :before] = known.units[known.where], known.where
        draw = generator(Role.CENSORED, seed, before)
        for row, law in enumerate(known.laws):
            out = self.out[row, before:]
            if law is not None and out.any():
                units[row, before:][out] = _at_least(self.sales[row, before:][out], *law, draw)
                where[row, before:] = out
        return Estimates(units, where, known.laws, self.grid)


@dataclass(frozen=True, eq=False)
class Estimates:
    """Demand of the parts of periods, and the laws that it was estimated by.

    Attributes:
      units: of demand `[S, O]`.
      where: which of them are estimates, bool `[S, O]`.
      laws: of the demand of a part, by series (`product_limit`); None where nothing was censored,
        or everything was.
      grid: sums parts `[S, O]` to periods `[S, T]`.
    """

    units: np.ndarray
    where: np.ndarray
    laws: tuple[Law | None, ...]
    grid: Grid

    @property
    def demand(self) -> np.ndarray:
        """Units of each period, float32 `[S, T]`."""
        return self.grid.total(self.units)

    @property
    def share(self) -> np.ndarray:
        """The share of a period's parts that is estimated, float32 `[S, T]`."""
        return self.grid.mean(self.where.astype(np.float32))

    def rows(self, rows: np.ndarray) -> "Estimates":
        return Estimates(
            self.units[rows], self.where[rows], tuple(self.laws[row] for row in rows), self.grid
        )


def product_limit(sold: np.ndarray, out: np.ndarray) -> Law | None:
    """The law of demand from sales `[n]` of which some, `out`, only say that demand was at least as
    much.

    Returns:
      Values in rising order and their probabilities; None where all are censored.
    """
    if out.all():
        return None
    values, times = np.unique(sold[~out], return_counts=True)
    at_risk = (
        len(sold)
        - np.searchsorted(np.sort(sold[~out]), values)
        - np.searchsorted(np.sort(sold[out]), values, "right")
    )
    left = np.cumprod(1 - times / at_risk)
    mass = np.concatenate([[1.0], left[:-1]]) - left
    if left[-1] > 0:  # the largest are censored
        values, mass = np.append(values, max(values[-1], sold.max())), np.append(mass, left[-1])
    return values, mass


def _at_least(
    sold: np.ndarray, values: np.ndarray, mass: np.ndarray, draw: np.random.Generator
) -> np.ndarray:
    """A demand for each of `sold` `[n]`, from the law given that it is no less."""
    below = np.concatenate([[0.0], np.cumsum(mass)])
    under = below[np.searchsorted(values, sold)]
    spread = (draw.permutation(len(sold)) + 0.5) / len(sold)
    chosen = np.searchsorted(below[1:], under + spread * (below[-1] - under))
    return np.maximum(values[np.minimum(chosen, len(values) - 1)], sold)
