"""A network as a parallel environment of PettingZoo, whose package is imported here alone."""

from functools import partial
from typing import Any

import gymnasium
import jax
import numpy as np
from pettingzoo import ParallelEnv

from jaxinv.envs.division import Division
from jaxinv.envs.gym import gym_space
from jaxinv.envs.multi_agent import MultiAgentNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.errors import UserError
from jaxinv.keys import root


class ParallelNetwork(ParallelEnv):
    """A network and its agents in NumPy, with observations, actions and rewards as in
    `MultiAgentNetwork`.

    A seed plays the same episode as it does in `jaxinv.envs.gym.GymEnv`. Without one, episodes go
    on from the last seed (0 at first). All agents live until the episode ends.
    """

    def __init__(self, division: Division, params: InstanceParams):
        self.network = MultiAgentNetwork(division, params)
        self.metadata = {"name": self.network.name, "render_modes": [], "is_parallelizable": True}
        self.render_mode = None
        self.possible_agents = list(self.network.agents)
        self.agents: list[str] = []
        self.observation_spaces, self.action_spaces = (
            {name: gym_space(space) for name, space in own.items()}
            for own in (self.network.observation_spaces, self.network.action_spaces)
        )
        self._key, self._state = root(0), None

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict, dict]:
        """A fresh episode: observations and infos by agent. There are no options."""
        key = self._key if seed is None else root(seed)
        self._key, observations, self._state = _begin(
            self.network.division, key, self.network.params
        )
        self.agents = list(self.possible_agents)
        return jax.device_get(observations), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, Any]) -> tuple[dict, dict, dict, dict, dict]:
        """One period: observations, rewards, terminated, truncated and infos by agent. At its end
        no agent is left.

        Raises:
          UserError: for actions that are not one for each agent, or of another shape.
        """
        if not self.agents:
            raise UserError("no episode is under way; call reset first")
        self._key, (observations, self._state, rewards, dones, infos) = _period(
            self.network.division, self._key, self._state, actions, self.network.params
        )
        observations, rewards, dones, infos = jax.device_get((observations, rewards, dones, infos))
        ended = {
            what: dict.fromkeys(self.agents, bool(infos[what][0]))
            for what in ("terminated", "truncated")
        }
        rewards, nothing = (
            {name: float(rewards[name]) for name in self.agents},
            {name: {} for name in self.agents},
        )
        if dones["__all__"]:
            self.agents = []
        return observations, rewards, ended["terminated"], ended["truncated"], nothing

    def state(self) -> np.ndarray:
        """The observation of the whole network `[F]`."""
        if self._state is None:
            raise UserError("there is no state before the first reset")
        return np.asarray(self.network.get_world_state(self._state))

    def observation_space(self, agent: str) -> gymnasium.Space:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.Space:
        return self.action_spaces[agent]


@partial(jax.jit, static_argnames="division")
def _begin(division, key, params):
    key, reset_key = jax.random.split(key)
    return key, *division.reset(reset_key, params)


@partial(jax.jit, static_argnames="division")
def _period(division, key, state, actions, params):
    key, step_key = jax.random.split(key)
    step_key, _ = jax.random.split(step_key)  # the gymnax form keeps the other for a reset
    return key, division.play(step_key, state, actions, params)
