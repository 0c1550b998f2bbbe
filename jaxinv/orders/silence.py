"""Series that are no longer sold, by how long they have been silent."""

import numpy as np

SILENT_DAYS, SILENT_GAPS = 90.0, 6.0
"""Without a sale for so many days, and for as many periods as have no sale with probability
exp(-SILENT_GAPS) where each has one as often as before, a SKU is told as no longer sold: rare ones
after so many times their usual gap."""


def last_sold(demand: np.ndarray) -> np.ndarray:
    """Periods up to the last sale `[S, D]` of demand `[S, T, D]`; 0 where nothing was ever sold."""
    sold = np.nan_to_num(np.asarray(demand, float)) > 0
    return np.where(sold.any(1), sold.shape[1] - np.argmax(sold[:, ::-1], 1), 0)


def silent(demand: np.ndarray, period_days: float) -> np.ndarray:
    """Whether each series was sold once and is no longer, bool `[S, D]`.

    Args:
      demand: `[S, T, D]`, NaN before a series begins.
    """
    demand = np.asarray(demand, float)
    often = (np.nan_to_num(demand) > 0).sum(1) / np.maximum(np.isfinite(demand).sum(1), 1)
    last = last_sold(demand)
    silence = demand.shape[1] - last
    unlikely = silence * -np.log1p(-np.minimum(often, 1 - 1e-9))
    return (silence * period_days > SILENT_DAYS) & (unlikely > SILENT_GAPS) & (last > 0)
