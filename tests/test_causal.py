"""The causal store, its counterfactuals and true effects, and what logs alone can say of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxinv import reproduce
from jaxinv.adapt.counterfactual import (
    HORIZON,
    branch_futures,
    counterfactual,
    effects,
    log,
    order_instead,
    outcomes,
)
from jaxinv.adapt.effects import (
    doubly_robust,
    effect_at,
    naive_difference,
    over_logs,
    pehe,
    regression,
    t_learner,
)  # fmt: skip
from jaxinv.adapt.response import fit_from_log, fit_response, pairs, quadratic, respond, trajectory
from jaxinv.demand import quantiles
from jaxinv.demand.interventions import Intervention
from jaxinv.envs.registry import preset
from jaxinv.envs.scenarios import open_to_change
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH, batch_last, take_instances
from jaxinv.policies.rules import make_rule
from jaxinv.studies import causal, causal_drift

pytestmark = pytest.mark.usefixtures("quick_compilation")
DAYS, PATHS = 40, 200
PROMOTION = 3
"""Column of the signals of the causal store."""


@pytest.fixture(scope="module")
def store():
    problem = open_to_change(preset("causal_store")().build())
    return problem, make_rule("base_stock", problem.env.topology), {"level": jnp.full((1, 1), 1.3)}


@pytest.fixture(scope="module")
def logged(store):
    problem, policy, numbers = store
    return log(
        problem.env,
        problem.first,
        policy,
        numbers,
        jax.random.key(0),
        batch=PATHS,
        periods=DAYS,
        warm_up=20,
    )


def played(log):
    """What happened, without what it takes to play it again."""
    return log.replace(origin=None)


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


# The model


def test_negative_binomial_quantile_is_exact():
    uniform = (np.arange(3000) + 0.5) / 3000
    for mean, dispersion in ((0.4, 4.0), (6.0, 0.8), (25.0, 4.0)):
        ours = quantiles.negative_binomial(jnp.asarray(uniform, jnp.float32), mean, dispersion)
        np.testing.assert_array_equal(
            ours, stats.nbinom(dispersion, dispersion / (dispersion + mean)).ppf(uniform)
        )


def test_season_moves_promotions_and_demand(logged, store):
    numbers = store[0].first.demand
    signals, demand = np.asarray(logged.latest), np.asarray(logged.demand[:, 0, 0])
    sine, promotion = signals[:, 1], signals[:, PROMOTION]
    for low, high in ((-1.1, -0.9), (0.9, 1.1)):
        now = (low < sine) & (sine < high)
        likely = 1 / (
            1
            + np.exp(
                -(numbers.promotion_intercept + numbers.promotion_season * np.sign(low + high))
            )
        )
        assert promotion[now].mean() == pytest.approx(
            float(likely), abs=4.5 * 0.5 / np.sqrt(now.sum()) + 0.01
        )
    assert demand[sine > 0.5].mean() > 1.5 * demand[sine < -0.5].mean()
    assert demand.mean() == pytest.approx(5.0, rel=0.1)


# Counterfactuals


def test_doing_nothing_is_the_factual_bit_for_bit(logged, store):
    problem, policy, _ = store
    same(counterfactual(problem.env, logged, policy), played(logged))
    same(counterfactual(problem.env, logged, policy, Intervention()), played(logged))
    same(counterfactual(problem.env, logged, policy, orders=logged.orders), played(logged))


def test_demand_answers_monotonically(logged, store):
    problem, policy, _ = store

    def demand(**numbers):
        return np.asarray(
            counterfactual(problem.env, logged, policy, Intervention(**numbers)).demand
        )

    own = np.asarray(logged.demand)
    promoted, plain = demand(promotion=1.0), demand(promotion=0.0)
    assert (promoted >= own).all() and (own >= plain).all() and promoted.sum() > 1.2 * own.sum()
    running = np.asarray(logged.latest)[:, None, None, PROMOTION] > 0
    np.testing.assert_array_equal(
        own, np.where(running, promoted, plain)
    )  # nature does one of the two each day
    assert (demand(price=0.8) >= demand(price=1.2)).all()
    assert (demand(shock=0.5) >= demand(shock=-0.5)).all()


def test_the_past_stays_and_the_future_answers(logged, store):
    problem, policy, _ = store
    day = 15
    later = counterfactual(problem.env, logged, policy, Intervention(lead_time=4.0, start=day))
    ordered = counterfactual(problem.env, logged, policy, orders=order_instead(logged, day, 60.0))
    for played in (later, ordered):
        same(
            *(
                jax.tree.map(lambda leaf: leaf[: day + 1], (of.on_hand, of.demand))
                for of in (played, logged)
            )
        )
        same(played.demand, logged.demand)  # demand is no matter of stock
        assert (played.on_hand[day + 1 :] != logged.on_hand[day + 1 :]).any()
    assert (ordered.orders[day] == 60).all()
    assert later.short.sum() > logged.short.sum()


def test_true_effects_are_those_of_the_model(logged, store):
    """A promotion of one day multiplies that day's mean demand by exp(beta_p), and leaves the days
    after it alone.
    """
    problem, policy, numbers = store
    arguments = problem.env, problem.first, policy, numbers, logged.origin.start
    now = Intervention(stop=1.0)
    both = [effects(*arguments, now.replace(promotion=value))[0] for value in (1.0, 0.0)]
    direct = effects(*arguments, now.replace(promotion=1.0), now.replace(promotion=0.0))[0]
    np.testing.assert_allclose(both[0] - both[1], direct)
    copies = branch_futures(logged.origin.start, jax.random.key(5), 60)
    state = effects(
        problem.env,
        problem.first,
        policy,
        numbers,
        copies,
        now.replace(promotion=1.0),
        now.replace(promotion=0.0),
    )[0]
    state = np.asarray(state).reshape(PATHS, -1).mean(1)
    world = logged.origin.start.world[1][0]
    law = problem.first.demand
    spread = float(law.shock_deviation**2 * (1 - law.shock_persistence**2))
    plain = np.exp(
        law.intercept + law.amplitude * np.sin(2 * np.pi * world.day / law.period) + law.elasticity * np.log(world.price)
        + law.shock_persistence * world.shock + 0.5 * spread - 0.5 * law.shock_deviation**2
    )  # fmt: skip
    expected = np.asarray(plain) * np.expm1(float(law.promotion_effect))
    assert np.corrcoef(state, expected)[0, 1] > 0.85
    assert state.mean() == pytest.approx(expected.mean(), rel=0.05)


def test_counterfactuals_of_a_batch_of_instances():
    problem = open_to_change(preset("cross_border")(skus=3, history=7).build())
    policy = make_rule("dual_index", problem.env.topology)
    params = batch_last(take_instances(problem.test, jnp.arange(3)))
    numbers = {"level": jnp.ones((5, 1))}
    found = log(
        problem.env, params, policy, numbers, jax.random.key(1), batch=3, periods=10, axis=BATCH
    )
    same(counterfactual(problem.env, found, policy, axis=BATCH), played(found))
    more = counterfactual(problem.env, found, policy, Intervention(demand=2.0, start=4), axis=BATCH)
    same(more.demand[:4], found.demand[:4])
    assert more.demand[4:].sum() > 1.5 * found.demand[4:].sum()


def test_mistakes(logged, store):
    problem, policy, numbers = store
    plain = preset("lost_sales")().build()
    with pytest.raises(UserError, match="open_to_change"):
        log(plain.env, plain.first, policy, numbers, jax.random.key(0), batch=2, periods=2)
    opened = open_to_change(plain)
    poisson = log(opened.env, opened.first, policy, numbers, jax.random.key(0), batch=2, periods=2)
    with pytest.raises(UserError, match="lost_sales has no price that an intervention could move"):
        counterfactual(opened.env, poisson, policy, Intervention(price=0.9))
    with pytest.raises(UserError, match="unknown variable of an intervention 'weather'"):
        Intervention.of({"weather": 2.0})
    with pytest.raises(UserError, match="must have the shape"):
        counterfactual(problem.env, logged, policy, orders=logged.orders[1:])
    with pytest.raises(UserError, match="price=-1.0"):
        counterfactual(problem.env, logged, policy, Intervention(price=-1.0))
    for options, message in (
        (dict(mean=60.0), "cannot draw"),
        (dict(elasticity=1.0), "elasticity"),
        (dict(period=7.5), "whole days"),
        (dict(demand="poisson"), "has its own law"),
    ):
        with pytest.raises(UserError, match=message):
            preset("causal_store")(**options)


# Effects from logs


def confounded(logs, days, seed=0):
    """Treatment, outcome and covariate where x moves both; the effect is 1 + x, and 1 on
    average.
    """
    draw = np.random.default_rng(seed)
    x = draw.uniform(-1.7, 1.7, size=(logs, days))
    treatment = (draw.random((logs, days)) < 1 / (1 + np.exp(-1.2 * x))).astype(np.float32)
    outcome = 2 * x + x**2 + treatment * (1 + x) + draw.normal(size=x.shape)
    return (
        jnp.asarray(treatment),
        jnp.asarray(outcome, jnp.float32),
        jnp.asarray(x[..., None], jnp.float32),
    )


def test_weighting_covers_where_the_difference_does_not():
    treatment, outcome, x = confounded(200, 600)
    found = {
        of.__name__: over_logs(of, treatment, outcome[..., None], jnp.concatenate([x, x**2], -1))
        for of in (naive_difference, regression, doubly_robust)
    }
    coverage = {name: float(effect.covers(1.0).mean()) for name, effect in found.items()}
    assert coverage["doubly_robust"] >= 0.9 and coverage["naive_difference"] < 0.1
    assert abs(found["doubly_robust"].value.mean() - 1) < 0.02
    assert found["naive_difference"].value.mean() > 2


def test_right_where_either_model_is():
    """Doubly robust: a wrong outcome model with the right propensity, and the other way round, but
    not both wrong.
    """
    treatment, outcome, x = confounded(60, 1500, 1)
    nothing = jnp.zeros_like(x)
    right = jnp.concatenate([x, x**2], -1)

    def bias(for_outcome, for_treatment):
        found = jax.vmap(doubly_robust)(treatment, outcome, for_outcome, for_treatment)
        return abs(float(found.value.mean()) - 1)

    assert bias(nothing, x) < 0.05
    assert bias(right, nothing) < 0.05
    assert bias(nothing, nothing) > 1


def test_errors_allow_for_overlapping_outcomes():
    """Sums of seven days depend on each other; an error that takes them for independent is too
    small by far.
    """
    draw = np.random.default_rng(2)
    daily = draw.normal(size=(300, 406))
    week = np.stack([daily[:, ahead : ahead + 400] for ahead in range(7)]).sum(0)
    treatment = np.repeat(draw.integers(0, 2, (300, 20)), 20, 1)  # spells, so that errors add up
    found = over_logs(
        naive_difference,
        jnp.asarray(treatment, jnp.float32),
        jnp.asarray(week)[..., None],
        jnp.zeros((300, 400, 1)),
    )
    assert float(found.covers(0.0).mean()) > 0.85
    independent = week.std() * 2 / np.sqrt(400)
    assert found.error.mean() > 1.8 * independent


def test_an_effect_that_depends_on_the_state_is_found():
    treatment, outcome, x = confounded(20, 2000, 3)
    learned = jax.vmap(t_learner)(treatment, outcome, jnp.concatenate([x, x**2], -1))
    states = jnp.linspace(-1.5, 1.5, 31)[:, None]
    error = pehe(
        jax.vmap(effect_at, (0, None))(learned, jnp.concatenate([states, states**2], -1)),
        1 + states[:, 0],
    )
    assert float(error.mean()) < 0.35
    assert float(pehe(jnp.ones(31), 1 + states[:, 0])) > 0.8


# Equation 10, part 1


def test_a_linear_response_is_recovered():
    states, done, theta = (
        jax.random.normal(jax.random.key(seed), shape)
        for seed, shape in enumerate(((400, 2), (400, 3), (18, 4)))
    )
    changes = respond(theta, states, done)
    np.testing.assert_allclose(fit_response(states, done, changes), theta, atol=2e-2)
    np.testing.assert_array_equal(respond(theta, states, jnp.zeros_like(done)), 0)


def test_a_log_shows_what_pairs_show():
    key = jax.random.split(jax.random.key(7), 3)
    states = jax.random.normal(key[0], (8000, 2))
    treatment = (jax.random.uniform(key[1], (8000,)) < jax.nn.sigmoid(states[:, 0])).astype(
        jnp.float32
    )
    effect = 1 + states[:, :1] * states[:, 1:]
    following = (
        3 * states[:, :1] + treatment[:, None] * effect + 0.1 * jax.random.normal(key[2], (8000, 1))
    )
    learned = quadratic(states) @ fit_from_log(states, treatment, following)
    assert float(pehe(learned[:, 0], effect[:, 0])) < 0.05


def test_pairs_of_worlds(logged, store):
    problem, policy, numbers = store
    level = jnp.where(jnp.arange(PATHS) % 2 == 0, 1.5, 1.0)
    change = pairs(
        problem.env,
        problem.first,
        policy,
        numbers,
        logged.origin.start,
        Intervention(demand=level, stop=1.0),
        Intervention(),
    )
    assert change.shape == (PATHS, 2 * HORIZON)
    assert (change[1::2] == 0).all() and (change[::2, HORIZON] > 0).mean() > 0.5
    assert (change[:, HORIZON + 1 :] == 0).all()  # one day's demand
    assert (change[:, 0] <= 0).all()
    assert trajectory(logged).shape == (DAYS - HORIZON, PATHS, 2 * HORIZON)
    np.testing.assert_array_equal(outcomes(logged)[0], logged.demand.sum((0, 1, 2)))


# The study


@pytest.mark.slow
def test_the_study_as_a_command(capsys):
    with pytest.raises(UserError, match="did you mean 'drift'"):
        reproduce.main(["causal", "drifts"])
    reproduce.main(["causal", "replay", "--quick"])
    assert "3 of 3 claims hold" in capsys.readouterr().out


@pytest.mark.slow
def test_all_parts_of_the_study(monkeypatch):
    tiny = causal.CausalSize(
        logs=30, days=90, paths=512, states=8, copies=16, drift=causal_drift.DriftSize(12, 2)
    )
    monkeypatch.setattr(causal.CausalSize, "quick", classmethod(lambda cls: tiny))
    rows = list(causal.run(quick=True))
    assert {row["claim"].split(":")[0] for row in rows} == set(causal.PARTS)
    assert all({"claim", "paper", "ours", "interval", "holds"} <= row.keys() for row in rows)
