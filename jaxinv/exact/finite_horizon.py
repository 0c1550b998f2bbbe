"""Backward induction: the optimum of episodes that end, and of periods whose demand laws differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.errors import UserError
from jaxinv.exact.enumeration import (
    MEMORY,
    RARE,
    WIDENINGS,
    TablePolicy,
    Visits,
    check_size,
    decided,
    follow,
    widened,
)
from jaxinv.exact.extent import first_grid
from jaxinv.exact.mdp import MDP, covered, tabulate
from jaxinv.exact.state_space import StateSpace, vectors
from jaxinv.exact.value_iteration import best_order, cheapest, sweep
from jaxinv.keys import Role, generator

STARTS = 1 << 14
"""First stocks that the cost of an episode is a mean over."""


class FiniteHorizonOptimum(NamedTuple):
    """The optimum of T periods.

    Attributes:
      value: `[X, R]` least expected cost from the first period on.
      policy, params: the optimal policy and its orders `[T, X * R, E * K]`, to be rolled out from
        time 0.
    """

    value: np.ndarray
    policy: TablePolicy
    params: np.ndarray


@dataclass(frozen=True)
class Season:
    """An instance whose episodes end after T periods, solved state by state.

    Attributes:
      cost: least expected cost a period, from the first stock of an episode.
      plan: the policy.
    """

    cost: float
    plan: FiniteHorizonOptimum


def solve_season(
    env: InventoryNetwork,
    params: InstanceParams,
    periods: int,
    *,
    memory: float = MEMORY,
    most: float = math.inf,
) -> Season:
    """The policy of least expected cost over `periods`, after which nothing counts, from the first
    stock on.

    The grid is widened until the optimal policy meets none of its bounds on the way from the first
    stock.

    Raises:
      UserError: a network that is not covered (`mdp.covered`), or one with too many states.
    """
    covered(env)
    first = _first_states(env, params)
    grid = _with_room(first_grid(env, params), *first)
    for _ in range(WIDENINGS):
        check_size(grid, memory, most)
        tables = 4 * periods * grid.states * (1 + len(grid.orders.low))
        if tables > memory:
            raise UserError(
                f"orders of {grid.states:,} states in each of {periods} periods need about"
                f" {tables / 1e9:.1f} GB, of {memory / 1e9:.1f} GB allowed; a shorter horizon or"
                " lead time shrinks them"
            )
        mdp = tabulate(env, params, grid)
        plan = backward_induction([mdp] * periods)
        start = grid.stock.index(first[0]) * grid.pipeline.size + grid.pipeline.index(first[1])
        seen = _met(mdp, plan, start)
        wider = _wider(env, params, grid, seen)
        if wider == grid:
            return Season(float(plan.value.reshape(-1)[start].mean()) / periods, plan)
        grid = wider
    raise UserError(
        f"the optimal policy goes beyond every grid tried, the last of {grid.states:,} states"
    )


def backward_induction(
    mdps: Sequence[MDP], orders: Sequence[bool] | None = None, counted: Sequence[bool] | None = None
) -> FiniteHorizonOptimum:
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
    return FiniteHorizonOptimum(np.asarray(value), TablePolicy(grid.topology, grid), params)


def _first_states(env, params) -> tuple[np.ndarray, np.ndarray]:
    """Stock vectors and pipelines `[STARTS, C]` that episodes begin with: evenly spread for one
    cell, else drawn.
    """
    shape = env.start_noise["stock"]
    even = (np.arange(STARTS) + 0.5) / STARTS
    uniforms = even if math.prod(shape) == 1 else generator(Role.CHECK, 0).random((STARTS, *shape))
    uniforms = jnp.asarray(uniforms.reshape(STARTS, *shape), jnp.float32)
    start = jax.vmap(lambda stock: vectors(env.topology, env.start({"stock": stock}, params)))(
        uniforms
    )
    return tuple(np.asarray(part) for part in start)


def _with_room(grid: StateSpace, stock: np.ndarray, pipeline: np.ndarray) -> StateSpace:
    """The grid with room for what episodes begin with."""
    topology = grid.topology
    under_way = int(pipeline.max()) if pipeline.size else 0
    low, high = np.minimum(grid.stock.low, stock.min(0)), np.maximum(grid.stock.high, stock.max(0))
    return StateSpace.of(
        topology, low.tolist(), high.tolist(), [max(order, under_way) for order in grid.orders.high]
    )


def _met(mdp: MDP, plan: FiniteHorizonOptimum, start: np.ndarray) -> Visits:
    """What the policy meets of the bounds of the grid on its way from the states `[S]`."""
    grid = mdp.grid
    share = np.bincount(start, minlength=grid.states) / len(start)
    largest, spilt, cut, cost = np.zeros(len(grid.orders.high)), 0.0, 0.0, 0.0
    every = mdp.kernel.mass > 0
    for table in plan.params:
        orders = grid.orders.index(table.astype(int)).reshape(grid.stock.size, grid.pipeline.size)
        states = np.flatnonzero(share)
        order, offered, expected = decided(mdp, orders, states)
        row, after, chance, over = follow(mdp, orders, states, every)
        largest += share[states] @ (grid.orders.points()[order] == np.array(grid.orders.high))
        spilt, cut = (
            spilt + float(share[states] @ over),
            cut + float(share[states] @ mdp.cut[offered]),
        )
        cost += float(share[states] @ expected)
        share = np.bincount(after, share[states][row] * chance, grid.states)
    periods = len(plan.params)
    return Visits(cost / periods, share, largest / periods, spilt / periods, cut / periods)


def _wider(env, params, grid: StateSpace, seen: Visits) -> StateSpace:
    """The grid with room where the policy meets a bound, below too: who has stopped ordering owes
    ever more.
    """
    wider = widened(env, params, grid, seen)
    if seen.cut <= RARE:
        return wider
    low = [int(1.5 * bound) - 1 if bound < 0 else bound for bound in grid.stock.low]
    return StateSpace.of(grid.topology, low, wider.stock.high, wider.orders.high)


def _nothing(costs, rows):
    return jnp.zeros(costs.shape[:-1], jnp.int32)


def _cost_of_nothing(costs, rows):
    return costs[..., 0]
