"""How a learned policy shares out the stock of a node among the edges that draw on it.

Requests that exceed the stock of their node can be left to the network's own rationing, which is
feasible and differentiable already (`jaxinv.envs.shipping.ship`). Or the policy never asks for more
than there is:

    shipped_e = stock * w_e / (1 + sum_e w_e),
    w_e = mean_i exp(o_ei) f_ei / (demand that all edges of the node lead to),

a softmax over the edges of a node and a constant logit for what it keeps (HDPO, Alvo et al.
2306.11246; methods B.4 item 7). With raw outputs o of 0 half of the stock goes, in proportion to
demand. Where a node ships a limited volume a period, that is shared out in the
place of a larger stock, so that no logit is without effect.
"""

import jax
import jax.numpy as jnp

from jaxinv.envs.observation import Observation
from jaxinv.envs.topology import Topology
from jaxinv.errors import UserError, unknown

ALLOCATIONS = ("rationing", "softmax")

LARGEST_LOGIT = 20.0
"""Raw outputs beyond it either way change nothing that float32 could tell."""


def check_allocation(topology: Topology, allocation: str) -> None:
    """Refuses an allocation that means nothing on a network.

    Raises:
      UserError: an unknown name, or a softmax where no stock of a node is asked for or what is
        asked for is not shipped at once.
    """
    if allocation not in ALLOCATIONS:
        raise unknown("allocation", allocation, ALLOCATIONS)
    if allocation == "rationing":
        return
    if not topology.internal:
        raise UserError(
            f"allocation={allocation} shares out the stock of a node, and no edge of this network"
            " draws on a node; leave it out, or take a network such as serial or"
            " one_warehouse_many_stores"
        )
    if topology.order_delays:
        raise UserError(
            f"allocation={allocation} shares out the stock of the moment, and here orders travel"
            " before they are shipped (order_delays); leave it out"
        )


def share_out(
    topology: Topology, observation: Observation, raw: jax.Array, rates: jax.Array
) -> jax.Array:
    """What each edge ships of the stock of its source `[E, K]`, zero for edges from suppliers.

    Less what the source owes already, which is shipped first, the sum over the edges of a node
    never exceeds its stock, nor what a node can ship in a period.

    Args:
      raw: `[E, K, R]` raw outputs, one for each rate.
      rates: `[E, K, R]` demand a period at the end of each edge.
    """
    weights = jnp.mean(jnp.exp(jnp.clip(raw, -LARGEST_LOGIT, LARGEST_LOGIT)) * rates, -1)
    led_to = topology.at_source(topology.out_of_nodes(rates.mean(-1)))
    weights = weights / jnp.where(led_to > 0, led_to, 1.0)
    kept = 1.0 + topology.at_source(topology.out_of_nodes(weights))
    stock = observation.on_hand
    if observation.owed is not None:
        stock = jnp.maximum(stock - topology.out_of_nodes(observation.owed), 0.0)
    if observation.instance.most_shipped is not None:
        stock = jnp.minimum(stock, observation.instance.most_shipped)
    return topology.at_source(stock) * weights / kept
