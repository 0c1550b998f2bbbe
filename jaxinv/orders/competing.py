"""Who acts: policies and rules on held-out periods, the one that is cheapest for all, and another
where it is proven for a class.

A class, such as a category, gets a policy of its own only where that was the cheapest in the first
half of the held-out periods and then, in the second half, which had no part in the choice, costs
less than the one for all beyond doubt: so a class does not get what was lucky on it once.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxinv.envs.problem import Problem
from jaxinv.evaluation.held_out import Contestant
from jaxinv.evaluation.statistics import Estimate, blocks, mean_of, paired_difference
from jaxinv.orders.lines import Acting
from jaxinv.policies.decider import Decider
from jaxinv.policies.registry import FORECASTS
from jaxinv.policies.rules import default_rules

FEW = 24
"""Series that a class needs."""

EPISODES = 220
"""Of every instance, in the tuning of a rule."""

ENOUGH = 4096
"""Instances that these are played of, if there are more: a rule is tuned on a sample of them."""

LEAST_PERIODS = 8
"""Held-out periods that are needed to choose for classes."""


class CompetitionResult(NamedTuple):
    """What a competition ended with.

    Attributes:
      names: who acts, the first for all whose class has no other; which: number of the one that
        acts for each instance `[S]`.
      why: in words, one line each.
      costs: a period and series, the cheapest first.
    """

    names: tuple[str, ...]
    which: np.ndarray
    why: tuple[str, ...]
    costs: dict[str, Estimate]

    def acting(self, problem: Problem, contestants: Sequence[Contestant]) -> Acting:
        """Those who act, as what orders."""
        by_name = {one.name: one for one in contestants}
        return Acting(
            tuple(decider_of(problem, by_name[name]) for name in self.names), self.which, self.why
        )


def competitors(problem: Problem) -> list[str]:
    """Rules that compete where none is named, for a list is wanted in minutes: ordering up to
    levels, the newsvendors on the forecasts that were about the best, and (s, S) where an order
    costs something by itself."""
    topology = problem.env.topology
    families = ["newsvendor", "echelon_base_stock" if topology.depth else "base_stock"]
    families += ["s_S"] if topology.has("fixed_cost") or topology.has("minimum_order") else []
    forms = {f"{family}_{forecast}" for family in families for forecast in (*FORECASTS, "quantile")}
    return [name for name in default_rules(problem) if name in forms or name in families]


def budget(problem: Problem, least: int) -> int:
    """Simulated periods that a rule is tuned with: at least so many, and enough to tell many
    numbers apart.
    """
    return max(least, EPISODES * min(problem.instances, ENOUGH) * problem.horizon)


def decider_of(problem: Problem, contestant: Contestant) -> Decider:
    """A contestant as what orders."""
    return Decider(
        contestant.name, problem, contestant.policy, contestant.params, contestant.policy_axis
    )


def compete(
    problem: Problem, played: Mapping[str, np.ndarray], classes: Sequence[str] | None = None
) -> CompetitionResult:
    """Who acts.

    Args:
      problem: whose `test` is held out.
      played: by name what each cost a period there, `[T, S]` where instances share their periods,
        else `[B]` (`jaxinv.evaluation.held_out.costs_of`).
      classes: of each instance `[S]`; one for all where not given.
    """
    by_period = problem.shared is not None
    over = _over(problem, problem.test_periods - problem.warm_up) if by_period else None
    found = {name: mean_of(cost, over) for name, cost in played.items()}
    names = sorted(
        found, key=lambda name: (not np.isfinite(found[name].value), found[name].value, name)
    )
    best = names[0]
    periods = f"{len(played[best])} {problem.shared.period}s" if by_period else "paths"
    why = [
        f"{best} acts: it costs {found[best].value:.4g} a period and series on {periods} that"
        " nothing was learned from"
    ]
    if len(names) > 1:
        other = paired_difference(played[names[1]], played[best], over)
        interval = (
            f" (95% interval {other.low:.2g} to {other.high:.2g})" if np.isfinite(other.low) else ""
        )
        why[0] += f", {names[1]} {other.value:.2g} more{interval}"
    which, chosen = np.zeros(problem.tested, int), [best]
    if by_period and classes is not None and len(played[best]) >= LEAST_PERIODS:
        for label, own, gain in _by_class(problem, played, best, np.asarray(classes)):
            if own not in chosen:
                chosen.append(own)
            which[np.asarray(classes) == label] = chosen.index(own)
            why.append(
                f"{own} acts for {label}: there it costs {-gain.value:.2g} a period and series less"
                f" than {best} (95% interval {-gain.high:.2g} to {-gain.low:.2g}, on periods that"
                " had no part in this choice)"
            )
    return CompetitionResult(
        tuple(chosen), which, tuple(why), {name: found[name] for name in names}
    )


def _by_class(problem, played, best, classes):
    """Classes with a policy of their own, that policy, and how it differs from the one for all in
    the second half."""
    half = len(played[best]) // 2
    for label in np.unique(classes):
        mine = classes == label
        if mine.sum() < FEW or mine.all():
            continue
        early = {name: cost[:half, mine].mean() for name, cost in played.items()}
        own = min(early, key=lambda name: (not np.isfinite(early[name]), early[name], name))
        if own == best:
            continue
        over = _over(problem, len(played[best]) - half)
        estimate = paired_difference(played[own][half:, mine], played[best][half:, mine], over)
        if estimate.high < 0:
            yield str(label), own, estimate


def _over(problem, length):
    return blocks(length, problem.env.topology.max_lead_time, f"{problem.shared.period}s"), "series"
