"""Tunes classical rules by cross-entropy search, by pathwise gradient, or both, in one compiled
program a rule.

Candidates are evaluated side by side on the same noise, so what is compared is the rules and not
their luck. What a tuning may simulate is a budget of periods, so that a rule and a learner can be
given the same.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError, unknown
from jaxinv.evaluation.budget import (
    METHODS,
    TuningBudget,
    choose_groups,
    divide_budget,
)
from jaxinv.evaluation.rollout import BATCH, instances_at
from jaxinv.evaluation.search import spend
from jaxinv.evaluation.statistics import mean_of
from jaxinv.keys import Role, key_of
from jaxinv.policies.rules import Rule, applicable_rules, rule_for

FEW = 8
"""Parameters that a search alone settles; it compiles in half the time of a gradient."""


@dataclass(frozen=True)
class Tuned:
    """A tuned rule.

    Attributes:
      rule: the policy.
      params: its parameters, pure numbers; with `policy_axis` set, the instances are the last axis
        of every array.
      policy_axis: `BATCH` where every instance has its own parameters, else None.
      cost: mean weighted cost a period on training noise that played no part in the choice.
      cost_interval: 95% interval over paths, or over instances where there are several.
      simulated_periods: periods of one environment simulated in all; forward passes, a gradient
        counted as one.
      history: one row a generation of the search or step of the gradient:
        `{stage, simulated_periods, cost}`. In a search `cost` is the best so far, in a gradient
        that of the best start; each on that stage's own noise.
      at_end: for each parameter that lies at an end of what was searched, the share of its numbers
        (edges, products, instances) that do: the best may lie beyond.
    """

    rule: Rule
    params: dict[str, jax.Array]
    policy_axis: int | None
    cost: float
    cost_interval: tuple[float, float]
    simulated_periods: int
    history: list[dict[str, Any]]
    at_end: dict[str, float]

    def natural(self, problem: Problem) -> dict[str, jax.Array]:
        """The parameters in product units, `[E, K]` each; with several instances these are the last
        axis.
        """
        if problem.instances == 1:
            return self.rule.natural(self.params, problem.env.facts(problem.first))
        facts = jax.vmap(problem.env.facts)(problem.train)
        natural = jax.vmap(self.rule.natural, in_axes=(self.policy_axis, 0), out_axes=BATCH)
        return natural(self.params, facts)


def tune(
    problem: Problem,
    rule: Rule,
    key: jax.Array,
    budget_periods: int = 4_000_000,
    method: str | None = None,
    per_instance: bool = False,
) -> Tuned:
    """Tunes a rule on the training instances of a problem.

    - search: the cross-entropy method (Rubinstein 1999) over ranges that follow from demand and
      move on while the best lies at an end (`jaxinv.evaluation.ranges`). It starts from a Latin
      hypercube, half of whose points give all edges the same value, and keeps the best points ever
      seen as its elite.
    - gradient: Adam on the derivative of the simulated cost with respect to the parameters
      (methods.md B.1), with divisible orders and noise that is fresh at every step, from the best
      points of a Latin hypercube. It can end on a flat: a cap too high to bind has no derivative.
    - both: the gradient goes on from the best points of the search. Best with many parameters,
      where a search alone stays a per cent behind. Rules without a useful derivative (`Rule.jumps`)
      are searched with the whole budget.

    The finalists of all stages are then compared on fresh noise in the true environment (whole
    packs) and the best is taken; where orders are whole packs every finalist also runs with its
    levels rounded to whole units, which wins a tie. Its cost is estimated on yet other noise, so it
    is free of the winner's curse.

    Args:
      key: of all the noise; the same key gives the same result.
      method: one of the above; None searches up to `FEW` parameters and does both beyond, where it
        pays.
      budget_periods: at most as many periods of one environment are simulated, warm-up included.
      per_instance: every instance gets parameters of its own (all tuned side by side) instead of
        one set for all.

    Raises:
      UserError: for an unknown method, a budget too small to tell candidates apart, or a horizon
        that leaves no training period to count.
    """
    method = _method(rule, method)
    if per_instance and problem.instances == 1:
        raise UserError("per_instance tuning needs a problem with several instances")
    groups = choose_groups(problem, key_of(key, Role.SERIES), per_instance, budget_periods)
    budget = divide_budget(
        problem, rule, budget_periods // len(groups), method, len(groups[0]), not per_instance
    )
    found = []
    for number, index in enumerate(groups):
        instance, _ = instances_at(problem.unaugmented, index)
        own = key_of(key, Role.TUNING, number)
        found.append(jax.device_get(spend(problem.env, rule, budget, instance, own)))
    params, costs, at_end = (
        jax.tree.map(
            lambda *parts: _joined(parts, problem.instances), *[group[part] for group in found]
        )
        for part in (0, 1, 3)
    )
    costs = costs.mean(0) if budget.several else costs.reshape(-1)
    shares = {name: float(np.mean(at_end[name])) for name in params}
    return Tuned(
        rule=rule,
        params=params,
        policy_axis=budget.policy_axis,
        cost=float(costs.mean()),
        cost_interval=mean_of(costs).interval,
        simulated_periods=budget.simulated_periods * len(groups),
        history=_history(budget, [group[2] for group in found]),
        at_end={name: share for name, share in shares.items() if share > 0},
    )


def tune_many(
    problem: Problem,
    key: jax.Array,
    names: list[str] | None = None,
    budget_periods: int = 4_000_000,
    method: str | None = None,
    per_instance: bool = False,
) -> dict[str, Tuned]:
    """Tunes several rules, by default all that apply, each with the whole budget and on the same
    noise.
    """
    names = applicable_rules(problem) if names is None else names

    rules = [
        rule_for(problem, name) for name in names
    ]  # one by one: forms of one forecast share its fit

    def single(rule):
        return tune(problem, rule, key, budget_periods, method, per_instance)

    # most of the time is compilation, which threads share out among the cores
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)) as pool:
        return dict(zip(names, pool.map(single, rules)))


def _method(rule: Rule, method: str | None) -> str:
    """The method that a rule is tuned by: the one that is asked for (None: the one that suits the
    number of its parameters), or a search where the rule has no derivative.
    """
    if method is None:
        method = "both" if rule.dimensions > FEW else "search"
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    if rule.jumps and method == "gradient":
        raise UserError(
            f"{rule.name} jumps in its parameters and has no gradient; use method=search"
        )
    return "search" if rule.jumps else method


def _joined(parts: Sequence[np.ndarray], instances: int) -> np.ndarray:
    """Arrays of the groups as one, which lie along the last axis; the last group was filled up."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts, BATCH)[..., :instances]


def _history(budget: TuningBudget, groups: list) -> list[dict[str, Any]]:
    search, descent = (np.mean(stage, 0) for stage in zip(*groups))
    rows = [("search", budget.generation_periods, cost) for cost in search]
    rows += [("gradient", budget.step_periods, cost) for cost in descent]
    used = len(groups) * np.cumsum([periods for _, periods, _ in rows])
    return [
        {"stage": stage, "simulated_periods": int(total), "cost": float(cost)}
        for (stage, _, cost), total in zip(rows, used)
    ]
