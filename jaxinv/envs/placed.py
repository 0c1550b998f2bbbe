"""Series of a sales table as instances with places: an SKU with all that sell it, or each series by
itself.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jaxinv.data import Panel, TimeSplit
from jaxinv.data.covariates import moments, standardised, with_calendar
from jaxinv.data.fitted import Preparation
from jaxinv.data.preparation import (
    SCALE_FLOOR,
    Prepared,
    launches,
    prepare,
    series_names,
    told_estimates,
)
from jaxinv.demand.signals import Signal


class Grouping(NamedTuple):
    """Which instance and which of its places each of n series is.

    Attributes:
      instance: its number, of each series `[n]`; place: the number of its place `[n]`.
      places: D, places of an instance; not all need have a series.
      series: a row for each of S instances, with what tells them apart.
    """

    instance: np.ndarray
    place: np.ndarray
    places: int
    series: pd.DataFrame

    def spread(self, values: np.ndarray, fill: float = 0.0) -> np.ndarray:
        """Values of each series `[n, ...]` by instance and place `[S, D, ...]`; `fill` where an
        instance lacks a place."""
        shape = (len(self.series), self.places, *values.shape[1:])
        found = np.full(shape, fill, values.dtype)
        found[self.instance, self.place] = values
        return found


def by_sku(panel: Panel, places: Sequence[str]) -> Grouping:
    """Each SKU an instance, with a place for each location."""
    skus, instance = np.unique(panel.series["sku"].to_numpy(str), return_inverse=True)
    place = pd.Categorical(panel.series["location"].astype(str), categories=list(places)).codes
    return Grouping(instance, np.asarray(place, int), len(places), pd.DataFrame({"sku": skus}))


def by_series(panel: Panel) -> Grouping:
    """Each series an instance with one place."""
    count = len(panel.series)
    return Grouping(np.arange(count), np.zeros(count, int), 1, panel.series)


def prepare_placed(
    panel: Panel, split: TimeSplit, grouping: Grouping, options: Any, ahead: Panel | None = None
) -> Prepared:
    """The series of all instances that can be learned on and judged, and what is learned of them.

    `prepare` judges an instance by what its places sell together, and leaves it out whole; what a
    place never sold is no demand there.

    Args:
      options: with `horizon`, `max_series`, `instance_seed` and `life_cycles`.
      ahead: the panel with covariates of periods to come, where some are known.
    """
    stop = split.train.stop
    begins = launches(panel) if options.life_cycles else np.zeros(len(panel.sales), int)
    estimates, notes = None, []
    if panel.parts is not None:
        estimates = panel.parts.estimate(begins, stop, options.instance_seed)
        panel = dataclasses.replace(panel, sales=estimates.demand)
        notes = told_estimates(estimates.share, stop, panel.frequency)
    together = grouping.spread(panel.sales).astype(np.float64).sum(1).astype(np.float32)
    chosen = prepare(
        Panel(together, panel.dates, grouping.series, frequency=panel.frequency), split,
        horizon=options.horizon, max_series=options.max_series or None, seed=options.instance_seed,
        life_cycles=options.life_cycles,
    )  # fmt: skip
    kept = np.flatnonzero(np.isin(grouping.instance, chosen.kept))
    demand, found = panel.sales[kept].astype(np.float64), moments(panel, split.train)
    told = {
        name: grouping.spread(values, np.nan)[chosen.kept]
        for name, values in standardised(ahead or panel, found).items()
    }
    return Prepared(
        panel=panel.rows(kept),
        kept=kept,
        begins=begins[kept],
        scale=_mean_since(demand[:, :stop], begins[kept]),
        dropped=chosen.dropped,
        notes=(*chosen.notes, *notes),
        covariates=found,
        by_place=tuple(name for name, values in told.items() if not _places_agree(values).all()),
        estimates=None if estimates is None else estimates.rows(kept),
    )


@dataclass(frozen=True, eq=False)
class Placed:
    """What a file says of each of S instances in each of its D places.

    Attributes:
      demand: `[S, D, T]`; scale: mean demand a period in training once a place sells it, `[S, D]`.
      begins: the period from which on all places sell it, or all but those that begin too late to
        learn from, `[S]`.
      launched: the first period of each place, that after the last where it has none `[S, D]`.
      covariates: `[S, T, C]`, a column for each place where places differ.
      told: what each column is.
      stock: `[S, D, T]`, NaN where unknown, or None.
      series: a row for each instance, with what tells them apart.
    """

    demand: np.ndarray
    scale: np.ndarray
    begins: np.ndarray
    launched: np.ndarray
    told: tuple[Signal, ...]
    covariates: np.ndarray
    stock: np.ndarray | None
    labels: tuple[str, ...]
    series: pd.DataFrame
    dropped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        panel: Panel,
        grouping: Grouping,
        fitted: Prepared | Preparation,
        latest: int,
        ahead: Panel | None = None,
    ) -> "Placed":
        """Series with what was learned of them.

        Args:
          panel: those that are kept, with demand in the place of sales.
          fitted: what `prepare_placed` learned of them.
          latest: the period from which on a place begins too late to learn from.
          ahead: the panel with covariates of periods to come, where some are known.
        """
        spread, ahead = grouping.spread, ahead or panel
        launched = spread(fitted.begins, panel.sales.shape[1])
        columns, notes = {}, list(fitted.notes)
        for name, values in standardised(ahead, fitted.covariates).items():
            at = spread(values, np.nan)
            if name in fitted.by_place:
                columns[name] = np.nan_to_num(np.moveaxis(at, 1, 2))
                continue
            agree = _places_agree(at)
            columns[name] = np.where(agree, np.nanmin(at, 1), np.nanmean(at, 1))[..., None]
            if not agree.all():
                notes.append(
                    f"{name} was the same in all places when policies were trained, and no longer "
                    "is: they are told its mean"
                )
        told, covariates = with_calendar(ahead, len(grouping.series), columns)
        return cls(
            demand=spread(panel.sales).astype(np.float64),
            scale=spread(fitted.scale, SCALE_FLOOR),
            begins=np.where(launched < latest, launched, 0).max(1),
            launched=launched,
            told=told,
            covariates=covariates,
            stock=None if panel.stock is None else spread(panel.stock, np.nan),
            labels=tuple(series_names(grouping.series)),
            series=grouping.series,
            dropped=fitted.dropped,
            notes=tuple(notes),
        )

    def rows(self, rows: slice) -> "Placed":
        """Some of the instances."""
        return dataclasses.replace(
            self,
            **{
                name: getattr(self, name)[rows]
                for name in ("demand", "scale", "begins", "launched", "covariates", "labels")
            },
            stock=None if self.stock is None else self.stock[rows],
            series=self.series.iloc[rows],
        )

    def joined(
        self,
        ahead: Panel,
        sales: np.ndarray,
        fitted: Mapping[str, tuple[float, float]],
        grouping: Grouping,
    ) -> "Placed":
        """With more instances, which nothing was learned from.

        Args:
          ahead: their series, with covariates of periods to come.
          sales: what is taken for their demand `[series, T]`; the mean of all of it is what is
            typical of them.
          fitted: moments of covariates.
        """
        shape, spread = (len(grouping.series), self.demand.shape[1]), grouping.spread
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
            **{
                name: np.concatenate([getattr(self, name), values]) for name, values in more.items()
            },
            stock=None if self.stock is None else np.concatenate([self.stock, unknown]),
            labels=(*self.labels, *series_names(grouping.series)),
            series=pd.concat([self.series, grouping.series], ignore_index=True),
        )


def _mean_since(demand: np.ndarray, launched: np.ndarray) -> np.ndarray:
    """Mean demand `[...]` of `[..., T]` from a period on."""
    alive = np.arange(demand.shape[-1]) >= launched[..., None]
    return np.maximum((demand * alive).sum(-1) / np.maximum(alive.sum(-1), 1), SCALE_FLOOR)


def _places_agree(values: np.ndarray) -> np.ndarray:
    """Whether places have one and the same value, bool `[S, T]` of `[S, D, T]`; NaN where an
    instance lacks one."""
    return np.nanmin(values, 1) == np.nanmax(values, 1)
