"""One warehouse and many stores: the published instances, how the warehouse rations, and laws that
differ between stores.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxinv
from jaxinv.demand.exogenous import Exogenous, draw_uniforms
from jaxinv.demand.laws import Law
from jaxinv.envs.network import COSTS, InstanceParams, NetworkState, transition
from jaxinv.envs.one_warehouse import KAYNOV
from jaxinv.envs.topology import Topology
from jaxinv.errors import UserError
from jaxinv.evaluation.simulate import simulate
from jaxinv.evaluation.tuning import rule_for, tune

NAME = "one_warehouse_many_stores"
PATHS = 2048


def problem_of(row, **options):
    return jaxinv.preset(NAME)(**KAYNOV[row], **options).build()


def total_cost(problem, levels, seed=2):
    """Cost of 100 periods with echelon base-stock levels in units, and its error."""
    env, params = problem.env, problem.first
    rule = rule_for(problem, "echelon_base_stock")
    levels = {
        "level": jnp.asarray(levels, jnp.float32)[:, None] / rule.level_unit(env.facts(params))
    }
    run = jax.jit(
        lambda key: (
            simulate(
                env, params, rule, levels, key, batch=PATHS, periods=problem.test_periods
            ).reward
        )
    )
    costs = -np.asarray(run(jax.random.key(seed)), float)
    assert problem.test_periods == 100 and problem.warm_up == 0
    return costs.mean(), costs.std() / PATHS**0.5


# The published instances


@pytest.mark.parametrize(
    "row, levels, rationing, cost, published",
    [
        (1, (48, 10, 10, 10), "equal_shortage", 1558.12, 1609.47),
        (1, (48, 10, 10, 10), "proportional", 1564.53, 1655.51),
        (6, (35, 10, 10, 10), "equal_shortage", 1350.67, 1366.51),
        (6, (35, 10, 10, 10), "proportional", 1348.05, 1373.91),
    ],
)
def test_tuned_echelon_base_stock_costs_what_others_find(row, levels, rationing, cost, published):
    """`cost` is that of the public reproduction whose start is used here, tuned and evaluated on
    1000 to 4096 paths; the heuristics in the paper are dearer."""
    ours, error = total_cost(problem_of(row, rationing=rationing), levels)
    assert abs(ours - cost) < 3 * np.hypot(error, 2.5)
    assert ours + 3 * error < published


def test_search_finds_what_costs_as_little():
    problem = problem_of(6)
    tuned = tune(
        problem, rule_for(problem, "echelon_base_stock"), jax.random.key(0), 1_000_000, "search"
    )
    best, _ = total_cost(problem, (35, 10, 10, 10))
    cost, _ = total_cost(problem, tuned.natural(problem)["level"][:, 0])
    assert cost < 1.01 * best


@pytest.mark.parametrize("row", KAYNOV)
def test_rows_are_what_the_table_says(row):
    problem = problem_of(row)
    env, params = problem.env, problem.first
    topology = env.topology
    assert topology.backlog == (row <= 5) and topology.nodes == 4
    assert params.holding[:, 0].tolist() == [0.5, 1, 1, 1] and params.shortage[:, 0].tolist() == [
        0,
        9,
        9,
        9,
    ]
    assert topology.lead_times[0] == {5: 5, 6: 1, 8: 5, 10: 5}.get(row, 2)
    assert topology.lead_times[1:] == {4: (1, 2, 3), 5: (3, 3, 3), 9: (1, 2, 3), 10: (3, 3, 3)}.get(
        row, (1, 1, 1)
    )
    start = env.start({"stock": jnp.full((4, 1), 0.7)}, params)
    period = np.round(params.scale[:, 0])
    np.testing.assert_array_equal(start.on_hand[:, 0], 2 * period)
    under_way = period * (np.array(topology.lead_times) - 1)
    np.testing.assert_array_equal(start.pipeline.sum((1, 2)), under_way)


# Demand


def test_each_store_has_its_own_law():
    env, params = jaxinv.make(NAME, **KAYNOV[3])
    draws = 200_000
    uniforms = draw_uniforms(jax.random.key(4), 0, env.world.noise, (draws,))
    step = jax.vmap(
        lambda uniforms: env.world.demand.step(None, uniforms, params.demand)[1], -1, -1
    )
    demand = np.asarray(step(uniforms))[:, 0]
    wide, narrow = stats.norm(1, 5), stats.norm(5, 1)
    masses = [
        lambda k: np.where(k == 0, wide.cdf(0.5), wide.cdf(k + 0.5) - wide.cdf(k - 0.5)),
        lambda k: np.where(k == 0, narrow.cdf(0.5), narrow.cdf(k + 0.5) - narrow.cdf(k - 0.5)),
        stats.poisson(0.5).pmf,
    ]
    for store, mass in enumerate(masses):
        units = np.arange(40)
        exact = mass(units)
        shares = np.bincount(demand[store].astype(int), minlength=40)[:40] / draws
        assert np.all(np.abs(shares - exact) < 5 * np.sqrt(exact * (1 - exact) / draws) + 1e-6)
        assert params.scale[1 + store, 0] == pytest.approx(np.sum(units * exact), rel=1e-4)
    assert np.all(np.abs(np.corrcoef(demand) - np.eye(3)) < 0.01)


def test_laws_are_read_from_their_names_and_numbers():
    assert Law.parse("poisson(3)") == Law("poisson", mean=3.0)
    assert Law.parse("uniform(0, 6)") == Law("uniform", low=0, high=6)
    assert Law.parse("rounded_normal(5,1)") == Law("rounded_normal", mean=5.0, deviation=1.0)
    assert Law("rounded_normal", mean=10.0, deviation=0.0).average == 10.0
    for text in ("poisson", "poisson(1, 2)", "poisson(x)", "uniform(3)"):
        with pytest.raises(UserError, match="must be written"):
            Law.parse(text)
    with pytest.raises(UserError, match="poisson"):
        Law.parse("poison(3)")


# Rationing


@cache
def stores(edges, rationing, packs):
    """One period of a warehouse without inflow: a compiled function of its stock, requests `[E]`
    and pack sizes `[E]`.
    """
    net = Topology(
        nodes=1 + edges, sources=(0,) * edges, destinations=tuple(range(1, 1 + edges)),
        demand_nodes=(1,),
        lead_times=(1,) * edges, rationing=rationing,
        mechanisms=frozenset({"packs"} if packs else ()),
    )  # fmt: skip
    nothing = jnp.zeros((1 + edges, 1))

    @jax.jit
    def period(stock, requests, pack):
        params = InstanceParams(
            holding=nothing, shortage=nothing, weights=jnp.ones(len(COSTS)), pack_size=pack[:, None]
        )
        state = NetworkState(jnp.int32(0), nothing.at[0].set(stock), jnp.zeros((edges, 1, 0)))
        after, outcome = transition(
            net, state, requests[:, None], Exogenous(jnp.zeros((1, 1))), params
        )
        return after.on_hand[0, 0], outcome.ordered[:, 0]

    return period


def shipped(stock, requests, rationing, pack=None):
    """What each store gets."""
    edges = len(requests)
    period = stores(edges, rationing, pack is not None)
    left, given = period(
        stock, np.asarray(requests, np.float32), np.full(edges, pack or 1.0, np.float32)
    )
    assert float(left) == pytest.approx(stock - float(given.sum()), abs=1e-4)
    return given.tolist()


def test_equal_shortage_leaves_all_stores_lacking_the_same():
    assert shipped(10.0, [8, 6, 2], "equal_shortage") == [6, 4, 0]  # two short each
    assert shipped(10.0, [8, 6, 1], "equal_shortage") == [
        6,
        4,
        0,
    ]  # the third lacks all it asked for, which is less
    assert shipped(20.0, [8, 6, 1], "equal_shortage") == [8, 6, 1]
    assert shipped(0.0, [8, 6, 1], "equal_shortage") == [0, 0, 0]


def test_no_rationing_has_a_smaller_largest_shortage():
    random = np.random.default_rng(0)
    for _ in range(20):
        requests, stock = random.integers(0, 12, 3).astype(float), float(random.integers(0, 25))
        worst = max(requests - np.array(shipped(stock, requests, "equal_shortage")))
        for rationing in ("proportional", "priority"):
            assert worst <= max(requests - np.array(shipped(stock, requests, rationing))) + 1e-4


@pytest.mark.parametrize("rationing", ["proportional", "equal_shortage"])
def test_whole_packs_do_not_stay_behind(rationing):
    """What rounding leaves goes to the stores that lack most, the first of equals first."""
    assert shipped(7.0, [3, 3, 3], rationing, pack=1) == [3, 2, 2]
    assert shipped(8.0, [3, 3, 3], rationing, pack=1) == [3, 3, 2]
    assert shipped(7.0, [4, 4, 4], rationing, pack=2) == [2, 2, 2]  # one unit is no pack
    assert shipped(8.0, [4, 4, 4], rationing, pack=2) == [4, 2, 2]
    random = np.random.default_rng(1)
    for _ in range(20):
        requests, stock = random.integers(0, 12, 4).astype(float), float(random.integers(0, 30))
        given = np.array(shipped(stock, requests, rationing, pack=1))
        assert given.sum() == min(stock, requests.sum()) and np.all(given <= requests)


# Options


def test_one_entry_stands_for_every_store():
    env, params = jaxinv.make(
        NAME, stores=4, demand=("poisson(2)",), store_lead_times=(2,), store_holding_costs=(1.5,),
        backlog=True,
        store_shortage_costs=(4.0, 5.0, 6.0, 7.0), rationing="priority",
    )  # fmt: skip
    assert (
        env.topology.lead_times == (3, 2, 2, 2, 2)
        and env.topology.backlog
        and env.topology.rationing == "priority"
    )
    assert params.holding[1:, 0].tolist() == [1.5] * 4 and params.shortage[1:, 0].tolist() == [
        4,
        5,
        6,
        7,
    ]
    assert params.scale[:, 0].tolist() == [8, 2, 2, 2, 2]


def test_what_is_given_does_not_change_what_is_drawn():
    drawn, given = (
        jaxinv.make(NAME, stores=3, **options)[1]
        for options in ({}, dict(store_holding_costs=(1.0,)))
    )
    np.testing.assert_array_equal(drawn.shortage, given.shortage)
    np.testing.assert_array_equal(drawn.lead_time, given.lead_time)
    np.testing.assert_array_equal(drawn.demand.mean, given.demand.mean)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(demand=("poisson(3)",) * 2), "2 demand for 3 stores"),
        (dict(demand=("norml(3, 1)",)), "unknown demand law 'norml'; did you mean 'normal'"),
        (dict(store_lead_times=(1, 1)), "2 store_lead_times for 3 stores"),
        (dict(store_shortage_costs=(-1.0,)), "store_shortage_costs"),
        (dict(initial_stock=(1.0, 1.0)), "initial_stock has 2 entries"),
        (dict(rationing="fair"), "rationing"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        jaxinv.make(NAME, stores=3, **options)
