"""Grids of numbers as sources give them, one row a series and one column a date, made long."""

from pathlib import Path

import numpy as np
import pandas as pd

from jaxinv.data.cells import LARGEST
from jaxinv.errors import UserError


def long_table(
    series: pd.DataFrame, dates: np.ndarray, sales: np.ndarray, **covariates: np.ndarray
) -> pd.DataFrame:
    """Grids [S, T] -> a table in the schema, sorted by series and date."""
    order = np.lexsort([series["location"], series["sku"]])
    rows = pd.DataFrame(
        {
            "date": np.tile(dates.astype("datetime64[s]"), len(order)),
            "sku": series["sku"].to_numpy()[order].repeat(len(dates)),
            "sales": np.ravel(sales[order]).astype(float),
        }
    )
    for name in series.columns.drop("sku"):
        rows[name] = series[name].to_numpy()[order].repeat(len(dates))
    for name, grid in covariates.items():
        rows[name] = np.ravel(grid[order]).astype(float)
    return rows


def wide_numbers(cells: pd.DataFrame, path: Path) -> np.ndarray:
    """Text cells -> float64 [S, T], from 0 to `LARGEST`."""
    try:
        numbers = cells.to_numpy(dtype=object).astype(float)
    except ValueError:
        numbers = cells.apply(pd.to_numeric, errors="coerce").to_numpy(float)
    bad = np.argwhere(~((numbers >= 0) & (numbers <= LARGEST)))
    if len(bad):
        places = ", ".join(
            f"{cells.iat[r, c]!r} in line {cells.index[r]}, column {cells.columns[c]!r}"
            for r, c in bad[:5]
        )
        raise UserError(
            f"{path}: sales that are not numbers of at least 0 in {len(bad)} cells: {places}; write"
            " units sold"
        )
    return numbers
