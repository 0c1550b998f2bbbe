"""The short clock: fine-tuning on the stream within a trust region, taken back where it does not
help (seed 000, section 3.4).

Every day the noise of the latest days is replayed from the present stock, and the policy takes one
step down its gradient on half of the instances. The step is cut back so that the policy stays close
to what it was:

    KL(pi_old || pi_new) <= trust,   a mean over the states of the replay

(Schulman et al. 2015; equation 8 of seed 000 and the policy step of equation 10, methods D.2 and
D.4.) The policy that learns does not act yet. Once a week it is compared with the one that acts,
paired on the same noise, on the other half of the instances, which it never learns from. Where it
is proven to cost less it takes over; where it costs more, it begins anew from the one that acts,
bit for bit.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxinv.adapt.gate import STRICT, Verdict, non_inferiority, select
from jaxinv.agents.agent import split_config, traced
from jaxinv.agents.losses import by_environment, flat, pinball
from jaxinv.agents.ppo import PPO
from jaxinv.agents.scales import Scales
from jaxinv.demand.exogenous import Exogenous
from jaxinv.envs.network import InstanceParams, NetworkState
from jaxinv.errors import UserError, unknown
from jaxinv.evaluation.rollout import Episodes, WorldTrace
from jaxinv.evaluation.trajectories import Trajectories
from jaxinv.keys import Role, keys_of
from jaxinv.policies.learned import LearnedPolicy

CUTS = 3
"""Most times that a step is cut back."""

PROOFS = 8
"""Batches of fresh worlds that a policy is proven in: a difference of 2% shows on 512, seldom on
64.
"""

GRADIENTS = ("pathwise", "ppo", "both")


@dataclass(frozen=True)
class OnlineConfig:
    """Hyper-parameters of the short clock.

    Attributes:
      days: how many of the latest days are replayed; whole weeks, so that weekdays and reviews fall
        as they did.
      gradient: "pathwise", through the simulator; "ppo", the agent's losses without that; "both",
        all its losses.
      learning_rate: of Adam.
      trust: most mean KL divergence of one step.
      forecast_weight: of the forecast loss beside the pathwise one.
    """

    days: int = 63
    gradient: str = "ppo"
    learning_rate: float = traced(3e-5)
    trust: float = traced(0.02)
    forecast_weight: float = traced(1.0)

    def __post_init__(self):
        if self.gradient not in GRADIENTS:
            raise unknown("gradient", self.gradient, GRADIENTS)
        if self.days < 1:
            raise UserError(f"days={self.days} must be at least 1")
        for name in ("learning_rate", "trust", "forecast_weight"):
            if getattr(self, name) is not None and not getattr(self, name) >= 0:
                raise UserError(f"{name}={getattr(self, name)} must be at least 0")


@struct.dataclass
class Recent:
    """The noise of the latest T days, as far as it has been seen."""

    exogenous: Exogenous  # [T, ..., B]
    # [W + T, S, B]; row W + j holds the demand of day j, and the last row is what today's decision
    # sees
    signals: jax.Array

    @classmethod
    def before(
        cls, world: WorldTrace, day: jax.Array, days: int, history: int, expected: jax.Array | None
    ) -> "Recent":
        """The `days` days before `day >= days` of a stream; nothing of that day's demand, and no
        lead time of what is still under way: that is taken to be what is `expected` of an order of
        its age (`expected_lead_times`).
        """

        def latest(leaf, length):
            return jax.lax.dynamic_slice_in_dim(leaf, day - days, length)

        exogenous = jax.tree.map(lambda leaf: latest(leaf, days), world.exogenous)
        if exogenous.lead_time is not None:
            age = jnp.arange(days, 0, -1)
            waiting = jnp.maximum(
                jnp.round(expected[jnp.minimum(age, len(expected) - 1)]), age[:, None] + 1
            )
            arrived = exogenous.lead_time <= age[:, None, None]
            lead_time = jnp.where(arrived, exogenous.lead_time, waiting[..., None])
            exogenous = exogenous.replace(lead_time=lead_time)
        return cls(exogenous, latest(world.signals, history + days))

    @property
    def trace(self) -> WorldTrace:
        """The days as a rollout wants them."""
        return WorldTrace(self.exogenous, self.signals[:-1])

    def under(
        self, change: jax.Array, factor: jax.Array, late: jax.Array, delay: jax.Array, longest: int
    ) -> "Recent":
        """The same noise with demand before row `change` of it and lead times before row `late`
        moved into the world after.

        Args:
          factor: on demand `[B]`; delay: on lead times `[E, 1]`, in whole periods, which stay
            within 1 .. `longest`.
        """
        rows = jnp.arange(self.exogenous.demand.shape[0])
        demand = (
            jnp.where((rows < change)[:, None, None, None], factor, 1.0) * self.exogenous.demand
        )
        signals = signals_under_change(
            self.signals, len(rows) - change, factor, demand.shape[1] * demand.shape[2]
        )
        exogenous = self.exogenous.replace(demand=demand)
        if exogenous.lead_time is not None:
            longer = jnp.clip(exogenous.lead_time + delay, 1.0, longest)
            exogenous = exogenous.replace(
                lead_time=jnp.where((rows < late)[:, None, None], longer, exogenous.lead_time)
            )
        return Recent(exogenous, signals)


def signals_under_change(
    signals: jax.Array, days: jax.Array, factor: jax.Array, series: int
) -> jax.Array:
    """What policies see, with all demand but that of the last `days` days multiplied by `factor`.

    Args:
      signals: `[rows, S, B]`, of which the first `series` of S are demand; factor: `[]` or `[B]`.
    """
    rows = signals.shape[0]
    told = (jnp.arange(rows) < rows - days)[:, None, None] & (
        jnp.arange(signals.shape[1]) < series
    )[:, None]
    return jnp.where(told, factor, 1.0) * signals


@struct.dataclass
class OnlineState:
    """A policy that is being fine-tuned."""

    params: Any  # of the policy that learns
    acting: Any  # of the one that acts
    optimiser: Any


@struct.dataclass
class FineTuner:
    """Fine-tunes the policy of an agent. Its functions are pure and map over states and numbers."""

    config: OnlineConfig = struct.field(pytree_node=False)
    agent: PPO
    numbers: dict[str, jax.Array]

    @classmethod
    def create(cls, agent: PPO, config: OnlineConfig, batch: int) -> "FineTuner":
        """A fine-tuner of an agent's policy on streams of `batch` instances."""
        config, numbers = split_config(config)
        worlds = agent.worlds.replace(
            batch=batch, periods=config.days, apart=True
        )  # as the instances of a stream are
        sizes = dict(envs=batch, rollout=config.days, minibatches=1)
        agent = agent.replace(worlds=worlds, config=replace(agent.config, **sizes))
        if config.gradient == "ppo":
            agent = agent.replace(numbers=agent.numbers | {"pathwise_weight": jnp.float32(0.0)})
        return cls(config, agent, numbers)

    def init(self, params: Any) -> OnlineState:
        return OnlineState(params, params, ADAM.init(params))

    def step(
        self,
        state: OnlineState,
        key: jax.Array,
        network: NetworkState,
        recent: Recent,
        instance: InstanceParams,
    ) -> tuple[OnlineState, dict[str, jax.Array]]:
        """One bounded step down the gradient on a replay.

        Args:
          network: the present stock `[..., B]`; the replay begins with it.
          recent: noise of the same instances, `config.days` of it.

        Returns:
          The state, and `kl` of the step and `cost` a period of the replay before it.
        """
        grads, cost, stock = self._gradient(state.params, key, network, recent, instance)
        steps, optimiser = ADAM.update(grads, state.optimiser)
        size = self.numbers["learning_rate"]
        wanted = jax.tree.map(lambda leaf, step: leaf - size * step, state.params, steps)
        params, kl = self._within_trust(state.params, wanted, stock, recent, instance)
        return state.replace(params=params, optimiser=optimiser), {"kl": kl, "cost": cost}

    def check(
        self, state: OnlineState, network: NetworkState, recent: Recent, instance: InstanceParams
    ) -> tuple[OnlineState, Verdict]:
        """Lets the learned policy act, or takes it back, or neither where the costs do not differ
        clearly.

        Returns:
          The state, and how the policy that learned did beside the one that acts.
        """
        costs = [
            self.cost(params, network, recent, instance) for params in (state.params, state.acting)
        ]
        verdict = non_inferiority(*costs, margin=0.0, quantile=STRICT)
        worse = ~(verdict.ratio <= 0)  # a cost that is not a number is worse too
        anew = self.init(state.acting)
        better = state.replace(acting=state.params)
        return select(worse, anew, select(verdict.promoted, better, state)), verdict

    def cost(
        self, params: Any, network: NetworkState, recent: Recent, instance: InstanceParams
    ) -> jax.Array:
        """Mean cost a period `[B]` of the mode policy on a replay, less what it has gained in
        goods, lest one that sells out look cheap."""
        played = simulate_recent(self.agent, params, network, recent, instance)
        gained = self.agent.worth(played.network, instance) - self.agent.worth(network, instance)
        return -played.reward.mean(0) - gained / played.reward.shape[0]

    def _gradient(self, params, key, network, recent, instance):
        """Gradient, cost a period, and the stock features `[B, T, F]` of the replay."""
        if self.config.gradient == "pathwise":
            loss = jax.value_and_grad(self._pathwise_loss, has_aux=True)
            (_, (cost, stock)), grads = loss(params, network, recent, instance)
            return grads, cost, stock
        episodes, trace = standing(network), recent.trace
        played, last = self.agent.play(params, key, episodes, trace, recent.signals, instance)
        batch, replay, scales = self.agent.prepare(
            played, last, episodes, trace, recent.signals, instance, Scales.fresh()
        )
        grads, _ = jax.grad(self.agent.loss, has_aux=True)(
            params, batch, replay, scales.reward_deviation
        )
        return grads, -played.reward.mean(), batch.stock

    def _pathwise_loss(self, params, network, recent, instance):
        """Mean cost in units of its spread, and the forecast loss."""
        played = simulate_recent(self.agent, params, network, recent, instance)
        cost = -played.reward.mean()
        left = self.agent.worth(played.network, instance).mean() / played.reward.shape[0]
        loss = (cost - left) / (jax.lax.stop_gradient(played.reward.std()) + 1e-6)
        contexts = played.contexts
        if contexts.forecast is not None:
            demand, recent_rate = (
                by_environment(flat(series))
                for series in (recent.exogenous.demand, contexts.recent)
            )
            loss += self.numbers["forecast_weight"] * pinball(
                by_environment(contexts.forecast), demand, recent_rate
            )
        return loss, (cost, by_environment(played.stock[:-1]))

    def _within_trust(self, old, wanted, stock, recent, instance):
        """The part of a step that the trust region allows, and its KL divergence.

        KL grows with about the square of a step, which says how far to cut back; what is still too
        far after `CUTS` cuts is no step at all.
        """
        trust = self.numbers["trust"]
        before = self._decisions(old, stock, recent, instance)

        def part(share):
            return jax.tree.map(lambda a, b: a + share * (b - a), old, wanted)

        def divergence(share):
            return kl_divergence(
                before, self._decisions(part(share), stock, recent, instance)
            ).mean()

        def too_far(found):
            _, kl, cuts = found
            return (kl > trust) & (cuts < CUTS)

        def cut(found):
            share, kl, cuts = found
            share *= jnp.minimum(0.9 * jnp.sqrt(trust / kl), 0.9)
            return share, divergence(share), cuts + 1

        share, kl, _ = jax.lax.while_loop(too_far, cut, (jnp.float32(1.0), divergence(1.0), 0))
        allowed = kl <= trust
        return select(allowed, part(share), old), jnp.where(allowed, kl, 0.0)

    def _decisions(self, params, stock, recent, instance):
        contexts = self.agent.encode(params, recent.signals[:-1], instance)
        state = None if contexts.state is None else by_environment(contexts.state)
        return self.agent.policy.network.apply(params, state, stock, method="decide")


def fresh(agent: PPO, key: jax.Array) -> tuple[NetworkState, Recent, InstanceParams]:
    """What a replay wants, of fresh episodes in the agent's own worlds: stock `[..., B]`, noise of
    a rollout, instances.
    """
    episodes, index = agent.worlds.begin(key)
    instance = agent.worlds.instance_params(index, episodes.key)
    _, trace, signals = agent.worlds.play_ahead(episodes, instance)
    return episodes.network, Recent(trace.exogenous, signals), instance


def in_fresh_worlds(
    tuner: FineTuner, agent: PPO, contenders: list[tuple[LearnedPolicy, Any]], key: jax.Array
) -> list[jax.Array]:
    """Costs of policies and their parameters, `[PROOFS * B]` each, all on the same fresh episodes
    in the agent's worlds.
    """

    def costs(key):
        given = fresh(agent, key)
        return [
            tuner.replace(agent=agent.replace(policy=policy)).cost(params, *given)
            for policy, params in contenders
        ]

    return [cost.reshape(-1) for cost in jax.lax.map(costs, keys_of(key, Role.VALIDATION, PROOFS))]


def simulate_recent(
    agent: PPO, params: Any, network: NetworkState, recent: Recent, instance: InstanceParams
) -> Trajectories:
    """The mode policy on the noise of the latest days, from the stock `network` `[..., B]` on;
    differentiable.
    """

    def mode(decision, noise):
        return decision.mean, None

    return agent.explore(
        params, mode, None, standing(network), recent.trace, recent.signals, instance
    )


def standing(network: NetworkState) -> Episodes:
    """Episodes that hold stock alone: their noise is given."""
    return Episodes(None, None, network, None, None)


def half(tree: Any, start: int) -> Any:
    """Every other instance of arrays `[..., B]`: from 0 those that are learned on, from 1 those
    that judge.
    """
    return jax.tree.map(lambda leaf: leaf[..., start::2], tree)


def kl_divergence(old, new) -> jax.Array:
    """KL(old || new) of the normal raw outputs of two `Decision`s, `[...]`."""
    ratio = jnp.exp(2.0 * (old.log_deviation - new.log_deviation))
    distance = (old.mean - new.mean) ** 2 * jnp.exp(-2.0 * new.log_deviation)
    return 0.5 * jnp.sum(ratio + distance - 1.0 - jnp.log(ratio), -1)


ADAM = optax.chain(optax.clip_by_global_norm(1.0), optax.scale_by_adam())
"""Of fine-tuning and of students; the learning rate is a number of theirs."""
