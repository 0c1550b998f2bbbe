"""Rules that follow a forecast: `following(BaseStock, Seasonal)` is base-stock whose unit is what
is expected.

A rule's numbers are multiples of demand over the coverage of an order
(`jaxinv.policies.rule.Units`). Its static form takes the typical demand for that. Here it is the
forecast, made in every period from what a policy may see, plus a safety of so many standard
deviations: an order-up-to level of 1 is then the myopic newsvendor on that forecast, and a level, a
cap or a lot goes up and down with trend, season and promotions. Safety, and the numbers of a
forecast, are tuned with the rule's own.

A forecaster is a `Follows` with a `forecast`; it is put before the rule that it is for.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.envs import views
from jaxinv.envs.observation import Facts
from jaxinv.errors import UserError
from jaxinv.policies.past import Past
from jaxinv.policies.rule import Range, Rule, Units

HIGHEST = 2.0
"""Levels of a rule on a forecast, which its safety raises besides, are searched first up to this
multiple of it.
"""

LEAST_FLOW = 0.01
"""Share of typical demand below which a forecast sizes no cap, lot or quantity: a lot of nothing
would lift nothing.
"""


@struct.dataclass
class Forecast:
    """What is expected in each period `[T, ...]`."""

    total: (
        jax.Array
    )  # [E, K] demand over the coverage of an order on each edge, everything downstream included
    deviation: jax.Array  # [E, K] standard deviation of that
    next: jax.Array  # [D, K] demand of the coming period


@dataclass(frozen=True)
class Follows(Rule):
    """A rule whose numbers are multiples of a forecast.

    Attributes:
      history: W, the window that the forecast is made from.
      season: periods of a season.
      suffix: what it adds to the name of a rule.
      numbers: ranges of the forecast's own numbers, which all nodes and SKUs share.
    """

    history: int = 1
    season: int = 7

    suffix: ClassVar[str]
    numbers: ClassVar[dict[str, Range]] = {}
    forecasts = True
    levels = quantities = frozenset()  # multiples of what changes with time have no size in units

    @classmethod
    def applies(cls, problem):
        return cls.foresees(problem) and super().applies(problem)

    @classmethod
    def foresees(cls, problem) -> bool:
        """Whether there is enough to forecast from."""
        return problem.env.history >= 4

    def fitted_on(self, past: Past) -> "Follows":
        """The rule with what its forecast learns from the past; most learn nothing."""
        return self

    def forecast(
        self, params: dict[str, Any], demand: jax.Array, known: jax.Array, facts: Facts
    ) -> Forecast:
        """Forecasts made with what is known up to each row.

        Args:
          demand: of the past `[T, D, K]`, the latest row that of the period before the decision.
          known: covariates of the coming period `[T, C]`.
        """
        raise NotImplementedError

    def safety(self, params: dict[str, Any], facts: Facts) -> jax.Array:
        """Standard deviations of demand over the coverage that a level lies above its mean, `[]` or
        `[E, K]`.
        """
        return params["safety"]

    def encode(self, params, signals, facts):
        places, products = len(self.topology.demand_nodes), self.topology.products
        demand, known = jnp.split(signals, [places * products], axis=1)
        return self.forecast(params, demand.reshape(-1, places, products), known, facts)

    def units(self, params, observation, context: Forecast):
        facts = observation.instance
        least = LEAST_FLOW * self.topology.at_destination(facts.scale)
        flow = jnp.maximum(context.total / self.coverage(facts)[:, None], least)
        goodwill = views.goodwill_along_edges(self.topology, observation)
        return Units(
            level=(context.total + self.safety(params, facts) * context.deviation) * goodwill,
            quantity=flow * facts.review_period[:, None] * goodwill,
        )

    def predict(self, context: Forecast):
        return context.next

    def along_edges(self, demand: jax.Array) -> jax.Array:
        """Demand `[T, D, K]` that passes the end of each edge `[T, E, K]`."""
        network = self.topology

        def single(demand):
            return network.at_destination(
                views.echelon_sum(network, network.at_demand_nodes(demand))
            )

        return jax.vmap(single)(demand)

    def over_coverage(self, variance: jax.Array, facts: Facts) -> jax.Array:
        """Standard deviation `[T, E, K]` over the coverage from the variance of one period
        `[T, D, K]`, with demand of places and periods taken as independent."""
        return jnp.sqrt(self.along_edges(variance) + 1e-6) * jnp.sqrt(self.coverage(facts))[:, None]


@cache
def following(rule: type[Rule], forecaster: type[Follows]) -> type[Rule]:
    """The form of a rule that follows a forecast, called `RULE_FORECAST`."""
    ranges = {
        name: (low, min(high, HIGHEST)) if name in rule.levels else (low, high)
        for name, (low, high) in rule.ranges.items()
    }
    body = {
        "__doc__": f"{rule.name} whose numbers are multiples of a forecast: {forecaster.suffix}.",
        "name": f"{rule.name}_{forecaster.suffix}",
        "ranges": ranges | forecaster.numbers | {"safety": (-1.0, 6.0)},
        "bounds": dict.fromkeys(rule.ranges, (0.0, math.inf)) | rule.bounds | forecaster.bounds,
        "scalars": rule.scalars | {*forecaster.numbers, "safety"},
    }
    return dataclass(frozen=True)(
        type(f"{rule.__name__}{forecaster.__name__}", (forecaster, rule), body)
    )


class Smoothing(Follows):
    """Exponential smoothing over the window: level and mean squared deviation with the same
    weights.
    """

    suffix = "smoothing"
    numbers = {"smoothing": (0.01, 0.6)}
    bounds = {"smoothing": (0.0, 1.0)}

    def forecast(self, params, demand, known, facts):
        weights = (1.0 - params["smoothing"]) ** jnp.arange(self.history)
        weights = weights / weights.sum()
        mean = lagged_sum(weights, demand)
        variance = jnp.maximum(lagged_sum(weights, demand**2) - mean**2, 0.0)
        total = self.along_edges(mean) * self.coverage(facts)[:, None]
        return Forecast(total, self.over_coverage(variance, facts), mean)


class SeasonalNaive(Follows):
    """A rolling seasonal-naive forecast: each period to come is expected to be the mean of the same
    phase of the season in the window; the error is taken from differences one season apart."""

    suffix = "seasonal"

    @classmethod
    def foresees(cls, problem):
        return problem.env.history >= 2 * problem.season

    def __post_init__(self):
        super().__post_init__()
        if self.history < 2 * self.season:
            raise UserError(
                f"{self.name} needs history={2 * self.season} or more (two seasons), not"
                f" {self.history}"
            )

    def forecast(self, params, demand, known, facts):
        season, seasons = self.season, self.history // self.season
        age = jnp.arange(seasons * season)

        def visits(cover):
            """How often the phase of each age comes up in the next `cover` periods."""
            return jnp.floor((cover + age) / season) - jnp.floor(age / season)

        total = jax.vmap(lambda cover, flow: lagged_sum(visits(cover) / seasons, flow), (0, 1), 1)(
            self.coverage(facts), self.along_edges(demand)
        )
        pairs = self.history - season
        change = demand - jnp.concatenate([demand[:season], demand[:-season]])
        variance = lagged_sum(jnp.full(pairs, 0.5 / pairs), change**2)
        return Forecast(
            total, self.over_coverage(variance, facts), lagged_sum(visits(1.0) / seasons, demand)
        )


def lagged_sum(weights: jax.Array, series: jax.Array) -> jax.Array:
    """sum_a weights[a] * series[t - a] for every row t of `[T, ...]`; rows before the first count
    as zero.

    One product with a banded matrix, for any number of weights.
    """
    periods = series.shape[0]
    age = np.arange(periods)[:, None] - np.arange(periods)[None, :]
    inside = (age >= 0) & (age < weights.shape[0])
    band = jnp.where(inside, weights[np.clip(age, 0, weights.shape[0] - 1)], 0.0)
    return jnp.tensordot(band, series, axes=1, precision="highest")
