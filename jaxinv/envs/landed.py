"""What goods in a network are worth: the least that it costs to bring a unit to where it is."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs.network import COSTS, InstanceParams, NetworkState
from jaxinv.envs.spoiling import fate
from jaxinv.envs.topology import Topology


def landed_cost(topology: Topology, params: InstanceParams) -> jax.Array:
    """The least weighted cost of bringing a unit to each node `[N, K]`: purchase, duty, freight and
    holding on the way.

    Freight counts by its lowest rate, and holding in transit over fixed lead times alone; where
    they are random an order may be lucky.
    """
    weights = dict(zip(COSTS, params.weights))
    edge = jnp.zeros((topology.edges, topology.products))
    if topology.has("unit_cost"):
        edge += weights["ordering"] * params.unit_cost
    if topology.has("duty"):
        edge += weights["duty"] * params.duty
    if topology.has("freight"):
        edge += weights["transport"] * params.freight_rates.min(1, keepdims=True)
    if topology.has("transit_holding") and topology.lead_times is not None:
        edge += (
            weights["holding"] * params.transit_holding * jnp.asarray(topology.lead_times)[:, None]
        )
    sources, destinations = np.asarray(topology.sources), np.asarray(topology.destinations)
    enters = (destinations == np.arange(topology.nodes)[:, None])[..., None]  # [N, E, 1]
    landed = jnp.full((topology.nodes, topology.products), jnp.inf)
    for _ in range(_longest_way(topology)):
        there = jnp.where(topology.from_supplier[:, None], 0.0, landed[sources])
        if topology.has("processing_yield"):
            there = there / params.processing_yield[:, None]
        here = edge + there
        if topology.has("arrivals"):  # what is paid for, and what of it comes
            here = here / params.arrival_law.mean()[:, None]
        landed = jnp.min(jnp.where(enters, here, jnp.inf), 1)
    return landed


def stock_value(topology: Topology, state: NetworkState, params: InstanceParams) -> jax.Array:
    """The landed cost `[]` of all goods on hand and under way, less that of what customers are
    owed.

    Goods that all age alike are worth nothing here: how much of them is ever sold is not known. Of
    goods with shelf lives of their own, what is likely to spoil is worth nothing, and will cost
    what waste does.
    """
    if _ages_alike(topology):
        return jnp.zeros(())
    landed = landed_cost(topology, params)
    worth = jnp.sum(landed * (_net(topology, state) + topology.into_nodes(state.pipeline.sum(-1))))
    return (
        worth - jnp.sum(_waste_to_come(topology, state, params, landed))
        if topology.has("shelf_lives")
        else worth
    )


def stock_values(
    topology: Topology, state: NetworkState, params: InstanceParams
) -> tuple[jax.Array, jax.Array]:
    """The same by place: at nodes `[N]`, and under way on edges `[E]`."""
    if _ages_alike(topology):
        return jnp.zeros(topology.nodes), jnp.zeros(topology.edges)
    landed = landed_cost(topology, params)
    under_way = topology.at_destination(landed) * state.pipeline.sum(-1)
    there = landed * _net(topology, state)
    if topology.has("shelf_lives"):
        there = there - _waste_to_come(topology, state, params, landed)
    return jnp.sum(there, -1), jnp.sum(under_way, -1)


def _ages_alike(topology):
    return topology.ages > 1 and not topology.has("shelf_lives")


def _net(topology, state):
    stock = state.on_hand.sum(-1) if topology.ages > 1 else state.on_hand
    return stock if state.backorder is None else stock - state.backorder


def _waste_to_come(topology, state, params, landed):
    """What it takes off the worth of stock `[N, K]` that a part of it is likely to spoil."""
    all_of_it = jnp.full(topology.nodes, topology.ages)
    to_come = fate(state.on_hand, params.shelf_life, params.scale, all_of_it, topology.ages)
    return to_come.wasted * (landed + params.weights[COSTS.index("expiry")] * params.expiry_cost)


def _longest_way(topology: Topology) -> int:
    """Edges on the longest way in that does not meet a node twice."""
    return topology.nodes if topology.lateral else topology.depth + 1
