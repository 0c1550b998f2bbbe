"""The ways that goods of each instance take: lanes of a plan as edges of one network.

An instance is an SKU on the whole network where locations supply each other, and else an SKU at one
location. All instances share a topology: an edge is a lane between two locations, or the n-th
supplier of a location, which may differ between SKUs. Where an SKU has no such lane, its edge never
takes orders.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from jaxinv.data.plan import LeadTimeLaw, Plan
from jaxinv.demand.arrivals import ArrivalLaw
from jaxinv.demand.quantiles import lognormal_mass
from jaxinv.envs.presets import fixed_regime

LONGEST = 2.5
"""Times its mean that a lead time of a law takes at most."""

LEAST_RECEIPTS = 8
"""Receipts of a lane from which its law of lead times is their own."""


@dataclass(frozen=True, eq=False)
class Ways:
    """S instances on a network of N nodes and E edges.

    Attributes:
      nodes: names of the places, in the order of nodes.
      sources: of each edge, a place, or None for a supplier.
      destinations: of each edge, a place.
      lane: the row of each instance's lane in the plan's lanes `[S, E]`, -1 where it has none.
      table: those lanes.
    """

    nodes: tuple[str, ...]
    sources: tuple[str | None, ...]
    destinations: tuple[str, ...]
    lane: np.ndarray
    table: pd.DataFrame

    @classmethod
    def of(
        cls, lanes: pd.DataFrame, series: pd.DataFrame, places: Sequence[str], apart: bool
    ) -> "Ways":
        """The ways of instances.

        Args:
          lanes: of a plan; those of an SKU take the place of those for all into the same location.
          series: a row an instance, with `sku`, and `location` where they are apart.
          places: all locations.
          apart: whether each instance is at one location.
        """
        general: dict[str, list[int]] = {}
        own: dict[tuple[str, str], list[int]] = {}
        for row, (sku, end) in enumerate(zip(lanes["sku"], lanes["destination"])):
            (own.setdefault((sku, end), []) if sku else general.setdefault(end, [])).append(row)
        if apart:
            ends = series["location"] if "location" in series else [places[0]] * len(series)
            found = [
                own.get((sku, end)) or general.get(end, []) for sku, end in zip(series["sku"], ends)
            ]
            width = max(map(len, found))
            lane = np.full((len(found), width), -1)
            for number, rows in enumerate(found):
                lane[number, : len(rows)] = rows
            return cls(("store",), (None,) * width, ("store",) * width, lane, lanes)
        return cls._of_network(lanes, series["sku"], places, general, own)

    @classmethod
    def _of_network(cls, lanes, skus, places, general, own) -> "Ways":
        source, inside = lanes["source"].tolist(), set(places)
        edges: dict[
            tuple[str | int, str], int
        ] = {}  # (a place or the number of a supplier, destination) -> edge
        found = np.full((len(skus), len(lanes)), -1)
        for number, sku in enumerate(skus):
            for end in places:
                suppliers = 0
                for row in own.get((sku, end)) or general.get(end, []):
                    start = source[row]
                    if start not in inside:
                        start, suppliers = suppliers, suppliers + 1
                    edge = edges.setdefault((start, end), len(edges))
                    found[number, edge] = row
        order = sorted(
            edges, key=lambda key: (isinstance(key[0], str), places.index(key[1]), str(key[0]))
        )
        lane = found[:, [edges[key] for key in order]]
        return cls(
            tuple(places),
            tuple(start if isinstance(start, str) else None for start, _ in order),
            tuple(end for _, end in order),
            lane,
            lanes,
        )

    @property
    def there(self) -> np.ndarray:
        """Which instances have a lane on which edges, bool `[S, E]`."""
        return self.lane >= 0

    @property
    def lines(self) -> np.ndarray:
        """How many instances share the lane of each `[S, E]`: an order has a line of each, as it
        were, and what it costs as a whole is shared among them."""
        count = np.bincount(self.lane[self.there], minlength=len(self.table))
        return np.where(self.there, count[self.lane], 1)

    def numbers(self, column: str) -> np.ndarray:
        """A column of the lanes `[S, E]`, 0 where it is empty or there is no lane."""
        return np.where(
            self.there, np.nan_to_num(self.table[column].to_numpy(float))[self.lane], 0.0
        )

    def text(self, column: str) -> np.ndarray:
        """A column of text `[S, E]`, empty where there is no lane."""
        values = self.table[column].astype(str).to_numpy(object)
        return np.where(self.there, values[self.lane], "")


@dataclass(frozen=True, eq=False)
class WayLeadTimes:
    """Lead times of ways in whole periods.

    Attributes:
      mean: `[S, E]`. mass: probability of 0 .. L periods `[S, E, L + 1]`. longest: L.
      shares: of a shipment that may arrive, by lane; None where all of it always does.
    """

    mean: np.ndarray
    mass: np.ndarray
    longest: int
    shares: ArrivalLaw | None

    @classmethod
    def of(cls, ways: Ways, plan: Plan, period_days: float, least: int) -> "WayLeadTimes":
        """What lanes quote, or, where a lane leaves it to its receipts and has enough of them, what
        these show; and what of a shipment arrives, by receipts.

        Args:
          period_days: days of a period; parts of one count as a whole.
          least: L is at least this.
        """
        laws, kept = {}, {}
        quoted = plan.lanes["lead_time"].notna().to_numpy()
        for row in np.unique(ways.lane[ways.there]):
            lane = ways.table.iloc[row]
            seen = plan.laws.get((lane["source"], lane["destination"]))
            mean, spread = lane["lead_time"], lane["lead_time_spread"]
            if seen is not None and seen.orders >= LEAST_RECEIPTS:
                kept[row] = _shares(seen)
            if seen is not None and len(seen.days) >= LEAST_RECEIPTS and not quoted[row]:
                laws[row] = _counted(np.ceil(seen.days / period_days - 1e-9).astype(int))
            elif spread > 0 and mean >= period_days:
                laws[row] = lognormal_mass(
                    mean / period_days, spread / mean, math.ceil(LONGEST * mean / period_days)
                )
            else:
                laws[row] = _counted(np.array([math.ceil(mean / period_days - 1e-9)]))
        longest = max(
            least, *(len(law) for law in laws.values())
        )  # so that what is ordered today fits when it is told tomorrow
        mass = np.zeros((*ways.lane.shape, longest + 1))
        mass[..., 1] = ~ways.there  # of what is not there, something
        for row, law in laws.items():
            mass[ways.lane == row, : len(law)] = law
        return cls(mass @ np.arange(longest + 1), mass, longest, _arrival_law(ways, kept))

    @property
    def fixed(self) -> bool:
        """Whether every order of an edge takes the same time."""
        return bool((self.mass.max(-1) == 1).all())

    @property
    def law(self) -> Any:
        """For `RandomLeadTimes`; None where they are fixed."""
        return (
            None
            if self.fixed
            else fixed_regime(
                np.moveaxis(np.minimum(np.cumsum(self.mass, -1), 1.0)[..., :-1], -1, -2)
            )
        )


def order_cycles(ways: Ways, first: np.datetime64, period_days: float) -> list[np.ndarray] | None:
    """For each edge 1 in the periods of a cycle in which each instance may order `[S, W]`, from a
    first period on; None where all may always.

    Periods longer than a day are open where an order day lies in them, so only what is ordered
    every several weeks is closed.
    """
    days, every = ways.table["order_days"].tolist(), ways.table["every"].fillna(1).to_numpy(int)
    anchors = ways.table["anchor"].to_numpy("datetime64[D]")
    weeks = set(every[np.unique(ways.lane[ways.there])].tolist())
    if period_days == 1:
        length = 7 * math.lcm(*weeks)
    elif period_days % 7 == 0:
        length = math.lcm(*weeks, int(period_days // 7)) // int(period_days // 7)
    else:
        length = 1
    span = np.arange(length * int(max(period_days, 1)))
    dates = first + span
    weekday = (dates.astype("datetime64[D]").astype(int) + 3) % 7
    open = np.zeros((len(ways.table), length), bool)
    for row in np.unique(ways.lane[ways.there]):
        allowed = np.isin(weekday, days[row]) if len(days[row]) else np.ones(len(span), bool)
        if every[row] > 1:
            anchor = first if np.isnat(anchors[row]) else anchors[row]
            monday = anchor - (anchor.astype(int) + 3) % 7
            allowed &= ((dates - monday).astype(int) // 7) % every[row] == 0
        open[row] = allowed.reshape(length, -1).any(1) if length > 1 else allowed.any()
    cycles = np.where(ways.there[..., None], open[ways.lane], False)  # [S, E, W]
    return (
        None
        if cycles.all()
        else [cycles[:, edge].astype(np.float32) for edge in range(cycles.shape[1])]
    )


def _counted(periods: np.ndarray) -> np.ndarray:
    return np.bincount(periods) / len(periods)


def _shares(law: LeadTimeLaw) -> dict[float, float]:
    """The shares of an order that arrive and how often: nothing, the mean of parts, all."""
    part = law.partly * (1 - law.lost)
    found = {0.0: law.lost, 1.0: 1 - law.lost - part}
    if part > 0:
        found[float(np.clip((law.arrives - (1 - law.partly)) / law.partly, 0.001, 0.999))] = part
    return {share: mass for share, mass in found.items() if mass > 0}


def _arrival_law(ways: Ways, kept: dict[int, dict[float, float]]) -> ArrivalLaw | None:
    if all(set(law) == {1.0} for law in kept.values()):
        return None
    rows = sorted(kept)
    law = ArrivalLaw.of(
        {number: kept[row] for number, row in enumerate(rows)}, len(rows) + 1
    )  # of the last, all arrives
    number = np.full(len(ways.table) + 1, len(rows))
    number[rows] = np.arange(len(rows))
    chosen = number[ways.lane]  # [S, E]
    return ArrivalLaw(
        *(np.moveaxis(np.asarray(leaf)[:, chosen], 0, 1) for leaf in (law.shares, law.cdf))
    )
