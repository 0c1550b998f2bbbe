"""Demand and lead times: the laws they claim, monotone in their noise, and traces that give nothing
away.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxinv
from jaxinv.demand import processes, quantiles
from jaxinv.demand.exogenous import (
    MECHANISMS,
    RandomLeadTimes,
    RandomLeadTimesParams,
    World,
    draw_uniforms,
)
from jaxinv.demand.laws import LAWS, Law
from jaxinv.demand.signals import Signal
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import begin, rollout, unroll_world

DRAWS = 400_000
SIGMAS = 4.5
"""Of a standard error, allowed in any of the comparisons here (the draws are the same in every
run).
"""


@pytest.fixture(autouse=True, scope="module")
def compile_fast():
    """Programs here run for microseconds; half the time would go into optimising them."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def draws(process, params, periods=1, batch=DRAWS, seed=0):
    """Demand `[periods, D, K, batch]`."""
    key = jax.random.key(seed)
    start = jax.vmap(process.init, (-1, None), -1, axis_size=batch)

    @jax.jit
    def play(params):
        def period(state, time):
            uniforms = draw_uniforms(key, time, process.noise, (batch,))
            return jax.vmap(process.step, (-1, -1, None), -1)(state, uniforms, params)

        return jax.lax.scan(
            period,
            start(draw_uniforms(key, 0, process.start_noise, (batch,)), params),
            jnp.arange(periods),
        )

    return np.asarray(play(params)[1], np.float64)


def played(env, params, periods, batch, seed=0):
    """The world of `batch` episodes, and the episodes as they began."""

    @jax.jit
    def play(params):
        episodes = begin(env, jax.random.key(seed), params, batch)
        return episodes, unroll_world(env, episodes, params, periods)[1]

    return play(params)


def close(estimate, truth, error):
    np.testing.assert_array_less(np.abs(np.asarray(estimate) - truth), SIGMAS * error + 1e-6)


def has_moments(sample, law):
    mean, variance, kurtosis = (float(moment) for moment in law.stats("mvk"))
    close(sample.mean(), mean, np.sqrt(variance / sample.size))
    close(sample.var(), variance, variance * np.sqrt((kurtosis + 2) / sample.size))


DISCRETE = {
    "poisson": (Law("poisson", mean=5.0), stats.poisson(5)),
    "poisson, large": (Law("poisson", mean=60.0), stats.poisson(60)),
    "geometric": (Law("geometric", mean=5.0), stats.nbinom(1, 1 / 6)),
    "negative binomial": (
        Law("negative_binomial", mean=3.0, dispersion=0.5),
        stats.nbinom(0.5, 0.5 / 3.5),
    ),
    "uniform": (Law("uniform", low=0, high=4), stats.randint(0, 5)),
    "uniform, not from 0": (Law("uniform", low=2, high=6), stats.randint(2, 7)),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_laws(name):
    law, exact = DISCRETE[name]
    sample = draws(*law.process()).ravel()
    has_moments(sample, exact)
    assert law.average == pytest.approx(exact.mean())
    counts = np.bincount(sample.astype(int))
    mass = exact.pmf(np.arange(len(counts)))
    common = mass * DRAWS > 20
    close(counts[common] / DRAWS, mass[common], np.sqrt(mass * (1 - mass) / DRAWS)[common])


def test_tables_invert_the_law_exactly():
    """Not by sampling: at every uniform away from a jump, the quantile is scipy's."""
    u = (np.arange(4096) + 0.5) / 4096
    for table, law in [
        (quantiles.poisson_cdf(5.0), stats.poisson(5)),
        (quantiles.geometric_cdf(5.0), stats.nbinom(1, 1 / 6)),
        (quantiles.uniform_cdf(0, 4), stats.randint(0, 5)),
    ]:
        ours = quantiles.from_table(jnp.asarray(u, jnp.float32), jnp.asarray(table)[:, None])
        np.testing.assert_array_equal(ours, law.ppf(u))
        assert quantiles.from_table(jnp.float32(1 - 2**-23), jnp.asarray(table)) <= law.ppf(
            1 - 2**-24
        )


def test_poisson_with_a_mean_that_moves():
    u = (np.arange(2000) + 0.5) / 2000
    means = np.array([0.0, 0.05, 1.0, 7.3, 12.0, 12.5, 40.0, 300.0])
    uniforms = jnp.broadcast_to(jnp.asarray(u, jnp.float32)[:, None], (len(u), len(means)))
    ours = np.asarray(jax.jit(quantiles.poisson)(uniforms, jnp.broadcast_to(means, uniforms.shape)))
    exact = stats.poisson(means).ppf(u[:, None])
    np.testing.assert_array_equal(ours[:, :5], exact[:, :5])
    wide = means[5:]
    level = np.arange(int(3 * wide.max()))[:, None]
    share = (ours[:, 5:][:, None] <= level).mean(0)
    assert np.abs(share - stats.poisson(wide).cdf(level)).max() < 0.004 + 1 / len(u)


@pytest.mark.parametrize("shape", [0.6, 3.0])
def test_gamma_table(shape):
    table = jnp.asarray(quantiles.gamma_quantiles(shape, 513))
    u = draw_uniforms(jax.random.key(1), 0, {"demand": ()}, (DRAWS,))["demand"]
    sample = np.asarray(quantiles.from_gamma_quantiles(u, table), np.float64)
    has_moments(sample, stats.gamma(shape, scale=1 / shape))


def test_normal_laws():
    clipped = draws(*Law("normal", mean=2.0, deviation=2.0).process()).ravel()
    below = stats.norm.cdf(-1.0)
    mean = 2.0 * (1 - below) + 2.0 * stats.norm.pdf(1.0)
    close(clipped.mean(), mean, clipped.std() / DRAWS**0.5)
    close((clipped == 0).mean(), below, np.sqrt(below / DRAWS))
    truncated = draws(*Law("truncated_normal", mean=2.0, deviation=2.0).process()).ravel()
    has_moments(truncated, stats.truncnorm(-1.0, np.inf, loc=2.0, scale=2.0))
    assert truncated.min() >= 0


def test_correlated_normal_demand():
    size = dict(locations=3, products=2)
    params = processes.NormalParams(jnp.full((3, 2), 50.0), jnp.full((3, 2), 4.0), jnp.float32(0.5))
    sample = draws(processes.Normal(**size, correlated=True), params, batch=100_000)[0]
    between = np.corrcoef(sample.reshape(6, -1))
    places, products = np.divmod(np.arange(6), 2)
    expected = np.where(
        products[:, None] == products, np.where(places[:, None] == places, 1.0, 0.5), 0.0
    )
    close(between, expected, 1 / 100_000**0.5)
    close(sample.std(-1), 4.0, 4.0 / np.sqrt(2 * 100_000))


def test_seasonal_demand_follows_its_sine():
    process, params = Law("seasonal", mean=20.0, deviation=1.0, amplitude=0.2, period=8.0).process()
    params = params.replace(phase=jnp.full((1, 1), 2.0))
    state, batch = jnp.zeros(20_000), 20_000
    for time in range(9):
        uniforms = draw_uniforms(jax.random.key(2), time, process.noise, (batch,))
        state, demand = jax.vmap(process.step, (-1, -1, None), -1)(state, uniforms, params)
        close(demand.mean(), 20 * (1 + 0.2 * np.sin(2 * np.pi * (time + 2) / 8)), 1.0 / batch**0.5)
        close(demand.std(), 1.0, 1 / (2 * batch) ** 0.5)
    np.testing.assert_allclose(process.known(jnp.float32(2.0), params), [1.0, 0.0], atol=1e-6)
    starts = jax.vmap(lambda u: process.init({"start": u}, params))(jnp.arange(8) / 8)
    np.testing.assert_array_equal(starts, np.arange(8))


def test_autoregressive_demand_is_stationary_with_its_persistence():
    process, params = Law("ar1", mean=20.0, deviation=1.0, persistence=0.6).process()
    path = draws(process, params, periods=60, batch=20_000)[40:, 0, 0]
    deviation = 1.0 / np.sqrt(1 - 0.36)
    close(path[-1].mean(), 20.0, deviation / 20_000**0.5)
    close(path[-1].std(), deviation, deviation / (2 * 20_000) ** 0.5)
    close(np.corrcoef(path[-2], path[-1])[0, 1], 0.6, 1 / 20_000**0.5)


@pytest.mark.parametrize("name", LAWS)
def test_demand_is_monotone_in_its_uniform(name):
    process, params = Law(name).process()
    state = process.init({"start": jnp.float32(0.3)}, params)
    u = jnp.sort(jax.random.uniform(jax.random.key(4), (5000,))).at[0].set(0.0)
    step = jax.vmap(
        lambda u: process.step(state, dict.fromkeys(process.noise, u[None, None]), params)[1][0, 0]
    )
    demand = np.asarray(step(u))
    assert np.all(np.isfinite(demand)) and np.all(demand >= 0) and np.all(np.diff(demand) >= 0)
    assert demand[-1] > demand[0]


@pytest.mark.parametrize(
    "change", [dict(name="poison"), dict(mean=0.0), dict(low=4, high=4), dict(persistence=1.0)]
)
def test_a_law_that_cannot_be_is_refused(change):
    with pytest.raises(UserError):
        Law(**{"name": "uniform", **change})


# Noise


def test_streams_differ_by_mechanism_and_period_and_only_by_these():
    key = jax.random.key(0)
    shapes = dict.fromkeys(MECHANISMS, (2,))
    noise = [draw_uniforms(key, period, shapes, (3,)) for period in range(3)]
    seen = np.concatenate([np.ravel(u) for drawn in noise for u in drawn.values()])
    assert len(np.unique(seen)) == len(seen)
    alone = draw_uniforms(key, 1, {"demand": (2,)}, (3,))["demand"]
    np.testing.assert_array_equal(alone, noise[1]["demand"])


def test_a_world_played_in_chunks_is_the_world_played_at_once():
    env, params = jaxinv.make("lost_sales", demand="ar1", lead_time_pmf=(0.2, 0.3, 0.5), history=4)
    episodes, whole = played(env, params, 20, 5)
    middle, first = jax.jit(lambda start: unroll_world(env, start, params, 13))(episodes)
    _, second = jax.jit(lambda start: unroll_world(env, start, params, 7))(middle)
    for at_once, one, two in zip(
        *map(jax.tree.leaves, (whole.exogenous, first.exogenous, second.exogenous))
    ):
        np.testing.assert_allclose(
            at_once, np.concatenate([one, two]), rtol=1e-5
        )  # three programs: not bit for bit
    joined = np.concatenate([first.signals, second.signals[env.history - 1 :]])
    np.testing.assert_allclose(whole.signals, joined, rtol=1e-5)


# Traces


def replay_world(trace, covariates, history=3, first=0, last=0, **numbers):
    """A store whose demand replays `trace` `[T]` with `covariates` `[T, C]`."""
    store, params = jaxinv.make("lost_sales", lead_time=2)
    process = processes.TraceReplay(
        told=tuple(Signal(f"signal {column}") for column in range(covariates.shape[1]))
    )
    params = params.replace(
        demand=processes.TraceParams(
            jnp.asarray(trace, jnp.float32)[:, None, None], jnp.asarray(covariates, jnp.float32),
            jnp.int32(first),
            jnp.int32(last), **numbers,
        )
    )  # fmt: skip
    return InventoryNetwork(store.topology, World(process), params, history), params


def test_replay_returns_the_rows_and_knows_no_demand_ahead():
    periods, history = 30, 3
    trace = np.arange(1.0, 41.0)
    covariates = np.stack([1000 + trace, -trace], 1)
    env, params = replay_world(trace, covariates, history, first=0, last=6)
    _, world = played(env, params, periods, 64)
    demand = np.asarray(world.exogenous.demand)[:, 0, 0]  # [T, B]
    rows = demand[0] - 1 + np.arange(periods)[:, None]
    np.testing.assert_array_equal(demand, trace[rows.astype(int)])
    assert set(demand[0]) == set(
        np.arange(7.0) + 1 + history
    )  # every start comes up, history comes before
    latest = np.asarray(world.signals)[history - 1 :]  # [T, S, B], what decision t sees last
    np.testing.assert_array_equal(latest[:, 0], demand - 1)  # the demand of the period before
    np.testing.assert_array_equal(latest[:, 1], 1000 + demand)  # covariates of the period to come
    np.testing.assert_array_equal(latest[:, 2], -demand)


def test_signals_do_not_move_when_the_future_does():
    history, now = 4, 6
    trace, covariates = np.arange(1.0, 31.0), np.ones((30, 1))
    changed = np.where(np.arange(30) >= history + now, 99.0, trace)
    seen = []
    for demand in (trace, changed):
        env, params = replay_world(demand, covariates, history)
        _, world = played(env, params, 12, 2)
        seen.append(np.asarray(world.signals))
    last_row = history - 1 + now  # of decision `now`, taken before the first changed demand
    np.testing.assert_array_equal(seen[0][: last_row + 1], seen[1][: last_row + 1])
    assert np.all(seen[0][last_row + 1, 0] != seen[1][last_row + 1, 0])


def test_replay_invents_nothing_past_the_end_and_spreads_levels_only_when_asked():
    trace, covariates = np.arange(1.0, 11.0), np.ones((10, 1))
    env, params = replay_world(trace, covariates)
    _, world = played(env, params, 12, 2)
    demand = world.exogenous.demand[:, 0, 0, 0]
    np.testing.assert_array_equal(demand, [4, 5, 6, 7, 8, 9, 10, *[np.nan] * 5])
    known = np.asarray(world.signals)[env.history - 1 :, 1, 0]  # with the decision of each period
    np.testing.assert_array_equal(known, [1] * 7 + [0] * 5)
    rule = InventoryNetwork(
        env.topology,
        World(processes.TraceReplay(told=(Signal("signal"),), goes_on=True)),
        params,
        env.history,
    )
    _, world = played(rule, params, 12, 2)
    np.testing.assert_array_equal(
        world.exogenous.demand[:, 0, 0, 0], [4, 5, 6, 7, 8, 9, 10, 10, 10, 10, 10, 10]
    )
    env, params = replay_world(trace, covariates, level_spread=jnp.float32(0.3))
    _, spread = played(env, params, 7, 4000)
    level = np.log(np.asarray(spread.exogenous.demand)[:, 0, 0] / np.arange(4.0, 11.0)[:, None])
    np.testing.assert_allclose(
        level, np.broadcast_to(level[0], level.shape), atol=1e-5
    )  # one level an episode
    close(level[0].std(), 0.3, 0.3 / np.sqrt(2 * 4000))


def test_the_rollout_window_is_the_gymnax_observation_window():
    """Two paths that share no code: `unroll_world` slices, and the window that `step_env` carries
    along.
    """
    trace = np.random.default_rng(0).integers(0, 20, 40)
    covariates = np.random.default_rng(1).random((40, 2))
    history = 5
    env, params = replay_world(trace, covariates, history)
    episodes, world = played(env, params, 12, 3)
    width = history * env.world.signals
    observation, state = env.reset(jax.random.key(5), params)
    for t in range(12):
        window = world.signals[t : t + history, :, 1]
        np.testing.assert_array_equal(observation[-width:].reshape(history, -1), window)
        observation, state, *_ = env.step(jax.random.key(t), state, jnp.ones((1, 1)), params)

    def act(_, observation, __):
        return jnp.zeros((1, 1)), observation.signals

    _, windows, _ = rollout(
        env, params, act, None, episodes.network, world.exogenous, signals=world.signals,
        record=lambda observation, outcome, note: note,
    )  # fmt: skip
    expected = np.stack([world.signals[t : t + history] for t in range(12)])
    np.testing.assert_array_equal(windows, expected)


def test_the_gymnax_window_holds_the_demand_that_was():
    env, params = jaxinv.make("lost_sales", demand="seasonal", history=3)
    observation, state = env.reset(jax.random.key(0), params)
    width = env.history * env.world.signals
    for t in range(6):
        observation, state, _, _, _, info = env.step(
            jax.random.key(t), state, jnp.zeros((1, 1)), params
        )
        window = observation[-width:].reshape(env.history, -1)
        assert window[-1, 0] == pytest.approx(float((info["sold"] + info["short"])[0, 0]), rel=1e-6)


# Lead times


def test_random_lead_times_follow_their_probabilities():
    mass = np.array([0.1, 0.0, 0.4, 0.5])
    env, params = jaxinv.make("lost_sales", lead_time_pmf=tuple(mass))
    assert params.lead_time == pytest.approx(mass @ np.arange(4))
    _, world = played(env, params, 10, 20_000)
    share = np.bincount(np.asarray(world.exogenous.lead_time, int).ravel(), minlength=4) / 200_000
    close(share, mass, np.sqrt(mass * (1 - mass) / 200_000))
    assert share[1] == 0


def test_a_chain_of_two_regimes_has_its_stationary_share_and_lead_times():
    enter, leave = 0.05, 0.2
    cdf = np.array(
        [[[0.7, 0.2], [1.0, 0.5]], [[0.0, 0.0], [0.1, 0.0]]]
    )  # [R, L, E], lead times 0, 1, 2
    process = RandomLeadTimes(edges=2, regimes=2)
    law = RandomLeadTimesParams(
        jnp.asarray(cdf, jnp.float32), jnp.float32(enter), jnp.float32(leave)
    )
    params = jaxinv.make("lost_sales")[1].replace(lead_time_law=law)
    batch = 40_000

    def period(regime, time):
        uniforms = draw_uniforms(jax.random.key(0), time, process.noise, (batch,))
        regime, lead = jax.vmap(process.step, (-1, -1, None), -1)(regime, uniforms, params)
        return regime, (regime, lead)

    _, (regime, lead) = jax.lax.scan(period, jnp.zeros(batch, jnp.int32), jnp.arange(60))
    disrupted = enter / (enter + leave)
    close(regime[-1].mean(), disrupted, np.sqrt(disrupted * (1 - disrupted) / batch))
    stays = np.asarray(regime[-1])[np.asarray(regime[-2]) == 1].mean()
    close(stays, 1 - leave, np.sqrt(leave * (1 - leave) / (disrupted * batch)))
    for state in (0, 1):
        here = np.asarray(regime[-1]) == state
        for edge in (0, 1):
            mass = np.diff(np.concatenate([[0.0], cdf[state, :, edge], [1.0]]))
            share = (
                np.bincount(np.asarray(lead)[-1, edge, here].astype(int), minlength=3) / here.sum()
            )
            close(share, mass, np.sqrt(mass * (1 - mass) / here.sum()))


def test_stock_under_way_at_reset_all_arrives():
    """Also where the mean lead time is not a whole number."""
    for mass in ((0.0, 0.1, 0.5, 0.4), (0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 0.0, 0.0)):
        env, params = jaxinv.make("lost_sales", lead_time_pmf=mass)
        state = env.start({"stock": jnp.full((1, 1), 0.5)}, params)
        expected = float(state.on_hand.sum() + state.pipeline.sum())
        exogenous = jaxinv.demand.exogenous.Exogenous(jnp.zeros((1, 1)), jnp.zeros(1))
        for _ in range(4):
            state, _ = env.transition(state, jnp.zeros((1, 1)), exogenous, params)
        assert float(state.on_hand.sum()) == pytest.approx(expected)
