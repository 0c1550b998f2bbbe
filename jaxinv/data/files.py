"""Files of rows and columns as they lie on disk: bytes, text, CSV and parquet, every row with its line.

Nothing is interpreted here: a CSV's cells stay text until `jaxinv.data.schema` says what they are.
"""

import csv
import difflib
import gzip
import io
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from jaxinv.errors import UserError

MOST_COLUMNS = 1000
"""Columns of a long table; one with more has a column for each date or SKU."""


def read_frame(path: Path) -> pd.DataFrame:
    """The table in a CSV (plain or gzip, UTF-8, comma separated) or parquet file.

    Returns:
      The cells of a CSV as text, those of parquet as they are; the index, named "line" or "row", says where a row stands in the
      file.

    Raises:
      UserError: for a file that cannot be read, naming the line.
    """
    return _read_parquet(path) if is_parquet(path) else read_csv(path, MOST_COLUMNS)


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
            f"{path}: cannot be read ({error.strerror or error}); check the file and its permissions"
        ) from None
    if not data.strip():
        raise UserError(f"{path}: an empty file; give a CSV with a header and one row for each date and SKU")
    return data


def read_text(path: Path) -> str:
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


def header(text: str, path: Path) -> list[str]:
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
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise UserError(
            f"{path}: the header has {', '.join(map(repr, twice[:5]))}{' …' * (len(twice) > 5)} more than once; rename or "
            "delete one"
        )
    return names


def read_csv(path: Path, most: int | None = None) -> pd.DataFrame:
    """Every cell as text; the index, named "line", is the line of the file on which the row begins."""
    text = read_text(path)
    names = header(text, path)
    if most is not None and len(names) > most:
        raise UserError(
            f"{path}: {len(names)} columns; sales have one row for each date and SKU, not a column for each: "
            "reshape the table, or keep the columns of the schema only"
        )
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
        raise UserError(f"{path}: {_too_long(text, len(names)) or _unfit(error)}") from None
    # A quoted cell may hold line breaks, so the row number is not always the line number.
    breaks = np.zeros(len(frame) + 1, int)
    breaks[0] = 2 + sum(name.count("\n") for name in names)
    if re.search(r'"[^"\n]*\n', text):
        breaks[1:] = sum(frame[name].str.count("\n") for name in names)
    lines = np.arange(len(frame)) + np.cumsum(breaks)[:-1]
    frame.index = pd.Index(lines, name="line")
    return frame[~_blank(frame)]


def _too_long(text: str, columns: int) -> str:
    """What to say of the rows with more cells than the header, if there are any."""
    lines, rows = text.split("\n"), csv.reader(io.StringIO(text), skipinitialspace=True)
    begins, found, empty = 1, [], True
    try:
        for cells in rows:
            if len(cells) > columns:
                found.append((begins, len(cells)))
                empty = empty and not any(cells[columns:])
            begins = rows.line_num + 1
    except csv.Error:
        pass
    if not found:
        return ""
    line, cells = found[0]
    also = f" (and {len(found) - 1} more lines like it)" if len(found) > 1 else ""
    cause = (
        "most likely a comma too many at the end of lines: delete it, or end the header with one too"
        if empty
        else "most likely a comma within a cell that is not quoted: write 1500 for 1,500, or put such cells in quotes"
    )
    return (
        f"line {line} has {cells} cells where the header has {columns}{also}: {lines[line - 1][:80]!r}; "
        f"{cause}"
    )


def _unfit(error: Exception) -> str:
    return f"rows do not fit the header ({str(error).strip()}); save it as CSV again"


def _blank(frame: pd.DataFrame) -> pd.Series:
    """Rows without any content, such as empty lines at the end."""
    blank = pd.Series(True, index=frame.index)
    for name in frame.columns:
        if not blank.any():
            break
        blank &= frame[name] == ""
    return blank


def pick(frame: pd.DataFrame, names: Collection[str], path: Path) -> pd.DataFrame:
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


def inside(directory: Path, name: str) -> Path | None:
    """The file `name` in the directory, plain or with `.gz`, or None."""
    return next((path for path in (directory / name, directory / f"{name}.gz") if path.is_file()), None)


def beside(path: Path, name: str) -> Path | None:
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
