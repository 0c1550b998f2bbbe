"""Tuned rules against closed forms and published values; budgets, instances, the same for the same
key.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import case
from scipy import stats

import jaxinv
from jaxinv import evidence
from jaxinv.envs.one_warehouse import OneWarehouseManyStores
from jaxinv.envs.presets import Backlog, DualSourcing, LostSales, Serial
from jaxinv.envs.problem import Problem
from jaxinv.envs.retail import Retail
from jaxinv.errors import UserError
from jaxinv.evaluation.budget import divide_budget, instance_groups
from jaxinv.evaluation.compare import evaluate
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.evaluation.ranges import Ranges, first_ranges
from jaxinv.evaluation.rollout import BATCH
from jaxinv.evaluation.tuning import tune, tune_many
from jaxinv.experiment import EvaluationConfig
from jaxinv.policies.rules import applicable_rules, rule_for

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY = jax.random.key(3)
NORMAL_BACKLOG = dict(demand="normal", lead_time=1, shortage_cost=9.0, integer_orders=False)


def tune_by_name(problem, name, **options):
    return tune(problem, rule_for(problem, name), **{"key": KEY, **options})


def backlog_skus(means=(5.0, 10.0, 20.0)) -> Problem:
    """Instances whose demand differs in mean, but not what levels are multiples of: best levels
    differ.
    """
    problems = [
        Backlog(mean=mean, deviation=0.2 * mean, **NORMAL_BACKLOG).build() for mean in means
    ]
    scale = problems[0].first.scale
    skus = [problem.first.replace(scale=4 * scale) for problem in problems]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *skus)
    return dataclasses.replace(
        problems[0], train=params, test=params, instances=len(means), warm_up=20, test_periods=220
    )


def assert_budget_kept_and_mostly_used(tuned, budget):
    assert 0.85 * budget < tuned.simulated_periods <= budget
    spent = [row["simulated_periods"] for row in tuned.history]
    assert spent == sorted(spent) and spent[-1] < tuned.simulated_periods


def newsvendor_level(mean, deviation, lead_time=1, ratio=0.9):
    """The optimal level with backlog: the quantile of demand over lead time and review."""
    return stats.norm(mean * (lead_time + 1), deviation * np.sqrt(lead_time + 1)).ppf(ratio)


@pytest.mark.parametrize("method", ["search", "gradient"])
def test_base_stock_with_backlog_is_the_newsvendor(method):
    problem = Backlog(mean=5.0, deviation=1.0, **NORMAL_BACKLOG).build()
    tuned = tune_by_name(problem, "base_stock", method=method)
    assert float(tuned.natural(problem)["level"][0, 0]) == pytest.approx(
        newsvendor_level(5.0, 1.0), abs=0.15
    )
    level = tuned.natural(problem)["level"][0, 0]
    law = stats.norm(10.0, np.sqrt(2.0))
    loss = (law.mean() - level) * law.sf(level) + law.var() * law.pdf(level)
    low, high = tuned.cost_interval
    assert low - 0.02 < (level - law.mean()) + 10 * loss < high + 0.02


def test_capped_base_stock_reaches_its_published_cost():
    """inventory.md table 1.1: the best capped base-stock for Poisson(5), L=2, p=4 is (17, 5), cost
    4.4057.
    """
    problem = LostSales(lead_time=2, shortage_cost=4.0).build()
    tuned = tune_by_name(problem, "capped_base_stock", method="both")
    natural = tuned.natural(problem)
    assert (round(float(natural["level"][0, 0]), 3), round(float(natural["cap"][0, 0]), 3)) == (
        17.0,
        5.0,
    )
    assert_budget_kept_and_mostly_used(tuned, 4_000_000)
    long = dataclasses.replace(problem, test_periods=5100)
    total = measure(long, Contestant("tuned", tuned.rule, tuned.params), KEY, paths=1024)
    assert -total.reward.mean() / 5000 == pytest.approx(4.4057, abs=0.005)


def test_each_instance_gets_its_own_level_in_one_program():
    means = (5.0, 10.0, 20.0)
    problem = backlog_skus(means)
    own = tune_by_name(
        problem, "base_stock", per_instance=True, method="search", budget_periods=1_000_000
    )
    shared = tune_by_name(problem, "base_stock", method="search", budget_periods=1_000_000)
    assert own.policy_axis == BATCH and shared.policy_axis is None
    assert_budget_kept_and_mostly_used(own, 1_000_000)
    levels = own.natural(problem)["level"][0, 0]
    expected = [newsvendor_level(mean, 0.2 * mean) for mean in means]
    np.testing.assert_allclose(levels, expected, rtol=0.03)
    assert own.cost < shared.cost
    assert shared.natural(problem)["level"].shape == (1, 1, 3)


def test_one_shared_parameter_serves_instances_that_differ_in_size_alone():
    """Levels are multiples of typical demand: SKUs that differ in size alone share their best
    parameter.
    """
    problems = [
        Backlog(mean=mean, deviation=0.2 * mean, **NORMAL_BACKLOG).build() for mean in (5.0, 20.0)
    ]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[p.first for p in problems])
    problem = dataclasses.replace(
        problems[0], train=params, test=params, instances=2, warm_up=20, test_periods=220
    )
    tuned = tune_by_name(problem, "base_stock", method="search", budget_periods=1_000_000)
    assert float(tuned.params["level"][0, 0]) == pytest.approx(
        newsvendor_level(5.0, 1.0) / 10.0, rel=0.03
    )


def test_a_budget_that_tells_nothing_apart_is_refused():
    problem = Backlog().build()
    with pytest.raises(UserError, match="budget of 5,000 simulated periods is too small"):
        tune_by_name(problem, "base_stock", budget_periods=5000)


def test_same_key_same_result():
    problem = Backlog(mean=5.0, deviation=1.0, **NORMAL_BACKLOG).build()
    first, again, other = (
        tune_by_name(
            problem, "base_stock", method="search", budget_periods=200_000, key=jax.random.key(seed)
        )
        for seed in (0, 0, 1)
    )
    assert_budget_kept_and_mostly_used(first, 200_000)
    assert first.cost == again.cost and first.history == again.history
    assert np.array_equal(first.params["level"], again.params["level"])
    assert first.cost != other.cost


def test_rules_that_apply():
    assert applicable_rules(LostSales().build()) == [
        "base_stock", "capped_base_stock", "s_S", "r_nQ", "constant_order"
    ]  # fmt: skip
    with_history = applicable_rules(Backlog(history=14).build())
    assert {"newsvendor_smoothing", "newsvendor_seasonal"} <= set(with_history)
    assert "constant_order" not in with_history
    assert "newsvendor_seasonal" not in applicable_rules(LostSales(history=13).build())
    dual = applicable_rules(DualSourcing().build())
    assert "dual_index" in dual and "base_stock" not in dual
    assert {"base_stock", "echelon_base_stock"} <= set(applicable_rules(Serial().build()))
    assert "echelon_base_stock" in applicable_rules(OneWarehouseManyStores().build())


def test_many_rules_share_budget_and_noise():
    problem = LostSales(lead_time=2).build()
    tuned = tune_many(problem, KEY, ["base_stock", "s_S"], budget_periods=500_000, method="search")
    assert list(tuned) == ["base_stock", "s_S"]
    assert all(rule.simulated_periods <= 500_000 for rule in tuned.values())
    # without a fixed cost the best (s,S) policy is close to base-stock
    assert tuned["s_S"].cost == pytest.approx(tuned["base_stock"].cost, rel=0.05)


def test_mistakes_are_named():
    problem = LostSales().build()
    with pytest.raises(UserError, match="unknown method 'serch'; did you mean 'search'"):
        tune_by_name(problem, "base_stock", method="serch")
    with pytest.raises(UserError, match="several instances"):
        tune_by_name(problem, "base_stock", per_instance=True)
    with pytest.raises(UserError, match="r_nQ jumps"):
        tune_by_name(problem, "r_nQ", method="gradient")


@pytest.mark.parametrize("count, most", [(1, 4), (4, 4), (5, 4), (11, 4)])
def test_groups_are_equal_and_cover_all(count, most):
    groups = instance_groups(count, most)
    assert len({len(group) for group in groups}) == 1 and len(groups[0]) <= most
    assert np.array_equal(np.unique(np.concatenate(groups)), np.arange(count))
    assert np.array_equal(np.concatenate(groups)[:count], np.arange(count))


# Ranges follow from demand


def newsvendor_cost(level, law, most, shortage):
    """Cost a period of a level where orders arrive at once and what is short is owed or lost;
    holding costs 1 a unit.
    """
    demand = np.arange(most)
    return law.pmf(demand) @ (
        np.maximum(level - demand, 0) + shortage * np.maximum(demand - level, 0)
    )


def test_a_level_many_times_the_mean_is_found():
    """Lumpy demand: the best level is 22 times the mean (174.69 at 109); 4 times the mean, 20,
    costs 343.75.
    """
    problem = Backlog(
        demand="negative_binomial", mean=5.0, dispersion=0.05, lead_time=0, shortage_cost=99.0
    ).build()
    law = stats.nbinom(0.05, 0.05 / 5.05)
    best = int(law.ppf(0.99))
    assert best == 109 and newsvendor_cost(best, law, 6000, 99.0) == pytest.approx(174.69, abs=0.01)
    tuned = tune_by_name(problem, "base_stock", budget_periods=2_000_000)
    level = round(float(tuned.natural(problem)["level"][0, 0]))
    assert newsvendor_cost(level, law, 6000, 99.0) < 1.03 * 174.69
    assert not tuned.at_end


@pytest.mark.parametrize("name", ["base_stock", "capped_base_stock", "s_S", "r_nQ"])
def test_rare_demand_gets_the_one_unit_that_it_needs(name):
    """One unit in 20 periods: 4 times the mean rounds to no order at all, for ever (4.97 a period);
    one unit costs 1.0729.
    """
    problem = LostSales(mean=0.05, lead_time=0, shortage_cost=99.0).build()
    law = stats.poisson(0.05)
    assert newsvendor_cost(1, law, 30, 99.0) == pytest.approx(1.0729, abs=1e-4)
    assert newsvendor_cost(0, law, 30, 99.0) == pytest.approx(4.95, abs=0.01)
    tuned = tune_by_name(problem, name, budget_periods=300_000)
    low, high = tuned.cost_interval
    assert low - 0.05 < 1.0729 < high + 0.05


def test_packs_far_above_demand_are_ordered():
    """Packs of 40 for a demand of 0.5 a period: an order below 20 is rounded to none, which costs
    49.5 a period.
    """
    problem = LostSales(mean=0.5, lead_time=0, shortage_cost=99.0).build()
    train = problem.train.replace(pack_size=jnp.full((1, 1, 1), 40.0))
    problem = dataclasses.replace(problem, train=train, test=train)
    for name in ("base_stock", "s_S", "r_nQ"):
        tuned = tune_by_name(problem, name, budget_periods=300_000)
        assert tuned.cost < 30  # a pack in turn: mean stock of about 20


def test_a_range_moves_on_while_the_best_lies_at_its_end():
    """With a dear order and cheap backorders an order is best placed when several units are owed: s
    below 0, which no range begins with. The exact optimum has such an s."""
    options = dict(lead_time=0, fixed_cost=500.0, shortage_cost=2.0)
    problem = Backlog(**options).build()
    tuned = tune_by_name(problem, "s_S", budget_periods=1_000_000)
    assert float(tuned.natural(problem)["reorder"][0, 0]) < 0 and not tuned.at_end
    exact = jaxinv.exact.solve(problem.env, problem.first).average_cost
    assert exact < 1.01 * tuned.cost < 1.07 * exact


def test_what_still_lies_at_an_end_is_said(monkeypatch):
    """The same problem where a range cannot move on: the lowest reorder point and the largest order
    are the best, and that is said.
    """
    monkeypatch.setattr(Ranges, "widened", lambda ranges, best: ranges)
    problem = Backlog(lead_time=0, fixed_cost=500.0, shortage_cost=2.0).build()
    tuned = tune_by_name(problem, "s_S", budget_periods=500_000)
    assert tuned.at_end == {"reorder": 1.0, "gap": 1.0}


def test_ranges_hold_every_demand_over_the_coverage():
    """By hand: a spike of 100 in 20 periods of 1, lead time 2 and review 1, packs of 6, in units of
    the mean.
    """
    problem = LostSales(mean=2.0, lead_time=2).build()
    instance = problem.first.replace(pack_size=jnp.full((1, 1), 6.0))
    demand = jnp.ones((1, 20, 1, 1, 1)).at[0, 7].set(100.0)
    rule = rule_for(problem, "capped_base_stock")
    ranges = first_ranges(problem.env, rule, instance, None, True, demand)
    np.testing.assert_allclose(ranges.high[:, 0], [(102 + 6) / (2 * 3), 100 / 2])
    np.testing.assert_allclose(ranges.low[:, 0], [0.0, 0.3])
    assert (ranges.least[:, 0] == 0).all()
    shares = jnp.linspace(0.0, 1.0, 11)[:, None, None] * jnp.ones((1, 2, 1))
    np.testing.assert_allclose(ranges.shares(ranges.values(shares)), shares, atol=1e-5)
    assert ranges.values(jnp.full((2, 1), 0.5))[0, 0] == pytest.approx(
        4.0, rel=0.1
    )  # half stay where levels usually lie


def test_lumpy_sales_get_the_level_of_one_lump(tmp_path):
    """Lumps of 250: a level of 250 for every SKU costs about 20.6 a period, 4 times the mean 36.4
    (`make_cases.py`).
    """
    options = dict(lead_time=2, shortage_cost=39.0, frequency="day", min_active=0.0)
    problem = Retail(data=str(case("lumpy", tmp_path)), **options).build()
    own = tune_by_name(
        problem, "base_stock", per_instance=True, budget_periods=4_000_000
    )  # as an evaluation does
    np.testing.assert_allclose(np.asarray(own.natural(problem)["level"]).ravel(), 250, atol=0.01)
    (row,) = evaluate(problem, [Contestant("own", own.rule, own.params, own.policy_axis)], KEY)
    assert row["cost"] == pytest.approx(20.6, rel=0.05)


# One instance among several


def test_one_series_is_simulated_as_wide_as_many(tmp_path):
    """A file with one SKU was played one episode at a time: 6022 worlds one after another, which
    did not finish.
    """
    problem = Retail(data=str(case("one_sku", tmp_path)), lead_time=2).build()
    plan = divide_budget(problem, rule_for(problem, "base_stock"), 4_000_000, "search", 1, True)
    assert not plan.several  # all of its episodes are the batch of one program, in two halves
    for episodes in (plan.search_episodes, plan.final_episodes):
        assert episodes > 100 and episodes % 2 == 0
    assert 0.85 * 4_000_000 < plan.simulated_periods <= 4_000_000
    assert tune_by_name(problem, "base_stock", budget_periods=200_000).params["level"].shape == (
        1,
        1,
    )


# How many periods


def test_tune_periods_are_what_the_user_said(monkeypatch):
    budgets = []
    monkeypatch.setattr(
        evidence,
        "tune_many",
        lambda problem, key, names, periods, **_: budgets.append(periods) or {},
    )
    problem = LostSales().build()
    for given, trained in ((123_456, 9_000_000), (0, 9_000_000), (0, 1000)):
        evidence.tune_rules(problem, EvaluationConfig(tune_periods=given), trained, KEY)
    assert budgets == [123_456, 9_000_000, 4_000_000]


def test_too_few_tune_periods_are_refused_by_name():
    with pytest.raises(
        UserError,
        match="evaluation.tune_periods=900: a budget of 900 simulated periods is too small",
    ):
        evidence.tune_rules(
            LostSales().build(), EvaluationConfig(tune_periods=900, rules=("base_stock",)), 0, KEY
        )


def test_the_periods_of_rules_and_ends_of_ranges_are_said():
    rows = [
        {"policy": "ppo", "simulated_periods": 500, "at_end": None},
        {"policy": "s_S", "simulated_periods": 4000, "at_end": {"reorder": 0.25}},
        {"policy": "base_stock", "simulated_periods": 3000, "at_end": {}},
    ]
    first, second = evidence.tuning_notes(rows).splitlines()
    assert (
        first == "rules were tuned with 3,000 to 4,000 simulated periods each, the policy with 500"
    )
    assert second.startswith("s_S may be better beyond") and second.endswith("reorder (25%)")
