"""Seconds to the optimum, beside NumPy and mdpax, in one run.

    python bench/solve.py [--rounds 3] [--mdpax PYTHON] [--out bench/results/solve.json]

Lost sales: relative value iteration to bounds 1e-7 apart, beside the value iteration that one would
write in NumPy for this one model (`numpy_value_iteration.py`). Perishables: discounted value
iteration until the policy is proved to be within 0.01 of the optimal return, beside mdpax's, which
runs in a process of its own (`peer_mdpax.py`) with the interpreter given by `--mdpax`; without one
it is left out. `first` is with compilation, `again` without; both hold everything from the instance
to the policy and its steady state, which the others do not work out, so `sweeping`, value iteration
alone, is the like for like.
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
from jaxinv.exact.value_iteration import iterate

HERE = Path(__file__).parent
TOLERANCE, WITHIN, DISCOUNT = 1e-7, 0.01, 0.99

LOST_SALES = [(4.0, 4), (39.0, 4), (19.0, 5)]
"""Shortage cost and lead time; 22,599, 63,936 and 600,281 states."""

PERISHABLES = [(2, 1), (3, 2)]
"""Shelf life and lead time; 121 and 14,641 states."""


def ours(name, rounds, options, **solving):
    """The solution, and seconds of the first time, of the later ones, and of the sweeps alone in
    the median.
    """
    env, params = jaxinv.make(name, **options)

    def solve():
        return enumerate_states(env, params, **solving)

    first, found = timed(solve)
    again = np.median([timed(solve)[0] for _ in range(rounds)])
    sweeping = np.median([timed(lambda: iterate(found.mdp, **solving))[0] for _ in range(rounds)])
    return found, dict(first=first, again=float(again), sweeping=float(sweeping))


def timed(run):
    began = time.perf_counter()
    result = run()
    return time.perf_counter() - began, result


def row(instance, contender, seconds, found):
    return dict(instance=instance, contender=contender, **seconds, **found)


def lost_sales(shortage, lead_time, rounds):
    instance = f"lost sales, Poisson(5), p={shortage:g}, L={lead_time}"
    found, seconds = ours(
        "lost_sales", rounds, dict(lead_time=lead_time, shortage_cost=shortage), tolerance=TOLERANCE
    )
    yield row(
        instance,
        "jaxinv",
        seconds,
        dict(states=found.grid.states, sweeps=found.iterations, answer=found.cost),
    )
    theirs = [
        timed(lambda: lost_sales_optimum(5.0, shortage, lead_time, TOLERANCE))
        for _ in range(rounds)
    ]
    again = float(np.median([seconds for seconds, _ in theirs]))
    cost, states, sweeps = theirs[0][1]
    yield row(
        instance,
        "NumPy",
        dict(first=theirs[0][0], again=again, sweeping=again),
        dict(states=states, sweeps=sweeps, answer=cost),
    )


def perishable(shelf_life, lead_time, rounds, python):
    instance = f"perishable, m={shelf_life}, L={lead_time}"
    options = dict(shelf_life=shelf_life, lead_time=lead_time)
    total = 16.0 / (1 - DISCOUNT)  # about the discounted cost, which a tolerance is relative to
    found, seconds = ours(
        "perishable", rounds, options, discount=DISCOUNT, tolerance=WITHIN / total
    )
    spread = float(found.value.max() - found.value.min())
    yield row(
        instance,
        "jaxinv",
        seconds,
        dict(states=found.grid.states, sweeps=found.iterations, answer=spread),
    )
    if python:
        arguments = [
            python,
            str(HERE / "peer_mdpax.py"),
            str(shelf_life),
            str(lead_time),
            str(WITHIN),
        ]
        printed = subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
        )
        theirs = json.loads(printed.stdout.splitlines()[-1])
        yield row(instance, f"mdpax {theirs.pop('version')}", {"sweeping": theirs["again"]}, theirs)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--mdpax", default="", metavar="PYTHON", help="interpreter of an environment that has mdpax"
    )
    parser.add_argument("--out", default=str(HERE / "results" / "solve.json"))
    options = parser.parse_args()
    facts = about()
    print(heading(facts))
    print(
        f"{'instance':36}{'contender':14}{'states':>9}{'sweeps':>8}{'first, s':>10}"
        f"{'again, s':>10}{'sweeping':>10}{'answer':>12}"
    )
    rows = []
    runs = [lost_sales(*cell, options.rounds) for cell in LOST_SALES]
    runs += [perishable(*cell, options.rounds, options.mdpax) for cell in PERISHABLES]
    for found in (found for run in runs for found in run):
        rows.append(found)
        print(
            f"{found['instance']:36}{found['contender']:14}{found['states']:9,}{found['sweeps']:8}"
            f"{found['first']:10.3f}{found['again']:10.3f}{found['sweeping']:10.3f}{found['answer']:12.5f}",
            flush=True,
        )
    ratios = []
    print(
        "\nhow many times as fast as the other           first   again   sweeping   answers"
        " differ by"
    )
    for mine, other in zip(rows, rows[1:]):
        if mine["instance"] == other["instance"]:
            times = {kind: other[kind] / mine[kind] for kind in ("first", "again", "sweeping")}
            difference = abs(mine["answer"] - other["answer"])
            ratio = dict(
                instance=mine["instance"], other=other["contender"], **times, difference=difference
            )
            ratios.append(ratio)
            where = f"{ratio['instance']}, {ratio['other']}"
            print(
                f"{where:46}{ratio['first']:6.2f}{ratio['again']:8.2f}{ratio['sweeping']:11.2f}{ratio['difference']:12.1e}"
            )
    document = dict(
        **facts,
        answer="average cost (lost sales); spread of the discounted values (perishables)",
        rows=rows,
        ratios=ratios,
    )
    Path(options.out).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
