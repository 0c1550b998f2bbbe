"""The transshipment rule by hand, and what rules without transfers do on lateral edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.envs.observation import Facts, Observation
from jaxinv.envs.presets import LostSales
from jaxinv.envs.topology import SUPPLIER, Topology
from jaxinv.envs.two_warehouses import TwoWarehouses
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant, costs
from jaxinv.evaluation.tuning import tune
from jaxinv.exact import solve
from jaxinv.policies.registry import CLASSICAL, RULES
from jaxinv.policies.rules import applicable_rules, make_rule, rule_for

pytestmark = pytest.mark.usefixtures("quick_compilation")

TWO = Topology(
    nodes=2, sources=(SUPPLIER, SUPPLIER, 0, 1), destinations=(0, 1, 1, 0), demand_nodes=(0, 1),
    lead_times=(2, 2, 0, 0),
    lateral=(2, 3), backlog=True,
)  # fmt: skip
THREE = Topology(
    nodes=3, sources=(SUPPLIER,) * 3 + (0, 0, 1, 1, 2, 2), destinations=(0, 1, 2, 1, 2, 0, 2, 0, 1),
    demand_nodes=(0, 1, 2),
    lead_times=(1,) * 3 + (0,) * 6, lateral=(3, 4, 5, 6, 7, 8),
)  # fmt: skip


def orders(net, stock, level, hold, pipeline=None, name="transshipment", scale=1.0, **numbers):
    """Orders for numbers in units, one for each edge or all; the pipeline has a slot an edge."""
    facts = Facts(
        lead_time=jnp.asarray(net.lead_times, float), review_period=jnp.ones(net.edges),
        scale=jnp.broadcast_to(jnp.asarray(scale, float).reshape(-1, 1), (net.nodes, 1)),
        critical_ratio=jnp.full((net.nodes, 1), 0.8),
    )  # fmt: skip
    slots = (
        jnp.zeros((net.edges, 1, net.slots))
        if pipeline is None
        else jnp.asarray(pipeline, float)[:, None, None]
    )
    held = jnp.asarray(stock, float)[:, None]
    observation = Observation(
        time=jnp.int32(0), on_hand=jnp.maximum(held, 0), pipeline=slots,
        backorder=jnp.maximum(-held, 0) if net.backlog else None,
        instance=facts,
    )  # fmt: skip
    rule = make_rule(name, net)
    unit = rule.natural({key: jnp.ones(shape) for key, shape in rule.shapes().items()}, facts)
    given = {
        key: value
        for key, value in dict(level=level, hold=hold, **numbers).items()
        if key in rule.shapes()
    }
    params = {
        key: jnp.broadcast_to(jnp.asarray(value, float).reshape(-1, 1), (net.edges, 1)) / unit[key]
        for key, value in given.items()
    }
    return np.asarray(rule(params, observation))[:, 0].round(4).tolist()


# --- by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stock, pipeline, expected",
    [
        (
            (8, 1),
            (0, 0, 0, 0),
            [3, 6, 2, 0],
        ),  # B lacks 2 of 3 and A can spare 8 - 4; both then order up to 9
        ((5, 1), (0, 0, 0, 0), [5, 7, 1, 0]),  # no more than lies above the hold-back of 4
        ((4, 1), (0, 0, 0, 0), [5, 8, 0, 0]),
        ((8, -2), (0, 0, 0, 0), [5, 7, 4, 0]),  # what is owed is lacking too
        (
            (8, 1),
            (0, 3, 0, 0),
            [3, 3, 2, 0],
        ),  # what arrives tomorrow is late for a transfer, and counts as ordered
        ((1, 9), (0, 0, 0, 0), [6, 2, 0, 2]),  # and the other way
    ],
)
def test_two_locations_by_hand(stock, pipeline, expected):
    assert orders(TWO, stock, level=(9, 9, 3, 3), hold=(0, 0, 4, 4), pipeline=pipeline) == expected


def test_several_that_are_short_share_in_proportion_and_so_do_several_that_can_spare():
    numbers = dict(level=[0] * 3 + [3] * 6, hold=[0] * 3 + [2] * 6)
    # A has 3 to spare; B lacks 2 and C lacks 3, each of which A could meet alone
    assert orders(THREE, (5, 1, 0), **numbers)[3:5] == pytest.approx(
        [3 * 2 / 5, 3 * 3 / 5], abs=1e-3
    )
    # B and C have 4 and 2 to spare and A lacks 3: 3 and 2 without the other
    sent = orders(THREE, (0, 6, 4), **numbers)
    assert [sent[5], sent[7]] == pytest.approx([3 * 3 / 5, 3 * 2 / 5], abs=1e-3)
    assert sum(sent[3:5]) == 0 and sent[6] == sent[8] == 0


def test_hold_back_is_in_units_of_the_demand_where_it_is_held():
    rule = make_rule("transshipment", TWO)
    facts = Facts(
        jnp.asarray([2.0, 2, 0, 0]),
        jnp.ones(4),
        jnp.asarray([[10.0], [1.0]]),
        jnp.full((2, 1), 0.8),
    )
    natural = rule.natural({"level": jnp.ones((4, 1)), "hold": jnp.ones((4, 1))}, facts)
    assert natural["level"][:, 0].tolist() == [30, 3, 1, 10] and natural["hold"][
        2:, 0
    ].tolist() == [10, 1]


def test_nothing_is_sent_that_is_not_there():
    draw = np.random.default_rng(0)
    for _ in range(20):
        stock, level, hold = draw.integers(0, 9, 3), draw.integers(0, 9, 9), draw.integers(0, 9, 9)
        sent = np.asarray(orders(THREE, stock, level=level, hold=hold)[3:])
        out = np.array([sent[0:2].sum(), sent[2:4].sum(), sent[4:6].sum()])
        assert (sent >= 0).all() and (out <= stock + 1e-3).all()


# --- among the rules ----------------------------------------------------------------------------


def test_it_is_for_networks_with_lateral_edges():
    small = TwoWarehouses(demand=("uniform(0,2)",), lead_time=1).build()
    names = applicable_rules(small)
    assert "transshipment" in names and "base_stock" in names
    assert not {
        "dual_index",
        "tailored_base_surge",
        "echelon_base_stock",
        "newsvendor_quantile",
    } & set(names)
    assert "transshipment" not in applicable_rules(LostSales().build())
    assert {f"transshipment_{one}" for one in ("smoothing", "seasonal", "regression")} <= set(RULES)
    with pytest.raises(
        UserError,
        match=(
            "transshipment needs lateral edges between nodes that hold stock, as in two_warehouses;"
            " try base_stock"
        ),
    ):
        make_rule("transshipment", LostSales().build().env.topology)


@pytest.mark.parametrize(
    "name", [name for name in CLASSICAL if name not in ("transshipment", "dual_index")]
)
def test_rules_without_transfers_order_as_two_stores_by_themselves(name):
    """Nothing goes along lateral edges, and what is ordered from the supplier is as if there were
    none.
    """
    alone = Topology(
        nodes=2, sources=(SUPPLIER, SUPPLIER), destinations=(0, 1), demand_nodes=(0, 1),
        lead_times=(2, 2), backlog=True
    )  # fmt: skip
    if name == "tailored_base_surge":
        with pytest.raises(UserError, match="needs a node with two suppliers"):
            make_rule(name, TWO)
        return
    numbers = dict(level=4.0, hold=0.0, reorder=4.0, gap=2.0, lot=2.0, quantity=3.0, cap=2.0)
    for stock in ((7, -2), (0, 3)):
        both = (
            orders(TWO, stock, **numbers, name=name, pipeline=(1, 0, 0, 0)),
            orders(alone, stock, **numbers, name=name, pipeline=(1, 0)),
        )
        assert both[0] == [*both[1], 0, 0]
        assert sum(both[1]) > 0


def test_tuned_it_comes_near_the_optimum_where_base_stock_does_not():
    problem = TwoWarehouses(
        demand=("uniform(0,2)",), lead_time=1, shortage_cost=(9.0,), initial_stock=(2.0,)
    ).build()
    found, key = solve(problem.env, problem.first), jax.random.key(1)
    least = costs(problem, Contestant("optimal", found.policy, found.params), key, 128).mean()
    gaps = {}
    for name in ("base_stock", "transshipment"):
        tuned = tune(problem, rule_for(problem, name), key, 300_000, "search")
        assert all(np.isfinite(value).all() for value in tuned.natural(problem).values())
        gaps[name] = (
            costs(problem, Contestant(name, tuned.rule, tuned.params), key, 128).mean() / least - 1
        )
    assert -0.01 < gaps["transshipment"] < 0.05 < 0.1 < gaps["base_stock"]
