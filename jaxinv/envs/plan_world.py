"""A shop as its files tell it: instances with their ways, costs and stock, from which its world is
made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd

from jaxinv.data import Panel, TimeSplit
from jaxinv.data.grid import Frequency
from jaxinv.data.plan import Plan
from jaxinv.demand.arrivals import Arrivals
from jaxinv.demand.exogenous import QuotedLeadTimes, RandomLeadTimes, World
from jaxinv.demand.order_days import OrderDays
from jaxinv.demand.processes import TraceReplay
from jaxinv.envs.builder import Network
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.newcomers import going_on, spliced, with_newcomers
from jaxinv.envs.placed import Placed, by_series, by_sku, prepare_placed
from jaxinv.envs.plan_calendar import with_calendar_columns
from jaxinv.envs.problem import first_of
from jaxinv.envs.recorded import trace_until
from jaxinv.envs.shelf_lives import ShelfLives
from jaxinv.envs.shop import Shop, ordered_by_period, own_min_max
from jaxinv.envs.ways import WayLeadTimes, Ways, order_cycles
from jaxinv.errors import UserError


@dataclass(frozen=True, eq=False)
class PlanWorld:
    """What the world of a plan is made of.

    Attributes:
      plan: the files.
      panel: sales by period; split: which of them train and which judge.
      placed: series as instances with places (`jaxinv.envs.placed`); covariates `AHEAD` periods
        beyond the sales.
      learned: how many of them, the first, are learned from; the others are new
        (`jaxinv.envs.newcomers`).
      ways: lanes as edges; lead: their lead times.
      network: told to the builder; cycles: of order days, by edge, or None.
      selling: numbers of the nodes that sell `[D]`.
      apart: whether each instance is an SKU at one location.
      wanted: fill rate of each instance `[S]`, NaN for none; None where none is wanted of any.
      lives: how long goods keep.
      costs: by name, of each instance, money in the plan's currency `[S]`.
    """

    plan: Plan
    panel: Panel
    split: TimeSplit
    placed: Placed
    learned: int
    ways: Ways
    lead: WayLeadTimes
    network: Network
    cycles: list[np.ndarray] | None
    selling: tuple[int, ...]
    apart: bool
    wanted: np.ndarray | None
    lives: ShelfLives
    costs: dict[str, np.ndarray]

    @classmethod
    def of(cls, plan: Plan, panel: Panel, split: TimeSplit, options: Any) -> "PlanWorld":
        """What a plan and options of the preset `network` say."""
        used = {*plan.lanes["source"], *plan.lanes["destination"]}
        places = tuple(place for place in plan.locations.index if place in used)
        apart = not plan.lanes["source"].isin(places).any()
        panel = with_newcomers(plan, panel)
        ahead = with_calendar_columns(plan, panel)
        panel = replace(
            panel,
            covariates={
                name: values[:, : len(panel.dates)] for name, values in ahead.covariates.items()
            },
        )
        sold_at = (
            sorted(panel.series["location"].unique())
            if "location" in panel.series
            else list(places[:1])
        )
        sellers = [place for place in places if place in sold_at]
        grouping = by_series if apart else partial(by_sku, places=sellers)
        prepared = prepare_placed(panel, split, grouping(panel), options, ahead)
        kept, latest = prepared.panel, split.train.stop - options.horizon
        placed = Placed.of(kept, grouping(kept), prepared, latest, ahead.rows(prepared.kept))
        learned = len(placed.series)
        new = going_on(plan, panel, np.isin(np.arange(len(panel.series)), prepared.kept))
        if len(new):
            more = ahead.rows(new)
            placed = placed.joined(
                more, spliced(plan, panel, new), prepared.covariates, grouping(more)
            )
        ways = Ways.of(plan.full_lanes, placed.series, places, apart)
        days = Frequency.parse(panel.frequency).days
        # A run keeps what it found, so that it fits whatever is on order by now; what is due later
        # is the last to arrive.
        lead = WayLeadTimes.of(
            ways, plan, days, options.longest_lead_time or _latest_due(plan, days)
        )
        cycles = order_cycles(ways, panel.dates[0], days)
        costs = unit_costs(plan, placed, panel, ways.nodes)
        selling = (0,) if apart else tuple(places.index(place) for place in sellers)
        lives = ShelfLives.of(
            plan, placed.series["sku"], days, panel.frequency, apart, options.longest_shelf_life
        )
        shop = cls(
            plan,
            panel,
            split,
            placed,
            learned,
            ways,
            lead,
            Network(),
            cycles,
            selling,
            apart,
            wanted_of(plan, placed),
            lives,
            costs,
        )
        return replace(shop, network=shop._network(options))

    @property
    def next_date(self) -> np.datetime64:
        """First day of the period after the last of the sales."""
        return Frequency.parse(self.panel.frequency).after(self.panel.dates[-1])

    @property
    def places(self) -> tuple[tuple[str, ...], ...]:
        """Names of the nodes of each instance `[S][N]`."""
        series = self.placed.series
        if not self.apart:
            return (tuple(self.ways.nodes),) * len(series)
        only = self.plan.locations.index[0]
        return tuple(
            (place,)
            for place in (series["location"] if "location" in series else [only] * len(series))
        )

    @cached_property
    def spots(self) -> dict[tuple[str, str], tuple[int, int]]:
        """The instance and the node of each SKU at each place."""
        skus = self.placed.series["sku"]
        return {
            (sku, name): (s, n)
            for s, (sku, own) in enumerate(zip(skus, self.places))
            for n, name in enumerate(own)
        }

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Names of the source and the destination of each edge `[S, E]`, empty where an instance
        has no such lane.
        """
        ways = self.ways
        number = [ways.nodes.index(end) for end in ways.destinations]
        destinations = np.array([[own[node] for node in number] for own in self.places], object)
        return ways.text("source"), np.where(ways.there, destinations, "")

    @property
    def nodes(self) -> int:
        return len(self.ways.nodes)

    @property
    def reach(self) -> np.ndarray:
        """What passes each node `[N, N]`: 1 for those that it supplies, on whatever way, itself
        included.
        """
        nodes, ways = list(self.ways.nodes), self.ways
        reach = np.eye(len(nodes))
        for _ in nodes:
            for start, end in zip(ways.sources, ways.destinations):
                if start is not None:
                    reach[nodes.index(start)] = np.maximum(
                        reach[nodes.index(start)], reach[nodes.index(end)]
                    )
        return reach

    @property
    def scale(self) -> np.ndarray:
        """Typical demand a period that passes each node `[S, N]`."""
        own = np.zeros((len(self.placed.demand), self.nodes))
        own[:, list(self.selling)] = self.placed.scale
        return own @ self.reach.T

    @property
    def rate(self) -> np.ndarray:
        """What a unit of the currency of each way is worth in that of the plan `[S, E]`."""
        return self.plan.settings.rates_of(self.ways.text("currency"))

    def _network(self, options: Any) -> Network:
        plan, ways, placed, lead = self.plan, self.ways, self.placed, self.lead
        items = plan.full_items.loc[placed.series["sku"]]
        net = Network(
            instances=len(placed.series), whole_units=options.integer_orders,
            longest_lead_time_periods=lead.longest,
            shelf_life_periods=max(self.lives.longest, 1),
        )  # fmt: skip
        bought, cheapest = self._bought()
        spoils = {}
        if self.lives.longest:
            # What is paid for a unit in any case is left out, since it is sold once. One that is
            # wasted has to be bought and brought once more, so that all of it counts; freight by
            # tiers is never left out.
            spoils = dict(
                shelf_life_periods=self.lives.periods,
                expiry_cost_per_unit=self.costs["cost"] + cheapest,
            )
        scale = self.scale
        inward = np.array(
            [[end == node for end in ways.destinations] for node in ways.nodes]
        )  # [N, E]
        slowest = np.where(inward, lead.mean[:, None], 0.0).max(-1)
        cover = scale * (slowest + 1.0)
        for node, name in enumerate(ways.nodes):
            sells = (
                dict(demand=True, shortage_cost_per_unit=self.costs["shortage"])
                if node in self.selling
                else {}
            )
            net.node(
                name,
                typical_demand_units_per_period=scale[:, node],
                holding_cost_per_unit_period=self.costs["holding"][:, node],
                initial_stock_from_units=0.3 * cover[:, node],
                initial_stock_to_units=1.3 * cover[:, node],
                **sells,
                **spoils,
            )
        if None in ways.sources:
            net.supplier("suppliers")
        share = 1.0 / np.maximum(
            (inward[:, None] & ways.there).sum(-1).T, 1
        )  # [S, N] of what each supplier of a node brings
        packs = {  # of suppliers; own locations send each other single units
            "pack_units": (
                _any(items["pack"].to_numpy(float), 1.0) if options.integer_orders else None
            ),
            "minimum_order_units": _any(items["minimum"].to_numpy(float)),
        }
        rate, tiers = self.rate, _tiers(ways)
        ordered = ways.numbers("fixed_cost") * rate / ways.lines
        for edge, (start, end) in enumerate(zip(ways.sources, ways.destinations)):
            node = ways.nodes.index(end)
            there = ways.there[:, edge]
            net.edge(
                start or "suppliers",
                end,
                name=_edge_name(ways, edge),
                lead_time_periods=lead.mean[:, edge],
                cost_per_unit=bought[:, edge] if bought[:, edge].any() else None,
                cost_per_order=_any(ordered[:, edge]),
                **(packs if start is None else {}),
                order_cycle=None if self.cycles is None else self.cycles[edge],
                initial_pipeline_units_per_period=np.where(
                    there, scale[:, node] * share[:, node], 0.0
                ),
                largest_order_units=4 * scale[:, node] * (lead.mean[:, edge] + 1) + 1,
                **(
                    {}
                    if tiers is None
                    else dict(
                        freight_from_units=(tiers[0] / ways.lines[..., None])[:, edge],
                        freight_rate_per_unit=(tiers[1] * rate[..., None])[:, edge],
                    )
                ),
            )
        return net

    def _bought(self) -> tuple[np.ndarray, np.ndarray]:
        """What a unit costs on each way more than on the cheapest from outside `[S, E]`: what is
        paid in any case decides nothing. And what it costs on that one, besides the cost of the
        item `[S]`."""
        there = self.ways.there
        outside = there & np.array([source is None for source in self.ways.sources])
        cost = self.ways.numbers("unit_cost") * self.rate
        least = np.where(outside, cost, np.inf).min(1, keepdims=True)
        least = np.where(np.isfinite(least), least, 0.0)
        return np.where(outside, cost - least, np.where(there, cost, 0.0)), least[:, 0]

    def known_by(self, begin: int, scored: slice) -> Shop:
        """What people know the instances by that are learned from, and what the shop ordered
        itself.

        Args:
          begin: the period from which on orders are told, the first of the test.
        """
        series, plan = self.placed.series[: self.learned], self.plan
        ends = tuple(names[: self.learned] for names in self.ends)
        skus = tuple(map(str, series["sku"]))
        starts = np.append(self.panel.dates, self.next_date)[begin : scored.stop + 1]
        return Shop(
            skus, tuple(map(str, series["location"])) if "location" in series else (),
            self.panel.dates[scored].astype("datetime64[D]"), currency=plan.settings.currency,
            unit_value=self.costs["cost"][: self.learned],
            ordered=ordered_by_period(plan.receipts, starts, skus, *ends),
            min_max=own_min_max(plan.stock, skus, ends[1]),
        )  # fmt: skip

    # The world

    def numbers(self, options: Any) -> InstanceParams:
        """The numbers of all instances; demand is still to come."""
        law = {} if self.lead.law is None else {"lead_time_law": self.lead.law}
        arrivals = {} if self.lead.shares is None else {"arrival_law": self.lead.shares}
        return self.network.params(options.horizon, options.weights, **law, **arrivals)

    def environment(self, numbers: InstanceParams, options: Any) -> InventoryNetwork:
        topology = self.network.topology()
        if self.lead.shares is not None:
            topology = replace(topology, mechanisms=topology.mechanisms | {"arrivals"})
        lead_times = QuotedLeadTimes() if self.lead.law is None else RandomLeadTimes(topology.edges)
        arrivals = None if self.lead.shares is None else Arrivals(topology.edges)
        demand = TraceReplay(locations=len(self.selling), told=self.placed.told)
        world = World(
            demand, lead_times, options.clock, arrivals, OrderDays() if self.cycles else None
        )
        return InventoryNetwork(topology, world, first_of(numbers), options.history, "network")

    def trace(self, count: int) -> Callable[..., Any]:
        """`trace_until` of the sales of the first instances."""
        demand = np.moveaxis(self.placed.demand[:count], 2, 1)[..., None].astype(np.float32)
        return partial(trace_until, demand, self.placed.covariates[:count])


def unit_costs(
    plan: Plan, placed: Placed, panel: Panel, nodes: Sequence[str]
) -> dict[str, np.ndarray]:
    """Money of each instance: `cost` of a unit `[S]`, `shortage` of one that is not sold `[S]`, and
    `holding` of one at each node for a period `[S, N]`."""
    items = plan.full_items.loc[placed.series["sku"]]
    cost = items["cost"].to_numpy(float)
    own = items["holding_rate"].to_numpy(float)[:, None]
    if "location" in placed.series:  # instances at one location each
        there = (
            plan.locations["holding_rate"]
            .reindex(placed.series["location"])
            .to_numpy(float)[:, None]
        )
    else:
        known = plan.locations["holding_rate"]
        there = (known.reindex(nodes) if len(nodes) > 1 else known[:1]).to_numpy(float)[None]
    rate = np.where(
        np.isnan(own), np.where(np.isnan(there), plan.settings.holding_rate, there), own
    )
    holding = np.broadcast_to(
        cost[:, None] * rate / panel.periods_per_year, (len(cost), len(nodes))
    )
    if not (holding > 0).any():
        raise UserError(
            "stock costs nothing to hold, so that any stock would be right; give items a cost and a"
            " holding_rate"
        )
    return {"cost": cost, "holding": holding, "shortage": items["shortage_cost"].to_numpy(float)}


def wanted_of(plan: Plan, placed: Placed) -> np.ndarray | None:
    """The fill rate that is wanted of each instance `[S]`, NaN for none; None where none is wanted
    of any.
    """
    wanted = plan.full_items.loc[placed.series["sku"], "service"].to_numpy(float)
    return None if np.isnan(wanted).all() else wanted


def _latest_due(plan: Plan, days: float) -> int:
    """Periods until the last open order is due, and one."""
    due = plan.open_orders["due"].dropna()
    if not len(due) or plan.settings.as_of is None:
        return 0
    return int(np.ceil((due.max() - pd.Timestamp(plan.settings.as_of)).days / days)) + 1


def _tiers(ways: Ways) -> tuple[np.ndarray, np.ndarray] | None:
    """Starts and rates of freight tiers `[S, E, B]`; None where no lane has any."""
    starts, rates = ways.table["freight_from"].tolist(), ways.table["freight_rate"].tolist()
    most = max((len(starts[row]) for row in np.unique(ways.lane[ways.there])), default=0)
    if not most:
        return None
    shape = (*ways.lane.shape, most)
    begin, rate = np.broadcast_to(1e9 * np.arange(most), shape).copy(), np.zeros(shape)
    for row in np.unique(ways.lane[ways.there]):
        here, count = ways.lane == row, len(starts[row])
        if count:
            begin[here, :count], rate[here, :count] = starts[row], rates[row]
            rate[here, count:] = rates[row][-1]
    return begin, rate


def _edge_name(ways: Ways, edge: int) -> str:
    start, end = ways.sources[edge], ways.destinations[edge]
    if start is not None:
        return f"{start} to {end}"
    same = [
        other
        for other in range(edge)
        if ways.sources[other] is None and ways.destinations[other] == end
    ]
    return f"supplier {len(same) + 1} to {end}" if same else f"supplier to {end}"


def _any(values: np.ndarray, nothing: float = 0.0) -> np.ndarray | None:
    """The values, or None where none says anything."""
    return None if np.all(values == nothing) else values
