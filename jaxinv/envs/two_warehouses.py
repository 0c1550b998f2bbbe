"""Two warehouses that replenish from one supplier and send each other stock (seed 001)."""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np

from jaxinv.demand.forecasted import (
    Forecasted,
    ForecastedParams,
    forecast_errors,
    forecast_name,
    learned,
)
from jaxinv.demand.laws import Law, independent
from jaxinv.demand.persistent import Persistent, PersistentParams, recorded
from jaxinv.demand.processes import TraceParams, TraceReplay
from jaxinv.demand.signals import Signal
from jaxinv.envs.as_written import DAYS, WEIGHTS, Literal, PaperReward
from jaxinv.envs.builder import Network
from jaxinv.envs.problem import Preset, Problem, first_of, not_negative, positive, probability
from jaxinv.envs.roles import Roles
from jaxinv.errors import UserError, unknown
from jaxinv.keys import instance_generator

WAREHOUSES = ("A", "B")
AHEAD = 2
"""Days that forecasts are told of."""

WINDOW, TRAINING_DAYS, LATER_DAYS = 14, 730, 365
"""Days that a forecast is made from, that the forecaster is fitted to, and that follow and say how
good it is.
"""

WARM_UP, TEST_DAYS = 50, 365


@dataclass(frozen=True, kw_only=True)
class TwoWarehouses(Preset):
    """Warehouses A and B, which buy from one supplier and send each other stock. Periods are days,
    money is one currency.

    In the morning of a day both decide what they buy and what they send, and see their stock, what
    is on its way, the demand of the day before and forecasts of this day and the next,
    `forecast 1 day ahead[A]` and so on. Then demand comes and is served. What is sent is cut to the
    stock of the morning, as everywhere. Transfers both ways on one day are carried out as
    requested; they only add cost, so a good policy avoids them.

    By default demand has a weekly season, which peaks on other days in A than in B, and deviations
    that last for some days. Forecasts are those of a regression on two weeks, fitted to two years
    of sales before (`jaxinv.demand.forecasted`); the notes of the problem say how far they are off.
    With laws in `demand` no forecast is told.

    An option for each warehouse has two entries, of A and of B, or one for both.

    Roles "warehouses" are those of the paper: A decides what it buys and what it sends to B, B
    likewise; each sees its own node (and, where a learner shares information, the other's) and pays
    for its node and for what it decides.

    Attributes:
      mode: "corrected", or "literal": the two days of the paper as they are written
        (`jaxinv.envs.as_written`).
      reward: "costs", in money, or "paper": the fill rate, the reduction of inventory cost and
        transport, with `weights.revenue=1 weights.holding=0.5 weights.transport=0.2` where not
        given. It is not in money, and has no shortage costs and no capacity.
      initial_stock: units on hand in the first morning. What is on its way from the supplier is
        then a day's mean demand for each day of the lead time.
      lead_time: days from the supplier.
      transfer_lead_time: days between the warehouses. By default 0, as in the paper: what is sent
        in the morning is there for the demand of the day, where the supplier takes `lead_time`;
        that is what makes it worth its cost.
      reactive: customers order a day before they are served, so that what is sent is decided once
        the demand of the day is known; the forecast 1 day ahead is then of the day after. Otherwise
        what is sent goes ahead of demand.
      holding_cost: money per unit on hand in the evening. shortage_cost: money per unit that is
        lost, or owed each day.
      transfer_cost: money per unit sent.
      backlog: what a warehouse lacks it owes; otherwise the sale is lost.
      pack: units in a pack, in which all is bought and sent.
      capacity: units a warehouse can hold; empty: any number. overflow_cost: money per unit and day
        above it.
      demand: a law for each warehouse, such as "poisson(5)" or "normal(100, 20)"
        (`jaxinv.demand.laws`); empty: the season described above, with the numbers that follow.
      mean: units a day; by default the means of the paper's forecasts. amplitude: of the season, as
        a share of it.
      phases: days by which the season runs ahead.
      deviation: standard deviation from the season, as a share of the mean. persistence: the share
        of a deviation that is left a day later. By default a forecast of the next day is off by
        about 10 units.
      ends: after its horizon an episode is over for good, and policies are judged on whole
        episodes.
      instance_seed: of the sales that the forecaster is fitted to.
    """

    mode: str = "corrected"
    reward: str = "costs"
    initial_stock: tuple[float, ...] = (100.0, 150.0)
    lead_time: int = 2
    transfer_lead_time: int = 0
    reactive: bool = False
    holding_cost: tuple[float, ...] = (1.0,)
    shortage_cost: tuple[float, ...] = (4.0,)
    transfer_cost: float = 0.5
    backlog: bool = False
    pack: float = 1.0
    capacity: tuple[float, ...] = ()
    overflow_cost: float = 0.0
    demand: tuple[str, ...] = ()
    mean: tuple[float, ...] = (85.0, 110.0)
    amplitude: float = 0.2
    phases: tuple[float, ...] = (0.0, 3.0)
    deviation: float = 0.15
    persistence: float = 0.6
    ends: bool = False
    instance_seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        for name, known in (("mode", ("corrected", "literal")), ("reward", ("costs", "paper"))):
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        if self.mode == "literal":
            self._check_literal()
        for name in (
            "initial_stock",
            "holding_cost",
            "shortage_cost",
            "capacity",
            "demand",
            "mean",
            "phases",
        ):
            given = len(getattr(self, name))
            if given not in (1, 2) and not (given == 0 and name in ("capacity", "demand")):
                raise UserError(
                    f"{name} has {given} entries; give those of A and B, or one for both"
                )
        not_negative(
            self,
            "lead_time",
            "transfer_lead_time",
            "holding_cost",
            "shortage_cost",
            "transfer_cost",
            "initial_stock",
        )
        not_negative(self, "overflow_cost", "deviation", "amplitude", "instance_seed")
        probability(self, "persistence")
        positive(self, "pack")
        for name in ("mean", "capacity"):
            if not all(value > 0 for value in getattr(self, name)):
                raise UserError(f"{name}={getattr(self, name)} must be above 0")
        if self.pack != 1 and not self.integer_orders:
            raise UserError(
                f"pack={self.pack:g} needs integer_orders=true: divisible orders come in no packs"
            )
        if bool(self.capacity) != (self.overflow_cost > 0):
            raise UserError(
                "capacity and overflow_cost go together: stock above the capacity is only charged"
            )
        if self.demand:
            self._check_demand()
        if self.reward == "paper":
            self._check_paper()

    def build(self) -> Problem:
        if self.mode == "literal":
            return self._literal()
        process, numbers, mean, notes = self._demand()
        problem = self._network(mean).problem(
            replace(self, weights={**WEIGHTS, **self.weights}) if self.reward == "paper" else self,
            demand=(process, numbers),
            name="two_warehouses", notes=notes, **self._span(),
        )  # fmt: skip
        return _told(problem, PaperReward if self.reward == "paper" else None)

    def _network(self, mean, lead_time: int | None = None) -> Network:
        initial, holding, shortage = map(
            _both, (self.initial_stock, self.holding_cost, self.shortage_cost)
        )
        net = Network(period="day", whole_units=self.integer_orders, backlog=self.backlog)
        net.supplier("supplier")
        for place, name in enumerate(WAREHOUSES):
            limit = {}
            if self.capacity:
                limit = dict(
                    storage_units=_both(self.capacity)[place],
                    overflow_cost_per_unit_period=self.overflow_cost,
                )
            net.node(
                name, demand=True, orders_ahead=self.reactive,
                typical_demand_units_per_period=mean[place],
                initial_stock_units=initial[place], holding_cost_per_unit_period=holding[place],
                shortage_cost_per_unit=shortage[place], **limit,
            )  # fmt: skip
        packs = dict(pack_units=self.pack) if self.integer_orders else {}
        for name in WAREHOUSES:
            net.edge(
                "supplier",
                name,
                lead_time_periods=self.lead_time if lead_time is None else lead_time,
                **packs,
            )
        for source, destination in (WAREHOUSES, WAREHOUSES[::-1]):
            net.edge(
                source, destination, sideways=True, lead_time_periods=self.transfer_lead_time,
                initial_pipeline_units_per_period=0.0, freight_from_units=[0.0],
                freight_rate_per_unit=[self.transfer_cost], **packs,
            )  # fmt: skip
        return net

    def _span(self) -> dict[str, Any]:
        if self.ends:
            return dict(test_periods=self.horizon, warm_up=0, ends=True)
        return dict(test_periods=WARM_UP + TEST_DAYS, warm_up=WARM_UP)

    def _demand(self):
        """The process of demand, its numbers, the mean a day, and what people are told of the
        forecasts.
        """
        if self.demand:
            laws = [Law.parse(text) for text in _both(self.demand)]
            return *independent(laws, self.history), np.asarray([law.average for law in laws]), ()
        numbers, rows = self.forecaster
        process = Forecasted(
            locations=2, inner=Persistent(locations=2), window=WINDOW, horizon=AHEAD
        )
        return process, numbers, np.asarray(_both(self.mean)), (_note(rows),)

    @property
    def forecaster(self) -> tuple[ForecastedParams, list[dict[str, Any]]]:
        """Numbers of the default demand and its forecaster, and how far forecasts are off (see
        `forecaster` below).
        """
        return forecaster(
            _both(self.mean),
            self.amplitude,
            _both(self.phases),
            self.deviation,
            self.persistence,
            self.instance_seed,
        )

    def _literal(self) -> Problem:
        """The world of the paper's two days, its forecasts told; what is known of a third day is
        the second again.
        """
        days = [DAYS[0]] * self.history + [*DAYS, DAYS[-1]]
        demand = np.asarray([day.demand for day in days], np.float32)
        known = np.concatenate([demand[:-1], demand[1:]], 1)
        told = tuple(
            Signal(forecast_name(ahead), "units", place) for ahead in (1, 2) for place in range(2)
        )
        trace = TraceParams(demand[:-1, :, None], known, np.int32(0), np.int32(0))
        mean = np.mean([day.demand for day in DAYS], 0)
        preset = Preset(
            horizon=len(DAYS),
            history=self.history,
            tell=self.tell,
            weights={**WEIGHTS, **self.weights},
        )
        problem = self._network(mean, lead_time=0).problem(
            preset, demand=(TraceReplay(locations=2, told=told, goes_on=True), trace),
            name="two_warehouses",
            test_periods=len(DAYS), warm_up=0, ends=True,
        )  # fmt: skip
        return _told(problem, Literal)

    def _check_literal(self):
        free = ("mode", "weights", "history", "tell")
        for field in fields(self):
            if (
                field.name not in free
                and field.default is not None
                and getattr(self, field.name) != field.default
            ):
                raise UserError(
                    f"mode=literal replays the paper as it is; leave out {field.name}, or take"
                    " mode=corrected"
                )
        self._check_weights("mode=literal")

    def _check_demand(self):
        for text in self.demand:
            Law.parse(text)
        season = ("mean", "amplitude", "phases", "deviation", "persistence", "instance_seed")
        for field in fields(self):
            if field.name in season and getattr(self, field.name) != field.default:
                raise UserError(
                    f"demand={','.join(self.demand)} has its own numbers, and {field.name} would"
                    " have no effect; give one of the two"
                )

    def _check_paper(self):
        if self.mode == "corrected" and not min(self.holding_cost) > 0:
            raise UserError(
                "reward=paper counts costs in those of holding a day's demand: holding_cost must be"
                " above 0"
            )
        if self.capacity:
            raise UserError(
                "reward=paper knows no capacity; leave out capacity and overflow_cost, or take"
                " reward=costs"
            )
        self._check_weights("reward=paper")

    def _check_weights(self, what: str):
        for name in self.weights:
            if name not in WEIGHTS:
                raise unknown(f"weight of {what}", name, WEIGHTS)
        if not any({**WEIGHTS, **self.weights}.values()):
            raise UserError(
                f"weights are all zero on what {what} counts ({', '.join(WEIGHTS)}); make one"
                " positive"
            )


def roles_of(topology) -> dict[str, Roles]:
    """The roles of the paper: each warehouse decides what it buys and what it sends."""
    agents = {
        own: {
            "sees": [own],
            "decides": [f"supplier-{own}", f"{own}-{other}"],
            "pays": [own, f"supplier-{own}", f"{own}-{other}"],
        }
        for own, other in (WAREHOUSES, WAREHOUSES[::-1])
    }
    return {"warehouses": Roles.told(topology, agents).checked(topology)}


def _told(problem: Problem, kind: type | None) -> Problem:
    """The problem with its roles, on another kind of network where one is given."""
    env, roles = problem.env, roles_of(problem.env.topology)
    if kind is None:
        return replace(problem, roles=roles)
    return replace(
        problem,
        env=kind(env.topology, env.world, first_of(problem.train), env.history, env.name),
        roles=roles,
    )


@lru_cache(maxsize=8)
def forecaster(
    mean: tuple[float, float],
    amplitude: float,
    phases: tuple[float, float],
    deviation: float,
    persistence: float,
    seed: int,
) -> tuple[ForecastedParams, list[dict[str, Any]]]:
    """Numbers of the demand of both warehouses and its forecaster, and how far forecasts of the
    year after are off (`jaxinv.demand.forecasted.forecast_errors`)."""

    def each(values):
        return np.broadcast_to(np.asarray(values, np.float32), 2)[:, None]

    law = PersistentParams(
        each(mean),
        each(amplitude),
        np.float32(7.0),
        each(phases),
        each(deviation),
        each(persistence),
    )
    demand, known = recorded(law, TRAINING_DAYS + LATER_DAYS, instance_generator(seed))
    past, later = np.split(demand, [TRAINING_DAYS])
    numbers = learned(law, past, known[:TRAINING_DAYS], WINDOW, AHEAD)
    return numbers, forecast_errors(numbers, past, later, known[TRAINING_DAYS:], WINDOW, season=7)


def _note(rows: list[dict[str, Any]]) -> str:
    said = {}
    for row in rows:
        said.setdefault(row["forecast"], []).append(f"{row['mae']:.1f}")
    each = ", ".join(f"{name} {' and '.join(errors)}" for name, errors in said.items())
    return (
        "forecasts 1 and 2 days ahead are off by so many units a day, in the year after those they"
        f" learned from: {each}"
    )


def _both(values: tuple) -> tuple:
    """An option for each warehouse: as given, or the one for both."""
    return tuple(values) * 2 if len(values) == 1 else tuple(values)
