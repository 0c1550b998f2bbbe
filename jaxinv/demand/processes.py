"""Demand processes: stochastic models and replay of traces.

Each is a frozen dataclass of static sizes (D locations, K products, C signals told ahead) with pure
`init`, `step` and `known`; the numbers are traced structs of their own. Demand is `[D, K]` in
units.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.demand import quantiles
from jaxinv.demand.exogenous import Shapes
from jaxinv.demand.signals import CALENDAR, Signal
from jaxinv.errors import UserError


@dataclass(frozen=True)
class DemandProcess:
    """Sizes every demand process has, and the defaults of one without memory, calendar or
    covariates.
    """

    locations: int = 1
    products: int = 1
    told = ()
    """A `Signal` for each column of `known`."""
    start_noise = {}
    moves = frozenset({"demand"})
    """The variables that an intervention can change."""
    scales = False
    """Whether `under` sees to a factor on the level of demand; otherwise the demand itself is
    multiplied by it.
    """
    least_promotion = 0.0
    """Least value that an intervention can give to a promotion, where there are any."""

    @property
    def noise(self) -> Shapes:
        return {"demand": (self.locations, self.products)}

    @property
    def covariates(self) -> int:
        """C, how many signals are told ahead."""
        return len(self.told)

    def init(self, uniforms, params):
        return None

    def known(self, state, params) -> jax.Array:
        """Covariates `[C]` of the coming period that are known before its demand."""
        return jnp.zeros((0,))

    def row(self, state, period) -> jax.Array:
        """Which period of a calendar the coming one is; `period`: how many have been played."""
        return period

    def lasts(self, params) -> float:
        """Periods that every episode can be played from its reset on, its history included."""
        return math.inf

    def under(self, state, params, change, day) -> tuple[Any, Any]:
        """The state and numbers that the demand of a day, and what is known of it, come from under
        a change.

        Args:
          change: a `jaxinv.demand.interventions.Intervention`; without one in force, both are
            returned as they are.
          day: periods that the world has been played.
        """
        return state, params

    def support(self, params) -> tuple[np.ndarray, np.ndarray]:
        """Every demand of a period `[W, D, K]` and its probability `[W]`, for exact solvers.

        Raises:
          UserError: for demand that is continuous or has a memory.
        """
        raise UserError(
            f"{type(self).__name__} demand has no finite list of values that would be the same in"
            " every period; exact solvers need demand=poisson, geometric, negative_binomial or"
            " uniform"
        )


@struct.dataclass
class TableParams:
    cdf: jax.Array  # [M, D, K] distribution function at 0, 1, .. M-1
    factor: jax.Array | None = None  # [] on demand, see `quantiles.scaled_from_table`

    def filled(self, length: int) -> "TableParams":
        """The same law as a table of that length, which ends in ones."""
        longer = [(0, 0)] * (self.cdf.ndim - 3) + [(0, length - self.cdf.shape[-3]), (0, 0), (0, 0)]
        return TableParams(jnp.pad(self.cdf, longer, constant_values=1.0))


@dataclass(frozen=True)
class Tabulated(DemandProcess):
    """Independent demand from any law on 0, 1, 2, …: Poisson, geometric, negative binomial,
    uniform, empirical.
    """

    scales = True

    def step(self, state, uniforms, params: TableParams):
        if params.factor is not None:
            return state, quantiles.scaled_from_table(uniforms["demand"], params.cdf, params.factor)
        return state, quantiles.from_table(uniforms["demand"], params.cdf)

    def under(self, state, params: TableParams, change, day):
        return state, params.replace(factor=change.factor(day))

    def support(self, params):
        cdf = np.asarray(params.cdf, np.float64).reshape(params.cdf.shape[0], -1)
        cells = np.diff(cdf, axis=0, prepend=0.0, append=1.0)  # [M + 1, D * K]
        values = np.stack(np.meshgrid(*[np.arange(len(cells))] * cells.shape[1], indexing="ij"), -1)
        values = values.reshape(-1, cells.shape[1])
        mass = np.prod(np.take_along_axis(cells, values, 0), 1)
        possible = mass > 0
        return (
            values[possible].reshape(-1, self.locations, self.products).astype(np.float32),
            mass[possible],
        )


@struct.dataclass
class NormalParams:
    mean: jax.Array  # [D, K]
    deviation: jax.Array  # [D, K]
    correlation: jax.Array  # [] between locations


@dataclass(frozen=True)
class Normal(DemandProcess):
    """Normal demand cut at zero.

    Attributes:
      cut: "clip" reads negative draws as zero (the literature's N^+), "truncate" conditions on
        being positive.
      correlated: locations share a common factor, with `params.correlation` between any two.
    """

    cut: str = "clip"
    correlated: bool = False

    @property
    def noise(self) -> Shapes:
        return {
            "demand": (self.locations, self.products),
            **({"market": (self.products,)} if self.correlated else {}),
        }

    def step(self, state, uniforms, params: NormalParams):
        u = uniforms["demand"]
        if self.cut == "truncate":
            below = jax.scipy.special.ndtr(-params.mean / params.deviation)
            u = below + u * (1.0 - below)
        z = quantiles.standard_normal(u)
        if self.correlated:
            common = quantiles.standard_normal(uniforms["market"])
            z = jnp.sqrt(params.correlation) * common + jnp.sqrt(1.0 - params.correlation) * z
        return state, jnp.maximum(params.mean + params.deviation * z, 0.0)


@struct.dataclass
class SeasonalParams:
    base: jax.Array  # [D, K]
    amplitude: jax.Array  # [D, K] share of base; seed 002 has 0.2
    deviation: jax.Array  # [D, K] share of base; seed 002 has 0.1
    period: jax.Array  # [] periods of a full season
    phase: jax.Array  # [D, K] periods by which a location runs ahead


@dataclass(frozen=True)
class Seasonal(DemandProcess):
    """Base, a sine season and normal noise (seed 002, equation 1), cut at zero; the phase is known
    ahead.
    """

    told = (Signal("season sine", owner=CALENDAR), Signal("season cosine", owner=CALENDAR))
    start_noise = {"start": ()}

    def init(self, uniforms, params: SeasonalParams):
        return jnp.floor(uniforms["start"] * params.period)

    def step(self, time, uniforms, params: SeasonalParams):
        season = jnp.sin(2 * jnp.pi * (time + params.phase) / params.period)
        z = quantiles.standard_normal(uniforms["demand"])
        demand = params.base * (1.0 + params.amplitude * season + params.deviation * z)
        return time + 1.0, jnp.maximum(demand, 0.0)

    def known(self, time, params: SeasonalParams):
        angle = 2 * jnp.pi * time / params.period
        return jnp.stack([jnp.sin(angle), jnp.cos(angle)])


@struct.dataclass
class AutoRegressiveParams:
    base: jax.Array  # [D, K]
    persistence: jax.Array  # [D, K] phi
    deviation: jax.Array  # [D, K] standard deviation of the innovation


@dataclass(frozen=True)
class AutoRegressive(DemandProcess):
    """D_t = (phi D_{t-1} + (1 - phi) base + N(0, deviation))^+, the law of DeepStock's settings 2
    and 3.
    """

    def init(self, uniforms, params: AutoRegressiveParams):
        return params.base

    def step(self, last, uniforms, params: AutoRegressiveParams):
        z = quantiles.standard_normal(uniforms["demand"])
        mean = params.persistence * last + (1.0 - params.persistence) * params.base
        demand = jnp.maximum(mean + params.deviation * z, 0.0)
        return demand, demand


@struct.dataclass
class TraceParams:
    demand: jax.Array  # [T, D, K] recorded demand
    covariates: jax.Array  # [T, C] what was known of each period before it began
    first: jax.Array  # [] earliest period an episode may start at, history included
    last: jax.Array  # [] latest
    level_spread: jax.Array = (
        0.0  # [] an episode's demand is multiplied by exp(level_spread * z); 0 replays exactly
    )


@dataclass(frozen=True)
class TraceReplay(DemandProcess):
    """Replays a recorded trace from a period drawn at reset.

    One instance holds one trace; a panel of SKUs is a batch of instances. Training may spread the
    level of demand between episodes (augmentation), so that a policy learns to follow a level it
    has not seen.

    Nothing is invented where the trace ends: a `Problem` whose episodes would run past it is
    refused, and demand that is asked for all the same is NaN. Of a period that is not there,
    nothing is known: its covariates are 0.

    Attributes:
      told: what the covariates are, a `Signal` each.
      goes_on: the trace is a rule and not a record: its last period goes on for ever.
    """

    told: tuple[Signal, ...] = ()
    goes_on: bool = False
    start_noise = {"start": (), "market": ()}
    noise = {}

    def init(self, uniforms, params: TraceParams):
        span = params.last - params.first + 1
        start = params.first + jnp.floor(uniforms["start"] * span).astype(jnp.int32)
        return start, jnp.exp(params.level_spread * quantiles.standard_normal(uniforms["market"]))

    def step(self, state, uniforms, params: TraceParams):
        time, level = state
        return (time + 1, level), level * self._at(params.demand, time, jnp.nan)

    def known(self, state, params: TraceParams):
        return self._at(params.covariates, state[0], 0.0)

    def row(self, state, period):
        return state[0]

    def lasts(self, params: TraceParams) -> float:
        return (
            math.inf
            if self.goes_on
            else int(np.min(params.demand.shape[-3] - np.asarray(params.last)))
        )

    def _at(self, rows, time, beyond):
        if self.goes_on:
            return rows[jnp.minimum(time, rows.shape[0] - 1)]
        return rows.at[time].get(mode="fill", fill_value=beyond)
