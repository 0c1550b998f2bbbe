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
from jaxinv.errors import UserError, unknown
from jaxinv.outside import address, named

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
    """The preset class of a name in `PRESETS`, or of an address `module:Class`.

    Raises:
      UserError: where there is none.
    """
    return named("preset", name, PRESETS, Preset)


def preset_address(name: str) -> str:
    """The name that finds the preset again in another process: a run keeps this one."""
    return address(name, preset(name), PRESETS)


def register_preset(name: str, kind: type[Preset]) -> None:
    """Makes a preset of one's own known by a name: to `make`, to gymnax as `jaxinv/NAME`, and to everything that takes names.

    On the command line, where nothing registers it, its address `module:Class` is its name.

    Raises:
      UserError: if it is no `Preset`, or the name is taken by another.
    """
    if not isinstance(kind, type) or not issubclass(kind, Preset):
        raise UserError(f"{kind!r} must be a class that extends jaxinv.envs.problem.Preset")
    if PRESETS.setdefault(name, kind) is not kind:
        raise UserError(f"preset {name!r} is there already; give yours another name")
    _register_with_gymnax(name)


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
    env = kind(**options).build().env.alone()
    return env, env.default_params


def register() -> None:
    """Registers every preset with gymnax as `jaxinv/NAME`, so that `gymnax.make` builds it."""
    for name in PRESETS:
        _register_with_gymnax(name)


def _register_with_gymnax(name):
    if f"jaxinv/{name}" not in gymnax.registered_envs:
        gymnax.register(f"jaxinv/{name}", lambda **options: make(name, **options)[0])
