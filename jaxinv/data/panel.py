"""A panel: many sales series on one regular grid of periods, ready to be replayed, split and
scaled.

What is learned from a panel (which series are kept, their scale) is the matter of
`jaxinv.data.preparation`.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from jaxinv.data.censoring import OwnPeriods, sold_out
from jaxinv.data.fill import fill, rows_tell_of_sales
from jaxinv.data.grid import Frequency, Grid, lay_out
from jaxinv.data.schema import series_keys
from jaxinv.errors import UserError, unknown
from jaxinv.keys import Role, generator

BEFORE = "_before"
"""Ends the name of what is known of the period before: over a week, only that of its first day is
known when the week begins.
"""

LASTING = ("price", "lead_time")  # what holds until it is changed, whether something is sold or not


@dataclass(frozen=True, eq=False, repr=False)
class Panel:
    """S series over T periods.

    Attributes:
      sales: units sold, float32 [S, T].
      dates: first day of each period, datetime64[D] [T].
      series: one row a series with its `sku`, and `location` and `category` where the table has
        them.
      covariates: name -> float32 [S, T], numbers known before each period begins, without gaps.
      stock: units on hand at the start of each period, float32 [S, T], NaN where unknown; None
        without a stock column.
      frequency: "day", "week", "month", or several of them, such as "2-week".
      notes: what was odd in the table and how it was read, one line each; commands print them.
      quoted: `price` and `lead_time` where the table has them, float32 [S, T], NaN where unknown;
        lead times are in periods of the panel.
      parts: what periods were summed from, and where stock was out then; None where it never was.
    """

    sales: np.ndarray
    dates: np.ndarray
    series: pd.DataFrame
    covariates: dict[str, np.ndarray] = field(default_factory=dict)
    stock: np.ndarray | None = None
    frequency: str = "day"
    notes: tuple[str, ...] = ()
    quoted: dict[str, np.ndarray] = field(default_factory=dict)
    parts: OwnPeriods | None = None

    def __post_init__(self):
        expected = (len(self.series), len(self.dates))
        for name, grid in {"sales": self.sales, "stock": self.stock, **self.covariates}.items():
            if grid is not None and grid.shape != expected:
                raise UserError(
                    f"panel: {name!r} has shape {grid.shape}, but there are {expected[0]} series"
                    f" and {expected[1]} dates"
                )

    def __repr__(self) -> str:
        series, periods = self.sales.shape
        return (
            f"Panel({series} series, {periods} {self.frequency}s from {self.dates[0]} to"
            f" {self.dates[-1]})"
        )

    @classmethod
    def from_table(
        cls,
        table: pd.DataFrame,
        frequency: str | None = None,
        gaps: str = "zero",
        week_begins: int = 0,
    ) -> "Panel":
        """The grid from the first to the last date of a table in the sales schema.

        - Sales of a date without a row are zero, also before a series' first row.
        - Periods are found and summed as `jaxinv.data.grid.lay_out` says.
        - A covariate that all series share on each date, or those of a location, category or SKU,
          is a plan: a gap takes its value of that date. Else `promotion` is zero where unknown, and
          others keep their last known value (see `jaxinv.data.fill`): never a value from later.
          Over a week, covariates are averaged (of those that end in `_before`, the first is
          taken). Where rows exist for periods with sales only, what
          is no plan is left out and named, for its gaps would tell of sales; price and lead time
          stay, as they last.
        - `stock` is that of the week's first day; it is not filled. Lead times in days become whole
          weeks, a part of a week counting as one.

        Args:
          table: columns as in `jaxinv.data.schema`.
          frequency: "day", "week", "month", several such as "2-week", or None for the table's own.
          gaps: "zero" as above, or "error" to refuse a table with dates missing.
          week_begins: the day that weeks of days begin on, 0 for Monday to 6 for Sunday.

        Raises:
          UserError: naming the first gaps for `gaps="error"`; two rows with one date and series,
            and what `lay_out` refuses.
        """
        if gaps not in ("zero", "error"):
            raise unknown("treatment of gaps", gaps, ("zero", "error"))
        if not len(table):
            raise UserError("the sales table has no rows")
        keys = series_keys(table)
        rows = table.groupby(keys, sort=True).ngroup().to_numpy()
        grid = lay_out(table, keys, frequency, week_begins)
        columns = grid.columns
        shape = (rows.max() + 1, len(grid.own_dates))
        if shape[0] * shape[1] > 500_000_000:
            raise UserError(
                f"{shape[0]} series from {grid.own_dates[0]} to {grid.own_dates[-1]} make too large"
                " a grid; look for a mistyped date, or load fewer series"
            )

        filled = np.zeros(shape, bool)
        filled[rows, columns] = True
        first = np.unique(rows, return_index=True)[1]
        series = table.iloc[first][
            [*keys, *(["category"] if "category" in table else [])]
        ].reset_index(drop=True)
        if filled.sum() < len(table):
            raise UserError(
                f"the sales table has {len(table) - filled.sum()} surplus rows with the same date"
                " and series; validate it first"
            )
        seen = slice(columns.min(), columns.max() + 1)
        if gaps == "error" and not filled[:, seen].all():
            raise _gap_error(filled[:, seen], grid.own_dates[seen], series[keys])

        def spread(name, fill):
            values = np.full(shape, fill, np.float32)
            values[rows, columns] = table[name]
            return values

        own = spread("sales", 0.0)
        sales, stock, parts = grid.total(own), None, None
        if "stock" in table:
            given = spread("stock", np.nan)
            stock, out = grid.first(given), sold_out(own, given)
            parts = OwnPeriods(own, out, grid) if out.any() else None
        others = [
            name
            for name in table.columns
            if name not in (*keys, "date", "sales", "stock", "category")
        ]
        given = {name: spread(name, np.nan) for name in others if table[name].notna().any()}
        covariates, left_out = _covariates(given, series, rows_tell_of_sales(own, filled))
        covariates = {
            name: grid.first(values) if name.endswith(BEFORE) else grid.mean(values)
            for name, values in covariates.items()
        }
        quoted = {name: _mean_known(grid, given[name]) for name in LASTING if name in given}
        if "lead_time" in quoted and grid.starts is not None:
            quoted["lead_time"] = np.ceil(quoted["lead_time"] / np.diff(grid.starts).mean()).astype(
                np.float32
            )
        source, notes = (
            table.attrs.get("source"),
            (
                *table.attrs.get("notes", ()),
                *grid.notes,
                *left_out,
            ),
        )
        notes = tuple(f"{source}: {note}" if source else note for note in notes)
        return cls(
            sales, grid.dates, series, covariates, stock, str(grid.frequency), notes, quoted, parts
        )

    @property
    def periods_per_year(self) -> float:
        return Frequency.parse(self.frequency).per_year

    def split_by_time(self, train: float | int = 0.7, validation: float | int = 0.0) -> "TimeSplit":
        """Training periods first, then validation, then test: all that is left.

        Args:
          train, validation: shares of the periods (floats), or numbers of periods (integers). For
            explicit indices make a `TimeSplit` yourself.

        Raises:
          UserError: when no period is left for training or for the test.
        """
        periods = len(self.dates)
        counts = []
        for name, part in (("train", train), ("validation", validation)):
            if part < 0 or (isinstance(part, float) and not part < 1):
                raise UserError(
                    f"{name} is a share of the periods below 1, or a whole number of them, not"
                    f" {part}"
                )
            counts.append(round(part * periods) if isinstance(part, float) else part)
        start, stop = counts[0], sum(counts)
        if start < 1 or stop >= periods:
            raise UserError(
                f"train={train} and validation={validation} leave {start} training and"
                f" {periods - stop} test periods of {periods}; each needs at least one"
            )
        return TimeSplit(slice(0, start), slice(start, stop), slice(stop, periods))

    def split_by_sku(self, fraction: float, seed: int = 0) -> tuple["Panel", "Panel"]:
        """Two panels with no SKU in common; all locations of a SKU are on one side.

        Args:
          fraction: share of the SKUs in the first panel, above 0 and below 1.
          seed: of the draw.

        Raises:
          UserError: for an impossible fraction, or fewer than two SKUs.
        """
        skus = np.unique(self.series["sku"].to_numpy(dtype=str))
        if not 0 < fraction < 1:
            raise UserError(f"fraction is a share of SKUs above 0 and below 1, not {fraction}")
        if len(skus) < 2:
            raise UserError(f"a split by SKU needs two SKUs at least; there is only {skus[0]!r}")
        count = min(max(round(fraction * len(skus)), 1), len(skus) - 1)
        chosen = generator(Role.SERIES, seed).permutation(skus)[:count]
        first = self.series["sku"].isin(chosen).to_numpy()
        return self.rows(np.flatnonzero(first)), self.rows(np.flatnonzero(~first))

    def check_sold(self, split: "TimeSplit") -> None:
        """Refuses a split whose training or scored test has no sale at all: nothing could be
        learned, or told.

        Raises:
          UserError: naming the periods.
        """
        for part in ("train", "test"):
            dates, sales = self.dates[split.scored(part)], self.sales[:, split.scored(part)]
            if len(dates) and not (sales > 0).any():
                raise UserError(
                    f"no series sold anything in the {part} periods, {dates[0]} to {dates[-1]};"
                    " look for a mistyped date, or delete the rows after the last sale"
                )

    def after(self, past: "Panel") -> "Panel":
        """This panel with the covariates of one that has its first periods alone: gaps there stay
        filled as they were, whatever came later."""
        periods = len(past.dates)
        covariates = {
            name: np.concatenate([past.covariates[name], values[:, periods:]], axis=1)
            for name, values in self.covariates.items()
            if name in past.covariates
        }
        return replace(self, covariates=covariates)

    def rows(self, rows: np.ndarray) -> "Panel":
        """The series at these numbers."""
        return replace(
            self,
            sales=self.sales[rows],
            series=self.series.iloc[rows].reset_index(drop=True),
            covariates={name: values[rows] for name, values in self.covariates.items()},
            stock=None if self.stock is None else self.stock[rows],
            quoted={name: values[rows] for name, values in self.quoted.items()},
            parts=None if self.parts is None else self.parts.rows(rows),
        )


@dataclass(frozen=True)
class TimeSplit:
    """Which periods train, choose and test.

    Attributes:
      train, validation, test: slices of periods. Those of validation and test begin with the
        warm-up.
      warm_up: periods at the start of validation and test that only fill histories and pipelines
        and are not scored; they may overlap what comes before.

    Raises:
      UserError: when a slice has no scored period, or the scored test periods overlap those of
        training.
    """

    train: slice
    validation: slice
    test: slice
    warm_up: int = 0

    def __post_init__(self):
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        for name, part in parts.items():
            if (
                part.start is None
                or part.stop is None
                or part.step not in (None, 1)
                or not 0 <= part.start <= part.stop
            ):
                raise UserError(
                    f"time split: {name} is slice(start, stop) with 0 <= start <= stop, not {part}"
                )
        for name in ("train", "test"):
            if self.scored(name).start >= parts[name].stop:
                raise UserError(
                    f"time split: {name} has no scored periods: {parts[name]} with {self.warm_up}"
                    " periods of warm-up"
                )
        if self.scored("test").start < self.train.stop:
            raise UserError(
                f"time split: scored test periods begin at {self.scored('test').start}, within the"
                f" training periods that end before {self.train.stop}; a later test keeps it honest"
            )

    def scored(self, part: str) -> slice:
        """The periods of "train", "validation" or "test" without the warm-up."""
        if part == "train":
            return self.train
        whole = {"validation": self.validation, "test": self.test}[part]
        return slice(
            whole.start + self.warm_up if whole.stop > whole.start else whole.start, whole.stop
        )


# Alvo et al., "Neural inventory control": weeks 0-110, 88-140 and 118-170, the first 16 of
# validation and test being warm-up. As published, scored validation weeks 104-110 also train and
# 134-140 also test; no training week is tested.
FAVORITA_SPLIT = TimeSplit(slice(0, 111), slice(88, 141), slice(118, 171), warm_up=16)


def calendar_features(dates: np.ndarray, frequency: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """What the calendar alone tells about each period.

    Args:
      dates: first day of each period, datetime64 [T].
      frequency: as `Frequency.parse` reads it; the day of the week is told for days only.

    Returns:
      Features float32 [T, C] and their names [C]: sine and cosine of the day of the week and of the
        year, in
      [-1, 1], and the time to the next 25 December in years, in [0, 1].
    """
    frequency = str(Frequency.parse(frequency))
    index = pd.DatetimeIndex(np.asarray(dates).astype("datetime64[s]"))
    angles = {"week": index.day_of_week / 7} if frequency == "day" else {}
    angles["year"] = (index.day_of_year - 1) / 365.25
    features = {}
    for name, turns in angles.items():
        features[f"sin_{name}"] = np.sin(2 * np.pi * turns)
        features[f"cos_{name}"] = np.cos(2 * np.pi * turns)
    past = (index.month == 12) & (index.day > 25)
    christmas = pd.DatetimeIndex([f"{year}-12-25" for year in index.year + past])
    features["to_christmas"] = (christmas - index).days / 366
    return np.stack(list(features.values()), axis=1).astype(np.float32), tuple(features)


def _covariates(
    given: dict[str, np.ndarray], series: pd.DataFrame, sparse: bool
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Covariates [S, T] without gaps, and a note on those that are left out since their gaps would
    tell of sales.
    """
    keys = [name for name in ("location", "category", "sku") if name in series]
    groups = [
        np.zeros(len(series), int),
        *(series.groupby(key).ngroup().to_numpy() for key in keys),
    ]
    found = {
        name: fill(values, groups, zero=name == "promotion", sparse=sparse and name not in LASTING)
        for name, values in given.items()
    }
    kept = {name: values for name, values in found.items() if values is not None}
    left_out = [name for name in found if name not in kept]
    if not left_out:
        return kept, []
    note = (
        f"{', '.join(left_out)} left out: the table has rows only where something was sold, and"
        " other series of those dates do not tell the missing values, so that a gap would tell of"
        " no sales; add rows with sales 0 to keep it"
    )
    return kept, [note]


def _mean_known(grid: Grid, values: np.ndarray) -> np.ndarray:
    """The mean over what is known in each period, float32 [S, T]; NaN where nothing is."""
    known = ~np.isnan(values)
    total, count = (
        grid.total(np.where(known, values, 0).astype(float)),
        grid.total(known.astype(float)),
    )
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _gap_error(filled: np.ndarray, dates: np.ndarray, series: pd.DataFrame) -> UserError:
    missing = np.argwhere(~filled)
    places = "; ".join(
        f"{dates[t]}, {' at '.join(map(repr, series.iloc[s]))}" for s, t in missing[:5]
    )
    return UserError(
        f"{len(missing)} dates have no row between {dates[0]} and {dates[-1]}, the first: {places};"
        ' add the rows, or use gaps="zero" if nothing was sold then'
    )
