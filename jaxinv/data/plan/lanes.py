"""Lanes of a plan: who supplies whom, checked for circles, for places without supply and for open
orders that go nowhere.
"""

import difflib

import numpy as np
import pandas as pd

from jaxinv.data.plan.cells import empty_table
from jaxinv.data.plan.parts import PlanTables, nearest_of

SUPPLIER = "supplier"
"""The source of all where neither lanes nor receipts name one."""


def check_lanes(parts: PlanTables) -> None:
    """Notes what is wrong with the lanes, and fills in the source of orders where there is only
    one.
    """
    lanes = parts["lanes"]
    if "lanes" not in parts.given:
        parts.frames["lanes"] = lanes = _without_table(parts)
    else:
        _check_rows(parts, lanes)
        _check_supply(parts, lanes)
        _check_circles(parts, lanes)
    for table in ("open_orders", "receipts"):
        _fill_source(parts, table)
    orders = parts["open_orders"]
    known = set(zip(lanes["source"], lanes["destination"]))
    pairs = [(s, d) in known for s, d in zip(orders["source"], orders["destination"])]
    stray = ~np.array(pairs, bool) & (orders["source"] != "").to_numpy()
    stray &= (
        orders["destination"].isin(parts.places).to_numpy()
    )  # one that is no location is told as that
    if "lanes" in parts.given:
        near = nearest_of(lanes["source"].unique(), "add the lane to lanes, or correct the source")

        def fix(source: str) -> str:
            leads = sorted(set(lanes["destination"][lanes["source"] == source]))
            return (
                f"{source!r} supplies {', '.join(map(repr, leads))}; add the lane to lanes, or"
                " correct the row"
                if leads
                else near(source)
            )

        parts.wrong("open_orders", "source", stray, "is no lane to that destination", fix)
    elif stray.any():
        fix = (
            f"add a table of lanes with it, or leave the source empty ({lanes['source'].iloc[0]!r})"
            if len(lanes)
            else "add a table of lanes"
        )
        parts.wrong("open_orders", "source", stray, "is no lane to that destination", fix)


def _without_table(parts: PlanTables) -> pd.DataFrame:
    """Lanes where there is no table of them: those that receipts show, else one supplier of every
    location that sells.
    """
    sales, receipts = parts["sales"], parts["receipts"]
    selling = list(sales["location"].unique()) if "location" in sales else list(parts.places[:1])
    shown = receipts[receipts["source"] != ""][["source", "destination"]].drop_duplicates()
    shown = shown[shown["destination"].isin(parts.places)]
    if (
        len(shown)
        and set(selling) <= set(shown["destination"])
        and not _circle(set(map(tuple, shown.to_numpy())), parts.places)
    ):
        pairs = list(map(tuple, shown.to_numpy()))
    else:
        pairs = [(SUPPLIER, place) for place in selling]
    lanes = empty_table("lanes").reindex(range(len(pairs)))
    for column in ("sku", "currency"):
        lanes[column] = ""
    for column in ("order_days", "freight_from", "freight_rate"):
        lanes[column] = pd.Series([()] * len(pairs), dtype=object)
    lanes["source"], lanes["destination"] = [s for s, _ in pairs], [d for _, d in pairs]
    return lanes


def _check_rows(parts: PlanTables, lanes: pd.DataFrame) -> None:
    places = parts.places
    parts.wrong(
        "lanes",
        "source",
        (lanes["source"] == lanes["destination"]).to_numpy(),
        "supplies itself",
        "name a supplier or another location",
    )
    tiers, rates = lanes["freight_from"], lanes["freight_rate"]
    uneven = np.array([len(t) != len(r) for t, r in zip(tiers, rates)], bool)
    parts.wrong(
        "lanes",
        "freight_from",
        uneven,
        "has not as many numbers as freight_rate",
        "give one rate for each number of units",
    )
    falling = np.array(
        [len(t) > 0 and (t[0] != 0 or any(b <= a for a, b in zip(t, t[1:]))) for t in tiers], bool
    )
    parts.wrong("lanes", "freight_from", falling, "does not rise from 0", "write such as 0|100|500")
    low = (lanes["limit"] < lanes["minimum_units"]).to_numpy()
    parts.wrong(
        "lanes",
        "limit",
        low,
        "is below the minimum of an order",
        "raise the limit or lower minimum_units",
    )
    for name in dict.fromkeys(lanes["source"]):
        if name in places:
            continue
        rows = (lanes["source"] == name).to_numpy()
        same = [
            place
            for place in places
            if len(_mistyped(place)[0]) > 3 and _mistyped(place) == _mistyped(name)
        ]
        near = difflib.get_close_matches(name, places, n=1, cutoff=0.85)
        if same:
            fix = f"did you mean {same[0]!r}? If it is a supplier, give it another name"
            parts.wrong("lanes", "source", rows, "is nearly the name of a location", fix)
        elif near:
            parts.odd(
                "lanes",
                "source",
                rows,
                "is no location, so it is a supplier",
                f"did you mean {near[0]!r}?",
            )


def _mistyped(name: str) -> tuple[list[str], list[str]]:
    """What two names have in common that differ in case, spaces or the order of letters only."""
    return sorted(letter for letter in name.casefold() if letter.isalpha()), [
        digit for digit in name if digit.isdigit()
    ]


def _check_supply(parts: PlanTables, lanes: pd.DataFrame) -> None:
    """Every location that sells or supplies needs a lane to it, for every SKU that it sells."""
    sales, places = parts["sales"], set(parts.places)
    selling = set(sales["location"].unique()) if "location" in sales else set(parts.places[:1])
    supplied = set(lanes["destination"])
    for place in sorted((selling | (set(lanes["source"]) & places)) - supplied):
        does = "sells" if place in selling else "supplies others"
        parts.problems["lanes"].add(
            f"location {place!r} {does} and no lane leads to it; add a row with destination"
            f" {place!r}"
        )
    idle = [
        place for place in parts.places if place not in selling | supplied | set(lanes["source"])
    ]
    if idle:
        parts.notes.append(f"locations that neither sell nor have a lane: {', '.join(idle[:5])}")
    own = lanes[lanes["sku"] != ""]
    everything = set(lanes.loc[lanes["sku"] == "", "destination"])
    of = {place: set(rows["sku"]) for place, rows in own.groupby("destination")}
    items = parts["items"]
    ended = set(items.loc[items["end"] < parts.as_of, "sku"]) if parts.as_of is not None else set()
    for place in sorted((selling & supplied) - everything):
        sold = set(
            (
                sales.loc[sales["location"] == place, "sku"]
                if "location" in sales
                else sales["sku"]
            ).unique()
        )
        missing = sorted(sold - of.get(place, set()) - ended)
        if missing:
            shown = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
            parts.problems["lanes"].add(
                f"{len(missing)} SKUs sold at {place!r} have no lane to it ({shown}); add rows for"
                " them, or one row with no SKU for all"
            )


def _check_circles(parts: PlanTables, lanes: pd.DataFrame) -> None:
    edges = lanes[lanes["source"] != lanes["destination"]]
    every = set(map(tuple, edges.loc[edges["sku"] == "", ["source", "destination"]].to_numpy()))
    circle = _circle(every, parts.places)
    if not circle and _circle(
        set(map(tuple, edges[["source", "destination"]].to_numpy())), parts.places
    ):
        for _, rows in edges[edges["sku"] != ""].groupby("sku"):
            circle = circle or _circle(
                every | set(map(tuple, rows[["source", "destination"]].to_numpy())), parts.places
            )
    if circle:
        on = {(a, b) for a, b in zip(circle, circle[1:])}
        rows = np.array([(s, d) in on for s, d in zip(lanes["source"], lanes["destination"])], bool)
        where = parts.problems["lanes"].places(lanes.index[rows])
        parts.problems["lanes"].add(
            f"lanes go in a circle, {' -> '.join(circle)}, in {where}; take out one of them"
        )


def _circle(edges: set[tuple[str, str]], places: tuple[str, ...]) -> list[str]:
    """Locations along a circle, the first again at its end; empty where there is none."""
    after: dict[str, list[str]] = {}
    for source, destination in sorted(edges):
        if source in places:
            after.setdefault(source, []).append(destination)
    done: set[str] = set()
    for start in sorted(after):
        path, ways = [start], [iter(after[start])]
        while ways and start not in done:
            step = next(ways[-1], None)
            if step is None:
                done.add(path.pop())
                ways.pop()
            elif step in path:
                return [*path[path.index(step) :], step]
            elif step in after and step not in done:
                path.append(step)
                ways.append(iter(after[step]))
    return []


def _fill_source(parts: PlanTables, table: str) -> None:
    """Writes the source of rows that name none, where only one lane leads to their destination."""
    frame, lanes = parts[table], parts["lanes"]
    empty = (frame["source"] == "").to_numpy()
    if not empty.any():
        return
    sources = lanes.groupby("destination")["source"].agg(["first", "nunique"])
    one = sources.loc[sources["nunique"] == 1, "first"]
    found = frame["destination"].map(one)
    frame["source"] = frame["source"].where(~empty | found.isna(), found)
    if table == "open_orders":
        several = empty & found.isna().to_numpy()
        parts.wrong(
            table,
            "source",
            several,
            "is empty",
            "fill it in: not one lane alone leads to that destination",
        )
