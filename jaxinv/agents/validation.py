"""Which of its policies a training keeps: the one that costs least on instances that it was not shown.

Recorded sales end, and a network can learn them by heart. What it learns by heart of some series does not help on others,
so its cost there turns upward while the cost in training still falls; the parameters from before that are kept (early
stopping; Prechelt 1998).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams, NetworkState
from jaxinv.envs.objectives import draw_preferences, prefer
from jaxinv.envs.problem import Problem
from jaxinv.evaluation.rollout import BATCH, WorldTrace, batch_last, play_world, take_instances
from jaxinv.evaluation.simulate import simulate_in
from jaxinv.evaluation.tuning import as_recorded, counted_periods
from jaxinv.policies.policy import Policy

PATHS = 256
"""Fewest paths of a validation; fewer instances play several episodes each."""


@struct.dataclass
class Validation:
    """The held-out instances of a problem and their world; the same for every policy that is tried."""

    env: InventoryNetwork = struct.field(pytree_node=False)
    warm_up: int = struct.field(pytree_node=False)
    instances: InstanceParams  # [..., B]
    network: NetworkState  # [..., B]
    world: WorldTrace

    @classmethod
    def of(cls, problem: Problem, key: jax.Array, preferences: bool = False) -> "Validation | None":
        """None for a problem that holds nothing out. With `preferences` every path is weighed by one of its own."""
        if not problem.held_out:
            return None
        index = np.resize(problem.held_out, max(len(problem.held_out), PATHS))
        instances = batch_last(take_instances(as_recorded(problem), index))
        if preferences:
            instances = prefer(instances, draw_preferences(problem.env.topology, key, len(index)))
        periods = problem.warm_up + counted_periods(problem)
        network, world = play_world(problem.env, key, instances, len(index), periods, BATCH)
        return cls(problem.env, problem.warm_up, instances, network, world)

    def cost(self, policy: Policy, params) -> jax.Array:
        """Mean weighted cost a period `[]` of a policy."""
        totals = simulate_in(
            self.env, self.instances, policy, params, self.network, self.world, warm_up=self.warm_up, axis=BATCH
        )
        return -totals.reward.mean() / (self.world.exogenous.demand.shape[0] - self.warm_up)


@struct.dataclass
class Best:
    """The best parameters so far; of several runs trained at once, with a leading axis."""

    params: dict
    cost: jax.Array  # [] or [runs], of the validation

    @classmethod
    def first(cls, params, runs: int | None) -> "Best":
        """Parameters that any others are better than."""
        return cls(params, jnp.full(() if runs is None else (runs,), jnp.inf))

    def follow(self, params, cost: jax.Array) -> "Best":
        """The better of the two, run by run."""

        def choose(new, old):
            return jnp.where((cost < self.cost).reshape(cost.shape + (1,) * (new.ndim - cost.ndim)), new, old)

        return Best(jax.tree.map(choose, params, self.params), jnp.minimum(cost, self.cost))
