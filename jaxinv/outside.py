"""Classes that are known by a name, or that a user brings from a module of his own."""

import importlib
from collections import UserDict
from collections.abc import Mapping
from typing import Any

from jaxinv.errors import UserError, unknown


class Known(UserDict):
    """Classes by name, each imported when it is first asked for: names are checked and told without
    jax.

    Values are given as classes, as `module:Class`, or as functions that give the class.
    """

    def __getitem__(self, key: str) -> type:
        found = self.data[key]
        if not isinstance(found, type):
            found = self.data[key] = _imported(found) if isinstance(found, str) else found()
        return found


def check_name(kind: str, name: str, known: Mapping[str, Any]) -> None:
    """Refuses a name that neither is known nor can be the address of a class, without importing
    anything.

    Raises:
      UserError: with the nearest name.
    """
    if name not in known and ":" not in name:
        raise unknown(kind, name, known)


def named(kind: str, name: str, known: Mapping[str, type], base: str | type) -> type:
    """The class of a name: one of `known`, or `module:Class` of a module that Python can import
    from here.

    Args:
      kind: what the name stands for, such as "preset".
      base: the class that it must extend, or its address.

    Raises:
      UserError: where there is no such class, or it is of another kind.
    """
    check_name(kind, name, known)
    if name in known:
        return known[name]
    base = _imported(base) if isinstance(base, str) else base
    module, _, label = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), label, None)
    except (ModuleNotFoundError, ValueError, TypeError) as error:
        if getattr(error, "name", None) not in (None, *_packages(module)):
            raise  # the module is there, and what it imports is not
        raise UserError(
            f"{kind} {name!r}: no module {module!r} here; run the command in the folder of"
            f" {module.split('.')[0]}.py"
        ) from None
    if not isinstance(found, type) or not issubclass(found, base):
        raise UserError(
            f"{kind} {name!r}: {module} has no class {label!r} that extends"
            f" {base.__module__}.{base.__name__}"
        )
    return found


def address(name: str, found: type, builtin: Mapping[str, type]) -> str:
    """The name that finds a class again in another process: its own where it is built in, else
    `module:Class`.
    """
    if builtin.get(name) is found and found.__module__.split(".")[0] == "jaxinv":
        return name
    importable = found.__module__ != "__main__" and "." not in found.__qualname__
    return f"{found.__module__}:{found.__qualname__}" if importable else name


def _imported(address: str) -> type:
    module, _, label = address.partition(":")
    return getattr(importlib.import_module(module), label)


def _packages(module: str) -> list[str]:
    """The module and the packages that it lies in."""
    words = module.split(".")
    return [".".join(words[: number + 1]) for number in range(len(words))]
