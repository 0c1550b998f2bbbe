"""The networks of gym-invmgmt and or-gym, told with `jaxinv.Network`.

gym-invmgmt 0.2.1 (Barati & Hu 2026, arXiv 2605.11355), from OR-Gym (Hubbs et al. 2020, arXiv
2008.06319; Perez et al. 2021). They play as their own simulators do, to the unit.
"""

from typing import Any

from jaxinv.envs.builder import Network

# node: stock at the start, holding cost, and of factories their capacity and operating cost
BASE = {
    1: (100, 0.030),
    2: (110, 0.020),
    3: (80, 0.015),
    4: (400, 0.012, 90, 0.010),
    5: (350, 0.013, 90, 0.015),
    6: (380, 0.011, 80, 0.012),
}
BASE_EDGES = {  # lead time, price, holding cost on the way
    (2, 1): (5, 1.500, 0.010),
    (3, 1): (3, 1.600, 0.015),
    (4, 2): (8, 1.000, 0.008),
    (4, 3): (10, 0.800, 0.006),
    (5, 2): (9, 0.700, 0.005),
    (6, 2): (11, 0.750, 0.007),
    (6, 3): (12, 0.800, 0.004),
    (7, 4): (0, 0.150, 0.000),
    (7, 5): (1, 0.050, 0.005),
    (8, 5): (2, 0.070, 0.002),
    (8, 6): (0, 0.200, 0.000),
}
SERIAL = {1: (100, 0.030), 2: (100, 0.020), 3: (200, 0.010, 100, 0.010)}
SERIAL_EDGES = {(2, 1): (4, 1.5, 0.010), (3, 2): (4, 1.0, 0.005), (4, 3): (0, 0.5, 0.000)}
NETWORKS = {"base": (BASE, BASE_EDGES), "serial": (SERIAL, SERIAL_EDGES)}

PRICE, SHORTAGE = 2.0, 0.1
"""Of a unit sold, and of one that waits or is lost, a period."""


def invmgmt(
    network: str = "base",
    backlog: bool = True,
    goodwill: Any = False,
    factory_yield: float = 1.0,
    shared: bool = True,
    demand: Any = "poisson(20)",
    typical: float = 20.0,
    tolerance: float = 0.0,
    waits: Any = None,
    instances: int | None = None,
) -> Network:
    """One of the two networks.

    What one node pays another is nothing to both together, so that costs are those of outside.

    Args:
      network: a name in `NETWORKS`.
      goodwill: whether customers come back by how they are served; of several instances 1 or 0.
      factory_yield: units made of a unit of raw material.
      shared: a factory's edges share its capacity, or each has as much of its own (or-gym).
      demand: its law, or True where the process is given to `problem`.
      typical: mean demand a period.
      tolerance: share of demand unserved at which goodwill falls in full; 0: the least shortage is
        enough, as theirs has it.
      waits: share of backorders that wait, of each instance; None: all of them.
      instances: see `Network`.
    """
    nodes, edges = NETWORKS[network]
    net = Network(backlog=backlog, rationing="priority", orders_first=True, instances=instances)
    for name in {source for source, _ in edges} - nodes.keys():
        net.supplier(f"raw {name}")
    for name, (stock, holding, *factory) in nodes.items():
        given = dict(holding_cost_per_unit_period=holding, initial_stock_units=stock)
        if name == 1:
            given |= dict(
                demand=demand,
                shortage_cost_per_unit=SHORTAGE,
                price_per_unit=PRICE,
                typical_demand_units_per_period=typical,
            )
        if name == 1 and goodwill is not False:
            given |= dict(
                goodwill_growth_per_period=1.0 + 0.01 * goodwill,
                goodwill_decay_per_period=1.0 - 0.1 * goodwill,
                goodwill_tolerance_share=tolerance,
                goodwill_lowest=0.2,
                goodwill_highest=2.0,
            )
        if name == 1:
            given |= dict(waiting_share=waits)
        if factory and shared:
            given |= dict(shipping_capacity_units_per_period=factory[0])
        net.node(f"{name}", **given)
    for (source, destination), (lead_time, price, transit) in edges.items():
        factory = nodes.get(source, ())[2:]
        cost = price if source not in nodes else factory[1] / factory_yield if factory else 0.0
        net.edge(
            f"{source}" if source in nodes else f"raw {source}",
            f"{destination}",
            lead_time_periods=lead_time,
            cost_per_unit=cost,
            transit_cost_per_unit_period=transit,
            initial_pipeline_units_per_period=0.0,
            processing_yield=factory_yield if factory and factory_yield < 1 else None,
            limit_units_per_period=factory[0] if factory and not shared else None,
        )
    return net
