"""Comparisons on held-out noise: rows, exact pairing, groups of instances, and the just-in-time
bound.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.envs.costs import COSTS
from jaxinv.envs.one_warehouse import OneWarehouseManyStores
from jaxinv.envs.presets import Backlog, DualSourcing, LostSales
from jaxinv.envs.problem import Problem
from jaxinv.envs.retail import Retail
from jaxinv.envs.shared import Shared
from jaxinv.errors import UserError
from jaxinv.evaluation import held_out
from jaxinv.evaluation.compare import best_of, contestants_of, evaluate
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.evaluation.just_in_time import just_in_time, least_unit_cost
from jaxinv.evaluation.rollout import BATCH, play_world
from jaxinv.evaluation.simulate import simulate, simulate_in
from jaxinv.evaluation.statistics import mean_of
from jaxinv.evaluation.tuning import Tuned, rule_for
from jaxinv.evidence import Contest, check_learned, evidence_table, verdict

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY = jax.random.key(11)
KEYS = {
    "policy", "cost", "cost_interval", "interval_over", "difference", "difference_interval",
    "relative_difference",
    "relative_difference_interval", "gap", "gap_interval", "fill_rate", "stockout_rate", "turnover",
    "parts",
    "forecast_error", "best_rule", "fill_rate_interval", "stock", "stock_interval", "stock_value",
    "stock_value_interval",
}  # fmt: skip


def rule(problem, level, name="base_stock", **more):
    params = {"level": jnp.full((problem.env.topology.edges, 1), level), **more}
    return Contestant(f"{name} {level}", rule_for(problem, name), params)


def several(means) -> Problem:
    problems = [
        Backlog(demand="normal", mean=mean, deviation=mean / 4, lead_time=1).build()
        for mean in means
    ]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[p.first for p in problems])
    return dataclasses.replace(
        problems[0], train=params, test=params, instances=len(means), warm_up=20, test_periods=84
    )


@pytest.fixture(scope="module")
def lost_sales():
    return dataclasses.replace(
        LostSales(lead_time=2, unit_cost=0.5).build(), warm_up=64, test_periods=320
    )


def test_rows_hold_what_the_commands_promise(lost_sales):
    low, high = rule(lost_sales, 0.9), rule(lost_sales, 1.2)
    rows = evaluate(lost_sales, [low, high], KEY, paths=64, baseline=low.name, reference=4.0)
    assert [row["policy"] for row in rows] == [low.name, high.name]
    for row in rows:
        assert set(row) == KEYS
        assert row["cost_interval"][0] < row["cost"] < row["cost_interval"][1]
        assert sum(row["parts"].values()) == pytest.approx(row["cost"], rel=1e-4)
        assert set(row["parts"]) == {"holding", "shortage", "ordering"}
        assert row["gap"] == pytest.approx(row["cost"] / 4.0 - 1)
        assert (
            0 < row["stockout_rate"] < 1
            and 0 < row["fill_rate"] < 1
            and row["forecast_error"] is None
        )
    assert rows[1]["fill_rate"] > rows[0]["fill_rate"] and rows[1]["turnover"] < rows[0]["turnover"]
    assert rows[1]["difference"] == pytest.approx(rows[1]["cost"] - rows[0]["cost"], rel=1e-4)
    assert rows[1]["relative_difference"] == pytest.approx(
        rows[1]["difference"] / rows[0]["cost"], rel=1e-4
    )


def test_documents_hold_shares_and_people_read_percent():
    """One unit in rows: whatever is a share there stands in percent in tables and sentences, its
    interval too.
    """
    row = {
        "policy": "ppo", "cost": 9.0, "cost_interval": [8.0, 10.0], "relative_difference": -0.1,
            "difference": -1.0, "difference_interval": [-1.5, -0.5],
        "relative_difference_interval": [-0.15, -0.05], "gap": 0.02, "gap_interval": [0.01, 0.03],
        "fill_rate": 0.953,
        "stockout_rate": 0.031, "turnover": 12.0, "forecast_error": 0.25, "reference": "optimum",
    }  # fmt: skip
    cells = [str(list(column.cells)[0]) for column in evidence_table([row], "").columns]
    assert cells == ["ppo", "9", "[8, 10]", "-10", "[-15, -5]", "2", "95.3", "3.1", "12", "25"]
    said = verdict([row])
    assert "cheaper than the best tuned rule by 10.00%" in said and "-15.00 to -5.00%" in said
    assert "2.00% above the optimum (1.00 to 3.00%)" in said


def test_a_policy_compared_with_itself_differs_by_exactly_nothing(lost_sales):
    base = rule(lost_sales, 1.0)
    rows = evaluate(
        lost_sales, [base, base._replace(name="again")], KEY, paths=32, baseline=base.name
    )
    for row in rows:
        assert row["difference"] == 0.0 and row["difference_interval"] == [0.0, 0.0]
        assert row["relative_difference"] == 0.0


def test_pairing_makes_small_differences_visible(lost_sales):
    base, near = rule(lost_sales, 1.0), rule(lost_sales, 1.07)
    rows = evaluate(lost_sales, [base, near], KEY, paths=128, baseline=base.name)
    width = np.diff(rows[1]["difference_interval"])[0]
    assert width < 0.5 * np.diff(rows[1]["cost_interval"])[0]


def test_figures_follow_from_the_totals(lost_sales):
    base = rule(lost_sales, 1.0)
    row = evaluate(lost_sales, [base], KEY, paths=32)[0]
    totals = measure(lost_sales, base, KEY, paths=32)
    assert row["fill_rate"] == pytest.approx(1 - totals.short.sum() / totals.demand.sum())
    assert row["turnover"] == pytest.approx(365 * totals.sold.sum() / totals.on_hand.sum())
    assert row["difference"] is None and row["gap"] is None


def test_groups_of_instances_give_each_instance_its_own_numbers(monkeypatch):
    """Means rise from 2 to 8, so a permuted or repeated instance would show."""
    problem = several(np.linspace(2.0, 8.0, 7))
    levels = jnp.linspace(0.9, 1.3, 7).reshape(1, 1, 7)
    own = Contestant("own", rule_for(problem, "base_stock"), {"level": levels}, BATCH)
    shared = rule(problem, 1.1)
    monkeypatch.setattr(held_out, "PATHS", 3)
    totals = measure(problem, own, KEY)
    assert totals.reward.shape == (7,) and totals.costs.shape == (len(COSTS), 7)
    np.testing.assert_allclose(totals.demand / 64, np.linspace(2, 8, 7), rtol=0.25)
    np.testing.assert_array_equal(
        totals.demand, measure(problem, shared, KEY).demand
    )  # the same noise
    stock = totals.on_hand / totals.demand
    assert stock[-1] > stock[0]
    rows = evaluate(problem, [own, shared], KEY, baseline="own")
    assert sum(rows[0]["parts"].values()) == pytest.approx(rows[0]["cost"], rel=1e-4)


def test_a_world_played_ahead_is_the_one_that_a_simulation_plays():
    """101 periods are two chunks with one to spare, and the rule reads a window of history across
    them.
    """
    problem = LostSales(lead_time=2, history=5).build()
    smoothing = rule_for(problem, "newsvendor_smoothing")
    params = {"smoothing": jnp.float32(0.2), "safety": jnp.float32(1.0)}
    one = simulate(
        problem.env, problem.first, smoothing, params, KEY, batch=8, periods=91, warm_up=10
    )
    world = play_world(problem.env, KEY, problem.first, 8, 101)
    other = simulate_in(problem.env, problem.first, smoothing, params, *world, warm_up=10)
    np.testing.assert_array_equal(one.demand, other.demand)
    np.testing.assert_allclose(one.costs, other.costs, rtol=1e-5)


def test_best_rule_is_chosen_in_training(lost_sales):
    def tuned(name, cost):
        return Tuned(rule_for(lost_sales, name), {}, None, cost, (cost, cost), 0, [], {})

    rules = {
        "base_stock": tuned("base_stock", 4.6),
        "capped_base_stock": tuned("capped_base_stock", 4.4),
    }
    assert best_of(rules) == "capped_base_stock"
    assert [contestant.name for contestant in contestants_of(rules)] == list(rules)


def test_just_in_time_is_what_demand_costs_at_the_least(lost_sales):
    bound = just_in_time(lost_sales, KEY, paths=32)
    totals = measure(lost_sales, rule(lost_sales, 1.0), KEY, paths=32)
    np.testing.assert_allclose(bound, 0.5 * totals.demand / 256, rtol=1e-5)
    assert np.all(-totals.reward / 256 > bound)


def test_just_in_time_takes_the_cheapest_supplier():
    problem = dataclasses.replace(DualSourcing().build(), warm_up=64, test_periods=320)
    bound = just_in_time(problem, KEY, paths=16)
    assert bound.mean() == pytest.approx(200.0, rel=0.05)  # two units a period at 100


def test_just_in_time_adds_up_the_way_through_a_network():
    problem = OneWarehouseManyStores(stores=2).build()
    topology = dataclasses.replace(
        problem.env.topology, mechanisms=frozenset({"unit_cost", "duty"})
    )
    cost = jnp.asarray([[1.0], [0.5], [50.0]])
    params = problem.first.replace(unit_cost=cost, duty=0.1 * jnp.ones((3, 1)))
    least = least_unit_cost(topology, params)
    np.testing.assert_allclose(least[:2, 0], [min(1.1, 0.0), 1.7], rtol=1e-6)
    assert float(least[2, 0]) == pytest.approx(
        float(params.shortage[2, 0])
    )  # not worth bringing in


def test_just_in_time_says_nothing_where_foresight_is_free():
    assert just_in_time(LostSales().build(), KEY, paths=4) is None


def test_of_several_baselines_the_cheapest_counts(lost_sales):
    rules = [rule(lost_sales, level) for level in (0.6, 1.0, 1.5)]
    rows = evaluate(
        lost_sales, rules, KEY, paths=32, baseline=[contestant.name for contestant in rules]
    )
    assert min(row["difference"] for row in rows) == 0.0
    assert min(rows, key=lambda row: row["cost"])["difference_interval"] == [0.0, 0.0]


def test_unknown_baseline_is_named(lost_sales):
    with pytest.raises(UserError, match="unknown baseline"):
        evaluate(lost_sales, [rule(lost_sales, 1.0)], KEY, baseline="base_stok")


@pytest.fixture(scope="module")
def sales_of_a_chain(tmp_path_factory):
    """24 SKUs in 5 stores that share every week's shock."""
    draw, path = np.random.default_rng(0), tmp_path_factory.mktemp("chain") / "sales.csv"
    shock = np.exp(0.3 * draw.standard_normal(140))
    weeks = np.datetime64("2021-01-04") + 7 * np.arange(140)
    rows = [
        f"{week},s{sku},store {store},{draw.poisson(10 * shock[t])}"
        for sku in range(24) for store in range(5) for t, week in enumerate(weeks)
    ]  # fmt: skip
    path.write_text("date,sku,location,sales\n" + "\n".join(rows))
    return str(path)


def test_series_that_replay_the_same_weeks_are_judged_by_blocks_and_clusters(sales_of_a_chain):
    problem = Retail(data=sales_of_a_chain, history=8, horizon=20).build()
    low, high = rule(problem, 0.8), rule(problem, 1.3)
    totals = measure(problem, low, KEY)
    weeks = problem.test_periods - problem.warm_up
    assert totals.by_period.cost.shape == (weeks, 120)
    np.testing.assert_allclose(totals.by_period.cost.sum(0), -totals.reward, rtol=1e-4)
    rows = evaluate(problem, [low, high], KEY, baseline=low.name)
    assert {row["interval_over"] for row in rows} == {"7 blocks of 6 weeks, 24 items and 5 stores"}
    wide, narrow = (
        rows[1]["cost_interval"],
        mean_of(held_out.costs_of(problem, totals).mean(0)).interval,
    )
    assert np.diff(wide)[0] > 3 * np.diff(narrow)[0]
    alone = evaluate(dataclasses.replace(problem, shared=None), [low, high], KEY, baseline=low.name)
    assert (
        alone[1]["cost"] == pytest.approx(rows[1]["cost"], rel=1e-5)
        and alone[0]["interval_over"] == "120 series"
    )


def test_what_few_stores_have_in_common_is_said_of_them_alone():
    shared = Shared.of("week", items=["a", "b", "a", "b"], stores=["x", "x", "y", "y"])
    assert shared.clusters == () and shared.same == "2 items and 2 stores"
    assert Shared.of("2-week", items=list("abcdef")) == Shared("period")


def test_a_policy_that_earns_less_than_the_rules_is_told_so_in_money(lost_sales):
    """Costs below zero: no share of them is taken, and half of what the rules earn is not
    learned.
    """
    params = lost_sales.test.replace(
        unit_cost=lost_sales.test.unit_cost - 10.0
    )  # paid for each unit that is bought
    problem = dataclasses.replace(lost_sales, test=params)
    poor, good = rule(problem, 0.1), rule(problem, 1.2)
    rows = evaluate(problem, [poor, good], KEY, paths=64, baseline=good.name)
    for row in rows:
        row |= {"reference": None, "instance": ""}
    assert rows[1]["cost"] < 0 and rows[0]["relative_difference"] is None
    low, high = rows[0]["difference_interval"]
    assert 0 < low < rows[0]["difference"] < high
    said = verdict(rows)
    assert (
        f"earns {rows[0]['difference']:.4g} a period less than the best tuned rule" in said
        and "%" not in said[-20:]
    )
    assert "vs best rule" in [str(column.header) for column in evidence_table(rows, "").columns]
    with pytest.raises(UserError, match="less than half"):
        check_learned([Contest("", problem, [poor])], rows)
    check_learned([Contest("", problem, [good])], rows)
    with_shares = evaluate(lost_sales, [poor, good], KEY, paths=64, baseline=good.name)
    headings = [str(column.header) for column in evidence_table(with_shares, "").columns]
    assert "vs best rule, %" in headings and "vs best rule" not in headings
