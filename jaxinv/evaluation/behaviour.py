"""Who decides in a log: policies from bad to the best, and the episodes that each of them plays.

- random: around a mean order, each order by chance between nothing and twice that.
- medium: base-stock whose levels are 70 to 130% of the tuned ones, another share in each episode.
- mixed: two fifths of the episodes medium, two fifths a tuned (s, S) rule whose orders are varied,
  one fifth random (methods C.3).
- expert: the optimal policy where it can be solved, else the best of the tuned rules.

All are of a problem's training worlds. Where base-stock is no rule for a network, the first that is
stands in for it; likewise for (s, S).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError
from jaxinv.evaluation.compare import contestants_of
from jaxinv.evaluation.held_out import (
    Contestant,
    SimulationSize,
    held_out_groups,
    join_groups,
    own_params,
    path_count,
)
from jaxinv.evaluation.rollout import BATCH, begin, instances_at
from jaxinv.evaluation.trajectories import Trajectories, record
from jaxinv.evaluation.tuning import tune, tune_many
from jaxinv.exact import solve_problem
from jaxinv.keys import Role, key_of
from jaxinv.policies.around import Scattered, Varied
from jaxinv.policies.registry import RULES
from jaxinv.policies.rules import default_rules, make_rule, rule_for

BEHAVIOURS = ("random", "medium", "mixed", "expert")

STEADY = ("base_stock", "dual_index", "echelon_base_stock")
REORDER = ("s_S", *STEADY)
"""Rules by name, of which the first that applies is taken."""

LOWEST, HIGHEST = 0.7, 1.3
"""Shares of a tuned level."""

SPREAD = 0.3
"""Log standard deviation of orders that are varied."""

QUICK = 4e6
"""States times orders up to which the expert is the optimum: seconds."""


class Part(NamedTuple):
    """One kind of decisions in a log.

    Attributes:
      share: of the episodes.
      contestant: who plays them; where `spread`, its numbers are drawn for each episode.
      spread: whether the levels of each episode are a share of their own of the tuned ones.
    """

    share: float
    contestant: Contestant
    spread: bool = False


class Behaviour:
    """Policies of a problem by name; each rule is tuned once, when it is first asked for.

    Args:
      problem: as learners see it (`Problem.learned_on`).
      key: of the tunings.
      periods: simulated periods that each rule is tuned with.
    """

    def __init__(self, problem: Problem, key: jax.Array, periods: int = 1_000_000):
        self.problem, self.key, self.periods = problem, key, periods
        self._tuned: dict[str, Contestant] = {}
        self._expert: Contestant | None = None

    def parts(self, name: str) -> list[Part]:
        """Who plays a log of that name: one of `BEHAVIOURS`, or a rule."""
        return {
            "random": lambda: [Part(1.0, self._random())],
            "medium": lambda: [Part(1.0, self.steady, spread=True)],
            "mixed": lambda: [
                Part(0.4, self.steady, spread=True),
                Part(0.4, self._varied()),
                Part(0.2, self._random()),
            ],
            "expert": lambda: [Part(1.0, self.expert)],
        }.get(name, lambda: [Part(1.0, self.rule(name))])()

    @property
    def steady(self) -> Contestant:
        """The tuned base-stock policy, or what stands in for it."""
        return self.rule(self._first(STEADY))

    @property
    def expert(self) -> Contestant:
        """The optimal policy, or the rule that cost least in training."""
        if self._expert is None:
            self._expert = self._best()
        return self._expert

    def rule(self, name: str) -> Contestant:
        """A tuned rule."""
        if name not in self._tuned:
            key = key_of(self.key, Role.TUNING)
            tuned = tune(self.problem, rule_for(self.problem, name), key, self.periods)
            (self._tuned[name],) = contestants_of({name: tuned})
        return self._tuned[name]

    def _best(self):
        try:
            solution = solve_problem(self.problem, most=QUICK)
        except UserError:
            names = default_rules(self.problem)
            tuned = tune_many(self.problem, key_of(self.key, Role.TUNING), names, self.periods)
            best = min(tuned, key=lambda name: tuned[name].cost)
            return contestants_of({best: tuned[best]})[0]
        return Contestant("optimal", solution.policy, solution.params)

    def _first(self, names):
        found = [name for name in (*names, *RULES) if RULES[name].applies(self.problem)]
        return found[0]

    def _random(self):
        rule = make_rule("constant_order", self.problem.env.topology)
        numbers = {name: jnp.ones(shape) for name, shape in rule.shapes().items()}
        policy = Scattered(rule.topology, rule)
        return Contestant("orders by chance", policy, {"policy": numbers})

    def _varied(self):
        name, policy, params, axis = self.rule(self._first(REORDER))
        around = {"policy": params, "spread": jnp.float32(SPREAD)}
        return Contestant(f"{name}, varied", Varied(policy.topology, policy), around, axis)


def play_log(
    problem: Problem, parts: Sequence[Part], baseline: Contestant, key: jax.Array,
    episodes: int, periods: int,
) -> Trajectories:  # fmt: skip
    """Plays the episodes of all parts, each from a reset on, and a baseline in the same worlds.

    Args:
      problem: as learners see it; series that it holds out are not played.

    Returns:
      Trajectories of all episodes, one part after another. Where one part draws and another does
      not, the log-probability of what the other decided is 0.

    Raises:
      UserError: for more periods than demand is recorded, or no episode for a part.
    """
    longest = min(problem.recorded(problem.train), problem.horizon if problem.ends else np.inf)
    if not 1 <= periods <= longest:
        raise UserError(f"periods={periods} must be 1 .. {longest:.0f}, as long as demand is known")
    if episodes < len(parts) or min(part.share for part in parts) * episodes < 1:
        raise UserError(f"episodes={episodes} leave a part of the log without one; give more")
    ends = np.round(np.cumsum([0.0] + [part.share for part in parts]) * episodes).astype(int)
    played = []
    for number, (part, begins, ends_before) in enumerate(zip(parts, ends, ends[1:])):
        index = np.arange(begins, ends_before)
        played.append(_play(problem, part, baseline, key_of(key, Role.LOG, number), index, periods))
    if any(one.log_prob is not None for one in played):
        played = [
            one if one.log_prob is not None else one.replace(log_prob=jnp.zeros_like(one.reward))
            for one in played
        ]
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves, BATCH), *played)


def behaviour_costs(
    problem: Problem, parts: Sequence[Part], key: jax.Array, paths: int
) -> np.ndarray:
    """What the policies of a log cost a period on each path `[B]` of the held-out noise, paired
    with `costs` of any other; each path is one part's, by its share.
    """
    ends = np.cumsum([part.share for part in parts])
    costs, size = [], SimulationSize.of(problem)
    for number, part in enumerate(parts):
        found = []
        for index, instance, world in held_out_groups(problem, key, paths):
            params, axis = _params(part, key_of(key, Role.LOG, number), index)
            policy = part.contestant.policy
            found.append(size.simulate(problem.env, policy, axis, instance, params, world))
        total = join_groups(found, path_count(problem, paths))
        costs.append(-total.reward / (problem.test_periods - problem.warm_up))
    place = (np.arange(costs[0].shape[-1]) + 0.5) / costs[0].shape[-1]
    return np.choose(np.searchsorted(ends, place).clip(max=len(parts) - 1), costs)


def _params(part: Part, key: jax.Array, index: np.ndarray) -> tuple[Any, int | None]:
    """Numbers of who plays episodes of these instances, and their axis."""
    _, policy, params, axis = part.contestant
    params = params if axis is None else own_params(params, index)
    if not part.spread:
        return params, axis
    key = key_of(key, Role.TRIALS)
    share = jax.random.uniform(key, index.shape, jnp.float32, LOWEST, HIGHEST)
    return _scaled(policy, params, axis, share), BATCH


def _play(problem, part, baseline, key, index, periods):
    """One part, whose episodes have these numbers among all."""
    shown = np.setdiff1d(np.arange(problem.instances), problem.held_out)
    index = shown[index % len(shown)]
    instance, axis = instances_at(problem.unaugmented, index)
    episodes = begin(problem.env, key, instance, len(index), axis)
    params, policy_axis = _params(part, key, index)
    policy = part.contestant.policy
    options = dict(axis=axis, policy_axis=policy_axis)
    log = record(problem.env, instance, policy, params, episodes, periods, **options)[1]
    return log.replace(
        baseline=_reward(problem, baseline, instance, episodes, index, periods, axis),
        network=None, memory=None,
    )  # fmt: skip


def _reward(problem, contestant, instance, episodes, index, periods, axis):
    """Rewards `[T, B]` of a policy in the very same worlds."""
    _, policy, params, policy_axis = contestant
    params = params if policy_axis is None else own_params(params, index)
    options = dict(axis=axis, policy_axis=policy_axis)
    return record(problem.env, instance, policy, params, episodes, periods, **options)[1].reward


def _scaled(rule, params, axis, share) -> dict[str, Any]:
    """Numbers `[..., B]` of a rule whose levels are multiplied by the share of each episode."""
    return {
        name: (value if axis is not None else jnp.asarray(value)[..., None])
        * jnp.where(name in rule.levels, share, 1.0)
        for name, value in params.items()
    }
