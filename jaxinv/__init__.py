"""Inventory control learned in a differentiable simulator, thousands of supply networks at once on
JAX.
"""

import importlib
from typing import Any

from jaxinv.envs.registry import PRESETS, make, preset, register, register_preset
from jaxinv.errors import UserError

__all__ = [
    "Network", "PRESETS", "UserError", "compare", "exact", "fit", "load_run", "make",
    "make_gymnasium", "make_gymnax", "make_multi_agent",
    "preset", "ready_policy", "register", "register_preset", "tuned",
]  # fmt: skip

_HOMES = {
    "Network": "jaxinv.envs.builder",
    "make_gymnasium": "jaxinv.envs.gym",
    "make_gymnax": "jaxinv.envs.single_agent",
    "make_multi_agent": "jaxinv.envs.multi_agent",
    "ready_policy": "jaxinv.policies.ready",
    **dict.fromkeys(("compare", "fit", "load_run", "tuned"), "jaxinv.api"),
}

register()


def __getattr__(name: str) -> Any:
    """What takes jax with it is imported when it is first asked for."""
    if name == "exact":
        return importlib.import_module("jaxinv.exact")
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def _version() -> str:
    """That of the installed package; of a checkout that is not installed nothing is known."""
    from importlib import metadata

    try:
        return metadata.version("jaxinv")
    except metadata.PackageNotFoundError:
        return "0+unknown"
