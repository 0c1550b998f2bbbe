"""The order list of a date: lines, what is ordered nowhere, exceptions, and why each line is what
it is."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxinv.orders.exceptions import exceptions_of
from jaxinv.orders.files import sheet_names, write_list
from jaxinv.orders.futures import Futures, fit_futures
from jaxinv.orders.joint import Limits, Settled, settle
from jaxinv.orders.lines import Acting, Lines, lines_of, period_dates
from jaxinv.orders.reasons import TERMS, Terms, counterfactuals, sentence
from jaxinv.orders.risk import CASES, PATHS, LineRisks, line_risks
from jaxinv.orders.today import Today

COLUMNS = (
    "sku", "name", "source", "destination", "order_date", "quantity", "packs", "unit_cost", "cost",
    "currency", "arrival_early",
    "arrival_likely", "arrival_late", "due", "on_hand", "on_order", "net_position", "cover_days",
    "forecast", "forecast_low",
    "forecast_high", "target", "risk_with", "risk_without", "days_of_cover", "rule",
    "rule_quantity",
    *(f"cost_{name}" for name in CASES), *(f"term_{name}" for name in TERMS), "reason",
)  # fmt: skip

YOUNG = 26
"""A series with fewer periods takes the past of the SKU that it is `like`, where the plan says
so."""


@dataclass(frozen=True, eq=False)
class OrderList:
    """What is ordered on a date.

    Attributes:
      date: first day of the period.
      all: a row for every line that an order could have, quantity 0 where nothing is ordered,
        columns `COLUMNS`.
      why: for every line with an order, what would be ordered otherwise
        (`jaxinv.orders.reasons.counterfactuals`).
      exceptions: `jaxinv.orders.exceptions`.
      acting: who decided; notes, assumptions: what was read and what was assumed, one line each.
      futures, lines, judged: what it was made of.
    """

    date: np.datetime64
    all: pd.DataFrame
    why: pd.DataFrame
    exceptions: pd.DataFrame
    acting: Acting
    notes: tuple[str, ...]
    assumptions: tuple[str, ...]
    futures: Futures
    lines: Lines
    judged: LineRisks

    @property
    def orders(self) -> pd.DataFrame:
        """The lines with something to order, by source, destination and SKU."""
        return self.all[self.all["quantity"] > 0].reset_index(drop=True)

    def write(
        self,
        folder: Path,
        texts: Mapping[str, str] = {},
        finish: Callable[[Path], None] | None = None,
    ) -> None:  # noqa: B006
        """Writes `orders.csv`, `all.csv`, `why.csv`, `exceptions.csv`, `about.json` and a sheet for
        each supplier, all or none.

        Args:
          texts: further files; finish: puts more into the folder before it appears.
        """
        orders = self.orders
        suppliers = sorted(set(orders["source"]) & set(self.all.attrs["suppliers"]))
        sheets = {
            f"suppliers/{file}.csv": (
                orders[orders["source"] == name][["sku", "quantity"]]
                .groupby("sku", sort=True, as_index=False)
                .sum()
            )
            for name, file in sheet_names(suppliers).items()
        }
        tables = {
            "orders.csv": orders,
            "all.csv": self.all,
            "why.csv": self.why,
            "exceptions.csv": self.exceptions,
            **sheets,
        }
        about = json.dumps(self.about, indent=1, ensure_ascii=False) + "\n"
        write_list(folder, tables, {"about.json": about, **texts}, finish)

    @property
    def about(self) -> dict[str, Any]:
        """What the list says of itself."""
        currencies = sorted({*self.orders["currency"]} - {""})
        return {
            "date": str(self.date),
            "currency": currencies[0] if len(currencies) == 1 else "",
            "policies": sorted({decider.name for decider in self.acting.deciders}),
            "notes": [*self.acting.why, *self.notes],
            "assumptions": list(self.assumptions),
        }


def make_list(
    today: Today,
    acting: Acting,
    rule: Acting | None = None,
    *,
    limits: Limits | None = None,
    paths: int = PATHS,
    seed: int = 0,
) -> OrderList:
    """The order list.

    Args:
      acting: who decides.
      rule: the tuned rule whose orders stand beside, where a rule does not decide; `acting` where
        not given.
      limits: what couples lines; those of the plan where not given.
      paths: demand paths that risks and costs are found on.
      seed: of these.
    """
    alike = _alike(today)
    acting = acting.over(len(today.skus), alike)
    rule = None if rule is None else rule.over(len(today.skus), alike)
    lines = lines_of(today, acting)
    beside = lines.quantity if rule is None else lines_of(today, rule).quantity
    horizon = horizon_of(today, lines)
    outlook = futures_of(today, horizon, seed)
    judged = line_risks(
        today, lines, outlook, paths=paths, reorder=reorder_points(acting, lines), seed=seed
    )
    price, currency = prices(today)
    limits = Limits.of(today, price, currency) if limits is None else limits
    settled = Settled(lines, {}, (), np.zeros(0, int))
    if limits.any:
        settled = settle(today, lines, judged, outlook, limits, paths, seed)
        if len(settled.changed):
            again = line_risks(
                today,
                settled.lines,
                outlook,
                paths=paths,
                reorder=reorder_points(acting, lines),
                seed=seed,
                rows=settled.changed,
            )
            judged = _with(judged, again, settled.changed)
    name = (acting if rule is None else rule).names
    table = _table(today, settled, judged, beside, name, price, currency)
    why = _why(today, acting, settled.lines, judged, table)
    found = exceptions_of(today, acting, settled.lines, judged, settled.remarks)
    table = table.drop(columns=["_line"])
    bought = today.problem.env.topology.from_supplier
    table.attrs["suppliers"] = sorted(
        set(np.asarray(today.sources)[:, bought].ravel().tolist()) - {""}
    )
    plan = today.plan
    told = ((), ()) if plan is None else (tuple(plan.notes), tuple(plan.assumptions))
    return OrderList(today.date, table, why, found, acting, *told, outlook, settled.lines, judged)


def horizon_of(today: Today, lines: Lines) -> int:
    """Periods that are played: twice the longest cover, as far as the calendar of today goes."""
    there = np.asarray(today.destinations) != ""
    longest = int(lines.cover[there].max()) if there.any() else 1
    return int(np.clip(2 * longest + 1, 4, np.asarray(today.open).shape[-1]))


def futures_of(today: Today, horizon: int, seed: int = 0) -> Futures:
    """Demand to come of the instances of today."""
    demand = np.asarray(today.demand, np.float32)
    periods, env = demand.shape[1], today.problem.env
    announced = list(env.world.announced)
    known = np.asarray(today.known)[:, : periods + horizon, announced]
    missing = periods + horizon - known.shape[1]
    if missing > 0:
        known = np.concatenate([known, np.repeat(known[:, -1:], missing, 1)], 1)
    seen = np.isfinite(demand).any(2).sum(1)
    return fit_futures(
        demand,
        period_dates(today, horizon),
        known,
        today.period_days,
        groups=today.categories,
        like={new: old for new, old in _alike(today).items() if seen[new] < YOUNG},
        seed=seed,
    )


def _alike(today: Today) -> dict[int, int]:
    """The instance that each is `like`, where the plan says one."""
    if today.plan is None:
        return {}
    others = today.plan.full_items["like"].reindex(today.skus).fillna("").astype(str)
    place = {one: number for number, one in enumerate(zip(today.skus, today.nodes))}
    found = {new: place.get((other, today.nodes[new])) for new, other in enumerate(others) if other}
    return {new: old for new, old in found.items() if old is not None and old != new}


def reorder_points(acting: Acting, lines: Lines) -> np.ndarray | None:
    """Positions at or below which today's rules order, of rules that wait for one; None where all
    order at every opportunity."""
    if not any("reorder" in getattr(one.policy, "ranges", {}) for one in acting.deciders):
        return None
    points = np.maximum(lines.target, lines.position + lines.quantity).astype(np.float32)
    for number, decider in enumerate(acting.deciders):
        if "reorder" not in getattr(decider.policy, "ranges", {}):
            continue
        mine = acting.which == number
        value = np.asarray(decider.params["reorder"])
        value = np.moveaxis(value, -1, 0)[mine] if decider.policy_axis is not None else value
        size = np.asarray(decider.params.get("gap", 0.0))
        size = (
            np.moveaxis(size, -1, 0)[mine]
            if decider.policy_axis is not None and size.ndim
            else size
        )
        share = value / np.maximum(value + size, 1e-6) if "gap" in decider.params else 0.8
        points[mine] = points[mine] * np.clip(share, 0.0, 1.0)
    return points


def prices(today: Today) -> tuple[np.ndarray, np.ndarray]:
    """Money of a unit on each edge `[S, E]`, in the currency of its lane, and these currencies; NaN
    where nothing is known."""
    shape = np.asarray(today.lane).shape
    if today.plan is None:
        topology = today.problem.env.topology
        cost = (
            np.asarray(today.params.unit_cost)[..., 0]
            if topology.has("unit_cost")
            else np.full(shape, np.nan)
        )
        return cost, np.full(shape, "", object)
    plan, there = today.plan, np.asarray(today.lane) >= 0
    lanes, settings = plan.full_lanes, plan.settings
    currency = np.where(there, lanes["currency"].to_numpy(object)[today.lane], settings.currency)
    rate = settings.rates_of(currency)
    cost = plan.full_items["cost"].reindex(today.skus).to_numpy(float)[:, None]
    # goods that were bought before cost nothing again
    bought = np.where(today.problem.env.topology.from_supplier, cost / rate, 0.0)
    price = bought + lanes["unit_cost"].to_numpy(float)[today.lane]
    return np.where(there, price, np.nan), currency


def _with(judged: LineRisks, again: LineRisks, rows: np.ndarray) -> LineRisks:
    """What was judged with some instances judged anew."""
    found = {}
    for one in dataclasses.fields(LineRisks):
        values = np.array(getattr(judged, one.name))
        if one.name == "costs":
            values[:, rows] = again.costs[:, rows]
        else:
            values[rows] = getattr(again, one.name)[rows]
        found[one.name] = values
    return LineRisks(**found)


def _table(
    today, settled: Settled, judged: LineRisks, beside, rule_names, price, currency
) -> pd.DataFrame:
    lines, days = settled.lines, today.period_days
    place = np.argwhere(
        np.broadcast_to((np.asarray(today.destinations) != "")[..., None], lines.quantity.shape)
    )
    s, e, k = place.T
    at = (s, e, k)
    date = np.datetime64(today.date, "D")

    def arrives(periods):
        return (date + np.floor(periods * days + 1e-6).astype(int)).astype(str)

    quantity, pack = lines.quantity[at].astype(float), lines.pack[at].astype(float)
    rate = judged.mean[at] / np.maximum(lines.cover[s, e], 1) / days
    position = (lines.position + lines.quantity)[at]
    products = today.problem.env.topology.products
    sku = np.asarray(today.skus, object)[s]
    if products > 1:
        sku = np.asarray([f"{one} / {number + 1}" for one, number in zip(sku, k)], object)
    names = np.full(len(s), "", object)
    if today.plan is not None and "name" in today.plan.items:
        names = (
            today.plan.items["name"].reindex(today.skus).fillna("").astype(str).to_numpy(object)[s]
        )
    cover_days = lines.cover[s, e] * days
    terms = Terms.of(lines, judged)
    until = date + np.maximum(np.floor(cover_days).astype(int), 1) - 1
    likely = arrives(np.ceil(lines.lead[s, e] - 1e-4))
    table = pd.DataFrame(
        {
            "sku": sku,
            "name": names,
            "source": np.asarray(today.sources)[s, e],
            "destination": np.asarray(today.destinations)[s, e],
            "order_date": str(date),
            "quantity": quantity,
            "packs": quantity / pack,
            "unit_cost": price[s, e],
            "cost": quantity * price[s, e],
            "currency": currency[s, e],
            "arrival_early": arrives(lines.early[s, e]),
            "arrival_likely": likely,
            "arrival_late": arrives(lines.late[s, e]),
            "due": likely,
            "on_hand": lines.on_hand[at],
            "on_order": lines.on_order[at],
            "net_position": lines.position[at],
            "cover_days": cover_days,
            "forecast": judged.forecast[at],
            "forecast_low": judged.low[at],
            "forecast_high": judged.high[at],
            "target": lines.target[at],
            "risk_with": judged.risk_with[at],
            "risk_without": judged.risk_without[at],
            "days_of_cover": np.where(rate > 0, position / np.maximum(rate, 1e-9), np.nan),
            "rule": rule_names[s],
            "rule_quantity": beside[at],
            **{f"cost_{name}": judged.cost(name)[at] for name in CASES},
            **{f"term_{name}": values[at] for name, values in terms.table.items()},
        }
    )
    table["reason"] = [
        sentence(
            lines.position[spot],
            lines.target[spot],
            judged.mean[spot],
            end,
            lines.asked[spot],
            lines.pack[spot],
            lines.quantity[spot],
            settled.why.get(spot, ""),
        )
        for spot, end in zip(map(tuple, place.tolist()), until)
    ]
    table["_line"] = list(map(tuple, place.tolist()))
    assert [name for name in table if name != "_line"] == list(COLUMNS)
    return table.sort_values(["source", "destination", "sku"], kind="stable").reset_index(drop=True)


def _why(today, acting, lines, judged, table) -> pd.DataFrame:
    """What would be ordered otherwise, of lines with an order."""
    rows = table[table["quantity"] > 0]
    found = counterfactuals(today, acting, lines, judged)
    spots = (
        [np.asarray(axis) for axis in zip(*rows["_line"])] if len(rows) else [np.zeros(0, int)] * 3
    )
    made = rows[["sku", "source", "destination", "quantity"]].reset_index(drop=True)
    for name, values in found.items():
        made[name] = values[tuple(spots)].astype(float)
    return made
