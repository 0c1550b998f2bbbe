"""The core of D3S-CI: PPO on an encoded state, with forecast, stock-out and pathwise losses
(methods D.2).

One update plays T periods in all environments, encodes their signals once, and improves the network
for a few epochs of minibatches of whole environments:

    L = c_PPO L_PPO + c_V L_V + c_Q L_Q + c_fc L_fc + c_so L_so + c_path L_path - c_H H

L_PPO is the clipped surrogate on generalised advantages, L_V the squared value error, L_fc the
pinball loss of the demand quantiles, L_so the cross-entropy of a coming stock-out, and L_path the
cost of the mode policy on the same noise, differentiated through the simulator; its weight 0 leaves
plain PPO, and c_PPO = 0 the pathwise gradient alone.

L_Q is the error of values Q(s, g) of order-up-to multipliers g on the grid `LEVELS` (seed 000,
equation 7), each order a branch of its own as in `jaxinv.agents.dqn`, on the transitions of the
rollout, its target from the network before the update:

    L_Q = mean_b Huber(Q_b(s, g(a_b)) - r - discount * mean_b' max_k Q'_b'(s', g_k)),
    g(a) the level nearest to what a orders

Q does not act. It ranks actions, and is what a student is taught with (`jaxinv.adapt.distill`).
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from jaxinv.agents.advice import squared_distance
from jaxinv.agents.agent import traced
from jaxinv.agents.learner import Learner, LearnerConfig, LearnerState
from jaxinv.agents.losses import (
    by_environment,
    flat,
    generalised_advantage,
    pinball,
    seen_ahead,
    soon,
)
from jaxinv.agents.networks import make_policy
from jaxinv.agents.scales import Scales, along, over
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH
from jaxinv.nets.actor_critic import ActorCritic
from jaxinv.policies.decode import factor
from jaxinv.policies.owners import with_agent_axis

LEVELS = np.arange(9) * 0.25
"""Order-up-to multipliers, in units of recent demand over the coverage, that actions are valued
at.
"""


@dataclass(frozen=True)
class PPOConfig(LearnerConfig):
    """Hyper-parameters beside those of every learner (`LearnerConfig`).

    Attributes:
      epochs, minibatches: passes over a rollout, and the shares of environments each pass is cut
        into.
      forecast: periods the forecast head looks ahead; 0 for none.
      pathwise: whether the pathwise loss is there at all.
      action_values: whether actions are valued on the grid `LEVELS`; for form=base.
      policy_weight: of L_PPO.
      discount, gae_lambda, clip, value_weight, entropy_weight: of PPO.
      forecast_weight, stockout_weight, pathwise_weight, q_weight: of the further losses.
      exploration: first log standard deviation of the raw outputs.
      aligned_rewards: see `jaxinv.agents.alignment`; None for wherever they make sense and no
        penalty is on.
    """

    epochs: int = 2
    minibatches: int = 4
    forecast: int = 7
    pathwise: bool = True
    action_values: bool = False
    policy_weight: float = traced(1.0)
    discount: float = traced(0.99)
    gae_lambda: float = traced(0.95)
    clip: float = traced(0.2)
    value_weight: float = traced(0.5)
    entropy_weight: float = traced(0.0)
    forecast_weight: float = traced(1.0)
    stockout_weight: float = traced(0.1)
    pathwise_weight: float = traced(10.0)
    q_weight: float = traced(0.5)
    exploration: float = -1.5
    aligned_rewards: bool | None = False

    counts: ClassVar = (*LearnerConfig.counts, "epochs", "minibatches")
    shares: ClassVar = ("discount", "gae_lambda")
    signed: ClassVar = ("exploration",)
    # It goes once over each rollout and hardly clips: a clipped step takes the rare, very bad
    # outcome for one vote among many, which holds orders to the median (on geometric demand with p
    # = 39, L = 1, 17% above the optimum with clip=0.2, 0.15% so).
    stock_only: ClassVar = dict(
        updates=200, envs=1024, rollout=32, epochs=1, minibatches=16, clip=1.0, discount=0.95,
        gae_lambda=0.8,
        learning_rate=2e-3, final_learning_rate=0.0, aligned_rewards=None, encoder="none",
        hidden=(32, 32), forecast=0,
        pathwise=False,
    )  # fmt: skip
    suits: ClassVar = {
        "retail": dict(rollout=40),
        "retail_network": dict(rollout=40),
        "network": dict(rollout=40),
        "deepstock": dict(
            updates=150, envs=64, rollout=28, epochs=5, encoder="known", hidden=(32, 32),
            activation="elu", forecast=0,
            pathwise=False, aligned_rewards=True,
        )
    }  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        if self.envs % self.minibatches:
            raise UserError(
                f"envs={self.envs} must be a multiple of minibatches={self.minibatches}"
            )
        if self.forecast and self.encoder == "none":
            object.__setattr__(self, "forecast", 0)
        if self.action_values and self.form != "base":
            raise UserError(
                "action_values are of order-up-to multipliers, the action of form=base alone, not"
                f" {self.form}"
            )


@struct.dataclass
class PPOState(LearnerState):
    """What every learner carries on, and the scales of reward and value."""

    scales: Scales = None


@struct.dataclass
class Batch:
    """A rollout as the loss wants it, environments first (minibatches are shares of
    environments).
    """

    signals: jax.Array  # [B, W + T, C] tokens
    stock: jax.Array  # [B, T', F] of the steps, as all that follows up to the value
    raw: jax.Array  # [B, T', A]
    log_prob: jax.Array  # [B, T'], or by agent [B, T', G], as advantages and targets are
    advantage: jax.Array  # [B, T']
    target: jax.Array  # [B, T'] of the value
    recent: jax.Array  # [B, T, D * K]
    demand: jax.Array  # [B, T, D * K]
    stockout: jax.Array  # [B, T] whether any demand went unserved
    q_target: jax.Array | None = None  # [B, T] of the values of actions
    advised: Any = None  # [B, T, ...] with penalty=actor


@struct.dataclass
class PPO(Learner):
    """PPO as an `Agent`."""

    Config: ClassVar = PPOConfig
    network: ClassVar[type[nn.Module]] = ActorCritic

    @classmethod
    def make_policy(cls, env, config):
        levels = len(LEVELS) if config.action_values else 0
        return make_policy(
            env,
            config,
            cls.network,
            horizon=config.forecast,
            log_deviation=config.exploration,
            levels=levels,
        )

    def init(self, key: jax.Array) -> PPOState:
        return PPOState(**vars(super().init(key)), scales=Scales.fresh(self.agents))

    @property
    def simulated_periods(self) -> int:
        """Every epoch plays the rollout again for the pathwise loss."""
        return super().simulated_periods * (1 + self.config.epochs * self.config.pathwise)

    def update(self, state: PPOState) -> tuple[PPOState, dict[str, jax.Array]]:
        """One rollout and its epochs."""
        key, begin_key, noise_key, epoch_key = jax.random.split(state.key, 4)
        episodes, index = self.worlds.proceed(begin_key, state.episodes, state.index)
        instance = self.worlds.instance_params(index, episodes.key)
        after, trace, signals = self.worlds.play_ahead(episodes, instance)
        played, last = self.play(
            state.params,
            noise_key,
            episodes,
            trace,
            signals,
            instance,
            self.teacher(instance, index),
        )
        advice, strayed = self.reward_advice(state, episodes, played)
        batch, replay, scales = self.prepare(
            played,
            last,
            episodes,
            trace,
            signals,
            instance,
            state.scales,
            advice,
            self.worlds.follows(after),
        )
        params, optimiser, metrics = self._epochs(
            state, epoch_key, batch, replay, self.policy.owners.together(scales.reward_deviation)
        )
        metrics = {"cost": played.cost, **metrics, "parameter_norm": optax.tree.norm(params)}
        after = after.replace(network=played.network)
        return (
            PPOState(params, optimiser, after, index, key, state.update + 1, strayed, scales),
            metrics,
        )

    def play(self, params, key, episodes, trace, signals, instance, teacher=None):
        """Plays the stochastic policy on noise that is given.

        Args:
          episodes: whose stock the play begins with; trace, signals: see `Worlds.play_ahead`.
          teacher: of `Learner.teacher`, for a penalty.

        Returns:
          What was played, and the values of the state after it and of its best action `[B]`.
        """
        noise = jax.random.normal(
            key, (self.config.rollout, self.policy.decode.outputs, self.config.envs)
        )

        def choose(decision, noise):
            raw = decision.mean + jnp.exp(decision.log_deviation) * noise
            log_prob = self._log_prob(raw, decision)
            return raw, (log_prob, raw, decision.value, self._best(decision))

        played = self.explore(params, choose, noise, episodes, trace, signals, instance, teacher)
        log_prob, *kept = played.kept
        played = played.replace(log_prob=log_prob, kept=kept)

        def last(state, stock):
            decision = self.policy.network.apply(params, state, stock, method="decide")
            return decision.value, self._best(decision)

        return played, jax.vmap(last, in_axes=BATCH, out_axes=BATCH)(
            played.last.state, played.stock[-1]
        )

    def prepare(
        self, played, last, episodes, trace, signals, instance, scales, advice=None, follows=1.0
    ):
        """The `Batch` and the replay that `loss` wants of what `play` gave, and the scales after
        it.

        Args:
          scales: before it.
          advice: what a penalty adds to rewards `[T, B]`, in their standard deviations.
          follows: 0 where episodes are over for good after the play, else 1.
        """
        raw, values, best = played.kept
        last_value, last_best = last
        discount = self.numbers["discount"]
        scales = scales.follow(played.reward, discount)
        gain = played.reward - along(scales.reward_mean)
        if advice is not None:
            gain += (
                self.numbers["penalty_weight"]
                * along(scales.reward_deviation)
                * with_agent_axis(advice, gain)
            )
        scaled = gain / along(scales.return_deviation)
        advantage, target = generalised_advantage(
            scaled, values, follows * last_value, discount, self.numbers["gae_lambda"]
        )
        q_target = None
        if best is not None:
            q_target = by_environment(
                scaled + discount * jnp.concatenate([best[1:], follows * last_best[None]])
            )
        batch = Batch(
            signals=self.tokens(signals, instance),
            stock=by_environment(played.stock[:-1]),
            raw=by_environment(raw),
            log_prob=by_environment(played.log_prob),
            advantage=by_environment(_standardised(advantage)),
            target=by_environment(target),
            recent=by_environment(flat(played.contexts.recent)),
            demand=by_environment(flat(trace.exogenous.demand)),
            stockout=by_environment((played.short > 0).any((1, 2))).astype(jnp.float32),
            q_target=q_target,
            advised=(
                jax.tree.map(by_environment, played.advice)
                if self.config.penalty == "actor"
                else None
            ),
        )
        return batch, (episodes.network, trace, played.contexts, instance, follows), scales

    def _epochs(self, state, key, batch, replay, reward_scale):
        """Minibatch steps over whole environments."""
        config = self.config
        network, trace, contexts, instance, follows = replay

        def step(carry, index):
            params, opt = carry
            part = jax.tree.map(lambda leaf: leaf[index], batch)
            last = jax.tree.map(lambda leaf: leaf[..., index], (network, trace, contexts))
            own = (
                instance
                if self.worlds.axis is None
                else jax.tree.map(lambda leaf: leaf[..., index], instance)
            )
            grads, metrics = jax.grad(self.loss, has_aux=True)(
                params, part, (*last, own, follows), reward_scale, state.update
            )
            return self.descend(params, opt, grads, state.update), {
                **metrics,
                "gradient_norm": optax.tree.norm(grads),
            }

        orders = jax.vmap(lambda key: jax.random.permutation(key, config.envs))(
            jax.random.split(key, config.epochs)
        )
        orders = orders.reshape(config.epochs * config.minibatches, -1)
        (params, opt), metrics = jax.lax.scan(step, (state.params, state.optimiser), orders)
        return params, opt, {name: values.mean() for name, values in metrics.items()}

    def loss(self, params, batch: Batch, replay, reward_scale, update=0):
        """The loss on what `prepare` gave, and its parts."""
        numbers = self.numbers
        states, forecast = self.policy.encode_decisions(params, batch.signals)
        decided = None if states is None else states[:, :: self.worlds.review]
        decision = self.policy.network.apply(params, decided, batch.stock, method="decide")
        log_ratio = self._log_prob(batch.raw, decision) - batch.log_prob
        ratio = jnp.exp(log_ratio)
        clipped = jnp.clip(ratio, 1 - numbers["clip"], 1 + numbers["clip"])
        surrogate = -jnp.minimum(ratio * batch.advantage, clipped * batch.advantage).mean()
        value = jnp.mean((decision.value - batch.target) ** 2)
        entropy = jnp.sum(decision.log_deviation) + 0.5 * decision.log_deviation.size * jnp.log(
            2 * jnp.pi * jnp.e
        )
        loss = (
            numbers["policy_weight"] * surrogate
            + numbers["value_weight"] * value
            - numbers["entropy_weight"] * entropy
        )
        metrics = {
            "surrogate": surrogate,
            "value_loss": value,
            "entropy": entropy,
            "kl": jnp.mean(ratio - 1 - log_ratio),
        }
        if forecast is not None:
            metrics["forecast_loss"] = pinball(forecast, batch.demand, batch.recent)
            loss += numbers["forecast_weight"] * metrics["forecast_loss"]
        ahead, steps = max(self.config.forecast, 1), slice(None, None, self.worlds.review)
        coming = soon(batch.stockout, ahead)[:, steps]
        known = seen_ahead(batch.stockout.shape[1], ahead)[steps]
        error = self.by_all(
            optax.sigmoid_binary_cross_entropy(decision.stockout, self.policy.owners.spread(coming))
        )
        metrics["stockout_loss"] = jnp.where(known, error, 0.0).sum() / max(
            error.shape[0] * known.sum(), 1
        )
        loss += numbers["stockout_weight"] * metrics["stockout_loss"]
        if batch.advised is not None:
            strayed = jax.vmap(jax.vmap(partial(squared_distance, self.policy.decode)))(
                decision.mean, batch.advised
            )
            loss += self.actor_penalty(strayed, update)
        if self.config.action_values:
            q = jnp.take_along_axis(decision.q, nearest_level(batch.raw)[..., None], -1)[..., 0]
            metrics["q_loss"] = optax.huber_loss(q, self.policy.owners.each(batch.q_target)).mean()
            loss += numbers["q_weight"] * metrics["q_loss"]
        if self.config.pathwise:
            metrics["mode_cost"] = self._mode_cost(params, states, replay)
            loss += numbers["pathwise_weight"] * metrics["mode_cost"] / reward_scale
        return loss, metrics

    def _mode_cost(self, params, states, replay):
        """Mean cost a period of the mode policy on the noise of the rollout, less what is left of
        goods where the episode goes on; differentiable."""
        network, trace, contexts, instance, follows = replay
        if states is not None:
            contexts = contexts.replace(state=jnp.moveaxis(states, 0, BATCH))
        played = self.mode_play(params, network, trace, contexts, instance)
        return played.cost - follows * self.worth(played.network, instance).mean() / len(
            played.reward
        )

    def _log_prob(self, raw, decision):
        """Log density of raw outputs `[..., A]`: of all `[...]`, or by agent `[..., G]`."""
        z = (raw - decision.mean) * jnp.exp(-decision.log_deviation)
        return self.policy.owners.total(
            -0.5 * z * z - decision.log_deviation - 0.5 * jnp.log(2 * jnp.pi)
        )

    def _best(self, decision):
        """The value of the best level, a mean over the orders of all or of each agent; None where
        actions are not valued.
        """
        return None if decision.q is None else self.policy.owners.mean(decision.q.max(-1))


def nearest_level(raw: jax.Array) -> jax.Array:
    """The number of the level of `LEVELS` that is nearest to what raw outputs order up to, of the
    same shape.
    """
    return jnp.abs(factor(raw)[..., None] - LEVELS).argmin(-1)


def _standardised(advantage):
    """Advantages `[T, ..., B]` of mean 0 and deviation 1, those of each agent by themselves."""
    axes = over(advantage)
    return (advantage - along(advantage.mean(axes))) / (along(advantage.std(axes)) + 1e-8)
