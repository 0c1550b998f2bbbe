"""Inventory positions and coverages of an observation, which rules and networks decide by."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs.observation import Facts, Observation
from jaxinv.envs.spoiling import Fate, fate
from jaxinv.envs.topology import SUPPLIER, Topology


def on_hand(topology: Topology, observation: Observation) -> jax.Array:
    """Units on hand `[N, K]`, all ages together."""
    return observation.on_hand.sum(-1) if topology.ages > 1 else observation.on_hand


def net_inventory(topology: Topology, observation: Observation) -> jax.Array:
    """On-hand minus backorders `[N, K]`: those of customers, orders that customers placed ahead,
    and internal backorders of other nodes.
    """
    stock = on_hand(topology, observation)
    if observation.backorder is not None:
        stock = stock - observation.backorder
    if observation.booked is not None:
        stock = stock - observation.booked
    return stock if observation.owed is None else stock - topology.out_of_nodes(observation.owed)


def inventory_position(topology: Topology, observation: Observation) -> jax.Array:
    """On hand plus on order minus backorders, of each node by itself `[N, K]`."""
    return net_inventory(topology, observation) + topology.into_nodes(
        on_order(topology, observation)
    )


def end_position(topology: Topology, observation: Observation) -> jax.Array:
    """The inventory position `[E, K]` of the node that each edge leads to, without what spoils
    before an order could be there.
    """
    return _without_spoiling(
        topology, observation, topology.at_destination(inventory_position(topology, observation))
    )


def on_order(topology: Topology, observation: Observation) -> jax.Array:
    """Units on order on each edge `[E, K]`: in transit, backordered at the source, or ordered and
    not yet received by it.
    """
    outstanding = in_transit(observation)
    if observation.owed is not None:
        outstanding = outstanding + observation.owed
    return outstanding + travelling(topology, observation) if topology.order_delays else outstanding


def travelling(topology: Topology, observation: Observation) -> jax.Array:
    """Orders that have not reached their source yet `[E, K]`, where orders take time."""
    return jnp.stack(
        [
            observation.orders[edge, :, :delay].sum(-1)
            for edge, delay in enumerate(topology.order_delays)
        ]
    )


def remembered(topology: Topology) -> int:
    """Periods M whose orders are known to have reached their sources."""
    return topology.order_memory - max(topology.order_delays, default=0)


def received(topology: Topology, observation: Observation) -> jax.Array:
    """Orders that reached each node in each of the last M periods, the latest first `[N, K, M]`."""
    delays, periods = topology.order_delays or (0,) * topology.edges, remembered(topology)
    return topology.out_of_nodes(
        jnp.stack(
            [
                observation.orders[edge, :, delay : delay + periods]
                for edge, delay in enumerate(delays)
            ]
        )
    )


def in_transit(observation: Observation) -> jax.Array:
    """Units that were shipped and have not arrived on each edge `[E, K]`.

    A short pipeline is added slot by slot: on CPU a reduction over so short an axis is a kernel and
    a copy of its own within every period of a rollout, and costs as much as all the rest.
    """
    pipeline = observation.pipeline
    if pipeline.shape[-1] > 16:
        return pipeline.sum(-1)
    return sum(
        (pipeline[..., slot] for slot in range(pipeline.shape[-1])), jnp.zeros(pipeline.shape[:-1])
    )


def echelon_position(topology: Topology, observation: Observation) -> jax.Array:
    """Inventory position of each node's echelon: its own and that of all it supplies `[N, K]`."""
    position = inventory_position(topology, observation)
    if (
        topology.order_delays
    ):  # an order from within the echelon, which its source does not know yet, adds nothing to it
        position = position - topology.out_of_nodes(travelling(topology, observation))
    return echelon_sum(topology, position)


def edge_position(topology: Topology, observation: Observation) -> jax.Array:
    """What an order on each edge adds to `[E, K]`.

    For a node with one inbound edge this is its echelon inventory position. Where several edges
    enter a node, a faster one sees only what will have arrived by the time its own order does (the
    two positions of dual-index policies).
    """
    return _seen_in_time(
        topology, observation, topology.at_destination(echelon_position(topology, observation))
    )


def own_position(topology: Topology, observation: Observation) -> jax.Array:
    """What an order on each edge adds to `[E, K]` at the node that it leads to, without what that
    node supplies in turn.
    """
    return _seen_in_time(
        topology, observation, topology.at_destination(inventory_position(topology, observation))
    )


def _seen_in_time(topology, observation, position):
    """Positions `[E, K]` without what arrives later than an order on the edge does, where others
    enter its node, and without what spoils before it is there."""
    position = _without_spoiling(topology, observation, position)
    if not shared_destinations(topology):
        return position
    lead, age = known_lead_times(topology, observation), np.arange(1, topology.slots + 1)
    rivals = np.equal.outer(topology.destinations, topology.destinations) & ~np.eye(
        topology.edges, dtype=bool
    )
    later = rivals[..., None] & (
        lead[:, None] - age > lead[:, None, None]
    )  # [E, E, L - 1]: not seen by the row's edge
    if isinstance(later, np.ndarray):  # a product with a constant, see `topology.add_rows`
        hidden = jnp.tensordot(
            later.astype(np.float32),
            observation.pipeline,
            axes=((1, 2), (0, 2)),
            precision="highest",
        )
    else:
        hidden = jnp.sum(jnp.where(later[:, :, None], observation.pipeline, 0.0), (1, 3))
    return position - hidden


def _without_spoiling(topology, observation, position):
    """Positions `[E, K]` without what is likely to spoil before an order on the edge is there,
    where goods have shelf lives of their own.

    Units that will expire serve no demand: a rule that counted them would order too little now, and
    too much after they have expired (Broekmeulen & van Donselaar 2009).
    """
    if not topology.has("shelf_lives"):
        return position
    return position - until_arrival(topology, observation).wasted


def until_arrival(topology: Topology, observation: Observation) -> Fate:
    """What becomes of the goods at the end of each edge, and of those on their way there, before an
    order on it is there `[E, K]`; where goods have shelf lives of their own."""
    lead = jnp.round(known_lead_times(topology, observation))
    slots = np.arange(1, topology.slots + 1)
    wait = jnp.maximum(lead[:, None] - slots, 1.0)  # [E, L - 1]; what is overdue comes next
    arriving = jnp.where(wait[:, None, :, None] == slots, observation.pipeline[..., None], 0.0).sum(
        2
    )
    facts = observation.instance
    life, rate = topology.at_destination(facts.shelf_life), topology.at_destination(facts.scale)
    return fate(
        topology.at_destination(observation.on_hand), life, rate, lead, topology.max_lead_time,
        topology.at_destination(topology.into_nodes(arriving)),
    )  # fmt: skip


def goodwill_along_edges(topology: Topology, observation: Observation) -> jax.Array | float:
    """The factor on the demand of all that each edge leads to `[E, K]` that service has made, 1
    where it makes none.
    """
    if observation.goodwill is None:
        return 1.0
    faces = topology.among(topology.demand_nodes)
    typical = jnp.where(faces, observation.instance.scale, 0.0)
    then, now = (
        echelon_sum(topology, typical),
        echelon_sum(topology, typical * observation.goodwill),
    )
    return topology.at_destination(jnp.where(then > 0, now / jnp.where(then > 0, then, 1.0), 1.0))


def known_lead_times(topology: Topology, observation: Observation) -> np.ndarray | jax.Array:
    """Quoted lead times `[E]`; constants where the topology fixes them."""
    if topology.lead_times is None:
        return observation.instance.lead_time
    return np.asarray(topology.lead_times, np.float32)


def shared_destinations(topology: Topology) -> bool:
    """Whether some node that holds stock is supplied by more than one edge."""
    ends = [
        destination
        for destination in topology.destinations
        if destination not in topology.storeless
    ]
    return len(set(ends)) < len(ends)


def several_suppliers(topology: Topology) -> bool:
    """Whether some node is supplied by more than one edge, lateral ones aside."""
    supply = [end for edge, end in enumerate(topology.destinations) if edge not in topology.lateral]
    ends = [end for end in supply if end not in topology.storeless]
    return len(set(ends)) < len(ends)


def echelon_sum(topology: Topology, quantity: jax.Array) -> jax.Array:
    """Sums a quantity of nodes `[N, K]` over each node's echelon `[N, K]`."""
    if not topology.internal:
        return quantity
    return jnp.tensordot(
        topology.echelon.astype(jnp.float32), quantity, axes=1, precision="highest"
    )


def coverage(facts: Facts) -> jax.Array:
    """Periods that an order has to cover at its own node `[E]`: its quoted lead time and one
    review.
    """
    return facts.lead_time + facts.review_period


def echelon_coverage(topology: Topology, facts: Facts) -> jax.Array:
    """Periods that an order has to cover for the echelon of its node `[E]`: its own coverage plus
    the longest lead time downstream.
    """
    down = [
        source != SUPPLIER and edge not in topology.lateral
        for edge, source in enumerate(topology.sources)
    ]
    leaves = (np.asarray(topology.sources) == np.arange(topology.nodes)[:, None]) & np.asarray(
        down
    )  # [N, E]
    destinations = np.asarray(topology.destinations)
    onward = jnp.zeros(topology.nodes)
    for _ in range(topology.depth):
        onward = jnp.max(jnp.where(leaves, facts.lead_time + onward[destinations], 0.0), 1)
    return coverage(facts) + onward[destinations]
