"""Many objectives: what a policy costs at each preference, the Pareto front of that, and the point
at a wanted service level.

Costs are minimised; the objectives of a network and preferences among them are those of
`jaxinv.envs.objectives`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from scipy import special

from jaxinv.envs.objectives import factors, membership, objective_costs, objectives_of, shares
from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.evaluation.statistics import Estimate, jackknife, left_out, ratio_of_sums
from jaxinv.policies.preference import AtPreference

REACH = 5.0
"""Preferences are sought with a share of service whose log odds lie within this: .7% to 99.3%."""

GRID, HALVINGS = 9, 7
"""Shares that a service level is first sought on, and how often the stretch between two of them is
halved.
"""


class PathCosts(NamedTuple):
    """What P policies cost on the same B paths.

    Attributes:
      costs: `[P, G, B]` of each objective a period, at the instance's own weights.
      short, demand: `[P, B]` units a path.
    """

    costs: np.ndarray
    short: np.ndarray
    demand: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """Mean costs `[P, G]`."""
        return self.costs.mean(-1)

    @property
    def fill_rates(self) -> np.ndarray:
        """`[P]`, the share of units served at once."""
        return 1 - self.short.sum(-1) / self.demand.sum(-1)

    def fill_rate(self, index: int) -> Estimate:
        """That of one policy, with its interval."""
        return ratio_of_sums(self.demand[index] - self.short[index], self.demand[index])


class ServicePoint(NamedTuple):
    """Where a policy reaches a service level.

    Attributes:
      contestant: the policy at the preference found.
      preference: share of each objective by name.
      fill_rate: there, on the noise that it was found on; at least what was wanted.
    """

    contestant: Contestant
    preference: dict[str, float]
    fill_rate: float


# --- a policy at a preference
# -----------------------------------------------------------------------


def at_preference(
    contestant: Contestant, wanted: Mapping[str, float], name: str | None = None
) -> Contestant:
    """A policy that was trained on preferences, acting at one of them.

    Args:
      wanted: weight of each objective relative to its own, 1 where not given; only their ratios
        matter.

    Raises:
      UserError: a preference that cannot be, or a policy that was not trained on them.
    """
    topology = contestant.policy.topology
    chosen = shares(topology, wanted)
    if not getattr(contestant.policy, "preferences", False):
        raise UserError(f"{contestant.name} knows no preferences; train it with preferences=true")
    params = {"policy": contestant.params, "preference": factors(topology, chosen)}
    label = name or f"{contestant.name} at {_text(dict(zip(objectives_of(topology), chosen)))}"
    return Contestant(label, AtPreference(topology, contestant.policy), params)


def at_service(
    problem: Problem,
    contestant: Contestant,
    level: float,
    key: jax.Array,
    *,
    paths: int = 256,
    others: Mapping[str, float] | None = None,
) -> ServicePoint:
    """The point of a preference-conditioned policy at a wanted fill rate.

    The share of service in the preference is bisected, in log odds, on common random numbers: those
    of `problem.test` under the key. What is left goes to the other objectives in the proportions of
    `others`.

    Raises:
      UserError: a level outside 0..1, or one that no preference reaches.
    """
    if not 0 < level < 1:
        raise UserError(f"service={level:g} must be a fill rate between 0 and 1, such as 0.95")
    if "service" in (others or {}):
        raise UserError(
            "a service level is reached by changing preference.service; give one of the two"
        )
    names = objectives_of(contestant.policy.topology)
    rest = shares(contestant.policy.topology, {**(others or {}), "service": 0.0})

    def preference(log_odds):
        share = float(special.expit(log_odds))
        return {
            name: share if name == "service" else (1 - share) * float(other)
            for name, other in zip(names, rest)
        }

    def fill_rate(log_odds):
        return float(
            measured(
                problem, [at_preference(contestant, preference(log_odds))], key, paths
            ).fill_rates[0]
        )

    log_odds, reached = _bisect(
        fill_rate, level, f"service={level:g} is out of reach of {contestant.name}"
    )
    found = preference(log_odds)
    return ServicePoint(
        at_preference(contestant, found, f"{contestant.name} at service {level:g}"), found, reached
    )


def acting_preference(contestant: Contestant) -> dict[str, float] | None:
    """The share of each objective that a policy acts at; None for one that knows no preferences."""
    policy = contestant.policy
    names = objectives_of(policy.topology)
    if isinstance(policy, AtPreference):
        relative = membership(policy.topology) @ np.diag(contestant.params["preference"])
        return {name: float(row.max() / len(names)) for name, row in zip(names, relative)}
    return dict.fromkeys(names, 1 / len(names)) if getattr(policy, "preferences", False) else None


def measured(
    problem: Problem, contestants: Sequence[Contestant], key: jax.Array, paths: int = 512
) -> PathCosts:
    """What policies cost on the same noise of `problem.test`; those that differ in parameters alone
    share one program.
    """
    periods, costs, short, demand = problem.test_periods - problem.warm_up, [], [], []
    for contestant in contestants:
        total = measure(problem, contestant, key, paths)
        costs.append(
            objective_costs(problem.env.topology, problem.test.weights, total.costs) / periods
        )
        short.append(total.short)
        demand.append(total.demand)
    return PathCosts(np.stack(costs), np.stack(short), np.stack(demand))


def lattice(objectives: int, divisions: int) -> np.ndarray:
    """Preferences `[P, G]` evenly inside the simplex: share i of G is (k_i + 1/2) / (divisions +
    G/2), k a composition of `divisions` (Das & Dennis 1998, drawn in from the border, where an
    objective has no weight).
    """
    counts = [
        counts for counts in np.ndindex(*[divisions + 1] * objectives) if sum(counts) == divisions
    ]
    return (np.asarray(counts) + 0.5) / (divisions + objectives / 2)


def _bisect(fill_rate: Callable[[float], float], level: float, refusal: str) -> tuple[float, float]:
    """Log odds of the share of service and the fill rate there, which is at least the level."""
    grid = np.linspace(-REACH, REACH, GRID)
    rates = np.array([fill_rate(log_odds) for log_odds in grid])
    above = rates >= level
    crossings = np.flatnonzero(~above[:-1] & above[1:])
    if not len(crossings):
        raise UserError(
            f"{refusal}; its preferences lead to fill rates from {rates.min():.4g} to"
            f" {rates.max():.4g}"
        )
    low, high, reached = grid[crossings[0]], grid[crossings[0] + 1], rates[crossings[0] + 1]
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        rate = fill_rate(middle)
        if rate >= level:
            high, reached = middle, rate
        else:
            low = middle
    return float(high), float(reached)


def _text(preference: Mapping[str, float]) -> str:
    return " ".join(f"{name} {share:.3g}" for name, share in preference.items())


# --- fronts
# -----------------------------------------------------------------------------------------


def nondominated(points: np.ndarray) -> np.ndarray:
    """Which of points `[P, D]` no other is at least as good as in every objective and better in
    one: `[P]`.

    Of equal points the first counts.
    """
    points = np.asarray(points, float)
    as_good = (points[:, None] <= points[None]).all(-1)  # [other, point]
    better = as_good & (points[:, None] < points[None]).any(-1)
    earlier = np.arange(len(points))[:, None] < np.arange(len(points))
    return ~(better | (as_good & as_good.T & earlier)).any(0)


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """The volume that points `[P, D]` dominate below a reference point `[D]`, exact in any
    dimension.

    Slice by slice along the last objective: between two values of it, what the points up to there
    dominate in the others (While et al. 2006).
    """
    points, reference = np.asarray(points, float), np.asarray(reference, float)
    points = points[(points < reference).all(-1)]
    return _volume(points[nondominated(points)], reference)


def _volume(points: np.ndarray, reference: np.ndarray) -> float:
    if not len(points):
        return 0.0
    if len(reference) == 1:
        return float(reference[0] - points.min())
    points = points[np.argsort(points[:, -1])]
    heights = np.diff(points[:, -1], append=reference[-1])
    slices = [
        height * _volume(points[:last, :-1], reference[:-1])
        for last, height in enumerate(heights, 1)
        if height > 0
    ]
    return float(sum(slices))


def hypervolume_ratio(ours: np.ndarray, others: np.ndarray, reference: np.ndarray) -> Estimate:
    """Hypervolume of one front over that of another, with its interval.

    Args:
      ours, others: costs `[P, D, B]` and `[Q, D, B]` on the same B paths, which are left out
        together.
      reference: `[D]`.
    """

    def ratio(mine, theirs):
        return hypervolume(mine, reference) / hypervolume(theirs, reference)

    weights = left_out(ours.shape[-1])
    mine, theirs = (np.einsum("gb,pdb->gpd", weights, costs) for costs in (ours, others))
    return jackknife(
        ratio(ours.mean(-1), others.mean(-1)), [ratio(*pair) for pair in zip(mine, theirs)]
    )


def nadir(points: np.ndarray, margin: float = 0.1) -> np.ndarray:
    """A reference point `[D]` for fronts: the worst of the non-dominated points `[P, D]` in each
    objective, and a share `margin` of their range beyond it, so that the ends of a front count
    too."""
    front = points[nondominated(points)]
    return front.max(0) + margin * (front.max(0) - front.min(0))
