"""A file of sales: how it is read, and a problem made of it anew or with what was fitted before."""

from dataclasses import dataclass, field
from typing import ClassVar

import pandas as pd

from jaxinv.data import FAVORITA_SPLIT, Panel, TimeSplit, load
from jaxinv.data.fingerprint import absolute, changed, fingerprint
from jaxinv.data.fitted import Preparation
from jaxinv.envs.held_out import check_validation
from jaxinv.envs.problem import Preset, Problem, not_negative
from jaxinv.envs.recorded import check_lengths
from jaxinv.errors import UserError


@dataclass(frozen=True, kw_only=True)
class SalesFile(Preset):
    """What all presets of one file of sales share.

    What is learned of the sales from the periods that train is fitted by `build` alone; `applied`
    takes it as it is.

    Attributes:
      data: a file or directory of sales, see `jaxinv.data.load`.
      reader: its reader by name, or empty to recognise it.
      columns: schema name -> column of the file, such as `columns.sales=units`.
      known_ahead: covariates known before their period begins although they move with its sales
        (see `jaxinv.data.validate`).
      dates, decimal, returns, lines: how the file is written, where its cells do not tell
        (`jaxinv.data.schema.Reading`).
      frequency: "day", "week", "month", several of them such as "2-week", or empty for the file's
        own; shorter periods of the file are summed. What is counted in periods is counted in these.
      train: share of the periods that train; "published" splits come with `published_split`.
      published_split: Favorita's, train weeks 0-110 and test 118-170 with 16 weeks of warm-up, of a
        file that has them.
      life_cycles: whether a series begins with its first sale (or stock) and may be discontinued,
        see `jaxinv.data.preparation`; otherwise all are taken to be sold throughout, as benchmarks
        in print do.
      max_series: most instances to keep; 0 for all.
      instance_seed: of what is drawn for the instances, and of which are kept and held out.
      validation: share of the instances that learners are not shown, to choose the best of their
        policies on; where these are too few, of the training periods instead, the last of which are
        held out (`jaxinv.envs.held_out`). 0 for neither.
      level_spread: augmentation of training episodes, the standard deviation of an instance's log
        level.
    """

    data: str = ""
    reader: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    known_ahead: tuple[str, ...] = ()
    dates: str = ""
    decimal: str = ""
    returns: str = ""
    lines: str = ""
    frequency: str = "week"
    train: float = 0.7
    published_split: bool = False
    life_cycles: bool = True
    max_series: int = 0
    instance_seed: int = 0
    validation: float = 0.2
    level_spread: float = 0.3
    horizon: int = 40
    history: int = 16

    needs: ClassVar[str]
    """What is said where no file is given."""

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "data", absolute(self.data))
        not_negative(self, "max_series", "level_spread")
        check_validation(self)

    def build(self) -> Problem:
        if not self.data:
            raise UserError(f"{self.needs}; see the README for its columns")
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
            raise changed(self.data)
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
        names = ("columns", "known_ahead", "dates", "decimal", "returns", "lines")
        given = {name: value for name in names if (value := getattr(self, name))}
        return load(file or self.data, self.reader or None, **given)

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
