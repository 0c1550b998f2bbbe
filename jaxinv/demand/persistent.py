"""Demand around a season, with deviations that last for some periods."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.demand import quantiles
from jaxinv.demand.processes import DemandProcess, Seasonal


@struct.dataclass
class PersistentParams:
    base: jax.Array  # [D, K] mean
    amplitude: jax.Array  # [D, K] of the season, as a share of base
    period: jax.Array  # [] periods of a full season
    phase: jax.Array  # [D, K] periods by which a location runs ahead
    deviation: jax.Array  # [D, K] standard deviation from the season, as a share of base
    persistence: jax.Array  # [D, K] what is left of a deviation a period later, as a share of it


@dataclass(frozen=True)
class Persistent(DemandProcess):
    """A sine season and deviations from it that last:

        D_t = base (1 + amplitude sin(2 pi (t + phase) / period) + deviation x_t)^+,
        x_t = persistence x_{t-1} + sqrt(1 - persistence^2) N(0, 1).

    With persistence 0 it is `Seasonal`. The phase is known ahead.
    """

    told = Seasonal.told

    @property
    def start_noise(self):
        return {"start": (), "market": (self.locations, self.products)}

    def init(self, uniforms, params: PersistentParams):
        """The first period of any, and deviations in their stationary law."""
        return jnp.floor(uniforms["start"] * params.period), quantiles.standard_normal(
            uniforms["market"]
        )

    def step(self, state, uniforms, params: PersistentParams):
        time, shock = state
        shock = _next(shock, quantiles.standard_normal(uniforms["demand"]), params, jnp)
        return (time + 1.0, shock), _demand(time, shock, params, jnp)

    def known(self, state, params: PersistentParams):
        return _phase(state[0], params, jnp)


def recorded(
    params: PersistentParams, periods: int, draw: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Demand `[T, D, K]` of the past, and what was known before each period `[T, C]`; computed on
    the host.
    """
    shock, rows = draw.standard_normal(np.shape(params.base)), []
    for time in range(periods):
        shock = _next(shock, draw.standard_normal(np.shape(params.base)), params, np)
        rows.append(_demand(time, shock, params, np))
    return np.stack(rows), np.stack([_phase(time, params, np) for time in range(periods)])


def _next(shock, normal, params, arrays):
    return params.persistence * shock + arrays.sqrt(1.0 - params.persistence**2) * normal


def _demand(time, shock, params, arrays):
    season = arrays.sin(2 * np.pi * (time + params.phase) / params.period)
    return arrays.maximum(
        params.base * (1.0 + params.amplitude * season + params.deviation * shock), 0.0
    )


def _phase(time, params, arrays):
    angle = 2 * np.pi * time / params.period
    return arrays.stack([arrays.sin(angle), arrays.cos(angle)])
