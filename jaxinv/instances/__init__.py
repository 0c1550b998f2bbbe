"""The registry of published instances: where each comes from, its exact parameters, and the numbers
printed for it.
"""

from jaxinv.instances.instance import Instance, Published
from jaxinv.instances.registry import FAMILIES, INSTANCES, instances_of

__all__ = ["FAMILIES", "INSTANCES", "Instance", "Published", "instances_of"]
