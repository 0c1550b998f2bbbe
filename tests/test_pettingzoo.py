"""What PettingZoo asks of a parallel environment, on every network preset. Skipped where pettingzoo
is not installed.
"""

import numpy as np
import pytest
from networks import NETWORKS, each_network, made

import jaxinv
from jaxinv.envs.gym import GymEnv
from jaxinv.errors import UserError

pytest.importorskip("pettingzoo", reason="pettingzoo is not installed: pip install 'jaxinv[marl]'")

from pettingzoo.test import parallel_api_test  # noqa: E402

pytestmark = pytest.mark.usefixtures("quick_compilation")


@each_network
@pytest.mark.filterwarnings("error::UserWarning")
def test_pettingzoo_takes_every_network(network, levels):
    env = made(network, api="pettingzoo", levels=levels)
    parallel_api_test(env, num_cycles=10)
    observations, _ = env.reset(seed=1)
    for agent in env.possible_agents:
        assert observations[agent] in env.observation_space(agent)
        assert observations[agent].dtype == np.float32 and isinstance(
            observations[agent], np.ndarray
        )
    assert env.state().ndim == 1


def test_a_seed_plays_what_it_plays_in_gymnasium():
    name, options = NETWORKS["one warehouse"]
    whole, env = (
        GymEnv(*jaxinv.make(name, **options)),
        jaxinv.make_multi_agent(name, api="pettingzoo", share=0.0, **options),
    )
    observation, _ = whole.reset(seed=5)
    env.reset(seed=5)
    for _ in range(4):
        np.testing.assert_array_equal(env.state(), observation)
        orders = np.asarray([[5.0], [1.0], [2.0]], np.float32)
        observation, reward, terminated, truncated, _ = whole.step(orders)
        _, rewards, ended, cut, infos = env.step(
            {agent: list(own) for agent, own in zip(env.possible_agents, orders)}
        )
        assert sum(rewards.values()) == pytest.approx(reward, rel=1e-5)
        assert all(ended[agent] == terminated and cut[agent] == truncated for agent in rewards)
        assert infos == {agent: {} for agent in env.possible_agents}
    np.testing.assert_array_equal(env.state(), observation)
    assert cut["warehouse"] and not env.agents
    with pytest.raises(UserError, match="call reset first"):
        env.step({})


def test_an_episode_that_is_over_for_good_is_terminated():
    env = jaxinv.make_multi_agent("lost_sales", api="pettingzoo", horizon=6, lead_time=1, ends=True)
    env.reset(seed=0)
    for _ in range(6):
        *_, terminated, truncated, _ = env.step({"store": np.zeros(1)})
    assert terminated == {"store": True} and truncated == {"store": False}


def test_wrong_actions_are_refused_by_name_in_pettingzoo():
    env = made("serial", api="pettingzoo")
    with pytest.raises(UserError, match="no state before"):
        env.state()
    env.reset()
    with pytest.raises(UserError, match="no action for stage 0, stage 1"):
        env.step({"stage 2": np.zeros(1), "stage 3": np.zeros(1)})
    with pytest.raises(
        UserError, match=r"the action of stage 3 is an array of shape \(1,\), not \(3,\)"
    ):
        env.step({agent: np.zeros(3 if agent == "stage 3" else 1) for agent in env.agents})
