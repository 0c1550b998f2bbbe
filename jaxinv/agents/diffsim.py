"""Differentiable simulation: the mode policy's own cost, descended through the rollout (methods B).

One update plays T periods in all environments with divisible orders and descends the mean cost a
period; stock carries on to the next update, where its gradient is cut off:

    theta <- theta - rate * grad (1 / (B T)) sum_b sum_t c(stock_t, policy_theta(stock_t), noise_t),
    stock_{t+1} = f(...)

Goods that are left after T periods count for what they were bought for (`jaxinv.envs.landed`): a
rollout is no end of the world, and a policy that could sell out at the end of each would learn to
hold too little. Where an episode ends for good with it, what is left is worth nothing.

Of several agents each descends its own mixed reward (`jaxinv.agents.divided`) through what it
decides itself: the gradient of its loss by its own parameters, those of the others given.

(HDPO, Alvo et al. 2306.11246; DirectBackprop, Madeka et al. 2210.03137.) Costs are piecewise linear
in orders, so nothing is smoothed; kinks have no weight because stock starts anywhere between whole
units. Where orders will be whole packs, they are disturbed in training as rounding will disturb
them, so that a policy does not lean on fractions that it will not have.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from jaxinv.agents.agent import traced
from jaxinv.agents.learner import Learner, LearnerConfig, LearnerState
from jaxinv.agents.scales import over
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.observation import underage_cost
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import Episodes
from jaxinv.policies.learned import LearnedPolicy

LEAST_SHARE = 0.03
"""Added to the share of which `alike` takes the logarithm: where next to nothing is lost, a per
cent of it need not count.
"""


@dataclass(frozen=True)
class DiffSimConfig(LearnerConfig):
    """Hyper-parameters beside those of every learner (`LearnerConfig`).

    Attributes:
      rounding: where orders come in packs, they are disturbed by uniform noise of up to this share
        of a pack either way.
      alike: of the costs of each environment the logarithm counts, as a share of what it would
        cost to serve nobody there (`LEAST_SHARE`), so that a per cent weighs the same whatever the
        size, the money and the difficulty of an instance.
    """

    updates: int = 400
    envs: int = 128
    rollout: int = 50
    activation: str = "elu"
    learning_rate: float = traced(3e-3)
    final_learning_rate: float = traced(0.0)
    rounding: float = traced(0.5)
    alike: bool = False

    relative: ClassVar = True
    shares: ClassVar = ("rounding",)
    penalties: ClassVar = ("actor",)
    stock_only: ClassVar = dict(
        updates=2000, envs=128, rollout=50, encoder="none", hidden=(32, 32, 32), learning_rate=5e-3
    )
    # on cross_border and retail as many steps as PPO takes, in small batches: 400 larger ones end
    # 8% and 3% dearer
    suits: ClassVar = {
        "cross_border": dict(
            updates=1280, envs=32, rollout=90, activation="tanh", learning_rate=1e-3
        ),
        "retail": dict(updates=1200, envs=128, rollout=40, activation="tanh", learning_rate=2e-3),
        "retail_network": dict(rollout=40),
        "network": dict(updates=600, envs=64, rollout=40, activation="tanh", learning_rate=2e-3),
        "deepstock": dict(
            updates=1000, envs=10, rollout=29, encoder="known", hidden=(32, 32), learning_rate=1e-2
        ),
    }

    def __post_init__(self):
        super().__post_init__()
        if self.alike and self.roles != "one":
            raise UserError("alike=true is for one planner; leave it or roles out")


@struct.dataclass
class DiffSim(Learner):
    """Differentiable simulation as an `Agent`."""

    Config: ClassVar = DiffSimConfig
    settles: ClassVar = True

    @classmethod
    def make_policy(cls, env: InventoryNetwork, config: Any) -> LearnedPolicy:
        """See `Learner`."""
        if config.alike and env.topology.backlog:
            raise UserError(
                "alike=true counts costs as a share of what lost sales would cost, and here"
                " customers wait; leave it out"
            )
        return super().make_policy(env, config)

    def update(self, state: LearnerState) -> tuple[LearnerState, dict[str, jax.Array]]:
        """One rollout and one step down its gradient."""
        key, begin_key, noise_key = jax.random.split(state.key, 3)
        episodes, index = self.worlds.proceed(begin_key, state.episodes, state.index)
        grads, (after, cost) = self._gradient(
            state.params, noise_key, episodes, index, state.update
        )
        params, optimiser = self.descend(state.params, state.optimiser, grads, state.update)
        metrics = {
            "cost": cost,
            "gradient_norm": optax.tree.norm(grads),
            "parameter_norm": optax.tree.norm(params),
        }
        return LearnerState(params, optimiser, after, index, key, state.update + 1), metrics

    def _gradient(self, params, *given):
        """The gradient of the loss, and what comes with it; of agents, that of each one's loss by
        its own parameters.
        """
        if self.roles is None:
            (_, told), grads = jax.value_and_grad(self.loss, has_aux=True)(params, *given)
            return grads, told
        agents, network = len(self.roles), self.policy.network
        apart = self.replace(policy=replace(self.policy, network=network.clone(shared=False)))
        copies = (
            params
            if not network.shared
            else jax.tree.map(lambda leaf: jnp.stack([leaf] * agents), params)
        )
        losses, pull, told = jax.vjp(
            lambda params: apart.loss(params, *given), copies, has_aux=True
        )

        def of_each():
            each = jax.vmap(pull)(jnp.eye(agents))  # [losses, parameters of agents, ...]
            return jax.tree.map(lambda leaf: leaf[np.arange(agents), np.arange(agents)], each)

        # a team has one loss, which all its members descend: one way back is enough
        (grads,) = jax.lax.cond(
            self.numbers["team_share"] == 1.0,
            lambda: pull(jnp.full_like(losses, 1.0 / agents)),
            of_each,
        )
        return grads if not network.shared else jax.tree.map(lambda leaf: leaf.sum(0), grads), told

    def loss(
        self,
        params: Any,
        key: jax.Array,
        episodes: Episodes,
        index: jax.Array,
        update: jax.Array | int = 0,
    ) -> tuple[jax.Array, tuple[Episodes, jax.Array]]:
        """The mean cost a period in units of its spread over periods, so that no learning rate
        depends on the currency (or with `alike` as a share), and the penalty of an actor that
        strays from its teacher.

        Returns:
          The loss `[]`, or of each agent `[G]`, and the episodes after the rollout and the mean
          cost in money.
        """
        instance = self.worlds.instance_params(index, episodes.key)
        after, trace, _ = self.worlds.play_ahead(episodes, instance)
        contexts = self.encode(params, trace.signals, instance)
        disturbance = self._disturbance(key, instance)
        teacher = self.teacher(instance, index)
        played = self.mode_play(
            params, episodes.network, trace, contexts, instance, disturbance, teacher
        )
        worth = self.worth if self.roles is None else self.worth_by_agent
        left = self.worlds.follows(after) * worth(played.network, instance)
        if self.config.alike:
            loss = self._log_share(-played.reward.sum(0) - left, trace, instance).mean()
        else:
            cost = -played.reward.mean(over(played.reward))
            spread = jax.lax.stop_gradient(played.reward).std(over(played.reward)) + 1e-6
            loss = (cost - left.mean(0) / self.worlds.periods) / spread
        loss = loss + self.actor_penalty(played.advice, update)
        return loss, (after.replace(network=played.network), played.cost)

    def _log_share(self, cost, trace, instance):
        """Logarithms of costs `[B]` of a rollout, as shares of what it would cost to serve nobody
        in it.
        """
        topology = self.worlds.env.topology
        underage = underage_cost(topology, instance)[np.asarray(topology.demand_nodes)]
        if self.worlds.axis is None:
            underage = underage[..., None]
        nobody = (trace.exogenous.demand * underage).sum((0, 1, 2))
        share = cost / jnp.maximum(nobody, underage.max((0, 1)))
        return jnp.log(jnp.maximum(share, 0.0) + LEAST_SHARE)

    def _disturbance(self, key, instance):
        """What rounding may do to orders `[T, E, K, B]`; None where they are not rounded."""
        if instance.pack_size is None:
            return None
        topology, worlds = self.worlds.env.topology, self.worlds
        shape = (worlds.periods, topology.edges, topology.products, worlds.batch)
        packs = instance.pack_size if worlds.axis is not None else instance.pack_size[..., None]
        return (
            self.numbers["rounding"]
            * packs
            * jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
        )
