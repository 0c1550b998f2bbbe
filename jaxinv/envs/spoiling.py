"""What becomes of goods that age, if demand goes on as usual and the oldest are sold first."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Fate(NamedTuple):
    """Units of the next periods `[..., K]`."""

    wasted: jax.Array  # that expire
    missed: jax.Array  # of demand that there is no stock for


def fate(
    on_hand: jax.Array,
    life: jax.Array,
    rate: jax.Array,
    periods: jax.Array,
    longest: int,
    arriving: jax.Array | None = None,
) -> Fate:
    """What expires and what is missed within the next periods, this one included.

    Goods arrive in the order in which they expire. So it is enough to follow how many of all that
    are there, or will be, are gone by the end of a period: sold, or expired.

    Args:
      on_hand: `[..., K, A]`, class 0 expires at the end of this period.
      life: `[..., K]` periods in which a unit can be sold, 0 where it keeps for ever.
      rate: demand a period `[..., K]`.
      periods: `[...]`, at most `longest`.
      arriving: `[..., K, J]` units that arrive 1 .. J periods from now.
    """
    ages = life > 0
    old = jnp.where(ages[..., None], jnp.cumsum(on_hand, -1), 0.0)
    there = on_hand.sum(-1)
    gone = wasted = missed = jnp.zeros_like(there)
    for period in range(1, longest + 1):
        due = old[..., min(period, old.shape[-1]) - 1]
        if arriving is not None:
            came = arriving[..., : period - 1]  # what has arrived by now
            waits = jnp.arange(1, 1 + came.shape[-1])
            there = on_hand.sum(-1) + came.sum(-1)
            expires = ages[..., None] & (waits + life[..., None] <= period)
            due = due + jnp.where(expires, came, 0.0).sum(-1)
        counts = period <= periods[..., None]
        sold = jnp.minimum(gone + rate, there)
        missed = missed + jnp.where(counts, gone + rate - sold, 0.0)
        gone = jnp.maximum(sold, due)
        wasted = wasted + jnp.where(counts, gone - sold, 0.0)
    return Fate(wasted, missed)
