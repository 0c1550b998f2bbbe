"""The cross-border preset: its demand, its lead times, its costs and where their numbers come
from.
"""

import builtins

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxinv.data.fits import ONLINE_RETAIL_DEMAND, SCMS_FREIGHT, SCMS_LEAD_TIMES
from jaxinv.demand import market, quantiles
from jaxinv.demand.exogenous import draw_uniforms
from jaxinv.demand.market import MarketDemand, Promotions, market_params
from jaxinv.envs.costs import COSTS, freight
from jaxinv.envs.cross_border import CrossBorder, median_lead_time, week_freight
from jaxinv.envs.registry import preset
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import (
    BATCH,
    batch_last,
    begin,
    rollout,
    take_instances,
    unroll_world,
)
from jaxinv.evaluation.simulate import simulate
from jaxinv.policies.rules import make_rule

pytestmark = pytest.mark.usefixtures("quick_compilation")

SMALL = dict(skus=4, velocity="medium")


@pytest.fixture(scope="module")
def problem():
    return CrossBorder(**SMALL).build()


DAYS, PATHS = 3 * market.YEAR, 512
PROCESS = MarketDemand(locations=3)


def play(params):
    """States `[DAYS, ..., PATHS]` before each day, demand `[DAYS, 3, PATHS]` and what was known
    `[DAYS, C, PATHS]`.
    """
    return jax.tree.map(np.asarray, _play(params))


@jax.jit
def _play(params):
    key = jax.random.key(0)
    state = jax.vmap(PROCESS.init, (-1, None), -1)(
        draw_uniforms(key, 0, PROCESS.start_noise, (PATHS,)), params
    )
    step, known = (
        jax.vmap(PROCESS.step, (-1, -1, None), -1),
        jax.vmap(PROCESS.known, (-1, None), -1),
    )

    def day(state, time):
        after, demand = step(state, draw_uniforms(key, time, PROCESS.noise, (PATHS,)), params)
        return after, (state, demand[:, 0], known(state, params))

    return jax.lax.scan(day, state, jnp.arange(DAYS))[1]


def calm(**changes):
    """Parameters without season, shocks or promotions unless given."""
    options = dict(
        mean=[15.0, 6.0, 0.5], dispersion=2.0, week=np.ones(7), year=np.ones(12),
        shock_variance=0.0,
        shock_persistence=0.8, correlation=0.0, promotions=Promotions(0),
    )  # fmt: skip
    return market_params(**{**options, **changes})


def simulator(problem, batch, periods):
    """Echelon base-stock with given levels `[5, 1]` on the SKUs in turn, always on the same
    noise.
    """
    params = batch_last(take_instances(problem.train, jnp.arange(batch) % problem.instances))
    rule = make_rule("echelon_base_stock", problem.env.topology)
    size = dict(batch=batch, periods=periods, warm_up=64, axis=BATCH)
    return jax.jit(
        lambda level: simulate(
            problem.env, params, rule, {"level": level}, jax.random.key(3), **size
        )
    )


# Demand


def test_mean_demand_is_the_configured_one():
    params = CrossBorder(velocity="fast", skus=1).build().train.demand
    params = jax.tree.map(lambda leaf: leaf[0], params)
    _, demand, _ = play(params)
    expected = params.base * Promotions().average
    found = demand[market.YEAR :].mean((0, 2))  # whole years, promotions under way
    assert found == pytest.approx(
        np.asarray(expected), rel=0.02
    )  # three standard errors, shocks being slow


@pytest.mark.parametrize("dispersion", [0.0963, 0.15, 0.261, 1.0, 2.0])
def test_counts_are_negative_binomial(dispersion):
    table = market.mixing_quantiles(dispersion)
    u = (np.arange(1 << 20) + 0.5) / (1 << 20)
    gamma = np.asarray(
        quantiles.from_gamma_quantiles(jnp.asarray(u, jnp.float32), jnp.asarray(table)), float
    )
    assert gamma.mean() == pytest.approx(1, abs=2e-3)
    assert gamma.var() * dispersion == pytest.approx(1, abs=0.03)
    for mean in (0.5, 3.0, 15.0):
        empty = (dispersion / (dispersion + mean)) ** dispersion
        assert np.exp(-mean * gamma).mean() == pytest.approx(empty, abs=0.006)


def test_moments_without_season_or_shocks():
    params = calm()
    _, demand, _ = play(params)
    mean = np.array([15.0, 6.0, 0.5])
    assert demand.mean((0, 2)) == pytest.approx(mean, rel=0.02)
    assert demand.var((0, 2)) == pytest.approx(mean + mean**2 / 2, rel=0.06)
    correlation = np.corrcoef(demand.transpose(1, 0, 2).reshape(3, -1))
    assert np.abs(correlation[np.triu_indices(3, 1)]).max() < 0.02


def test_season_is_the_fitted_one():
    fit = ONLINE_RETAIL_DEMAND
    states, demand, _ = play(calm(mean=[500.0] * 3, dispersion=100.0, week=fit.week, year=fit.year))
    level = demand.mean(1) / 500
    week = [level[states.weekday == day].mean() for day in range(7)]
    assert week == pytest.approx(fit.week, abs=0.03)
    middle = [
        level[np.abs(states.yearday - (month + 0.5) * 365 / 12) < 3].mean() for month in range(12)
    ]
    assert middle == pytest.approx(fit.year, abs=0.06)


def test_shocks_have_the_given_size_persistence_and_correlation():
    params = calm(shock_variance=0.178, shock_persistence=0.882, correlation=0.3)
    states, demand, _ = play(params)
    shock = states.shock
    assert shock.std() == pytest.approx(1, abs=0.03)
    assert params.shock_deviation == pytest.approx(np.sqrt(np.log(1.178)))
    week = [np.corrcoef(shock[100, place], shock[107, place])[0, 1] for place in range(3)]
    assert week == pytest.approx([0.882] * 3, abs=0.02)
    for days in (shock[:1], shock[1::50]):  # from the first day on
        between = [
            np.mean([np.corrcoef(day)[pair] for day in days]) for pair in ((0, 1), (0, 2), (1, 2))
        ]
        assert between == pytest.approx([0.3] * 3, abs=0.13 if len(days) == 1 else 0.05)
    assert demand.mean((0, 2)) == pytest.approx([15.0, 6.0, 0.5], rel=0.03)


def test_promotions_come_as_planned():
    promotions = Promotions(6.0, (2.0, 2.0))
    params = calm(mean=[100.0] * 3, dispersion=1000.0, promotions=promotions)
    states, demand, known = play(params)
    running, soon, countdown = np.split(known[:, 4:], 3, axis=1)
    begins = states.since == 0
    assert begins.mean() * market.YEAR == pytest.approx(6, rel=0.04)
    assert np.array_equal(running > 0, states.since < promotions.days)
    base = float(params.base[0])
    assert demand[running > 0].mean() / base == pytest.approx(2, rel=0.01)
    eve, wake = (
        countdown * market.HORIZON <= promotions.before_days,
        (states.since >= 7) & (states.since < 14),
    )
    assert demand[eve].mean() / base == pytest.approx(promotions.before, rel=0.01)
    assert demand[wake & (states.uplift > 1)].mean() / base == pytest.approx(
        promotions.after, rel=0.01
    )
    # what is announced comes true: the countdown on its day, and the share of the coming week
    for ahead in (1, 10, 27):
        told = np.isclose(countdown[:-ahead] * market.HORIZON, ahead)
        assert told.any() and np.all(begins[ahead:][told])
    week = np.lib.stride_tricks.sliding_window_view(running, 7, axis=0).mean(-1)
    assert np.allclose(week, soon[: len(week)], atol=1e-6)


def test_what_is_known_does_not_tell_demand():
    """Uplift, shock and counts may not move what is known ahead; other draws of them leave it as it
    was.
    """
    params = CrossBorder(**SMALL).build().train.demand
    params = jax.tree.map(lambda leaf: leaf[0], params)
    process = MarketDemand(locations=3)

    def trace(noise):
        key, other = jax.random.key(1), jax.random.key(noise)
        state = process.init(draw_uniforms(key, 0, process.start_noise), params)

        def day(state, time):
            u, v = (
                draw_uniforms(key, time, process.noise),
                draw_uniforms(other, time, process.noise),
            )
            u = {**v, "promotion": u["promotion"].at[0].set(v["promotion"][0])}
            state, demand = process.step(state, u, params)
            return state, (demand, process.known(state, params))

        return jax.lax.scan(day, state, jnp.arange(300))[1]

    (demand, known), (other_demand, other_known) = trace(2), trace(3)
    assert np.array_equal(known, other_known)
    assert not np.array_equal(demand, other_demand)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["market", "demand", "count"]), st.floats(0, 0.2))
def test_demand_is_monotone_in_its_uniforms(seed, name, more):
    params = calm(dispersion=0.26, shock_variance=0.2, correlation=0.3, promotions=Promotions())
    process = MarketDemand(locations=3)
    state = process.init(draw_uniforms(jax.random.key(seed), 0, process.start_noise), params)
    u = draw_uniforms(jax.random.key(seed), 1, process.noise)
    raised = {**u, name: jnp.minimum(u[name] + more, 0.999999)}
    assert np.all(process.step(state, raised, params)[1] >= process.step(state, u, params)[1])


def test_the_same_noise_under_any_policy(problem):
    """The world does not see orders: two policies face the same demand, and a key replays it."""
    run = simulator(problem, batch=8, periods=60)
    totals = [run(jnp.full((5, 1), level)) for level in (0.0, 2.0, 2.0)]
    assert np.array_equal(totals[0].demand, totals[1].demand)
    assert not np.array_equal(totals[0].sold, totals[1].sold)
    assert np.array_equal(totals[1].costs, totals[2].costs)


# Lead times


def lead_times(problem, periods=2000, batch=64):
    """Realised lead times `[T, E, B]` and whether customs was disrupted `[T, B]`."""
    env, process = problem.env, problem.env.world.lead_time
    params = jax.tree.map(lambda leaf: leaf[0], problem.train)

    def day(regime, time):
        u = draw_uniforms(jax.random.key(5), time, process.noise, (batch,))
        regime, days = jax.vmap(lambda r, u: process.step(r, u, params), -1, -1)(regime, u)
        return regime, (days, regime)

    assert env.topology.random_lead_time
    return jax.tree.map(
        np.asarray, jax.lax.scan(day, jnp.zeros(batch, jnp.int32), jnp.arange(periods))[1]
    )


def test_lead_times_have_the_quoted_means_and_the_fitted_spread(problem):
    days, regime = lead_times(problem)
    normal = np.array([days[:, edge][regime == 0] for edge in range(5)])
    quoted = np.asarray(problem.train.lead_time[0])
    assert quoted.tolist() == [7, 7, 21, 7, 28]
    assert normal.mean(1) == pytest.approx(quoted, rel=0.01)
    air, sea = SCMS_LEAD_TIMES.air.lognormal_cv, SCMS_LEAD_TIMES.ocean.lognormal_cv
    assert normal.std(1)[:4] / quoted[:4] == pytest.approx([air, air, sea, air], rel=0.07)
    assert normal.std(1)[4] / quoted[4] == pytest.approx(sea, rel=0.2)  # the longest are cut off
    assert days.min() >= 1 and days.max() == 45
    assert np.array_equal(days, np.round(days))


def test_customs_regime(problem):
    days, regime = lead_times(problem)
    assert regime[200:].mean() == pytest.approx(0.01 / (0.01 + 1 / 14), rel=0.15)
    later = [
        days[:, edge][regime == 1].mean() - days[:, edge][regime == 0].mean() for edge in range(5)
    ]
    assert later[0] == pytest.approx(0, abs=0.1)  # the supplier is at home
    assert later[1] == pytest.approx(8.5, abs=0.3)
    assert later[3] == pytest.approx(8.5, abs=0.3)
    assert 6 < later[4] < later[2] < 8.6  # cut off at the longest


def test_disruption_lasts_as_long_as_said():
    problem = CrossBorder(**SMALL, disruption_days=5.0, disruption_probability=0.05).build()
    _, regime = lead_times(problem)
    ends = (regime[:-1] == 1) & (regime[1:] == 0)
    assert (regime[:-1] == 1).sum() / ends.sum() == pytest.approx(5, rel=0.05)


@pytest.mark.parametrize("mean, sigma", [(1.5, 0.5), (7.0, 0.54), (28.0, 0.31), (36.0, 0.31)])
def test_median_gives_the_mean(mean, sigma):
    median = median_lead_time(mean, sigma, 45)
    u = (np.arange(200_000) + 0.5) / 200_000
    days = np.clip(
        np.round(median * np.exp(sigma * np.asarray(quantiles.standard_normal(jnp.asarray(u))))),
        1,
        45,
    )
    assert days.mean() == pytest.approx(mean, rel=2e-3)


# Instances and costs


def test_every_sku_is_an_instance_of_its_own():
    problem = CrossBorder(skus=32).build()
    assert problem.instances == 32 == len(problem.labels)
    assert all(leaf.shape[0] == 32 for leaf in jax.tree.leaves(problem.train))
    assert [
        sum(label.startswith(kind) for label in problem.labels)
        for kind in ("fast", "medium", "slow")
    ] == [
        6,
        10,
        16,
    ]
    scale = np.asarray(problem.train.scale[:, :, 0])
    assert len(np.unique(scale)) == scale.size
    mean = np.asarray(problem.train.demand.base) * Promotions().average
    assert scale[:, 0] == pytest.approx(mean.sum(1), rel=1e-5)  # home passes on what goes abroad
    assert scale[:, 1:] == pytest.approx(mean[:, 1:], rel=1e-5)
    again = CrossBorder(skus=32).build()
    assert again.env == problem.env and np.array_equal(again.train.scale, problem.train.scale)
    other = CrossBorder(skus=32, instance_seed=1).build()
    assert other.env == problem.env and not np.array_equal(other.train.scale, problem.train.scale)


def test_volumes_are_the_fitted_classes():
    fast, _, slow = ONLINE_RETAIL_DEMAND.classes
    for name, fit in (("fast", fast), ("slow", slow)):
        problem = CrossBorder(velocity=name, skus=400).build()
        home = np.asarray(problem.train.scale[:, 0] - problem.train.scale[:, 1:].sum(1))[:, 0]
        floor = 0.05 if name == "slow" else 0.0
        expected = np.maximum(
            np.random.default_rng(9).lognormal(fit.log_mean, fit.log_sd, 20000), floor
        )
        assert np.median(home) == pytest.approx(np.median(expected), rel=0.25)


def test_wholesale_takes_the_fitted_dispersion_and_week():
    fit = ONLINE_RETAIL_DEMAND
    consumers, wholesale = (
        CrossBorder(velocity="fast", skus=1, buyers=kind).build()
        for kind in ("consumers", "wholesale")
    )
    assert wholesale.train.demand.mixing[0] == pytest.approx(
        market.mixing_quantiles(fit.classes[0].dispersion), rel=1e-5
    )
    assert wholesale.train.demand.week[0] == pytest.approx(fit.week, rel=2e-3)
    assert consumers.train.demand.mixing[0] == pytest.approx(market.mixing_quantiles(2.0), rel=1e-5)
    week = consumers.train.demand.week[0]
    assert week[5] == week[6] > 0 and week.mean() == pytest.approx(1)
    assert consumers.train.demand.year[0] == pytest.approx(
        np.array(fit.year) / np.mean(fit.year), rel=1e-5
    )
    assert consumers.train.demand.shock_deviation[0] == pytest.approx(
        np.sqrt(np.log1p(fit.shock_variance))
    )


def test_freight_is_the_fitted_tariff(problem):
    params = jax.tree.map(lambda leaf: leaf[1], problem.train)
    value = float(params.holding[0, 0]) / 0.002
    week = 7 * params.scale[jnp.asarray(problem.env.topology.destinations)][:, 0]
    air, sea = (np.array(mode.tier_value_share) for mode in (SCMS_FREIGHT.air, SCMS_FREIGHT.ocean))
    share = np.asarray(freight(week, params) / (week * value))
    assert share[0] == 0  # in the supplier's price
    assert share[1:] == pytest.approx([week_freight(air), week_freight(sea)] * 2, rel=1e-4)
    assert share[1:3] == pytest.approx([0.0909, 0.0372], abs=2e-3)  # what the docstring says
    assert np.asarray(freight(week / 7, params) / (week / 7 * value))[1] == pytest.approx(
        air[0], rel=1e-4
    )
    light = CrossBorder(**SMALL, value_per_kg=2 * SCMS_FREIGHT.usd_value_per_kg).build()
    assert light.train.freight_rates == pytest.approx(
        np.asarray(problem.train.freight_rates) / 2, rel=1e-5
    )


def test_cost_is_a_constant_less_profit():
    """Profit, with stock left valued at purchase, plus our cost is the same under any policy."""
    preset = CrossBorder(**SMALL)
    problem = preset.build()
    env, params = problem.env, problem.train
    value = np.asarray(params.holding[:, 0, 0]) / preset.holding_rate
    price = np.asarray(params.shortage[:, :, 0]) + value[:, None]
    net = 1 - value[:, None] * (1 + np.array([0, *preset.duty])) / price
    assert np.all((net > 0.2 - 1e-6) & (net < 0.45))  # margin before freight by sea
    assert (price[:, 0] - value) / price[:, 0] == pytest.approx(net[:, 0])
    batched = batch_last(params)
    episodes = begin(env, jax.random.key(0), batched, 4, BATCH)
    _, trace = unroll_world(env, episodes, batched, 120, BATCH)
    ledgers = []
    for level in (1.0, 3.0):
        rule = make_rule("echelon_base_stock", env.topology)
        end, kept, _ = rollout(
            env,
            batched,
            lambda p, o, c, rule=rule, level=level: (rule.act(p, o, c), None),
            {"level": jnp.full((5, 1), level)},
            episodes.network,
            trace.exogenous,
            axis=BATCH,
            record=lambda o, outcome, note: (
                outcome.costs,
                outcome.sold[:, 0],
                outcome.ordered[0, 0],
            ),
        )
        costs, sold, bought = (np.asarray(x, float).sum(0) for x in kept)
        left = np.asarray(end.on_hand.sum((0, 1)) + end.pipeline.sum((0, 1, 2)), float)
        holding, transport, duty = (
            costs[COSTS.index(name)] for name in ("holding", "transport", "duty")
        )
        profit = (price.T * sold).sum(0) + value * (left - bought) - holding - transport - duty
        ledgers.append(profit + costs.sum(0))
    assert ledgers[0] == pytest.approx(ledgers[1], rel=1e-4)


def test_a_sensible_rule_serves_most_demand_and_each_mode_has_its_reason():
    simulation = simulator(CrossBorder(velocity="fast", skus=8).build(), batch=64, periods=320)

    def run(air, sea, top):
        return simulation(jnp.array([top, air, sea, air, sea])[:, None])

    both, sea, air = run(2.0, 1.55, 1.12), run(0.0, 1.65, 1.12), run(2.85, 0.0, 0.8)
    assert 0.9 < 1 - both.short.sum() / both.demand.sum() < 0.99
    assert both.reward.sum() > sea.reward.sum() and both.reward.sum() > air.reward.sum()
    share = both.costs.sum(1) / both.costs.sum()
    assert all(
        share[COSTS.index(part)] > 0.05 for part in ("holding", "shortage", "transport", "duty")
    )
    assert share[COSTS.index("transport")] < 0.4


def test_equal_weights_make_skus_alike():
    equal, dollars = (
        CrossBorder(**SMALL, equal_weights=flag).build().train for flag in (True, False)
    )
    value = np.asarray(dollars.holding[:, 0, 0]) / 0.002
    sales = value * np.asarray(dollars.scale[:, 0, 0])
    assert np.asarray(equal.weights) == pytest.approx(
        np.asarray(dollars.weights) * 100 / sales[:, None], rel=1e-4
    )


# How it is asked for


def test_no_file_is_opened(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError(f"opened {args[0]}")

    monkeypatch.setattr(builtins, "open", refuse)
    assert preset("cross_border")(**SMALL).build().instances == 4


def test_options_shape_the_network():
    problem = CrossBorder(
        **SMALL, integer_orders=False, minimum_order_days=0, promotions=0, max_lead_time=60
    ).build()
    assert not problem.env.topology.mechanisms & {"packs", "minimum_order"}
    assert problem.env.topology.slots == 59
    assert problem.train.pack_size is None and problem.train.minimum_order is None
    assert problem.train.review_period[0].tolist() == [7, 1, 7, 1, 7]
    whole = CrossBorder(**SMALL).build().train
    assert np.all(whole.minimum_order[:, 0] % whole.pack_size[:, 0] == 0)
    assert np.all(whole.minimum_order[:, 0, 0] >= 7 * whole.scale[:, 0, 0] - 1e-3)


@pytest.mark.parametrize(
    "options, names",
    [
        ({"velocity": "fats"}, "fast"),
        ({"buyers": "wholesalers"}, "wholesale"),
        ({"skus": 0}, "skus"),
        ({"dispersion": 0.0}, "dispersion"),
        ({"correlation": 1.2}, "correlation"),
        ({"disruption_probability": -0.1}, "disruption_probability"),
        ({"disruption_days": 0.5}, "disruption_days"),
        ({"disruption_delay": (5, 3)}, "disruption_delay"),
        ({"margin": (0.2, 1.0)}, "margin"),
        ({"margin": (0.2,)}, "margin"),
        ({"market_shares": (1.0, 0.0, 1.0)}, "market_shares"),
        ({"ocean_lead_times": (21.0, 44.0)}, "ocean_lead_times"),
        ({"air_lead_time": -1.0}, "air_lead_time"),
        ({"holding_rate": float("nan")}, "holding_rate"),
        ({"duty": (-0.1, 0.0)}, "duty"),
        ({"promotions": 30.0}, "promotions"),
        ({"uplift": (2.0, 1.0)}, "uplift"),
        ({"weights": {"holdin": 1.0}}, "holding"),
    ],
)
def test_impossible_options_are_refused(options, names):
    with pytest.raises(UserError, match=names):
        CrossBorder(**options).build()
