"""Files of sales -> tables in the sales schema: one reader a source.

`load` chooses the reader by what the file holds; each reader says what it keeps, drops and repairs. Only
columns known before a period begins are handed on as covariates.
"""

import csv
import difflib
import gzip
import inspect
import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jaxinv.data.schema import validate
from jaxinv.errors import UserError, unknown


def load(path: str | Path, reader: str | None = None, **options) -> pd.DataFrame:
    """Reads sales from a file, or from a directory that holds the known file of one source.

    Args:
      path: the file or directory.
      reader: one of `READERS`; None chooses by the file's columns, and falls back on `table`.
      **options: passed to the reader, such as `country` for `online_retail` or `columns` for `table`.

    Returns:
      The table in the sales schema (`jaxinv.data.schema`), sorted by series and date.

    Raises:
      UserError: for a file that cannot be read, an unknown reader or option, or with all problems of the
        table.
    """
    if reader is not None and reader not in READERS:
        raise unknown("reader", reader, READERS)
    path = Path(path).expanduser()
    if path.is_dir():
        reader, path = _known_file(path, reader)
    elif reader is None:
        reader = _recognise(path)
    read = READERS[reader].read
    known = [name for name in inspect.signature(read).parameters if name != "path"]
    for name in options:
        if name not in known:
            if not known:
                raise UserError(f"unknown option {name!r}; the reader {reader!r} of {path} takes none")
            raise unknown(f"option of the reader {reader!r}", name, known)
    return read(path, **options)


def table(path: str | Path, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Any CSV (plain or gzip, UTF-8, comma separated) or parquet file in the sales schema.

    Args:
      path: the file.
      columns: schema name -> name in the file, such as `{"sales": "Units Sold"}`.
    """
    path = Path(path)
    return validate(_read_parquet(path) if _is_parquet(path) else _read_csv(path), str(path), columns)


def retail_store_inventory(path: str | Path) -> pd.DataFrame:
    """Kaggle "Retail Store Inventory": 5 stores x 20 products, daily; synthetic noise by construction.

    Dropped: `Demand Forecast`, which is the realised sales plus noise and so leaks them; `Units Ordered` (an
    action); category, region, weather and season, which change at random from row to row.
    """
    names = {
        "date": "Date", "sku": "Product ID", "sales": "Units Sold",
        "location": "Store ID", "stock": "Inventory Level", "price": "Price", "promotion": "Holiday/Promotion",
        "discount": "Discount", "competitor_price": "Competitor Pricing",
    }  # fmt: skip
    path = Path(path)
    return validate(_columns(_read_csv(path), names.values(), path), str(path), names)


def online_retail(path: str | Path, country: str | None = "United Kingdom") -> pd.DataFrame:
    """UCI "Online Retail", units a day and stock code, from the daily file or the raw invoice lines.

    For the United Kingdom, `uk_2010_daily` is put in front where it lies beside the file: 2010-01-04 to
    2010-11-30 from there, later days from the file itself. It holds registered customers only, some 86% of
    the units on the days that both cover, so the level steps up on 2010-12-01.

    A day whose cancelled units equal its units sold was entered by mistake and reversed at once: its sales
    are zero. This takes out the two outliers, 80,995 units of 23843 and 74,215 of 23166. Other cancellations
    mostly concern sales of earlier days, when the goods had left the shelf, and stay sales.

    There is no `price`: the mean invoice price of a day falls with the size of its orders (correlation of the
    logarithms -0.4), so it would tell the day's demand. Days without sales have no row; the shop does not
    trade on Saturdays.

    Args:
      path: `online_retail_daily.csv.gz`, or the raw invoices `online_retail.csv.gz`.
      country: one destination, or None for the sum of all (2010-12-01 on).
    """
    path = Path(path)
    frame = _read_csv(path)
    if set(_RAW_INVOICES) <= set(frame.columns):
        frame = _sum_invoices(frame, path)
    names = {"date": "date", "sku": "stock_code", "location": "country", "sales": "units"}
    frame = _columns(frame, [*names.values(), "cancelled_units"], path)
    sales = validate(frame, str(path), names)
    if country is not None:
        if country not in set(sales["location"]):
            raise unknown(f"country in {path}", country, set(sales["location"]))
        sales = sales[sales["location"] == country]
    sales = sales[(sales["sales"] > 0) & (sales["sales"] != sales["cancelled_units"])]
    sales = sales.groupby(["sku", "date"], as_index=False)["sales"].sum()[["date", "sku", "sales"]]
    earlier = _beside(path, "uk_2010_daily.csv")
    if country == "United Kingdom" and earlier:
        names = {"date": "date", "sku": "stock_code", "sales": "units"}
        before = validate(_columns(_read_csv(earlier), names.values(), earlier), str(earlier), names)
        before = before[before["date"] < sales["date"].min()]
        sales = pd.concat([before, sales]).sort_values(["sku", "date"], ignore_index=True)
    return sales


def m5(path: str | Path) -> pd.DataFrame:
    """M5 (Walmart), daily units of items in stores, from a wide file with columns `d_1`, `d_2` ….

    The calendar (`calendar.csv`, plain or gzip) must lie beside it. Covariates: `snap`, 1 on days when the
    state of the store pays food stamps, and `event`, 1 on days with a named event. Category is the
    department.
    """
    path = Path(path)
    wide = _read_csv(path)
    days = [column for column in wide.columns if re.fullmatch(r"d_\d+", column)]
    wide = _columns(wide, ["item_id", "dept_id", "store_id", "state_id", *(days or ["d_1"])], path)
    calendar_path = _beside(path, "calendar.csv")
    if calendar_path is None:
        raise UserError(
            f"{path.parent / 'calendar.csv'}: not there; the days d_1, d_2 … of {path.name} need their "
            "calendar beside it"
        )
    states = wide["state_id"].unique()
    calendar = _read_csv(calendar_path)
    calendar = _columns(
        calendar, ["date", "event_name_1", *(f"snap_{state}" for state in states)], calendar_path
    )
    index = np.array([int(day[2:]) for day in days]) - 1
    if index.max() >= len(calendar):
        raise UserError(
            f"{path}: column 'd_{index.max() + 1}' lies beyond the {len(calendar)} days of {calendar_path}"
        )
    calendar = calendar.assign(event=calendar["event_name_1"] != "").drop(columns="event_name_1")
    # Checked as a table of one series, so that problems name the calendar's own lines.
    calendar = validate(calendar.assign(sku="calendar", sales=0.0), str(calendar_path)).iloc[index]
    sales = _wide_numbers(wide[days], path)
    series = wide[["item_id", "store_id", "dept_id"]].set_axis(["sku", "location", "category"], axis=1)
    snap = np.stack([calendar[f"snap_{state}"] for state in wide["state_id"]])
    return _long(
        series,
        calendar["date"].to_numpy(),
        sales,
        snap=snap,
        event=np.broadcast_to(calendar["event"], sales.shape),
    )


def favorita_weekly_21_stores(path: str | Path) -> pd.DataFrame:
    """Corporación Favorita, 288 items x 21 stores x 171 weeks, from Alvo et al., "Neural inventory control".

    `weeks.csv` must lie beside the `.npz`; weeks begin on Tuesdays. Ten negative values (returns) become zero.
    Covariates: `days_from_christmas` (-182 to 182) and `christmas`. The calendar's `earthquake` is dropped:
    nobody knew it in advance (and it is zero throughout).
    """
    path = Path(path)
    _check_file(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if not isinstance(arrays, np.lib.npyio.NpzFile) or "weekly_sales" not in arrays:
                raise UserError(
                    f"{path}: no array 'weekly_sales' in it; give the weekly_sales.npz of Alvo et al."
                )
            sales = arrays["weekly_sales"]
    except UserError:
        raise
    except (
        ValueError,
        OSError,
        EOFError,
        AttributeError,
        TypeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise UserError(f"{path}: not a readable .npz of plain arrays ({error}); fetch it again") from None
    weeks_path = _beside(path, "weeks.csv")
    if weeks_path is None:
        raise UserError(f"{path.parent / 'weeks.csv'}: not there; {path.name} needs its calendar beside it")
    weeks = _columns(_read_csv(weeks_path), ["date", "days_from_christmas", "christmas"], weeks_path)
    weeks = validate(weeks.assign(sku="calendar", sales="0"), str(weeks_path))
    if sales.ndim != 3 or sales.dtype.kind not in "fiu" or sales.shape[2] != len(weeks):
        raise UserError(
            f"{path}: 'weekly_sales' is {sales.dtype} {list(sales.shape)}; numbers [items, stores, "
            f"{len(weeks)} weeks] were expected"
        )
    if not np.isfinite(sales).all():
        item, store, week = np.argwhere(~np.isfinite(sales))[0]
        raise UserError(
            f"{path}: 'weekly_sales' is not finite at item {item}, store {store}, week {week}; fetch it again"
        )
    items, stores, _ = sales.shape
    item, store = np.divmod(np.arange(items * stores), stores)
    series = pd.DataFrame(
        {"sku": [f"item_{i:03d}" for i in item], "location": [f"store_{s:02d}" for s in store]}
    )
    sales = np.maximum(sales.reshape(items * stores, -1), 0)
    covariates = {
        name: np.broadcast_to(weeks[name], sales.shape) for name in ("days_from_christmas", "christmas")
    }
    return _long(series, weeks["date"].to_numpy(), sales, **covariates)


def retailrocket_partial(path: str | Path) -> pd.DataFrame:
    """Retail Rocket purchases a day (UTC), from the totals of the whole site or from single interactions.

    `daily_totals.csv` (chosen in a directory) gives one series of 139 days, some 160 purchases a day: the
    only usable one. `interactions_2174_users.csv.gz` gives purchases by item, 9,551 over 6,860 items with at
    most 54 each: series to test intermittent demand with, and only of the buyers in the sample. Views and
    carts of a day are not known before it and are dropped.
    """
    path = Path(path)
    frame = _read_csv(path)
    if "transaction" in frame.columns:
        names = {"date": "date", "sku": "sku", "sales": "transaction"}
        frame = _columns(frame, ["date", "transaction"], path)
        return validate(frame.assign(sku="all"), str(path), names)
    frame = _columns(frame, ["timestamp", "item", "event"], path)
    seconds = pd.to_numeric(frame["timestamp"], errors="coerce")
    bad = frame.index[~seconds.between(0, 4e9)]
    if len(bad):
        raise UserError(
            f"{path}: column 'timestamp' is no time in seconds since 1970 in line {bad[0]} ({len(bad)} lines)"
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


@dataclass(frozen=True)
class Reader:
    """How a source is read and recognised."""

    read: Callable[..., pd.DataFrame]
    files: tuple[str, ...]  # its files in a directory, the preferred one first
    columns: tuple[frozenset[str], ...]  # header columns that give it away, one set a kind of file


_RAW_INVOICES = ("InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice", "Country")


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
        (_signature("date", "stock_code", "country", "units", "cancelled_units"), _signature(*_RAW_INVOICES)),
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
    "table": Reader(table, (), ()),
}


def _known_file(directory: Path, reader: str | None) -> tuple[str, Path]:
    """The reader and the file of the one known source that the directory holds."""
    wanted = [reader] if reader else list(READERS)
    found = {
        name: file
        for name in wanted
        if (file := next(filter(None, (_in(directory, f) for f in READERS[name].files)), None))
    }
    if len(found) == 1:
        return next(iter(found.items()))
    if found:
        raise UserError(
            f"{directory}: a directory with several known files; give one: "
            f"{', '.join(map(str, found.values()))}"
        )
    inside = sorted(
        file.name
        for file in directory.iterdir()
        if file.name.endswith((".csv", ".csv.gz", ".parquet", ".npz"))
    )
    hint = f", for instance {directory / inside[0]}" if inside else ""
    raise UserError(f"{directory}: a directory; give the file of sales in it{hint}")


def _recognise(path: Path) -> str:
    """The reader for a file, by its kind and its header."""
    _check_file(path)
    if path.suffix == ".npz":
        return "favorita_weekly_21_stores"
    if _is_parquet(path):
        return "table"
    columns = set(_header(_read_text(path), path))
    for name, reader in READERS.items():
        if any(signature <= columns for signature in reader.columns):
            return name
    return "table"


def _sum_invoices(lines: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Raw invoice lines -> the daily file: units sold and cancelled a day, stock code and country.

    Kept are lines of goods (a stock code of five digits and perhaps letters) with a positive price.
    """
    quantity, price = (pd.to_numeric(lines[name], errors="coerce") for name in ("Quantity", "UnitPrice"))
    for name, values in (("Quantity", quantity), ("UnitPrice", price)):
        bad = lines.index[values.isna()]
        if len(bad):
            raise UserError(
                f"{path}: column {name!r} is not a number in line {bad[0]} ({len(bad)} lines); write plain "
                "numbers"
            )
    code = lines["StockCode"].str.upper()
    cancelled = lines["InvoiceNo"].str.upper().str.startswith("C")
    goods = code.str.fullmatch(r"\d{5}[A-Z]*") & (price > 0)
    daily = pd.DataFrame(
        {
            "date": lines["InvoiceDate"].str[:10],
            "stock_code": code,
            "country": lines["Country"],
            "units": quantity.where(~cancelled & (quantity > 0), 0.0),
            "cancelled_units": -quantity.where(cancelled & (quantity < 0), 0.0),
        }
    )[goods]
    return daily.groupby(["date", "stock_code", "country"], as_index=False).sum()


def _long(
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


def _wide_numbers(cells: pd.DataFrame, path: Path) -> np.ndarray:
    """Text cells -> float64 [S, T], all finite and at least 0."""
    try:
        numbers = cells.to_numpy(dtype=object).astype(float)
    except ValueError:
        numbers = cells.apply(pd.to_numeric, errors="coerce").to_numpy(float)
    bad = np.argwhere(~(np.isfinite(numbers) & (numbers >= 0)))
    if len(bad):
        places = ", ".join(
            f"{cells.iat[r, c]!r} in line {cells.index[r]}, column {cells.columns[c]!r}" for r, c in bad[:5]
        )
        raise UserError(
            f"{path}: sales that are no number of at least 0 in {len(bad)} cells: {places}; write units sold"
        )
    return numbers


def _columns(frame: pd.DataFrame, names: Collection[str], path: Path) -> pd.DataFrame:
    """Only the columns `names`, or an error that lists the missing ones."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        hints, free = [], [column for column in frame.columns if column not in set(names)]
        for name in missing:
            near = difflib.get_close_matches(name, free, n=1)
            hints.append(f"{name!r}" + (f" ({near[0]!r} looks like it)" if near else ""))
        raise UserError(
            f"{path}: column{'s' * (len(missing) > 1)} {', '.join(hints)} missing; restore the source's own "
            "header, "
            "or use the reader 'table' for a file in the sales schema"
        )
    return frame[list(names)]


# Files ------------------------------------------------------------------------------------------------------


def _in(directory: Path, name: str) -> Path | None:
    """The file `name` in the directory, plain or with `.gz`, or None."""
    return next((path for path in (directory / name, directory / f"{name}.gz") if path.is_file()), None)


def _beside(path: Path, name: str) -> Path | None:
    return _in(path.parent, name)


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path}: a directory; give the file of sales in it")
    if not path.exists():
        others = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, others, n=1)
        hint = f"did you mean {path.parent / near[0]}?" if near else "check the path"
        raise UserError(f"{path}: no such file; {hint}")


def _read_bytes(path: Path) -> bytes:
    _check_file(path)
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: a damaged gzip file ({error}); fetch or write it again") from None
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror or error}); check the file and its permissions"
        ) from None
    if not data.strip():
        raise UserError(f"{path}: an empty file; give a CSV with a header and one row for each date and SKU")
    return data


def _read_text(path: Path) -> str:
    data = _read_bytes(path)
    if data[:4] == b"PK\x03\x04":
        raise UserError(
            f"{path}: not text but an Excel workbook or zip archive; save the sheet as CSV (UTF-8)"
        )
    if b"\0" in data:
        raise UserError(f"{path}: not a text file; give a CSV (UTF-8), a gzipped CSV or a parquet file")
    try:
        # Line ends of any system, so that lines are counted as an editor counts them.
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}: not UTF-8 text from line {line} on; save it as CSV (UTF-8)") from None


def _header(text: str, path: Path) -> list[str]:
    try:
        names = [name.strip() for name in next(csv.reader(io.StringIO(text), skipinitialspace=True), [])]
    except csv.Error as error:
        raise UserError(
            f"{path}: no header in line 1 ({error}); begin with the names of the columns"
        ) from None
    if not any(names):
        raise UserError(f"{path}: line 1 is blank; begin with the names of the columns")
    names = [name or f"column {number}" for number, name in enumerate(names, 1)]
    for mark, called in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and mark in names[0]:
            raise UserError(f"{path}: columns separated by {called}; save it as CSV separated by commas")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(
            f"{path}: the header has {', '.join(map(repr, twice))} more than once; rename or delete one"
        )
    return names


def _read_csv(path: Path) -> pd.DataFrame:
    """Every cell as text; the index, named "line", is the line of the file on which the row begins."""
    text = _read_text(path)
    names = _header(text, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(text),
                header=0,
                names=names,
                dtype=str,
                na_filter=False,
                skip_blank_lines=False,
                index_col=False,
                skipinitialspace=True,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if found:
            raise UserError(
                f"{path}: line {found[2]} has {found[3]} cells where the header has {found[1]}; quote cells "
                "with commas"
            ) from None
        raise UserError(
            f"{path}: rows do not fit the header ({str(error).strip()}); save it as CSV again"
        ) from None
    # A quoted cell may hold line breaks, so the row number is not always the line number.
    breaks = np.zeros(len(frame) + 1, int)
    breaks[0] = 2 + sum(name.count("\n") for name in names)
    if re.search(r'"[^"\n]*\n', text):
        breaks[1:] = sum(frame[name].str.count("\n") for name in names)
    lines = np.arange(len(frame)) + np.cumsum(breaks)[:-1]
    frame.index = pd.Index(lines, name="line")
    return frame[~_blank(frame)]


def _blank(frame: pd.DataFrame) -> pd.Series:
    """Rows without any content, such as empty lines at the end."""
    blank = pd.Series(True, index=frame.index)
    for name in frame.columns:
        if not blank.any():
            break
        blank &= frame[name] == ""
    return blank


def _is_parquet(path: Path) -> bool:
    _check_file(path)
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1" or path.suffix == ".parquet"
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror or error}); check its permissions"
        ) from None


def _read_parquet(path: Path) -> pd.DataFrame:
    """The columns as they are; the index, named "row", counts from 1."""
    data = _read_bytes(path)
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise UserError(
            f"{path}: parquet needs pyarrow; pip install 'jaxinv[parquet]', or save it as CSV"
        ) from None
    try:
        frame = pd.read_parquet(io.BytesIO(data), engine="pyarrow")
    except (OSError, ValueError) as error:  # pyarrow's own errors derive from these
        raise UserError(
            f"{path}: not a readable parquet file ({str(error).splitlines()[0]}); write it again"
        ) from None
    if any(frame.index.names):
        frame = frame.reset_index()
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    return frame
