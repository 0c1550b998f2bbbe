"""All published instances by family."""

from jaxinv.errors import unknown
from jaxinv.instances.dual_sourcing import DUAL_SOURCING
from jaxinv.instances.instance import Instance
from jaxinv.instances.lost_sales import FIXED_COST, LOST_SALES
from jaxinv.instances.moving_demand import DEEPSTOCK
from jaxinv.instances.networks import BEER, CHAIN, ONE_WAREHOUSE
from jaxinv.instances.perishable import PERISHABLE

INSTANCES: tuple[Instance, ...] = (
    *LOST_SALES, FIXED_COST, *DUAL_SOURCING, *PERISHABLE, CHAIN, *ONE_WAREHOUSE, BEER, DEEPSTOCK,
)  # fmt: skip

FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(instance.family for instance in INSTANCES))


def instances_of(family: str) -> list[Instance]:
    """The instances of a family."""
    if family not in FAMILIES:
        raise unknown("family of instances", family, FAMILIES)
    return [instance for instance in INSTANCES if instance.family == family]
