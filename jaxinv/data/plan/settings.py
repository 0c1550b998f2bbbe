"""What a plan says besides its tables: dates, money, targets, defaults. Its YAML is flat: tables by
name, then these keys.
"""

import dataclasses
import datetime
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxinv.data.dates import FORMS
from jaxinv.data.grid import Frequency
from jaxinv.data.lines import RETURNS
from jaxinv.data.plan.tables import TABLES
from jaxinv.errors import UserError
from jaxinv.yaml_file import load_yaml

READING = ("dates", "decimal", "lines", "columns", "known_ahead", "reader", "sheets")
"""Keys that say how tables are read: `dates` and `decimal` for all tables, or by table;
`lines: sum` of sales; `columns` by table; `known_ahead` covariates of sales; `reader` of the sales
file; `sheets` of Excel workbooks by table."""


@dataclass(frozen=True)
class Settings:
    """What holds for the whole plan.

    Attributes:
      as_of: the first day that is decided; the day after the last sale's period where it is not
        given.
      frequency: "day", "week", "month" or several of them; "" to choose it from the sales.
      currency: of all money that names none; "" for money without a name.
      rates: money of `currency` for one unit of another, by the other's name.
      service: the fill rate to be met: None, one for all, or by category or SKU (a SKU's own goes
        first, then `items.service`).
      budget: money that the orders of one date may cost together; None for no limit.
      returns: negative sales: "refuse", "net" or "separate".
      lead_time: days, for lanes whose lead time is in neither the table nor the receipts.
      holding_rate: cost of stock, a share of cost a year, where neither the item nor its location
        has one.
      margin: share of the price that is not cost, where only one of the two is known.
      shortage_markup: what a unit short costs, in lost margins (price - cost), where no shortage
        cost is given.
      train: share of the past that is learned from; the rest judges.
    """

    as_of: datetime.date | None = None
    frequency: str = ""
    currency: str = ""
    rates: Mapping[str, float] = field(default_factory=dict)
    service: float | Mapping[str, float] | None = None
    budget: float | None = None
    returns: str = "refuse"
    lead_time: float = 7.0
    holding_rate: float = 0.25
    margin: float = 0.4
    shortage_markup: float = 1.0
    train: float = 0.7

    def rates_of(self, currencies: np.ndarray) -> np.ndarray:
        """What a unit of each currency is worth in that of the plan; 1 of one without a rate."""
        return np.vectorize(lambda name: self.rates.get(name, 1.0), otypes=[float])(currencies)


KEYS = tuple(setting.name for setting in dataclasses.fields(Settings))


@dataclass(frozen=True)
class Given:
    """What a YAML, or the caller, gave.

    Attributes:
      files: by table, as written.
      settings: with what was given.
      reading: the keys of `READING` that were given.
      problems: one line each, with file, line and fix.
    """

    files: dict[str, str]
    settings: Settings
    reading: dict[str, Any]
    problems: list[str]

    def of(self, key: str, table: str) -> Any:
        """What a reading key says for a table: its own, or that for all."""
        value = self.reading.get(key, "")
        if isinstance(value, Mapping):
            return value.get(table, "")
        return value

    def columns(self, table: str) -> dict[str, str]:
        return dict(self.reading.get("columns", {}).get(table, {}))


def read_given(file: Path | None, columns: Mapping[str, Any], settings: Mapping[str, Any]) -> Given:
    """The plan's YAML, overlaid by what the caller gives.

    Args:
      columns: schema name -> name in the file, for sales; `{"items.cost": "EK"}` or
        `{"items": {"cost": "EK"}}` for others.
      settings: keys of the YAML.
    """
    values, lines = load_yaml(file) if file is not None else ({}, {})
    name = file.name if file is not None else ""
    known = ("sales", *TABLES, *KEYS, *READING)
    problems: list[str] = []
    files: dict[str, str] = {}
    reading: dict[str, Any] = {}
    typed: dict[str, Any] = {}
    for given, of_file in ((values, True), (settings, False)):
        for key, value in given.items():
            where = (
                f"{name}: line {lines[(key,)]}: "
                if of_file and (key,) in lines
                else f"{key}={value}: "
            )
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                problems.append(
                    f"{where}unknown key {key!r};"
                    f" {f'did you mean {near[0]!r}?' if near else 'known: ' + ', '.join(known)}"
                )
            elif key in ("sales", *TABLES):
                if isinstance(value, str) and value:
                    files[key] = value
                elif value is not None:
                    problems.append(f"{where}{key!r} is a file, not {value!r}")
            elif key == "columns":
                if isinstance(value, Mapping) and all(
                    isinstance(inner, Mapping) for inner in value.values()
                ):
                    for table, inner in value.items():
                        if table in ("sales", *TABLES):
                            reading.setdefault("columns", {})[table] = {
                                str(k): str(v) for k, v in inner.items()
                            }
                        else:
                            problems.append(
                                f"{where}columns: no table {table!r}; the tables are"
                                f" {', '.join(('sales', *TABLES))}"
                            )
                else:
                    problems.append(
                        f"{where}columns are given by table, such as columns: {{sales: {{sku:"
                        " Artikel}}"
                    )
            elif key in READING:
                problem = _check_reading(key, value)
                problems += [f"{where}{problem}"] if problem else []
                if not problem:
                    reading[key] = value
            elif value is not None:
                value, problem = _setting(key, value)
                problems += [f"{where}{problem}"] if problem else []
                if not problem:
                    typed[key] = value
    for key, value in columns.items():
        if isinstance(value, Mapping):
            reading.setdefault("columns", {}).setdefault(key, {}).update(
                {str(k): str(v) for k, v in value.items()}
            )
            continue
        table, _, column = key.rpartition(".")
        if table and table not in ("sales", *TABLES):
            problems.append(
                f"columns.{key}: no table {table!r}; the tables are {', '.join(('sales', *TABLES))}"
            )
        reading.setdefault("columns", {}).setdefault(table or "sales", {})[column] = str(value)
    return Given(files, Settings(**typed), reading, problems)


def _check_reading(key: str, value: Any) -> str:
    allowed = {"dates": tuple(FORMS), "decimal": (".", ","), "lines": ("sum",)}
    if key in ("dates", "decimal"):
        given: Iterable = value.values() if isinstance(value, Mapping) else [value]
        if any(one not in allowed[key] for one in given):
            return (
                f"{key} is one of {', '.join(allowed[key])}, for all tables or by table, not"
                f" {value!r}"
            )
    if key == "lines" and value not in ("", "sum"):
        return f"lines is sum, or left out, not {value!r}"
    if key == "known_ahead" and not (
        isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
    ):
        return f"known_ahead is a list of columns, not {value!r}"
    return ""


def _setting(key: str, value: Any) -> tuple[Any, str]:
    """A setting's value of the right type, and what is wrong with it."""
    if key == "as_of":
        if isinstance(value, datetime.datetime):
            value = value.date()
        if isinstance(value, str):
            try:
                value = datetime.date.fromisoformat(value)
            except ValueError:
                pass
        return value, (
            ""
            if isinstance(value, datetime.date)
            else f"as_of is a date such as 2025-03-31, not {value!r}"
        )
    if key == "frequency":
        try:
            return str(Frequency.parse(str(value))), ""
        except UserError as error:
            return value, str(error)
    if key == "currency":
        return str(value), ""
    if key == "returns":
        return value, (
            "" if value in RETURNS else f"returns is one of {', '.join(RETURNS)}, not {value!r}"
        )
    if key == "rates":
        fine = isinstance(value, Mapping) and all(
            _number(rate) and rate > 0 for rate in value.values()
        )
        return (
            {str(name): float(rate) for name, rate in value.items()} if fine else value,
            (
                ""
                if fine
                else (
                    "rates are money of the plan's currency by currency, such as rates: {USD:"
                    f" 0.92}}, not {value!r}"
                )
            ),
        )
    if key == "service" and isinstance(value, Mapping):
        bad = {name: rate for name, rate in value.items() if not (_number(rate) and 0 < rate < 1)}
        return (
            {str(name): float(rate) for name, rate in value.items()} if not bad else value,
            (
                "service is a share between 0 and 1, such as 0.97;"
                f" {', '.join(f'{n}: {r!r}' for n, r in bad.items())} is not"
                if bad
                else ""
            ),
        )
    least, most, open_ends = {
        "service": (0, 1, True),
        "margin": (0, 1, True),
        "train": (0, 1, True),
        "budget": (0, 1e15, True),
        "lead_time": (0, 3650, False),
        "holding_rate": (0, 100, False),
        "shortage_markup": (0, 1e6, True),
    }[key]
    fine = _number(value) and (least < value < most if open_ends else least <= value <= most)
    hint = " (97% is 0.97)" if key == "service" else ""
    return (float(value) if fine else value), (
        ""
        if fine
        else (
            f"{key} is a number {'between' if open_ends else 'from'} {least:g}"
            f" {'and' if open_ends else 'to'} {most:g}{hint}, not {value!r}"
        )
    )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value
