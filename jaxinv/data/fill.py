"""Gaps in covariates, filled with what was known: never with a value from later, and never so that
a gap tells of sales.
"""

from collections.abc import Sequence

import numpy as np

PLANNED = 0.01
"""Share of a covariate's variance that may be left within the groups of one plan: room for a few
odd rows.
"""

FEWEST = 8
"""Values beside another one of their group and date that it takes to see a plan where they are not
equal: a pair of prices is within 1% of their variance by chance in 8 of 100 cases."""

SOLD_ONLY = 0.99
"""Share of rows with sales from which on a table is taken to have rows only where something was
sold.
"""


def rows_tell_of_sales(sales: np.ndarray, filled: np.ndarray) -> bool:
    """Whether a table has rows only where something was sold, so that a missing row tells of a
    period without sales.

    Args:
      sales: `[S, T]`; filled: where the table has a row, bool `[S, T]`. A date without any row is a
        closed day.
    """
    first, last = filled.argmax(1), filled.shape[1] - 1 - filled[:, ::-1].argmax(1)
    time = np.arange(filled.shape[1])
    lives = (time >= first[:, None]) & (time <= last[:, None]) & filled.any(0)
    gaps = (lives & ~filled).sum() / lives.sum()
    return gaps > 1 - SOLD_ONLY and (sales[filled] > 0).mean() >= SOLD_ONLY


def fill(
    values: np.ndarray, groups: Sequence[np.ndarray], zero: bool, sparse: bool
) -> np.ndarray | None:
    """A covariate `[S, T]` without NaN, each gap filled from the same or earlier periods.

    What all series of a group have in common on each date is a plan (a calendar, the promotions of
    a shop): a gap takes the plan's value of that date. Other gaps keep the last known value; before
    the first there is the mean over the series known by then, and zero while there is none.

    Args:
      groups: numbers of the group of each series `[S]`, from the widest kind of group to the
        narrowest.
      zero: whether gaps that no plan fills are zero instead.
      sparse: whether rows exist for periods with sales only. A covariate that follows no plan and
        changes within a series would then reveal sales, by its gaps or by the dates of its changes.

    Returns:
      The values, float32; None for a covariate whose gaps tell of sales.
    """
    known = ~np.isnan(values)
    if known.all():
        return values.astype(np.float32)
    plan = next(
        filter(lambda found: found is not None, (_plan(values, known, group) for group in groups)),
        None,
    )
    if plan is not None:
        values, zero = np.where(known, values, plan), False
    elif _constant(values, known):
        zero = False
    elif sparse:
        return None
    if zero:
        return np.where(known, values, 0).astype(np.float32)
    own = _forward(values)
    known = ~np.isnan(own)
    mean = np.where(known, own, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, own, mean).astype(np.float32)


def _plan(values: np.ndarray, known: np.ndarray, group: np.ndarray) -> np.ndarray | None:
    """The mean over its group of each series and date `[S, T]`, NaN where none is known; None where
    groups differ within.
    """
    groups, periods = group.max() + 1, values.shape[1]
    cells = group[:, None] * periods + np.arange(periods)
    count = np.bincount(cells[known], minlength=groups * periods)
    total = np.bincount(cells[known], values[known].astype(np.float64), groups * periods)
    mean = (total / np.where(count > 0, count, np.nan))[cells]
    company = known & (count[cells] > 1)
    freedom = company.sum() - (count > 1).sum()
    if freedom <= 0:
        return None
    shown = values[company].astype(np.float64)
    within = np.square(shown - mean[company]).sum() / freedom
    most = PLANNED * shown.var() if freedom >= FEWEST else 0.0
    return mean if within <= most else None


def _constant(values: np.ndarray, known: np.ndarray) -> bool:
    """Whether no series ever changes its value."""
    return bool(
        (np.where(known, values, -np.inf).max(1) <= np.where(known, values, np.inf).min(1)).all()
    )


def _forward(values: np.ndarray) -> np.ndarray:
    """`[S, T]` with each NaN replaced by the last number before it, if any."""
    last = np.maximum.accumulate(np.where(np.isnan(values), 0, np.arange(values.shape[1])), axis=1)
    return np.take_along_axis(values, last, axis=1)
