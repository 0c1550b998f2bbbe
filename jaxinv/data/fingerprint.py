"""Which sales a run was made of: its file by absolute path, and what was read from it as one
number.
"""

import hashlib
import os

import pandas as pd

from jaxinv.errors import UserError


def absolute(path: str) -> str:
    """The path from any working folder; an empty one stays empty."""
    return os.path.abspath(os.path.expanduser(path)) if path else ""


def fingerprint(table: pd.DataFrame) -> str:
    """SHA-256 of a table's columns and cells, in 64 hexadecimal digits; the file's kind and name
    are not in it.
    """
    found = hashlib.sha256("\0".join(map(str, table.columns)).encode())
    found.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return found.hexdigest()


def sales_changed(file: str, run: str = "the run") -> UserError:
    """What is said of a file whose sales are no longer those that a run was made of."""
    return UserError(
        f"{file}: its sales are not those that {run} was made of, so neither would its figures be;"
        " put the file back (or name a copy of it as data in the run's config.yaml), or train anew"
    )
