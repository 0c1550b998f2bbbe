"""What a policy may know when it decides. Axes as in `jaxinv.envs.network`."""

import jax
from flax import struct


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
