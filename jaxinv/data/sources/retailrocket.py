"""Retail Rocket: purchases by day."""

from pathlib import Path

import numpy as np
import pandas as pd

from jaxinv.data.files import pick, read_csv
from jaxinv.data.schema import validate
from jaxinv.errors import UserError

COUNTED = ("view", "addtocart", "transaction")
"""Kinds of events."""


def retailrocket_partial(path: str | Path) -> pd.DataFrame:
    """Retail Rocket purchases a day (UTC), from the totals of the whole site or from single
    interactions.

    `daily_totals.csv` (chosen in a directory) gives one series of 139 days, some 160 purchases a
    day: the only usable one. `interactions_2174_users.csv.gz` gives purchases by item, 9,551 over
    6,860 items with at most 54 each: series to test intermittent demand with, and only of the
    buyers in the sample. Views and carts of a day are not known before it and are dropped.
    """
    path = Path(path)
    frame = read_csv(path)
    if "transaction" in frame.columns:
        names = {"date": "date", "sku": "sku", "sales": "transaction"}
        frame = pick(frame, ["date", "transaction"], path)
        return validate(frame.assign(sku="all"), str(path), names)
    frame = pick(frame, ["timestamp", "item", "event"], path)
    seconds = pd.to_numeric(frame["timestamp"], errors="coerce")
    bad = frame.index[~seconds.between(0, 4e9)]
    if len(bad):
        raise UserError(
            f"{path}: column 'timestamp' is not a time in seconds since 1970 in line {bad[0]}"
            f" ({len(bad)} lines)"
        )
    dates = pd.to_datetime(seconds // 86400, unit="D").astype("datetime64[s]")
    bought = pd.DataFrame({"date": dates, "sku": frame["item"]})[frame["event"] == "transaction"]
    return (
        bought.groupby(["sku", "date"])
        .size()
        .astype(float)
        .rename("sales")
        .reset_index()[["date", "sku", "sales"]]
    )


def retailrocket_behaviour(path: str | Path) -> pd.DataFrame:
    """Purchases of the whole site a day (UTC), with the views and carts of the day before, which
    are known when a day begins: `views_before`, `carts_before`, as log(1 + count).

    From the original `events.csv` (times in milliseconds), or from `daily_totals.csv`. The first
    day has no day before and is left out. The published file is not in the order of its times; sums
    by day do not depend on it, and a note says how many rows stand before an earlier one.

    Raises:
      UserError: columns are missing, times are no milliseconds since 1970, or an event is unknown.
    """
    path = Path(path)
    frame, notes = read_csv(path), []
    if {"date", *COUNTED} <= set(frame.columns):
        days = pick(frame, ["date", *COUNTED], path)
        counts = days[list(COUNTED)].apply(pd.to_numeric, errors="coerce")
        counts.index = pd.to_datetime(days["date"], errors="coerce")
        bad = days.index[counts.isna().any(axis=1).to_numpy() | counts.index.isna()]
        if len(bad):
            raise UserError(f"{path}: no date and three counts in line {bad[0]} ({len(bad)} lines)")
    else:
        frame = pick(frame, ["timestamp", "visitorid", "event", "itemid"], path)
        time = pd.to_numeric(frame["timestamp"], errors="coerce")
        bad = frame.index[~time.between(1e11, 4e12)]
        if len(bad):
            raise UserError(
                f"{path}: column 'timestamp' is not a time in milliseconds since 1970 in line"
                f" {bad[0]} ({len(bad)} lines; first: {frame.loc[bad[0], 'timestamp']!r})"
            )
        bad = frame.index[~frame["event"].isin(COUNTED)]
        if len(bad):
            raise UserError(
                f"{path}: column 'event' is {frame.loc[bad[0], 'event']!r} in line {bad[0]}"
                f" ({len(bad)} lines); known: {', '.join(COUNTED)}"
            )
        late = int((time.diff() < 0).sum())
        if late:
            notes.append(
                f"{late} of {len(frame)} events stand before an earlier one: sorted by time"
            )
        day = pd.to_datetime(time // 86_400_000, unit="D")
        counts = pd.crosstab(day, frame["event"]).reindex(columns=list(COUNTED), fill_value=0)
    counts = counts.sort_index().asfreq("D", fill_value=0)
    before = np.log1p(counts[["view", "addtocart"]].shift(1)).iloc[1:]
    table = pd.DataFrame(
        {
            "date": before.index.strftime("%Y-%m-%d"),
            "sku": "all",
            "sales": counts["transaction"].iloc[1:].astype(str).to_numpy(),
            "views_before": before["view"].map("{:.6f}".format).to_numpy(),
            "carts_before": before["addtocart"].map("{:.6f}".format).to_numpy(),
        }
    )
    names = {name: name for name in table.columns}
    ahead = ["views_before", "carts_before"]
    sales = validate(table, str(path), names, known_ahead=ahead)
    sales.attrs["notes"] = [*sales.attrs.get("notes", ()), *notes]
    return sales
