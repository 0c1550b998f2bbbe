"""The tables of a plan besides sales, as data: their columns, what a cell may hold, and what it
means where it is empty.

Sales have a schema of their own (`jaxinv.data.schema`). `python -m jaxinv.inspect` and all messages
speak of these columns.
"""

from dataclasses import dataclass, replace

from jaxinv.data.plan.names import COLUMN_NAMES, FILE_NAMES

KINDS = ("text", "number", "share", "date", "weekdays", "steps")
"""Kinds of cells: a share is 0.97 or 97%; weekdays are "Mon, Thu"; steps are numbers with bars
between, "0|100|500".
"""


@dataclass(frozen=True)
class ColumnSpec:
    """A column of a table.

    Attributes:
      meaning: in words, with the unit.
      kind: one of `KINDS`.
      needed: it has to be there and filled.
      least, most: of its numbers; `open_ends` where they may not be reached.
      otherwise: what holds where nothing is given; empty where that is nothing.
      words: what other software and languages call it, as `jaxinv.data.words.snake_case` writes it.
    """

    meaning: str
    kind: str = "number"
    needed: bool = False
    least: float = 0.0
    most: float = 1e15
    open_ends: bool = False
    otherwise: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableSpec:
    """A table.

    Attributes:
      meaning: one line.
      columns: by name.
      key: columns that together name a row; empty where rows may repeat.
      others: what columns outside the schema are: "" unknown, "covariate" numbers that are kept.
      words: other names of its file.
    """

    meaning: str
    columns: dict[str, ColumnSpec]
    key: tuple[str, ...] = ()
    others: str = ""
    words: tuple[str, ...] = ()


def _table(
    name: str,
    meaning: str,
    columns: dict[str, ColumnSpec],
    key: tuple[str, ...] = (),
    others: str = "",
) -> TableSpec:
    """A table with what its file and columns are also called."""
    named = {
        column: replace(kind, words=COLUMN_NAMES[name].get(column, ()))
        for column, kind in columns.items()
    }
    return TableSpec(meaning, named, key, others, FILE_NAMES[name])


_ABOVE = {"least": 0.0, "open_ends": True}

TABLES = {
    "items": _table(
        "items",
        "products: one row a SKU",
        {
            "sku": ColumnSpec("the product", "text", needed=True),
            "name": ColumnSpec("what it is called", "text"),
            "category": ColumnSpec("class of products", "text"),
            "cost": ColumnSpec(
                "money a unit bought",
                otherwise="price times (1 - margin); 1 where no price is known",
            ),
            "price": ColumnSpec(
                "money a unit sold",
                otherwise="the last price of the sales; else cost / (1 - margin)",
            ),
            "holding_rate": ColumnSpec(
                "cost of stock, a share of `cost` a year",
                otherwise="that of the location, else of the settings",
            ),
            "shortage_cost": ColumnSpec(
                "money a unit that is asked for and not there",
                otherwise="(price - cost) times shortage_markup",
            ),
            "service": ColumnSpec(
                "share of demand to be met from stock (fill rate)",
                "share",
                most=1.0,
                open_ends=True,
                otherwise="service of the settings, if given",
            ),
            "pack": ColumnSpec("units of a pack; orders are whole packs", **_ABOVE, otherwise="1"),
            "minimum": ColumnSpec("units of a SKU that an order has at least", otherwise="0"),
            "volume": ColumnSpec(
                "volume of a unit", **_ABOVE, otherwise="a unit fills 1 of a location's capacity"
            ),
            "shelf_life": ColumnSpec(
                "days from arrival to waste, counted in whole periods",
                **_ABOVE,
                otherwise="keeps for ever",
            ),
            "launch": ColumnSpec("first day that it is sold", "date", otherwise="sold all along"),
            "end": ColumnSpec("last day that it is ordered for", "date", otherwise="goes on"),
            "like": ColumnSpec("the SKU whose sales a new one is expected to follow", "text"),
        },
        ("sku",),
    ),
    "locations": _table(
        "locations",
        "places that hold stock: one row a location",
        {
            "location": ColumnSpec("store or warehouse", "text", needed=True),
            "name": ColumnSpec("what it is called", "text"),
            "capacity": ColumnSpec(
                "units that it holds, or volume where items have one",
                **_ABOVE,
                otherwise="no limit",
            ),
            "holding_rate": ColumnSpec(
                "cost of stock, a share of cost a year", otherwise="that of the settings"
            ),
        },
        ("location",),
    ),
    "lanes": _table(
        "lanes",
        "who supplies whom: one row a source and destination, or a source, destination and SKU",
        {
            "source": ColumnSpec("supplier, or a location", "text", needed=True),
            "destination": ColumnSpec(
                "the location that orders", "text", otherwise="the one location"
            ),
            "sku": ColumnSpec(
                "the product, where the row is for one only", "text", otherwise="all products"
            ),
            "lead_time": ColumnSpec(
                "days from order to arrival",
                otherwise="what receipts show, else lead_time of the settings",
            ),
            "lead_time_spread": ColumnSpec(
                "standard deviation of the lead time in days",
                otherwise="what receipts show, else 0",
            ),
            "order_days": ColumnSpec(
                "weekdays on which orders go out, such as Mon, Thu", "weekdays", otherwise="any day"
            ),
            "every": ColumnSpec("weeks between order days", least=1.0, otherwise="1"),
            "anchor": ColumnSpec(
                "one date on which orders go out, where `every` is above 1",
                "date",
                otherwise="the week of as_of",
            ),
            "unit_cost": ColumnSpec(
                "money a unit besides the item's cost, such as freight or duty", otherwise="0"
            ),
            "fixed_cost": ColumnSpec("money an order", otherwise="0"),
            "freight_from": ColumnSpec(
                "units from which each freight rate holds, such as 0|100|500",
                "steps",
                otherwise="no tiers",
            ),
            "freight_rate": ColumnSpec(
                "freight a unit in each tier, such as 0.9|0.6|0.4", "steps", otherwise="no tiers"
            ),
            "minimum_units": ColumnSpec(
                "units that an order has at least, all SKUs together", otherwise="0"
            ),
            "minimum_money": ColumnSpec(
                "money that an order has at least, all SKUs together", otherwise="0"
            ),
            "limit": ColumnSpec(
                "units that may be ordered a period", **_ABOVE, otherwise="no limit"
            ),
            "currency": ColumnSpec(
                "currency of the money of this row and of what is bought on it",
                "text",
                otherwise="that of the settings",
            ),
        },
        ("source", "destination", "sku"),
    ),
    "stock": _table(
        "stock",
        "what is there today: one row a SKU and location",
        {
            "sku": ColumnSpec("the product", "text", needed=True),
            "location": ColumnSpec("where", "text", otherwise="the one location"),
            "stock": ColumnSpec("units on hand", needed=True),
            "date": ColumnSpec("the day it was counted", "date", otherwise="as_of"),
            "min_stock": ColumnSpec(
                "units on hand and on order at or below which you order by now", otherwise="unknown"
            ),
            "max_stock": ColumnSpec("units that you order up to by now", otherwise="unknown"),
        },
        ("sku", "location"),
    ),
    "open_orders": _table(
        "open_orders",
        "what was ordered and has not arrived: one row an order and SKU",
        {
            "sku": ColumnSpec("the product", "text", needed=True),
            "source": ColumnSpec(
                "where it comes from", "text", otherwise="the one lane to its destination"
            ),
            "destination": ColumnSpec("where it goes", "text", otherwise="the one location"),
            "quantity": ColumnSpec("units still to come", needed=True, **_ABOVE),
            "due": ColumnSpec(
                "the day it is to arrive", "date", otherwise="ordered plus the lead time"
            ),
            "ordered": ColumnSpec("the day it was ordered", "date"),
        },
    ),
    "calendar": _table(
        "calendar",
        "what is known ahead: one row a date, or a date and SKU or location",
        {
            "date": ColumnSpec("the day", "date", needed=True),
            "sku": ColumnSpec(
                "the product, where the row is for one only", "text", otherwise="all products"
            ),
            "location": ColumnSpec(
                "the location, where the row is for one only", "text", otherwise="all locations"
            ),
            "promotion": ColumnSpec("0 or 1, or a share"),
            "price": ColumnSpec("price on that day"),
            "holiday": ColumnSpec("0 or 1"),
        },
        ("date", "sku", "location"),
        "covariate",
    ),
    "receipts": _table(
        "receipts",
        "what was ordered and came: one row an order and SKU",
        {
            "sku": ColumnSpec("the product", "text", needed=True),
            "source": ColumnSpec(
                "where it came from", "text", otherwise="the one lane to its destination"
            ),
            "destination": ColumnSpec("where it went", "text", otherwise="the one location"),
            "ordered": ColumnSpec("the day it was ordered", "date", needed=True),
            "quantity": ColumnSpec("units ordered", needed=True, **_ABOVE),
            "received": ColumnSpec("the day it came; empty: never", "date"),
            "received_quantity": ColumnSpec(
                "units that came", otherwise="all, where there is a day; else none"
            ),
        },
    ),
}
"""The tables, by name."""
