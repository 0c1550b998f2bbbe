"""What drives a network from outside, and the noise behind it.

Uniforms in, world out: every random quantity is a monotone function of uniforms, drawn in bulk for
a whole batch from keys folded on (mechanism, period). The draw never depends on a policy, so the
same key replays the same world under any policy: common random numbers, pathwise gradients and
counterfactuals are one thing.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.demand.clock import Clock
from jaxinv.demand.signals import CALENDAR, Signal

MECHANISMS = (
    "start", "stock", "market", "demand", "count", "promotion", "lead_time", "regime", "returns",
    "preference", "price", "arrival",
    "past",
)  # fmt: skip
"""Names of independent noise streams; a stream's position here is folded into its key, so only
append.
"""

Shapes = dict[str, tuple[int, ...]]


@struct.dataclass
class Exogenous:
    """What one period brings from outside."""

    demand: jax.Array  # [D, K] units asked for at the demand nodes
    lead_time: jax.Array | None = None  # [E] periods that an order placed now will take
    price: jax.Array | None = None  # [N, K] selling price, where it moves
    arrival: jax.Array | None = (
        None  # [E] share of what is shipped now that will arrive; None: all of it
    )
    open: jax.Array | None = None  # [E] 1 where orders are taken, 0 where not; None: everywhere


class Process(Protocol):
    """A part of the world: pure functions over a state, traced parameters and named uniforms."""

    start_noise: Shapes
    noise: Shapes

    def init(self, uniforms: dict[str, jax.Array], params: Any) -> Any: ...

    def step(
        self, state: Any, uniforms: dict[str, jax.Array], params: Any
    ) -> tuple[Any, jax.Array]: ...


def draw_uniforms(
    key: jax.Array, period, shapes: Shapes, batch: tuple[int, ...] = ()
) -> dict[str, jax.Array]:
    """Uniforms on [0, 1) for one period, of `shape + batch` for each mechanism.

    The batch is the last axis: on CPU that lets XLA vectorise every small network of the batch
    together.
    """
    if not shapes:
        return {}
    # One generator call for all mechanisms, each filled up to the largest: a call for each would be
    # most of what there is to compile in a small world. What a mechanism draws depends on its own
    # key and size alone.
    streams = jnp.asarray([MECHANISMS.index(name) for name in shapes], jnp.uint32)
    keys = jax.vmap(lambda stream: jax.random.fold_in(jax.random.fold_in(key, stream), period))(
        streams
    )
    sizes = [math.prod(shape) for shape in shapes.values()]
    drawn = jax.vmap(lambda key: jax.random.uniform(key, (max(sizes), *batch)))(keys)
    return {
        name: drawn[number, :size].reshape(*shape, *batch)
        for number, (size, (name, shape)) in enumerate(zip(sizes, shapes.items()))
    }


@dataclass(frozen=True)
class World:
    """Demand and lead times together: the exogenous process of one network.

    Attributes:
      demand: a process that yields demand `[D, K]`; it also tells what is `known` of a period
        before its demand.
      lead_time: a process that yields lead times `[E]`, or None where the topology fixes them.
      clock: what policies are told of the time; None: nothing.
      arrival: a process that yields the shares `[E]` of shipments that arrive
        (`jaxinv.demand.arrivals`), or None.
      order_days: which periods are open for orders (`jaxinv.demand.order_days`), or None: all are.
    """

    demand: Any
    lead_time: Any = None
    clock: Clock | None = None
    arrival: Any = None
    order_days: Any = None

    @property
    def noise(self) -> Shapes:
        parts = [part for part in (self.demand, self.lead_time, self.arrival) if part]
        return {name: shape for part in parts for name, shape in part.noise.items()}

    @property
    def start_noise(self) -> Shapes:
        return {**self.demand.start_noise, **(self.lead_time.start_noise if self.lead_time else {})}

    @property
    def signals(self) -> int:
        """Length S of the signal vector: last period's demand, then what is known of the period to
        come.
        """
        return self.demand.locations * self.demand.products + self.covariates

    @property
    def told(self) -> tuple[Signal, ...]:
        """A `Signal` for each column of what is known of the period to come."""
        return self.demand.told + (self.clock.told if self.clock else ())

    @property
    def covariates(self) -> int:
        """C, how many of these there are."""
        return len(self.told)

    @property
    def announced(self) -> tuple[int, ...]:
        """Columns among these of what is announced, which is all that is not the calendar's."""
        return tuple(column for column, signal in enumerate(self.told) if signal.owner != CALENDAR)

    @property
    def _counts(self) -> bool:
        """Whether the state counts periods."""
        return bool(self.clock or self.order_days)

    def init(self, uniforms: dict[str, jax.Array], params: Any) -> Any:
        """Args: uniforms of `start_noise`; params: the `InstanceParams`."""
        lead = self.lead_time.init(uniforms, params) if self.lead_time else None
        return (
            self.demand.init(uniforms, params.demand),
            lead,
            *([jnp.float32(0.0)] if self._counts else []),
        )

    def step(
        self, state: Any, uniforms: dict[str, jax.Array], params: Any
    ) -> tuple[Any, Exogenous]:
        demand_state, lead_state, *period = state
        open = (
            self.order_days.open(self.demand.row(demand_state, *period), params)
            if self.order_days
            else None
        )
        demand_state, demand = self.demand.step(demand_state, uniforms, params.demand)
        lead_time = None
        if self.lead_time:
            lead_state, lead_time = self.lead_time.step(lead_state, uniforms, params)
        arrival = self.arrival.shares(uniforms, params) if self.arrival else None
        if (
            self.arrival and self.lead_time
        ):  # nobody knows that an order is lost before the last day it could come
            lead_time = jnp.where(arrival > 0, lead_time, self.lead_time.latest(params))
        exogenous = Exogenous(demand=demand, lead_time=lead_time, arrival=arrival, open=open)
        return (demand_state, lead_state, *[now + 1.0 for now in period]), exogenous

    def observe(self, state: Any, last_demand: jax.Array, params: Any) -> jax.Array:
        """The signal vector `[S]` a decision sees: demand `[D, K]` of last period and known
        covariates `[C]`.
        """
        return self._row(last_demand, self.demand.known(state[0], params.demand), state)

    def _row(self, last_demand, known, state):
        time = [self.clock.known(state[2])] if self.clock else []
        return jnp.concatenate([last_demand.reshape(-1), known, *time])


class LeadTimeProcess:
    """Base of the lead-time processes; `step` gets the whole `InstanceParams` because quoted times
    live there.
    """

    start_noise: Shapes = {}
    noise: Shapes = {}

    def init(self, uniforms, params):
        return None

    def latest(self, params) -> jax.Array:
        """The longest lead time that an order of each edge can have `[E]`: what has not come by
        then is lost.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class QuotedLeadTimes(LeadTimeProcess):
    """Every order takes the quoted lead time of its edge; for batches whose instances differ in
    lead time.
    """

    def step(self, state, uniforms, params):
        return state, jnp.round(params.lead_time)

    def latest(self, params):
        return jnp.round(params.lead_time)


@struct.dataclass
class RandomLeadTimesParams:
    """Numbers of `RandomLeadTimes`."""

    cdf: jax.Array  # [R, L, E] probability of at most l periods, l = 0 .. L-1, in each regime
    enter: jax.Array  # [] probability a period that the normal regime ends
    leave: jax.Array  # [] probability a period that the disrupted regime ends


@dataclass(frozen=True)
class RandomLeadTimes(LeadTimeProcess):
    """An independent lead time for each order, from a table that depends on the present regime.

    With two regimes the world switches between normal (0) and disrupted (1), for instance at
    customs, as a Markov chain. The parameters are `params.lead_time_law`.
    """

    edges: int
    regimes: int = 1

    @property
    def noise(self) -> Shapes:
        return {"lead_time": (self.edges,), **({"regime": ()} if self.regimes > 1 else {})}

    def init(self, uniforms, params):
        return jnp.int32(0)

    def step(self, regime, uniforms, params):
        law = params.lead_time_law
        if self.regimes > 1:
            u = uniforms["regime"]
            regime = jnp.where(regime == 0, u < law.enter, u >= law.leave).astype(jnp.int32)
            cdf = jnp.where(regime == 0, law.cdf[0], law.cdf[1])
        else:
            cdf = law.cdf[0]
        return regime, jnp.sum(uniforms["lead_time"] >= cdf, 0).astype(jnp.float32)

    def latest(self, params):
        return jnp.sum(params.lead_time_law.cdf.min(0) < 1.0, 0).astype(jnp.float32)
