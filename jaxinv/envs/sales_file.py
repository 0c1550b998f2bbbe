"""A file of sales: how it is read, and a problem made of it anew or with what was fitted before."""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from jaxinv.data import FAVORITA_SPLIT, Panel, TimeSplit, load
from jaxinv.data.fingerprint import fingerprint, sales_changed
from jaxinv.data.fitted import Preparation
from jaxinv.envs.problem import Problem
from jaxinv.envs.recorded import RecordedSales, check_lengths
from jaxinv.errors import UserError


@dataclass(frozen=True, kw_only=True)
class SalesFile(RecordedSales):
    """What all presets of one file of sales share (`jaxinv.data.load`).

    What is learned of the sales from the periods that train is fitted by `build` alone; `applied`
    takes it as it is.

    Attributes:
      reader: of the file by name, or empty to recognise it.
      known_ahead: covariates known before their period begins although they move with its sales
        (see `jaxinv.data.validate`).
      frequency: "day", "week", "month", several of them such as "2-week", or empty for the file's
        own; shorter periods of the file are summed. What is counted in periods is counted in these.
      train: share of the periods that train; "published" splits come with `published_split`.
      published_split: Favorita's, train weeks 0-110 and test 118-170 with 16 weeks of warm-up, of a
        file that has them.
    """

    reader: str = ""
    known_ahead: tuple[str, ...] = ()
    frequency: str = "week"
    train: float = 0.7
    published_split: bool = False

    needs: ClassVar[str]
    """What is said where no file is given."""

    def build(self) -> Problem:
        if not self.data:
            raise UserError(f"{self.needs}; see docs/guides/own_sales.md for its columns")
        table = self.read()
        panel = Panel.from_table(table, self.frequency or None)
        split = self._split(panel)
        check_lengths(self, panel, split, split.warm_up)
        panel.check_sold(split)
        kept, fitted = self._fitted(table, panel, split)
        return self._problem(kept, split, fitted)

    def applied(self, preparation: Preparation, later: str = "") -> Problem:
        """The problem of a run, with what was fitted to its sales.

        Args:
          later: a file of sales that go on after those; the problem is then judged on these.

        Raises:
          UserError: where the run's own sales have changed, or later ones do not go on where these
            end, or have other columns or series.
        """
        table = self.read()
        if fingerprint(table) != preparation.fingerprint:
            raise sales_changed(self.data)
        panel = Panel.from_table(table, preparation.frequency)
        if later:
            both = preparation.joined(table, self.read(later), later)
            panel = Panel.from_table(both, preparation.frequency).after(panel)
        panel = preparation.select(panel)
        split = self._split(panel)
        if later:
            periods = len(panel.dates)
            if periods <= preparation.periods:
                raise UserError(
                    f"{later} has no whole {panel.frequency} after {preparation.until}, where the "
                    "run's own sales end"
                )
            train = slice(0, preparation.trained)
            test = slice(preparation.periods - split.warm_up, periods)
            none = slice(preparation.trained, preparation.trained)
            split = TimeSplit(train, none, test, split.warm_up)
        return self._problem(panel, split, preparation)

    def read(self, file: str = "") -> pd.DataFrame:
        """The table of sales that the options name, or another file that is read by them."""
        more = {"columns": self.columns, "known_ahead": self.known_ahead}
        given = {name: value for name, value in more.items() if value}
        return load(file or self.data, self.reader or None, **given, **self.reading)

    def _split(self, panel: Panel) -> TimeSplit:
        return FAVORITA_SPLIT if self.published_split else panel.split_by_time(self.train)

    def _fitted(
        self, table: pd.DataFrame, panel: Panel, split: TimeSplit
    ) -> tuple[Panel, Preparation]:
        """The series of a table that are kept, with demand in the place of sales, and what is
        learned of them from the periods that train."""
        raise NotImplementedError

    def _problem(self, panel: Panel, split: TimeSplit, fitted: Preparation) -> Problem:
        """The problem of the kept series with what was learned of them."""
        raise NotImplementedError
