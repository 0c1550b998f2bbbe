"""Tuned rules against closed forms and published values; budgets, instances, the same for the same key."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxinv.envs.one_warehouse import OneWarehouseManyStores
from jaxinv.envs.presets import Backlog, DualSourcing, LostSales, Serial
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError
from jaxinv.evaluation.compare import Contestant, measure
from jaxinv.evaluation.rollout import BATCH
from jaxinv.evaluation.tuning import applicable_rules, instance_groups, rule_for, tune, tune_many

KEY = jax.random.key(3)
NORMAL_BACKLOG = dict(demand="normal", lead_time=1, shortage_cost=9.0, integer_orders=False)


def tune_by_name(problem, name, **options):
    return tune(problem, rule_for(problem, name), **{"key": KEY, **options})


def backlog_skus(means=(5.0, 10.0, 20.0)) -> Problem:
    """Instances whose demand differs in mean, but not what levels are multiples of: best levels differ."""
    problems = [Backlog(mean=mean, deviation=0.2 * mean, **NORMAL_BACKLOG).build() for mean in means]
    scale = problems[0].train.scale
    skus = [problem.train.replace(scale=4 * scale) for problem in problems]
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
    assert float(tuned.natural(problem)["level"][0, 0]) == pytest.approx(newsvendor_level(5.0, 1.0), abs=0.15)
    level = tuned.natural(problem)["level"][0, 0]
    law = stats.norm(10.0, np.sqrt(2.0))
    loss = (law.mean() - level) * law.sf(level) + law.var() * law.pdf(level)
    low, high = tuned.cost_interval
    assert low - 0.02 < (level - law.mean()) + 10 * loss < high + 0.02


def test_capped_base_stock_reaches_its_published_cost():
    """inventory.md table 1.1: the best capped base-stock for Poisson(5), L=2, p=4 is (17, 5), cost 4.4057."""
    problem = LostSales(lead_time=2, shortage_cost=4.0).build()
    tuned = tune_by_name(problem, "capped_base_stock", method="both")
    natural = tuned.natural(problem)
    assert (round(float(natural["level"][0, 0]), 3), round(float(natural["cap"][0, 0]), 3)) == (17.0, 5.0)
    assert_budget_kept_and_mostly_used(tuned, 4_000_000)
    long = dataclasses.replace(problem, test_periods=5100)
    total = measure(long, Contestant("tuned", tuned.rule, tuned.params), KEY, paths=1024)
    assert -total.reward.mean() / 5000 == pytest.approx(4.4057, abs=0.005)


def test_each_instance_gets_its_own_level_in_one_program():
    means = (5.0, 10.0, 20.0)
    problem = backlog_skus(means)
    own = tune_by_name(problem, "base_stock", per_instance=True, method="search", budget_periods=1_000_000)
    shared = tune_by_name(problem, "base_stock", method="search", budget_periods=1_000_000)
    assert own.policy_axis == BATCH and shared.policy_axis is None
    assert_budget_kept_and_mostly_used(own, 1_000_000)
    levels = own.natural(problem)["level"][0, 0]
    expected = [newsvendor_level(mean, 0.2 * mean) for mean in means]
    np.testing.assert_allclose(levels, expected, rtol=0.03)
    assert own.cost < shared.cost
    assert shared.natural(problem)["level"].shape == (1, 1, 3)


def test_one_shared_parameter_serves_instances_that_differ_in_size_alone():
    """Levels are multiples of typical demand: SKUs that differ in size alone share their best parameter."""
    problems = [Backlog(mean=mean, deviation=0.2 * mean, **NORMAL_BACKLOG).build() for mean in (5.0, 20.0)]
    params = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[p.train for p in problems])
    problem = dataclasses.replace(
        problems[0], train=params, test=params, instances=2, warm_up=20, test_periods=220
    )
    tuned = tune_by_name(problem, "base_stock", method="search", budget_periods=1_000_000)
    assert float(tuned.params["level"][0, 0]) == pytest.approx(newsvendor_level(5.0, 1.0) / 10.0, rel=0.03)


def test_a_budget_that_tells_nothing_apart_is_refused():
    problem = Backlog().build()
    with pytest.raises(UserError, match="budget of 5,000 simulated periods is too small"):
        tune_by_name(problem, "base_stock", budget_periods=5000)


def test_same_key_same_result():
    problem = Backlog(mean=5.0, deviation=1.0, **NORMAL_BACKLOG).build()
    first, again, other = (
        tune_by_name(problem, "base_stock", method="search", budget_periods=200_000, key=jax.random.key(seed))
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
