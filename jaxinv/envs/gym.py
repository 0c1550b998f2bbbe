"""A network as a gymnasium environment."""

import gymnasium
import jax
import numpy as np
from gymnax.wrappers import gym


class GymEnv(gym.GymnaxToGymWrapper):
    """gymnax's wrapper as gymnasium's checks want it: arrays of NumPy, a generator that is seeded,
    and at the end of an episode its last observation, after which the caller resets.

        env = GymEnv(*jaxinv.make("lost_sales", lead_time=2))
        observation, info = env.reset(seed=0)
    """

    def reset(self, *, seed=None, options=None):
        gymnasium.Env.reset(self, seed=seed)
        observation, info = super().reset(seed=seed, options=options)
        return np.asarray(observation), info

    def step(self, action):
        _, reward, terminated, truncated, info = super().step(action)
        info = jax.device_get(info)
        return info.pop("final_observation"), float(reward), bool(terminated), bool(truncated), info
