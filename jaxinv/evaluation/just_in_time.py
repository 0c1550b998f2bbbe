"""A lower bound on the cost of any policy: what a clairvoyant, who buys just in time, must pay."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.landed import landed_cost
from jaxinv.envs.network import COSTS, InstanceParams
from jaxinv.envs.problem import Problem
from jaxinv.envs.topology import Topology
from jaxinv.evaluation.held_out import SimulationSize, held_out_groups, join_groups, path_count
from jaxinv.evaluation.rollout import BATCH


def just_in_time(problem: Problem, key: jax.Array, paths: int = 512) -> np.ndarray | None:
    """A clairvoyant's unavoidable cost: a lower bound `[B]` on the cost a period of each path of
    `measure`.

    Who knows demand in advance holds no stock and is never short, so what remains of each unit of
    demand is the cheapest landed cost of bringing it in (purchase, duty, the lowest freight rate,
    holding in transit) less its price; or, where sales may be lost, the penalty if that is less.
    Fixed costs, packs, minimum orders, limits and capacities can only add to it. It holds in the
    long run: within an episode a policy may also live on stock bought in the warm-up.

    None where the bound is of no use: for a problem without such costs (as `lost_sales` and
    `backlog` by default, where the bound is 0 and no relative gap exists), with returns, perishable
    goods or prices that move, and where profits make the bound negative.
    """
    topology = problem.env.topology
    if topology.return_lags or topology.ages > 1:
        return None
    bound = unavoidable_cost(problem, key, paths)
    return bound if bound.sum() > 0 else None


def unavoidable_cost(problem: Problem, key: jax.Array, paths: int = 512) -> np.ndarray:
    """The cost a period of the clairvoyant of `just_in_time` on each path `[B]`; a profit where it
    is below zero.
    """
    parts = [
        _unavoidable(problem.env, SimulationSize.of(problem), instance, world)
        for _, instance, world in held_out_groups(problem, key, paths)
    ]
    return join_groups(parts, path_count(problem, paths))


@partial(jax.jit, static_argnums=(0, 1))
def _unavoidable(env: InventoryNetwork, size: SimulationSize, instance, world) -> jax.Array:
    """Mean unavoidable cost a period `[B]`: the demand of `_simulate` times what a unit costs at
    least.
    """
    demand = world[1].exogenous.demand[size.warm_up :].sum(0)  # [D, K, B]

    def single(demand, instance):
        least = least_unit_cost(env.topology, instance)
        return jnp.sum(env.topology.at_demand_nodes(demand) * least) / size.periods

    return jax.vmap(single, in_axes=(BATCH, size.axis))(demand, instance)


def least_unit_cost(topology: Topology, params: InstanceParams) -> jax.Array:
    """The least weighted cost of a unit of demand at each node `[N, K]`: the cheapest way in, or
    none.
    """
    weights = dict(zip(COSTS, params.weights))
    landed = landed_cost(topology, params)
    if topology.has("revenue"):
        landed -= weights["revenue"] * params.price
    return (
        landed if topology.backlog else jnp.minimum(landed, weights["shortage"] * params.shortage)
    )
