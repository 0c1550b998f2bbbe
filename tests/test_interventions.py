"""Scenarios: the same noise under a change, which moves what it says it moves and nothing else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.demand import quantiles
from jaxinv.demand.interventions import Intervention
from jaxinv.demand.laws import LAWS
from jaxinv.demand.market import HORIZON
from jaxinv.envs.problem import first_of
from jaxinv.envs.registry import preset
from jaxinv.envs.scenarios import (
    SCENARIOS,
    intervene,
    open_to_change,
    scenario,
    suite,
    under_intervention,
)
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH, batch_last, instances_at, play_world, take_instances
from jaxinv.exact import solve

pytestmark = pytest.mark.usefixtures("quick_compilation")
START, PERIODS, BATCH_SIZE = 30, 100, 6


def play(problem, periods=PERIODS, batch=BATCH_SIZE, params=None):
    """The world of a problem's test as NumPy arrays."""
    params = problem.test if params is None else params
    params, axis = instances_at(params, jnp.arange(batch))
    return jax.device_get(
        play_world(problem.env, jax.random.key(3), params, batch, periods, axis)[1]
    )


@pytest.fixture(scope="module")
def market():
    return open_to_change(preset("cross_border")(skus=BATCH_SIZE, velocity="fast").build())


@pytest.fixture(scope="module")
def factual(market):
    return play(market)


def all_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize("law", LAWS)
def test_no_change_is_the_factual_bit_for_bit(law):
    problem = preset("lost_sales")(demand=law, lead_time_pmf=(0.0, 0.5, 0.5)).build()
    all_same(play(problem), play(scenario(problem, "none", START)))


def test_no_change_of_the_market(factual, market):
    all_same(play(preset("cross_border")(skus=BATCH_SIZE, velocity="fast").build()), factual)
    all_same(play(scenario(market, "none", START)), factual)


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "none"])
def test_nothing_changes_before_its_day(name, market, factual):
    """Except that customers wait for a promotion that is announced."""
    world = play(scenario(market, name, START))
    quiet = START - 5 if name == "promotion_burst" else START
    all_same(
        *(jax.tree.map(lambda leaf: leaf[:quiet], played.exogenous) for played in (world, factual))
    )
    assert any(
        (new[START:] != old[START:]).any()
        for new, old in zip(jax.tree.leaves(world.exogenous), jax.tree.leaves(factual.exogenous))
    )


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_demand_moves_by_its_factor(law, factor):
    problem = open_to_change(preset("lost_sales")(demand=law).build())
    world, other = (play(under_intervention(problem, change), batch=400).exogenous.demand for change in (
        Intervention(demand=factor, start=50, stop=80), Intervention()))  # fmt: skip
    np.testing.assert_array_equal(world[:50], other[:50])
    np.testing.assert_array_equal(world[80:], other[80:])
    assert world[50:80].mean() == pytest.approx(factor * other[50:80].mean(), rel=0.015)


def test_scaled_table_is_monotone_and_whole():
    uniform = jnp.arange(0, 1, 1e-4, dtype=jnp.float32)[:, None]
    cdf = jnp.asarray(quantiles.negative_binomial_cdf(4.0, 0.7))[:, None]
    own = quantiles.from_table(uniform, cdf[:, None])
    for factor in (0.2, 0.7, 0.99, 1.0, 1.3, 2.0):
        scaled = np.asarray(quantiles.scaled_from_table(uniform, cdf[:, None], factor))
        assert (
            (np.diff(scaled, axis=0) >= 0).all()
            and (scaled == np.round(scaled)).all()
            and (scaled >= 0).all()
        )
        assert scaled.mean() == pytest.approx(factor * float(own.mean()), rel=0.06)
    np.testing.assert_array_equal(quantiles.scaled_from_table(uniform, cdf[:, None], 1.0), own)


def test_a_promotion_shows_in_demand_and_in_what_is_known(market, factual):
    world = play(scenario(market, "promotion_burst", START))
    history, days = market.env.history, slice(START, START + 21)
    demand, own = world.exogenous.demand, factual.exogenous.demand
    assert (demand[days] >= own[days]).mean() > 0.9 and demand[days].sum() > 2 * own[days].sum()
    assert (
        demand[START + 21 : START + 28].sum() < own[START + 21 : START + 28].sum()
    )  # they have stocked up
    known = world.signals[
        history - 1 :, 3 + 4 :
    ]  # running, soon, until, of three markets; row t is of decision t
    running, soon, until = known[:, :3], known[:, 3:6], known[:, 6:]
    assert (running[days] == 1).all()
    np.testing.assert_allclose(soon[START], 1.0)
    announced = np.arange(START - HORIZON, START)
    announced = announced[announced >= 0]
    assert (until[announced] <= ((START - announced) / HORIZON)[:, None, None] + 1e-6).all()


def test_lead_times_grow_and_wait(market, factual):
    longer = play(scenario(market, "lead_time", START)).exogenous.lead_time
    own = factual.exogenous.lead_time
    np.testing.assert_array_equal(
        longer[START:], np.minimum(own[START:] + 4, market.env.topology.max_lead_time)
    )
    outage = play(scenario(market, "outage", START)).exogenous.lead_time
    np.testing.assert_array_equal(outage[:, 1:], own[:, 1:])  # from outside the network only
    assert (
        outage[START : START + 14, 0] + np.arange(14)[:, None] >= 15
    ).all()  # all arrive when it is over
    np.testing.assert_array_equal(outage[START + 14 :], own[START + 14 :])


def test_fixed_lead_times_grow_with_room():
    problem = preset("lost_sales")(lead_time=3).build()
    opened = open_to_change(problem, room=4)
    assert (play(opened).exogenous.lead_time == 3).all()
    lead_time = play(scenario(opened, "lead_time", START)).exogenous.lead_time
    assert (lead_time[:START] == 3).all() and (lead_time[START:] == 7).all()
    np.testing.assert_array_equal(play(opened).exogenous.demand, play(problem).exogenous.demand)


def test_scenarios_are_numbers_of_one_program(market, factual):
    """Mapped over a stack they give what each gives by itself, and all share one environment."""
    names = ("none", "demand_step", "outage", "trend")
    stack = suite(market, START, names)
    instances = take_instances(market.test, jnp.arange(BATCH_SIZE))

    def one(change):
        params = batch_last(intervene(instances, change, BATCH_SIZE))
        return play_world(market.env, jax.random.key(3), params, BATCH_SIZE, PERIODS, BATCH)[
            1
        ].exogenous

    together = jax.jit(jax.vmap(one))(stack)
    for number, name in enumerate(names):
        problem = scenario(market, name, START)
        assert problem.env == market.env and problem.train is market.train
        all_same(jax.tree.map(lambda leaf: leaf[number], together), play(problem).exogenous)
    ratio = np.asarray(together.demand[3] / np.maximum(together.demand[0], 1))[-5:]
    assert 1.1 < np.mean(ratio) < 1.6  # 65 to 70 days of the 180 in which demand doubles


def test_recorded_demand_changes_too(tmp_path):
    table = tmp_path / "sales.csv"
    lines = [f"2024-{1 + day // 28:02d}-{1 + day % 28:02d},a,{day % 7 + 1}" for day in range(280)]
    table.write_text("date,sku,sales\n" + "\n".join(lines))
    problem = preset("retail")(
        data=str(table), frequency="day", horizon=30, history=7, lead_time=2, min_active=0.0
    ).build()
    own = play(problem, 60, 1).exogenous.demand
    np.testing.assert_allclose(
        play(scenario(problem, "demand_step", 30), 60, 1).exogenous.demand[30:], 1.5 * own[30:]
    )


def test_mistakes():
    store = preset("lost_sales")(lead_time_pmf=(0.0, 0.5, 0.5)).build()
    with pytest.raises(UserError, match="did you mean 'outage'"):
        scenario(store, "outages", 10)
    with pytest.raises(UserError, match="no promotion .* can move demand, lead_time"):
        scenario(store, "promotion_burst", 10)
    with pytest.raises(UserError, match="room=4"):
        scenario(store, "lead_time", 10)
    with pytest.raises(UserError, match="no lead_time"):
        scenario(preset("lost_sales")().build(), "lead_time", 10)
    with pytest.raises(UserError, match="before it starts"):
        under_intervention(store, Intervention(demand=2.0, start=5, stop=3))
    with pytest.raises(UserError, match="needs a last day"):
        under_intervention(store, Intervention(outage=1.0))
    with pytest.raises(UserError, match="at least 1"):
        under_intervention(
            preset("cross_border")(skus=2).build(), Intervention(promotion=0.5, stop=9)
        )
    with pytest.raises(UserError, match="at least 0"):
        under_intervention(store, dataclasses.replace(Intervention(), demand=-1.0))
    with pytest.raises(UserError, match="stays as it is"):
        moved = scenario(store, "demand_step", 10)
        solve(moved.env, first_of(moved.test))
