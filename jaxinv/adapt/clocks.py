"""The three clocks of D3S-CI on a stream of days, as one compiled scan (seed 000, section 3.4; methods D.2 to D.4).

Each day the policy orders, the day comes, and the clocks that a run has switched on do their work:

- short: steps down the gradient on the latest noise, within a trust region, which act from the week on that proves them;
- medium: each week a student is taught on the same states, and acts from the day on which it passes the gate;
- long: when a detector alarms (`jaxinv.adapt.streams`), the change is estimated, and from then on day by day (equation 10, its
  first part): what the policy is told of lead times and of demand before the change is what it believes now. For some weeks it
  is retrained on that scenario, with a larger step: the days before the change are replayed as if they had come after it
  (the second part).

Runs lie on leading axes `[C, V]`: C worlds, each met by V runs that differ in policy, switches and numbers; their switches are
traced, so frozen and adaptive are one program and see the same noise. Retraining at fixed intervals and an oracle that knows
the day of the change are switches too: what an adaptive run is measured by.
"""

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.adapt.distill import Distiller, Lesson, StudentConfig, StudentState, example
from jaxinv.adapt.gate import Verdict, judge
from jaxinv.adapt.online import FineTuner, OnlineConfig, OnlineState, Recent, as_if, half
from jaxinv.adapt.streams import Streams
from jaxinv.agents.loop import in_groups, side_by_side
from jaxinv.agents.ppo import PPO
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import NetworkState
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH

WEEK = 7

LOOK_BACK = 7
"""Days before an alarm on which the change is taken to have come; an alarm is never early."""

LATEST = 28
"""Days whose orders tell the lead times of today."""

REPLAYS = 8
"""A replay of B instances takes the caches of a CPU for as much as so many times B environments in training: all its days are
differentiated at once."""

TOTALS = ("demand", "forecast_error", "sold", "on_hand")
"""Units of demand, of the absolute error of the median forecast, of sales, and on hand at the end of the day."""


@dataclass(frozen=True)
class ClocksConfig:
    """The static side of the three clocks.

    Attributes:
      online: of the short clock.
      student: of the medium clock; None where no student is taught at all.
      lessons: steps of a student each week.
      steps: steps of the policy each day.
      retraining: days that a retraining lasts.
      boost: factor on the learning rate during one.
    """

    online: OnlineConfig = field(default_factory=OnlineConfig)
    student: StudentConfig | None = None
    lessons: int = 20
    steps: int = 1
    retraining: int = 28
    boost: float = 3.0

    def __post_init__(self):
        for name in ("lessons", "steps", "retraining"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} must be at least 1")
        if self.online.days % WEEK or self.online.days < 3 * WEEK:
            raise UserError(f"days={self.online.days} must be whole weeks, three or more: the weekday is part of the noise")


@struct.dataclass
class Switches:
    """What a run does, as numbers `[]`."""

    short: jax.Array = 0.0  # 1: fine-tunes every day
    medium: jax.Array = 0.0  # 1: lets a student act that has passed the gate
    long: jax.Array = 0.0  # 1: retrains on the estimated scenario after an alarm
    every: jax.Array = math.inf  # days between retrainings on the calendar, on the latest noise as it is
    change: jax.Array = math.inf  # day on which the world changes, for a run that is told: it retrains from then on

    @property
    def learns(self) -> jax.Array:
        """Whether the policy can change at all."""
        return (self.short + self.medium + self.long > 0) | jnp.isfinite(self.every) | jnp.isfinite(self.change)


NEVER = Switches()
ADAPTIVE = Switches(short=1.0, medium=1.0, long=1.0)


@struct.dataclass
class Belief:
    """What a run takes the world to have become; exactly as it was before its first alarm."""

    changed: jax.Array  # [] day on which the last change is taken to have come; -inf before the first
    factor: jax.Array  # [] on demand, since then
    error: jax.Array  # [] relative standard error of it
    delay: jax.Array  # [E] periods that lead times are longer by

    @classmethod
    def none(cls, edges: int) -> "Belief":
        return cls(jnp.float32(-jnp.inf), jnp.float32(1.0), jnp.float32(0.0), jnp.zeros(edges))


@struct.dataclass
class ClocksState:
    """A run in the stream."""

    online: OnlineState
    student: StudentState | None
    promoted: jax.Array  # [] bool: the student acts
    network: NetworkState  # [..., B]
    started: jax.Array  # [] day on which the last retraining began; -inf before the first
    belief: Belief


@struct.dataclass
class Diary:
    """What happened on a day of the stream."""

    cost: jax.Array  # [B] weighted cost of each instance
    short: jax.Array  # [B] units of demand not served
    risk: jax.Array  # [B] logit of a coming stock-out, as the policy's head says
    totals: jax.Array  # [len(TOTALS)] over all instances
    kl: jax.Array  # [] largest KL divergence of a step
    adopted: jax.Array  # [] bool, on the last day of a week: what was learned acts from now on
    rolled_back: jax.Array  # [] bool, likewise: what was learned was taken back
    promoted: jax.Array  # [] bool: a student acts
    bound: jax.Array  # [] upper bound of the latest student's excess cost, on the last day of a week; else NaN


@struct.dataclass
class Clocks:
    """The system on a stream of B instances.

    Attributes:
      env: the network that orders are really placed on, whole packs and all; policies learn on divisible orders.
    """

    config: ClocksConfig = struct.field(pytree_node=False)
    env: InventoryNetwork = struct.field(pytree_node=False)
    agent: PPO
    tuner: FineTuner  # on the even instances
    distiller: Distiller | None

    @classmethod
    def create(cls, env: InventoryNetwork, agent: PPO, config: ClocksConfig, batch: int) -> "Clocks":
        """Clocks of an agent's policy on streams of `batch` instances, an even number."""
        if batch < 4 or batch % 2:
            raise UserError(f"a stream of {batch} instances cannot be halved to learn and to judge; give an even number of 4 or more")
        distiller = None if config.student is None else Distiller.create(agent, config.student)
        return cls(config, env, agent, FineTuner.create(agent, config.online, batch // 2), distiller)

    def run(self, params: Any, switches: Switches, key: jax.Array, streams: Streams) -> tuple[ClocksState, Diary]:
        """Runs `[C, V]` of them through the streams.

        Args:
          params: of the policy `[C, V, ...]`.
          switches: `[C, V]`.
          streams: C of T days; the first `config.online.days` are history that the policy plays as it is.

        Returns:
          The states at the end, and the diary `[C, V, T - days, ...]`.
        """
        network, worlds, alarms, instance, expected = streams
        days = alarms.shape[1]
        if days <= self.config.online.days:
            raise UserError(f"a stream of {days} days is over before its history of {self.config.online.days} days is; give a longer one")
        shape = switches.short.shape

        def of_group(own):
            params, switches, number = own
            met = jax.tree.map(lambda leaf: leaf[number], (worlds, alarms))
            return self._run(params, switches, key, network, *met, instance, expected)

        number = jnp.broadcast_to(jnp.arange(shape[0])[:, None], shape)
        own = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (params, switches, number))
        done = in_groups(of_group, own, side_by_side(math.prod(shape), REPLAYS * instance.weights.shape[BATCH]))
        return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), done)

    def _run(self, params, switches, key, network, worlds, alarms, instance, expected) -> tuple[ClocksState, Diary]:
        """G runs side by side, each with a world `[G, T, ..., B]` of its own; the diary is `[G, T - days, ...]`.

        Steps and weekly checks are left out where none of the runs has a use for them.
        """
        lead_in, days = self.config.online.days, alarms.shape[1]

        def live(state, day):
            return jax.vmap(lambda state, world: self._live(state, day, world, instance))(state, worlds)

        def work(state, day):
            state, lived = live(state, day)
            recent = jax.vmap(lambda world: self._recent(world, day + 1, expected))(worlds)
            state, rate = jax.vmap(lambda *own: self._long(*own, day, expected))(state, switches, alarms[:, day], recent)

            def learn(state):
                today = jax.random.fold_in(key, day)
                return jax.vmap(lambda *own: self._learn(*own, today, day, instance))(state, rate, recent)

            def rest(state):
                return state, jnp.zeros_like(rate)

            def check(state):
                return jax.vmap(lambda *own: self._week(*own, instance))(state, switches, recent)

            def skip(state):
                return state, jnp.zeros((*rate.shape, 2), bool), jnp.full_like(rate, jnp.nan)

            promoted = state.promoted
            state, kl = jax.lax.cond(jnp.any(rate > 0), learn, rest, state)
            weekly = (day % WEEK == WEEK - 1) & jnp.any(switches.learns)
            state, moved, bound = jax.lax.cond(weekly, check, skip, state)
            adopted, rolled_back = jnp.moveaxis(moved, -1, 0)
            return state, Diary(**lived, kl=kl, adopted=adopted, rolled_back=rolled_back, promoted=promoted, bound=bound)

        state = jax.vmap(lambda params: self._begin(params, key, network))(params)
        state, _ = jax.lax.scan(lambda state, day: (live(state, day)[0], None), state, jnp.arange(lead_in))
        state, diary = jax.lax.scan(work, state, jnp.arange(lead_in, days))
        return state, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), diary)

    def _begin(self, params, key, network) -> ClocksState:
        student = None if self.distiller is None else self.distiller.init(key, example(self.tuner.agent))
        belief = Belief.none(self.env.topology.edges)
        return ClocksState(self.tuner.init(params), student, jnp.bool_(False), network, jnp.float32(-jnp.inf), belief)

    def _live(self, state, day, world, instance):
        """Orders and lives through a day: the state, and what the `Diary` keeps of it."""
        env, policy = self.env, self.agent.policy
        window = jax.lax.dynamic_slice_in_dim(world.signals, day, env.history)
        exogenous = jax.tree.map(lambda leaf: leaf[day], world.exogenous)
        belief, demand = state.belief, exogenous.demand
        window = as_if(window, day - belief.changed, belief.factor, demand.shape[0] * demand.shape[1])

        def single(network, window, exogenous, instance):
            observation = env.view(network, self._as_believed(belief, instance), window)
            context = policy.context(state.online.acting, observation, None)
            decision = policy.decide(state.online.acting, observation, context)
            order = policy.decode(decision.mean, observation, context.rates)
            if state.student is not None:
                taught = self.distiller.student(state.student.params, observation)
                order = jnp.where(state.promoted, taught, order)
            network, outcome = env.transition(network, order, exogenous, instance)
            rate, demand = context.recent.reshape(-1), exogenous.demand.reshape(-1)
            error = jnp.abs(demand - context.forecast[0, :, 1] * rate)
            totals = jnp.stack([demand.sum(), error.sum(), outcome.sold.sum(), outcome.on_hand.sum()])
            return network, dict(cost=-outcome.reward, short=outcome.short.sum(), risk=decision.stockout, totals=totals)

        network, lived = jax.vmap(single, in_axes=BATCH, out_axes=BATCH)(state.network, window, exogenous, instance)
        lived["totals"] = lived["totals"].sum(BATCH)
        return state.replace(network=network), lived

    def _as_believed(self, belief: Belief, instance):
        """Instances `[E, ...]` with the lead times that are believed in."""
        delay = belief.delay.reshape(-1, *(1,) * (instance.lead_time.ndim - 1))
        lead_time = jnp.clip(instance.lead_time + delay, 1.0, self.env.topology.max_lead_time)
        return instance.replace(lead_time=jnp.where(delay == 0, instance.lead_time, lead_time))

    def _long(self, state, switches, alarm, recent, day, expected):
        """The long clock: the state with today's belief, and the factor on the learning rate today."""
        told = day == switches.change
        found = (alarm & (switches.long > 0)) | told
        planned = (day + 1) % switches.every == 0
        # `%` by infinity leaves the day itself, which is never 0
        started = jnp.where(found | planned, day, state.started).astype(jnp.float32)
        changed = jnp.where(told, day, jnp.where(found, day - LOOK_BACK, state.belief.changed)).astype(jnp.float32)
        belief = self._estimate(recent, changed, day + 1, expected)
        belief = jax.tree.map(partial(jnp.where, jnp.isfinite(changed)), belief, state.belief)
        rate = jnp.where(day - started < self.config.retraining, self.config.boost, switches.short)
        return state.replace(started=started, belief=belief), rate

    def _estimate(self, recent: Recent, changed: jax.Array, day: jax.Array, expected) -> Belief:
        """What the world has become since day `changed`, as the days before `day` tell.

        The factor on demand is the mean of all demand since the change over that before it, in units of each series' mean;
        lead times are longer by what those of the latest orders are beyond what was expected of an order in the calm world,
        in whole periods.
        """
        days = self.config.online.days
        since = day - changed
        before = jnp.arange(days) < days - since
        demand = recent.exogenous.demand  # [T, D, K, B]
        daily = jnp.mean(demand / (demand.mean(0) + 1e-3), (1, 2, 3))
        after_mean, before_mean = _mean(daily, ~before), _mean(daily, before)
        factor = jnp.clip(after_mean / jnp.maximum(before_mean, 1e-3), 0.2, 5.0)
        error = jnp.sqrt(_mean((daily - after_mean) ** 2, ~before) / jnp.maximum(jnp.sum(~before), 1)) / jnp.maximum(after_mean, 1e-3)
        known = jnp.any(before)
        delay = jnp.zeros(self.env.topology.edges)
        if expected is not None:
            latest = ~before & (jnp.arange(days) >= days - LATEST)
            delay = jnp.round(_mean(recent.exogenous.lead_time.mean(-1), latest) - expected[0])
        return Belief(changed, jnp.where(known, factor, 1.0), jnp.where(known, error, 0.0), delay)

    def _learn(self, state, rate, recent, key, day, instance):
        """The steps of a day, on the latest noise as it would have been had the change come before it, each instance under a
        factor drawn from what is known of it: the state, and the largest KL divergence of a step."""
        belief = state.belief
        factor = belief.factor * jnp.exp(belief.error * jax.random.normal(key, (instance.weights.shape[BATCH],)))
        change = self.config.online.days - (day + 1 - belief.changed)
        recent = recent.under(change, factor, belief.delay[:, None], self.env.topology.max_lead_time)
        learning = half(self._as_believed(belief, instance), 0)

        def step(online, number):
            online, metrics = self.tuner.step(
                online, jax.random.fold_in(key, number), half(state.network, 0), half(recent, 0), learning, rate
            )
            return online, metrics["kl"]

        online, kl = jax.lax.scan(step, state.online, jnp.arange(self.config.steps))
        return state.replace(online=online), kl.max()

    def _recent(self, world, day, expected) -> Recent:
        return Recent.before(world, day, self.config.online.days, self.env.history, expected)

    def _week(self, state, switches, recent, instance):
        """What was learned acts from now on, or is taken back, or neither; and a student is taught and judged.

        Returns:
          The state, whether it acts and whether it was taken back, and the bound of the student's excess cost.
        """
        instance = self._as_believed(state.belief, instance)
        judging = (half(state.network, 1), half(recent, 1), half(instance, 1))
        online, found = self.tuner.check(state.online, *judging)
        moved = jnp.array([found.promoted & (found.ratio < 0), ~(found.ratio <= 0)])
        state = state.replace(online=online)
        if self.distiller is None:
            return state, moved, jnp.float32(jnp.nan)
        student, verdict = self._teach(state, recent, instance, judging)
        promoted = verdict.promoted & (switches.medium > 0)
        return state.replace(student=student, promoted=promoted), moved, verdict.bound

    def _teach(self, state, recent, instance, judging) -> tuple[StudentState, Verdict]:
        """A week's lessons on the states of the learning half, and the gate on the other."""
        params = state.online.acting
        lesson = Lesson.of(self.tuner.agent, params, half(state.network, 0), half(recent, 0), half(instance, 0))

        def step(student, _):
            return self.distiller.step(student, params, lesson)[0], None

        student, _ = jax.lax.scan(step, state.student, length=self.config.lessons)
        pupil = self.tuner.replace(agent=self.tuner.agent.replace(policy=self.distiller.student))
        return student, judge(pupil.cost(student.params, *judging), self.tuner.cost(params, *judging))


def _mean(series, mask):
    """Mean over the rows `[T, ...]` where the mask `[T]` holds; 0 where it holds nowhere."""
    mask = mask.reshape(-1, *(1,) * (series.ndim - 1))
    return jnp.sum(jnp.where(mask, series, 0.0), 0) / jnp.maximum(jnp.sum(mask), 1)
