"""omnichannel: equations 1 to 4 of seed 002, its world against a simulator in plain loops, and what
is refused.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.demand.exogenous import Exogenous
from jaxinv.envs.costs import COSTS
from jaxinv.envs.network import Action
from jaxinv.envs.omnichannel import OmniChannel
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import begin, rollout, unroll_world
from jaxinv.policies.decider import Decider
from jaxinv.policies.decode import Decode
from jaxinv.policies.fulfilment import fulfilled, to_channels
from jaxinv.policies.grid import GridDecode
from jaxinv.policies.policy import Policy
from jaxinv.policies.rules import make_rule

pytestmark = pytest.mark.usefixtures("quick_compilation")

SMALL = dict(stores=2, history=2, return_days=(2, 3))


@pytest.fixture(scope="module")
def small():
    preset = OmniChannel(**SMALL)
    problem = preset.build()
    return preset, problem, problem.first


# Demand (equation 1)


def test_demand_is_base_and_season_and_noise_as_in_equation_1():
    """Its mean over all days is the base, on the best day of the season 1.2 of it, and the
    deviation within a day 0.1.
    """
    preset = OmniChannel(stores=2, season_period=4.0)
    env, params = preset.build().env, preset.build().first
    _, trace = unroll_world(env, begin(env, jax.random.key(0), params, 2000), params, 4)
    demand = np.asarray(trace.exogenous.demand)  # [4, D, K, 2000]
    base = preset.drawn.mean
    assert base[-1].sum() == pytest.approx(0.3 * base.sum())
    np.testing.assert_allclose(demand.mean((0, 3)), base, rtol=0.01)
    sine = np.asarray(trace.signals)[
        env.history - 1 :, env.columns("season sine")[0]
    ]  # [4, 2000] of the day to come
    for value, level in ((1.0, 1.2), (-1.0, 0.8), (0.0, 1.0)):
        then = np.abs(sine - value) < 1e-3
        found = np.moveaxis(demand, 3, 1)[then]  # [samples, D, K]
        np.testing.assert_allclose(found.mean(0), level * base, rtol=0.01)
        np.testing.assert_allclose(found.std(0), 0.1 * base, rtol=0.1)


# Returns (equation 2), costs (equations 3 and 4)


def test_literal_returns_are_lambda_times_the_demand_of_the_same_day():
    """Demand of 100 at a store with nothing to sell: 5, 10 and 15 come back all the same, and 80%
    of them can be sold again.
    """
    preset = OmniChannel(stores=1, returns="literal", return_rate_spread=0.0, integer_orders=False)
    env, params = preset.build().env, preset.build().first
    state = begin(env, jax.random.key(0), params, 1).network
    state = jax.tree.map(lambda leaf: jnp.zeros_like(leaf[..., 0]), state)
    exogenous = Exogenous(jnp.asarray([[100.0] * 3, [200.0] * 3]))
    after, outcome = env.transition(state, jnp.zeros((4, 3)), exogenous, params)
    np.testing.assert_allclose(
        outcome.returned, [[0, 0, 0], [5, 10, 15], [0, 0, 0]], rtol=1e-5
    )  # online nothing was booked
    np.testing.assert_allclose(after.on_hand, [[0, 0, 0], [4, 8, 12], [0, 0, 0]], rtol=1e-5)
    parts = dict(zip(COSTS, outcome.places.nodes[1]))
    assert parts["returns"] == pytest.approx(
        2.0 + 0.5 * 30 + 0.5 * 10 * 6
    )  # equation 4, and half the value of what is liquidated
    assert parts["holding"] == pytest.approx(24 * preset.drawn.holding[0], rel=1e-5)  # equation 3
    _, outcome = env.transition(after, jnp.zeros((4, 3)), exogenous, params)
    np.testing.assert_allclose(
        outcome.returned[2], [10, 20, 30], rtol=1e-5
    )  # what was booked is demand of the next day
    np.testing.assert_allclose(
        outcome.on_hand[0], [8, 16, 24], rtol=1e-5
    )  # and its returns go to the centre


@pytest.mark.parametrize(
    "km, units, bill",
    [
        (10, 0, 0), (10, 30, 5 + 3.0), (49.9, 50, 5 + 5.0), (50, 60, 8 + 7.5 + 10 * 0.135),
        (199, 120, 8 + 7.5 + 50 * 0.135 + 20 * 0.12), (200, 120, 12 + 11 + 50 * 0.198 + 20 * 0.176),
    ],
)  # fmt: skip
def test_transport_is_tiered_by_distance_and_quantity(km, units, bill):
    assert OmniChannel().freight(km, units) == pytest.approx(bill)


# The whole world


class Retailer:
    """One day of the retailer in loops over names, in float64. It knows the preset and its drawn
    numbers, and nothing of networks.
    """

    def __init__(self, preset, stock, categories=3):
        drawn = preset.drawn
        self.preset, self.drawn, self.categories = preset, drawn, categories
        self.places = ["centre", *[f"store {s}" for s in range(preset.stores)]]
        self.stock = {place: stock[n].astype(float) for n, place in enumerate(self.places)}
        self.on_the_way = []  # (days to go, place, units)
        self.booked = np.zeros(categories)
        self.sold = {place: [] for place in [*self.places[1:], "online"]}  # the latest last
        nearest = np.argsort(drawn.to_customers)
        self.parcels = ["centre", *[f"store {s}" for s in nearest]]

    def km(self, source, place):
        drawn = self.drawn
        if source == "centre":
            return (
                drawn.from_centre[-1]
                if place == "online"
                else drawn.from_centre[int(place.split()[1])]
            )
        return drawn.to_customers[int(source.split()[1])]

    def day(self, orders, kept, demand):
        """Orders by edge in the order of the network `[E, K]`, shares of returns by place
        `[N, K, 3]`, demand `[S + 1, K]`.
        """
        preset, drawn, places, K = self.preset, self.drawn, self.places, self.categories
        bill = dict.fromkeys(COSTS, 0.0)
        bought, to_stores = (
            orders[0].copy(),
            {place: orders[n] for n, place in enumerate(places) if n},
        )
        parcels = dict(zip(self.parcels, orders[len(places) :]))
        for k in range(K):  # no more parcels than customers, then no more goods than there are
            wanted = sum(parcel[k] for parcel in parcels.values())
            if wanted > self.booked[k]:
                for parcel in parcels.values():
                    parcel[k] *= self.booked[k] / wanted
            for place in places:
                leaving = [parcels[place], *(to_stores.values() if place == "centre" else [])]
                asked = sum(units[k] for units in leaving)
                if asked > self.stock[place][k]:
                    for units in leaving:
                        units[k] *= self.stock[place][k] / asked
                self.stock[place][k] -= sum(units[k] for units in leaving)
        for place, units in to_stores.items():
            self.on_the_way.append(
                [int(drawn.store_lead_times[int(place.split()[1])]), place, units.copy()]
            )
            bill["transport"] += preset.freight(self.km("centre", place), units.sum())
        self.on_the_way.append([preset.centre_lead_time, "centre", bought])
        for place, units in parcels.items():
            bill["transport"] += preset.freight(self.km(place, "online"), units.sum())
        short, sold = 0.0, {}
        for s, place in enumerate([*places[1:], "online"]):
            wanted, there = (
                (self.booked, sum(parcels.values()))
                if place == "online"
                else (demand[s], self.stock[place])
            )
            sold[place] = np.minimum(wanted, there)
            if place != "online":
                self.stock[place] = there - sold[place]
            bill["shortage"] += drawn.shortage[s] * (wanted - sold[place]).sum()
            short += (wanted - sold[place]).sum()
        self.booked = demand[-1].copy()
        liquidated = 0.0
        first, last = preset.return_days
        for s, place in enumerate([*places[1:], "online"]):
            back = np.zeros(K)
            for days_ago in range(first, last + 1):
                if days_ago <= len(self.sold[place]):
                    back += drawn.return_rates[s] / (last - first + 1) * self.sold[place][-days_ago]
            shares = kept[s + 1] / kept[s + 1].sum(-1, keepdims=True)
            here, on = (shares[:, :2].T * back) * preset.resaleable_share
            if place == "online":
                here, on = 0.0, here + on
            else:
                self.stock[place] = self.stock[place] + here
            self.stock["centre"] = self.stock["centre"] + on
            gone = (back - here - on).sum()
            liquidated += gone
            bill["returns"] += preset.return_unit_cost * back.sum() + preset.return_fixed_cost * (
                back.sum() > 0
            )
            bill["returns"] += preset.liquidation_loss * preset.value * gone
        for place in self.sold:
            self.sold[place].append(sold[place])
        total = drawn.mean.sum()
        for n, place in enumerate(places):
            rate, room = (
                (preset.centre_holding_cost, preset.centre_capacity_days * total)
                if n == 0
                else (drawn.holding[n - 1], preset.store_capacity_days * drawn.mean[n - 1].sum())
            )
            bill["holding"] += rate * self.stock[place].sum()
            bill["overflow"] += preset.overflow_cost * max(self.stock[place].sum() - room, 0.0)
        for shipment in self.on_the_way:
            shipment[0] -= 1
            if shipment[0] == 0:
                self.stock[shipment[1]] = self.stock[shipment[1]] + shipment[2]
        self.on_the_way = [shipment for shipment in self.on_the_way if shipment[0] > 0]
        return bill, short, liquidated


def test_the_world_equals_a_simulator_in_plain_loops(small):
    preset, problem, params = small
    env, draw = problem.env, np.random.default_rng(3)
    mean, N, E, K, days = preset.drawn.mean, 4, 6, 3, 25
    stock = np.append(mean.sum(0)[None], mean, 0) * draw.uniform(0, 8, (N, K))
    stock[-1] = 0.0
    theirs = Retailer(preset, stock)
    state = jax.tree.map(
        lambda leaf: jnp.zeros_like(leaf[..., 0]), begin(env, jax.random.key(0), params, 1).network
    )
    state = state.replace(on_hand=jnp.asarray(stock, jnp.float32))
    step = jax.jit(env.transition)
    orders = draw.uniform(0, 2, (days, E, K)) * np.append(
        mean.sum(0)[None], np.repeat(mean[[0, 1, 2, 2, 2]], 1, 0), 0
    )
    demand, kept = mean * draw.uniform(0, 2, (days, 3, K)), draw.uniform(0, 1, (days, N, K, 3))
    total = 0.0
    for day in range(days):
        action = Action(jnp.asarray(orders[day], jnp.float32), jnp.asarray(kept[day], jnp.float32))
        state, outcome = step(
            state, action, Exogenous(jnp.asarray(demand[day], jnp.float32)), params
        )
        bill, short, liquidated = theirs.day(orders[day].copy(), kept[day], demand[day])
        np.testing.assert_allclose(
            outcome.costs,
            [bill[name] for name in COSTS],
            rtol=1e-4,
            atol=1e-2,
            err_msg=f"day {day}",
        )
        assert float(outcome.short.sum()) == pytest.approx(short, rel=1e-4, abs=1e-2)
        assert float(outcome.liquidated.sum()) == pytest.approx(liquidated, rel=1e-4, abs=1e-3)
        for n, place in enumerate(theirs.places):
            np.testing.assert_allclose(state.on_hand[n], theirs.stock[place], rtol=1e-4, atol=1e-2)
        assert not state.on_hand[-1].any() and float(outcome.reward) == pytest.approx(
            -sum(bill.values()), rel=1e-4
        )
        total += short
    assert 0 < total < demand.sum()


def cost_of_plan(env, params, batch=3, days=8):
    """The mean reward of fixed orders and dispositions, as a function of factors on them."""
    episodes = begin(env, jax.random.key(5), params, batch)
    _, trace = unroll_world(env, episodes, params, days)
    mean = params.scale

    def cost(factors):
        orders = factors[:-3].reshape(-1, 1) * env.topology.at_destination(mean)
        shares = jnp.broadcast_to(factors[-3:], (*mean.shape, 3))
        act = lambda _, observation, __: (Action(orders, shares), None)  # noqa: E731
        return -rollout(env, params, act, None, episodes.network, trace.exogenous)[1].mean()

    return cost


def test_the_gradient_of_orders_parcels_and_dispositions_is_that_of_finite_differences(small):
    _, problem, params = small
    cost = cost_of_plan(problem.env, params)
    point, width = jnp.asarray([1.0, 0.9, 0.8, 0.5, 0.23, 0.31, 0.6, 0.3, 0.2]), 2.0**-8
    slope = jax.jit(jax.grad(cost))(point)
    costs = jax.jit(jax.vmap(cost))
    steps = width * jnp.eye(len(point))
    np.testing.assert_allclose(
        (costs(point + steps) - costs(point - steps)) / (2 * width), slope, rtol=0.05, atol=0.5
    )
    assert np.all(np.abs(slope) > 1e-2)


# Who serves the channel


def observed(problem, params, on_hand, booked):
    """What a policy sees where so much of each category is on hand at the centre and the stores,
    and booked online.
    """
    state = jax.tree.map(
        lambda leaf: jnp.zeros_like(leaf[..., 0]),
        begin(problem.env, jax.random.key(0), params, 1).network,
    )
    rows = jnp.asarray([*on_hand, 0.0])[:, None] * jnp.ones(3)
    waiting = jnp.zeros((4, 3)).at[3].set(booked)
    return problem.env.view(
        state.replace(on_hand=rows, booked=waiting),
        params,
        jnp.zeros((2, problem.env.world.signals)),
    )


def test_rules_ship_from_the_centre_first_then_the_nearest_store_and_stores_hold_back(small):
    preset, problem, params = small
    near, far = np.argsort(preset.drawn.to_customers)
    typical = preset.drawn.mean[near, 0]
    stores = {near: typical + 2.0, far: 100.0}
    seen = observed(problem, params, [5.0, stores[0], stores[1]], 11.0)
    topology = problem.env.topology
    shipped = to_channels(topology, seen, 1.0)[:, 0]
    np.testing.assert_allclose(
        shipped, [0, 0, 0, 5, 2, 4], atol=1e-4
    )  # the centre, the nearest, the other
    np.testing.assert_allclose(to_channels(topology, seen, 0.0)[3:, 0], [5, 6, 0], atol=1e-4)
    asked = jnp.full((6, 3), 30.0)
    np.testing.assert_allclose(
        fulfilled(topology, seen, asked, 1.0)[:, 0], [30, 0, 0, 5, 2, 4], atol=1e-4
    )
    plenty = observed(
        problem, params, [35.0, 0.0, 0.0], 11.0
    )  # what is left after customers is shared out
    np.testing.assert_allclose(
        fulfilled(topology, plenty, asked, 1.0)[:, 0], [30, 12, 12, 11, 0, 0], atol=1e-4
    )


def test_a_rule_counts_what_is_booked_as_owed_and_ships_what_it_plans(small):
    _, problem, params = small
    topology = problem.env.topology
    for name in ("base_stock", "echelon_base_stock", "s_S", "capped_base_stock", "constant_order"):
        rule = make_rule(name, topology, 2)
        numbers = {key: jnp.ones(shape) for key, shape in rule.shapes().items()}
        assert numbers.keys() == {*rule.ranges} and "hold_back" in numbers
        seen = observed(problem, params, [20.0, 9.0, 9.0], 30.0)
        orders = rule.act(numbers, seen, None)
        state = begin(problem.env, jax.random.key(0), params, 1).network
        state = jax.tree.map(lambda leaf: leaf[..., 0], state).replace(
            on_hand=seen.on_hand, booked=seen.booked
        )
        _, outcome = problem.env.transition(state, orders, Exogenous(jnp.zeros((3, 3))), params)
        np.testing.assert_allclose(outcome.ordered, orders, rtol=1e-4, atol=1e-3)
    rule = make_rule("echelon_base_stock", topology, 2)
    numbers = {key: jnp.ones(shape) for key, shape in rule.shapes().items()}
    more = [
        rule.act(numbers, observed(problem, params, [20.0, 9.0, 9.0], booked), None)[0, 0]
        for booked in (0.0, 7.0)
    ]
    assert more[1] - more[0] == pytest.approx(7.0, rel=1e-3)


@pytest.mark.parametrize("form", ["none", "base", "coeff", "both"])
def test_a_network_offers_a_multiple_of_what_is_booked_and_ships_what_is_left_of_it(small, form):
    _, problem, params = small
    topology = dataclasses.replace(
        problem.env.topology, mechanisms=problem.env.topology.mechanisms - {"dispositions"}
    )
    decode, seen = Decode(topology, form), observed(problem, params, [20.0, 9.0, 9.0], 30.0)
    rates = jnp.ones((6, 3, 4))
    order = decode(jnp.zeros(decode.outputs), seen, rates)
    np.testing.assert_allclose(order[3:, 0], [20.0, 9.0, 1.0], rtol=1e-5)
    raw = decode.raw_for(0.5 * order + 1.0, seen, rates)
    np.testing.assert_allclose(decode(raw, seen, rates), 0.5 * order + 1.0, rtol=1e-4)
    if form in ("none", "base"):
        grid = GridDecode(topology, form, levels=(0.0, 0.5, 1.0))
        np.testing.assert_allclose(
            grid(grid.one_hot(jnp.ones(18, int)), seen, rates)[3:, 0], [15, 9, 6], rtol=1e-4
        )


# What is made of it


def test_the_observation_shows_what_is_booked_and_what_comes_back(small):
    _, problem, params = small
    env = problem.env.alone()
    observation, state = env.reset(jax.random.key(1), params)
    names = env.observation_names(params)
    assert len(names) == observation.size and {
        "booked[online, product 0]",
        "returns[store 1, product 2]",
    } <= {*names}
    action = {"orders": jnp.zeros((6, 3)), "dispositions": jnp.ones((4, 3, 3))}
    observation, state, *_ = env.step(jax.random.key(2), state, action, params)
    booked = observation[
        jnp.asarray([names.index(f"booked[online, product {k}]") for k in range(3)])
    ]
    asked = [names.index(f"demand[online, product {k}, 1 ago]") for k in range(3)]
    np.testing.assert_allclose(booked, observation[jnp.asarray(asked)])
    assert env.observation_space(params).contains(observation)


class Both(Policy):
    """The rule's orders, and everything back on the shelf."""

    def act(self, params, observation, context):
        orders = make_rule("base_stock", self.topology, 2).act(params, observation, None)
        return Action(orders, jnp.zeros((4, 3, 3)).at[..., 0].set(1.0))


def test_orders_of_an_observation_are_those_that_would_be_shipped(small):
    _, problem, params = small
    rule = make_rule("base_stock", problem.env.topology, 2)
    numbers = {key: jnp.ones(shape) for key, shape in rule.shapes().items()}
    decider = Decider("rule", problem, rule, numbers)
    seen = observed(problem, params, [20.0, 9.0, 9.0], 30.0)
    np.testing.assert_allclose(
        decider.order(seen), rule.act(numbers, seen, None), rtol=1e-4, atol=1e-3
    )
    both = Decider("both", problem, Both(problem.env.topology), numbers)
    np.testing.assert_allclose(both.order(seen), decider.order(seen))
    with pytest.raises(UserError, match="whole observation"):
        decider.order(stock=np.zeros((4, 3)))
    with pytest.raises(UserError, match="does not cover returns"):
        jaxinv.exact.solve(problem.env, params)


def test_roles_by_function_and_by_store_share_out_every_decision(small):
    _, problem, _ = small
    topology = problem.env.topology
    functions, stores = (problem.roles[name].checked(topology) for name in ("functions", "stores"))
    assert functions.names == ("ordering", "shipping", "returns")
    assert functions.owners(topology).tolist() == [0, 0, 0, 1, 1, 1]
    assert all(role.sees == (0, 1, 2, 3) for role in functions.agents)
    assert stores.names == ("centre", "store 0", "store 1") and stores.agents[1].sees == (1, 3)
    fixed = OmniChannel(**SMALL, decide_returns=False).build()
    assert fixed.roles["functions"].checked(fixed.env.topology).names == ("ordering", "shipping")


def test_the_reward_of_equation_8():
    """What is lost is a share of mean demand; stock, returns and transport are multiples of their
    references.
    """
    preset = OmniChannel(**SMALL, reward="paper", transport_weight=0.25)
    problem = preset.build()
    params = problem.first
    state = jax.tree.map(
        lambda leaf: leaf[..., 0], begin(problem.env, jax.random.key(0), params, 1).network
    )
    mean = preset.drawn.mean
    money = OmniChannel(**SMALL).build().first
    action, exogenous = (
        jnp.ones((6, 3)),
        Exogenous(jnp.asarray(mean * [[2.0], [1.0], [1.0]], jnp.float32)),
    )
    _, outcome = problem.env.transition(state, action, exogenous, params)
    _, dear = problem.env.transition(state, action, exogenous, money)
    parts, ref = dict(zip(COSTS, dear.costs)), preset.references
    expected = 5 * float(outcome.short.sum()) / mean.sum() + parts["holding"] / ref["holding"]
    expected += (
        0.5 * parts["returns"] / ref["returns"] + 0.25 * parts["transport"] / ref["transport"]
    )
    assert float(outcome.reward) == pytest.approx(-float(expected), rel=1e-4)
    np.testing.assert_allclose(dear.ordered, outcome.ordered)


# What is refused


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(stores=0), "stores=0"),
        (dict(return_rates=(0.1, 1.2)), "return_rates"),
        (dict(return_rates=(-0.1,)), "return_rates"),
        (dict(return_rates=()), "return_rates"),
        (dict(online_share=1.2), "online_share"),
        (dict(resaleable_share=-0.1), "resaleable_share"),
        (dict(category_shares=(0.5, 0.4, 0.2)), "sum to 1"),
        (dict(category_shares=(0.5, 0.5)), "3 categories"),
        (dict(returns="sales"), "returns"),
        (dict(return_days=(0, 3)), "return_days"),
        (dict(return_days=(5, 3)), "return_days"),
        (dict(reward="paper", service_weight=0, inventory_weight=0, returns_weight=0), "all zero"),
        (dict(reward="paper", weights={"holding": 2.0}), "reward=costs"),
        (dict(reward="papers"), "did you mean"),
        (dict(band_rates=(0.1,)), "3 bands"),
        (dict(band_km=(200.0, 50.0)), "must rise"),
        (dict(quantity_discounts=(0.1,)), "pairs"),
        (dict(quantity_discounts=(0.1, 1.5)), "shares of the rate"),
        (dict(base_demand=(0.0, 5.0)), "above 0"),
        (dict(shortage_costs=(3.0, 1.0)), "least and the most"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_name(options, message):
    with pytest.raises(UserError, match=message):
        OmniChannel(**options)


def test_weights_that_are_all_zero_are_refused():
    nothing = dict.fromkeys(("shortage", "holding", "returns", "transport", "overflow"), 0.0)
    with pytest.raises(UserError, match="weights are all zero"):
        OmniChannel(**SMALL, weights=nothing).build()


def told(**online):
    net = jaxinv.Network()
    net.supplier("maker")
    net.node("centre")
    net.node("store", demand="poisson(3)")
    net.node(
        "online", **{"demand": "poisson(3)", "orders_ahead": True, "holds_stock": False} | online
    )
    net.edge("maker", "centre", lead_time_periods=2)
    return net


def test_a_store_without_a_way_to_it_is_refused():
    net = told()
    net.edge("centre", "online", lead_time_periods=0)
    with pytest.raises(UserError, match="no way leads from a supplier to store"):
        net.topology()


@pytest.mark.parametrize(
    "online, message",
    [
        (dict(orders_ahead=False), "orders_ahead=True"),
        (dict(demand=None), "orders_ahead is about customers"),
        (dict(holding_cost_per_unit_period=1.0), "holding_cost_per_unit_period makes no sense"),
        (dict(initial_stock_units=1.0), "initial_stock"),
        (dict(return_shares=(0.1,)), "returns_to"),
    ],
)
def test_a_channel_that_makes_no_sense_is_refused_where_it_is_told(online, message):
    with pytest.raises(UserError, match=message):
        told(**online)


def test_what_leads_to_a_channel_takes_no_time():
    net = told()
    net.edge("centre", "store", lead_time_periods=1)
    net.edge("centre", "online", lead_time_periods=1)
    with pytest.raises(UserError, match="lead time must be 0"):
        net.topology()


def test_a_channel_with_an_integer_world_ships_whole_units_and_never_more_than_is_booked():
    net = jaxinv.Network(whole_units=True)
    net.supplier("maker")
    net.node("centre", initial_stock_units=50.0)
    net.node("store", demand="poisson(3)", initial_stock_units=4.0)
    net.node(
        "online",
        demand="poisson(4)",
        orders_ahead=True,
        holds_stock=False,
        shortage_cost_per_unit=5.0,
    )
    net.edge("maker", "centre", lead_time_periods=2)
    net.edge("centre", "store", lead_time_periods=1)
    net.edge("centre", "online", lead_time_periods=0)
    net.edge("store", "online", lead_time_periods=0, sideways=True)
    problem = net.problem()
    env, params = problem.env, problem.first
    episodes = begin(env, jax.random.key(0), params, 20)
    _, trace = unroll_world(env, episodes, params, 10)
    act = lambda _, observation, __: (jnp.full((4, 1), 3.0), None)  # noqa: E731
    _, (booked, ordered, short), _ = rollout(
        env,
        params,
        act,
        None,
        episodes.network,
        trace.exogenous,
        record=lambda observation, outcome, _: (
            observation.booked[2],
            outcome.ordered,
            outcome.short[2],
        ),
    )
    sent = ordered[:, 2:].sum(1)
    assert np.all(ordered == np.round(ordered)) and np.all(sent <= booked) and np.any(sent > 0)
    np.testing.assert_array_equal(sent + short, booked)
    assert not booked[0].any() and booked[1:].any()
