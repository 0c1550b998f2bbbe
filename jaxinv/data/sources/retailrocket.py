"""Retail Rocket: purchases by day."""

from pathlib import Path

import pandas as pd

from jaxinv.data.files import pick, read_csv
from jaxinv.data.schema import validate
from jaxinv.errors import UserError


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
