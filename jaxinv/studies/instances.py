"""The registry of published instances, measured: every printed number beside ours.

Optima and single-store rules are exact; rules of networks are simulated. What a paper simulated is
compared within the standard errors of both.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxinv.envs.problem import Problem
from jaxinv.errors import UserError
from jaxinv.evaluation.held_out import Contestant
from jaxinv.evaluation.held_out import measure as measure_paths
from jaxinv.evaluation.simulate import simulate
from jaxinv.evaluation.statistics import Estimate
from jaxinv.evaluation.tuning import tune
from jaxinv.exact import Enumeration, enumerate_states
from jaxinv.exact.clark_scarf import solve_serial_normal
from jaxinv.exact.enumeration import expected_costs
from jaxinv.exact.in_class import BestRule, RuleCosts, best_numbers
from jaxinv.exact.lattice import cover
from jaxinv.exact.solve import pure_numbers
from jaxinv.instances import INSTANCES, Instance, Published, instances_of
from jaxinv.instances.networks import STERMAN
from jaxinv.instances.perishable import DISCOUNT, PERIODS, WARM_UP
from jaxinv.keys import Role, key_of, root
from jaxinv.policies.rules import AnchorAndAdjust, make_rule
from jaxinv.studies import deepstock_optimum
from jaxinv.studies.rows import row

PUBLISHED_PATHS = 10_000
"""Paths that the perishable returns were averaged over in print."""

DISCOUNTED = (1 - DISCOUNT**PERIODS) / (1 - DISCOUNT)
"""A return is discounted over a year that starts in the steady state: that many mean rewards."""

TUNING = 5_000_000
"""Periods that levels of a network are tuned with."""

PATHS = 4096
"""Paths of a simulation."""


class Computed(NamedTuple):
    """Our number and its standard error, 0 where it is exact."""

    value: float
    error: float = 0.0


class SolvedInstance:
    """One instance and what has been worked out on it, each thing once."""

    def __init__(self, instance: Instance):
        self.instance = instance
        self._solved: dict[float, Enumeration] = {}

    @cached_property
    def problem(self) -> Problem:
        return self.instance.problem()

    @property
    def env(self):
        return self.problem.env

    @property
    def params(self):
        return self.problem.first

    def solved(self, discount: float = 1.0) -> Enumeration:
        if discount not in self._solved:
            self._solved[discount] = enumerate_states(self.env, self.params, discount=discount)
        return self._solved[discount]


def run(quick: bool = False, parts: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`) of all instances, one by one.

    Args:
      quick: without the instances that take minutes.
      parts: families of instances; all of them where not given.
    """
    chosen = (
        [instance for family in parts for instance in instances_of(family)] if parts else INSTANCES
    )
    for instance in chosen:
        if quick and instance.slow:
            continue
        bench = SolvedInstance(instance)
        for claim, published in instance.published.items():
            measured = compute(bench, claim)
            if claim.endswith(" return"):  # averages of simulated paths, in print too
                published = dataclasses.replace(
                    published, error=published.error + 1.96 * return_error(bench)
                )
            yield _row(instance, claim, published, measured)


def compute(bench: SolvedInstance, claim: str) -> Computed:
    """Ours of a claim: a name in `MEASURES`, or "gap of RULE, %"."""
    if claim.startswith("gap of "):
        rule = claim.removeprefix("gap of ").removesuffix(", %")
        return Computed(100 * (MEASURES[rule](bench).value / bench.solved().cost - 1))
    if claim not in MEASURES:
        raise UserError(f"the study of instances has no measure called {claim!r}")
    return MEASURES[claim](bench)


def _row(
    instance: Instance, claim: str, published: Published, measured: Computed
) -> dict[str, Any]:
    spread = 1.96 * measured.error
    difference = abs(measured.value - published.value)
    allowed = published.error + spread
    verdict = (
        "reproduced"
        if difference <= published.error
        else "within error"
        if difference <= allowed
        else "differs"
    )
    if verdict == "differs" and published.excuse:
        verdict = "not reproducible"
    return row(
        f"{instance.name}: {claim}",
        Estimate(
            measured.value, measured.value - spread, measured.value + spread, "simulated periods"
        ),
        holds=difference <= allowed,
        reference=published.value,
        verdict=verdict,
        note=published.excuse if verdict == "not reproducible" else "",
        source=instance.source,
    )


# --- measures
# ---------------------------------------------------------------------------------------


def optimal(bench: SolvedInstance) -> Computed:
    return Computed(bench.solved().cost)


def capped_base_stock(bench: SolvedInstance) -> Computed:
    """The best level and cap; of two suppliers the fast one is not capped (Veeraraghavan &
    Scheller-Wolf's policy).
    """
    levels, most = _levels(bench), bench.solved().grid.orders.high
    if bench.env.topology.edges == 1:
        return _best(bench, "capped_base_stock", {"level": levels, "cap": [[_mean(bench) + 1]]})
    start = {"level": levels, "cap": [[2 * most[0]], [_mean(bench) + 1]]}
    return _best(
        bench,
        "capped_base_stock",
        start,
        free={"level": [[True], [True]], "cap": [[False], [True]]},
    )


def dual_index(bench: SolvedInstance) -> Computed:
    return _best(bench, "dual_index", {"level": _levels(bench)})


def tailored_base_surge(bench: SolvedInstance) -> Computed:
    """The constant order is the largest below mean demand; at the mean, stock would have no steady
    state.
    """
    start = {"level": _levels(bench), "quantity": [[0], [_mean(bench) - 1]]}
    return _best(
        bench,
        "tailored_base_surge",
        start,
        free={"level": [[True], [False]], "quantity": [[False], [False]]},
    )


def best_base_stock(bench: SolvedInstance) -> Computed:
    """The best level; of two suppliers, the best single-index policy."""
    levels = _levels(bench)
    if bench.env.topology.edges == 1:
        return _best(bench, "base_stock", {"level": levels})
    costs = RuleCosts(bench.env, bench.params, make_rule("base_stock", bench.env.topology))
    gaps = range(
        2 * _mean(bench)
    )  # a fast level further below the slow one than a period's demand never matters
    return Computed(min(_down(costs, levels[1, 0] + _mean(bench), [[-gap], [0]]) for gap in gaps))


def order_up_to(bench: SolvedInstance) -> Computed:
    return _best(
        bench, "s_S", {"reorder": _levels(bench) - _lot(bench) // 2, "gap": [[_lot(bench)]]}
    )


def lots(bench: SolvedInstance) -> Computed:
    return _best(
        bench, "r_nQ", {"reorder": _levels(bench) - _lot(bench) // 2, "lot": [[_lot(bench)]]}
    )


def optimal_return(bench: SolvedInstance) -> Computed:
    """Of a year after `WARM_UP` periods that begin with nothing in stock, as in print: where orders
    come every other period, the start is never forgotten."""
    found = bench.solved(DISCOUNT)
    costs = expected_costs(found.mdp, found.orders, WARM_UP + PERIODS)[WARM_UP:]
    return Computed(-float(DISCOUNT ** np.arange(PERIODS) @ costs))


def base_stock_return(bench: SolvedInstance) -> Computed:
    """Of the levels up to the largest order, as in print; the cost has one valley, so the search
    goes down into it.
    """
    costs = RuleCosts(bench.env, bench.params, make_rule("base_stock", bench.env.topology))
    return Computed(-DISCOUNTED * _down(costs, float(np.max(bench.params.max_order)), [[0]]))


def continuous_review(bench: SolvedInstance) -> Computed:
    found = solve_serial_normal(**bench.instance.options)
    return Computed(found.average_cost, found.error)


def anchor_and_adjust(bench: SolvedInstance) -> Computed:
    """The total cost of one game."""
    env, params = bench.env, bench.params
    rule = AnchorAndAdjust(env.topology, settled=5)
    edges = (env.topology.edges, 1)
    numbers = {
        name: np.broadcast_to(np.reshape(value, (-1, 1)), edges) for name, value in STERMAN.items()
    }
    pure = pure_numbers(rule, numbers, env, params)
    weeks = bench.instance.options["horizon"]
    return Computed(
        -float(simulate(env, params, rule, pure, root(0), batch=1, periods=weeks).reward[0])
    )


def echelon_base_stock(bench: SolvedInstance) -> Computed:
    """Levels tuned by simulation, then their cost on fresh paths."""
    key = root(0)
    tuned = tune(bench.problem, make_rule("echelon_base_stock", bench.env.topology), key, TUNING)
    contestant = Contestant("echelon_base_stock", tuned.rule, tuned.params)
    costs = -measure_paths(bench.problem, contestant, key, PATHS).reward
    return Computed(float(costs.mean()), float(costs.std()) / math.sqrt(len(costs)))


def deepstock_expected(bench: SolvedInstance) -> Computed:
    return Computed(deepstock_optimum.expected_cost(bench.problem))


def deepstock_tested(
    bench: SolvedInstance, law: np.ndarray = deepstock_optimum.TRUE_LAW
) -> Computed:
    costs = deepstock_optimum.costs_on_test_paths(bench.problem, law)
    return Computed(costs.mean(), costs.std() / math.sqrt(len(costs)))


def deepstock_learned(bench: SolvedInstance) -> Computed:
    return deepstock_tested(bench, deepstock_optimum.empirical_law())


MEASURES: dict[str, Callable[[SolvedInstance], Computed]] = {
    "optimal": optimal,
    "capped_base_stock": capped_base_stock,
    "base_stock": best_base_stock,
    "dual_index": dual_index,
    "tailored_base_surge": tailored_base_surge,
    "s_S": order_up_to,
    "r_nQ": lots,
    "optimal return": optimal_return,
    "base_stock return": base_stock_return,
    "continuous review": continuous_review,
    "anchor_and_adjust": anchor_and_adjust,
    "echelon_base_stock over 100 periods": echelon_base_stock,
    "expected cost a day": deepstock_expected,
    "cost on test paths": deepstock_tested,
    "cost on test paths, law from 10 paths": deepstock_learned,
}


def return_error(bench: SolvedInstance) -> float:
    """Standard error of a return in print, from the spread of simulated years under the same
    policy.
    """
    found = bench.solved(DISCOUNT)
    rewards = _simulated_years(bench.env, found.policy, bench.params, found.params)
    return DISCOUNTED * float(np.std(rewards)) / PERIODS / math.sqrt(PUBLISHED_PATHS)


def _best(
    bench: SolvedInstance, name: str, *starts: dict[str, Any], free: dict[str, Any] | None = None
) -> Computed:
    """The best of a class, searched from each start."""
    costs = RuleCosts(bench.env, bench.params, make_rule(name, bench.env.topology))
    found: list[BestRule] = [
        best_numbers(costs, {key: np.asarray(value, float) for key, value in start.items()}, free)
        for start in starts
    ]
    return Computed(min(best.cost for best in found))


def _down(costs: RuleCosts, high: float, gaps: list[list[float]]) -> float:
    """The least cost of levels that go down together from `high`, at `gaps` `[E, 1]` from it; it
    has one valley.
    """
    best = math.inf
    for level in np.arange(high, 0, -1):
        cost = costs({"level": np.maximum(level + np.array(gaps), 0.0)})
        if cost > best:
            break
        best = cost
    return best


def _levels(bench: SolvedInstance) -> np.ndarray:
    """Levels to start a search from `[E, 1]`: the stock that demand over each lead time is met from
    nine times in ten.
    """
    topology, (demand, mass) = (
        bench.env.topology,
        bench.env.world.demand.support(bench.params.demand),
    )
    law = np.bincount(demand[:, 0, 0].astype(int), mass)
    return np.array(
        [
            [float(np.searchsorted(np.cumsum(cover(law, lead + 1)), 0.9))]
            for lead in topology.lead_times
        ]
    )


def _mean(bench: SolvedInstance) -> int:
    return round(float(bench.params.scale[0, 0]))


def _lot(bench: SolvedInstance) -> int:
    """The economic order quantity."""
    fixed, holding = float(bench.params.fixed_cost[0, 0]), float(bench.params.holding[0, 0])
    return round(math.sqrt(2 * fixed * _mean(bench) / holding))


@partial(jax.jit, static_argnums=(0, 1))
def _simulated_years(env, policy, params, orders):
    return simulate(
        env,
        params,
        policy,
        orders,
        key_of(root(0), Role.STUDY),
        batch=512,
        periods=PERIODS,
        warm_up=WARM_UP,
    ).reward
