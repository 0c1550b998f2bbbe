"""Mechanisms of the network one by one, with values by hand; all together they are checked in
`test_network`.
"""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.demand.exogenous import Exogenous, World
from jaxinv.demand.processes import TableParams, Tabulated
from jaxinv.envs.costs import COSTS
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.gym import GymEnv
from jaxinv.envs.network import Action, InstanceParams, NetworkState, transition
from jaxinv.envs.topology import SUPPLIER, Topology
from jaxinv.errors import UserError

pytestmark = pytest.mark.usefixtures("quick_compilation")


def column(*values):
    return jnp.asarray(values, jnp.float32)[:, None]


# Dispositions: a store whose returns go back to its shelf, on to an outlet, or to a dealer

RETURNS = Topology(
    nodes=2,
    sources=(SUPPLIER, SUPPLIER),
    destinations=(0, 1),
    demand_nodes=(0, 1),
    lead_times=(1, 1),
    return_lags=1,
    return_to=(1, 1),
    mechanisms=frozenset({"dispositions"}),
)
NUMBERS = InstanceParams(
    holding=jnp.ones((2, 1)),
    shortage=jnp.ones((2, 1)),
    weights=jnp.ones(len(COSTS)),
    return_share=jnp.ones((2, 1, 1)),
    restock_share=column(0.5, 0.5),
    forward_share=column(0.25, 0.25),
    return_cost=column(1.0, 1.0),
    return_fixed_cost=jnp.asarray([3.0, 3.0]),
    liquidation_value=column(2.0, 2.0),
    scale=jnp.ones((2, 1)),
    initial_low=jnp.zeros((2, 1)),
    initial_high=jnp.zeros((2, 1)),
    initial_pipeline=jnp.zeros((2, 1)),
    lead_time=jnp.ones(2),
    max_order=column(9.0, 9.0),
    demand=TableParams(jnp.full((1, 2, 1), 1.0)),
)


def after_returns(dispositions, topology=RETURNS):
    """Stock and liquidated units after eight sold units came back to the store."""
    state = NetworkState(
        jnp.int32(0), jnp.zeros((2, 1)), jnp.zeros((2, 1, 0)), sales=column(8.0, 0.0)[..., None]
    )
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
    assert outcome.places.nodes[0, COSTS.index("returns")] == pytest.approx(
        8.0 + 3.0 - 2.0 * liquidated
    )


def test_a_network_that_does_not_decide_on_returns_says_so():
    closed = Topology(
        nodes=2, sources=RETURNS.sources, destinations=RETURNS.destinations, demand_nodes=(0, 1),
        lead_times=(1, 1),
        return_lags=1, return_to=(1, 1),
    )  # fmt: skip
    with pytest.raises(UserError, match="mechanism 'dispositions'"):
        after_returns(jnp.ones((2, 1, 3)), closed)
    with pytest.raises(UserError, match="decides on returns"):
        Topology(
            nodes=1,
            sources=(SUPPLIER,),
            destinations=(0,),
            demand_nodes=(0,),
            lead_times=(1,),
            mechanisms=frozenset({"dispositions"}),
        )


def test_the_gradient_of_a_disposition_is_that_of_finite_differences():
    def cost(forward):
        shares = jnp.stack(
            [jnp.full((2, 1), 0.5), jnp.full((2, 1), forward), jnp.full((2, 1), 0.3)], -1
        )
        return -after_returns_reward(shares)

    def after_returns_reward(shares):
        state = NetworkState(
            jnp.int32(0), jnp.zeros((2, 1)), jnp.zeros((2, 1, 0)), sales=column(8.0, 0.0)[..., None]
        )
        return transition(
            RETURNS, state, Action(jnp.zeros((2, 1)), shares), Exogenous(jnp.zeros((2, 1))), NUMBERS
        )[1].reward

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
    np.testing.assert_array_equal(
        alone.on_hand, both.on_hand
    )  # nothing was sold before, so nothing comes back
    names = env.observation_names()
    assert "returns[node 0]" in names and len(names) == env.reset(key)[0].size
    gym = GymEnv(env, NUMBERS)
    assert isinstance(gym.action_space, gymnasium.spaces.Dict)
    gym.reset(seed=0)
    gym.step(gym.action_space.sample())


# Capacity, losses in processing, the order of events: a depot and two shops


def depot(mechanisms, rationing="proportional", **numbers):
    """What a depot with 20 units of each product ships to two shops, and the period's outcome."""
    net = Topology(
        nodes=3, sources=(SUPPLIER, 0, 0), destinations=(0, 1, 2), demand_nodes=(1, 2), products=2,
        lead_times=(2, 2, 2),
        rationing=rationing, mechanisms=frozenset(mechanisms),
    )  # fmt: skip
    nothing = jnp.zeros((3, 2))
    params = InstanceParams(
        holding=nothing,
        shortage=nothing,
        weights=jnp.ones(len(COSTS)),
        volume=jnp.asarray([1.0, 2.0]),
        **numbers,
    )
    state = NetworkState(jnp.int32(0), nothing.at[0].set(20.0), jnp.zeros((3, 2, 1)))

    def play(orders):
        return transition(net, state, jnp.asarray(orders), Exogenous(jnp.zeros((2, 2))), params)

    return play


ASKED = [
    [9.0, 9.0],
    [8.0, 0.0],
    [2.0, 3.0],
]  # loads of 8 from the depot to the first shop and 8 to the second


@pytest.mark.parametrize(
    "rationing, shipped",
    [
        ("proportional", [[5.0, 0.0], [1.25, 1.875]]),
        ("priority", [[8.0, 0.0], [0.5, 0.75]]),
        ("equal_shortage", [[5.0, 0.0], [1.25, 1.875]]),
    ],
)
def test_what_a_node_ships_fits_its_capacity_over_all_edges_and_products(rationing, shipped):
    play = depot({"shipping_capacity"}, rationing, shipping_capacity=jnp.asarray([10.0, 1.0, 1.0]))
    state, outcome = play(ASKED)
    np.testing.assert_allclose(outcome.ordered[1:], shipped, rtol=1e-6)
    assert outcome.ordered[0].tolist() == [9.0, 9.0]  # the supplier has none
    np.testing.assert_allclose(state.on_hand[0], 20.0 - np.sum(shipped, 0), rtol=1e-6)


def test_capacity_that_suffices_changes_no_bit():
    free = depot(set())(ASKED)
    wide = depot({"shipping_capacity"}, shipping_capacity=jnp.asarray([16.0, 1e9, 1e9]))(ASKED)
    jax.tree.map(np.testing.assert_array_equal, free, wide)


def test_of_what_is_taken_a_share_is_shipped_and_the_rest_is_lost():
    play = depot({"processing_yield"}, processing_yield=jnp.asarray([0.5, 0.8, 0.25]))
    state, outcome = play([[4.0, 0.0], [8.0, 0.0], [4.0, 1.0]])  # needs 10 + 16 of 20, and 4 of 20
    np.testing.assert_allclose(
        outcome.ordered, [[4.0, 0.0], [8 * 20 / 26, 0.0], [4 * 20 / 26, 1.0]], rtol=1e-6
    )
    np.testing.assert_allclose(
        outcome.lost, [[4.0, 0.0], [40 / 26, 0.0], [240 / 26, 3.0]], rtol=1e-5
    )
    np.testing.assert_allclose(state.on_hand[0], [0.0, 16.0], atol=1e-5)


def test_with_orders_first_arrivals_serve_demand_and_are_shipped_a_period_later():
    def chain(mechanisms, slots):
        net = Topology(
            nodes=2,
            sources=(SUPPLIER, 0),
            destinations=(0, 1),
            demand_nodes=(1,),
            lead_times=(1, 0),
            mechanisms=frozenset(mechanisms),
        )
        assert net.slots == slots
        nothing = jnp.zeros((2, 1))
        params = InstanceParams(holding=nothing, shortage=nothing, weights=jnp.ones(len(COSTS)))
        pipeline = jnp.zeros((2, 1, slots)).at[0, 0, :].set(4.0)
        state = NetworkState(jnp.int32(0), column(0.0 if slots else 4.0, 0.0), pipeline)
        shipped, sold = [], []
        for _ in range(2):
            state, outcome = transition(
                net, state, column(0.0, 4.0), Exogenous(jnp.full((1, 1), 3.0)), params
            )
            shipped.append(float(outcome.ordered[1, 0]))
            sold.append(float(outcome.sold[1, 0]))
        return shipped, sold

    assert chain(set(), 0) == (
        [4.0, 0.0],
        [3.0, 1.0],
    )  # what arrived at the start of the period is shipped on at once
    assert chain({"orders_first"}, 1) == ([0.0, 4.0], [0.0, 3.0])


# Goodwill


def shop_with_goodwill(tolerance, stock, periods):
    """Levels after, and demand of, periods of (base demand, order): growth 1.25, decay 0.5, within
    0.5 .. 1.5.
    """
    net = Topology(
        nodes=1, sources=(SUPPLIER,), destinations=(0,), demand_nodes=(0,), lead_times=(1,),
        mechanisms=frozenset({"goodwill"})
    )  # fmt: skip

    def number(value):
        return jnp.full((1, 1), value)

    params = InstanceParams(
        holding=number(0.0), shortage=number(0.0), weights=jnp.ones(len(COSTS)),
        goodwill_growth=number(1.25),
        goodwill_decay=number(0.5), goodwill_tolerance=number(tolerance), goodwill_low=number(0.5),
        goodwill_high=number(1.5),
    )  # fmt: skip
    state = NetworkState(jnp.int32(0), number(stock), jnp.zeros((1, 1, 0)), goodwill=number(1.0))
    levels, asked = [], []
    for base, order in periods:
        state, outcome = transition(net, state, number(order), Exogenous(number(base)), params)
        levels.append(float(state.goodwill[0, 0]))
        asked.append(float(outcome.demand[0, 0]))
    return levels, asked


def test_goodwill_follows_service_within_its_bounds():
    """8 are served, 8 of 10, none of 5; then nobody asks; then 4.25 of 5 are served; and so on."""
    periods = (
        (8.0, 0.0),
        (8.0, 0.0),
        (8.0, 0.0),
        (0.0, 4.25),
        (8.0, 99.0),
        (8.0, 99.0),
        (8.0, 99.0),
        (8.0, 99.0),
        (8.0, 0.0),
    )
    levels, asked = shop_with_goodwill(0.0, 16.0, periods)
    assert asked == pytest.approx([8.0, 10.0, 5.0, 0.0, 5.0, 4.0, 5.0, 6.25, 7.8125])
    assert levels == pytest.approx(
        [1.25, 0.625, 0.5, 0.625, 0.5, 0.625, 0.78125, 0.9765625, 1.220703125]
    )


def test_goodwill_that_tolerates_a_little_decays_in_proportion():
    levels, _ = shop_with_goodwill(0.5, 8.0, ((10.0, 0.0), (10.0, 0.0)))
    little = 1.25 - 2 / 5 * 0.75  # 2 of 10 are unserved, and 5 would be too many
    assert levels == pytest.approx([little, 0.5])  # and then all are, down to the bound
