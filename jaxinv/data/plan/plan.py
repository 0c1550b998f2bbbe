"""A shop's own files as one plan: read, checked against each other, with all defaults in words
(`read_plan`).
"""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxinv.data.files import read_frame
from jaxinv.data.fingerprint import fingerprint
from jaxinv.data.plan.cells import empty_table, read_plan_table
from jaxinv.data.plan.cross import (
    check_currencies,
    check_items,
    check_min_max,
    check_orders,
    check_skus,
    settle_dates,
    settle_places,
    unguard,
)
from jaxinv.data.plan.defaults import fill_items, fill_lanes, fill_rest
from jaxinv.data.plan.find import Files, find_files, yaml_of
from jaxinv.data.plan.lanes import check_lanes
from jaxinv.data.plan.parts import PlanTables
from jaxinv.data.plan.receipts import LeadTimeLaw, lead_time_laws
from jaxinv.data.plan.settings import Given, Settings, read_given
from jaxinv.data.plan.tables import TABLES
from jaxinv.data.problems import Problems
from jaxinv.data.readers import READERS, recognise
from jaxinv.data.schema import Reading, check
from jaxinv.errors import UserError, unknown


@dataclass(frozen=True, eq=False)
class Plan:
    """What a shop knows of its sales, products, places and orders.

    Names are text (leading zeros kept), numbers float64 with NaN where nothing was given, dates
    datetime64[s] with NaT. Tables that are not there are empty frames with all columns. Columns are
    those of `jaxinv.data.plan.tables`, with their units.

    Attributes:
      sales: in the sales schema (`jaxinv.data.schema`), before `settings.as_of`.
      items: index sku.
      locations: index location; all of them, also those that only other tables name.
      lanes: one row a source and destination, or a source, destination and SKU (sku "" for all).
        Sources that are no location are suppliers. `order_days` are tuples of 0 (Monday) to 6, ()
        for any day; freight tiers are tuples.
      stock, open_orders, calendar, receipts: as given.
      settings: as given, with `as_of` and `currency` as they hold.
      notes: what was read, how, and what is odd, one line each.
      assumptions: every default that holds, in words, one line each.
      fingerprint: of all tables and settings together, 64 hexadecimal digits.
      read: what was understood of each file; five lines of sales, one of each other table.
      files: table -> path of its file.
      reading: how files are read, as a plan's YAML says it (`dates`, `decimal`, `lines`, …);
        `columns` also has those that were found, and `sheets` those of a workbook.
      given_keys: settings that were given, others hold by default.
    """

    sales: pd.DataFrame
    items: pd.DataFrame
    locations: pd.DataFrame
    lanes: pd.DataFrame
    stock: pd.DataFrame
    open_orders: pd.DataFrame
    calendar: pd.DataFrame
    receipts: pd.DataFrame
    settings: Settings
    notes: tuple[str, ...]
    assumptions: tuple[str, ...]
    fingerprint: str
    read: tuple[str, ...]
    files: Mapping[str, Path]
    reading: Mapping[str, Any]
    given_keys: tuple[str, ...]

    @property
    def skus(self) -> list[str]:
        """All SKUs of sales, items, stock and open orders, sorted."""
        named = {
            *self.sales["sku"].unique(),
            *self.items.index,
            *self.stock["sku"].unique(),
            *self.open_orders["sku"].unique(),
        }
        return sorted(named)

    @functools.cached_property
    def laws(self) -> Mapping[tuple[str, str], LeadTimeLaw]:
        """Laws of lead times by (source, destination), where receipts show them."""
        return lead_time_laws(self.receipts, np.datetime64(self.settings.as_of))

    @functools.cached_property
    def full_items(self) -> pd.DataFrame:
        """Items of all SKUs with defaults filled in; index sku. See
        `jaxinv.data.plan.defaults.fill_items`.
        """
        return fill_items(self.items, self.sales, self.skus, self.settings)[0]

    @functools.cached_property
    def full_lanes(self) -> pd.DataFrame:
        """Lanes with defaults filled in, lead times from receipts where the table has none."""
        return fill_lanes(self.lanes, self.laws, self.settings, True)[0]


def read_plan(path: str | Path, columns: Mapping[str, Any] = {}, **settings: Any) -> Plan:  # noqa: B006
    """Reads a plan: a YAML that names tables, a folder or Excel workbook that holds them, or one
    file of sales.

    Args:
      path: of the YAML, folder or file.
      columns: schema name -> name in the file: of sales `{"sku": "Lineitem sku"}`, of others
        `{"items.cost": "EK"}` or `{"items": {"cost": "EK"}}`.
      **settings: keys of the YAML that go before those of the file, such as `service=0.97` or
        `dates="dmy"`.

    Raises:
      UserError: with all problems of all files, one line each: file, row, column and fix.
    """
    path = Path(path).expanduser()
    given = read_given(yaml_of(path), columns, settings)
    files = find_files(path, given)
    general = [*given.problems, *files.problems]
    if "sales" not in files.paths:
        raise _error(path, general, [])
    parts = _read_parts(files, given)
    parts.general += general
    _cross(parts)
    lines = [
        (problems.source, text) for problems in parts.problems.values() for text in problems.found
    ]
    if parts.general or lines:
        raise _error(path, parts.general, lines)
    return _plan(parts, files, given)


def _error(path: Path, general: list[str], lines: list[tuple[str, str]]) -> UserError:
    count = len(general) + len(lines)
    return UserError(
        "\n  - ".join(
            [
                f"{path}: {count} problem{'s' * (count > 1)}",
                *general,
                *(f"{source}: {text}" for source, text in lines),
            ]
        )
    )


def _read_parts(files: Files, given: Given) -> PlanTables:
    frames, problems = {}, {}
    frames["sales"], problems["sales"] = _read_sales(files, given)
    for name in TABLES:
        shown = files.shown(name) if name in files.paths else name
        if name in files.paths:
            frames[name], problems[name] = read_plan_table(
                name, files.paths[name], shown, given.columns(name), given.of("dates", name),
                given.of("decimal", name),
                files.sheets.get(name, "") or given.of("sheets", name),
            )  # fmt: skip
        else:
            frames[name], problems[name] = (
                empty_table(name),
                Problems(shown, "row", f"table {name}"),
            )
    return PlanTables(frames, problems, set(files.paths), given.settings)


def _read_sales(files: Files, given: Given) -> tuple[pd.DataFrame, Problems]:
    """The sales, by the reader of a known source or as a table; problems in place of an error."""
    path, shown, columns = files.paths["sales"], files.shown("sales"), given.columns("sales")
    problems = Problems(shown, "row")
    try:
        reader = given.reading.get("reader", "")
        if reader and reader not in READERS:
            raise unknown("reader", reader, READERS)
        sheet = files.sheets.get("sales", "") or given.of("sheets", "sales")
        reader = reader or ("table" if columns or sheet else recognise(path))
        if reader != "table":
            table = READERS[reader].read(path)
            table.attrs["read"] = [f"{shown}: read by the reader {reader!r}, {len(table):,} rows"]
            return table, problems
        reading = Reading(
            given.of("dates", "sales"), given.of("decimal", "sales"), given.settings.returns,
            given.reading.get("lines", ""),
            by_words=True,
        )  # fmt: skip
        return check(
            read_frame(path, sheet), shown, columns, given.reading.get("known_ahead", ()), reading
        )
    except UserError as error:
        head, *each = str(error).removeprefix(f"{path}: ").split("\n  - ")
        for text in each or [head]:
            problems.add(text)
        return pd.DataFrame(), problems


def _cross(parts: PlanTables) -> None:
    """What tables say of each other, as far as they can be read."""
    if not {"date", "sku", "sales"} <= set(parts["sales"]) or not len(parts["sales"]):
        return
    if parts.sound("sales"):
        settle_dates(parts)
    unguard(parts)
    settle_places(parts)
    check_skus(parts)
    check_items(parts)
    check_lanes(parts)
    check_min_max(parts)
    check_orders(parts)
    check_currencies(parts)


def _plan(parts: PlanTables, files: Files, given: Given) -> Plan:
    sales = parts["sales"]
    notes = [
        *files.notes,
        *(
            f"{parts.problems[name].source}: {note}"
            for name in ("sales", *TABLES)
            for note in _notes(parts, name)
        ),
        *parts.notes,
    ]
    read = [
        *parts["sales"].attrs.get("read", ()),
        *(parts[name].attrs["read"] for name in TABLES if "read" in parts[name].attrs),
    ]
    named = {
        name: parts[name].attrs["columns"]
        for name in ("sales", *TABLES)
        if parts[name].attrs.get("columns")
    }
    items = parts["items"].set_index("sku")
    locations = parts["locations"].set_index("location")
    locations = locations.reindex(list(parts.places))
    locations["name"] = locations["name"].fillna("")
    frames = {
        "sales": sales,
        "items": items,
        "locations": locations,
        **{
            name: parts[name].reset_index(drop=True)
            for name in TABLES
            if name not in ("items", "locations")
        },
    }
    for frame in frames.values():
        frame.attrs = {}
    settings = parts.settings
    laws = lead_time_laws(frames["receipts"], np.datetime64(settings.as_of))
    sheets = {"sheets": dict(files.sheets)} if files.sheets else {}
    skus = sorted(
        {
            *sales["sku"].unique(),
            *items.index,
            *frames["stock"]["sku"],
            *frames["open_orders"]["sku"],
        }
    )
    assumptions = [
        *fill_rest(
            settings,
            parts.step,
            given.settings.as_of is not None,
            parts.given,
            parts.places,
            sales,
            _missing_stock(parts),
        ),
        *fill_lanes(frames["lanes"], laws, settings, "lanes" in parts.given)[1],
        *fill_items(items, sales, skus, settings)[1],
    ]
    whole = hashlib.sha256(repr(settings).encode())
    for name, frame in frames.items():
        keyed = frame.index.name in ("sku", "location")
        rows = _plain(frame.reset_index() if keyed else frame)
        whole.update(f"{name} {fingerprint(rows)}".encode())
    return Plan(
        **frames,
        settings=settings,
        notes=tuple(notes),
        assumptions=tuple(assumptions),
        fingerprint=whole.hexdigest(),
        read=tuple(read),
        files=dict(files.paths),
        reading={**given.reading, **({"columns": named} if named else {}), **sheets},
        given_keys=tuple(
            key for key, value in vars(given.settings).items() if value != getattr(Settings(), key)
        ),
    )


def _notes(parts: PlanTables, name: str) -> list[str]:
    """Notes of a table that the lines on how it was read do not say already."""
    own = parts[name].attrs.get("notes", []) if name == "sales" else []
    stated = parts[name].attrs.get("stated", [])
    return [
        note for note in dict.fromkeys([*own, *parts.problems[name].notes]) if note not in stated
    ]


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """With tuples as text, which can be hashed."""
    return frame.assign(
        **{
            name: frame[name].map(repr)
            for name in frame
            if len(frame) and isinstance(frame[name].iloc[0], tuple)
        }
    )


def _missing_stock(parts: PlanTables) -> int:
    """SKUs at locations where they sell, of which stock has no row."""
    sales, stock = parts["sales"], parts["stock"]
    place = sales["location"] if "location" in sales else pd.Series(parts.places[0], sales.index)
    sold = pd.MultiIndex.from_arrays([sales["sku"], place]).unique()
    return len(sold.difference(pd.MultiIndex.from_frame(stock[["sku", "location"]])))
