"""The optimum of DeepStock's setting 1, by backward induction, and what it costs on test paths."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.demand.deepstock_paths import REVIEW, SPREAD, lowest_demand
from jaxinv.demand.exogenous import Exogenous
from jaxinv.demand.processes import TableParams
from jaxinv.envs.problem import Problem
from jaxinv.evaluation.rollout import rollout
from jaxinv.exact.finite_horizon import FiniteHorizonOptimum, backward_induction
from jaxinv.exact.mdp import tabulate
from jaxinv.exact.state_space import StateSpace
from jaxinv.instances.moving_demand import COUNTED_FROM, DAYS
from jaxinv.keys import Role, generator

LOWEST, HIGHEST, LARGEST = -100, 200, 100
"""Stock and order that the published programme looks at."""

TRUE_LAW = np.full((DAYS, SPREAD), 1 / SPREAD)

TRAINING, TEST = 10, 100
"""Paths that a law is counted on, and paths that policies are judged on."""


def plan(problem: Problem, law: np.ndarray) -> FiniteHorizonOptimum:
    """The optimal orders of all days.

    Args:
      law: `[DAYS, SPREAD]` probability of each step of demand above the lowest of the day.
    """
    grid = StateSpace.of(problem.env.topology, (LOWEST,), (HIGHEST,), (LARGEST,))
    most = int(lowest_demand(DAYS).max()) + SPREAD
    tables = []
    for low, mass in zip(lowest_demand(DAYS), law):
        below = np.zeros(most)
        below[low : low + SPREAD] = mass
        cdf = jnp.asarray(np.cumsum(below)[:-1, None, None], jnp.float32)
        tables.append(tabulate(problem.env, problem.first.replace(demand=TableParams(cdf)), grid))
    days = np.arange(DAYS)
    return backward_induction(tables, orders=days % REVIEW == 0, counted=days >= COUNTED_FROM)


def expected_cost(problem: Problem) -> float:
    """Least expected cost a counted day, under the true law, from empty stock."""
    found = plan(problem, TRUE_LAW)
    return float(found.value[found.policy.grid.stock.index(np.array([0])), 0]) / (
        DAYS - COUNTED_FROM
    )


def empirical_law(seed: int = 0) -> np.ndarray:
    """The law counted on `TRAINING` paths."""
    draws = generator(Role.TRAINING, seed).integers(SPREAD, size=(TRAINING, DAYS))
    return np.stack([(draws == step).mean(0) for step in range(SPREAD)], 1)


def costs_on_test_paths(problem: Problem, law: np.ndarray, seed: int = 0) -> np.ndarray:
    """Cost a counted day `[TEST]` of the policy that is optimal under a law, on paths of the true
    one.
    """
    env, params = problem.env, problem.first
    found = plan(problem, law)
    demand = lowest_demand(DAYS)[:, None] + generator(Role.EVIDENCE, seed).integers(
        SPREAD, size=(DAYS, TEST)
    )
    empty = env.start(
        {"stock": jnp.zeros((1, 1))},
        params.replace(initial_low=jnp.zeros((1, 1)), initial_high=jnp.zeros((1, 1))),
    )
    start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[..., None], (*leaf.shape, TEST)), empty)
    _, reward, _ = rollout(
        env,
        params,
        lambda orders, observation, _: (found.policy.act(orders, observation, None), None),
        jnp.asarray(found.params),
        start,
        Exogenous(jnp.asarray(demand[:, None, None, :], jnp.float32)),
    )
    return -np.asarray(reward)[COUNTED_FROM:].mean(0)
