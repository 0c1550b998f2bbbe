"""What is typed behind a plan, `columns.sku=Artikel service=0.97`, as values for `read_plan`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from jaxinv.data.plan.find import stem_of, table_of
from jaxinv.errors import UserError


def parse_overrides(overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`columns` and `settings` of `read_plan` from texts `key=value`.

    Keys may have a dot: `columns.sku=Artikel`, `columns.items.cost=EK`, `rates.USD=0.92`,
    `service.Tea=0.98`, `dates.sales=dmy`.

    Raises:
      UserError: a value that is not YAML.
    """
    columns: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for text in overrides:
        key, _, value = text.partition("=")
        first, _, rest = key.partition(".")
        if first == "columns" and rest:
            columns[rest] = value
            continue
        if first in ("dates", "decimal", "lines", "currency", "reader") or table_of(first) == first:
            read: Any = value
        else:
            try:
                read = yaml.safe_load(value)
            except yaml.YAMLError:
                raise UserError(
                    f"{text}: {value!r} cannot be read; write such as {key}=0.97, or put it in"
                    " quotes"
                ) from None
        if rest:
            inner = settings.setdefault(first, {})
            if not isinstance(inner, dict):
                raise UserError(f"{text}: {first} was given as {inner!r} before; give it once")
            inner[rest] = read
        else:
            settings[key] = read
    return columns, settings


def by_name(paths: Sequence[Path]) -> tuple[Path, dict[str, str]]:
    """The plan among paths that were typed: the one path, or the file of sales and, by table, the
    others.

    Raises:
      UserError: among several, a folder or a plan, two files of one table, or none of sales.
    """
    if len(paths) == 1:
        return paths[0], {}
    named: dict[str, Path] = {}
    for path in paths:
        if path.is_dir() or path.suffix in (".yaml", ".yml"):
            raise UserError(f"{path}: give one folder or plan alone, or several files")
        table = table_of(stem_of(path)) or "sales"
        if table in named:
            raise UserError(
                f"{named[table]} and {path} may both be the table {table}; write which is which,"
                f" such as items={path}"
            )
        named[table] = path
    if "sales" not in named:
        raise UserError(
            f"no file of sales among {', '.join(map(str, paths))}; give it too, or sales=FILE"
        )
    sales = named.pop("sales")
    return sales, {table: os.path.abspath(path) for table, path in named.items()}
