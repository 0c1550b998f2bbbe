"""Cells of a table that are kept as they finish, so that a study that was interrupted goes on where
it stopped.

A cell is a file of arrays, named after what it is and a digest of all that it depends on: another
size, other data or another setting is another cell, and nothing stale is taken up.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxinv.errors import UserError
from jaxinv.whole import writing

Arrays = dict[str, np.ndarray]


class Cells:
    """The cells of a study in a folder.

    Attributes:
      setting: what all cells depend on, as JSON can hold it.
      made, taken: how many were computed and how many were there already.
    """

    def __init__(self, folder: Path, setting: Mapping[str, Any] | None = None):
        self.folder, self.setting = folder / "cells", setting or {}
        self.made, self.taken = 0, 0

    def cell(self, name: str, about: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
        """What `make` gives, or what it gave before with the same name and settings.

        Args:
          about: all else that the cell depends on.

        Raises:
          UserError: the folder cannot be written.
        """
        text = json.dumps({"name": name, **self.setting, **about}, sort_keys=True, default=str)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        path = self.folder / f"{_slug(name)}-{digest}.npz"
        found = _read(path)
        if found is not None:
            self.taken += 1
            return found
        arrays = {key: np.asarray(value) for key, value in make().items()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with writing(path) as file:
                np.savez_compressed(file, **arrays)
        except OSError as error:
            raise UserError(
                f"{path}: cannot be written ({error.strerror}); give --out a folder that can"
            ) from None
        self.made += 1
        return arrays


def _read(path: Path) -> Arrays | None:
    """The arrays of a file; None where there is none, or one that is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def _slug(name: str) -> str:
    return "".join(sign if sign.isalnum() else "_" for sign in name.lower())
