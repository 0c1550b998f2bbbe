"""The report: one page of HTML that needs nothing beside it, for a run, an evaluation or an order
list.
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxinv.errors import UserError
from jaxinv.report import caveats, orders, pictures, skus
from jaxinv.report.drawing import svg
from jaxinv.report.evidence import Evidence
from jaxinv.report.findings import Findings, find
from jaxinv.report.numbers import signed_percent, written_day
from jaxinv.report.tables import Table
from jaxinv.report.words import LEARNED
from jaxinv.whole import write_text

FILE = "report.html"
MOST_BYTES = 1_000_000
MOST_LINES = 60
"""Lines of assumptions, and of caveats."""

TEMPLATES = Path(__file__).parent / "templates"


def write_report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Writes the report on a folder: of a run, of an evaluation, or of orders. The same folder
    gives the same bytes.

    Args:
      folder: see `jaxinv.report.findings.find` for what is read of it; what is not there is left
        out of the page.
      out: the page; `report.html` in the folder where not given.

    Returns:
      The path of the page.

    Raises:
      UserError: there is nothing in the folder to report on, or the page cannot be written.
    """
    page = render_page(find(folder))
    path = Path(folder) / FILE if out is None else Path(out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, page)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written: {error.strerror}; give another --out FILE"
        ) from None
    return path


def render_page(findings: Findings) -> str:
    """The page, under `MOST_BYTES`: pictures of SKUs go, the least bad first, where it would be
    more.
    """
    context = _context(findings)
    page = _filled(context)
    while len(page.encode()) > MOST_BYTES and context["worst"]:
        context = {**context, "worst": context["worst"][:-1]}
        page = _filled(context)
    return page


def _context(findings: Findings) -> dict[str, Any]:
    evidence = Evidence.of(findings)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    context = {
        "style": (TEMPLATES / "report.css").read_text(encoding="utf-8"),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "title": _title(findings, evidence),
        "subtitle": _subtitle(findings, evidence),
        "evidence": evidence,
        "policies": None,
        "parts": None,
        "scatter": None,
        "sku_tables": [],
        "worst": [],
        "learning": None,
        "orders": None,
        "exceptions": None,
        "assumptions": _few(caveats.assumptions(findings, evidence)),
        "caveats": _few(caveats.caveats(findings, evidence)),
        "settings": _settings(findings.settings),
        "made_of": findings.document.get("run", "") if findings.document else "",
        "files": [
            name
            for name in (
                "summary.json",
                "evaluation.json",
                "by_sku.csv",
                "worst.csv",
                "orders.csv",
                "exceptions.csv",
                "dropped.csv",
            )
            if (findings.folder / name).exists()
        ],
    }
    if evidence:
        context |= _evidence(findings, evidence)
    if findings.orders is not None:
        about = findings.about_orders
        context["orders"] = {
            "says": orders.summary(findings.orders, about),
            "tables": orders.order_tables(findings.orders),
        }
    if findings.exceptions is not None and len(findings.exceptions):
        context["exceptions"] = orders.exceptions(findings.exceptions)
    return context


def _evidence(findings: Findings, evidence: Evidence) -> dict[str, Any]:
    points = [
        {
            "name": evidence.name(row),
            "kind": "acts" if row is evidence.acts else row["kind"],
            "fill_rate": 100 * row["fill_rate"],
            "cost": evidence.cost(row),
            **dict(zip(("low", "high"), evidence.cost_interval(row) or (None, None))),
        }
        for row in evidence.ranked
        if row.get("fill_rate") is not None
    ]
    unit = evidence.cost_title
    found: dict[str, Any] = {"policies": evidence.policies(), "parts": evidence.parts()}
    if len(points) > 1 and len(points) == len(evidence.ranked):
        says = "; ".join(f"{number}: {point['name']}" for number, point in enumerate(points, 1))
        drawn = pictures.cost_and_service(points, unit)
        found["scatter"] = svg(
            drawn,
            "scatter",
            f"{unit} against the share of demand served at once, by policy and rule. {says}",
        )
    if findings.skus is not None and len(findings.skus):
        found["sku_tables"] = skus.sku_tables(evidence, findings.skus)
    if findings.worst is not None and len(findings.worst):
        found["worst"] = skus.pictures(evidence, findings.worst)
    if any(len(updates) > 1 for updates, _ in findings.curves.values()):
        agent = evidence.document.get("agent", "")
        found["learning"] = {
            "svg": svg(
                pictures.learning(findings.curves), "learning", "Cost in training, update by update"
            ),
            "how": LEARNED.get(agent, agent),
        }
    return found


def _title(findings: Findings, evidence: Evidence | None) -> str:
    if findings.orders is not None:
        when = findings.about_orders.get("date")
        return f"What to order on {written_day(when)}" if when else "What to order"
    return evidence.question if evidence else "Report"


def _subtitle(findings: Findings, evidence: Evidence | None) -> str:
    if not evidence:
        return ""
    said = [evidence.what, evidence.dates, f"followed: {evidence.name(evidence.acts)}"]
    return " · ".join(part for part in said if part)


def _few(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_LINES
    return (
        lines
        if more <= 0
        else [*lines[:MOST_LINES], f"and {more:,} more, in the files beside this page."]
    )


def _settings(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Options of the instance as in its configuration, without empty ones."""
    said = {name: value for name, value in settings.items() if value not in (None, "", [], {})}
    return [
        (name, Path(value).name if name == "data" else str(value)) for name, value in said.items()
    ]


def _filled(context: Mapping[str, Any]) -> str:
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATES)
    surroundings = jinja2.Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    surroundings.filters["upper_first"] = lambda text: text[:1].upper() + text[1:]
    surroundings.globals |= {"signed_percent": signed_percent, "Table": Table}
    return surroundings.get_template("report.html.jinja").render(context)
