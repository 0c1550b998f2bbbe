"""gymnasium: gymnax's own wrappers and gymnasium's check of an environment, on every preset."""

import jax
import numpy as np
import pytest
from cases import case
from gymnasium.utils.env_checker import check_env
from gymnax.wrappers.gym import GymnaxToGymWrapper, GymnaxToVectorGymWrapper

import jaxinv
from jaxinv.envs.gym import GymEnv

STORES = dict(
    links=("11",),
    lead_times=((1, 2),),
    warehouse_holding_costs=(0.3,),
    purchase_costs=(0.5,),
    warehouse_lead_time=2,
)
FROM_A_FILE = {"retail": {}, "retail_network": STORES, "network": {}}


def made(name, folder):
    """A preset by its name; those of sales on a small file of two stores."""
    if name not in FROM_A_FILE:
        return jaxinv.make(name)
    return jaxinv.make(
        name, data=str(case("promotion_in_second_store", folder)), history=8, **FROM_A_FILE[name]
    )


pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.filterwarnings(
    "ignore"
)  # an action space is not -1..1, and gymnax's reset has an argument of old
@pytest.mark.parametrize("name", jaxinv.PRESETS)
def test_gymnasium_takes_every_preset(name, tmp_path):
    env, params = made(name, tmp_path)
    for wrapped in (GymnaxToGymWrapper(env, params), GymEnv(env, params)):
        orders = (
            wrapped.action_space["orders"]
            if env.topology.has("dispositions")
            else wrapped.action_space
        )
        assert orders.shape == (env.topology.edges, env.topology.products)
        assert orders.dtype == wrapped.observation_space.dtype == np.float32
        observation, _ = wrapped.reset(seed=1)
        assert np.asarray(observation) in wrapped.observation_space
        observation, reward, *_ = wrapped.step(wrapped.action_space.sample())
        assert np.asarray(observation) in wrapped.observation_space and np.isfinite(reward)
    check_env(GymEnv(env, params), skip_render_check=True)


@pytest.mark.parametrize(
    "name", ["lost_sales", "dual_sourcing", *FROM_A_FILE]
)  # one order, and several
def test_gymnaxs_vector_form(name, tmp_path):
    env, params = made(name, tmp_path)
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
    assert (
        observation[env.observation_names(params).index("backorder[store]")] > 0
    )  # it has owed demand since it began
    assert jax.tree.leaves(wrapped.env_state)[0] == 0  # and the next one is ready
