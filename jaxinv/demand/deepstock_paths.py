"""The synthetic trajectories of DeepStock (seed 003), drawn as its published generators draw them.

Four laws of daily demand, each with the one number that tells a policy all there is to know ahead
of a day:

    1  independent: uniform on five whole numbers from a lowest that moves from day to day; the
       number of the review
    2  D_t = (phi D_{t-1} + (1 - phi) base + N(0, sigma))^+ with numbers of each trajectory's own;
       the demand of the day before
    3  the same with half as many trajectories to learn on
    4  N(100, sigma)^+ on every second day and nothing between, a sigma for each SKU; that sigma

Days are counted as in the published code, whose first order comes on day `REVIEW`: T days of
decisions are T + `REVIEW` days of demand. A generator's random numbers are NumPy's legacy stream
where the code used that, and PCG64 where it used that, consumed in the same order, so the
trajectories are the published ones.
"""

from typing import NamedTuple

import numpy as np

SETTINGS = (1, 2, 3, 4)
REVIEW, LEAD_TIME = 2, 1

SPREAD = 5
"""Setting 1: demand of a day is uniform on this many whole numbers from its lowest on."""

WARM_UP = 8
"""Settings 2 and 3: days that a trajectory has run before it is looked at."""

MEAN, LEAST_SIGMA, MOST_SIGMA = 100.0, 5.0, 20.0
"""Setting 4."""

LAW_SEED = 42
"""Of the numbers that make a law: the lowest demands of setting 1, the sigmas of setting 4."""


class Paths(NamedTuple):
    """Demand of S trajectories, and what is known of each day before it.

    Attributes:
      demand: `[S, days]` units.
      feature: `[S, days]`: number of the review, demand of the day before, or sigma.
      law: `[S, ...]` the numbers of each trajectory's own law: (phi, base, sigma) or sigma; none in
        setting 1.
    """

    demand: np.ndarray
    feature: np.ndarray
    law: np.ndarray

    def take(self, rows) -> "Paths":
        return Paths(*[part[rows] for part in self])


def generate(
    setting: int, count: int, days: int, seed: int = 42, sigmas: np.ndarray | None = None
) -> Paths:
    """The first `count` trajectories of a setting.

    Args:
      seed: of the trajectories; 42 gives the published ones.
      sigmas: `[count]`, in setting 4.
    """
    if setting == 1:
        return independent_paths(count, days, seed)
    if setting == 4:
        return every_second_day(sigmas, days, seed)
    return autoregressive_paths(count, days, seed)


def lowest_demand(days: int) -> np.ndarray:
    """The lowest demand of each day `[days]` in setting 1."""
    return np.clip(np.random.RandomState(LAW_SEED).normal(10, 4, size=days), 0, 100).astype(int)


def independent_paths(count: int, days: int, seed: int = 42) -> Paths:
    """Setting 1."""
    draw, low = np.random.default_rng(seed), lowest_demand(days)
    demand = np.array(
        [[draw.integers(least, least + SPREAD) for least in low] for _ in range(count)], float
    )
    feature = np.broadcast_to(np.arange(days) // REVIEW, demand.shape)
    return Paths(demand.reshape(count, days), feature, np.zeros((count, 0)))


def autoregressive_paths(count: int, days: int, seed: int = 42) -> Paths:
    """Settings 2 and 3."""
    draw = np.random.RandomState(seed)
    demand, law = np.empty((count, WARM_UP + days)), np.empty((count, 3))
    for path, numbers in zip(demand, law):
        phi, base, sigma = numbers[:] = (
            draw.uniform(0.3, 0.9),
            draw.uniform(5, 10),
            draw.uniform(2, 8),
        )
        path[0] = max(0.0, draw.normal(base, sigma))
        for day, innovation in enumerate(draw.normal(0, sigma, size=WARM_UP + days - 1), 1):
            path[day] = max(0.0, phi * path[day - 1] + (1 - phi) * base + innovation)
    return Paths(demand[:, WARM_UP:], demand[:, WARM_UP - 1 : -1], law)


def every_second_day(sigmas: np.ndarray, days: int, seed: int = 42) -> Paths:
    """Setting 4: demand comes on odd days from day 3 on."""
    draw, sigmas = np.random.default_rng(seed), np.asarray(sigmas, float)
    demand = np.zeros((len(sigmas), days))
    selling = demand[:, REVIEW + LEAD_TIME :: 2]
    selling[:] = np.maximum(MEAN + sigmas[:, None] * draw.standard_normal(selling.shape), 0.0)
    return Paths(demand, np.broadcast_to(sigmas[:, None], demand.shape), sigmas[:, None])


def sigmas(count: int) -> np.ndarray:
    """The sigmas `[count]` of the SKUs of setting 4."""
    return np.random.RandomState(LAW_SEED).uniform(LEAST_SIGMA, MOST_SIGMA, size=count)
