"""What all learners from a replay buffer share: simulate, store, and descend a loss on stored
steps.

One update plays T periods in all environments, puts each decision and what followed into the
`ReplayBuffer`, and takes some gradient steps. Each gathers steps, drawn uniformly, and learns from
them. With a log nothing is played: steps are gathered from what is in it (`jaxinv.agents.logged`),
and learned from in the same way. After each step the target parameters move towards the learned
ones. Actor, critics and temperature are one tree with one optimiser; a loss excludes parameters by
`stop_gradient`. An algorithm is a network, a way to explore (`choose`), and that loss; to learn
from a log it also maps an order to the decision that gives it (`chosen`).

Rewards are centred on their average and scaled to unit spread, so that values do not carry the
level of cost; episodes are cut off rather than ended, so every transition bootstraps but those
after which a problem says that nothing follows. Values are means of returns with a long tail, the
cost of rare large demand, so they are learned by squared errors: the usual Huber loss pulls them to
the median, and orders with them (DDPG on geometric demand with p = 9, L = 2: 1.2% and more above
the optimum, with squares 0.1%).
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from jaxinv.agents.advice import ON_REWARDS, squared_distance
from jaxinv.agents.agent import traced
from jaxinv.agents.learner import Learner, LearnerConfig, LearnerState
from jaxinv.agents.logged import as_decided, log_of
from jaxinv.agents.replay import ReplayBuffer
from jaxinv.agents.scales import Scales
from jaxinv.data.fingerprint import absolute
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH
from jaxinv.evaluation.trajectories import Trajectories
from jaxinv.policies.owners import with_agent_axis


@dataclass(frozen=True)
class OffPolicyConfig(LearnerConfig):
    """Hyper-parameters beside those of every learner (`LearnerConfig`).

    Attributes:
      capacity: steps that the buffer holds; a multiple of `envs * rollout`.
      batch, steps: steps of a decision in a gradient step, and gradient steps an update.
      discount: of later rewards.
      target_rate: share of the way that the target parameters move at each step.
      aligned_rewards: see `jaxinv.agents.alignment`; None for wherever they make sense and no
        penalty is on.
      log: file of a log that is all there is to learn from (`jaxinv.evaluation.logs`); empty to
        play.
    """

    updates: int = 1000
    rollout: int = 4
    activation: str = "elu"
    max_grad_norm: float = 10.0
    capacity: int = 65536
    batch: int = 256
    steps: int = 8
    discount: float = traced(0.98)
    target_rate: float = traced(0.01)
    aligned_rewards: bool | None = None
    log: str = ""

    counts: ClassVar = (*LearnerConfig.counts, "capacity", "batch", "steps")
    shares: ClassVar = ("discount", "target_rate")
    stock_only: ClassVar = dict(
        updates=1250, envs=32, rollout=8, encoder="none", hidden=(32, 32), batch=128, discount=0.95
    )
    # whole episodes of its 29 days, and the one feature that it shows
    suits: ClassVar = {
        "deepstock": dict(
            updates=300,
            envs=10,
            rollout=28,
            capacity=28000,
            steps=10,
            encoder="known",
            aligned_rewards=True,
        )
    }

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "log", absolute(self.log))
        if self.capacity % (self.envs * self.rollout):
            raise UserError(
                f"capacity={self.capacity} must be a multiple of envs * rollout ="
                f" {self.envs * self.rollout}"
            )


def squared_error(told: jax.Array, wanted: jax.Array) -> jax.Array:
    """Half the mean squared error of values."""
    return 0.5 * jnp.square(told - wanted).mean()


@struct.dataclass
class OffPolicyState(LearnerState):
    """What every learner carries on, the target parameters, the buffer, and the scale of
    rewards.
    """

    target: Any = None
    replay: ReplayBuffer = None
    scales: Scales = None


@struct.dataclass
class Seen:
    """A batch of steps as a loss reads it: `[n, ...]` each."""

    state: jax.Array | None  # [n, H] encoded signals of the decision
    next_state: jax.Array | None  # [n, H] of the next one
    target_state: jax.Array | None  # [n, H] of the next one, by the target parameters
    stock: jax.Array
    next_stock: jax.Array
    action: Any
    reward: jax.Array  # [n], or by agent [n, G]
    follows: jax.Array  # [n] what the value of the next decision counts
    advised: Any = None  # with penalty=actor, [n, ...]


@struct.dataclass
class OffPolicy(Learner):
    """The stem of algorithms that learn from a buffer; `choose`, `noise`, `loss` and `chosen` are
    theirs.

    Attributes:
      log: steps of a log that is all there is to learn from; None to play.
    """

    log: ReplayBuffer | None = None

    @classmethod
    def create(
        cls, problem: Problem, config: OffPolicyConfig, log: Trajectories | None = None
    ) -> Self:
        """An agent for a problem.

        Args:
          log: what it learns from alone, in worlds like the problem's
            (`jaxinv.evaluation.trajectories`); None for that of the configuration, if any.
        """
        agent = super().create(problem, config)
        log = log_of(problem, config.log) if log is None else log
        if log is None:
            return agent
        if agent.roles is not None:
            raise UserError(
                f"roles={config.roles}: a log has the rewards of the whole network, not of each"
                " agent; give roles=one"
            )
        told = as_decided(agent.policy, agent.worlds, agent.chosen, log)
        tokens = (
            None
            if agent.policy.network.encoder is None
            else jax.vmap(agent.policy.tokens, BATCH)(told.signals, told.facts)
        )
        return agent.replace(log=ReplayBuffer.of(agent._steps(told, tokens)))

    def choose(self, decision, noise):
        """(`Decision`, noise) of one environment to raw outputs, and what the loss wants to know of
        them.
        """
        raise NotImplementedError

    def noise(self, key: jax.Array, update: jax.Array) -> Any:
        """What `choose` varies decisions with: `[T, ..., B]`."""
        raise NotImplementedError

    def chosen(self, raw: jax.Array) -> Any:
        """The decision, as `choose` stores it, of raw outputs that give logged orders."""
        raise NotImplementedError

    def loss(
        self, params: Any, target: Any, seen: Seen, key: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The loss on a batch, and its metrics."""
        raise NotImplementedError

    def bootstrapped(self, seen: Seen, after: jax.Array) -> jax.Array:
        """What steps `[n, ...]` are worth together: their rewards, and what comes `after` them
        `[n, ...]`, discounted. No gradient passes.
        """

        def along(values):
            return values.reshape(len(values), *(1,) * (after.ndim - 1))

        later = self.numbers["discount"] * along(seen.follows) * after
        return jax.lax.stop_gradient(along(self.by_all(seen.reward)) + later)

    def apply(self, params: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """A method of the network."""
        return self.policy.network.apply(params, *inputs, method=method, **options)

    @property
    def simulated_periods(self) -> int:
        """Periods that were played for it: those of the log, where there is one."""
        return (
            super().simulated_periods
            if self.log is None
            else len(self.log.items.reward) * self.worlds.review
        )

    def init(self, key: jax.Array) -> OffPolicyState:
        common = super().init(key)
        scales, replay = Scales.fresh(self.agents), None
        if self.log is None:
            shapes = jax.eval_shape(lambda state: self._play(state, state.key)[1], common)
            one = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), shapes
            )
            replay = ReplayBuffer.empty(one, self.config.capacity)
        else:
            scales = scales.follow(self.log.items.reward[None], self.numbers["discount"])
        return OffPolicyState(**vars(common), target=common.params, replay=replay, scales=scales)

    def update(self, state: OffPolicyState) -> tuple[OffPolicyState, dict[str, jax.Array]]:
        """One rollout into the buffer, if there is no log, and some gradient steps on what is
        gathered.
        """
        key, play_key, learn_key = jax.random.split(state.key, 3)
        if self.log is None:
            (episodes, index, played, strayed), steps = self._play(state, play_key)
            scales, replay = (
                state.scales.follow(played.reward, self.numbers["discount"]),
                state.replay.add(steps),
            )
            state = state.replace(
                episodes=episodes, index=index, strayed=strayed, scales=scales, replay=replay
            )
            reward = played.reward if played.team is None else played.team
        else:
            reward = self.log.items.reward

        def step(carry, key):
            params, target, optimiser = carry
            draw_key, loss_key = jax.random.split(key)
            steps = self.gather(state, draw_key)
            grads, metrics = jax.grad(self.learn, has_aux=True)(
                params, target, steps, loss_key, state.update
            )
            params, optimiser = self.descend(params, optimiser, grads, state.update)
            target = optax.incremental_update(params, target, self.numbers["target_rate"])
            return (params, target, optimiser), {**metrics, "gradient_norm": optax.tree.norm(grads)}

        (params, target, optimiser), metrics = jax.lax.scan(
            step,
            (state.params, state.target, state.optimiser),
            jax.random.split(learn_key, self.config.steps),
        )
        metrics = {name: values.mean() for name, values in metrics.items()}
        metrics = {"cost": -reward.mean(), **metrics, "parameter_norm": optax.tree.norm(params)}
        return (
            state.replace(
                params=params, target=target, optimiser=optimiser, key=key, update=state.update + 1
            ),
            metrics,
        )

    def gather(self, state: OffPolicyState, key: jax.Array) -> Trajectories:
        """Steps `[n, ...]` drawn from the buffer or the log, with rewards as they are learned
        from.
        """
        source = state.replay if self.log is None else self.log
        steps = source.sample(key, self.config.batch)
        return steps.replace(reward=self._scaled(steps, state.scales))

    def learn(
        self, params: Any, target: Any, steps: Trajectories, key: jax.Array, update: jax.Array
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The loss on steps `[n, ...]`, with the penalty on the actor, and its metrics."""
        seen = self._see(params, target, steps)
        loss, metrics = self.loss(params, target, seen, key)
        return loss + self._actor_penalty(params, seen, update), metrics

    def _play(self, state: LearnerState, key: jax.Array):
        """Episodes after a rollout, their instances, what was played and how far it strayed; and
        steps `[B * T', ...]`.
        """
        begin_key, noise_key = jax.random.split(key)
        episodes, index = self.worlds.proceed(begin_key, state.episodes, state.index)
        instance = self.worlds.instance_params(index, episodes.key)
        after, trace, signals = self.worlds.play_ahead(episodes, instance)
        noise = self.noise(noise_key, state.update)
        teacher = self.teacher(instance, index)
        played = self.explore(
            state.params, self.choose, noise, episodes, trace, signals, instance, teacher
        )
        on_reward, strayed = self.reward_advice(state, episodes, played)
        played = played if on_reward is None else played.replace(advice=on_reward)
        follows = jnp.ones((played.reward.shape[0], played.reward.shape[BATCH]))
        played = played.replace(follows=follows.at[-1].set(self.worlds.follows(after)))
        tokens = None if self.policy.network.encoder is None else self.tokens(signals, instance)
        return (after.replace(network=played.network), index, played, strayed), self._steps(
            played, tokens
        )

    def _scaled(self, steps, scales):
        """Rewards `[n]` as they are learned from: centred, in standard deviations, and with the
        penalty on them.
        """
        reward = (steps.reward - scales.reward_mean) / scales.reward_deviation
        if self.config.penalty not in ON_REWARDS:
            return reward
        return reward + self.numbers["penalty_weight"] * with_agent_axis(steps.advice, reward)

    def _actor_penalty(self, params, seen, update):
        """The penalty on the mode policy, which moves the actor alone; 0 for none."""
        if self.config.penalty != "actor":
            return 0.0
        raw = self.apply(params, "decide", jax.lax.stop_gradient(seen.state), seen.stock).mean
        strayed = jax.vmap(partial(squared_distance, self.policy.decode))(raw, seen.advised)
        return self.actor_penalty(strayed, update)

    def _steps(self, played: Trajectories, tokens: jax.Array | None) -> Trajectories:
        """What was played as steps of one decision each `[B * T', ...]`: their windows as the
        network reads them, which reach P periods on to the next decision `[.., W + P, C]`, and
        stock features of both decisions `[.., 2, F]`.

        Args:
          tokens: `[B, W + T, C]`; None for a network that sees stock alone.
        """
        windows = None
        if tokens is not None:
            review = self.worlds.review
            rows = review * np.arange(len(played.reward))[:, None] + np.arange(
                self.policy.history + review
            )
            windows = tokens[:, rows].reshape(-1, rows.shape[1], tokens.shape[-1])

        def flat(leaf):
            """`[T', ..., B]` to `[B * T', ...]`."""
            leaf = jnp.moveaxis(leaf, BATCH, 0)
            return leaf.reshape(-1, *leaf.shape[2:])

        return Trajectories(
            reward=flat(played.reward),
            follows=flat(played.follows),
            signals=windows,
            stock=jnp.stack([flat(played.stock[:-1]), flat(played.stock[1:])], 1),
            kept=jax.tree.map(flat, played.kept),
            advice=jax.tree.map(flat, played.advice),
        )

    def _see(self, params, target, steps: Trajectories) -> Seen:
        """Steps with their windows encoded; a window of W + P tokens gives the states of both
        decisions in one pass.
        """
        state = next_state = target_state = None
        if steps.signals is not None:
            states, _ = self.apply(params, "encode", steps.signals, rows=1 + self.worlds.review)
            state, next_state = states[:, 0], states[:, -1]
            target_state = self.apply(target, "encode", steps.signals, rows=1)[0][:, 0]
        return Seen(
            state, next_state, target_state, steps.stock[:, 0], steps.stock[:, 1], steps.kept,
            steps.reward, steps.follows,
            advised=steps.advice if self.config.penalty == "actor" else None,
        )  # fmt: skip
