"""How far the states and orders of a finite problem have to reach.

Bounds are quantiles of demand over lead times, which are exact for lost sales without fixed cost
(Zipkin 2008: no order above the newsvendor quantity of one period, no position above that of lead
time and review) and a first guess elsewhere; `jaxinv.exact.solve` checks whether the solution ever
meets a bound and widens the grid until it does not.
"""

import numpy as np

from jaxinv.envs import network
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.topology import SUPPLIER, Topology
from jaxinv.exact.lattice import cover
from jaxinv.exact.state_space import StateSpace

SLACK = 1
"""Units beyond the bound, so that a solution that keeps it can be told from one that is cut off by
it.
"""

NEVER = 1e-9
"""Probability of a shortage too deep to be held in the grid."""


def first_grid(env: InventoryNetwork, params: InstanceParams) -> StateSpace:
    """A grid from the demand and the costs of an instance."""
    topology = env.topology
    demand, mass = env.world.demand.support(params.demand)
    passing = _passing(topology, demand)  # [W, N, K]
    ratio = _critical_ratio(params)
    lots = _lots(topology, params, np.tensordot(mass, passing, 1))
    reach = onward_lead_times(topology)
    orders, low, high = [], [], []
    for edge, node in enumerate(topology.destinations):
        others = [
            topology.lead_times[other]
            for other, into in enumerate(topology.destinations)
            if into == node
        ]
        for product in range(topology.products):
            law = _law(passing[:, node, product], mass)
            level = ratio[product] if not topology.backlog else 1 - NEVER**0.5
            most = _quantile(law, 1, level) + lots[edge, product] + SLACK
            if topology.backlog and topology.lead_times[edge] == min(
                others
            ):  # what a fast edge may have to make good
                most += _quantile(law, topology.lead_times[edge] + 1, 1 - NEVER)
            most = int(np.ceil(most / least_arriving(topology, params)[edge]))
            cap = order_cap(topology, params, edge)
            orders.append(int(cap if topology.ages > 1 else min(most, cap)))
    for node in range(topology.nodes):
        into = [edge for edge, end in enumerate(topology.destinations) if end == node]
        leads = [topology.lead_times[edge] for edge in into]
        for product in range(topology.products):
            law = _law(passing[:, node, product], mass)
            most = max(orders[edge * topology.products + product] for edge in into)
            if topology.ages == 1:
                level = _quantile(law, max(leads) + reach[node] + 1, ratio[product])
                most = max(level + SLACK + int(max(lots[edge, product] for edge in into)), most)
            owed = topology.backlog and node in topology.demand_nodes
            least = -_quantile(law, min(leads) + reach[node] + 1, 1 - NEVER) if owed else 0
            low += [least] * topology.ages
            high += [most] * topology.ages
    return StateSpace.of(topology, low, high, orders)


def order_cap(topology: Topology, params: InstanceParams, edge: int) -> float:
    """The most that an order may be: what the edge carries or, where goods perish, the end of the
    action space.

    The published perishable problems set it, and every age class multiplies the states by it.
    """
    if topology.ages > 1:
        return float(params.max_order[edge].max())
    if not topology.has("order_limit"):
        return np.inf
    return float(np.floor(params.order_limit[edge] / np.min(params.volume)))


def least_arriving(topology: Topology, params: InstanceParams) -> np.ndarray:
    """The smallest share of an order on each edge that may come, if anything comes `[E]`: who needs
    a unit may order as many more. Not every order within such a bound is better than the next, so
    it cannot be left to widening.
    """
    if not topology.has("arrivals"):
        return np.ones(topology.edges)
    shares, _ = params.arrival_law.support()
    return np.where(shares > 0, shares, 1.0).min(0)


def onward_lead_times(topology: Topology) -> np.ndarray:
    """Longest lead time from each node to the customer `[N]`."""
    onward = np.zeros(topology.nodes, int)
    for _ in range(topology.nodes):
        for edge, source in enumerate(topology.sources):
            if source != SUPPLIER and edge not in topology.lateral:
                onward[source] = max(
                    onward[source], topology.lead_times[edge] + onward[topology.destinations[edge]]
                )
    return onward


def _passing(topology: Topology, demand: np.ndarray) -> np.ndarray:
    """Demand `[W, N, K]` that passes each node, from demand `[W, D, K]` at the demand nodes."""
    at_nodes = np.zeros((len(demand), topology.nodes, topology.products))
    at_nodes[:, list(topology.demand_nodes)] = demand
    return np.einsum("nm,wmk->wnk", topology.echelon, at_nodes)


def _critical_ratio(params: InstanceParams) -> np.ndarray:
    """Largest shortage / (shortage + holding) of each product `[K]`, at the weights of the
    reward.
    """
    weights = dict(zip(network.COSTS, np.asarray(params.weights)))
    holding, shortage = (
        np.asarray(params.holding) * weights["holding"],
        np.asarray(params.shortage) * weights["shortage"],
    )
    return (shortage / np.maximum(shortage + holding, 1e-9)).max(0)


def _lots(topology: Topology, params: InstanceParams, mean: np.ndarray) -> np.ndarray:
    """Economic order quantity of each edge `[E, K]` where an order costs something, else 0."""
    if not topology.has("fixed_cost"):
        return np.zeros((topology.edges, topology.products), int)
    ends = list(topology.destinations)
    holding = np.maximum(np.asarray(params.holding)[ends], 1e-9)
    return np.ceil(np.sqrt(2 * np.asarray(params.fixed_cost) * mean[ends] / holding)).astype(int)


def _law(values: np.ndarray, mass: np.ndarray) -> np.ndarray:
    return np.bincount(values.round().astype(int), mass)


def _quantile(law: np.ndarray, periods: int, level: float) -> int:
    """Smallest total that demand of several periods stays within with probability `level`."""
    return int(np.searchsorted(np.cumsum(cover(law, periods)), level - 1e-12))
