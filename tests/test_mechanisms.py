"""Mechanisms of the network one by one, with values by hand; all together they are checked in `test_network`."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.demand.exogenous import Exogenous, World
from jaxinv.demand.processes import Tabulated, TableParams
from jaxinv.envs.costs import COSTS
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.gym import GymEnv
from jaxinv.envs.network import Action, InstanceParams, NetworkState, transition
from jaxinv.envs.topology import SUPPLIER, Topology
from jaxinv.errors import UserError


def column(*values):
    return jnp.asarray(values, jnp.float32)[:, None]


# Dispositions: a store whose returns go back to its shelf, on to an outlet, or to a dealer

RETURNS = Topology(
    nodes=2, sources=(SUPPLIER, SUPPLIER), destinations=(0, 1), demand_nodes=(0, 1), lead_times=(1, 1), return_lags=1,
    return_to=(1, 1), mechanisms=frozenset({"dispositions"}),
)  # fmt: skip
NUMBERS = InstanceParams(
    holding=jnp.ones((2, 1)), shortage=jnp.ones((2, 1)), weights=jnp.ones(len(COSTS)), return_share=jnp.ones((2, 1, 1)),
    restock_share=column(0.5, 0.5), forward_share=column(0.25, 0.25), return_cost=column(1.0, 1.0),
    return_fixed_cost=jnp.asarray([3.0, 3.0]), liquidation_value=column(2.0, 2.0), scale=jnp.ones((2, 1)),
    initial_low=jnp.zeros((2, 1)), initial_high=jnp.zeros((2, 1)), initial_pipeline=jnp.zeros((2, 1)),
    lead_time=jnp.ones(2), max_order=column(9.0, 9.0), demand=TableParams(jnp.full((1, 2, 1), 1.0)),
)  # fmt: skip


def after_returns(dispositions, topology=RETURNS):
    """Stock and liquidated units after eight sold units came back to the store."""
    state = NetworkState(jnp.int32(0), jnp.zeros((2, 1)), jnp.zeros((2, 1, 0)), sales=column(8.0, 0.0)[..., None])
    action = jnp.zeros((2, 1)) if dispositions is None else Action(jnp.zeros((2, 1)), dispositions)
    state, outcome = transition(topology, state, action, Exogenous(jnp.zeros((2, 1))), NUMBERS)
    return state.on_hand[:, 0].tolist(), outcome.liquidated[:, 0].tolist(), outcome


@pytest.mark.parametrize(
    "asked, stock, liquidated",
    [
        (None, [4.0, 2.0], 2.0),  # orders alone: the shares of the instance
        ([1.0, 0.0, 0.0], [8.0, 0.0], 0.0),
        ([0.0, 0.0, 1.0], [0.0, 0.0], 8.0),
        ([2.0, 1.0, 1.0], [4.0, 2.0], 2.0),  # more than there is
        ([1.0, -5.0, 1.0], [4.0, 0.0], 4.0),  # less than nothing
        ([0.0, 0.0, 0.0], [4.0, 2.0], 2.0),  # nothing said
        ([np.nan, 3.0, np.nan], [0.0, 8.0], 0.0),
    ],
)
def test_dispositions_are_made_feasible(asked, stock, liquidated):
    wanted = None if asked is None else jnp.broadcast_to(jnp.asarray(asked), (2, 1, 3))
    found, sold_off, outcome = after_returns(wanted)
    assert found == pytest.approx(stock) and sold_off == pytest.approx([liquidated, 0.0])
    assert outcome.places.nodes[0, COSTS.index("returns")] == pytest.approx(8.0 + 3.0 - 2.0 * liquidated)


def test_a_network_that_does_not_decide_on_returns_says_so():
    closed = Topology(
        nodes=2, sources=RETURNS.sources, destinations=RETURNS.destinations, demand_nodes=(0, 1), lead_times=(1, 1),
        return_lags=1, return_to=(1, 1),
    )  # fmt: skip
    with pytest.raises(UserError, match="mechanism 'dispositions'"):
        after_returns(jnp.ones((2, 1, 3)), closed)
    with pytest.raises(UserError, match="decides on returns"):
        Topology(nodes=1, sources=(SUPPLIER,), destinations=(0,), demand_nodes=(0,), lead_times=(1,),
                 mechanisms=frozenset({"dispositions"}))  # fmt: skip


def test_the_gradient_of_a_disposition_is_that_of_finite_differences():
    def cost(forward):
        shares = jnp.stack([jnp.full((2, 1), 0.5), jnp.full((2, 1), forward), jnp.full((2, 1), 0.3)], -1)
        return -after_returns_reward(shares)

    def after_returns_reward(shares):
        state = NetworkState(jnp.int32(0), jnp.zeros((2, 1)), jnp.zeros((2, 1, 0)), sales=column(8.0, 0.0)[..., None])
        return transition(RETURNS, state, Action(jnp.zeros((2, 1)), shares), Exogenous(jnp.zeros((2, 1))), NUMBERS)[1].reward

    slope = (cost(0.4 + 1e-2) - cost(0.4 - 1e-2)) / 2e-2
    assert jax.grad(cost)(0.4) == pytest.approx(float(slope), rel=1e-2) and abs(slope) > 1


def test_an_environment_takes_orders_and_dispositions_or_orders_alone():
    env = InventoryNetwork(RETURNS, World(Tabulated(locations=2)), NUMBERS)
    key = jax.random.key(0)
    _, state = env.reset(key)
    action = env.action_space().sample(key)
    assert set(action) == {"orders", "dispositions"}
    alone = env.step(key, state, action["orders"])[1].network
    both = env.step(key, state, action)[1].network
    np.testing.assert_array_equal(alone.on_hand, both.on_hand)  # nothing was sold before, so nothing comes back
    names = env.observation_names()
    assert "returns[node 0]" in names and len(names) == env.reset(key)[0].size
    gym = GymEnv(env, NUMBERS)
    assert isinstance(gym.action_space, gymnasium.spaces.Dict)
    gym.reset(seed=0)
    gym.step(gym.action_space.sample())
