"""Ablations: switches that are exact, the paper's tables, and how rows come about."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.adapt.streams import StreamConfig, _play, _splice, changeable
from jaxinv.agents.ppo import PPO, PPOConfig
from jaxinv.agents.switched import SwitchedConfig, SwitchedPPO
from jaxinv.envs.presets import LostSales
from jaxinv.errors import UserError
from jaxinv.studies.ablation import (
    MEASURES,
    PUBLISHED,
    VARIANTS,
    _rows,
    configure,
)

TINY = dict(
    updates=2,
    envs=4,
    rollout=6,
    minibatches=2,
    features=8,
    heads=2,
    layers=1,
    hidden=(8,),
    forecast=3,
)
PROBLEM = LostSales(lead_time=2, demand="seasonal", history=4, horizon=12).build()


def switched(**switches):
    agent = SwitchedPPO.create(PROBLEM, SwitchedConfig(**TINY, **switches))
    return agent, agent.init(jax.random.key(0))


def same_for_all(problem):
    return jax.tree.map(
        lambda leaf: jnp.broadcast_to(jnp.asarray(leaf), (3, *jnp.shape(leaf))), problem.first
    )


def observation(agent, **numbers):
    env = PROBLEM.env
    state = env.reset(jax.random.key(3), PROBLEM.first)[1]
    return env.view(state.network.replace(**numbers), PROBLEM.first, state.signals)


def test_with_everything_on_it_is_the_plain_policy(quick_compilation):
    agent, state = switched()
    plain = PPO.create(PROBLEM, PPOConfig(**TINY))
    params = dict(state.params["params"])
    params.pop("level")
    params["encoder"] = params["encoder"]["whole"]
    seen = observation(agent)
    np.testing.assert_array_equal(
        agent.policy(state.params, seen), plain.policy({"params": params}, seen)
    )


def test_without_state_only_the_last_observation_counts(quick_compilation):
    for on in (1.0, 0.0):
        agent, state = switched(state=on)
        seen = observation(agent)
        past = seen.replace(signals=seen.signals.at[:-1].multiply(3.0))
        unmoved = jnp.array_equal(
            agent.policy(state.params, seen), agent.policy(state.params, past)
        )
        assert unmoved == (not on)


def test_without_core_it_is_base_stock_on_the_forecast(quick_compilation):
    """Two stocks below the level are both filled up to it."""
    agent, state = switched(core=0.0)
    orders = [
        float(agent.policy(state.params, observation(agent, on_hand=jnp.full((1, 1), stock)))[0, 0])
        for stock in (1.0, 3.0)
    ]
    assert orders[0] - orders[1] == pytest.approx(2.0, abs=1e-4)
    moved = jax.tree.map(lambda leaf: leaf, state.params)
    moved["params"]["actor"] = jax.tree.map(lambda leaf: leaf + 1.0, moved["params"]["actor"])
    assert (
        float(agent.policy(moved, observation(agent, on_hand=jnp.full((1, 1), 1.0)))[0, 0])
        == orders[0]
    )


def test_switches_are_not_learned_and_switched_off_parts_stand_still(quick_compilation):
    agent, state = switched(state=0.0, core=0.0)
    after, _ = jax.jit(agent.update)(state)
    assert jax.tree.map(float, after.params["switches"]) == {"core": 0.0, "encoder": {"state": 0.0}}
    still = after.params["params"]["actor"], after.params["params"]["encoder"]["whole"]
    before = state.params["params"]["actor"], state.params["params"]["encoder"]["whole"]
    assert all(jax.tree.leaves(jax.tree.map(jnp.array_equal, still, before)))
    assert after.params["params"]["level"] != state.params["params"]["level"]


def test_the_paper_has_every_variant_and_says_that_each_module_helps():
    assert len(VARIANTS) == len(set(VARIANTS.values())) == 8
    for rows in PUBLISHED.values():
        assert rows.keys() == VARIANTS.keys()
        assert all(row[0] > rows["D3S-CI"][0] for name, row in rows.items() if name != "D3S-CI")


def test_rows_stand_beside_the_mean_of_both_tables():
    costs = {name: 1.0 + 0.1 * number for number, name in enumerate(VARIANTS)}
    found = {
        name: (
            {"cost": np.full((2, 5), cost)}
            | {measure: np.full(2, cost) for measure in MEASURES[1:]}
        )
        for name, cost in costs.items()
    }
    rows = list(_rows(found))
    assert len(rows) == 7 * 4
    first = rows[0]
    assert first["claim"] == "w/o state, cost against D3S-CI, %" and first["ours"] == pytest.approx(
        10
    )
    assert (
        first["paper"] == pytest.approx(100 * (3900 / 3500 + 3400 / 3000 - 2) / 2)
        and first["holds"]
    )
    assert (
        rows[2]["paper"] < 0 and rows[2]["verdict"] == "opposite"
    )  # turnover, which falls in print


def test_a_stream_takes_each_segment_from_its_own_world(quick_compilation):
    config = StreamConfig(scenarios=("none", "demand_step"), segment=9)
    problem = changeable(
        LostSales(lead_time=2, demand="seasonal", history=4).build(), config.scenarios
    )
    problem = dataclasses.replace(
        problem, train=same_for_all(problem), test=same_for_all(problem), instances=3
    )
    env, key = problem.env, jax.random.key(5)
    _, worlds, _ = _play(problem, [("none", 10), ("demand_step", 25)], 40, key)
    segment = np.array([0] * 20 + [1] * 20)
    world = _splice(env, worlds, segment)
    demand = np.asarray(worlds.exogenous.demand)
    np.testing.assert_array_equal(
        world.exogenous.demand[0], np.concatenate([demand[0, :20], demand[1, 20:]])
    )
    assert not np.array_equal(demand[0, 25:], demand[1, 25:])
    told = np.asarray(world.signals)[
        0, env.history :, 0
    ]  # demand of the day before, in rows from day 1 on
    np.testing.assert_array_equal(told, np.asarray(world.exogenous.demand)[0, : len(told), 0, 0])


def test_overrides_reach_their_place():
    config = configure(
        ["seeds=3", "skus=6", "gradient=both", "scenarios=trend", "updates=5"], quick=True
    )
    assert (config.seeds, config.instance.skus, config.learner.updates) == (3, 6, 5)
    assert config.clocks.online.gradient == "both" and config.stream.scenarios == ("trend",)
    with pytest.raises(UserError, match="scenario"):
        configure(["scenarios=trnd"])
    with pytest.raises(UserError, match="needs all three"):
        dataclasses.replace(SwitchedConfig(), form="none")
