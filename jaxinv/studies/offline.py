"""Learners from logs on a public suite: what each makes of what random, medium, mixed and expert
policies left behind.

The recipe is all there is to ship: a log follows from a preset, a seed and a name, so anyone writes
the same one (`python -m jaxinv.log`). Behaviour cloning, CQL, MCQ and the Decision Transformer in
both conditions see the log alone. Rows of a cell are paired on the same held-out noise: beside the
policies that kept the log, and beside the optimum or, where there is none in reach, the best tuned
rule. A file of sales as a part adds the retailer. Settings were chosen on `lost_sales` with other
seeds (docs/results/offline.md says in how many trials).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxinv.agents.registry import AGENTS
from jaxinv.agents.validation import Validation
from jaxinv.envs.one_warehouse import KAYNOV
from jaxinv.envs.problem import Problem
from jaxinv.envs.registry import preset
from jaxinv.errors import unknown
from jaxinv.evaluation.behaviour import BEHAVIOURS, Behaviour, behaviour_costs, play_log
from jaxinv.evaluation.held_out import costs
from jaxinv.evaluation.statistics import Estimate, relative_difference
from jaxinv.evaluation.trajectories import Trajectories
from jaxinv.keys import Role, key_of, root
from jaxinv.studies.rows import RESERVED_SEED, row
from jaxinv.studies.seeds import trained

PROBLEMS = {
    "lost_sales": dict(lead_time=2, shortage_cost=9.0),
    "dual_sourcing": dict(regular_lead_time=2, expedited_cost=105.0),
    "one_warehouse_many_stores": KAYNOV[1],
}

LEARNERS = {
    "bc": ("bc", {}),
    "cql": ("cql", {}),
    "mcq": ("mcq", {}),
    "DT, return": ("decision_transformer", dict(condition="return")),
    "DT, advantage": ("decision_transformer", dict(condition="advantage")),
}

ABOVE_EXPERT = 1.0
"""Per cent above the policies of an expert log that a claim allows."""


@dataclass(frozen=True)
class OfflineSize:
    """How much is spent."""

    quick: bool

    @property
    def seeds(self) -> int:
        return 2 if self.quick else 3

    @property
    def episodes(self) -> int:
        return 128 if self.quick else 512

    @property
    def tuning(self) -> int:
        """Periods that each rule is tuned with."""
        return 300_000 if self.quick else 1_000_000

    @property
    def paths(self) -> int:
        return 64 if self.quick else 256

    def of(self, config: Any) -> Any:
        if not self.quick:
            return config
        shorter = dict(updates=4, steps=10) if hasattr(config, "context") else dict(updates=100)
        return replace(config, **shorter)


def run(quick: bool = False, parts: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`), two a cell.

    Args:
      quick: `lost_sales` with medium and expert logs, unless parts say otherwise; a short training.
      parts: problems, logs, learners, and files of sales; all but the last where none is named.
    """
    files = [part for part in parts if Path(part).is_file()]
    names = [part for part in parts if part not in files]
    known = (*PROBLEMS, *BEHAVIOURS, *(label.replace(", ", "_") for label in LEARNERS))
    for name in names:
        if name not in known:
            raise unknown("part, and no file,", name, known)

    def chosen(of, default):
        return [name for name in of if name.replace(", ", "_") in names] or default

    size = OfflineSize(quick)
    logs = chosen(BEHAVIOURS, ["medium", "expert"] if quick else list(BEHAVIOURS))
    learners = chosen(LEARNERS, list(LEARNERS))
    whole = [] if files else ["lost_sales"] if quick else list(PROBLEMS)
    for name in chosen(PROBLEMS, whole):
        problem = preset(name)(**PROBLEMS[name]).build()
        yield from on_problem(name, problem, logs, learners, size)
    for file in files:
        problem = preset("retail")(data=file).build()
        yield from on_problem(Path(file).name.split(".")[0], problem, logs, learners, size)


def on_problem(
    name: str, problem: Problem, logs: Sequence[str], learners: Sequence[str], size: OfflineSize
) -> Iterator[dict[str, Any]]:
    """All cells of one problem."""
    key, shown = root(RESERVED_SEED), problem.learned_on
    behaviour = Behaviour(shown, key, size.tuning)
    periods = int(min(shown.horizon, shown.recorded(shown.train)))
    best = _means(costs(problem, behaviour.expert, key, size.paths))
    for log in logs:
        parts = behaviour.parts(log)
        played = play_log(shown, parts, behaviour.steady, key, size.episodes, periods)
        before = behaviour_costs(problem, parts, key, size.paths)
        steps = size.episodes * periods
        yield _row(
            f"{name}, {log} log: its own policies above {behaviour.expert.name}, %", before, best
        )
        for learner in learners:
            found = np.stack(_learned(problem, played, learner, size, name))
            bound = ABOVE_EXPERT if log == "expert" else 0.0
            note = f"{steps:,} steps"
            what = f"{name}, {log} log: {learner}"
            yield _row(f"{what} less its own policies, %", found, before, bound, note)
            yield _row(f"{what} above {behaviour.expert.name}, %", found, best, note=note)


def _learned(
    problem: Problem, log: Trajectories, learner: str, size: OfflineSize, env: str
) -> list[np.ndarray]:
    """Costs a period `[paths]` of each seed."""
    agent, options = LEARNERS[learner]
    kind = AGENTS[agent]
    suited = kind.Config.suited(env if env in PROBLEMS else "retail", problem.env.history)
    config = size.of(replace(suited, **options))
    made = kind.create(problem, config, log=log)
    noise = key_of(root(RESERVED_SEED), Role.VALIDATION)
    judge = Validation.of(problem.learned_on, noise, settles=made.settles)
    policies = trained(learner, made, config.updates, size.seeds, judge)
    return [_means(costs(problem, one, root(RESERVED_SEED), size.paths)) for one in policies]


def _means(found: np.ndarray) -> np.ndarray:
    """Costs a period by path `[B]`, also where series share their periods `[T, B]`."""
    return np.asarray(found).reshape(-1, found.shape[-1]).mean(0)


def _row(claim, ours, other, bound=None, note=""):
    found = relative_difference(ours, other)
    found = Estimate(*(100 * value for value in found[:3]), found.over)
    holds = None if bound is None else bool(found.value <= bound if bound else found.high < 0)
    return row(claim, found, holds=holds, reference=bound, note=note)
