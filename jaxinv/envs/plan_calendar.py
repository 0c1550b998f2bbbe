"""What a plan's calendar tells of past periods and of those to come, as columns of its sales."""

from dataclasses import replace

import numpy as np
import pandas as pd

from jaxinv.data import Panel
from jaxinv.data.grid import Frequency
from jaxinv.data.plan import Plan

AHEAD = 60
"""Periods to come of which covariates are told."""

SHARES = ("promotion", "holiday")
"""Columns of the calendar that are 0 on days without a row, and in longer periods a share of the
days.
"""


def with_calendar_columns(plan: Plan, panel: Panel) -> Panel:
    """The panel `AHEAD` periods longer, without sales there, with what the calendar tells of past
    periods and of those to come.

    What the table of sales tells of the past stays. What nobody tells of the future is as on most
    days: no promotion, the last price, the mean of any other number.
    """
    later = Frequency.parse(panel.frequency).after(panel.dates[-1], np.arange(1, AHEAD + 1))
    dates = np.concatenate([panel.dates, later])
    covariates = {}
    columns = [name for name in plan.calendar if name not in ("date", "sku", "location")]
    for name in dict.fromkeys([*panel.covariates, *columns]):
        past = panel.covariates.get(name)
        told = (
            _told(plan.calendar, name, panel, dates)
            if name in columns
            else np.full((len(panel.series), len(dates)), np.nan)
        )
        if past is not None:
            told[:, : len(panel.dates)] = past
        if name == "price":
            last = np.nan_to_num(told[:, len(panel.dates) - 1 : len(panel.dates)])
            covariates[name] = np.where(np.isnan(told), last, told).astype(np.float32)
        else:
            usual = 0.0 if name in SHARES or past is None else past.mean(1, keepdims=True)
            covariates[name] = np.where(np.isnan(told), usual, told).astype(np.float32)
    nothing = np.full((len(panel.series), AHEAD), np.nan, np.float32)
    stock = None if panel.stock is None else np.concatenate([panel.stock, nothing], 1)
    quoted = {name: np.concatenate([values, nothing], 1) for name, values in panel.quoted.items()}
    sales = np.concatenate([panel.sales, nothing], 1)
    return replace(
        panel, sales=sales, dates=dates, covariates=covariates, stock=stock, quoted=quoted
    )


def _told(calendar: pd.DataFrame, name: str, panel: Panel, dates: np.ndarray) -> np.ndarray:
    """A column of the calendar `[S, T]`, its mean over the rows of a period, or over its days what
    is a share of them; NaN where it has no row there. Rows without an SKU or a location are for
    all."""
    ends = np.append(dates[1:], Frequency.parse(panel.frequency).after(dates[-1]))
    rows = calendar[calendar[name].notna()]
    day = rows["date"].to_numpy("datetime64[D]")
    period = np.searchsorted(dates, day, "right") - 1
    inside = (period >= 0) & (day < ends[-1])
    total = np.full((len(panel.series), len(dates)), np.nan)
    length = (ends - dates).astype("timedelta64[D]").astype(float)
    sku, location = (rows[key].to_numpy(str) for key in ("sku", "location"))
    own_sku = panel.series["sku"].to_numpy(str)
    own_place = (
        panel.series["location"].to_numpy(str)
        if "location" in panel.series
        else np.full(len(own_sku), "")
    )
    members: dict[str, np.ndarray] = {key: np.flatnonzero(own_sku == key) for key in np.unique(sku)}
    count = np.zeros_like(total)
    for row in np.flatnonzero(inside):
        chosen = members[sku[row]] if sku[row] else np.arange(len(own_sku))
        if location[row] and own_place[0]:
            chosen = chosen[own_place[chosen] == location[row]]
        total[chosen, period[row]] = np.nan_to_num(total[chosen, period[row]]) + rows[name].iat[row]
        count[chosen, period[row]] += 1
    return total / (length if name in SHARES else np.maximum(count, 1))
