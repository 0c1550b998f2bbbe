"""What a shop knows its own series by: names, dates and money, and how it ordered itself."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class Shop:
    """What the instances of a problem are to the people whose sales they are made of; for tables and reports.

    Attributes:
      skus: of each instance `[S]`.
      places: location of each instance `[S]`; empty where an instance has none of its own.
      dates: first day of each counted test period, datetime64[D] `[T]`.
      money: whether costs are money; otherwise they are per mean demand of a series, and only shares of them mean something.
      currency: what money is counted in; empty where nobody said.
      unit_value: money that a unit in stock is worth `[S]`; None where unknown.
      valued_at: what that is, "cost" or "selling price".
      ordered: what was really ordered in each test period, warm-up included, in units `[T, E, K, S]`; None where unknown.
      min_max: the minimum and the maximum that the shop orders by itself, each in units `[E, K, S]`, compared with stock on hand
        and on its way; None where it has none.
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


def ordered_by_period(
    receipts: pd.DataFrame, starts: np.ndarray, skus: Sequence[str], edges: Sequence[tuple[str, str]], places: Sequence[str] = ()
) -> np.ndarray | None:
    """What a shop ordered itself, for `Shop.ordered`: units by period, edge and instance `[T, E, 1, S]`.

    Args:
      receipts: a line an order, with `sku`, `source`, `destination`, `ordered` (its date) and `quantity`.
      starts: first day of each period, and of the one after the last, `[T + 1]`.
      skus: of each instance. edges: source and destination of each edge.
      places: of each instance, where instances are SKUs at a place; each edge then leads to the place of its instance, and its
        destination is not looked at.

    Returns:
      None where no line is of one of these series, edges and periods.
    """
    count = len(starts) - 1
    period = np.searchsorted(starts, receipts["ordered"].to_numpy("datetime64[s]"), side="right") - 1
    own = list(zip(skus, places)) if places else list(skus)
    series = {name: number for number, name in enumerate(own)}
    of = list(zip(receipts["sku"], receipts["destination"])) if places else list(receipts["sku"])
    instance = np.array([series.get(name, -1) for name in of], int)
    ways = {edge[0] if places else edge: number for number, edge in enumerate(edges)}
    lanes = receipts["source"] if places else zip(receipts["source"], receipts["destination"])
    edge = np.array([ways.get(lane, -1) for lane in lanes], int)
    quantity = receipts["quantity"].to_numpy(float)
    known = (period >= 0) & (period < count) & (instance >= 0) & (edge >= 0) & np.isfinite(quantity)
    if not known.any():
        return None
    ordered = np.zeros((count, len(edges), 1, len(own)))
    np.add.at(ordered, (period[known], edge[known], 0, instance[known]), quantity[known])
    return ordered
