"""The sales schema: one long table, one row a series and date.

| column | kind | meaning |
|---|---|---|
| `date` | required, `YYYY-MM-DD` | the day, or the first day of the week |
| `sku` | required, text | the product |
| `sales` | required, at least 0 | units sold |
| `location` | text | store or warehouse; a series is a SKU, or a SKU at a location |
| `stock` | at least 0, may be empty | units on hand at the start of the period; 0 there, or sales equal to it, make demand an estimate (`jaxinv.data.censoring`) |
| `price` | at least 0, may be empty | price known before the period begins |
| `promotion` | number, may be empty | 0 or 1, or a share |
| `lead_time` | at least 0, may be empty | periods of the table (days of a daily one) from order to arrival |
| `category` | text | one a series |
| any other | number, may be empty | a covariate known before the period begins |

Whatever is known only afterwards (revenue, number of orders, a forecast made with the result in hand) does
not belong in the table: a policy would see the future. What moves with the sales of its own rows is left out unless it is said
to be known ahead.
"""

import difflib
import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from jaxinv.data.leaks import moves_with_sales
from jaxinv.errors import UserError

REQUIRED = ("date", "sku", "sales")
OPTIONAL = ("location", "stock", "price", "promotion", "lead_time", "category")

_TEXT = ("sku", "location", "category")
_NOT_NEGATIVE = ("sales", "stock", "price", "lead_time")
LARGEST = 1e15  # beyond it sums and squares of single-precision numbers lose their meaning
_FEW = 5  # rows named in a message before "and so on"

# What other software calls the same thing; only ever used to word a hint.
_SYNONYMS = {
    "date": ("day", "week", "week_start", "ds", "timestamp", "invoice_date", "order_date"),
    "sku": ("item", "item_id", "product", "product_id", "stock_code", "article", "asin", "unique_id", "id"),
    "sales": ("units", "units_sold", "quantity", "qty", "demand", "sold", "volume", "y"),
    "location": ("store", "store_id", "shop", "warehouse", "site"),
}
_NO_NAME = r"column \d+|Unnamed: \d+"  # what takes the place of an empty cell of the header
_EMPTY = ("", "na", "n/a", "nan", "nat", "null", "none", "<na>")


def validate(
    frame: pd.DataFrame, source: str, columns: Mapping[str, str] | None = None, known_ahead: Sequence[str] = ()
) -> pd.DataFrame:
    """The table in the sales schema, or one error with everything that is wrong with it.

    Columns outside the schema are left out, with a note, where they hold text, have no name or move with the sales of their own
    rows as only what is known afterwards does (`jaxinv.data.leaks`). Nothing else is dropped, filled or summed.

    Args:
      frame: the table as read. If its index is named, that name and the labels say in messages where a row
        stands (readers give the line of the file); otherwise they read "row", counted from 0.
      source: what messages call the table, usually the path of its file.
      columns: schema name -> name in `frame`, for columns that are called something else there. A covariate named
        here has to be a number.
      known_ahead: covariates that are known before their period begins although they move with its sales.

    Returns:
      A new table sorted by series and date, its index that of `frame`: `date` datetime64[s], `sku`, `location` and
      `category` text, every other column float64 (NaN where a value that may be empty is empty). `attrs` has
      `source`, and `notes`, one line each.

    Raises:
      UserError: lists all problems, each with column, rows and fix.
    """
    columns = {name: str(column) for name, column in (columns or {}).items()}
    problems = _Problems(source, frame.index.name or "row")
    found = _find_columns(frame, columns, problems)
    if not len(frame):
        problems.add("no rows under the header; add one row for each date and SKU")

    out = {}
    for name, column in found.items():
        values = frame[column]
        if name == "date":
            out[name] = _dates(values, column, problems)
        elif name in _TEXT:
            out[name] = _text(values)
            if name != "category":
                # Only truly empty cells: "NA" may well be a code, or North America.
                problems.rows(
                    column, out[name] == "", out[name], "is empty", f"fill in the {name} of each row"
                )
        else:
            kept = _numbers(values, name, column, problems, needed=name in columns or name in known_ahead)
            if kept is not None:
                out[name] = kept
    table = pd.DataFrame(out, index=frame.index)
    keys = series_keys(table)
    if "date" in table and "sku" in table:
        _check_duplicates(table, keys, _text(frame[found["date"]]), problems)
        _check_totals(table, keys, problems)
    if "category" in table and "sku" in table:
        _check_category(table, keys, found["category"], problems)
    for name in set(known_ahead) - set(found):
        near = difflib.get_close_matches(name, found, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the columns are {_listed(list(found))}"
        problems.add(f"column {name!r}, given as known_ahead, is missing; {hint}")
    problems.raise_any()
    table = table.sort_values([*keys, "date"], kind="stable")
    table, notes = _without_leaks(table, keys, known_ahead)
    notes += [
        *_names_alike(table, keys),
        *([f"left out, since text is no covariate: {_listed(problems.left_out)}"] if problems.left_out else []),
        *([f"left out, since the header gives no name: {_listed(problems.unnamed)}"] if problems.unnamed else []),
        *problems.notes,
    ]
    table.attrs = {"source": source, "notes": notes}
    return table


def series_keys(table: pd.DataFrame) -> list[str]:
    """The columns that name a series: `sku`, and `location` where the table has one."""
    return [name for name in ("sku", "location") if name in table]


def nearest(name: str, columns: list[str]) -> str | None:
    """The column most likely meant by the schema name `name`, to word a hint; None where none looks like it."""
    plain = {column: _plain(column) for column in columns}
    for wanted in (name, *_SYNONYMS.get(name, ())):
        for column, text in plain.items():
            if text == wanted:
                return column
    for column, text in plain.items():
        if name in text.split("_"):
            return column
    close = difflib.get_close_matches(name, plain.values(), n=1, cutoff=0.7)
    return next((column for column, text in plain.items() if text in close), None)


def _find_columns(frame: pd.DataFrame, columns: dict[str, str], problems: "_Problems") -> dict[str, str]:
    """Schema or covariate name -> column of the frame, the schema's columns first."""
    present = [str(column) for column in frame.columns]
    found = {name: column for name, column in columns.items() if column in set(present)}
    for name in columns.keys() - found.keys():
        near = difflib.get_close_matches(columns[name], present, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the columns are {_listed(present)}"
        problems.add(f"column {columns[name]!r}, given for {name!r}, is missing; {hint}")
    for column in present:
        if column in columns.values():
            continue
        if re.fullmatch(_NO_NAME, column):
            if (_text(frame[column]) != "").any():
                problems.unnamed.append(column)
        elif column in columns:
            problems.add(
                f"column {column!r} is there besides {columns[column]!r}, which was given for it; "
                f"rename or delete it, or give its right name too, such as columns.other={shlex.quote(column)}"
            )
        else:
            found[column] = column

    for name in REQUIRED + OPTIONAL:
        if name in found or name in columns:
            continue
        free = {column: other for other, column in found.items() if other not in REQUIRED + OPTIONAL}
        near = nearest(name, list(free))
        rename = f"rename it to {name!r}, or give {shlex.quote(f'columns.{name}={near}')}"
        if name in REQUIRED:
            hint = (
                f"{near!r} looks like it: {rename}"
                if near
                else f"the columns are {_listed(present)}; add or rename one"
            )
            problems.add(f"column {name!r} is missing; {hint}")
        elif near and (
            name == "location" or difflib.SequenceMatcher(None, _plain(near), name).ratio() > 0.85
        ):
            # `Stock` taken for a covariate, or stores for one series, is a guess that nobody would notice.
            problems.add(
                f"column {near!r} looks like {name!r}: {rename}; if it is something else, give it another "
                "name"
            )
        else:
            continue
        if near:
            # The error stands; the cells are checked for what they look like, to tell everything at once.
            del found[free[near]]
            found[name] = near
    order = [name for name in REQUIRED + OPTIONAL if name in found]
    return {name: found[name] for name in order + [name for name in found if name not in order]}


def _dates(values: pd.Series, column: str, problems: "_Problems") -> pd.Series:
    """Dates as datetime64[s], NaT where a problem was noted."""
    if pd.api.types.is_datetime64_any_dtype(values):
        values = values.dt.strftime("%Y-%m-%d %H:%M:%S").where(values.notna(), "")
    text = _text(values)
    # Each distinct text is parsed once; long tables repeat few dates.
    codes, distinct = pd.factorize(text)
    distinct = pd.Series(distinct, dtype=object).astype(str)
    midnight = distinct.str.fullmatch(r"\d{4}-\d{2}-\d{2}([T ]00:00(:00(\.0+)?)?)?")
    timed = distinct.str.fullmatch(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}.*") & ~midnight
    parsed = pd.to_datetime(distinct.str[:10].where(midnight), format="%Y-%m-%d", errors="coerce")
    # A mistyped century would make a grid of millions of periods.
    parsed = parsed.where((parsed.dt.year >= 1900) & (parsed.dt.year < 2200)).astype("datetime64[s]")
    dates = pd.Series(parsed.to_numpy()[codes], index=values.index)
    empty, timed = _is_empty(text), pd.Series(timed.to_numpy(bool)[codes], index=values.index)
    problems.rows(column, empty, text, "is empty", "fill in the date as YYYY-MM-DD")
    problems.rows(
        column, timed, text, "carries a time of day", "sum sales to one row a day and write YYYY-MM-DD"
    )
    problems.rows(
        column,
        dates.isna() & ~empty & ~timed,
        text,
        "is no date that can be read (1900 to 2199)",
        "write YYYY-MM-DD",
    )
    return dates


def _numbers(
    values: pd.Series, name: str, column: str, problems: "_Problems", needed: bool
) -> pd.Series | None:
    """Numbers as float64, or None for a text column that is no part of the schema and not `needed`."""
    if pd.api.types.is_numeric_dtype(values):
        numbers = pd.Series(values.to_numpy(dtype=float, na_value=np.nan), index=values.index)
        text, missing = values, values.isna()
        bad = pd.Series(False, index=values.index)
    else:
        text = _text(values)
        missing = _is_empty(text)
        flags = (
            text.str.lower().map({"true": "1", "false": "0"})
            if name not in _NOT_NEGATIVE
            else text.where(missing)
        )
        numbers = pd.to_numeric(flags.fillna(text).where(~missing), errors="coerce").astype(float)
        bad = numbers.isna() & ~missing
    if not needed and name not in REQUIRED + OPTIONAL and bad.sum() > (~missing).sum() / 2:
        problems.left_out.append(column)
        return None
    infinite = numbers.abs() > LARGEST
    if name == "sales" and not pd.api.types.is_numeric_dtype(values):
        dotted = text[text.str.contains(".", regex=False)]
        if len(dotted) and dotted.str.fullmatch(r"[1-9]\d{0,2}\.\d{3}").all():
            problems.notes.append(
                f"{column!r} such as {dotted.iloc[0]!r} is read as {float(dotted.iloc[0]):g}, with decimals: if the dot parts "
                "thousands, write plain numbers"
            )
    problems.rows(
        column,
        bad,
        text,
        "is not a number",
        "write plain numbers such as 12.5, with no thousands separator or unit",
    )
    problems.rows(column, infinite, text, "is infinite or too large", "write the true number")
    if name == "sales":
        problems.rows(column, missing, text, "is empty", "write 0 where nothing was sold, or delete the row")
    if name in _NOT_NEGATIVE:
        fix = (
            "book returns apart from sales and write units sold, at least 0"
            if name == "sales"
            else "write at least 0"
        )
        problems.rows(column, (numbers < 0) & ~infinite, text, "is negative", fix)
    return numbers


def _check_duplicates(table: pd.DataFrame, keys: list[str], text: pd.Series, problems: "_Problems") -> None:
    """Dates that cannot be read are told apart by their text."""
    unread = table["date"].isna()
    known = table[keys].assign(date=text.where(unread, table["date"].astype(str)) if unread.any() else table["date"])
    known = known[text != ""]
    again = known[known.duplicated(keep=False)]
    if not len(again):
        return
    first = again.iloc[0]
    same = again[(again == first).all(axis=1)]
    place = " at ".join(repr(first[key]) for key in keys)
    problems.add(
        f"the same date and series stand in more than one row: {str(first['date'])[:10]}, {place} in "
        f"{problems.places(same.index)}; {len(again)} such rows in all; add them up or delete the surplus"
    )


def _check_totals(table: pd.DataFrame, keys: list[str], problems: "_Problems") -> None:
    """Refuses a SKU, or a location, whose sales are on nearly every date the sum of all others."""
    if "sales" not in table:
        return
    for key in keys:
        group = table.groupby(["date", *(other for other in keys if other != key)], sort=False)["sales"]
        count, most, total = group.transform("count"), group.transform("max"), group.transform("sum")
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
            problems.add(
                f"{key} {name!r} is the sum of all others on the same date in {problems.places(rows)}; delete its rows, or all "
                "is counted twice"
            )


def _check_category(table: pd.DataFrame, keys: list[str], column: str, problems: "_Problems") -> None:
    changed = table["category"] != table.groupby(keys, sort=False)["category"].transform("first")
    problems.rows(
        column,
        changed,
        table["category"],
        "changes within a series",
        "give each series one category, or drop the column",
    )


def _without_leaks(table: pd.DataFrame, keys: list[str], known_ahead: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The table without covariates that are known only afterwards, and what to say of them."""
    leaks = {}
    for name in table.columns.difference([*REQUIRED, *OPTIONAL, *known_ahead], sort=False):
        found = moves_with_sales(table, keys, name)
        if found is not None:
            leaks[name] = found
    notes = [
        f"{name!r} is left out: it moves with the sales of its own row (correlation {value:.2f}), as what is known only "
        f"afterwards does; if it is known before the period begins, give {shlex.quote(f'known_ahead=[{name}]')}"
        for name, value in leaks.items()
    ]
    return table.drop(columns=list(leaks)), notes


def _names_alike(table: pd.DataFrame, keys: list[str]) -> list[str]:
    """Says which names differ in nothing but case, spaces or the form of their letters, and yet are read as different."""
    notes = []
    for key in keys:
        names = pd.Series(table[key].unique(), dtype=object)
        alike = names.map(lambda name: " ".join(unicodedata.normalize("NFKC", name).casefold().split()))
        again = names[alike.duplicated(keep=False)]
        if len(again):
            pair = names[alike == alike[again.index[0]]].tolist()
            notes.append(
                f"{' and '.join(map(repr, pair))} are read as different names of {key} ({len(again)} such names in all); write "
                "them alike if they are one"
            )
    return notes


class _Problems:
    """Collects what is wrong with one table, to be told in one error."""

    def __init__(self, source: str, row: str):
        self.source, self.row = source, row
        self.found: list[str] = []
        self.left_out: list[str] = []
        self.unnamed: list[str] = []
        self.notes: list[str] = []

    def add(self, text: str) -> None:
        self.found.append(text)

    def rows(self, column: str, wrong: pd.Series, values: pd.Series, what: str, fix: str) -> None:
        """Notes the rows where `wrong` holds, if any."""
        if wrong.any():
            shown = "" if what == "is empty" else f" (first: {str(values[wrong].iloc[0])[:40]!r})"
            self.add(f"column {column!r} {what} in {self.places(wrong.index[wrong])}{shown}; {fix}")

    def places(self, labels: pd.Index) -> str:
        if len(labels) == 1:
            return f"{self.row} {labels[0]}"
        shown = ", ".join(str(label) for label in labels[:_FEW])
        return f"{self.row}s {shown}" + (f" … ({len(labels)} {self.row}s)" if len(labels) > _FEW else "")

    def raise_any(self) -> None:
        if self.found:
            head = f"{self.source}: {len(self.found)} problem{'s' * (len(self.found) > 1)} in the sales table"
            raise UserError("\n  - ".join([head, *self.found]))


def _text(values: pd.Series) -> pd.Series:
    return values.astype(object).where(values.notna(), "").astype(str).str.strip()


def _is_empty(text: pd.Series) -> pd.Series:
    return text.str.lower().isin(_EMPTY)


def _plain(column: str) -> str:
    """`Units Sold`, `unitsSold` and `UNITS-SOLD` as `units_sold`."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(column))
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


def _listed(columns: list[str], most: int = 12) -> str:
    return ", ".join(columns[:most]) + (f" and {len(columns) - most} more" if len(columns) > most else "")
