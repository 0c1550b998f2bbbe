"""Inventory control learned in a differentiable simulator, thousands of supply networks at once on JAX."""

from jaxinv import exact
from jaxinv.envs.registry import PRESETS, make, preset, register, register_preset
from jaxinv.errors import UserError

__version__ = "0.1.0"
__all__ = ["PRESETS", "UserError", "exact", "make", "preset", "register", "register_preset"]

register()
