"""Wanted fill rates in the place of shortage costs: the costs at which a tuned rule serves what is
wanted.

To serve a share of demand at the least cost of stock and orders is to pay for each unit short just
so much that serving that share is the cheapest (a Lagrange multiplier). So for each wanted fill
rate the shortage costs of its instances are multiplied by one factor, which is sought: a rule is
tuned and played on the training periods, until it serves what is wanted.

`served` finds costs that all policies then learn or are tuned at: those of the newsvendor rule on a
forecast, whose safety follows from the costs of each instance. At these costs a rule that forecasts
better serves more, or other classes otherwise; so what acts for a wanted service is tuned for each
class by itself (`to_service`). Weeks that nobody learned from tell whether it serves it.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from jaxinv.envs.problem import Problem
from jaxinv.envs.shared import Shared
from jaxinv.envs.wanted import with_factors
from jaxinv.evaluation.compare import contestants_of
from jaxinv.evaluation.held_out import measure
from jaxinv.evaluation.rollout import BATCH, take_instances
from jaxinv.evaluation.tuning import Tuned, rule_for, tune
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

FEWEST, MOST = 16, 64
"""Instances of a class that a rule is tuned on."""

TO_SERVICE = " to the wanted service"
"""What is put behind the name of a rule that is tuned for each class by itself."""


def served(problem: Problem, seed: int = 0) -> Problem:
    """The problem with shortage costs at which the fill rates that it wants are served.

    Args:
      problem: with `service` and `rehearsal`; where nothing is wanted, or the costs are known, it
        is given back as it is.
      seed: of the noise that rules are tuned on.
    """
    if problem.service is None or problem.priced:
        return problem
    wanted = np.asarray(problem.service, float)

    def fill(factors: dict[float, float], number: int) -> dict[float, float]:
        return _fill_rates(
            with_factors(problem, factors), RULE, key_of(root(seed), Role.SERVICE, number)
        )[1]

    found = _sought({float(level) for level in wanted[~np.isnan(wanted)]}, fill)
    factors = {level: factor for level, (factor, _) in found.items()}
    notes = [_told(level, *found[level], int((wanted == level).sum())) for level in sorted(found)]
    known = {f"{level:g}": round(factor, 6) for level, factor in factors.items()}
    settled = problem.settled and dataclasses.replace(problem.settled, service_factors=known)
    return dataclasses.replace(
        with_factors(problem, factors), notes=(*problem.notes, *notes), settled=settled, priced=True
    )


def to_service(problem: Problem, name: str, seed: int = 0) -> tuple[Tuned, dict[float, Tuned]]:
    """A rule tuned for each wanted fill rate by itself, at the cost of a shortage at which it
    serves that.

    Args:
      problem: with `service` and `rehearsal`. name: of the rule.

    Returns:
      One with numbers for every instance, those of its class; and that of each class, NaN for what
      nothing is wanted of.
    """
    levels, which, counts = np.unique(
        np.asarray(problem.service, float), return_inverse=True, return_counts=True
    )
    same = int(np.clip(counts.max(), FEWEST, MOST))  # one size, one program
    classes = {}
    for number, level in enumerate(levels):
        part = _some(problem, np.resize(np.flatnonzero(which == number), same))
        key = key_of(root(seed), Role.SERVICE, ROUNDS + number)
        if np.isnan(level):
            classes[level] = tune(part, rule_for(problem, name), key, BUDGET)
            continue
        tried: dict[float, Tuned] = {}

        def fill(factors: dict[float, float], attempt: int) -> dict[float, float]:
            tuned, rates = _fill_rates(
                with_factors(part, factors), name, key_of(key, Role.SERVICE, attempt)
            )
            tried[factors[level]] = tuned
            return rates

        found = _sought({level}, fill)
        classes[level] = tried[found[level][0]]
    tuned = list(classes.values())
    params = {
        name: np.stack([tuned[one].params[name] for one in which], BATCH)
        for name in tuned[0].params
    }
    return dataclasses.replace(tuned[which[0]], params=params, policy_axis=BATCH), classes


def told_service(problem: Problem, demand: np.ndarray, short: np.ndarray) -> list[str]:
    """How what was served of demand in the held-out periods `[S]` compares with what was wanted, a
    line a class.
    """
    wanted, lines = np.asarray(problem.service, float), []
    periods = (
        f"{problem.test_periods - problem.warm_up}"
        f" {problem.shared.period if problem.shared else 'period'}s"
    )
    for level in np.unique(wanted[~np.isnan(wanted)]):
        mine = wanted == level
        rate = 1.0 - short[mine].sum() / max(demand[mine].sum(), 1e-9)
        missed = (rate - level) * 100
        verdict = (
            "met within half a point"
            if abs(missed) <= 0.5
            else f"{abs(missed):.1f} points {'more' if missed > 0 else 'less'}"
        )
        why = (
            ""
            if abs(missed) <= 0.5
            else (
                ": it was met on the past that was learned from, and these periods were not like it"
            )
        )
        lines.append(
            f"a fill rate of {level:.1%} was wanted of {mine.sum()} series: {rate:.1%} of demand"
            f" was served in {periods} that nothing was learned from, {verdict}{why}"
        )
    return lines


def _some(problem: Problem, index: np.ndarray) -> Problem:
    """The problem of some of its instances, in any number of copies."""

    def of(one: Problem) -> Problem:
        train, test = (take_instances(params, index) for params in (one.train, one.test))
        shared = one.shared and Shared(one.shared.period)
        return dataclasses.replace(
            one, train=train, test=test, instances=len(index), labels=(), held_out=(), choice=None,
            shared=shared, shop=None,
            rehearsal=None, settled=None,
        )  # fmt: skip

    wanted = tuple(np.asarray(problem.service)[index].tolist())
    return dataclasses.replace(of(problem), service=wanted, rehearsal=of(problem.rehearsal))


def _fill_rates(problem: Problem, name: str, key) -> tuple[Tuned, dict[float, float]]:
    """A rule tuned, and the share of demand that it serves in the rehearsal, by wanted fill
    rate.
    """
    tuned = tune(problem, rule_for(problem, name), key, BUDGET)
    (contestant,) = contestants_of({name: tuned})
    total, wanted = measure(problem.rehearsal, contestant, key), np.asarray(problem.service, float)
    levels = np.unique(wanted[~np.isnan(wanted)])
    short = {
        float(level): total.short[wanted == level].sum() / total.demand[wanted == level].sum()
        for level in levels
    }
    return tuned, {level: float(1.0 - share) for level, share in short.items()}


def _sought(
    levels: Sequence[float] | set[float],
    fill: Callable[[dict[float, float], int], dict[float, float]],
) -> dict[float, tuple[float, float]]:
    """For each wanted fill rate the factor that came nearest to it, and what was served at that."""
    factors = dict.fromkeys(levels, 1.0)
    tried: dict[float, list[tuple[float, float]]] = {level: [] for level in levels}
    for number in range(ROUNDS):
        rates = fill(factors, number)
        for level in levels:
            tried[level].append((factors[level], rates[level]))
        if all(abs(found[-1][1] - level) <= CLOSE for level, found in tried.items()):
            break
        factors = {level: _next_factor(found, level) for level, found in tried.items()}
    return {
        level: min(found, key=lambda one: abs(one[1] - level)) for level, found in tried.items()
    }


def _next_factor(found: list[tuple[float, float]], wanted: float) -> float:
    """Where to look next: what is short falls about as one over what a shortage costs, as long as
    nothing else is known.
    """
    below = [factor for factor, fill in found if fill < wanted]
    above = [factor for factor, fill in found if fill >= wanted]
    factor, fill = found[-1]
    if below and above and max(below) < min(above):
        return float(np.sqrt(max(below) * min(above)))
    guess = factor * max(1.0 - fill, 1e-4) / max(1.0 - wanted, 1e-4)
    return float(np.clip(factor * np.clip(guess / factor, 1 / 8, 8), SMALLEST, LARGEST))


def _told(wanted: float, factor: float, fill: float, count: int) -> str:
    reached = (
        f"a fill rate of {wanted:.1%} is wanted of {count} series: shortages are charged"
        f" {factor:.3g} times their cost, at which "
    )
    return reached + f"the newsvendor rule serves {fill:.1%} of the demand of the training periods"
