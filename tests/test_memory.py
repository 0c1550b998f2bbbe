"""Policies that remember and policies that draw: the one scan carries the memory, and every
decision has a key of its own.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxinv.adapt.counterfactual import counterfactual, log
from jaxinv.envs.presets import LostSales
from jaxinv.envs.scenarios import open_to_change
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.evaluation.rollout import BATCH, begin, play_world
from jaxinv.evaluation.simulate import simulate, simulate_in
from jaxinv.evaluation.trajectories import record
from jaxinv.policies.around import Varied
from jaxinv.policies.following import Forecast, Smoothing, following
from jaxinv.policies.rules import BaseStock, make_rule, rule_for

pytestmark = pytest.mark.usefixtures("quick_compilation")
KEY = jax.random.key(4)
NUMBERS = {
    "level": jnp.full((1, 1), 1.1),
    "smoothing": jnp.float32(0.3),
    "safety": jnp.float32(1.0),
}


@dataclass(frozen=True)
class Running(following(BaseStock, Smoothing)):
    """Base-stock on exponential smoothing that is remembered: sums of the weights, of demand and of
    its square.
    """

    def encode(self, params, signals, facts):
        return signals[:, :1, None]

    def start(self, params, signals, facts):
        nothing = (jnp.float32(0.0), jnp.zeros((1, 1)), jnp.zeros((1, 1)))
        return jax.lax.scan(
            lambda sums, row: (self.older(params, sums, row[:1, None]), None), nothing, signals
        )[0]

    def step(self, params, observation, demand, memory, key):
        weights, total, squares = memory = self.older(params, memory, demand)
        mean, facts = total / weights, observation.instance
        deviation = self.over_coverage(jnp.maximum(squares / weights - mean**2, 0.0)[None], facts)[
            0
        ]
        forecast = Forecast(mean * self.coverage(facts)[:, None], deviation, mean)
        return self.act(params, observation, forecast), memory

    def older(self, params, sums, demand):
        return tuple(
            (1 - params["smoothing"]) * old + new
            for old, new in zip(sums, (1.0, demand, demand**2))
        )


@dataclass(frozen=True)
class Forgetful(Running):
    def step(self, params, observation, demand, memory, key):
        order, (weights, *rest) = super().step(params, observation, demand, memory, key)
        return order, (weights[None], *rest)


def problem_of(history=48, **options):
    return LostSales(lead_time=3, demand="ar1", history=history, **options).build()


def running(problem, kind=Running):
    return kind(problem.env.topology, history=problem.env.history)


def test_smoothing_that_is_remembered_is_smoothing_over_the_window_that_holds_the_past():
    """0.7^48 is nothing in float32; 130 periods are three chunks, over which the memory is handed
    on.
    """
    problem = problem_of()
    options = dict(batch=6, periods=110, warm_up=20)
    window = simulate(
        problem.env,
        problem.first,
        rule_for(problem, "base_stock_smoothing"),
        NUMBERS,
        KEY,
        **options,
    )
    memory = simulate(problem.env, problem.first, running(problem), NUMBERS, KEY, **options)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=2e-4), memory, window
    )
    world = play_world(problem.env, KEY, problem.first, 6, 130)
    ahead = simulate_in(problem.env, problem.first, running(problem), NUMBERS, *world, warm_up=20)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5), memory, ahead
    )


def test_it_needs_no_window():
    """With a history of one period the forecast is still that of the whole past, by NumPy."""
    problem = problem_of(history=1, integer_orders=False)
    episodes = begin(problem.env, KEY, problem.first, 2)
    log = record(problem.env, problem.first, running(problem), NUMBERS, episodes, 20)[1]
    seen, on_hand = np.asarray(log.latest[:, 0], float), np.asarray(log.on_hand[:, 0, 0])
    for day in (0, 7, 19):
        weights = 0.7 ** np.arange(day + 1)[:, None]
        past = seen[day::-1]
        mean = (weights * past).sum(0) / weights.sum()
        variance = (weights * past**2).sum(0) / weights.sum() - mean**2
        target = 1.1 * (4 * mean + 2 * np.sqrt(np.maximum(variance, 0) + 1e-6))
        order = np.maximum(target - on_hand[day] - np.asarray(log.in_transit[day, 0, 0]), 0)
        np.testing.assert_allclose(log.orders[day, 0, 0], order, rtol=1e-3, atol=1e-2)


def test_decisions_one_by_one_are_those_of_the_scan():
    problem = problem_of(history=4)
    policy, env = running(problem), problem.env
    log = record(env, problem.first, policy, NUMBERS, begin(env, KEY, problem.first, 1), 5)[1]
    signals = log.signals[..., 0]
    memory = policy.start(NUMBERS, signals[:3], env.facts(problem.first))
    for day in range(5):
        observation = jax.tree.map(lambda leaf: leaf[day, ..., 0], log.observation)
        observation = observation.replace(
            instance=env.facts(problem.first), signals=signals[day : day + 4]
        )
        order, memory = policy.respond(NUMBERS, observation, memory)
        np.testing.assert_allclose(order, log.orders[day, ..., 0], rtol=1e-5)
    with pytest.raises(
        UserError, match="Running has a memory, which one observation does not hold; call respond"
    ):
        policy(NUMBERS, observation)


def test_a_memory_of_another_shape_is_named_before_anything_runs():
    problem = problem_of(history=4)
    message = (
        r"a policy's memory\[0\] is float32\[\] before a decision and float32\[1\] after it; let"
        r" start and step"
    )
    for play in (
        lambda policy: simulate(
            problem.env, problem.first, policy, NUMBERS, KEY, batch=2, periods=4
        ),
        lambda policy: measure(problem, Contestant("forgetful", policy, NUMBERS), KEY, 2),
    ):
        with pytest.raises(UserError, match=message):
            play(running(problem, Forgetful))


def test_a_log_goes_on_from_what_was_remembered():
    """A counterfactual that changes nothing is the log itself, whatever the policy had seen by
    then.
    """
    problem = open_to_change(problem_of(history=2))
    policy, options = running(problem), dict(batch=3, periods=6)
    logged = log(problem.env, problem.first, policy, NUMBERS, KEY, warm_up=5, **options)
    again = counterfactual(problem.env, logged, policy)
    jax.tree.map(np.testing.assert_array_equal, again, logged.replace(origin=None))
    episodes = begin(problem.env, KEY, problem.first, 3)
    whole = record(problem.env, problem.first, policy, NUMBERS, episodes, 11)[1]
    np.testing.assert_allclose(logged.orders, whole.orders[5:], rtol=1e-6)
    assert float(logged.memory[0][0]) > float(logged.origin.memory[0][0]) > 1


# --- what is drawn --------------------------------------------------------------------------------


def varied(problem, spread=0.2, rule="constant_order", inner=None):
    policy = inner or make_rule(rule, problem.env.topology)
    numbers = {name: jnp.ones(shape) for name, shape in policy.shapes().items()}
    return Varied(problem.env.topology, policy), {"policy": numbers, "spread": jnp.float32(spread)}


def test_every_decision_draws_anew_and_says_how_likely_it_was():
    problem = LostSales(lead_time=2, integer_orders=False).build()
    policy, numbers = varied(problem)
    episodes = begin(problem.env, KEY, problem.first, 64)
    plain = record(problem.env, problem.first, policy.policy, numbers["policy"], episodes, 50)[1]
    log = record(problem.env, problem.first, policy, numbers, episodes, 50)[1]
    strayed = np.log(np.asarray(log.orders / plain.orders, float))[:, 0, 0]
    assert np.unique(strayed.round(6)).size > 0.99 * strayed.size
    assert stats.kstest(strayed.ravel() / 0.2, "norm").pvalue > 0.01
    for axis in (0, 1):  # neither periods nor paths tell anything of the next
        one, other = np.moveaxis(strayed, axis, 0)[:-1], np.moveaxis(strayed, axis, 0)[1:]
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(one.size)
    np.testing.assert_allclose(log.log_prob, stats.norm(0, 0.2).logpdf(strayed), atol=1e-2)
    assert plain.log_prob is None
    np.testing.assert_array_equal(log.demand, plain.demand)  # nature draws what she draws
    asked = jnp.full_like(log.orders, jnp.nan).at[7].set(3.0)
    given = record(problem.env, problem.first, policy, numbers, episodes, 50, orders=asked)[1]
    assert (given.orders[7] == 3).all() and (given.log_prob[7] == 0).all()
    np.testing.assert_array_equal(given.orders[8:], log.orders[8:])


def test_what_is_drawn_is_the_same_however_a_world_is_played():
    problem = LostSales(lead_time=2).build()
    policy, numbers = varied(problem)
    one = simulate(
        problem.env, problem.first, policy, numbers, KEY, batch=8, periods=91, warm_up=10
    )
    world = play_world(problem.env, KEY, problem.first, 8, 101)
    other = simulate_in(problem.env, problem.first, policy, numbers, *world, KEY, warm_up=10)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5), one, other)
    with pytest.raises(UserError, match="Varied draws at random and needs a key; give one"):
        simulate_in(problem.env, problem.first, policy, numbers, *world)


def test_a_policy_that_draws_and_remembers_is_measured_as_any_other():
    problem = problem_of(history=4, horizon=20, ends=True)
    policy, _ = varied(problem, inner=running(problem))
    numbers = {"policy": NUMBERS, "spread": jnp.full((8,), 1e-6)}
    own = measure(problem, Contestant("own", running(problem), NUMBERS), KEY, 8)
    close = measure(
        problem, Contestant("close", policy, {**numbers, "spread": jnp.float32(1e-6)}), KEY, 8
    )
    far = measure(
        problem, Contestant("far", policy, {**numbers, "spread": jnp.float32(1.0)}), KEY, 8
    )
    np.testing.assert_allclose(own.reward, close.reward, rtol=1e-4)
    np.testing.assert_array_equal(own.demand, far.demand)
    assert far.reward.mean() < own.reward.mean()
    each = Contestant(
        "each",
        policy,
        {
            "policy": jax.tree.map(lambda leaf: jnp.stack([leaf] * 8, BATCH), NUMBERS),
            "spread": numbers["spread"],
        },
        BATCH,
    )
    np.testing.assert_allclose(measure(problem, each, KEY, 8).reward, close.reward, rtol=1e-5)
