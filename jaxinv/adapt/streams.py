"""Streams of days on which a system is tried: worlds that change, the same noise in each, and the alarms that detectors give."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.adapt.belief import KINDS, Calm, announced
from jaxinv.adapt.drift import Cusum, alarms, arrival_residuals, calibrate
from jaxinv.demand.interventions import Intervention
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams, NetworkState
from jaxinv.envs.problem import Problem
from jaxinv.envs.scenarios import SCENARIOS, changed, intervene, open_to_change
from jaxinv.errors import UserError, unknown
from jaxinv.evaluation.rollout import BATCH, WorldTrace, batch_last, play_world

CALIBRATION = 12
"""Worlds without a change that detectors are calibrated on."""

WARM_UP = 28
"""First days of a stream, in which no alarm counts: orders that were under way before it have come by then."""

DETECTOR = Cusum(slack=1.0)
"""Days are not independent (shocks last), so a small slack needs a high threshold: half of it takes twice as long to notice."""


class Streams(NamedTuple):
    """C streams of T days for B instances."""

    network: NetworkState  # [..., B] stock at the start
    worlds: WorldTrace  # [C, T, ..., B]
    alarms: jax.Array  # [C, T, kinds] bool, of `belief.KINDS`
    instance: InstanceParams  # [..., B]
    calm: Calm


@dataclass(frozen=True)
class StreamConfig:
    """A stream in which one thing changes after another.

    Attributes:
      scenarios: of `jaxinv.envs.scenarios`, one a segment.
      segment: days of each; the change comes a third into it and is over with it.
    """

    scenarios: tuple[str, ...] = ("demand_step", "lead_time", "promotion_burst", "outage")
    segment: int = 84

    def __post_init__(self):
        for name in self.scenarios:
            if name not in SCENARIOS:
                raise unknown("scenario", name, SCENARIOS)
        if self.segment < 3:
            raise UserError(f"segment={self.segment} must be at least 3 days")


def one_after_another(problem: Problem, config: StreamConfig, lead_in: int, key: jax.Array) -> Streams:
    """One stream, C = 1, of `lead_in` quiet days and then a segment for each scenario."""
    days = lead_in + len(config.scenarios) * config.segment
    starts = [lead_in + number * config.segment + config.segment // 3 for number in range(len(config.scenarios))]
    network, worlds, instance = _play(problem, list(zip(config.scenarios, starts)), days, key)
    segment = np.maximum((np.arange(days) - lead_in) // config.segment, 0)
    world = _splice(problem.env, worlds, segment)
    alarms, calm = watch(problem, world, key)
    return Streams(network, world, alarms, instance, calm)


def side_by_side(problem: Problem, scenarios: tuple[str, ...], start: int, days: int, key: jax.Array) -> Streams:
    """A stream for each scenario, which comes on day `start` of all of them."""
    network, worlds, instance = _play(problem, [(name, start) for name in scenarios], days, key)
    alarms, calm = watch(problem, worlds, key)
    return Streams(network, worlds, alarms, instance, calm)


def changeable(problem: Problem, scenarios: tuple[str, ...], days: int = 0) -> Problem:
    """The problem on an environment that holds all the scenarios, with room for their lead times where it lacks it."""
    for room in (0, 7, 14, 28, 56):
        opened = open_to_change(problem, room)
        try:
            for name in scenarios:
                changed(opened, SCENARIOS[name].from_day(days))
            return opened
        except UserError as error:
            if "room=" not in str(error):
                raise
    raise UserError(f"{problem.env.name} has no room for the lead times of {', '.join(scenarios)}")


def watch(problem: Problem, worlds: WorldTrace, key: jax.Array) -> tuple[jax.Array, Calm]:
    """Days `[C, T, kinds]` on which a CUSUM of demand, of arrivals or of the calendar alarms, calibrated to one false alarm of
    all three in two years; and what the calm world lets expect.

    Detectors see demand, arrivals and announcements as they come, and none depends on what a policy does: so an alarm is the
    world's.
    """
    env, batch = problem.env, worlds.exogenous.demand.shape[BATCH]
    keys = jax.random.split(jax.random.fold_in(key, 1), CALIBRATION)
    quiet = intervene(problem.test, Intervention(), problem.instances)
    days = max(worlds.exogenous.demand.shape[1], 365)
    # one by one, for calls of one compiled program
    quiet_worlds = [play_world(env, key, batch_last(quiet), batch, days, BATCH)[1] for key in keys]
    calm = Calm.of(env, quiet_worlds)
    usual = jnp.stack([announced(env, world.signals).mean(-1) for world in quiet_worlds])  # [R, T, C]
    centre, width = usual.mean((0, 1)), usual.std((0, 1)) + 1e-6

    def residuals(world):
        exogenous, known = world.exogenous, announced(env, world.signals)
        away = ((known.mean(-1) - centre) / width) ** 2  # what is announced, a mean over instances, from what is usual
        nothing = jnp.zeros(len(known))
        found = [
            calm.index(exogenous.demand[:, :, 0], known) - 1.0,
            nothing if calm.hazard is None else _late(exogenous.lead_time, calm.hazard),
            away.mean(1) - 1.0 if away.shape[1] else nothing,
        ]
        return jnp.stack(found)[:, WARM_UP:]

    quiet_days = jnp.stack([residuals(world) for world in quiet_worlds])  # [R, kinds, T]
    spread = quiet_days.std((0, 2), keepdims=True) + 1e-6
    quiet_days = quiet_days / spread
    thresholds = [calibrate(DETECTOR, quiet_days[:, kind], most=1 / len(KINDS)) for kind in range(quiet_days.shape[1])]
    found = []
    for number in range(worlds.exogenous.demand.shape[0]):
        own = residuals(jax.tree.map(lambda leaf: leaf[number], worlds)) / spread[0]
        days_of = [alarms(DETECTOR, series, threshold) for series, threshold in zip(own, thresholds)]
        found.append(jnp.concatenate([jnp.zeros((WARM_UP, len(days_of)), bool), jnp.stack(days_of, 1)]))
    return jnp.stack(found), calm


def _play(problem, scenarios, days, key):
    """The worlds `[C, T, ..., B]` of (name, start) pairs, the first stock, and the instances as they are played."""
    played = []
    for name, start in scenarios:
        change = SCENARIOS[name].from_day(start + problem.env.history)
        instance = batch_last(intervene(problem.test, change, problem.instances))
        played.append(play_world(problem.env, key, instance, problem.instances, days, BATCH))
    network, _ = played[0]
    worlds = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[world for _, world in played])
    return network, worlds, batch_last(intervene(problem.test, Intervention(), problem.instances))


def _splice(env: InventoryNetwork, worlds: WorldTrace, segment: np.ndarray) -> WorldTrace:
    """One world `[1, T, ..., B]` that is on each day the one of number `segment[day]`."""
    days = np.arange(len(segment))

    def take(leaf, which, rows):
        return leaf[which, rows][None]

    exogenous = jax.tree.map(lambda leaf: take(leaf, segment, days), worlds.exogenous)
    rows = np.arange(worlds.signals.shape[1])
    # A row tells the demand of the day before and what is known of the day itself.
    told = take(worlds.signals, segment[np.clip(rows - env.history, 0, None)], rows)
    known = take(worlds.signals, segment[np.clip(rows - env.history + 1, 0, None)], rows)
    series = env.world.demand.locations * env.world.demand.products
    return WorldTrace(exogenous, jnp.concatenate([told[:, :, :series], known[:, :, series:]], 2))


def _late(lead_time, hazard):
    """Residuals `[T]` of arrivals on all edges of all instances, of an order placed every day: lead times `[T, E, B]`."""
    placed = jnp.ones(lead_time.shape[:2])
    each = jax.vmap(lambda times: arrival_residuals(times, placed, hazard), in_axes=-1)(lead_time)
    return each.sum(0) / jnp.sqrt(each.shape[0])
