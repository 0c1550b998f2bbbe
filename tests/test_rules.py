"""The classical rules: published costs, and decisions worked out by hand."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinv
from jaxinv.envs import views
from jaxinv.envs.observation import Facts, Observation
from jaxinv.envs.presets import DualSourcing, LostSales, Serial
from jaxinv.envs.topology import SUPPLIER, Topology
from jaxinv.errors import UserError
from jaxinv.evaluation.simulate import simulate
from jaxinv.evaluation.tuning import tune_many
from jaxinv.policies.following import Follows
from jaxinv.policies.past import past_of
from jaxinv.policies.policy import fill_to
from jaxinv.policies.rules import RULES, BaseStock, Rule, applicable_rules, make_rule, rule_for

STORE = Topology(
    nodes=1, sources=(SUPPLIER,), destinations=(0,), demand_nodes=(0,), lead_times=(4,)
)
TWO_SUPPLIERS = Topology(
    nodes=1,
    sources=(SUPPLIER, SUPPLIER),
    destinations=(0, 0),
    demand_nodes=(0,),
    lead_times=(1, 4),
    backlog=True,
)
WITH_TRANSFERS = Topology(
    nodes=2, sources=(SUPPLIER, SUPPLIER, 0), destinations=(0, 1, 1), demand_nodes=(1,),
    lead_times=(4, 4, 1), lateral=(2,),
    backlog=True,
)  # fmt: skip
CHAIN = Topology(
    nodes=3,
    sources=(SUPPLIER, 0, 0),
    destinations=(0, 1, 2),
    demand_nodes=(1, 2),
    lead_times=(2, 1, 3),
    backlog=True,
)


def seen(net, on_hand, pipeline, backorder=None, signals=None, scale=1.0, review=1.0):
    """An observation with one product; the pipeline is a list of slots for each edge, latest order
    first.
    """
    facts = Facts(
        lead_time=jnp.array(net.lead_times, float),
        review_period=jnp.full(net.edges, review),
        scale=jnp.full((net.nodes, 1), scale),
        critical_ratio=jnp.full((net.nodes, 1), 0.8),
    )
    owed = None if not net.backlog else jnp.array(backorder or [0.0] * net.nodes, float)[:, None]
    return Observation(
        time=jnp.int32(0), on_hand=jnp.array(on_hand, float)[:, None], backorder=owed,
        instance=facts, signals=signals,
        pipeline=jnp.array(pipeline, float)[:, None, :],
    )  # fmt: skip


def in_units(rule, observation, **numbers):
    """Parameters of a rule from numbers in product units, one per edge or one for all."""
    one = rule.natural(
        {name: jnp.ones(shape) for name, shape in rule.shapes().items()}, observation.instance
    )
    return {
        name: (
            jnp.broadcast_to(jnp.asarray(value, float).reshape(-1, 1), (rule.topology.edges, 1))
            / one[name]
            if rule.shapes()[name]
            else jnp.float32(value)
        )
        for name, value in numbers.items()
    }


def orders(name, net, observation, season=7, **numbers):
    history = 1 if observation.signals is None else len(observation.signals)
    rule = make_rule(name, net, history=history, season=season)
    return rule(in_units(rule, observation, **numbers), observation)[:, 0].tolist()


# Published costs


@pytest.mark.parametrize(
    "name, numbers, exact, error",
    [
        (
            "base_stock",
            dict(level=25),
            5.197,
            0.003,
        ),  # shared/reference/inventory.md 1.3, simulated there
        ("capped_base_stock", dict(level=26, cap=5), 4.7978, 0.0),  # there exact
        ("constant_order", dict(quantity=4), 5.275, 0.0005),  # the best constant, there exact
        ("s_S", dict(reorder=24, gap=1), 5.197, 0.003),  # (S - 1, S) is base-stock
        ("r_nQ", dict(reorder=24, lot=1), 5.197, 0.003),  # so is (S - 1, n) with lots of one
    ],
)
def test_costs_on_lost_sales_are_the_published_ones(name, numbers, exact, error):
    """Poisson(5), h = 1, p = 4, L = 4."""
    env, params = jaxinv.make("lost_sales", lead_time=4, shortage_cost=4.0)
    rule = make_rule(name, env.topology)
    numbers = in_units(
        rule, env.view(env.start({"stock": jnp.zeros((1, 1))}, params), params), **numbers
    )
    batch, periods = 4096, 1000
    run = jax.jit(
        lambda key: simulate(
            env, params, rule, numbers, key, batch=batch, periods=periods, warm_up=100
        )
    )
    cost = -np.asarray(run(jax.random.key(11)).reward, np.float64) / periods
    assert abs(cost.mean() - exact) < 3 * np.hypot(cost.std() / batch**0.5, error)


# By hand: one store


@pytest.mark.parametrize(
    "name, numbers, expected",
    [  # the position is 4 + 1 + 2 + 3 = 10
        ("base_stock", dict(level=25), 15.0),
        ("base_stock", dict(level=9), 0.0),
        ("capped_base_stock", dict(level=25, cap=6), 6.0),
        ("capped_base_stock", dict(level=12, cap=6), 2.0),
        ("constant_order", dict(quantity=4), 4.0),
        ("s_S", dict(reorder=9, gap=5), 0.0),
        ("s_S", dict(reorder=10, gap=5), 5.0),  # at s it orders
        ("s_S", dict(reorder=13, gap=5), 8.0),
        ("r_nQ", dict(reorder=9, lot=4), 0.0),
        ("r_nQ", dict(reorder=10, lot=4), 4.0),  # at R it orders
        ("r_nQ", dict(reorder=13, lot=4), 4.0),
        ("r_nQ", dict(reorder=14, lot=4), 8.0),  # one lot would lift it to R only, not above
        ("r_nQ", dict(reorder=17, lot=4), 8.0),
    ],
)
def test_one_store_by_hand(name, numbers, expected):
    observation = seen(STORE, [4], [[1, 2, 3]], scale=5.0, review=2.0)
    assert orders(name, STORE, observation, **numbers) == pytest.approx([expected], abs=1e-4)


def test_levels_are_multiples_of_typical_demand_over_lead_time_and_review():
    observation = seen(STORE, [0], [[0, 0, 0]], scale=5.0, review=2.0)
    rule = make_rule("capped_base_stock", STORE)
    units = rule.natural({"level": jnp.ones((1, 1)), "cap": jnp.ones((1, 1))}, observation.instance)
    assert units == {"level": 5.0 * (4 + 2), "cap": 5.0 * 2}


# By hand: two suppliers


def test_positions_of_two_suppliers():
    """Fast: 1 period; slow: 4. The slow order of slot i + 1 periods ago is 3 - i periods away."""
    observation = seen(TWO_SUPPLIERS, [10], [[0, 0, 0], [1, 20, 300]], backorder=[4])
    fast, slow = views.edge_position(TWO_SUPPLIERS, observation)[:, 0].tolist()
    assert fast == 10 - 4 + 300  # only what arrives within the fast lead time
    assert slow == 10 - 4 + 321
    assert views.inventory_position(TWO_SUPPLIERS, observation).tolist() == [[327.0]]


@pytest.mark.parametrize("name", ["dual_index", "echelon_base_stock"])
@pytest.mark.parametrize(
    "levels, expected",
    [
        (
            (8, 20),
            [1.0, 9.0],
        ),  # fast position 7, slow position 10; the slow order sees the fast one
        ((5, 20), [0.0, 10.0]),
        (
            (18, 20),
            [11.0, 0.0],
        ),  # what was expedited already lifts the slow position above its level
        ((7, 9), [0.0, 0.0]),
    ],
)
def test_dual_index_by_hand(name, levels, expected):
    observation = seen(TWO_SUPPLIERS, [5], [[0, 0, 0], [1, 2, 3]], backorder=[1])
    assert orders(name, TWO_SUPPLIERS, observation, level=levels) == pytest.approx(
        expected, abs=1e-4
    )


def test_capped_dual_index_caps_the_slow_order():
    observation = seen(TWO_SUPPLIERS, [5], [[0, 0, 0], [1, 2, 3]], backorder=[1])
    assert orders(
        "capped_base_stock", TWO_SUPPLIERS, observation, level=(8, 20), cap=(100, 4)
    ) == pytest.approx([1, 4])


def test_dual_index_needs_two_suppliers():
    with pytest.raises(UserError, match="two suppliers"):
        make_rule("dual_index", STORE)


# By hand: a warehouse and two stores


def test_echelon_and_installation_positions():
    # the warehouse's edge has lead time 2, one slot of the three in use; the slow store has two
    observation = seen(CHAIN, [10, 1, 2], [[5, 0], [0, 0], [3, 4]], backorder=[0, 2, 0])
    assert views.inventory_position(CHAIN, observation)[:, 0].tolist() == [15.0, -1.0, 9.0]
    assert views.echelon_position(CHAIN, observation)[:, 0].tolist() == [23.0, -1.0, 9.0]
    assert orders("base_stock", CHAIN, observation, level=(30, 5, 8)) == pytest.approx([15, 6, 0])
    assert orders("echelon_base_stock", CHAIN, observation, level=(30, 5, 8)) == pytest.approx(
        [7, 6, 0]
    )


# Forecasts


def test_seasonal_forecast_of_a_perfect_season_is_exact():
    """Three whole seasons and a rest; the lead time of 4 and one review cover the next five
    periods.
    """
    season = np.array([10.0, 0.0, 7.0, 3.0])
    trace = np.tile(season, 5)
    for length in (12, 13, 15):
        signals = jnp.asarray(trace[:length, None], jnp.float32)
        observation = seen(STORE, [4], [[1, 2, 3]], signals=signals)
        coming = trace[length : length + 5].sum()
        ordered = orders("newsvendor_seasonal", STORE, observation, season=4, safety=0)
        assert ordered == pytest.approx([max(coming - 10.0, 0.0)], abs=1e-4)
        assert orders(
            "newsvendor_seasonal", STORE, observation, season=4, safety=3
        ) == pytest.approx(ordered, abs=0.01)


def test_seasonal_forecast_wants_two_seasons():
    with pytest.raises(UserError, match="history=8"):
        observation = seen(STORE, [4], [[1, 2, 3]], signals=jnp.ones((7, 1)))
        orders("newsvendor_seasonal", STORE, observation, season=4, safety=0)


def test_smoothing_forecast_by_hand():
    signals = jnp.array([[8.0], [4.0], [6.0]])
    weights = np.array([0.25, 0.5, 1.0]) / 1.75
    mean = weights @ [8.0, 4.0, 6.0]
    deviation = np.sqrt(weights @ (np.array([8.0, 4.0, 6.0]) - mean) ** 2)
    expected = 5 * mean + 1.5 * deviation * np.sqrt(5) - 10
    observation = seen(STORE, [4], [[1, 2, 3]], signals=signals)
    assert orders(
        "newsvendor_smoothing", STORE, observation, smoothing=0.5, safety=1.5
    ) == pytest.approx([expected], rel=1e-4)


def test_forecasts_of_a_warehouse_add_up_its_stores():
    signals = jnp.array([[3.0, 5.0]] * 4)  # a steady 3 and 5
    observation = seen(CHAIN, [0, 0, 0], [[0, 0]] * 3, signals=signals)
    ordered = orders("newsvendor_smoothing", CHAIN, observation, smoothing=0.3, safety=0)
    assert ordered == pytest.approx(
        [8 * (3 + 3), 3 * 2, 5 * 4], rel=1e-4
    )  # the longest way on takes 3 periods more


def test_a_rule_that_does_not_exist_is_named_with_the_nearest():
    with pytest.raises(UserError, match="base_stock"):
        make_rule("basestock", STORE)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_a_pure_function_of_its_shapes(name):
    net = WITH_TRANSFERS if name.startswith("transshipment") else TWO_SUPPLIERS
    rule = make_rule(name, net, history=6, season=3)
    if isinstance(rule, Follows):
        rule = rule.fitted_on(past_of(DualSourcing(demand="uniform", history=6).build()))
    assert set(rule.shapes()) == set(rule.ranges)
    low, high = (
        {key: jnp.full(shape, rule.ranges[key][end]) for key, shape in rule.shapes().items()}
        for end in (0, 1)
    )
    stock = dict(
        on_hand=[5] * net.nodes,
        backorder=[1] * net.nodes,
        pipeline=[[0, 0, 0], [1, 2, 3], [0, 0, 0]][: net.edges],
    )
    observation = seen(net, **stock, signals=jnp.ones((6, 1)), scale=3.0)
    for params in (low, high):
        action = rule(params, observation)
        assert (
            action.shape == (net.edges, 1) and np.all(np.isfinite(action)) and np.all(action >= 0)
        )
        np.testing.assert_allclose(action, jax.jit(rule)(params, observation), rtol=1e-5)


def test_a_rule_of_ones_own_is_tuned_like_the_others(monkeypatch):
    """A `Rule` with its `name`, `ranges` and `act`, and its name in `RULES`; nothing else."""

    class Square(Rule):
        """Order up to the square of a number: base-stock in other words."""

        name = "square"
        ranges = {"root": (0.5, 3.0)}
        scalars = frozenset({"root"})

        def act(self, params, observation, context):
            position = self.topology.at_destination(
                views.inventory_position(self.topology, observation)
            )
            return fill_to(
                self.topology, observation, jnp.full_like(position, params["root"] ** 2), position
            )

    monkeypatch.setitem(RULES, "square", Square)
    problem = LostSales(mean=2.0, lead_time=1, shortage_cost=9.0).build()
    assert "square" in applicable_rules(problem) and "square" in applicable_rules(Serial().build())
    tuned = tune_many(
        problem, jax.random.key(0), ["square", "base_stock"], 200_000, method="search"
    )
    assert tuned["square"].cost == pytest.approx(tuned["base_stock"].cost, rel=1e-3)
    assert round(float(tuned["square"].params["root"]) ** 2) == round(
        float(tuned["base_stock"].natural(problem)["level"][0, 0])
    )


def test_a_rule_of_ones_own_gets_the_window_and_season_that_it_has_fields_for():
    @dataclass(frozen=True)
    class Remembers(BaseStock):
        season: int = 1
        history: int = 1

        name = "remembers"

    RULES["remembers"] = Remembers
    try:
        rule = rule_for(LostSales(history=21).build(), "remembers")
    finally:
        del RULES["remembers"]
    assert (rule.history, rule.season) == (21, 7)
