"""Presets by name, for `jaxinv.make` and the commands."""

import dataclasses
from typing import Any

import gymnax

from jaxinv.envs.causal_store import CausalStore
from jaxinv.envs.cross_border import CrossBorder
from jaxinv.envs.deepstock import DeepStock
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.one_warehouse import OneWarehouseManyStores
from jaxinv.envs.presets import Backlog, DualSourcing, LostSales, Perishable, Serial
from jaxinv.envs.problem import Preset
from jaxinv.envs.retail import Retail
from jaxinv.envs.retail_network import RetailNetwork
from jaxinv.errors import unknown

PRESETS: dict[str, type[Preset]] = {
    "lost_sales": LostSales,
    "backlog": Backlog,
    "perishable": Perishable,
    "dual_sourcing": DualSourcing,
    "serial": Serial,
    "one_warehouse_many_stores": OneWarehouseManyStores,
    "cross_border": CrossBorder,
    "causal_store": CausalStore,
    "deepstock": DeepStock,
    "retail": Retail,
    "retail_network": RetailNetwork,
}


def preset(name: str) -> type[Preset]:
    """The preset class of a name."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name]


def make(name: str, **options: Any) -> tuple[InventoryNetwork, InstanceParams]:
    """A gymnax environment and its parameters.

    Of a preset with many instances (SKUs, series) these are the parameters of the first; all of them are in
    `preset(name)(**options).build().train`, with a leading axis.

    Args:
      name: a preset, such as "lost_sales".
      **options: the preset's own, such as lead_time=4; see its class.

    Raises:
      UserError: for a name or an option that does not exist, or a value that cannot be.
    """
    kind = preset(name)
    known = [field.name for field in dataclasses.fields(kind)]
    for option in options:
        if option not in known:
            raise unknown(f"option of {name}", option, known)
    env = kind(**options).build().env
    return env, env.default_params


def register() -> None:
    """Registers every preset with gymnax as `jaxinv/NAME`, so that `gymnax.make` builds it."""
    for name in PRESETS:
        gymnax.register(f"jaxinv/{name}", lambda name=name, **options: make(name, **options)[0])
