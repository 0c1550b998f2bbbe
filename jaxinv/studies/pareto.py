"""One policy for all preferences against policies trained for one each: their Pareto fronts, and
the true one where known.

Every policy, the conditioned one and each of the others, is trained with the same number of
simulated periods, so the conditioned one has a P-th of what the P others have together. Fronts are
compared by hypervolume at the same P preferences on the same held-out paths; the reference point is
a tenth of the range beyond the worst of the others' front.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxinv.agents.diffsim import DiffSim, DiffSimConfig
from jaxinv.agents.loop import Trainer
from jaxinv.envs.cross_border import CrossBorder
from jaxinv.envs.objectives import factors, objectives_of
from jaxinv.envs.presets import LostSales
from jaxinv.envs.problem import Problem
from jaxinv.errors import unknown
from jaxinv.evaluation.held_out import Contestant
from jaxinv.evaluation.pareto import (
    PathCosts,
    at_preference,
    at_service,
    hypervolume_ratio,
    lattice,
    measured,
    nadir,
)
from jaxinv.evaluation.rollout import take_instances
from jaxinv.exact import solve
from jaxinv.keys import Role, key_of, keys_of, root
from jaxinv.report.figures import save_fronts
from jaxinv.studies.rows import row

BAR = 0.97
"""Hypervolume that one model has to reach, as a share of the others'."""

SERVICE, NEAR = 0.95, 0.005
"""Fill rate that is asked for, and how near it has to be met on demand that it was not found on;
orders in whole units leave steps."""

PATHS, COPIES = 512, 256
"""Test paths of a problem with one instance, and of each instance where there are several; so many
that the interval of a fill rate is shorter than what it has to lie within."""


@dataclass(frozen=True)
class Case:
    """What is compared on one network.

    Attributes:
      problem: with a few SKUs, where there are several.
      learner: of every policy.
      divisions: of the lattice of preferences.
      optimal: whether the optimum of each preference is known.
    """

    problem: Callable[[], Problem]
    learner: DiffSimConfig
    divisions: int
    optimal: bool


def cases(quick: bool) -> dict[str, Case]:
    """The networks of the study, at a size of minutes or less of it."""
    store = DiffSimConfig(
        updates=200 if quick else 1000, encoder="none", hidden=(32, 32, 32), learning_rate=5e-3
    )
    network = DiffSimConfig(
        updates=100 if quick else 1200,
        envs=32,
        rollout=60,
        encoder="none",
        hidden=(64, 64),
        learning_rate=3e-3,
    )
    return {
        "lost_sales": Case(
            lambda: LostSales(lead_time=2).build(), store, 4 if quick else 8, optimal=True
        ),
        "cross_border": Case(
            lambda: small_cross_border(16 if quick else 32),
            network,
            2 if quick else 3,
            optimal=False,
        ),
    }


def small_cross_border(skus: int) -> Problem:
    """`cross_border` with few SKUs, each judged on `COPIES` paths of a third of a year."""
    problem = CrossBorder(skus=skus).build()
    test = take_instances(problem.test, np.tile(np.arange(skus), COPIES))
    return dataclasses.replace(
        problem, train=test, test=test, instances=skus * COPIES, test_periods=60 + 120
    )


def run(
    quick: bool = False, parts: Sequence[str] = (), folder: Path = Path("runs/pareto")
) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`).

    Args:
      quick: smaller networks, trained more briefly.
      parts: `lost_sales`, `cross_border`; both where not given.
      folder: where the figure of each front goes.
    """
    known = cases(quick)
    for name in parts:
        if name not in known:
            raise unknown("part of the study", name, known)
    for name in parts or known:
        yield from network_rows(name, known[name], folder)


def network_rows(name: str, case: Case, folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of one network."""
    problem, key = case.problem(), root(0)
    names = objectives_of(problem.env.topology)
    wanted = lattice(len(names), case.divisions)
    one = train_conditioned(problem, case.learner)
    ours = measured(
        problem, [at_preference(one, dict(zip(names, shares))) for shares in wanted], key, PATHS
    )
    apart = measured(problem, train_apart(problem, case.learner, wanted), key, PATHS)
    fronts = {
        "one conditioned policy": ours.points,
        f"{len(wanted)} policies trained apart": apart.points,
    }
    note = (
        f"{len(wanted)} preferences among {', '.join(names)}; every policy was trained with"
        f" {case.learner.updates * case.learner.envs * case.learner.rollout:,} simulated periods,"
        f" costs differ by {_worst(wanted, ours, apart)}; figure {folder / name}.png"
    )

    def judged(claim, bar, estimate, holds):
        return row(f"{name}: {claim}", estimate, holds=holds, reference=bar, note=note)

    ratio = hypervolume_ratio(ours.costs, apart.costs, nadir(apart.points))
    yield judged(
        "hypervolume of one policy over policies trained apart", BAR, ratio, ratio.low >= BAR
    )
    if case.optimal:
        optimal = measured(problem, solve_apart(problem, wanted), key, PATHS)
        fronts["optimum"] = optimal.points
        ratio = hypervolume_ratio(ours.costs, optimal.costs, nadir(optimal.points))
        yield judged("hypervolume of one policy over the optimum", BAR, ratio, ratio.low >= BAR)
        ratio = hypervolume_ratio(apart.costs, optimal.costs, nadir(optimal.points))
        yield judged(
            "hypervolume of policies trained apart over the optimum", BAR, ratio, ratio.low >= BAR
        )
    point = at_service(problem, one, SERVICE, key_of(root(0), Role.SERVICE), paths=PATHS)
    reached = measured(problem, [point.contestant], key, PATHS).fill_rate(0)
    save_fronts(folder / f"{name}.png", names, fronts, f"{name}: cost of each objective a period")
    near = SERVICE - NEAR <= reached.low and reached.high <= SERVICE + NEAR
    yield judged(
        "fill rate on fresh demand where 95% is asked for, all of its interval within half a point",
        SERVICE,
        reached,
        near,
    )


def train_conditioned(problem: Problem, config: DiffSimConfig) -> Contestant:
    """One policy for all preferences."""
    agent = DiffSim.create(problem, dataclasses.replace(config, preferences=True))
    state = Trainer(agent).train(key_of(root(0), Role.TRAINING, 0), config.updates)
    return Contestant("conditioned", agent.policy, state.params)


def train_apart(problem: Problem, config: DiffSimConfig, wanted: np.ndarray) -> list[Contestant]:
    """A policy for each preference `[P, G]`, all trained by one compiled program, in which weights
    are numbers.

    One after another: side by side, the products of `cross_border` with a batch of runs never
    return from XLA's CPU runtime (jax 0.10, two threads).
    """
    agents = [DiffSim.create(charged_by(problem, shares), config) for shares in wanted]
    trainer, found = Trainer(agents[0]), []
    for number, (agent, key) in enumerate(
        zip(agents, keys_of(root(0), Role.TRAINING, len(agents)))
    ):
        trained = trainer.on(agent, None).train(key, config.updates)
        found.append(Contestant(f"apart {number}", agent.policy, trained.params))
    return found


def solve_apart(problem: Problem, wanted: np.ndarray) -> list[Contestant]:
    """The optimal policy for each preference."""
    found = [solve(problem.env, charged_by(problem, shares).first) for shares in wanted]
    return [
        Contestant(f"optimal {number}", solution.policy, solution.params)
        for number, solution in enumerate(found)
    ]


def charged_by(problem: Problem, shares: np.ndarray) -> Problem:
    """The problem with its costs weighed by one preference `[G]`."""
    scale = factors(problem.env.topology, shares)
    train, test = (
        params.replace(weights=params.weights * scale) for params in (problem.train, problem.test)
    )
    return dataclasses.replace(problem, train=train, test=test)


def _worst(wanted: np.ndarray, ours: PathCosts, others: PathCosts) -> str:
    """The range of the conditioned policy's weighted cost over that of the others."""
    mine, theirs = (np.sum(wanted * points.points, 1) for points in (ours, others))
    percent = 100 * (mine / theirs - 1)
    return f"{percent.min():+.2f}% to {percent.max():+.2f}%"
