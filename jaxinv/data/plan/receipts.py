"""Laws of lead times from receipts: how many days orders took, how many never came, and what share
of them came.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

_LATE = 2.0  # times the longest lead time seen, after which an order that has not come is lost


@dataclass(frozen=True, eq=False)
class LeadTimeLaw:
    """Of one source and destination.

    Attributes:
      days: from order to arrival, whole days, one a delivery (lines that were ordered and arrived
        together count once) `[n]`.
      orders: lines of orders that it rests on.
      lost: share of these lines that never arrived.
      arrives: mean share of the units ordered that came, among lines that arrived; 1 where more
        came.
      partly: share of lines that arrived with fewer units than were ordered.
    """

    days: np.ndarray
    orders: int
    lost: float
    arrives: float
    partly: float

    @property
    def mean(self) -> float:
        return float(self.days.mean()) if len(self.days) else float("nan")

    @property
    def spread(self) -> float:
        """Standard deviation, days; 0 for one delivery."""
        return float(self.days.std(ddof=1)) if len(self.days) > 1 else 0.0


def lead_time_laws(
    receipts: pd.DataFrame, as_of: np.datetime64 | None = None
) -> Mapping[tuple[str, str], LeadTimeLaw]:
    """Laws by (source, destination).

    A line that has not come counts as lost only once it is older than twice the longest lead time
    of its lane, as of `as_of`; younger ones may still come and are left out. Without `as_of` all of
    them are lost.

    Args:
      receipts: the table of a plan.
    """
    laws = {}
    for lane, rows in receipts.groupby(["source", "destination"], sort=True):
        came = rows["received"].notna() & ~(rows["received_quantity"] == 0)
        deliveries = rows.loc[came, ["ordered", "received"]].drop_duplicates()
        seen = (deliveries["received"] - deliveries["ordered"]).dt.days.to_numpy(int)
        open_ = ~came
        if as_of is not None and len(seen):
            age = (
                (np.datetime64(as_of, "s") - rows["ordered"].to_numpy())
                .astype("timedelta64[D]")
                .astype(int)
            )
            open_ &= ~(rows["received"].isna().to_numpy() & (age <= _LATE * seen.max()))
        share = np.minimum(
            (rows["received_quantity"] / rows["quantity"]).fillna(1.0).to_numpy(), 1.0
        )[came.to_numpy()]
        count = int(came.sum() + open_.sum())
        laws[lane] = LeadTimeLaw(
            np.sort(seen),
            count,
            float(open_.sum() / count) if count else 0.0,
            float(share.mean()) if len(share) else 1.0,
            float((share < 1).mean()) if len(share) else 0.0,
        )
    return laws
