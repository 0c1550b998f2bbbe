"""The core of D3S-CI: PPO on an encoded state, with forecast, stock-out and pathwise losses (methods D.2).

One update plays T periods in all environments, encodes their signals once, and improves the network for a few epochs of
minibatches of whole environments:

    L = L_PPO + c_V L_V + c_fc L_fc + c_so L_so + c_path L_path - c_H H

L_PPO is the clipped surrogate on generalised advantages, L_V the squared value error, L_fc the pinball loss of the demand
quantiles, L_so the cross-entropy of a coming stock-out, and L_path the cost of the mode policy on the same noise,
differentiated through the simulator; its weight 0 leaves plain PPO.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxinv.agents.advice import squared_distance
from jaxinv.agents.agent import traced
from jaxinv.agents.learner import Learner, LearnerConfig, LearnerState, make_policy
from jaxinv.agents.scales import Scales
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH
from jaxinv.nets.actor_critic import QUANTILES, ActorCritic


@dataclass(frozen=True)
class PPOConfig(LearnerConfig):
    """Hyper-parameters beside those of every learner (`LearnerConfig`).

    Attributes:
      epochs, minibatches: passes over a rollout, and the shares of environments each pass is cut into.
      forecast: periods the forecast head looks ahead; 0 for none.
      pathwise: whether the pathwise loss is there at all.
      discount, gae_lambda, clip, value_weight, entropy_weight: of PPO.
      forecast_weight, stockout_weight, pathwise_weight: of the further losses.
      exploration: first log standard deviation of the raw outputs.
      aligned_rewards: see `jaxinv.agents.alignment`.
    """

    epochs: int = 2
    minibatches: int = 4
    forecast: int = 7
    pathwise: bool = True
    discount: float = traced(0.99)
    gae_lambda: float = traced(0.95)
    clip: float = traced(0.2)
    value_weight: float = traced(0.5)
    entropy_weight: float = traced(0.0)
    forecast_weight: float = traced(1.0)
    stockout_weight: float = traced(0.1)
    pathwise_weight: float = traced(10.0)
    exploration: float = -1.5
    aligned_rewards: bool = False

    counts: ClassVar = (*LearnerConfig.counts, "epochs", "minibatches")
    shares: ClassVar = ("discount", "gae_lambda")
    signed: ClassVar = ("exploration",)

    def __post_init__(self):
        super().__post_init__()
        if self.envs % self.minibatches:
            raise UserError(f"envs={self.envs} must be a multiple of minibatches={self.minibatches}")
        if self.forecast and self.encoder == "none":
            object.__setattr__(self, "forecast", 0)


@struct.dataclass
class PPOState(LearnerState):
    """What every learner carries on, and the scales of reward and value."""

    scales: Scales = None


@struct.dataclass
class Batch:
    """A rollout as the loss wants it, environments first (minibatches are shares of environments)."""

    signals: jax.Array  # [B, W + T, C] tokens
    stock: jax.Array  # [B, T', F] of the steps, as all that follows up to the value
    raw: jax.Array  # [B, T', A]
    log_prob: jax.Array  # [B, T']
    advantage: jax.Array  # [B, T']
    target: jax.Array  # [B, T'] of the value
    recent: jax.Array  # [B, T, D * K]
    demand: jax.Array  # [B, T, D * K]
    stockout: jax.Array  # [B, T] whether any demand went unserved
    advised: Any = None  # [B, T, ...] with penalty=actor


@struct.dataclass
class PPO(Learner):
    """PPO as an `Agent`."""

    @classmethod
    def make_policy(cls, env, config):
        return make_policy(env, config, ActorCritic, horizon=config.forecast, log_deviation=config.exploration)

    def init(self, key: jax.Array) -> PPOState:
        return PPOState(**vars(super().init(key)), scales=Scales.fresh())

    def update(self, state: PPOState) -> tuple[PPOState, dict[str, jax.Array]]:
        """One rollout and its epochs."""
        key, begin_key, noise_key, epoch_key = jax.random.split(state.key, 4)
        episodes, index = self.worlds.proceed(begin_key, state.episodes, state.index)
        instance = self.worlds.instance_params(index, episodes.key)
        after, trace, signals = self.worlds.play_ahead(episodes, instance)
        teacher = self.teacher(instance, index)
        played, last_value = self._collect(state.params, noise_key, episodes, after, trace, signals, instance, teacher)
        raw, log_prob, values = played.kept
        reward, contexts = played.reward, played.contexts

        scales = state.scales.follow(reward, self.numbers["discount"])
        on_reward, strayed = self.reward_advice(state, episodes, played)
        gain = reward - scales.reward_mean
        if on_reward is not None:
            gain += self.numbers["penalty_weight"] * scales.reward_deviation * on_reward
        advantage, target = generalised_advantage(
            gain / scales.return_deviation, values, last_value, self.numbers["discount"], self.numbers["gae_lambda"]
        )
        batch = Batch(
            signals=self.tokens(signals, instance),
            stock=_env_first(played.stock[:-1]),
            raw=_env_first(raw),
            log_prob=log_prob.T,
            advantage=((advantage - advantage.mean()) / (advantage.std() + 1e-8)).T,
            target=target.T,
            recent=_env_first(_flat(contexts.recent)),
            demand=_env_first(_flat(trace.exogenous.demand)),
            stockout=(played.short > 0).T.astype(jnp.float32),
            advised=jax.tree.map(_env_first, played.advice) if self.config.penalty == "actor" else None,
        )
        replay = (episodes.network, trace, contexts, instance)
        params, optimiser, metrics = self._epochs(state, epoch_key, batch, replay, scales.reward_deviation)
        cost = -reward.mean()
        metrics = {"cost": cost, **metrics, "parameter_norm": optax.tree.norm(params)}
        after = after.replace(network=played.network)
        return PPOState(params, optimiser, after, index, key, state.update + 1, strayed, scales), metrics

    def _collect(self, params, key, episodes, after, trace, signals, instance, teacher):
        """Plays the stochastic policy; `Played`, with what the losses need as `kept`, and the value of what it ends in `[B]`."""
        noise = jax.random.normal(key, (self.config.rollout, self.policy.decode.outputs, self.config.envs))

        def choose(decision, noise):
            raw = decision.mean + jnp.exp(decision.log_deviation) * noise
            return raw, (raw, _log_prob(raw, decision.mean, decision.log_deviation), decision.value)

        played = self.explore(params, choose, noise, episodes, trace, signals, instance, teacher)

        def last_value(state, stock):
            return self.policy.network.apply(params, state, stock, method="decide").value

        last = jax.vmap(last_value, in_axes=BATCH)(played.last.state, played.stock[-1])
        return played, self.worlds.follows(after) * last

    def _epochs(self, state, key, batch, replay, reward_scale):
        """Minibatch steps over whole environments."""
        config = self.config
        network, trace, contexts, instance = replay

        def step(carry, index):
            params, opt = carry
            part = jax.tree.map(lambda leaf: leaf[index], batch)
            last = jax.tree.map(lambda leaf: leaf[..., index], (network, trace, contexts))
            own = instance if self.worlds.axis is None else jax.tree.map(lambda leaf: leaf[..., index], instance)
            grads, metrics = jax.grad(self._loss, has_aux=True)(params, part, (*last, own), reward_scale, state.update)
            return self.descend(params, opt, grads, state.update), {**metrics, "gradient_norm": optax.tree.norm(grads)}

        orders = jax.vmap(lambda key: jax.random.permutation(key, config.envs))(jax.random.split(key, config.epochs))
        orders = orders.reshape(config.epochs * config.minibatches, -1)
        (params, opt), metrics = jax.lax.scan(step, (state.params, state.optimiser), orders)
        return params, opt, {name: values.mean() for name, values in metrics.items()}

    def _loss(self, params, batch: Batch, replay, reward_scale, update=0):
        numbers = self.numbers
        states, forecast = self.policy.encode_decisions(params, batch.signals)
        decided = None if states is None else states[:, :: self.worlds.review]
        decision = self.policy.network.apply(params, decided, batch.stock, method="decide")
        log_ratio = _log_prob(batch.raw, decision.mean, decision.log_deviation) - batch.log_prob
        ratio = jnp.exp(log_ratio)
        clipped = jnp.clip(ratio, 1 - numbers["clip"], 1 + numbers["clip"])
        surrogate = -jnp.minimum(ratio * batch.advantage, clipped * batch.advantage).mean()
        value = jnp.mean((decision.value - batch.target) ** 2)
        entropy = jnp.sum(decision.log_deviation) + 0.5 * decision.log_deviation.size * jnp.log(2 * jnp.pi * jnp.e)
        loss = surrogate + numbers["value_weight"] * value - numbers["entropy_weight"] * entropy
        metrics = {
            "surrogate": surrogate,
            "value_loss": value,
            "entropy": entropy,
            "kl": jnp.mean(ratio - 1 - log_ratio),
        }
        if forecast is not None:
            metrics["forecast_loss"] = pinball(forecast, batch.demand, batch.recent)
            loss += numbers["forecast_weight"] * metrics["forecast_loss"]
        coming = _soon(batch.stockout, max(self.config.forecast, 1))[:, :: self.worlds.review]
        metrics["stockout_loss"] = optax.sigmoid_binary_cross_entropy(decision.stockout, coming).mean()
        loss += numbers["stockout_weight"] * metrics["stockout_loss"]
        if batch.advised is not None:
            strayed = jax.vmap(jax.vmap(partial(squared_distance, self.policy.decode)))(decision.mean, batch.advised)
            loss += self.actor_penalty(strayed, update)
        if self.config.pathwise:
            metrics["mode_cost"] = self._mode_cost(params, states, replay)
            loss += numbers["pathwise_weight"] * metrics["mode_cost"] / reward_scale
        return loss, metrics

    def _mode_cost(self, params, states, replay):
        """Mean cost a period of the mode policy on the noise of the rollout; differentiable."""
        network, trace, contexts, instance = replay
        if states is not None:
            contexts = contexts.replace(state=jnp.moveaxis(states, 0, BATCH))
        return -self.play_mode(params, network, trace, contexts, instance)[1].mean()


def generalised_advantage(reward, value, last_value, discount, lam):
    """Generalised advantages and value targets (Schulman et al. 2016), `[T, B]` each.

    Every step bootstraps; the value after the end of an episode, where there is one, is given as 0.

    Args:
      reward, value: `[T, B]`; last_value: `[B]` of the state after the last step.
    """

    def back(carry, step):
        advantage, next_value = carry
        reward, value = step
        advantage = reward + discount * next_value - value + discount * lam * advantage
        return (advantage, value), advantage

    start = (jnp.zeros_like(last_value), last_value)
    _, advantage = jax.lax.scan(back, start, (reward, value), reverse=True)
    return advantage, advantage + value


def pinball(forecast: jax.Array, demand: jax.Array, recent: jax.Array) -> jax.Array:
    """Mean pinball loss of demand quantiles in units of recent demand.

    Args:
      forecast: `[B, T, J, D * K, Q]`; entry j of period t is for demand t + j.
      demand, recent: `[B, T, D * K]` in units.
    """
    periods, horizon = forecast.shape[1:3]
    ahead = jnp.arange(periods)[:, None] + jnp.arange(horizon)
    known = (ahead < periods)[None, :, :, None, None]
    actual = demand[:, jnp.minimum(ahead, periods - 1)] / recent[:, :, None]  # [B, T, J, D * K]
    error = actual[..., None] - forecast
    levels = jnp.asarray(QUANTILES)
    loss = jnp.maximum(levels * error, (levels - 1) * error)
    return jnp.sum(jnp.where(known, loss, 0.0)) / (known.sum() * forecast.shape[0] * forecast.shape[3] * len(QUANTILES))


def _soon(flag, horizon):
    """Whether a flag `[B, T]` is up in any of the next `horizon` periods; past the end it is down."""
    padded = jnp.pad(flag, ((0, 0), (0, horizon - 1)))
    return jax.lax.reduce_window(padded, 0.0, jax.lax.max, (1, horizon), (1, 1), "VALID")


def _log_prob(raw, mean, log_deviation):
    z = (raw - mean) * jnp.exp(-log_deviation)
    return jnp.sum(-0.5 * z * z - log_deviation - 0.5 * jnp.log(2 * jnp.pi), -1)


def _flat(series):
    """`[T, D, K, B]` to `[T, D * K, B]`."""
    return series.reshape(series.shape[0], -1, series.shape[-1])


def _env_first(array):
    """`[T, F, B]` to `[B, T, F]`."""
    return jnp.moveaxis(array, BATCH, 0)
