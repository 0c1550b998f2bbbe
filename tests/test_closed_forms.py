"""Closed forms and bounds: published numbers, brute force, and the simulator itself."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxinv
from jaxinv.demand.exogenous import Exogenous, QuotedLeadTimes, World
from jaxinv.demand.laws import Law
from jaxinv.demand.processes import TableParams
from jaxinv.demand.quantiles import poisson_cdf, stack_tables
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.topology import SUPPLIER, Topology
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH, batch_last, begin, unroll_world
from jaxinv.evaluation.simulate import simulate
from jaxinv.exact import newsvendor as nv
from jaxinv.exact.clairvoyant import lot_sizing, path_bound
from jaxinv.exact.clark_scarf import solve_serial
from jaxinv.exact.information_relaxation import dual_bound, penalised_cost
from jaxinv.exact.lattice import cover, demand_law, expected, newsvendor_costs, normal_mass
from jaxinv.exact.one_warehouse import allocate, pooled_bound
from jaxinv.exact.reorder_point import (
    Store,
    optimal_lots,
    optimal_order_up_to,
    order_up_to_cost,
    read_store,
)
from jaxinv.policies.rules import make_rule

pytestmark = pytest.mark.usefixtures("quick_compilation")


def poisson(mean, size=200):
    return np.append(stats.poisson.pmf(np.arange(size), mean), 0.0)


def simulated(
    env, params, rule, numbers, batch=256, periods=500, warm_up=50, seed=5, policy_axis=None
):
    """Cost a period of each path; `numbers` are parameters of the rule in product units."""
    facts = env.facts(params)
    ones = rule.natural({name: jnp.ones(shape) for name, shape in rule.shapes().items()}, facts)
    numbers = {
        name: jnp.asarray(value, jnp.float32) / ones[name] for name, value in numbers.items()
    }
    run = jax.jit(
        lambda key: simulate(
            env,
            params,
            rule,
            numbers,
            key,
            batch=batch,
            periods=periods,
            warm_up=warm_up,
            policy_axis=policy_axis,
        )
    )
    return -np.asarray(run(jax.random.key(seed)).reward, np.float64) / periods


def agrees(costs, exact, deviations=3.5):
    return abs(costs.mean() - exact) < deviations * costs.std(ddof=1) / len(costs) ** 0.5


# Newsvendor and base-stock


def brute_newsvendor(mass, holding, shortage, most):
    levels, demand = np.arange(most), np.arange(len(mass))
    over = np.maximum(levels[:, None] - demand, 0)
    short = np.maximum(demand - levels[:, None], 0)
    return (holding * over + shortage * short) @ mass


@pytest.mark.parametrize(
    "mean, holding, shortage", [(5, 1, 4), (0.3, 2, 9), (40, 1, 39), (5, 3, 1)]
)
def test_newsvendor_is_the_best_of_all_levels(mean, holding, shortage):
    mass = poisson(mean)
    costs = brute_newsvendor(mass, holding, shortage, 150)
    stock = nv.newsvendor_poisson(mean, holding, shortage, size=200)
    assert stock.level == costs.argmin()
    assert np.isclose(stock.cost, costs.min(), rtol=1e-4)
    assert np.allclose(newsvendor_costs(mass, 150, holding, shortage), costs)


def test_newsvendor_for_normal_demand_is_what_a_fine_table_gives():
    stock = nv.newsvendor_normal(50.0, 8.0, 0.18, 0.70)  # Snyder & Shen, example 4.3
    assert np.allclose([stock.level, stock.cost], [56.60, 1.9976], atol=5e-3)
    mass = normal_mass(50.0, 8.0, 0.05)
    costs = newsvendor_costs(mass, len(mass), 0.18 * 0.05, 0.70 * 0.05)
    assert np.allclose([0.05 * costs.argmin(), costs.min()], stock, rtol=1e-3)


def test_a_thousand_backlog_instances_in_one_call():
    """Levels and costs of random instances against brute force, and against a simulation of those
    levels.
    """
    draw = np.random.default_rng(3)
    instances, longest = 1000, 6
    mean = draw.uniform(0.5, 12.0, instances)
    holding, shortage = draw.uniform(0.5, 2.0, instances), draw.uniform(1.0, 30.0, instances)
    lead = draw.integers(0, longest + 1, instances)
    cdf = jnp.asarray(stack_tables([poisson_cdf(m) for m in mean]).T)  # [instances, M]
    solve = jax.jit(
        jax.vmap(
            lambda cdf, lead, h, b: nv.base_stock(nv.table_mass(cdf), lead, h, b, longest=longest)
        )
    )
    stock = solve(cdf, lead, jnp.asarray(holding), jnp.asarray(shortage))

    for one in range(0, instances, 50):
        over_lead_time = poisson((lead[one] + 1) * mean[one], 300)
        costs = brute_newsvendor(over_lead_time, holding[one], shortage[one], 200)
        assert np.isclose(stock.cost[one], costs.min(), rtol=1e-4)
        assert np.isclose(costs[int(stock.level[one])], costs.min(), rtol=1e-4)

    topology = Topology(
        nodes=1,
        sources=(SUPPLIER,),
        destinations=(0,),
        demand_nodes=(0,),
        max_lead_time=longest,
        backlog=True,
    )
    _, params = jaxinv.make("backlog")

    def stacked(values):
        return jnp.asarray(values, jnp.float32).reshape(instances, 1, 1)

    params = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (instances, *jnp.shape(leaf))), params
    )
    params = params.replace(
        demand=TableParams(cdf[:, :, None, None]), pack_size=None,
        lead_time=jnp.asarray(lead[:, None], jnp.float32),
        holding=stacked(holding), shortage=stacked(shortage), scale=stacked(mean),
        initial_pipeline=stacked(mean),
    )  # fmt: skip
    env = InventoryNetwork(
        topology, World(Law().process()[0], QuotedLeadTimes()), params, name="backlog"
    )
    rule = make_rule("base_stock", topology)
    levels = {"level": stacked(stock.level / (mean * (lead + 1)))}
    paths, periods = 4, 300
    many = jax.tree.map(lambda leaf: jnp.repeat(jnp.asarray(leaf), paths, 0), (params, levels))
    run = jax.jit(
        lambda params, levels, key: simulate(
            env, params, rule, levels, key, batch=paths * instances, periods=periods, warm_up=30,
            axis=BATCH,
            policy_axis=BATCH,
        )
    )  # fmt: skip
    totals = run(*(batch_last(tree) for tree in many), jax.random.key(1))
    costs = -np.asarray(totals.reward, np.float64).reshape(instances, paths) / periods
    # demand over a lead time spans L + 1 periods, so a path holds about periods / (2 (L + 1))
    # independent costs
    error = costs.std(1, ddof=1).mean() / paths**0.5 / np.asarray(stock.cost).mean()
    relative = costs.mean(1) / np.asarray(stock.cost) - 1
    assert abs(relative.mean()) < 3.5 * relative.std() / instances**0.5
    assert relative.std() < 2 * error
    assert np.abs(relative).max() < 0.25


def test_normal_backlog_is_the_closed_form_where_nothing_is_cut():
    env, params = jaxinv.make(
        "backlog",
        demand="normal",
        mean=10.0,
        deviation=1.5,
        lead_time=3,
        shortage_cost=9.0,
        integer_orders=False,
    )
    store = read_store(env, params)
    normal = nv.base_stock_normal(10.0, 1.5, 3, 1.0, 9.0)
    best = optimal_order_up_to(store)
    assert np.allclose([best.up_to, best.average_cost], normal, rtol=1e-3)


# (s, S) and (R, nQ)


@pytest.mark.parametrize(
    "mean, fixed, holding, shortage, s, up_to, cost",
    [
        (6, 5, 1, 4, 4, 10, 8.03411),  # Snyder & Shen, example 4.7
        (10, 64, 1, 9, 6, 40, 35.022),  # Zheng & Federgruen 1991, table 1
        (15, 64, 1, 9, 10, 49, 42.698),
        (20, 64, 1, 9, 14, 62, 49.173),
        (21, 64, 1, 9, 15, 65, 50.406),
    ],
)
def test_order_up_to_is_the_published_one(mean, fixed, holding, shortage, s, up_to, cost):
    best = optimal_order_up_to(Store(poisson(mean), 0, holding, shortage, fixed))
    assert (best.reorder, best.up_to) == (s, up_to)
    assert abs(best.average_cost - cost) < 6e-4


def chain_cost(store, order, low, high):
    """Average cost of an ordering rule (position -> position) from its Markov chain's stationary
    law.
    """
    levels = np.arange(low, high + 1)
    ordered = np.array([order(level) for level in levels])
    demand = np.arange(len(store.mass))
    step = np.zeros((len(levels), len(levels)))
    for row, position in enumerate(ordered):
        np.add.at(step[row], np.maximum(position - demand, low) - low, store.mass)
    balance = np.vstack([step.T - np.eye(len(levels)), np.ones(len(levels))])
    share = np.linalg.lstsq(balance, np.append(np.zeros(len(levels)), 1.0), rcond=None)[0]
    ahead = cover(store.mass, store.lead_time + 1)
    demand = np.arange(len(ahead))
    stock = ordered[:, None] - demand
    costs = (store.holding * np.maximum(stock, 0) + store.shortage * np.maximum(-stock, 0)) @ ahead
    return share @ (costs + store.fixed_cost * (ordered > levels))


@pytest.mark.parametrize(
    "lead_time, fixed, shortage", [(0, 6.0, 4.0), (2, 3.0, 0.8), (1, 30.0, 9.0)]
)
def test_order_up_to_is_the_best_of_all(lead_time, fixed, shortage):
    mass = np.array([0.35, 0.1, 0.3, 0.15, 0.0, 0.1])
    store = Store(mass, lead_time, 1.0, shortage, fixed)
    best = optimal_order_up_to(store)
    every = {
        (s, up_to): order_up_to_cost(store, s, up_to)
        for s in range(-25, 20)
        for up_to in range(s + 1, 45)
    }
    assert np.isclose(best.average_cost, min(every.values()))
    for s, up_to in [(int(best.reorder), int(best.up_to)), (-3, 4), (2, 5)]:
        chain = chain_cost(
            store, lambda level: up_to if level <= s else level, min(s, 0) - 6, up_to
        )
        assert np.isclose(every[s, up_to], chain)


@pytest.mark.parametrize("lead_time, fixed, shortage", [(0, 6.0, 4.0), (1, 30.0, 9.0)])
def test_lots_are_the_best_of_all(lead_time, fixed, shortage):
    store = Store(np.array([0.35, 0.1, 0.3, 0.15, 0.0, 0.1]), lead_time, 1.0, shortage, fixed)

    def chain(reorder, lot):
        return chain_cost(
            store,
            lambda level: level + lot * max(-((level - reorder - 1) // lot), 0),
            reorder - 5,
            reorder + lot,
        )

    best = optimal_lots(store)
    assert np.isclose(best.average_cost, chain(int(best.reorder), int(best.quantity)))
    every = {
        (reorder, lot): chain(reorder, lot) for reorder in range(-4, 6) for lot in range(1, 16)
    }
    assert np.isclose(min(every.values()), best.average_cost)
    for lot in (1, 4, 9):
        given = optimal_lots(store, lot)
        assert given.quantity == lot
        assert np.isclose(
            given.average_cost, min(cost for (_, size), cost in every.items() if size == lot)
        )
    assert optimal_order_up_to(store).average_cost <= best.average_cost + 1e-12


@pytest.mark.parametrize("name", ["s_S", "r_nQ"])
def test_rules_cost_in_the_simulator_what_was_solved(name):
    env, params = jaxinv.make("backlog", lead_time=2, fixed_cost=20.0, unit_cost=0.5, mean=4.0)
    store = read_store(env, params)
    best = optimal_order_up_to(store) if name == "s_S" else optimal_lots(store)
    other = "gap" if name == "s_S" else "lot"
    rule = make_rule(name, env.topology)
    costs = simulated(env, params, rule, {"reorder": [[best.reorder]], other: [[best.quantity]]})
    assert agrees(costs, best.average_cost)


@pytest.mark.parametrize(
    "options, says",
    [
        (dict(demand="ar1"), "independent"),
        (dict(demand="normal"), "integer_orders"),
        (dict(lead_time_pmf=(0.5, 0.5)), "fixed lead times"),
        (dict(shortage_cost=0.0), "above 0"),
    ],
)
def test_what_has_no_closed_form_is_refused(options, says):
    with pytest.raises(UserError, match=says):
        read_store(*jaxinv.make("backlog", **options))
    with pytest.raises(UserError, match="is for backlog"):
        read_store(*jaxinv.make("lost_sales"))


# The lattice


def test_expectations_reach_below_zero():
    mass, values, slope = poisson(4.0, 40), np.cos(np.arange(30.0)), -2.5

    def f(x):
        return values[x] if x >= 0 else values[0] + slope * x

    brute = [sum(p * f(y - d) for d, p in enumerate(mass)) for y in range(30)]
    assert np.allclose(expected(mass, values, slope), brute)


def test_correlated_stores_add_up():
    """The mean of the total, and its variance, against a large sample of the simulator's own
    law.
    """
    env, params = jaxinv.make("one_warehouse_many_stores", stores=3)
    law = demand_law(env, params, points=20)
    episodes = begin(env, jax.random.key(0), params, 1024)
    demand = unroll_world(env, episodes, params, 50)[1].exogenous.demand
    total = np.asarray(demand.sum((1, 2)), np.float64).ravel()
    points = law.step * np.arange(len(law.total))
    mean = law.mean(law.total)
    deviation = (law.total @ (points - mean) ** 2) ** 0.5
    assert np.isclose(mean, sum(law.mean(mass) for mass in law.local), rtol=1e-9)
    assert abs(total.mean() - mean) < 4 * deviation / len(total) ** 0.5
    assert np.isclose(total.std(), deviation, rtol=0.01)


# One warehouse and many stores


def stores(count, warehouse_lead, store_leads, mean=3.0, backlog=True, holding=1.0, shortage=9.0):
    """Poisson stores with proportional rationing: the rows of Kaynov et al. 2024."""
    env, params = jaxinv.make("one_warehouse_many_stores", stores=count, integer_orders=True)
    topology = dataclasses.replace(
        env.topology, lead_times=(warehouse_lead, *store_leads), backlog=backlog
    )
    process, demand = Law("poisson", mean).process(count)
    scale = jnp.full((count + 1, 1), mean).at[0].set(count * mean)
    params = params.replace(
        demand=demand, holding=jnp.full((count + 1, 1), holding).at[0].set(0.5), scale=scale,
        initial_high=scale,
        shortage=jnp.full((count + 1, 1), shortage).at[0].set(0.0), initial_pipeline=scale,
        lead_time=jnp.asarray(topology.lead_times, jnp.float32),
    )  # fmt: skip
    return InventoryNetwork(topology, World(process), params, name="stores"), params


def best_echelon_cost(env, params, *levels, replications=32, periods=250):
    """Cost of the best echelon base-stock levels out of a range for each node, and its standard
    error.

    Nodes beyond the ranges given have the level of the last of them.
    """
    grid = np.array(list(itertools.product(*levels)), float)
    levels = np.pad(grid, ((0, 0), (0, env.topology.nodes - len(levels))), mode="edge")
    rule = make_rule("echelon_base_stock", env.topology)
    unit = rule.level_unit(env.facts(params))
    batch = len(grid) * replications
    run = jax.jit(
        lambda levels, key: simulate(
            env,
            params,
            rule,
            {"level": levels},
            key,
            batch=batch,
            periods=periods,
            warm_up=50,
            policy_axis=BATCH,
        )
    )
    reward = run(
        jnp.repeat(levels.T[:, None] / unit[:, :, None], replications, -1), jax.random.key(2)
    ).reward
    costs = -np.asarray(reward, np.float64).reshape(len(grid), replications) / periods
    best = costs.mean(1).argmin()
    return costs[best].mean(), costs[best].std() / replications**0.5


def test_the_best_policy_of_identical_stores_reaches_the_pooled_bound():
    """Within sampling error: no pack stays behind at the warehouse, and identical stores are seldom
    out of balance.
    """
    env, params = stores(3, 2, (1, 1, 1))
    bound = pooled_bound(env, params)
    cost, error = best_echelon_cost(env, params, (48, 49, 50), (9, 10, 11), replications=64)
    assert bound.average_cost < cost + 3 * error
    assert cost < 1.03 * bound.average_cost


def test_pooled_bound_of_one_store_is_its_serial_optimum():
    serial = solve_serial(
        *jaxinv.make(
            "serial",
            lead_times=(2, 1),
            holding_costs=(0.5, 1.0),
            demand="poisson",
            mean=3.0,
            integer_orders=True,
        )
    )
    bound = pooled_bound(*stores(1, 2, (1,)))
    in_transit = 0.5 * 1 * 3.0  # which the serial preset charges for and this network does not
    assert np.isclose(bound.average_cost, serial.average_cost - in_transit, rtol=1e-6)
    assert bound.level == serial.levels[0]


@pytest.mark.parametrize("backlog", [True, False])
def test_pooled_bound_holds_with_different_lead_times(backlog):
    env, params = stores(2, 1, (1, 3), backlog=backlog)
    bound = pooled_bound(env, params)
    cost, error = best_echelon_cost(
        env, params, range(26, 38, 2), range(7, 13, 2), range(12, 20, 2)
    )
    assert 0.65 * cost < bound.average_cost < cost + 3 * error


def test_pooled_bound_of_the_preset_is_below_a_tuned_rule_and_not_nothing():
    env, params = jaxinv.make("one_warehouse_many_stores", stores=3)
    bound = pooled_bound(env, params)
    assert bound.error < 1e-3 * bound.average_cost
    rule = make_rule("echelon_base_stock", env.topology)
    cost = simulated(
        env, params, rule, {"level": 1.25 * rule.level_unit(env.facts(params))}, 64, 200
    ).mean()
    assert 0.2 * cost < bound.average_cost < cost


def test_allocation_is_the_best_split():
    draw = np.random.default_rng(0)
    masses = [draw.dirichlet(np.ones(6)) for _ in range(3)]
    costs = [
        newsvendor_costs(mass, 8, h, b)
        for mass, h, b in zip(masses, (0.5, -0.2, 1.0), (4.0, 6.0, 3.0))
    ]
    pooled = allocate(costs, -3.0, 8)

    def cost(store, level):
        return (
            costs[store][level] if level >= 0 else costs[store][0] - (4.0, 6.0, 3.0)[store] * level
        )

    for supply in range(5):
        splits = itertools.product(range(-12, 8), repeat=2)
        brute = min(
            cost(0, a) + cost(1, b) + cost(2, c)
            for a, b in splits
            for c in range(-12, min(supply - a - b, 7) + 1)
        )
        assert np.isclose(pooled[supply], brute)


# Lost sales


def test_lost_sales_bound_is_below_the_optimum_and_not_far():
    """Poisson(5), h = 1: optimal costs of Zipkin (2008) for p = 4 and 39, L = 1, 4."""
    optimum = {
        (4, 1): 4.04071,
        (4, 4): 4.72853,
        (9, 4): 6.83594,
        (39, 1): 7.83595,
        (39, 4): 10.79441,
    }
    mass = jnp.asarray(poisson(5.0, 40))
    for (shortage, lead_time), cost in optimum.items():
        bound = float(nv.lost_sales_bound(mass, lead_time, 1.0, shortage, longest=4))
        assert 0.65 * cost < bound < cost


# The clairvoyant


def brute_paths(env, params, start, demand, most):
    """The least cost over all whole orders, played in the transition itself."""
    periods = len(demand)
    plans = np.array(list(itertools.product(range(most + 1), repeat=periods)), np.float32)

    def play(plan):
        def period(state, x):
            order, asked = x
            state, outcome = env.transition(
                state, order[None, None], Exogenous(asked[None, None]), params
            )
            return state, -outcome.reward

        return jax.lax.scan(period, start, (plan, demand))[1].sum()

    return float(jax.jit(jax.vmap(play))(jnp.asarray(plans)).min())


@pytest.mark.parametrize("preset", ["lost_sales", "backlog"])
@pytest.mark.parametrize(
    "lead_time, fixed, unit", [(0, 3.0, 0.0), (1, 5.0, 0.5), (2, 0.0, 0.3), (3, 2.0, 0.0)]
)
def test_clairvoyant_is_the_best_of_all_plans(preset, lead_time, fixed, unit):
    env, params = jaxinv.make(
        preset, lead_time=lead_time, fixed_cost=fixed, unit_cost=unit, shortage_cost=1.5
    )
    draw = np.random.default_rng(lead_time)
    demand = jnp.asarray(draw.integers(0, 3, 5), jnp.float32)
    start = env.start({"stock": jnp.zeros((1, 1))}, params)
    start = start.replace(
        on_hand=jnp.asarray([[1.0]]),
        pipeline=jnp.asarray(draw.integers(0, 4, start.pipeline.shape), jnp.float32),
    )
    bound = path_bound(env, params, demand[:, None, None], start)
    assert np.isclose(bound, brute_paths(env, params, start, demand, most=7), rtol=1e-5)
    free = path_bound(env, params, demand[:, None, None])
    assert free <= bound + 1e-5


def test_clairvoyant_lots_are_those_of_wagner_and_whitin():
    """The example of their paper (1958), table 1: demands, setup and holding costs of twelve
    months, cost 864.
    """
    demand = jnp.asarray([69, 29, 36, 61, 61, 26, 34, 67, 45, 67, 79, 56], jnp.float32)
    setup = jnp.asarray([85, 102, 102, 101, 98, 114, 105, 86, 119, 110, 98, 114], jnp.float32)
    cost = lot_sizing(demand, setup, jnp.zeros(12), holding=1.0, shortage=1e6, backlog=False)
    assert cost == 864


@pytest.mark.parametrize("preset, fixed", [("lost_sales", 0.0), ("backlog", 15.0)])
def test_no_policy_beats_the_clairvoyant_on_any_path(preset, fixed):
    env, params = jaxinv.make(preset, lead_time=2, fixed_cost=fixed, unit_cost=0.7)
    rule = make_rule("s_S", env.topology)
    unit = float(rule.level_unit(env.facts(params))[0, 0])
    key, periods, paths = jax.random.key(4), 60, 64
    episodes = begin(env, key, params, paths)
    trace = unroll_world(env, episodes, params, periods)[1].exogenous.demand
    bound = jax.jit(
        jax.vmap(lambda demand, start: path_bound(env, params, demand, start), in_axes=BATCH)
    )(trace, episodes.network)
    totals = simulate(
        env,
        params,
        rule,
        {"reorder": jnp.full((1, 1), 15 / unit), "gap": jnp.full((1, 1), 8 / unit)},
        key,
        batch=paths,
        periods=periods,
    )
    cost = -np.asarray(totals.reward)
    assert np.all(bound <= cost + 1e-3)
    assert np.all(
        bound >= 0.7 * 0.5 * np.asarray(trace.sum((0, 1, 2)))
    )  # most is bought in any case


# Information relaxation


@pytest.mark.parametrize(
    "shortage, at_one, optimum", [(4.0, 4.04071, 4.72853), (39.0, 7.83595, 10.79441)]
)
def test_who_pays_for_what_he_knows_does_not_beat_the_optimum(shortage, at_one, optimum):
    """Poisson(5), h = 1, L = 4, where the clairvoyant pays nothing; the optima are those of Zipkin
    (2008).
    """
    env, params = jaxinv.make("lost_sales", lead_time=4, shortage_cost=shortage)
    demand = unroll_world(env, begin(env, jax.random.key(0), params, 32), params, 500)[
        1
    ].exogenous.demand
    bound = dual_bound(env, params, demand)
    assert jax.vmap(lambda path: path_bound(env, params, path), in_axes=BATCH)(demand).max() == 0
    error = bound.std(ddof=1) / len(bound) ** 0.5
    assert 0.97 * at_one < bound.mean() < at_one + 3 * error < optimum


def test_the_penalty_of_the_true_value_function_leaves_nothing_to_gain():
    """Strong duality: with V of the lead time 1 model (by value iteration here) every path costs
    its optimum.
    """
    mass, size = poisson(5.0, 30), 20
    costs = newsvendor_costs(mass, 2 * size, 1.0, 4.0)
    value = costs.copy()
    stock, order, demand = np.ogrid[: 2 * size, : 2 * size, : len(mass)]
    after = np.maximum(stock - demand, 0) + order
    for _ in range(200):
        value = costs + (
            np.where(after < 2 * size, value[np.minimum(after, 2 * size - 1)], 1e6) @ mass
        ).min(1)
        value -= value.min()
    path = jax.random.poisson(jax.random.key(3), 5.0, (3, 600))
    solve = jax.vmap(
        lambda path: penalised_cost(*map(jnp.asarray, (mass, value, costs[:size])), path) / 600
    )
    assert np.allclose(solve(path), 4.04071, atol=1e-4)


def test_any_value_function_gives_a_bound():
    mass, size = jnp.asarray(poisson(5.0, 30)), 20
    costs = jnp.asarray(newsvendor_costs(np.asarray(mass), size, 1.0, 4.0))
    value = 3 * jax.random.normal(jax.random.key(0), (2 * size,)).cumsum()
    path = jax.random.poisson(jax.random.key(3), 5.0, (64, 200))
    cost = jax.vmap(lambda path: penalised_cost(mass, value, costs, path) / 200)(path)
    assert cost.mean() < 4.04071


@pytest.mark.parametrize(
    "bound, preset, options, says",
    [
        (pooled_bound, "serial", {}, "another network"),
        (pooled_bound, "lost_sales", {}, "another network"),
        (path_bound, "dual_sourcing", {}, "one store with one supplier"),
        (dual_bound, "backlog", {}, "is for lost sales"),
        (dual_bound, "lost_sales", dict(fixed_cost=5.0), "does not know fixed_cost"),
        (dual_bound, "lost_sales", dict(lead_time=0), "lead_time of at least 1"),
        (dual_bound, "lost_sales", dict(demand="normal", integer_orders=False), "whole demand"),
    ],
)
def test_bounds_refuse_what_they_say_nothing_about(bound, preset, options, says):
    env, params = jaxinv.make(preset, **options)
    with pytest.raises(UserError, match=says):
        bound(env, params, *([] if bound is pooled_bound else [jnp.zeros((10, 1, 1, 1))]))
