"""A regression forecast: what demand over the coverage will be, from the window, the calendar and
all that is known ahead.

Demand of each of the coming H periods is a linear function of the same regressors (a direct
forecast, so that no error of one period feeds the next): the last week one by one, means of older
parts of the window, the covariates of the coming period, and these times the mean of the window,
for what a season or a promotion adds goes with the level. Everything is in units of typical demand,
so one ridge regression serves all SKUs; each place and product has its own. The season of later
periods needs no more: sine and cosine of one period turn into those of another by a linear map.

The squared error of the sum of 1 .. H periods is in turn a linear function, with no negative
weight, of a constant, the variance in the window and the squared forecast.

All is fitted once, in closed form, on training demand (`jaxinv.policies.past`), and stays as it is
while a rule is tuned.
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import nnls

from jaxinv.demand.regression import RIDGES, joined, ridge, window_weights
from jaxinv.errors import UserError
from jaxinv.policies.following import Follows, Forecast, lagged_sum
from jaxinv.policies.past import Past, has_past, past_of

LEAST_VARIANCE = 1e-6
"""Of the forecast of a sum, in units of typical demand squared."""


@dataclass(frozen=True)
class Numbers:
    """An array that is equal and hashed by its values: numbers of a policy that never change,
    constants to a compiler.
    """

    shape: tuple[int, ...]
    data: bytes = field(repr=False)

    @classmethod
    def of(cls, values) -> "Numbers":
        values = np.asarray(values, np.float32)
        return cls(values.shape, values.tobytes())

    @property
    def array(self) -> np.ndarray:
        return np.frombuffer(self.data, np.float32).reshape(self.shape)


@dataclass(frozen=True)
class Regression(Follows):
    """The forecast of this module, with its weights.

    Attributes:
      mean: of demand 1 .. H periods ahead `[H, D, K, F]`.
      variance: of the sums of that many periods `[H, D, K, 3]`. Both None: nothing fitted yet
        (`fitted_to`).
    """

    mean: Numbers | None = None
    variance: Numbers | None = None

    suffix = "regression"

    @classmethod
    def foresees(cls, problem):
        return has_past(problem)

    def fitted_to(self, problem):
        if not has_past(problem):
            raise UserError(
                f"{self.name} needs demand that can be told in advance, and more training periods"
                f" than history={self.history} leaves here; shorten it, or take another rule"
            )
        return self.fitted_on(past_of(problem))

    def fitted_on(self, past: Past) -> "Regression":
        """The rule with weights from what happened."""
        mean, variance = fit_regression(past, self.topology.products)
        return replace(self, mean=mean, variance=variance)

    def forecast(self, params, demand, known, facts):
        if self.mean is None:
            raise UserError(
                f"{self.name} is fitted to the demand of a problem first: rule_for(problem,"
                f" {self.name!r})"
            )
        network, mean, variance = self.topology, self.mean.array, self.variance.array
        scale = facts.scale[np.asarray(network.demand_nodes)]
        past, spread = regressors(demand / scale, known, self.history)
        served = network.echelon[np.asarray(network.destinations)][
            :, np.asarray(network.demand_nodes)
        ]  # [E, D]
        served = jnp.asarray(served, jnp.float32)
        ahead = jnp.arange(len(mean))
        covered = jnp.clip(
            self.coverage(facts)[:, None] - ahead, 0.0, 1.0
        )  # [E, H] how much of each period
        at_end = covered - jnp.pad(
            covered[:, 1:], ((0, 0), (0, 1))
        )  # weights of the sums of 1 .. H periods
        next_period = jnp.einsum("tdkf,dkf->tdk", past, mean[0], precision="highest")
        sizes = jnp.stack([jnp.ones_like(spread), spread, next_period**2], -1)

        def along(rows, weights, unit, by_horizon):
            """Rows `[T, D, K, F]` by weights `[H, D, K, F]` of the covered horizons, of all that an
            edge serves.
            """
            weights = jnp.einsum(
                "eh,hdkf,ed,dk->edkf", by_horizon, weights, served, unit, precision="highest"
            )
            return jnp.einsum("tdkf,edkf->tek", rows, weights, precision="highest")

        total = jnp.maximum(along(past, mean, scale, covered), 0.0)
        deviation = jnp.sqrt(along(sizes, variance, scale**2, at_end) + 1e-12)
        return Forecast(total, deviation, scale * jnp.maximum(next_period, 0.0))


def regressors(demand: jax.Array, known: jax.Array, window: int) -> tuple[jax.Array, jax.Array]:
    """Regressors `[T, D, K, F]`, and the variance within the window `[T, D, K]`, of each row; those
    of the first W - 1 rows miss some of the window.

    Args:
      demand: `[T, D, K]` in units of typical demand; known: `[T, C]`.
    """
    lags = jnp.asarray(window_weights(window), jnp.float32)
    means = jax.vmap(lagged_sum, (0, None), -1)(lags, demand)
    spread = jnp.maximum(
        lagged_sum(jnp.full(window, 1.0 / window), demand**2) - means[..., 0] ** 2, 0.0
    )
    return joined(means, known, jnp), spread


@lru_cache(maxsize=2)
def fit_regression(past: Past, products: int) -> tuple[Numbers, Numbers]:
    """Weights of mean `[H, D, K, F]` and variance `[H, D, K, 3]` from what happened."""
    places = past.coming.shape[1]
    demand, known = np.split(past.signals, [places * products], axis=1)
    demand = demand.reshape(len(demand), places, products, -1)
    scale = past.facts.scale[list(past.places)]  # [D, K, B]
    window = len(demand) - len(past.coming) + 1
    features, spread = jax.jit(jax.vmap(partial(regressors, window=window), -1, -1))(
        demand / scale, known
    )
    features, spread = (
        np.asarray(leaf[window - 1 :][: past.rows], np.float64) for leaf in (features, spread)
    )
    ahead = np.lib.stride_tricks.sliding_window_view(
        past.coming / scale, past.horizon, axis=0
    )  # [R, D, K, B, H]
    mean = np.zeros((past.horizon, places, products, features.shape[3]))
    variance = np.zeros((past.horizon, places, products, 3))
    for place, product in np.ndindex(places, products):
        x, y = (
            np.moveaxis(features[:, place, product], 1, -1),
            ahead[:, place, product],
        )  # [R, B, F], [R, B, H]
        early, late = (
            (_flat(x[part]), _flat(y[part]))
            for part in (slice(past.learned), slice(past.learned, None))
        )
        tried = [ridge(*early, penalty) for penalty in RIDGES]
        errors = [
            np.cumsum(late[1] - late[0] @ weights, 1) for weights in tried
        ]  # of the sums of 1 .. H periods
        best = int(
            np.argmin([np.mean((error / np.arange(1, past.horizon + 1)) ** 2) for error in errors])
        )
        mean[:, place, product] = ridge(_flat(x), _flat(y), RIDGES[best]).T
        noise, forecast = (
            spread[past.learned :, place, product].ravel(),
            (late[0] @ tried[best])[:, 0],
        )
        sizes = np.stack([np.ones_like(noise), noise, forecast**2], -1)
        variance[:, place, product] = [_variance(sizes, error) for error in errors[best].T]
    return Numbers.of(mean), Numbers.of(variance)


def _flat(rows: np.ndarray) -> np.ndarray:
    """`[R, B, F]` as `[R * B, F]`."""
    return rows.reshape(-1, rows.shape[-1])


def _variance(sizes: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Weights `[3]`, none negative, of squared errors `[n]` on `[n, 3]`."""
    unit = np.maximum(np.abs(sizes).mean(0), 1e-12)
    sizes, target = sizes / unit, error**2
    root = np.linalg.cholesky(
        sizes.T @ sizes / len(sizes) + 1e-9 * np.eye(3)
    )  # the least squares of 3 rows are those of n
    weights = nnls(root.T, np.linalg.solve(root, sizes.T @ target / len(sizes)))[0] / unit
    weights[0] += LEAST_VARIANCE
    return weights
