"""What each of the three clocks does on a day, in one run (`jaxinv.adapt.clocks`): `live`, then, as
far as they are due, `listen`, `tune`, `retrain`, `prove`, `check` and `teach`.
"""

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
    fresh,
    half,
    in_fresh_worlds,
    signals_under_change,
)
from jaxinv.adapt.watch import Calm, announced, latest, no_shipments
from jaxinv.agents.ppo import PPO, PPOState
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import NetworkState
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH
from jaxinv.keys import Role, key_of, keys_of

WEEK = 7


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
class ClockSteps:
    """The steps of one run on a stream of B instances.

    Attributes:
      env: the network that orders are really placed on, in whole packs; policies learn on divisible
        orders.
    """

    config: ClocksConfig = struct.field(pytree_node=False)
    env: InventoryNetwork = struct.field(pytree_node=False)
    agent: PPO  # that retrains
    tuner: FineTuner  # on the even instances
    distiller: Distiller | None

    def begin(self, params, key, streams) -> ClocksState:
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

    def live(self, state, day, world, instance, watch):
        """Orders and lives through a day: the state, and what the `Diary` keeps of it."""
        env, policy = self.env, self.agent.policy
        window = jax.lax.dynamic_slice_in_dim(world.signals, day, env.history)
        exogenous = jax.tree.map(lambda leaf: leaf[day], world.exogenous)
        belief, demand, longest = state.belief, exogenous.demand, env.topology.max_lead_time
        window = signals_under_change(
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

    def listen(self, state, heard, planned, blind, recent, day, calm: Calm):
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

    def tune(self, state, recent, key, day, instance):
        """A step of the short clock: the state, and the KL divergence of the step."""
        factor_key, step_key = jax.random.split(key)
        spread = jnp.exp(
            state.belief.error * jax.random.normal(factor_key, (instance.weights.shape[BATCH],))
        )
        recent, instance = self._under_belief(state.belief, spread, recent, day, instance)
        online, metrics = self.tuner.step(
            state.online, step_key, half(state.network, 0), half(recent, 0), half(instance, 0)
        )
        return state.replace(online=online), metrics["kl"]

    def _under_belief(self, belief, spread, recent, day, instance):
        """The latest noise with the believed change moved to before its first day, and the
        instances with the believed lead times.

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

    def retrain(self, state, key, day, calm):
        """Today's updates in the training worlds under the believed change."""
        key = key_of(key, Role.RETRAINING, jnp.maximum(state.started, 0.0).astype(jnp.int32))
        beginner = self.agent.init(key_of(key, Role.TRAINING)).replace(params=state.online.acting)
        learner = select(day == state.started, beginner, state.learner)
        agent = self._in_believed_worlds(state.belief, key, calm)
        learner, _ = jax.lax.scan(
            lambda learner, _: agent.update(learner), learner, length=self.config.daily_updates
        )
        return state.replace(learner=learner)

    def prove(self, state, key, calm):
        """Lets the retrained policy act if fresh worlds under the change prove it cheaper."""
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
        """The gate for a policy against the acting one, on fresh noise under the believed change,
        with orders in whole packs.
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

    def check(self, state, recent, day, instance):
        """Lets the fine-tuned policy act, or takes it back, or neither: the state, and whether
        each.
        """
        recent, instance = self._under_belief(state.belief, 1.0, recent, day, instance)
        tuner = self.tuner.replace(agent=self._in_whole_packs(self.tuner.agent))
        online, found = tuner.check(
            state.online, half(state.network, 1), half(recent, 1), half(instance, 1)
        )
        moved = jnp.array([found.promoted & (found.ratio < 0), ~(found.ratio <= 0)])
        return state.replace(online=online), moved

    def teach(self, state, switches, key, calm):
        """A week's lessons of the student in fresh worlds under the believed change, and its gate:
        the state, and the bound of its excess cost.
        """
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
