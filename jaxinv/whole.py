"""Files that are written whole or not at all: a reader, at whatever moment, sees the old file or
the new one.
"""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def writing(path: Path) -> Generator[BinaryIO]:
    """A file to write in, which takes the place of `path` once all of it is on disk.

    Raises:
      OSError: it cannot be written; `path` is as it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        flush(partial)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Puts a text in the place of a file."""
    with writing(path) as file:
        file.write(text.encode("utf-8"))


def flush(path: Path) -> None:
    """Has the operating system write a file or a folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
