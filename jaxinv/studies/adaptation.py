"""The adaptive module on markets that change (seed 000, section 3.4): against a frozen policy, monthly retraining and an oracle.

One policy is trained in the world as it was and sent into every scenario of the suite, on the same noise: frozen, with its three
clocks, and retrained every 30 days. Beside them goes an oracle: the same policy retrained for as long as an alarm has it
retrained, but before the stream begins and in the very scenario. Costs are those of the days after the change. Then a fleet of
students is taught and judged. Seed 000 claims all of this and prints no number for
it, so `paper` is what it says in words: 0, the line between better and worse.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.adapt.clocks import ADAPTIVE, NEVER, Clocks, ClocksConfig, Switches
from jaxinv.adapt.distill import SHARE, Lesson, StudentConfig, decision_seconds, example, teach_fleet
from jaxinv.adapt.drift import DAYS, delay
from jaxinv.adapt.gate import MARGIN, judge
from jaxinv.adapt.online import OnlineConfig, fresh, in_fresh_worlds
from jaxinv.adapt.streams import changeable, side_by_side
from jaxinv.adapt.watch import KINDS, WARM_UP
from jaxinv.agents.loop import Trainer, select_run
from jaxinv.agents.ppo import PPO, PPOConfig
from jaxinv.envs.cross_border import CrossBorder
from jaxinv.envs.problem import Problem
from jaxinv.envs.scenarios import SCENARIOS
from jaxinv.errors import unknown
from jaxinv.evaluation.statistics import Estimate, mean_of, relative_difference
from jaxinv.studies.rows import row

QUIET = 28
"""Days of the stream before the change."""

RUNS = {"never": NEVER, "adaptive": ADAPTIVE, "monthly": Switches(every=30.0), "oracle": NEVER}


def run(quick: bool = False, parts: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`).

    Args:
      parts: scenarios; all of them where not given.
    """
    for name in parts:
        if name not in SCENARIOS:
            raise unknown("scenario", name, SCENARIOS)
    names = tuple(parts) or tuple(SCENARIOS)
    instance, learner, online, days = _sizes(quick)
    problem = changeable(instance.build(), names)
    agent = PPO.create(problem, learner)
    trainer = Trainer(agent)
    params = trainer.advance(trainer.init(jax.random.key(0)), learner.updates)[0].params
    student = StudentConfig(features=8, hidden=(8,)) if quick else StudentConfig()
    clocks = Clocks.create(problem.env, agent, ClocksConfig(online, student, lessons=1 if quick else 5), problem.instances)
    start = online.days + QUIET
    streams = side_by_side(problem, names, start, online.days + days, jax.random.key(1))
    shape = (len(names), len(RUNS))
    switches = jax.tree.map(lambda *leaves: jnp.broadcast_to(jnp.asarray(leaves, jnp.float32), shape), *RUNS.values())
    own = [[oracle(clocks, problem, name, params) if run == "oracle" else params for run in RUNS] for name in names]
    many = jax.tree.map(lambda *leaves: jnp.stack(leaves).reshape(*shape, *leaves[0].shape), *sum(own, []))
    _, diary = jax.device_get(jax.jit(lambda *given: clocks.run(*given))(many, switches, jax.random.key(2), streams))
    for number, name in enumerate(names):
        cost = dict(zip(RUNS, np.asarray(diary.cost)[number, :, QUIET:].mean(1)))
        adaptive = list(RUNS).index("adaptive")
        yield from _scenario_rows(name, cost, np.asarray(diary.alarms[number, adaptive]))
        taken_back, bounds = diary.rolled_back[number, adaptive].sum(), diary.bound[number, adaptive]
        passed = np.mean(bounds[np.isfinite(bounds)] <= MARGIN)
        adopted = int(diary.adopted[number, adaptive].sum())
        retrained = int(diary.retrained[number, adaptive].sum())
        note = (
            f"what was fine-tuned was adopted {adopted} times and taken back {int(taken_back)} times, what was retrained adopted "
            f"{retrained} times; {100 * passed:.0f}% of the weekly students passed the gate"
        )
        largest = float(diary.kl[number, adaptive].max())
        yield row(f"{name}: largest KL of a step", largest, holds=largest <= online.trust, note=note)
    yield _false_alarm_row(clocks, params, problem, 2 if quick else 10)
    yield from _student_rows(clocks, params, 2 if quick else 120)


def oracle(clocks: Clocks, problem: Problem, name: str, params: Any) -> Any:
    """The policy retrained in training worlds where the scenario comes: in force throughout if it lasts, else on a day of its
    own for each instance, so that all of its stages are met."""
    agent, config, change = clocks.agent, clocks.config, SCENARIOS[name]
    worlds = agent.worlds
    begin = np.zeros(problem.instances, np.float32)
    if np.isfinite(change.stop):
        last = clocks.env.history + worlds.rollouts * worlds.periods
        begin += np.random.default_rng(0).integers(-int(change.stop) // 2, last, problem.instances)
    change = jax.tree.map(lambda number: jnp.asarray(number + 0 * begin, jnp.float32), change.from_day(begin))
    agent = agent.replace(worlds=worlds.replace(params=problem.train.replace(intervention=change)))
    trainer = Trainer(agent)
    state = trainer.init(jax.random.key(4))
    state = state.replace(learner=state.learner.replace(params=params))
    return trainer.advance(state, config.retraining_updates)[0].params


def _sizes(quick: bool):
    """The catalogue, the training, the short clock and the days after its history."""
    if not quick:
        learner = PPOConfig(updates=160, envs=64, rollout=63, action_values=True)
        return CrossBorder(skus=256), learner, OnlineConfig(), 180
    learner = PPOConfig(
        updates=10, envs=8, rollout=28, minibatches=2, features=16, heads=2, layers=1, hidden=(32, 32), action_values=True
    )
    instance = CrossBorder(skus=8, history=14, ocean_lead_times=(7.0, 10.0), max_lead_time=24)
    return instance, learner, OnlineConfig(days=21), 56


def _scenario_rows(name, cost, alarms) -> Iterator[dict[str, Any]]:
    against = relative_difference(cost["adaptive"], cost["never"])
    if name == "none":
        yield row("none: adaptive is at most 1% dearer than frozen, %", against.times(100), holds=against.high <= MARGIN)
    else:
        yield row(f"{name}: adaptive is cheaper than frozen, %", against.times(100), holds=against.high < 0)
    for other in ("never", "adaptive", "monthly"):
        regret = relative_difference(cost[other], cost["oracle"]).times(100)
        yield row(f"{name}: regret of {other} to the oracle, %", regret)
    if name == "none":
        false = alarms.any(1).sum()
        yield row("none: false alarms in the stream", false, holds=false <= 1)
    else:
        waited = delay(alarms.T, QUIET)
        by = [f"{kind} after {days:.0f}" for kind, days in zip(KINDS, waited) if np.isfinite(days)]
        note = ", ".join(by) or "no alarm came"
        waited = np.min(waited[np.isfinite(waited)], initial=np.inf)
        yield row(f"{name}: days to the alarm", waited, holds=np.isfinite(waited), note=note)


def _false_alarm_row(clocks: Clocks, params, problem: Problem, count: int) -> dict[str, Any]:
    """How often the detectors alarm in fresh worlds without a change."""
    streams = [side_by_side(problem, ("none",), 0, DAYS + WARM_UP, key) for key in jax.random.split(jax.random.key(6), count)]
    heard = jax.jit(lambda streams: clocks.alarms(params, streams))
    alarms = np.array([np.asarray(heard(stream)).any(-1).sum() for stream in streams], float)
    rate = mean_of(alarms)
    note = f"{int(alarms.sum())} in {count} worlds, detectors calibrated anew for each"
    return row(f"none: false alarms in {DAYS} days on fresh noise, at most 1", rate, holds=rate.value <= 1, note=note)


def _student_rows(clocks: Clocks, params, lessons: int) -> Iterator[dict[str, Any]]:
    """A fleet of students, two of each reading and temperature, taught in one program; the best on some fresh worlds is judged
    on others."""
    agent, distiller = clocks.agent, clocks.distiller
    numbers = {
        "reading": jnp.repeat(jnp.array([0.0, 0.0, 1.0]), 2),
        "temperature": jnp.repeat(jnp.array([0.5, 2.0, 1.0]), 2),
        "learning_rate": jnp.float32(1e-2),
    }
    keys = jax.random.split(jax.random.key(3), 6)

    def lesson_of(key):
        return Lesson.of(agent, params, *fresh(agent, key))

    fleet, _ = jax.jit(lambda keys: teach_fleet(distiller, numbers, keys, params, lesson_of, example(agent), lessons))(keys)

    choosing, judging = jax.random.split(jax.random.key(5))
    students = [(distiller.student, select_run(fleet.params, number)) for number in range(len(keys))]
    best = int(np.argmin([cost.mean() for cost in in_fresh_worlds(clocks.tuner, agent, students, choosing)]))
    chosen = students[best][1]
    verdict = judge(*in_fresh_worlds(clocks.tuner, agent, [students[best], (agent.policy, params)], judging))
    dearer = Estimate(float(verdict.ratio), np.nan, float(verdict.bound)).times(100)
    yield row("student: at most 1% dearer, %", dearer, holds=verdict.promoted, note=verdict.reason())
    ratio = distiller.parameter_ratio(agent)
    yield row("student: share of the teacher's parameters", ratio, holds=ratio <= SHARE)
    for batch in (1, 1024):
        times = [decision_seconds(policy, own, example(agent), batch) for policy, own in ((agent.policy, params), (distiller.student, chosen))]
        note = f"{1e6 * times[0]:.0f} and {1e6 * times[1]:.0f} microseconds"
        faster = times[0] / times[1]
        yield row(f"student: times faster, {batch} decisions at once", faster, holds=faster > 1, note=note)
