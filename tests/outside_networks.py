"""The networks of gym-invmgmt and or-gym, told with `jaxinv.Network`."""

import jaxinv

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


def invmgmt(network="base", backlog=True, goodwill=False, factory_yield=1.0, shared=True):
    """One of the two networks; `shared`: a factory's edges share its capacity, or each has as much
    of its own.
    """
    nodes, edges = NETWORKS[network]
    net = jaxinv.Network(backlog=backlog, rationing="priority", orders_first=True)
    for name in {source for source, _ in edges} - nodes.keys():
        net.supplier(f"raw {name}")
    for name, (stock, holding, *factory) in nodes.items():
        sells = (
            dict(demand="poisson(20)", shortage_cost_per_unit=0.1, price_per_unit=2.0)
            if name == 1
            else {}
        )
        moves = dict(
            goodwill_growth_per_period=1.01,
            goodwill_decay_per_period=0.9,
            goodwill_lowest=0.2,
            goodwill_highest=2.0,
        )
        makes = dict(shipping_capacity_units_per_period=factory[0]) if factory and shared else {}
        net.node(
            f"{name}", holding_cost_per_unit_period=holding, initial_stock_units=stock, **sells,
            **makes,
            **(moves if goodwill and name == 1 else {}),
        )  # fmt: skip
    for (source, destination), (lead_time, price, transit) in edges.items():
        factory = nodes.get(source, ())[
            2:
        ]  # what one node pays another is nothing to both together
        cost = price if source not in nodes else factory[1] / factory_yield if factory else 0.0
        net.edge(
            f"{source}" if source in nodes else f"raw {source}", f"{destination}",
            lead_time_periods=lead_time,
            cost_per_unit=cost, transit_cost_per_unit_period=transit,
            initial_pipeline_units_per_period=0.0,
            processing_yield=factory_yield if factory and factory_yield < 1 else None,
            limit_units_per_period=factory[0] if factory and not shared else None,
        )  # fmt: skip
    return net
