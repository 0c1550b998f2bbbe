"""One store with backlog on the host, in float64: the best base-stock level, (s, S) and (R, nQ),
all exact.

What is ordered in period t meets demand from t + L on. So the inventory position y after ordering
decides the expected cost G(y) of period t + L alone, h E(y - D)^+ + b E(D - y)^+ with D the demand
of L + 1 periods, and a policy costs its mean of G over the positions it visits, plus what it pays
for ordering.
"""

from dataclasses import dataclass

import numpy as np

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.errors import UserError
from jaxinv.exact.lattice import cover, demand_law, shortfall
from jaxinv.exact.scope import require_store, weighted


@dataclass(frozen=True)
class Store:
    """A store with backlog and independent demand; levels are counted in points of `step` units.

    Attributes:
      mass: `[M]` probabilities of a demand of 0, 1, … points in one period.
      lead_time: L, periods.
      holding, shortage: h and b, money per point and period at the end of a period.
      fixed_cost: K, money per order.
      unit_cost: money per point ordered.
      step: units a point.
    """

    mass: np.ndarray
    lead_time: int
    holding: float
    shortage: float
    fixed_cost: float = 0.0
    unit_cost: float = 0.0
    step: float = 1.0

    def __post_init__(self):
        if not self.holding > 0 or not self.shortage > 0:
            raise UserError(
                f"holding={self.holding:g} and shortage={self.shortage:g} must be above 0"
            )
        if len(self.mass) < 2 or self.mass[0] >= 1:
            raise UserError("demand is always zero; there is nothing to order for")

    @property
    def mean(self) -> float:
        """Mean demand a period, points."""
        return float(self.mass @ np.arange(len(self.mass)))

    @property
    def purchase(self) -> float:
        """Money a period for buying what is asked for, which no policy escapes."""
        return self.unit_cost * self.mean

    def costs(self, low: int, high: int) -> np.ndarray:
        """G(y) for y = low .. high."""
        ahead = cover(self.mass, self.lead_time + 1)
        levels = np.arange(low, high + 1)
        mean = (self.lead_time + 1) * self.mean
        short = np.where(
            levels < 0, mean - levels, shortfall(ahead, max(high + 1, 1))[np.maximum(levels, 0)]
        )
        return self.holding * (levels - mean + short) + self.shortage * short

    def best_level(self) -> int:
        """The level that minimises G: the smallest with P(D <= y) >= b / (b + h)."""
        ahead = np.cumsum(cover(self.mass, self.lead_time + 1))
        return int(np.searchsorted(ahead, self.shortage / (self.shortage + self.holding)))


@dataclass(frozen=True)
class OrderPoint:
    """A rule with a reorder point: at or below it, order.

    Attributes:
      reorder: s or R, units.
      quantity: S - s, or the lot Q, units.
      average_cost: money a period.
    """

    reorder: float
    quantity: float
    average_cost: float

    @property
    def up_to(self) -> float:
        """S, units."""
        return self.reorder + self.quantity


def read_store(env: InventoryNetwork, params: InstanceParams, points: int = 64) -> Store:
    """The store of the `backlog` preset.

    Args:
      params: of one instance.
      points: a standard deviation, where demand is normal (cut at zero) and has to be rounded.

    Raises:
      UserError: for a network or a demand that this does not describe.
    """
    require_store(env, "(s, S)", {"packs", "unit_cost", "fixed_cost"}, backlog=True)
    topology = env.topology
    law = demand_law(env, params, points)
    ordering = {
        name: weighted(params, "ordering", name).item() if topology.has(name) else 0.0
        for name in ("fixed_cost", "unit_cost")
    }
    return Store(
        mass=law.total,
        lead_time=topology.lead_times[0],
        holding=weighted(params, "holding", "holding").item() * law.step,
        shortage=weighted(params, "shortage", "shortage").item() * law.step,
        fixed_cost=ordering["fixed_cost"],
        unit_cost=ordering["unit_cost"] * law.step,
        step=law.step,
    )


def optimal_order_up_to(store: Store) -> OrderPoint:
    """The optimal (s, S), which no policy beats (Zheng & Federgruen 1991, section 2); K = 0 gives
    base-stock.
    """
    start = store.best_level()
    costs = _Costs(store)
    fixed, renewals = store.fixed_cost, _Renewals(store.mass)

    def average(s: int, up_to: int) -> float:
        span = up_to - s
        visited = renewals.density(span)
        return (fixed + visited @ costs.between(s + 1, up_to)[::-1]) / visited.sum()

    s = start - 1
    while average(s, start) > costs.at(s):
        s -= 1
    best, best_cost = start, average(s, start)
    up_to = start + 1
    while costs.at(up_to) <= best_cost:
        if average(s, up_to) < best_cost:
            best = up_to
            while average(s, best) <= costs.at(s + 1):
                s += 1
            best_cost = average(s, best)
        up_to += 1
    return OrderPoint(s * store.step, (best - s) * store.step, float(best_cost + store.purchase))


def order_up_to_cost(store: Store, s: int, up_to: int) -> float:
    """Average cost a period of any (s, S), in points (Veinott & Wagner 1965).

    K and G at each position between two orders, over the periods between them; the periods spent at
    S - j are the renewal density of demand.
    """
    visited = _Renewals(store.mass).density(up_to - s)
    costs = store.costs(s + 1, up_to)[::-1]
    return float((store.fixed_cost + visited @ costs) / visited.sum()) + store.purchase


def optimal_lots(store: Store, quantity: int | None = None) -> OrderPoint:
    """The optimal (R, nQ): at or below R, the fewest lots of Q that lift the position above R.

    After ordering, the position is uniform on R + 1 .. R + Q (Hadley & Whitin 1961; for demand
    whose sizes have no common divisor). An order, of however many lots, costs K. With demand of one
    unit at a time this is (r, Q).

    Args:
      quantity: Q in points; None to search for it. Its cost without K cannot fall in Q, so the
        search can stop.
    """
    start, costs = store.best_level(), _Costs(store)
    chance = np.cumsum(store.mass[::-1])[::-1]  # P(D >= k)
    low = high = start
    total, orders = costs.at(start), 0.0
    best = None
    size = 1
    while True:
        orders += chance[size] if size < len(chance) else 0.0
        if (
            best is not None
            and quantity is None
            and total / size >= best.average_cost - store.purchase
        ):
            return best
        cost = (total + store.fixed_cost * orders) / size + store.purchase
        if (quantity is None and (best is None or cost < best.average_cost)) or size == quantity:
            best = OrderPoint((low - 1) * store.step, size * store.step, float(cost))
        if size == quantity:
            return best
        # G falls and then rises, so the cheapest positions are neighbours: take the cheaper of the
        # next two
        if costs.at(low - 1) < costs.at(high + 1):
            low -= 1
            total += costs.at(low)
        else:
            high += 1
            total += costs.at(high)
        size += 1


class _Costs:
    """G at any level, tabulated over a range that grows when asked beyond it."""

    def __init__(self, store: Store):
        self.store = store
        reach = 64 + int(4 * store.mean)
        level = store.best_level()
        self._fill(level - reach, level + reach)

    def _fill(self, low: int, high: int) -> None:
        self.low, self.high, self.table = low, high, self.store.costs(low, high)

    def between(self, low: int, high: int) -> np.ndarray:
        if low < self.low or high > self.high:
            reach = self.high - self.low
            self._fill(min(low, self.low) - reach, max(high, self.high) + reach)
        return self.table[low - self.low : high - self.low + 1]

    def at(self, level: int) -> float:
        return float(self.between(level, level)[0])


class _Renewals:
    """Expected periods that demand, added up from zero, spends at each point."""

    def __init__(self, mass: np.ndarray):
        self.mass = mass
        self.table = np.array([1.0 / (1.0 - mass[0])])

    def density(self, size: int) -> np.ndarray:
        """At 0 .. size-1 points."""
        while len(self.table) < size:
            recent = self.table[::-1][: len(self.mass) - 1]
            self.table = np.append(
                self.table, self.mass[1 : len(recent) + 1] @ recent / (1.0 - self.mass[0])
            )
        return self.table[:size]
