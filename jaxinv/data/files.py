"""Files of rows and columns as they lie on disk: CSV, parquet and Excel, every row with its line.

Nothing is interpreted here: a CSV's cells stay text until `jaxinv.data.schema` says what they are.
"""

import difflib
import gzip
import io
import zlib
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from jaxinv.data.text_table import Text, check_width, decode, parse_csv
from jaxinv.data.workbook import is_workbook, read_workbook, sheets
from jaxinv.errors import UserError
from jaxinv.packages import extra

MOST_COLUMNS = 1000
"""Columns of a long table; one with more has a column for each date or SKU."""


def read_frame(path: Path, sheet: str = "") -> pd.DataFrame:
    """The table in a CSV (plain or gzip; separator and encoding are found), Excel or parquet file.

    Args:
      sheet: of an Excel workbook; by default the first that is not empty.

    Returns:
      The cells of a CSV or a sheet as text, those of parquet as they are; the index, named "line"
      or "row", says where a row stands in the file. `attrs` has `format` and `odd` (see
      `read_csv`).

    Raises:
      UserError: for a file that cannot be read, naming the line.
    """
    if is_parquet(path):
        return _read_parquet(path)
    data = _read_bytes(path)
    if not is_workbook(data):
        return read_csv(path, MOST_COLUMNS)
    frame = read_workbook(data, path, sheet)
    check_width(list(frame.columns), MOST_COLUMNS, path)
    frame.attrs["odd"] = (
        [f"read as {frame.attrs['format']}"] if "(others" in frame.attrs["format"] else []
    )
    return frame


def sheets_of(path: Path) -> list[str]:
    """Names of the sheets of an Excel workbook, by what the file holds; none for any other file."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return []
    data = _read_bytes(path)
    return sheets(data) if is_workbook(data) else []


def check_file(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path}: a directory; give the file of sales in it")
    if not path.exists():
        others = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, others, n=1)
        hint = f"did you mean {path.parent / near[0]}?" if near else "check the path"
        raise UserError(f"{path}: no such file; {hint}")


def _read_bytes(path: Path) -> bytes:
    check_file(path)
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: a damaged gzip file ({error}); fetch or write it again") from None
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror or error}); check the file and its"
            " permissions"
        ) from None
    if not data.strip():
        raise UserError(
            f"{path}: an empty file; give a CSV with a header and one row for each date and SKU"
        )
    return data


def read_text(path: Path) -> Text:
    """The text of a CSV, and how it is written."""
    return decode(_read_bytes(path), path)


def read_csv(path: Path, most: int | None = None) -> pd.DataFrame:
    """Every cell of a CSV as text; the index, named "line", is the line of the file on which the
    row begins.

    `attrs` has `format`, what the file is in words, and `odd`, one line for each thing about it
    that had to be found.
    """
    found = read_text(path)
    frame = parse_csv(found, path, most)
    odd = [] if found.plain else [f"read as {found}"]
    frame.attrs |= {
        "format": str(found),
        "odd": [*odd, *([found.note] if found.note else [])],
        "separator": found.separator,
    }
    return frame


def pick(frame: pd.DataFrame, names: Collection[str], path: Path) -> pd.DataFrame:
    """Only the columns `names`, or an error that lists the missing ones."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        hints, free = [], [column for column in frame.columns if column not in set(names)]
        for name in missing:
            near = difflib.get_close_matches(name, free, n=1)
            hints.append(f"{name!r}" + (f" ({near[0]!r} looks like it)" if near else ""))
        raise UserError(
            f"{path}: column{'s' * (len(missing) > 1)} {', '.join(hints)} missing; restore the"
            " source's own header, or use the reader 'table' for a file in the sales schema"
        )
    return frame[list(names)]


def inside(directory: Path, name: str) -> Path | None:
    """The file `name` in the directory, plain or with `.gz`, or None."""
    return next(
        (path for path in (directory / name, directory / f"{name}.gz") if path.is_file()), None
    )


def file_beside(path: Path, name: str) -> Path | None:
    return inside(path.parent, name)


def is_parquet(path: Path) -> bool:
    check_file(path)
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
    with extra("parquet", f"{path}: parquet", "save it as CSV"):
        import pyarrow  # noqa: F401
    try:
        frame = pd.read_parquet(io.BytesIO(data), engine="pyarrow")
    except (OSError, ValueError) as error:  # pyarrow's own errors derive from these
        raise UserError(
            f"{path}: not a readable parquet file ({str(error).splitlines()[0]}); write it again"
        ) from None
    if any(frame.index.names):
        frame = frame.reset_index()
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    frame.attrs = {"format": "parquet", "odd": []}
    return frame
