"""What couples the lines of one order or one place: the least that a supplier takes, a budget,
room.

The policy decides line by line. Where the lines of a lane come to less than its minimum, packs are
added where they cost least, by what a pack more costs in the simulator for the money or the units
that it brings; or all wait for the next order day, if that costs less. Where a budget or the room
of a place is exceeded, packs are taken away where that costs least. Costs are found anew after each
round of packs, for the second pack of a line is not worth what the first was.
"""

import dataclasses
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from jaxinv.orders.futures import Futures
from jaxinv.orders.lines import Lines
from jaxinv.orders.risk import LineRisks, line_risks
from jaxinv.orders.today import Today

ROUNDS = 12
"""Most rounds of packs; what is then still missing is spread over all lines."""


@dataclass(frozen=True, eq=False)
class Limits:
    """What couples lines.

    Attributes:
      minimum_units, minimum_money: by row of the plan's lanes, the least order.
      most: by row of the plan's lanes, units that all its orders of a day may have together.
      budget: money for all orders at suppliers of a day, in the plan's currency; None: any.
      capacity: by name of a place, units of `volume` that it has room for.
      volume: of a unit of each instance `[S]`.
      price: money of a unit on each edge `[S, E]`, in the currency of its lane.
      worth: the same in the plan's currency.
    """

    price: np.ndarray
    worth: np.ndarray
    volume: np.ndarray
    minimum_units: dict[int, float] = field(default_factory=dict)
    minimum_money: dict[int, float] = field(default_factory=dict)
    most: dict[int, float] = field(default_factory=dict)
    budget: float | None = None
    capacity: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, today: Today, price: np.ndarray, currency: np.ndarray) -> "Limits":
        """Those of a plan; none without one.

        Args:
          price, currency: of a unit on each edge `[S, E]` (`jaxinv.orders.order_list.prices`).
        """
        plan = today.plan
        if plan is None:
            return cls(price, price, np.ones(len(today.skus)))
        rows = np.unique(np.asarray(today.lane)[np.asarray(today.lane) >= 0])

        def of_lanes(column):
            values = plan.lanes[column]
            return {int(row): float(values.iat[row]) for row in rows if values.iat[row] > 0}

        return cls(
            price,
            price * plan.settings.rates_of(currency),
            plan.items["volume"].reindex(today.skus).fillna(1.0).to_numpy(float),
            minimum_units=of_lanes("minimum_units"),
            minimum_money=of_lanes("minimum_money"),
            most=of_lanes("limit"),
            budget=plan.settings.budget,
            capacity=plan.locations["capacity"].dropna().to_dict(),
        )

    @property
    def any(self) -> bool:
        return bool(
            self.minimum_units
            or self.minimum_money
            or self.most
            or self.capacity
            or self.budget is not None
        )


class Remark(NamedTuple):
    """Something about several lines that a planner has to know."""

    kind: str
    place: str
    what: str
    quantity: float
    advice: str


@dataclass(frozen=True, eq=False)
class Settled:
    """Lines with what couples them seen to.

    Attributes:
      why: by line (instance, edge, product), what changed its quantity.
      changed: instances whose lines changed.
    """

    lines: Lines
    why: dict[tuple[int, int, int], str]
    remarks: tuple[Remark, ...]
    changed: np.ndarray


def settle(
    today: Today,
    lines: Lines,
    judged: LineRisks,
    futures: Futures,
    limits: Limits,
    paths: int,
    seed: int = 0,
) -> Settled:
    """Lines with minimum orders, room, limits of lanes and budget seen to, in this order."""
    draft = _Draft(today, lines, judged, futures, limits, paths, seed)
    for weights, least, unit in draft.minimums:
        for row, minimum in least.items():
            draft.fill(row, weights, minimum, unit)
    ends = np.broadcast_to(np.asarray(today.destinations)[..., None], draft.quantity.shape)
    for place, room in limits.capacity.items():
        group = ends == place
        held = _held(today, lines, place, draft.volume)
        excess = held + draft.total(group, draft.volume) - room
        if excess > 1e-6 * room and draft.total(group, draft.volume) > 0:
            said = f"cut: {place} has room for {room:,.10g} and holds or awaits {held:,.10g}"
            left = held + draft.cut(group, draft.volume, excess, said)
            what = f"{left - room:,.10g} too much" if left > room else "orders were cut"
            draft.remarks.append(Remark("no room", place, what, left, said))
    for row, most in limits.most.items():
        group = draft.lane == row
        total = draft.total(group, draft.one)
        if total - most > 1e-6 * most:
            said = f"cut: the lane takes {most:,.10g} units, {total:,.10g} were wanted"
            draft.cut(group, draft.one, total - most, said)
            place = str(today.plan.full_lanes["source"].iat[row]) if today.plan else ""
            draft.remarks.append(Remark("lane limit", place, "orders were cut", total, said))
    if limits.budget is not None:
        bought = today.problem.env.topology.from_supplier
        group = np.broadcast_to(bought[None, :, None], draft.quantity.shape)
        total = draft.total(group, draft.worth)
        if total > limits.budget * (1 + 1e-6):
            said = f"cut: all orders came to {total:,.2f}, the budget is {limits.budget:,.10g}"
            left = draft.cut(group, draft.worth, total - limits.budget, said)
            what = f"orders of {total:,.2f} were cut to {left:,.2f}"
            draft.remarks += [Remark("budget", "", what, total, said), *draft.broken]
    changed = np.unique(np.nonzero(draft.quantity != lines.quantity)[0])
    settled = dataclasses.replace(lines, quantity=draft.quantity)
    return Settled(settled, draft.why, tuple(draft.remarks), changed)


class _Draft:
    """Quantities while limits are seen to, with what is to be said of that."""

    def __init__(self, today, lines, judged, futures, limits, paths, seed):
        self.today, self.lines, self.judged, self.limits = today, lines, judged, limits
        self.quantity = lines.quantity.copy()
        self.why: dict[tuple[int, int, int], str] = {}
        self.remarks: list[Remark] = []
        shape = lines.quantity.shape
        self.one = np.ones(shape)
        self.price = np.broadcast_to(limits.price[..., None], shape)
        self.worth = np.broadcast_to(limits.worth[..., None], shape)
        self.volume = np.broadcast_to(limits.volume[:, None, None], shape)
        self.lane = np.broadcast_to(np.asarray(today.lane)[..., None], shape)
        self._judge = partial(line_risks, today, futures=futures, paths=paths, seed=seed)

    @property
    def minimums(self):
        """What counts for a least order, that by row of the plan's lanes, and its unit."""
        yield self.one, self.limits.minimum_units, "units"
        yield self.price, self.limits.minimum_money, "of money"

    def total(self, group: np.ndarray, weights: np.ndarray) -> float:
        ordered = group & (self.quantity > 0)  # an edge that an instance lacks has no price
        return float((self.quantity * weights)[ordered].sum())

    def fill(self, row: int, weights: np.ndarray, minimum: float, unit: str) -> None:
        """Brings the order of a lane to its minimum, or lets it wait if that costs less."""
        group = (self.lane == row) & np.asarray(self.today.open)[:, :, :1]
        total = self.total(group, weights)
        if not 0 < total < minimum * (1 - 1e-6):
            return
        where = np.argwhere(group)
        source = self.today.sources[where[0][0], where[0][1]]
        amount = f"{minimum:,.10g} {unit}"
        more, cost = _top_up(
            self.quantity,
            where,
            weights,
            minimum - total,
            self.lines.pack,
            partial(self._costs, "pack_more"),
            self.judged.mean,
        )
        waits = float(np.nansum(self.judged.cost("review_later")[group & (self.quantity > 0)]))
        if waits < cost:
            self.quantity[group] = 0.0
            said = (
                f"waits for the next order day: {source} takes no less than {amount}, and that "
                f"would cost {cost:.2f} more, waiting {waits:.2f}"
            )
            what = f"orders of {total:,.2f} wait"
            self.remarks.append(Remark("below the minimum order", source, what, total, said))
        else:
            self.quantity = more
            said = f"raised to the minimum of {amount} of {source}"
            what, costs = (
                f"from {total:,.2f} to {amount}",
                f"costs {cost:.2f} more than orders as they are",
            )
            self.remarks.append(Remark("raised to the minimum order", source, what, minimum, costs))
        self._tell(group & (self.quantity != self.lines.quantity), said)

    def cut(self, group: np.ndarray, weights: np.ndarray, excess: float, said: str) -> float:
        """Takes packs from lines of a group until `excess` is gone; what is left of their total."""
        where = np.argwhere(group & (self.quantity > 0))
        self.quantity = trim(
            self.quantity,
            where,
            weights,
            excess,
            self.lines.pack,
            partial(self._costs, "pack_less"),
        )
        self._tell(group & (self.quantity < self.lines.quantity), said)
        return self.total(group, weights)

    @property
    def broken(self):
        """Remarks on minimum orders that the budget leaves no room for."""
        for weights, least, _ in self.minimums:
            for row, minimum in least.items():
                total = self.total(self.lane == row, weights)
                if 0 < total < minimum * (1 - 1e-6):
                    spot = np.argwhere(self.lane == row)[0]
                    yield Remark(
                        "below the minimum order", self.today.sources[spot[0], spot[1]],
                        f"the budget leaves {total:,.2f} of {minimum:,.10g}", total,
                        "raise the budget, or leave this order out",
                    )  # fmt: skip

    def _tell(self, group: np.ndarray, said: str) -> None:
        self.why |= {tuple(spot): said for spot in np.argwhere(group)}

    def _costs(self, case: str, quantity: np.ndarray, where: np.ndarray) -> np.ndarray:
        """Costs of a case `[n]` at lines `where` `[n, 3]`, as quantities are now."""
        now = dataclasses.replace(self.lines, quantity=quantity.astype(np.float32))
        rows, everywhere = np.unique(where[:, 0]), case == "pack_more"
        again = self._judge(lines=now, rows=rows, only=(case,), everywhere=everywhere)
        return again.cost(case)[tuple(where.T)]


def _held(today, lines, place, volume):
    """What a place holds and what is on its way there, counted once."""
    seen, total = set(), 0.0
    ends = np.asarray(today.destinations)
    for s, e in np.argwhere(ends == place):
        if s not in seen:
            seen.add(s)
            total += float(((lines.on_hand[s, e] + lines.on_order[s, e]) * volume[s, e]).sum())
    return total


def _top_up(quantity, where, weights, missing, pack, costs, mean):
    """Quantities with packs added at lines `where` `[n, 3]` until `missing` is made up for, and
    what that costs."""
    quantity, spent = quantity.copy(), 0.0
    spots = tuple(where.T)
    brings = (weights * pack)[spots]
    for _ in range(ROUNDS):
        if missing <= 1e-9:
            return quantity, spent
        cost = np.nan_to_num(costs(quantity, where), nan=np.inf)
        order = np.argsort(cost / np.maximum(brings, 1e-9), kind="stable")
        most = max(len(order) // 4, 1)  # few at a time: costs change with what is added
        for place in order[:most]:
            if missing <= 1e-9 or not np.isfinite(cost[place]):
                break
            quantity[tuple(where[place])] += pack[tuple(where[place])]
            missing, spent = missing - brings[place], spent + float(cost[place])
    if missing > 1e-9:  # by far too little is ordered: in proportion to what is sold
        last = float(
            np.nanmax(np.where(np.isfinite(cost), cost / np.maximum(brings, 1e-9), np.nan))
        )
        share = np.maximum(mean[spots], 1e-6)
        packs = np.ceil(
            missing
            * share
            * weights[spots]
            / (share * weights[spots]).sum()
            / np.maximum(brings, 1e-9)
            - 1e-9
        )
        running = np.cumsum(packs * brings)
        packs = np.where(running - packs * brings < missing, packs, 0.0)
        quantity[spots] += packs * pack[spots]
        spent += max(last, 0.0) * float((packs * brings).sum())
    return quantity, spent


def trim(quantity, where, weights, excess, pack, costs):
    """Quantities with packs taken from lines `where` `[n, 3]` until `excess` is gone or nothing is
    left."""
    quantity = quantity.copy()
    where = where[weights[tuple(where.T)] > 0]  # others take nothing up
    for number in range(4 * ROUNDS):
        where = where[quantity[tuple(where.T)] > 0]
        if excess <= 1e-9 or not len(where):
            break
        spots = tuple(where.T)
        brings = (np.minimum(pack, quantity) * weights)[spots]
        cost = np.nan_to_num(costs(quantity, where), nan=0.0)
        order = np.argsort(cost / np.maximum(brings, 1e-9), kind="stable")
        total = float((quantity * weights)[spots].sum())
        most = max(len(order) // 4, 1)
        many = np.maximum(
            np.floor(0.5 * excess / total * quantity[spots] / pack[spots]), 1.0
        )  # far above: several packs
        if number == 4 * ROUNDS - 1:  # costs have been asked for often enough
            most, many = len(order), np.full(len(order), np.inf)
        for place in order[:most]:
            if excess <= 1e-9:
                break
            spot = tuple(where[place])
            fewest = np.ceil(excess / (pack * weights)[spot] - 1e-9)
            less = min(float(min(many[place], fewest) * pack[spot]), float(quantity[spot]))
            quantity[spot] -= less
            excess -= less * float(weights[spot])
    return quantity
