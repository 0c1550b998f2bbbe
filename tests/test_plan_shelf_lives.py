"""Goods of a shop's plan that spoil: its world, where it stands today, and its order list."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from jaxinv.envs.plan_network import PlanNetwork
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.evaluation.rollout import BATCH
from jaxinv.evaluation.tuning import tune
from jaxinv.keys import root
from jaxinv.orders.lines import Acting
from jaxinv.orders.order_list import make_list
from jaxinv.orders.reasons import TERMS
from jaxinv.orders.today import today_of
from jaxinv.policies.decider import Decider
from jaxinv.policies.rules import rule_for
from jaxinv.policies.theirs import OwnOrders

pytestmark = pytest.mark.usefixtures("quick_compilation")
MEANS = {"milk": 30, "salad": 8, "rice": 20}


def plan(folder, lives=("7", "14", ""), weeks=100, price=1.8, **tables):
    rng = np.random.default_rng(0)
    mondays = pd.date_range("2022-01-03", periods=weeks, freq="7D")
    rows = [(day.date(), sku, rng.poisson(mean)) for day in mondays for sku, mean in MEANS.items()]
    pd.DataFrame(rows, columns=["date", "sku", "sales"]).to_csv(folder / "sales.csv", index=False)
    items = "sku,cost,price,shelf_life\n" + "".join(
        f"{sku},1,{price},{life}\n" for sku, life in zip(MEANS, lives)
    )
    for name, text in {
        "items": items,
        "stock": "sku,stock\nmilk,33\nsalad,15\nrice,25\n",
        **tables,
    }.items():
        (folder / f"{name}.csv").write_text(text)
    return PlanNetwork(data=str(folder), history=8, horizon=20)


def standing(preset):
    world = preset.shop()
    problem = preset.problem_of(world)
    return problem, today_of(preset, world, problem)


def by_sku(problem, values):
    """Values of the one place of each instance `[S, 1, 1]`, by SKU."""
    return dict(zip(problem.labels, np.asarray(values)[:, 0, 0].tolist()))


def test_a_week_of_life_is_a_newsvendor_week_by_week(tmp_path):
    """Costs of the same order in every week of recorded demand, and the best by brute force."""
    problem = plan(tmp_path).build()
    env, numbers = problem.env, problem.test
    assert env.topology.ages == 2 and by_sku(problem, numbers.shelf_life) == {
        "milk": 1,
        "salad": 2,
        "rice": 0,
    }
    assert set(by_sku(problem, numbers.expiry_cost).values()) == {1}  # the cost of the item
    first = int(np.asarray(numbers.demand.first)[0]) + env.history
    trace = np.asarray(numbers.demand.demand)[:, first : first + problem.test_periods, 0, 0].astype(
        float
    )
    milk, counted = trace[0], slice(problem.warm_up, None)
    held = 0.25 * 7 / 365.25

    def cost(order):
        left = np.maximum(order - milk[counted], 0.0)
        short = np.maximum(milk[counted] - order, 0.0)
        return (0.8 * short + (1.0 + held) * left).mean()

    orders = np.arange(15, 46)
    played = []
    for order in orders:
        same = {"orders": jnp.full((problem.test_periods, 1, 1, 3), float(order))}
        total = measure(problem, Contestant("own", OwnOrders(env.topology), same, BATCH), root(0))
        weights = np.asarray(numbers.weights)[0]
        played.append(float(weights @ total.costs[:, 0]) / (problem.test_periods - problem.warm_up))
    np.testing.assert_allclose(played, [cost(order) for order in orders], rtol=2e-3)
    best = orders[int(np.argmin([cost(order) for order in orders]))]
    assert abs(best - stats.poisson(30).ppf(0.8 / 1.8)) <= 3  # of few weeks
    assert orders[int(np.argmin(played))] == best

    tuned = tune(problem, rule_for(problem, "base_stock"), root(0), 200_000)
    total = measure(
        problem, Contestant("base_stock", tuned.rule, tuned.params, tuned.policy_axis), root(0)
    )
    own = float(np.asarray(numbers.weights)[0] @ total.costs[:, 0]) / (
        problem.test_periods - problem.warm_up
    )
    assert own < 1.15 * cost(best)


def test_without_shelf_lives_nothing_is_there(tmp_path):
    problem = plan(tmp_path, lives=("", "", "")).build()
    assert problem.env.topology.ages == 1 and not problem.env.topology.has("shelf_lives")
    assert problem.train.shelf_life is None and problem.train.expiry_cost is None
    assert not any("spoil" in note for note in problem.notes)
    long = plan(tmp_path, lives=("", "3000", "")).build()  # longer than the world looks ahead
    assert long.env.topology == problem.env.topology
    jax.tree.map(np.testing.assert_array_equal, long.train, problem.train)


@pytest.mark.parametrize("life", ["0", "-3", "soon"])
def test_a_life_that_is_none_is_named(tmp_path, life):
    with pytest.raises(UserError, match="items.csv: column 'shelf_life' is not .* in line 2"):
        plan(tmp_path, lives=(life, "7", "")).build()


def test_where_locations_supply_each_other_lives_are_only_watched(tmp_path):
    lanes = "source,destination,lead_time\nfactory,hub,7\nhub,shop,7\n"
    sales = pd.DataFrame(
        {
            "date": pd.date_range("2022-01-03", periods=60, freq="7D"),
            "sku": "milk",
            "location": "shop",
            "sales": 5,
        }
    )
    preset = plan(
        tmp_path,
        lanes=lanes,
        sales=sales.to_csv(index=False),
        stock="sku,location,stock\nmilk,hub,500\nmilk,shop,9\n",
    )
    problem, today = standing(preset)
    assert problem.env.topology.ages == 1 and any("only watched" in note for note in problem.notes)
    rule = rule_for(problem, "echelon_base_stock")
    decider = Decider("rule", problem, rule, {"level": jnp.full((2, 1), 9.0)})
    told = make_list(today, Acting.of(decider, 1), paths=16).exceptions
    assert "it keeps for 7" in told[told["kind"] == "may spoil"]["what"].iloc[0]


def test_what_is_wasted_costs_the_item_and_its_cheapest_way(tmp_path):
    lanes = "source,destination,lead_time,unit_cost\nnear,shop,7,0.5\nfar,shop,14,0.25\n"
    problem = plan(tmp_path, lanes=lanes).build()
    assert np.asarray(problem.train.expiry_cost)[:, 0, 0].tolist() == [1.25] * 3


def test_stock_of_today_is_of_all_ages_alike(tmp_path):
    due = "sku,destination,quantity,due\nsalad,shop,4,2023-12-04\nrice,shop,2,2023-12-04\n"
    _, today = standing(plan(tmp_path, lives=("7", "28", ""), open_orders=due))
    stock = dict(zip(today.skus, np.asarray(today.state.on_hand)[:, 0, 0].tolist()))
    assert stock == {"milk": [33, 0, 0, 0], "salad": [3, 4, 4, 4 + 4], "rice": [0, 0, 0, 25 + 2]}


def test_a_run_keeps_its_longest_life(tmp_path):
    preset = plan(tmp_path).build().settled
    assert preset.longest_shelf_life == 2
    later = dataclasses.replace(preset, data=str(tmp_path / "later"))
    (tmp_path / "later").mkdir()
    plan(tmp_path / "later", lives=("7", "70", "7"))
    found = later.build()
    assert found.env.topology.ages == 2
    assert by_sku(found, found.train.shelf_life) == {"milk": 1, "salad": 2, "rice": 1}


def test_a_list_of_what_spoils(tmp_path):
    preset = plan(tmp_path, stock="sku,stock\nmilk,33\nsalad,60\nrice,25\n")
    problem, today = standing(preset)
    rule = rule_for(problem, "base_stock")
    decider = Decider(
        "base_stock", problem, rule, {"level": jnp.full((1, 1), 3.0), "variation": jnp.float32(0.1)}
    )
    found = make_list(today, Acting.of(decider, 3), paths=64)
    rows = found.all.set_index("sku")
    terms = rows[[f"term_{name}" for name in TERMS]].sum(axis=1)
    assert np.allclose(
        terms[rows["quantity"] > 0], rows["quantity"][rows["quantity"] > 0], atol=1e-6
    )
    assert rows["on_hand"].to_dict() == {"milk": 33, "salad": 60, "rice": 25}
    usual = by_sku(problem, problem.train.scale)["milk"]
    assert rows["net_position"]["milk"] == pytest.approx(
        usual, rel=1e-5
    )  # what is not sold this week spoils
    assert 20 <= rows["quantity"]["milk"] <= 1.1 * 30 and rows["quantity"]["rice"] > 80
    told = found.exceptions[found.exceptions["kind"] == "may spoil"]
    assert told["sku"].tolist() == ["salad"] and "it keeps for 14" in told["what"].iloc[0]
    assert told["quantity"].iloc[0] == pytest.approx(60 - 2 * 8, abs=3)
    many = dataclasses.replace(
        today, state=today.state.replace(on_hand=today.state.on_hand.at[0, 0, 0, 0].add(60.0))
    )
    more = make_list(many, Acting.of(decider, 3), paths=64)
    assert (
        more.all.set_index("sku")["quantity"]["milk"] == rows["quantity"]["milk"]
    )  # it will not be there


def test_waste_is_counted_on_the_paths(tmp_path):
    """A unit more of what lasts a week is sold in the week that it arrives in, or wasted."""
    problem, today = standing(plan(tmp_path, price=5.0))
    rule = rule_for(problem, "base_stock")
    decider = Decider(
        "base_stock", problem, rule, {"level": jnp.full((1, 1), 3.0), "variation": jnp.float32(0.1)}
    )
    found = make_list(today, Acting.of(decider, 3), paths=64)
    row = found.all.set_index("sku").loc["milk"]
    demand = found.futures.paths(np.arange(3), 64)[:, 0, 1, 0]  # of the coming week but one
    sold = np.clip(demand - row["quantity"], 0.0, 1.0)
    held = float(np.asarray(problem.test.holding)[0, 0, 0])
    assert (
        problem.labels[0] == "milk"
        and row["quantity"] > by_sku(problem, problem.train.scale)["milk"]
    )
    assert row["cost_pack_more"] == pytest.approx(
        (-4 * sold + (1 + held) * (1 - sold)).mean(), abs=1e-3
    )


def test_a_review_later_loses_the_sales_of_a_period(tmp_path):
    """Of what lasts a week and is out of stock: a week later nobody has waited for it."""
    problem, today = standing(plan(tmp_path, price=5.0, stock="sku,stock\nmilk,0\n"))
    rule = rule_for(problem, "base_stock")
    params = {"level": jnp.full((1, 1), 3.0), "variation": jnp.float32(0.1)}
    found = make_list(today, Acting.of(Decider("base_stock", problem, rule, params), 3), paths=64)
    row = found.all.set_index("sku").loc["milk"]
    demand = found.futures.paths(np.arange(3), 64)[:, 0, 1, 0]
    lost = 4 * np.minimum(demand, row["quantity"])  # margin of what is not there
    saved = np.maximum(row["quantity"] - demand, 0.0)  # and not wasted
    assert row["quantity"] > 20
    assert row["cost_nothing"] == pytest.approx((lost - saved).mean(), rel=0.05)
    assert row["cost_review_later"] > 0.9 * row["cost_nothing"]


def test_a_user_gives_stock_by_age(tmp_path):
    problem = plan(tmp_path).build()
    rule = rule_for(problem, "base_stock")
    decider = Decider(
        "base_stock", problem, rule, {"level": jnp.full((1, 1), 1.5), "variation": jnp.float32(0.1)}
    )
    few, many = (
        decider.order(stock=[[[units, 0]]], pipeline=[0], series="milk").item()
        for units in (30, 90)
    )
    assert few == many > 0  # what is left tonight is gone
    assert decider.order(stock=[[[0, 90]]], pipeline=[0], series="rice").item() == 0
    with pytest.raises(UserError, match="wants.*1, 1, 2"):
        decider.order(stock=[30.0], pipeline=[0], series="milk")
