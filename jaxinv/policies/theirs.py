"""What a shop did before it had a policy: the orders that it placed, and the minimum and maximum
that it ordered by.

They are played on the same demand as everything else, so that what they cost can be compared.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxinv.envs import views
from jaxinv.envs.observation import Observation
from jaxinv.policies.policy import Policy

OWN_ORDERS, MIN_MAX = "own_orders", "own_min_max"
"""Names of the two, in tables."""


@dataclass(frozen=True)
class OwnOrders(Policy):
    """Orders in each period what was ordered then: `params["orders"]` `[T, E, K]`, in units;
    nothing after them.
    """

    def act(self, params, observation: Observation, context) -> jax.Array:
        orders = params["orders"]
        then = jax.lax.dynamic_index_in_dim(
            orders, jnp.minimum(observation.time, len(orders) - 1), keepdims=False
        )
        return jnp.where(observation.time < len(orders), then, 0.0)


@dataclass(frozen=True)
class OwnMinMax(Policy):
    """Where stock on hand and on its way is down to `params["minimum"]` `[E, K]`, orders up to
    `params["maximum"]`.
    """

    def act(self, params, observation: Observation, context) -> jax.Array:
        position = self.topology.at_destination(
            views.inventory_position(self.topology, observation)
        )
        wanted = jnp.maximum(params["maximum"] - position, 0.0)
        return jnp.where(position <= params["minimum"], wanted, 0.0)
