"""SKUs in a report: those that gain and lose most, one by one, and the worst of them in
pictures.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from jaxinv.report import by_sku
from jaxinv.report.drawing import svg
from jaxinv.report.evidence import Evidence, tone
from jaxinv.report.numbers import absent, number, percent, signed
from jaxinv.report.pictures import history
from jaxinv.report.tables import Cell, Column, Table, cut

MOST_GAINS, MOST_SKUS = 10, 300
"""Rows of a table."""

MOST_POINTS = 12_000
"""Periods of all pictures together; where there are more, fewer SKUs are drawn."""


def sku_tables(evidence: Evidence, skus: pd.DataFrame) -> list[Table]:
    """SKUs that gain and lose most against the best rule, and those that cost most with all that is
    known of them.
    """
    mine = skus[skus["policy"] == evidence.acts["policy"]]
    if "problem" in mine and evidence.acts.get("instance"):
        mine = mine[mine["problem"] == evidence.acts["instance"]]
    if mine.empty:
        return []
    found = []
    if evidence.best is not None and evidence.best is not evidence.acts and "difference" in mine:
        ranked = mine.sort_values("difference", kind="stable")
        for name, caption, rows in (
            ("gain", "SKUs that gain most against the best rule", ranked[ranked["difference"] < 0]),
            (
                "lose",
                "SKUs that lose most against the best rule",
                ranked[ranked["difference"] > 0][::-1],
            ),
        ):
            shown, note = cut(rows.to_dict("records"), MOST_GAINS, f"such {_series(mine)}")
            if shown:
                found.append(_table(evidence, name, caption, shown, note, _few(evidence, mine)))
    shown, note = cut(
        mine.sort_values("cost", ascending=False, kind="stable").to_dict("records"),
        MOST_SKUS,
        _series(mine),
    )
    caption = (
        "SKU by SKU, the dearest first"
        if evidence.acts["cost"] > 0
        else "SKU by SKU, the least profitable first"
    )
    return [
        *found,
        _table(evidence, "skus", caption, shown, note, _many(evidence, mine), search=True),
    ]


def _table(
    evidence: Evidence, name: str, caption: str, rows, note: str, columns, search: bool = False
) -> Table:
    """Columns are pairs of a `Column` and what makes a cell of a row."""
    cells = [[make(row) for _, make in columns] for row in rows]
    return Table(
        name,
        caption,
        [column for column, _ in columns],
        cells,
        note,
        by_sku.FILE,
        search,
        sortable=search,
    )


def _series(skus: pd.DataFrame) -> str:
    return "SKU-locations" if "place" in skus else "SKUs"


def _few(evidence: Evidence, skus: pd.DataFrame):
    return [_names(skus), _difference(evidence), *_amounts(skus, ("fill_rate", "demand"))]


def _many(evidence: Evidence, skus: pd.DataFrame):
    compared = (
        evidence.best is not None and evidence.best is not evidence.acts and "difference" in skus
    )
    sign, title = (-1, "Profit a {}") if evidence.earns else (1, "Cost a {}")
    period = evidence.about.get("period") or "period"
    costs = Column(
        title.format(period),
        says="" if evidence.in_money else "the best rule costs 100 a SKU on average",
    )
    times = 1.0 if evidence.in_money else evidence.factor
    return [
        _names(skus),
        (costs, lambda row: Cell(number(sign * row["cost"] * times), key=sign * row["cost"])),
        *([_difference(evidence)] if compared else []),
        *_amounts(skus, ("fill_rate", "stock", "stock_value", "turnover", "demand", "orders")),
    ]


def _names(skus: pd.DataFrame):
    if "place" not in skus:
        return Column("SKU", False), lambda row: Cell(row["sku"])
    return Column("SKU", False), lambda row: Cell(row["sku"], row["place"])


def _difference(evidence: Evidence):
    """Of all periods in money, or as a share of what a SKU costs with the best rule."""
    periods, word = evidence.about.get("periods") or 1, "Profit" if evidence.earns else "Cost"
    title = f"{word} against the best rule" + (
        f", {evidence.currency}" if evidence.in_money and evidence.currency else ""
    )

    def cell(row: Mapping[str, Any]) -> Cell:
        ends = row.get("difference_low"), row.get("difference_high")
        known = not any(map(absent, ends))
        if evidence.in_money:
            sign = -periods if evidence.earns else periods
            low_high = sorted(sign * end for end in ends) if known else []
            text, ends_said = (
                signed(sign * row["difference"]),
                [signed(end, digits=3) for end in low_high],
            )
        else:
            text, ends_said = (
                signed(row["difference"] * evidence.factor),
                ([signed(end * evidence.factor, digits=3) for end in ends] if known else []),
            )
        return Cell(text, " to ".join(ends_said), key=row["difference"], tone=tone(ends))

    says = (
        f"over {evidence.span}, with its 95% interval"
        if evidence.in_money
        else "the best rule costs 100 a SKU on average; with its 95% interval"
    )
    return Column(title, says=says), cell


AMOUNTS = {
    "fill_rate": ("Fill rate", percent, "share of demand served at once"),
    "stock": ("Stock", number, "units, mean of the ends of all periods"),
    "stock_value": ("Stock value", number, "what that is worth"),
    "turnover": ("Turns a year", number, "units sold a year over units in stock"),
    "demand": ("Demand", number, "units a period"),
    "orders": ("Orders", number, "orders a period"),
}


def _amounts(skus: pd.DataFrame, names):
    for name in names:
        if name in skus:
            title, write, says = AMOUNTS[name]
            yield (
                Column(title, says=says),
                lambda row, name=name, write=write: Cell(write(row[name]), key=row[name]),
            )


def pictures(evidence: Evidence, periods: pd.DataFrame) -> list[dict[str, str]]:
    """For each of the worst SKUs its `svg`, and its `says` in a sentence."""
    keys = [key for key in ("sku", "place") if key in periods]
    found, points = [], 0
    best = evidence.best["policy"] if evidence.best else ""
    for number_, (names, rows) in enumerate(periods.groupby(keys, sort=False), 1):
        points += len(rows)
        if points > MOST_POINTS and found:
            break
        title = ", ".join(names)
        of_rule = evidence.acts["policy"] == best
        labels = {
            evidence.acts["policy"]: "stock",
            best: "stock" if of_rule else "stock with the best rule",
        }
        own = {
            labels[name]: table
            for name, table in rows.groupby("policy", sort=False)
            if name in labels
        }
        first = next(iter(own.values()))
        served = 1 - first["short"].sum() / max(first["demand"].sum(), 1e-9)
        says = (
            f"Demand of {number(first['demand'].mean())} units a"
            f" {evidence.about.get('period') or 'period'}, {percent(served)} of it served at once;"
            f" {number(first['stock'].mean())} units in stock on average"
        )
        if len(own) > 1:
            says += f" ({number(list(own.values())[1]['stock'].mean())} with the best rule)"
        drawn = svg(
            history(own),
            f"worst{number_}",
            f"{title}: demand, stock and orders, period by period. {says}",
        )
        found.append({"title": title, "svg": drawn, "says": says})
    return found
