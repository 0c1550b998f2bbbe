"""How policies serve a channel that holds no stock: the central stock first, then those who sell
themselves, each what it can spare.

Customers of such a channel have ordered before they are served (`Topology.storeless`), so what to
ship is known, and by whom is the question. Nodes without customers of their own come first, then
nodes with, then suppliers, each group in the order in which the edges of the network are told: tell
the nearest first. Each gets what those before it leave, so that a parcel, which costs something
however small it is, leaves only where it is needed.

By a rule, a node with customers of its own holds back what they ask for in some periods, a number
that is tuned with those of the rule, and what other edges draw on a node comes after. A network
says of each edge what share of the bookings it offers to ship (`jaxinv.policies.decode`).
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
