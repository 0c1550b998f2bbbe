"""Which sales a run was made of: its file by absolute path, and what was read from it as one number."""

import hashlib
import os

import pandas as pd


def absolute(path: str) -> str:
    """The path from any working folder; an empty one stays empty."""
    return os.path.abspath(os.path.expanduser(path)) if path else ""


def fingerprint(table: pd.DataFrame) -> str:
    """SHA-256 of a table's columns and cells, in 64 hexadecimal digits; the file's kind and name are not in it."""
    found = hashlib.sha256("\0".join(map(str, table.columns)).encode())
    found.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return found.hexdigest()
