"""Differentiable simulation: its loss is the evaluation's cost, its gradient true, and it finds
known optima.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from marks import slow_but
from scipy import stats

from jaxinv.agents.diffsim import DiffSim, DiffSimConfig
from jaxinv.agents.loop import Trainer, check_finite
from jaxinv.envs.one_warehouse import OneWarehouseManyStores
from jaxinv.envs.presets import Backlog, DualSourcing, LostSales, Serial
from jaxinv.envs.problem import first_of
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.evaluation.simulate import simulate

TINY = DiffSimConfig(updates=10, envs=8, rollout=6, features=8, heads=2, layers=1, hidden=(8,))
NETWORKS = {
    "single store": LostSales(lead_time=2, demand="seasonal", history=4, horizon=12),
    "serial": Serial(lead_times=(1, 2), holding_costs=(0.1, 1.0), history=4, horizon=12),
    "dual sourcing": DualSourcing(history=4, horizon=12),
    "one warehouse": OneWarehouseManyStores(stores=2, history=4, horizon=12),
}


def agent_of(preset, **options) -> DiffSim:
    return DiffSim.create(preset.build(), dataclasses.replace(TINY, **options))


@pytest.mark.parametrize(
    "name, encoder", [("single store", "transformer"), ("one warehouse", "none")]
)
def test_the_loss_is_the_cost_of_an_evaluation_on_the_same_noise(quick_compilation, name, encoder):
    """One rollout serves learning and judging: the same policy on the same noise costs the same in
    both.
    """
    agent = agent_of(NETWORKS[name], encoder=encoder, rounding=0.0)
    state = agent.init(jax.random.key(0))
    _, (_, cost) = jax.jit(agent.loss)(state.params, jax.random.key(1), state.episodes, state.index)
    worlds = agent.worlds
    # an evaluation begins its episodes from the same key, and so lives through the same demand
    total = simulate(
        worlds.env, first_of(worlds.params), agent.policy, state.params, state.episodes.key,
        batch=worlds.batch,
        periods=worlds.periods,
    )  # fmt: skip
    assert float(cost) > 0
    assert float(-total.reward.mean() / worlds.periods) == pytest.approx(float(cost), rel=1e-5)


@pytest.mark.parametrize("form", ["none", "base"])
def test_the_gradient_equals_finite_differences(quick_compilation, form):
    agent = agent_of(
        Backlog(lead_time=1, demand="normal", horizon=12), encoder="none", envs=512, form=form
    )
    state = agent.init(jax.random.key(1))
    # in money: the loss divides by a spread that is held fixed
    cost = jax.jit(
        lambda params: agent.loss(params, jax.random.key(2), state.episodes, state.index)[1][1]
    )
    slope = jax.jit(jax.grad(cost))(state.params)
    for seed in range(2):
        keys = jax.tree.unflatten(
            jax.tree.structure(slope),
            jax.random.split(jax.random.key(seed), len(jax.tree.leaves(slope))),
        )
        direction = jax.tree.map(lambda leaf, key: jax.random.normal(key, leaf.shape), slope, keys)

        def moved(step):
            return float(
                cost(jax.tree.map(lambda leaf, way: leaf + step * way, state.params, direction))
            )

        along = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, slope, direction)))
        assert (moved(0.002) - moved(-0.002)) / 0.004 == pytest.approx(float(along), rel=0.06)


def test_no_learning_rate_depends_on_the_currency(quick_compilation):
    """All costs a thousand times as high: the same steps."""
    ends = []
    for currency in (1.0, 1000.0):
        agent = agent_of(
            LostSales(lead_time=1, holding_cost=currency, shortage_cost=4 * currency),
            encoder="none",
        )
        trainer = Trainer(agent)
        ends.append(trainer.advance(trainer.init(jax.random.key(0)), 10)[0].params)
    for left, right in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(left, right, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["dual sourcing", "serial"])
def test_an_update_moves_every_number_on_every_network(quick_compilation, name):
    trainer = Trainer(agent_of(NETWORKS[name], form="both"))
    before = trainer.init(jax.random.key(0))
    after, metrics = trainer.advance(before, 2)
    check_finite(metrics, 0)
    assert (metrics["cost"] > 0).all() and (metrics["gradient_norm"] > 0).all()
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), before.params, after.params)
    assert all(jax.tree.leaves(moved)), moved
    assert jax.tree.map(jax.typeof, before) == jax.tree.map(jax.typeof, after)


def test_window_by_window_is_the_same_descent(quick_compilation):
    ends = []
    for window_by_window in (False, True):
        trainer = Trainer(agent_of(NETWORKS["single store"], window_by_window=window_by_window))
        ends.append(trainer.advance(trainer.init(jax.random.key(0)), 2)[0].params)
    for left, right in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(left, right, atol=2e-4)


# --- learning -------------------------------------------------------------------------------------


def trained(preset, **options):
    """The mean cost a period of a trained policy on long held-out episodes, and its standard
    error.
    """
    problem = preset.build()
    agent = DiffSim.create(problem, DiffSimConfig(**{**DiffSimConfig.stock_only, **options}))
    trainer = Trainer(agent)
    state, _ = trainer.advance(trainer.init(jax.random.key(0)), options["updates"])
    total = measure(
        problem, Contestant("diffsim", agent.policy, state.params), jax.random.key(1), 1024
    )
    cost = -total.reward / (problem.test_periods - problem.warm_up)
    return cost.mean(), cost.std() / np.sqrt(cost.size)


@pytest.mark.parametrize("form", slow_but(["base"], ["none", "base"]))
def test_whole_orders_come_within_half_a_percent_of_the_lost_sales_optimum(form):
    """inventory.md table 1.1: Poisson(5), lead time 1, penalty 19 costs 6.67574 a period at best,
    in whole orders.
    """
    cost, error = trained(
        LostSales(lead_time=1, shortage_cost=19.0), updates=200, envs=128, form=form
    )
    assert 6.67574 - 3 * error < cost < 1.005 * 6.67574 + 2 * error


@pytest.mark.slow
def test_normal_backlog_comes_within_half_a_percent_of_the_newsvendor():
    cost, error = trained(
        Backlog(
            lead_time=1,
            shortage_cost=9.0,
            demand="normal",
            mean=5.0,
            deviation=1.0,
            integer_orders=False,
        ),
        updates=150,
        envs=128,
    )
    law = stats.norm(10.0, np.sqrt(2.0))
    level = law.ppf(0.9)
    optimum = (level - law.mean()) + 10 * (
        (law.mean() - level) * law.sf(level) + law.var() * law.pdf(level)
    )
    assert optimum - 3 * error < cost < 1.005 * optimum + 2 * error
