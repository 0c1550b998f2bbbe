"""A plan as a YAML with comments, ready to run, which `read_plan` reads back to an equal plan."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from jaxinv.data.plan.plan import Plan
from jaxinv.data.plan.settings import Settings
from jaxinv.data.plan.tables import TABLES

_HINTS = {
    "as_of": "the first day that is decided; by itself the day after the last sales",
    "frequency": (
        "day, week, month or several of them; by itself what suits the sales and lead times"
    ),
    "currency": "of all money that names none",
    "rates": "money of `currency` for one unit of another, such as {USD: 0.92}",
    "service": (
        "share of demand to be met from stock, such as 0.97; or by category or SKU: {A-parts: 0.98,"
        ' "00017": 0.95}'
    ),
    "budget": "money that the orders of one date may cost together",
    "returns": "negative sales: refuse, net (taken off what was sold) or separate (left out)",
    "lead_time": "days, where neither lanes nor receipts say it",
    "holding_rate": "cost of stock, a share of cost a year",
    "margin": "share of the price that is not cost, where only one of the two is known",
    "shortage_markup": "what a unit short costs, in lost margins (price - cost)",
    "train": "share of the past that is learned from; the rest judges",
}
_EXAMPLES = {
    "service": 0.97,
    "budget": 10000,
    "frequency": "week",
    "currency": "EUR",
    "rates": {"USD": 0.92},
}


def plan_text(plan: Plan, folder: Path) -> str:
    """The YAML of a plan, its files named from the folder that it is to lie in."""
    lines = [
        (
            "# A plan: which tables there are, how they are read, and what holds for all of them. A"
            " line that begins with # is off."
        ),
        "",
    ]
    sheets = plan.reading.get("sheets", {})
    for name in ("sales", *TABLES):
        meaning = (
            TABLES[name].meaning
            if name in TABLES
            else "what was sold: one row a date and SKU, and location; needed"
        )
        if name in plan.files:
            sheet = sheets.get(name, "") if isinstance(sheets, Mapping) else sheets
            file = _relative(plan.files[name], folder) + (f"#{sheet}" if sheet else "")
            lines.append(f"{name}: {_scalar(file)}  # {meaning}")
        else:
            needed = [column for column, kind in TABLES[name].columns.items() if kind.needed]
            others = [column for column in TABLES[name].columns if column not in needed]
            lines.append(
                f"# {name}: {name}.csv  # {meaning}; columns {', '.join(needed)}, and as far as"
                f" known {', '.join(others)}"
            )
    reading = {
        key: value for key, value in plan.reading.items() if key not in ("sheets", "columns")
    }
    lines += ["", "# How tables are read."]
    columns = plan.reading.get("columns", {})
    if columns:
        lines.append("columns:  # by table, name here: name in the file")
        lines += [f"  {name}: {_scalar(dict(inner))}" for name, inner in columns.items()]
    lines += [f"{key}: {_scalar(value)}" for key, value in reading.items()]
    if "dates" not in reading:
        lines.append("# dates: dmy  # dmy, mdy or ymd, for all tables; or {sales: dmy}")
    if "decimal" not in reading:
        lines.append('# decimal: ","  # the mark of decimals, for all tables; or {sales: ","}')
    lines += ["", "# What holds."]
    found = {"as_of", "currency"} - set(plan.given_keys)
    for key, default in vars(Settings()).items():
        value = getattr(plan.settings, key)
        value = dict(value) if isinstance(value, Mapping) else value
        on = key not in found and value != default
        shown = value if value not in (None, "", {}) else _EXAMPLES[key]
        lines.append(f"{'' if on else '# '}{key}: {_scalar(shown)}  # {_HINTS[key]}")
    if plan.assumptions:
        lines += [
            "",
            "# What is assumed where nothing is given:",
            *(f"# - {line}" for line in plan.assumptions),
        ]
    return "\n".join(line.replace("\n", " ") for line in lines) + "\n"


def _relative(path: Path, folder: Path) -> str:
    path, folder = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _scalar(value: Any) -> str:
    """A value in YAML, on one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False
    ).strip()
    return text.removesuffix("...").strip()
