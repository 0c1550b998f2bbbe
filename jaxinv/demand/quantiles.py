"""Inverse transforms: from a uniform to a demand.

Discrete laws that stay put are tabulated once on the host and inverted by counting (`from_table`); laws whose rate moves
with the period are inverted in closed form or by a short recurrence. All are monotone in their uniform.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

TAIL = 2.0**-24
"""Uniforms are multiples of 2^-23, so probability beyond this point is never drawn."""


def from_table(uniform: jax.Array, cdf: jax.Array) -> jax.Array:
    """Smallest k with u < cdf[k]: the quantile of a law on 0, 1, 2, …

    Args:
      uniform: `[...]`.
      cdf: `[M, ...]`; the table comes first so that counting vectorises over everything else.
    """
    return jnp.sum(uniform >= cdf, 0).astype(jnp.float32)


def standard_normal(uniform: jax.Array) -> jax.Array:
    """Normal quantile; the ends are held inside the range that float32 can invert."""
    return jax.scipy.special.ndtri(jnp.clip(uniform, 2.0**-24, 1 - 2.0**-24))


def poisson(uniform: jax.Array, mean: jax.Array, terms: int = 40) -> jax.Array:
    """Poisson quantile for a mean that may differ in every element.

    Exact up to a mean of 12 by summing `terms` probabilities; above that the Cornish-Fisher expansion with skewness
    and a half-unit continuity correction, whose largest error in the distribution function is below 0.004.
    """
    small = jnp.minimum(mean, 12.0)
    reached = uniform * jnp.exp(small)
    term = cumulated = jnp.ones_like(small)
    exact = (reached >= cumulated).astype(jnp.float32)
    for k in range(1, terms):  # written out: a compiled loop is ten times slower inside a mapped scan
        term = term * (small * (1.0 / k))
        cumulated = cumulated + term
        exact = exact + (reached >= cumulated)
    z = standard_normal(uniform)
    expanded = mean + jnp.sqrt(mean) * z + (z * z - 1.0) / 6.0
    return jnp.where(mean <= 12.0, exact, jnp.maximum(jnp.floor(expanded + 0.5), 0.0))


def poisson_cdf(mean: float) -> np.ndarray:
    return _table(stats.poisson(mean))


def geometric_cdf(mean: float) -> np.ndarray:
    """Geometric on 0, 1, 2, … with the given mean."""
    return _table(stats.nbinom(1, 1 / (1 + mean)))


def negative_binomial_cdf(mean: float, dispersion: float) -> np.ndarray:
    """Negative binomial with variance mean + mean^2 / dispersion."""
    return _table(stats.nbinom(dispersion, dispersion / (dispersion + mean)))


def uniform_cdf(low: int, high: int) -> np.ndarray:
    """Uniform on the whole numbers low .. high."""
    return _table(stats.randint(low, high + 1))


def lognormal_mass(mean: float, variation: float, longest: int) -> np.ndarray:
    """Probabilities of 0 .. `longest` periods of a lognormal time, rounded and held to 1 .. `longest`.

    Args:
      mean: of the time before it is rounded, in periods.
      variation: coefficient of variation.
    """
    sigma = np.sqrt(np.log1p(variation**2))
    law = stats.lognorm(sigma, scale=mean * np.exp(-(sigma**2) / 2))
    reached = law.cdf(np.arange(1, longest) + 0.5)
    return np.concatenate([[0.0], np.diff(reached, prepend=0.0, append=1.0)])


def gamma_quantiles(shape: float, knots: int) -> np.ndarray:
    """Quantiles of a gamma law with mean 1 at `gamma_grid(knots)`: `[knots]`."""
    return stats.gamma(shape, scale=1 / shape).ppf(_grid(knots)).astype(np.float32)


def from_gamma_quantiles(uniform: jax.Array, quantiles: jax.Array) -> jax.Array:
    """Interpolates `gamma_quantiles` `[knots]` at uniforms of any shape; knots lie evenly in logit(u)."""
    u = jnp.clip(uniform, TAIL, 1 - TAIL)
    position = (jnp.log(u) - jnp.log1p(-u) + _REACH) / (2 * _REACH) * (quantiles.shape[0] - 1)
    low = jnp.clip(position.astype(jnp.int32), 0, quantiles.shape[0] - 2)
    share = position - low
    return quantiles[low] * (1 - share) + quantiles[low + 1] * share


_REACH = float(np.log((1 - TAIL) / TAIL))


def _grid(knots: int) -> np.ndarray:
    return 1 / (1 + np.exp(-np.linspace(-_REACH, _REACH, knots)))


def _table(law) -> np.ndarray:
    """The distribution function at 0, 1, …, up to where a uniform can reach: `[M]` float32."""
    last = int(law.ppf(1 - TAIL))
    return law.cdf(np.arange(last)).astype(np.float32)
