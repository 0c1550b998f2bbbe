"""The tables of a plan while they are checked: frames that know their file and their lines, and
what is wrong with each.
"""

import datetime
import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from jaxinv.data.plan.settings import Settings
from jaxinv.data.problems import Problems

ONE_PLACE = "shop"
"""The name of the one location where sales name none."""


@dataclass
class PlanTables:
    """All tables of a plan.

    Attributes:
      frames: by name, their index the lines of their files; `sales` in the sales schema.
      problems: of each table.
      given: names of tables that have a file.
      settings: as given; `as_of` is filled in once sales are read.
      step: the period of the sales, such as "day".
      places: all locations.
      notes: one line each, beside those of the tables.
      general: problems of no table.
    """

    frames: dict[str, pd.DataFrame]
    problems: dict[str, Problems]
    given: set[str]
    settings: Settings
    step: str = ""
    places: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    general: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> pd.DataFrame:
        return self.frames[name]

    def sound(self, *names: str) -> bool:
        """Whether these tables can be read, so that more can be said of them."""
        return not any(self.problems[name].found for name in names if name in self.problems)

    def wrong(
        self,
        table: str,
        column: str,
        rows: pd.Series | np.ndarray,
        what: str,
        fix: str | Callable[[str], str],
    ) -> None:
        """Notes the rows of a table that are wrong; `fix` may be made from the first cell."""
        self._tell(self.problems[table].found, table, column, rows, what, fix, "")

    def odd(
        self,
        table: str,
        column: str,
        rows: pd.Series | np.ndarray,
        what: str,
        then: str | Callable[[str], str],
    ) -> None:
        """Notes rows that are odd and kept, and what becomes of them."""
        self._tell(self.problems[table].notes, table, column, rows, what, then, "")

    def _tell(self, where: list[str], table, column, rows, what, fix, shown) -> None:
        rows = np.asarray(rows, bool)
        if not rows.any():
            return
        frame, problems = self.frames[table], self.problems[table]
        value = frame[column].iloc[int(np.argmax(rows))]
        shown = (
            ""
            if pd.isna(value)
            else (
                str(value)[:10]
                if isinstance(value, pd.Timestamp)
                else f"{value:.10g}"
                if isinstance(value, float)
                else str(value)[:40]
            )
        )
        fix = fix(shown) if callable(fix) else fix
        where.append(
            f"column {column!r} {what} in {problems.places(frame.index[rows])} (first: {shown!r});"
            f" {fix}"
        )

    @property
    def as_of(self) -> np.datetime64 | None:
        return np.datetime64(self.settings.as_of, "s") if self.settings.as_of else None

    def skus(self, *tables: str) -> set[str]:
        """SKUs in these tables."""
        return {
            sku
            for table in tables
            if "sku" in self.frames[table]
            for sku in self.frames[table]["sku"].unique()
            if sku
        }


def nearest_of(known: Iterable[str], else_: str) -> Callable[[str], str]:
    """A fix for an unknown name: the nearest one that is known, else what to do."""
    folded = {name.casefold(): name for name in sorted(known)}

    def fix(name: str) -> str:
        near = [
            folded[match]
            for match in difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.7)
        ]
        return f"did you mean {near[0]!r}? {else_[:1].upper()}{else_[1:]}" if near else else_

    return fix


def iso_day(value: np.datetime64 | datetime.date | pd.Timestamp) -> str:
    return str(value)[:10]
