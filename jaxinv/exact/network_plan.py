"""The best plan of a network for a path of demand that is known: a linear programme.

What a network earns is concave and piecewise linear in what is shipped, so the plan is exact, and
its profit an upper bound for every policy on the path. Theirs is the same programme (gym-invmgmt's
oracle, `agents/oracle.py`; Perez et al. 2021), with integers where orders are whole.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import lil_array

from jaxinv.envs.network import InstanceParams
from jaxinv.envs.topology import Topology
from jaxinv.errors import UserError

KNOWN = {
    "revenue",
    "unit_cost",
    "transit_holding",
    "shipping_capacity",
    "orders_first",
    "processing_yield",
    "goodwill",
    "waiting",
}
"""Mechanisms that the programme has; goodwill is held as the path has it."""


class Plan(NamedTuple):
    """What the programme found.

    Attributes:
      profit: of all periods.
      orders: `[T, E]` units shipped.
    """

    profit: float
    orders: np.ndarray


def best_plan(topology: Topology, params: InstanceParams, demand: np.ndarray) -> Plan:
    """The plan that earns most from the instance's first stock on, if nothing is on its way.

    Args:
      topology: one product, one node with demand, fixed lead times, orders that come first.
      params: of one instance, with a first stock that is no range.
      demand: `[T]`, all of it known.

    Raises:
      UserError: for another network.
    """
    _check(topology)
    periods, edges, nodes = len(demand), topology.edges, topology.nodes
    shop, lead = topology.demand_nodes[0], topology.lead_times
    taken = (
        1.0 / np.asarray(params.processing_yield)
        if topology.has("processing_yield")
        else np.ones(edges)
    )
    first = np.asarray(params.initial_low)[:, 0]
    waits = float(params.waiting_share[shop, 0]) if topology.has("waiting") else 1.0
    # columns: shipped [T, E], stock left [T, N], sold [T], unserved [T]
    ship = np.arange(periods * edges).reshape(periods, edges)
    left = periods * edges + np.arange(periods * nodes).reshape(periods, nodes)
    sold = left.max() + 1 + np.arange(periods)
    unserved = sold + periods
    columns = int(unserved.max()) + 1
    balance, stock = lil_array((periods * (nodes + 1), columns)), np.zeros(periods * (nodes + 1))
    limits, most = lil_array((periods * 2 * nodes, columns)), np.full(periods * 2 * nodes, np.inf)
    for t in range(periods):
        for node in range(nodes):
            row, there = t * nodes + node, 2 * (t * nodes + node)
            balance[row, left[t, node]] = 1.0
            if t:
                balance[row, left[t - 1, node]] = -1.0
                limits[there, left[t - 1, node]] = -1.0
            stock[row], most[there] = (0.0, 0.0) if t else (first[node], first[node])
            if topology.has("shipping_capacity"):
                most[there + 1] = float(params.shipping_capacity[node])
            for edge in range(edges):
                if topology.destinations[edge] == node and t >= lead[edge]:
                    balance[row, ship[t - lead[edge], edge]] = -1.0
                if topology.sources[edge] == node:  # of what was there before the arrivals
                    balance[row, ship[t, edge]] = limits[there, ship[t, edge]] = taken[edge]
                    limits[there + 1, ship[t, edge]] = 1.0
        balance[t * nodes + shop, sold[t]] = 1.0
        row = periods * nodes + t
        balance[row, sold[t]] = balance[row, unserved[t]] = 1.0
        stock[row] = demand[t]
        if t and topology.backlog:
            balance[row, unserved[t - 1]] = -waits
    cost = np.zeros(columns)
    cost[left] = np.asarray(params.holding)[:, 0]
    cost[unserved] = float(params.shortage[shop, 0])
    cost[sold] = -float(params.price[shop, 0])
    on_the_way = np.minimum(np.asarray(lead), periods - np.arange(periods)[:, None])  # [T, E]
    cost[ship] = (
        np.asarray(params.unit_cost)[:, 0] + np.asarray(params.transit_holding)[:, 0] * on_the_way
    )
    rows = np.flatnonzero(np.isfinite(most) & (limits.tocsr().count_nonzero(axis=1) > 0))
    found = linprog(cost, limits.tocsr()[rows], most[rows], balance.tocsr(), stock, method="highs")
    if not found.success:
        raise UserError(f"the programme of the best plan was not solved: {found.message}")
    return Plan(-float(found.fun), found.x[ship])


def _check(topology: Topology) -> None:
    unfit = sorted(topology.mechanisms - KNOWN)
    if unfit or topology.products > 1 or len(topology.demand_nodes) > 1 or topology.ages > 1:
        raise UserError(
            "the best plan is for one product, one node with customers and the mechanisms"
            f" {', '.join(sorted(KNOWN))}; leave out {', '.join(unfit) or 'the others'}"
        )
    if topology.lead_times is None or not topology.has("orders_first"):
        raise UserError("the best plan needs fixed lead times, and orders_first=True")
