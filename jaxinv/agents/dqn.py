"""DQN on a grid of orders: double, dueling, branching where a network has several orders to choose,
smooth along the grid.

Each order picks a level of a grid (`GridDecode`): a multiple to order up to in the form `base`, to
order in `none`. With branches b of one order each,

    y = r + discount * mean_b q'_b(s', argmax_a q_b(s', a)),   L = mean_b (q_b(s, a_b) - y)^2 / 2

where of several agents each has its own r, and a mean over its own branches. With a `coordinator`
every agent values all branches, one decision is made of what they propose (`jaxinv.nets.council`),
and that one is what is stored and what all learn of:

    y_g = r_g + discount * mean_b q'_gb(s', argmax_a q_gb(s', a)),
    L = mean_gb (q_gb(s, a_b) - y_g)^2 / 2

(van Hasselt et al. 2016; Wang et al. 2016; Tavakoli et al. 2018, equation 5.) The levels are
amounts, so neighbours are worth about the same: values lie on a cubic spline of the level, and
decisions are varied to levels near the best one, less and less far. Both are what lets a fine grid
be learned.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.agents.advice import ON_REWARDS
from jaxinv.agents.agent import traced
from jaxinv.agents.level_grid import GridConfig, GridLearner, at_level
from jaxinv.agents.offpolicy import squared_error
from jaxinv.errors import UserError, unknown
from jaxinv.nets.council import COORDINATORS
from jaxinv.policies.owners import with_agent_axis


@dataclass(frozen=True)
class DQNConfig(GridConfig):
    """Hyper-parameters beside those of every learner on a grid (`GridConfig`).

    Attributes:
      coordinator: how one decision is made of what agents propose who each value all of it, see
        `jaxinv.nets.council.COORDINATORS`; "none" where each agent values what is its own alone.
      owner_weight: of the owner of an order with coordinator=weighted.
      exploration: share of decisions that are varied at the end of training.
      reach: standard deviation of what they are varied by then, in levels.
      exploring: share of training over which varied decisions become that few, from all, and that
        near, from half the grid.
    """

    coordinator: str = "none"
    owner_weight: float = 0.8
    exploration: float = traced(0.3)
    reach: float = traced(2.0)
    exploring: float = traced(0.3)

    shares: ClassVar = (*GridConfig.shares, "owner_weight", "exploration", "exploring")
    penalties: ClassVar = ON_REWARDS
    stock_only: ClassVar = {**GridConfig.stock_only, "updates": 2500}

    def __post_init__(self):
        super().__post_init__()
        if self.coordinator not in ("none", *COORDINATORS):
            raise unknown("coordinator", self.coordinator, ("none", *COORDINATORS))
        if self.coordinator != "none" and self.roles == "one":
            raise UserError(
                f"coordinator={self.coordinator} is of several agents, and roles=one has one; give"
                " roles, or coordinator=none"
            )
        if self.coordinator != "none" and self.partners:
            raise UserError(
                "a coordinator makes one decision of what all agents propose; leave out learns and"
                " partners"
            )


@struct.dataclass
class DQN(GridLearner):
    """DQN as an `Agent`."""

    Config: ClassVar = DQNConfig

    def noise(self, key, update):
        """Whether an order is varied, and by how many levels: `[T, branches, B]` each."""
        coin_key, level_key = jax.random.split(key)
        shape = (
            self.config.rollout,
            self.policy.decode.outputs // self.config.actions,
            self.config.envs,
        )
        progress = update / (self.numbers["updates"] * jnp.maximum(self.numbers["exploring"], 1e-6))
        left = jnp.maximum(1.0 - progress, 0.0)
        share = jnp.maximum(self.numbers["exploration"], left)
        reach = jnp.maximum(self.numbers["reach"], 0.5 * self.config.actions * left)
        return jax.random.uniform(coin_key, shape) < share, reach * jax.random.normal(
            level_key, shape
        )

    def choose(self, decision, noise):
        varied, distance = noise
        best = self.branches(decision.mean).argmax(-1)
        near = jnp.clip(best + jnp.round(distance).astype(best.dtype), 0, self.config.actions - 1)
        index = jnp.where(varied, near, best)
        return self.policy.decode.one_hot(index), index

    def loss(self, params, target, seen, key):
        best = self._values(params, seen.next_state, seen.next_stock).argmax(-1)
        after = self._values(target, seen.target_state, seen.next_stock)
        owners = self.policy.owners.every(self.config.actions)
        value = owners.mean(at_level(after, best))
        wanted = jax.lax.stop_gradient(
            seen.reward + self.numbers["discount"] * with_agent_axis(seen.follows, value) * value
        )
        q = at_level(
            self._values(params, seen.state, seen.stock),
            with_agent_axis(seen.action, after[..., 0]),
        )
        loss = squared_error(q, owners.each(wanted))
        return loss, {"value_loss": loss, "value": q.mean()}

    def _values(self, params, state, stock):
        """Values of all levels `[n, branches, G]`; with a coordinator, by agent
        `[n, agents, branches, G]`.
        """
        decision = self.apply(params, "decide", state, stock)
        return self.branches(decision.mean) if decision.q is None else decision.q
