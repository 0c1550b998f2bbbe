"""Tabular Q-learning on two small warehouses that send each other stock (seed 001), beside the
exact optimum.

Costs are exact: a greedy policy is put into the tables of `jaxinv.exact`, and its discounted cost
is that of the linear equations of its chain, from the states as often as the optimal policy comes
to them. All seeds of a learner are one program. Parts: `learners`, joint and independent, on
stochastic demand; `two_days`, the paper's two days; `rules`, the tuned transshipment rule;
`networks`, differentiable simulation and PPO.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.agents.loop import Trainer, stack_agents
from jaxinv.agents.registry import AGENTS
from jaxinv.agents.tabular import TabularConfig, TabularQ
from jaxinv.agents.validation import Validation
from jaxinv.demand.processes import TableParams, Tabulated, TraceParams, TraceReplay
from jaxinv.envs.as_written import DAYS
from jaxinv.envs.builder import Network
from jaxinv.envs.problem import Preset, Problem
from jaxinv.envs.two_warehouses import WAREHOUSES, TwoWarehouses
from jaxinv.errors import unknown
from jaxinv.evaluation.held_out import Contestant, costs
from jaxinv.evaluation.statistics import Estimate, mean_of, optimality_gap, paired_difference
from jaxinv.evaluation.tuning import tune
from jaxinv.exact.enumeration import Enumeration, enumerate_states, visits
from jaxinv.exact.finite_horizon import backward_induction
from jaxinv.exact.mdp import tabulate
from jaxinv.exact.of_policy import discounted_costs, orders_in_every_state
from jaxinv.exact.state_space import StateSpace
from jaxinv.keys import Role, key_of, keys_of, root
from jaxinv.policies.rules import rule_for
from jaxinv.studies.rows import RESERVED_SEED, row
from jaxinv.studies.seeds import trained

PARTS = ("learners", "two_days", "rules", "networks")

WITHIN = 1.0
"""Per cent above the optimum that a table may end."""

JOINT = TabularConfig(updates=1000, largest_order=2, largest_transfer=1)
"""The optimal policy orders no more."""

NETWORKS: dict[str, tuple[dict[str, Any], float]] = {
    "diffsim": (dict(updates=1500, rounding=0.0), 0.3),
    "ppo": (dict(updates=150, exploration=-1.0), 1.0),
}
"""Settings beside those that suit a store, and the gap in per cent that is asked for."""

PATHS = 1024

TENS = 10
"""Units in which the two days of the paper are counted."""


def run(quick: bool = False, parts: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`).

    Args:
      quick: 30 seeds instead of 1000 of the joint table and 200 of what it is compared with; no
        networks.
      parts: of `PARTS`; all where not given.
    """
    for part in parts:
        if part not in PARTS:
            raise unknown("part of the study", part, PARTS)
    wanted = parts or (PARTS[:-1] if quick else PARTS)
    if "learners" in wanted:
        yield from learners(*((30, 30) if quick else (1000, 200)))
    if "two_days" in wanted:
        yield two_days()
    if "rules" in wanted:
        yield from rules(200_000 if quick else 2_000_000)
    if "networks" in wanted:
        yield from networks(1 if quick else 5)


@cache
def small() -> Problem:
    """Demand of 0, 1 or 2 a day in each warehouse; goods come from the supplier the next morning,
    and at once from the other.
    """
    return TwoWarehouses(
        demand=("uniform(0,2)",), lead_time=1, shortage_cost=(9.0,), initial_stock=(2.0,)
    ).build()


def least_average_cost() -> float:
    """Of the small instance a day, in the long run."""
    return enumerate_states(small().env, small().first).cost


# Learners


def learners(seeds: int, compared: int, joint: TabularConfig = JOINT) -> Iterator[dict[str, Any]]:
    """A joint table, as it is and without centring, and independent ones: what they know, and what
    they are rewarded with.

    Args:
      seeds: of the joint table; compared: of them that others are compared with, seed by seed.
    """
    optimum = _optimum(joint.discount)
    (best,), seconds = gaps_of(joint, ({},), seeds)
    periods = joint.updates * joint.rollout
    note = f"{seeds} seeds of {periods:,} periods in one program: {seconds:.0f} s of a core"
    yield _at_most("joint table: gap, %", _over_seeds(best), WITHIN, note)
    yield row(f"joint table: share of seeds within {WITHIN:g}%", _over_seeds(best <= WITHIN))
    best = best[:compared]
    (literal,), _ = gaps_of(joint, (dict(centring=0.0),), compared)
    yield row("joint table without centring: gap, %", _over_seeds(literal))
    steady = 100 * (visits(optimum.mdp, optimum.orders).cost / least_average_cost() - 1)
    yield row(f"optimum at discount {joint.discount:g}, in average cost: gap, %", steady)

    found = {}
    for information in ("shared", "own"):
        config = replace(joint, learners="independent", information=information)
        gaps, seconds = gaps_of(config, (dict(team_share=1.0), dict(team_share=0.0)), compared)
        for share, gap in zip(("team", "own"), gaps):
            found[information, share] = gap
            yield row(
                f"independent, {information} information, {share} reward: gap, %",
                _over_seeds(gap),
                note=f"{seconds:.0f} s of a core",
            )
    for share in ("team", "own"):
        claim = f"independent, shared information, {share} reward, less joint: gap, %"
        yield row(claim, _difference(found["shared", share], best))
        claim = f"independent, {share} reward, own information less shared: gap, %"
        yield row(claim, _difference(found["own", share], found["shared", share]))


def gaps_of(
    config: TabularConfig, settings: Sequence[dict[str, float]], seeds: int
) -> tuple[np.ndarray, float]:
    """Gaps in per cent `[settings, seeds]` of trainings side by side, and the seconds of a core
    that they took once compiled.

    Args:
      settings: traced numbers in which they differ.
    """
    problem, optimum = small(), _optimum(config.discount)
    agents = [TabularQ.create(problem, replace(config, **setting)) for setting in settings]
    trainer = Trainer(stack_agents(agents, seeds), len(agents) * seeds)
    state = trainer.init(jnp.tile(keys_of(root(RESERVED_SEED), Role.TRAINING, seeds), len(agents)))
    trainer.compile(state, config.updates)
    began = time.process_time()
    state, _ = trainer.advance(state, config.updates)
    seconds = time.process_time() - began
    tables = jax.vmap(
        lambda params: orders_in_every_state(
            problem.env, agents[0].policy, optimum.grid, problem.first, params
        )
    )
    orders = optimum.grid.orders.index(np.asarray(tables(state.params), int))
    often = optimum.visited
    least = (often * optimum.value).sum()
    gaps = [
        100 * ((often * discounted_costs(optimum.mdp, each, config.discount)).sum() / least - 1)
        for each in orders
    ]
    return np.reshape(gaps, (len(agents), seeds)), seconds


@cache
def _optimum(discount: float) -> Enumeration:
    return enumerate_states(small().env, small().first, discount=discount)


def _over_seeds(values: np.ndarray) -> Estimate:
    return mean_of(np.asarray(values, float), ("seeds",))


def _difference(one: np.ndarray, other: np.ndarray) -> Estimate:
    return paired_difference(one, other, ("seeds",))


def _at_most(claim: str, ours: Estimate, bound: float, note: str = "") -> dict[str, Any]:
    """A row that holds where the whole interval lies below a bound."""
    return row(claim, ours, holds=ours.high <= bound, reference=bound, note=note)


# The paper's two days


def two_days(updates: int = 20_000) -> dict[str, Any]:
    """The two days with their demand known, which depletes stock, counted in tens: a table that
    starts at 0, which promises more than any order holds, and so needs no chance to try what may be
    best."""
    problem = days_of(TraceReplay(locations=2, goes_on=True), _recorded())
    config = TabularConfig(
        updates=updates, rollout=2, largest_stock=20, largest_order=5, largest_transfer=2,
        schedule="constant",
        learning_rate=1.0, exploration=0.0, exploring=0.0, discount=1.0,
    )  # fmt: skip
    agent = TabularQ.create(problem, config)
    trainer = Trainer(agent)
    state, _ = trainer.advance(trainer.init(key_of(root(RESERVED_SEED), Role.TRAINING, 0)), updates)
    ours = costs(
        problem, Contestant("tabular_q", agent.policy, state.params), root(RESERVED_SEED), 1
    )[0] * len(DAYS)
    note = f"{updates:,} episodes; cost of both days in those of holding ten units for a day"
    least = least_of_two_days(agent.policy.indices[0].grid)
    return row(
        "two days of the paper: cost",
        float(ours),
        holds=abs(ours - least) <= 1e-4 * least,
        reference=least,
        note=note,
    )


def days_of(process: Any, numbers: Any) -> Problem:
    """Two warehouses as on the paper's two days, in tens of units, with a given demand; all that is
    ordered comes at once.
    """
    net = Network(whole_units=True)
    net.supplier("supplier")
    for name, stock in zip(WAREHOUSES, DAYS[0].stock):
        net.node(
            name, demand=True, typical_demand_units_per_period=10.0,
            initial_stock_units=stock / TENS,
            holding_cost_per_unit_period=1.0, shortage_cost_per_unit=4.0,
        )  # fmt: skip
    for name in WAREHOUSES:
        net.edge("supplier", name, lead_time_periods=0, cost_per_unit=1.0)
    for source, destination in (WAREHOUSES, WAREHOUSES[::-1]):
        net.edge(source, destination, sideways=True, lead_time_periods=0, cost_per_unit=0.5)
    return net.problem(
        Preset(horizon=len(DAYS)),
        demand=(process, numbers),
        test_periods=len(DAYS),
        warm_up=0,
        ends=True,
    )


def _recorded() -> TraceParams:
    days = (
        np.asarray([DAYS[0].demand, *(day.demand for day in DAYS)], np.float32) / TENS
    )  # the first is history
    return TraceParams(
        days[:, :, None], np.zeros((len(days), 0), np.float32), np.int32(0), np.int32(0)
    )


def least_of_two_days(grid: StateSpace) -> float:
    """The least cost of both days, by backward induction on the same states and orders."""
    days = []
    for day in DAYS:
        demand = np.asarray(day.demand) // TENS
        cdf = (np.arange(demand.max())[:, None] >= demand).astype(np.float32)[..., None]
        problem = days_of(Tabulated(locations=2), TableParams(cdf))
        days.append(tabulate(problem.env, problem.first, grid))
    plan = backward_induction(days)
    return float(plan.value[grid.stock.index(np.asarray(DAYS[0].stock) // TENS), 0])


# Rules and networks


def rules(budget: int) -> Iterator[dict[str, Any]]:
    """Base-stock, which sends nothing, and the transshipment rule, tuned."""
    for name in ("base_stock", "transshipment"):
        tuned = tune(
            small(), rule_for(small(), name), key_of(root(RESERVED_SEED), Role.STUDY), budget
        )
        yield row(
            f"{name}, tuned: gap in average cost, %",
            _gap(Contestant(name, tuned.rule, tuned.params)),
        )


def networks(seeds: int) -> Iterator[dict[str, Any]]:
    """The learners of continuous orders, each seed a row."""
    for name, (setting, bound) in NETWORKS.items():
        kind = AGENTS[name]
        config = replace(kind.Config.suited("lost_sales", history=1), **setting)
        agent = kind.create(small(), config)
        validation = Validation.of(
            small(), key_of(root(RESERVED_SEED), Role.VALIDATION), settles=agent.settles
        )
        gaps = []
        for seed, policy in enumerate(trained(name, agent, config.updates, seeds, validation)):
            gap = _gap(policy)
            gaps.append(gap.value)
            yield row(f"{name}, seed {seed}: gap in average cost, %", gap)
        spread = Estimate(
            float(np.mean(gaps)), min(gaps), max(gaps), f"the least and the most of {seeds} seeds"
        )
        claim = f"{name}: mean gap in average cost, %"
        yield row(claim, spread, holds=spread.value <= bound, reference=bound)


def _gap(policy: Contestant) -> Estimate:
    """Per cent above the optimal policy on the same noise."""
    key = root(RESERVED_SEED)
    found = enumerate_states(small().env, small().first)
    least = costs(small(), Contestant("optimal", found.policy, found.params), key, PATHS)
    return optimality_gap(costs(small(), policy, key, PATHS), least).times(100)
