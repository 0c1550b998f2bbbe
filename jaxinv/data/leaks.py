"""Columns that tell the sales of their own period: known only afterwards, however good they look as
covariates.
"""

import numpy as np
import pandas as pd

TRACKS = 0.7  # correlation of changes that few plans explain
_TRACKS_BY_DATE = (
    0.85  # the same where there is no other series to tell what is common: holidays do move sales
)
KNOWN = ("price", "promotion")
"""Columns that are known in advance by their meaning; what they explain counts for no other
column.
"""
_FEWEST = 20  # changes that a correlation is judged on


def moves_with_sales(table: pd.DataFrame, keys: list[str], name: str) -> float | None:
    """Correlation of a column with the sales of the same rows, if it is too high for something
    known in advance.

    Compared are changes from row to row within each series, in units of its mean, less what is
    common to all series on that date (to that day of the week, where all series share the column):
    levels, trends, seasons and what price and promotion explain drop out, the chance of the single
    period stays. Revenue, orders or a forecast made with the result in hand share that chance; a
    plan or the weather do not.

    Args:
      table: sorted by series and date.
      keys: the columns that name a series.

    Returns:
      The correlation, or None where it is below `TRACKS`.
    """
    known = [column for column in KNOWN if column in table and column != name]
    rows = table[[*keys, "date", "sales", name, *known]].dropna(subset=[name])
    by_date = rows.groupby("date")[name]
    of_date = (by_date.transform("max") == by_date.transform("min")).all()
    series = [rows[key] for key in keys]
    changes = pd.DataFrame({"date": rows["date"]})
    for column in ("sales", name, *known):
        level = rows[column].abs().groupby(series, sort=False).transform("mean")
        changes[column] = rows[column].groupby(series, sort=False).diff() / level.where(level > 0)
    changes = changes.dropna(subset=["sales", name]).fillna(0.0)
    if len(changes) < _FEWEST:
        return None
    common = changes["date"].dt.day_of_week if of_date else changes["date"]
    changes = changes.drop(columns="date")
    changes -= changes.groupby(common).transform("mean")
    values, explained = changes[["sales", name]].to_numpy(), changes[known].to_numpy()
    values = values - explained @ np.linalg.lstsq(explained, values, rcond=None)[0]
    spread = np.sqrt((values**2).sum(axis=0).prod())
    correlation = float(values.prod(axis=1).sum() / spread) if spread > 0 else 0.0
    return correlation if abs(correlation) >= (_TRACKS_BY_DATE if of_date else TRACKS) else None
