"""How close the learners come to the optimum of Zipkin's lost-sales instances, with one setting of
each for all of them.

A gap is measured against the optimal policy on the same noise, with orders in whole units. Forms
`base` (a network says what to order up to) and `none` (what to order) stand beside each other: the
claim of seed 003 is that the first makes every method better. Instances too large to solve are held
against the best costs in print.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxinv.agents.loop import Trainer, select_run, stack_agents, stack_runs
from jaxinv.agents.registry import AGENTS
from jaxinv.agents.validation import Validation
from jaxinv.envs.one_network import on_one_network
from jaxinv.envs.presets import LostSales
from jaxinv.envs.problem import Problem
from jaxinv.errors import unknown
from jaxinv.evaluation.held_out import Contestant, costs
from jaxinv.evaluation.statistics import Estimate, mean_of
from jaxinv.exact import solve
from jaxinv.instances.lost_sales import BEST_KNOWN
from jaxinv.keys import Role, key_of, keys_of, root
from jaxinv.studies.rows import RESERVED_SEED, row

SHORTAGES, LAWS, LEAD_TIMES = (4, 9, 19, 39), ("poisson", "geometric"), (1, 2, 3, 4)
"""The 32 instances of Zipkin (2008), table 3."""

SEEDS = 5
"""Trainings of each learner on each instance, in either form."""

PATHS = 1024
"""Test episodes of 900 counted periods; the paired gap of one policy is known to about 0.02%."""

FORMS = ("base", "none")
"""Of the decode; targets are set for the first."""


class Target(NamedTuple):
    """What a learner has to reach, in percent; None for no such bound."""

    mean: float | None
    worst: float | None


TARGETS = {
    "diffsim": Target(0.05, 0.15),
    "ppo": Target(0.2, 0.5),
    "ddpg": Target(1.0, None),
    "sac": Target(1.0, None),
    "dqn": Target(1.0, None),
}
"""For the form `base`. The best published learner (deep controlled learning) has 0.2%, A3C 3-6%."""

LONG_GAP = 0.2
"""The same in percent for lead times 5 and 6 at p = 4, where capped base-stock is 2.6 and 3.4%
off.
"""

LONG_SEEDS = 2


class LostSalesInstance(NamedTuple):
    """An instance."""

    law: str
    shortage: int
    lead_time: int

    def __str__(self):
        return f"{self.law}, p={self.shortage}, L={self.lead_time}"


def run(quick: bool = False, parts: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`): each instance, then each learner.

    Args:
      quick: two instances and one seed a learner.
      parts: learners, forms, or `long` for diffsim at long lead times; everything where not given.
    """
    known = (*TARGETS, *FORMS, "long")
    for part in parts:
        if part not in known:
            raise unknown("part of the study", part, known)
    if list(parts) != ["long"]:
        for learner in [name for name in TARGETS if name in parts] or TARGETS:
            for form in [form for form in FORMS if form in parts] or FORMS:
                yield from learner_rows(learner, form, quick)
    if "long" in parts or not parts:
        yield from long_lead_times(quick)


def learner_rows(learner: str, form: str, quick: bool) -> Iterator[dict[str, Any]]:
    """One learner in one form on all instances."""
    seeds, lead_times, shortages = (1, (2,), (9,)) if quick else (SEEDS, LEAD_TIMES, SHORTAGES)
    gaps = []
    for lead_time in lead_times:
        for law in LAWS:
            cells = [LostSalesInstance(law, shortage, lead_time) for shortage in shortages]
            for cell, policies in train_instances(learner, form, cells, seeds):
                gaps.append([100 * gap for gap in optimality_gaps(cell, policies)])
                spread = _range(gaps[-1])
                yield row(f"{learner}, form {form}, {cell}: gap, %", spread)
    target = TARGETS[learner] if form == "base" else Target(None, None)
    what = f"{learner}, form {form}, {len(gaps)} instances, {seeds} seed{'s' * (seeds > 1)}"
    yield _at_most(f"{what}: mean gap, %", mean_of(gaps, ("instances", "seeds")), target.mean)
    yield _at_most(
        f"{what}: worst gap, %", Estimate(float(np.max(gaps)), np.nan, np.nan), target.worst
    )


def long_lead_times(quick: bool) -> Iterator[dict[str, Any]]:
    """Differentiable simulation where states are too many to solve, or nearly."""
    for lead_time in (5,) if quick else (5, 6):
        cell = LostSalesInstance("poisson", 4, lead_time)
        ((_, policies),) = train_instances("diffsim", "base", [cell], LONG_SEEDS)
        gaps = [100 * gap for gap in optimality_gaps(cell, policies)]
        yield _at_most(f"diffsim, {cell}: gap, %", _range(gaps), LONG_GAP)
    for lead_time, printed in {} if quick else BEST_KNOWN.items():
        cells = [LostSalesInstance("poisson", shortage, lead_time) for shortage in printed]
        for cell, policies in train_instances("diffsim", "base", cells, LONG_SEEDS):
            cost = mean_of(np.stack([costs_in(cell, policy) for policy in policies]))
            best = printed[cell.shortage]
            source = "DynaPlex run logs: deep controlled learning"
            yield row(
                f"diffsim, {cell}: cost",
                cost,
                holds=cost.low <= best,
                reference=best,
                source=source,
            )


def _range(gaps: Sequence[float]) -> Estimate:
    return Estimate(
        float(np.mean(gaps)), min(gaps), max(gaps), f"the least and the most of {len(gaps)} seeds"
    )


def _at_most(claim: str, ours: Estimate, bound: float | None) -> dict[str, Any]:
    return row(claim, ours, holds=None if bound is None else ours.value <= bound, reference=bound)


def train_instances(
    learner: str, form: str, cells: Sequence[LostSalesInstance], seeds: int
) -> Iterator[tuple[LostSalesInstance, list[Contestant]]]:
    """Instances of one network, each with several seeds, trained in one program: policies
    `[seeds]`.
    """
    config = replace(AGENTS[learner].Config.suited("lost_sales", history=1), form=form)
    problems = on_one_network([_problem(cell) for cell in cells])
    agent = stack_agents(
        [AGENTS[learner].create(problem, config) for problem in problems], seeds, own_worlds=True
    )
    noise = key_of(root(RESERVED_SEED), Role.VALIDATION)
    validations = [Validation.of(problem, noise, settles=agent.settles) for problem in problems]
    trainer = Trainer(agent, len(cells) * seeds, stack_runs(validations, seeds), worlds_axis=0)
    state = trainer.train(
        jnp.tile(keys_of(root(RESERVED_SEED), Role.TRAINING, seeds), len(cells)), config.updates
    )
    for number, cell in enumerate(cells):
        runs = range(number * seeds, (number + 1) * seeds)
        yield (
            cell,
            [
                Contestant(f"seed {run}", agent.policy, select_run(state, run).params)
                for run in runs
            ],
        )


def optimality_gaps(cell: LostSalesInstance, policies: Sequence[Contestant]) -> list[float]:
    """Cost of each policy over that of the optimal one on the same noise, minus 1."""
    least = optimal_costs(cell).mean()
    return [float(costs_in(cell, policy).mean() / least - 1) for policy in policies]


@cache
def optimal_costs(cell: LostSalesInstance) -> np.ndarray:
    """Of the optimal policy, a period, on each path `[PATHS]`."""
    problem = _problem(cell)
    solution = solve(problem.env, problem.first)
    return costs_in(cell, Contestant("optimal", solution.policy, solution.params))


def costs_in(cell: LostSalesInstance, policy: Contestant) -> np.ndarray:
    """Of a policy, a period, on each path `[PATHS]` of the test noise."""
    return costs(_problem(cell), policy, root(RESERVED_SEED), PATHS)


def _problem(cell: LostSalesInstance) -> Problem:
    return LostSales(
        demand=cell.law, lead_time=cell.lead_time, shortage_cost=float(cell.shortage)
    ).build()
