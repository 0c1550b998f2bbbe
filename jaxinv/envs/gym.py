"""A network as an environment of gymnasium, single and vectorised, on gymnasium's own base classes;
`jaxinv.make_gymnasium` gives them.

    env = jaxinv.make_gymnasium("lost_sales", lead_time=2, scaled=True)
    stable_baselines3.PPO("MlpPolicy", env).learn(100_000)

    many = jaxinv.make_gymnasium("lost_sales", num_envs=1024, lead_time=2, levels=16)
    observations, infos = many.reset(seed=0)
    observations, rewards, terminations, truncations, infos = many.step(many.action_space.sample())
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from gymnax.environments import spaces

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.multi_agent import MultiDiscrete
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.registry import check_options
from jaxinv.envs.single_agent import FORMS, SingleAgentNetwork, make_gymnax
from jaxinv.errors import UserError
from jaxinv.keys import root
from jaxinv.limits import LARGEST_SEED, check_seed

INFOS = ("costs", "ordered", "sold", "short")
"""What is told of each period beside the observation."""


def make_gymnasium(
    name: str,
    num_envs: int | None = None,
    *,
    scaled: bool = False,
    levels: int | Sequence[float] | None = None,
    largest: float | None = None,
    **options: Any,
) -> "GymEnv | VectorGymEnv":
    """A preset as an environment of gymnasium: a `gymnasium.Env`, or with `num_envs` a
    `gymnasium.vector.VectorEnv`.

    As they come, observations and orders are in units of the product, and an action has the shape
    `[edges, products]`; most learners want numbers of about 1:

        env = jaxinv.make_gymnasium("lost_sales", lead_time=2)                # orders in units
        env = jaxinv.make_gymnasium("lost_sales", lead_time=2, scaled=True)   # for PPO, SAC, TD3
        env = jaxinv.make_gymnasium("lost_sales", lead_time=2, scaled=True, levels=16)    # for DQN
        many = jaxinv.make_gymnasium("lost_sales", 1024, lead_time=2, scaled=True)

    Args:
      name: a preset, such as "lost_sales".
      num_envs: so many at once, stepped as one compiled program; None for a single one.
      scaled, levels, largest: see `jaxinv.make_gymnax`. Of several orders whose combinations are
        more than 1024, levels are a `MultiDiscrete`.
      **options: the preset's own, such as lead_time=4.

    Raises:
      UserError: for a name or an option that does not exist, or a value that cannot be.
    """
    whole = isinstance(num_envs, (int, np.integer)) and not isinstance(num_envs, bool)
    if num_envs is not None and not (whole and num_envs > 0):
        raise UserError(f"num_envs={num_envs} must be a whole number above 0, or None for one")
    if "one_done" in options:
        raise UserError("one_done is for jaxinv.make_gymnax; gymnasium tells both ends apart")
    check_options(name, options, ("num_envs", *FORMS))
    env, params = make_gymnax(name, scaled=scaled, levels=levels, largest=largest, **options)
    return GymEnv(env, params) if num_envs is None else VectorGymEnv(env, int(num_envs), params)


class GymEnv(gymnasium.Env):
    """One environment. Observations, rewards and infos are NumPy's.

    A seed plays what the gymnax form plays from its key: `reset(seed)` and as many steps, episodes
    that follow without a seed included. Without any seed the first one is drawn, as gymnasium asks.
    There are no options of `reset`.

    - infos: the `costs` of the period by part, and what was `ordered`, `sold` and `short`.
    - the last observation of an episode is its own; call `reset` after it.
    """

    def __init__(self, env: InventoryNetwork | SingleAgentNetwork, params: InstanceParams):
        self.env, self.params = env, params
        self.metadata = {"name": env.name, "render_modes": []}
        self.observation_space = gym_space(env.observation_space(params))
        self.action_space = gym_space(env.action_space(params))
        self._key = self._state = self._next = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=_checked(seed))
        if seed is not None or self._key is None:
            seed = self.np_random.integers(LARGEST_SEED) if seed is None else seed
            self._key, self._next = root(int(seed)), None
        if self._next is None:
            self._key, *self._next = _begin(self.env, self._key, self.params)
        (observation, self._state), self._next = self._next, None
        return np.asarray(observation), {}

    def step(self, action):
        """Raises UserError where no episode is under way."""
        if self._state is None:
            raise UserError("no episode is under way; call reset first")
        self._key, observation, self._state, *outcome = _period(
            self.env, self._key, self._state, action, self.params
        )
        last, reward, terminated, truncated, info = jax.device_get(outcome)
        if terminated or truncated:
            self._next, self._state = (observation, self._state), None
        return last, float(reward), bool(terminated), bool(truncated), info

    def observation_names(self) -> tuple[str, ...]:
        """What each entry of the observation is, such as `on_hand[store]`."""
        return self.env.observation_names(self.params)


class VectorGymEnv(gymnasium.vector.VectorEnv):
    """Many environments as one compiled program, which does what gymnasium's `SyncVectorEnv` does
    with as many `GymEnv`s.

    A seed s gives the i-th environment the seed s + i; a list gives each its own. An episode that
    ends is followed by the next in the same step (`AutoresetMode.SAME_STEP`): the observation is
    the first of that one, and `infos["final_obs"]` and `infos["final_info"]` hold the last ones,
    where `infos["_final_obs"]` says so.
    """

    def __init__(
        self, env: InventoryNetwork | SingleAgentNetwork, num_envs: int, params: InstanceParams
    ):
        self.env, self.num_envs, self.params = env, num_envs, params
        self.metadata = {
            "name": env.name,
            "render_modes": [],
            "autoreset_mode": AutoresetMode.SAME_STEP,
        }
        self.single_observation_space = gym_space(env.observation_space(params))
        self.single_action_space = gym_space(env.action_space(params))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._keys = self._state = None

    def reset(
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: dict[str, Any] | None = None,
    ):
        """Raises UserError for a list of seeds that is not one for each environment."""
        several = seed is not None and np.ndim(seed) > 0
        if several and len(seed) != self.num_envs:
            raise UserError(
                f"{len(seed)} seeds for {self.num_envs} environments; give one for each"
            )
        super().reset(seed=None if several else _checked(seed))
        if seed is not None or self._keys is None:
            if seed is None:
                seed = self.np_random.integers(LARGEST_SEED, size=self.num_envs)
            elif not several:
                seed = range(seed, seed + self.num_envs)
            seeds = np.asarray([_checked(one) for one in seed], np.uint32)
            self._keys = jax.vmap(root)(seeds)
        self._keys, observations, self._state = _begin_all(self.env, self._keys, self.params)
        return np.asarray(observations), {}

    def step(self, actions):
        """Raises UserError before the first reset, and for actions that are not one for each
        environment.
        """
        if self._state is None:
            raise UserError("no episode is under way; call reset first")
        actions = actions if isinstance(actions, Mapping) else np.asarray(actions)
        for part in jax.tree.leaves(actions):
            if np.shape(part)[:1] != (self.num_envs,):
                raise UserError(
                    f"actions of {self.num_envs} environments are arrays ({self.num_envs}, ...),"
                    f" not {np.shape(part)}"
                )
        self._keys, observations, self._state, *outcome = _period_of_all(
            self.env, self._keys, self._state, actions, self.params
        )
        observations, (last, rewards, terminated, truncated, info) = jax.device_get(
            (observations, outcome)
        )
        infos = _infos(info, last, terminated | truncated)
        return observations, rewards, terminated, truncated, infos

    def observation_names(self) -> tuple[str, ...]:
        """What each entry of an observation is, such as `on_hand[store]`."""
        return self.env.observation_names(self.params)


def gym_space(space: spaces.Space) -> gymnasium.Space:
    """A space of gymnax, or our `MultiDiscrete`, as gymnasium's."""
    if isinstance(space, spaces.Dict):
        return gymnasium.spaces.Dict({name: gym_space(own) for name, own in space.spaces.items()})
    if isinstance(space, spaces.Discrete):
        return gymnasium.spaces.Discrete(int(space.n))
    if isinstance(space, MultiDiscrete):
        return gymnasium.spaces.MultiDiscrete(np.asarray(space.num_categories))
    bounds = (np.broadcast_to(bound, space.shape) for bound in (space.low, space.high))
    return gymnasium.spaces.Box(*map(np.float32, bounds), space.shape, np.float32)


def _checked(seed: int | None) -> int | None:
    """A seed as gymnasium takes it: one of Python's numbers."""
    if seed is None:
        return None
    check_seed(seed)
    return int(seed)


def _infos(info: dict[str, Any], last: np.ndarray, over: np.ndarray) -> dict[str, Any]:
    """Infos of all environments in gymnasium's form: each array with a mask of where it holds."""

    def where(mask):
        found = {}
        for name, values in info.items() if mask.any() else ():
            rows = mask.reshape(-1, *(1,) * (values.ndim - 1))
            found |= {name: np.where(rows, values, np.zeros((), values.dtype)), f"_{name}": mask}
        return found

    if not over.any():
        return where(~over)
    final = np.full(len(over), None, object)
    for number in np.flatnonzero(over):
        final[number] = last[number]
    ended = {"final_obs": final, "_final_obs": over, "final_info": where(over), "_final_info": over}
    return where(~over) | ended


# Programs, one for all environments of a form


def _begun(env, key, params):
    key, reset_key = jax.random.split(key)
    return key, *env.reset(reset_key, params)


def _played(env, key, state, action, params):
    """The next key, observation and state, of the next episode where one ends; then the last
    observation, reward, ends and infos.
    """
    key, step_key = jax.random.split(key)
    observation, state, reward, terminated, truncated, info = env.step(
        step_key, state, action, params
    )
    told = {name: info[name] for name in INFOS}
    return key, observation, state, info["final_observation"], reward, terminated, truncated, told


_begin, _period = (partial(jax.jit, static_argnums=0)(one) for one in (_begun, _played))


@partial(jax.jit, static_argnums=0)
def _begin_all(env, keys, params):
    return jax.vmap(lambda key: _begun(env, key, params))(keys)


@partial(jax.jit, static_argnums=0)
def _period_of_all(env, keys, states, actions, params):
    return jax.vmap(lambda *own: _played(env, *own, params))(keys, states, actions)
