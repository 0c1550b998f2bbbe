"""Inverse transforms: from a uniform to a demand.

Discrete laws that stay put are tabulated once on the host and inverted by counting (`from_table`);
laws whose rate moves with the period are inverted in closed form or by a short recurrence. All are
monotone in their uniform.
"""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from jaxinv.limits import check_memory

TAIL = 2.0**-24
"""Uniforms are multiples of 2^-23, so probability beyond this point is never drawn."""


_TABLE_BYTES = 40
"""An entry of a table while it is made: scipy works on some copies in 64 bits."""


def from_table(uniform: jax.Array, cdf: jax.Array) -> jax.Array:
    """Smallest k with u < cdf[k]: the quantile of a law on 0, 1, 2, …

    Args:
      uniform: `[...]`.
      cdf: `[M, ...]`; the table comes first so that counting vectorises over everything else.
    """
    return jnp.sum(uniform >= cdf, 0).astype(jnp.float32)


def scaled_from_table(uniform: jax.Array, cdf: jax.Array, factor: jax.Array) -> jax.Array:
    """Whole units of demand whose mean is `factor` times that of a table, monotone in the uniform.

    A quantile k is spread over [k, k + 1) by the place v of the uniform within its step of the
    table:

        floor(factor k + v)                       factor >= 1: of mean `factor k` for every k,
        floor(factor (k + v) + (1 - factor) / 2)  below: right over many k, not for each.

    With factor 1 both are k. Arguments as in `from_table`.
    """
    quantile = from_table(uniform, cdf)
    below = jnp.max(jnp.where(uniform >= cdf, cdf, 0.0), 0)
    above = jnp.min(jnp.where(uniform < cdf, cdf, 1.0), 0)
    place = jnp.clip((uniform - below) / jnp.maximum(above - below, TAIL), 0.0, 1.0 - 2.0**-10)
    more = jnp.floor(factor * quantile + place)
    less = jnp.floor(factor * (quantile + place) + 0.5 * (1.0 - factor))
    return jnp.where(factor >= 1.0, more, less)


def standard_normal(uniform: jax.Array) -> jax.Array:
    """Normal quantile; the ends are held inside the range that float32 can invert."""
    return jax.scipy.special.ndtri(jnp.clip(uniform, 2.0**-24, 1 - 2.0**-24))


def poisson(uniform: jax.Array, mean: jax.Array, terms: int = 40) -> jax.Array:
    """Poisson quantile for a mean that may differ in every element.

    Exact up to a mean of 12 by summing `terms` probabilities; above that the Cornish-Fisher
    expansion with skewness and a half-unit continuity correction, whose largest error in the
    distribution function is below 0.004.
    """
    small = jnp.minimum(mean, 12.0)
    reached = uniform * jnp.exp(small)
    term = cumulated = jnp.ones_like(small)
    exact = (reached >= cumulated).astype(jnp.float32)
    for k in range(
        1, terms
    ):  # written out: a compiled loop is ten times slower inside a mapped scan
        term = term * (small * (1.0 / k))
        cumulated = cumulated + term
        exact = exact + (reached >= cumulated)
    z = standard_normal(uniform)
    expanded = mean + jnp.sqrt(mean) * z + (z * z - 1.0) / 6.0
    return jnp.where(mean <= 12.0, exact, jnp.maximum(jnp.floor(expanded + 0.5), 0.0))


def negative_binomial(
    uniform: jax.Array, mean: jax.Array, dispersion: jax.Array, terms: int = 128
) -> jax.Array:
    """Negative binomial quantile of one uniform for a mean that may differ in every element, at
    most `terms`.

    Variance mean + mean^2 / dispersion. Monotone in the uniform and in the mean.
    """
    share = mean / (dispersion + mean)
    term = cumulated = jnp.exp(dispersion * jnp.log1p(-share))
    # What is added up in float32 may end just below 1; a uniform there would count every term.
    uniform = jnp.minimum(uniform, 1.0 - 2.0**-18)
    quantile = (uniform >= cumulated).astype(jnp.float32)
    for k in range(1, terms):
        term = term * (share * ((dispersion + (k - 1.0)) * (1.0 / k)))
        cumulated = cumulated + term
        quantile = quantile + (uniform >= cumulated)
    return quantile


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


def gamma_cdf(mean: float, variation: float) -> np.ndarray:
    """Gamma demand rounded to whole units, as De Moor et al. (2022) read it: P(d) = F(d + 0.5) -
    F(d - 0.5).

    Args:
      mean: of the law before it is rounded.
      variation: its coefficient of variation.
    """
    law = stats.gamma(1 / variation**2, scale=mean * variation**2)
    return law.cdf(_units(law.ppf(1 - TAIL) + 0.5) + 0.5).astype(np.float32)


def rounded_normal_cdf(mean: float, deviation: float) -> np.ndarray:
    """Normal demand rounded to whole units, what is negative read as zero."""
    law = stats.norm(mean, max(deviation, 1e-9))
    return law.cdf(_units(max(law.ppf(1 - TAIL) + 0.5, 1)) + 0.5).astype(np.float32)


def lognormal_mass(mean: float, variation: float, longest: int) -> np.ndarray:
    """Probabilities of 0 .. `longest` periods of a lognormal time, rounded and held to 1 ..
    `longest`.

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
    """Interpolates `gamma_quantiles` `[knots]` at uniforms of any shape; knots lie evenly in
    logit(u).
    """
    u = jnp.clip(uniform, TAIL, 1 - TAIL)
    position = (jnp.log(u) - jnp.log1p(-u) + _REACH) / (2 * _REACH) * (quantiles.shape[0] - 1)
    low = jnp.clip(position.astype(jnp.int32), 0, quantiles.shape[0] - 2)
    share = position - low
    quantiles = jnp.asarray(quantiles)  # a table of the host cannot be read at a traced place
    return quantiles[low] * (1 - share) + quantiles[low + 1] * share


_REACH = float(np.log((1 - TAIL) / TAIL))


def _grid(knots: int) -> np.ndarray:
    return 1 / (1 + np.exp(-np.linspace(-_REACH, _REACH, knots)))


def _table(law) -> np.ndarray:
    """The distribution function at 0, 1, …, up to where a uniform can reach: `[M]` float32."""
    return law.cdf(_units(law.ppf(1 - TAIL))).astype(np.float32)


def _units(last: float) -> np.ndarray:
    """The whole numbers below `last`, as many as fit into memory."""
    last = int(last)
    check_memory(
        _TABLE_BYTES * last,
        f"a table of demand up to {last:,} units",
        "the mean, or take demand=normal",
    )
    return np.arange(last)


def stack_tables(tables: list[np.ndarray]) -> np.ndarray:
    """Tables of different lengths as one `[M, len(tables)]`, filled up with ones."""
    longest = max(len(table) for table in tables)
    return np.stack(
        [np.pad(table, (0, longest - len(table)), constant_values=1.0) for table in tables], 1
    )
