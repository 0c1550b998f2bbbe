"""Relative value iteration for lost sales in plain NumPy: what one writes for a single model, as a
measure of the solver.

State `(x0, ..., x_{L-1})` with x0 the stock on hand, this period's arrival included; an order
arrives L periods later. The bounds are Zipkin's (2008): no position above the newsvendor quantity
of L + 1 periods, no order above that of one, and one unit of slack on both. The expectation over
demand is one product of matrices an order, the tail of demand held exactly.
"""

import numpy as np
from scipy import stats


def lost_sales_optimum(
    mean: float, shortage: float, lead_time: int, tolerance: float, slack: int = 1
):
    """Least average cost a period under Poisson demand, at a holding cost of 1.

    Args:
      tolerance: of the bounds on the cost (Odoni 1969), relative to it.

    Returns:
      The cost, the number of states and the number of sweeps.
    """
    demand = stats.poisson(mean)
    ratio = shortage / (shortage + 1.0)
    most = int(stats.poisson(mean * (lead_time + 1)).ppf(ratio)) + slack
    largest = int(demand.ppf(ratio)) + slack
    stock = np.arange(most + 1)

    left = demand.pmf(
        stock[:, None] - stock
    )  # [x, y] probability that y of x units are left, y > 0
    left[:, 0] = demand.sf(stock - 1)
    held = left @ stock
    cost = held + shortage * (mean - stock + held)

    value = np.zeros((most + 1, (largest + 1) ** (lead_time - 1)))
    sweeps = 0
    while True:
        expected = [
            left @ value[np.minimum(stock + arrival, most)] for arrival in range(largest + 1)
        ]
        after = np.stack(expected, 1).reshape(most + 1, -1, largest + 1)
        change = cost[:, None] + after.min(-1) - value
        value += change - change[0, 0]
        sweeps += 1
        low, high = change.min(), change.max()
        if high - low <= tolerance * max(1.0, abs(high)):
            return (low + high) / 2, value.size, sweeps
