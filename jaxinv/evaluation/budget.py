"""How a budget of simulated periods is spent on a tuning, and on which instances."""

import math
from dataclasses import dataclass

import jax
import numpy as np

from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH
from jaxinv.policies.rule import Rule

METHODS = {
    # share of the budget for search, gradient; the rest re-evaluates the finalists
    "search": (0.7, 0.0),
    "gradient": (0.1, 0.6),
    "both": (0.35, 0.35),
}

ELITE = 6
"""Best points ever seen that the search draws around."""

FINALISTS = 4
"""How many of the elite are compared at the end, besides their mean and what the gradient found."""

SHARED_EPISODES = 600
"""Episodes of each instance that tuning a shared rule should be able to play."""

INSTANCES = 1024
"""Most instances in one program: a shared rule is tuned on as many, rules of their own in groups as
large.
"""

SPREAD_AGAIN = 2
"""Generations before a gradient without a search: points all over the ranges, and once more where
these had to be widened.
"""

WIDTH = 256
"""Paths that are played at once where there are fewer instances than that."""


@dataclass(frozen=True)
class TuningBudget:
    """How a budget is spent. An episode is a path of `warm_up + periods`; they are counted by
    instance.
    """

    warm_up: int
    periods: int
    instances: int
    shared: bool  # one set of parameters for all instances
    population: int
    generations: int
    search_episodes: int  # of each candidate
    starts: int
    steps: int
    gradient_episodes: int  # of each start and step
    finalists: int
    final_episodes: int  # of each finalist
    snap: bool

    @property
    def several(self) -> bool:
        """Parameters of the instances are a batch."""
        return self.instances > 1

    @property
    def axis(self) -> int | None:
        return BATCH if self.several else None

    @property
    def policy_axis(self) -> int | None:
        return None if self.shared else BATCH

    @property
    def columns(self) -> int:
        """Sets of parameters that are tuned side by side."""
        return 1 if self.shared else self.instances

    def at_once(self, episodes: int) -> int:
        """How many of so many episodes of all instances are played at once; a power of two."""
        return _at_once(self.instances, episodes)

    @property
    def episode(self) -> int:
        """Simulated periods of one episode of every instance."""
        return self.instances * (self.warm_up + self.periods)

    @property
    def generation_periods(self) -> int:
        return self.population * self.search_episodes * self.episode

    @property
    def step_periods(self) -> int:
        return self.starts * self.gradient_episodes * self.episode

    @property
    def simulated_periods(self) -> int:
        final = self.finalists * self.final_episodes * self.episode
        return self.generations * self.generation_periods + self.steps * self.step_periods + final


def divide_budget(
    problem: Problem, rule: Rule, budget: int, method: str, instances: int, shared: bool
) -> TuningBudget:
    """Spends a budget: enough candidates for the number of parameters first, then more noise for
    each.
    """
    warm_up, periods = problem.warm_up, problem.counted_periods
    several = instances > 1
    snap = problem.env.topology.has("packs") and not (several and shared)
    least = 1 if several else 2  # episodes; a single instance runs an even number, see `_costs`
    available = budget / (instances * (warm_up + periods))
    search_share, gradient_share = METHODS[method]

    dimensions = rule.dimensions
    generations = SPREAD_AGAIN if method == "gradient" else min(4 + 4 * dimensions, 12)
    population = min(16 + 12 * dimensions, 112)
    affordable = int(search_share * available / least)
    if affordable < population * generations:
        generations = min(generations, max(affordable // 12, 1))
        population = affordable // generations
    search_episodes = _whole(
        search_share * available / max(population * generations, 1), instances, several
    )

    starts, steps = {"search": (0, 0), "gradient": (4, 150), "both": (3, 150)}[method]
    if steps:
        steps = min(steps, int(gradient_share * available / (starts * least)))
    gradient_episodes = _whole(
        gradient_share * available / max(starts * steps, 1), instances, several
    )

    finalists = (FINALISTS + 1 + starts) * (2 if snap else 1)
    spent = population * generations * search_episodes + starts * steps * gradient_episodes
    final_episodes = 2 * _whole((available - spent) / finalists / 2, instances, True)
    divided = TuningBudget(
        warm_up, periods, instances, shared, population, generations, search_episodes, starts,
        steps,
        gradient_episodes, finalists, final_episodes, snap,
    )  # fmt: skip
    if population < ELITE or final_episodes < 2 or (gradient_share and steps < 10):
        raise UserError(
            f"a budget of {budget:,} simulated periods is too small to tune {rule.name} by"
            f" {method}: one episode of every instance takes {divided.episode:,}; allow"
            f" {200 if divided.starts else 60} times that"
        )
    return divided


def choose_groups(
    problem: Problem, key: jax.Array, per_instance: bool, budget: int
) -> list[np.ndarray]:
    """The instances `[I]` of each program to run.

    A shared rule is tuned on as many instances, drawn at random, as the budget can afford
    `SHARED_EPISODES` of each.
    """
    if per_instance:
        return instance_groups(problem.instances, INSTANCES)
    affordable = budget // (SHARED_EPISODES * (problem.warm_up + problem.counted_periods))
    return [
        np.sort(
            jax.random.permutation(key, problem.instances)[
                : int(np.clip(affordable, 16, INSTANCES))
            ]
        )
    ]


def instance_groups(count: int, most: int) -> list[np.ndarray]:
    """The numbers 0 .. count-1 in groups of one equal size, at most `most`, the last filled up with
    its end.

    Equal sizes let all groups share one compiled program.
    """
    groups = math.ceil(count / most)
    size = math.ceil(count / groups)
    return [
        np.minimum(np.arange(start, start + size), count - 1)
        for start in range(0, groups * size, size)
    ]


def _at_once(instances: int, episodes: int) -> int:
    most = min(WIDTH // instances, episodes // 8)
    return 2 ** int(math.log2(most)) if most > 1 else 1


def _whole(episodes: float, instances: int, several: bool) -> int:
    """Whole episodes: as many as fill what is played at once, an even number where one instance
    runs them in two halves.
    """
    episodes = int(episodes)
    if not several:
        return episodes // 2 * 2
    return episodes // _at_once(instances, episodes) * _at_once(instances, episodes)
