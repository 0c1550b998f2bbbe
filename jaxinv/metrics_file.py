"""The metrics of a training as CSV: one row a chunk of updates, the first fixes the columns."""

import csv
import io
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxinv.errors import UserError
from jaxinv.whole import write_text

log = logging.getLogger(__name__)


def append_row(path: Path, update: int, metrics: Mapping[str, Any]) -> None:
    """Appends one row; see `jaxinv.runs.Run.log`."""
    row = {"update": update, **metrics}
    columns = _columns(path)
    new = sorted(set(row) - set(columns or row))
    if new:
        raise ValueError(f"the columns of {path} are fixed by its first row; new: {', '.join(new)}")
    lines = csv_line([_text(row[column]) if column in row else "" for column in columns or row])
    if not columns:
        lines = csv_line(row) + lines
    try:
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(lines)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None


def drop_rows_after(path: Path, update: int) -> None:
    """Keeps the rows up to an update; without any, the file goes. Damaged rows are dropped with a
    warning.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    whole = text.split("\n")[:-1]  # a kill may have cut the last one
    header, rows = whole[:1], whole[1:]
    if header and header[0].split(",")[0] != "update":
        log.warning("%s is damaged: it has no heading, and its rows are dropped", path)
        header, rows = [], []
    read = [
        row
        for row in rows
        if re.fullmatch("[0-9]{1,9}", row.split(",")[0]) and _cells(row) == _cells(header[0])
    ]
    if len(read) < len(rows):
        log.warning(
            "%s is damaged: %d of its rows are dropped",
            path,
            len(rows) - len(read),
        )
    kept = [row for row in read if int(row.split(",")[0]) <= update]
    if kept:
        write_text(path, "\n".join([*header, *kept]) + "\n")
    else:
        path.unlink()


def csv_line(cells: Iterable[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def _columns(path: Path) -> list[str]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file), [])


def _cells(line: str) -> int:
    try:
        return len(next(csv.reader([line]), []))
    except csv.Error:
        return 0


def _text(value: Any) -> str:
    import numpy as np

    return value if isinstance(value, str) else str(np.asarray(value).reshape(())[()])
