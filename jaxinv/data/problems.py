"""What is wrong with a table, collected to be told in one message: each problem with its column,
rows and fix.
"""

import pandas as pd

from jaxinv.errors import UserError

FEW = 5
"""Rows named in a message before "and so on"."""

_EMPTY = ("", "na", "n/a", "nan", "nat", "null", "none", "<na>")


class Problems:
    """Collects the problems and notes of one table.

    Args:
      source: what messages call the table, usually the path of its file.
      row: what a row is called: "line" of a text file, else "row".
      of: what the table is, such as "sales table".
    """

    def __init__(self, source: str, row: str, of: str = "sales table"):
        self.source, self.row, self.of = source, row, of
        self.found: list[str] = []
        self.left_out: list[str] = []
        self.unnamed: list[str] = []
        self.notes: list[str] = []
        self.currencies: dict[str, str] = {}  # signs in cells of money, by column

    def add(self, text: str) -> None:
        self.found.append(text)

    def rows(self, column: str, wrong: pd.Series, values: pd.Series, what: str, fix: str) -> None:
        """Notes the rows where `wrong` holds, if any."""
        if wrong.any():
            shown = "" if what == "is empty" else f" (first: {str(values[wrong].iloc[0])[:40]!r})"
            self.add(f"column {column!r} {what} in {self.places(wrong.index[wrong])}{shown}; {fix}")

    def places(self, labels: pd.Index) -> str:
        """Where rows stand, such as "lines 2, 3, 4, 5, 6 … (40 lines)"."""
        if len(labels) == 1:
            return f"{self.row} {labels[0]}"
        shown = ", ".join(str(label) for label in labels[:FEW])
        return f"{self.row}s {shown}" + (
            f" … ({len(labels)} {self.row}s)" if len(labels) > FEW else ""
        )

    def error(self) -> UserError | None:
        """All problems as one error; None where there are none."""
        if not self.found:
            return None
        head = (
            f"{self.source}: {len(self.found)} problem{'s' * (len(self.found) > 1)} in the"
            f" {self.of}"
        )
        return UserError("\n  - ".join([head, *self.found]))

    def raise_any(self) -> None:
        error = self.error()
        if error:
            raise error


def as_text(values: pd.Series) -> pd.Series:
    """Cells as text without spaces around them; what is absent is empty."""
    return values.astype(object).where(values.notna(), "").astype(str).str.strip()


def is_empty(text: pd.Series) -> pd.Series:
    """Which texts say that nothing is there."""
    return text.str.lower().isin(_EMPTY)


def listed(columns: list[str], most: int = 12) -> str:
    return ", ".join(columns[:most]) + (
        f" and {len(columns) - most} more" if len(columns) > most else ""
    )
