"""What every learner shares: its network, the worlds it plays in, the cost of its mode policy, and how it descends.

An algorithm is a subclass of `Learner` with a configuration, a loss, and little else.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxinv.agents.advice import (
    ON_REWARDS,
    PENALTIES,
    advise,
    check_penalty,
    on_reward,
    squared_distance,
    teacher_in,
    with_moments,
)
from jaxinv.agents.agent import Worlds, longest_rollout, split_config, traced
from jaxinv.agents.alignment import Window
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.landed import stock_value
from jaxinv.envs.network import InstanceParams, NetworkState
from jaxinv.envs.problem import Problem, first_of
from jaxinv.errors import UserError, unknown
from jaxinv.evaluation.rollout import BATCH, Episodes, WorldTrace, rollout
from jaxinv.evaluation.trajectories import Trajectories
from jaxinv.limits import check_numbers
from jaxinv.nets.actor_critic import Actor
from jaxinv.nets.encoder import make_encoder
from jaxinv.nets.mlp import ACTIVATIONS
from jaxinv.policies.decode import Decode
from jaxinv.policies.learned import LearnedPolicy


@dataclass(frozen=True)
class LearnerConfig:
    """Hyper-parameters of every learner. Numbers marked `traced` can be swept in one compiled program.

    Attributes:
      updates, envs, rollout: length of training, environments side by side, and periods of one rollout: at most those
        of an episode where it ends for good or its demand is recorded, for nothing is invented after an end.
      encoder: "transformer", "gru", "eq3" (the literal equations of seed 000), "last", "known" (covariates alone), or
        "none": stock alone.
      signals: names of what the encoder reads, such as "demand" and "promotion", or "@" and an owner ("@calendar"); empty for
        all that is known (`InventoryNetwork.signals`).
      features, heads, layers: of the encoder; it looks back over the history of the environment.
      hidden, activation: of actor and critic.
      form: decode form, see `jaxinv.policies.decode`.
      allocation: how edges that draw on a node share its stock, "rationing" or "softmax", see `jaxinv.policies.allocation`.
      window_by_window: encode one window a decision instead of the trace once.
      penalty: on straying from a classical teacher, "reward", "level", "potential" or "actor", see `jaxinv.agents.advice`;
        "none" for no teacher.
      preferences: every episode weighs the objectives of the network by a preference of its own, which the policy sees; it
        then acts at any wanted one (`jaxinv.envs.objectives`).
      max_grad_norm: gradients longer than this are cut to it.
      learning_rate, final_learning_rate: Adam, cosine from one to the other.
      penalty_weight, penalty_decay: kappa of the penalty, and the factor on that of "actor" after every update.
    """

    updates: int = 160
    envs: int = 64
    rollout: int = 90
    encoder: str = "transformer"
    signals: tuple[str, ...] = ()
    features: int = 32
    heads: int = 4
    layers: int = 2
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    form: str = "base"
    allocation: str = "rationing"
    window_by_window: bool = False
    penalty: str = "none"
    preferences: bool = False
    max_grad_norm: float = 1.0
    learning_rate: float = traced(1e-3)
    final_learning_rate: float = traced(3e-5)
    penalty_weight: float = traced(0.1)
    penalty_decay: float = traced(0.99)

    aligned_rewards: ClassVar[bool | None] = False
    """Whether rewards stand beside the orders they are for (`jaxinv.agents.alignment`): an option of learners from rewards."""
    counts: ClassVar[tuple[str, ...]] = ("updates", "envs", "rollout")
    """Whole numbers that must be at least 1."""
    shares: ClassVar[tuple[str, ...]] = ()
    """Numbers that must lie in 0..1."""
    signed: ClassVar[tuple[str, ...]] = ()
    """Numbers that may be below 0."""
    penalties: ClassVar[tuple[str, ...]] = PENALTIES[1:]
    """Penalties that the algorithm has a use for."""
    stock_only: ClassVar[dict[str, Any]] = dict(encoder="none")
    """Hyper-parameters that suit presets whose demand has no history worth reading: a small MLP on stock alone."""
    suits: ClassVar[dict[str, dict[str, Any]]] = {}
    """Hyper-parameters that suit one preset, by its name."""

    @classmethod
    def suited(cls, env: str, history: int) -> Self:
        """The configuration that suits a preset.

        Args:
          env: name of the preset; history: periods of demand that its policies see unless told otherwise.
        """
        return cls(**(cls.suits.get(env) or (cls.stock_only if history == 1 else {})))

    def __post_init__(self):
        check_numbers(self)
        for name in self.counts:
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} must be at least 1")
        if self.activation not in ACTIVATIONS:
            raise unknown("activation", self.activation, ACTIVATIONS)
        if any(width < 1 for width in self.hidden):
            raise UserError(f"hidden={self.hidden}: every width must be at least 1")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type in (int, float) and field.name not in self.signed and value is not None and not value >= 0:
                raise UserError(f"{field.name}={value} must be at least 0")
        for name in self.shares:
            if (getattr(self, name) or 0) > 1:
                raise UserError(f"{name}={getattr(self, name)} must lie in 0..1")
        check_penalty(self)


@struct.dataclass
class LearnerState:
    """What training carries on from one update to the next: saved whole in a checkpoint."""

    params: Any
    optimiser: Any
    episodes: Episodes
    index: jax.Array  # [B] instance of each environment
    key: jax.Array
    update: jax.Array  # [] int32
    strayed: jax.Array | None = None  # [B] distance of the last decision from the teacher's, for penalty=potential


@struct.dataclass
class Learner:
    """The stem of an `Agent`: `init(key)` and, in each algorithm, `update(state)`, both pure."""

    Config: ClassVar[type[LearnerConfig]] = LearnerConfig
    """The class of its configuration, with the hyper-parameters that suit a preset."""
    settles: ClassVar[bool] = False
    """Whether its policies come to rest as the learning rate falls, so that the latest is as good as any."""

    config: Any = struct.field(pytree_node=False)
    policy: LearnedPolicy = struct.field(pytree_node=False)
    worlds: Worlds
    numbers: dict[str, jax.Array]

    @classmethod
    def create(cls, problem: Problem, config: LearnerConfig) -> Self:
        """An agent for a problem, which is shown nothing that policies are chosen on."""
        problem, updates = problem.learned_on, config.updates
        aligned = _aligned(config, problem)
        config = _within_episodes(config, problem, aligned)
        config, numbers = split_config(config)
        numbers["updates"] = jnp.float32(updates)
        worlds = Worlds.of(
            problem, config.envs, config.rollout, problem.horizon, config.preferences, aligned
        )
        if config.penalty != "none":
            worlds = with_moments(worlds)
        return cls(config, cls.make_policy(worlds.env, config), worlds, numbers)

    @classmethod
    def make_policy(cls, env: InventoryNetwork, config: Any) -> LearnedPolicy:
        """The policy that the algorithm trains on an environment."""
        return make_policy(env, config)

    @property
    def periods_per_update(self) -> int:
        """Periods that one update plays forward, environment by environment; the unit of speeds."""
        return self.config.envs * self.config.rollout

    @property
    def simulated_periods(self) -> int:
        """Periods that the whole training simulates: those that are played, and those that pathwise losses play again.

        A gradient counts as the periods that are simulated for it, for learners as for rules (`Tuned.simulated_periods`).
        """
        return self.config.updates * self.periods_per_update

    def init(self, key: jax.Array) -> LearnerState:
        """The state before the first update."""
        net_key, world_key, key = jax.random.split(key, 3)
        episodes, index = self.worlds.begin(world_key)
        first = jax.tree.map(lambda leaf: leaf[..., 0], (episodes.network, episodes.signals))
        params = first_of(self.worlds.params)
        net = self.policy.init(net_key, self.worlds.env.view(first[0], params, first[1]))
        strayed = jnp.zeros(self.config.envs) if self.config.penalty == "potential" else None
        return LearnerState(net, self._optimiser.init(net), episodes, index, key, jnp.int32(0), strayed)

    def encode(self, params: Any, signals: jax.Array, instance: InstanceParams) -> Any:
        """Contexts `[T, ..., B]` of the decisions that signals `[W - 1 + T, S, B]` lead to."""
        env = self.worlds.env

        def encode(signals, instance):
            return self.policy.encode(params, signals, env.facts(instance))

        contexts = jax.vmap(encode, in_axes=(BATCH, self.worlds.axis), out_axes=BATCH)(signals, instance)
        return jax.tree.map(lambda leaf: leaf[env.history - 1 :], contexts)

    def explore(
        self, params: Any, choose: Callable, noise: Any, episodes: Episodes, trace: WorldTrace, signals: jax.Array,
        instance: InstanceParams, teacher: Any = None,
    ) -> Trajectories:  # fmt: skip
        """Plays decisions that an algorithm varies, of which it learns in T' steps (`Worlds.review` periods each).

        Args:
          choose: (`Decision`, noise of the period) -> (raw outputs, what to keep of it), of one environment.
          noise: `[T, ..., B]`.
          signals: `[W + T, S, B]`, see `Worlds.play_ahead`.
          teacher: of `teacher`, for a penalty.

        Returns:
          What a network made of it, rewards by step, the stock after it, and what was short.
        """
        env, policy, axis = self.worlds.env, self.policy, self.worlds.axis
        contexts = self.encode(params, signals, instance)  # [T + 1, ..., B]

        def act(ours, observation, inputs):
            (params, teacher), (context, noise) = ours, inputs
            context = policy.context(params, observation, context)
            stock = policy.stock_features(observation, context)
            raw, kept = choose(policy.network.apply(params, context.state, stock, method="decide"), noise)
            blank = context.replace(state=None, forecast=None) if policy.window_by_window else None
            order, advice = policy.decode(raw, observation, context.rates), None
            if teacher is not None:
                advice = advise(self.config.penalty, policy.decode, teacher, observation, context.rates, raw, order)
            return order, (kept, stock, blank, advice)

        now = jax.tree.map(lambda leaf: leaf[:-1], contexts)
        network, ((kept, stock, blank, advice), reward, short), _ = rollout(
            env, instance, act, (params, teacher), episodes.network, trace.exogenous, (now, noise), axis=axis,
            policy_axis=(None, axis), signals=trace.signals if policy.wants_window else None,
            record=lambda observation, outcome, note: (note, outcome.reward, outcome.short),
        )  # fmt: skip

        def end(network, context, window, instance):
            observation = env.view(network, instance, window)
            context = policy.context(params, observation, context)
            return context, policy.stock_features(observation, context)

        last = jax.tree.map(lambda leaf: leaf[-1], contexts)
        last, last_stock = jax.vmap(end, in_axes=(BATCH, BATCH, BATCH, axis), out_axes=BATCH)(
            network, last, signals[-env.history :], instance
        )
        steps = slice(None, None, self.worlds.review)
        stock = jnp.concatenate([stock, last_stock[None]])[steps]
        kept = jax.tree.map(lambda leaf: leaf[steps], kept)
        reward = self._aligned(network, reward, trace, instance)
        return Trajectories(
            reward=reward, signals=signals, short=short, stock=stock, kept=kept, contexts=blank or now, last=last,
            advice=advice, network=network,
        )  # fmt: skip

    def _aligned(self, network, reward, trace, instance):
        """Rewards `[T', B]` of the steps of a rollout that left `network`, from those of its periods `[T, B]`."""
        worlds = self.worlds
        if worlds.window is None:
            return reward
        if worlds.window.lead:
            nothing = jnp.zeros((worlds.env.topology.edges, worlds.env.topology.products))
            _, late, _ = rollout(
                worlds.env, instance, lambda *_: (nothing, None), None, network, trace.beyond, axis=worlds.axis
            )
            reward = jnp.concatenate([reward, late])
        return worlds.window.mean(reward)

    def tokens(self, signals: jax.Array, instance: InstanceParams) -> jax.Array:
        """Signals `[W + T, S, B]` as the network reads them, environments first: `[B, W + T, C]`."""
        env = self.worlds.env

        def tokens(signals, instance):
            return self.policy.tokens(signals, env.facts(instance))

        return jax.vmap(tokens, in_axes=(BATCH, self.worlds.axis))(signals, instance)

    def play_mode(
        self, params: Any, network: NetworkState, trace: WorldTrace, contexts: Any, instance: InstanceParams,
        disturbance: jax.Array | None = None, teacher: Any = None,
    ) -> tuple[NetworkState, jax.Array, jax.Array | None]:  # fmt: skip
        """Plays the mode policy on given noise, differentiably.

        Args:
          contexts: of the decisions (`encode`); None to encode every decision's own window.
          disturbance: `[T, E, K, B]` units that are added to the orders.
          teacher: of `teacher`, for penalty=actor.

        Returns:
          The final stock, rewards `[T, B]`, and squared distances from the teacher's orders `[T, B]`.
        """
        policy, axis = self.policy, self.worlds.axis

        def act(ours, observation, inputs):
            (params, teacher), (context, extra) = ours, inputs
            context = policy.context(params, observation, context)
            raw, strayed = policy.decide(params, observation, context).mean, None
            order = policy.decode(raw, observation, context.rates)
            if teacher is not None:
                advice = advise("actor", policy.decode, teacher, observation, context.rates, raw, order)
                strayed = squared_distance(policy.decode, raw, advice)
            return order if extra is None else order + extra, strayed

        network, (reward, strayed), _ = rollout(
            self.worlds.env, instance, act, (params, teacher), network, trace.exogenous, (contexts, disturbance),
            axis=axis, policy_axis=(None, axis), signals=trace.signals if contexts is None else None,
            record=lambda observation, outcome, strayed: (outcome.reward, strayed),
        )  # fmt: skip
        return network, reward, strayed

    def worth(self, network: NetworkState, instance: InstanceParams) -> jax.Array:
        """What the goods in each network `[..., B]` were bought for `[B]`.

        A rollout ends where its episode goes on: without this, orders that arrive after its end would be all cost, and a
        pathwise gradient would have them cut.
        """
        topology = self.worlds.env.topology

        def value(network, instance):
            return stock_value(topology, network, instance)

        return jax.vmap(value, in_axes=(BATCH, self.worlds.axis))(network, instance)

    def teacher(self, instance: InstanceParams, index: jax.Array) -> Any:
        """The teacher's numbers `[E, K]` or, as `instance` has it, `[E, K, B]`; None without a penalty."""
        return None if self.config.penalty == "none" else teacher_in(self.worlds, instance, index)

    def reward_advice(
        self, state: LearnerState, episodes: Episodes, played: Trajectories
    ) -> tuple[jax.Array | None, jax.Array | None]:
        """What the penalty adds to rewards `[T, B]`, in standard deviations of a period's reward, before its weight.

        Args:
          episodes: at the begin of the rollout.

        Returns:
          It, or None where rewards stay as they are; and what the next rollout wants to know (`LearnerState.strayed`).
        """
        penalty = self.config.penalty
        if penalty not in ON_REWARDS:
            return None, None
        before = None
        if penalty == "potential":
            fresh = episodes.period == self.worlds.env.history
            before = jnp.where(fresh, 0.0, state.strayed)
        advice = on_reward(penalty, played.advice, before, self.numbers["discount"])
        return advice, None if before is None else played.advice[-1]

    def actor_penalty(self, strayed: jax.Array | None, update: jax.Array) -> jax.Array | float:
        """What squared distances from the teacher add to the loss of an actor after so many updates; 0 for none."""
        if strayed is None:
            return 0.0
        return self.numbers["penalty_weight"] * self.numbers["penalty_decay"] ** update * strayed.mean()

    def descend(self, params: Any, optimiser: Any, grads: Any, update: jax.Array) -> tuple[Any, Any]:
        """One step of Adam, its gradient cut to `max_grad_norm` and its rate on the cosine of the update."""
        steps, optimiser = self._optimiser.update(grads, optimiser, params)
        first, last = self.numbers["learning_rate"], self.numbers["final_learning_rate"]
        progress = jnp.minimum(update / self.numbers["updates"], 1.0)
        rate = last + 0.5 * (first - last) * (1 + jnp.cos(jnp.pi * progress))
        return optax.apply_updates(params, jax.tree.map(lambda step: -rate * step, steps)), optimiser

    @property
    def _optimiser(self):
        return optax.chain(optax.clip_by_global_norm(self.config.max_grad_norm), optax.scale_by_adam())


def _within_episodes(config, problem, aligned):
    """The configuration with its rollout cut to what an episode, or its recorded demand, is long."""
    window = Window.of(problem, config.rollout) if aligned else Window(0, 1)
    most = longest_rollout(problem, window.lead)
    if config.rollout <= most:
        return config
    return replace(config, rollout=int(most) // window.review * window.review)


def _aligned(config, problem):
    """Whether rewards are aligned; where the configuration leaves it open, where they can be."""
    if config.aligned_rewards is not None:
        return config.aligned_rewards
    return config.penalty == "none" and Window.refusal(problem, config.rollout) is None


def make_policy(
    env: InventoryNetwork,
    config: LearnerConfig,
    network: type[nn.Module] = Actor,
    decode: Decode | None = None,
    **options: Any,
) -> LearnedPolicy:
    """A network and its decode for an environment.

    Args:
      network: an `Actor` or what extends it; options: its further attributes.
      decode: that of `config.form`, unless another is given.
    """
    decode = decode or Decode(env.topology, config.form, config.allocation)
    if config.form in ("coeff", "both") and env.history == 1:
        raise UserError(
            f"form={config.form} weighs rates of demand in the near and far past, and history=1 shows one period; "
            "give history=8 or more, or form=none or form=base"
        )
    encoder, series = None, env.world.demand.locations * env.world.demand.products
    columns = env.columns(*config.signals) if config.signals else tuple(range(len(env.signals)))
    if config.encoder != "none":
        demand = sum(column < series for column in columns)
        if config.encoder == "known" and demand == len(columns):
            raise UserError("encoder=known sees covariates alone and this demand has none; try encoder=last or none")
        encoder = make_encoder(config.encoder, config.features, config.heads, config.layers, env.history, series=demand)
    elif config.signals:
        raise UserError(f"signals={','.join(config.signals)} are what an encoder reads, and encoder=none has none")
    elif env.world.clock:
        raise UserError("the time that tell= tells is read by an encoder, and encoder=none has none; give encoder=known or last")
    module = network(
        outputs=decode.outputs,
        series=series,
        encoder=encoder,
        hidden=tuple(config.hidden),
        activation=config.activation,
        **options,
    )
    return LearnedPolicy(
        env.topology, module, decode, env.history, config.window_by_window, config.preferences,
        columns if config.signals else None,
    )  # fmt: skip
