"""An order list in a report: what is ordered, from whom, and what needs a planner's eye."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from jaxinv.report.numbers import absent, counted, number, percent, whole, written_day
from jaxinv.report.tables import Cell, Column, Table, cut

MOST_LINES, MOST_EXCEPTIONS, MOST_SUPPLIERS = 150, 100, 40


def summary(orders: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """The list in a sentence."""
    if orders.empty:
        return "Nothing has to be ordered."
    cost = (
        f" for {_money(orders, about)}" if "cost" in orders and orders["cost"].notna().any() else ""
    )
    suppliers = counted(orders["source"].nunique(), "source") if "source" in orders else ""
    dates = orders["order_date"].dropna().unique() if "order_date" in orders else []
    when = f" to be placed on {written_day(dates[0])}" if len(dates) == 1 else ""
    return f"{counted(len(orders), 'line')}{when}{cost}, from {suppliers or 'your suppliers'}."


def order_tables(orders: pd.DataFrame) -> list[Table]:
    """Orders by source, and line by line: those first that would run out soonest without their
    order.
    """
    found = [_by_source(orders)] if "source" in orders and orders["source"].nunique() > 1 else []
    ranked = orders
    if "risk_without" in orders:
        ranked = orders.sort_values(
            "risk_without", ascending=False, kind="stable", na_position="last"
        )
    shown, note = cut(ranked.to_dict("records"), MOST_LINES, "lines")
    columns = [
        (
            "sku",
            Column("SKU", False),
            lambda row: Cell(row["sku"], _other(row.get("name"), row["sku"])),
        ),
        (
            "source",
            Column("From, to", False),
            lambda row: Cell(
                str(row["source"]), f"to {row['destination']}" if row.get("destination") else ""
            ),
        ),
        (
            "quantity",
            Column("Order", says="units"),
            lambda row: Cell(whole(row["quantity"]), _packs(row), key=row["quantity"]),
        ),
        (
            "cost",
            Column("Cost"),
            lambda row: Cell(number(row["cost"]), str(row.get("currency") or ""), key=row["cost"]),
        ),
        (
            "arrival_likely",
            Column("Arrives", False),
            lambda row: Cell(
                written_day(row["arrival_likely"]), _range(row), key=str(row["arrival_likely"])
            ),
        ),
        ("on_hand", Column("On hand", says="units"), _plain("on_hand")),
        ("on_order", Column("On its way", says="units"), _plain("on_order")),
        (
            "risk_without",
            Column(
                "Risk of running out",
                says="until the next arrival: without this order, and with it",
            ),
            _risk,
        ),
        ("days_of_cover", Column("Days of cover"), _plain("days_of_cover")),
        ("reason", Column("Why", False), lambda row: Cell(str(row["reason"]))),
    ]
    there = [(column, make) for name, column, make in columns if name in orders]
    rows = [[make(row) for _, make in there] for row in shown]
    lines = Table(
        "orders",
        "Order by order",
        [column for column, _ in there],
        rows,
        note,
        "orders.csv",
        search=True,
    )
    return [*found, lines] if len(orders) else []


def exceptions(table: pd.DataFrame) -> list[Table]:
    """What needs a planner's eye; of many, some of each kind."""
    if table.empty:
        return []
    count = table["kind"].value_counts(sort=False)
    some = (
        table
        if len(table) <= MOST_EXCEPTIONS
        else table.groupby("kind", sort=False).head(MOST_EXCEPTIONS // len(count))
    )
    shown, note = some.to_dict("records"), ""
    if len(some) < len(table):
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in count.items())
        note = (
            f"{len(some):,} of {len(table):,} exceptions are shown ({kinds}); all of them are in "
        )
    columns = [
        ("kind", Column("Kind", False), lambda row: Cell(str(row["kind"]).replace("_", " "))),
        (
            "sku",
            Column("SKU", False),
            lambda row: Cell(str(row["sku"]), str(row.get("location") or "")),
        ),
        ("what", Column("What", False), lambda row: Cell(str(row["what"]))),
        (
            "when",
            Column("When", False),
            lambda row: Cell(
                "" if absent(row["when"]) else written_day(row["when"]), key=str(row["when"])
            ),
        ),
        ("quantity", Column("Units"), _plain("quantity")),
        ("advice", Column("Advice", False), lambda row: Cell(str(row["advice"]))),
    ]
    there = [(column, make) for name, column, make in columns if name in table]
    rows = [[make(row) for _, make in there] for row in shown]
    return [
        Table(
            "exceptions",
            "What needs your eye",
            [column for column, _ in there],
            rows,
            note,
            "exceptions.csv",
            search=True,
        )
    ]


def _by_source(orders: pd.DataFrame) -> Table:
    rows = []
    groups = list(orders.groupby("source", sort=True))
    if "cost" in orders:
        groups.sort(key=lambda group: -group[1]["cost"].sum())
    shown, note = cut(groups, MOST_SUPPLIERS, "sources")
    for source, lines in shown:
        cost = lines["cost"].sum() if "cost" in lines else None
        rows.append([
            Cell(str(source)), Cell(f"{len(lines):,}", key=len(lines)),
            Cell(whole(lines["quantity"].sum()), key=lines["quantity"].sum()),
            Cell(_money(lines, {}), key=cost),
        ])  # fmt: skip
    columns = [Column("Source", False), Column("Lines"), Column("Units"), Column("Cost")]
    return Table(
        "sources", "By supplier or location", columns, rows, note, "orders.csv", sortable=True
    )


def _money(lines: pd.DataFrame, about: Mapping[str, Any]) -> str:
    """The cost of lines, currency by currency."""
    if "cost" not in lines or lines["cost"].isna().all():
        return number(None)
    if "currency" not in lines or not lines["currency"].astype(bool).any():
        return number(lines["cost"].sum(), str(about.get("currency") or ""))
    return " and ".join(
        number(own["cost"].sum(), str(currency))
        for currency, own in lines.groupby("currency", sort=True)
    )


def _plain(name: str):
    return lambda row: Cell(whole(row[name]), key=row[name])


def _other(name: Any, sku: str) -> str:
    return "" if absent(name) or name == sku else str(name)


def _packs(row: Mapping[str, Any]) -> str:
    """How many packs; nothing where a pack is a unit."""
    packs = row.get("packs")
    return "" if absent(packs) or packs == row["quantity"] else counted(round(packs), "pack")


def _range(row: Mapping[str, Any]) -> str:
    early, late = row.get("arrival_early"), row.get("arrival_late")
    return (
        ""
        if absent(early) or absent(late) or early == late
        else f"{written_day(early)} to {written_day(late)}"
    )


def _risk(row: Mapping[str, Any]) -> Cell:
    without, with_it = row["risk_without"], row.get("risk_with")
    below = "" if absent(with_it) else f"{percent(with_it, 0)} with it"
    return Cell(percent(without, 0), below, key=without)
