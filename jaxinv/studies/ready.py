"""The ready policy on sales that it has never seen: beside rules tuned on those very sales, beside
itself refined on them, and beside the exact optimum.

    python -m jaxinv.reproduce ready [lost_sales] [DATA ...]

Parts: `lost_sales`, Zipkin's 32 instances; and files or folders of sales that the package reads, of
which every series is an instance (`jaxinv.envs.retail`), judged on the weeks after the split. On
sales the ready policy is beside the best of the tuned rules, itself refined (`init=ready`), and the
same network trained on these sales from nothing; all on the same demand. Intervals are over weeks
in blocks and series, for series share their weeks. `--quick`: no trainings, fewer instances.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxinv.agents.diffsim import DiffSim, DiffSimConfig
from jaxinv.agents.loop import Trainer
from jaxinv.agents.validation import Validation
from jaxinv.envs.presets import LostSales
from jaxinv.envs.problem import Problem
from jaxinv.envs.retail import Retail
from jaxinv.errors import UserError, unknown
from jaxinv.evaluation.compare import contestants_of
from jaxinv.evaluation.held_out import Contestant, costs, costs_of, measure
from jaxinv.evaluation.statistics import Estimate, blocks, mean_of, relative_difference
from jaxinv.evaluation.tuning import tune_many
from jaxinv.exact import solve
from jaxinv.keys import Role, key_of, root
from jaxinv.policies.ready import READY, load, outside, ready_policy
from jaxinv.policies.relative import WINDOW
from jaxinv.policies.rules import default_rules
from jaxinv.studies.learners import LAWS, LEAD_TIMES, SHORTAGES
from jaxinv.studies.rows import RESERVED_SEED, row

MEAN_GAP = 3.0
"""Per cent above the optimum that the mean over the lost-sales instances may have."""

WORSE = 2.0
"""Per cent that the ready policy may be dearer than the best rule tuned on the sales themselves."""

TUNE_PERIODS = 4_000_000

HISTORIES = (WINDOW, 26, 13, 8)
"""Periods of sales that policies see at most; the longest that a data set can give."""

UPDATES, ENVIRONMENTS = 400, 256
"""Of a training on sales, refined or from nothing."""


def run(quick: bool = False, parts: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Rows (`studies.rows`), part by part."""
    files = [part for part in parts if Path(part).exists()]
    for part in parts:
        if part not in files and part != "lost_sales":
            raise unknown("part, and no file or folder,", part, ("lost_sales",))
    if "lost_sales" in parts or not parts:
        yield from lost_sales(quick)
    for file in files:
        yield from on_sales(file, quick)


def lost_sales(quick: bool) -> Iterator[dict[str, Any]]:
    """Gaps to the optimal policy on the same noise, in whole units; the policy sees `WINDOW`
    periods of demand and the cost ratio, and not the law.
    """
    gaps = []
    for law in LAWS:
        for lead_time in LEAD_TIMES[:1] if quick else LEAD_TIMES:
            for shortage in SHORTAGES[:2] if quick else SHORTAGES:
                problem = LostSales(
                    demand=law, lead_time=lead_time, shortage_cost=float(shortage), history=WINDOW
                ).build()
                gaps.append(_gap(problem))
                name = f"{READY}, {law}, p={shortage}, L={lead_time}"
                yield row(f"{name}: above the optimum, %", gaps[-1])
    found = mean_of([gap.value for gap in gaps], ("instances",))
    what = f"{READY}, {len(gaps)} lost-sales instances: mean above the optimum, %"
    yield row(what, found, holds=found.value <= MEAN_GAP, reference=MEAN_GAP)


def _gap(problem: Problem) -> Estimate:
    key = root(RESERVED_SEED)
    best = solve(problem.env, problem.first)
    ours = costs(problem, Contestant(READY, *ready_policy(problem.env)), key, 512)
    least = costs(problem, Contestant("optimal", best.policy, best.params), key, 512)
    gap = relative_difference(ours, least)
    return Estimate(*(100 * value for value in gap[:3]), gap.over)


def on_sales(file: str, quick: bool, name: str = "") -> Iterator[dict[str, Any]]:
    """One set of sales: the ready policy beside what was fitted to it.

    Args:
      name: what rows call it; that of the file where not given.
    """
    problem = _problem(file)
    name, key = name or Path(file).name.split(".")[0], root(RESERVED_SEED)
    why = outside(problem.env, problem.test)
    if why:
        yield row(f"{name}: {why}", np.nan)
        return
    began = time.monotonic()
    contestants = [Contestant(READY, *ready_policy(problem.env))]
    played = {READY: costs_of(problem, measure(problem, contestants[0], key))}
    seconds = {READY: time.monotonic() - began}
    began = time.monotonic()
    rules = tune_many(problem, key_of(key, Role.TUNING), default_rules(problem), TUNE_PERIODS)
    for one in contestants_of(rules):
        played[one.name] = costs_of(problem, measure(problem, one, key))
    best = min(rules, key=lambda rule: played[rule].mean())
    seconds[best] = time.monotonic() - began
    for init, label in () if quick else (("ready", "refined"), ("fresh", "from nothing")):
        began = time.monotonic()
        one = Contestant(label, *_trained(problem, init))
        played[label] = costs_of(problem, measure(problem, one, key))
        seconds[label] = time.monotonic() - began
    over = None
    if problem.shared is not None:
        length = problem.test_periods - problem.warm_up
        longest = problem.env.topology.max_lead_time
        over = (blocks(length, longest, f"{problem.shared.period}s"), "series")

    def against(one, other, bound=None):
        found = relative_difference(played[one], played[other], over)
        found = Estimate(*(100 * value for value in found[:3]), found.over)
        holds = None if bound is None else bool(found.low <= bound)
        took = f"{seconds[one]:.0f} s against {seconds[other]:.0f} s"
        what = f"{name}, {problem.tested} series: {one} less the best tuned rule ({best}), %"
        if other != best:
            what = f"{name}: {one} less {other}, %"
        return row(what, found, holds=holds, reference=bound, note=took)

    yield against(READY, best, WORSE)
    if not quick:
        yield against("refined", best, 0.0)
        yield against("refined", READY, 0.0)
        yield against("from nothing", best)
        yield against("from nothing", READY)


def _problem(file: str) -> Problem:
    """Sales with as long a history as their training periods leave room for."""
    for history in HISTORIES[:-1]:
        try:
            return Retail(data=file, history=history).build()
        except UserError:
            continue
    return Retail(data=file, history=HISTORIES[-1]).build()


def _trained(problem: Problem, init: str):
    """The network that ships, trained on sales: the policy and its parameters."""
    about, _ = load()
    config = DiffSimConfig(
        updates=UPDATES, envs=ENVIRONMENTS, rollout=40, encoder="relative", alike=True, init=init,
        hidden=tuple(about["hidden"]), activation=about["activation"], max_grad_norm=0.3,
        learning_rate=5e-4 if init == READY else 4e-3,
    )  # fmt: skip
    agent = DiffSim.create(problem, config)
    noise = key_of(root(RESERVED_SEED), Role.VALIDATION)
    trainer = Trainer(agent, validation=Validation.of(problem, noise, settles=agent.settles))
    state = trainer.train(key_of(root(RESERVED_SEED), Role.TRAINING), UPDATES)
    return agent.policy, state.params
