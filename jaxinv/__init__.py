"""Inventory control learned in a differentiable simulator, thousands of supply networks at once on JAX."""

import importlib
from typing import Any

from jaxinv.envs.registry import PRESETS, make, preset, register, register_preset
from jaxinv.errors import UserError

__version__ = "0.1.0"
__all__ = [
    "Network", "PRESETS", "UserError", "compare", "exact", "fit", "load_run", "make", "preset", "register", "register_preset",
    "tuned",
]  # fmt: skip

register()


def __getattr__(name: str) -> Any:
    """What takes jax with it is imported when it is first asked for."""
    if name == "Network":
        return importlib.import_module("jaxinv.envs.builder").Network
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "exact":
        return importlib.import_module("jaxinv.exact")
    return getattr(importlib.import_module("jaxinv.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
