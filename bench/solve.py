"""Seconds to the optimum, beside NumPy and mdpax, in one run.

    python bench/solve.py [--rounds 3] [--mdpax PYTHON] [--out bench/results/solve.json]

Lost sales: relative value iteration to bounds 1e-7 apart, beside the value iteration that one would write in NumPy for this
one model (`numpy_value_iteration.py`). Perishables: discounted value iteration until the policy is proved to be within 0.01
of the optimal return, beside mdpax's, which runs in a process of its own (`peer_mdpax.py`) with the interpreter given by
`--mdpax`; without one it is left out. `first` is with compilation, `again` without. The contenders take turns.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
from about import about, heading
from numpy_value_iteration import lost_sales_optimum

import jaxinv
from jaxinv.exact import enumerate_states

HERE = Path(__file__).parent
TOLERANCE, WITHIN, DISCOUNT = 1e-7, 0.01, 0.99

LOST_SALES = [(4.0, 4), (39.0, 4), (19.0, 5)]
"""Shortage cost and lead time; 22,599, 63,936 and 600,281 states."""

PERISHABLES = [(2, 1), (3, 2)]
"""Shelf life and lead time; 121 and 14,641 states."""


def ours(name, rounds, options, **solving):
    """The first solution and its seconds, and those of the rounds after it."""
    env, params = jaxinv.make(name, **options)
    seconds = []
    for _ in range(1 + rounds):
        began = time.perf_counter()
        found = enumerate_states(env, params, **solving)
        seconds.append(time.perf_counter() - began)
    return found, seconds


def row(instance, contender, first, again, found):
    return dict(instance=instance, contender=contender, first=first, again=again, **found)


def lost_sales(shortage, lead_time, rounds):
    instance = f"lost sales, Poisson(5), p={shortage:g}, L={lead_time}"
    found, seconds = ours(
        "lost_sales", rounds, dict(lead_time=lead_time, shortage_cost=shortage), tolerance=TOLERANCE
    )
    yield row(instance, "jaxinv", seconds[0], float(np.median(seconds[1:])),
              dict(states=found.grid.states, sweeps=found.iterations, answer=found.cost))  # fmt: skip
    theirs = []
    for _ in range(rounds):
        began = time.perf_counter()
        cost, states, sweeps = lost_sales_optimum(5.0, shortage, lead_time, TOLERANCE)
        theirs.append(time.perf_counter() - began)
    yield row(instance, "NumPy", theirs[0], float(np.median(theirs)), dict(states=states, sweeps=sweeps, answer=cost))


def perishable(shelf_life, lead_time, rounds, python):
    instance = f"perishable, m={shelf_life}, L={lead_time}"
    options = dict(shelf_life=shelf_life, lead_time=lead_time)
    total = 16.0 / (1 - DISCOUNT)  # about the discounted cost, which a tolerance is relative to
    found, seconds = ours("perishable", rounds, options, discount=DISCOUNT, tolerance=WITHIN / total)
    spread = float(found.value.max() - found.value.min())
    yield row(instance, "jaxinv", seconds[0], float(np.median(seconds[1:])),
              dict(states=found.grid.states, sweeps=found.iterations, answer=spread))  # fmt: skip
    if python:
        arguments = [python, str(HERE / "peer_mdpax.py"), str(shelf_life), str(lead_time), str(WITHIN)]
        printed = subprocess.run(arguments, capture_output=True, text=True, check=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})
        theirs = json.loads(printed.stdout.splitlines()[-1])
        yield row(instance, f"mdpax {theirs.pop('version')}", theirs.pop("first"), theirs.pop("again"), theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mdpax", default="", metavar="PYTHON", help="interpreter of an environment that has mdpax")
    parser.add_argument("--out", default=str(HERE / "results" / "solve.json"))
    options = parser.parse_args()
    facts = about()
    print(heading(facts))
    print(f"{'instance':36}{'contender':14}{'states':>9}{'sweeps':>8}{'first, s':>10}{'again, s':>10}{'answer':>12}")
    rows = []
    runs = [lost_sales(*cell, options.rounds) for cell in LOST_SALES]
    runs += [perishable(*cell, options.rounds, options.mdpax) for cell in PERISHABLES]
    for found in (found for run in runs for found in run):
        rows.append(found)
        print(f"{found['instance']:36}{found['contender']:14}{found['states']:9,}{found['sweeps']:8}"
              f"{found['first']:10.3f}{found['again']:10.3f}{found['answer']:12.5f}", flush=True)  # fmt: skip
    ratios = []
    print("\nhow many times as fast as the other           first   again   answers differ by")
    for mine, other in zip(rows, rows[1:]):
        if mine["instance"] == other["instance"]:
            ratio = dict(instance=mine["instance"], other=other["contender"], first=other["first"] / mine["first"],
                         again=other["again"] / mine["again"], difference=abs(mine["answer"] - other["answer"]))  # fmt: skip
            ratios.append(ratio)
            where = f"{ratio['instance']}, {ratio['other']}"
            print(f"{where:46}{ratio['first']:6.2f}{ratio['again']:8.1f}{ratio['difference']:12.1e}")
    document = dict(**facts, answer="average cost (lost sales); spread of the discounted values (perishables)", rows=rows, ratios=ratios)
    Path(options.out).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
