"""One validation for all tables of a plan: a frame of texts becomes columns of one kind each, with
every problem noted.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from jaxinv.data.cells import plain_money, refuse_either, refuse_unsure
from jaxinv.data.dates import FORMS, read_dates
from jaxinv.data.files import read_frame
from jaxinv.data.numbers import Decimals, find_decimals, looks_numeric, read_numbers
from jaxinv.data.plan.tables import TABLES, ColumnSpec, TableSpec
from jaxinv.data.problems import Problems, as_text, is_empty, listed
from jaxinv.data.words import WEEKDAYS, certain, snake_case
from jaxinv.errors import UserError

_ANY_DAY = (
    "any",
    "daily",
    "every_day",
    "all",
    "taglich",
    "jeden_tag",
    "tous_les_jours",
    "diario",
    "ogni_giorno",
)


def empty_table(name: str) -> pd.DataFrame:
    """The table without rows, with all of its columns."""
    frame = {
        column: pd.Series([], dtype=_dtype(spec)) for column, spec in TABLES[name].columns.items()
    }
    return pd.DataFrame(frame)


def read_plan_table(
    name: str,
    path: Path,
    shown: str,
    columns: Mapping[str, str],
    dates: str = "",
    decimal: str = "",
    sheet: str = "",
) -> tuple[pd.DataFrame, Problems]:
    """A table of a plan from its file, and what is wrong with it.

    Args:
      name: of the table, in `TABLES`.
      shown: what messages call the file.
      columns: the table's own names -> names in the file.
      dates, decimal, sheet: as `jaxinv.data.schema.Reading` says.

    Returns:
      The table with all columns of its schema, those that the file lacks empty; its index says
      where rows stand. It is of use only where there are no problems. `attrs["read"]` is one line
      on how the file was read.
    """
    try:
        frame = read_frame(path, sheet)
    except UserError as error:
        problems = Problems(shown, "row", f"table {name}")
        problems.add(str(error).removeprefix(f"{path}: "))
        return empty_table(name), problems
    problems = Problems(shown, frame.index.name or "row", f"table {name}")
    spec = TABLES[name]
    found = _find(frame, name, spec, dict(columns), problems)
    text = {column: as_text(_days_as_text(frame[found[column]])) for column in found}
    for column in found:
        if "money" in _spec(spec, column).meaning or column == "price":
            text[column] = plain_money(text[column], found[column], problems)
    numbers = [
        column for column in found if _spec(spec, column).kind in ("number", "share", "steps")
    ]
    cells = {
        part
        for column in numbers
        for whole in set(text[column])
        for part in re.split(r"[|/;]", whole)
        if part.strip("% ")
    }
    decimals = find_decimals(sorted(cell.strip("% ") for cell in cells), decimal)
    out = {}
    day_texts = pd.concat(
        [text[c] for c in found if _spec(spec, c).kind == "date"] or [pd.Series([], dtype=object)]
    )
    codes, distinct = pd.factorize(day_texts)
    days = read_dates(
        [str(value) for value in distinct], np.bincount(codes, minlength=len(distinct)), dates
    )
    read = dict(zip(distinct, days.days))
    for column in [*spec.columns, *(other for other in found if other not in spec.columns)]:
        kind = _spec(spec, column)
        if column not in found:
            out[column] = pd.Series([_nothing(kind)] * len(frame), frame.index, _dtype(kind))
            continue
        label, cell = found[column], text[column]
        void = is_empty(cell) if kind.kind != "text" else cell == ""
        if kind.needed:
            problems.rows(label, void, cell, "is empty", f"fill in: {kind.meaning}")
        if kind.kind == "text":
            out[column] = cell
        elif kind.kind == "date":
            out[column] = pd.Series([read[value] for value in cell], frame.index, "datetime64[s]")
            refuse_either(days, cell, label, problems)
            problems.rows(
                label,
                out[column].isna() & ~void,
                cell,
                "is no date that can be read (1900 to 2199)",
                f"write {days.shown}",
            )
        elif kind.kind == "weekdays":
            out[column] = _weekdays(cell, label, problems)
        elif kind.kind == "steps":
            out[column] = _steps(cell, label, decimals, problems)
        else:
            out[column] = _numbers(cell, void, label, kind, decimals, problems)
    table = pd.DataFrame(out, index=frame.index)
    _check_keys(table, spec, problems)
    table.attrs["columns"] = {column: label for column, label in found.items() if label != column}
    table.attrs["read"] = _understood(
        name, shown, frame, problems.row, days, decimals, len(day_texts) > 0
    )
    return table, problems


def _understood(
    name: str, shown: str, frame: pd.DataFrame, row: str, days, decimals: Decimals, dated: bool
) -> str:
    parts = [f"{shown}: {name}, {len(frame):,} {row}s, {frame.attrs.get('format', 'a table')}"]
    if dated and days.shown != FORMS["ymd"]:
        parts.append(f"dates {days.shown}")
    if decimals.mark == ",":
        parts.append(f"decimal commas, such as {decimals.example!r}")
    return "; ".join(parts)


def _find(
    frame: pd.DataFrame, name: str, spec: TableSpec, columns: dict[str, str], problems: Problems
) -> dict[str, str]:
    """Schema name -> column of the file; unknown columns are told with the nearest name."""
    present = [str(column) for column in frame.columns]
    found: dict[str, str] = {}
    for column, given in columns.items():
        if column not in spec.columns and not spec.others:
            problems.add(
                f"columns.{name}.{column}: no column of {name}; {_near(column, list(spec.columns))}"
            )
        elif given not in present:
            problems.add(
                f"column {given!r}, given for {column!r}, is missing; {_near(given, present)}"
            )
        else:
            found[column] = given
    words = {column: kind.words for column, kind in spec.columns.items()}
    free = [column for column in present if column not in found.values()]
    for column in spec.columns:  # its own name first, so that no synonym takes another's column
        fits = [] if column in found else [c for c in free if snake_case(c) == column]
        if fits:
            found[column] = fits[0]
            free.remove(fits[0])
    for column in spec.columns:
        fits = [] if column in found else certain(column, free, words)
        if len(fits) > 1:
            options = " or ".join(f"columns.{name}.{column}={fit!r}" for fit in fits)
            problems.add(
                f"columns {' and '.join(map(repr, fits))} may both be {column!r}; give {options}"
            )
        if fits:
            found[column] = fits[0]
            free.remove(fits[0])
            problems.notes.append(
                f"column {fits[0]!r} is read as {column!r}; if it is not, give"
                f" columns.{name}.{column}=ANOTHER"
            )
    for column, kind in spec.columns.items():
        if kind.needed and column not in found and column not in columns:
            problems.add(
                f"column {column!r} ({kind.meaning}) is missing; the columns are {listed(present)};"
                f" add or rename one, or give columns.{name}.{column}=NAME"
            )
    missing = [column for column in spec.columns if column not in found]
    for column in free:
        near = difflib.get_close_matches(snake_case(column), missing, n=1, cutoff=0.75)
        if near:
            problems.add(
                f"column {column!r} is not known; did you mean {near[0]!r}? Rename it, or give"
                f" columns.{name}.{near[0]}={column!r}; if it is something else, give it another"
                " name"
            )
        elif spec.others and looks_numeric(as_text(frame[column])):
            found[snake_case(column)] = column
        elif (as_text(frame[column]) != "").any():
            nearest = difflib.get_close_matches(snake_case(column), spec.columns, n=1, cutoff=0.0)[
                0
            ]
            problems.notes.append(
                f"column {column!r} is not known and left out (the nearest is {nearest!r})"
            )
    return found


def _near(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"the columns are {listed(known, 20)}"


def _spec(spec: TableSpec, column: str) -> ColumnSpec:
    return spec.columns.get(column, ColumnSpec("a covariate", least=-1e15))


def _dtype(kind: ColumnSpec) -> str:
    return {"text": "object", "date": "datetime64[s]", "weekdays": "object", "steps": "object"}.get(
        kind.kind, "float64"
    )


def _nothing(kind: ColumnSpec):
    return {"text": "", "date": pd.NaT, "weekdays": (), "steps": ()}.get(kind.kind, np.nan)


def _days_as_text(values: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(values):
        return values.dt.strftime("%Y-%m-%d").where(values.notna(), "")
    return values


def _numbers(
    cell: pd.Series,
    void: pd.Series,
    label: str,
    kind: ColumnSpec,
    decimals: Decimals,
    problems: Problems,
) -> pd.Series:
    flags = cell.str.lower().map(
        {"true": "1", "false": "0", "yes": "1", "no": "0", "ja": "1", "nein": "0"}
    )
    percent = (
        cell.str.endswith("%")
        if kind.kind == "share" or "share" in kind.meaning
        else pd.Series(False, cell.index)
    )
    bare = (
        (flags.fillna(cell) if kind.least <= 0 and not kind.open_ends else cell)
        .str.rstrip("% ")
        .where(percent, flags.fillna(cell))
    )
    numbers, unsure = read_numbers(bare.where(~void, ""), decimals)
    numbers = numbers.where(~percent, numbers / 100)
    refuse_unsure(unsure, cell, label, problems)
    problems.rows(
        label,
        numbers.isna() & ~void & ~unsure,
        cell,
        "is not a number",
        f"write plain numbers such as 12{decimals.mark}5, with no unit or currency",
    )
    if kind.open_ends:
        low = numbers <= kind.least
    else:
        low = numbers < kind.least
    high = numbers >= kind.most if kind.open_ends and kind.most < 1e15 else numbers > kind.most
    if kind.kind == "share":
        problems.rows(
            label,
            low | high,
            cell,
            "is no share between 0 and 1",
            f"write 0{decimals.mark}97 or 97%",
        )
    else:
        what = (
            "is negative"
            if kind.least == 0 and not kind.open_ends
            else f"is not {'above' if kind.open_ends else 'at least'} {kind.least:g}"
        )
        problems.rows(
            label,
            low,
            cell,
            what,
            (
                f"write {'a number above' if kind.open_ends else 'at least'} {kind.least:g}, or"
                f" leave it empty{f' ({kind.otherwise})' if kind.otherwise else ''}"
                if not kind.needed
                else f"write {'a number above' if kind.open_ends else 'at least'} {kind.least:g}"
            ),
        )
        problems.rows(label, high, cell, "is infinite or too large", "write the true number")
    return numbers


def _weekdays(cell: pd.Series, label: str, problems: Problems) -> pd.Series:
    read: dict[str, tuple[int, ...] | None] = {}
    for text in cell.unique():
        words = [
            word for word in re.split(r"[\s,;/|+&]+|\band\b|\bund\b|\bet\b|\by\b", text) if word
        ]
        names = [snake_case(word) for word in words]
        if not names or snake_case(text) in _ANY_DAY:
            read[text] = ()
        else:
            days = [WEEKDAYS.get(name) for name in names]
            read[text] = None if None in days else tuple(sorted(set(days)))
    bad = cell.map(lambda text: read[text] is None)
    problems.rows(
        label,
        bad,
        cell,
        "is no list of weekdays",
        "write names such as Mon, Thu; leave it empty for any day",
    )
    return pd.Series([read[text] or () for text in cell], cell.index, object)


def _steps(cell: pd.Series, label: str, decimals: Decimals, problems: Problems) -> pd.Series:
    found, bad = [], []
    for text in cell:
        parts = [part.strip() for part in re.split(r"[|/;]", text) if part.strip()]
        numbers, unsure = read_numbers(pd.Series(parts, dtype=object), decimals)
        bad.append(bool(numbers.isna().any() or unsure.any() or (numbers < 0).any()))
        found.append(tuple(numbers.fillna(0).tolist()))
    problems.rows(
        label,
        pd.Series(bad, cell.index, bool),
        cell,
        "is no row of numbers",
        "write numbers of at least 0 with bars between, such as 0|100|500 or"
        f" 0{decimals.mark}9|0{decimals.mark}6|0{decimals.mark}4",
    )
    return pd.Series(found, cell.index, object)


def _check_keys(table: pd.DataFrame, spec: TableSpec, problems: Problems) -> None:
    key = [column for column in spec.key if column in table]
    if not key or not len(table):
        return
    again = table[key][table.duplicated(key, keep=False) & (table[key[0]].astype(str) != "")]
    if len(again):
        first = again.iloc[0]
        same = again[(again == first).all(axis=1)]
        called = ", ".join(
            f"{column} {str(first[column])[:10] if column == 'date' else first[column]!r}"
            for column in key
            if first[column] != ""
        )
        problems.add(
            f"{called} is in {problems.places(same.index)} ({len(again)} such rows in all); keep"
            " one row, or add them up"
        )
