"""Where every random stream comes from: the role that it plays, by name.

A key of jax is a point from which others are derived by numbers, and the i-th of
`jax.random.split(key, n)` is the very key `jax.random.fold_in(key, i)`. So two users of one key
that each count from 0 meet: the training of the second seed was played on the noise that judged it.
Here a role is first folded in by a tag of its own, a number too large to be counted up to, and only
then what is counted: seeds, groups, days. Roles nest: a study folds its own, and what it calls
folds theirs below it.
"""

import zlib
from enum import Enum

import jax
import jax.numpy as jnp
import numpy as np


class Role(Enum):
    """What randomness is used for. The value tells a reader; the name makes the tag, so a new name
    is a new stream.
    """

    TRAINING = "a training: its first weights, its worlds and its exploration; by run"
    VALIDATION = "the worlds that a training chooses its policy on"
    EVIDENCE = "the held-out worlds that policies are judged on; by group of paths"
    TUNING = "the worlds and the search of a rule's numbers; by group of instances"
    FORECAST = "the worlds that a forecast is fitted to and judged on"
    SERVICE = "the worlds on which a wanted service level is sought"
    CHOICE = "figures that settings are chosen on, which are no evidence"
    STUDY = "worlds and draws of a study's own"
    ORACLE = "a training that knows the change to come"
    STREAM = "the days that a policy lives through"
    CALIBRATION = "calm worlds that detectors are calibrated on"
    FALSE_ALARMS = "calm worlds in which alarms are counted; by world"
    CLOCKS = "what the three clocks draw; by day"
    BELIEF = "when a change that is believed in comes to training worlds"
    RETRAINING = "a training for a change that was heard; by the day it began"
    TEACHING = "the lessons of students; by lesson"
    SEARCH_TRIALS = "the trainings of drawn hyper-parameters; by trial"
    DECISIONS = "what a policy draws in its decisions; by period and path"
    MOMENTS = "worlds that typical demand is measured in"
    BOOTSTRAP = "the resamples of an interval"
    SERIES = "which series of a panel are taken"
    CENSORED = "demand in periods without stock"
    TRIALS = "hyper-parameters that are drawn"
    CHECK = "samples that something is checked on"
    LOG = "the worlds and decisions of a log; by part"
    FUTURES = "demand to come, that orders are judged on; by instances"

    @property
    def tag(self) -> int:
        """The number that is folded in, at least 2^31."""
        return zlib.crc32(self.name.encode()) | 1 << 31


def root(seed: int) -> jax.Array:
    """The key that all roles of a seed are folded into; nothing is drawn from itself."""
    return jax.random.key(seed)


def key_of(key: jax.Array, role: Role, *indices: jax.Array | int) -> jax.Array:
    """The key of a role below another, and of what is counted in it.

    Args:
      key: a root, or a key of another role.
      indices: numbers below 2^31, such as a run or a day, one below the other. Whoever counts does
        not draw from the key without the count.
    """
    key = jax.random.fold_in(key, jnp.uint32(role.tag))
    for index in indices:
        key = jax.random.fold_in(key, index)
    return key


def keys_of(key: jax.Array, role: Role, count: int) -> jax.Array:
    """The keys `[count]` of a role by number: `key_of(key, role, 0)`, `key_of(key, role, 1)`, …"""
    return jax.vmap(lambda number: key_of(key, role, number))(jnp.arange(count))


def generator(role: Role, *numbers: int) -> np.random.Generator:
    """NumPy's generator of a role, by the numbers that tell its streams apart, such as a seed."""
    return np.random.default_rng(np.random.SeedSequence(numbers, spawn_key=(role.tag,)))


def instance_generator(seed: int) -> np.random.Generator:
    """The generator of numbers that belong to a world itself, such as prices of SKUs or a fitted
    constant: NumPy's plain stream of the seed, which published generators use, and which no role
    can meet."""
    return np.random.default_rng(seed)
