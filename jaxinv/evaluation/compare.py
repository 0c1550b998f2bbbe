"""Evaluates policies on the same held-out noise and compares them path by path."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxinv.envs.network import COSTS
from jaxinv.envs.problem import Problem
from jaxinv.errors import unknown
from jaxinv.evaluation.held_out import Contestant, Periods, costs_of, forecast_error, measure
from jaxinv.evaluation.simulate import Totals
from jaxinv.evaluation.statistics import (
    Estimate,
    Factor,
    Over,
    blocks,
    mean_of,
    optimality_gap,
    paired_difference,
    ratio_of_sums,
    relative_difference,
)
from jaxinv.evaluation.tuning import Tuned

COLUMNS = {
    "policy": "policy",
    "cost": "cost",
    "cost_interval": "95%",
    "relative_difference": "vs best rule, %",
    "relative_difference_interval": "95%",
    "difference": "vs best rule",
    "difference_interval": "95%",
    "gap": "gap, %",
    "fill_rate": "fill rate, %",
    "stockout_rate": "stock-outs, %",
    "turnover": "turns a year",
    "forecast_error": "WAPE, %",
    "choice_cost": "cost to choose by",
    "chosen": "chosen",
}
"""Headings, in order, of the table for people (`jaxinv.cli.table`); the documents hold more."""


class Evaluation(NamedTuple):
    """Policies that were measured and judged on one problem.

    Attributes:
      problem, contestants, key: who was judged, and on which held-out noise.
      totals: what each of them did there (`measure`), by name.
      rows: of `evaluate`, one a contestant and in their order.
      label: what tells the problem from others that were judged with it; empty where there is but
        one.
    """

    problem: Problem
    contestants: list[Contestant]
    key: jax.Array
    totals: dict[str, Totals]
    rows: list[dict[str, Any]]
    label: str = ""


def contestants_of(tuned: Mapping[str, Tuned]) -> list[Contestant]:
    """Tuned rules as contestants."""
    return [
        Contestant(name, rule.rule, rule.params, rule.policy_axis) for name, rule in tuned.items()
    ]


def best_of(tuned: Mapping[str, Tuned]) -> str:
    """Name of the rule with the lowest cost in training: the one that others are compared with.

    Where demand changes between training and test, this rule may be a poor one later. Compare with
    all rules then (`baseline` of `evaluate`).
    """
    return min(tuned, key=lambda name: tuned[name].cost)


def evaluate(
    problem: Problem,
    contestants: Sequence[Contestant],
    key: jax.Array,
    *,
    paths: int = 512,
    baseline: str | Sequence[str] | None = None,
    reference: str | float | np.ndarray | None = None,
    level: float = 0.95,
    totals: Mapping[str, Totals] | None = None,
    theirs: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """One row for each policy, all on the same noise of `problem.test`.

    With several instances each is one path, in order, so that policies are paired by instance; a
    single instance is run on `paths` independent episodes. An episode lasts `problem.test_periods`,
    of which the warm-up is not counted.

    Args:
      baseline: the contestant that all are compared with, such as the rule that was cheapest in
        training (`best_of`). Of several names, such as those of all rules, it is the cheapest on
        this same noise. That choice favours the rules, so a policy that beats the best of them is
        judged conservatively. None for no comparison.
      reference: the name of the contestant that is optimal, whose cost on the same paths gaps are
        measured by; or the optimal average cost or a bound, one number or one for each path `[B]`
        (`just_in_time`).
      level: of all intervals.
      totals: what they did (`measure`), by name, where it has been measured already.
      theirs: contestants that every other is also compared with one by one, such as what people
        really ordered.

    Returns:
      Rows with `policy`; `cost`, the mean weighted cost a period and path; `difference` from the
      baseline in the same unit and `relative_difference` as a share of the baseline's cost, below
      zero is better; `gap`, cost over reference minus 1; an interval `[low, high]` beside each of
      them, and what these are over (`units_of`) in `interval_over`; `best_rule`, the baseline's
      name; `versus`, the same two differences from each of `theirs`; `fill_rate`, the share of
      units served at once; `stock`, units on hand at the end of a period, a mean over periods and
      paths, and `stock_value`, their worth where that is known; `stockout_rate`, the share of
      periods (of a node and product) with demand unserved; `turnover`, units sold a year over mean
      stock; `parts`, the weighted cost parts, which add up to the cost; `forecast_error` of
      policies that forecast (see there). What does not apply is None.

    Raises:
      UserError: if a baseline is no contestant.
    """
    contestants = [Contestant(*contestant) for contestant in contestants]
    names = [contestant.name for contestant in contestants]
    baselines = [baseline] if isinstance(baseline, str) else list(baseline or ())
    for name in baselines:
        if name not in names:
            raise unknown("baseline", name, names)
    totals = totals or {
        contestant.name: measure(problem, contestant, key, paths) for contestant in contestants
    }
    periods = problem.test_periods - problem.warm_up
    costs = {name: costs_of(problem, total) for name, total in totals.items()}
    best = min(baselines, key=lambda name: costs[name].mean(), default=None)
    reference = costs[reference] if isinstance(reference, str) else reference
    judged = {"over": units_of(problem), "level": level}

    rows = []
    for contestant in contestants:
        cost, total = costs[contestant.name], totals[contestant.name]
        mean = mean_of(cost, **judged)
        row = {
            "policy": contestant.name,
            **_entry("cost", mean),
            "interval_over": _over(problem, mean),
            "best_rule": best,
        }
        gap = None
        if reference is not None and np.sum(reference) > 0:
            gap = optimality_gap(cost, reference, **judged)
        row |= _differences(cost, None if best is None else costs[best], judged)
        row |= _entry("gap", gap)
        if theirs:
            row["versus"] = {name: _differences(cost, costs[name], judged) for name in theirs}
        row |= _service(problem, total, periods, judged)
        row["parts"] = _parts(problem, total, periods)
        row["forecast_error"] = forecast_error(problem, contestant, key, paths)
        rows.append(row)
    return rows


def units_of(problem: Problem) -> Over:
    """What `costs_of` has in common, for intervals: nothing but a path or series, or blocks of
    periods and clusters.
    """
    shared = problem.shared
    if shared is None:
        return ("paths" if problem.single else "series",)
    clusters = [Factor(name, labels) for name, labels in shared.clusters] or ["series"]
    length = problem.test_periods - problem.warm_up
    return blocks(length, problem.env.topology.max_lead_time, f"{shared.period}s"), *clusters


def _over(problem: Problem, estimate: Estimate) -> str | None:
    same = problem.shared.same if problem.shared else ""
    return (f"{estimate.over}, in the same {same}" if same else estimate.over) or None


# Parts of a row


def _entry(name: str, estimate: Estimate | None) -> dict[str, Any]:
    """An estimate and its interval as two keys; None for what is unknown."""
    if estimate is None:
        return {name: None, f"{name}_interval": None}
    known = not math.isnan(estimate.low)
    return {
        name: estimate.value,
        f"{name}_interval": [estimate.low, estimate.high] if known else None,
    }


def _differences(
    cost: np.ndarray, against: np.ndarray | None, judged: Mapping[str, Any]
) -> dict[str, Any]:
    difference = relative = None
    if against is not None:
        difference = paired_difference(cost, against, **judged)
        relative = relative_difference(cost, against, **judged) if against.sum() > 0 else None
    return _entry("difference", difference) | _entry("relative_difference", relative)


def _service(
    problem: Problem, total: Totals, periods: int, judged: Mapping[str, Any]
) -> dict[str, Any]:
    each = total.by_period or Periods(
        total.reward, total.demand, total.short, total.on_hand / periods
    )
    worth = problem.shop.unit_value if problem.shop else None
    served = ratio_of_sums(each.demand - each.short, each.demand, **judged)
    value = None if worth is None else mean_of(each.on_hand * worth, **judged)
    return {
        **_entry("fill_rate", None if math.isnan(served.value) else served),
        **_entry("stock", mean_of(each.on_hand, **judged)),
        **_entry("stock_value", value),
        **_rates(problem, total, periods),
    }


def _rates(problem: Problem, total: Totals, periods: int) -> dict[str, float | None]:
    topology, paths = problem.env.topology, total.demand.size
    on_hand = total.on_hand.sum()
    return {
        "stockout_rate": float(
            total.stockouts.sum()
            / (paths * periods * len(topology.demand_nodes) * topology.products)
        ),
        "turnover": (
            float(problem.periods_per_year * total.sold.sum() / on_hand) if on_hand > 0 else None
        ),
    }


def _parts(problem: Problem, total: Totals, periods: int) -> dict[str, float]:
    """Weighted cost parts a period and path; those that are nothing are left out."""
    parts = (np.asarray(problem.test.weights).T * total.costs).mean(1) / periods
    return {name: float(part) for name, part in zip(COSTS, parts) if part}
