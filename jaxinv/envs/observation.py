"""What a policy may know when it decides. Axes as in `jaxinv.envs.network`."""

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.demand.exogenous import RandomLeadTimesParams
from jaxinv.envs.shipping import least_order


@struct.dataclass
class Observation:
    """What a policy may know when it decides: stock, what is on its way, history, and the facts of
    its instance.
    """

    time: jax.Array  # [] int32, periods since reset
    on_hand: jax.Array  # [N, K] or [N, K, A]
    pipeline: jax.Array  # [E, K, L - 1] outstanding orders by age
    backorder: jax.Array | None  # [N, K]
    instance: "Facts"
    signals: jax.Array | None = (
        None  # [W, S] demand and covariates, latest last; None inside an encoded rollout
    )
    owed: jax.Array | None = None  # [E, K] internal backorders at the source of each edge
    orders: jax.Array | None = (
        None  # [E, K, M] orders placed 1 .. M periods ago, where orders travel or are remembered
    )
    returns: jax.Array | None = (
        None  # [N, K] units known to come back in this period, where dispositions are decided
    )
    goodwill: jax.Array | None = (
        None  # [N, K] factor on the demand that signals tell of, where service moves it
    )
    booked: jax.Array | None = (
        None  # [N, K] customer orders for this period, where customers order ahead
    )


@struct.dataclass
class Facts:
    """What a planner knows of the instance itself; it does not change with time."""

    lead_time: jax.Array  # [E] quoted, from order to arrival
    review_period: jax.Array  # [E]
    scale: jax.Array  # [N, K] typical demand a period
    # [N, K] underage / (underage + holding): what a unit short costs, a lost sale's price included
    critical_ratio: jax.Array
    preference: jax.Array | None = (
        None  # [len(COSTS)] factors on the weights of the costs; None: 1 each
    )
    shelf_life: jax.Array | None = (
        None  # [N, K] periods in which a unit can be sold, 0: for ever, with "shelf_lives"
    )
    waste: jax.Array | None = (
        None  # [N, K] what a unit that spoils costs / (underage + holding), with "shelf_lives"
    )
    least: jax.Array | None = None  # [E, K] the least that can be ordered, with "shelf_lives"
    # [E, L + 1] probabilities of the lead times of an order, where they are drawn
    lead_times: jax.Array | None = None
    arrives: jax.Array | None = None  # [E] mean share of an order that arrives, with "arrivals"
    most_shipped: jax.Array | None = None  # [N, K] a period, with "shipping_capacity"


def facts_of(topology, params) -> Facts:
    """What a planner knows of an instance, from its numbers (`jaxinv.envs.network`)."""
    underage = underage_cost(topology, params)
    at_stake = underage + params.holding
    at_stake = jnp.where(at_stake > 0, at_stake, 1.0)
    delays, spoils = topology.order_delays, topology.has("shelf_lives")
    reviewed = topology.has("review") or topology.has("calendar")
    return Facts(
        lead_time=(
            params.lead_time + jnp.asarray(delays, jnp.float32) if delays else params.lead_time
        ),
        review_period=params.review_period if reviewed else jnp.ones_like(params.lead_time),
        scale=params.scale,
        critical_ratio=underage / at_stake,
        preference=params.preference,
        shelf_life=params.shelf_life if spoils else None,
        waste=params.expiry_cost / at_stake if spoils else None,
        least=least_order(topology, params) if spoils else None,
        lead_times=_lead_times(params),
        arrives=params.arrival_law.mean() if topology.has("arrivals") else None,
        most_shipped=(
            params.shipping_capacity[:, None] / params.volume
            if topology.has("shipping_capacity")
            else None
        ),
    )


def underage_cost(topology, params) -> jax.Array:
    """What a unit short costs `[N, K]`, the price of a lost sale included."""
    if topology.has("revenue") and topology.has("waiting"):
        return params.shortage + (1.0 - params.waiting_share) * params.price
    if topology.has("revenue") and not topology.backlog:
        return params.shortage + params.price
    return params.shortage


def _lead_times(params):
    """Probabilities of lead times in the normal regime, None where they are quoted or fixed."""
    if not isinstance(params.lead_time_law, RandomLeadTimesParams):
        return None
    reached = params.lead_time_law.cdf[0]  # [L, E]
    whole = jnp.concatenate([reached, jnp.ones_like(reached[:1])])
    return jnp.diff(whole, axis=0, prepend=0.0).T
