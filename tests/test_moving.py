"""Demand whose mean moves: trend, season and shock, in stores and in networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxinv.demand.laws import Law
from jaxinv.demand.moving import moving_mean
from jaxinv.envs.registry import preset
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import begin, unroll_world

pytestmark = pytest.mark.usefixtures("quick_compilation")
MOVES = "trend=0.05, amplitude=0.3, period=6, shock=2, shock_start=4, shock_stop=9"


def mean_of(period):
    """The formula, in plain Python."""
    shock = 2.0 if 4 <= period < 9 else 1.0
    return 5.0 * (1 + 0.05 * period) * (1 + 0.3 * np.sin(2 * np.pi * period / 6)) * shock


def demand_of(problem, periods, batch):
    """Demand of the periods that decisions are made for `[T, D, B]`."""
    episodes = begin(problem.env, jax.random.key(1), problem.first, batch)
    return np.asarray(
        unroll_world(problem.env, episodes, problem.first, periods)[1].exogenous.demand
    )[:, :, 0]


@pytest.mark.parametrize(
    "law, variance",
    [("moving_poisson(5, {})", 0.0), ("moving_negative_binomial(5, 2.5, {})", 1 / 2.5)],
)
def test_moments_are_those_of_the_law_in_every_period(law, variance):
    """With a history of 3 the first decision is still in period 0: trend, season and shock count
    from it.
    """
    demand = demand_of(
        preset("lost_sales")(demand=law.format(MOVES), history=3).build(), 12, 20_000
    )[:, 0]
    means = np.array([mean_of(period) for period in range(12)])
    spread = np.sqrt(means + variance * means**2)
    assert np.all(np.abs(demand.mean(1) - means) < 5 * spread / np.sqrt(20_000))
    np.testing.assert_allclose(demand.std(1), spread, rtol=0.03)
    assert (demand == demand.round()).all()


def test_the_mixture_is_the_negative_binomial():
    demand = demand_of(
        preset("lost_sales")(demand="moving_negative_binomial(5, 2)").build(), 1, 100_000
    ).ravel()
    units = np.arange(25)
    exact = stats.nbinom(2, 2 / 7).pmf(units)
    shares = np.bincount(demand.astype(int), minlength=400)[:25] / demand.size
    assert np.all(np.abs(shares - exact) < 5 * np.sqrt(exact * (1 - exact) / demand.size) + 2e-3)


def test_trend_and_shock_with_normal_noise():
    trend = demand_of(preset("backlog")(demand="trend(50, 2, 0.02)").build(), 10, 4000)[:, 0]
    np.testing.assert_allclose(trend.mean(1), 50 * (1 + 0.02 * np.arange(10)), rtol=0.005)
    shock = demand_of(preset("backlog")(demand="shock(50, 2, 0.5, 3, 6)").build(), 9, 4000)[:, 0]
    np.testing.assert_allclose(shock.mean(1), [50] * 3 + [25] * 3 + [50] * 3, rtol=0.005)
    np.testing.assert_allclose(shock.std(1), 2.0, rtol=0.05)


def test_a_mean_does_not_fall_below_nothing():
    _, params = Law.parse("moving_poisson(5, trend=-0.5, amplitude=3)").process()
    means = [float(moving_mean(jnp.float32(period), params)[0, 0]) for period in range(8)]
    assert min(means) == 0 and all(mean >= 0 for mean in means)


@pytest.mark.parametrize(
    "name, options",
    [
        ("dual_sourcing", dict(demand="moving_negative_binomial(2, 1, trend=0.1)")),
        ("serial", dict(demand="moving_poisson(2, trend=0.1)")),
        ("perishable", dict(demand="moving_poisson(2, trend=0.1)")),
        ("one_warehouse_many_stores", dict(stores=2, demand=("moving_poisson(2, trend=0.1)",))),
    ],
)
def test_networks_take_all_laws(name, options):
    problem = preset(name)(**options).build()
    demand = demand_of(problem, 11, 4000)
    np.testing.assert_allclose(
        demand.mean(-1),
        np.broadcast_to((2 + 0.2 * np.arange(11))[:, None], demand.shape[:2]),
        rtol=0.1,
    )
    assert float(problem.first.scale[-1, 0]) == pytest.approx(2.0)


def test_stores_may_follow_laws_of_different_kinds():
    laws = (
        "poisson(3)",
        "trend(20, 1, 0.1)",
        "ar1(8, 1, 0.5)",
        "seasonal(10, 0.5, 0.2, 4)",
        "seasonal(10, 0.5, 0.2, 4)",
    )
    problem = preset("one_warehouse_many_stores")(stores=5, demand=laws, history=2).build()
    demand = demand_of(problem, 8, 3000)
    np.testing.assert_allclose(demand.mean((0, 2)), [3, 20 * 1.35, 8, 10, 10], rtol=0.03)
    correlation = np.corrcoef(demand[5])
    assert np.abs(correlation[:3, :3] - np.eye(3)).max() < 0.1
    assert correlation[3, 4] > 0.5  # seasons turn together
    told = [signal.name for signal in problem.env.signals[5:]]
    assert told == ["season sine 3", "season cosine 3", "season sine 4", "season cosine 4"]


def test_stores_alike_keep_their_table():
    """Laws on whole units that stay put are one table, as they were."""
    problem = preset("one_warehouse_many_stores")(
        stores=2, demand=("poisson(3)", "uniform(0, 4)")
    ).build()
    assert type(problem.env.world.demand).__name__ == "Tabulated"


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "moving_poisson()",
            r"must be written moving_poisson\(mean, amplitude=0, .*trend=0, shock=1",
        ),
        ("moving_poisson(trend=1, 5)", "must be written"),
        ("moving_poisson(5, weather=1)", "must be written"),
        ("moving_poisson(5, mean=5)", "must be written"),
        (
            "shock(5, 1, 2)",
            r"must be written shock\(mean, deviation, shock, shock_start, shock_stop\)",
        ),
        ("shock(5, 1, -1, 3, 6)", "shock=-1 must be at least 0"),
        ("shock(5, 1, 2, 6, 3)", "shock_stop=3 no earlier than shock_start=6"),
        ("trends(5, 1, 0.1)", "unknown demand law 'trends'; did you mean 'trend'"),
    ],
)
def test_a_law_that_cannot_be_is_named(text, message):
    with pytest.raises(UserError, match=message):
        preset("serial")(demand=text).build()


def test_numbers_besides_those_of_the_law_are_refused():
    with pytest.raises(
        UserError,
        match=r"demand=poisson\(3\) has its own numbers, and mean=7.0 would have no effect",
    ):
        preset("lost_sales")(demand="poisson(3)", mean=7.0).build()
