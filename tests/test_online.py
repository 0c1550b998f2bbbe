"""The clocks on a stream: the trust region and what is taken back, what is believed to have
changed, and retraining for it.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinv.adapt.belief import Belief, fit_course, later
from jaxinv.adapt.clock_steps import ClocksConfig
from jaxinv.adapt.clocks import ADAPTIVE, NEVER, Clocks, Switches
from jaxinv.adapt.distill import StudentConfig
from jaxinv.adapt.drift import delay, expected_lead_times, hazards
from jaxinv.adapt.online import (
    FineTuner,
    OnlineConfig,
    Recent,
    kl_divergence,
    signals_under_change,
    simulate_recent,
)
from jaxinv.adapt.streams import Streams, changeable, scenario_streams
from jaxinv.adapt.watch import DEMAND, KINDS, WARM_UP, Calm, Watch, announced
from jaxinv.agents.ppo import PPO, PPOConfig
from jaxinv.demand.exogenous import Exogenous
from jaxinv.envs.cross_border import CrossBorder
from jaxinv.envs.presets import LostSales
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH, instances_at, play_world, rollout
from jaxinv.nets.actor_critic import Decision

DAYS, BATCH_SIZE = 21, 8
STREAM = 41
TINY = PPOConfig(
    updates=4,
    envs=4,
    rollout=14,
    minibatches=2,
    features=8,
    heads=2,
    layers=1,
    hidden=(32,),
    forecast=3,
    action_values=True,
)


@cache
def setting():
    """A problem, an agent and its first parameters, and a stream of eight instances."""
    problem = LostSales(
        lead_time=2, demand="seasonal", history=7, horizon=42, integer_orders=False
    ).build()
    problem = changeable(problem, ("demand_step",))
    agent = PPO.create(problem, TINY)
    params = jax.jit(agent.init)(jax.random.key(0)).params
    instance, _ = instances_at(problem.train, np.zeros(BATCH_SIZE, int), apart=True)
    network, world = play_world(problem.env, jax.random.key(1), instance, BATCH_SIZE, STREAM, BATCH)
    return problem, agent, params, network, world, instance


@cache
def tuned(gradient, trust):
    """The states before and after three steps, and the KL divergence of each."""
    problem, agent, params, network, world, instance = setting()
    tuner = FineTuner.create(
        agent,
        OnlineConfig(days=DAYS, gradient=gradient, learning_rate=0.01, trust=trust),
        BATCH_SIZE,
    )
    recent = Recent.before(world, DAYS, DAYS, problem.env.history, None)
    step = jax.jit(lambda state, key: tuner.step(state, key, network, recent, instance))
    states, found = [tuner.init(params)], []
    for number in range(3):
        state, metrics = step(states[-1], jax.random.key(number))
        states.append(state)
        found.append(float(metrics["kl"]))
    return tuner, recent, states, found


def same(left, right):
    return all(
        jnp.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize("gradient", ["pathwise", "both"])
def test_no_step_leaves_the_trust_region(quick_compilation, gradient):
    tuner, recent, states, found = tuned(gradient, 0.01)
    *_, network, _, instance = setting()
    for before, after, kl in zip(states, states[1:], found):
        assert not same(before.params, after.params)
        # measured anew, on the states that the mode of the old policy comes through
        stock = jnp.moveaxis(
            simulate_recent(tuner.agent, before.params, network, recent, instance).stock[:-1],
            BATCH,
            0,
        )
        if gradient == "pathwise":
            pair = [
                tuner._decisions(state.params, stock, recent, instance) for state in (before, after)
            ]
            assert float(kl_divergence(*pair).mean()) == pytest.approx(kl, rel=1e-2, abs=1e-5)
        assert 0 < kl <= 0.01


def test_without_trust_nothing_moves(quick_compilation):
    _, _, states, found = tuned("pathwise", 0.0)
    assert found == [0.0] * 3 and same(states[0].params, states[-1].params)


def test_what_costs_more_is_taken_back_bit_for_bit(quick_compilation):
    tuner, recent, states, _ = tuned("pathwise", 0.01)
    *_, network, _, instance = setting()
    check = jax.jit(lambda state: tuner.check(state, network, recent, instance))
    broken = jax.tree.map(lambda leaf: leaf - 3.0, states[0].params)
    state, found = check(states[-1].replace(params=broken, acting=states[0].params))
    assert (
        found.ratio > 0
        and same(state.params, states[0].params)
        and same(state.acting, state.params)
    )
    state, found = check(states[-1])  # three steps down the gradient of this very noise
    assert (
        found.bound < 0
        and same(state.params, states[-1].params)
        and same(state.acting, state.params)
    )


def test_kl_of_normal_laws_by_hand():
    old = Decision(jnp.array([0.0, 1.0]), jnp.log(jnp.array([1.0, 0.5])))
    new = Decision(jnp.array([1.0, 1.0]), jnp.log(jnp.array([1.0, 1.0])))
    assert float(kl_divergence(old, new)) == pytest.approx(0.5 + np.log(2) + 0.125 - 0.5, rel=1e-5)
    assert float(kl_divergence(old, old)) == 0


def test_nothing_is_known_of_what_is_still_under_way():
    lead_time = jnp.full((DAYS + 1, 1, 1), 9.0)
    problem, *_, world, _ = setting()
    world = jax.tree.map(lambda leaf: leaf[..., :1], world)
    world = world.replace(exogenous=world.exogenous.replace(lead_time=lead_time))
    expected = jnp.maximum(4.0, jnp.arange(1.0, 10.0))[:, None]
    recent = Recent.before(world, jnp.int32(DAYS), DAYS, problem.env.history, expected)
    seen = np.asarray(recent.exogenous.lead_time)[:, 0, 0]
    np.testing.assert_array_equal(
        seen[-9:], [9, 9, 8, 7, 6, 5, 4, 4, 4]
    )  # age 9 has arrived; the others are expected
    assert np.all(seen[:-9] == 9)


@cache
def clocks():
    problem, agent, *_ = setting()
    online, student = (
        OnlineConfig(days=DAYS, learning_rate=0.01),
        StudentConfig(features=4, hidden=(4,)),
    )
    return Clocks.create(
        problem.env, agent, ClocksConfig(online, student, lessons=2, retraining=14), BATCH_SIZE
    )


@cache
def calm():
    problem, *_, instance = setting()
    return Calm.of(
        problem.env,
        [play_world(problem.env, jax.random.key(9), instance, BATCH_SIZE, 140, BATCH)[1]],
    )


def test_the_course_of_demand_is_flat_or_a_step_or_a_line():
    noise = 0.1 * np.random.default_rng(0).normal(size=(4, 63))
    rows = np.arange(63)
    courses = [
        np.ones(63),
        np.where(rows < 40, 1.0, 1.5),
        np.where(rows < 58, 1.0, 1.5),
        1.0 + 0.006 * rows,
    ]
    level, before, step, growth, error = jax.vmap(fit_course)(
        jnp.asarray(courses + noise, jnp.float32)
    )
    np.testing.assert_array_equal(step, [0, 40, 58, 0])
    np.testing.assert_allclose(level, [1, 1.5, 1.5, 1.378], rtol=0.1)
    np.testing.assert_allclose(before, [1, 1, 1, 1.378], rtol=0.1)
    np.testing.assert_allclose(growth, [0, 0, 0, 0.006 / 1.378], rtol=0.3)
    assert np.all(np.abs(level - np.array([1, 1.5, 1.5, 1.378])) < 4 * error * level)


@pytest.mark.parametrize("delays", [(0, 0), (3, 0), (4, 4), (-2, -2)])
def test_longer_lead_times_are_told_by_what_has_arrived_and_what_has_not(delays):
    draw = np.random.default_rng(1)
    hazard = hazards(jnp.asarray(draw.integers(5, 13, (4000, 2))), 30)
    age = np.arange(20, 0, -1)
    lead_time = draw.integers(5, 13, (20, 2, 32)) + np.array(delays)[None, :, None]
    seen = np.where(lead_time <= age[:, None, None], lead_time, age[:, None, None] + 1)
    found = later(hazard, jnp.asarray(seen), jnp.asarray(age), jnp.asarray(age > 0))
    np.testing.assert_array_equal(found, delays)


def test_nothing_is_believed_before_an_alarm_and_then_what_the_days_tell():
    problem, *_, world, _ = setting()
    doubled = (
        world.exogenous.demand[:DAYS, :, 0]
        * jnp.where(jnp.arange(DAYS) < 9, 1.0, 2.0)[:, None, None]
    )
    known = announced(problem.env, world.signals)[:DAYS]
    quiet = Belief.none(problem.env.topology.edges)
    no, demand = jnp.zeros(len(KINDS), bool), jnp.arange(len(KINDS)) == DEMAND

    def follow(belief, alarm, planned=False, day=99.0):
        return belief.follow(
            alarm, jnp.bool_(planned), jnp.float32(day), calm(), doubled, known, None
        )

    assert same(follow(quiet, no), quiet) and not quiet.differs(quiet)
    belief = follow(quiet, demand)
    assert float(belief.heard[0]) == 99 and float(belief.changed) == 100 - DAYS + 9
    assert (
        float(belief.factor) == pytest.approx(2, rel=0.15)
        and belief.differs(quiet)
        and not np.any(belief.delay)
    )
    planned = follow(quiet, no, planned=True)
    assert float(planned.level) == float(belief.level) and not np.any(np.isfinite(planned.heard))
    assert same(follow(planned, no, day=100.0), planned)  # until the next time


@pytest.mark.slow
def test_each_change_is_heard_by_its_own_detector(quick_compilation):
    names, start = ("none", "demand_step", "lead_time", "promotion_burst", "outage"), 63
    problem = CrossBorder(
        skus=16, history=14, ocean_lead_times=(7.0, 10.0), max_lead_time=24
    ).build()
    problem = changeable(problem, names)
    streams = scenario_streams(problem, names, start, 140, jax.random.key(1))
    worlds = [
        jax.tree.map(lambda leaf: leaf[number], streams.worlds) for number in range(len(names))
    ]
    follow = jax.jit(lambda world: streams.watch.follow(streams.instance, world)[1])
    alarms = np.stack([np.asarray(follow(world)) for world in worlds])
    first = (
        np.stack([delay(own.T, WARM_UP) for own in alarms]) + WARM_UP - start
    )  # [scenarios, kinds]
    assert not np.any(alarms[:, :WARM_UP]) and not np.any(alarms[0])
    demand, supplies, transfers, calendar = first.T
    assert 0 <= demand[1] <= 28 and np.all(np.isnan([supplies[1], transfers[1]]))
    assert 0 <= supplies[2] <= 28 and 0 <= transfers[2] <= 28 and np.isnan(demand[2])
    assert -28 <= calendar[3] <= 0  # a promotion is announced as many days ahead
    assert 0 <= supplies[4] <= 21 and np.isnan(transfers[4])


def test_a_calm_world_that_lacks_a_day_is_refused():
    problem, *_, world, instance = setting()
    lacking = world.replace(
        exogenous=world.exogenous.replace(demand=world.exogenous.demand.at[5].set(jnp.nan))
    )
    with pytest.raises(UserError, match="no value on day 5"):
        Watch.calibrated(problem.env, instance, [lacking])


def test_of_lead_times_nothing_is_seen_but_orders_that_were_placed(quick_compilation):
    """Lead times of days on which an edge accepts no order could be anything."""
    problem = changeable(
        CrossBorder(skus=2, history=7, ocean_lead_times=(7.0, 10.0), max_lead_time=24).build(),
        ("lead_time",),
    )
    streams = scenario_streams(problem, ("lead_time",), 40, 80, jax.random.key(1))
    world = jax.tree.map(lambda leaf: leaf[0], streams.worlds)
    other = world.exogenous.lead_time.at[:, ::2].add(
        jnp.where(jnp.arange(80) % 7, 5.0, 0.0)[:, None, None]
    )
    assert not np.array_equal(other, world.exogenous.lead_time)
    found = [
        streams.watch.follow(
            streams.instance, world.replace(exogenous=world.exogenous.replace(lead_time=own))
        )
        for own in (world.exogenous.lead_time, other)
    ]
    assert same(*found)


def test_a_policy_is_retrained_in_worlds_under_what_is_believed():
    problem, agent, *_ = setting()
    worlds = agent.worlds
    belief = Belief.none(problem.env.topology.edges)

    def demand(belief):
        params = belief.believed(worlds.params, worlds.instances, jax.random.key(0), calm(), 14, 2)
        params, _ = instances_at(params, np.zeros(64, int), apart=True)
        return play_world(problem.env, jax.random.key(3), params, 64, 14, BATCH)[1].exogenous.demand

    plain = play_world(problem.env, jax.random.key(3), instances_at(
        problem.train, np.zeros(64, int), apart=True)[0], 64, 14, BATCH)[1].exogenous.demand  # fmt: skip
    assert jnp.array_equal(demand(belief), plain)
    assert float(
        demand(belief.replace(level=jnp.float32(2.0))).mean() / plain.mean()
    ) == pytest.approx(2, rel=0.1)


@cache
def tripled():
    """The world of the stream, in which demand is three times as high from a day on."""
    *_, world, _ = setting()
    factor = jnp.where(jnp.arange(STREAM) < DAYS - 4, 1.0, 3.0)[:, None, None, None]
    return world.replace(exogenous=world.exogenous.replace(demand=world.exogenous.demand * factor))


class OnFirstDay:
    """Alarms on the first day on which it may."""

    def init(self):
        return jnp.float32(0.0)

    def step(self, days, residual):
        return days + 1.0, (days == 0) * 1.0


@cache
def lived():
    """Frozen, adaptive and blindly retrained runs with an alarm on day `WARM_UP`: the states at the
    end and the diary.
    """
    problem, agent, params, network, _, instance = setting()
    world = tripled()
    threshold = jnp.where(jnp.arange(len(KINDS)) == DEMAND, 0.5, jnp.inf)
    watch = Watch(
        OnFirstDay(),
        problem.env,
        calm(),
        jnp.zeros(0),
        jnp.ones(0),
        jnp.zeros(len(KINDS)),
        jnp.ones(len(KINDS)),
        threshold,
    )
    streams = Streams(network, jax.tree.map(lambda leaf: leaf[None], world), watch, instance)
    runs = NEVER, ADAPTIVE, Switches(long=1.0, blind=1.0)
    switches = jax.tree.map(lambda *leaves: jnp.asarray(leaves, jnp.float32)[None], *runs)
    many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (1, len(runs), *leaf.shape)), params)
    return jax.jit(lambda *given: clocks().run(*given))(many, switches, jax.random.key(2), streams)


@pytest.mark.slow
def test_with_all_clocks_off_a_run_is_the_plain_policy(quick_compilation):
    problem, agent, params, network, _, instance = setting()
    world, (state, diary) = tripled(), lived()
    assert same(jax.tree.map(lambda leaf: leaf[0, 0], state.online.acting), params)
    assert not np.any(diary.kl[0, 0]) and not np.any(diary.promoted[0, 0])
    _, reward, _ = rollout(
        problem.env,
        instance,
        lambda params, observation, _: (agent.policy(params, observation), None),
        params,
        network,
        world.exogenous,
        axis=BATCH,
        signals=world.signals,
    )
    np.testing.assert_allclose(diary.cost[0, 0], -reward[DAYS:], rtol=2e-4, atol=1e-4)


def test_an_adaptive_run_moves_within_its_trust_and_is_retrained_after_an_alarm(quick_compilation):
    state, diary = lived()
    assert np.any(diary.kl[0, 1] > 0) and np.all(diary.kl[0, 1] <= 0.02)
    heard = WARM_UP - DAYS
    assert np.all(diary.alarms[0, :, heard, 0]) and diary.alarms[0].sum() == 3 * (STREAM - WARM_UP)
    assert np.any(diary.kl[0, 1, :heard] > 0) and not np.any(
        diary.kl[0, 1, heard:]
    )  # the short clock rests
    assert float(state.started[0, 1]) == WARM_UP and not np.isfinite(state.started[0, 0])
    assert int(state.learner.update[0, 1]) == 2 * 13 and float(
        state.belief.level[0, 1]
    ) == pytest.approx(3, rel=0.3)
    assert float(state.made_for.level[0, 1]) > 1.5 and float(state.made_for.level[0, 0]) == 1
    assert float(state.belief.level[0, 0]) == 1


def test_a_blind_run_is_retrained_on_the_same_days_in_the_calm_world(quick_compilation):
    state, diary = lived()
    assert (
        state.started[0, 2] == state.started[0, 1]
        and state.learner.update[0, 2] == state.learner.update[0, 1]
    )
    assert float(state.found.level[0, 2]) > 1.5 and same(
        jax.tree.map(lambda leaf: leaf[0, 2], state.belief),
        jax.tree.map(lambda leaf: leaf[0, 0], state.belief),
    )
    assert not np.any(diary.kl[0, 2])


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: OnlineConfig(gradient="pathwse"),
            "unknown gradient 'pathwse'; did you mean 'pathwise'",
        ),
        (lambda: OnlineConfig(trust=-1.0), "trust=-1.0 must be at least 0"),
        (lambda: ClocksConfig(OnlineConfig(days=60)), "days=60 must be whole weeks"),
        (lambda: ClocksConfig(retraining=0), "retraining=0 must be at least 1"),
        (lambda: ClocksConfig(retraining_rate=-1.0), "retraining_rate=-1.0 must be at least 0"),
    ],
)
def test_impossible_settings_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_expected_lead_times_are_means_of_those_still_to_come():
    times = np.random.default_rng(0).integers(2, 9, (500, 1))
    found = np.asarray(expected_lead_times(hazards(jnp.asarray(times), 12)))[:, 0]
    for age in range(8):
        assert found[age] == pytest.approx(times[times > age].mean(), rel=1e-4)
    np.testing.assert_array_equal(
        found[8:], [9, 10, 11, 12, 13]
    )  # none took so long: tomorrow, then


def test_a_replay_moves_days_before_each_change_behind_it():
    """Demand and lead times change on days of their own."""
    demand, lead_time = jnp.ones((6, 1, 1, 2)), 5.0 * jnp.ones((6, 1, 2))
    recent = Recent(Exogenous(demand, lead_time), jnp.ones((9, 1, 2)))
    moved = recent.under(
        jnp.float32(2.0), jnp.array([3.0, 4.0]), jnp.float32(4.0), jnp.array([[2.0]]), 6
    )
    np.testing.assert_array_equal(moved.exogenous.demand[:, 0, 0], [[3, 4]] * 2 + [[1, 1]] * 4)
    np.testing.assert_array_equal(
        moved.exogenous.lead_time[:, 0, 0], [6, 6, 6, 6, 5, 5]
    )  # 7 is more than there can be
    np.testing.assert_array_equal(moved.signals[:, 0, 1], [4] * 5 + [1] * 4)


def test_demand_before_a_change_is_seen_as_if_it_had_come_after():
    signals = jnp.ones((5, 2, 1))
    np.testing.assert_array_equal(
        signals_under_change(signals, 2, 3.0, 1)[..., 0], [[3, 1]] * 3 + [[1, 1]] * 2
    )
    assert same(signals_under_change(signals, jnp.inf, 1.0, 1), signals)
