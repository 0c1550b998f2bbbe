"""One warehouse that supplies many stores, and the published instances of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxinv.demand.laws import Law, independent
from jaxinv.demand.processes import Normal, NormalParams
from jaxinv.envs.builder import Network
from jaxinv.envs.problem import Preset, Problem, not_negative, positive
from jaxinv.errors import UserError
from jaxinv.keys import instance_generator
from jaxinv.limits import check_memory


@dataclass(frozen=True, kw_only=True)
class OneWarehouseManyStores(Preset):
    """One warehouse that supplies many stores.

    By default stores have correlated normal demand and lost sales, and what is not given is drawn
    once from `instance_seed`, as in Alvo et al. (2306.11246): store means uniform on 2.5 .. 7.5,
    coefficients of variation on .25 .. .5, holding costs on .7 .. 1.3, shortage costs on 6.3 ..
    11.7 and lead times on {2, 3}. The options of `KAYNOV` make it the instances of Kaynov et al.
    (2024).

    An option for every store has one entry per store, or one for all.

    Attributes:
      stores: number of stores.
      backlog: stores owe what they lack; otherwise the sale is lost.
      rationing: how the warehouse shares what falls short, see `jaxinv.envs.topology.Topology`.
      demand: law of each store, independent of the others, such as ["poisson(3)", "uniform(0, 6)"];
        see `jaxinv.demand.laws.NUMBERS`. Empty: the drawn normal laws.
      correlation: between the normal demands of any two stores.
      warehouse_lead_time, store_lead_times: periods; stores empty: drawn.
      warehouse_holding_cost, store_holding_costs: money per unit and period; stores empty: drawn.
      store_shortage_costs: money per unit lost (or owed, and period); empty: drawn.
      initial_stock: units on hand at reset at the warehouse and at each store, the first arrivals
        included; what is under way is then one period's mean demand in each period of the lead
        time. Such an instance is a game of `horizon` periods, whose costs count from the first.
        Empty: drawn at random.
      instance_seed: of what is drawn.
    """

    stores: int = 10
    backlog: bool = False
    rationing: str = "proportional"
    demand: tuple[str, ...] = ()
    correlation: float = 0.5
    warehouse_lead_time: int = 3
    store_lead_times: tuple[int, ...] = ()
    warehouse_holding_cost: float = 0.3
    store_holding_costs: tuple[float, ...] = ()
    store_shortage_costs: tuple[float, ...] = ()
    initial_stock: tuple[float, ...] = ()
    instance_seed: int = 0
    integer_orders: bool = False

    def __post_init__(self):
        super().__post_init__()
        positive(self, "stores")
        check_memory(16 * self.stores**2, f"a network of {self.stores:,} stores", "stores")
        not_negative(self, "warehouse_lead_time", "warehouse_holding_cost", "initial_stock")
        not_negative(self, "store_lead_times", "store_holding_costs", "store_shortage_costs")
        for name in ("demand", "store_lead_times", "store_holding_costs", "store_shortage_costs"):
            given = len(getattr(self, name))
            if given not in (0, 1, self.stores):
                raise UserError(
                    f"{given} {name} for {self.stores} stores; give one per store, or one for all"
                )
        given = len(self.initial_stock)
        if given not in (0, 1 + self.stores):
            raise UserError(
                f"initial_stock has {given} entries; give the warehouse's and those of"
                f" {self.stores} stores"
            )
        if not 0 <= self.correlation < 1:
            raise UserError(f"correlation={self.correlation} must lie in 0..1, 1 excluded")

    def build(self) -> Problem:
        draw = instance_generator(self.instance_seed)
        mean = draw.uniform(2.5, 7.5, self.stores)
        deviation = mean * draw.uniform(0.25, 0.5, self.stores)
        holding = self._of_stores(self.store_holding_costs, draw.uniform(0.7, 1.3, self.stores))
        shortage = self._of_stores(self.store_shortage_costs, draw.uniform(6.3, 11.7, self.stores))
        store_lead_times = self._of_stores(self.store_lead_times, draw.integers(2, 4, self.stores))
        if self.demand:
            laws = [Law.parse(text) for text in self._of_stores(self.demand, ())]
            mean = np.asarray([law.average for law in laws])
            process, demand = independent(laws, self.history)
        else:
            process = Normal(locations=self.stores, correlated=self.correlation > 0)
            numbers = (np.asarray(value[:, None], np.float32) for value in (mean, deviation))
            demand = NormalParams(*numbers, np.float32(self.correlation))
        net = Network(
            backlog=self.backlog, rationing=self.rationing, whole_units=self.integer_orders
        )
        net.supplier("supplier")
        stock = self.initial_stock or [None] * (1 + self.stores)
        net.node(
            "warehouse", typical_demand_units_per_period=mean.sum(),
            holding_cost_per_unit_period=self.warehouse_holding_cost,
            initial_stock_units=stock[0],
        )  # fmt: skip
        net.edge("supplier", "warehouse", name="", lead_time_periods=self.warehouse_lead_time)
        for store in range(self.stores):
            net.node(
                f"store {store}", demand=True, typical_demand_units_per_period=mean[store],
                holding_cost_per_unit_period=holding[store], shortage_cost_per_unit=shortage[store],
                initial_stock_units=stock[1 + store],
            )  # fmt: skip
            net.edge(
                "warehouse",
                f"store {store}",
                name="",
                lead_time_periods=int(store_lead_times[store]),
            )
        span = (
            dict(test_periods=self.horizon, warm_up=0)
            if self.initial_stock
            else dict(test_periods=500, warm_up=100)
        )
        return net.problem(self, demand=(process, demand), name="one_warehouse_many_stores", **span)

    def _of_stores(self, given: tuple, drawn: Any) -> Any:
        """An option for every store: what was given, or what was drawn."""
        return given * self.stores if len(given) == 1 else given if given else drawn


def _kaynov(
    backlog: bool, warehouse_lead_time: int, store_lead_times: tuple[int, ...], *demand: str
) -> dict[str, Any]:
    means = [Law.parse(law).average for law in demand]
    return dict(
        stores=len(demand),
        backlog=backlog,
        demand=demand,
        warehouse_lead_time=warehouse_lead_time,
        store_lead_times=store_lead_times,
        warehouse_holding_cost=0.5,
        store_holding_costs=(1.0,),
        store_shortage_costs=(9.0,),
        initial_stock=tuple(2.0 * round(mean) for mean in (sum(means), *means)),
        integer_orders=True,
        horizon=100,
    )


_ALIKE = ("poisson(3)",) * 3
_UNLIKE = ("rounded_normal(1, 5)", "rounded_normal(5, 1)", "poisson(0.5)")

KAYNOV = {
    1: _kaynov(True, 2, (1, 1, 1), *_ALIKE),
    2: _kaynov(True, 2, (1, 1, 1), "uniform(0, 6)", "rounded_normal(3, 1)", "poisson(3)"),
    3: _kaynov(True, 2, (1, 1, 1), *_UNLIKE),
    4: _kaynov(True, 2, (1, 2, 3), *_ALIKE),
    5: _kaynov(True, 5, (3, 3, 3), *_UNLIKE),
    6: _kaynov(False, 1, (1, 1, 1), *_ALIKE),
    7: _kaynov(False, 2, (1, 1, 1), *_ALIKE),
    8: _kaynov(False, 5, (1, 1, 1), *_ALIKE),
    9: _kaynov(False, 2, (1, 2, 3), *_ALIKE),
    10: _kaynov(False, 5, (3, 3, 3), *_UNLIKE),
}
"""Options of `OneWarehouseManyStores` for rows 1 to 10 of table A.3 in Kaynov et al. (2024).

The text does not say where an episode starts. Here every node has one period's mean demand,
rounded, on hand and in each period of its lead time, the convention of others who reproduce the
table; on hand is twice that because the first of it has arrived. Their min-shortage allocation is
rationing="equal_shortage". Rows 11 to 14 (partial backorders with emergency shipments) are not
here: no source settles what they do.
"""
