"""Reads the raw tables of the fits."""

from pathlib import Path

import pandas as pd

from jaxinv.errors import UserError


def read(path: str | Path, columns: list[str]) -> pd.DataFrame:
    """These columns of a CSV, or one message that says what is wrong with it."""
    try:
        table = pd.read_csv(path, low_memory=False)
    except (
        OSError,
        ValueError,
        EOFError,
    ) as error:  # pandas' parser and encoding errors are ValueErrors
        raise UserError(f"{path}: cannot be read as a CSV table ({error})") from error
    missing = [name for name in columns if name not in table]
    if missing:
        named, found = (", ".join(map(repr, names)) for names in (missing, table.columns))
        raise UserError(f"{path}: no column {named}; found {found}")
    return table[columns]
