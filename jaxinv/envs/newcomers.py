"""SKUs that are too new to learn from: they are ordered for with what others have taught.

One that is `like` another SKU takes the other's sales before its own launch, times what its own
sales have been to the other's since. One that is like none has what it sold itself.
"""

import dataclasses

import numpy as np
import pandas as pd

from jaxinv.data import Panel
from jaxinv.data.plan import Plan
from jaxinv.data.preparation import LEAST_SILENCE, launches

FEW = 4
"""Periods of its own sales from which the level of a new SKU is its own."""


def with_newcomers(plan: Plan, panel: Panel) -> Panel:
    """The panel with a row for each series that was never sold, and is like one that was; no sale
    of theirs is in it.
    """
    items, series = plan.full_items, panel.series
    sold = set(series["sku"].astype(str))
    rows, skus = [], []
    for sku in plan.skus:
        like = items.at[sku, "like"]
        if sku not in sold and like in sold:
            found = np.flatnonzero(series["sku"].to_numpy(str) == like)
            rows += found.tolist()
            skus += [sku] * len(found)
    if not rows:
        return panel
    more = panel.rows(np.asarray(rows))
    more = dataclasses.replace(
        more,
        sales=np.zeros_like(more.sales),
        series=more.series.assign(sku=skus),
        stock=None if more.stock is None else np.full_like(more.stock, np.nan),
        parts=None,
    )
    return _joined(panel, more)


def spliced(plan: Plan, panel: Panel, rows: np.ndarray) -> np.ndarray:
    """Demand `[len(rows), T]` of some series of a panel, before their launch that of the series
    that they are like.
    """
    items, series = plan.full_items, panel.series
    keys = [name for name in ("sku", "location") if name in series]
    place = {
        tuple(names): number
        for number, names in enumerate(series[keys].astype(str).itertuples(index=False))
    }
    begun = launches(panel)
    demand = (
        panel.sales
        if panel.parts is None
        else panel.parts.estimate(begun, panel.sales.shape[1]).demand
    )
    sales = demand[rows].copy()
    for number, row in enumerate(rows):
        names = series.iloc[row][keys].astype(str).tolist()
        other = place.get((items.at[names[0], "like"], *names[1:]))
        if other is None or other == row:
            continue
        own, theirs = demand[row, begun[row] :], demand[other, begun[row] :]
        ratio = own.sum() / theirs.sum() if len(own) >= FEW and theirs.sum() > 0 else 1.0
        sales[number, : begun[row]] = demand[other, : begun[row]] * ratio
    return sales


def going_on(plan: Plan, panel: Panel, kept: np.ndarray) -> np.ndarray:
    """Numbers of the series of a panel `[n]` that were not kept to learn from, and are sold today
    or soon.

    A SKU that was sold must have been so lately; one that never was must be like one that is.

    Args:
      kept: whether each series was `[S]`.
    """
    items = plan.full_items.reindex(panel.series["sku"].astype(str))
    ended = (items["end"] < pd.Timestamp(plan.settings.as_of)).to_numpy()
    lately = (panel.sales[:, -max(LEAST_SILENCE, panel.sales.shape[1] // 8) :] > 0).any(1)
    sold = set(panel.series["sku"][(panel.sales > 0).any(1)].astype(str))
    never = ~(panel.sales > 0).any(1) & items["like"].isin(sold).to_numpy()
    return np.flatnonzero(~kept & ~ended & (lately | never))


def _joined(panel: Panel, more: Panel) -> Panel:
    def both(one, other):
        return np.concatenate([one, other])

    parts = panel.parts
    if parts is not None:  # of what was never sold, nothing was censored
        nothing = np.zeros((len(more.sales), parts.sales.shape[1]), parts.sales.dtype)
        parts = dataclasses.replace(
            parts, sales=both(parts.sales, nothing), out=both(parts.out, nothing.astype(bool))
        )
    return dataclasses.replace(
        panel,
        sales=both(panel.sales, more.sales),
        series=pd.concat([panel.series, more.series], ignore_index=True),
        stock=None if panel.stock is None else both(panel.stock, more.stock),
        covariates={
            name: both(values, more.covariates[name]) for name, values in panel.covariates.items()
        },
        quoted={name: both(values, more.quoted[name]) for name, values in panel.quoted.items()},
        parts=parts,
    )
