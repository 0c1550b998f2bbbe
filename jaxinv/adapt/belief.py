"""The estimate of how the world has changed: the first part of equation 10, updated every day
(methods D.4).

A detector says that something has changed; from then on the latest days say what. Three things can
be found, told by the detectors (`jaxinv.adapt.watch`):

- demand: an index y_t of all series, 1 in the calm world whatever the calendar, was flat over the
  latest days, or made one step, or grows along a line; whichever has the least  SSE + penalty *
  variance.
- arrivals: orders take d periods longer on some edges, the d of the largest likelihood of what has
  arrived by now and what has not, where each edge follows the common d or stays as it was.
- calendar: promotions are announced unlike in the calm world; what they do to demand is what they
  did there.

A belief is also a change of the world (`Belief.believed`): what a policy is retrained in, the
second part of equation 10.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.adapt.gate import select
from jaxinv.adapt.watch import CALENDAR, DEMAND, KINDS, SUPPLIES, TRANSFERS, Calm
from jaxinv.envs.network import InstanceParams

STEP, LINE = 12.0, 6.0
"""Penalties of a step and of a line, in variances of a day: 2 log(n) and a little for each free
number at two months.
"""

SHORTEST = 3
"""Days on either side of a step."""

DELAYS = np.arange(-7.0, 15.0, dtype=np.float32)
"""Periods that lead times may be longer by."""

LATEST = 28
"""Days whose orders tell the lead times of today."""

LOOK_BACK = 7
"""Days before an alarm from which on orders are taken to be under the change; an alarm is never
early.
"""

MOVED = 0.1
"""How far the logarithm of a level is from that of another, where a policy made for the one is none
for the other.
"""

BURST = (7.0, 28.0)
"""Days that an announced burst of promotions may last, in the worlds that a policy is retrained
in.
"""


@struct.dataclass
class Belief:
    """How a run believes the world has changed; not at all before its first alarm."""

    heard: jax.Array  # [kinds] day of the first alarm of each kind; inf before it
    level: jax.Array  # [] factor on demand beside the calm world
    before: jax.Array  # [] the same before the latest step
    changed: jax.Array  # [] day of that step; -inf where there was none of late
    growth: jax.Array  # [] of demand a day, of its logarithm
    error: jax.Array  # [] relative standard error of the level
    delay: jax.Array  # [E] periods that lead times are longer by
    late: jax.Array  # [] day from which on orders are taken to be under that; inf where none are
    burst: jax.Array  # [] 1 where promotions are announced unlike before

    @classmethod
    def none(cls, edges: int) -> "Belief":
        one, zero = jnp.float32(1.0), jnp.float32(0.0)
        heard = jnp.full(len(KINDS), jnp.inf)
        return cls(
            heard,
            one,
            one,
            jnp.float32(-jnp.inf),
            zero,
            zero,
            jnp.zeros(edges),
            jnp.float32(jnp.inf),
            zero,
        )

    @property
    def factor(self) -> jax.Array:
        """The factor that brings demand of before the latest step to the level after it."""
        return self.level / self.before

    def follow(
        self, alarm: jax.Array, planned: jax.Array, day: jax.Array, calm: Calm, demand: jax.Array,
        known: jax.Array,
        shipments: jax.Array | None,
    ) -> "Belief":  # fmt: skip
        """The belief on the eve of day `day + 1`: day by day after an alarm, and where that is
        `planned` `[]`, without one.

        Args:
          alarm: `[kinds]` of day `day`.
          demand: `[T, D, B]` of the latest T days up to it; known: `[T, C, B]` of each of these
            days.
          shipments: `[longest, E, B]` lead times of the latest orders up to it, see
            `watch.arrival_residual`; what has not arrived by the morning of day `day + 1` counts as
            late as it is, and no later. None where lead times are fixed.
        """
        heard = jnp.minimum(self.heard, jnp.where(alarm, day, jnp.inf))
        days = demand.shape[0]
        course = fit_course(calm.index(demand, known))
        told = jnp.isfinite(heard[DEMAND]) | planned
        of_demand = self.replace(
            level=course.level,
            before=course.before,
            changed=jnp.where(course.step > 0, day + 1.0 - days + course.step, -jnp.inf),
            growth=course.growth,
            error=course.error,
        )
        burst = jnp.isfinite(heard[CALENDAR]).astype(jnp.float32)
        found = select(told, of_demand, self).replace(heard=heard, burst=burst)
        if shipments is None:
            return found
        shipments = shipments[-LATEST:]
        ages = jnp.arange(len(shipments), 0, -1)
        late = jnp.minimum(heard[SUPPLIES], heard[TRANSFERS]) - LOOK_BACK
        late = jnp.minimum(late, jnp.where(planned, day + 1.0 - LATEST, jnp.inf))
        delay = later(calm.hazard, shipments, ages, day + 1.0 - ages >= late)
        return select(jnp.isfinite(late), found.replace(delay=delay, late=late), found)

    def differs(self, other: "Belief") -> jax.Array:
        """Whether a policy that was trained for the other belief does not suit this one."""
        level = jnp.abs(jnp.log(self.level / other.level)) > MOVED
        growth = jnp.abs(self.growth - other.growth) > 1e-3
        return (
            level
            | growth
            | jnp.any(jnp.abs(self.delay - other.delay) >= 2.0)
            | (self.burst > other.burst)
        )

    def told(self, instance: InstanceParams, longest: int) -> InstanceParams:
        """An instance `[E, ...]` with the lead times that are believed in."""
        return _longer(
            instance, self.delay.reshape(-1, *(1,) * (instance.lead_time.ndim - 1)), longest
        )

    def believed(
        self,
        params: InstanceParams,
        instances: int,
        key: jax.Array,
        calm: Calm,
        last: int,
        longest: int,
    ) -> InstanceParams:
        """Parameters of the training worlds under the change that is believed in, as each of them
        is told of it.

        Level, growth and delays hold from the first day on. A burst of promotions comes to each
        instance on days drawn at random: when it begins is not known, nor how long it lasts. Where
        both are believed in, every other instance gets the one.

        Args:
          params: of all instances, with a leading axis.
          last: the last day that a burst may begin on.
        """
        change = params.intervention
        if change is None:
            return params
        begin_key, length_key = jax.random.split(key)
        begin = jnp.floor(last * jax.random.uniform(begin_key, (instances,)))
        length = jnp.floor(
            jax.random.uniform(length_key, (instances,), minval=BURST[0], maxval=BURST[1] + 1.0)
        )
        stands = (self.level != 1.0) | (self.growth != 0.0) | jnp.any(self.delay != 0.0)
        every_other = jnp.arange(instances) % 2 == 0
        burst = (self.burst > 0) & (every_other | ~stands)
        delay = jnp.where(burst[..., None], 0.0, self.delay)
        change = change.replace(
            start=jnp.where(burst, begin, 0.0),
            stop=jnp.where(burst, begin + length, jnp.inf),
            demand=jnp.where(burst, 1.0, self.level),
            trend=jnp.where(burst, 0.0, self.growth),
            promotion=jnp.where(burst, calm.promoted, jnp.nan),
            lead_time=delay,
        )
        return _longer(params.replace(intervention=change), delay, longest)


def _longer(params: InstanceParams, delay: jax.Array, longest: int) -> InstanceParams:
    """With lead times as much longer, within what the network can hold."""
    lead_time = jnp.clip(params.lead_time + delay, 1.0, longest)
    return params.replace(lead_time=jnp.where(delay == 0, params.lead_time, lead_time))


class Course(NamedTuple):
    """Of an index over some days, numbers `[]`."""

    level: jax.Array  # now
    before: jax.Array  # the step; the level where there is none
    step: jax.Array  # row of its first day; 0 where there is none
    growth: jax.Array  # a row, relative to the level
    error: jax.Array  # relative standard error of the level


def fit_course(index: jax.Array) -> Course:
    """The course of an index `[T]`: flat, one step, or a line."""
    days = index.shape[0]
    rows = jnp.arange(days)
    mean = index.mean()
    flat = jnp.sum((index - mean) ** 2)
    # every step: two means, from sums up to each row
    sums = jnp.cumsum(index)[:-1]
    count = rows[1:].astype(jnp.float32)
    early, late = sums / count, (sums[-1] + index[-1] - sums) / (days - count)
    stepped = flat - count * (early - mean) ** 2 - (days - count) * (late - mean) ** 2
    stepped = jnp.where((count >= SHORTEST) & (days - count >= SHORTEST), stepped, jnp.inf)
    best = jnp.argmin(stepped)
    centred = rows - rows.mean()
    slope = jnp.sum(centred * index) / jnp.sum(centred**2)
    lined = flat - slope**2 * jnp.sum(centred**2)

    variance = jnp.minimum(stepped[best], lined) / (days - 2) + 1e-9
    scores = jnp.stack([flat, stepped[best] + STEP * variance, lined + LINE * variance])
    kind = jnp.argmin(scores)
    level = jnp.maximum(
        jnp.stack([mean, late[best], mean + slope * (days - rows.mean())])[kind], 0.2
    )
    before = jnp.where(kind == 1, jnp.maximum(early[best], 0.2), level)
    counted = jnp.where(kind == 1, days - count[best], days)
    growth = jnp.where(kind == 2, slope / level, 0.0)
    return Course(
        level,
        before,
        jnp.where(kind == 1, best + 1, 0),
        growth,
        jnp.sqrt(variance / counted) / level,
    )


def later(hazard: jax.Array, lead_time: jax.Array, age: jax.Array, counted: jax.Array) -> jax.Array:
    """Periods `[E]` that orders take longer than the hazard `[longest, E]` says, by likelihood.

    Args:
      lead_time: `[T, E, B]`, above its age for an order that has not arrived, 0 where there was
        none.
      age: `[T]` of the orders of each row; counted: `[T]` which of them count.
    """
    longest, edges = hazard.shape
    hazard = jnp.clip(hazard, 1e-3, 1.0 - 1e-3)  # what never happened may yet
    waiting = jnp.concatenate(
        [jnp.zeros((1, edges)), jnp.cumsum(jnp.log1p(-hazard), 0)]
    )  # [longest + 1, E] by age
    arriving = jnp.concatenate(
        [jnp.full((1, edges), jnp.log(1e-3)), jnp.log(hazard) + waiting[:-1]]
    )
    age = jnp.broadcast_to(age[:, None, None], lead_time.shape)
    arrived = lead_time <= age
    # counts by lead time, or by age of what is under way: [longest + 1, E]
    ages = jnp.minimum(jnp.where(arrived, lead_time, age), longest)[..., None] == jnp.arange(
        longest + 1
    )
    counted = (counted[:, None, None] & (lead_time > 0))[..., None]
    of = [jnp.sum(counted & which[..., None] & ages, (0, 2)).T for which in (arrived, ~arrived)]

    def likelihood(delay):
        place = jnp.clip(jnp.arange(longest + 1) - delay, 0, longest).astype(jnp.int32)
        return jnp.sum(of[0] * arriving[place] + of[1] * waiting[place], 0)

    found = jax.vmap(likelihood)(DELAYS)  # [delays, E]
    unchanged = likelihood(0.0)
    best = jnp.argmax(jnp.sum(jnp.maximum(found, unchanged), 1))
    return jnp.where(found[best] >= unchanged, jnp.asarray(DELAYS)[best], 0.0)
