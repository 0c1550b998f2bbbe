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
class Column:
    """A column of a table.

    Attributes:
      meaning: in words, with the unit.
      kind: one of `KINDS`.
      needed: it has to be there and filled.
      least, most: of its numbers; `open_ends` where they may not be reached.
      otherwise: what holds where nothing is given; empty where that is nothing.
      words: what other software and languages call it, as `jaxinv.data.words.plain` writes it.
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
class Table:
    """A table.

    Attributes:
      meaning: one line.
      columns: by name.
      key: columns that together name a row; empty where rows may repeat.
      others: what columns outside the schema are: "" unknown, "covariate" numbers that are kept.
      words: other names of its file.
    """

    meaning: str
    columns: dict[str, Column]
    key: tuple[str, ...] = ()
    others: str = ""
    words: tuple[str, ...] = ()


def _table(
    name: str, meaning: str, columns: dict[str, Column], key: tuple[str, ...] = (), others: str = ""
) -> Table:
    """A table with what its file and columns are also called."""
    named = {
        column: replace(kind, words=COLUMN_NAMES[name].get(column, ()))
        for column, kind in columns.items()
    }
    return Table(meaning, named, key, others, FILE_NAMES[name])


_ABOVE = {"least": 0.0, "open_ends": True}

TABLES = {
    "items": _table(
        "items",
        "products: one row a SKU",
        {
            "sku": Column("the product", "text", needed=True),
            "name": Column("what it is called", "text"),
            "category": Column("class of products", "text"),
            "cost": Column(
                "money a unit bought",
                otherwise="price times (1 - margin); 1 where no price is known",
            ),
            "price": Column(
                "money a unit sold",
                otherwise="the last price of the sales; else cost / (1 - margin)",
            ),
            "holding_rate": Column(
                "cost of stock, a share of `cost` a year",
                otherwise="that of the location, else of the settings",
            ),
            "shortage_cost": Column(
                "money a unit that is asked for and not there",
                otherwise="(price - cost) times shortage_markup",
            ),
            "service": Column(
                "share of demand to be met from stock (fill rate)",
                "share",
                most=1.0,
                open_ends=True,
                otherwise="service of the settings, if given",
            ),
            "pack": Column("units of a pack; orders are whole packs", **_ABOVE, otherwise="1"),
            "minimum": Column("units of a SKU that an order has at least", otherwise="0"),
            "volume": Column(
                "volume of a unit", **_ABOVE, otherwise="a unit fills 1 of a location's capacity"
            ),
            "shelf_life": Column(
                "days from arrival to waste, counted in whole periods",
                **_ABOVE,
                otherwise="keeps for ever",
            ),
            "launch": Column("first day that it is sold", "date", otherwise="sold all along"),
            "end": Column("last day that it is ordered for", "date", otherwise="goes on"),
            "like": Column("the SKU whose sales a new one is expected to follow", "text"),
        },
        ("sku",),
    ),
    "locations": _table(
        "locations",
        "places that hold stock: one row a location",
        {
            "location": Column("store or warehouse", "text", needed=True),
            "name": Column("what it is called", "text"),
            "capacity": Column(
                "units that it holds, or volume where items have one",
                **_ABOVE,
                otherwise="no limit",
            ),
            "holding_rate": Column(
                "cost of stock, a share of cost a year", otherwise="that of the settings"
            ),
        },
        ("location",),
    ),
    "lanes": _table(
        "lanes",
        "who supplies whom: one row a source and destination, or a source, destination and SKU",
        {
            "source": Column("supplier, or a location", "text", needed=True),
            "destination": Column("the location that orders", "text", otherwise="the one location"),
            "sku": Column(
                "the product, where the row is for one only", "text", otherwise="all products"
            ),
            "lead_time": Column(
                "days from order to arrival",
                otherwise="what receipts show, else lead_time of the settings",
            ),
            "lead_time_spread": Column(
                "standard deviation of the lead time in days",
                otherwise="what receipts show, else 0",
            ),
            "order_days": Column(
                "weekdays on which orders go out, such as Mon, Thu", "weekdays", otherwise="any day"
            ),
            "every": Column("weeks between order days", least=1.0, otherwise="1"),
            "anchor": Column(
                "one date on which orders go out, where `every` is above 1",
                "date",
                otherwise="the week of as_of",
            ),
            "unit_cost": Column(
                "money a unit besides the item's cost, such as freight or duty", otherwise="0"
            ),
            "fixed_cost": Column("money an order", otherwise="0"),
            "freight_from": Column(
                "units from which each freight rate holds, such as 0|100|500",
                "steps",
                otherwise="no tiers",
            ),
            "freight_rate": Column(
                "freight a unit in each tier, such as 0.9|0.6|0.4", "steps", otherwise="no tiers"
            ),
            "minimum_units": Column(
                "units that an order has at least, all SKUs together", otherwise="0"
            ),
            "minimum_money": Column(
                "money that an order has at least, all SKUs together", otherwise="0"
            ),
            "limit": Column("units that may be ordered a period", **_ABOVE, otherwise="no limit"),
            "currency": Column(
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
            "sku": Column("the product", "text", needed=True),
            "location": Column("where", "text", otherwise="the one location"),
            "stock": Column("units on hand", needed=True),
            "date": Column("the day it was counted", "date", otherwise="as_of"),
            "min_stock": Column(
                "units on hand and on order at or below which you order by now", otherwise="unknown"
            ),
            "max_stock": Column("units that you order up to by now", otherwise="unknown"),
        },
        ("sku", "location"),
    ),
    "open_orders": _table(
        "open_orders",
        "what was ordered and has not arrived: one row an order and SKU",
        {
            "sku": Column("the product", "text", needed=True),
            "source": Column(
                "where it comes from", "text", otherwise="the one lane to its destination"
            ),
            "destination": Column("where it goes", "text", otherwise="the one location"),
            "quantity": Column("units still to come", needed=True, **_ABOVE),
            "due": Column(
                "the day it is to arrive", "date", otherwise="ordered plus the lead time"
            ),
            "ordered": Column("the day it was ordered", "date"),
        },
    ),
    "calendar": _table(
        "calendar",
        "what is known ahead: one row a date, or a date and SKU or location",
        {
            "date": Column("the day", "date", needed=True),
            "sku": Column(
                "the product, where the row is for one only", "text", otherwise="all products"
            ),
            "location": Column(
                "the location, where the row is for one only", "text", otherwise="all locations"
            ),
            "promotion": Column("0 or 1, or a share"),
            "price": Column("price on that day"),
            "holiday": Column("0 or 1"),
        },
        ("date", "sku", "location"),
        "covariate",
    ),
    "receipts": _table(
        "receipts",
        "what was ordered and came: one row an order and SKU",
        {
            "sku": Column("the product", "text", needed=True),
            "source": Column(
                "where it came from", "text", otherwise="the one lane to its destination"
            ),
            "destination": Column("where it went", "text", otherwise="the one location"),
            "ordered": Column("the day it was ordered", "date", needed=True),
            "quantity": Column("units ordered", needed=True, **_ABOVE),
            "received": Column("the day it came; empty: never", "date"),
            "received_quantity": Column(
                "units that came", otherwise="all, where there is a day; else none"
            ),
        },
    ),
}
"""The tables, by name."""
