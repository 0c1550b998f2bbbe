"""Excel workbooks (.xlsx): the cells of a sheet as text, every row with its number."""

import datetime
import html
import io
import re
import zipfile
from pathlib import Path

import pandas as pd

from jaxinv.data.text_table import header_names
from jaxinv.errors import UserError
from jaxinv.packages import extra


def is_workbook(data: bytes) -> bool:
    """Whether the bytes are those of an .xlsx file."""
    try:
        return (
            data[:4] == b"PK\x03\x04"
            and "xl/workbook.xml" in zipfile.ZipFile(io.BytesIO(data)).namelist()
        )
    except (zipfile.BadZipFile, OSError):
        return False


def read_workbook(data: bytes, path: Path, sheet: str = "") -> pd.DataFrame:
    """A sheet as a table of texts; the index, named "row", is the row of the sheet.

    Dates become YYYY-MM-DD, with the time of day where they have one; numbers are written with a
    dot; a code shown with leading zeros keeps them. `attrs["format"]` says which sheet was read.

    Args:
      sheet: its name; by default the first that is not empty.

    Raises:
      UserError: openpyxl is not there, the workbook cannot be read, or has no such sheet.
    """
    with extra("excel", f"{path}: Excel", "save the sheet as CSV"):
        import openpyxl
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        names = [page.title for page in book.worksheets]
        if sheet and sheet not in names:
            raise UserError(f"{path}: no sheet {sheet!r}; it has {', '.join(map(repr, names))}")
        pages = {name: _rows(book[name]) for name in ([sheet] if sheet else names)}
    except UserError:
        raise
    except Exception as error:  # openpyxl lets errors of zip, XML and its own through
        raise UserError(
            f"{path}: not a readable Excel workbook ({str(error)[:80]}); save it again"
        ) from None
    filled = [name for name, rows in pages.items() if rows]
    if not filled:
        raise UserError(
            f"{path}: an empty workbook; give a sheet with a header and one row for each date"
            " and SKU"
        )
    name = filled[0]
    rows = pages[name]
    top, titles = rows[0]
    width = max(len(cells) for _, cells in rows)
    titles = titles + [""] * (width - len(titles))
    if len(set(titles)) > 1:  # columns beyond the last name are only kept where they hold something
        while not titles[-1] and not any(
            len(cells) >= len(titles) and cells[len(titles) - 1] for _, cells in rows
        ):
            titles.pop()
    names = header_names(titles, path)
    cells = [(cells + [""] * width)[: len(names)] for _, cells in rows[1:]]
    frame = pd.DataFrame(
        cells, columns=names, index=pd.Index([row for row, _ in rows[1:]], name="row"), dtype=str
    )
    others = [other for other in filled if other != name]
    frame.attrs["format"] = f"Excel, sheet {name!r}" + (
        f" (others: {', '.join(map(repr, others))})" if others else ""
    )
    return frame


def sheets(data: bytes) -> list[str]:
    """Names of the sheets of a workbook, by its own list; no cell is read."""
    text = zipfile.ZipFile(io.BytesIO(data)).read("xl/workbook.xml").decode("utf-8", "replace")
    return [
        html.unescape(name) for name in re.findall(r'<(?:\w+:)?sheet\b[^>]*?\bname="([^"]*)"', text)
    ]


def _rows(page) -> list[tuple[int, list[str]]]:
    """Number and cells of each row that is not blank."""
    found = []
    for row in page.iter_rows():
        cells = [_text(cell) for cell in row]
        if any(cells):
            found.append((next(cell.row for cell in row if cell.value is not None), cells))
    return found


def _text(cell) -> str:
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time()
        return value.strftime("%Y-%m-%d") if midnight else value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, int | float):
        whole = f"{value:.15g}"
        digits = cell.number_format or ""
        return (
            whole.zfill(len(digits)) if re.fullmatch("0{2,}", digits) and whole.isdigit() else whole
        )
    return str(value).strip()
