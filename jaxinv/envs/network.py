"""The one transition: everything that moves stock, in every preset, is `transition` below.

A period runs in the order of its functions here: `ship`, `serve`, `take_back`, `charge`, `advance`. The transition is
deterministic and differentiable; what is random comes in as `Exogenous` values, so the same noise can be replayed under
any policy. Axes: N nodes, E edges, K products, L largest lead time, A ages, R return lags, B freight tiers. Quantities
are in product units, time in periods, money in one currency.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments.environment import EnvParams

from jaxinv.demand.exogenous import Exogenous
from jaxinv.envs.topology import SUPPLIER, Topology, add_rows

COSTS = ("holding", "shortage", "ordering", "transport", "duty", "returns", "expiry", "overflow", "revenue")
"""Parts of the cost vector. Revenue is a negative cost."""

ROUNDING = 1e-6
"""Relative differences below this are float32 rounding, not goods."""


@struct.dataclass
class InstanceParams(EnvParams):
    """The numbers of one instance; a batch of instances is this struct with a leading axis on every array.

    A field is None where the topology has no use for it.
    """

    max_steps_in_episode: int = 100
    holding: jax.Array | None = None  # [N, K] money per unit on hand at the end of a period
    # [N, K] money per unit short (lost sales), or per unit and period owed to customers (backlog) and to other nodes
    shortage: jax.Array | None = None
    weights: jax.Array | None = None  # [len(COSTS)] weight of each cost part in the reward
    preference: jax.Array | None = None  # [len(COSTS)] factors that `weights` hold and a policy is told; None: 1 each
    scale: jax.Array | None = None  # [N, K] typical demand a period that passes the node; scales what networks see
    initial_low: jax.Array | None = None  # [N, K] stock at reset is uniform between these two
    initial_high: jax.Array | None = None  # [N, K]
    initial_pipeline: jax.Array | None = None  # [E, K] units in every open pipeline slot and past order at reset
    lead_time: jax.Array | None = None  # [E] quoted lead time in periods, from shipment to arrival
    max_order: jax.Array | None = None  # [E, K] upper end of the action space
    demand: Any = None  # parameters of the demand process
    lead_time_law: Any = None  # parameters of the lead-time process
    intervention: Any = None  # what changes the world, where it is open to change (`jaxinv.demand.interventions`)
    unit_cost: jax.Array | None = None  # [E, K] money per unit ordered
    fixed_cost: jax.Array | None = None  # [E, K] money per order
    freight_fixed: jax.Array | None = None  # [E] money per shipment
    freight_breaks: jax.Array | None = None  # [E, B] quantity at which each tier starts; the first is 0
    freight_rates: jax.Array | None = None  # [E, B] money per further unit within each tier
    duty: jax.Array | None = None  # [E, K] money per unit
    transit_holding: jax.Array | None = None  # [E, K] money per unit in transit at the end of a period
    pack_size: jax.Array | None = None  # [E, K] units
    minimum_order: jax.Array | None = None  # [E, K] units
    order_limit: jax.Array | None = None  # [E] volume a period
    budget: jax.Array | None = None  # [] money a period for what suppliers are paid
    review_period: jax.Array | None = None  # [E] periods between ordering opportunities
    volume: jax.Array | None = None  # [K] volume of a unit
    capacity: jax.Array | None = None  # [N] volume
    overflow_cost: jax.Array | None = None  # [N] money per unit of volume above capacity and period
    expiry_cost: jax.Array | None = None  # [N, K] money per unit expired
    price: jax.Array | None = None  # [N, K] money per unit sold
    return_share: jax.Array | None = None  # [N, K, R] share of a unit sold r+1 periods ago that comes back now
    restock_share: jax.Array | None = None  # [N, K] share of returns that is put back into stock here
    forward_share: jax.Array | None = None  # [N, K] share that is sent on to `return_to`; the rest is liquidated
    return_cost: jax.Array | None = None  # [N, K] money per returned unit
    return_fixed_cost: jax.Array | None = None  # [N] money per period with returns
    liquidation_value: jax.Array | None = None  # [N, K] money earned per liquidated unit


@struct.dataclass
class NetworkState:
    """Stock and what is on its way, as it stands after this period's arrivals.

    The pipeline is kept by the age of the order: slot i holds what was ordered i + 1 periods ago and has not arrived,
    which is what a planner knows; the realised lead time of each order is kept beside it and is never observed.
    """

    time: jax.Array  # [] int32
    on_hand: jax.Array  # [N, K], or [N, K, A] where goods age; age class 0 expires first
    pipeline: jax.Array  # [E, K, L - 1]
    due: jax.Array | None = None  # [E, L - 1] realised lead time of the order in each slot, where it is random
    backorder: jax.Array | None = None  # [N, K], with backlog
    owed: jax.Array | None = None  # [E, K] units that the source of an edge still has to ship, with internal backlog
    orders: jax.Array | None = None  # [E, K, M] orders placed 1 .. M periods ago, where orders travel or are remembered
    sales: jax.Array | None = None  # [N, K, R] units sold 1 .. R periods ago, with returns


@struct.dataclass
class Outcome:
    """What happened in one period."""

    reward: jax.Array  # [] minus the weighted costs
    costs: jax.Array  # [len(COSTS)]
    ordered: jax.Array  # [E, K] what was really shipped, after post-processing and rationing; it is what is paid for
    demand: jax.Array  # [N, K] new demand
    sold: jax.Array  # [N, K] units handed over, backorders included
    short: jax.Array  # [N, K] new demand not served at once
    on_hand: jax.Array  # [N, K] stock that is held at the end of the period
    expired: jax.Array  # [N, K]
    returned: jax.Array  # [N, K] units that came back
    liquidated: jax.Array  # [N, K]


def transition(
    topology: Topology, state: NetworkState, action: jax.Array, exogenous: Exogenous, params: InstanceParams
) -> tuple[NetworkState, Outcome]:
    """One period of the network.

    Args:
      topology: the static shape.
      state: stock after this period's arrivals.
      action: `[E, K]` requested order quantities; what cannot be is cut (see `ship`).
      exogenous: demand, and lead times and prices where the topology leaves them open.
      params: the numbers of the instance.

    Returns:
      The state after the next period's arrivals, and what happened.
    """
    ordered, stock, owed, orders = ship(topology, state, action, params)
    arriving_now = delivered_at_once(topology, ordered, exogenous)
    stock = receive(topology, stock, topology.into_nodes(arriving_now))
    demand = topology.at_demand_nodes(exogenous.demand)
    stock, sold, short, backorder = serve(topology, stock, demand, state.backorder)
    stock, sales, returned, liquidated = take_back(topology, stock, sold, state.sales, params)
    pipeline, due, arrivals = advance(topology, state, ordered - arriving_now, exogenous)
    stock_held = stock.sum(-1) if topology.ages > 1 else stock
    stock, expired = _age(topology, stock)
    waiting = short if backorder is None else backorder
    if owed is not None:
        waiting = waiting + topology.out_of_nodes(owed)
    parts = charge(
        topology, params, exogenous, ordered, sold, waiting, stock_held, pipeline.sum(-1) + arrivals, expired, returned,
        liquidated,
    )  # fmt: skip
    next_state = NetworkState(
        time=state.time + 1,
        on_hand=receive(topology, stock, topology.into_nodes(arrivals)),
        pipeline=pipeline,
        due=due,
        backorder=backorder,
        owed=owed,
        orders=orders,
        sales=sales,
    )
    # part by part rather than a product with the cost vector, which nothing but its own readers then has to build
    reward = -sum(params.weights[COSTS.index(name)] * part for name, part in parts.items())
    costs = jnp.stack([parts.get(name, jnp.zeros_like(reward)) for name in COSTS])
    return next_state, Outcome(
        reward, costs, ordered, demand, sold, short, stock_held, expired, returned, liquidated
    )


# 1. Order and ship


def ship(topology, state, action, params):
    """Turns requests into orders, and orders into shipments that are taken from the source nodes.

    Requests are held to the review calendar, rounded to packs, and raised to the minimum order or dropped. They reach
    their source at once or after the order delay; what is owed comes on top. What is shipped is cut to the edge limit
    and the budget, and rationed where it exceeds the stock of its source. What a source node cuts it owes, with internal
    backlog; what a supplier cuts is gone.

    Returns:
      Shipped `[E, K]`, stock left at the nodes, what nodes owe `[E, K]`, and the orders placed so far `[E, K, M]`.
    """
    order = jnp.maximum(action, 0.0)
    if topology.has("review"):
        order = jnp.where((state.time % params.review_period == 0)[:, None], order, 0.0)
    order = _round_to_packs(topology, order, params, jnp.round)
    if topology.has("minimum_order"):
        minimum = _least(topology, params)
        order = jnp.where(order >= 0.5 * minimum, jnp.maximum(order, minimum), 0.0)
    order, orders = _send_orders(topology, order, state.orders)
    if topology.internal_backlog:
        order = order + state.owed
    asked = order
    if topology.has("order_limit"):
        order = order * _cut(params.order_limit, jnp.dot(order, params.volume))[:, None]
    if topology.has("budget"):
        bought = jnp.asarray([source == SUPPLIER for source in topology.sources])[:, None]
        paid = jnp.sum(jnp.where(bought, order * params.unit_cost, 0.0))
        order = jnp.where(bought, order * _cut(params.budget, paid), order)
    stock, allowed = state.on_hand, order
    if topology.internal:
        order = _ration(topology, stock, order)
    if order is not asked:  # a cut may have broken packs and minimum orders
        order = _round_to_packs(topology, order, params, lambda packs: jnp.floor(packs + 1e-4))
        if topology.has("packs") and topology.internal:
            order = order + jax.lax.stop_gradient(_last_packs(topology, stock, order, allowed, params))
        if topology.has("minimum_order"):
            order = jnp.where(order >= minimum * (1.0 - ROUNDING), order, 0.0)
    if topology.internal:
        taken = topology.out_of_nodes(order)
        stock = jnp.where(taken >= stock * (1.0 - ROUNDING), 0.0, stock - taken)  # no dust is left to ship again
    return order, stock, _owed(topology, asked, order), orders


def _send_orders(topology, order, earlier):
    """Orders `[E, K]` that reach their source now, and those placed so far `[E, K, M]`, the latest first."""
    if not topology.order_memory:
        return order, None
    placed = jnp.concatenate([order[..., None], earlier], -1)
    if topology.order_delays:
        order = jnp.stack([placed[edge, :, delay] for edge, delay in enumerate(topology.order_delays)])
    return order, placed[..., :-1]


def _owed(topology, asked, shipped):
    """What source nodes still have to ship `[E, K]`; None where they cut instead."""
    if not topology.internal_backlog:
        return None
    internal = jnp.asarray([source != SUPPLIER for source in topology.sources])[:, None]
    return jnp.where(internal & (shipped < asked * (1.0 - ROUNDING)), asked - shipped, 0.0)


def _round_to_packs(topology, order, params, rounding):
    """Whole packs; the gradient passes as if nothing was rounded (straight-through)."""
    if not topology.has("packs"):
        return order
    rounded = params.pack_size * rounding(order / params.pack_size)
    return order + jax.lax.stop_gradient(rounded - order)


def _least(topology, params):
    """The smallest order `[E, K]` that is a minimum order and whole packs too."""
    if not topology.has("packs"):
        return params.minimum_order
    return params.pack_size * jnp.ceil(params.minimum_order / params.pack_size - 1e-4)


def _cut(limit, wanted):
    """The factor, at most 1, that brings `wanted` down to `limit`."""
    return jnp.where(wanted > limit, limit / jnp.maximum(wanted, 1e-9), 1.0)


def _ration(topology, stock, order):
    """Shares the stock of a source node among its outgoing edges `[E, K]`."""
    from_supplier = jnp.asarray([source == SUPPLIER for source in topology.sources])[:, None]
    if topology.rationing == "proportional":
        share = topology.at_source(_cut(stock, topology.out_of_nodes(order)))
        return jnp.where(from_supplier, order, order * share)
    if topology.rationing == "equal_shortage":  # what all lack is the largest of (sum of the k largest - stock) / k
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
    """One more pack `[E, K]`, out of what rounding left at a source, for the edges that lack most of what they may get."""
    gap, pack = allowed - order, params.pack_size
    wants = gap >= pack * (1.0 - ROUNDING)
    edge = np.arange(topology.edges)
    first = (gap[None] > gap[:, None]) | ((gap[None] == gap[:, None]) & (edge[None] <= edge[:, None])[..., None])
    ahead = jnp.where(_rivals(topology)[..., None] & first & wants[None], pack[None], 0.0).sum(1)  # this pack included
    left = topology.at_source(stock - topology.out_of_nodes(order))
    return jnp.where(wants & (ahead <= left * (1.0 + ROUNDING)), pack, 0.0)


def _rivals(topology):
    """`[E, E]`, whether two edges (or an edge and itself) leave the same node."""
    sources = np.asarray(topology.sources)
    return (sources[:, None] == sources[None, :]) & (sources != SUPPLIER)[:, None]


def delivered_at_once(topology, order, exogenous):
    """What arrives in the period it is shipped in `[E, K]`: shipments with lead time 0."""
    if topology.random_lead_time:
        return order * (exogenous.lead_time == 0)[:, None]
    if 0 not in topology.lead_times:
        return jnp.zeros_like(order)
    return order * jnp.asarray([[lead == 0] for lead in topology.lead_times], order.dtype)


def receive(topology, stock, arrivals):
    """Adds arrivals `[N, K]`; where goods age they are of the freshest class."""
    return stock.at[..., -1].add(arrivals) if topology.ages > 1 else stock + arrivals


# 2. Demand


def serve(topology, stock, demand, backorder):
    """Serves demand, and what is owed, from stock.

    Returns:
      Stock left, units sold `[N, K]`, new demand not served `[N, K]`, and the new backorders (None: lost sales).
    """
    wanted = demand if backorder is None else demand + backorder
    if topology.ages == 1:
        sold = jnp.minimum(stock, wanted)
        left = stock - sold
    else:
        order = stock if topology.issuing == "oldest" else stock[..., ::-1]
        before = jnp.cumsum(order, -1) - order
        taken = jnp.clip(wanted[..., None] - before, 0.0, order)
        sold = jnp.minimum(stock.sum(-1), wanted)  # not the sum of `taken`, whose rounding would look like a shortage
        left = stock - (taken if topology.issuing == "oldest" else taken[..., ::-1])
    if backorder is None:
        return left, sold, wanted - sold, None
    owed = wanted - sold
    return left, sold, jnp.minimum(owed, demand), owed


# 3. Returns


def take_back(topology, stock, sold, sales, params):
    """Past sales come back and are restocked, sent on, or liquidated.

    Returns:
      Stock, the new sales record, returned `[N, K]` and liquidated `[N, K]` units.
    """
    nothing = jnp.zeros_like(sold)
    if not topology.return_lags:
        return stock, None, nothing, nothing
    returned = jnp.sum(params.return_share * sales, -1)
    restocked = params.restock_share * returned
    if topology.return_to:
        forwarded = params.forward_share * returned
        put_back = restocked + add_rows(forwarded, topology.return_to, topology.nodes)
    else:
        forwarded, put_back = nothing, restocked
    sales = jnp.concatenate([sold[..., None], sales[..., :-1]], -1)
    return receive(topology, stock, put_back), sales, returned, returned - restocked - forwarded


# 4. Costs


def charge(
    topology, params, exogenous, ordered, sold, short, on_hand, in_transit, expired, returned, liquidated
):  # fmt: skip
    """The costs of a period by name, those that the topology knows; `short` is lost or owed demand, `in_transit` is
    `[E, K]`."""
    parts = {"holding": jnp.sum(params.holding * on_hand), "shortage": jnp.sum(params.shortage * short)}
    if topology.has("transit_holding"):
        parts["holding"] += jnp.sum(params.transit_holding * in_transit)
    if topology.has("unit_cost"):
        parts["ordering"] = jnp.sum(params.unit_cost * ordered)
    if topology.has("fixed_cost"):
        parts["ordering"] = parts.get("ordering", 0.0) + jnp.sum(params.fixed_cost * (ordered > 0))
    if topology.has("freight"):
        parts["transport"] = jnp.sum(freight(ordered.sum(-1), params))
    if topology.has("duty"):
        parts["duty"] = jnp.sum(params.duty * ordered)
    if topology.return_lags:
        parts["returns"] = (
            jnp.sum(params.return_cost * returned)
            + jnp.sum(params.return_fixed_cost * (returned.sum(-1) > 0))
            - jnp.sum(params.liquidation_value * liquidated)
        )
    if topology.ages > 1:
        parts["expiry"] = jnp.sum(params.expiry_cost * expired)
    if topology.has("capacity"):
        over = jnp.maximum(jnp.dot(on_hand, params.volume) - params.capacity, 0.0)
        parts["overflow"] = jnp.sum(params.overflow_cost * over)
    if topology.has("revenue"):
        price = params.price if exogenous.price is None else exogenous.price
        parts["revenue"] = -jnp.sum(price * sold)
    return parts


def freight(quantity: jax.Array, params: InstanceParams) -> jax.Array:
    """Transport cost of a shipment of `quantity` `[E]`: a fixed amount and a marginal rate for each tier `[E]`.

    A tariff with fewer tiers than others has the further ones start at infinity.
    """
    upper = jnp.concatenate([params.freight_breaks[:, 1:], jnp.full_like(params.freight_breaks[:, :1], jnp.inf)], 1)
    within = jnp.maximum(jnp.minimum(quantity[:, None], upper) - params.freight_breaks, 0.0)
    return params.freight_fixed * (quantity > 0) + jnp.sum(params.freight_rates * within, -1)


# 5. Time


def advance(topology, state, shipped, exogenous):
    """Pipelines grow older by one period.

    Returns:
      Pipeline `[E, K, L - 1]`, realised lead times (None where fixed), and what arrives at the start of the next
      period `[E, K]`.
    """
    if topology.max_lead_time == 0:
        return state.pipeline, state.due, jnp.zeros_like(shipped)
    underway = jnp.concatenate([shipped[..., None], state.pipeline], -1)  # [E, K, L], by age 0 .. L-1
    if not topology.random_lead_time:
        return _advance_fixed(topology, underway)
    lead = jnp.concatenate([exogenous.lead_time[:, None], state.due], -1)
    arriving = (lead == jnp.arange(1, topology.max_lead_time + 1))[:, None, :]
    arrivals = jnp.sum(jnp.where(arriving, underway, 0.0), -1)
    return jnp.where(arriving, 0.0, underway)[..., :-1], lead[:, :-1], arrivals


def _advance_fixed(topology, underway):
    leads = topology.lead_times
    if len(set(leads)) == 1:
        return underway[..., :-1], None, underway[..., -1]
    arrivals = jnp.stack([underway[edge, :, max(lead - 1, 0)] for edge, lead in enumerate(leads)])
    still = jnp.asarray([[age + 1 < lead for age in range(topology.slots)] for lead in leads], jnp.float32)
    return underway[..., :-1] * still[:, None, :], None, arrivals


def _age(topology, stock):
    """Goods grow one period older; the oldest class expires."""
    if topology.ages == 1:
        return stock, jnp.zeros_like(stock)
    return jnp.concatenate([stock[..., 1:], jnp.zeros_like(stock[..., :1])], -1), stock[..., 0]
