"""Streams of days on which a system is tried: worlds that change, the same noise in each, and
detectors to hear it by.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.adapt.drift import DAYS
from jaxinv.adapt.watch import WARM_UP, Watch
from jaxinv.demand.interventions import Intervention
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams, NetworkState
from jaxinv.envs.problem import Problem
from jaxinv.envs.scenarios import SCENARIOS, intervene, open_to_change, under_intervention
from jaxinv.errors import UserError, unknown
from jaxinv.evaluation.rollout import BATCH, WorldTrace, batch_last, play_world
from jaxinv.keys import Role, key_of, keys_of

CALIBRATION = 12
"""Worlds without a change that detectors are calibrated on: with so few none of them may alarm."""


class Streams(NamedTuple):
    """C streams of T days for B instances."""

    network: NetworkState  # [..., B] stock at the start
    worlds: WorldTrace  # [C, T, ..., B]
    watch: Watch
    instance: InstanceParams  # [..., B]


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


def one_after_another(
    problem: Problem, config: StreamConfig, lead_in: int, key: jax.Array
) -> Streams:
    """One stream, C = 1, of `lead_in` quiet days and then a segment for each scenario."""
    days = lead_in + len(config.scenarios) * config.segment
    starts = [
        lead_in + number * config.segment + config.segment // 3
        for number in range(len(config.scenarios))
    ]
    network, worlds, instance = _play(problem, list(zip(config.scenarios, starts)), days, key)
    segment = np.maximum((np.arange(days) - lead_in) // config.segment, 0)
    world = _splice(problem.env, worlds, segment)
    return Streams(network, world, watched(problem, key), instance)


def scenario_streams(
    problem: Problem, scenarios: tuple[str, ...], start: int, days: int, key: jax.Array
) -> Streams:
    """A stream for each scenario, which comes on day `start` of all of them."""
    network, worlds, instance = _play(problem, [(name, start) for name in scenarios], days, key)
    return Streams(network, worlds, watched(problem, key), instance)


def changeable(problem: Problem, scenarios: tuple[str, ...], days: int = 0) -> Problem:
    """The problem on an environment that holds all the scenarios, with room for their lead times
    where it lacks it.
    """
    for room in (0, 7, 14, 28, 56):
        opened = open_to_change(problem, room)
        try:
            for name in scenarios:
                under_intervention(opened, SCENARIOS[name].from_day(days))
            return opened
        except UserError as error:
            if "room=" not in str(error):
                raise
    raise UserError(f"{problem.env.name} has no room for the lead times of {', '.join(scenarios)}")


def watched(problem: Problem, key: jax.Array) -> Watch:
    """Detectors for streams of the problem's test instances, calibrated on calm worlds."""
    keys = keys_of(key, Role.CALIBRATION, CALIBRATION)
    quiet = batch_last(intervene(problem.test, Intervention(), problem.instances))
    # one by one, for calls of one compiled program
    worlds = [
        play_world(problem.env, key, quiet, problem.instances, WARM_UP + DAYS, BATCH)[1]
        for key in keys
    ]
    return Watch.calibrated(problem.env, quiet, worlds)


def _play(problem, scenarios, days, key):
    """The worlds `[C, T, ..., B]` of (name, start) pairs, the first stock, and the instances as
    they are played.
    """
    played = []
    for name, start in scenarios:
        change = SCENARIOS[name].from_day(start + problem.env.history)
        instance = batch_last(intervene(problem.test, change, problem.instances))
        played.append(
            play_world(
                problem.env, key_of(key, Role.STREAM), instance, problem.instances, days, BATCH
            )
        )
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
