"""Goods with shelf lives of their own: periods by hand, what is told, and how rules order them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxinv
from jaxinv.demand.exogenous import Exogenous
from jaxinv.envs import views
from jaxinv.envs.costs import COSTS
from jaxinv.envs.landed import stock_value
from jaxinv.envs.spoiling import fate
from jaxinv.errors import UserError
from jaxinv.policies.fresh import freshness_bound
from jaxinv.policies.rules import make_rule

pytestmark = pytest.mark.usefixtures("quick_compilation")


# The transition


def three_products(**edge):
    """What lasts for a period, for three, and for ever, an order a period before it arrives."""
    net = jaxinv.Network(products=("day", "third", "ever"))
    net.supplier("supplier")
    net.node(
        "shop", demand="normal(3, 1)", holding_cost_per_unit_period=1.0,
        shortage_cost_per_unit=10.0, expiry_cost_per_unit=5.0, shelf_life_periods=(1, 3, 0),
    )  # fmt: skip
    net.edge("supplier", "shop", lead_time_periods=1, **edge)
    return net


def test_periods_by_hand():
    env = three_products().problem().env
    params, topology = env.default_params, env.topology
    assert topology.ages == 3 and topology.has("shelf_lives")
    state = env.start(
        {"stock": jnp.zeros((1, 3))}, params.replace(initial_low=jnp.asarray([[4.0, 5.0, 5.0]]))
    )
    assert state.on_hand[0].tolist() == [[4, 0, 0], [0, 0, 5], [0, 0, 5]]
    played = []
    for order, demand in ((4, 3), (0, 3), (0, 0), (0, 1), (0, 0)):
        exogenous = Exogenous(jnp.full((1, 3), float(demand)))
        state, outcome = env.transition(state, jnp.full((1, 3), float(order)), exogenous, params)
        played.append(
            (outcome.expired[0].tolist(), state.on_hand[0].tolist(), -float(outcome.reward))
        )
    assert played == [
        ([1, 0, 0], [[4, 0, 0], [0, 2, 4], [0, 0, 6]], 5 + 5),  # 1, 2 and 2 are held, 1 expires
        ([1, 0, 0], [[0, 0, 0], [0, 3, 0], [0, 0, 3]], 7 + 5),  # the oldest two are sold first
        ([0, 0, 0], [[0, 0, 0], [3, 0, 0], [0, 0, 3]], 6),
        ([0, 2, 0], [[0, 0, 0], [0, 0, 0], [0, 0, 2]], 4 + 10 + 10),  # 2 expire, 1 is missed
        ([0, 0, 0], [[0, 0, 0], [0, 0, 0], [0, 0, 2]], 2),
    ]
    assert COSTS[int(np.argmax(np.asarray(outcome.costs)))] == "holding"


def test_a_life_that_all_goods_share_is_that_of_the_network():
    def played(network, node):
        net = jaxinv.Network(**network)
        net.supplier("s")
        net.node(
            "n",
            demand="poisson(5)",
            holding_cost_per_unit_period=1.0,
            expiry_cost_per_unit=3.0,
            **node,
        )
        net.edge("s", "n", lead_time_periods=2)
        env = net.problem().env
        state, found = env.start({"stock": jnp.ones((1, 1))}, env.default_params), []
        for order, demand in np.random.default_rng(0).integers(0, 12, (20, 2)).astype(np.float32):
            exogenous = Exogenous(jnp.full((1, 1), demand))
            state, outcome = env.transition(
                state, jnp.full((1, 1), order), exogenous, env.default_params
            )
            found.append(
                (float(outcome.reward), float(outcome.expired.sum()), float(outcome.sold.sum()))
            )
        return found

    same = played(dict(shelf_life_periods=3), {})
    assert (
        same
        == played({}, dict(shelf_life_periods=3))
        == played(dict(shelf_life_periods=4), dict(shelf_life_periods=3))
    )
    assert sum(expired for _, expired, _ in same) > 0


def test_gradient_of_orders_equals_finite_differences():
    """Costs are piecewise linear in orders, so away from kinks the two differ by rounding alone."""
    env = three_products().problem().env
    params = env.default_params
    demand = jax.random.uniform(jax.random.key(0), (12, 1, 3), minval=1.0, maxval=6.0)

    def cost(order):
        def period(state, demand):
            state, outcome = env.transition(state, order, Exogenous(demand), params)
            return state, -outcome.reward

        return jax.lax.scan(period, env.start({"stock": jnp.full((1, 3), 0.5)}, params), demand)[
            1
        ].sum()

    order, width = jnp.asarray([[3.1, 3.7, 3.3]]), 2.0**-9
    slope = jax.grad(cost)(order)[0]
    for product in range(3):
        step = jnp.zeros((1, 3)).at[0, product].set(width)
        difference = (cost(order + step) - cost(order - step)) / (2 * width)
        assert abs(slope[product]) > 1e-2 and slope[product] == pytest.approx(
            float(difference), rel=0.01
        )


# Telling


def built(network=(), node=(), instances=None):
    net = jaxinv.Network(products=2, instances=instances, **dict(network))
    net.supplier("s")
    net.node("n", demand="poisson(5)", **dict(node))
    net.edge("s", "n", lead_time_periods=1)
    return net


def test_lives_are_told_by_product_and_instance():
    net = built(dict(period="week"), dict(shelf_life_weeks=np.array([[2, 0], [4, 1]])), instances=2)
    problem = net.problem()
    assert problem.env.topology.ages == 4 and problem.train.shelf_life[:, 0].tolist() == [
        [2, 0],
        [4, 1],
    ]
    assert (
        built(node=dict(shelf_life_periods=1)).topology().ages == 2
    )  # what keeps for ever has a class of its own
    usual = built(dict(shelf_life_periods=5))
    assert usual.topology().ages == 5 and not usual.topology().has("shelf_lives")
    usual.node("m", demand="poisson(5)", shelf_life_periods=3)
    usual.edge("s", "m", lead_time_periods=1)
    assert usual.params().shelf_life.tolist() == [[5, 5], [3, 3]] and usual.topology().ages == 5


@pytest.mark.parametrize(
    "network, node, message",
    [
        ({}, dict(shelf_life_periods=-1), "node 'n': shelf_life_periods=-1 must be at least 0"),
        ({}, dict(shelf_life_periods=1.5), "shelf_life_periods=.*must be whole periods"),
        ({}, dict(shelf_life_periods="long"), "'long' is not a number"),
        ({}, dict(shelf_life_periods=(1, 2, 3)), "shape"),
        (dict(period="week"), dict(shelf_life_days=10), "whole periods"),
        (
            dict(shelf_life_periods=0),
            {},
            "shelf_life_periods=0 must be a whole number of at least 1",
        ),
        (dict(shelf_life_periods=2.5), {}, "shelf_life_periods=2.5 must be a whole number"),
        ({}, dict(expiry_cost_per_unit=1.0), "needs shelf_life_periods"),
    ],
)
def test_lives_that_mean_nothing_are_refused(network, node, message):
    with pytest.raises(UserError, match=message):
        built(network, node).params()


# What is expected of goods


def one_by_one(on_hand, life, rate, periods, arriving):
    """The fate of goods as a queue of whole units, the oldest at its head."""
    queue = [
        (age + 1 if life else np.inf) for age, units in enumerate(on_hand) for _ in range(units)
    ]
    wasted = missed = 0
    for period in range(1, periods + 1):
        if period > 1:
            queue += [period + life - 1 if life else np.inf] * arriving[period - 2]
        missed += max(rate - len(queue), 0)
        queue = queue[rate:]
        wasted += sum(last == period for last in queue)
        queue = [last for last in queue if last > period]
    return wasted, missed


def test_the_fate_of_goods_is_that_of_a_queue():
    random = np.random.default_rng(0)
    for _ in range(60):
        life, rate, periods = (
            int(random.integers(0, 5)),
            int(random.integers(0, 5)),
            int(random.integers(0, 8)),
        )
        classes = np.arange(4) < life if life else np.arange(4) == 3
        on_hand, arriving = random.integers(0, 7, 4) * classes, random.integers(0, 7, 7)
        found = fate(
            jnp.asarray(on_hand, jnp.float32)[None], jnp.full(1, float(life)),
            jnp.full(1, float(rate)), jnp.asarray(float(periods)), 8,
            jnp.asarray(arriving, jnp.float32)[None],
        )  # fmt: skip
        expected = one_by_one(on_hand, life, rate, periods, arriving)
        assert (float(found.wasted[0]), float(found.missed[0])) == expected


def test_stock_is_worth_what_it_cost_to_bring_less_what_will_spoil():
    env = three_products(cost_per_unit=2.0).problem().env
    params = env.default_params.replace(scale=jnp.full((1, 3), 3.0))
    state = env.start(
        {"stock": jnp.zeros((1, 3))}, params.replace(initial_low=jnp.asarray([[4.0, 11.0, 99.0]]))
    )
    waste = (4 - 3) + (11 - 9)
    assert stock_value(env.topology, state, params) == 2 * (4 + 11 + 99) - waste * (2 + 5)


def test_positions_leave_out_what_spoils_before_an_order_is_there():
    env = three_products().problem().env
    params = env.default_params.replace(scale=jnp.full((1, 3), 3.0))
    state = env.start({"stock": jnp.zeros((1, 3))}, params)
    state = state.replace(on_hand=jnp.asarray([[[8.0, 0, 0], [5, 0, 6], [0, 0, 9]]]))
    seen = env.view(state, params)
    assert views.inventory_position(env.topology, seen).tolist() == [[8, 11, 9]]
    assert views.end_position(env.topology, seen).tolist() == [[3, 9, 9]]
    assert views.edge_position(env.topology, seen).tolist() == [[3, 9, 9]]


# Rules


def test_the_bound_is_the_newsvendor_with_waste():
    """Beside the smallest bound that a search over normal laws finds."""
    for rate, coverage, spoils, ratio, waste, variation in (
        (20.0, 2.0, 2.0, 0.4, 0.6, 0.3), (5.0, 2.0, 6.0, 0.95, 0.5, 0.1),
        (0.3, 3.0, 30.0, 0.98, 2.0, 0.5),
    ):  # fmt: skip
        laws = [
            stats.norm(rate * n, np.sqrt(n * (rate + (variation * rate) ** 2)))
            for n in (coverage, spoils)
        ]
        grid = np.linspace(0, 200, 400_001)
        best = grid[np.argmax(laws[0].cdf(grid) + waste * laws[1].cdf(grid) >= ratio)]
        numbers = map(jnp.float32, (rate, coverage, spoils, ratio, waste, variation))
        assert float(freshness_bound(*numbers)) == pytest.approx(best, abs=0.02 * max(best, 1))
    slope = jax.grad(
        lambda variation: freshness_bound(*map(jnp.float32, (20.0, 2.0, 2.0, 0.9, 0.0)), variation)
    )
    scale = np.sqrt(2 * (20 + (0.3 * 20) ** 2))  # mean + z * scale, by the variation
    assert float(slope(jnp.float32(0.3))) == pytest.approx(
        stats.norm.ppf(0.9) * 2 * 0.3 * 400 / scale, rel=0.02
    )


def test_a_rule_orders_what_keeps_as_ever():
    env = three_products().problem().env
    params = env.default_params.replace(scale=jnp.full((1, 3), 3.0))
    state = env.start({"stock": jnp.zeros((1, 3))}, params.replace(initial_low=jnp.zeros((1, 3))))
    rule = make_rule("base_stock", env.topology)
    asked = rule.act(
        {"level": jnp.full((1, 3), 9.0), "variation": 0.1}, env.view(state, params), None
    )[0]
    assert (
        asked[2] == 9 * 2 * 3 and asked[0] < asked[1] < 12
    )  # two periods of 3, and lives of 1 and 3


def test_numbers_of_a_state_are_told_in_the_flat_observation():
    env = three_products().problem().env
    names = env.observation_names()
    assert "on_hand[shop, product 0, age 0]" in names and "shelf_life[shop, product 2]" in names
