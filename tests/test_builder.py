"""Networks told in words: what is made of them, and what is refused before anything compiles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slopes import slopes_of_levels
from snippets import python_block

import jaxinv
from jaxinv.demand.laws import Law
from jaxinv.envs import views
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.problem import Problem
from jaxinv.envs.words import EDGE, NODE, VOLUMES
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import play_world
from jaxinv.policies.rules import make_rule

pytestmark = pytest.mark.usefixtures("quick_compilation")


def shop(**node):
    net = jaxinv.Network(whole_units=True)
    net.supplier("supplier")
    net.node(
        "store",
        demand="poisson(5)",
        **{"holding_cost_per_unit_period": 1.0, "shortage_cost_per_unit": 4.0, **node},
    )
    return net


def test_a_shop_in_words_is_the_store_of_the_preset_to_the_bit():
    net = shop()
    net.edge("supplier", "store", lead_time_periods=4)
    ours, theirs = net.problem(name="lost_sales"), jaxinv.preset("lost_sales")().build()
    assert ours.env.topology == theirs.env.topology and ours.env == theirs.env
    jax.tree.map(np.testing.assert_array_equal, ours.train, theirs.train)


def test_times_and_limits_in_other_units_are_the_same_numbers():
    def built(period, volume=None, **edge):
        net = jaxinv.Network(period=period, volume_per_unit=volume)
        net.supplier("s")
        net.node("n", demand="poisson(5)")
        net.edge("s", "n", **edge)
        return net.topology(), net.params()

    topology, params = built(
        "week", lead_time_periods=2, review_periods=3, limit_units_per_period=40.0
    )
    other, same = built("week", lead_time_days=14, review_weeks=3, limit_units_per_period=40.0)
    assert topology == other
    jax.tree.map(np.testing.assert_array_equal, params, same)
    assert built("day", lead_time_weeks=1)[0].lead_times == (7,)
    assert built("day", volume=2.0, lead_time_periods=1, limit_volume_per_period=9.0)[
        1
    ].volume.tolist() == [2.0]


def test_products_by_name_and_instances_by_row():
    net = jaxinv.Network(products=("tea", "coffee"), instances=3)
    net.supplier("s")
    net.node(
        "n",
        demand=("poisson(5)", "poisson(2)"),
        holding_cost_per_unit_period={"coffee": 2.0, "tea": 1.0},
    )
    net.edge(
        "s", "n", lead_time_periods=np.array([1, 2, 2]), cost_per_unit=np.arange(6.0).reshape(3, 2)
    )
    problem = net.problem()
    assert (
        problem.instances == 3 and problem.env.topology.lead_times is None
    )  # they differ: each takes what is quoted
    assert problem.train.holding.tolist() == [[[1.0, 2.0]]] * 3
    assert problem.train.unit_cost[:, 0].tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert problem.train.lead_time.tolist() == [[1.0], [2.0], [2.0]] and problem.train.scale[
        0
    ].tolist() == [[5.0, 2.0]]
    assert problem.train.demand.cdf.shape[0] == 3 and problem.train.demand.cdf.shape[2:] == (1, 2)


def test_lead_times_and_arrivals_are_drawn_from_the_laws_that_were_told():
    net = shop()
    net.edge(
        "supplier",
        "store",
        lead_time_pmf=(0.0, 0.5, 0.25, 0.25),
        arrival_shares={0.0: 0.25, 1.0: 0.75},
    )
    problem = net.problem()
    env, params = problem.env, problem.first
    assert env.topology.max_lead_time == 3 and float(params.lead_time[0]) == 1.75
    _, world = play_world(env, jax.random.key(0), params, 64, 100)
    came = world.exogenous.arrival > 0
    assert float(came.mean()) == pytest.approx(0.75, abs=0.03)
    assert float((world.exogenous.lead_time == 1)[came].mean()) == pytest.approx(0.5, abs=0.03)


def everything(rationing="proportional"):
    """A factory that loses a fifth in processing and can make 16 a period, two shops of which one
    moves with service.
    """
    net = jaxinv.Network(backlog=True, rationing=rationing, orders_first=True)
    net.supplier("mine")
    net.node("factory", holding_cost_per_unit_period=0.25, shipping_capacity_units_per_period=14.0)
    for name, moves in (
        (
            "north",
            dict(
                goodwill_growth_per_period=1.02,
                goodwill_decay_per_period=0.9,
                goodwill_tolerance_share=0.5,
                goodwill_lowest=0.5,
                goodwill_highest=1.2,
            ),
        ),
        ("south", {}),
    ):
        net.node(
            name,
            demand=True,
            typical_demand_units_per_period=5.0,
            holding_cost_per_unit_period=1.0,
            shortage_cost_per_unit=9.0,
            **moves,
        )
        net.edge("factory", name, lead_time_periods=1, processing_yield=0.8, loss_cost_per_unit=0.3)
    net.edge(
        "mine",
        "factory",
        lead_time_periods=2,
        arrival_shares={0.5: 0.3, 1.0: 0.7},
        loss_cost_per_unit=0.1,
    )
    return net


@pytest.mark.parametrize("rationing", ["proportional", "priority"])
def test_gradients_through_capacity_yield_goodwill_and_arrivals_are_those_of_finite_differences(
    rationing,
):
    net = everything(rationing)
    problem = net.problem(demand=Law("truncated_normal", 5.0, 1.6).process(locations=2))
    levels = jnp.asarray([[1.3], [1.2], [1.1]])
    slope, along, difference = slopes_of_levels(problem.env, problem.first, levels)
    assert np.all(np.abs(slope) > 1e-3)
    np.testing.assert_allclose(difference, along, rtol=0.05, atol=0.03 * np.abs(slope).max())


def test_levels_of_rules_follow_the_goodwill_of_what_an_edge_leads_to():
    """Both shops are told 5 a period; when goodwill halves one of them, the factory's echelon needs
    7.5 of 10.
    """
    net = everything()
    problem = net.problem(demand=Law("truncated_normal", 5.0, 1.6).process(locations=2))
    env, params = problem.env, problem.first
    state = env.start({"stock": jnp.zeros((3, 1))}, params)
    view = env.view(state.replace(goodwill=jnp.asarray([[1.0], [0.5], [1.0]])), params)
    factor = views.goodwill_along_edges(env.topology, view)
    np.testing.assert_allclose(factor[:, 0], [0.5, 1.0, 0.75])  # to north, to south, to the factory
    rule, level = make_rule("echelon_base_stock", env.topology), {"level": jnp.ones((3, 1))}
    units = (
        rule.units(level, view, None).level / rule.units(level, env.view(state, params), None).level
    )
    np.testing.assert_allclose(units, factor, rtol=1e-6)


# What is refused, before anything compiles


def built(*tell, **network):
    net = jaxinv.Network(**network)
    for verb, *names, given in tell:
        getattr(net, verb)(*names, **given)
    return net.problem()


SUPPLY, STORE, WAY = (
    ("supplier", "s", {}),
    ("node", "n", dict(demand="poisson(5)")),
    ("edge", "s", "n", dict(lead_time_periods=1)),
)


def way(**given):
    return SUPPLY, STORE, ("edge", "s", "n", {"lead_time_periods": 1, **given})


def place(**given):
    return SUPPLY, ("node", "n", {"demand": "poisson(5)", **given}), WAY


@pytest.mark.parametrize(
    "tell, network, message",
    [
        ((STORE,), {}, "without supply: no way leads from a supplier to n"),
        ((), {}, "without supply"),
        ((SUPPLY, STORE, WAY, ("node", "m", {})), {}, "no way leads from a supplier to m"),
        (
            (
                SUPPLY,
                STORE,
                ("node", "a", {}),
                ("node", "b", {}),
                WAY,
                ("edge", "a", "b", dict(lead_time_periods=1)),
                ("edge", "b", "a", dict(lead_time_periods=1)),
            ),
            {},
            "to a, b",
        ),
        ((SUPPLY, ("supplier", "t", {}), STORE, WAY), {}, "supplier 't' supplies nothing"),
        ((SUPPLY, ("node", "n", {}), WAY), {}, "without demand"),
        ((SUPPLY, STORE, WAY, WAY), {}, "told twice"),
        ((SUPPLY, STORE, STORE, WAY), {}, "name 'n' is taken"),
        ((SUPPLY, ("node", "s", {}), WAY), {}, "name 's' is taken"),
        ((SUPPLY, SUPPLY), {}, "name 's' is taken"),
        ((SUPPLY, STORE, ("edge", "s", "nn", dict(lead_time_periods=1))), {}, "'nn'.*'n'"),
        (
            (SUPPLY, STORE, ("edge", "n", "s", dict(lead_time_periods=1))),
            {},
            "supplier takes nothing in",
        ),
        ((SUPPLY, STORE, ("edge", "n", "n", dict(lead_time_periods=1))), {}, "itself"),
        (place(storage_units=0.0), {}, "storage_volume=0.0 must be above 0"),
        (place(storage_units=5.0), {}, "go together"),
        (place(expiry_cost_per_unit=5.0), {}, "shelf_life_periods"),
        (place(liquidation_value_per_unit=5.0), {}, "return_shares"),
        (place(return_shares=(0.1,), forwarded_share=0.5), {}, "returns_to"),
        (place(), dict(budget_per_period=5.0), "cost_per_unit"),
        (place(), dict(instances=0), "at least 1"),
        (way(lead_time_periods=5), dict(longest_lead_time_periods=4), "above longest"),
        (
            (SUPPLY, STORE, ("node", "m", dict(goodwill_decay_per_period=0.9)), WAY),
            {},
            "goodwill changes demand",
        ),
        (place(shipping_capacity_units_per_period=0), {}, "must be above 0"),
        (way(limit_units_per_period=0), {}, "must be above 0"),
        (way(limit_units_per_period=5.0), dict(volume_per_unit=2.0), "contradicts volume_per_unit"),
        (place(storage_volume=5.0), {}, "needs volume_per_unit"),
        (way(lead_time_days=3), dict(period="day"), "given twice, in two units"),
        (way(lead_time_periods=None, lead_time_days=10), dict(period="week"), "whole periods"),
        (way(lead_time_periods=None, lead_time_days=10), {}, "how long a period is"),
        (way(lead_time_periods=1.5), {}, "whole periods"),
        (way(lead_time_periods=-1), {}, "0 or more"),
        (way(lead_time_periods=None), {}, "needs one of lead_time_periods"),
        (way(lead_time_pmf=(0.5, 0.5)), {}, "needs one of lead_time_periods"),
        (way(lead_time_periods=None, lead_time_pmf=(0.5, 0.6)), {}, "sum"),
        (way(arrival_shares={-0.1: 0.5, 1.0: 0.5}), {}, "share of -0.1"),
        (way(arrival_shares={0.0: 0.5, 1.1: 0.5}), {}, "share of 1.1"),
        (way(arrival_shares={0.0: 0.5, 1.0: 0.6}), {}, "sum to 1.1"),
        (way(arrival_shares=0.5), {}, "mapping"),
        (way(processing_yield=0.0), {}, "above 0"),
        (way(processing_yield=1.5), {}, "0..1"),
        (way(cost_per_unit=-1.0), {}, "at least 0"),
        (way(cost_per_unit=float("nan")), {}, "finite"),
        (way(cost_per_unit="cheap"), {}, "is not a number"),
        (way(cost_per_unit=(1.0, 2.0)), {}, "shape"),
        (way(cost_per_unt=1.0), {}, "cost_per_unit"),
        (place(holding_cost_per_unit=1.0), {}, "holding_cost_per_unit_period"),
        (place(goodwill_decay_per_period=1.5), {}, "0..1"),
        (place(return_shares=(0.5, 0.6)), {}, "at most 1"),
        (place(return_shares=(0.5,), returns_to="m"), {}, "'m'"),
        (
            place(
                initial_stock_units=1.0, initial_stock_from_units=0.0, initial_stock_to_units=2.0
            ),
            {},
            "contradicts",
        ),
        (place(demand="poison(5)"), {}, "poisson"),
        (place(demand=True), {}, "demand=True"),
        (place(demand=("poisson(5)", "poisson(6)")), {}, "2 laws"),
        (
            place(holding_cost_per_unit_period={"tea": 1.0}),
            dict(products=("tea", "coffee")),
            "products are tea, coffee",
        ),
        (place(), dict(products=("tea", "tea")), "name of its own"),
        (way(freight_from_units=(1.0,), freight_rate_per_unit=(2.0,)), {}, "begin with 0"),
        (way(freight_cost_per_shipment=2.0), {}, "freight_from_units"),
    ],
)
def test_a_network_that_means_nothing_is_named(tell, network, message):
    with pytest.raises(UserError, match=message):
        built(*tell, **network)


def test_every_number_of_an_instance_can_be_told():
    fields = {number.field for table in (NODE, EDGE) for number in table.values()}
    by_other_words = {
        "max_steps_in_episode", "weights", "preference", "lead_time", "demand", "lead_time_law",
        "arrival_law", "intervention",
        "freight_breaks", "freight_rates", "budget", "volume", "return_share", "order_days",
    }  # fmt: skip
    assert set(InstanceParams.__dataclass_fields__) - fields == by_other_words
    assert set(VOLUMES.values()) <= NODE.keys() | EDGE.keys()


# A preset from outside, as the guide has it


def test_the_preset_of_the_guide_is_found_built_and_played_like_any_other():
    source = python_block("docs/guides/own_network.md", "class DepotAndShops")
    assert len(source.splitlines()) <= 36
    names = {}
    exec(compile(source, "own_network.md", "exec"), names)  # noqa: S102
    kind = names["DepotAndShops"]
    problem = kind(lead_time=1).build()
    assert isinstance(problem, Problem) and problem.env.topology.node_names == (
        "depot",
        "north",
        "south",
    )
    rows = jaxinv.PRESETS.keys() | {"depot_and_shops"}
    jaxinv.register_preset("depot_and_shops", kind)
    try:
        env, params = jaxinv.make("depot_and_shops", lead_time=3)
        assert env.topology.lead_times == (3, 1, 1) and jaxinv.PRESETS.keys() == rows
        env.step(
            jax.random.key(0), env.reset(jax.random.key(0), params)[1], jnp.zeros((3, 1)), params
        )
    finally:
        del jaxinv.PRESETS["depot_and_shops"]
