"""Perishable goods: De Moor's problem as Farrington et al. solved it."""

from jaxinv.instances.instance import Instance, Published

SOURCE = (
    "Farrington et al. 2025, Annals of Operations Research, table 3 (De Moor et al. 2022): mean"
    " return of 10,000 paths"
)

DISCOUNT, PERIODS, WARM_UP = 0.99, 365, 100
"""Returns are discounted over a year that starts after a warm-up from empty stock."""

COLUMNS = [
    dict(lead_time=lead_time, expiry_cost=waste, issuing=issuing)
    for lead_time in (1, 2)
    for waste in (7.0, 10.0)
    for issuing in ("freshest", "oldest")
]

RETURNS = {
    # shelf life: optimal and best base-stock return in each column
    2: (
        (1553, 1565),
        (1457, 1474),
        (1571, 1581),
        (1463, 1485),
        (1551, 1590),
        (1461, 1495),
        (1569, 1606),
        (1469, 1504),
    ),
    3: (
        (1490, 1500),
        (1424, 1435),
        (1498, 1512),
        (1425, 1436),
        (1513, 1533),
        (1435, 1456),
        (1526, 1544),
        (1437, 1457),
    ),
    4: (
        (1459, 1476),
        (1422, 1430),
        (1465, 1481),
        (1422, 1430),
        (1480, 1496),
        (1432, 1453),
        (1489, 1505),
        (1432, 1453),
    ),
    5: (
        (1443, 1454),
        (1422, 1430),
        (1446, 1460),
        (1422, 1430),
        (1463, 1480),
        (1432, 1453),
        (1467, 1484),
        (1432, 1453),
    ),
}

PRINTED = 0.5
"""Returns are printed in whole units; their standard error over 10,000 paths is added
(`studies.instances`).
"""


def _cell(shelf_life: int, column: dict, optimal: float, base_stock: float) -> Instance:
    return Instance(
        name=(
            f"perishable, m={shelf_life}, L={column['lead_time']}, w={column['expiry_cost']:g},"
            f" sells {column['issuing']}"
        ),
        family="perishable",
        source=SOURCE,
        preset="perishable",
        options={"shelf_life": shelf_life, **column},
        published={
            "optimal return": Published(-optimal, PRINTED),
            "base_stock return": Published(-base_stock, PRINTED),
        },
        slow=shelf_life > 3 and column["lead_time"] > 1 or shelf_life > 4,
    )


PERISHABLE = tuple(
    _cell(shelf_life, column, *pair)
    for shelf_life, row in RETURNS.items()
    for column, pair in zip(COLUMNS, row)
)
