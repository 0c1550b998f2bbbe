"""What the detectors of change watch, and its expected values in the unchanged ("calm") world
(methods D.4).

Four things are watched, each by a detector of its own:

- demand: an index of all series, 1 in the calm world whatever the calendar says;
- supplies, transfers: orders that arrived from suppliers and from other nodes, less the number that
  the law of lead times expects of the pipeline. The two are watched apart: a supplier's delay would
  hardly show among the many transfers;
- calendar: promotions and prices are announced, so they cause no forecast errors; but so many of
  them did not occur in the worlds that were learned in.

Detectors see what a planner sees: demand after its day, announcements before it, and of lead times
nothing but the orders that were placed and the day on which they came.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.adapt.drift import (
    DETECTORS,
    Detector,
    arrival_residual,
    calibrate,
    check_stream,
    expectation,
    expected_from,
    expected_lead_times,
    hazards,
    hear,
)  # fmt: skip
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.topology import Topology
from jaxinv.evaluation.rollout import BATCH, WorldTrace

KINDS = ("demand", "supplies", "transfers", "calendar")
"""What is watched, and in this order stands in alarms."""

DEMAND, SUPPLIES, TRANSFERS, CALENDAR = range(len(KINDS))

WARM_UP = 28
"""First days of a stream, in which no alarm counts: orders that were under way before it have come
by then.
"""

DETECTOR = DETECTORS["CUSUM"]
"""Days are not independent (shocks last), so a small slack needs a high threshold: half of it takes
twice as long to notice.
"""


@struct.dataclass
class Calm:
    """Expected values in the calm world, in which the policy was learned."""

    weight: (
        jax.Array
    )  # [D, B] of a series' demand in the index, mean over variance; weight * mean adds up to 1
    coefficients: jax.Array  # [1 + C, D] of `expectation`
    promoted: (
        jax.Array
    )  # [] relative demand of a promoted day: what it expects of one in 100 days at most
    hazard: jax.Array | None  # [longest, E] of `hazards`; None where lead times are fixed

    @classmethod
    def of(cls, env: InventoryNetwork, worlds: list[WorldTrace]) -> "Calm":
        """From worlds `[T, ..., B]` in which nothing changes."""
        demand = jnp.concatenate([world.exogenous.demand[:, :, 0] for world in worlds])
        known = jnp.concatenate(
            [announced(env, world.signals)[: len(world.exogenous.demand)] for world in worlds]
        )
        coefficients = expectation(demand, known)
        mean = demand.mean(0)
        weight = mean / (demand.var(0) + 1e-6)
        relative = expected_from(coefficients, known)
        hazard = None
        if worlds[0].exogenous.lead_time is not None:
            times = jnp.concatenate(
                [jnp.moveaxis(world.exogenous.lead_time, BATCH, 1) for world in worlds]
            )
            hazard = hazards(times, env.topology.max_lead_time)
        return cls(
            weight / jnp.sum(weight * mean), coefficients, jnp.quantile(relative, 0.99), hazard
        )

    @property
    def lead_time(self) -> jax.Array | None:
        """Mean lead time of an order by its age `[longest + 1, E]`."""
        return None if self.hazard is None else expected_lead_times(self.hazard)

    def index(self, demand: jax.Array, known: jax.Array) -> jax.Array:
        """The index of demand y `[...]`, of demand `[..., D, B]` and what was known of each day
        before it `[..., C, B]`.
        """
        return jnp.sum(self.weight * demand / expected_from(self.coefficients, known), (-2, -1))


@struct.dataclass
class Watch:
    """Detectors of all kinds, calibrated to one false alarm of all of them in two years."""

    detector: Detector = struct.field(pytree_node=False)
    env: InventoryNetwork = struct.field(pytree_node=False)
    calm: Calm
    usual: jax.Array  # [A] what is announced, a mean over instances and calm days
    width: jax.Array  # [A] its standard deviation
    centre: jax.Array  # [kinds] mean of what is watched, over calm days
    spread: jax.Array  # [kinds] its standard deviation
    threshold: jax.Array  # [kinds]

    @classmethod
    def calibrated(
        cls,
        env: InventoryNetwork,
        instance: InstanceParams,
        worlds: list[WorldTrace],
        detector: Detector = DETECTOR,
    ) -> "Watch":
        """On calm worlds `[T, ..., B]`, with an order of every instance on every day on which an
        edge accepts one.

        Raises:
          UserError: where a world lacks a day's demand.
        """
        for world in worlds:
            check_stream(np.asarray(world.exogenous.demand))
        calm = Calm.of(env, worlds)
        plans = np.asarray(env.world.announced, int)
        known = jnp.stack(
            [announced(env, world.signals)[:, plans].mean(-1) for world in worlds]
        )  # [R, T, A]
        zeros, ones = jnp.zeros(len(KINDS)), jnp.ones(len(KINDS))
        watch = cls(
            detector,
            env,
            calm,
            known.mean((0, 1)),
            known.std((0, 1)) + 1e-6,
            zeros,
            ones,
            jnp.inf * ones,
        )
        follow = jax.jit(lambda world: watch.follow(instance, world)[0])
        quiet = jnp.stack([follow(world)[WARM_UP:] for world in worlds])  # [R, T, kinds]
        centre, spread = quiet.mean((0, 1)), quiet.std((0, 1)) + 1e-6
        residuals = jnp.moveaxis((quiet - centre) / spread, -1, 0)
        thresholds = [calibrate(detector, series, most=1 / len(KINDS)) for series in residuals]
        return watch.replace(
            centre=centre, spread=spread, threshold=jnp.asarray(thresholds, jnp.float32)
        )

    def init(self):
        """The detectors' state before the first day."""
        return jax.vmap(lambda _: self.detector.init())(jnp.arange(len(KINDS)))

    def step(
        self,
        state,
        day: jax.Array,
        demand: jax.Array,
        known: jax.Array,
        shipments: jax.Array | None,
    ):
        """A day in which demand was `[D, B]`, `[C, B]` of it known before, with the orders of the
        days before it.

        Args:
          shipments: see `arrival_residual`; None where lead times are fixed.

        Returns:
          The state, the residuals `[kinds]`, and the alarms `[kinds]`.
        """
        plans, topology = np.asarray(self.env.world.announced, int), self.env.topology
        away = (known[plans].mean(-1) - self.usual) / self.width
        nothing = jnp.float32(0.0)
        arrivals = [nothing, nothing]
        if shipments is not None:
            supplied = topology.from_supplier
            arrivals = [
                arrival_residual(shipments[:, which], self.calm.hazard[:, which])
                for which in (supplied, ~supplied)
            ]
        calendar = jnp.sqrt(jnp.mean(away**2)) if away.shape[0] else nothing
        residuals = (
            jnp.stack([self.calm.index(demand, known), *arrivals, calendar]) - self.centre
        ) / self.spread
        heard, alarm = jax.vmap(lambda *own: hear(self.detector, *own))(
            state, residuals, self.threshold
        )
        early = day < WARM_UP
        state = jax.tree.map(lambda new, old: jnp.where(early, old, new), heard, self.init())
        return state, residuals, alarm & ~early

    def follow(self, instance: InstanceParams, world: WorldTrace) -> tuple[jax.Array, jax.Array]:
        """Residuals and alarms `[T, kinds]` of a world `[T, ..., B]`, with an order on every day on
        which an edge accepts one.
        """
        exogenous, topology = world.exogenous, self.env.topology
        periods = (
            instance.review_period if topology.has("review") else jnp.ones((topology.edges, 1))
        )

        def day(carry, given):
            number, demand, known, lead_time = given
            state, shipments = carry
            state, *found = self.step(state, number, demand, known, shipments)
            if shipments is not None:
                shipments = latest(shipments, jnp.where(number % periods == 0, lead_time, 0.0))
            return (state, shipments), tuple(found)

        days = exogenous.demand.shape[0]
        given = (
            jnp.arange(days),
            exogenous.demand[:, :, 0],
            announced(self.env, world.signals)[:days],
            exogenous.lead_time,
        )
        start = self.init(), no_shipments(topology, exogenous.demand.shape[BATCH])
        return jax.lax.scan(day, start, given)[1]


def announced(env: InventoryNetwork, signals: jax.Array) -> jax.Array:
    """What was known of each day before it `[T, C, B]`, from signals `[W + T - 1, S, B]`, one row
    more or less at the end.
    """
    series = env.world.demand.locations * env.world.demand.products
    return signals[env.history - 1 :, series:]


def no_shipments(topology: Topology, batch: int) -> jax.Array | None:
    """`[longest, E, B]` before the first order; None where lead times are fixed."""
    return (
        jnp.zeros((topology.max_lead_time, topology.edges, batch))
        if topology.random_lead_time
        else None
    )


def latest(shipments: jax.Array, today: jax.Array) -> jax.Array:
    """The shipments of the latest days, with today's `[E, B]` as the last."""
    return jnp.concatenate([shipments[1:], today[None]])
