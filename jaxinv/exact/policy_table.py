"""An optimal policy as people read it: orders by what is on hand and what is on its way."""

from typing import Any

import numpy as np

from jaxinv.exact.enumeration import Enumeration
from jaxinv.exact.state_space import open_slots

SEEN = 1e-9
"""Share of periods from which on a state counts as visited."""


def policy_rows(solution: Enumeration) -> list[dict[str, Any]]:
    """One row a visited state, the most frequent first: every stock cell, pipeline slot and order,
    the share of periods spent there, and the relative value of the state.

    Columns are named by node and edge, with the product where there are several, the age of goods
    from the oldest on, and for the pipeline the periods since the order was placed.
    """
    grid = solution.grid
    stock, pipeline = np.nonzero(solution.visited > SEEN)
    most = np.argsort(-solution.visited[stock, pipeline], kind="stable")
    stock, pipeline = stock[most], pipeline[most]
    columns = dict(zip(_stock_names(grid), grid.stock.points()[stock].T))
    columns |= dict(zip(_slot_names(grid), grid.pipeline.points()[pipeline].T))
    columns |= dict(
        zip(_order_names(grid), grid.orders.points()[solution.orders[stock, pipeline]].T)
    )
    columns["share of periods"] = np.round(solution.visited[stock, pipeline], 9)
    columns["relative value"] = np.round(solution.value[stock, pipeline], 6)
    return [dict(zip(columns, (value.item() for value in row))) for row in zip(*columns.values())]


def order_map(solution: Enumeration) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean total order by net stock and units on their way, over the time spent there.

    Returns:
      Net stock levels `[X]`, units on their way `[Q]`, and mean orders `[X, Q]`, NaN where no state
      is visited.
    """
    grid = solution.grid
    stock, pipeline = np.nonzero(solution.visited > SEEN)
    share = solution.visited[stock, pipeline]
    net, on_order = grid.stock.points().sum(1)[stock], grid.pipeline.points().sum(1)[pipeline]
    orders = grid.orders.points().sum(1)[solution.orders[stock, pipeline]]
    levels, row = np.unique(net, return_inverse=True)
    amounts, column = np.unique(on_order, return_inverse=True)
    total, time = np.zeros((2, len(levels), len(amounts)))
    np.add.at(total, (row, column), share * orders)
    np.add.at(time, (row, column), share)
    with np.errstate(invalid="ignore"):
        return levels, amounts, total / time


def _stock_names(grid) -> list[str]:
    topology = grid.topology
    kind = "net stock" if topology.backlog else "on hand"
    names = [
        _of_product(
            topology,
            f"{kind} {topology.node_names[node] if topology.node_names else node}",
            product,
        )
        for node in range(topology.nodes)
        for product in range(topology.products)
    ]
    if topology.ages == 1:
        return names
    return [
        f"{name}, {age + 1} period{'s' * (age > 0)} left"
        for name in names
        for age in range(topology.ages)
    ]


def _slot_names(grid) -> list[str]:
    topology = grid.topology
    return [
        _of_product(topology, f"ordered {age + 1} ago {_edge(topology, edge)}", product)
        for edge, product, age in open_slots(topology)
    ]


def _order_names(grid) -> list[str]:
    topology = grid.topology
    return [
        _of_product(topology, f"order {_edge(topology, edge)}", product)
        for edge in range(topology.edges)
        for product in range(topology.products)
    ]


def _edge(topology, edge: int) -> str:
    if topology.edge_names:
        return topology.edge_names[edge]
    end = topology.destinations[edge]
    return f"to {topology.node_names[end] if topology.node_names else end}"


def _of_product(topology, name: str, product: int) -> str:
    return name if topology.products == 1 else f"{name}, product {product}"
