"""Real sales: every series of a sales table is an instance, replayed week by week or day by day."""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import pandas as pd

from jaxinv.data import Panel, TimeSplit
from jaxinv.data.covariates import known_covariates
from jaxinv.data.fits import SCMS_LEAD_TIMES
from jaxinv.data.fitted import Preparation
from jaxinv.data.preparation import mean_prices, prepare, series_names
from jaxinv.demand.exogenous import QuotedLeadTimes, RandomLeadTimes, World
from jaxinv.demand.processes import TraceReplay
from jaxinv.demand.quantiles import lognormal_mass
from jaxinv.envs.builder import Network
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.held_out import set_aside, with_choice
from jaxinv.envs.presets import fixed_regime
from jaxinv.envs.problem import Problem, check_range, first_of, not_negative, positive
from jaxinv.envs.recorded import check_lengths, trace_until, train_until
from jaxinv.envs.sales_file import SalesFile
from jaxinv.envs.shared import Shared
from jaxinv.envs.shop import Shop
from jaxinv.errors import UserError, unknown
from jaxinv.keys import instance_generator

LEAD_TIME_LAWS = {
    "fixed": 0.0,
    "air": SCMS_LEAD_TIMES.air.lognormal_cv,
    "ocean": SCMS_LEAD_TIMES.ocean.lognormal_cv,
}
"""Coefficient of variation of each lead-time law."""

DEFAULT_LEAD_TIME = 3


@dataclass(frozen=True, kw_only=True)
class Retail(SalesFile):
    """A store that replenishes each series of a sales table from a supplier; lost sales.

    Sales are demand from the first on, but where a column `stock` says that there was none: there
    demand is estimated (`jaxinv.data.censoring`). By default costs are per unit of a series' own
    mean sales in training, so that every series weighs the same: holding its mean demand for a
    period costs `holding_cost`. The policy is trained on the periods before the split and judged on
    those after it. The options of `FAVORITA` make it the one store with profits of Alvo et al.
    (2306.11246).

    An instance is a series; options of the file are those of `jaxinv.envs.sales_file.SalesFile`.

    Attributes:
      lead_time: periods; null for those of the file's column `lead_time`, or 3 without one. Where
        the column's change within a series, each of its orders takes one of them at random, as
        often as they stand in training.
      lead_time_spread: adds 0 .. spread periods to that, another number for each series.
      lead_time_law: "fixed", or "air" or "ocean": then every order takes a random time with mean
        `lead_time` and the spread fitted to real shipments by that mode (see
        `jaxinv.envs.cross_border`), at most 2.5 times the mean.
      holding_cost, shortage_cost: per mean demand and period held, per mean demand lost.
      profit: whether a sale earns the price of its series; one that is lost then costs nothing
        beside that.
      price: the ends of a uniform law that each series' price is drawn from, which makes it a
        matter of `profit`; empty for the mean in training of the file's column `price`.
      relative_costs: whether costs and prices are per mean demand of a series; otherwise they are
        per unit of goods, and costs are multiplied by the file's prices where it has them and
        nothing is earned.
      min_active: share of its training periods, from its first sale on, in which a series must have
        sold.
    """

    lead_time: int | None = None
    lead_time_spread: int = 0
    lead_time_law: str = "fixed"
    holding_cost: float = 1.0
    shortage_cost: float = 4.0
    profit: bool = False
    price: tuple[float, ...] = ()
    relative_costs: bool = True
    min_active: float = 0.5

    needs: ClassVar[str] = "retail needs data=FILE, a table of sales"

    def __post_init__(self):
        super().__post_init__()
        not_negative(self, "lead_time_spread", "price")
        if self.lead_time is not None:
            not_negative(self, "lead_time")
        if self.price:
            check_range("price", self.price)
        positive(self, "holding_cost", "shortage_cost")
        if self.lead_time_law not in LEAD_TIME_LAWS:
            raise unknown("lead_time_law", self.lead_time_law, LEAD_TIME_LAWS)
        if self.lead_time_law != "fixed" and (self.lead_time_spread or self.lead_time == 0):
            raise UserError(
                "a random lead_time_law needs lead_time of at least 1 and lead_time_spread=0"
            )

    def _fitted(
        self, table: pd.DataFrame, panel: Panel, split: TimeSplit
    ) -> tuple[Panel, Preparation]:
        prepared = prepare(
            panel, split, horizon=self.horizon, min_active=self.min_active,
            max_series=self.max_series or None,
            seed=self.instance_seed, life_cycles=self.life_cycles,
        )  # fmt: skip
        panel, draw = prepared.panel, instance_generator(self.instance_seed)
        lead, mass, longest, told = self._lead_times(panel, split.train, draw)
        held_out = set_aside(draw, len(lead), self.validation)
        price, priced = self._prices(panel, split.train, draw)
        return panel, Preparation.of(
            table, split, prepared, (*told, *priced),
            lead_time=lead, lead_time_mass=mass, longest=longest, price=price, held_out=held_out,
        )  # fmt: skip

    def _problem(self, panel: Panel, split: TimeSplit, fitted: Preparation) -> Problem:
        scale, lead, longest, price = fitted.scale, fitted.lead_time, fitted.longest, fitted.price
        series, mass = len(scale), fitted.lead_time_mass
        law = None if mass is None else fixed_regime(np.cumsum(mass, 1)[:, :-1, None])
        profit = bool(self.price) or (self.profit and price is not None)
        warm_up = max(split.warm_up, longest + 4)
        check_lengths(self, panel, split, warm_up)
        unit = scale if self.relative_costs else np.ones(series)
        worth = (
            price / unit
            if price is not None and not profit and not self.relative_costs
            else 1 / unit
        )
        quoted = bool(self.lead_time_spread or lead.min() < lead.max())
        told, covariates = known_covariates(panel, fitted.covariates)

        trace = partial(trace_until, panel.sales[:, :, None, None], covariates)
        cover = scale * (lead + 1)
        drawn = longest if law or quoted else None
        net = Network(
            instances=series, whole_units=self.integer_orders, longest_lead_time_periods=drawn
        )
        net.supplier("supplier")
        net.node(
            "store", demand=True, typical_demand_units_per_period=scale,
            holding_cost_per_unit_period=self.holding_cost * worth,
            shortage_cost_per_unit=(0.0 if profit else self.shortage_cost) * worth,
            price_per_unit=price / unit if profit else None,
            initial_stock_from_units=0.3 * cover, initial_stock_to_units=1.3 * cover,
        )  # fmt: skip
        net.edge(
            "supplier",
            "store",
            lead_time_periods=lead,
            initial_pipeline_units_per_period=scale,
            largest_order_units=4 * cover,
        )
        topology = net.topology()
        numbers = net.params(self.horizon, self.weights, lead_time_law=law)

        train = partial(train_until, self, numbers, trace, fitted.begins)

        def test(scored):
            """One episode over some periods, from the stock that there was a warm-up before."""
            start = scored.start - warm_up
            stock = cover if panel.stock is None else panel.stock[:, start]
            stock = np.asarray(np.where(np.isnan(stock), cover, stock), np.float32)[:, None, None]
            first = start - self.history
            return numbers.replace(
                initial_low=stock, initial_high=stock, demand=trace(scored.stop, first, first, 0.0)
            )

        training, scored = train(split.train.stop, self.horizon), split.scored("test")
        lead_times = RandomLeadTimes(edges=1) if law else QuotedLeadTimes() if quoted else None
        world = World(TraceReplay(told=told), lead_times, self.clock)
        problem = Problem(
            env=InventoryNetwork(topology, world, first_of(training), self.history, "retail"),
            train=training,
            test=test(scored),
            instances=series,
            shared=Shared.of_series(panel.frequency, panel.series),
            test_periods=warm_up + scored.stop - scored.start,
            warm_up=warm_up,
            periods_per_year=panel.periods_per_year,
            notes=(*panel.notes, *fitted.notes),
            labels=tuple(series_names(panel.series)),
            held_out=fitted.held_out,
            dropped=fitted.dropped,
            fingerprint=fitted.fingerprint,
            preparation=fitted,
            shop=self._shop(panel, scored, None if self.price else price),
        )
        return with_choice(problem, self, panel, split.train.stop, fitted.begins, train, test)

    def _shop(self, panel: Panel, scored: slice, price: np.ndarray | None) -> Shop:
        """What a report calls the series; `price` of each `[S]`, if the file has one."""
        places = tuple(map(str, panel.series["location"])) if "location" in panel.series else ()
        return Shop(
            tuple(map(str, panel.series["sku"])), places,
            panel.dates[scored].astype("datetime64[D]"),
            money=not self.relative_costs, unit_value=price, valued_at="selling price",
        )  # fmt: skip

    def _lead_times(self, panel: Panel, train: slice, draw: np.random.Generator):
        """Mean lead time of each series `[S]`, the mass of each `[S, L + 1]` or None, L, and notes
        on where they come from.
        """
        series, column = len(panel.sales), panel.quoted.get("lead_time")
        variation, notes = LEAD_TIME_LAWS[self.lead_time_law], []
        if self.lead_time is not None or column is None:
            lead = DEFAULT_LEAD_TIME if self.lead_time is None else self.lead_time
            lead = lead + draw.integers(0, self.lead_time_spread + 1, series)
            longest = (
                int(lead.max())
                if not self.lead_time_spread
                else int(lead.min()) + self.lead_time_spread
            )
            if column is not None:
                notes.append(
                    f"lead_time={self.lead_time} was given: the column lead_time is not used;"
                    " lead_time=null takes it"
                )
            observed = lead[:, None]
        else:
            if self.lead_time_spread:
                raise UserError(
                    "lead_time_spread draws lead times, and the file has a column lead_time; give"
                    " lead_time too, or neither"
                )
            observed = np.ceil(column[:, train])
            missing = np.isnan(observed).all(1)
            observed[missing] = DEFAULT_LEAD_TIME
            if missing.any():
                notes.append(
                    f"{missing.sum()} series have no lead_time in training: {DEFAULT_LEAD_TIME} is"
                    " taken"
                )
            lead = np.nanmean(observed, 1)
            longest = int(np.nanmax(observed))
        if variation:
            if lead.min() < 1:
                raise UserError(
                    f"lead_time_law={self.lead_time_law} needs lead times of at least 1; give"
                    " lead_time=1 or more"
                )
            longest = math.ceil(2.5 * lead.max())
            mass = np.stack([lognormal_mass(mean, variation, longest) for mean in np.unique(lead)])
            mass = mass[np.unique(lead, return_inverse=True)[1]]
        elif (np.nanmin(observed, 1) < np.nanmax(observed, 1)).any():
            mass = np.stack([(observed == periods).sum(1) for periods in range(longest + 1)], 1)
            mass = mass / mass.sum(1, keepdims=True)
        else:
            return lead, None, longest, notes
        return lead, mass, longest, notes

    def _prices(self, panel: Panel, train: slice, draw: np.random.Generator):
        """Price of each series `[S]` or None, and notes on where it comes from."""
        column = panel.quoted.get("price")
        if self.price:
            given = (
                "price was given: the file's own prices are only a covariate; profit=true without"
                " it takes them"
            )
            return draw.uniform(*self.price, len(panel.sales)), (
                [given] if column is not None else []
            )
        if column is None:
            if self.profit:
                raise UserError(
                    "profit=true needs a column price in the file, or price=LOW,HIGH to draw from"
                )
            return None, []
        price = mean_prices(column[:, None, train])[:, 0]
        unknown = np.isnan(column[:, train]).all(1).sum()
        notes = [f"{unknown} series have no price in training: the mean of the others is taken"]
        return price, notes if unknown else []


FAVORITA = dict(
    published_split=True,
    lead_time=4,
    lead_time_spread=2,
    holding_cost=1.0,
    price=(6.3, 11.7),
    relative_costs=False,
    min_active=0.0,
    life_cycles=False,
    integer_orders=False,
)
"""Options of `Retail` for one store of Favorita with profits (Alvo et al. 2306.11246): lead times
of 4 to 6 weeks and prices drawn for each series. Their 32,768 series are not public; these are the
6,048 that are."""
