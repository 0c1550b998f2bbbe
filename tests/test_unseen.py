"""The invented world of unseen sales, and the policy that reads a series in units of itself."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxinv.agents.diffsim import DiffSim, DiffSimConfig
from jaxinv.agents.loop import Trainer
from jaxinv.agents.ppo import PPOConfig
from jaxinv.demand.prior import PARTS, Prior, PriorParams
from jaxinv.envs.observation import Facts
from jaxinv.envs.presets import Backlog, LostSales, Serial
from jaxinv.envs.unseen import Unseen
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH, batch_last, play_world
from jaxinv.policies import relative

pytestmark = pytest.mark.usefixtures("quick_compilation")

NOTHING = tuple(PARTS)


def series(without, **chances):
    """Demand `[60, 256]` of the prior with some parts alone, about 50 a period."""
    shares = np.array([0.0 if name in without else PARTS[name] for name in PARTS])
    for name, chance in chances.items():
        shares[list(PARTS).index(name)] = chance
    return np.asarray(_series(jnp.asarray(shares)))


@jax.jit
def _series(shares):
    params = PriorParams(jnp.float32(50.0), shares, jnp.float32(8.0), jnp.float32(50.0))
    process = Prior()

    def play(key):
        start, *keys = jax.random.split(key, 61)
        first = {"start": jax.random.uniform(start, process.start_noise["start"])}

        def step(state, key):
            draws = jax.random.split(key, len(process.noise))
            noise = {name: jax.random.uniform(one) for name, one in zip(process.noise, draws)}
            return process.step(state, noise, params)

        return jax.lax.scan(step, process.init(first, params), jnp.stack(keys))[1][:, 0, 0]

    return jax.vmap(play, out_axes=1)(jax.random.split(jax.random.key(0), 256))


def test_a_series_without_parts_is_noise_about_its_level():
    demand = series(NOTHING)
    assert abs(demand.mean() / 50 - 1) < 0.02
    halves = demand[:30].mean(0) - demand[30:].mean(0)
    assert abs(halves.mean()) < 3 * halves.std() / 16  # nothing moves


def test_every_part_changes_the_series_and_nothing_else_does():
    plain = series(NOTHING)
    for part in PARTS:
        assert not np.array_equal(series(NOTHING, **{part: 1.0}), plain), part
    np.testing.assert_array_equal(series(NOTHING, jump=0.0), plain)


def test_sales_begin_with_the_launch_and_some_periods_sell_nothing():
    launched = series(NOTHING, launch=1.0)
    first = (launched > 0).argmax(0)
    assert first.max() > 3 and (first <= 8).mean() > 0.95  # some first days sell nothing
    some = series(NOTHING, intermittent=1.0)
    assert 0.2 < (some == 0).mean() < 0.8
    assert abs(some.mean() / 50 - 1) < 0.1  # those that sell sell more


def test_demand_is_monotone_in_its_noise():
    process = Prior()
    params = PriorParams(
        jnp.float32(5.0), jnp.asarray(list(PARTS.values())), jnp.float32(8), jnp.float32(50)
    )
    draws = jax.random.uniform(jax.random.key(1), (64, *process.start_noise["start"]))
    rising = jnp.linspace(0.001, 0.999, 41)

    def at(start, name, u):
        noise = {other: jnp.float32(0.6) for other in process.noise} | {name: u}
        state = process.init({"start": start}, params)
        for _ in range(3):
            state, demand = process.step(state, noise, params)
        return demand[0, 0]

    for name in process.noise:
        found = jax.jit(jax.vmap(jax.vmap(lambda s, u, n=name: at(s, n, u), (None, 0)), (0, None)))(
            draws, rising
        )
        # rounding of float32 about a half may take one unit back
        assert (np.diff(np.asarray(found), axis=1) >= -1e-3 * (1 + np.asarray(found)[:, 1:])).all()


def test_the_preset_plays_and_replays():
    problem = Unseen(instances=16, history=8, horizon=12, longest_lead_time=4).build()
    play = lambda: play_world(  # noqa: E731
        problem.env, jax.random.key(3), batch_last(problem.train), 16, 12, BATCH
    )[1]
    one, other = play(), play()
    np.testing.assert_array_equal(one.exogenous.demand, other.exogenous.demand)
    assert set(np.unique(one.exogenous.lead_time)) <= set(range(5))
    assert (problem.tested, problem.ends) == (16, True)


def test_parts_that_there_are_not_and_ratios_that_mean_nothing_are_refused():
    with pytest.raises(UserError, match="jmup.*did you mean 'jump'"):
        Unseen(without=("jmup",))
    with pytest.raises(UserError, match="ratios=.*must rise"):
        Unseen(ratios=(0.4, 1.2))


# What the policy reads


def read(demand, guess=10.0, length=relative.WINDOW, cover=3.0, ratio=0.9):
    demand, guess, cover, ratio = (
        jnp.asarray(value, jnp.float32) for value in (demand, guess, cover, ratio)
    )
    return jax.tree.map(np.asarray, relative._read(demand, guess, cover, ratio, length))


def test_what_sells_while_an_order_lasts_is_that_of_numpy():
    """The first four numbers that are read: a normal quantile of sums of three periods, and the
    shares of sums below multiples of it."""
    demand = np.random.default_rng(1).poisson(20, 40).astype(float)
    told, unit = read(np.concatenate([np.zeros(20), demand]), 20.0)
    sums = np.convolve(demand, np.ones(3), "valid")[-(relative.WINDOW - 2) :]
    quantile = sums.mean() + stats.norm.ppf(0.9) * sums.std()
    wanted = [np.log(quantile / (3 * unit[-1]) + 0.02)]
    wanted += [np.mean(sums <= multiple * quantile) for multiple in relative.MULTIPLES]
    np.testing.assert_allclose(told[-1, relative.WINDOW :][:4], wanted, rtol=1e-4)
    np.testing.assert_array_equal(told[21, relative.WINDOW :][:4], 0.0)  # no stretch is whole yet


def test_a_series_is_read_in_units_of_itself():
    demand = np.random.default_rng(0).poisson(200, 40)
    one, unit = read(demand, 200.0)
    other, larger = read(100 * demand, 20_000.0)
    np.testing.assert_allclose(larger, 100 * unit, rtol=1e-5)
    np.testing.assert_allclose(one[:, :-1], other[:, :-1], atol=1e-4)  # the last says how coarse


def test_periods_before_the_first_sale_are_not_there():
    demand = np.random.default_rng(0).poisson(20, 12).astype(float) + 1
    alone, unit = read(demand)
    late, same = read(np.concatenate([np.zeros(30), demand]))
    np.testing.assert_allclose(late[30:], alone, atol=1e-5)
    np.testing.assert_allclose(same[30:], unit, rtol=1e-6)


def test_without_a_history_the_level_is_the_guess():
    _, unit = read(np.zeros(5), guess=7.0)
    np.testing.assert_allclose(unit, 7.0, rtol=1e-5)


def test_a_shorter_history_sees_less():
    demand = np.random.default_rng(0).poisson(20, 60)
    cut, _ = read(demand, length=4)
    tail, _ = read(np.concatenate([np.zeros(56), demand[-4:]]), length=4)
    np.testing.assert_allclose(cut[-1], tail[-1], atol=1e-5)


def test_an_order_that_is_late_is_likely_lost():
    """Lead times 1, 2, 3 alike, a quarter of orders never: by Bayes 2/3 after one period, 1/2 after
    two."""
    facts = Facts(
        lead_time=jnp.array([2.0]), review_period=jnp.ones(1), scale=jnp.ones((1, 1)),
        critical_ratio=jnp.full((1, 1), 0.8), lead_times=jnp.array([[0, 1 / 3, 1 / 3, 1 / 3]]),
        arrives=jnp.array([0.75]),
    )  # fmt: skip
    odds = relative.arrival_odds(facts, 2)
    np.testing.assert_allclose(odds, [[2 / 3, 1 / 2]], rtol=1e-5)
    sure = dataclasses.replace(facts, arrives=None)
    np.testing.assert_array_equal(relative.arrival_odds(sure, 2), np.ones((1, 2)))


def test_networks_that_it_cannot_decide_for_are_refused():
    assert relative.refusal(LostSales().build().env.topology) is None
    config = DiffSimConfig(updates=1, envs=2, rollout=4, encoder="relative", hidden=(4,))
    with pytest.raises(UserError, match="encoder=relative .* some of its nodes supply others"):
        DiffSim.create(Serial().build(), config)


def test_environments_weigh_alike_on_one_instance_too():
    config = DiffSimConfig(updates=1, envs=4, rollout=6, encoder="none", hidden=(4,), alike=True)
    agent = DiffSim.create(LostSales().build(), config)
    state, metrics = Trainer(agent).advance(Trainer(agent).init(jax.random.key(0)), 1)
    assert np.isfinite(metrics["gradient_norm"]).all() and metrics["gradient_norm"].min() > 0


def test_settings_that_mean_nothing_together_are_refused():
    with pytest.raises(UserError, match="encoder=relative is trained by agent=diffsim"):
        PPOConfig(encoder="relative")
    with pytest.raises(UserError, match="alike=true is for one planner"):
        DiffSimConfig(alike=True, roles="nodes")
    with pytest.raises(UserError, match="alike=true counts .* and here customers wait"):
        DiffSim.create(Backlog().build(), DiffSimConfig(alike=True, encoder="none"))


def test_it_learns_on_the_invented_world():
    problem = Unseen(
        instances=64, history=8, horizon=12, longest_lead_time=2, without=NOTHING
    ).build()
    config = DiffSimConfig(
        updates=100, envs=64, rollout=12, encoder="relative", hidden=(16,), alike=True
    )
    agent = DiffSim.create(problem, config)
    trainer = Trainer(agent)
    state = trainer.init(jax.random.key(0))
    key = jax.random.key(9)
    episodes, index = agent.worlds.begin(key)

    def share(state):
        return float(agent.loss(state.params, key, episodes, index)[0])

    before = share(state)
    state, _ = trainer.advance(state, 100)
    after = share(state)
    assert after < 0.96 * before, (after, before)
