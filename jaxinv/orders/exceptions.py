"""What a planner has to look at beside the orders: one row each, with what, when, how much and what
can be done."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxinv.orders.joint import Remark
from jaxinv.orders.lines import Acting, Lines
from jaxinv.orders.risk import LineRisks
from jaxinv.orders.silence import last_sold, silent
from jaxinv.orders.today import Today
from jaxinv.orders.waste import wasted

KINDS = (
    "runs out before anything can arrive", "late order", "open order not counted", "no room",
    "lane limit", "budget",
    "below the minimum order", "raised to the minimum order", "may spoil",
    "order beyond the forecast", "surplus",
    "no sales for long", "out of the policy's range", "never seen by the policy", "not planned",
)  # fmt: skip
"""What there is, the most urgent first."""

COLUMNS = ("kind", "sku", "location", "what", "when", "quantity", "advice")

LIKELY = 0.5
"""Risk from which a stock-out before anything can arrive is told."""

SURPLUS_DAYS = 180.0
"""Days of expected demand; stock beyond them, and beyond twice the target, is surplus."""

SPOILS = 0.1
"""Share of what is there and ordered that is told where so much of it is expected to spoil."""

FAR = 8.0
"""Demand that is so many times more, or less, than what a policy was trained on is out of its
range."""


def exceptions_of(
    today: Today, acting: Acting, lines: Lines, judged: LineRisks, remarks: Sequence[Remark] = ()
) -> pd.DataFrame:
    """All exceptions, a row each: the most urgent kind first, and of each the largest quantity."""
    rows: list[dict[str, Any]] = []

    def add(kind, sku, location, what, when, quantity, advice):
        rows.append(dict(zip(COLUMNS, (kind, sku, location, what, when, quantity, advice))))

    _run_out(today, lines, judged, add)
    _stock(today, lines, judged, add)
    _late(today, add)
    _range(today, acting, add)
    for remark in remarks:
        add(
            remark.kind,
            "",
            remark.place,
            remark.what,
            str(today.date),
            remark.quantity,
            remark.advice,
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["urgency"] = table["kind"].map(KINDS.index)
    order = ["urgency", "quantity", "sku", "location", "what"]
    table = table.sort_values(order, ascending=[True, False, True, True, True], kind="stable")
    return table.drop(columns="urgency").reset_index(drop=True)


def by_node(today: Today, values: np.ndarray) -> np.ndarray:
    """Values of edges `[S, E, K]` at the nodes they lead to `[S, N, K]`: the least of them;
    infinite where none leads."""
    topology = today.problem.env.topology
    found = np.full((len(values), topology.nodes, values.shape[2]), np.inf)
    there = (np.asarray(today.destinations) != "")[..., None]
    for edge, node in enumerate(topology.destinations):
        found[:, node] = np.minimum(
            found[:, node], np.where(there[:, edge], values[:, edge], np.inf)
        )
    return found


def _run_out(today, lines, judged, add):
    topology = today.problem.env.topology
    arrives = by_node(
        today, np.broadcast_to(np.ceil(lines.lead - 1e-4)[..., None], lines.quantity.shape)
    )
    risk = by_node(today, judged.risk_before)
    rate = by_node(today, judged.mean / np.maximum(lines.cover[..., None], 1))
    stock = by_node(today, lines.on_hand)
    for s, node, product in np.argwhere((risk >= LIKELY) & np.isfinite(risk)):
        if node not in topology.demand_nodes:
            continue
        first = arrives[s, node, product]
        days = (
            min(stock[s, node, product] / max(rate[s, node, product], 1e-9), first)
            * today.period_days
        )
        lost = max(first * rate[s, node, product] - stock[s, node, product], 0.0)
        when = _day(today.date, days)
        what = (
            f"{risk[s, node, product]:.0%} will run out before"
            f" {_day(today.date, first * today.period_days)}, when an order could be here"
        )
        add(
            "runs out before anything can arrive",
            today.skus[s],
            today.nodes[s][node],
            what,
            when,
            round(lost, 1),
            "hasten what is on its way, transfer, or order faster",
        )


def _stock(today, lines, judged, add):
    topology = today.problem.env.topology
    rate = by_node(today, judged.mean / np.maximum(lines.cover[..., None], 1)) / today.period_days
    stock, coming = by_node(today, lines.on_hand), by_node(today, lines.on_order)
    target = by_node(today, np.where(np.isfinite(lines.target), lines.target, 0.0))
    nothing = judged.cost("nothing")
    ordered, spared = np.zeros(stock.shape), np.zeros(stock.shape)
    for edge, end in enumerate(topology.destinations):
        mine = (np.asarray(today.destinations)[:, edge] != "")[:, None] & (
            lines.quantity[:, edge] > 0
        )
        ordered[:, end] += np.where(mine, lines.quantity[:, edge], 0.0)
        spared[:, end] += np.where(mine, -nothing[:, edge], 0.0)
    demand = np.asarray(today.demand, float)
    places = topology.products and demand.shape[2] // topology.products
    last, gone = last_sold(demand), silent(demand, today.period_days)
    keeps = np.full(len(today.skus), np.inf)
    if today.plan is not None:
        keeps = (
            today.plan.full_items["shelf_life"].reindex(today.skus).fillna(np.inf).to_numpy(float)
        )
    waste = wasted(today, lines, np.where(np.isfinite(rate), rate, 0.0) * today.period_days)
    played = (
        np.asarray(today.params.shelf_life) > 0
        if topology.has("shelf_lives")
        else np.zeros(waste.shape, bool)
    )
    for place in range(places):
        node = topology.demand_nodes[place]
        for product in range(topology.products):
            column = place * topology.products + product
            held = np.where(np.isfinite(stock[:, node, product]), stock[:, node, product], 0.0)
            way = np.where(np.isfinite(coming[:, node, product]), coming[:, node, product], 0.0)
            placed = ordered[:, node, product]
            mute = gone[:, column] & (held + way + placed > 0)
            for s in np.flatnonzero(mute):
                day = np.asarray(today.dates)[last[s, column] - 1]
                what = f"last sold in the period of {np.datetime64(day, 'D')}"
                what += f"; {placed[s]:,.0f} are ordered all the same" if placed[s] > 0 else ""
                add(
                    "no sales for long",
                    today.skus[s],
                    today.nodes[s][node],
                    what,
                    str(np.datetime64(day, "D")),
                    float(held[s]),
                    "sell off, or tell the end of the SKU",
                )
            speed = np.where(np.isfinite(rate[:, node, product]), rate[:, node, product], 0.0)
            enough = np.maximum(
                SURPLUS_DAYS * speed,
                2 * np.where(np.isfinite(target[:, node, product]), target[:, node, product], 0.0),
            )
            over = held + way - enough
            for s in np.flatnonzero((over >= 1) & ~mute & (speed > 0)):
                days = (held[s] + way[s]) / speed[s]
                add(
                    "surplus",
                    today.skus[s],
                    today.nodes[s][node],
                    f"stock and orders for {days:.0f} days",
                    _day(today.date, min(days, 36500.0)),
                    round(float(over[s]), 1),
                    "cancel what is on order, transfer, or sell off",
                )
            lasts = (held + way + placed) / np.maximum(speed, 1e-9)
            lost, total = waste[:, node, product], held + way + placed
            unplayed = (placed > 0) & (lasts > keeps) & (speed > 0)
            spoil = np.where(
                played[:, node, product], (lost >= 1) & (lost > SPOILS * total), unplayed
            )
            for s in np.flatnonzero(spoil):
                what = (
                    f"stock and orders last {min(lasts[s], 36500.0):,.0f} days, and it keeps for"
                    f" {keeps[s]:,.0f}"
                )
                what += (
                    f": {lost[s]:,.0f} of {total[s]:,.0f} are expected to spoil" if lost[s] else ""
                )
                add(
                    "may spoil",
                    today.skus[s],
                    today.nodes[s][node],
                    what,
                    str(today.date),
                    round(float(lost[s] or placed[s]), 1),
                    "sell it off before, order less, or more often",
                )
            dear = (placed > 0) & (lasts > SURPLUS_DAYS) & (spared[:, node, product] > 0)
            for s in np.flatnonzero(dear & ~mute):
                days = min(lasts[s], 36500.0)
                what = (
                    f"with it, stock and orders last {days:,.0f} days; ordering nothing is expected"
                    f" to cost {spared[s, node, product]:,.4g} less"
                )
                add(
                    "order beyond the forecast",
                    today.skus[s],
                    today.nodes[s][node],
                    what,
                    str(today.date),
                    float(placed[s]),
                    "look whether it still sells so; order less, or tell the end of the SKU",
                )


def _late(today, add):
    if today.plan is None:
        return
    orders = today.plan.open_orders.reset_index(drop=True)
    for row in today.late:
        order = orders.iloc[row]
        add(
            "late order",
            order["sku"],
            order["destination"],
            f"was due from {order['source']}",
            str(order["due"])[:10],
            float(order["quantity"]),
            "ask the supplier; it is counted as coming in the next period",
        )
    for row, why in today.beyond:
        order = orders.iloc[row]
        add(
            "open order not counted",
            order["sku"],
            order["destination"],
            why,
            str(order["due"])[:10].replace("NaT", ""),
            float(order["quantity"]),
            "mend the row, or leave it out",
        )


def _range(today, acting, add):
    topology = today.problem.env.topology
    demand = np.asarray(today.demand, float)
    recent = np.nan_to_num(demand[:, -8:]).mean(1).sum(1)
    scale = np.asarray(today.params.scale)[:, list(topology.demand_nodes)].sum((1, 2))
    ratio = recent / np.maximum(scale, 1e-9)
    places = topology.demand_nodes if len(topology.demand_nodes) == 1 else ()
    for number, decider in enumerate(acting.deciders):
        known = set(decider.problem.labels)
        mine = acting.which == number
        for s in np.flatnonzero(mine):
            place = "".join(today.nodes[s][node] for node in places)
            if known and (today.labels or today.problem.labels)[s] not in known:
                add(
                    "never seen by the policy",
                    today.skus[s],
                    place,
                    "what orders was made without it",
                    str(today.date),
                    np.nan,
                    "train anew; until then it acts as for SKUs like it",
                )
            elif ratio[s] > FAR or (
                ratio[s] < 1 / FAR and recent[s] == 0 and np.nansum(demand[s]) > 0 and ratio[s] > 0
            ):
                what = (
                    f"demand of the last 8 periods is {ratio[s]:.2g} times what {decider.name} was"
                    " made for"
                )
                add(
                    "out of the policy's range",
                    today.skus[s],
                    place,
                    what,
                    str(today.date),
                    round(float(recent[s]), 2),
                    "check the data; tune or train anew",
                )
    for name, why in today.problem.dropped:
        if name in today.labels:  # new, and ordered for all the same
            continue
        add(
            "not planned",
            name,
            "",
            why,
            str(today.date),
            np.nan,
            "give it `like` another SKU, or more sales",
        )


def _day(date: np.datetime64, days: float) -> str:
    return str(np.datetime64(date, "D") + int(np.floor(days)))
