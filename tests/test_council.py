"""Agents who each propose the whole decision, and how one is made of what they propose."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow_but

from jaxinv.agents.dqn import DQN, DQNConfig
from jaxinv.agents.loop import Trainer
from jaxinv.envs.registry import preset
from jaxinv.errors import UserError
from jaxinv.nets.council import COORDINATORS, Council, ranges, within
from jaxinv.nets.critics import GridQ

pytestmark = pytest.mark.usefixtures("quick_compilation")

TINY = dict(
    updates=2,
    envs=4,
    rollout=4,
    capacity=64,
    batch=8,
    steps=1,
    encoder="none",
    hidden=(4,),
    actions=7,
    knots=2,
    roles="nodes",
)


def coordinated(name, q, owners=(0, 1), owner_weight=0.8):
    agents, _, levels = q.shape
    council = Council(
        GridQ(2 * levels, 1, None),
        agents,
        (),
        (),
        coordinator=name,
        owners=owners,
        levels=levels,
        owner_weight=owner_weight,
    )
    return np.asarray(council.coordinated(jnp.asarray(q, jnp.float32))).tolist()


def preferring(*levels):
    """Values `[agents, branches, 11]` of agents who prefer these levels `[agents][branches]`."""
    return -np.abs(np.arange(11.0) - np.asarray(levels, float)[..., None])


def test_levels_by_hand():
    q = preferring((2, 3), (6, 10))
    assert coordinated("owner", q) == [2, 10]
    assert coordinated("mean", q) == [4, 6]  # (2 + 6) / 2 and 6.5, rounded to even
    assert coordinated("weighted", q) == [
        3,
        9,
    ]  # 0.8 * 2 + 0.2 * 6 = 2.8 and 0.2 * 3 + 0.8 * 10 = 8.6
    # agent 1 gains far more by its levels than agent 0, so its proposals are what comes out
    q[1] *= 100.0
    assert coordinated("learned", q) == [6, 10]
    assert coordinated("learned", q[:, ::-1], owners=(1, 0)) == [10, 6]


def test_an_allocator_confines_owners_to_a_range():
    assert ranges(11).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    q = preferring((2, 3), (6, 10), (5, 0))
    assert coordinated("hierarchy", q) == [
        5,
        2,
    ]  # ranges 5-6 and 0-2, of which the owners (agents 0 and 1) take the nearest
    assert within(jnp.int32(3), jnp.asarray(preferring(9))).tolist() == [8]


@pytest.mark.parametrize("coordinator", slow_but(["learned"], COORDINATORS))
def test_what_is_executed_is_what_is_stored_and_chosen(coordinator):
    problem = preset("one_warehouse_many_stores")(stores=2).build()
    agent = DQN.create(problem, DQNConfig(**TINY, coordinator=coordinator))
    state = Trainer(agent).train(jax.random.key(0), 2).learner
    assert state.replay.items.kept.shape == (
        64,
        3,
    )  # one level of each of three orders, whoever proposed it
    rewards = state.replay.items.reward
    assert rewards.shape == (64, 3 + (coordinator == "hierarchy"))
    episodes = state.episodes
    network = jax.tree.map(lambda leaf: leaf[..., 0], episodes.network)
    observation = agent.worlds.env.view(network, problem.first, episodes.signals[..., 0])
    context = jax.tree.map(
        lambda leaf: leaf[-1],
        agent.policy.encode(state.params, observation.signals, observation.instance),
    )
    decision = agent.policy.decide(state.params, observation, context)
    levels = decision.mean.reshape(3, 7).argmax(-1)
    np.testing.assert_array_equal(levels, agent.policy.network.coordinated(decision.q))
    assert agent.policy.act(state.params, observation, context).shape == (3, 1)


def test_the_mean_of_equal_agents_is_the_decision_of_one():
    q = preferring((2, 7), (2, 7), (2, 7))
    for name in COORDINATORS:
        assert coordinated(name, q) == [2, 7]


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(coordinator="median"), "coordinator"),
        (dict(coordinator="mean", roles="one"), "roles=one has one"),
        (
            dict(coordinator="mean", learns=("warehouse",), partners="base_stock(level=[1])"),
            "leave out learns and partners",
        ),
        (dict(coordinator="weighted", owner_weight=1.5), "owner_weight=1.5 must lie in 0..1"),
    ],
)
def test_what_means_nothing_is_refused_by_name(options, message):
    with pytest.raises(UserError, match=message):
        DQNConfig(**TINY | options)


def test_a_coordinator_of_a_lone_agent_is_refused():
    problem = preset("lost_sales")().build()
    with pytest.raises(UserError, match="leave it out"):
        DQN.create(problem, DQNConfig(**TINY, coordinator="mean"))
