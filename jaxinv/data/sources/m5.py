"""M5 (Walmart): wide files of daily units with a calendar beside them."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from jaxinv.data.files import file_beside, pick, read_csv
from jaxinv.data.schema import validate
from jaxinv.data.wide import long_table, wide_numbers
from jaxinv.errors import UserError


def m5(path: str | Path) -> pd.DataFrame:
    """M5 (Walmart), daily units of items in stores, from a wide file with columns `d_1`, `d_2` ….

    The calendar (`calendar.csv`, plain or gzip) must lie beside it. Covariates: `snap`, 1 on days
    when the state of the store pays food stamps, and `event`, 1 on days with a named event.
    Category is the department.
    """
    path = Path(path)
    wide = read_csv(path)
    days = [column for column in wide.columns if re.fullmatch(r"d_\d+", column)]
    wide = pick(wide, ["item_id", "dept_id", "store_id", "state_id", *(days or ["d_1"])], path)
    calendar_path = file_beside(path, "calendar.csv")
    if calendar_path is None:
        raise UserError(
            f"{path.parent / 'calendar.csv'}: not there; the days d_1, d_2 … of {path.name} need"
            " their calendar beside it"
        )
    if not len(wide):
        raise UserError(f"{path}: no rows under the header; fetch it again")
    states = wide["state_id"].unique()
    calendar = read_csv(calendar_path)
    calendar = pick(
        calendar, ["date", "event_name_1", *(f"snap_{state}" for state in states)], calendar_path
    )
    index = np.array([int(day[2:]) for day in days]) - 1
    if index.max() >= len(calendar):
        raise UserError(
            f"{path}: column 'd_{index.max() + 1}' lies beyond the {len(calendar)} days of"
            f" {calendar_path}"
        )
    calendar = calendar.assign(event=calendar["event_name_1"] != "").drop(columns="event_name_1")
    # Checked as a table of one series, so that problems name the calendar's own lines.
    snaps = {f"snap_{state}": f"snap_{state}" for state in states}
    calendar = validate(calendar.assign(sku="calendar", sales=0.0), str(calendar_path), snaps).iloc[
        index
    ]
    sales = wide_numbers(wide[days], path)
    series = wide[["item_id", "store_id", "dept_id"]].set_axis(
        ["sku", "location", "category"], axis=1
    )
    snap = np.stack([calendar[f"snap_{state}"] for state in wide["state_id"]])
    return long_table(
        series,
        calendar["date"].to_numpy(),
        sales,
        snap=snap,
        event=np.broadcast_to(calendar["event"], sales.shape),
    )
