"""Named instances of the one network. Each preset is a topology and parameters, never an
environment of its own.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from jaxinv.demand.arrivals import check_shares
from jaxinv.demand.exogenous import RandomLeadTimes, RandomLeadTimesParams
from jaxinv.demand.laws import Law
from jaxinv.demand.processes import TraceParams, TraceReplay
from jaxinv.envs.builder import Network
from jaxinv.envs.problem import Preset, Problem, mass_function, not_negative, positive
from jaxinv.errors import UserError


@dataclass(frozen=True, kw_only=True)
class SingleStore(Preset):
    """One store and its supplier: the standard lost-sales or backlog model.

    The order placed in period t is available for demand in period t + lead_time.

    Attributes:
      lead_time: periods.
      lead_time_pmf: probabilities of a lead time of 0, 1, 2, … periods, drawn for every order;
        empty: `lead_time`.
      arrival_shares: shares of an order that may arrive, such as 0,1 where orders get lost or 0.5,1
        where a half of one may come; empty: all of it. arrival_pmf: the probability of each.
      holding_cost, shortage_cost: money per unit and period on hand, and per unit lost (or owed,
        and period).
      fixed_cost: money per order. unit_cost: money per unit ordered. loss_cost: money per unit that
        does not arrive.
      ends: after its horizon an episode is over for good, as a season is: what is left is worth
        nothing, and policies are judged on whole episodes. Otherwise the store goes on for ever.
      demand: law, see `jaxinv.demand.laws.Law`, or a law with numbers of its own, such as
        "moving_poisson(5, trend=0.01)"; so has every preset that draws its demand from a law.
      mean, deviation, dispersion, persistence, amplitude, period, low, high, variation: numbers of
        the law, of which each law reads its own (`jaxinv.demand.laws.NUMBERS`).
    """

    lead_time: int = 4
    lead_time_pmf: tuple[float, ...] = ()
    arrival_shares: tuple[float, ...] = ()
    arrival_pmf: tuple[float, ...] = ()
    holding_cost: float = 1.0
    shortage_cost: float = 4.0
    fixed_cost: float = 0.0
    unit_cost: float = 0.0
    loss_cost: float = 0.0
    ends: bool = False
    demand: str = "poisson"
    mean: float = 5.0
    deviation: float = 1.6
    dispersion: float = 2.0
    persistence: float = 0.6
    amplitude: float = 0.2
    period: float = 7.0
    low: int = 0
    high: int = 4
    variation: float = 0.5

    backlog = False
    shelf_life = 1
    issuing = "oldest"
    name = "lost_sales"

    def __post_init__(self):
        super().__post_init__()
        not_negative(
            self,
            "lead_time",
            "holding_cost",
            "shortage_cost",
            "fixed_cost",
            "unit_cost",
            "loss_cost",
        )
        if self.lead_time_pmf and len(self.lead_time_pmf) < 2:
            raise UserError(
                "lead_time_pmf needs the probabilities of at least lead times 0 and 1; or give"
                " lead_time"
            )
        if self.arrival_shares or self.arrival_pmf:
            check_shares(self.arrival_shares, self.arrival_pmf, "arrival_shares and arrival_pmf")
        elif self.loss_cost:
            raise UserError(
                "loss_cost needs arrival_shares and arrival_pmf: all of an order arrives without"
            )

    def demand_process(self):
        """The process of demand, its parameters, and its mean a period."""
        law = law_of(self)
        return *law.process(before=self.history), law.average

    def lead_time_law(self) -> tuple[RandomLeadTimesParams | None, float]:
        """The law of random lead times, None where they are fixed, and the lead time that is
        quoted.
        """
        if not self.lead_time_pmf:
            return None, float(self.lead_time)
        mass = mass_function("lead_time_pmf", self.lead_time_pmf)
        return fixed_regime(np.cumsum(mass)[:-1, None]), float(mass @ np.arange(len(mass)))

    def build(self) -> Problem:
        process, demand, average = self.demand_process()
        lead_law, lead_time = self.lead_time_law()
        net = Network(
            backlog=self.backlog, whole_units=self.integer_orders,
            shelf_life_periods=self.shelf_life, issuing=self.issuing,
            longest_lead_time_periods=lead_law.cdf.shape[1] if lead_law else None,
        )  # fmt: skip
        net.supplier("supplier")
        net.node(
            "store", demand=True, typical_demand_units_per_period=average,
            holding_cost_per_unit_period=self.holding_cost,
            shortage_cost_per_unit=self.shortage_cost, **self.node_numbers(),
        )  # fmt: skip
        net.edge(
            "supplier", "store", lead_time_periods=lead_time,
            cost_per_order=self.fixed_cost or None,
            cost_per_unit=self.unit_cost or None, loss_cost_per_unit=self.loss_cost or None,
            arrival_shares=dict(zip(self.arrival_shares, self.arrival_pmf)) or None,
            **self.edge_numbers(),
        )  # fmt: skip
        lead_times = (RandomLeadTimes(1, lead_law.cdf.shape[0]), lead_law) if lead_law else None
        span = dict(test_periods=self.horizon, warm_up=0, ends=True) if self.ends else {}
        return net.problem(
            self, demand=(process, demand), lead_times=lead_times, name=self.name, **span
        )

    def node_numbers(self) -> dict[str, Any]:
        """Numbers of the store that only this kind has."""
        return {}

    def edge_numbers(self) -> dict[str, Any]:
        """Numbers of its supply that only this kind has."""
        return {}


@dataclass(frozen=True, kw_only=True)
class LostSales(SingleStore):
    __doc__ = SingleStore.__doc__


@dataclass(frozen=True, kw_only=True)
class Backlog(SingleStore):
    __doc__ = SingleStore.__doc__
    backlog = True
    name = "backlog"


@dataclass(frozen=True, kw_only=True)
class Perishable(SingleStore):
    """One store whose goods expire, with lost sales (De Moor et al. 2022).

    The defaults are experiment 1 with a shelf life of 2 in Farrington et al. 2025, scenario A; its
    eight experiments are the combinations of lead_time 1 or 2, issuing and expiry_cost 7 or 10.

    Attributes:
      shelf_life: periods in which a unit can be sold, the one it arrives in included; at least 2.
      issuing: which units are sold first, "oldest" (FIFO) or "freshest" (LIFO).
      expiry_cost: money per unit that expires. Such a unit is not held into the next period and
        costs this instead of `holding_cost`; as the network charges holding before goods age, its
        own expiry cost is the difference.
      max_order: units; upper end of the action space.
      lead_time, holding_cost, shortage_cost, unit_cost, demand, …: see `SingleStore`.
    """

    lead_time: int = 1
    shortage_cost: float = 5.0
    unit_cost: float = 3.0
    demand: str = "gamma"
    mean: float = 4.0
    shelf_life: int = 2
    issuing: str = "freshest"
    expiry_cost: float = 7.0
    max_order: float = 10.0

    name = "perishable"
    largest_order_given = True

    def __post_init__(self):
        super().__post_init__()
        not_negative(self, "expiry_cost")
        positive(self, "max_order")
        if self.shelf_life < 2:
            raise UserError(
                f"shelf_life={self.shelf_life} must be at least 2; goods of one period are a"
                " newsvendor's"
            )

    def node_numbers(self):
        return {"expiry_cost_per_unit": self.expiry_cost - self.holding_cost}

    def edge_numbers(self):
        return {"largest_order_units": self.max_order}


@dataclass(frozen=True, kw_only=True)
class DualSourcing(Preset):
    """One store with a cheap slow supplier and a dear fast one, backlog (Veeraraghavan &
    Scheller-Wolf 2008).

    The defaults are the instances of Gijsbrechts et al. 2022, figure 9: demand uniform on 0 .. 4.

    Attributes:
      regular_lead_time, expedited_lead_time: periods; the fast supplier's is the shorter.
      regular_cost, expedited_cost: money per unit bought from the slow and from the fast supplier.
      holding_cost, shortage_cost: money per unit and period on hand, and owed to customers.
      demand: law, see `jaxinv.demand.laws.Law`. mean, low, high: its numbers.
    """

    regular_lead_time: int = 2
    expedited_lead_time: int = 0
    regular_cost: float = 100.0
    expedited_cost: float = 105.0
    holding_cost: float = 5.0
    shortage_cost: float = 495.0
    demand: str = "uniform"
    mean: float = 2.0
    low: int = 0
    high: int = 4

    def __post_init__(self):
        super().__post_init__()
        not_negative(
            self, "regular_lead_time", "expedited_lead_time", "regular_cost", "expedited_cost"
        )
        not_negative(self, "holding_cost", "shortage_cost")
        if self.expedited_lead_time >= self.regular_lead_time:
            raise UserError(
                f"expedited_lead_time={self.expedited_lead_time} must be below"
                f" regular_lead_time={self.regular_lead_time}"
            )

    def build(self) -> Problem:
        law = law_of(self)
        net = Network(backlog=True, whole_units=self.integer_orders)
        net.node(
            "store", demand=True, typical_demand_units_per_period=law.average,
            holding_cost_per_unit_period=self.holding_cost,
            shortage_cost_per_unit=self.shortage_cost,
        )  # fmt: skip
        for name in ("expedited", "regular"):
            net.supplier(name)
            lead_time, cost = getattr(self, f"{name}_lead_time"), getattr(self, f"{name}_cost")
            net.edge(name, "store", name=name, lead_time_periods=lead_time, cost_per_unit=cost)
        return net.problem(self, demand=law.process(before=self.history), name="dual_sourcing")


@dataclass(frozen=True, kw_only=True)
class Serial(Preset):
    """A chain of stages with backlog at the last one, the network of Clark & Scarf (1960).

    Stage 0 buys from the supplier; the last stage faces demand. The defaults are those of Alvo et
    al. (2306.11246); the options of `BEER_GAME` make it the beer game.

    Attributes:
      lead_times: periods from the stage before, one per stage.
      order_delays: periods that an order of each stage travels before the stage before can ship it;
        empty: none.
      holding_costs: money per unit and period at each stage.
      transit_holding: units in transit to a stage cost what they cost at the stage they left, so
        that the classical echelon accounting holds.
      shortage_cost: money per unit and period owed to customers.
      internal_backlog: what a stage cannot ship to the next it owes; otherwise the order is cut to
        what is there.
      internal_shortage_cost: money per unit and period that a stage owes to the next.
      demand: law, see `jaxinv.demand.laws.Law`. deviation: its standard deviation.
      demand_path: demand of each period, the last one going on and the first one before; empty:
        drawn from `demand`.
      mean: typical demand; also what is under way to each stage, a period, at reset.
      initial_stock: units on hand at each stage at reset, the first arrivals included; empty: drawn
        at random.
    """

    lead_times: tuple[int, ...] = (4, 2, 3, 4)
    order_delays: tuple[int, ...] = ()
    holding_costs: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0)
    transit_holding: bool = True
    shortage_cost: float = 9.0
    internal_backlog: bool = False
    internal_shortage_cost: float = 0.0
    demand: str = "normal"
    mean: float = 5.0
    deviation: float = 2.0
    demand_path: tuple[float, ...] = ()
    initial_stock: tuple[float, ...] = ()
    integer_orders: bool = False

    def __post_init__(self):
        super().__post_init__()
        not_negative(self, "lead_times", "holding_costs", "shortage_cost", "internal_shortage_cost")
        not_negative(self, "demand_path", "initial_stock")
        stages = len(self.lead_times)
        for name in ("holding_costs", "order_delays", "initial_stock"):
            given = len(getattr(self, name))
            if given != stages and (given or name == "holding_costs"):
                raise UserError(f"{stages} lead_times but {given} {name}; give one per stage")
        if self.internal_shortage_cost and not self.internal_backlog:
            raise UserError(
                "internal_shortage_cost needs internal_backlog=true: there are no backorders"
                " between stages without"
            )

    def build(self) -> Problem:
        stages = [f"stage {stage}" for stage in range(len(self.lead_times))]
        net = Network(
            backlog=True, internal_backlog=self.internal_backlog, whole_units=self.integer_orders,
            order_memory_periods=max(self.order_delays) + self.history if self.order_delays else 0,
        )  # fmt: skip
        net.supplier("supplier")
        typical = self.law.average if "(" in self.demand else self.mean
        for number, (name, source) in enumerate(zip(stages, ["supplier", *stages])):
            last = number == len(stages) - 1
            net.node(
                name, demand=last or None, typical_demand_units_per_period=typical,
                holding_cost_per_unit_period=self.holding_costs[number],
                shortage_cost_per_unit=self.shortage_cost if last else self.internal_shortage_cost,
                initial_stock_units=self.initial_stock[number] if self.initial_stock else None,
            )  # fmt: skip
            left = self.holding_costs[number - 1] if number else 0.0
            net.edge(
                source, name, name="", lead_time_periods=self.lead_times[number],
                order_delay_periods=self.order_delays[number] if self.order_delays else None,
                transit_cost_per_unit_period=left if self.transit_holding else None,
            )  # fmt: skip
        given = self.demand_path or self.initial_stock  # a game from a given start
        span = (
            dict(test_periods=self.horizon, warm_up=0)
            if given
            else dict(test_periods=1000, warm_up=200)
        )
        return net.problem(self, demand=self.demand_process(), name="serial", **span)

    @property
    def law(self) -> Law:
        return law_of(self)

    def demand_process(self):
        """The process of customer demand and its parameters."""
        if not self.demand_path:
            return self.law.process(before=self.history)
        path = np.asarray(
            (self.demand_path[0],) * self.history + tuple(self.demand_path), np.float32
        )
        start = np.int32(0)
        return TraceReplay(goes_on=True), TraceParams(
            path[:, None, None], np.zeros((len(path), 0), np.float32), start, start
        )


BEER_GAME = dict(
    lead_times=(2, 2, 2, 2),
    order_delays=(0, 1, 1, 1),
    holding_costs=(0.5, 0.5, 0.5, 0.5),
    transit_holding=False,
    shortage_cost=1.0,
    internal_backlog=True,
    internal_shortage_cost=1.0,
    mean=4.0,
    demand_path=(4.0, 4.0, 4.0, 4.0, 8.0),
    initial_stock=(16.0, 16.0, 16.0, 16.0),
    integer_orders=True,
    horizon=36,
)
"""Options of `Serial` that make it the beer game (Sterman 1989): factory, distributor, wholesaler
and retailer.

Twelve units on hand, and four more in each week of the two that shipments take and the one that
orders take; the factory starts its own orders at once. On hand are 16 at reset because the first
four have arrived. Demand steps from 4 to 8 in the fifth of 36 weeks.
"""


def law_of(preset: Preset) -> Law:
    """The demand law of a preset: by name with the numbers of a `Law` that are options of the
    preset, or written with numbers of its own.

    Raises:
      UserError: where it has numbers of its own, and an option is given besides.
    """
    known = {field.name for field in fields(Law)} - {"name"}
    options = [field for field in fields(preset) if field.name in known]
    if "(" in preset.demand:
        for field in options:
            if getattr(preset, field.name) != field.default:
                raise UserError(
                    f"demand={preset.demand} has its own numbers, and"
                    f" {field.name}={getattr(preset, field.name)} would have no effect; give one of"
                    " the two"
                )
    return Law.of(preset.demand, **{field.name: getattr(preset, field.name) for field in options})


def fixed_regime(cdf: np.ndarray) -> RandomLeadTimesParams:
    """A lead-time law with one regime from the distribution functions `[..., L, E]` at 0 .. L-1;
    leading axes are instances.
    """
    cdf = np.asarray(cdf, np.float32)
    instances = cdf.shape[:-2]
    return RandomLeadTimesParams(
        cdf[..., None, :, :], np.zeros(instances, np.float32), np.ones(instances, np.float32)
    )
