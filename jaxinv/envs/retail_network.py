"""Real sales in a network: several warehouses supply many stores, every SKU an instance of its
own.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import pandas as pd

from jaxinv.data import Panel, TimeSplit
from jaxinv.data.fitted import Preparation
from jaxinv.data.preparation import mean_prices
from jaxinv.demand.exogenous import World
from jaxinv.demand.processes import TraceReplay
from jaxinv.envs.builder import Network
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.held_out import set_aside, with_choice
from jaxinv.envs.placed import Placed, by_sku, prepare_placed
from jaxinv.envs.problem import Problem, check_range, first_of, not_negative
from jaxinv.envs.recorded import check_lengths, trace_until, train_until
from jaxinv.envs.sales_file import SalesFile
from jaxinv.envs.shared import Shared
from jaxinv.envs.shop import Shop
from jaxinv.errors import UserError
from jaxinv.keys import instance_generator

FAVORITA_LEAD_TIMES = (
    (6, 6, 6, 6, 6, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 5, 5),
    (1, 1, 1, 1, 1, 2, 2, 2, 1, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 2),
    (5, 5, 5, 5, 4, 6, 5, 5, 5, 5, 5, 6, 5, 6, 5, 5, 5, 5, 5, 4, 5),
)
"""Weeks from each of three warehouses to each of 21 stores (Alvo et al. 2306.11246, the published
settings).
"""

FAVORITA_PRICES = (6.3, 11.7)
"""Ends of the law of prices (same source)."""

FAVORITA_LINKS = (
    "111011111111110111111",
    "111110111100001111111",
    "111111111110111111111",
)
"""Which stores each warehouse supplies, 1 where it does (same source)."""


@dataclass(frozen=True, kw_only=True)
class RetailNetwork(SalesFile):
    """Warehouses that supply the stores of a sales table; lost sales, profit as the goal.

    The defaults are the three warehouses and 21 Favorita stores of Alvo et al. (2306.11246): links,
    lead times, warehouse holding costs and purchase costs are as published; a store's holding cost
    and the price of each SKU in each store are drawn uniformly from the published ranges with
    `instance_seed`, for the published draws are not public. What they call the edge cost of a
    warehouse is taken as what it pays its supplier for a unit.

    An instance is an SKU, with all its stores; options of the file are those of
    `jaxinv.envs.sales_file.SalesFile`. With `life_cycles` episodes begin once the stores of an SKU
    sell it. What a store never sold is no demand there.

    Attributes:
      links: one word a warehouse, with a 1 for each store that it supplies, and a 0 for others.
      lead_times: periods from each warehouse to each store.
      warehouse_lead_time: periods from the supplier to each warehouse.
      warehouse_holding_costs, purchase_costs: money per unit and period held, and per unit bought,
        of each warehouse.
      store_holding_cost, price: ends of the laws that are drawn from, money per unit; without a
        price given, it is the mean in training of the file's column `price`, and drawn from
        `FAVORITA_PRICES` where there is none.
    """

    links: tuple[str, ...] = FAVORITA_LINKS
    lead_times: tuple[tuple[int, ...], ...] = FAVORITA_LEAD_TIMES
    warehouse_lead_time: int = 3
    warehouse_holding_costs: tuple[float, ...] = (0.3, 0.4, 0.2)
    purchase_costs: tuple[float, ...] = (0.5, 1.5, 0.7)
    store_holding_cost: tuple[float, ...] = (0.7, 1.3)
    price: tuple[float, ...] = ()
    integer_orders: bool = False

    needs: ClassVar[str] = "retail_network needs data=FILE, a table of sales with locations"

    def __post_init__(self):
        super().__post_init__()
        not_negative(self, "warehouse_lead_time", "warehouse_holding_costs", "purchase_costs")
        not_negative(self, "store_holding_cost", "price")
        if self.price:
            check_range("price", self.price)
        check_range("store_holding_cost", self.store_holding_cost)
        warehouses = len(self.links)
        for name in ("lead_times", "warehouse_holding_costs", "purchase_costs"):
            if len(getattr(self, name)) != warehouses:
                raise UserError(
                    f"{warehouses} links but {len(getattr(self, name))} {name}; give one per"
                    " warehouse"
                )
        stores = len(self.links[0]) if self.links else 0
        if any(len(row) != stores or set(row) - {"0", "1"} for row in self.links):
            raise UserError(
                f"links={self.links}: give one 0 or 1 for each store, and a word as long for each"
                " warehouse"
            )
        if any(len(row) != stores for row in self.lead_times):
            raise UserError(
                f"lead_times need one entry for each of {stores} stores and each warehouse"
            )
        for store in range(stores):
            if all(row[store] == "0" for row in self.links):
                raise UserError(
                    f"no warehouse supplies store {store}; give one of the links a 1 there"
                )

    def _fitted(
        self, table: pd.DataFrame, panel: Panel, split: TimeSplit
    ) -> tuple[Panel, Preparation]:
        stores = self._stores(panel)
        prepared = prepare_placed(panel, split, by_sku(panel, stores), self)
        kept = prepared.panel
        grouping, price = by_sku(kept, stores), None
        if "price" in kept.quoted and not self.price:
            quoted = grouping.spread(kept.quoted["price"], np.nan)
            price = mean_prices(quoted[..., split.train])[grouping.instance, grouping.place]
        _, _, held_out = self._drawn(len(grouping.series))
        return kept, Preparation.of(
            table, split, prepared, self._unused(panel),
            places=tuple(stores), price=price, held_out=held_out,
        )  # fmt: skip

    def _drawn(self, skus: int) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
        """What `instance_seed` draws, in its order: the holding cost of each store `[D]`, a price
        for each SKU at each store `[S, D]`, and the numbers of held-out SKUs."""
        draw, stores = instance_generator(self.instance_seed), len(self.links[0])
        holding = draw.uniform(*self.store_holding_cost, stores)
        price = draw.uniform(*(self.price or FAVORITA_PRICES), (skus, stores))
        return holding, price, set_aside(draw, skus, self.validation)

    def _problem(self, panel: Panel, split: TimeSplit, fitted: Preparation) -> Problem:
        stores, warehouses = fitted.places, len(self.links)
        pairs = [
            (w, store)
            for w in range(warehouses)
            for store in range(len(stores))
            if self.links[w][store] == "1"
        ]
        longest = max(self.warehouse_lead_time, *(self.lead_times[w][store] for w, store in pairs))
        warm_up = max(split.warm_up, longest + self.warehouse_lead_time + 4)
        check_lengths(self, panel, split, warm_up)
        grouping = by_sku(panel, stores)
        placed = Placed.of(panel, grouping, fitted, split.train.stop - self.horizon)
        skus = len(placed.demand)
        store_holding, price, _ = self._drawn(skus)
        holding = np.concatenate([self.warehouse_holding_costs, store_holding])
        if fitted.price is not None:  # where a store lacks an SKU, that of the others
            price = mean_prices(grouping.spread(fitted.price, np.nan)[..., None])
        reach = np.eye(warehouses + len(stores))  # [N, N] what each node supplies, itself included
        reach[[w for w, _ in pairs], [warehouses + store for _, store in pairs]] = 1.0
        scale = np.pad(placed.scale, ((0, 0), (warehouses, 0))) @ reach.T  # [S, N]
        ends = [*range(warehouses), *(warehouses + store for _, store in pairs)]
        lead = np.array(
            [self.warehouse_lead_time] * warehouses
            + [self.lead_times[w][store] for w, store in pairs],
            float,
        )
        slowest = np.array([lead[np.asarray(ends) == node].max() for node in range(len(reach))])
        suppliers = np.bincount(ends, minlength=len(reach))  # those of a node share what it needs
        cover = scale * slowest

        net = Network(instances=skus, whole_units=self.integer_orders)
        names = [*(f"warehouse {w}" for w in range(warehouses)), *stores]
        for node, name in enumerate(names):
            sells = (
                dict(demand=True, price_per_unit=price[:, node - warehouses])
                if node >= warehouses
                else {}
            )
            net.node(
                name,
                typical_demand_units_per_period=scale[:, node],
                holding_cost_per_unit_period=holding[node],
                initial_stock_from_units=0.3 * cover[:, node],
                initial_stock_to_units=1.3 * cover[:, node],
                **sells,
            )
        source = "supplier of the warehouses"
        net.supplier(source)
        for edge, end in enumerate(ends):
            bought = edge < warehouses
            net.edge(
                source if bought else names[pairs[edge - warehouses][0]], names[end], name="",
                lead_time_periods=int(lead[edge]),
                cost_per_unit=self.purchase_costs[edge] if bought else None,
                initial_pipeline_units_per_period=scale[:, end] / suppliers[end],
                largest_order_units=4 * scale[:, end] * (lead[edge] + 1),
            )  # fmt: skip
        topology = net.topology()

        demand = np.moveaxis(placed.demand, 2, 1)[..., None].astype(np.float32)
        trace = partial(trace_until, demand, placed.covariates)
        numbers = net.params(self.horizon, self.weights)

        train = partial(train_until, self, numbers, trace, placed.begins)

        def test(scored):
            """One episode over some periods, from the stock that there was a warm-up before."""
            start = scored.start - warm_up
            at_stores = cover[:, warehouses:]
            stock = at_stores if placed.stock is None else placed.stock[..., start]
            stock = np.concatenate(
                [cover[:, :warehouses], np.where(np.isnan(stock), at_stores, stock)], 1
            )
            stock, first = stock[..., None].astype(np.float32), start - self.history
            return numbers.replace(
                initial_low=stock, initial_high=stock, demand=trace(scored.stop, first, first, 0.0)
            )

        training, scored = train(split.train.stop, self.horizon), split.scored("test")
        world = World(TraceReplay(locations=len(stores), told=placed.told), clock=self.clock)
        problem = Problem(
            env=InventoryNetwork(
                topology, world, first_of(training), self.history, "retail_network"
            ),
            train=training,
            test=test(scored),
            instances=skus,
            shared=Shared.of(panel.frequency),
            test_periods=warm_up + scored.stop - scored.start,
            warm_up=warm_up,
            periods_per_year=panel.periods_per_year,
            notes=(*panel.notes, *placed.notes),
            labels=placed.labels,
            dropped=fitted.dropped,
            fingerprint=fitted.fingerprint,
            held_out=fitted.held_out,
            preparation=fitted,
            shop=Shop(placed.labels, dates=panel.dates[scored].astype("datetime64[D]")),
        )
        return with_choice(problem, self, panel, split.train.stop, placed.begins, train, test)

    def _unused(self, panel: Panel) -> list[str]:
        """What is told of columns that options take the place of."""
        notes = []
        if "lead_time" in panel.quoted:
            notes.append(
                "the column lead_time is not used: lead_times says what each way from a warehouse"
                " to a store takes"
            )
        if self.price and "price" in panel.quoted:
            notes.append(
                "price was given: the file's own prices are only a covariate; leave price out to"
                " take them"
            )
        return notes

    def _stores(self, panel: Panel) -> list[str]:
        """The names of the stores in the order of `links`: that of their lengths, then of the
        alphabet.
        """
        if "location" not in panel.series:
            raise UserError(
                "retail_network needs a table with a column location: which store sold what"
            )
        stores = sorted(
            map(str, panel.series["location"].unique()), key=lambda name: (len(name), name)
        )
        if len(stores) != len(self.links[0]):
            warehouses = len(self.links)
            links = ",".join(["1" * len(stores)] * warehouses)
            lead_times = ",".join([f"[{','.join('2' * len(stores))}]"] * warehouses)
            raise UserError(
                f"the table has {len(stores)} locations"
                f" ({', '.join(stores[:5])}{' …' if len(stores) > 5 else ''}), and links name"
                f" {len(self.links[0])} stores; give each warehouse a 0 or 1 and a lead time for"
                f" each of them, such as links={links} 'lead_times=[{lead_times}]' (and"
                " warehouse_holding_costs and purchase_costs of each warehouse)"
            )
        return stores
