"""What a method does and knows on a data set: the arrays that the measures of seed 000 are taken of
(`jaxinv.evaluation.five_metrics`).
"""

from typing import NamedTuple

import jax
import numpy as np

from jaxinv.envs.problem import Problem
from jaxinv.evaluation.five_metrics import best_threshold, stockout_ahead
from jaxinv.evaluation.held_out import Contestant
from jaxinv.evaluation.probes import (
    Knowledge,
    fit_linear,
    fit_logistic,
    knowledge,
    play_recorded,
)
from jaxinv.evaluation.rollout import instances_at
from jaxinv.evaluation.trajectories import Trajectories
from jaxinv.keys import Role, key_of, root
from jaxinv.policies.rules import rule_for
from jaxinv.studies.cells import Arrays
from jaxinv.studies.d3sci_methods import ahead
from jaxinv.studies.rows import RESERVED_SEED

LEVEL = 1.0
"""Of the reference policy, which everybody's stock-out head is judged on too: base-stock at this
multiple of typical demand over the coverage, low enough that stock runs out now and then.
"""

FEWEST = 64
"""Episodes of the training periods that probes and thresholds are fitted on."""


class Stage(NamedTuple):
    """Where policies are watched: the held-out periods, and episodes of those that train."""

    problem: Problem

    def play(self, one: Contestant) -> tuple[Trajectories, Trajectories]:
        """A policy in the periods that train, and on the very worlds of `held_out.measure`."""
        problem, key = self.problem, root(RESERVED_SEED)
        batch = max(problem.instances, FEWEST)
        index = np.resize(np.arange(problem.instances), batch)
        train, axis = instances_at(problem.unaugmented, index)
        test, test_axis = instances_at(problem.test, np.arange(problem.tested))
        own = key_of(key, Role.CHECK), key_of(key, Role.EVIDENCE, 0)
        env, policy, params = problem.env, one.policy, one.params
        return (
            play_recorded(env, train, policy, params, own[0], batch, problem.horizon, axis),
            play_recorded(
                env, test, policy, params, own[1], problem.tested, problem.test_periods, test_axis
            ),
        )

    def reference(self) -> tuple[Trajectories, Trajectories]:
        """Those of the reference policy."""
        rule = rule_for(self.problem, "base_stock")
        topology = self.problem.env.topology
        level = np.full((topology.edges, topology.products), LEVEL, np.float32)
        return self.play(Contestant("reference", rule, {"level": jax.numpy.asarray(level)}))


def watch(
    problem: Problem, policies: list[Contestant], reference: tuple[Trajectories, Trajectories]
) -> Arrays:
    """What S policies of one method did in the T counted periods, and what they knew, `[S, T, B]`
    each.

    Returns:
      reward; on_hand (end of period), short, ordered: units; forecast: of the period, in units;
      own_score, reference_score: of a stock-out within L + P periods, less the threshold that is
      best in training, on own trajectories and on those of the reference policy; threshold of the
      own ones `[S]`.
    """
    found = [_watch_one(problem, one, reference) for one in policies]
    return {name: np.stack([one[name] for one in found]) for name in found[0]}


def truth(problem: Problem, reference: tuple[Trajectories, Trajectories]) -> Arrays:
    """What is the same for all: demand in the counted and the training periods, the reference
    policy's shortages, and what a unit costs to hold and to lose in each series.
    """
    counted = slice(problem.warm_up, None)
    per_unit = {
        name: np.asarray(getattr(problem.test, name)).reshape(problem.tested, -1)[:, 0]
        for name in ("holding", "shortage")
    }
    training = np.asarray(problem.unaugmented.demand.demand)
    return {
        "demand": units(reference[1].demand)[counted],
        "training": training.reshape(*training.shape[:2], -1).sum(-1).T,
        "reference_short": units(reference[1].short)[counted],
        **per_unit,
    }


def _watch_one(problem, one, reference):
    env, horizon = problem.env, ahead(problem)
    counted = slice(problem.warm_up, None)
    trained, tested = Stage(problem).play(one)
    knows = [knowledge(env, one.policy, one.params, seen) for seen in (trained, tested, *reference)]
    forecast = _forecast(knows[0], knows[1], units(trained.demand))
    label, known = stockout_ahead(units(trained.short), horizon)
    score = _scorer(knows[0], label, known)
    at_reference, known_there = stockout_ahead(units(reference[0].short), horizon)
    cut = best_threshold(score(knows[0])[known], label[known])
    cut_there = best_threshold(score(knows[2])[known_there], at_reference[known_there])
    demand, short = units(tested.demand), units(tested.short)
    found = {
        "reward": np.asarray(tested.reward),
        "on_hand": units(tested.on_hand) - (demand - short),
        "short": short,
        "ordered": units(tested.executed),
        "forecast": forecast,
        "own_score": score(knows[1]) - cut,
        "reference_score": score(knows[3]) - cut_there,
    }
    kept = {name: np.asarray(values[counted], np.float32) for name, values in found.items()}
    return {**kept, "threshold": np.float32(cut)}


def _forecast(before: Knowledge, now: Knowledge, demand) -> np.ndarray:
    """The policy's own, or that of a probe of what it sees."""
    if now.forecast is not None:
        return now.forecast
    probe = fit_linear(before.features, demand / before.unit)
    return np.maximum(probe(now.features), 0.0) * now.unit


def _scorer(before: Knowledge, label, known):
    """The stock-out logit of the policy's own head, or of a probe."""
    if before.stockout is not None:
        return lambda knows: knows.stockout
    rows = known[:, 0]
    probe = fit_logistic(before.features[rows], label[rows])
    return lambda knows: probe(knows.features)


def units(values) -> np.ndarray:
    """`[T, ..., B]` summed over places and products: `[T, B]`."""
    values = np.asarray(values)
    return values.reshape(values.shape[0], -1, values.shape[-1]).sum(1)
