"""The medium clock: equation 9 by hand, what a student may be, and the gate that it passes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_online import BATCH_SIZE, DAYS, TINY, setting

from jaxinv.adapt import distill
from jaxinv.adapt.distill import (
    SHARE,
    Distiller,
    Lesson,
    StudentConfig,
    check_pair,
    example,
    teach_fleet,
    value_at,
)
from jaxinv.adapt.gate import MARGIN, non_inferiority
from jaxinv.adapt.online import FineTuner, OnlineConfig, Recent
from jaxinv.agents.ppo import LEVELS, PPO, nearest_level
from jaxinv.envs.presets import DualSourcing
from jaxinv.errors import UserError
from jaxinv.nets.actor_critic import Decision
from jaxinv.policies.decode import factor

SMALL = StudentConfig(features=4, hidden=(4,), learning_rate=0.02)


def test_equation_9_by_hand(quick_compilation, monkeypatch):
    """On two levels of value 0 and 1 for the teacher, and 1 and 3 for the student."""
    agent, params = setting()[1:3]
    distiller = Distiller.create(agent, SMALL)
    told, said = [
        Decision(mean=jnp.zeros(1), log_deviation=jnp.zeros(1), q=jnp.array([[0.0, 1.0]])),
        Decision(mean=jnp.zeros(1), log_deviation=jnp.zeros(1), q=jnp.array([[1.0, 3.0]])),
    ]
    monkeypatch.setattr(
        distill,
        "_decide",
        lambda policy, params, lesson: (told if policy is distiller.teacher else said, None),
    )
    read = iter(
        [jnp.float32(5.0), jnp.float32(2.0)]
    )  # of the teacher's values, the student's action and its own
    monkeypatch.setattr(distill, "value_at", lambda q, raw: next(read))
    numbers = {"temperature": jnp.float32(2.0), "kl_weight": jnp.float32(0.0)}
    for reading, expected in (
        (0.0, (np.exp(0) * 1 + np.exp(1 / (0.501 * 2)) * 4) / (1 + np.exp(1 / (0.501 * 2)))),
        (1.0, 9.0),
    ):
        read = iter([jnp.float32(5.0), jnp.float32(2.0)])
        own = distiller.replace(
            numbers=distiller.numbers | numbers | {"reading": jnp.float32(reading)}
        )
        loss, metrics = own.loss(None, None, None)
        assert float(loss) == pytest.approx(expected, rel=1e-3) == float(metrics["equation_9"])


@pytest.mark.slow
def test_a_fleet_of_students_learns_in_one_program(quick_compilation):
    problem, agent, params, network, world, instance = setting()
    distiller = Distiller.create(agent, SMALL)
    assert distiller.parameter_ratio(agent) <= SHARE
    tuner = FineTuner.create(agent, OnlineConfig(days=DAYS), BATCH_SIZE)
    recent = Recent.before(world, DAYS, DAYS, problem.env.history, None)
    lesson = Lesson.of(tuner.agent, params, network, recent, instance)
    keys = jax.random.split(jax.random.key(0), 4)
    numbers = {
        "reading": jnp.array([0.0, 0.0, 1.0, 1.0]),
        "temperature": jnp.array([0.5, 2.0, 1.0, 1.0]),
    }
    teach = jax.jit(
        lambda _: teach_fleet(
            distiller, numbers, keys, params, lambda key: lesson, example(agent), 6
        )[1]
    )
    first = jax.vmap(
        lambda key: distiller.loss(distiller.init(key, example(agent)).params, params, lesson)[1][
            "kl"
        ]
    )(keys)
    metrics = teach(0)
    assert metrics["kl"].shape == (4,) and np.all(metrics["kl"] < 0.5 * first)


def test_the_value_of_an_action_is_read_between_levels():
    q = jnp.asarray(np.random.default_rng(0).normal(size=(1, len(LEVELS))), jnp.float32)
    raw = jnp.array([jnp.log(jnp.expm1(0.6)) - jnp.log(jnp.expm1(1.0))])
    assert float(factor(raw)[0]) == pytest.approx(0.6, rel=1e-4)
    assert float(value_at(q, raw)[0]) == pytest.approx(
        float(0.6 * q[0, 2] + 0.4 * q[0, 3]), rel=1e-3
    )
    assert int(nearest_level(raw)[0]) == 2
    assert float(value_at(q, jnp.array([9.0]))[0]) == float(q[0, -1])


def test_the_gate_accepts_an_equal_student_and_refuses_a_worse_one():
    cost = jnp.asarray(np.random.default_rng(1).gamma(2.0, 5.0, 200), jnp.float32)
    equal = non_inferiority(cost, cost)
    assert (
        bool(equal.promoted)
        and float(equal.bound) == pytest.approx(0, abs=1e-6)
        and "promoted" in equal.reason()
    )
    worse = non_inferiority(1.02 * cost, cost)
    assert (
        not bool(worse.promoted)
        and float(worse.ratio) == pytest.approx(0.02, rel=1e-3)
        and "not promoted" in worse.reason()
    )
    noise = jnp.asarray(np.random.default_rng(2).normal(0, 10.0, 200), jnp.float32)
    uncertain = non_inferiority(
        cost + noise - noise.mean(), cost
    )  # as good on average, but who knows
    assert float(uncertain.ratio) < MARGIN and not bool(uncertain.promoted)
    assert not bool(non_inferiority(cost * jnp.nan, cost).promoted)


def test_a_student_that_is_too_large_is_refused():
    agent = setting()[1]
    with pytest.raises(UserError, match="of its teacher's parameters, at most 0.25 is a student"):
        Distiller.create(agent, dataclasses.replace(SMALL, features=8, hidden=(32,)))


def test_action_spaces_must_be_one():
    teacher = setting()[1].policy
    other = PPO.create(DualSourcing(history=7).build(), TINY).policy
    with pytest.raises(UserError, match="teacher and student differ in their action spaces"):
        check_pair(teacher, other)
    silent = PPO.create(setting()[0], dataclasses.replace(TINY, action_values=False)).policy
    with pytest.raises(UserError, match="the teacher values no actions"):
        check_pair(silent, silent)
    with pytest.raises(UserError, match="action_values are of order-up-to multipliers"):
        dataclasses.replace(TINY, form="both")
