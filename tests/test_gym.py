"""gymnasium: gymnax's own wrappers and gymnasium's check of an environment, on every preset that needs no file."""

import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnax.wrappers.gym import GymnaxToGymWrapper, GymnaxToVectorGymWrapper

import jaxinv
from jaxinv.envs.gym import GymEnv

NAMES = [name for name in jaxinv.PRESETS if name not in ("retail", "retail_network")]

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.filterwarnings("ignore")  # an action space is not -1..1, and gymnax's reset has an argument of old
@pytest.mark.parametrize("name", NAMES)
def test_gymnasium_takes_every_preset(name):
    env, params = jaxinv.make(name)
    for wrapped in (GymnaxToGymWrapper(env, params), GymEnv(env, params)):
        assert wrapped.action_space.shape == (env.topology.edges, env.topology.products)
        assert wrapped.action_space.dtype == wrapped.observation_space.dtype == np.float32
        observation, _ = wrapped.reset(seed=1)
        assert np.asarray(observation) in wrapped.observation_space
        observation, reward, *_ = wrapped.step(wrapped.action_space.sample())
        assert np.asarray(observation) in wrapped.observation_space and np.isfinite(reward)
    check_env(GymEnv(env, params), skip_render_check=True)


@pytest.mark.parametrize("name", ["lost_sales", "dual_sourcing"])  # one order, and several
def test_gymnaxs_vector_form(name):
    env, params = jaxinv.make(name)
    many = GymnaxToVectorGymWrapper(env, 3, params)
    observation, _ = many.reset(seed=1)
    assert np.asarray(observation) in many.observation_space
    observation, reward, *_ = many.step(many.action_space.sample())
    assert np.asarray(observation) in many.observation_space and reward.shape == (3,)


def test_an_episode_ends_with_its_last_observation():
    env, params = jaxinv.make("deepstock")
    wrapped = GymEnv(env, params.replace(max_steps_in_episode=2))
    wrapped.reset(seed=0)
    nothing = np.zeros((1, 1), np.float32)
    assert wrapped.step(nothing)[2:4] == (False, False)
    observation, _, terminated, truncated, _ = wrapped.step(nothing)
    assert terminated and not truncated
    assert observation[env.observation_names(params).index("backorder[store]")] > 0  # it has owed demand since it began
    assert jax.tree.leaves(wrapped.env_state)[0] == 0  # and the next one is ready
