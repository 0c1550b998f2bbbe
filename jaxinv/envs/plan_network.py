"""`network`: the world of a shop's own files (`jaxinv.data.plan`), any directed graph of locations
with all its SKUs.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import jax
import numpy as np

from jaxinv.data import Panel, TimeSplit
from jaxinv.data.fingerprint import fingerprint
from jaxinv.data.grid import weekday
from jaxinv.data.plan import Plan, read_plan
from jaxinv.envs.held_out import set_aside, with_choice
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.plan_world import PlanWorld
from jaxinv.envs.problem import Problem, not_negative
from jaxinv.envs.recorded import RecordedSales, check_lengths, train_until
from jaxinv.envs.shared import Shared
from jaxinv.envs.shop import Shop
from jaxinv.envs.wanted import with_factors
from jaxinv.errors import UserError, unknown
from jaxinv.keys import instance_generator

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
"""What `week_begins` may be."""

LEAST_WARM_UP = 5
"""Periods before those of an episode that count."""

LEAST_HISTORY = 4
"""Periods that a policy sees at least; fewer tell no forecast anything."""


@dataclass(frozen=True, kw_only=True)
class PlanNetwork(RecordedSales):
    """A shop's own network: what is lost is lost margin, what is held costs its share of what it is
    worth, in the plan's money.

    An SKU is an instance, with all locations, where locations supply each other; an SKU at a
    location otherwise. Costs that any decision pays alike, such as the cheapest price of a unit,
    are left out. Minimum orders over several SKUs, budgets and the capacity of a location couple
    SKUs: order lists see to them (`jaxinv.orders.joint`), the world does not. Goods spoil where
    each instance is at one location. `data` is a plan, a folder with its tables, or a file of sales
    alone; options of the sales are those of `jaxinv.envs.recorded.RecordedSales`.

    Attributes:
      frequency: day, week, month …; by default weeks, but days where sales are daily and some lead
        time is no whole weeks or some lane has order days.
      week_begins: the day that weeks of daily sales begin on, Mon to Sun; by default that of the
        day after the last sales, so that none of these is left out and orders are those of that
        day. A run keeps it.
      train: share of the periods that train; by default that of the plan.
      train_until: the first day after the periods that train, YYYY-MM-DD; by default `train` of
        them do. A run keeps this day, so that it can be applied to sales that go on.
      longest_lead_time: periods that an order may be under way at least; a run keeps what it found.
      longest_shelf_life: periods of the longest shelf life of goods that spoil, by default that of
        the items; others count as no longer. A run keeps what it found.
      service_factors: by wanted fill rate, what shortage costs are multiplied by
        (`jaxinv.evaluation.service`); a run keeps what it found.
      horizon: periods of an episode; at least twice the warm-up, which is longer than any lead
        time, but no more than there are.
      history: periods that policies see; of few, fewer.
    """

    frequency: str = ""
    week_begins: str = ""
    train: float | None = None
    train_until: str = ""
    longest_lead_time: int = 0
    longest_shelf_life: int = 0
    service_factors: dict[str, float] = field(default_factory=dict)

    def __post_init__(self):
        super().__post_init__()
        not_negative(self, "longest_lead_time", "longest_shelf_life")
        if self.week_begins and self.week_begins not in DAYS:
            raise unknown("week_begins", self.week_begins, DAYS)

    def going_on(self, data: str) -> "PlanNetwork":
        return dataclasses.replace(self, data=data)

    @cached_property
    def files(self) -> Plan:
        """The files as they are, read once."""
        return self.plan()

    def plan(self, **settings: Any) -> Plan:
        """The files; `settings` go before what they say, such as `as_of`."""
        if not self.data:
            raise UserError(
                "network needs data=PLAN: a plan, a folder of tables, or a file of sales (python -m"
                " jaxinv.inspect FILES)"
            )
        return read_plan(self.data, self.columns, **self.reading, **settings)

    def shop(self, plan: Plan | None = None) -> PlanWorld:
        """What the files say."""
        plan = self.files if plan is None else plan
        frequency = self.frequency or plan.settings.frequency or usual_frequency(plan)
        week_begins = DAYS.index(self._week_begins(plan))
        panel = Panel.from_table(plan.sales, frequency, week_begins=week_begins)
        split = self._split(panel, plan)
        panel.check_sold(split)
        return PlanWorld.of(plan, panel, split, self._within(split.train.stop, LEAST_WARM_UP))

    def _week_begins(self, plan: Plan) -> str:
        if self.week_begins:
            return self.week_begins
        after = plan.sales["date"].max().to_datetime64().astype("datetime64[D]") + 1
        return DAYS[weekday(np.asarray(after))]

    def build(self) -> Problem:
        return self.problem_of(self.shop())

    def problem_of(self, shop: PlanWorld) -> Problem:
        """What policies learn on and are judged on."""
        panel, split, lead, count = shop.panel, shop.split, shop.lead, shop.learned
        placed = shop.placed.rows(slice(count))
        warm_up = lead.longest + LEAST_WARM_UP - 1
        options = self._within(split.train.stop, warm_up)
        check_lengths(options, panel, split, warm_up)
        numbers = jax.tree.map(lambda leaf: leaf[:count], shop.numbers(options))
        trace = shop.trace(count)
        cover = np.asarray(numbers.initial_high) / 1.3
        train = partial(train_until, options, numbers, trace, placed.begins)

        def test(scored):
            """One episode over some periods, from the stock that there was a warm-up before."""
            start = scored.start - warm_up
            stock = cover.copy()
            if placed.stock is not None:
                known = placed.stock[..., start]
                own = stock[:, list(shop.selling), 0]
                stock[:, list(shop.selling), 0] = np.where(np.isnan(known), own, known)
            first = start - options.history
            return numbers.replace(
                initial_low=stock, initial_high=stock, demand=trace(scored.stop, first, first, 0.0)
            )

        training, scored = train(split.train.stop, options.horizon), split.scored("test")
        known = shop.known_by(scored.start - warm_up, scored)
        problem = Problem(
            env=shop.environment(training, options),
            train=training,
            test=test(scored),
            instances=count,
            shared=Shared.of_series(panel.frequency, placed.series),
            test_periods=warm_up + scored.stop - scored.start,
            warm_up=warm_up,
            periods_per_year=panel.periods_per_year,
            notes=(
                *shop.plan.notes,
                *shop.plan.assumptions,
                *panel.notes,
                *placed.notes,
                *shop.lives.notes,
                *_unplayed(shop.plan, known),
            ),
            labels=placed.labels,
            held_out=set_aside(instance_generator(self.instance_seed), count, self.validation),
            dropped=placed.dropped,
            fingerprint=fingerprint(
                shop.plan.sales[shop.plan.sales["date"] < panel.dates[split.train.stop]]
            ),
            shop=known,
            settled=dataclasses.replace(
                options,
                frequency=panel.frequency,
                week_begins=self._week_begins(shop.plan),
                train_until=str(panel.dates[split.train.stop]),
                longest_lead_time=lead.longest,
                longest_shelf_life=shop.lives.longest,
            ),
        )
        problem = with_choice(problem, options, panel, split.train.stop, placed.begins, train, test)
        return problem if shop.wanted is None else options._wanting(problem, shop, test, warm_up)

    def _wanting(
        self,
        problem: Problem,
        shop: PlanWorld,
        test: Callable[[slice], InstanceParams],
        warm_up: int,
    ) -> Problem:
        """The problem with wanted fill rates: at the shortage costs that were found before, or with
        all that finds them.
        """
        wanted = tuple(shop.wanted[: shop.learned].tolist())
        rehearsed = slice(warm_up + self.history, shop.split.train.stop)
        rehearsal = dataclasses.replace(
            problem,
            test=test(rehearsed),
            test_periods=warm_up + rehearsed.stop - rehearsed.start,
            choice=None,
        )
        problem = dataclasses.replace(problem, service=wanted, rehearsal=rehearsal)
        if not self.service_factors:
            return problem
        factors = {float(level): factor for level, factor in self.service_factors.items()}
        return dataclasses.replace(with_factors(problem, factors), priced=True)

    def _within(self, periods: int, warm_up: int) -> "PlanNetwork":
        """These options with an episode and a history that training periods have room for.

        An episode lasts at least twice its warm-up, so that orders placed in it count in it; of few
        periods both are shorter.
        """
        longest = periods - 1  # of one period more, what is known ahead
        history = max(min(self.history, longest - 2 * warm_up), LEAST_HISTORY)
        return dataclasses.replace(
            self,
            history=history,
            horizon=max(min(max(self.horizon, 2 * warm_up), longest - history), 1),
        )

    def _split(self, panel: Panel, plan: Plan) -> TimeSplit:
        if not self.train_until:
            return panel.split_by_time(plan.settings.train if self.train is None else self.train)
        try:
            until = np.datetime64(self.train_until, "D")
        except ValueError:
            raise UserError(
                f"train_until={self.train_until} is not a date; write YYYY-MM-DD"
            ) from None
        return panel.split_by_time(int((panel.dates < until).sum()))


def _unplayed(plan: Plan, known: Shop) -> list[str]:
    """What is told where the shop's own minimum and maximum cannot be played beside."""
    if known.min_max is not None or plan.stock["max_stock"].isna().all():
        return []
    return [
        "your own min_stock and max_stock are not played beside: they are needed of every SKU at"
        " every location that orders it"
    ]


def usual_frequency(plan: Plan) -> str | None:
    """The period that decisions are made in, where nobody says: None for that of the sales."""
    days = np.sort(plan.sales["date"].unique())
    if len(days) < 2 or np.diff(days).min() > np.timedelta64(1, "D"):
        return None
    lead = plan.lanes["lead_time"].fillna(plan.settings.lead_time)
    daily = (lead % 7 != 0).any() or plan.lanes["order_days"].map(len).any()
    return "day" if daily else "week"
