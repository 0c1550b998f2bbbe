"""Demand around a mean that all know ahead, such as a plan of sales until the end of a season."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.demand import quantiles
from jaxinv.demand.processes import DemandProcess
from jaxinv.demand.signals import Signal


@struct.dataclass
class AnnouncedParams:
    """Numbers of `Announced`; periods are counted from the first decision on."""

    mean: jax.Array  # [T, D, K]
    noise: jax.Array  # [] factor on what Poisson demand differs from its mean by
    unit: jax.Array  # [] that the mean is told in
    before: jax.Array  # [] periods that are played before the first decision
    facts: jax.Array  # [F] numbers of the instance that are told beside the mean


@dataclass(frozen=True)
class Announced(DemandProcess):
    """Demand (m_t + noise (Poisson(m_t) - m_t))^+ around a mean that is told.

    Before each period policies are told its mean and those of the periods after it, and 0 for those
    after the last: so they know the end too. Demand itself they do not know before it is there.

    Attributes:
      ahead: H, periods whose mean is told, the coming one included.
      facts: names of what else is told of the instance.
    """

    ahead: int = 1
    facts: tuple[str, ...] = ()

    @property
    def told(self) -> tuple[Signal, ...]:
        means = (
            Signal(f"mean {period} ahead", "units", place)
            for period in range(self.ahead)
            for place in range(self.locations)
            for _ in range(self.products)
        )
        return (*means, *map(Signal, self.facts))

    @property
    def noise(self):
        return {"demand": (self.locations, self.products)}

    def init(self, uniforms, params: AnnouncedParams):
        return -jnp.asarray(params.before, jnp.int32)

    def step(self, time, uniforms, params: AnnouncedParams):
        mean = params.mean[jnp.clip(time, 0, params.mean.shape[0] - 1)]
        drawn = quantiles.poisson(uniforms["demand"], mean)
        return time + 1, jnp.maximum(mean + params.noise * (drawn - mean), 0.0)

    def known(self, time, params: AnnouncedParams):
        nothing = jnp.zeros((self.ahead, *params.mean.shape[1:]))
        padded = jnp.concatenate([params.mean, nothing])
        coming = jax.lax.dynamic_slice_in_dim(padded, time, self.ahead) / params.unit
        return jnp.concatenate([coming.reshape(-1), params.facts])
