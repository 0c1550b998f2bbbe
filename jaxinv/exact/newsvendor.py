"""The newsvendor, and base-stock with backlog, which is a newsvendor over the lead time.

Pure functions of arrays: `jax.vmap` solves thousands of instances in one call. Costs are h a unit
left over and b (or p) a unit short, at the end of a period; a mass function `[M]` holds the
probabilities of 0, 1, .. M-1 units.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Stock(NamedTuple):
    """An optimal level and what it costs."""

    level: jax.Array  # [] units
    cost: jax.Array  # [] money a period


def newsvendor(
    mass: jax.Array, holding: jax.Array, shortage: jax.Array, mean: jax.Array | None = None
) -> Stock:
    """The optimal level for a discrete law: the smallest y with P(D <= y) >= b / (b + h) (Arrow et
    al. 1951).

    Args:
      mean: of the law, where it is known better than from the table, whose far end is rounding.
    """
    mean = mass @ jnp.arange(mass.shape[0]) if mean is None else mean
    below = jnp.cumsum(mass)
    level = jnp.sum(below < shortage / (shortage + holding)).clip(0, mass.shape[0] - 1)
    left = (jnp.cumsum(below) - below)[level]  # E(y - D)^+ is the sum of P(D <= k) over k < y
    short = left + mean - level
    return Stock(level.astype(mass.dtype), holding * left + shortage * short)


def newsvendor_normal(mean, deviation, holding, shortage) -> Stock:
    """The optimal level for normal demand: mean + z deviation, at (h + b) phi(z) deviation; any
    shape.
    """
    z = jax.scipy.special.ndtri(shortage / (shortage + holding))
    return Stock(
        mean + z * deviation, (holding + shortage) * jax.scipy.stats.norm.pdf(z) * deviation
    )


def newsvendor_poisson(mean, holding, shortage, *, size: int) -> Stock:
    """The optimal level for Poisson demand, below `size` units (static)."""
    mass = jax.scipy.stats.poisson.pmf(jnp.arange(size), mean)
    return newsvendor(mass / mass.sum(), holding, shortage, mean)


def base_stock(mass: jax.Array, lead_time, holding, shortage, *, longest: int) -> Stock:
    """The optimal base-stock level with backlog, and its average cost a period.

    What is ordered in period t meets demand from t + L on, so the level has to cover L + 1 periods
    of demand; the policy is optimal (Karlin & Scarf 1958).

    Args:
      mass: `[M]` of one period.
      lead_time: L, at most `longest`; it may differ between mapped instances.
      longest: static; sizes the table of demand over the lead time.
    """
    mean = (lead_time + 1) * (mass @ jnp.arange(mass.shape[0]))
    return newsvendor(demand_over(mass, lead_time + 1, longest + 1), holding, shortage, mean)


def base_stock_normal(mean, deviation, lead_time, holding, shortage) -> Stock:
    """`base_stock` for normal demand that may be negative; clipped at zero it is the better the
    less is cut.
    """
    cover = lead_time + 1.0
    return newsvendor_normal(cover * mean, jnp.sqrt(cover) * deviation, holding, shortage)


def lost_sales_bound(mass: jax.Array, lead_time, holding, shortage, *, longest: int) -> jax.Array:
    """A lower bound on the average cost with lost sales, the larger of two.

    (1) The stock that meets a period's demand is chosen without knowing it, so no period costs less
    than the newsvendor. (2) With backlog at b = p / (L + 1): let it copy any policy of the
    lost-sales system and order every lost unit again in the next period. It then owes a lost unit
    for at most L + 1 periods, which costs p, and never holds more (Janakiraman, Seshadri &
    Shanthikumar 2007), so its optimum is no dearer.
    """
    waiting = base_stock(
        mass, lead_time, holding, shortage / (lead_time + 1.0), longest=longest
    ).cost
    return jnp.maximum(newsvendor(mass, holding, shortage).cost, waiting)


def demand_over(mass: jax.Array, periods, most: int) -> jax.Array:
    """Mass function of demand over `periods` periods, of at most `most` (static):
    `[most (M - 1) + 1]`.
    """
    size = most * (mass.shape[0] - 1) + 1
    single = jnp.zeros(size, mass.dtype).at[: mass.shape[0]].set(mass)
    spectrum = jnp.fft.rfft(single)
    power = jax.lax.fori_loop(
        0, periods, lambda _, power: power * spectrum, jnp.ones_like(spectrum)
    )
    return jnp.maximum(jnp.fft.irfft(power, size), 0.0)


def table_mass(cdf: jax.Array) -> jax.Array:
    """The mass function `[M + 1]` of a table of `processes.TableParams`, one column `[M]` of it."""
    return jnp.diff(cdf, prepend=0.0, append=1.0)
