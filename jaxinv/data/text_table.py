"""CSV files as they lie on disk: encoding, separator and header found, cells left as text, every
row with its line.
"""

import csv
import io
import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from jaxinv.data.dates import is_date
from jaxinv.errors import UserError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class Text:
    """The text of a file.

    Attributes:
      text: with line feeds alone between lines.
      separator: of cells.
      encoding: as Python calls it.
      skipped: lines before the header that only name the separator.
      note: what was guessed of the encoding; empty where it is certain.
    """

    text: str
    separator: str
    encoding: str
    skipped: int = 0
    note: str = ""

    @property
    def plain(self) -> bool:
        return self.separator == "," and self.encoding == "utf-8"

    def __str__(self) -> str:
        return f"CSV separated by {SEPARATORS[self.separator]}, {self.encoding}"


def decode(data: bytes, path: Path) -> Text:
    """The text in the bytes of a CSV.

    Raises:
      UserError: where they are no text.
    """
    note = ""
    if data[:4] == b"PK\x03\x04":
        raise UserError(
            f"{path}: not text but an Excel workbook or zip archive; save the sheet as CSV (UTF-8)"
        )
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif b"\0" in data:
        encoding = next(
            (
                name
                for name, at in (("utf-16-le", 1), ("utf-16-be", 0))
                if data[at:400:2].count(0) > 0.8 * len(data[at:400:2])
            ),
            "",
        )
    else:
        encoding = "utf-8"
    try:
        text = data.decode({"utf-8": "utf-8-sig", "": "ascii"}.get(encoding, encoding))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        encoding = "cp1252" if encoding == "utf-8" else ""
        try:
            text = data.decode(encoding or "ascii")
        except UnicodeDecodeError:
            text = "\0"
        note = f"no UTF-8 text from line {line} on, so read as Windows-1252 (Western European)"
    if re.search("[\0-\x08\x0e-\x1f]", text[:100_000]) or "\0" in text:
        raise UserError(
            f"{path}: not a text file; give a CSV, a gzipped CSV, an Excel workbook (.xlsx) or a"
            " parquet file"
        )
    # Line ends of any system, so that lines are counted as an editor counts them.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    named = re.match(r"sep=([,;\t|])\n", text)
    if named:
        return Text(text[named.end() :], named[1], encoding, 1, note)
    return Text(text, _separator(text), encoding, 0, note)


def _separator(text: str) -> str:
    """The mark that parts the header into most names."""
    counts, begin = {}, text[:1_000_000]
    for mark in SEPARATORS:
        try:
            counts[mark] = len(
                next(
                    csv.reader(io.StringIO(begin), delimiter=mark, skipinitialspace=mark != "\t"),
                    [],
                )
            )
        except csv.Error:
            counts[mark] = 0
    return max(SEPARATORS, key=lambda mark: (counts[mark], mark == ","))


def header(found: Text, path: Path) -> list[str]:
    """Names of the columns; `column 3` where the third has none."""
    rows = csv.reader(
        io.StringIO(found.text), delimiter=found.separator, skipinitialspace=found.separator != "\t"
    )
    try:
        names = [name.strip() for name in next(rows, [])]
    except csv.Error as error:
        raise UserError(
            f"{path}: no header in line 1 ({error}); begin with the names of the columns"
        ) from None
    return header_names(names, path)


def header_names(names: list[str], path: Path) -> list[str]:
    """Names for empty cells of a header; refuses a header that is blank or has a name twice."""
    if not any(names):
        raise UserError(f"{path}: line 1 is blank; begin with the names of the columns")
    names = [name or f"column {number}" for number, name in enumerate(names, 1)]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise UserError(
            f"{path}: the header has {', '.join(map(repr, twice[:5]))}{' …' * (len(twice) > 5)}"
            " more than once; rename or delete one"
        )
    return names


def check_width(names: list[str], most: int | None, path: Path) -> None:
    """Refuses more columns than a long table has, unless most of them are dates."""
    if most is not None and len(names) > most and sum(map(is_date, names)) < len(names) / 2:
        raise UserError(
            f"{path}: {len(names)} columns; sales have one row for each date and SKU, not a column"
            " for each: reshape the table, or keep the columns of the schema only"
        )


def parse_csv(found: Text, path: Path, most: int | None = None) -> pd.DataFrame:
    """Every cell as text; the index, named "line", is the line of the file on which the row
    begins.
    """
    text, names = found.text, header(found, path)
    check_width(names, most, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(text),
                sep=found.separator,
                header=0,
                names=names,
                dtype=str,
                na_filter=False,
                skip_blank_lines=False,
                index_col=False,
                skipinitialspace=found.separator != "\t",
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        raise UserError(f"{path}: {_too_long(found, len(names)) or _unfit(error)}") from None
    # A quoted cell may hold line breaks, so the row number is not always the line number.
    breaks = np.zeros(len(frame) + 1, int)
    breaks[0] = 2 + found.skipped + sum(name.count("\n") for name in names)
    if re.search(r'"[^"\n]*\n', text):
        breaks[1:] = sum(frame[name].str.count("\n") for name in names)
    lines = np.arange(len(frame)) + np.cumsum(breaks)[:-1]
    frame.index = pd.Index(lines, name="line")
    return frame[~_blank(frame)]


def _too_long(found: Text, columns: int) -> str:
    """What to say of the rows with more cells than the header, if there are any."""
    lines = found.text.split("\n")
    rows = csv.reader(io.StringIO(found.text), delimiter=found.separator, skipinitialspace=True)
    begins, long, empty = 1, [], True
    try:
        for cells in rows:
            if len(cells) > columns:
                long.append((begins, len(cells)))
                empty = empty and not any(cells[columns:])
            begins = rows.line_num + 1
    except csv.Error:
        pass
    if not long:
        return ""
    line, cells = long[0]
    also = f" (and {len(long) - 1} more lines like it)" if len(long) > 1 else ""
    mark = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}[found.separator]
    cause = (
        f"most likely a {mark} too many at the end of lines: delete it, or end the header with"
        " one too"
        if empty
        else (
            "most likely a comma within a cell that is not quoted: write 1500 for 1,500, or put"
            " such cells in quotes"
            if mark == "comma"
            else f"most likely a {mark} within a cell that is not quoted: put such cells in quotes"
        )
    )
    return (
        f"line {line + found.skipped} has {cells} cells where the header has {columns}{also}:"
        f" {lines[line - 1][:80]!r}; {cause}"
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
