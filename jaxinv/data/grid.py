"""The regular periods behind a table's dates: which step they have, and in which period each row
lies.

The step is found from the dates within each series, by what most of them do, so that one date a day
off, or series whose weeks begin on different days, leave weeks weeks. What is odd is named with its
row; what would make periods of zeros out of dates is refused.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from jaxinv.errors import UserError, unknown

FREQUENCIES = ("day", "week", "month")
"""Names of periods; `2-week` or `3-month` are several of them in one."""

_DAYS_OF = {"day": 1, "week": 7, "month": 30}
_MOST = 0.8  # share of a table's dates that show its step; fewer of them are odd
_LONE_GAP = 180  # days; a date further than this from all others may be a mistyped year
_FEW = 5  # rows named in a message before "and so on"


@dataclass(frozen=True)
class Frequency:
    """A period of `count` days, weeks or months; its text is `day`, `week`, `2-week`, `month` …"""

    count: int
    unit: str

    @classmethod
    def parse(cls, text: str) -> "Frequency":
        """From a text such as `week`, `2-week` or `3 months`.

        Raises:
          UserError: for anything else.
        """
        found = re.fullmatch(r"(?:([1-9]\d?)[- ]?)?(day|week|month)s?", text.strip())
        if not found or (found[2] == "day" and found[1] not in (None, "1")):
            raise unknown("frequency", text, (*FREQUENCIES, "2-week", "3-month"))
        return cls(int(found[1] or 1), found[2])

    def __str__(self) -> str:
        return self.unit if self.count == 1 else f"{self.count}-{self.unit}"

    @property
    def per_year(self) -> float:
        """Periods in a year."""
        return (12.0 if self.unit == "month" else 365.0 / _DAYS_OF[self.unit]) / self.count

    @property
    def days(self) -> float:
        """Days of a period; months have 365 / 12."""
        return 365.0 / self.per_year if self.unit == "month" else self.size

    @property
    def size(self) -> int:
        """Length of a period in the units of `at`: days, or months."""
        return self.count * (7 if self.unit == "week" else 1)

    def at(self, days: np.ndarray) -> np.ndarray:
        """Dates as whole numbers: days, or months, since 1970 began."""
        return days.astype("datetime64[M]" if self.unit == "month" else "datetime64[D]").astype(int)

    def first_day(self, at: np.ndarray) -> np.ndarray:
        """The inverse of `at`, datetime64[D]."""
        return (
            np.asarray(at)
            .astype("datetime64[M]" if self.unit == "month" else "datetime64[D]")
            .astype("datetime64[D]")
        )

    def after(self, date: np.datetime64, periods: int | np.ndarray = 1) -> np.ndarray:
        """The first day of the period so many after that of a date, datetime64[D]."""
        return self.first_day(self.at(np.asarray(date)) + self.size * np.asarray(periods))[()]


@dataclass(frozen=True)
class Grid:
    """Regular periods and where the rows of a table lie in them.

    Attributes:
      frequency: of the periods asked for.
      dates: first day of each of these periods, datetime64[D] `[T]`.
      own_dates: first day of each period of the table's own step, datetime64[D] `[O]`; the same
        where nothing is summed.
      columns: own period of each row, `[rows]`.
      starts: own period that each period begins with, and the one after the last, `[T + 1]`; None
        where nothing is summed.
      notes: what was found odd and how it was read, one line each.
    """

    frequency: Frequency
    dates: np.ndarray
    own_dates: np.ndarray
    columns: np.ndarray
    starts: np.ndarray | None
    notes: tuple[str, ...]

    def total(self, values: np.ndarray) -> np.ndarray:
        """Values of own periods `[S, O]`, summed over each period: `[S, T]`."""
        if self.starts is None:
            return values
        first, last = self.starts[0], self.starts[-1]
        return np.add.reduceat(values[:, first:last], self.starts[:-1] - first, axis=1)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Values of own periods `[S, O]`, averaged over each period: `[S, T]`."""
        if self.starts is None:
            return values
        return (self.total(values.astype(float)) / np.diff(self.starts)).astype(values.dtype)

    def first(self, values: np.ndarray) -> np.ndarray:
        """Values of own periods `[S, O]` at the start of each period: `[S, T]`."""
        return values if self.starts is None else values[:, self.starts[:-1]]


def lay_out(
    table: pd.DataFrame, keys: list[str], frequency: str | None = None, week_begins: int = 0
) -> Grid:
    """The periods of a table in the sales schema.

    Periods that are summed from shorter ones are weeks, or months of the calendar; the first and
    the last are left out where their dates begin later, or end earlier, than is usual in this
    table. A table that is not summed keeps its own weekday.

    Args:
      keys: the columns that name a series.
      frequency: as `Frequency.parse` reads it, or None for the table's own step.
      week_begins: the day that weeks of days begin on, 0 for Monday to 6 for Sunday.

    Raises:
      UserError: for dates that have no step, a step that the frequency does not fit, a lone date
        far from all others, two rows of a series in one period, or no whole period.
    """
    wanted = None if frequency is None else Frequency.parse(frequency)
    try:
        return _lay_out(table, keys, wanted, week_begins)
    except UserError as error:
        source = table.attrs.get("source")
        raise (UserError(f"{source}: {error}") if source else error) from None


def _lay_out(
    table: pd.DataFrame, keys: list[str], wanted: Frequency | None, week_begins: int
) -> Grid:
    days = table["date"].to_numpy().astype("datetime64[D]")
    rows = table.groupby(keys, sort=True).ngroup().to_numpy()
    _refuse_lone_dates(table, keys, days)
    own = _own_step(days, rows)
    wanted = wanted or own
    _check_fit(own, wanted)
    at, notes = _regular(table, keys, own, own.at(days), rows)
    first = at.min()
    if wanted == own:
        own_at = np.arange(first, at.max() + 1, own.size)
        dates, starts = own.first_day(own_at), None
        own_dates = dates
    else:
        own_dates, starts, more = _whole_periods(own, wanted, at, week_begins)
        first = own.at(own_dates[:1])[0]
        dates = own_dates[starts[:-1]]
        notes += more
    columns = (at - first) // own.size
    notes += _empty_stretches(days[table["sales"].to_numpy() > 0], days, own)
    return Grid(wanted, dates, own_dates, columns, starts, tuple(notes))


def place_of(table: pd.DataFrame, keys: list[str], row: int) -> str:
    """Where a row stands: its line in the file where that is known, its date and series."""
    line = f"{table.index.name} {table.index[row]}: " if table.index.name else ""
    return (
        f"{line}{table['date'].iloc[row]:%Y-%m-%d},"
        f" {' at '.join(repr(table[key].iloc[row]) for key in keys)}"
    )


def _places(table: pd.DataFrame, keys: list[str], rows: np.ndarray) -> str:
    shown = "; ".join(place_of(table, keys, row) for row in rows[:_FEW])
    return shown + (f" … ({len(rows)} rows)" if len(rows) > _FEW else "")


def _own_step(days: np.ndarray, rows: np.ndarray) -> Frequency:
    """The step that most dates of most series show."""
    if days.min() == days.max():
        raise UserError(
            f"the sales table has one date only, {days[0]}; a series needs two at least"
        )
    gaps = _gaps(days, rows)
    if not gaps.any():  # one date a series: only together do they show a step
        days = np.unique(days)
        rows = np.zeros(len(days), int)
        gaps = _gaps(days, rows)
    several = np.bincount(rows)[rows] > 1
    days, rows = days[several], rows[several]
    months = days.astype("datetime64[M]")
    of_month = (days - months.astype("datetime64[D]")).astype(int)
    ends = days + 1 == (months + 1).astype("datetime64[D]")
    if max(_share_of_mode(rows, of_month, 31), ends.mean()) >= _MOST:
        own = Frequency(_multiple(_gaps(months, rows)), "month")
    elif _share_of_mode(rows, weekday(days), 7) >= _MOST:
        own = Frequency(_multiple(gaps[::7]), "week")
    else:
        own = Frequency(1, "day")
    # Rare sales leave gaps of all lengths; dates that are all far apart, but not by one step, are
    # some other period.
    near, middle = _quantile(gaps, 0.1), _quantile(gaps, 0.5)
    least = 5 if own.unit == "day" else own.count * (7 if own.unit == "week" else 31) + 3
    if near >= least and near >= 0.5 * middle:
        raise UserError(
            f"dates of a series are mostly {near} to {_quantile(gaps, 0.9)} days apart, by no step"
            " of days, weeks or months; give sales by day, week or month, with rows of 0 where"
            " nothing was sold"
        )
    return own


def _gaps(dates: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """How often the dates of a series are 0, 1, 2 ... of their own unit apart; 0 is not counted."""
    order = np.lexsort([dates, rows])
    gaps = np.bincount(np.diff(dates[order]).astype(int)[np.diff(rows[order]) == 0], minlength=1)
    gaps[0] = 0
    return gaps


def _quantile(gaps: np.ndarray, share: float) -> int:
    """The least gap that at least a share of all do not exceed."""
    return int(np.searchsorted(gaps.cumsum(), share * gaps.sum()))


def _share_of_mode(rows: np.ndarray, kind: np.ndarray, kinds: int) -> float:
    """Share of rows that are of the kind which is the most common in their series."""
    return _counts(rows, kind, kinds).max(axis=1).sum() / len(rows)


def _counts(rows: np.ndarray, kind: np.ndarray, kinds: int) -> np.ndarray:
    """How many rows of each kind a series has, `[S, kinds]`."""
    return np.bincount(rows * kinds + kind, minlength=(rows.max() + 1) * kinds).reshape(-1, kinds)


def _multiple(gaps: np.ndarray) -> int:
    """The largest number that most gaps are multiples of."""
    most = max(_quantile(gaps, 0.5), 1)
    return next(n for n in range(most, 0, -1) if gaps[::n].sum() >= 0.9 * gaps.sum())


def _check_fit(own: Frequency, wanted: Frequency) -> None:
    """Refuses to read a table by a period that its own step does not fill."""
    if own.unit == "day" or (own.unit == wanted.unit and wanted.count % own.count == 0):
        return
    if own == Frequency(1, "week") and wanted.unit == "day":
        raise UserError(
            "all dates fall on one weekday: weekly sales cannot be read by day; use"
            ' frequency="week"'
        )
    apart = f"{own.count} {own.unit}s apart" if own.count > 1 else f"a {own.unit} apart"
    raise UserError(
        f'dates are {apart}: such sales cannot be read by {wanted}; use frequency="{own}" (lead'
        " times and all else that counts "
        "periods then count"
        f" {apart.removesuffix(' apart').replace('a ', '') + ('s' if own.count == 1 else '')})"
    )


def _regular(
    table: pd.DataFrame, keys: list[str], own: Frequency, at: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """The dates `[rows]` (as `Frequency.at`) moved to the nearest period of the table's most common
    start, and notes on it.
    """
    if own.size == 1 and own.unit == "day":
        return at, []
    size, half = own.size, own.size // 2

    def off(values, start):
        return (values - start + half) % size - half

    starts = _counts(rows, at % size, size).argmax(axis=1)  # of each series
    common = np.bincount(at % size, minlength=size).argmax()
    odd, moved = off(at, starts[rows]), off(starts, common)
    at = at - odd - moved[rows]
    _refuse_two_in_one(table, keys, own, at, rows)
    notes = []
    if odd.any():
        notes.append(
            f"dates off the {own} of their series, read as the nearest {own}: "
            f"{_places(table, keys, np.flatnonzero(odd))}"
        )
    if moved.any():
        series = np.flatnonzero(moved)
        example = " at ".join(repr(table[key].iloc[np.argmax(rows == series[0])]) for key in keys)
        notes.append(
            f"{len(series)} of {len(starts)} series begin their {own}s on other days than most"
            f" (such as {example}); they are read as the nearest {own}"
        )
    return at, notes


def _refuse_two_in_one(table, keys, own: Frequency, at: np.ndarray, rows: np.ndarray) -> None:
    order = np.lexsort([at, rows])
    again = (np.diff(at[order]) == 0) & (np.diff(rows[order]) == 0)
    if again.any():
        first, second = order[np.argmax(again)], order[np.argmax(again) + 1]
        raise UserError(
            f"two rows of one series fall in one {own} in {again.sum()} places, the first:"
            f" {place_of(table, keys, first)}, and {place_of(table, keys, second)}; correct the"
            " mistyped date, or add the rows up"
        )


def _whole_periods(
    own: Frequency, wanted: Frequency, at: np.ndarray, week_begins: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Own dates from the first to the last period wanted, the own periods at which whole periods
    begin, and notes.
    """
    days = np.unique(own.first_day(at))
    traded = wanted.at(days)
    # Weeks of days begin on a given day, months are of the calendar; longer weeks go on as the
    # table does.
    into = (weekday(days[:1])[0] - week_begins) % 7 if own.unit == "day" else 0
    begin = 0 if wanted.unit == "month" else traded[0] - into
    number = (traded - begin) // wanted.size
    first = np.unique(number, return_index=True)[1]
    last = np.append(first[1:], len(days)) - 1
    length = own.first_day(own.at(days) + own.size)  # the day after each own period
    before = (days[first] - wanted.first_day(begin + number[first] * wanted.size)).astype(int)
    after = (wanted.first_day(begin + (number[first] + 1) * wanted.size) - length[last]).astype(int)
    start, stop = number[0], number[-1] + 1
    notes = []
    if before[0] > (np.median(before[1:]) if len(before) > 1 else 0):
        start += 1
        notes.append(f"the first {wanted}, which begins on {days[0]} only, is left out")
    if after[-1] > (np.median(after[:-1]) if len(after) > 1 else 0):
        stop -= 1
        notes.append(f"the last {wanted}, which ends on {days[-1]} already, is left out")
    if stop <= start:
        monday = wanted == Frequency(1, "week") and not week_begins
        span = ", Monday to Sunday," if monday else ""
        raise UserError(f"no whole {wanted}{span} between {days[0]} and {days[-1]}; give more days")
    bounds = wanted.first_day(begin + np.arange(number[0], number[-1] + 2) * wanted.size)
    ends = own.at(bounds)
    own_dates = own.first_day(np.arange(ends[0], ends[-1], own.size))
    starts = (ends - ends[0]) // own.size
    return own_dates, starts[start - number[0] : stop - number[0] + 1], notes


def _refuse_lone_dates(table: pd.DataFrame, keys: list[str], days: np.ndarray) -> None:
    """Refuses dates that stand alone, far before or after all others: one mistyped year would make
    years of zeros.
    """
    dates, counts = np.unique(days, return_counts=True)
    few, gaps = max(1, len(days) // 100), np.diff(dates).astype(int)
    for cut in np.flatnonzero(gaps >= _LONE_GAP):
        early = counts[: cut + 1].sum()
        late = len(days) - early
        rest = gaps[cut + 1 :] if early <= late else gaps[:cut]
        if min(early, late) <= few and len(rest) and gaps[cut] >= 5 * rest.max():
            lone = np.flatnonzero(days <= dates[cut] if early <= late else days > dates[cut])
            raise UserError(
                f"dates far from all others ({gaps[cut]} days without any row):"
                f" {_places(table, keys, lone)}; correct the mistyped year or delete the row; if it"
                " is right, add rows of 0 for the time between"
            )


def _empty_stretches(sold: np.ndarray, days: np.ndarray, own: Frequency) -> list[str]:
    """Names the longest times without any sale that rare sales do not explain."""
    points = np.unique(np.concatenate([sold, [days.min(), days.max()]]))
    gaps = np.diff(points).astype(int)
    if not len(gaps):
        return []
    step = own.count * _DAYS_OF[own.unit]
    long = np.flatnonzero(gaps > max(28, 4 * step, 5 * gaps.mean()))
    shown = ", ".join(f"{points[g]} to {points[g + 1]}" for g in long[:_FEW])
    return [f"no series sold anything between {shown}; read as no demand"] if len(long) else []


def weekday(dates: np.ndarray) -> np.ndarray:
    """0 for Monday to 6 for Sunday."""
    return (dates.astype("datetime64[D]").astype(int) + 3) % 7  # 1970-01-01 was a Thursday
