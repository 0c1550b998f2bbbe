"""How policies serve a channel that holds no stock: from central stock first, then from nodes with
customers of their own.

Customers of such a channel order before they are served (`Topology.storeless`), so the quantity to
ship is known; the decision is which node ships it. Nodes without customers of their own ship first,
then nodes with customers, then suppliers; within each group in the order of the edges of the
network, so list the nearest first. Each ships only what the nodes before it could not, because
every parcel has a fixed cost.

Under a rule, a node with customers of its own holds back their demand of some periods, a number
that is tuned with those of the rule; its other outgoing edges are served last. A learned network
gives for each edge the share of the open orders that it offers to ship (`jaxinv.policies.decode`).
"""

import math
from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs import views
from jaxinv.envs.observation import Observation
from jaxinv.envs.shipping import waiting
from jaxinv.envs.topology import SUPPLIER, Topology
from jaxinv.policies.rule import Rule


@cache
def fulfilling(rule: type[Rule]) -> type[Rule]:
    """The same rule for networks with channels that hold no stock, with one number more:
    `hold_back`, periods of its own typical demand that a node keeps from them."""

    def act(self, params, observation, context):
        return fulfilled(
            self.topology,
            observation,
            rule.act(self, params, observation, context),
            params["hold_back"],
        )

    body = {
        "__doc__": rule.__doc__,
        "act": act,
        "ranges": rule.ranges | {"hold_back": (0.0, 2.0)},
        "bounds": rule.bounds | {"hold_back": (0.0, math.inf)},
        "scalars": rule.scalars | {"hold_back"},
    }
    return dataclass(frozen=True)(type(f"Fulfilling{rule.__name__}", (rule,), body))


def fulfilled(
    topology: Topology, observation: Observation, orders: jax.Array, hold_back: jax.Array
) -> jax.Array:
    """Orders `[E, K]` of a rule, with those to channels replaced by what serves their customers,
    and the others cut to what this leaves at their source."""
    straight = topology.fulfilment[:, None]
    shipped = to_channels(topology, observation, hold_back)
    stock = views.on_hand(topology, observation)
    others = jnp.where(straight, 0.0, orders)
    left = jnp.maximum(stock - topology.out_of_nodes(shipped), 0.0)
    asked = topology.out_of_nodes(others)
    share = topology.at_source(
        jnp.where(asked > left, left / jnp.where(asked > 0, asked, 1.0), 1.0)
    )
    internal = ~topology.from_supplier[:, None]
    return jnp.where(straight, shipped, jnp.where(internal, others * share, others))


def to_channels(
    topology: Topology, observation: Observation, hold_back: jax.Array | float
) -> jax.Array:
    """What each edge ships to a channel `[E, K]` where each offers all but what it holds back."""
    kept = hold_back * jnp.where(
        topology.among(topology.demand_nodes), observation.instance.scale, 0.0
    )
    return in_turn(
        topology,
        observation,
        topology.at_source(jnp.maximum(views.on_hand(topology, observation) - kept, 0.0)),
    )


def in_turn(topology: Topology, observation: Observation, offer: jax.Array) -> jax.Array:
    """What each edge ships to a channel `[E, K]` of what it offers, zero on edges to nodes that
    hold stock: no more than there is at its source, and than those before it leave of what
    customers wait for. A supplier offers all.
    """
    wanted = topology.at_destination(
        jnp.where(topology.among(topology.storeless), waiting(observation), 0.0)
    )
    there = topology.at_source(views.on_hand(topology, observation))
    offer = jnp.where(~topology.from_supplier[:, None], jnp.minimum(offer, there), wanted)
    offer = jnp.where(topology.fulfilment[:, None], offer, 0.0)
    before = jnp.tensordot(_earlier(topology), offer, axes=1, precision="highest")
    return jnp.clip(wanted - before, 0.0, offer)


def _earlier(topology):
    """`[E, E]`, 1 where the column's edge leads to the same channel and comes first."""
    sells = [
        2 if source == SUPPLIER else int(source in topology.demand_nodes)
        for source in topology.sources
    ]
    rank = np.argsort(np.lexsort((np.arange(topology.edges), sells)))
    same = (
        np.equal.outer(topology.destinations, topology.destinations) & topology.fulfilment[:, None]
    )
    return (same & (rank[None, :] < rank[:, None])).astype(np.float32)
