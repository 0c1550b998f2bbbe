"""Dual sourcing: the instances of Veeraraghavan & Scheller-Wolf that Gijsbrechts et al. measured
their learner on.
"""

from jaxinv.instances.instance import Instance, Published

SOURCE = (
    "Gijsbrechts et al. 2022, Manufacturing & Service Operations Management 24(3), figure 9 (gaps"
    " in per cent); the optimum, which is not in print, by an independent value iteration in NumPy"
)

CELLS = {
    # regular lead time, expedited cost: optimum; gaps of capped dual index, dual index, single
    # index, tailored base-surge
    (2, 105): (216.76980, 0.00, 0.11, 0.56, 0.06),
    (2, 110): (219.73333, 0.03, 0.18, 1.03, 0.99),
    (3, 105): (216.87672, 0.00, 0.27, 0.98, 0.01),
    (3, 110): (220.34105, 0.06, 0.36, 2.11, 0.71),
    (4, 105): (216.89305, 0.00, 0.36, 1.43, 0.00),
    (4, 110): (220.61223, 0.11, 0.49, 2.44, 0.58),
}

RULES = ("capped_base_stock", "dual_index", "base_stock", "tailored_base_surge")
"""Base-stock on the one inventory position of two suppliers is the single-index policy."""


def _cell(lead_time: int, cost: int, optimal: float, *gaps: float) -> Instance:
    return Instance(
        name=f"dual sourcing, l={lead_time}, c={cost}",
        family="dual_sourcing",
        source=SOURCE,
        preset="dual_sourcing",
        options={"regular_lead_time": lead_time, "expedited_cost": float(cost)},
        published={
            "optimal": Published(optimal, 1e-2),
            **{f"gap of {rule}, %": Published(gap, 0.03) for rule, gap in zip(RULES, gaps)},
        },
    )


DUAL_SOURCING = tuple(_cell(*cell, *numbers) for cell, numbers in CELLS.items())
