"""What a problem makes of a panel once: which series are kept, from when on their sales are demand,
and their scale.

A series lives from the first period in which it was sold or in stock. Zeros before that are no
demand, and one that sold nothing for long before the file ends is discontinued: it would start the
test with stock for nobody. Whatever is left out is named.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from jaxinv.data.censoring import Estimates
from jaxinv.data.covariates import moments
from jaxinv.data.panel import Panel, TimeSplit
from jaxinv.errors import UserError
from jaxinv.keys import Role, generator

SCALE_FLOOR = 1e-2
"""Units a period; the least scale of a series."""

LEAST_SILENCE = 8
"""A series counts as discontinued after this many periods without a sale, if they are also a
quarter of the training periods.
"""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Series that are ready to be instances.

    Attributes:
      panel: the kept series, with demand in the place of sales.
      kept: their numbers among all, `[S]`.
      begins: the period from which sales of each are demand, `[S]`.
      scale: mean demand a period in training from then on, float64 `[S]`, at least `SCALE_FLOOR`.
      dropped: name of each series that was left out, and the reason.
      notes: what people are told of it, one line each.
      covariates: mean and standard deviation in training of each that policies are told, by name.
      by_place: names of those that are told of each place (`jaxinv.envs.placed`).
      estimates: the demand of the kept series where stock was out; None where it never was.
    """

    panel: Panel
    kept: np.ndarray
    begins: np.ndarray
    scale: np.ndarray
    dropped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    covariates: dict[str, tuple[float, float]]
    by_place: tuple[str, ...] = ()
    estimates: Estimates | None = None


def series_names(series: pd.DataFrame) -> list[str]:
    """What each series of a table of them is called."""
    return [" / ".join(str(part) for part in row) for row in series.itertuples(index=False)]


def prepare(
    panel: Panel,
    split: TimeSplit,
    *,
    horizon: int,
    min_active: float = 0.0,
    max_series: int | None = None,
    seed: int = 0,
    life_cycles: bool = True,
) -> Prepared:
    """The series of a panel that can be learned on and judged.

    Args:
      horizon: periods that a series must have sold for before training ends.
      min_active: least share of a series' own training periods with demand, from 0 to 1.
      max_series: how many to keep, or None for all; drawn by `seed` without regard to their sales.
      life_cycles: whether series have a beginning and an end; otherwise all are there throughout.

    Raises:
      UserError: when no series is left.
    """
    if not 0 <= min_active <= 1:
        raise UserError(f"min_active is a share of periods from 0 to 1, not {min_active}")
    stop = split.train.stop
    sold = panel.sales > 0
    begins = launches(panel) if life_cycles else np.zeros(len(sold), int)
    demand, estimates, unknown = panel.sales, None, np.zeros(len(sold), bool)
    if panel.parts is not None:
        estimates = panel.parts.estimate(begins, stop, seed)
        demand = estimates.demand
        unknown = panel.parts.out.any(1) & [law is None for law in estimates.laws]
    reasons: dict[int, str] = {}

    def drop(which, why):
        for row in np.flatnonzero(which):
            if row not in reasons:  # a later reason may make no sense of it
                reasons[int(row)] = why(row)

    def since(row):
        return (
            f"first sold in training too late: {panel.dates[begins[row]]}, and horizon={horizon}"
            f" {panel.frequency}s must follow"
        )

    alive = (np.arange(stop) >= begins[:, None]).astype(np.float64)
    active = ((demand[:, :stop] > 0) * alive).sum(1) / np.maximum(alive.sum(1), 1)
    if life_cycles:
        drop(~sold.any(1), lambda row: "never sold")
        drop(
            begins >= stop,
            lambda row: f"first sold after training ends: {panel.dates[begins[row]]}",
        )
        drop(begins > stop - horizon - 1, since)
        drop(~sold[:, :stop].any(1), lambda row: "no sale in training")
        drop(
            _ended(sold, split),
            lambda row: f"discontinued: last sold {panel.dates[np.flatnonzero(sold[row])[-1]]}",
        )
    drop(unknown, lambda row: "out of stock in all of training")
    drop(
        active < min_active,
        lambda row: (
            f"sold too rarely for min_active={min_active:g}: in {active[row]:.0%} of training"
        ),
    )
    kept = np.setdiff1d(np.arange(len(sold)), list(reasons))
    if not len(kept):
        raise UserError(
            f"no series is left of {len(sold)}: {_told(reasons)}; the most active sold in"
            f" {active.max():.0%} of its training periods; lower min_active or horizon, or"
            " train on more"
        )
    if max_series is not None and len(kept) > max_series:
        chosen = np.sort(generator(Role.SERIES, seed).choice(kept, max_series, replace=False))
        drop(
            ~np.isin(np.arange(len(sold)), [*chosen, *reasons]),
            lambda row: f"not drawn: max_series={max_series}",
        )
        kept = chosen
    names = series_names(panel.series)
    notes = (
        [f"left out {len(reasons)} of {len(sold)} series: {_told(reasons, names)}"]
        if reasons
        else []
    )
    if estimates is not None:
        estimates = estimates.rows(kept)
        notes += told_estimates(estimates.share, stop, panel.frequency)
    weights = alive[kept]
    scale = (demand[kept][:, :stop] * weights).sum(1) / np.maximum(weights.sum(1), 1)
    dropped = tuple((names[row], reasons[row]) for row in sorted(reasons))
    kept_panel = replace(panel, sales=demand.astype(np.float32)).rows(kept)
    return Prepared(
        panel=kept_panel,
        kept=kept,
        begins=begins[kept],
        scale=np.maximum(scale, SCALE_FLOOR),
        dropped=dropped,
        notes=tuple(notes),
        covariates=moments(kept_panel, split.train),
        estimates=estimates,
    )


def told_estimates(estimated: np.ndarray, stop: int, frequency: str) -> list[str]:
    """What people are told of demand that is an estimate in a share of the parts of each period
    `[S, T]`.
    """
    if not estimated.any():
        return []
    before, after = (
        estimated[:, :stop].mean(),
        (estimated[:, stop:].mean() if estimated.shape[1] > stop else 0.0),
    )
    return [
        f"stock was out in {estimated.mean():.1%} of all {frequency}s ({before:.1%} and {after:.1%}"
        " before and after training ends): demand there is estimated from the others, in training"
        " and in the test"
    ]


def mean_prices(values: np.ndarray) -> np.ndarray:
    """Mean known price `[S, stores]` of `[S, stores, T]`; where none is known, that of the SKU's
    other stores, or of all SKUs.

    Raises:
      UserError: when no price is known at all.
    """
    known = ~np.isnan(values)
    if not known.any():
        raise UserError("no series has a price in training; fill the column price, or delete it")
    count = known.sum(-1)
    price = np.where(known, values, 0).sum(-1) / np.maximum(count, 1)
    for axis in (1, None):
        there = count > 0
        others = np.where(there, price, 0).sum(axis, keepdims=True) / np.maximum(
            there.sum(axis, keepdims=True), 1
        )
        price, count = (
            np.where(there, price, others),
            np.maximum(count, there.sum(axis, keepdims=True)),
        )
    return price


def launches(panel: Panel) -> np.ndarray:
    """The first period in which each series was sold or in stock `[S]`; the number of periods where
    it never was.
    """
    there = panel.sales > 0
    if panel.stock is not None:
        there = there | (panel.stock > 0)
    return np.where(there.any(1), there.argmax(1), there.shape[1])


def _ended(sold: np.ndarray, split: TimeSplit) -> np.ndarray:
    """Series whose last sale lies before the scored test, longer ago than they ever paused: bool
    `[S]`.

    One that ends within the test stays: nobody knew, and what is ordered for it is a cost.
    """
    ended = np.zeros(len(sold), bool)
    test = split.scored("test")
    least = max(LEAST_SILENCE, split.train.stop / 4)
    last = sold.shape[1] - 1 - sold[:, ::-1].argmax(1)
    for row in np.flatnonzero(sold.any(1) & (last < test.start) & (test.stop - 1 - last >= least)):
        pauses = np.diff(np.flatnonzero(sold[row]))
        ended[row] = test.stop - 1 - last[row] > pauses.max(initial=0)
    return ended


def _told(reasons: dict[int, str], names: list[str] | None = None) -> str:
    """How many series were left out for each kind of reason, with the first few names."""
    kinds = {row: why.partition(":")[0] for row, why in reasons.items()}
    told = []
    for kind, count in Counter(kinds.values()).most_common():
        few = [names[row] for row, its in kinds.items() if its == kind][:3] if names else []
        told.append(
            f"{count} {kind}"
            + (f" ({', '.join(few)}{' …' if count > len(few) else ''})" if few else "")
        )
    return "; ".join(told)
