"""Every network preset at a size for tests of what others ask of an environment."""

import pytest

import jaxinv
from jaxinv.envs.presets import BEER_GAME

SIZE = dict(history=2, horizon=4)
NETWORKS = {
    "serial": ("serial", dict(horizon=4)),
    "beer game": ("serial", {**BEER_GAME, "horizon": 4}),
    "one warehouse": ("one_warehouse_many_stores", dict(stores=2, horizon=4)),
    "dual sourcing": ("dual_sourcing", SIZE),
    "two warehouses": ("two_warehouses", dict(horizon=4)),
    "omnichannel": ("omnichannel", dict(stores=2, return_rates=(0.1, 0.2), **SIZE)),
    "cross border": ("cross_border", SIZE),
}

each_network = pytest.mark.parametrize(
    "network, levels",
    [*((network, None) for network in NETWORKS), ("one warehouse", 3), ("omnichannel", 3)],
)
"""With orders as quantities, and with a few levels: one order an agent, and several."""


def made(network, **given):
    """The multi-agent environment of a network."""
    name, options = NETWORKS[network]
    return jaxinv.make_multi_agent(name, **given, **options)
