"""What is fitted to a table of sales once: kept with a run, and applied to later sales as it is."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxinv.data.censoring import Estimates, Law
from jaxinv.data.fingerprint import fingerprint
from jaxinv.data.panel import Panel, TimeSplit
from jaxinv.data.preparation import Prepared
from jaxinv.data.schema import series_keys
from jaxinv.errors import UserError

SCHEMA = 1
"""Of the file; another one is refused."""

DENSE = 0.5
"""Least share of the dates that later sales usually have: with fewer, days are missing rather than
without a sale."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Preparation:
    """S series and what was learned of them from the periods that train.

    In a network a series is an SKU at a store, and an instance an SKU with a place for each store;
    elsewhere a series is an instance.

    Attributes:
      fingerprint: of the table of sales (`jaxinv.data.fingerprint`).
      frequency: of the periods.
      trained: T', periods that train; what is said of demand, covariates, prices and lead times is
        from these.
      periods: T, all that the table has.
      until: the last date of the table, `YYYY-MM-DD`.
      series: the kept series, one mapping of key columns (`sku`, `location`) each.
      dropped: the name of each instance that was left out, and the reason.
      begins: the period from which sales of each series are demand `[S]`; T where there are none.
      scale: mean demand a period of each, in units, float64 `[S]`.
      covariates: mean and standard deviation in training of each that policies are told, by name.
      by_place: names of those that are told of each place; of others there is one for all places.
      places: names of the places of an instance, in order; empty where it has one.
      lead_time: mean of each series, in periods, float64 `[S]`; None in a network.
      lead_time_mass: probability of each lead time 0, 1, … of each series `[S, L + 1]`; None where
        it is fixed.
      longest: L, the longest lead time.
      price: of each series, money a unit, `[S]`; None where there is none, or a network draws it.
      laws: of demand in a part of a period, where stock was out (`jaxinv.data.censoring`); None for
        other series.
      estimates: for each series the parts of periods whose demand is an estimate, and their units.
      held_out: numbers of the instances that learners are not shown.
      notes: what people are told of it, one line each.
    """

    fingerprint: str
    frequency: str
    trained: int
    periods: int
    until: str
    series: tuple[dict[str, str], ...]
    dropped: tuple[tuple[str, str], ...]
    begins: np.ndarray
    scale: np.ndarray
    covariates: dict[str, tuple[float, float]]
    by_place: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    lead_time: np.ndarray | None = None
    lead_time_mass: np.ndarray | None = None
    longest: int = 0
    price: np.ndarray | None
    laws: tuple[Law | None, ...]
    estimates: tuple[tuple[np.ndarray, np.ndarray], ...]
    held_out: tuple[int, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        split: TimeSplit,
        prepared: Prepared,
        notes: Sequence[str] = (),
        **more: Any,
    ) -> "Preparation":
        """What was learned of a table.

        Args:
          prepared: its series.
          notes: what people are told beside the notes of these.
          more: what a preset learned by itself: `held_out`, `price` and all that has a default.
        """
        panel, keys = prepared.panel, series_keys(prepared.panel.series)
        names = panel.series[keys].astype(str).to_dict("records")
        return cls(
            fingerprint=fingerprint(table),
            frequency=panel.frequency,
            trained=split.train.stop,
            periods=len(panel.dates),
            until=str(table["date"].max().date()),
            series=tuple(names),
            dropped=prepared.dropped,
            begins=prepared.begins,
            scale=prepared.scale,
            covariates=prepared.covariates,
            by_place=prepared.by_place,
            notes=(*prepared.notes, *notes),
            **_fitted_demand(prepared.estimates, len(names)),
            **more,
        )

    @property
    def text(self) -> str:
        """As JSON, with every number to its last digit."""
        return json.dumps(
            {"schema": SCHEMA, **dataclasses.asdict(self)}, default=_plain, allow_nan=False
        )

    @classmethod
    def read(cls, path: Path) -> "Preparation":
        """What `text` wrote.

        Raises:
          UserError: for a file that is damaged or of another version.
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found.pop("schema") != SCHEMA:
                raise UserError(f"{path}: written by another version of jaxinv; train anew")
            return cls(
                **found
                | {"begins": np.asarray(found["begins"], int)}
                | {
                    name: _numbers(found[name])
                    for name in ("scale", "lead_time", "lead_time_mass", "price")
                }
                | {name: tuple(found[name]) for name in ("series", "held_out", "notes")}
                | {name: tuple(found.get(name, ())) for name in ("by_place", "places")}
                | {
                    "dropped": tuple(map(tuple, found["dropped"])),
                    "covariates": {
                        name: tuple(moments) for name, moments in found["covariates"].items()
                    },
                    "laws": tuple(law and tuple(map(np.asarray, law)) for law in found["laws"]),
                    "estimates": tuple(
                        (np.asarray(parts, int), np.asarray(units, np.float32))
                        for parts, units in found["estimates"]
                    ),
                }
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{path}: cannot be read as the preparation of a run ({error}); train anew"
            ) from None

    def joined(self, table: pd.DataFrame, later: pd.DataFrame, name: str) -> pd.DataFrame:
        """The table that this was fitted to with the rows of a later one behind it.

        Rows of the later table up to the last date of the first are passed over, for the past stays
        what it was, and so are series that this does not know. Which are new, and which known ones
        have no later row, is among its notes.

        Args:
          name: of the later file, for messages.

        Raises:
          UserError: a column is missing, nothing is later, much of the time since is missing, or
            nothing is of these series.
        """
        missing = [column for column in table.columns if column not in later.columns]
        if missing:
            raise UserError(f"{name} has no column {missing[0]!r}, which the run was trained with")
        until = pd.Timestamp(self.until)
        new = later[later["date"] > until]
        if not len(new):
            last = later["date"].max().date()
            raise UserError(
                f"{name} ends on {last} and the run's own sales on {self.until}; give sales that go"
                " on after that"
            )
        usual = _dates_a_day(table["date"], table["date"].min() - pd.Timedelta(1, "D"))
        if _dates_a_day(new["date"], until) < DENSE * usual:
            raise UserError(
                f"{name} has rows on {new['date'].nunique()} of the"
                f" {(new['date'].max() - until).days} days after {self.until}, where the run's own"
                f" sales end, and these on {usual:.0%} of theirs; give the sales of all days up to"
                " its last"
            )
        keys = series_keys(table)
        known = _names(pd.DataFrame(list(self.series))[keys])
        there = _names(new[keys])
        is_known = there.isin(known)
        if not is_known.any():
            raise UserError(
                f"{name} has none of the {len(self.series)} series that the run was trained on"
            )
        both = pd.concat([table, new[is_known][list(table.columns)]], ignore_index=True)
        told = {
            "series are new since training, and passed over": there.difference(_names(table[keys])),
            "series that the run knows have no row there, and are read as not sold; look for a name"
            " that has changed": known.difference(there),
        }
        notes = [
            f"{which.nunique()} {what} ({_few(which)})"
            for what, which in told.items()
            if len(which)
        ]
        both.attrs = dict(table.attrs) | {
            "source": f"{table.attrs.get('source', 'the first sales')} with {name}",
            "notes": (*table.attrs.get("notes", ()), *notes),
        }
        return both

    def select(self, panel: Panel) -> Panel:
        """The kept series of a panel, with demand in the place of sales."""
        keys = list(self.series[0])
        there = {
            tuple(row): number
            for number, row in enumerate(panel.series[keys].astype(str).itertuples(index=False))
        }
        kept = panel.rows(
            np.asarray([there[tuple(names[key] for key in keys)] for names in self.series])
        )
        if kept.parts is None:
            return kept
        return dataclasses.replace(
            kept, sales=kept.parts.later(self._known(kept)).demand.astype(np.float32)
        )

    def _known(self, panel: Panel) -> Estimates:
        """Demand of the parts that the table had, as it was estimated then."""
        parts = panel.parts
        size = max((int(found.max()) + 1 for found, _ in self.estimates if len(found)), default=0)
        size = max(size, self._parts(parts.grid))
        units, where = parts.sales[:, :size].copy(), np.zeros((len(parts.sales), size), bool)
        for row, (found, values) in enumerate(self.estimates):
            units[row, found], where[row, found] = values, True
        return Estimates(units, where, self.laws, parts.grid)

    def _parts(self, grid: Any) -> int:
        """How many parts of periods the table had."""
        return int(np.searchsorted(grid.own_dates, np.datetime64(self.until), "right"))


def _fitted_demand(estimates: Estimates | None, series: int) -> dict[str, Any]:
    """`laws` and `estimates` of a `Preparation`."""
    if estimates is None:
        nothing = (np.zeros(0, int), np.zeros(0, np.float32))
        return {"laws": (None,) * series, "estimates": (nothing,) * series}
    found = [np.flatnonzero(row) for row in estimates.where]
    return {
        "laws": estimates.laws,
        "estimates": tuple((parts, units[parts]) for parts, units in zip(found, estimates.units)),
    }


def _names(series: pd.DataFrame) -> pd.MultiIndex:
    """The names of series, each once for every row."""
    return pd.MultiIndex.from_frame(series.astype(str))


def _few(names: pd.MultiIndex) -> str:
    shown = [" / ".join(name) for name in names.unique()[:3]]
    return ", ".join(shown) + (" …" if names.nunique() > 3 else "")


def _dates_a_day(dates: pd.Series, after: pd.Timestamp) -> float:
    """How many dates there are for each day after one."""
    return dates.nunique() / (dates.max() - after).days


def _numbers(values: list | None) -> np.ndarray | None:
    return None if values is None else np.asarray(values, float)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
