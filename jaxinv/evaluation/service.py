"""Wanted fill rates in the place of shortage costs: the costs at which a tuned rule serves what is wanted.

To serve a share of demand at the least cost of stock and orders is to pay for each unit short just so much that serving that share
is the cheapest (a Lagrange multiplier). So for each wanted fill rate the shortage costs of its instances are multiplied by one
factor, which is sought: the newsvendor rule on a forecast, whose safety follows from the costs of each instance, is tuned and
played on the training periods, until it serves what is wanted. Every policy then learns or is tuned at these costs, and weeks that nobody learned from tell whether it
serves what was wanted.
"""

import dataclasses

import numpy as np

from jaxinv.envs.problem import Problem
from jaxinv.envs.wanted import with_factors
from jaxinv.evaluation.compare import contestants_of, measure
from jaxinv.evaluation.tuning import rule_for, tune
from jaxinv.keys import Role, key_of, root

ROUNDS = 6
"""Most tunings."""

CLOSE = 0.002
"""Difference from a wanted fill rate that ends the search."""

SMALLEST, LARGEST = np.exp(-6.0), np.exp(8.0)
"""Factors between which is sought."""

RULE = "newsvendor_quantile"

BUDGET = 400_000
"""Periods simulated in each tuning."""


def served(problem: Problem, seed: int = 0) -> Problem:
    """The problem with shortage costs at which the fill rates that it wants are served.

    Args:
      problem: with `service` and `rehearsal`; without wanted fill rates it is given back as it is.
      seed: of the noise that rules are tuned on.
    """
    if problem.service is None:
        return problem
    wanted = np.asarray(problem.service, float)
    classes = np.unique(wanted[~np.isnan(wanted)])
    factors = {float(level): 1.0 for level in classes}
    tried: dict[float, list[tuple[float, float]]] = {level: [] for level in factors}
    for number in range(ROUNDS):
        fill = _fill_rates(with_factors(problem, factors), key_of(root(seed), Role.SERVICE, number))
        for level in factors:
            tried[level].append((factors[level], fill[wanted == level].sum(0)[0] / fill[wanted == level].sum(0)[1]))
        if all(abs(found[-1][1] - level) <= CLOSE for level, found in tried.items()):
            break
        factors = {level: _next_factor(found, level) for level, found in tried.items()}
    best = {level: min(found, key=lambda one: abs(one[1] - level)) for level, found in tried.items()}
    chosen = {level: factor for level, (factor, _) in best.items()}
    notes = [_told(level, *best[level], int((wanted == level).sum())) for level in best]
    priced = with_factors(problem, chosen)
    settled = priced.settled and dataclasses.replace(
        priced.settled, service_factors={f"{level:g}": round(factor, 6) for level, factor in chosen.items()}
    )
    return dataclasses.replace(priced, notes=(*priced.notes, *notes), settled=settled, service=None, rehearsal=None)


def _fill_rates(problem: Problem, key) -> np.ndarray:
    """Units served and asked for in the rehearsal, by instance `[S, 2]`."""
    tuned = tune(problem, rule_for(problem, RULE), key, BUDGET)
    (contestant,) = contestants_of({RULE: tuned})
    total = measure(problem.rehearsal, contestant, key)
    return np.stack([total.demand - total.short, total.demand], -1)


def _next_factor(found: list[tuple[float, float]], wanted: float) -> float:
    """Where to look next: what is short falls about as one over what a shortage costs, as long as nothing else is known."""
    below = [factor for factor, fill in found if fill < wanted]
    above = [factor for factor, fill in found if fill >= wanted]
    factor, fill = found[-1]
    if below and above and max(below) < min(above):
        return float(np.sqrt(max(below) * min(above)))
    guess = factor * max(1.0 - fill, 1e-4) / max(1.0 - wanted, 1e-4)
    step = np.clip(guess / factor, 1 / 8, 8)
    return float(np.clip(factor * step, SMALLEST, LARGEST))


def _told(wanted: float, factor: float, fill: float, count: int) -> str:
    reached = f"a fill rate of {wanted:.1%} is wanted for {count} series: shortages are charged {factor:.3g} times their cost, at which "
    return reached + f"the newsvendor rule serves {fill:.1%} of the demand of the training periods"
