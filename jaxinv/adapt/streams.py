"""Streams of days on which a system is tried: worlds that change, the same noise in each, and the alarms that detectors give."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.adapt.drift import (
    Cusum,
    alarms,
    arrival_residuals,
    calibrate,
    expectation,
    expected_from,
    expected_lead_times,
    forecast_residuals,
    hazards,
)
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
"""First days of a stream in which the detectors' forecasts settle and no alarm counts."""


class Streams(NamedTuple):
    """C streams of T days for B instances."""

    network: NetworkState  # [..., B] stock at the start
    worlds: WorldTrace  # [C, T, ..., B]
    alarms: jax.Array  # [C, T] bool
    instance: InstanceParams  # [..., B]
    expected: jax.Array | None = None  # [longest + 1, E] lead time of an order by its age, in the world as it was; None: fixed


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
    alarms, expected = watch(problem, world, instance, key)
    return Streams(network, world, alarms, instance, expected)


def side_by_side(problem: Problem, scenarios: tuple[str, ...], start: int, days: int, key: jax.Array) -> Streams:
    """A stream for each scenario, which comes on day `start` of all of them."""
    network, worlds, instance = _play(problem, [(name, start) for name in scenarios], days, key)
    alarms, expected = watch(problem, worlds, instance, key)
    return Streams(network, worlds, alarms, instance, expected)


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


def watch(
    problem: Problem, worlds: WorldTrace, instance: InstanceParams, key: jax.Array
) -> tuple[jax.Array, jax.Array | None]:
    """Days `[C, T]` on which a CUSUM of demand or of arrivals alarms, each calibrated to one false alarm in two years, and the
    lead times that the calm world lets expect (`expected_lead_times`), None where they are fixed.

    Detectors see demand and arrivals as they come, and neither depends on what a policy does: so an alarm is the world's.
    """
    env, batch = problem.env, worlds.exogenous.demand.shape[BATCH]
    keys = jax.random.split(jax.random.fold_in(key, 1), CALIBRATION)
    quiet = intervene(problem.test, Intervention(), problem.instances)
    days = max(worlds.exogenous.demand.shape[1], 365)
    # one by one, for calls of one compiled program
    calm = [play_world(env, key, batch_last(quiet), batch, days, BATCH)[1] for key in keys]
    coefficients = expectation(calm[0].exogenous.demand[:, :, 0], _known(env, calm[0]))
    rates = None if calm[0].exogenous.lead_time is None else hazards(
        jnp.concatenate([jnp.moveaxis(world.exogenous.lead_time, -1, 1) for world in calm]), env.topology.max_lead_time
    )  # fmt: skip

    def residuals(world):
        demand, expected = world.exogenous.demand[:, :, 0], expected_from(coefficients, _known(env, world))
        found = [forecast_residuals(_series(demand), _series(expected))]
        if rates is not None:
            placed = jnp.ones(world.exogenous.lead_time.shape[:2])
            one = jax.vmap(lambda times: arrival_residuals(times, placed, rates), in_axes=-1)(world.exogenous.lead_time)
            found.append(one.sum(0) / jnp.sqrt(one.shape[0]))
        return jnp.stack(found)[:, WARM_UP:]

    detector = Cusum()
    calm = jnp.stack([residuals(world) for world in calm])  # [R, kinds, T]
    spread = calm.std((0, 2), keepdims=True)
    calm = calm / spread
    thresholds = [calibrate(detector, calm[:, kind], most=0.5) for kind in range(calm.shape[1])]
    found = []
    for number in range(worlds.exogenous.demand.shape[0]):
        own = residuals(jax.tree.map(lambda leaf: leaf[number], worlds)) / spread[0]
        days_of = [alarms(detector, series, threshold) for series, threshold in zip(own, thresholds)]
        found.append(jnp.concatenate([jnp.zeros(WARM_UP, bool), jnp.any(jnp.stack(days_of), 0)]))
    return jnp.stack(found), None if rates is None else expected_lead_times(rates)


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


def _known(env, world) -> jax.Array:
    """What was known of each day before it `[T, C, B]`."""
    series = env.world.demand.locations * env.world.demand.products
    return world.signals[env.history - 1 :, series:]


def _series(array) -> jax.Array:
    """`[T, D, B]` to `[T, D * B]`."""
    return array.reshape(array.shape[0], -1)
