"""Training demand as forecasts are fitted to it and judged on it: what was known at each decision,
and what came then.
"""

import dataclasses
import math
import weakref
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.demand.processes import TraceReplay
from jaxinv.envs import views
from jaxinv.envs.observation import Facts
from jaxinv.envs.problem import Problem
from jaxinv.evaluation.rollout import BATCH, instances_at, play_world, take_instances
from jaxinv.keys import Role, key_of, root

INSTANCES = 512
"""Most instances that are looked at, evenly spaced."""

PATHS = 64
"""Paths of a world that is drawn."""

PERIODS = 256
"""Decisions of each of them, besides those whose future is not over."""

LEARNED = 0.7
"""Share of the periods, the first, that a choice is fitted on; it is judged on the rest."""

LEAST_ROWS = 24
"""Fewest decisions, with all that came after, that anything is fitted to."""


@dataclass(frozen=True, eq=False)
class Past:
    """T decisions of B paths, in order of time; the path is the last axis.

    Attributes:
      signals: `[W - 1 + T, S, B]`; row W - 1 + t is the latest that decision t sees.
      coming: demand of the period that each decision is made for `[T, D, K, B]`.
      places: nodes that face demand.
      facts: of the instances, `[..., B]`.
      horizon: H, periods that the longest order has to cover.
    """

    signals: np.ndarray
    coming: np.ndarray
    places: tuple[int, ...]
    facts: Facts
    horizon: int

    @property
    def rows(self) -> int:
        """R, decisions whose coverage is over."""
        return len(self.coming) - self.horizon + 1

    @property
    def learned(self) -> int:
        """How many of them, the first, a choice is fitted on."""
        return round(LEARNED * self.rows)

    def early(self) -> "Past":
        """The part that a choice is fitted on."""
        left_out = self.rows - self.learned
        return dataclasses.replace(
            self, signals=self.signals[:-left_out], coming=self.coming[:-left_out]
        )


_PASTS: dict[int, Past] = {}


def past_of(problem: Problem) -> Past:
    """Training demand of a problem: recorded sales from first to last, or worlds that are drawn."""
    if id(problem) not in _PASTS:
        _PASTS[id(problem)] = _played(problem)
        weakref.finalize(problem, _PASTS.pop, id(problem), None)
    return _PASTS[id(problem)]


def has_past(problem: Problem) -> bool:
    """Whether demand can be told in advance at all, and has been seen for long enough to learn
    how.
    """
    demand = problem.env.world.demand
    start = jax.eval_shape(
        lambda: demand.init(
            {name: jnp.zeros(shape) for name, shape in demand.start_noise.items()},
            problem.first.demand,
        )
    )
    memoryless = start is None and not demand.covariates
    return not memoryless and _periods(problem) - _horizon(problem) + 1 >= LEAST_ROWS


def _played(problem: Problem) -> Past:
    env, params = problem.env, problem.train
    if isinstance(env.world.demand, TraceReplay):  # every trace once, from its beginning, as it was
        law = params.demand
        params = params.replace(
            demand=law.replace(last=law.first, level_spread=jnp.zeros_like(law.level_spread))
        )
    index = np.unique(
        np.linspace(0, problem.instances - 1, min(problem.instances, INSTANCES)).astype(int)
    )
    if problem.single:
        index = np.zeros(PATHS, int)
    instances, axis = instances_at(params, index)
    _, world = play_world(
        env, key_of(root(0), Role.FORECAST), instances, len(index), _periods(problem), axis
    )
    facts = jax.vmap(env.facts, 0, BATCH)(take_instances(params, index))
    return Past(
        signals=np.asarray(world.signals),
        coming=np.asarray(world.exogenous.demand),
        places=env.topology.demand_nodes,
        facts=jax.device_get(facts),
        horizon=_horizon(problem),
    )


def _periods(problem: Problem) -> int:
    """Decisions that there are."""
    law = problem.train.demand
    if isinstance(problem.env.world.demand, TraceReplay):
        return law.demand.shape[-3] - int(np.max(law.first)) - problem.env.history
    return PERIODS + _horizon(problem)


def _horizon(problem: Problem) -> int:
    facts = jax.vmap(problem.env.facts)(problem.train)
    longest = jax.vmap(partial(views.echelon_coverage, problem.env.topology))(facts)
    return max(math.ceil(float(jnp.max(longest)) - 1e-4), 1)
