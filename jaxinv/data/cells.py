"""Cells of one column of sales as dates or numbers, with every cell that is neither, or that can be
read in two ways, noted.
"""

import re

import numpy as np
import pandas as pd

from jaxinv.data.dates import FORMS, Dates, read_dates
from jaxinv.data.headers import OPTIONAL, REQUIRED
from jaxinv.data.numbers import Decimals, read_numbers, without_currency
from jaxinv.data.problems import Problems, as_text, is_empty

LARGEST = 1e15  # beyond it sums and squares of single-precision numbers lose their meaning
NOT_NEGATIVE = ("sales", "stock", "price", "lead_time")
_DOT_THOUSANDS = r"[1-9]\d{0,2}\.\d{3}"


def dates_of(
    values: pd.Series, column: str, problems: Problems, given: str
) -> tuple[pd.Series, Dates]:
    """Dates as datetime64[s], NaT where a problem was noted, and how their distinct texts were
    read.
    """
    if pd.api.types.is_datetime64_any_dtype(values):
        values = values.dt.strftime("%Y-%m-%d %H:%M:%S").where(values.notna(), "")
    text = as_text(values)
    # Each distinct text is parsed once; long tables repeat few dates.
    codes, distinct = pd.factorize(text)
    read = read_dates([str(value) for value in distinct], np.bincount(codes), given)
    empty = is_empty(text)
    dates = pd.Series(read.days[codes] if len(codes) else read.days, values.index, "datetime64[s]")

    def of(flags):
        return pd.Series(flags[codes] if len(codes) else flags, values.index, bool)

    stamps = bool((of(read.stamped) | empty).all())
    timed = of(read.timed) & ~stamps
    dates = dates.where(~timed)
    problems.rows(column, empty, text, "is empty", "fill in the date as YYYY-MM-DD")
    problems.rows(
        column,
        timed,
        text,
        "carries a time of day",
        "sum sales to one row a day and write YYYY-MM-DD",
    )
    refuse_either(read, text, column, problems)
    problems.rows(
        column,
        dates.isna() & ~empty & ~timed,
        text,
        "is no date that can be read (1900 to 2199)",
        "write YYYY-MM-DD"
        + (
            f", or {read.shown} as in the other rows"
            if read.shown != FORMS["ymd"]
            else _counted(text)
        ),
    )
    return dates, read


def _counted(text: pd.Series) -> str:
    """What to say of dates that are plain numbers."""
    first = text[~is_empty(text)].iloc[0] if (~is_empty(text)).any() else ""
    if not re.fullmatch(r"\d{1,5}", first):
        return ""
    days = 20_000 < int(first) < 60_000
    return (
        " (this is a spreadsheet's number of a day: format the column as a date)"
        if days
        else ", the first day of each period"
    )


def refuse_either(read: Dates, text: pd.Series, column: str, problems: Problems) -> None:
    """Refuses dates that can be days first as well as months first."""
    if not read.fits_both:
        return
    fix = "give dates=dmy (the day first) or dates=mdy (the month first)"
    if read.told:
        first = problems.places(text.index[text.isin(read.days_first)])
        months = text.isin(read.months_first)
        problems.rows(
            column,
            months,
            text,
            f"has the day first in {first} and the month first",
            "write all as YYYY-MM-DD",
        )
    else:
        problems.rows(
            column, text.isin(read.either), text, "can be read with the day or the month first", fix
        )


def numbers_of(
    values: pd.Series,
    name: str,
    column: str,
    problems: Problems,
    decimals: Decimals,
    semicolons: bool,
    needed: bool,
    returns: str,
) -> pd.Series | None:
    """Numbers as float64, or None for a text column that is no part of the schema and not
    `needed`.
    """
    unsure = pd.Series(False, index=values.index)
    if pd.api.types.is_numeric_dtype(values):
        numbers = pd.Series(values.to_numpy(dtype=float, na_value=np.nan), index=values.index)
        text, missing = values, values.isna()
        bad = pd.Series(False, index=values.index)
    else:
        text = as_text(values)
        missing = is_empty(text)
        flags = (
            text.str.lower().map({"true": "1", "false": "0"})
            if name not in NOT_NEGATIVE
            else text.where(missing)
        )
        cells = flags.fillna(text).where(~missing, "")
        if name == "price":
            cells = plain_money(cells, column, problems)
        numbers, unsure = read_numbers(cells, decimals)
        if semicolons and not decimals.certain:
            unsure |= cells.str.fullmatch(_DOT_THOUSANDS)
        bad = numbers.isna() & ~missing & ~unsure
    if not needed and name not in REQUIRED + OPTIONAL and bad.sum() > (~missing).sum() / 2:
        problems.left_out.append(column)
        return None
    infinite = numbers.abs() > LARGEST
    if (
        name == "sales"
        and decimals.mark == "."
        and not semicolons
        and not pd.api.types.is_numeric_dtype(values)
    ):
        dotted = text[text.str.contains(".", regex=False)]
        if len(dotted) and dotted.str.fullmatch(_DOT_THOUSANDS).all():
            problems.notes.append(
                f"{column!r} such as {dotted.iloc[0]!r} is read as {float(dotted.iloc[0]):g}, with"
                " decimals: if the dot parts thousands, give decimal=,"
            )
    refuse_unsure(unsure, text, column, problems)
    problems.rows(
        column,
        bad,
        text,
        "is not a number",
        f"write plain numbers such as 12{decimals.mark}5, with no unit"
        + (
            f" (the file has decimal commas, such as {decimals.example!r})"
            if decimals.mark == ","
            else ""
        ),
    )
    problems.rows(column, infinite, text, "is infinite or too large", "write the true number")
    if name == "sales":
        problems.rows(
            column, missing, text, "is empty", "write 0 where nothing was sold, or delete the row"
        )
    if name in NOT_NEGATIVE and not (name == "sales" and returns != "refuse"):
        fix = (
            "if these are returns, give returns=net (taken off what was sold) or returns=separate"
            " (left out); else write units sold, at least 0"
            if name == "sales"
            else "write at least 0"
        )
        problems.rows(column, (numbers < 0) & ~infinite, text, "is negative", fix)
    return numbers


def plain_money(cells: pd.Series, column: str, problems: Problems) -> pd.Series:
    """Cells without signs of a currency; two currencies in one column are refused."""
    bare, signs = without_currency(cells)
    if len(signs) > 1:
        few = min(signs, key=lambda sign: signs[sign].sum())
        problems.rows(
            column,
            signs[few],
            cells,
            f"has the currencies {' and '.join(signs)}: {few}",
            "write all in one",
        )
    elif signs:
        problems.currencies[column] = next(iter(signs))
        problems.notes.append(
            f"column {column!r} is money in {next(iter(signs))}, as its cells say"
        )
    return bare


def refuse_unsure(unsure: pd.Series, text: pd.Series, column: str, problems: Problems) -> None:
    """Refuses numbers that the file does not tell how to read."""
    if unsure.any():
        first = str(text[unsure].iloc[0])
        commas, points = first.replace(".", "").replace(",", "."), first.replace(",", "")
        problems.rows(
            column,
            unsure,
            text,
            "is not a number that can be read in one way",
            f"give decimal=, ({first} is {float(commas):g}) or decimal=. ({first} is"
            f" {float(points):g})",
        )
