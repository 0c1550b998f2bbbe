"""Series of a sales table as instances with places: an SKU with all that sell it, or each series by itself."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from jaxinv.data import Panel, TimeSplit
from jaxinv.data.covariates import moments, standardised, with_calendar
from jaxinv.data.preparation import SCALE_FLOOR, launches, mean_prices, names_of, prepare, told_estimates
from jaxinv.demand.signals import Signal


def by_sku(panel: Panel, places: Sequence[str]) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Each SKU an instance, with a place for each location: the instance `[series]` and the place `[series]` of each series,
    and a table with a row an instance."""
    skus, instance = np.unique(panel.series["sku"].to_numpy(str), return_inverse=True)
    place = pd.Categorical(panel.series["location"].astype(str), categories=list(places)).codes
    return instance, np.asarray(place, int), pd.DataFrame({"sku": skus})


def by_series(panel: Panel) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Each series an instance with one place."""
    count = len(panel.series)
    return np.arange(count), np.zeros(count, int), panel.series


@dataclass(frozen=True, eq=False)
class Placed:
    """What a file says of each instance in each of its D places; what a place never had is no demand there.

    Attributes:
      demand: `[S, D, T]`; scale: mean demand a period in training once a place sells it, `[S, D]`.
      begins: the period from which on all places sell it, or all but those that begin too late to learn from, `[S]`.
      launched: the first period of each place, that after the last where it has none `[S, D]`.
      covariates: `[S, T, C]`, a column for each place where places differ. told: what each column is.
      price: `[S, D]` or None; stock: `[S, D, T]`, NaN where unknown, or None.
      series: a row for each instance, with what tells them apart.
    """

    demand: np.ndarray
    scale: np.ndarray
    begins: np.ndarray
    launched: np.ndarray
    told: tuple[Signal, ...]
    covariates: np.ndarray
    price: np.ndarray | None
    stock: np.ndarray | None
    labels: tuple[str, ...]
    series: pd.DataFrame
    dropped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls, panel: Panel, split: TimeSplit, instance: np.ndarray, place: np.ndarray, series: pd.DataFrame, options: Any,
        ahead: Panel | None = None,
    ) -> "Placed":  # fmt: skip
        """Those that can be learned on and judged.

        Args:
          instance, place, series: see `by_sku` and `by_series`.
          options: with `horizon`, `max_series`, `instance_seed` and `life_cycles`.
          ahead: the panel with covariates of periods to come, where some are known.
        """
        spread = _spreader((len(series), int(place.max()) + 1 if len(place) else 1), instance, place)
        stop, periods = split.train.stop, panel.sales.shape[1]
        launched = launches(panel) if options.life_cycles else np.zeros(len(panel.sales), int)
        demand, notes = panel.sales, []
        if panel.parts is not None:
            estimates = panel.parts.estimate(launched, stop, options.instance_seed)
            demand, notes = estimates.demand, told_estimates(estimates.share, stop, panel.frequency)
        demand, launched = spread(demand).astype(np.float64), spread(launched, periods)
        prepared = prepare(
            Panel(demand.sum(1).astype(np.float32), panel.dates, series, frequency=panel.frequency), split,
            horizon=options.horizon, max_series=options.max_series or None, seed=options.instance_seed,
            life_cycles=options.life_cycles,
        )  # fmt: skip
        kept = prepared.kept
        demand, launched = demand[kept], launched[kept]
        soon = np.where(launched < stop - options.horizon, launched, 0)
        ahead = ahead or panel
        found = standardised(ahead, moments(panel, split.train))
        columns = {name: _columns(spread(values, np.nan)[kept]) for name, values in found.items()}
        told, covariates = with_calendar(ahead, len(kept), columns)
        return cls(
            demand=demand,
            scale=_mean_since(demand[..., :stop], launched),
            begins=soon.max(1),
            launched=launched,
            told=told,
            covariates=covariates,
            price=None if "price" not in panel.quoted else mean_prices(spread(panel.quoted["price"], np.nan)[kept][..., :stop]),
            stock=None if panel.stock is None else spread(panel.stock, np.nan)[kept],
            labels=tuple(names_of(prepared.panel)),
            series=prepared.panel.series,
            dropped=prepared.dropped,
            notes=(*prepared.notes, *notes),
        )

    def rows(self, rows: slice) -> "Placed":
        """Some of the instances."""
        return dataclasses.replace(
            self,
            **{name: getattr(self, name)[rows] for name in ("demand", "scale", "begins", "launched", "covariates", "labels")},
            price=None if self.price is None else self.price[rows],
            stock=None if self.stock is None else self.stock[rows],
            series=self.series.iloc[rows],
        )

    def joined(self, ahead: Panel, sales: np.ndarray, fitted: Mapping[str, tuple[float, float]],
               instance: np.ndarray, place: np.ndarray, series: pd.DataFrame) -> "Placed":  # fmt: skip
        """With more instances, which nothing was learned from.

        Args:
          ahead: their series, with covariates of periods to come.
          sales: what is taken for their demand `[series, T]`; the mean of all of it is what is typical of them.
          fitted: moments of covariates.
          instance, place, series: see `by_sku` and `by_series`.
        """
        shape = (len(series), self.demand.shape[1])
        spread = _spreader(shape, instance, place)
        demand = spread(sales).astype(np.float64)
        sold = demand > 0
        launched = np.where(sold.any(-1), sold.argmax(-1), demand.shape[-1])
        columns = []
        for name, values in standardised(ahead, fitted).items():
            width = sum(signal.name == name for signal in self.told)
            wide = np.nan_to_num(np.moveaxis(spread(values, np.nan), 1, 2))
            columns.append(wide if width > 1 else np.nanmean(spread(values, np.nan), 1)[..., None])
        others = self.covariates.shape[-1] - sum(one.shape[-1] for one in columns)
        calendar = np.repeat(self.covariates[:1, :, :others], shape[0], 0)
        more = {
            "demand": demand,
            "scale": _mean_since(demand, launched),
            "begins": launched.min(1),
            "launched": launched,
            "covariates": np.concatenate([calendar, *columns], -1).astype(np.float32),
        }
        unknown = np.full((*shape, self.demand.shape[-1]), np.nan, np.float32)
        return dataclasses.replace(
            self,
            **{name: np.concatenate([getattr(self, name), values]) for name, values in more.items()},
            price=None if self.price is None else np.concatenate([self.price, np.full(shape, np.nan)]),
            stock=None if self.stock is None else np.concatenate([self.stock, unknown]),
            labels=(*self.labels, *names_of(dataclasses.replace(ahead.rows(np.zeros(len(series), int)), series=series))),
            series=pd.concat([self.series, series], ignore_index=True),
        )


def _spreader(shape: tuple[int, int], instance: np.ndarray, place: np.ndarray) -> Callable[..., np.ndarray]:
    """What brings values of each series `[series, ...]` to their instance and place `[S, D, ...]`."""

    def spread(values: np.ndarray, fill: float = 0.0) -> np.ndarray:
        found = np.full((*shape, *values.shape[1:]), fill, values.dtype)
        found[instance, place] = values
        return found

    return spread


def _mean_since(demand: np.ndarray, launched: np.ndarray) -> np.ndarray:
    """Mean demand `[S, D]` of `[S, D, T]` from a period on."""
    alive = np.arange(demand.shape[-1]) >= launched[..., None]
    return np.maximum((demand * alive).sum(-1) / np.maximum(alive.sum(-1), 1), SCALE_FLOOR)


def _columns(values: np.ndarray) -> np.ndarray:
    """A covariate `[S, D, T]`, NaN where a place lacks an instance, as one column where places agree and else one a place."""
    low, high = np.nanmin(values, 1), np.nanmax(values, 1)
    if (low == high).all():
        return low[..., None]
    return np.nan_to_num(np.moveaxis(values, 1, 2))
