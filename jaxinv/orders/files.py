"""The files of an order list: written all together or not at all, the same bytes for the same
list."""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from jaxinv.errors import UserError
from jaxinv.sheets import guarded, read_table
from jaxinv.whole import flush, write_text

DIGITS = {
    "quantity": 4, "packs": 4, "unit_cost": 4, "cost": 2, "on_hand": 2, "on_order": 2,
    "net_position": 2, "cover_days": 1, "forecast": 2,
    "forecast_low": 2, "forecast_high": 2, "target": 2, "risk_with": 4, "risk_without": 4,
    "days_of_cover": 1, "rule_quantity": 4,
}  # fmt: skip
"""Digits behind the point of columns; 2 of all others."""

TEXT = ("sku", "name", "source", "destination", "currency", "rule", "reason")
"""Columns that are text, whatever they look like."""


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV: numbers as people write them, nothing where nothing is known, text that stays
    text in a spreadsheet."""
    written = {}
    for name in table:
        column = table[name]
        if pd.api.types.is_float_dtype(column) or pd.api.types.is_integer_dtype(column):
            digits = DIGITS.get(str(name), 2)
            written[name] = [_number(value, digits) for value in column.to_numpy(float)]
        else:
            written[name] = [
                guarded("" if value is None or value != value else str(value)) for value in column
            ]
    return pd.DataFrame(written, columns=list(table.columns)).to_csv(
        index=False, lineterminator="\n"
    )


def _number(value: float, digits: int) -> str:
    if not np.isfinite(value):
        return ""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def write_list(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    texts: Mapping[str, str] = {},
    finish: Callable[[Path], None] | None = None,  # noqa: B006
) -> None:
    """Writes tables as a folder that appears whole, in the place of one of that name that was
    written before.

    Args:
      tables: by path within the folder, such as `suppliers/NAME.csv`; texts: further files.
      finish: puts more into the folder, before it appears.

    Raises:
      UserError: there is something else of that name, or it cannot be written; what was there stays
        as it was.
    """
    if (
        folder.exists()
        and not (folder / "orders.csv").exists()
        and (not folder.is_dir() or any(folder.iterdir()))
    ):
        raise UserError(f"{folder} is there already and is no order list; give another --out")
    made = folder.with_name(f".{folder.name}.partial")
    old = folder.with_name(f".{folder.name}.old")
    try:
        shutil.rmtree(made, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
        made.mkdir(parents=True)
        for name, table in tables.items():
            path = made / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(csv_text(table).encode("utf-8"))
            flush(path)
        for name, text in texts.items():
            write_text(made / name, text)
        if finish:
            finish(made)
        if folder.exists():
            folder.rename(old)
        try:
            made.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except BaseException as error:
        shutil.rmtree(made, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from None


def sheet_names(suppliers: list[str]) -> dict[str, str]:
    """A file name for each supplier, none twice, whatever they are called."""
    found: dict[str, str] = {}
    for name in suppliers:
        plain = re.sub(r"[^\w.-]+", "_", name).strip("._") or "supplier"
        wanted, number = plain[:80], 2
        while wanted.lower() in {other.lower() for other in found.values()}:
            wanted, number = f"{plain[:80]}-{number}", number + 1
        found[name] = wanted
    return found


def read_orders(path: Path) -> pd.DataFrame:
    """The list of a folder, or of its `orders.csv`, with names as text."""
    return read_table(path / "orders.csv" if path.is_dir() else path, TEXT)
