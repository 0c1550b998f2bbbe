"""Backward induction over a number of periods whose demand laws differ."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.exact.enumeration import TablePolicy
from jaxinv.exact.mdp import MDP
from jaxinv.exact.value_iteration import best_order, cheapest, sweep


class Plan(NamedTuple):
    """The optimum of T periods.

    Attributes:
      value: `[X, R]` least expected cost from the first period on.
      policy, params: the optimal policy and its orders `[T, X * R, E * K]`, to be rolled out from time 0.
    """

    value: np.ndarray
    policy: TablePolicy
    params: np.ndarray


def backward_induction(
    mdps: Sequence[MDP], orders: Sequence[bool] | None = None, counted: Sequence[bool] | None = None
) -> Plan:
    """The least expected cost of T periods, after which nothing counts (Bellman 1957).

    Args:
      mdps: the tables of each period, all on one grid; only their demand may differ.
      orders: whether each period takes orders; all where not given.
      counted: whether the cost of each period counts; all where not given.
    """
    grid = mdps[0].grid
    periods = len(mdps)
    orders = [True] * periods if orders is None else orders
    counted = [True] * periods if counted is None else counted
    value = np.zeros((grid.stock.size, grid.pipeline.size))
    tables, compiled = [], jax.jit(sweep, static_argnums=3)
    with jax.enable_x64(True):
        for mdp, takes, counts in zip(reversed(mdps), reversed(orders), reversed(counted)):
            mdp = jax.tree.map(jnp.asarray, mdp)
            if not counts:
                mdp = mdp.replace(serve_cost=0.0 * mdp.serve_cost, move_cost=0.0 * mdp.move_cost)
            table = compiled(mdp, value, 1.0, best_order if takes else _nothing)
            value = compiled(mdp, value, 1.0, cheapest if takes else _cost_of_nothing)
            tables.append(np.asarray(table))
    points = grid.orders.points().astype(np.float32)
    params = np.stack([points[table.reshape(-1)] for table in reversed(tables)])
    return Plan(np.asarray(value), TablePolicy(grid.topology, grid), params)


def _nothing(costs, rows):
    return jnp.zeros(costs.shape[:-1], jnp.int32)


def _cost_of_nothing(costs, rows):
    return costs[..., 0]
