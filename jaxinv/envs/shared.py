"""What the instances of a test have in common: intervals must not take them for independent."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

FEW_CLUSTERS = 4
"""Between fewer clusters than this nothing can be told apart from chance."""


@dataclass(frozen=True)
class Shared:
    """What the instances of a test have in common, so that their costs are not independent.

    All replay the same periods, one after another.

    Attributes:
      period: what a period is called.
      clusters: by name in the plural, such as stores, a label for each instance; those of one label
        are alike.
      same: what all have in common and is too little to say anything of others of its kind, such as
        "2 stores".
    """

    period: str = "period"
    clusters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    same: str = ""

    @classmethod
    def of(cls, period: str, **columns: Sequence[str]) -> "Shared":
        """The clusters among some columns of labels, one label an instance: those that group
        instances. What is said of fewer than `FEW_CLUSTERS` is said of these alone."""
        columns = {name: tuple(map(str, labels)) for name, labels in columns.items()}
        count = {name: len(set(labels)) for name, labels in columns.items()}
        grouping = [
            (name, own) for name, own in columns.items() if FEW_CLUSTERS <= count[name] < len(own)
        ]
        same = [
            f"{count[name]} {name}"
            for name, own in columns.items()
            if 1 < count[name] < min(FEW_CLUSTERS, len(own))
        ]
        return cls(period if period.isalpha() else "period", tuple(grouping), " and ".join(same))

    @classmethod
    def of_series(cls, period: str, series: pd.DataFrame) -> "Shared":
        """The items of series of sales, one an instance, and their stores where the table names
        stores.
        """
        stores = {"stores": series["location"]} if "location" in series else {}
        return cls.of(period, items=series["sku"], **stores)
