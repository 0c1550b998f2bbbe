"""Shipments of which only a share arrives: their law, what rules see of them, and the exact solver
beside value iteration by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.demand.arrivals import ArrivalLaw, Arrivals
from jaxinv.demand.exogenous import (
    Exogenous,
    QuotedLeadTimes,
    RandomLeadTimes,
    RandomLeadTimesParams,
    World,
)
from jaxinv.demand.processes import TableParams, Tabulated
from jaxinv.envs import views
from jaxinv.envs.costs import COSTS
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.topology import SUPPLIER, Topology
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import play_world, rollout

pytestmark = pytest.mark.usefixtures("quick_compilation")


def iterated(holding, shortage, demand, shares, cap=40, sweeps=4000):
    """Least average cost of lost sales with lead time 1, where a share of an order arrives:
    relative value iteration.

    Args:
      demand, shares: `{value: probability}`; what arrives are whole units, the nearest.
    """
    stock = np.arange(cap + 1)
    value = np.zeros(cap + 1)
    orders = np.arange(cap // 2)
    for _ in range(sweeps):
        now = np.zeros(cap + 1)
        then = np.zeros((cap + 1, len(orders)))
        for units, chance in demand.items():
            left = np.maximum(stock - units, 0)
            now += chance * (holding * left + shortage * np.maximum(units - stock, 0))
            for share, likely in shares.items():
                after = np.minimum(left[:, None] + np.round(share * orders)[None].astype(int), cap)
                then += chance * likely * value[after]
        fresh = now + then.min(1)
        change = fresh - value
        value = value + 0.9 * change
        value -= value[0]
        if np.ptp(change) < 1e-9:
            break
    return change.mean()


@pytest.mark.parametrize(
    "shares", [{0.0: 0.25, 1.0: 0.75}, {0.0: 0.1, 0.5: 0.3, 1.0: 0.6}, {0.6: 0.5, 0.8: 0.5}]
)
def test_the_optimum_with_lost_orders_and_yields_is_that_of_value_iteration_by_hand(shares):
    env, params = jaxinv.make(
        "lost_sales", lead_time=1, demand="uniform", mean=2.0, shortage_cost=9.0,
        arrival_shares=tuple(shares),
        arrival_pmf=tuple(shares.values()),
    )  # fmt: skip
    found = jaxinv.exact.solve(env, params)
    expected = iterated(1.0, 9.0, dict.fromkeys(range(5), 0.2), shares)
    assert found.average_cost == pytest.approx(expected, abs=1e-5)


def test_what_is_lost_costs_and_the_solver_knows():
    options = dict(
        lead_time=2,
        demand="uniform",
        low=0,
        high=2,
        mean=1.0,
        arrival_shares=(0.0, 1.0),
        arrival_pmf=(0.5, 0.5),
    )
    free = jaxinv.exact.solve(*jaxinv.make("lost_sales", **options)).average_cost
    dear = jaxinv.exact.solve(*jaxinv.make("lost_sales", **options, loss_cost=1.0)).average_cost
    assert (
        free + 0.1 < dear < free + 1.0
    )  # a mean demand of one, of which as much is lost as arrives, is the most it costs


def test_a_solved_policy_costs_what_the_solver_says_in_the_simulator():
    env, params = jaxinv.make(
        "lost_sales", lead_time=1, arrival_shares=(0.0, 1.0), arrival_pmf=(0.2, 0.8), loss_cost=0.5
    )
    found = jaxinv.exact.solve(env, params)
    start, world = play_world(env, jax.random.key(0), params, 512, 300)

    def act(numbers, observation, _):
        return found.policy.act(numbers, observation, None), None

    costs = -rollout(env, params, act, found.params, start, world.exogenous)[1][50:]
    spread = float(costs.mean(0).std() / np.sqrt(512))
    assert float(costs.mean()) == pytest.approx(found.average_cost, abs=5 * spread + 1e-3)
    assert 0.15 < float((world.exogenous.arrival == 0).mean()) < 0.25


def test_a_lead_time_of_zero_is_refused_by_the_solver():
    env, params = jaxinv.make(
        "lost_sales", lead_time=0, arrival_shares=(0.0, 1.0), arrival_pmf=(0.5, 0.5)
    )
    with pytest.raises(UserError, match="lead times of 0"):
        jaxinv.exact.solve(env, params)


# The law


def test_shares_are_a_monotone_function_of_the_uniform_with_the_given_probabilities():
    law = ArrivalLaw.of({1: {1.0: 0.5, 0.0: 0.2, 0.7: 0.3}}, 3)
    params = InstanceParams(arrival_law=law)
    uniforms = jnp.linspace(0.0, 1.0, 1001)[:-1]
    shares = jax.vmap(lambda u: Arrivals(3).shares({"arrival": jnp.full(3, u)}, params))(uniforms)
    assert np.all(shares[:, [0, 2]] == 1.0) and np.all(np.diff(shares[:, 1]) >= 0)
    values, counts = np.unique(np.asarray(shares[:, 1]), return_counts=True)
    assert values == pytest.approx([0.0, 0.7, 1.0]) and counts == pytest.approx(
        [200, 300, 500], abs=1
    )
    assert law.mean() == pytest.approx([1.0, 0.71, 1.0])
    every, chance = law.support()
    assert every[:, 1].tolist() == pytest.approx([0.0, 0.7, 1.0]) and chance == pytest.approx(
        [0.2, 0.3, 0.5]
    )


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(arrival_shares=(0.0, 1.5), arrival_pmf=(0.5, 0.5)), "share of 1.5"),
        (dict(arrival_shares=(0.0, float("nan")), arrival_pmf=(0.5, 0.5)), "nan"),
        (dict(arrival_shares=(0.0, 1.0), arrival_pmf=(0.5, 0.6)), "sum to 1.1"),
        (dict(arrival_shares=(0.0, 1.0), arrival_pmf=(1.5, -0.5)), "not a probability"),
        (dict(arrival_shares=(0.0, 1.0), arrival_pmf=(1.0,)), "2 shares"),
        (dict(arrival_shares=(1.0, 1.0), arrival_pmf=(0.5, 0.5)), "twice"),
        (dict(arrival_pmf=(0.5, 0.5)), "0 shares"),
        (dict(loss_cost=1.0), "arrival_shares"),
    ],
)
def test_what_is_no_law_is_named(options, message):
    with pytest.raises(UserError, match=message):
        jaxinv.make("lost_sales", **options)


def test_a_world_without_arrivals_draws_the_same_demand_and_lead_times():
    options = dict(lead_time_pmf=(0.0, 0.5, 0.25, 0.25), horizon=20)
    plain, numbers = jaxinv.make("lost_sales", **options)
    lossy, other = jaxinv.make(
        "lost_sales", **options, arrival_shares=(0.0, 1.0), arrival_pmf=(0.3, 0.7)
    )
    key = jax.random.key(5)
    (first, one), (second, two) = (
        play_world(env, key, params, 8, 50) for env, params in ((plain, numbers), (lossy, other))
    )
    np.testing.assert_array_equal(one.exogenous.demand, two.exogenous.demand)
    np.testing.assert_array_equal(first.on_hand, second.on_hand)
    came = two.exogenous.arrival > 0
    np.testing.assert_array_equal(one.exogenous.lead_time[came], two.exogenous.lead_time[came])
    assert np.all(two.exogenous.lead_time[~came] == 3.0) and not np.all(
        came
    )  # lost for sure after the last day it may take


# Positions


def test_a_position_counts_what_is_lost_until_it_is_overdue_and_no_longer():
    """Two edges, laws that end after 2 and 4 periods: a lost order of 7 stands in the position as
    long as it may still come.
    """
    law = RandomLeadTimesParams(
        jnp.asarray([[[0.0, 0.0], [0.5, 0.0], [1.0, 0.5], [1.0, 0.75]]]),
        jnp.float32(0.0),
        jnp.float32(1.0),
    )
    process = RandomLeadTimes(2)
    assert process.latest(InstanceParams(lead_time_law=law)).tolist() == [2.0, 4.0]
    assert QuotedLeadTimes().latest(InstanceParams(lead_time=jnp.asarray([3.0, 1.0]))).tolist() == [
        3.0,
        1.0,
    ]

    net = Topology(
        nodes=2, sources=(SUPPLIER, SUPPLIER), destinations=(0, 1), demand_nodes=(0,),
        max_lead_time=4,
        mechanisms=frozenset({"arrivals"}),
    )  # fmt: skip
    never = ArrivalLaw.of({0: {0.0: 1.0}, 1: {0.0: 1.0}}, 2)
    nothing = jnp.zeros((2, 1))
    params = InstanceParams(
        holding=nothing,
        shortage=nothing,
        weights=jnp.ones(len(COSTS)),
        scale=jnp.ones((2, 1)),
        lead_time=jnp.ones(2),
        initial_low=nothing,
        initial_high=nothing,
        initial_pipeline=nothing,
        max_order=jnp.full((2, 1), 9.0),
        lead_time_law=law,
        arrival_law=never,
        demand=TableParams(jnp.ones((1, 1, 1))),
    )
    env = InventoryNetwork(net, World(Tabulated(), process, arrival=Arrivals(2)), params)
    state, world = env.start({"stock": jnp.zeros((2, 1))}, params), (None, jnp.int32(0))
    seen, lost = [], []
    for period in range(5):
        uniforms = {
            "demand": jnp.full((1, 1), 0.5),
            "lead_time": jnp.full(2, 0.1),
            "arrival": jnp.full(2, 0.5),
        }
        world, exogenous = env.world.step(world, uniforms, params)
        order = jnp.full((2, 1), 7.0 if period == 0 else 0.0)
        state, outcome = env.transition(state, order, exogenous, params)
        seen.append(views.inventory_position(net, env.view(state, params))[:, 0].tolist())
        lost.append(outcome.lost[:, 0].tolist())
    assert seen == [[7.0, 7.0], [0.0, 7.0], [0.0, 7.0], [0.0, 0.0], [0.0, 0.0]]
    assert lost == [[0.0, 0.0], [7.0, 0.0], [0.0, 0.0], [0.0, 7.0], [0.0, 0.0]]


def test_part_of_an_order_arrives_in_whole_units_and_the_gradient_sees_the_share():
    env, params = jaxinv.make(
        "lost_sales", lead_time=1, arrival_shares=(0.3, 1.0), arrival_pmf=(0.5, 0.5)
    )
    state = env.start({"stock": jnp.zeros((1, 1))}, params.replace(initial_low=jnp.zeros((1, 1))))
    exogenous = Exogenous(jnp.zeros((1, 1)), arrival=jnp.asarray([0.3]))

    def next_stock(order):
        return env.transition(state, jnp.full((1, 1), order), exogenous, params)[0].on_hand[0, 0]

    assert next_stock(5.0) == 2.0 and next_stock(4.0) == 1.0  # 1.5 rounds to even, 1.2 down
    assert jax.grad(next_stock)(5.0) == pytest.approx(0.3)
