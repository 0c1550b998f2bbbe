"""What couples the lines of one order or one place: the least that a supplier takes, a budget,
room.

The policy decides line by line. Where the lines of a lane come to less than its minimum, packs are
added where they cost least, by what a pack more costs in the simulator for the money or the units
that it brings; or all wait for the next order day, if that costs less. Where a budget or the room
of a place is exceeded, packs are taken away where that costs least. Costs are found anew after each
round of packs, for the second pack of a line is not worth what the first was.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from jaxinv.orders.futures import Futures
from jaxinv.orders.lines import Lines, from_supplier
from jaxinv.orders.risk import Judged, judge
from jaxinv.orders.today import Today

ROUNDS = 12
"""Most rounds of packs; what is then still missing is spread over all lines."""


@dataclass(frozen=True, eq=False)
class Limits:
    """What couples lines.

    Attributes:
      minimum_units, minimum_money: by row of the plan's lanes, the least order.
      most: by row of the plan's lanes, units that all its orders of a day may have together.
      budget: money for all orders at suppliers of a day; None: any.
      capacity: by name of a place, units of `volume` that it has room for.
      volume: of a unit of each instance `[S]`.
      price: money of a unit on each edge `[S, E]`.
    """

    price: np.ndarray
    volume: np.ndarray
    minimum_units: dict[int, float] = field(default_factory=dict)
    minimum_money: dict[int, float] = field(default_factory=dict)
    most: dict[int, float] = field(default_factory=dict)
    budget: float | None = None
    capacity: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, today: Today, price: np.ndarray) -> "Limits":
        """Those of a plan; none without one."""
        plan, size = today.plan, len(today.skus)
        if plan is None:
            return cls(price, np.ones(size))
        rows = np.unique(np.asarray(today.lane)[np.asarray(today.lane) >= 0])
        least = {
            name: {
                int(row): float(plan.lanes[name].iat[row])
                for row in rows
                if plan.lanes[name].iat[row] > 0
            }
            for name in ("minimum_units", "minimum_money")
        }
        volume = (
            plan.items["volume"].reindex(today.skus).to_numpy(float)
            if "volume" in plan.items
            else np.ones(size)
        )
        room = plan.locations["capacity"].dropna() if "capacity" in plan.locations else {}
        budget = plan.settings.budget
        return cls(
            price, np.where(np.isfinite(volume), volume, 1.0), **least,
            most={
                int(row): float(plan.lanes["limit"].iat[row])
                for row in rows
                if plan.lanes["limit"].iat[row] > 0
            },
            budget=None if budget is None else float(budget),
            capacity={str(name): float(room[name]) for name in getattr(room, "index", ())},
        )  # fmt: skip

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
    judged: Judged,
    futures: Futures,
    limits: Limits,
    paths: int,
    seed: int = 0,
) -> Settled:
    """Lines with minimum orders, room and budget seen to, in this order."""
    price = np.broadcast_to(limits.price[..., None], lines.quantity.shape)
    volume = np.broadcast_to(limits.volume[:, None, None], lines.quantity.shape)
    open_now = np.asarray(today.open)[:, :, :1] & np.ones(lines.quantity.shape, bool)
    lane = np.broadcast_to(np.asarray(today.lane)[..., None], lines.quantity.shape)
    before = lines.quantity.copy()
    why: dict[tuple[int, int, int], str] = {}
    remarks: list[Remark] = []

    def costs_of(case: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        def found(quantity, where):
            """Costs of the case `[n]` at lines `where` `[n, 3]`, as quantities are now."""
            rows = np.unique(where[:, 0])
            now = dataclasses.replace(lines, quantity=quantity.astype(np.float32))
            again = judge(
                today,
                now,
                futures,
                paths=paths,
                rows=rows,
                seed=seed,
                only=(case,),
                everywhere=case == "pack_more",
            )
            return again.cost(case)[tuple(where.T)]

        return found

    quantity = before.copy()
    for weights, least, money in (
        (np.ones_like(price), limits.minimum_units, False),
        (price, limits.minimum_money, True),
    ):
        for row, minimum in least.items():
            group = (lane == row) & open_now
            total = float((quantity * weights)[group].sum())
            if not 0 < total < minimum * (1 - 1e-6):
                continue
            where = np.argwhere(group)
            source = today.sources[where[0][0], where[0][1]]
            amount = f"{minimum:,.10g} {'of money' if money else 'units'}"
            more, cost = _top_up(
                quantity,
                where,
                weights,
                minimum - total,
                lines.pack,
                costs_of("pack_more"),
                judged.mean,
            )
            waits = float(np.nansum(judged.cost("review_later")[group & (quantity > 0)]))
            if waits < cost:
                quantity[group] = 0.0
                said = f"waits for the next order day: {source} takes no less than {amount}, and that would cost {cost:.2f} more, waiting {waits:.2f}"
                remarks.append(
                    Remark(
                        "below the minimum order",
                        source,
                        f"orders of {total:,.2f} wait",
                        total,
                        said,
                    )
                )
            else:
                quantity = more
                said = f"raised to the minimum of {amount} of {source}"
                remarks.append(
                    Remark(
                        "raised to the minimum order",
                        source,
                        f"from {total:,.2f} to {amount}",
                        minimum,
                        f"costs {cost:.2f} more than orders as they are",
                    )
                )
            why |= {
                tuple(spot): said for spot in where if quantity[tuple(spot)] != before[tuple(spot)]
            }
    ends = np.broadcast_to(np.asarray(today.destinations)[..., None], quantity.shape)
    for place, room in limits.capacity.items():
        group = ends == place
        if not group.any():
            continue
        held = _held(today, lines, place, volume)
        excess = held + float((quantity * volume)[group].sum()) - room
        if excess > 1e-6 * room and (quantity[group] > 0).any():
            said = f"cut: {place} has room for {room:,.10g} and holds or awaits {held:,.10g}"
            quantity = _trim(
                quantity,
                np.argwhere(group & (quantity > 0)),
                volume,
                excess,
                lines.pack,
                costs_of("pack_less"),
            )
            left = held + float((quantity * volume)[group].sum())
            remarks.append(
                Remark(
                    "no room",
                    place,
                    f"{left - room:,.10g} too much" if left > room else "orders were cut",
                    left,
                    said,
                )
            )
            why |= {tuple(spot): said for spot in np.argwhere(group & (quantity < before))}
    for row, most in limits.most.items():
        group = lane == row
        excess = float(quantity[group].sum()) - most
        if excess > 1e-6 * most:
            said = f"cut: the lane takes {most:,.10g} units, {excess + most:,.10g} were wanted"
            where = np.argwhere(group & (quantity > 0))
            one = np.ones_like(price)
            quantity = _trim(quantity, where, one, excess, lines.pack, costs_of("pack_less"))
            place = str(today.plan.full_lanes["source"].iat[row]) if today.plan else ""
            remarks.append(Remark("lane limit", place, "orders were cut", excess + most, said))
            why |= {tuple(spot): said for spot in np.argwhere(group & (quantity < before))}
    if limits.budget is not None:
        group = np.broadcast_to(from_supplier(today)[None, :, None], quantity.shape)
        total = float((quantity * price)[group].sum())
        if total > limits.budget * (1 + 1e-6):
            said = f"cut: all orders came to {total:,.2f}, the budget is {limits.budget:,.10g}"
            quantity = _trim(
                quantity,
                np.argwhere(group & (quantity > 0)),
                price,
                total - limits.budget,
                lines.pack,
                costs_of("pack_less"),
            )
            remarks.append(
                Remark(
                    "budget",
                    "",
                    f"orders of {total:,.2f} were cut to {float((quantity * price)[group].sum()):,.2f}",
                    total,
                    said,
                )
            )
            why |= {tuple(spot): said for spot in np.argwhere(group & (quantity < before))}
            remarks += _broken(today, quantity, price, lane, limits)
    changed = np.unique(np.nonzero(quantity != before)[0])
    return Settled(dataclasses.replace(lines, quantity=quantity), why, tuple(remarks), changed)


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
    for number in range(ROUNDS):
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


def _trim(quantity, where, weights, excess, pack, costs):
    """Quantities with packs taken from lines `where` `[n, 3]` until `excess` is gone or nothing is
    left."""
    quantity = quantity.copy()
    for number in range(4 * ROUNDS):
        where = where[quantity[tuple(where.T)] > 0]
        if excess <= 1e-9 or not len(where):
            break
        spots = tuple(where.T)
        step = np.minimum(pack[spots], quantity[spots])
        cost = np.nan_to_num(costs(quantity, where), nan=0.0)
        order = np.argsort(cost / np.maximum(step * weights[spots], 1e-9), kind="stable")
        total = float((quantity * weights)[spots].sum())
        most = max(len(order) // 4, 1)
        many = np.maximum(
            np.floor(0.5 * excess / max(total, 1e-9) * quantity[spots] / pack[spots]), 1.0
        )  # far above: several packs
        for place in order[:most]:
            if excess <= 1e-9:
                break
            spot = tuple(where[place])
            less = min(float(many[place] * pack[spot]), float(quantity[spot]))
            quantity[spot] -= less
            excess -= less * float(weights[spot])
    if excess > 1e-9:
        for spot in map(tuple, where):
            if excess <= 1e-9:
                break
            excess -= float(quantity[spot] * weights[spot])
            quantity[spot] = 0.0
    return quantity


def _broken(today, quantity, price, lane, limits):
    """Remarks on minimum orders that the budget leaves no room for."""
    for weights, least in (
        (np.ones_like(price), limits.minimum_units),
        (price, limits.minimum_money),
    ):
        for row, minimum in least.items():
            total = float((quantity * weights)[lane == row].sum())
            if 0 < total < minimum * (1 - 1e-6):
                spot = np.argwhere(lane == row)[0]
                source = today.sources[spot[0], spot[1]]
                yield Remark("below the minimum order", source, f"the budget leaves {total:,.2f} of {minimum:,.10g}", total,
                             "raise the budget, or leave this order out")  # fmt: skip
