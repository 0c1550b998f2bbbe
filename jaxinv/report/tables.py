"""Tables of a report: what is in their cells, and what they are sorted by."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxinv.report.numbers import absent


@dataclass(frozen=True)
class Cell:
    """A cell: its text, a smaller text below it, what its column is sorted by, and a tone: "good",
    "bad" or none.
    """

    text: str
    below: str = ""
    key: Any = None
    tone: str = ""

    @property
    def sort(self) -> str:
        """What sorting compares; nothing sorts last."""
        if self.key is None:
            return self.text
        return (
            ""
            if absent(self.key)
            else f"{self.key:.9g}"
            if isinstance(self.key, float | int)
            else str(self.key)
        )


@dataclass(frozen=True)
class Column:
    """A column: its heading, whether it holds numbers, and a sentence on what they are."""

    title: str
    numbers: bool = True
    says: str = ""


@dataclass(frozen=True)
class Table:
    """A table of a page.

    Attributes:
      name: that no other table of the page has.
      caption: what it shows.
      note: what is said below it, such as where all rows are.
      file: beside the page, that holds all rows; empty for none.
      search, sortable: whether rows can be searched for, and sorted by a click on a heading.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    file: str = ""
    search: bool = False
    sortable: bool = True


def cut(rows: Iterable[Any], most: int, what: str) -> tuple[list[Any], str]:
    """The first rows, and what is said of the others."""
    rows = list(rows)
    note = (
        ""
        if len(rows) <= most
        else f"{most:,} of {len(rows):,} {what} are shown; all of them are in "
    )
    return rows[:most], note
