"""What of goods that age is likely to spoil, if demand goes on as usual and the oldest goods are sold first."""

import jax
import jax.numpy as jnp


def spoils(
    on_hand: jax.Array,
    life: jax.Array,
    rate: jax.Array,
    periods: jax.Array,
    longest: int,
    arriving: jax.Array | None = None,
) -> jax.Array:
    """Units `[..., K]` that expire within the next periods, this one included.

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
    gone = wasted = jnp.zeros_like(there)
    for period in range(1, longest + 1):
        due = old[..., min(period, old.shape[-1]) - 1]
        if arriving is not None and period > 1:
            waits = jnp.arange(1, period)  # of what has arrived by now
            came = arriving[..., : period - 1]
            there = on_hand.sum(-1) + came.sum(-1)
            expires = ages[..., None] & (waits + life[..., None] <= period)
            due = due + jnp.where(expires, came, 0.0).sum(-1)
        sold = jnp.minimum(gone + rate, there)
        gone = jnp.maximum(sold, due)
        wasted = wasted + jnp.where(period <= periods[..., None], gone - sold, 0.0)
    return wasted
