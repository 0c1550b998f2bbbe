"""Which forecasts are worth following: those with the smallest error over the coverage of orders,
on training demand.
"""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs.problem import Problem
from jaxinv.policies.following import Follows
from jaxinv.policies.past import Past, has_past, past_of

WORTH = 0.02
"""Share of the error of expecting what is typical that a forecast has to take away to be followed
unasked.
"""

CLOSE = 0.1
"""Forecasts whose error is within this share of the smallest are followed too: what comes later can
be unlike the past.
"""

GRID = 4
"""Values that are tried of each number of a forecast."""


def best_forecasts(problem: Problem, rules: Sequence[type[Follows]]) -> list[type[Follows]]:
    """The rules whose forecasts are about the best on the last of the training periods, having seen
    those before; none where none is better by `WORTH` than the mean of what came before.

    Args:
      rules: following rules with the same coverage, one a forecast.
    """
    rules = [rule for rule in rules if rule.foresees(problem)]
    if not rules or not has_past(problem):
        return []
    past, env = past_of(problem), problem.env
    made = [rule(env.topology, history=env.history, season=problem.season) for rule in rules]
    errors = [coverage_error(rule, past) for rule in made]
    most = min((1.0 + CLOSE) * min(errors), (1.0 - WORTH) * typical_error(made[0], past))
    return [rule for rule, error in zip(rules, errors) if error < most]


def coverage_error(rule: Follows, past: Past) -> float:
    """Root of the mean squared error of demand over the coverage, in units of typical demand, at
    the best of a few values of the forecast's own numbers."""
    fitted = rule.fitted_on(past.early())
    window = len(past.signals) - len(past.coming) + 1

    @jax.jit
    def totals(numbers):
        encode = jax.vmap(
            lambda signals, facts: fitted.encode(numbers, signals, facts).total, -1, -1
        )
        return encode(jnp.asarray(past.signals), past.facts)[window - 1 :]

    grid = itertools.product(*(np.geomspace(*ends, GRID) for ends in rule.numbers.values()))
    tried = [dict(zip(rule.numbers, map(jnp.float32, values))) for values in grid]
    return min(_error(rule, past, np.asarray(totals(numbers))[: past.rows]) for numbers in tried)


def typical_error(rule: Follows, past: Past) -> float:
    """The same of expecting, in every period, the mean of the periods before."""
    mean = jax.vmap(rule.along_edges, -1, -1)(past.coming)[: past.learned].mean(0)
    coverage = jax.vmap(rule.coverage, -1, -1)(past.facts)
    return _error(rule, past, np.broadcast_to(mean * coverage[:, None], (past.rows, *mean.shape)))


def _error(rule: Follows, past: Past, totals: np.ndarray) -> float:
    """Root mean squared error of totals `[R, E, K, B]`, from the period on that a fit has not
    seen.
    """
    flow = np.asarray(jax.vmap(rule.along_edges, -1, -1)(past.coming))
    coverage = np.asarray(jax.vmap(rule.coverage, -1, -1)(past.facts))  # [E, B]
    covered = np.clip(coverage[..., None] - np.arange(past.horizon), 0.0, 1.0)
    ahead = np.lib.stride_tricks.sliding_window_view(flow, past.horizon, axis=0)  # [R, E, K, B, H]
    actual = np.einsum("rekbh,ebh->rekb", ahead, covered, optimize=True)
    unit = np.asarray(jax.vmap(rule.level_unit, -1, -1)(past.facts))
    return float(np.sqrt(np.mean(((totals - actual) / unit)[past.learned :] ** 2)))
