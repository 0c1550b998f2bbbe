"""Evaluates policies on the same held-out noise and compares them path by path."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.landed import landed_cost
from jaxinv.envs.network import COSTS, InstanceParams, NetworkState
from jaxinv.envs.problem import Problem
from jaxinv.envs.topology import Topology
from jaxinv.errors import unknown
from jaxinv.evaluation.budget import instance_groups
from jaxinv.evaluation.rollout import BATCH, WorldTrace, instances_at, play_world
from jaxinv.evaluation.simulate import Totals, simulate_in
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
from jaxinv.keys import Role, key_of
from jaxinv.policies.policy import Policy

PATHS = 1024
"""Most paths in one program; it bounds the memory of an evaluation."""

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


class Contestant(NamedTuple):
    """A policy under evaluation.

    Attributes:
      name: what its row is called.
      params: its parameters; `policy_axis` is `BATCH` where their last axis is the instances of the
        problem.
    """

    name: str
    policy: Policy
    params: Any
    policy_axis: int | None = None


@struct.dataclass
class Periods:
    """What a policy did in each counted period of each instance, `[T, B]`."""

    cost: jax.Array
    demand: jax.Array  # units
    short: jax.Array  # units of demand not served at once
    on_hand: jax.Array  # units at the end of the period


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

    Where demand moves between training and test this can be a rule that fits the past and fails
    later; a claim to beat the best rule is then better made against all of them (`evaluate`,
    `baseline`).
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
        this very noise: that gives the rules the luck of the draw, and so leans against whoever is
        to beat the best of them. None for no comparison.
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


def measure(problem: Problem, contestant: Contestant, key: jax.Array, paths: int = 512) -> Totals:
    """What a policy did on each path of the held-out noise: `Totals` of NumPy arrays `[..., B]`.

    The noise depends on the key, the problem and `paths` alone, so any two calls can be paired.
    Where instances share their periods there are the `Periods` too, 16 bytes a period and instance.
    """
    name, policy, params, policy_axis = contestant
    parts = []
    for index, instance, world in held_out_groups(problem, key, paths):
        own = params if policy_axis is None else own_params(params, index)
        parts.append(
            _simulate(
                problem.env, policy, SimulationSize.of(problem), policy_axis, instance, own, world
            )
        )
    return _join(parts, path_count(problem, paths))


def costs(problem: Problem, contestant: Contestant, key: jax.Array, paths: int = 512) -> np.ndarray:
    """What a policy costs a period on the noise of `measure`: `costs_of` what it did there."""
    return costs_of(problem, measure(problem, contestant, key, paths))


def costs_of(problem: Problem, total: Totals) -> np.ndarray:
    """What a policy cost a period on each path `[B]` or, where instances share their periods, in
    each of these `[T, B]`.
    """
    return (
        -total.reward / (problem.test_periods - problem.warm_up)
        if problem.shared is None
        else total.by_period.cost
    )


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


def forecast_error(
    problem: Problem, contestant: Contestant, key: jax.Array, paths: int = 512
) -> float | None:
    """WAPE of a policy's forecast of the coming period: sum |demand - forecast| over sum of demand.

    On the held-out demand of `measure`, which is the same for all policies and uncensored. None for
    policies that do not forecast (`Policy.predict`).
    """
    if not contestant.policy.forecasts:
        return None
    error = demand = 0.0
    params, policy_axis = contestant.params, contestant.policy_axis
    for index, instance, world in held_out_groups(problem, key, paths):
        own = params if policy_axis is None else own_params(params, index)
        sums = _forecast_sums(
            problem.env,
            contestant.policy,
            SimulationSize.of(problem),
            policy_axis,
            instance,
            own,
            world,
        )
        error, demand = error + float(sums[0]), demand + float(sums[1])
    return error / demand if demand > 0 else None


def just_in_time(problem: Problem, key: jax.Array, paths: int = 512) -> np.ndarray | None:
    """A clairvoyant's unavoidable cost: a lower bound `[B]` on the cost a period of each path of
    `measure`.

    Who knows demand in advance holds no stock and is never short, so what remains of each unit of
    demand is the cheapest landed cost of bringing it in (purchase, duty, the lowest freight rate,
    holding in transit) less its price; or, where sales may be lost, the penalty if that is less.
    Fixed costs, packs, minimum orders, limits and capacities can only add to it. It holds in the
    long run: within an episode a policy may also live on stock bought in the warm-up.

    None where it says nothing: for a problem without such costs (as `lost_sales` and `backlog` by
    default, where the clairvoyant pays nothing, and a gap relative to nothing is no number), with
    returns, perishable goods or prices that move, and where profits make it negative.
    """
    topology = problem.env.topology
    if topology.return_lags or topology.ages > 1:
        return None
    bound = unavoidable_cost(problem, key, paths)
    return bound if bound.sum() > 0 else None


def unavoidable_cost(problem: Problem, key: jax.Array, paths: int = 512) -> np.ndarray:
    """The cost a period of the clairvoyant of `just_in_time` on each path `[B]`; a profit where it
    is below zero.
    """
    parts = [
        _unavoidable(problem.env, SimulationSize.of(problem), instance, world)
        for _, instance, world in held_out_groups(problem, key, paths)
    ]
    return _join(parts, path_count(problem, paths))


# --- rows
# -------------------------------------------------------------------------------------------


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


# --- simulation in groups
# ---------------------------------------------------------------------------


class SimulationSize(NamedTuple):
    """What a compiled evaluation depends on besides the environment."""

    warm_up: int
    periods: int
    axis: int | None
    by_period: bool

    @classmethod
    def of(cls, problem: Problem) -> "SimulationSize":
        axis = None if problem.tested == 1 else BATCH
        return cls(
            problem.warm_up,
            problem.test_periods - problem.warm_up,
            axis,
            problem.shared is not None,
        )


def held_out_groups(
    problem: Problem, key: jax.Array, paths: int
) -> Iterator[tuple[np.ndarray, InstanceParams, tuple[NetworkState, WorldTrace, jax.Array]]]:
    """The paths in groups of equal size with their instances, worlds and keys; the last group is
    filled up.
    """
    for number, index in enumerate(instance_groups(path_count(problem, paths), PATHS)):
        index = index % problem.tested
        instance, axis = instances_at(problem.test, index)
        own = key_of(key, Role.EVIDENCE, number)
        yield (
            index,
            instance,
            (*play_world(problem.env, own, instance, len(index), problem.test_periods, axis), own),
        )


def path_count(problem: Problem, wanted: int) -> int:
    """One of each instance, in order; as many as are wanted of one whose noise is drawn."""
    return wanted if problem.single else problem.tested


def own_params(tree: Any, index: np.ndarray) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[..., index], tree)


def _join(parts: list, paths: int):
    """Groups along the last axis, without what filled up the last one."""
    return jax.tree.map(
        lambda *leaves: np.concatenate(leaves, BATCH)[..., :paths], *jax.device_get(parts)
    )


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _simulate(
    env: InventoryNetwork,
    policy: Policy,
    size: SimulationSize,
    policy_axis,
    instance,
    params,
    world,
) -> Totals:
    return simulate_in(
        env,
        instance,
        policy,
        params,
        *world,
        warm_up=size.warm_up,
        axis=size.axis,
        policy_axis=policy_axis,
        keep=_each_period if size.by_period else None,
    )


def _each_period(outcome):
    return Periods(
        -outcome.reward, outcome.demand.sum(), outcome.short.sum(), outcome.on_hand.sum()
    )


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _forecast_sums(env, policy: Policy, size: SimulationSize, policy_axis, instance, params, world):
    """Sums of absolute forecast errors and of demand over the counted periods of a group."""
    periods = min(size.warm_up + size.periods, 512)
    demand, signals = (
        world[1].exogenous.demand[:periods],
        world[1].signals[: env.history - 1 + periods],
    )

    def single(params, signals, demand, instance):
        contexts = policy.encode(params, signals, env.facts(instance))
        predicted = jax.vmap(policy.predict)(contexts)[env.history - 1 :]
        counted = slice(size.warm_up, None)
        return jnp.abs(demand - predicted)[counted].sum(), demand[counted].sum()

    sums = jax.vmap(single, in_axes=(policy_axis, BATCH, BATCH, size.axis))(
        params, signals, demand, instance
    )
    return jax.tree.map(jnp.sum, sums)


@partial(jax.jit, static_argnums=(0, 1))
def _unavoidable(env: InventoryNetwork, size: SimulationSize, instance, world) -> jax.Array:
    """Mean unavoidable cost a period `[B]`: the demand of `_simulate` times what a unit costs at
    least.
    """
    demand = world[1].exogenous.demand[size.warm_up :].sum(0)  # [D, K, B]

    def single(demand, instance):
        least = least_unit_cost(env.topology, instance)
        return jnp.sum(env.topology.at_demand_nodes(demand) * least) / size.periods

    return jax.vmap(single, in_axes=(BATCH, size.axis))(demand, instance)


def least_unit_cost(topology: Topology, params: InstanceParams) -> jax.Array:
    """The least weighted cost of a unit of demand at each node `[N, K]`: the cheapest way in, or
    none.
    """
    weights = dict(zip(COSTS, params.weights))
    landed = landed_cost(topology, params)
    if topology.has("revenue"):
        landed -= weights["revenue"] * params.price
    return (
        landed if topology.backlog else jnp.minimum(landed, weights["shortage"] * params.shortage)
    )
