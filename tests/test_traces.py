"""Recorded demand ends: no episode of any learner, rule or test runs past the last period.

The file sells 1, 2, 3, … units, so that a period which is repeated, or made up, shows.
"""

from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pytest
from cases import case

import jaxinv
from jaxinv.agents.agent import Worlds
from jaxinv.agents.registry import AGENTS, OFFLINE
from jaxinv.agents.validation import Validation
from jaxinv.envs.registry import preset
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.evaluation.rollout import BATCH, batch_last, play_world
from jaxinv.policies.rules import make_rule

TWO_STORES = dict(
    links=("11",),
    lead_times=((1, 2),),
    warehouse_holding_costs=(0.3,),
    purchase_costs=(0.5,),
    warehouse_lead_time=2,
)
OPTIONS = {"retail": {}, "retail_network": TWO_STORES}


@pytest.fixture(scope="module")
def ramp(tmp_path_factory):
    """The file of one store, and one of two stores that sell the same."""
    folder = tmp_path_factory.mktemp("ramp")
    one = case("ramp", folder)
    sales = pd.read_csv(one)
    pd.concat([sales.assign(location=store) for store in "ab"]).to_csv(
        folder / "two.csv", index=False
    )
    return {"retail": one, "retail_network": folder / "two.csv"}


def problem_of(ramp, name, **options):
    given = dict(data=str(ramp[name]), level_spread=0.0, validation=0.0) | OPTIONS[name] | options
    return preset(name)(**given).build()


def rises_by_one(demand):
    """Whether demand `[T, ...]` is 1 more in every period."""
    demand = np.asarray(demand)
    return bool(np.all(np.isfinite(demand)) and np.allclose(np.diff(demand, axis=0), 1.0))


@pytest.mark.parametrize("horizon", [40, 25])
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize(
    "agent", [name for name in AGENTS if name not in ("tabular_q", *OFFLINE)]
)  # no table holds a recorded trace
def test_no_training_runs_past_the_end(ramp, name, agent, horizon):
    """With the settings that suit the preset, and where episodes are shorter than their rollout."""
    problem = problem_of(ramp, name, horizon=horizon)
    config = replace(AGENTS[agent].Config.suited(name, problem.env.history), envs=32)
    worlds = AGENTS[agent].create(problem, config).worlds
    assert worlds.rollouts * worlds.periods <= horizon
    episodes, index = worlds.begin(jax.random.key(0))
    instance = worlds.instance_params(index, episodes.key)
    demand = []
    for _ in range(worlds.rollouts):
        episodes, trace, seen = worlds.play_ahead(episodes, instance)
        demand.append(trace.exogenous.demand)
        assert np.all(
            np.any(np.asarray(seen[:, -3:]) != 0, 1)
        )  # the calendar of the decision after the last is there too
    demand = np.concatenate(demand)
    assert rises_by_one(demand)
    assert demand.max() <= 105  # 70% of 150 weeks train


@pytest.mark.parametrize("name", OPTIONS)
def test_the_latest_episode_ends_with_the_last_week_of_training(ramp, name):
    """Nothing is given away: the week before the last is played too, and the last says what is
    known ahead.
    """
    problem = problem_of(ramp, name)
    params = batch_last(
        problem.train.replace(demand=problem.train.demand.replace(first=problem.train.demand.last))
    )
    _, world = play_world(
        problem.env, jax.random.key(0), params, problem.instances, problem.horizon, BATCH
    )
    assert world.exogenous.demand[-1].max() == 104


@pytest.mark.parametrize("name", OPTIONS)
def test_validation_and_tuning_and_test_stay_within_their_weeks(ramp, name):
    problem = problem_of(ramp, name, validation=0.9)
    world = Validation.of(problem, jax.random.key(0)).world
    assert rises_by_one(world.exogenous.demand) and world.exogenous.demand.max() <= 105
    assert problem.warm_up + problem.counted_periods <= problem.horizon
    _, world = play_world(
        problem.env,
        jax.random.key(0),
        batch_last(problem.test),
        problem.instances,
        problem.test_periods,
        BATCH,
    )
    assert rises_by_one(world.exogenous.demand) and world.exogenous.demand.max() == 150
    rule = make_rule(
        "base_stock" if name == "retail" else "echelon_base_stock", problem.env.topology
    )
    params = {key: np.ones(shape, np.float32) for key, shape in rule.shapes().items()}
    assert np.all(
        np.isfinite(measure(problem, Contestant("rule", rule, params), jax.random.key(0)).reward)
    )


@pytest.mark.parametrize("name", OPTIONS)
def test_a_published_split_longer_than_the_file_is_refused(ramp, name):
    with pytest.raises(UserError, match="171 weeks, and this file has 150"):
        problem_of(ramp, name, published_split=True)
    assert not preset(name)().published_split


def test_what_runs_past_the_end_is_refused(ramp):
    problem = problem_of(ramp, "retail")
    with pytest.raises(UserError, match="rollout=41 .* give rollout=40"):
        Worlds.of(problem, 2, 41, 40)
    with pytest.raises(
        UserError, match="give rollout=37"
    ):  # an order of the last period arrives 3 later
        Worlds.of(problem, 2, 38, 40, aligned=True)
    assert (
        Worlds.of(problem, 2, 19, 40, aligned=True).rollouts == 1
    )  # two of them leave nothing to look ahead to
    with pytest.raises(UserError, match="run past the end of the test demand"):
        replace(problem, test_periods=problem.test_periods + 1)
    with pytest.raises(UserError, match="run past the end of the training demand"):
        replace(
            problem,
            train=problem.train.replace(max_steps_in_episode=np.full(problem.instances, 42)),
        )


def test_a_path_that_is_a_rule_goes_on():
    problem = preset("serial")(demand_path=(4.0, 8.0), horizon=36).build()
    _, world = play_world(problem.env, jax.random.key(0), problem.first, 1, 36)
    assert world.exogenous.demand[:, 0, 0, 0].tolist() == [4.0] + [8.0] * 35
    assert jaxinv.make("serial", demand_path=(4.0, 8.0))[0].world.demand.goes_on
