"""The same world under a change: an intervention as numbers, and the world that is played under it.

Nature's uniforms and her own course (calendar, planned promotions, shocks, regimes) stay what they
are; only the mechanism that an intervention names is another from its first day on. So a changed
world and the factual one share all their noise, and an intervention that changes nothing gives the
factual world bit for bit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.demand.exogenous import World
from jaxinv.errors import UserError, unknown

NATURE = math.nan
"""A variable that is left to its own mechanism."""


@struct.dataclass
class Intervention:
    """A change of the world from day `start` up to, and without, day `stop`; numbers `[]`, which
    can be traced and mapped.

    Days count the periods that the world has been played, those before the first decision included;
    t is the day.

    - The level of demand is multiplied by  f = demand^[start <= t < stop] exp(trend min(max(t -
      start, 0), stop - start)): `demand` is a step that ends, `trend` a growth a day whose result
      stays.
    - While start <= t < stop, `promotion`, `price` and `shock` take the given value instead of
      nature's (NaN: nature's). A planned promotion is announced as any other, with the dips that
      come before and after one.
    - An order placed on such a day takes  L' = min(L + lead_time, longest)  periods instead of L,
      and one to an outside supplier  L' = min(L + lead_time + outage (stop - t), longest):  with
      outage 1 it waits until the supplier works again. L is nature's draw from the lead-time law,
      so L' is the quantile of the shifted law at the same uniform.
    """

    start: jax.Array = 0.0
    stop: jax.Array = math.inf
    demand: jax.Array = 1.0
    trend: jax.Array = 0.0
    # 0 where none runs; factor on demand of one that runs, or 1 where the model has its own
    promotion: jax.Array = NATURE
    price: jax.Array = NATURE  # relative to the list price
    shock: jax.Array = NATURE  # of the logarithm of demand
    lead_time: jax.Array = 0.0  # periods
    outage: jax.Array = 0.0  # 0 or 1

    @classmethod
    def of(cls, numbers: Mapping[str, float]) -> "Intervention":
        """A change from numbers by name, such as those of a configuration.

        Raises:
          UserError: for a variable that no model has.
        """
        known = [field.name for field in fields(cls)]
        for name in numbers:
            if name not in known:
                raise unknown("variable of an intervention", name, known)
        return cls(**numbers)

    def within(self, day: jax.Array) -> jax.Array:
        """Whether the change holds on a day."""
        return (self.start <= day) & (day < self.stop)

    def factor(self, day: jax.Array) -> jax.Array:
        """f, the factor on the level of demand."""
        days = jnp.minimum(jnp.maximum(day - self.start, 0.0), self.stop - self.start)
        return jnp.where(self.within(day), self.demand, 1.0) * jnp.exp(self.trend * days)

    def instead(self, name: str, own: jax.Array, day: jax.Array) -> jax.Array:
        """The value of "promotion", "price" or "shock" on a day whose own value is `own`."""
        value = jnp.asarray(getattr(self, name))
        return jnp.where(self.within(day) & ~jnp.isnan(value), value, own)

    def from_day(self, day: float) -> "Intervention":
        """The change as many days later."""
        return self.replace(start=self.start + day, stop=self.stop + day)

    def touches(self) -> set[str]:
        """The variables that are changed; for concrete numbers, one intervention or a stack of
        them.
        """
        untouched = Intervention()
        changed = [
            name for name in VARIABLES if not np.array_equal(getattr(self, name), np.broadcast_to(
                getattr(untouched, name), np.shape(getattr(self, name))), equal_nan=True)
        ]  # fmt: skip
        return {VARIABLES[name] for name in changed}


VARIABLES = {
    "demand": "demand",
    "trend": "demand",
    "promotion": "promotion",
    "price": "price",
    "shock": "shock",
    "lead_time": "lead_time",
    "outage": "lead_time",
}
"""The variable of the world that each number of an intervention moves."""


@dataclass(frozen=True)
class Intervened(World):
    """A world that is played under `params.intervention`.

    A factor on the level is one within the law where that counts units or has a level of its own
    (`quantiles.scaled_from_table`, `MarketDemand`), and a factor on demand itself where demand is a
    real number or a recorded one.

    Attributes:
      suppliers: for each edge whether it starts outside the network.
      longest: the longest lead time that the network can hold, in periods.
    """

    suppliers: tuple[bool, ...] = ()
    longest: int = 0

    @property
    def moves(self) -> frozenset[str]:
        """The variables that an intervention can change."""
        return self.demand.moves | ({"lead_time"} if self.lead_time else set())

    def init(self, uniforms, params):
        return jnp.float32(0.0), super().init(uniforms, params)

    def step(self, state, uniforms, params):
        day, state = state
        change: Intervention = params.intervention
        seen, numbers = self.demand.under(state[0], params.demand, change, day)
        # Nature goes on from her own state; what a compiler sees of this twice it computes once.
        _, demand = self.demand.step(seen, uniforms, numbers)
        if not self.demand.scales:
            demand = demand * change.factor(day)
        state, exogenous = super().step(state, uniforms, params)
        lead_time = exogenous.lead_time
        if self.lead_time:
            waiting = jnp.where(
                jnp.asarray(self.suppliers) & (change.outage > 0), change.stop - day, 0.0
            )
            longer = jnp.minimum(lead_time + change.lead_time + waiting, self.longest)
            lead_time = jnp.where(change.within(day), longer, lead_time)
        return (day + 1.0, state), exogenous.replace(demand=demand, lead_time=lead_time)

    def observe(self, state, last_demand, params):
        day, state = state
        known = self.demand.known(
            *self.demand.under(state[0], params.demand, params.intervention, day)
        )
        return self._row(last_demand, known, state)


def check_movable(world: Intervened, change: Intervention, name: str) -> None:
    """Refuses a change of what a world cannot move.

    Args:
      name: of the network, for the message.

    Raises:
      UserError: naming the variable and what can be moved.
    """
    for variable in sorted(change.touches() - world.moves):
        hint = (
            "; give it random lead times, or room for longer ones"
            if variable == "lead_time"
            else ""
        )
        raise UserError(
            f"{name} has no {variable} that an intervention could move; it can move"
            f" {', '.join(sorted(world.moves))}{hint}"
        )
    uplift = np.asarray(change.promotion)
    if not np.all(np.isnan(uplift) | (uplift >= world.demand.least_promotion)):
        raise UserError(
            f"promotion={change.promotion} must be at least {world.demand.least_promotion} on"
            f" {type(world.demand).__name__}"
        )
    for number, least in (
        ("demand", 0.0),
        ("price", 1e-6),
        ("lead_time", -np.inf),
        ("outage", 0.0),
    ):
        value = np.asarray(getattr(change, number))
        if not np.all(np.isnan(value) | (value >= least)):
            raise UserError(
                f"{number}={getattr(change, number)} of an intervention must be at least {least:g}"
            )
    if np.any(np.asarray(change.stop) < np.asarray(change.start)):
        raise UserError(
            f"an intervention cannot stop on day {change.stop}, before it starts on day"
            f" {change.start}"
        )
