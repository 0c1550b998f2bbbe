"""Demand whose forecasts are told: a regression on history, fitted once, beside which simpler
forecasts are judged.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.demand.exogenous import Shapes
from jaxinv.demand.processes import DemandProcess
from jaxinv.demand.regression import RIDGES, joined, ridge, window_weights
from jaxinv.demand.signals import Signal

LEARNED = 0.7
"""Share of the history, the first, that a penalty is tried on; it is judged on the rest."""

SMOOTHINGS = np.linspace(0.02, 0.6, 30)
"""Weights of the latest period that exponential smoothing tries."""


def forecast_name(ahead: int) -> str:
    """What the forecast of a period is called, 1 for the one that comes next."""
    return f"forecast {ahead} day{'s' if ahead > 1 else ''} ahead"


@struct.dataclass
class ForecastedParams:
    demand: Any  # numbers of the process that is forecast
    weights: jax.Array  # [H, D, K, F] of the regression, in units of `scale`
    scale: jax.Array  # [D, K] mean demand of the history


@dataclass(frozen=True)
class Forecasted(DemandProcess):
    """Another process, of which forecasts are told beside what it tells itself.

    What is forecast is what comes 1 .. H periods ahead, from the latest W periods and from what is
    known of the next. The W periods before the first are played when an episode begins, so that
    forecasts are as good then as later.

    Attributes:
      inner: the process.
      window: W, periods that a forecast is made from.
      horizon: H, periods that are forecast.
    """

    inner: DemandProcess = DemandProcess()
    window: int = 14
    horizon: int = 2

    @property
    def told(self) -> tuple[Signal, ...]:
        ahead, places = range(1, self.horizon + 1), range(self.locations)
        return (
            *self.inner.told,
            *(
                Signal(forecast_name(period), "units", place)
                for period in ahead
                for place in places
            ),
        )

    @property
    def moves(self):
        return self.inner.moves

    @property
    def scales(self):
        return self.inner.scales

    @property
    def least_promotion(self):
        return self.inner.least_promotion

    @property
    def noise(self) -> Shapes:
        return self.inner.noise

    @property
    def start_noise(self) -> Shapes:
        played = sum(int(np.prod(shape)) for shape in self.inner.noise.values())
        return {**self.inner.start_noise, "past": (self.window, played)}

    def init(self, uniforms, params: ForecastedParams):
        ends = np.cumsum([int(np.prod(shape)) for shape in self.noise.values()])[:-1]

        def period(state, row):
            drawn = [
                part.reshape(shape)
                for part, shape in zip(jnp.split(row, ends), self.noise.values())
            ]
            return self.inner.step(state, dict(zip(self.noise, drawn)), params.demand)

        state, past = jax.lax.scan(
            period, self.inner.init(uniforms, params.demand), uniforms["past"]
        )
        return state, past[::-1]

    def step(self, state, uniforms, params: ForecastedParams):
        inner, past = state
        inner, demand = self.inner.step(inner, uniforms, params.demand)
        return (inner, jnp.concatenate([demand[None], past[:-1]])), demand

    def known(self, state, params: ForecastedParams):
        inner, past = state
        known = self.inner.known(inner, params.demand)
        means = jnp.einsum(
            "pw,wdk->dkp", window_weights(self.window), past / params.scale, precision="highest"
        )
        expected = jnp.einsum(
            "dkf,hdkf->hdk", joined(means, known, jnp), params.weights, precision="highest"
        )
        return jnp.concatenate([known, (params.scale * jnp.maximum(expected, 0.0)).reshape(-1)])

    def under(self, state, params: ForecastedParams, change, day):
        """Forecasts are made from what was sold, the change included; nobody fits them anew."""
        inner, past = state
        inner, numbers = self.inner.under(inner, params.demand, change, day)
        factors = jax.vmap(lambda age: change.factor(day - 1.0 - age))(jnp.arange(self.window))
        return (inner, past * factors[:, None, None]), params.replace(demand=numbers)


def learned(
    params: Any, demand: np.ndarray, known: np.ndarray, window: int, horizon: int
) -> ForecastedParams:
    """Numbers of `Forecasted` whose regression is fitted to a history; the penalty is the one that
    does best on its end.

    Args:
      params: numbers of the inner process.
      demand: `[T, D, K]`; known: what was known before each of its periods `[T, C]`.
    """
    scale = demand.mean(0)
    rows, ahead = _rows(demand / scale, known, window), _ahead(demand / scale, window, horizon)
    rows = rows[: len(ahead)]
    seen = round(LEARNED * len(rows))
    weights = np.zeros((horizon, *scale.shape, rows.shape[-1]))
    for place in np.ndindex(*scale.shape):
        x, y = rows[:, *place], ahead[:, *place]
        errors = [
            np.mean((y[seen:] - x[seen:] @ ridge(x[:seen], y[:seen], penalty)) ** 2)
            for penalty in RIDGES
        ]
        weights[:, *place] = ridge(x, y, RIDGES[int(np.argmin(errors))]).T
    return ForecastedParams(params, weights.astype(np.float32), scale.astype(np.float32))


def forecast_errors(
    params: ForecastedParams,
    past: np.ndarray,
    later: np.ndarray,
    known: np.ndarray,
    window: int,
    season: int,
) -> list[dict[str, Any]]:
    """How far forecasts of demand after a history are off: those that are told, and simpler ones.

    The seasonal-naive forecast is the demand of the same phase a season before; exponential
    smoothing expects its level in all periods to come, with the weight that did best on the
    history.

    Args:
      past, later: demand `[T, D, K]` of the history, and of the periods after it; known: of those
        `[T, C]`.
      season: periods.

    Returns:
      A row for each forecast and period ahead: `forecast`, `ahead`, and `mae`, `rmse` and `bias`
        (what was forecast in excess of
      demand), in units, means over places.
    """
    horizon = len(params.weights)
    actual = _ahead(later, window, horizon)  # [R, D, K, H]
    rows = _rows(later / params.scale, known, window)[: len(actual)]
    told = (
        np.maximum(np.einsum("rdkf,hdkf->rdkh", rows, params.weights), 0.0)
        * params.scale[..., None]
    )
    naive = np.stack(
        [later[window - season + ahead :][: len(actual)] for ahead in range(horizon)], -1
    )
    best = min(SMOOTHINGS, key=lambda weight: np.mean((past[1:] - _levels(past, weight)[:-1]) ** 2))
    level = _levels(np.concatenate([past, later]), best)[len(past) + window - 1 :][: len(actual)]
    made = {
        "regression": told,
        "seasonal naive": naive,
        "smoothing": np.repeat(level[..., None], horizon, -1),
    }
    found = []
    for name, forecast in made.items():
        for ahead, error in enumerate(np.moveaxis(forecast - actual, -1, 0), 1):
            size = {
                "mae": np.abs(error).mean(),
                "rmse": np.sqrt((error**2).mean()),
                "bias": error.mean(),
            }
            found.append(
                {"forecast": name, "ahead": ahead}
                | {key: float(value) for key, value in size.items()}
            )
    return found


def _rows(demand: np.ndarray, known: np.ndarray, window: int) -> np.ndarray:
    """Regressors `[R, D, K, F]` of each period that has a whole window before it."""
    past = np.lib.stride_tricks.sliding_window_view(demand, window, axis=0)[
        :-1, ..., ::-1
    ]  # [R, D, K, W], latest first
    return joined(past @ window_weights(window).T, known[window:], np)


def _ahead(demand: np.ndarray, window: int, horizon: int) -> np.ndarray:
    """The demand `[R, D, K, H]` that came after each of these windows."""
    return np.lib.stride_tricks.sliding_window_view(demand[window:], horizon, axis=0)


def _levels(demand: np.ndarray, weight: float) -> np.ndarray:
    """The smoothed level after each period `[T, D, K]`."""
    level, rows = demand[0], []
    for row in demand:
        level = level + weight * (row - level)
        rows.append(level)
    return np.stack(rows)
