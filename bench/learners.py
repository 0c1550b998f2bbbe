"""How soon each learner comes near the optimum of one lost-sales instance, and what a training
costs beside a bare loop.

    python bench/learners.py [--bare FOLDER] [--rounds N] [--skip-sweep]

Three tables:

- near: seconds of training (compilation apart) and simulated periods until the policy that a
  learner would end with is within 1, 0.5 and 0.1% of the optimal policy on the same noise; p = 4, L
  = 4, Poisson demand, the defaults of `train`, one seed.
- speed: a training of the package beside a hand-written loop of the same sizes (`diffsim.py` and
  `ppo.py` in FOLDER, each run as a program of its own), in rounds that interleave them.
- sweep: differentiable simulation on 32 instances as one program and as 32 programs, one after
  another, compilation included.
"""

import argparse
import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
from about import about, heading

from jaxinv.agents.loop import stretch_length
from jaxinv.agents.registry import AGENTS, OFFLINE
from jaxinv.evaluation.held_out import Contestant, measure
from jaxinv.exact import solve
from jaxinv.experiment import Experiment

LEAD_TIME, SHORTAGE = 4, 4
WITHIN = (1.0, 0.5, 0.1)
PATHS = 2048
SWEPT = 40  # updates that the sweep is timed over


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument(
        "--bare",
        type=Path,
        metavar="FOLDER",
        help="folder of the hand-written loops; none: no such table",
    )
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--skip-sweep", action="store_true", help="leave out the third table")
    arguments.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "learners.json"
    )
    args = arguments.parse_args()
    facts = about()
    print(heading(facts))
    document = {
        **facts,
        "instance": f"lost sales, Poisson(5), p={SHORTAGE}, L={LEAD_TIME}",
        "near": near(),
    }
    if args.bare:
        document["speed"] = speed(args.bare, args.rounds)
    if not args.skip_sweep:
        document["sweep"] = sweep()
    args.out.write_text(json.dumps(document, indent=1) + "\n")


def near() -> list[dict]:
    """When each learner is within so many percent of the optimum, and where it ends."""
    print(
        f"\n{'learner':12}{'form':6}"
        + "".join(f"{f'{bound:g}%':>22}" for bound in WITHIN)
        + f"{'end':>10}{'seconds':>9}"
    )
    rows = []
    # neither tables nor a forecast have a form
    for learner in [name for name in AGENTS if name not in ("tabular_q", "fdim", *OFFLINE)]:
        for form in ("base", "none"):
            row = approach(learner, form)
            rows.append(row)
            cells = [
                "-" if at is None else f"{at['seconds']:.1f} s {at['periods'] / 1e6:.2f} M"
                for at in row["within"].values()
            ]
            print(
                f"{learner:12}{form:6}"
                + "".join(f"{cell:>22}" for cell in cells)
                + f"{row['gap']:9.3f}%{row['seconds']:9.1f}",
                flush=True,
            )
    return rows


def approach(learner: str, form: str) -> dict:
    experiment = load(learner, form)
    trainer, problem = experiment.trainer, experiment.problem
    updates = experiment.config.learner.updates
    length = stretch_length(updates)
    state = trainer.init(experiment.keys)
    trainer.compile(state, length)
    seconds, passed, gap = 0.0, [], None
    for done in range(length, updates + 1, length):
        began = time.perf_counter()
        state, _ = trainer.advance(state, length)
        seconds += time.perf_counter() - began
        gap = 100 * (
            cost(problem, experiment.agent.policy, state.params) / optimal_cost(problem) - 1
        )
        passed.append((gap, seconds, done * experiment.agent.periods_per_update))
    within = {}
    for bound in WITHIN:  # for good: what comes later is within it too
        late = [place for place, (gap, *_) in enumerate(passed) if gap > bound]
        first = late[-1] + 1 if late else 0
        within[f"{bound:g}%"] = (
            None if first == len(passed) else dict(zip(("seconds", "periods"), passed[first][1:]))
        )
    return dict(learner=learner, form=form, within=within, gap=gap, seconds=seconds)


def speed(folder: Path, rounds: int) -> list[dict]:
    """Seconds of a training of the package and of a bare loop at the same sizes."""
    trainings = {
        "diffsim": (
            dict(updates=2000, envs=256, rollout=50, hidden=[32, 32, 32]),
            ["4", "4", "256", "50", "2000", "b3"],
        ),
        "ppo": (
            dict(
                updates=100, envs=1024, rollout=32, epochs=4, minibatches=4, aligned_rewards=False
            ),
            ["4", "4", "1024", "32", "100", "base", "0.99", "0.95"],
        ),
    }
    print(f"\n{'learner':12}{'package, s':>12}{'bare loop, s':>14}{'ratio of medians':>18}")
    rows = []
    for learner, (options, sizes) in trainings.items():
        experiment = load(learner, "base", **options)
        trainer = experiment.trainer.on(
            experiment.agent, None
        )  # the bare loop has no validation either
        updates = experiment.config.learner.updates
        state = trainer.init(experiment.keys)
        trainer.compile(state, updates)
        ours, theirs = [], []
        for _ in range(rounds):
            began = time.perf_counter()
            trainer.advance(state, updates)
            ours.append(time.perf_counter() - began)
            theirs.append(bare(folder / f"{learner}.py", sizes))
        row = dict(
            learner=learner,
            package=ours,
            bare=theirs,
            ratio=float(np.median(ours) / np.median(theirs)),
        )
        rows.append(row)
        print(
            f"{learner:12}{np.median(ours):12.2f}{np.median(theirs):14.2f}{row['ratio']:18.2f}",
            flush=True,
        )
    return rows


def bare(script: Path, sizes: list[str]) -> float:
    """Seconds of training, as the script prints them."""
    done = subprocess.run(
        [sys.executable, str(script), *sizes],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    line = done.stdout.strip().splitlines()[-1]
    return float(re.search(r"(?:train )?([\d.]+)s (?:[\d.]+M steps|\d+k/s)", line)[1])


def sweep() -> dict:
    """32 instances by one program, and one after another, each compiled afresh."""
    cells = [
        (law, lead, shortage)
        for law in ("poisson", "geometric")
        for lead in (1, 2, 3, 4)
        for shortage in (4, 9, 19, 39)
    ]
    options = dict(updates=2000)

    def experiment(law, lead_time, shortage):
        return load(
            "diffsim", "base", demand=law, lead_time=lead_time, shortage_cost=shortage, **options
        )

    apart = []
    for cell in cells:
        jax.clear_caches()
        apart.append(run(experiment(*cell)))
    jax.clear_caches()
    config = experiment("poisson", 4, 4).config
    swept = ("demand=poisson,geometric", "lead_time=1,2,3,4", "shortage_cost=4,9,19,39")
    together = run(Experiment(dataclasses.replace(config, sweep=swept)))
    rows = {}
    for name, parts in (("one after another", apart), ("one program", [together])):
        compiled, update = sum(part[0] for part in parts), sum(part[1] for part in parts)
        rows[name] = dict(
            compile=compiled, seconds_per_update=update, whole=compiled + 2000 * update
        )
    print(
        f"\n{'32 instances':20}{'compile, s':>12}{'ms an update of all':>22}{'2000 updates, s':>18}"
    )
    for name, row in rows.items():
        print(
            f"{name:20}{row['compile']:12.1f}{1000 * row['seconds_per_update']:22.1f}"
            f"{row['whole']:18.1f}"
        )
    return rows


def run(experiment: Experiment) -> tuple[float, float]:
    """Seconds to compile a stretch, and of one update of it."""
    trainer = experiment.trainer.on(experiment.agent, None)
    began = time.perf_counter()
    state = trainer.init(experiment.keys)
    trainer.compile(state, SWEPT)
    compiled = time.perf_counter() - began
    began = time.perf_counter()
    trainer.advance(state, SWEPT)
    return compiled, (time.perf_counter() - began) / SWEPT


def load(learner: str, form: str, **options) -> Experiment:
    given = dict(lead_time=LEAD_TIME, shortage_cost=SHORTAGE, demand="poisson", mean=5) | options
    overrides = [
        "env=lost_sales",
        f"agent={learner}",
        f"form={form}",
        *(f"{key}={value}" for key, value in given.items()),
    ]
    return Experiment.load(overrides=overrides)


def cost(problem, policy, params) -> float:
    return -float(
        measure(problem, Contestant("", policy, params), jax.random.key(7), PATHS).reward.mean()
    )


_optimal = {}


def optimal_cost(problem) -> float:
    if "cost" not in _optimal:
        solution = solve(problem.env, problem.first)
        _optimal["cost"] = cost(problem, solution.policy, solution.params)
    return _optimal["cost"]


if __name__ == "__main__":
    main()
