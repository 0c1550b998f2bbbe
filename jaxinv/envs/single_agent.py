"""A network as a learner from elsewhere wants it, in the form of gymnax; `jaxinv.make_gymnax` gives
it.

    env, params = jaxinv.make_gymnax("lost_sales", lead_time=2, scaled=True, one_done=True)
    ppo = rejax.get_algo("ppo").create(env=env, env_params=params, total_timesteps=500_000)
    state, _ = jax.jit(ppo.train)(jax.random.key(0))
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import jax
import numpy as np
from gymnax.environments import environment, spaces

from jaxinv.envs.division import Division
from jaxinv.envs.environment import EnvState, InventoryNetwork
from jaxinv.envs.multi_agent import MultiDiscrete, action_forms
from jaxinv.envs.network import Action, InstanceParams
from jaxinv.envs.registry import check_options, make
from jaxinv.envs.roles import Roles
from jaxinv.errors import UserError

FORMS = ("scaled", "levels", "largest", "one_done")
"""Options that say what a learner sees and gives."""


def make_gymnax(
    name: str,
    *,
    scaled: bool = False,
    levels: int | Sequence[float] | None = None,
    largest: float | None = None,
    one_done: bool = False,
    **options: Any,
) -> "tuple[InventoryNetwork | SingleAgentNetwork, InstanceParams]":
    """`jaxinv.make` with observations, actions and ends as learners from elsewhere want them.

    Args:
      name: a preset, such as "lost_sales".
      scaled: observations are of about unit size (`jaxinv.envs.flat.units`: typical demand over the
        coverage of an order, of the instance itself) and without what never changes; orders are
        numbers of -1..1, from nothing to `largest` times the typical demand between two reviews.
      levels: orders are choices among so many levels, from nothing to `largest` times the typical
        demand between two reviews; or among these multiples, rising. Up to 1024 combinations of all
        orders are one number, as DQN needs it.
      largest: 3 where not given.
      one_done: `step` gives one `done`, whether an episode ended in either way, in place of
        `terminated` and `truncated`: as gymnax had it before 1.0, and as rejax and PureJaxRL read
        it. They then take the value after a time limit for 0.
      **options: the preset's own.

    Raises:
      UserError: for a name or an option that does not exist, or a value that cannot be.
    """
    check_options(name, options, FORMS)
    forms = action_forms(levels, scaled, largest)
    env, params = make(name, **options)
    if not (scaled or forms["levels"] or one_done):
        return env, params
    return SingleAgentNetwork(env, params, one_done=one_done, **forms), params


class SingleAgentNetwork(environment.Environment[EnvState, InstanceParams]):
    """A network that one agent plays, whose observations and actions are scaled, or whose orders
    are levels. Everything else is the network's.

    - observation: float32 vector, its entries named by `observation_names`.
    - action: float32 vector `[edges * K]`, then three shares of each node and product where
      dispositions are decided, named by `action_names`; with levels an int32 index of one, or of a
      combination of them (a vector of indices where those would be too many). Neither scaled nor
      with levels, it is the network's own.

    Attributes:
      env: the network.
      division: how observations and actions are read; None where they are the network's.
      one_done: whether `step` gives one `done`.
    """

    def __init__(
        self,
        env: InventoryNetwork,
        params: InstanceParams,
        levels: tuple[float, ...] = (),
        scaled: float = 0.0,
        one_done: bool = False,
    ):
        self.env, self.one_done = env, one_done
        self.division = None
        if levels or scaled:
            self.division = Division.of(
                env, params, Roles.one(env.topology), levels=levels, scaled=scaled
            )

    def __eq__(self, other):
        return isinstance(other, SingleAgentNetwork) and self._identity == other._identity

    def __hash__(self):
        return hash(self._identity)

    @cached_property
    def _identity(self):
        return self.env, self.division, self.one_done

    @property
    def name(self) -> str:
        return self.env.name

    @property
    def ends(self) -> bool:
        return self.env.ends

    @property
    def default_params(self) -> InstanceParams:
        return self.env.default_params

    def step(self, key, state, action, params=None):
        """See gymnax; with `one_done` five values instead of six."""
        params = self.default_params if params is None else params
        observation, state, reward, terminated, truncated, info = self.env.step(
            key, state, self.orders(action, params), params
        )
        info = {**info, "final_observation": self.show(info["final_observation"], params)}
        ends = (terminated | truncated,) if self.one_done else (terminated, truncated)
        return self.show(observation, params), state, reward, *ends, info

    def reset(self, key, params=None):
        """See gymnax."""
        params = self.default_params if params is None else params
        observation, state = self.env.reset(key, params)
        return self.show(observation, params), state

    def step_env(self, key, state, action, params):
        observation, *rest = self.env.step_env(key, state, self.orders(action, params), params)
        return self.show(observation, params), *rest

    def reset_env(self, key, params):
        observation, state = self.env.reset_env(key, params)
        return self.show(observation, params), state

    def observe(self, key, state, action, params):
        return self.show(self.env.observe(key, state, action, params), params)

    def is_terminated(self, state, params):
        return self.env.is_terminated(state, params)

    def is_truncated(self, state, params):
        return self.env.is_truncated(state, params)

    def orders(self, action: jax.Array, params: InstanceParams) -> jax.Array | Action:
        """An action as the network takes it: quantities `[E, K]`."""
        if self.division is None:
            return action
        return self.division.join({self._agent: action}, params)

    def show(self, observation: jax.Array, params: InstanceParams) -> jax.Array:
        """What a learner sees of the network's flat observation."""
        if self.division is None:
            return observation
        return self.division.deal(observation, params)[self._agent]

    @property
    def _agent(self) -> str:
        return self.division.roles.names[0]

    @property
    def num_actions(self) -> int:
        space = self.action_space()
        return space.n if isinstance(space, spaces.Discrete) else int(np.prod(space.shape))

    def action_space(self, params=None):
        division = self.division
        if division is None:
            return self.env.action_space(params)
        (shape,), (choices,) = division.shapes, division.choices if division.levels else ((),)
        if not division.levels and division.scaled:
            return spaces.Box(-1.0, 1.0, shape)
        return spaces.Discrete(choices[0]) if division.combined else MultiDiscrete(choices)

    def observation_space(self, params=None):
        params = self.default_params if params is None else params
        whole = self.env.observation_space(params)
        low, high = (self.show(bound, params) for bound in (whole.low, whole.high))
        return spaces.Box(low, high, low.shape)

    def observation_names(self, params=None) -> tuple[str, ...]:
        """What each entry of the observation is, such as `on_hand[store]`."""
        names = self.env.observation_names(params)
        return names if self.division is None else tuple(names[i] for i in self.division.seen[0])

    @property
    def action_names(self) -> tuple[str, ...]:
        """What each number of an action decides, such as `order[supplier-store]`."""
        if self.division is None:
            raise UserError("the actions of this form are the network's own: quantities [E, K]")
        return self.division.action_names[0]
