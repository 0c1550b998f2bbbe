"""What every learner shares: its network, the worlds it plays in, the cost of its mode policy, and
how it descends.

An algorithm is a subclass of `Learner` with a configuration, a loss, and little else.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxinv.agents.advice import (
    ON_REWARDS,
    advise,
    on_reward,
    squared_distance,
    teacher_in,
    with_moments,
)
from jaxinv.agents.agent import Worlds, longest_rollout, split_config
from jaxinv.agents.alignment import Window
from jaxinv.agents.configuration import LearnerConfig
from jaxinv.agents.divided import shared_out
from jaxinv.agents.networks import make_policy
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.landed import stock_value, stock_values
from jaxinv.envs.network import Action, InstanceParams, NetworkState, Outcome
from jaxinv.envs.problem import Problem, first_of
from jaxinv.envs.roles import Roles
from jaxinv.evaluation.rollout import BATCH, Episodes, WorldTrace, rollout
from jaxinv.evaluation.trajectories import Trajectories
from jaxinv.policies.learned import LearnedPolicy


@struct.dataclass
class LearnerState:
    """What training carries on from one update to the next: saved whole in a checkpoint."""

    params: Any
    optimiser: Any
    episodes: Episodes
    index: jax.Array  # [B] instance of each environment
    key: jax.Array
    update: jax.Array  # [] int32
    strayed: jax.Array | None = (
        None  # [B] distance of the last decision from the teacher's, for penalty=potential
    )


@struct.dataclass
class Learner:
    """The stem of an `Agent`: `init(key)` and, in each algorithm, `update(state)`, both pure."""

    Config: ClassVar[type[LearnerConfig]] = LearnerConfig
    """The class of its configuration, with the hyper-parameters that suit a preset."""
    settles: ClassVar[bool] = False
    """Whether its policies come to rest as the learning rate falls, so that the latest is as good
    as any.
    """
    team_only: ClassVar[bool] = False
    """Whether several agents learn from the reward of all together alone, as its critics judge what
    all do together.
    """

    config: Any = struct.field(pytree_node=False)
    policy: LearnedPolicy = struct.field(pytree_node=False)
    worlds: Worlds
    numbers: dict[str, jax.Array]

    @classmethod
    def create(cls, problem: Problem, config: LearnerConfig) -> Self:
        """An agent for a problem, which is shown nothing that policies are chosen on."""
        problem, updates, given = problem.learned_on, config.updates, config
        aligned = _aligned(config, problem)
        config = _within_episodes(config, problem, aligned)
        config, numbers = split_config(config)
        numbers["updates"] = jnp.float32(updates)
        worlds = Worlds.of(
            problem, config.envs, config.rollout, problem.horizon, config.preferences, aligned
        )
        if config.penalty != "none":
            worlds = with_moments(worlds)
        policy = shared_out(
            cls.make_policy(worlds.env, config), problem, worlds.env, given, cls.team_only
        )
        return cls(config, policy, worlds, numbers)

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
        """Periods that the whole training simulates: those that are played, and those that pathwise
        losses play again.

        A gradient counts as the periods that are simulated for it, for learners as for rules
        (`Tuned.simulated_periods`).
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
        return LearnerState(
            net, self._optimiser.init(net), episodes, index, key, jnp.int32(0), strayed
        )

    def encode(self, params: Any, signals: jax.Array, instance: InstanceParams) -> Any:
        """Contexts `[T, ..., B]` of the decisions that signals `[W - 1 + T, S, B]` lead to."""
        env = self.worlds.env

        def encode(signals, instance):
            return self.policy.encode(params, signals, env.facts(instance))

        contexts = jax.vmap(encode, in_axes=(BATCH, self.worlds.axis), out_axes=BATCH)(
            signals, instance
        )
        return jax.tree.map(lambda leaf: leaf[env.history - 1 :], contexts)

    def explore(
        self, params: Any, choose: Callable, noise: Any, episodes: Episodes, trace: WorldTrace,
        signals: jax.Array,
        instance: InstanceParams, teacher: Any = None,
    ) -> Trajectories:  # fmt: skip
        """Plays decisions that an algorithm varies, of which it learns in T' steps (`Worlds.review`
        periods each).

        Args:
          choose: (`Decision`, noise of the period) -> (raw outputs, what to keep of it), of one
            environment.
          noise: `[T, ..., B]`.
          signals: `[W + T, S, B]`, see `Worlds.play_ahead`.
          teacher: of `teacher`, for a penalty.

        Returns:
          What a network made of it, rewards by step, the stock after it, and what was short.
        """
        env, policy, axis = self.worlds.env, self.policy, self.worlds.axis
        contexts = self.encode(params, signals, instance)  # [T + 1, ..., B]

        def act(ours, observation, inputs):
            (params, teacher, weights), (context, noise) = ours, inputs
            context = policy.context(params, observation, context)
            stock = policy.stock_features(observation, context)
            raw, kept = choose(
                policy.network.apply(params, context.state, stock, method="decide"), noise
            )
            blank = context.replace(state=None, forecast=None) if policy.window_by_window else None
            order, advice = policy.orders(raw, observation, context), None
            if teacher is not None:
                advice = advise(
                    self.config.penalty,
                    policy.decode,
                    teacher,
                    observation,
                    context.rates,
                    raw,
                    order,
                )
            return order, ((kept, stock, blank, advice), weights)

        def record(observation, outcome, note):
            note, weights = note
            return note, *self.rewards(outcome, weights), outcome.short

        now = jax.tree.map(lambda leaf: leaf[:-1], contexts)
        network, ((kept, stock, blank, advice), reward, team, short), _ = rollout(
            env, instance, act, (params, teacher, self._weights(instance)), episodes.network,
            trace.exogenous, (now, noise),
            axis=axis, policy_axis=(None, axis, axis),
            signals=trace.signals if policy.wants_window else None, record=record,
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
            reward=reward, team=team, signals=signals, short=short, stock=stock, kept=kept,
            contexts=blank or now, last=last,
            advice=advice, network=network,
        )  # fmt: skip

    def _aligned(self, network, reward, trace, instance):
        """Rewards `[T', B]` of the steps of a rollout that left `network`, from those of its
        periods `[T, B]`.
        """
        worlds = self.worlds
        if worlds.window is None:
            return reward
        if worlds.window.lead:
            nothing = jnp.zeros((worlds.env.topology.edges, worlds.env.topology.products))
            _, late, _ = rollout(
                worlds.env, instance, lambda weights, *_: (nothing, weights),
                self._weights(instance), network, trace.beyond,
                axis=worlds.axis, policy_axis=worlds.axis,
                record=lambda observation, outcome, weights: self.rewards(outcome, weights)[0],
            )  # fmt: skip
            reward = jnp.concatenate([reward, late])
        return worlds.window.mean(reward)

    def tokens(self, signals: jax.Array, instance: InstanceParams) -> jax.Array:
        """Signals `[W + T, S, B]` as the network reads them, environments first:
        `[B, W + T, C]`.
        """
        env = self.worlds.env

        def tokens(signals, instance):
            return self.policy.tokens(signals, env.facts(instance))

        return jax.vmap(tokens, in_axes=(BATCH, self.worlds.axis))(signals, instance)

    def play_mode(
        self, params: Any, network: NetworkState, trace: WorldTrace, contexts: Any,
        instance: InstanceParams,
        disturbance: jax.Array | None = None, teacher: Any = None,
    ) -> tuple[NetworkState, jax.Array, jax.Array | None]:  # fmt: skip
        """Plays the mode policy on given noise, differentiably.

        Args:
          contexts: of the decisions (`encode`); None to encode every decision's own window.
          disturbance: `[T, E, K, B]` units that are added to the orders.
          teacher: of `teacher`, for penalty=actor.

        Returns:
          The final stock, rewards of the whole network `[T, B]`, and squared distances from the
          teacher's orders `[T, B]`.
        """
        played = self.mode_play(params, network, trace, contexts, instance, disturbance, teacher)
        return played.network, played.reward if played.team is None else played.team, played.advice

    def mode_play(
        self, params: Any, network: NetworkState, trace: WorldTrace, contexts: Any,
        instance: InstanceParams,
        disturbance: jax.Array | None = None, teacher: Any = None,
    ) -> Trajectories:  # fmt: skip
        """The same with rewards as they are learned from, of agents by agent; the distances are its
        advice.
        """
        policy, axis = self.policy, self.worlds.axis

        def act(ours, observation, inputs):
            (params, teacher, weights), (context, extra) = ours, inputs
            context = policy.context(params, observation, context)
            raw, strayed = policy.decide(params, observation, context).mean, None
            order = policy.orders(raw, observation, context)
            if teacher is not None:
                advice = advise(
                    "actor", policy.decode, teacher, observation, context.rates, raw, order
                )
                strayed = squared_distance(policy.decode, raw, advice)
            return order if extra is None else disturbed(order, extra), (strayed, weights)

        def record(observation, outcome, note):
            strayed, weights = note
            return *self.rewards(outcome, weights), strayed

        network, (reward, team, strayed), _ = rollout(
            self.worlds.env, instance, act, (params, teacher, self._weights(instance)), network,
            trace.exogenous,
            (contexts, disturbance), axis=axis, policy_axis=(None, axis, axis),
            signals=trace.signals if contexts is None else None, record=record,
        )  # fmt: skip
        return Trajectories(reward=reward, team=team, advice=strayed, network=network)

    @property
    def roles(self) -> Roles | None:
        """Of the agents that learn; None for one planner, whose arrays have no axis of agents."""
        return getattr(self.policy, "roles", None)

    def rewards(
        self, outcome: Outcome, weights: jax.Array | None
    ) -> tuple[jax.Array, jax.Array | None]:
        """The reward of a period `[]`; of agents that of each `[G]`, and then that of the network
        `[]` too.

        Args:
          weights: of the cost parts, as `_weights` gives them.
        """
        if self.roles is None:
            return outcome.reward, None
        share = self.numbers["team_share"]
        return (
            self.roles.rewards(self.worlds.env.topology, weights, outcome.places, share),
            outcome.reward,
        )

    @property
    def agents(self) -> tuple[int, ...]:
        """The axis of agents, as a shape: `(G,)`, or `()` for one planner."""
        return () if self.roles is None else (len(self.roles),)

    def by_all(self, values: jax.Array) -> jax.Array:
        """Means `[...]` over agents of values `[..., G]`; those of one planner as they are."""
        return values if self.roles is None else values.mean(-1)

    def _weights(self, instance):
        """Weights of the cost parts as a rollout has the instance, where rewards are by agent."""
        return None if self.roles is None else instance.weights

    def worth(self, network: NetworkState, instance: InstanceParams) -> jax.Array:
        """What the goods in each network `[..., B]` were bought for `[B]`.

        A rollout ends where its episode goes on: without this, orders that arrive after its end
        would be all cost, and a pathwise gradient would have them cut.
        """
        topology = self.worlds.env.topology

        def value(network, instance):
            return stock_value(topology, network, instance)

        return jax.vmap(value, in_axes=(BATCH, self.worlds.axis))(network, instance)

    def worth_by_agent(self, network: NetworkState, instance: InstanceParams) -> jax.Array:
        """The same as it counts for each agent, mixed as costs are: `[B, G]`."""
        topology, share = self.worlds.env.topology, self.numbers["team_share"]

        def value(network, instance):
            return self.roles.mixed(topology, *stock_values(topology, network, instance), share)

        return jax.vmap(value, in_axes=(BATCH, self.worlds.axis))(network, instance)

    def teacher(self, instance: InstanceParams, index: jax.Array) -> Any:
        """The teacher's numbers `[E, K]` or, as `instance` has it, `[E, K, B]`; None without a
        penalty.
        """
        return None if self.config.penalty == "none" else teacher_in(self.worlds, instance, index)

    def reward_advice(
        self, state: LearnerState, episodes: Episodes, played: Trajectories
    ) -> tuple[jax.Array | None, jax.Array | None]:
        """What the penalty adds to rewards `[T, B]`, in standard deviations of a period's reward,
        before its weight.

        Args:
          episodes: at the begin of the rollout.

        Returns:
          It, or None where rewards stay as they are; and what the next rollout wants to know
          (`LearnerState.strayed`).
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
        """What squared distances from the teacher add to the loss of an actor after so many
        updates; 0 for none.
        """
        if strayed is None:
            return 0.0
        return (
            self.numbers["penalty_weight"]
            * self.numbers["penalty_decay"] ** update
            * strayed.mean()
        )

    def descend(
        self, params: Any, optimiser: Any, grads: Any, update: jax.Array
    ) -> tuple[Any, Any]:
        """One step of Adam, its gradient cut to `max_grad_norm` and its rate on the cosine of the
        update.
        """
        steps, optimiser = self._optimiser.update(grads, optimiser, params)
        first, last = self.numbers["learning_rate"], self.numbers["final_learning_rate"]
        progress = jnp.minimum(update / self.numbers["updates"], 1.0)
        rate = last + 0.5 * (first - last) * (1 + jnp.cos(jnp.pi * progress))
        return (
            optax.apply_updates(params, jax.tree.map(lambda step: -rate * step, steps)),
            optimiser,
        )

    @property
    def _optimiser(self):
        return optax.chain(
            optax.clip_by_global_norm(self.config.max_grad_norm), optax.scale_by_adam()
        )


def disturbed(order: jax.Array | Action, extra: jax.Array) -> jax.Array | Action:
    """What is ordered, with `extra` `[E, K]` on top."""
    return (
        order.replace(orders=order.orders + extra) if isinstance(order, Action) else order + extra
    )


def _within_episodes(config, problem, aligned):
    """The configuration with its rollout cut to what an episode, or its recorded demand, is
    long.
    """
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
