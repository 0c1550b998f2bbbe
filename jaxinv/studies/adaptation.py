"""The adaptive module on markets that change (seed 000, section 3.4): against a frozen policy,
monthly retraining and an oracle.

A policy is trained in the world as it was and sent into every scenario of the suite, on the same
noise: frozen, with its three clocks, retrained after the same alarms in the unchanged worlds
(what more training alone is worth), and retrained every 30 days. Beside them goes an oracle: the
same policy retrained for as long as an alarm has it retrained, but before the stream begins and in
the very scenario. All of that `REPLICATES` times, from the training and the calibration of the
detectors on, and intervals are of replicates and SKUs together. Costs are those of all days from
the end of the history on, `QUIET` of them before the change, because promotions are announced and
prepared for, less what has been gained in goods. Then a fleet of students is taught and judged.
Seed 000 claims all of this and prints no number for it.

Every SKU has noise of its own, and nothing but the scenario is common to all.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.adapt.clock_steps import ClocksConfig
from jaxinv.adapt.clocks import ADAPTIVE, NEVER, Clocks, Diary, Switches
from jaxinv.adapt.distill import (
    SHARE,
    Lesson,
    StudentConfig,
    decision_seconds,
    example,
    teach_fleet,
)
from jaxinv.adapt.drift import DAYS, delay
from jaxinv.adapt.gate import MARGIN, non_inferiority
from jaxinv.adapt.online import OnlineConfig, fresh
from jaxinv.adapt.streams import changeable, scenario_streams
from jaxinv.adapt.watch import KINDS, WARM_UP
from jaxinv.agents.loop import Trainer, select_run
from jaxinv.agents.ppo import PPO, PPOConfig
from jaxinv.envs.cross_border import CrossBorder
from jaxinv.envs.problem import Problem
from jaxinv.envs.scenarios import SCENARIOS
from jaxinv.errors import unknown
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.evaluation.statistics import Estimate, mean_of, relative_difference
from jaxinv.keys import Role, generator, key_of, keys_of, root
from jaxinv.studies.rows import row

QUIET = 28
"""Days of the stream before the change; promotions are announced as many days ahead."""

JUDGED = 4
"""Years of every SKU on which a student is judged."""

RUNS = {
    "never": NEVER,
    "adaptive": ADAPTIVE,
    "more training": Switches(long=1.0, blind=1.0),
    "monthly": Switches(every=30.0),
    "oracle": NEVER,
}

REPLICATES = 4
"""Trainings, each with a stream and detectors of its own."""

RESERVED = 71
"""The seed of the study: nothing was chosen on its noise."""


def run(quick: bool = False, parts: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`).

    Args:
      parts: scenarios, `false_alarms`, `student`; all of them where not given.
    """
    known = (*SCENARIOS, "false_alarms", "student")
    for name in parts:
        if name not in known:
            raise unknown("part of the study", name, known)
    parts = tuple(parts) or known
    setting = Setting.of(quick)
    keys = keys_of(root(RESERVED), Role.STUDY, setting.replicates)
    trained = [setting.trained(key) for key in keys]
    if names := tuple(name for name in parts if name in SCENARIOS):
        yield from _scenarios(setting, keys, trained, names)
    if "false_alarms" in parts:
        yield _false_alarms(setting, keys, trained)
    if "student" in parts:
        yield from _student_rows(setting, keys[0], trained[0])


class Setting(NamedTuple):
    """What is trained and sent into streams.

    Attributes:
      days: of a stream after its history. quiet_worlds: of each replicate, for false alarms.
        lessons: of a fleet of students.
    """

    problem: Problem
    agent: PPO
    updates: int
    clocks: Clocks
    days: int
    replicates: int
    quiet_worlds: int
    lessons: int

    @classmethod
    def of(cls, quick: bool) -> "Setting":
        if quick:
            instance = CrossBorder(
                skus=8, history=14, ocean_lead_times=(7.0, 10.0), max_lead_time=24
            )
            learner = PPOConfig(
                updates=10, envs=8, rollout=28, minibatches=2, features=16, heads=2, layers=1,
                hidden=(32, 32),
                action_values=True,
            )  # fmt: skip
            config = ClocksConfig(
                OnlineConfig(days=21),
                StudentConfig(features=8, hidden=(8,)),
                lessons=1,
                retraining=14,
            )
            sizes = dict(days=56, replicates=2, quiet_worlds=1, lessons=2)
        else:
            instance = CrossBorder(skus=64)
            learner = PPOConfig(updates=400, epochs=1, envs=64, rollout=63, action_values=True)
            config = ClocksConfig(student=StudentConfig())
            sizes = dict(days=QUIET + 180, replicates=REPLICATES, quiet_worlds=5, lessons=120)
        problem = changeable(instance.build(), tuple(SCENARIOS))
        agent = PPO.create(problem, learner)
        clocks = Clocks.create(problem.env, agent, config, problem.instances)
        return cls(problem, agent, learner.updates, clocks, **sizes)

    @property
    def history(self) -> int:
        return self.clocks.config.online.days

    def trained(self, key: jax.Array) -> Any:
        """Parameters of the policy in the world as it was."""
        return self._further(self.agent, key_of(key, Role.TRAINING), None, self.updates)

    def oracle(self, key: jax.Array, name: str, params: Any) -> Any:
        """Those retrained in training worlds where the scenario comes: in force throughout if it
        lasts, else on a day of its own for each instance, so that all of its stages are met."""
        agent, change = self.clocks.agent, SCENARIOS[name]
        worlds = agent.worlds
        begin = np.zeros(self.problem.instances, np.float32)
        if np.isfinite(change.stop):
            last = self.clocks.env.history + worlds.rollouts * worlds.periods
            begin += generator(Role.ORACLE, RESERVED).integers(
                -int(change.stop) // 2, last, self.problem.instances
            )
        change = jax.tree.map(
            lambda number: jnp.asarray(number + 0 * begin, jnp.float32), change.from_day(begin)
        )
        agent = agent.replace(
            worlds=worlds.replace(params=self.problem.train.replace(intervention=change))
        )
        return self._further(
            agent, key_of(key, Role.ORACLE), params, self.clocks.config.retraining_updates
        )

    def _further(self, agent: PPO, key: jax.Array, params: Any, updates: int) -> Any:
        trainer = Trainer(agent)
        state = trainer.init(key)
        if params is not None:
            state = state.replace(learner=state.learner.replace(params=params))
        return trainer.advance(state, updates)[0].params


def _scenarios(
    setting: Setting, keys: jax.Array, trained: list, names: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """The rows of some scenarios; those of one do not depend on which others there are."""
    clocks, shape = setting.clocks, (1, len(RUNS))
    switches = jax.tree.map(
        lambda *leaves: jnp.asarray(leaves, jnp.float32).reshape(shape), *RUNS.values()
    )

    @jax.jit
    def live(params, key, streams):
        state, diary = clocks.run(params, switches, key, streams)
        diary = jax.tree.map(lambda leaf: leaf[0], diary)
        network = jax.tree.map(lambda leaf: leaf[0], state.network)
        goods = jax.vmap(lambda network: clocks.agent.worth(network, streams.instance))(network)
        return diary, diary.cost.mean(1) - goods / setting.days  # they all began with the same

    for name in names:
        diaries, costs = [], []
        for key, params in zip(keys, trained):
            start = setting.history + QUIET
            streams = scenario_streams(
                setting.problem,
                (name,),
                start,
                setting.history + setting.days,
                key_of(key, Role.STREAM),
            )
            own = [setting.oracle(key, name, params) if run == "oracle" else params for run in RUNS]
            many = jax.tree.map(lambda *leaves: jnp.stack(leaves)[None], *own)
            diary, cost = jax.device_get(live(many, key_of(key, Role.CLOCKS), streams))
            diaries.append(jax.tree.map(lambda leaf: leaf[list(RUNS).index("adaptive")], diary))
            costs.append(cost)
        cost = dict(zip(RUNS, np.stack(costs, 1)))  # each [replicates, B]
        yield from _cost_rows(name, cost)
        yield from _diary_rows(name, jax.tree.map(lambda *leaves: np.stack(leaves), *diaries))


def _cost_rows(name: str, cost: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    against = {
        other: relative_difference(cost["adaptive"], cost[other]).times(100)
        for other in ("never", "more training")
    }
    if name == "none":
        holds = against["never"].high <= 100 * MARGIN
        yield row(
            "none: adaptive is at most 1% dearer than frozen, %", against["never"], holds=holds
        )
    else:
        yield row(
            f"{name}: adaptive is cheaper than frozen, %",
            against["never"],
            holds=against["never"].high < 0,
        )
        claim = f"{name}: adaptive is cheaper than as much more training, %"
        yield row(claim, against["more training"], holds=against["more training"].high < 0)
    more = relative_difference(cost["more training"], cost["never"]).times(100)
    yield row(f"{name}: more training alone against frozen, %", more)
    for other in ("never", "adaptive", "monthly"):
        yield row(
            f"{name}: regret of {other} to the oracle, %",
            relative_difference(cost[other], cost["oracle"]).times(100),
        )


def _diary_rows(name: str, diary: Diary) -> Iterator[dict[str, Any]]:
    """Of the adaptive runs `[replicates, T, ...]`."""
    if name == "none":
        false = diary.alarms.any(-1).sum(1)
        yield row(
            "none: false alarms in the stream",
            false.mean(),
            holds=false.mean() <= 1,
            note=f"in each: {false.tolist()}",
        )
    else:
        waited = np.stack(
            [delay(alarms.T, QUIET) for alarms in diary.alarms]
        )  # [replicates, kinds]
        heard = {kind: own[np.isfinite(own)] for kind, own in zip(KINDS, waited.T)}
        by = [
            f"{kind} in {', '.join(f'{days:.0f}' for days in own)}"
            for kind, own in heard.items()
            if len(own)
        ]
        first = np.min(np.where(np.isnan(waited), np.inf, waited), 1)
        range_of = f"the first and the last of {len(first)}"
        ours = Estimate(float(np.median(first)), float(first.min()), float(first.max()), range_of)
        yield row(
            f"{name}: days to the alarm, median (all)",
            ours,
            holds=np.isfinite(first).all(),
            note="; ".join(by) or "no alarm came",
        )
    bounds = diary.bound[np.isfinite(diary.bound)]
    note = (
        f"in {len(diary.kl)} runs what was fine-tuned was adopted {int(diary.adopted.sum())} times"
        f" and taken back {int(diary.rolled_back.sum())} times, what was retrained adopted"
        f" {int(diary.retrained.sum())} times; {100 * np.mean(bounds <= MARGIN):.0f}% of the weekly"
        " students passed the gate"
    )
    yield row(f"{name}: largest KL of a step of the short clock", float(diary.kl.max()), note=note)


def _false_alarms(setting: Setting, keys: jax.Array, trained: list) -> dict[str, Any]:
    """How often detectors alarm in fresh worlds without a change, with each policy's own orders."""
    heard = jax.jit(setting.clocks.alarms)
    counts = []
    for key, params in zip(keys, trained):
        for own in keys_of(key, Role.FALSE_ALARMS, setting.quiet_worlds):
            streams = scenario_streams(setting.problem, ("none",), 0, DAYS + WARM_UP, own)
            counts.append(int(np.asarray(heard(params, streams)).any(-1).sum()))
    rate = mean_of(np.array(counts, float))
    note = f"{sum(counts)} in {len(counts)} worlds, detectors calibrated anew for each"
    return row(
        f"none: false alarms in {DAYS} days on fresh noise, at most 1",
        rate,
        holds=rate.high <= 1,
        note=note,
    )


def _student_rows(setting: Setting, key: jax.Array, params: Any) -> Iterator[dict[str, Any]]:
    """A fleet of students, two of each reading and temperature, taught in one program; the best on
    some noise is judged on other noise, as any policy is evaluated."""
    agent, distiller, problem = setting.clocks.agent, setting.clocks.distiller, setting.problem
    numbers = {
        "reading": jnp.repeat(jnp.array([0.0, 0.0, 1.0]), 2),
        "temperature": jnp.repeat(jnp.array([0.5, 2.0, 1.0]), 2),
        "learning_rate": jnp.float32(1e-2),
    }
    teaching = keys_of(key, Role.TEACHING, 6)

    def lesson_of(key):
        return Lesson.of(agent, params, *fresh(agent, key))

    def teach(keys):
        return teach_fleet(
            distiller, numbers, keys, params, lesson_of, example(agent), setting.lessons
        )[0].params

    fleet = jax.jit(teach)(teaching)

    def costs(policy, params, keys):
        played = [measure(problem, Contestant("", policy, params), own) for own in keys]
        return -np.concatenate([totals.reward for totals in played])

    choosing, judging = keys_of(key, Role.CHOICE, JUDGED), keys_of(key, Role.STUDY, JUDGED)
    students = [select_run(fleet, number) for number in range(6)]
    chosen = min(students, key=lambda own: costs(distiller.student, own, choosing).mean())
    verdict = non_inferiority(
        jnp.asarray(costs(distiller.student, chosen, judging)),
        jnp.asarray(costs(agent.policy, params, judging)),
    )
    dearer = Estimate(float(verdict.ratio), np.nan, float(verdict.bound)).times(100)
    yield row(
        "student: at most 1% dearer, %", dearer, holds=verdict.promoted, note=verdict.reason()
    )
    ratio = distiller.parameter_ratio(agent)
    yield row("student: share of the teacher's parameters", ratio, holds=ratio <= SHARE)
    for batch in (1, 1024):
        times = [
            decision_seconds(policy, own, example(agent), batch)
            for policy, own in ((agent.policy, params), (distiller.student, chosen))
        ]
        note = f"{1e6 * times[0]:.0f} and {1e6 * times[1]:.0f} microseconds"
        faster = times[0] / times[1]
        yield row(
            f"student: times faster, {batch} decisions at once", faster, holds=faster > 1, note=note
        )
