"""Demand whose mean moves by trend, season and shock, and places that follow laws of their own."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.demand import quantiles
from jaxinv.demand.exogenous import Shapes
from jaxinv.demand.processes import DemandProcess
from jaxinv.demand.signals import CALENDAR, Signal

KNOTS = 256
"""Of the table of gamma quantiles that a negative binomial is mixed by."""


@struct.dataclass
class MovingParams:
    """Numbers of `Moving`; periods are counted from the first decision on."""

    base: jax.Array  # [D, K]
    trend: jax.Array  # [D, K] growth a period, as a share of base
    amplitude: jax.Array  # [D, K] of the season, as a share of the mean
    period: jax.Array  # [D, K] periods of a season
    shock: jax.Array  # [D, K] factor on the mean
    start: jax.Array  # [D, K] first period of the shock
    stop: jax.Array  # [D, K] first period after it
    before: jax.Array  # [] periods that are played before the first decision
    spread: jax.Array | None = None  # [D, K] standard deviation, where noise is normal
    mixing: jax.Array | None = None  # [KNOTS, D, K] gamma quantiles, where it is negative binomial


@dataclass(frozen=True)
class Moving(DemandProcess):
    """A mean that moves, and noise around it:

        m_t = base (1 + trend t)^+ (1 + amplitude sin(2 pi t / period))^+ shock^[start <= t < stop],

    demand ~ Poisson(m_t), ~ Poisson(m_t gamma) with gamma of mean 1 (the negative binomial), or
    (m_t + N(0, spread))^+. Nothing of it is told, unless time itself is (`jaxinv.demand.clock`).

    Attributes:
      noise_law: "poisson", "negative_binomial" or "normal".
    """

    noise_law: str = "poisson"

    @property
    def noise(self) -> Shapes:
        full = (self.locations, self.products)
        return {"demand": full} | ({"count": full} if self.noise_law == "negative_binomial" else {})

    def init(self, uniforms, params: MovingParams):
        return -jnp.asarray(params.before, jnp.float32)

    def step(self, time, uniforms, params: MovingParams):
        mean = moving_mean(time, params)
        if self.noise_law == "normal":
            demand = jnp.maximum(
                mean + params.spread * quantiles.standard_normal(uniforms["demand"]), 0.0
            )
        elif self.noise_law == "negative_binomial":
            mixed = jax.vmap(jax.vmap(quantiles.from_gamma_quantiles, (0, 1)), (0, 1))(
                uniforms["demand"], params.mixing
            )
            demand = quantiles.poisson(uniforms["count"], mean * mixed)
        else:
            demand = quantiles.poisson(uniforms["demand"], mean)
        return time + 1.0, demand


def moving_mean(time: jax.Array, params: MovingParams) -> jax.Array:
    """m_t `[D, K]` of a period."""
    season = 1.0 + params.amplitude * jnp.sin(2 * jnp.pi * (time % params.period) / params.period)
    shocked = (params.start <= time) & (time < params.stop)
    grown = jnp.maximum(1.0 + params.trend * time, 0.0)
    return params.base * grown * jnp.maximum(season, 0.0) * jnp.where(shocked, params.shock, 1.0)


@dataclass(frozen=True)
class Together(DemandProcess):
    """Places with processes of their own, one each; parameters and states are tuples of theirs.
    What moves all places at once, such as the turn of the season that an episode begins at, they
    share.

    Attributes:
      parts: a process of one location for each place.
    """

    parts: tuple[DemandProcess, ...] = ()

    @property
    def told(self) -> tuple[Signal, ...]:
        return tuple(
            _of_place(signal, place)
            for place, part in enumerate(self.parts)
            for signal in part.told
        )

    @property
    def noise(self) -> Shapes:
        return self._shapes("noise")

    @property
    def start_noise(self) -> Shapes:
        return self._shapes("start_noise")

    def init(self, uniforms, params: tuple[Any, ...]):
        return tuple(
            part.init(self._own(uniforms, place), numbers)
            for place, (part, numbers) in enumerate(zip(self.parts, params))
        )

    def step(self, state, uniforms, params: tuple[Any, ...]):
        moved = [
            part.step(before, self._own(uniforms, place), numbers)
            for place, (part, before, numbers) in enumerate(zip(self.parts, state, params))
        ]
        return tuple(after for after, _ in moved), jnp.concatenate([demand for _, demand in moved])

    def known(self, state, params: tuple[Any, ...]):
        return jnp.concatenate(
            [part.known(now, numbers) for part, now, numbers in zip(self.parts, state, params)]
        )

    def _shapes(self, kind) -> Shapes:
        """Shapes of all parts, with a row for each place where a part has one for its location."""
        found = {name: shape for part in self.parts for name, shape in getattr(part, kind).items()}
        return {
            name: (len(self.parts), *shape[1:]) if len(shape) == 2 else shape
            for name, shape in found.items()
        }

    def _own(self, uniforms, place):
        return {
            name: drawn[place : place + 1] if drawn.ndim == 2 else drawn
            for name, drawn in uniforms.items()
        }


def _of_place(signal: Signal, place: int) -> Signal:
    """A signal of one part as one of several: a season of its own is a calendar of its own."""
    if signal.owner == CALENDAR:
        return Signal(f"{signal.name} {place}", signal.unit, CALENDAR)
    return Signal(signal.name, signal.unit, place)
