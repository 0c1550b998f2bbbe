"""Files of sales -> tables in the sales schema: `load` chooses the reader by what the file holds.

Only columns known before a period begins are handed on as covariates.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from jaxinv.data.files import check_file, inside, is_parquet, read_frame, read_text, sheets_of
from jaxinv.data.schema import Reading, validate
from jaxinv.data.sources.favorita import favorita_weekly_21_stores
from jaxinv.data.sources.m5 import m5
from jaxinv.data.sources.online_retail import RAW_INVOICES, online_retail
from jaxinv.data.sources.retail_store_inventory import refuse_forecast, retail_store_inventory
from jaxinv.data.sources.retailrocket import retailrocket_behaviour, retailrocket_partial
from jaxinv.data.text_table import header
from jaxinv.errors import UserError, unknown


def load(path: str | Path, reader: str | None = None, **options) -> pd.DataFrame:
    """Reads sales from a file, or from a directory that holds the known file of one source.

    Args:
      path: the file or directory.
      reader: one of `READERS`; None chooses by the file's columns, and falls back on `table`.
      **options: passed to the reader, such as `country` for `online_retail` or `columns` for
        `table`.

    Returns:
      The table in the sales schema (`jaxinv.data.schema`), sorted by series and date. What was left
      out or found odd is in `attrs["notes"]`, one line each.

    Raises:
      UserError: for a file that cannot be read, an unknown reader or option, or with all problems
        of the table.
    """
    reader, path = source_of(path, reader)
    read = READERS[reader].read
    known = [name for name in inspect.signature(read).parameters if name != "path"]
    for name in options:
        if name not in known:
            if not known:
                raise UserError(
                    f"unknown option {name!r}; the reader {reader!r} of {path} takes none"
                )
            raise unknown(f"option of the reader {reader!r}", name, known)
    sales = read(path, **options)
    if not len(sales):
        raise UserError(f"{path}: no sales in it; give a file with a row for each date and SKU")
    return sales


def source_of(path: str | Path, reader: str | None = None) -> tuple[str, Path]:
    """The reader of a file, and the file itself where a directory of one source is given.

    Raises:
      UserError: no such file or reader, or a directory without the known file of one source.
    """
    if reader is not None and reader not in READERS:
        raise unknown("reader", reader, READERS)
    path = Path(path).expanduser()
    if path.is_dir():
        return _known_file(path, reader)
    return reader or recognise(path), path


def table(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    known_ahead: Sequence[str] = (),
    dates: str = "",
    decimal: str = "",
    returns: str = "refuse",
    lines: str = "",
    sheet: str = "",
) -> pd.DataFrame:
    """Any CSV (plain or gzip), Excel or parquet file in the sales schema, as shops export it.

    Args:
      path: the file.
      columns: schema name -> name in the file, such as `{"sales": "Units Sold"}`.
      known_ahead: covariates that are known before their period begins, although they move with its
        sales.
      dates, decimal, returns, lines, sheet: as `jaxinv.data.schema.Reading` says.
    """
    path = Path(path)
    frame = read_frame(path, sheet)
    if any(names <= set(frame.columns) for names in READERS["retail_store_inventory"].columns):
        refuse_forecast(path, [*(columns or {}).values(), *known_ahead])
    reading = Reading(dates, decimal, returns, lines, sheet=sheet)
    return validate(frame, str(path), columns, known_ahead, reading)


@dataclass(frozen=True)
class Reader:
    """How a source is read and recognised."""

    read: Callable[..., pd.DataFrame]
    files: tuple[str, ...]  # its files in a directory, the preferred one first
    columns: tuple[frozenset[str], ...]  # header columns that give it away, one set a kind of file


def _signature(*columns: str) -> frozenset[str]:
    return frozenset(columns)


READERS: dict[str, Reader] = {
    "retail_store_inventory": Reader(
        retail_store_inventory,
        ("retail_store_inventory.csv",),
        (_signature("Date", "Store ID", "Product ID", "Units Sold", "Demand Forecast"),),
    ),
    "online_retail": Reader(
        online_retail,
        ("online_retail_daily.csv", "online_retail.csv"),
        (
            _signature("date", "stock_code", "country", "units", "cancelled_units"),
            _signature(*RAW_INVOICES),
        ),
    ),
    "m5": Reader(m5, ("m5_items_2_stores_daily.csv",), (_signature("item_id", "store_id", "d_1"),)),
    "favorita_weekly_21_stores": Reader(favorita_weekly_21_stores, ("weekly_sales.npz",), ()),
    "retailrocket_partial": Reader(
        retailrocket_partial,
        ("daily_totals.csv", "interactions_2174_users.csv"),
        (
            _signature("date", "view", "addtocart", "transaction"),
            _signature("timestamp", "user", "item", "event"),
        ),
    ),
    "retailrocket_behaviour": Reader(
        retailrocket_behaviour,
        ("events.csv",),
        (_signature("timestamp", "visitorid", "event", "itemid"),),
    ),
    "table": Reader(table, (), ()),
}


def _known_file(directory: Path, reader: str | None) -> tuple[str, Path]:
    """The reader and the file of the one known source that the directory holds."""
    wanted = [reader] if reader else list(READERS)
    found = {
        name: file
        for name in wanted
        if (file := next(filter(None, (inside(directory, f) for f in READERS[name].files)), None))
    }
    if len(found) == 1:
        return next(iter(found.items()))
    if found:
        raise UserError(
            f"{directory}: a directory with several known files; give one: "
            f"{', '.join(map(str, found.values()))}"
        )
    others = sorted(
        file.name
        for file in directory.iterdir()
        if file.name.endswith((".csv", ".csv.gz", ".parquet", ".npz"))
    )
    hint = f", for instance {directory / others[0]}" if others else ""
    raise UserError(f"{directory}: a directory; give the file of sales in it{hint}")


def recognise(path: Path) -> str:
    """The reader for a file, by its kind and its header."""
    check_file(path)
    if path.suffix == ".npz":
        return "favorita_weekly_21_stores"
    if is_parquet(path) or sheets_of(path):
        return "table"
    columns = set(header(read_text(path), path))
    for name, reader in READERS.items():
        if any(signature <= columns for signature in reader.columns):
            return name
    return "table"
