"""One perishable instance solved by mdpax, for `bench/solve.py`; prints a JSON document.

python bench/peer_mdpax.py SHELF_LIFE LEAD_TIME EPSILON
"""

import json
import sys
import time
from importlib.metadata import version

from mdpax.problems import DeMoorSingleProductPerishable
from mdpax.solvers import ValueIteration


def main() -> None:
    shelf_life, lead_time, epsilon = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    problem = DeMoorSingleProductPerishable(max_useful_life=shelf_life, lead_time=lead_time)

    def solve(most):
        began = time.perf_counter()
        solver = ValueIteration(problem, gamma=0.99, epsilon=epsilon, verbose=0)
        result = solver.solve(max_iterations=most)
        return time.perf_counter() - began, result

    start, _ = solve(1)  # compilation, and one sweep
    seconds, result = solve(20_000)
    values = result.values
    print(json.dumps(dict(
        first=seconds, again=max(seconds - start, 0.0), sweeps=int(result.info.iteration),
        states=len(values),
        answer=float(values.max() - values.min()), version=version("mdpax"),
    )))  # fmt: skip


if __name__ == "__main__":
    main()
