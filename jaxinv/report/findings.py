"""What a folder holds that a report can tell: of a run, of an evaluation, or of an order list."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from jaxinv.errors import UserError
from jaxinv.report import by_sku, worst
from jaxinv.report.figures import learning_curves
from jaxinv.sheets import read_table, unguarded
from jaxinv.yaml_file import load_yaml

DOCUMENTS = ("summary.json", "evaluation.json")
"""What a run, or an evaluation, was found to be; the first that is there is told of."""

ORDER_TEXT = (
    "sku",
    "name",
    "source",
    "destination",
    "location",
    "kind",
    "what",
    "advice",
    "reason",
    "rule",
    "currency",
)
ABOUT_ORDERS = "about.json"
"""What an order list says of itself: `date`, `currency`, `run` (the folder of the run that acts),
`notes`, `assumptions`.
"""


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found in a folder; what is not there is empty or None.

    Attributes:
      folder: where it lies.
      document: of the run or the evaluation.
      skus, worst: tables of `jaxinv.report.by_sku` and `jaxinv.report.worst`; orders, exceptions:
        those of an order list.
      about_orders: what the order list says of itself.
      curves: what training cost, update by update, by run.
      dropped: series that were left out, and the reasons.
      settings: options of the instance.
    """

    folder: Path
    document: dict[str, Any] | None = None
    skus: pd.DataFrame | None = None
    worst: pd.DataFrame | None = None
    orders: pd.DataFrame | None = None
    exceptions: pd.DataFrame | None = None
    about_orders: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, Any] = field(default_factory=dict)
    dropped: tuple[tuple[str, str], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def find(folder: str | Path) -> Findings:
    """Reads a folder of a run, of an evaluation or of orders. Of an order list that names its run,
    that run's evidence too.

    Raises:
      UserError: there is nothing in it to report on, or a file of it is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"{folder}: {'is a file' if folder.exists() else 'no such folder'}; give a run, or a"
            " folder of orders"
        )
    orders, exceptions = (
        _table(folder / name, ORDER_TEXT) for name in ("orders.csv", "exceptions.csv")
    )
    about = _json(folder / ABOUT_ORDERS) or {}
    document = _document(folder)
    evidence = folder
    if document is None and about.get("run"):
        named = Path(about["run"])
        evidence = next((path for path in (folder / named, named) if path.is_dir()), folder)
        document = _document(evidence)
    if document is None and orders is None:
        unfinished = (folder / "config.yaml").exists()
        why = (
            "this run is not finished"
            if unfinished
            else f"it has none of {', '.join((*DOCUMENTS, 'orders.csv'))}"
        )
        raise UserError(f"{folder}: there is nothing to report on: {why}")
    return Findings(
        folder,
        document,
        _table(evidence / by_sku.FILE, by_sku.TEXT),
        _table(evidence / worst.FILE, worst.TEXT),
        orders,
        exceptions,
        about,
        _curves(evidence / "metrics.csv"),
        _dropped(evidence / "dropped.csv"),
        _settings(evidence / "config.yaml"),
    )


def _document(folder: Path) -> dict[str, Any] | None:
    found = next(
        (document for name in DOCUMENTS if (document := _json(folder / name)) is not None), None
    )
    return None if found is None or "evaluation" not in found else _complete(found)


def _complete(document: dict[str, Any]) -> dict[str, Any]:
    """A document with what those of earlier versions lack."""
    rows = document["evaluation"]
    agent = document.get("agent", "")
    best = min(
        (row for row in rows if row.get("difference") == 0),
        key=lambda row: row["cost"],
        default={"policy": None},
    )
    for row in rows:
        learned = bool(agent) and (row["policy"] == agent or row["policy"].startswith(f"{agent} "))
        row.setdefault(
            "kind", "policy" if learned else "optimum" if row["policy"] == "optimal" else "rule"
        )
        row.setdefault("best_rule", best["policy"])
    chosen = next((row["policy"] for row in rows if row.get("chosen")), rows[0]["policy"])
    return {
        **document,
        "held_out": (
            document.get("held_out")
            or {"acts": chosen, "period": "period", "periods": None, "money": True}
        ),
    }


def _table(path: Path, text: tuple[str, ...]) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        return read_table(path, text)
    except (ValueError, OSError) as error:
        raise UserError(
            f"{path} is damaged: {str(error).splitlines()[0]}; make it again, or remove it"
        ) from None


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(f"{path} is damaged; evaluate again, or remove it") from None


def _curves(path: Path) -> Mapping[str, Any]:
    try:
        return learning_curves(path) if path.is_file() else {}
    except (ValueError, KeyError, TypeError):
        return {}


def _dropped(path: Path) -> tuple[tuple[str, str], ...]:
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(
            (unguarded(row[0]), row[1]) for row in list(csv.reader(file))[1:] if len(row) == 2
        )


def _settings(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    return load_yaml(path)[0].get("instance", {})
