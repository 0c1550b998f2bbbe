"""What tables of a plan say of each other: names that exist, lanes that supply, dates that fit. All
is told at once.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from jaxinv.data.grid import lay_out
from jaxinv.data.plan.parts import ONE_PLACE, PlanTables, iso_day, nearest_of
from jaxinv.data.schema import series_keys
from jaxinv.errors import UserError
from jaxinv.sheets import unguarded as text_of


def settle_dates(parts: PlanTables) -> None:
    """Fills in the date of the plan, the day after the last period of sales where none is given;
    later sales are left out.
    """
    sales, settings = parts["sales"], parts.settings
    try:
        grid = lay_out(sales, series_keys(sales), settings.frequency or None)
    except UserError as error:
        parts.problems["sales"].add(str(error).removeprefix(f"{sales.attrs.get('source')}: "))
        return
    frequency = grid.frequency
    after = frequency.after(grid.dates[-1])
    end = sales["date"].max()
    by_day = len(grid.own_dates) > 1 and np.diff(grid.own_dates[:2])[0] == np.timedelta64(1, "D")
    if by_day and frequency.unit != "month":  # weeks are laid so that they end with the sales
        after = np.datetime64(end, "D") + 1
    as_of = settings.as_of
    if as_of is None:
        as_of = after.item()
    elif np.datetime64(as_of) <= np.datetime64(end, "D"):
        kept = sales["date"] < pd.Timestamp(as_of)
        parts.notes.append(
            f"as_of {as_of}: {int((~kept).sum()):,} rows of sales from that day on are left out"
        )
        if not kept.any():
            parts.general.append(
                f"as_of {as_of} lies before all sales, which begin on"
                f" {iso_day(sales['date'].min())}; give a later date"
            )
            return
        attrs = sales.attrs
        parts.frames["sales"] = sales = sales[kept]
        sales.attrs = attrs
    elif np.datetime64(as_of) > after:
        parts.notes.append(
            f"sales end on {iso_day(end)}, and the plan is as of {as_of}: what was sold between is"
            " not known"
        )
    parts.settings, parts.step = replace(settings, as_of=as_of), str(frequency)


def settle_places(parts: PlanTables) -> None:
    """Finds all locations, and writes the one location where tables name none."""
    sales, locations = parts["sales"], parts["locations"]
    named = list(locations["location"].unique())
    selling = list(sales["location"].unique()) if "location" in sales else []
    if "location" not in sales:
        if len(named) > 1:
            parts.problems["sales"].add(
                f"no column 'location', but the table of locations has {len(named)}"
                f" ({', '.join(named[:4])} …); add the column, or delete the table if all is sold"
                " at one place"
            )
            return
        selling = named or [ONE_PLACE]
    places = list(dict.fromkeys([*named, *selling]))
    if named and "location" in sales:
        unknown = (
            sales["location"].isin([place for place in selling if place not in named]).to_numpy()
        )
        if unknown.any():
            near = {p: nearest_of(named, "")(p) for p in sales["location"][unknown].unique()}
            typo = sales["location"].map(lambda place: bool(near.get(place))).to_numpy()
            parts.wrong(
                "sales",
                "location",
                typo,
                "is not in the table of locations",
                nearest_of(named, "add a row to locations, or write it as there"),
            )
            parts.odd(
                "sales",
                "location",
                unknown & ~typo,
                "is not in the table of locations",
                "added, without a limit of capacity",
            )
    for table, column in (
        ("stock", "location"),
        ("lanes", "destination"),
        ("open_orders", "destination"),
        ("receipts", "destination"),
    ):
        frame = parts[table]
        empty = (frame[column] == "").to_numpy()
        if len(places) == 1:
            frame.loc[empty, column] = places[0]
        else:
            parts.wrong(
                table, column, empty, "is empty", f"fill it in: there are {len(places)} locations"
            )
        if not named and table in ("stock", "lanes"):
            places = list(dict.fromkeys([*places, *(place for place in frame[column] if place)]))
    for table, column in (
        ("stock", "location"),
        ("lanes", "destination"),
        ("open_orders", "destination"),
        ("calendar", "location"),
    ):
        unknown = ~parts[table][column].isin([*places, ""]).to_numpy()
        parts.wrong(
            table,
            column,
            unknown,
            "is no location",
            nearest_of(places, "add it to the table of locations"),
        )
    parts.places = tuple(places)


def unguard(parts: PlanTables) -> None:
    """Names of open orders and receipts as other tables write them: an order list puts an
    apostrophe before what a spreadsheet would take for a formula, and such a list may be read
    back."""
    places = set(parts.places)
    for table, column in (
        ("sales", "location"),
        ("locations", "location"),
        ("stock", "location"),
        ("lanes", "source"),
        ("lanes", "destination"),
    ):
        places |= (
            set(parts.frames[table][column].unique()) if column in parts.frames[table] else set()
        )
    known = {"sku": parts.skus("sales", "items", "stock"), "source": places, "destination": places}
    for table in ("open_orders", "receipts"):
        for column, names in known.items():
            cells = parts[table][column]
            as_written = {
                cell: text_of(cell)
                for cell in cells.unique()
                if cell not in names and text_of(cell) in names
            }
            if as_written:
                parts.frames[table][column] = cells.replace(as_written)


def check_skus(parts: PlanTables) -> None:
    """SKUs that only one table knows, and SKUs that are like others."""
    sold, items = parts.skus("sales"), parts["items"]
    known = sold | parts.skus("items")
    stock = parts["stock"]
    stray = ~stock["sku"].isin(known).to_numpy()
    parts.odd(
        "stock",
        "sku",
        stray,
        "is in stock but not in sales",
        "kept: nothing is expected to be sold of it",
    )
    open_orders = parts["open_orders"]
    stray = ~open_orders["sku"].isin(known | parts.skus("stock")).to_numpy()
    parts.odd("open_orders", "sku", stray, "is on order but not in sales, items or stock", "kept")
    for table, then in (
        ("lanes", "add it to items, or correct it"),
        ("calendar", "add it to items, or correct it"),
    ):
        stray = ~parts[table]["sku"].isin([*known, ""]).to_numpy()
        parts.wrong(table, "sku", stray, "is in no other table", nearest_of(known, then))
    stray = ~parts["receipts"]["sku"].isin(known | parts.skus("stock")).to_numpy()
    parts.odd(
        "receipts",
        "sku",
        stray,
        "is in receipts but not in sales or items",
        "used for lead times only",
    )

    like = items["like"]
    given = (like != "").to_numpy()
    parts.wrong(
        "items",
        "like",
        given & (like == items["sku"]).to_numpy(),
        "is the SKU itself",
        "name another SKU",
    )
    parts.wrong(
        "items",
        "like",
        given & ~like.isin(known).to_numpy(),
        "is no SKU of sales or items",
        nearest_of(sold, "name a SKU that has sales"),
    )
    unsold = given & like.isin(known - sold).to_numpy() & (like != items["sku"]).to_numpy()
    parts.wrong("items", "like", unsold, "has no sales itself", "name a SKU that has sales")
    new = ~items["sku"].isin(sold).to_numpy() & ~given
    parts.odd(
        "items",
        "sku",
        new,
        "has no sales",
        "kept; `like` names the SKU whose sales it is expected to follow",
    )
    missing = sold - parts.skus("items")
    if missing and "items" in parts.given:
        shown = ", ".join(sorted(missing)[:5]) + (" …" if len(missing) > 5 else "")
        parts.notes.append(
            f"{len(missing)} SKUs of sales are not in items ({shown}): defaults hold for them"
        )
    service = parts.settings.service
    if hasattr(service, "items"):
        classes = {
            *items["category"],
            *(parts["sales"]["category"].unique() if "category" in parts["sales"] else []),
        }
        for name in set(service) - classes - known:
            parts.general.append(
                f"service: {name!r} is no category and no SKU;"
                f" {nearest_of(classes | known, 'write one of them')(name)}"
            )


def check_items(parts: PlanTables) -> None:
    """Numbers of items that do not fit each other, or what is sold."""
    items, as_of = parts["items"], parts.as_of
    parts.wrong(
        "items",
        "end",
        (items["end"] < items["launch"]).to_numpy(),
        "lies before its launch",
        "correct one of the two dates",
    )
    dear = (items["cost"] > items["price"]).to_numpy()
    parts.odd(
        "items",
        "cost",
        dear,
        "is above the price",
        "kept: look for two currencies, or for a price of one and a cost of a pack",
    )
    sales = parts["sales"]
    if not len(sales) or as_of is None:
        return
    year = sales[sales["date"] > sales["date"].max() - pd.Timedelta(days=365)]
    days = min((sales["date"].max() - sales["date"].min()).days + 1, 365)
    demand = items["sku"].map(year.groupby("sku")["sales"].sum()).astype(float) * 365 / max(days, 1)
    for column in ("pack", "minimum"):
        large = (
            (items[column] > demand).to_numpy()
            & (demand > 0).to_numpy()
            & (items[column] > 1).to_numpy()
        )
        parts.odd(
            "items",
            column,
            large,
            "is more than a year's demand",
            "kept: one order lasts longer than a year; look for a mistyped number",
        )


def check_min_max(parts: PlanTables) -> None:
    """What the shop orders by itself."""
    stock = parts["stock"]
    one = (stock["min_stock"].isna() != stock["max_stock"].isna()).to_numpy()
    parts.wrong(
        "stock", "max_stock", one, "and 'min_stock' are not both given", "fill in both, or neither"
    )
    below = (stock["max_stock"] < stock["min_stock"]).to_numpy()
    parts.wrong("stock", "max_stock", below, "is below 'min_stock'", "correct one of the two")


def check_orders(parts: PlanTables) -> None:
    """Dates of stock, orders, receipts and the calendar against the date of the plan."""
    as_of, stock, orders, receipts = (
        parts.as_of,
        parts["stock"],
        parts["open_orders"],
        parts["receipts"],
    )
    if as_of is None:
        return
    today = iso_day(as_of)
    parts.wrong(
        "stock",
        "date",
        (stock["date"] > as_of).to_numpy(),
        f"lies after the date of the plan, {today}",
        "give as_of, or the stock of that day",
    )
    parts.odd(
        "stock",
        "date",
        (stock["date"] < as_of).to_numpy(),
        f"lies before the date of the plan, {today}",
        "kept as the stock of that day",
    )
    parts.wrong(
        "open_orders",
        "ordered",
        (orders["ordered"] > as_of).to_numpy(),
        f"lies after the date of the plan, {today}",
        "correct it, or give as_of",
    )
    parts.wrong(
        "open_orders",
        "due",
        (orders["due"] < orders["ordered"]).to_numpy(),
        "lies before the day it was ordered",
        "correct one of the two dates",
    )
    parts.odd(
        "open_orders",
        "due",
        (orders["due"] < as_of).to_numpy(),
        f"is overdue on {today}",
        "kept: expected to arrive at once; delete the row if it is lost",
    )
    parts.wrong(
        "receipts",
        "ordered",
        (receipts["ordered"] > as_of).to_numpy(),
        f"lies after the date of the plan, {today}",
        "correct it, or give as_of",
    )
    parts.wrong(
        "receipts",
        "received",
        (receipts["received"] < receipts["ordered"]).to_numpy(),
        "lies before the day it was ordered",
        "correct one of the two dates",
    )
    parts.wrong(
        "receipts",
        "received",
        (receipts["received"] > as_of).to_numpy(),
        f"lies after the date of the plan, {today}",
        "leave it empty until it has come",
    )
    more = (receipts["received_quantity"] > receipts["quantity"]).to_numpy()
    parts.odd("receipts", "received_quantity", more, "is more than was ordered", "kept")
    both = ["sku", "source", "destination", "ordered"]
    still = receipts["received"].isna() & ~receipts["ordered"].isna()
    twice = (
        still
        & pd.MultiIndex.from_frame(receipts[both]).isin(pd.MultiIndex.from_frame(orders[both]))
        if len(receipts)
        else still
    )
    parts.odd(
        "receipts",
        "ordered",
        twice.to_numpy(),
        "has not come and is in open_orders too",
        "counted once, as open",
    )
    if len(receipts):
        kept = receipts[~twice]
        kept.attrs = receipts.attrs
        parts.frames["receipts"] = kept
    calendar = parts["calendar"]
    past = (calendar["date"] < as_of).to_numpy() & (calendar["promotion"] > 0).to_numpy()
    parts.odd(
        "calendar",
        "promotion",
        past,
        f"lies before {today}",
        "kept: it tells of the past and changes nothing to come",
    )


def check_currencies(parts: PlanTables) -> None:
    """Currencies without a rate, and money that its cells say is in another currency than the
    plan's, or than other tables'.
    """
    lanes, settings = parts["lanes"], parts.settings
    own, first = settings.currency, ""
    for name, problems in parts.problems.items():
        for column, sign in problems.currencies.items() if name != "lanes" else ():
            if own and not _same_money(sign, own):
                problems.add(
                    f"column {column!r} is in {sign}, and the plan's money is {own}; write it in"
                    f" {own}"
                )
            elif first and not _same_money(sign, first):
                problems.add(
                    f"column {column!r} is in {sign}, and others are in {first}; write all money"
                    " in one"
                )
            first = first or sign
    named = {name for name in lanes["currency"] if name}
    if not settings.currency and len(named) == 1 and not (lanes["currency"] == "").any():
        parts.settings = replace(settings, currency=named.pop())
        return
    own = settings.currency
    unknown = (
        lanes["currency"]
        .map(lambda name: bool(name) and name != own and name not in settings.rates)
        .to_numpy()
    )
    fix = f"give its rate, such as rates: {{NAME: 0.9}} ({own or 'money of the plan'} for one)"
    parts.wrong("lanes", "currency", unknown, "has no rate", lambda name: fix.replace("NAME", name))


def _same_money(sign: str, other: str) -> bool:
    """Whether two names may be of one currency: $ is any dollar."""
    a, b = sorted((sign.upper(), other.upper()))
    return a == b or (a == "$" and b.endswith("D")) or (b == "¥" and a in ("JPY", "CNY"))
