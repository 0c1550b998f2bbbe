"""What a shop knows its own series by: names, dates and money, and how it ordered itself."""

from dataclasses import dataclass

import numpy as np


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
