"""The Decision Transformer: what was ordered when a return came of it, learned from a log alone
(Chen et al. 2021).

Steps (return, state, order) of an episode are three tokens each, which a causal Transformer reads;
from the token of a state it says the order, and descends the squared distance from the log's. In
use it is told a return that one would like (`jaxinv.policies.sequence`).

- `condition=return` is the published one: the sum of all rewards to the end of the episode. Where
  demand is random that is mostly luck, and what is done when luck was good is no better than what
  is done when it was bad.
- `condition=advantage` takes away the luck: rewards less those of a tuned base-stock policy on the
  same noise, which a log of `jaxinv.log` holds, as a mean over the next `ahead` periods. Exogenous
  noise that can be replayed is what makes it possible (methods C.2).

The wanted return is one of three: the best of the log, its 90th percentile, and a tenth better than
that. Every update puts the next of them into the parameters, and the parameters that cost least on
validation are kept with theirs; so there have to be as many validations as candidates, or more.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxinv.agents.learner import Learner, LearnerConfig, LearnerState
from jaxinv.agents.logged import as_decided, log_of
from jaxinv.agents.offline import check_given
from jaxinv.agents.sequences import Episodes, episodes_of
from jaxinv.data.fingerprint import absolute
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError, unknown
from jaxinv.evaluation.trajectories import Trajectories
from jaxinv.nets.encoder import TransformerEncoder
from jaxinv.policies.decode import Decode
from jaxinv.policies.sequence import SequenceNetwork, SequencePolicy

CONDITIONS = ("return", "advantage")


@dataclass(frozen=True)
class DecisionTransformerConfig(LearnerConfig):
    """Hyper-parameters beside those of every learner (`LearnerConfig`). The Transformer has its
    `features`, `heads` and `layers`.

    Attributes:
      log: file of the log that it learns from (`jaxinv.evaluation.logs`).
      condition: "return" or "advantage", see above.
      context: K, steps that a decision sees.
      ahead: with condition=advantage, periods of its mean.
      batch, steps: episodes in a gradient step, and gradient steps an update.
      largest: factor of demand that an order, or the level of one, can have.
    """

    updates: int = 15
    envs: int = 1
    rollout: int = 1
    heads: int = 1
    log: str = ""
    condition: str = "return"
    context: int = 10
    ahead: int = 40
    batch: int = 16
    steps: int = 60
    largest: float = 3.0

    counts: ClassVar = (*LearnerConfig.counts, "context", "ahead", "batch", "steps")
    penalties: ClassVar = ()
    aligned_rewards: ClassVar[bool] = False
    stock_only: ClassVar = {}

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "log", absolute(self.log))
        if self.condition not in CONDITIONS:
            raise unknown("condition", self.condition, CONDITIONS)
        if self.encoder != "transformer":
            raise UserError(
                f"encoder={self.encoder}: a Decision Transformer reads with a Transformer; leave"
                " it out"
            )
        for name in ("preferences", "window_by_window"):
            if getattr(self, name):
                raise UserError(
                    f"{name}=true: a Decision Transformer is told a return that is wanted and reads"
                    " its own steps; leave it out"
                )
        if self.largest == 0:
            raise UserError("largest=0 leaves nothing to order; give 3 or so")


@struct.dataclass
class DecisionTransformer(Learner):
    """The Decision Transformer as an `Agent`."""

    Config: ClassVar = DecisionTransformerConfig

    episodes: Episodes | None = None

    @classmethod
    def create(
        cls, problem: Problem, config: DecisionTransformerConfig, log: Trajectories | None = None
    ) -> Self:
        """An agent for a problem.

        Args:
          log: what it learns from; None for that of the configuration.

        Raises:
          UserError: no log, one that does not fit, or one too short or without a baseline.
        """
        check_given(cls, config.log, log)
        agent = super().create(problem, config)
        log = log_of(problem, config.log) if log is None else log
        if agent.roles is not None:
            raise UserError(f"roles={config.roles}: a Decision Transformer plans alone; leave it")
        periods = log.reward.shape[0]
        policy = agent.policy
        if config.condition == "return":
            policy = replace(policy, episode=periods)
            policy = replace(policy, network=policy.network.clone(periods=periods))
        told = as_decided(policy, agent.worlds, policy.chosen, log)
        return agent.replace(policy=policy, episodes=episodes_of(policy, told, config))

    @classmethod
    def make_policy(cls, env, config):
        decode = Decode(env.topology, config.form, config.allocation)
        # The token of a state sees K - 1 steps of three tokens, the return that is wanted, itself.
        reader = TransformerEncoder(
            config.features, config.heads, config.layers, 3 * config.context - 1
        )
        network = SequenceNetwork(decode.outputs, reader, config.largest, 0)
        policy = SequencePolicy(env.topology, network, decode, env.history, context=config.context)
        return replace(policy, states=_width(policy, env))

    @property
    def simulated_periods(self) -> int:
        """Periods of the log."""
        return self.episodes.wanted.size

    def init(self, key: jax.Array) -> LearnerState:
        state = super().init(key)
        wanted = dict(target=self.episodes.candidates[0], scale=self.episodes.scale)
        return state.replace(params={**state.params, **wanted})

    def update(self, state: LearnerState) -> tuple[LearnerState, dict[str, jax.Array]]:
        """Some gradient steps, and the next return to want."""
        key, learn_key = jax.random.split(state.key)

        def step(carry, key):
            params, optimiser = carry
            index = jax.random.randint(key, (self.config.batch,), 0, self.episodes.wanted.shape[0])
            loss, grads = jax.value_and_grad(self.loss)(params, index)
            params, optimiser = self.descend(params, optimiser, grads, state.update)
            return (params, optimiser), (loss, optax.tree.norm(grads))

        keys = jax.random.split(learn_key, self.config.steps)
        (params, optimiser), (loss, norm) = jax.lax.scan(
            step, (state.params, state.optimiser), keys
        )
        metrics = {
            "cost": self.episodes.cost,
            "imitation_loss": loss.mean(),
            "gradient_norm": norm.mean(),
            "parameter_norm": optax.tree.norm(params["network"]),
        }
        target = self.episodes.candidates[state.update % 3]
        return state.replace(
            params={**params, "target": target}, optimiser=optimiser, key=key,
            update=state.update + 1,
        ), metrics  # fmt: skip

    def loss(self, params: dict, index: jax.Array) -> jax.Array:
        """Mean squared distance `[]` from the log's actions in the episodes at `index` `[n]`."""
        log, blanks = self.episodes, self.config.context - 1

        def after_blanks(rows):
            return jnp.pad(rows[index], [(0, 0), (blanks, 0)] + [(0, 0)] * (rows.ndim - 2))

        steps = (
            jnp.arange(log.wanted.shape[1]) if self.policy.episode else jnp.zeros_like(log.known)
        )
        place = jnp.pad(steps.astype(jnp.int32), (blanks, 0), constant_values=-1)
        told = self.policy.network.apply(
            params["network"], *map(after_blanks, (log.wanted, log.seen, log.done)),
            jnp.broadcast_to(place, (index.shape[0], place.shape[0])),
        )[:, blanks:]  # fmt: skip
        distance = jnp.square(told - log.done[index]).mean(-1)
        return (distance * log.known).sum() / (index.shape[0] * log.known.sum())


def _width(policy, env) -> int:
    """Numbers of a state."""

    def state(key):
        _, found = env.reset(key, env.default_params)
        observation = env.view(found.network, env.default_params, found.signals)
        contexts = policy.encode(None, observation.signals, observation.instance)
        return policy.state(observation, jax.tree.map(lambda leaf: leaf[-1], contexts))

    return jax.eval_shape(state, jax.random.key(0)).shape[0]
