"""Presets by name, for `jaxinv.make` and the commands.

Neither jax nor gymnax is imported before a preset is asked for: a mistyped name is answered at
once.
"""

import dataclasses
import importlib.util
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from jaxinv.errors import UserError, unknown
from jaxinv.outside import Known, address, named

if TYPE_CHECKING:
    from jaxinv.envs.environment import InventoryNetwork
    from jaxinv.envs.network import InstanceParams
    from jaxinv.envs.problem import Preset, Problem

PRESETS: Known = Known(
    lost_sales="jaxinv.envs.presets:LostSales",
    backlog="jaxinv.envs.presets:Backlog",
    perishable="jaxinv.envs.presets:Perishable",
    dual_sourcing="jaxinv.envs.presets:DualSourcing",
    serial="jaxinv.envs.presets:Serial",
    one_warehouse_many_stores="jaxinv.envs.one_warehouse:OneWarehouseManyStores",
    two_warehouses="jaxinv.envs.two_warehouses:TwoWarehouses",
    omnichannel="jaxinv.envs.omnichannel:OmniChannel",
    cross_border="jaxinv.envs.cross_border:CrossBorder",
    causal_store="jaxinv.envs.causal_store:CausalStore",
    deepstock="jaxinv.envs.deepstock:DeepStock",
    retail="jaxinv.envs.retail:Retail",
    retail_network="jaxinv.envs.retail_network:RetailNetwork",
    network="jaxinv.envs.plan_network:PlanNetwork",
    unseen="jaxinv.envs.unseen:Unseen",
)


def preset(name: str) -> "type[Preset]":
    """The preset class of a name in `PRESETS`, or of an address `module:Class`.

    Raises:
      UserError: where there is none.
    """
    return cast("type[Preset]", named("preset", name, PRESETS, "jaxinv.envs.problem:Preset"))


def preset_address(name: str) -> str:
    """The name that finds the preset again in another process: a run keeps this one."""
    return address(name, preset(name), PRESETS)


def register_preset(name: str, kind: "type[Preset]") -> None:
    """Makes a preset of one's own known by a name: to `make`, to gymnax as `jaxinv/NAME`, and to
    everything that takes names.

    On the command line, where nothing registers it, its address `module:Class` is its name.

    Raises:
      UserError: if it is no `Preset`, or the name is taken by another.
    """
    from jaxinv.envs.problem import Preset

    if not isinstance(kind, type) or not issubclass(kind, Preset):
        raise UserError(f"{kind!r} must be a class that extends jaxinv.envs.problem.Preset")
    if PRESETS.setdefault(name, kind) is not kind:
        raise UserError(f"preset {name!r} is there already; give yours another name")
    register()


def make(name: str, **options: Any) -> "tuple[InventoryNetwork, InstanceParams]":
    """A gymnax environment and its parameters.

    Of a preset with many instances (SKUs, series) these are the parameters of the first; all of
    them are in `preset(name)(**options).build().train`, with a leading axis. The action space holds
    whatever a rule may order (`jaxinv.envs.reach`).

    Args:
      name: a preset, such as "lost_sales".
      **options: the preset's own, such as lead_time=4; see its class.

    Raises:
      UserError: for a name or an option that does not exist, or a value that cannot be.
    """
    return alone(name, problem(name, **options))


def problem(name: str, **options: Any) -> "Problem":
    """The problem of a preset: an environment and instances. Arguments and errors are those of
    `make`.
    """
    check_options(name, options)
    return preset(name)(**options).build()


def check_options(name: str, options: Iterable[str], others: Iterable[str] = ()) -> None:
    """Refuses options that a preset has not.

    Args:
      others: what could have been meant too, of the function that takes them.
    """
    known = [field.name for field in dataclasses.fields(preset(name))]
    for option in options:
        if option not in known:
            raise unknown(f"option of {name}", option, [*known, *others])


def alone(name: str, problem: "Problem") -> "tuple[InventoryNetwork, InstanceParams]":
    """The environment of a preset's problem for callers of its own, with an action space as `make`
    has it.
    """
    env = problem.env
    if not preset(name).largest_order_given:
        from jaxinv.envs.reach import reaching

        env = env.alone(reaching(env, env.default_params))
    return env.alone(), env.default_params


def register() -> None:
    """Registers every preset with gymnax as `jaxinv/NAME`, so that `gymnax.make` builds it; where
    gymnax is not imported yet, which takes seconds, as soon as it is."""
    if "gymnax" not in sys.modules:
        if not any(isinstance(finder, _WhenGymnaxComes) for finder in sys.meta_path):
            sys.meta_path.insert(0, _WhenGymnaxComes())
        return
    import gymnax

    for name in PRESETS:
        if f"jaxinv/{name}" not in gymnax.registered_envs:
            gymnax.register(
                f"jaxinv/{name}", lambda _name=name, **options: make(_name, **options)[0]
            )


class _WhenGymnaxComes:
    """Finds gymnax as Python does, once, and registers the presets when it has been loaded."""

    def find_spec(self, name, path=None, target=None):
        if name != "gymnax":
            return None
        sys.meta_path.remove(self)
        found = importlib.util.find_spec(name)
        if found is not None and found.loader is not None:
            load = found.loader.exec_module

            def load_and_register(module):
                load(module)
                register()

            found.loader.exec_module = load_and_register
        return found
