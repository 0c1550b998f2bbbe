"""Columns that tell the sales of their own period: known only afterwards, however good they look as covariates."""

import numpy as np
import pandas as pd

TRACKS = 0.8  # correlation of changes that no plan explains
_TRACKS_BY_DATE = 0.95  # the same for a column of the date alone: weekdays and seasons do move sales
_FEWEST = 20  # changes that a correlation is judged on


def moves_with_sales(table: pd.DataFrame, keys: list[str], name: str) -> float | None:
    """Correlation of a column with the sales of the same rows, if it is too high for something known in advance.

    Compared are changes from row to row within each series, in units of its mean, less what is common to all series on that date:
    levels, trends and seasons drop out, the chance of the single period stays. Revenue, orders or a forecast made with the result
    in hand share that chance; a price, a plan or the weather do not.

    Args:
      table: sorted by series and date.
      keys: the columns that name a series.

    Returns:
      The correlation, or None where it is below `TRACKS`.
    """
    rows = table[[*keys, "date", "sales", name]].dropna()
    grouped = rows.groupby(keys, sort=False)
    by_date = rows.groupby("date")[name]
    of_date = (by_date.transform("max") == by_date.transform("min")).all()
    changes = pd.DataFrame({"date": rows["date"]})
    for column in ("sales", name):
        level = rows[column].abs().groupby([rows[key] for key in keys], sort=False).transform("mean")
        changes[column] = grouped[column].diff() / level.where(level > 0)
    changes = changes.dropna()
    if len(changes) < _FEWEST:
        return None
    if not of_date:
        common = changes.groupby("date")[["sales", name]].transform("mean")
        changes[["sales", name]] -= common
    sales, values = changes["sales"].to_numpy(), changes[name].to_numpy()
    spread = np.sqrt((sales**2).sum() * (values**2).sum())
    correlation = float((sales * values).sum() / spread) if spread > 0 else 0.0
    return correlation if abs(correlation) >= (_TRACKS_BY_DATE if of_date else TRACKS) else None
