"""The three clocks of D3S-CI on a stream of days, as one compiled scan (seed 000, section 3.4;
methods D.2 to D.4).

Each day the policy orders, the day comes, and the clocks that a run has switched on do their work:

- short: a step down the gradient on the latest noise, within a trust region; what is learned acts
  from the week on that proves it;
- medium: each week a student is taught, and acts from the day on which it passes the gate, both in
  fresh worlds under what is believed;
- long: when a detector alarms (`jaxinv.adapt.watch`), the change is estimated, and from then on day
  by day (equation 10, its first part): what the policy is told of lead times and of demand before
  the change is what is believed now. Where the belief is another than the one that the policy was
  made for, the policy is retrained for some weeks in the training worlds under that change, by its
  own algorithm (the second part), and acts from the week on in which fresh worlds of the kind prove
  it to be cheaper. Meanwhile the short clock rests.

Runs lie on leading axes `[C, V]`: C worlds, each met by V runs that differ in policy, switches and
numbers; their switches are traced, so frozen and adaptive are one program and see the same noise.
Two rivals are switches too: retraining at fixed intervals, alarm or not, and retraining after
alarms as if nothing had changed, which tells what more training alone is worth.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.adapt.belief import Belief
from jaxinv.adapt.distill import Distiller, Lesson, StudentConfig, StudentState, example, study
from jaxinv.adapt.gate import MARGIN, ONE_SIDED, STRICT, Verdict, non_inferiority, select
from jaxinv.adapt.online import (
    FineTuner,
    OnlineConfig,
    OnlineState,
    Recent,
    as_if,
    fresh,
    half,
    in_fresh_worlds,
)
from jaxinv.adapt.streams import Streams
from jaxinv.adapt.watch import Calm, announced, latest, no_shipments
from jaxinv.agents.loop import in_groups, runs_at_once
from jaxinv.agents.ppo import PPO, PPOState
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import NetworkState
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH
from jaxinv.keys import Role, key_of, keys_of, root

WEEK = 7

REPLAYS = 16
"""What a run of B instances takes of a CPU's caches, in environments of a training: on so many
times B. Of runs side by side, what one of them has to do is done for all."""

TOTALS = ("demand", "forecast_error", "sold", "on_hand")
"""Units of demand, of the absolute error of the median forecast, of sales, and on hand at the end
of the day.
"""


@dataclass(frozen=True)
class ClocksConfig:
    """The static side of the three clocks.

    Attributes:
      online: of the short clock.
      student: of the medium clock; None where no student is taught at all.
      lessons: of a student each week, see `distill.study`.
      retraining: days that a retraining lasts.
      daily_updates: of the agent in each of them.
      retraining_rate, final_retraining_rate: its learning rate then, cosine from one to the other.
    """

    online: OnlineConfig = field(default_factory=OnlineConfig)
    student: StudentConfig | None = None
    lessons: int = 5
    retraining: int = 28
    daily_updates: int = 2
    retraining_rate: float = 5e-4
    final_retraining_rate: float = 5e-5

    def __post_init__(self):
        for name in ("lessons", "retraining", "daily_updates"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} must be at least 1")
        if self.online.days % WEEK or self.online.days < 3 * WEEK:
            raise UserError(
                f"days={self.online.days} must be whole weeks, three or more: the weekday is part"
                " of the noise"
            )
        for name in ("retraining_rate", "final_retraining_rate"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name}={getattr(self, name)} must be at least 0")

    @property
    def retraining_updates(self) -> int:
        """Updates of a whole retraining."""
        return self.retraining * self.daily_updates


@struct.dataclass
class Switches:
    """What a run does, as numbers `[]`."""

    short: jax.Array = 0.0  # 1: fine-tunes every day
    medium: jax.Array = 0.0  # 1: lets a student act that has passed the gate
    long: jax.Array = 0.0  # 1: estimates what has changed after an alarm, and is retrained for it
    every: jax.Array = (
        math.inf
    )  # days after which it does both anew without an alarm, the first time after half as many
    blind: jax.Array = (
        0.0  # 1: believes in the calm world whatever it hears, and is retrained in that
    )


NEVER = Switches()
ADAPTIVE = Switches(short=1.0, medium=1.0, long=1.0)


@struct.dataclass
class ClocksState:
    """A run in the stream."""

    online: OnlineState
    student: StudentState | None
    promoted: jax.Array  # [] bool: the student acts
    network: NetworkState  # [..., B]
    shipments: jax.Array | None  # [longest, E, B] of the latest days, see `watch.arrival_residual`
    detectors: Any
    found: Belief  # what the days tell
    belief: Belief  # what is acted on
    learner: PPOState  # of the retraining
    started: jax.Array  # [] day on which the last one began; -inf before the first
    made_for: Belief  # what had been found when it began


@struct.dataclass
class Diary:
    """What happened on a day of the stream."""

    cost: jax.Array  # [B] weighted cost of each instance
    short: jax.Array  # [B] units of demand not served
    risk: jax.Array  # [B] logit of a coming stock-out, as the policy's head says
    totals: jax.Array  # [len(TOTALS)] over all instances
    alarms: jax.Array  # [kinds] bool, of `watch.KINDS`
    kl: jax.Array  # [] largest KL divergence of a step
    adopted: jax.Array  # [] bool, on the last day of a week: what was learned acts from now on
    rolled_back: jax.Array  # [] bool, likewise: what was learned was taken back
    retrained: jax.Array  # [] bool, likewise: what was retrained acts from now on
    promoted: jax.Array  # [] bool: a student acts
    bound: (
        jax.Array
    )  # [] upper bound of the latest student's excess cost, on the last day of a week; else NaN


@struct.dataclass
class Clocks:
    """The system on a stream of B instances.

    Attributes:
      env: the network that orders are really placed on, whole packs and all; policies learn on
        divisible orders.
    """

    config: ClocksConfig = struct.field(pytree_node=False)
    env: InventoryNetwork = struct.field(pytree_node=False)
    agent: PPO  # that retrains
    tuner: FineTuner  # on the even instances
    distiller: Distiller | None

    @classmethod
    def create(
        cls, env: InventoryNetwork, agent: PPO, config: ClocksConfig, batch: int
    ) -> "Clocks":
        """Clocks of an agent's policy on streams of `batch` instances, an even number."""
        if batch < 4 or batch % 2:
            raise UserError(
                f"a stream of {batch} instances cannot be halved to learn and to judge; give an"
                " even number of 4 or more"
            )
        distiller = None if config.student is None else Distiller.create(agent, config.student)
        tuner = FineTuner.create(agent, config.online, batch // 2)
        schedule = {
            "learning_rate": config.retraining_rate,
            "final_learning_rate": config.final_retraining_rate,
            "updates": config.retraining_updates,
        }
        numbers = agent.numbers | {name: jnp.float32(number) for name, number in schedule.items()}
        return cls(config, env, agent.replace(numbers=numbers), tuner, distiller)

    def run(
        self, params: Any, switches: Switches, key: jax.Array, streams: Streams
    ) -> tuple[ClocksState, Diary]:
        """Runs `[C, V]` of them through the streams.

        Args:
          params: of the policy `[C, V, ...]`.
          switches: `[C, V]`.
          streams: C of T days; the first `config.online.days` are history that the policy plays as
            it is.

        Returns:
          The states at the end, and the diary `[C, V, T - days, ...]`.
        """
        days = streams.worlds.exogenous.demand.shape[1]
        if days <= self.config.online.days:
            raise UserError(
                f"a stream of {days} days is over before its history of {self.config.online.days}"
                " days is; give a longer one"
            )
        shape = switches.short.shape

        def of_group(own):
            params, switches, number = own
            worlds = jax.tree.map(lambda leaf: leaf[number], streams.worlds)
            return self._run(params, switches, key, worlds, streams)

        number = jnp.broadcast_to(jnp.arange(shape[0])[:, None], shape)
        own = jax.tree.map(
            lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (params, switches, number)
        )
        batch = streams.instance.weights.shape[BATCH]
        done = in_groups(of_group, own, runs_at_once(math.prod(shape), REPLAYS * batch))
        return jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), done)

    def alarms(self, params: Any, streams: Streams) -> jax.Array:
        """What the detectors make of C streams in which a policy acts as it is: alarms
        `[C, T, kinds]`.
        """

        def of_stream(world):
            def day(state, day):
                state, lived = self._live(state, day, world, streams.instance, streams.watch)
                return state, lived["alarms"]

            state = self._begin(params, root(0), streams)
            return jax.lax.scan(day, state, jnp.arange(world.exogenous.demand.shape[0]))[1]

        return jax.lax.map(of_stream, streams.worlds)

    def _run(self, params, switches, key, worlds, streams) -> tuple[ClocksState, Diary]:
        """G runs side by side, each with a world `[G, T, ..., B]` of its own; the diary is
        `[G, T - days, ...]`.

        Work is left out on days on which none of the runs has a use for it.
        """
        lead_in, days = self.config.online.days, worlds.exogenous.demand.shape[1]
        instance, calm = streams.instance, streams.watch.calm
        expected = calm.lead_time

        def live(state, day):
            return jax.vmap(
                lambda state, world: self._live(state, day, world, instance, streams.watch)
            )(state, worlds)

        def work(state, day):
            state, lived = live(state, day)
            recent = jax.vmap(
                lambda world: Recent.before(world, day + 1, lead_in, self.env.history, expected)
            )(worlds)
            planned = (
                day - lead_in
            ) % switches.every == switches.every // 2  # never, where that is infinite
            heard = lived["alarms"] & (switches.long[:, None] > 0)
            listens = jnp.any(heard) | jnp.any(planned) | jnp.any(jnp.isfinite(state.found.heard))

            def listen(state):
                blind = switches.blind > 0
                return jax.vmap(lambda *own: self._listen(*own, day, calm))(
                    state, heard, planned, blind, recent
                )

            state = jax.lax.cond(listens, listen, lambda state: state, state)
            retrains = day - state.started < self.config.retraining
            tunes = (switches.short > 0) & ~retrains
            today = key_of(key, Role.CLOCKS, day)
            proves = retrains & ((day - state.started) % WEEK == WEEK - 1)
            weekly = day % WEEK == WEEK - 1

            def tune(state):
                stepped, kl = jax.vmap(lambda *own: self._tune(*own, today, day, instance))(
                    state, recent
                )
                return _where(tunes, stepped, state), jnp.where(tunes, kl, 0.0)

            def retrain(state):
                return _where(
                    retrains,
                    jax.vmap(lambda state: self._retrain(state, key, day, calm))(state),
                    state,
                )

            def prove(state):
                proven, better = jax.vmap(lambda state: self._prove(state, today, calm))(state)
                return _where(proves, proven, state), proves & better

            def check(state):
                return jax.vmap(lambda *own: self._check(*own, day, instance))(state, recent)

            def teach(state):
                return jax.vmap(lambda *own: self._teach(*own, today, calm))(state, switches)

            nothing = jnp.zeros(tunes.shape)
            promoted = state.promoted
            state, kl = jax.lax.cond(jnp.any(tunes), tune, lambda state: (state, nothing), state)
            state = jax.lax.cond(jnp.any(retrains), retrain, lambda state: state, state)
            state, proven = jax.lax.cond(
                jnp.any(proves), prove, lambda state: (state, nothing > 0), state
            )
            unmoved = jnp.zeros((*tunes.shape, 2), bool)
            state, moved = jax.lax.cond(
                weekly & jnp.any(switches.short > 0), check, lambda state: (state, unmoved), state
            )
            bound = jnp.full(tunes.shape, jnp.nan)
            if self.distiller is not None:
                due = weekly & jnp.any(switches.medium > 0)
                state, bound = jax.lax.cond(due, teach, lambda state: (state, bound), state)
            adopted, rolled_back = jnp.moveaxis(moved, -1, 0)
            return state, Diary(
                **lived,
                kl=kl,
                adopted=adopted,
                rolled_back=rolled_back,
                retrained=proven,
                promoted=promoted,
                bound=bound,
            )

        state = jax.vmap(lambda params: self._begin(params, key, streams))(params)
        state, _ = jax.lax.scan(
            lambda state, day: (live(state, day)[0], None), state, jnp.arange(lead_in)
        )
        state, diary = jax.lax.scan(work, state, jnp.arange(lead_in, days))
        return state, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), diary)

    def _begin(self, params, key, streams) -> ClocksState:
        student = (
            None
            if self.distiller is None
            else self.distiller.init(key_of(key, Role.TEACHING), example(self.tuner.agent))
        )
        belief = Belief.none(self.env.topology.edges)
        learner = self.agent.init(key_of(key, Role.TRAINING)).replace(params=params)
        return ClocksState(
            online=self.tuner.init(params),
            student=student,
            promoted=jnp.bool_(False),
            network=streams.network,
            shipments=no_shipments(self.env.topology, streams.instance.weights.shape[BATCH]),
            detectors=streams.watch.init(),
            found=belief,
            belief=belief,
            learner=learner,
            started=jnp.float32(-jnp.inf),
            made_for=belief,
        )

    def _live(self, state, day, world, instance, watch):
        """Orders and lives through a day: the state, and what the `Diary` keeps of it."""
        env, policy = self.env, self.agent.policy
        window = jax.lax.dynamic_slice_in_dim(world.signals, day, env.history)
        exogenous = jax.tree.map(lambda leaf: leaf[day], world.exogenous)
        belief, demand, longest = state.belief, exogenous.demand, env.topology.max_lead_time
        window = as_if(
            window, day - belief.changed, belief.factor, demand.shape[0] * demand.shape[1]
        )

        def single(network, window, exogenous, instance):
            observation = env.view(network, belief.told(instance, longest), window)
            context = policy.context(state.online.acting, observation, None)
            decision = policy.decide(state.online.acting, observation, context)
            order = policy.decode(decision.mean, observation, context.rates)
            if state.student is not None:
                taught = self.distiller.student(state.student.params, observation)
                order = jnp.where(state.promoted, taught, order)
            network, outcome = env.transition(network, order, exogenous, instance)
            rate, demand = context.recent.reshape(-1), exogenous.demand.reshape(-1)
            error = jnp.abs(demand - context.forecast[0, :, 1] * rate)
            totals = jnp.stack(
                [demand.sum(), error.sum(), outcome.sold.sum(), outcome.on_hand.sum()]
            )
            ordered = jnp.any(outcome.ordered > 0, -1)
            return (
                network,
                ordered,
                dict(
                    cost=-outcome.reward,
                    short=outcome.short.sum(),
                    risk=decision.stockout,
                    totals=totals,
                ),
            )

        network, ordered, lived = jax.vmap(single, in_axes=BATCH, out_axes=BATCH)(
            state.network, window, exogenous, instance
        )
        lived["totals"] = lived["totals"].sum(BATCH)
        known = announced(env, window)[0]
        detectors, _, lived["alarms"] = watch.step(
            state.detectors, day, demand[:, 0], known, state.shipments
        )
        shipments = state.shipments
        if shipments is not None:
            shipments = latest(shipments, jnp.where(ordered, exogenous.lead_time, 0.0))
        return state.replace(network=network, shipments=shipments, detectors=detectors), lived

    def _listen(self, state, heard, planned, blind, recent, day, calm: Calm):
        """The long clock: the state with today's belief, and the retraining that begins where it
        has moved away.
        """
        known = announced(self.env, recent.signals[:-1])
        demand = recent.exogenous.demand[:, :, 0]
        found = state.found.follow(
            heard, planned, day.astype(jnp.float32), calm, demand, known, state.shipments
        )
        over = day - state.started >= self.config.retraining
        starts = over & (planned | found.differs(state.made_for))
        return state.replace(
            found=found,
            belief=select(blind, Belief.none(self.env.topology.edges), found),
            started=jnp.where(starts, day, state.started).astype(jnp.float32),
            made_for=select(starts, found, state.made_for),
        )

    def _tune(self, state, recent, key, day, instance):
        """A step of the short clock: the state, and the KL divergence of the step."""
        factor_key, step_key = jax.random.split(key)
        spread = jnp.exp(
            state.belief.error * jax.random.normal(factor_key, (instance.weights.shape[BATCH],))
        )
        recent, instance = self._had_it_come_before(state.belief, spread, recent, day, instance)
        online, metrics = self.tuner.step(
            state.online, step_key, half(state.network, 0), half(recent, 0), half(instance, 0)
        )
        return state.replace(online=online), metrics["kl"]

    def _had_it_come_before(self, belief, spread, recent, day, instance):
        """The latest noise as it would have been had the change come before it, and the instances
        as they are told of it.

        Args:
          spread: on the factor on demand of each instance, for what is not known of it.
        """
        first, longest = day + 1 - self.config.online.days, self.env.topology.max_lead_time
        recent = recent.under(
            belief.changed - first,
            spread * belief.factor,
            belief.late - first,
            belief.delay[:, None],
            longest,
        )
        return recent, belief.told(instance, longest)

    def _retrain(self, state, key, day, calm):
        """Today's updates in the training worlds under what is believed."""
        key = key_of(key, Role.RETRAINING, jnp.maximum(state.started, 0.0).astype(jnp.int32))
        beginner = self.agent.init(key_of(key, Role.TRAINING)).replace(params=state.online.acting)
        learner = select(day == state.started, beginner, state.learner)
        agent = self._in_believed_worlds(state.belief, key, calm)
        learner, _ = jax.lax.scan(
            lambda learner, _: agent.update(learner), learner, length=self.config.daily_updates
        )
        return state.replace(learner=learner)

    def _prove(self, state, key, calm):
        """Lets what has been retrained act where fresh worlds under what is believed prove it to be
        cheaper.
        """
        policy, retrained = self.agent.policy, state.learner.params
        # looked at every week, as what is fine-tuned is
        better = self._judge_in_fresh_worlds(
            state, key, calm, policy, retrained, margin=0.0, quantile=STRICT
        ).promoted
        online = select(better, self.tuner.init(retrained), state.online)
        # a student of the one before acts no longer
        return state.replace(online=online, promoted=state.promoted & ~better), better

    def _judge_in_fresh_worlds(
        self, state, key, calm, policy, params, margin, quantile=ONE_SIDED
    ) -> Verdict:
        """The gate for a policy beside the one that acts, on fresh noise under what is believed,
        orders in whole packs.
        """
        agent = self._in_whole_packs(self._in_believed_worlds(state.belief, key, calm))
        contenders = [(policy, params), (agent.policy, state.online.acting)]
        return non_inferiority(
            *in_fresh_worlds(self.tuner, agent, contenders, key), margin, quantile
        )

    def _in_whole_packs(self, agent: PPO) -> PPO:
        """An agent on the network that orders are really placed on: to judge, not to learn."""
        return agent.replace(worlds=agent.worlds.replace(env=self.env))

    def _in_believed_worlds(self, belief, key, calm) -> PPO:
        worlds, history = self.agent.worlds, self.env.history
        last, longest = history + worlds.rollouts * worlds.periods, self.env.topology.max_lead_time
        key = key_of(key, Role.BELIEF)
        params = belief.believed(worlds.params, worlds.instances, key, calm, last, longest)
        return self.agent.replace(worlds=worlds.replace(params=params))

    def _check(self, state, recent, day, instance):
        """What was fine-tuned acts from now on, or is taken back, or neither: the state, and
        whether each.
        """
        recent, instance = self._had_it_come_before(state.belief, 1.0, recent, day, instance)
        tuner = self.tuner.replace(agent=self._in_whole_packs(self.tuner.agent))
        online, found = tuner.check(
            state.online, half(state.network, 1), half(recent, 1), half(instance, 1)
        )
        moved = jnp.array([found.promoted & (found.ratio < 0), ~(found.ratio <= 0)])
        return state.replace(online=online), moved

    def _teach(self, state, switches, key, calm):
        """A week's lessons of the student, in fresh worlds under what is believed, and its gate:
        the state, and the bound of its excess cost."""
        agent, params = (
            self._in_believed_worlds(state.belief, key_of(key, Role.TEACHING), calm),
            state.online.acting,
        )

        def lesson(student, key):
            of_today = Lesson.of(agent, params, *fresh(agent, key))
            return (
                study(
                    self.distiller,
                    student,
                    params,
                    of_today,
                    self.distiller.numbers["learning_rate"],
                )[0],
                None,
            )

        student, _ = jax.lax.scan(
            lesson, state.student, keys_of(key, Role.TEACHING, self.config.lessons)
        )
        verdict = self._judge_in_fresh_worlds(
            state,
            key_of(key, Role.VALIDATION),
            calm,
            self.distiller.student,
            student.params,
            MARGIN,
        )
        promoted = verdict.promoted & (switches.medium > 0)
        return state.replace(student=student, promoted=promoted), verdict.bound


def _where(which, new, old):
    """Trees `[G, ...]`: new where `which` `[G]` holds."""
    return jax.vmap(select)(which, new, old)
