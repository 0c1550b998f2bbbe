"""What a shop knows its own series by: names, dates and money, and how it ordered itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class Shop:
    """What the instances of a problem are to the people whose sales they are made of; for tables
    and reports.

    Attributes:
      skus: of each instance `[S]`.
      places: location of each instance `[S]`; empty where an instance has none of its own.
      dates: first day of each counted test period, datetime64[D] `[T]`.
      money: whether costs are money; otherwise they are per mean demand of a series, and only
        shares of them mean something.
      currency: what money is counted in; empty where nobody said.
      unit_value: money that a unit in stock is worth `[S]`; None where unknown.
      valued_at: what that is, "cost" or "selling price".
      ordered: what was really ordered in each test period, warm-up included, in units
        `[T, E, K, S]`; None where unknown.
      min_max: the minimum and the maximum that the shop orders by itself, each in units
        `[E, K, S]`, compared with stock on hand and on its way; None where it has none.
    """

    skus: tuple[str, ...]
    places: tuple[str, ...] = ()
    dates: np.ndarray | None = None
    money: bool = True
    currency: str = ""
    unit_value: np.ndarray | None = None
    valued_at: str = "cost"
    ordered: np.ndarray | None = None
    min_max: tuple[np.ndarray, np.ndarray] | None = None


def own_min_max(
    stock: pd.DataFrame, skus: Sequence[str], destinations: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """What a shop orders by itself, for `Shop.min_max`: `[E, 1, S]` each.

    Where a place has several ways in, it orders on the first.

    Args:
      stock: a line an SKU and location, with `min_stock` and `max_stock`.
      skus: of each instance; destinations: the end of each edge of each instance `[S, E]`, empty
        where it has none.

    Returns:
      None where they are not known of all of these.
    """
    known = stock.dropna(subset=["min_stock", "max_stock"])
    levels = {
        (sku, place): pair
        for sku, place, *pair in known[["sku", "location", "min_stock", "max_stock"]].itertuples(
            index=False
        )
    }
    found = np.full((2, *destinations.T.shape), [[[-np.inf]], [[0.0]]])  # never an order
    for s, ends in enumerate(destinations):
        for end in set(ends) - {""}:
            if (skus[s], end) not in levels:
                return None
            found[:, list(ends).index(end), s] = levels[skus[s], end]
    return found[0][:, None], found[1][:, None]


def ordered_by_period(
    receipts: pd.DataFrame,
    starts: np.ndarray,
    skus: Sequence[str],
    sources: np.ndarray,
    destinations: np.ndarray,
) -> np.ndarray | None:
    """What a shop ordered itself, for `Shop.ordered`: units by period, edge and instance
    `[T, E, 1, S]`.

    Args:
      receipts: a line an order, with `sku`, `source`, `destination`, `ordered` (its date) and
        `quantity`.
      starts: first day of each period, and of the one after the last, `[T + 1]`.
      skus: of each instance; sources, destinations: names of the ends of each edge of each instance
        `[S, E]`.

    Returns:
      None where no line is of one of these series, edges and periods.
    """
    count, (instances, edges) = len(starts) - 1, sources.shape
    ways = pd.DataFrame(
        {
            "sku": np.repeat(np.asarray(skus, object), edges),
            "source": sources.ravel(),
            "destination": destinations.ravel(),
            "instance": np.repeat(np.arange(instances), edges),
            "edge": np.tile(np.arange(edges), instances),
        }
    )
    period = (
        np.searchsorted(starts, receipts["ordered"].to_numpy("datetime64[s]"), side="right") - 1
    )
    rows = receipts.assign(period=period).merge(
        ways[ways["source"] != ""], on=["sku", "source", "destination"]
    )
    rows = rows[
        rows["period"].between(0, count - 1) & np.isfinite(rows["quantity"].to_numpy(float))
    ]
    if not len(rows):
        return None
    ordered = np.zeros((count, edges, 1, instances))
    np.add.at(
        ordered,
        (rows["period"], rows["edge"], 0, rows["instance"]),
        rows["quantity"].to_numpy(float),
    )
    return ordered
