"""The types that a field of a configuration may have, and values read as one of them
(`jaxinv.config`).
"""

import math
import types
import typing
from typing import Any

from jaxinv.errors import UserError, unknown


def as_kind(kind: Any, value: Any, place: str, origin: str) -> Any:
    """The value as `kind`, or the error that says what `place` takes."""
    inner, optional = without_none(kind)
    wrong = UserError(f"{origin}: {place} must be {_describe(kind)}, not {_show(value)}")
    if isinstance(value, str) and "${" in value:
        return value  # an interpolation: omegaconf checks what it resolves to
    if value is None:
        if optional:
            return None
        raise wrong
    if is_literal(inner):
        choices = typing.get_args(inner)
        if value in choices:
            return value
        raise at_place(origin, unknown(f"value of {place}", str(value), map(str, choices)))
    if is_tuple(inner):
        if not isinstance(value, list | tuple):
            raise wrong
        items = item_kinds(inner, len(value))
        if len(items) != len(value):
            raise wrong
        return [as_kind(item, each, place, origin) for item, each in zip(items, value, strict=True)]
    if inner is int and isinstance(value, float) and value.is_integer():
        return int(value)  # 1e6 is how people write a number of steps
    if inner is float and value in ("inf", "-inf"):
        return float(value)  # YAML itself knows only .inf
    if inner is float and isinstance(value, float) and math.isnan(value):
        raise wrong
    allowed = {int: int, float: int | float, bool: bool, str: str}.get(inner, object)
    if not isinstance(value, allowed) or (isinstance(value, bool) and inner in (int, float)):
        raise wrong
    return value


def _describe(kind: Any) -> str:
    inner, optional = without_none(kind)
    if is_literal(inner):
        text = f"one of {', '.join(map(str, typing.get_args(inner)))}"
    elif is_tuple(inner):
        items = typing.get_args(inner)
        same = len(items) == 2 and items[1] is Ellipsis
        text = f"a list, each {_describe(items[0])}" if same else f"a list of {len(items)} values"
    else:
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        text = words.get(inner, str(inner))
    return f"{text}, or null" if optional else text


def _show(value: Any) -> str:
    if value is None:
        return "empty"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def without_none(kind: Any) -> tuple[Any, bool]:
    """The type without None, and whether None was part of it."""
    if kind is Any:
        return Any, True
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind, False
    items = typing.get_args(kind)
    rest = tuple(item for item in items if item is not type(None))
    return typing.Union[rest], len(rest) < len(items)  # noqa: UP007 -- of as many as there are


def is_literal(kind: Any) -> bool:
    return typing.get_origin(kind) is typing.Literal


def is_tuple(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple


def is_dict(kind: Any) -> bool:
    return kind is dict or typing.get_origin(kind) is dict


def item_kinds(kind: Any, length: int) -> list[Any]:
    """The type of each item of a tuple of `length` items; of another length if the tuple type fixes
    it.
    """
    items = typing.get_args(kind)
    return [items[0]] * length if len(items) == 2 and items[1] is Ellipsis else list(items)


def at_place(origin: str, error: UserError) -> UserError:
    return error if f"{error} ".startswith(f"{origin} ") else UserError(f"{origin}: {error}")
