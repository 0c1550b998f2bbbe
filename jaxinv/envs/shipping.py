"""How orders become shipments: rounding, limits, and how a node rations stock that falls short.

Axes as in `jaxinv.envs.network`.
"""

import jax
import jax.numpy as jnp
import numpy as np

ROUNDING = 1e-6
"""Relative differences below this are float32 rounding, not goods."""


def ship(topology, state, action, params):
    """Turns requests into orders, and orders into shipments that are taken from the source nodes.

    Requests are held to the review calendar, rounded to packs, and raised to the minimum order or
    dropped. They reach their source at once or after the order delay; internal backorders of the
    edge are added there. The sum is cut, in this order: to the open orders of customers (at a node
    without stock), to the edge limit, to the budget, and to the shipping capacity of its source.
    Last, the source rations its stock. With internal backlog, what a source node cuts becomes an
    internal backorder; what a supplier cuts is lost.

    Returns:
      Shipped `[E, K]`, stock left at the nodes, internal backorders `[E, K]`, and the orders placed
      so far `[E, K, M]`.
    """
    order = jnp.maximum(action, 0.0)
    if topology.has("review"):
        order = jnp.where((state.time % params.review_period == 0)[:, None], order, 0.0)
    order = _round_to_packs(topology, order, params, jnp.round)
    if topology.has("minimum_order"):
        minimum = _minimum_in_packs(topology, params)
        order = jnp.where(order >= 0.5 * minimum, jnp.maximum(order, minimum), 0.0)
    order, orders = _send_orders(topology, order, state.orders)
    if topology.internal_backlog:
        order = order + state.owed
    asked = order
    if topology.storeless:
        order = order * _to_customers(topology, waiting(state), order)
    if topology.has("order_limit"):
        order = order * _cut(params.order_limit, jnp.dot(order, params.volume))[:, None]
    if topology.has("budget"):
        bought = jnp.asarray(topology.from_supplier)[:, None]
        paid = jnp.sum(jnp.where(bought, order * params.unit_cost, 0.0))
        order = jnp.where(bought, order * _cut(params.budget, paid), order)
    if topology.has("shipping_capacity") and topology.internal:
        load = jnp.dot(order, params.volume)[:, None]
        order = order * _cut(_ration(topology, params.shipping_capacity[:, None], load), load)
    stock, allowed = state.on_hand, order
    if topology.internal:
        order = _of_stock(topology, stock, order, params)
    if order is not asked:  # a cut may have broken packs and minimum orders
        order = _round_to_packs(topology, order, params, lambda packs: jnp.floor(packs + 1e-4))
        if topology.has("packs") and topology.internal:
            order = order + jax.lax.stop_gradient(
                _last_packs(topology, stock, order, allowed, params)
            )
        if topology.has("minimum_order"):
            order = jnp.where(order >= minimum * (1.0 - ROUNDING), order, 0.0)
    if topology.internal:
        gone = topology.out_of_nodes(taken(topology, order, params))
        stock = jnp.where(
            gone >= stock * (1.0 - ROUNDING), 0.0, stock - gone
        )  # no dust is left to ship again
    return order, stock, _owed(topology, asked, order), orders


def waiting(state):
    """Open orders of customers who order ahead `[N, K]`, in a state or an observation."""
    return state.booked if state.backorder is None else state.booked + state.backorder


def taken(topology, shipped, params):
    """Units taken from the source for a shipment `[E, K]`: more than are shipped where processing
    loses a part.
    """
    return (
        shipped / params.processing_yield[:, None] if topology.has("processing_yield") else shipped
    )


def _send_orders(topology, order, earlier):
    """Orders `[E, K]` that reach their source now, and those placed so far `[E, K, M]`, the latest
    first.
    """
    if not topology.order_memory:
        return order, None
    placed = jnp.concatenate([order[..., None], earlier], -1)
    if topology.order_delays:
        order = jnp.stack(
            [placed[edge, :, delay] for edge, delay in enumerate(topology.order_delays)]
        )
    return order, placed[..., :-1]


def _owed(topology, asked, shipped):
    """Internal backorders `[E, K]`; None where a source cuts orders for good."""
    if not topology.internal_backlog:
        return None
    internal = jnp.asarray(~topology.from_supplier)[:, None]
    return jnp.where(internal & (shipped < asked * (1.0 - ROUNDING)), asked - shipped, 0.0)


def _round_to_packs(topology, order, params, rounding):
    """Orders in whole packs; the gradient ignores the rounding (straight-through)."""
    if not topology.has("packs"):
        return order
    rounded = params.pack_size * rounding(order / params.pack_size)
    return order + jax.lax.stop_gradient(rounded - order)


def least_order(topology, params):
    """The smallest order `[E, K]`: a pack or the minimum order, whichever is larger; 0 without
    both.
    """
    least = jnp.zeros((topology.edges, topology.products))
    if topology.has("packs"):
        least = jnp.maximum(least, params.pack_size)
    if topology.has("minimum_order"):
        least = jnp.maximum(least, params.minimum_order)
    return least


def _minimum_in_packs(topology, params):
    """The minimum order `[E, K]`, raised to whole packs."""
    if not topology.has("packs"):
        return params.minimum_order
    return params.pack_size * jnp.ceil(params.minimum_order / params.pack_size - 1e-4)


def _cut(limit, wanted):
    """The factor, at most 1, that brings `wanted` down to `limit`."""
    return jnp.where(wanted > limit, limit / jnp.maximum(wanted, 1e-9), 1.0)


def _to_customers(topology, wanted, order):
    """The factor `[E, K]`, at most 1, that cuts shipments to nodes without stock to the open orders
    of their customers `[N, K]`.
    """
    bare = topology.among(topology.storeless)
    return topology.at_destination(jnp.where(bare, _cut(wanted, topology.into_nodes(order)), 1.0))


def _of_stock(topology, stock, order, params):
    """Orders `[E, K]` cut to what the stock of their sources `[N, K]` allows."""
    if not topology.has("processing_yield"):
        return _ration(topology, stock, order)
    need = taken(topology, order, params)
    return order * _cut(_ration(topology, stock, need), need)


def _ration(topology, stock, order):
    """Rations the stock or capacity of each source node `[N, K]` among its outgoing edges
    `[E, K]`.
    """
    from_supplier = jnp.asarray(topology.from_supplier)[:, None]
    if topology.rationing == "proportional":
        share = topology.at_source(_cut(stock, topology.out_of_nodes(order)))
        return jnp.where(from_supplier, order, order * share)
    if (
        topology.rationing == "equal_shortage"
    ):  # what all lack is the largest of (sum of the k largest - stock) / k
        larger = _rivals(topology)[..., None] & (order[None] >= order[:, None])  # [E, E, K]
        lacking = jnp.sum(jnp.where(larger, order[None], 0.0), 1) - topology.at_source(stock)
        each = jnp.maximum(lacking, 0.0) / jnp.maximum(larger.sum(1), 1)
        shortage = jnp.max(jnp.where(_rivals(topology)[..., None], each[None], 0.0), 1)
        left = order - shortage
        dust = ROUNDING * topology.at_source(topology.out_of_nodes(order))
        return jnp.where(from_supplier, order, jnp.where(left > dust, left, 0.0))
    earlier = jnp.asarray(np.tril(_rivals(topology), -1), jnp.float32)
    left = topology.at_source(stock) - jnp.tensordot(earlier, order, axes=1, precision="highest")
    return jnp.where(from_supplier, order, jnp.clip(order, 0.0, jnp.maximum(left, 0.0)))


def _last_packs(topology, stock, order, allowed, params):
    """One more pack `[E, K]` for the edges with the largest cut, from the stock that rounding left
    at their source.
    """
    gap, pack = allowed - order, params.pack_size
    wants = gap >= pack * (1.0 - ROUNDING)
    edge = np.arange(topology.edges)
    first = (gap[None] > gap[:, None]) | (
        (gap[None] == gap[:, None]) & (edge[None] <= edge[:, None])[..., None]
    )
    need = taken(topology, pack, params)
    ahead = jnp.where(_rivals(topology)[..., None] & first & wants[None], need[None], 0.0).sum(
        1
    )  # this pack included
    left = topology.at_source(stock - topology.out_of_nodes(taken(topology, order, params)))
    return jnp.where(wants & (ahead <= left * (1.0 + ROUNDING)), pack, 0.0)


def _rivals(topology):
    """`[E, E]`, whether two edges (or an edge and itself) leave the same node."""
    sources = np.asarray(topology.sources)
    return (sources[:, None] == sources[None, :]) & ~topology.from_supplier[:, None]
