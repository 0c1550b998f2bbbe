"""The core of D3S-CI: PPO on an encoded state, with forecast, stock-out and pathwise losses (methods D.2).

One update plays T periods in all environments, encodes their signals once, and improves the network for a few epochs of
minibatches of whole environments:

    L = L_PPO + c_V L_V + c_fc L_fc + c_so L_so + c_path L_path - c_H H

L_PPO is the clipped surrogate on generalised advantages, L_V the squared value error, L_fc the pinball loss of the demand
quantiles, L_so the cross-entropy of a coming stock-out, and L_path the cost of the mode policy on the same noise,
differentiated through the simulator; its weight 0 leaves plain PPO.
"""

from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxinv.agents.agent import Worlds, split_config, traced
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError, unknown
from jaxinv.evaluation.rollout import BATCH, Episodes, rollout
from jaxinv.nets.actor_critic import QUANTILES, ActorCritic
from jaxinv.nets.encoder import make_encoder
from jaxinv.nets.mlp import ACTIVATIONS
from jaxinv.policies.decode import Decode
from jaxinv.policies.learned import Context, LearnedPolicy


@dataclass(frozen=True)
class PPOConfig:
    """Hyper-parameters. Numbers marked `traced` can be swept in one compiled program.

    Attributes:
      updates, envs, rollout: length of training, environments side by side, and periods of one rollout.
      epochs, minibatches: passes over a rollout, and the shares of environments each pass is cut into.
      encoder: "transformer", "eq3" (the literal equations of seed 000), "last", or "none": stock alone.
      features, heads, layers: of the encoder; it looks back over the history of the environment.
      hidden, activation: of actor and critic.
      form: decode form, see `jaxinv.policies.decode`.
      forecast: periods the forecast head looks ahead; 0 for none.
      window_by_window: encode one window a decision instead of the trace once.
      pathwise: whether the pathwise loss is there at all.
      learning_rate, final_learning_rate: Adam, cosine from one to the other.
      discount, gae_lambda, clip, value_weight, entropy_weight: of PPO.
      forecast_weight, stockout_weight, pathwise_weight: of the further losses.
      exploration: first log standard deviation of the raw outputs.
    """

    updates: int = 160
    envs: int = 64
    rollout: int = 90
    epochs: int = 2
    minibatches: int = 4
    encoder: str = "transformer"
    features: int = 32
    heads: int = 4
    layers: int = 2
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    form: str = "base"
    forecast: int = 7
    window_by_window: bool = False
    pathwise: bool = True
    max_grad_norm: float = 1.0
    learning_rate: float = traced(1e-3)
    final_learning_rate: float = traced(3e-5)
    discount: float = traced(0.99)
    gae_lambda: float = traced(0.95)
    clip: float = traced(0.2)
    value_weight: float = traced(0.5)
    entropy_weight: float = traced(0.0)
    forecast_weight: float = traced(1.0)
    stockout_weight: float = traced(0.1)
    pathwise_weight: float = traced(10.0)
    exploration: float = -1.5

    def __post_init__(self):
        for name in ("updates", "envs", "rollout", "epochs", "minibatches"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} must be at least 1")
        if self.envs % self.minibatches:
            raise UserError(f"envs={self.envs} must be a multiple of minibatches={self.minibatches}")
        if self.activation not in ACTIVATIONS:
            raise unknown("activation", self.activation, ACTIVATIONS)
        if any(width < 1 for width in self.hidden):
            raise UserError(f"hidden={self.hidden}: every width must be at least 1")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type in (int, float) and field.name != "exploration" and value is not None and not value >= 0:
                raise UserError(f"{field.name}={value} must be at least 0")
        for name in ("discount", "gae_lambda"):
            if (getattr(self, name) or 0) > 1:
                raise UserError(f"{name}={getattr(self, name)} must lie in 0..1")
        if self.forecast and self.encoder == "none":
            object.__setattr__(self, "forecast", 0)


@struct.dataclass
class Scales:
    """Running moments that bring rewards and values to the order of 1."""

    reward_mean: jax.Array  # [] average reward, taken off so that values do not carry the level of cost
    reward_deviation: jax.Array  # []
    return_deviation: jax.Array  # [] of the return within a rollout

    @classmethod
    def fresh(cls) -> "Scales":
        return cls(jnp.float32(0.0), jnp.float32(0.0), jnp.float32(0.0))

    def follow(self, reward: jax.Array, discount: jax.Array) -> "Scales":
        """Moves towards the moments of the rewards `[T, B]` of a rollout; the first rollout sets them."""
        keep = jnp.where(self.reward_deviation == 0, 0.0, 0.98)
        mean = keep * self.reward_mean + (1 - keep) * reward.mean()
        _, returns = jax.lax.scan(
            lambda total, now: (now + discount * total,) * 2, jnp.zeros_like(reward[0]), reward - mean
        )
        deviations = jnp.stack([reward.std(), returns.std()]) + 1e-6
        moved = keep * jnp.stack([self.reward_deviation, self.return_deviation]) + (1 - keep) * deviations
        return Scales(mean, moved[0], moved[1])


@struct.dataclass
class PPOState:
    """Everything that training carries on: saved whole in a checkpoint."""

    params: Any
    optimiser: Any
    episodes: Episodes
    index: jax.Array  # [B] instance of each environment
    key: jax.Array
    update: jax.Array  # [] int32
    scales: Scales


@struct.dataclass
class Batch:
    """A rollout as the loss wants it, environments first (minibatches are shares of environments)."""

    signals: jax.Array  # [B, W + T, C] tokens
    stock: jax.Array  # [B, T, F]
    raw: jax.Array  # [B, T, A]
    log_prob: jax.Array  # [B, T]
    advantage: jax.Array  # [B, T]
    target: jax.Array  # [B, T] of the value
    recent: jax.Array  # [B, T, D * K]
    demand: jax.Array  # [B, T, D * K]
    stockout: jax.Array  # [B, T] whether any demand went unserved


@struct.dataclass
class PPO:
    """PPO as an `Agent`: `init(key)`, `update(state)`, both pure."""

    config: PPOConfig = struct.field(pytree_node=False)
    policy: LearnedPolicy = struct.field(pytree_node=False)
    worlds: Worlds
    numbers: dict[str, jax.Array]

    @classmethod
    def create(cls, problem: Problem, config: PPOConfig) -> "PPO":
        """An agent for a problem."""
        updates = config.updates
        config, numbers = split_config(config)
        numbers["updates"] = jnp.float32(updates)
        horizon = int(jnp.max(jnp.asarray(problem.train.max_steps_in_episode)))
        worlds = Worlds.of(problem, config.envs, config.rollout, horizon)
        return cls(config, make_policy(worlds.env, config), worlds, numbers)

    @property
    def periods_per_update(self) -> int:
        """Simulated periods that one update takes: PPO's own, and those of pathwise passes."""
        return self.config.envs * self.config.rollout

    def init(self, key: jax.Array) -> PPOState:
        net_key, world_key, key = jax.random.split(key, 3)
        env = self.worlds.env
        episodes, index = self.worlds.begin(world_key)
        one = jax.tree.map(lambda leaf: leaf[..., 0], (episodes.network, episodes.signals))
        params = self.worlds.params
        if self.worlds.instances is not None:
            params = jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], params)
        net = self.policy.init(net_key, env.view(one[0], params, one[1]))
        return PPOState(
            params=net,
            optimiser=self._optimiser().init(net),
            episodes=episodes,
            index=index,
            key=key,
            update=jnp.int32(0),
            scales=Scales.fresh(),
        )

    def update(self, state: PPOState) -> tuple[PPOState, dict[str, jax.Array]]:
        """One rollout and its epochs."""
        key, begin_key, noise_key, epoch_key = jax.random.split(state.key, 4)
        episodes, index = self.worlds.proceed(begin_key, state.episodes, state.index)
        instance = self.worlds.instance_params(index)
        after, trace, signals = self.worlds.play_ahead(episodes, instance)
        network, collected = self._collect(state.params, noise_key, episodes, trace, signals, instance)
        raw, log_prob, stock, values, last_value, reward, short, contexts = collected

        scales = state.scales.follow(reward, self.numbers["discount"])
        advantage, target = generalised_advantage(
            (reward - scales.reward_mean) / scales.return_deviation, values, last_value, self.numbers["discount"], self.numbers["gae_lambda"]
        )
        tokens = jax.vmap(
            lambda signals, params: self.policy.tokens(signals, self.worlds.env.facts(params)),
            in_axes=(BATCH, self.worlds.axis),
        )(signals, instance)
        batch = Batch(
            signals=tokens,
            stock=_env_first(stock),
            raw=_env_first(raw),
            log_prob=log_prob.T,
            advantage=((advantage - advantage.mean()) / (advantage.std() + 1e-8)).T,
            target=target.T,
            recent=_env_first(_flat(contexts.recent)),
            demand=_env_first(_flat(trace.exogenous.demand)),
            stockout=(short > 0).T.astype(jnp.float32),
        )
        replay = (episodes.network, trace, contexts, instance)
        params, optimiser, metrics = self._epochs(state, epoch_key, batch, replay, scales.reward_deviation)
        cost = -reward.mean()
        metrics = {"cost": cost, **metrics, "parameter_norm": optax.tree.norm(params)}
        state = PPOState(
            params, optimiser, after.replace(network=network), index, key, state.update + 1, scales
        )
        return state, metrics

    def _collect(self, params, key, episodes, trace, signals, instance):
        """Plays the stochastic policy; returns the final stock and what the losses need, batch last."""
        env, policy, axis = self.worlds.env, self.policy, self.worlds.axis

        def encode(signals, instance):
            return policy.encode(params, signals, env.facts(instance))

        contexts = jax.vmap(encode, in_axes=(BATCH, axis), out_axes=BATCH)(signals, instance)
        contexts = jax.tree.map(lambda leaf: leaf[env.history - 1 :], contexts)  # [T + 1, ..., B]
        noise = jax.random.normal(key, (self.config.rollout, policy.decode.outputs, self.config.envs))

        def act(params, observation, inputs):
            context, noise = inputs
            context = policy.context(params, observation, context)
            stock = policy.stock_features(observation, context)
            decision = policy.network.apply(params, context.state, stock, method="decide")
            raw = decision.mean + jnp.exp(decision.log_deviation) * noise
            log_prob = _log_prob(raw, decision.mean, decision.log_deviation)
            seen = context.replace(state=None, forecast=None) if policy.window_by_window else None
            return policy.decode(raw, observation, context.rates), (raw, log_prob, stock, decision.value, seen)

        now = jax.tree.map(lambda leaf: leaf[:-1], contexts)
        network, (notes, reward, short), _ = rollout(
            env, instance, act, params, episodes.network, trace.exogenous, (now, noise), axis=axis,
            signals=trace.signals if policy.wants_window else None,
            record=lambda observation, outcome, note: (note, outcome.reward, outcome.short.sum()),
        )  # fmt: skip

        def last_value(network, context, window, instance):
            observation = env.view(network, instance, window)
            return policy.decide(params, observation, policy.context(params, observation, context)).value

        end = jax.tree.map(lambda leaf: leaf[-1], contexts)
        window = signals[-env.history :]
        last = jax.vmap(last_value, in_axes=(BATCH, BATCH, BATCH, axis))(network, end, window, instance)
        raw, log_prob, stock, values, seen = notes
        return network, (raw, log_prob, stock, values, last, reward, short, seen or now)

    def _epochs(self, state, key, batch, replay, reward_scale):
        """Minibatch steps over whole environments."""
        config, optimiser = self.config, self._optimiser()
        progress = state.update / self.numbers["updates"]
        rate = self.numbers["final_learning_rate"] + 0.5 * (
            self.numbers["learning_rate"] - self.numbers["final_learning_rate"]
        ) * (1 + jnp.cos(jnp.pi * jnp.minimum(progress, 1.0)))
        network, trace, contexts, instance = replay

        def step(carry, index):
            params, opt = carry
            part = jax.tree.map(lambda leaf: leaf[index], batch)
            last = jax.tree.map(lambda leaf: leaf[..., index], (network, trace.exogenous, contexts))
            own = instance if self.worlds.axis is None else jax.tree.map(lambda leaf: leaf[..., index], instance)
            grads, metrics = jax.grad(self._loss, has_aux=True)(params, part, (*last, own), reward_scale)
            updates, opt = optimiser.update(grads, opt, params)
            params = optax.apply_updates(params, jax.tree.map(lambda update: -rate * update, updates))
            return (params, opt), {**metrics, "gradient_norm": optax.tree.norm(grads)}

        orders = jax.vmap(lambda key: jax.random.permutation(key, config.envs))(jax.random.split(key, config.epochs))
        orders = orders.reshape(config.epochs * config.minibatches, -1)
        (params, opt), metrics = jax.lax.scan(step, (state.params, state.optimiser), orders)
        return params, opt, {name: values.mean() for name, values in metrics.items()}

    def _loss(self, params, batch: Batch, replay, reward_scale):
        numbers = self.numbers
        states, forecast = self.policy.encode_decisions(params, batch.signals)
        decision = self.policy.network.apply(params, states, batch.stock, method="decide")
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
        coming = _soon(batch.stockout, max(self.config.forecast, 1))
        metrics["stockout_loss"] = optax.sigmoid_binary_cross_entropy(decision.stockout, coming).mean()
        loss += numbers["stockout_weight"] * metrics["stockout_loss"]
        if self.config.pathwise:
            metrics["mode_cost"] = self._mode_cost(params, states, replay)
            loss += numbers["pathwise_weight"] * metrics["mode_cost"] / reward_scale
        return loss, metrics

    def _mode_cost(self, params, states, replay):
        """Mean cost a period of the mode policy on the noise of the rollout; differentiable."""
        network, exogenous, contexts, instance = replay
        if states is not None:
            contexts = contexts.replace(state=jnp.moveaxis(states, 0, BATCH))

        def act(params, observation, context: Context):
            raw = self.policy.decide(params, observation, context).mean
            return self.policy.decode(raw, observation, context.rates), None

        _, reward, _ = rollout(
            self.worlds.env, instance, act, params, network, exogenous, contexts, axis=self.worlds.axis
        )
        return -reward.mean()

    def _optimiser(self):
        return optax.chain(optax.clip_by_global_norm(self.config.max_grad_norm), optax.scale_by_adam())


def make_policy(env, config: PPOConfig) -> LearnedPolicy:
    """The network and its decode for an environment."""
    decode = Decode(env.topology, config.form)
    encoder = None
    if config.encoder != "none":
        encoder = make_encoder(config.encoder, config.features, config.heads, config.layers, env.history)
    network = ActorCritic(
        outputs=decode.outputs,
        series=env.world.demand.locations * env.world.demand.products,
        encoder=encoder,
        actor_hidden=tuple(config.hidden),
        critic_hidden=tuple(config.hidden),
        activation=config.activation,
        horizon=config.forecast,
        log_deviation=config.exploration,
    )
    return LearnedPolicy(env.topology, network, decode, env.history, config.window_by_window)


def generalised_advantage(reward, value, last_value, discount, lam):
    """Generalised advantages and value targets (Schulman et al. 2016), `[T, B]` each.

    Episodes are only ever cut off, never ended, so every step bootstraps.

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
