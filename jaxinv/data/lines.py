"""Rows that are no row a date and series: lines of orders, returns, totals and tables with a column
a date.
"""

import re

import numpy as np
import pandas as pd

from jaxinv.data.dates import is_date
from jaxinv.data.headers import OPTIONAL, REQUIRED
from jaxinv.data.numbers import looks_numeric
from jaxinv.data.problems import Problems, as_text, is_empty, listed
from jaxinv.data.words import ORDER_NUMBERS, TOTALS, certain, snake_case

RETURNS = ("refuse", "net", "separate")
"""What can be typed as `returns=`: negative sales are an error, are taken off what was sold before,
or are left out.
"""

_BEGINS = re.compile(
    r"\W*(?:total|sum|som|sub|sous|zwischen|gesamt|grand|overall|ensemble|all)", re.IGNORECASE
)
HEADER = "header"
"""What is typed as `columns.sku=` where the names of columns are products."""
_PARTS = {
    "year": ("year", "jahr", "annee", "ano", "anno"),
    "month": ("month", "monat", "mois", "mes", "mese"),
    "day": ("day", "tag", "jour", "dia", "giorno"),
}
_FEWEST_DATES = 3  # columns named by dates that make a table a wide one
_PRICES_DIFFER = (
    0.05  # share of days with prices of several lines from which on the price is that of an order
)


def unfold(frame: pd.DataFrame, columns: dict[str, str], problems: Problems) -> pd.DataFrame:
    """A table with a column a date, or a column a product, as one with a row a date, SKU and what
    else its rows say; another one as it is, with a date where year and month stand apart.

    Cells that are empty have no row: nothing was sold then.
    """
    present = list(map(str, frame.columns))
    named = {snake_case(column) for column in present} | set(columns)
    dates = [column for column in present if is_date(column)]
    if len(dates) >= _FEWEST_DATES and not {"date", "sales"} & named:
        fixed = [column for column in present if column not in dates]
        totals = [column for column in fixed if _is_total(column)]
        if totals:
            problems.notes.append(
                f"left out, since it adds up the others: {listed(list(map(repr, totals)))}"
            )
        return _melt(frame, [c for c in fixed if c not in totals], dates, "date", "dates", problems)
    if columns.get("sku") == HEADER and HEADER not in present:
        taken = {column for name, column in columns.items() if name != "sku"}
        day = columns.get("date") or next(
            (c for c in present if c == "date"), next(iter(certain("date", present)), None)
        )
        products = [
            c for c in present if c != day and c not in taken and looks_numeric(as_text(frame[c]))
        ]
        del columns["sku"]
        return _melt(
            frame, [c for c in present if c not in products], products, "sku", "products", problems
        )
    parts = {
        part: next((c for c in present if snake_case(c) in words), None)
        for part, words in _PARTS.items()
    }
    if (
        parts["year"]
        and parts["month"]
        and not (
            {"date"} & named or any(c for c in certain("date", present) if c not in parts.values())
        )
    ):
        year, month, day = (
            as_text(frame[parts[part]]) if parts[part] else "1" for part in ("year", "month", "day")
        )
        frame = frame.drop(columns=[c for c in parts.values() if c])
        frame["date"] = year + "-" + month + "-" + day
        problems.notes.append(
            f"dates are put together from {' and '.join(repr(c) for c in parts.values() if c)}"
        )
    return frame


def _melt(
    frame: pd.DataFrame,
    fixed: list[str],
    melted: list[str],
    name: str,
    what: str,
    problems: Problems,
) -> pd.DataFrame:
    """A row for each cell of the melted columns that is not empty."""
    texts = as_text(pd.Series(frame[melted].astype(object).to_numpy().ravel()))
    filled = ~is_empty(texts).to_numpy()
    row, column = np.divmod(np.flatnonzero(filled), max(len(melted), 1))
    long = frame[fixed].iloc[row].copy()
    long[name] = np.array(melted, object)[column]
    long["sales"] = texts.to_numpy(object)[filled]
    empty = int((~filled).sum())
    problems.notes.append(
        f"a column for each of {len(melted)} {what}, {melted[0] if melted else ''} to"
        f" {melted[-1] if melted else ''}: read as one row a {name}"
        + (f"; {empty:,} empty cells are read as nothing sold" if empty else "")
    )
    return long


def without_totals(frame: pd.DataFrame, found: dict[str, str], problems: Problems) -> pd.DataFrame:
    """Without rows that say they are totals and have no date or no SKU."""
    if "date" not in found or "sku" not in found:
        return frame
    total = pd.Series(False, index=frame.index)
    words = [
        column
        for column in frame.columns
        if frame[column].dtype == object or str(frame[column].dtype).startswith("str")
    ]
    for column in words:
        distinct = pd.Series(frame[column].dropna().unique(), dtype=object)
        said = {
            text
            for text in distinct
            if isinstance(text, str) and _BEGINS.match(text) and _is_total(text)
        }
        if said and column not in (found["sku"], found["date"]):
            total |= frame[column].isin(said) & (
                is_empty(as_text(frame[found["sku"]])) | is_empty(as_text(frame[found["date"]]))
            )
        elif said:
            other = found["date"] if column == found["sku"] else column
            total |= frame[column].isin(said) & ~as_text(frame[other]).map(is_date)
    if total.any():
        problems.notes.append(
            f"left out, since it adds up other rows: {problems.places(frame.index[total])}"
        )
    return frame[~total] if total.any() else frame


def _is_total(text: str) -> bool:
    name = snake_case(text)
    return name in TOTALS or name.split("_")[0] in (
        "total",
        "summe",
        "gesamt",
        "gesamtsumme",
        "totale",
        "subtotal",
    )


def is_total_name(name: str) -> bool:
    """Whether a name of a SKU or location says that it adds up others."""
    return snake_case(name) in TOTALS


def order_column(frame: pd.DataFrame, found: dict[str, str]) -> str | None:
    """The column that numbers orders, if there is one beside those of the schema."""
    schema = {found[name] for name in REQUIRED + OPTIONAL if name in found}
    return next(
        (c for c in map(str, frame.columns) if c not in schema and snake_case(c) in ORDER_NUMBERS),
        None,
    )


def take_returns(
    table: pd.DataFrame, keys: list[str], how: str, problems: Problems
) -> pd.DataFrame:
    """Rows of negative sales taken off what the series sold on that date, then before it (`net`),
    or left out (`separate`).

    With `net` a later call of `carry_back` does the rest, once rows are summed.
    """
    back = table["sales"] < 0
    if not back.any() or how == "refuse":
        return table
    units = f"{-table.loc[back, 'sales'].sum():,.10g} units in {problems.places(table.index[back])}"
    if how == "separate":
        problems.notes.append(f"returns left out of sales: {units}")
        return table[~back]
    problems.notes.append(f"returns taken off what was sold: {units}")
    return table


def carry_back(table: pd.DataFrame, keys: list[str], problems: Problems) -> pd.DataFrame:
    """Sales below 0, summed by date, taken off the latest sales before them; what is left of them
    is dropped, with a note.
    """
    if not (table["sales"] < 0).any():
        return table
    table = table.sort_values([*keys, "date"], kind="stable")
    sales = table["sales"].to_numpy(float).copy()
    series = table.groupby(keys, sort=False).ngroup().to_numpy()
    left = 0.0
    for row in np.flatnonzero(sales < 0):
        owed, sales[row], at = -sales[row], 0.0, row - 1
        while owed > 0 and at >= 0 and series[at] == series[row]:
            taken = min(owed, max(sales[at], 0.0))
            sales[at] -= taken
            owed -= taken
            at -= 1
        left += owed
    if left:
        problems.notes.append(
            f"returns of {left:,.10g} units have no sales before them and are left out"
        )
    return table.assign(sales=sales)


def sum_lines(table: pd.DataFrame, keys: list[str], what: str, problems: Problems) -> pd.DataFrame:
    """One row a date and series: sales are summed; of what else lines say only what the schema
    knows is kept.

    Args:
      what: why rows are lines, such as "times of day".
    """
    others = [name for name in table.columns if name not in (*REQUIRED, *OPTIONAL)]
    table = table.drop(columns=others)
    by = [*keys, "date"]
    groups = table.groupby(by, sort=False, observed=True)
    if others:
        problems.notes.append(
            f"left out, since it belongs to single orders: {listed(list(map(repr, others)))}"
        )
    number = groups.ngroup().to_numpy()
    first = np.unique(number, return_index=True)[1]
    summed = table.iloc[np.sort(first)].copy()
    order = number[np.sort(first)]
    summed["sales"] = np.bincount(number, table["sales"].to_numpy(float))[order]
    if "promotion" in table:
        summed["promotion"] = groups["promotion"].max().to_numpy()[order]
    if "price" in table:
        spread = groups["price"].max().to_numpy() - groups["price"].min().to_numpy()
        if (spread > 1e-9).mean() > _PRICES_DIFFER:
            summed = summed.drop(columns="price")
            problems.notes.append(
                "price left out: orders of one date pay different prices, so that their mean would"
                " tell what was ordered"
            )
        else:
            summed["price"] = groups["price"].median().to_numpy()[order]
    problems.notes.append(
        f"{len(table):,} lines of orders ({what}) summed to {len(summed):,} rows, one a date and"
        f" {' and '.join(keys)}"
    )
    return summed
