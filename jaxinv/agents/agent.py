"""What every learning algorithm shares: its contract, its configuration, and the batch of worlds it
learns in.
"""

import dataclasses
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.agents.alignment import Window
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.objectives import draw_preferences, prefer
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import (
    BATCH,
    Episodes,
    WorldTrace,
    begin,
    instances_at,
    take_instances,
    unroll_world,
)


def traced(default: float) -> Any:
    """A hyper-parameter that is a traced number: sweeps vmap over it without compiling again."""
    return dataclasses.field(default=default, metadata={"traced": True})


def traced_fields(config: Any) -> list[str]:
    """Names of the traced numbers of a configuration, or of its class."""
    return [field.name for field in dataclasses.fields(config) if field.metadata.get("traced")]


def split_config(config: Any) -> tuple[Any, dict[str, jax.Array]]:
    """A configuration as its static part, in which traced fields are blanked, and a dict of its
    traced numbers.
    """
    names = traced_fields(config)
    numbers = {name: jnp.float32(getattr(config, name)) for name in names}
    return dataclasses.replace(config, **dict.fromkeys(names, None)), numbers


class Agent(Protocol):
    """A learning algorithm: pure functions that jit and vmap over keys and over the agent's traced
    numbers.
    """

    def init(self, key: jax.Array) -> Any: ...

    def update(self, state: Any) -> tuple[Any, dict[str, jax.Array]]: ...


def longest_rollout(problem: Problem, ahead: int = 0) -> float:
    """Most periods of a rollout: those of an episode that ends for good, and else those before
    recorded demand does; infinite where neither ends.

    Args:
      ahead: periods that are looked at beyond it. Where episodes go on, what is known of the next
        one is looked at too.
    """
    recorded = problem.recorded(problem.train)
    return (min(recorded, problem.horizon) if problem.ends else recorded - 1) - ahead


@struct.dataclass
class Worlds:
    """A batch of environments, each with an instance of its own where the problem has several, or a
    preference of its own.

    Attributes:
      env: what is learned on: the network with divisible orders.
      params: of all instances, with a leading axis.
      instances: how many there are.
      batch: environments side by side.
      periods: T, periods of one rollout.
      rollouts: rollouts after which all episodes begin anew.
      moments: of demand and lead times, where a teacher needs them (`jaxinv.agents.advice`).
      preferences: whether each episode draws a preference among the objectives, which its costs are
        weighed by.
      window: what aligned rewards are taken from; None where each period is a step with its own
        reward.
      ends: episodes are over for good after their last rollout: no value is to follow.
      apart: environments have numbers of their own, even those of one instance.
    """

    env: InventoryNetwork = struct.field(pytree_node=False)
    params: InstanceParams
    instances: int = struct.field(pytree_node=False)
    batch: int = struct.field(pytree_node=False)
    periods: int = struct.field(pytree_node=False)
    rollouts: int = struct.field(pytree_node=False)
    preferences: bool = struct.field(pytree_node=False, default=False)
    window: Window | None = struct.field(pytree_node=False, default=None)
    ends: bool = struct.field(pytree_node=False, default=False)
    apart: bool = struct.field(pytree_node=False, default=False)
    moments: Any = None

    @classmethod
    def of(
        cls,
        problem: Problem,
        batch: int,
        periods: int,
        horizon: int,
        preferences: bool = False,
        aligned: bool = False,
    ) -> "Worlds":
        """Worlds on the training demand of a problem, without the instances that it holds out.

        Episodes last `horizon` periods, in whole rollouts. They end for good where the problem's do
        and what is left of their horizon is too short for an order to arrive.

        Raises:
          UserError: if a rollout, and what is looked at beyond it, is longer than recorded demand.
        """
        window = Window.of(problem, periods) if aligned else None
        most = longest_rollout(problem, window.lead if window else 0)
        if periods > most:
            raise UserError(
                f"rollout={periods} runs past the end of an episode or of recorded demand; give"
                f" rollout={most} or less"
            )
        rollouts = max(int(min(horizon, most)) // periods, 1)
        params, instances = problem.train, problem.instances
        if problem.held_out:
            shown = np.setdiff1d(np.arange(instances), problem.held_out)
            params, instances = take_instances(params, shown), len(shown)
        ends = problem.ends and rollouts * periods >= horizon - problem.env.topology.max_lead_time
        return cls(
            problem.env.relaxed(),
            params,
            instances,
            batch,
            periods,
            rollouts,
            preferences,
            window,
            ends,
        )

    @property
    def axis(self) -> int | None:
        """The batch axis of instance parameters in a rollout."""
        return None if self.instances == 1 and not (self.preferences or self.apart) else BATCH

    @property
    def review(self) -> int:
        """Periods of one step of a learner from rewards."""
        return 1 if self.window is None else self.window.review

    def instance_params(self, index: jax.Array, key: jax.Array) -> InstanceParams:
        """Parameters of the instances at `index` `[B]` as a rollout wants them.

        Args:
          key: of the episodes; it decides their preferences.
        """
        params, _ = instances_at(self.params, index, apart=self.preferences or self.apart)
        if not self.preferences:
            return params
        return prefer(params, draw_preferences(self.env.topology, key, self.batch))

    def begin(self, key: jax.Array) -> tuple[Episodes, jax.Array]:
        """Fresh episodes, and the instance `[B]` that each plays."""
        index_key, key = jax.random.split(key)
        index = jax.random.randint(index_key, (self.batch,), 0, self.instances)
        return begin(self.env, key, self.instance_params(index, key), self.batch, self.axis), index

    def proceed(
        self, key: jax.Array, episodes: Episodes, index: jax.Array
    ) -> tuple[Episodes, jax.Array]:
        """The same episodes, or fresh ones where their time is over."""
        return jax.lax.cond(
            self._over(episodes), lambda: self.begin(key), lambda: (episodes, index)
        )

    def follows(self, after: Episodes) -> jax.Array | float:
        """The weight of what follows a rollout: 0 where it ended the episodes for good, else 1."""
        return jnp.where(self._over(after), 0.0, 1.0) if self.ends else 1.0

    def _over(self, episodes: Episodes) -> jax.Array:
        return episodes.period - self.env.history >= self.rollouts * self.periods

    def play_ahead(
        self, episodes: Episodes, params: InstanceParams
    ) -> tuple[Episodes, WorldTrace, jax.Array]:
        """T periods of world, and signals `[W + T, S, B]`: one row more than decisions, for the
        value at the end.
        """
        after, trace = unroll_world(self.env, episodes, params, self.periods, self.axis)
        if self.window and self.window.lead:
            _, beyond = unroll_world(self.env, after, params, self.window.lead, self.axis)
            trace = trace.replace(beyond=beyond.exogenous)
        return after, trace, jnp.concatenate([trace.signals, after.signals[-1:]])
