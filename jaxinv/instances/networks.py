"""Networks of several stages: Clark and Scarf's chain, the beer game, and one warehouse with many stores."""

from jaxinv.envs.one_warehouse import KAYNOV
from jaxinv.envs.presets import BEER_GAME
from jaxinv.instances.instance import Instance, Published

CHAIN = Instance(
    name="serial, example 6.1",
    family="serial",
    source="Snyder & Shen 2019, Fundamentals of Supply Chain Theory, example 6.1 (stockpyl gives 47.66539)",
    options=dict(
        mean=5.0, deviation=1.0, lead_times=(1.0, 1.0, 2.0), echelon_holding=(3.0, 2.0, 2.0), shortage=37.12
    ),  # the stage at the customer first
    published={"continuous review": Published(47.665, 0.005)},
)

BEER = Instance(
    name="beer game",
    family="beer_game",
    source="Sterman 1989, Management Science 35(3): the best anchor-and-adjust parameters, 36 weeks",
    preset="serial",
    options=dict(BEER_GAME),
    published={"anchor_and_adjust": Published(204.0, 0.5)},
)

STERMAN = dict(level=(20.0, 28.0, 28.0, 28.0), smoothing=0.0, adjustment=1.0, supply_line=1.0)
"""The benchmark's parameters in cases, the factory first; orders of the first five weeks are four by the rules."""

PROPORTIONAL = {1: 1655.51, 2: 1383.88, 3: 1776.04, 4: 1858.93, 5: 2246.84, 6: 1373.91, 7: 1406.27, 8: 1508.12, 9: 1535.96, 10: 1736.55}
"""Base-stock with proportional rationing, cost of 100 periods; standard errors about 1.7."""

UNDER_TUNED = "ours is cheaper: the base-stock levels in print are not the best of their class"

ONE_WAREHOUSE = tuple(
    Instance(
        name=f"one warehouse, row {row}",
        family="one_warehouse",
        source="Kaynov et al. 2024, International Journal of Production Economics 267: 109088, table A.3",
        preset="one_warehouse_many_stores",
        options=dict(KAYNOV[row]),
        published={"echelon_base_stock over 100 periods": Published(cost, 1.7, UNDER_TUNED)},
    )
    for row, cost in PROPORTIONAL.items()
)
