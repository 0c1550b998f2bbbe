"""DeepStock's four settings, rewards beside the orders they are for, and the study."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.agents.agent import Worlds
from jaxinv.agents.ppo import PPO, PPOConfig
from jaxinv.demand import deepstock_paths as published
from jaxinv.envs.deepstock import UNITS, DeepStock
from jaxinv.envs.presets import DualSourcing, LostSales, Serial
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant
from jaxinv.policies.feature import FeatureBaseStock
from jaxinv.studies import deepstock as study
from jaxinv.studies import deepstock_levels
from jaxinv.studies.deepstock_search import costs_on_test, of_one_size, training_alone

pytestmark = pytest.mark.usefixtures("quick_compilation")

CONFIG = PPOConfig(
    updates=1, envs=6, rollout=28, epochs=1, minibatches=2, encoder="known", forecast=0,
    pathwise=False, hidden=(8,),
    aligned_rewards=True,
)  # fmt: skip


def linear_cost(preset, level, slope):
    """Test costs of the base-stock level + slope * feature, in units."""
    problem = preset.build()
    unit = 3 * float(problem.train.scale[0, 0, 0])
    params = {
        "level": jnp.full((1, 1), level / unit),
        "slope": jnp.full((1, 1, 1), slope * UNITS[preset.setting] / unit),
    }
    return costs_on_test(
        problem, Contestant("linear", FeatureBaseStock(problem.env.topology), params)
    )


@pytest.mark.parametrize(
    "setting, level, slope, printed, error",
    [
        (1, 40, 0, 1.6270, 1e-4),
        (2, 24, 1.4, 2.4152, 0.08),
        (3, 25, 1.4, 2.3974, 1e-4),
        (4, 100, 1.282, 2.3580, 0.08),
    ],
)
def test_a_rule_costs_what_an_independent_programme_says(setting, level, slope, printed, error):
    assert abs(linear_cost(DeepStock(setting=setting), level, slope).mean() - printed) < error


def test_the_numbers_of_setting_4_are_the_published_ones():
    np.testing.assert_allclose(
        published.sigmas(5), (10.618, 19.261, 15.980, 13.980, 7.340), atol=1e-3
    )
    demand = published.every_second_day(published.sigmas(5), 31).demand
    assert not demand[:, ::2].any() and not demand[:, 1].any() and (demand[:, 3::2] > 0).all()


def test_a_feature_tells_the_day_before_or_the_review():
    drawn = published.autoregressive_paths(3, 31)
    np.testing.assert_array_equal(drawn.feature[:, 1:], drawn.demand[:, :-1])
    assert list(published.independent_paths(1, 6).feature[0]) == [0, 0, 1, 1, 2, 2]


def test_levels_of_setting_1_are_the_optimum():
    _, costs = deepstock_levels.independent_levels(29, 0.9)
    assert costs.sum() / 14 == pytest.approx(0.854286, abs=1e-6)
    preset = DeepStock()
    assert study.best_known(preset, preset.build()).mean() == pytest.approx(0.8592, abs=1e-4)


def played(config, key=0):
    """Rewards of a rollout of PPO's own exploration, aligned or not, and those of its periods by
    simulation.
    """
    problem = DeepStock(setting=2).build()
    agent = PPO.create(problem, config)
    state = agent.init(jax.random.key(key))
    instance = agent.worlds.instance_params(state.index, state.episodes.key)
    _, trace, signals = agent.worlds.play_ahead(state.episodes, instance)
    raw = jnp.zeros((config.rollout, 1, config.envs))
    choose = lambda decision, noise: (noise, noise)  # noqa: E731
    return agent, agent.explore(state.params, choose, raw, state.episodes, trace, signals, instance)


def test_window_rewards_add_up_to_the_counted_loss():
    """14 windows of two days are the 28 counted ones of the same policy played day by day."""
    import dataclasses

    agent, windows = played(CONFIG)
    _, days = played(dataclasses.replace(CONFIG, aligned_rewards=False, rollout=29))
    assert (
        windows.reward.shape == (14, 6)
        and windows.stock.shape[0] == 15
        and windows.kept.shape[0] == 14
    )
    np.testing.assert_allclose(windows.reward.mean(0), days.reward[1:].mean(0), rtol=1e-4)
    np.testing.assert_allclose(windows.reward[0], days.reward[1:3].mean(0), rtol=1e-4)


def test_an_episode_that_ends_leaves_nothing_to_follow():
    problem = DeepStock().build()
    worlds = Worlds.of(problem, 2, 28, 29, aligned=True)
    episodes, index = worlds.begin(jax.random.key(0))
    after, _, _ = worlds.play_ahead(episodes, worlds.instance_params(index, episodes.key))
    assert float(worlds.follows(after)) == 0.0 and float(worlds.follows(episodes)) == 1.0
    assert Worlds.of(LostSales().build(), 2, 100, 100).follows(None) == 1.0


@pytest.mark.parametrize(
    "preset, rollout, message",
    [
        (LostSales(lead_time_pmf=(0.5, 0.5)), 4, "different lead times"),
        (DualSourcing(), 4, "different lead times"),
        (Serial(lead_times=(1, 1), holding_costs=(0.1, 0.5)), 4, "moves stock between nodes"),
        (LostSales(unit_cost=1.0), 4, "cost something before"),
        (DeepStock(), 29, "rollout=29 must be a multiple of the review period 2"),
    ],
)
def test_rewards_without_a_window_are_refused(preset, rollout, message):
    with pytest.raises(UserError, match=message):
        Worlds.of(preset.build(), 2, rollout, 29, aligned=True)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(setting=5), "unknown setting '5'"),
        (dict(horizon=2), "horizon=2 must be at least 3"),
        (dict(history=4), "history=4"),
        (dict(testing=0), "testing=0 must be above 0"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        DeepStock(**options)


def test_a_size_changes_no_trajectory():
    problem = of_one_size(DeepStock(setting=3).build(), 10)
    demand = np.asarray(problem.train.demand.demand)
    np.testing.assert_array_equal(demand[:5], demand[5:10])
    assert problem.instances == 20 and len(training_alone(problem).train.scale) == 10


@pytest.mark.slow
def test_a_tiny_study():
    size = study.DeepStockSize(
        trials=2, seeds=1, updates=0.005, settings=(1, 2), skus=(2, 3), days=(5,), grid=(1, 1)
    )
    rows = list(study.run(size=size))
    assert {"setting 2, DS base: gap, %", "setting 2, DDPG none: gap, %"} <= {
        row["claim"] for row in rows
    }
    assert all(np.isfinite(row["ours"]) for row in rows)


def test_an_unknown_setting_is_refused():
    with pytest.raises(UserError, match="unknown setting '7'"):
        next(study.run(parts=["7"]))
