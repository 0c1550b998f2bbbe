"""The sales schema: one long table, one row a series and date.

| column | kind | meaning |
|---|---|---|
| `date` | required, `YYYY-MM-DD` | the day, or the first day of the week |
| `sku` | required, text | the product |
| `sales` | required, at least 0 | units sold |
| `location` | text | store or warehouse; a series is a SKU, or a SKU at a location |
| `stock` | at least 0, may be empty | units on hand as the period begins |
| `price` | at least 0, may be empty | price known before the period begins |
| `promotion` | number, may be empty | 0 or 1, or a share |
| `lead_time` | at least 0, may be empty | periods of the table from order to arrival |
| `category` | text | one a series |
| any other | number, may be empty | a covariate known before the period begins |

Where stock is 0, or sales are all of it, demand is an estimate (`jaxinv.data.censoring`). Lead
times of a daily table are days.

Columns may have other names (`columns.sales=Menge`), and a file may be written as shops export it:
any separator and encoding, decimal commas, dates as dd.mm.yyyy, dd/mm/yyyy or mm/dd/yyyy, lines of
orders with times of day, a column for each date. How it was read is said; what can be read in two
ways is refused, with what to type (`Reading`).

Whatever is known only afterwards (revenue, number of orders, a forecast made with the result in
hand) does not belong in the table: a policy would see the future. What moves with the sales of its
own rows is left out unless it is said to be known ahead.
"""

import difflib
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from jaxinv.data.cells import dates_of, numbers_of
from jaxinv.data.dates import FORMS, Dates
from jaxinv.data.headers import OPTIONAL, REQUIRED, find_columns
from jaxinv.data.leaks import moves_with_sales
from jaxinv.data.lines import (
    RETURNS,
    carry_back,
    is_total_name,
    order_column,
    sum_lines,
    take_returns,
    unfold,
    without_totals,
)
from jaxinv.data.numbers import Decimals, find_decimals, looks_numeric, without_currency
from jaxinv.data.problems import Problems, as_text, listed
from jaxinv.errors import unknown

_TEXT = ("sku", "location", "category")


@dataclass(frozen=True)
class Reading:
    """What a user says of how a file is to be read; what is empty is found from its cells, or
    refused where they do not tell.

    Attributes:
      dates: "ymd", "dmy" or "mdy".
      decimal: "." or ",".
      returns: what negative sales are: "refuse", "net" (taken off what was sold before) or
        "separate" (left out).
      lines: "sum" where several rows of a date and series are lines of orders.
      by_words: columns may be found by known words in five languages, with a note, as plans do.
      sheet: of an Excel workbook.

    Raises:
      UserError: for another word.
    """

    dates: str = ""
    decimal: str = ""
    returns: str = "refuse"
    lines: str = ""
    by_words: bool = False
    sheet: str = ""

    def __post_init__(self):
        for name, known in (
            ("dates", ("", *FORMS)),
            ("decimal", ("", ".", ",")),
            ("returns", RETURNS),
            ("lines", ("", "sum")),
        ):
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), [word for word in known if word])


def validate(
    frame: pd.DataFrame,
    source: str,
    columns: Mapping[str, str] | None = None,
    known_ahead: Sequence[str] = (),
    reading: Reading = Reading(),
) -> pd.DataFrame:
    """The table in the sales schema, or one error with everything that is wrong with it.

    Columns outside the schema are left out, with a note, where they hold text, have no name or move
    with the sales of their own rows as only what is known afterwards does (`jaxinv.data.leaks`).
    Lines of orders are summed, rows of totals left out, each with a note. Nothing else is dropped,
    filled or summed.

    Args:
      frame: the table as read. If its index is named, that name and the labels say in messages
        where a row stands (readers give the line of the file); otherwise they read "row", counted
        from 0.
      source: what messages call the table, usually the path of its file.
      columns: schema name -> name in `frame`, for columns that are called something else there. A
        covariate named here has to be a number.
      known_ahead: covariates that are known before their period begins although they move with its
        sales.
      reading: how cells are read.

    Returns:
      A new table sorted by series and date, its index that of `frame`: `date` datetime64[s], `sku`,
      `location` and `category` text, every other column float64 (NaN where a value that may be
      empty is empty). `attrs` has `source`, `notes`, one line each, `read`, what was understood in
      five lines, `stated`, the notes that these lines hold, and `columns`, names of the schema ->
      names of the file where they differ.

    Raises:
      UserError: lists all problems, each with column, rows and fix.
    """
    table, problems = check(frame, source, columns, known_ahead, reading)
    problems.raise_any()
    return table


def check(
    frame: pd.DataFrame,
    source: str,
    columns: Mapping[str, str] | None = None,
    known_ahead: Sequence[str] = (),
    reading: Reading = Reading(),
) -> tuple[pd.DataFrame, Problems]:
    """As `validate`, with the problems in place of an error; the table is of use only where there
    are none.
    """
    columns = {name: str(column) for name, column in (columns or {}).items()}
    problems = Problems(source, frame.index.name or "row")
    problems.notes += frame.attrs.get("odd", [])
    semicolons, form, rows = (
        frame.attrs.get("separator") == ";",
        frame.attrs.get("format", "a table"),
        len(frame),
    )
    given = set(map(str, frame.columns))
    frame = unfold(frame, columns, problems)
    found = find_columns(frame, columns, problems, reading.by_words)
    if not len(frame):
        problems.add("no rows under the header; add one row for each date and SKU")
    frame = without_totals(frame, found, problems)

    decimals = _decimals_of(frame, found, reading)
    out, dates = {}, None
    for name, column in found.items():
        values = frame[column]
        if name == "date":
            out[name], dates = dates_of(values, column, problems, reading.dates)
        elif name in _TEXT:
            out[name] = as_text(values)
            if name != "category":
                # Only truly empty cells: "NA" may well be a code, or North America.
                problems.rows(
                    column,
                    out[name] == "",
                    out[name],
                    "is empty",
                    f"fill in the {name} of each row",
                )
        else:
            needed = name in columns or name in known_ahead
            kept = numbers_of(
                values, name, column, problems, decimals, semicolons, needed, reading.returns
            )
            if kept is not None:
                out[name] = kept
    table = pd.DataFrame(out, index=frame.index)
    keys = series_keys(table)
    whole, why = {"date", "sku", "sales"} <= set(table), ""
    if "category" in table and "sku" in table:
        _check_category(table, keys, found["category"], problems)
    if whole:
        table = take_returns(table, keys, reading.returns, problems)
        numbered = order_column(frame, found)
        why = (
            "times of day"
            if dates is not None and dates.timed.any()
            else f"column {numbered!r}"
            if numbered
            else ""
        )
        if (
            (why or reading.lines)
            and not problems.found
            and table.duplicated([*keys, "date"]).any()
        ):
            table = sum_lines(table, keys, why or "lines=sum", problems)
    if "date" in table and "sku" in table:
        if not why:
            written = (
                as_text(frame[found["date"]])
                if len(table) == len(frame)
                else table["date"].astype(str)
            )
            _check_duplicates(table, keys, written, problems)
        table = _check_totals(table, keys, problems)
    if whole and reading.returns == "net" and not problems.found:
        table = carry_back(table, keys, problems)
    for name in set(known_ahead) - set(found):
        near = difflib.get_close_matches(name, found, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the columns are {listed(list(found))}"
        problems.add(f"column {name!r}, given as known_ahead, is missing; {hint}")
    if whole and not len(table) and not problems.found:
        problems.add(
            "no row of sales is left beside totals and returns; add one row for each date and SKU"
        )
    if problems.found:
        return table, problems
    table = table.sort_values([*keys, "date"], kind="stable")
    table, leaks = _without_leaks(table, keys, known_ahead)
    notes = [
        *leaks,
        *_names_alike(table, keys),
        *(
            [f"left out, since text is no covariate: {listed(problems.left_out)}"]
            if problems.left_out
            else []
        ),
        *(
            [f"left out, since the header gives no name: {listed(problems.unnamed)}"]
            if problems.unnamed
            else []
        ),
        *problems.notes,
    ]
    stated = [f"read as {form}"]
    if dates is not None and dates.shown != FORMS["ymd"] and not reading.dates:
        stated.append(f"dates are read as {dates.shown}")
    if decimals.mark == "," and not reading.decimal:
        stated.append(f"numbers are read with decimal commas, such as {decimals.example!r}")
    table.attrs = {"source": source, "notes": notes + stated[1:], "stated": stated}
    table.attrs["columns"] = {
        name: column
        for name, column in found.items()
        if name in table and column != name and column in given
    }
    table.attrs["read"] = _understood(
        table, source, form, rows, problems.row, found, dates, decimals
    )
    return table, problems


def series_keys(table: pd.DataFrame) -> list[str]:
    """The columns that name a series: `sku`, and `location` where the table has one."""
    return [name for name in ("sku", "location") if name in table]


def _understood(
    table, source, form, rows, row, found, dates: Dates, decimals: Decimals
) -> list[str]:
    """What was understood of a file, in five lines."""
    keys = series_keys(table)
    named = [
        f"{name} = {found[name]!r}" if found[name] != name else name
        for name in found
        if name in table
    ]
    span = f"{table['date'].min():%Y-%m-%d} to {table['date'].max():%Y-%m-%d}"
    marks = (
        f"decimal commas, such as {decimals.example!r}"
        if decimals.mark == ","
        else "decimal points"
    )
    names = ", ".join(f"{table[key].nunique():,} {key}s" for key in keys).replace("skus", "SKUs")
    return [
        f"{source}: {form}, {rows:,} {row}s",
        f"columns: {listed(named)}",
        f"dates: {dates.shown}{' with times of day' if dates.timed.any() else ''}, {span}",
        f"numbers: {marks}; {table['sales'].sum():,.10g} units sold",
        f"{len(table):,} rows, one a date and {' and '.join(keys)}: {names}",
    ]


def _decimals_of(frame: pd.DataFrame, found: dict[str, str], reading: Reading) -> Decimals:
    """The decimal mark of the file, from all columns that hold numbers."""
    cells: set[str] = set()
    for name, column in found.items():
        if name in _TEXT or name == "date" or pd.api.types.is_numeric_dtype(frame[column]):
            continue
        text = as_text(pd.Series(frame[column].unique()))
        text = without_currency(text)[0] if name == "price" else text
        if name in REQUIRED + OPTIONAL or looks_numeric(text):
            cells |= set(text)
    return find_decimals(sorted(cells), reading.decimal)


def _check_duplicates(
    table: pd.DataFrame, keys: list[str], text: pd.Series, problems: Problems
) -> None:
    """Dates that cannot be read are told apart by their text."""
    unread = table["date"].isna()
    known = table[keys].assign(
        date=text.where(unread, table["date"].astype(str)) if unread.any() else table["date"]
    )
    known = known[text != ""]
    again = known[known.duplicated(keep=False)]
    if not len(again):
        return
    first = again.iloc[0]
    same = again[(again == first).all(axis=1)]
    place = " at ".join(repr(first[key]) for key in keys)
    problems.add(
        f"the same date and series stand in more than one row: {str(first['date'])[:10]}, {place}"
        f" in {problems.places(same.index)}; {len(again)} such rows in all; add them up (lines=sum"
        " does, where rows are lines of orders) or delete the surplus"
    )


def _check_totals(table: pd.DataFrame, keys: list[str], problems: Problems) -> pd.DataFrame:
    """Refuses a SKU, or a location, whose sales are on nearly every date the sum of all others;
    leaves it out, with a note, where its name says that too."""
    if "sales" not in table:
        return table
    for key in keys:
        group = table.groupby(["date", *(other for other in keys if other != key)], sort=False)[
            "sales"
        ]
        count, most, total = (
            group.transform("count"),
            group.transform("max"),
            group.transform("sum"),
        )
        several = (count > 2) & (total > 0)
        is_sum = several & (table["sales"] == most) & np.isclose(2 * most, total, rtol=1e-6)
        names = table.loc[is_sum, key]
        if len(names) < 5:
            continue
        name = names.value_counts().index[0]
        share = (names == name).sum() / max((several & (table[key] == name)).sum(), 1)
        if share >= 0.9 and (names == name).sum() >= 5:
            rows = table.index[is_sum & (table[key] == name)]
            if table.loc[rows, "sales"].nunique() < 5:
                continue  # steady sales add up by chance
            if is_total_name(name):
                problems.notes.append(f"{key} {name!r} is left out, since it adds up the others")
                table = table[table[key] != name]
                continue
            problems.add(
                f"{key} {name!r} is the sum of all others on the same date in"
                f" {problems.places(rows)}; delete its rows, or all is counted twice"
            )
    return table


def _check_category(table: pd.DataFrame, keys: list[str], column: str, problems: Problems) -> None:
    changed = table["category"] != table.groupby(keys, sort=False)["category"].transform("first")
    problems.rows(
        column,
        changed,
        table["category"],
        "changes within a series",
        "give each series one category, or drop the column",
    )


def _without_leaks(
    table: pd.DataFrame, keys: list[str], known_ahead: Sequence[str]
) -> tuple[pd.DataFrame, list[str]]:
    """The table without covariates that are known only afterwards, and what to say of them."""
    leaks = {}
    for name in table.columns.difference([*REQUIRED, *OPTIONAL, *known_ahead], sort=False):
        found = moves_with_sales(table, keys, name)
        if found is not None:
            leaks[name] = found
    notes = [
        f"{name!r} is left out: it moves with the sales of its own row (correlation {value:.2f}),"
        " as what is known only afterwards does; if it is known before the period begins, give"
        f" {shlex.quote(f'known_ahead=[{name}]')}"
        for name, value in leaks.items()
    ]
    return table.drop(columns=list(leaks)), notes


def _names_alike(table: pd.DataFrame, keys: list[str]) -> list[str]:
    """Says which names differ in nothing but case, spaces or the form of their letters, and yet are
    read as different.
    """
    notes = []
    for key in keys:
        names = pd.Series(table[key].unique(), dtype=object)
        alike = names.map(
            lambda name: " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        )
        again = names[alike.duplicated(keep=False)]
        if len(again):
            pair = names[alike == alike[again.index[0]]].tolist()
            notes.append(
                f"{' and '.join(map(repr, pair))} are read as different names of {key}"
                f" ({len(again)} such names in all); write them alike if they are one"
            )
    return notes
