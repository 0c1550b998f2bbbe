"""A lower bound for one warehouse that supplies many stores: allocation relaxed (Federgruen &
Zipkin 1984).

Charge every unit in the system h_0 and a store what it costs more, as Clark and Scarf do. What is
sent to store i in period t, up to position y_i, then costs G_i(y_i) in period t + L_i, the mean of
(h_i - h_0)(y_i - D_i) + (b_i + h_i)(D_i - y_i)^+ with D_i its demand of L_i + 1 periods. The
positions may not fall below what stores have and may not add up to more than the system has at or
below the warehouse. Drop the first constraint, which lets stores exchange stock at no cost:

    R(x) = min sum_i G_i(y_i)  over  sum_i y_i <= x,
    bound = min_y E[ h_0 (y - D_0) + R(y - U_0) ],

with D_0 and U_0 the demand of all stores over L_0 + 1 and L_0 periods (U_0 over 1 where L_0 = 0:
what arrives within a period is sent on in the next). In the long run a store's cost may be counted
in the period that decided it, so the lead times of stores may differ; and only the law of total
demand matters upstream, so stores may be correlated within a period.

With lost sales the same holds for backlog at b_i = p_i / W_i, W_i = max(L_0, 1) + L_i + 1. Let the
backlog system copy any policy of the lost-sales system, and order every lost unit again in the next
period and send it straight on. It owes a lost unit for at most W_i periods, which costs p_i, and
never holds more: a lower bound again (the argument of Janakiraman, Seshadri & Shanthikumar 2007 for
one store, along the path from the supplier). Nor does any store cost less than it would if the
warehouse never ran out, which is bounded by itself (`newsvendor.lost_sales_bound`). The larger is
taken.
"""

from dataclasses import dataclass

import numpy as np

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.topology import SUPPLIER
from jaxinv.errors import UserError
from jaxinv.exact.lattice import DemandLaw, cover, demand_law, expected, newsvendor_costs
from jaxinv.exact.scope import require, weighted


@dataclass(frozen=True)
class PooledBound:
    """A lower bound on the average cost of every policy.

    Attributes:
      average_cost: money a period.
      level: echelon base-stock level of the warehouse in the relaxed system, units.
      error: what rounding demand to points may have moved the bound by, estimated from twice the
        step; 0 where demand is on whole numbers.
    """

    average_cost: float
    level: float
    error: float


def pooled_bound(env: InventoryNetwork, params: InstanceParams, points: int = 20) -> PooledBound:
    """The Federgruen-Zipkin lower bound of a warehouse (node 0) and its stores, with backlog or
    lost sales.

    It holds for any rationing and any policy, whole orders or not.

    Args:
      params: of one instance.
      points: in the smallest standard deviation, where demand is normal and has to be rounded.

    Raises:
      UserError: for another network, or for costs that have no optimum.
    """
    require(env, "the Federgruen-Zipkin bound", {"packs", "unit_cost", "transit_holding"})
    topology = env.topology
    stores = topology.nodes - 1
    shape = (SUPPLIER, *(0,) * stores), tuple(range(stores + 1)), tuple(range(1, stores + 1))
    if stores < 1 or (topology.sources, topology.destinations, topology.demand_nodes) != shape:
        raise UserError(
            f"the bound is for one warehouse and its stores, and {env.name} is another network"
        )
    costs = _Costs.read(env, params)
    law, coarse = demand_law(env, params, points), demand_law(env, params, points / 2)
    bound, level = _bound(costs, law)
    error = abs(_bound(costs, coarse)[0] - bound) / 3 if coarse.step != law.step else 0.0
    return PooledBound(bound, level, error)


def allocate(costs: list[np.ndarray], floor: float, size: int) -> np.ndarray:
    """R(x) at the points x = 0 .. size-1: the least sum of convex costs when levels add up to at
    most x.

    The cheapest next point goes to whom it helps most. Below the table every cost falls by its
    first slope; the store with the flattest one is the first to go without.

    Args:
      costs: one a store, `[size]` at the points 0 .. size-1.
      floor: the flattest first slope of all stores, below zero: the slope of R where supply is
        short.
    """
    slopes = np.sort(np.concatenate([np.diff(cost) for cost in costs]))
    certain = slopes < floor * (1 - 1e-12)  # bought even from the store with the flattest slope
    start = sum(cost[0] for cost in costs) + slopes[certain].sum()
    first = int(certain.sum())
    beyond = np.minimum(slopes[~certain], 0.0)[: max(size - first, 0)]
    above = start + np.concatenate([[0.0], np.cumsum(beyond)])
    relaxed = start + floor * (np.arange(min(first, size)) - first)
    table = np.concatenate([relaxed, above])[:size]
    return np.pad(table, (0, size - len(table)), mode="edge")


@dataclass(frozen=True)
class _Costs:
    """The numbers of an instance, weighted, in money per unit (and period)."""

    warehouse_holding: float
    holding: np.ndarray  # [stores]
    backlog: np.ndarray  # [stores] b
    lead_times: tuple[int, ...]  # the warehouse's first
    lost: (
        np.ndarray | None
    )  # [stores] p, net of what a unit that is sold costs on its way; None with backlog
    on_the_way: (
        np.ndarray
    )  # [stores] what each unit that is sold costs on its way: transit and purchase
    transit_credit: np.ndarray  # [stores] h_0 L_i, which echelon accounting charges for transit

    @classmethod
    def read(cls, env: InventoryNetwork, params: InstanceParams) -> "_Costs":
        topology = env.topology
        holding = weighted(params, "holding", "holding")
        shortage = weighted(params, "shortage", "shortage")[1:]
        lead = np.asarray(topology.lead_times)
        per_edge = np.zeros(topology.edges)
        if topology.has("transit_holding"):
            per_edge += weighted(params, "holding", "transit_holding") * lead
        if topology.has("unit_cost"):
            per_edge += weighted(params, "ordering", "unit_cost")
        on_the_way = per_edge[0] + per_edge[1:]
        lost = None
        if not topology.backlog:
            lost = shortage - on_the_way
            waiting = lost - (
                holding[0] if lead[0] == 0 else 0.0
            )  # there it spends a period at the warehouse
            shortage = waiting / (max(lead[0], 1) + lead[1:] + 1)
        if not np.all(shortage > 0):
            raise UserError(
                "the bound needs, at every store, a shortage cost above what a unit costs on"
                " its way"
            )
        if not np.all(holding[1:] > 0) or holding[0] < 0:
            raise UserError("the bound needs holding costs above 0 at every store")
        return cls(
            holding[0],
            holding[1:],
            shortage,
            topology.lead_times,
            lost,
            on_the_way,
            holding[0] * lead[1:],
        )


def _bound(costs: _Costs, law: DemandLaw) -> tuple[float, float]:
    step, total = law.step, law.total
    warehouse, lead = costs.warehouse_holding, costs.lead_times
    ahead = [cover(mass, time + 1) for mass, time in zip(law.local, lead[1:])]
    charged, passed = cover(total, lead[0] + 1), cover(total, max(lead[0], 1))
    size = len(charged) + sum(len(mass) for mass in ahead)
    of_stores = [
        step * newsvendor_costs(mass, size, holding - warehouse, warehouse + backlog)
        for mass, holding, backlog in zip(ahead, costs.holding, costs.backlog)
    ]
    floor = -step * float(costs.backlog.min() + warehouse)
    pooled = allocate(of_stores, floor, size)
    of_system = step * newsvendor_costs(charged, size, warehouse, -warehouse) + expected(
        passed, pooled, floor
    )
    level = int(np.argmin(of_system))
    means = np.array([law.mean(mass) for mass in law.local])
    # a unit in transit was charged h_0 a period, and is charged what it really costs instead
    bound = float(of_system[level] + (costs.on_the_way - costs.transit_credit) @ means)
    if costs.lost is not None:
        alone = [
            max(
                step * newsvendor_costs(mass, len(mass), holding, lost).min(),
                step * newsvendor_costs(later, len(later), holding, lost / (time + 1)).min(),
            )
            for mass, later, time, holding, lost in zip(
                law.local, ahead, lead[1:], costs.holding, costs.lost
            )
        ]
        bound = max(bound, float(sum(alone) + costs.on_the_way @ means))
    return bound, level * step
