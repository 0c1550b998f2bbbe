"""Daily demand of one SKU in several markets: calendar, planned promotions, slow shocks, lumpy
counts.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.demand import quantiles
from jaxinv.demand.exogenous import Shapes
from jaxinv.demand.processes import DemandProcess
from jaxinv.demand.signals import CALENDAR, Signal
from jaxinv.errors import UserError

WEEK, YEAR = 7, 365
"""Days."""

HORIZON = 28
"""How many days ahead a promotion is announced."""

KNOTS = 129
"""Of the gamma table: with its mean set right, variances are within 1% and days without a sale
within 0.5 in 100.
"""


@struct.dataclass
class MarketParams:
    """Numbers of `MarketDemand`; `market_params` makes them from a mean and a few shapes."""

    base: jax.Array  # [D] mean units a day outside promotions
    week: jax.Array  # [7] factors of Monday .. Sunday, mean 1
    year: jax.Array  # [12] factors of January .. December, mean 1
    mixing: jax.Array  # [KNOTS] quantiles of the gamma law that mixes the Poisson
    shock_deviation: jax.Array  # [] of the logarithm of the slow shock
    shock_persistence: jax.Array  # [] from one day to the next
    correlation: jax.Array  # [] of the shocks of any two markets
    gap: jax.Array  # [2] least and most days from the start of a promotion to the start of the next
    uplift: jax.Array  # [2] least and most factor of a promotion
    promotion_days: jax.Array  # [] how long a promotion lasts
    before: jax.Array  # [2] days and factor of the dip before a promotion
    after: jax.Array  # [2] days and factor of the dip after it


@struct.dataclass
class MarketState:
    """The coming day and what already bears on it."""

    weekday: jax.Array  # [] 0 is Monday
    yearday: jax.Array  # [] 0 is the 1st of January
    shock: jax.Array  # [D] of the day before, in standard deviations
    since: jax.Array  # [D] days since the last promotion began; 0 on its first day
    until: jax.Array  # [D] days until the next one after that begins, at least 1
    uplift: jax.Array  # [D] of the last promotion begun


@dataclass(frozen=True)
class MarketDemand(DemandProcess):
    """Negative binomial counts about a level that moves:

        level = base * week * year * promotion * exp(shock),
        demand ~ Poisson(level * gamma),  gamma of mean 1.

    The shock is AR(1) and correlated between markets. Each market has its own promotions at random
    intervals, with a dip before (customers wait) and after (they have stocked up). When a promotion
    runs is known `HORIZON` days ahead; how strong it is shows only in demand.

    Uniforms: "market" moves the shocks, "demand" the gamma, "count" the Poisson and "promotion"
    draws, on the eve of a promotion, its uplift and when the next one starts. Demand is monotone in
    the first three.

    An intervention scales `base`, and puts a promotion of its own in the calendar: announced, with
    its dips, and in place of any other that would run meanwhile.

    Known of the coming day `[4 + 3 D]`: sine and cosine of weekday and of day of year; for each
    market whether a promotion runs, the share of the coming 7 days with one, and days until the
    next begins over `HORIZON`, at most 1.
    """

    moves = frozenset({"demand", "promotion"})
    scales = True
    least_promotion = 1.0

    def __post_init__(self):
        if self.products != 1:
            raise UserError(
                f"market demand is of one SKU; products={self.products} are a batch of instances"
            )

    @property
    def told(self) -> tuple[Signal, ...]:
        turns = [
            Signal(f"{of} {turn}", owner=CALENDAR)
            for of in ("weekday", "year")
            for turn in ("sine", "cosine")
        ]
        plans = {
            "promotion": "1 where one runs",
            "promotion soon": "share of the coming 7 days",
            "promotion ahead": f"{HORIZON:g} days, at most 1",
        }
        return (
            *turns,
            *(
                Signal(name, unit, place)
                for name, unit in plans.items()
                for place in range(self.locations)
            ),
        )

    @property
    def start_noise(self) -> Shapes:
        return {"start": (2 + 2 * self.locations,)}

    @property
    def noise(self) -> Shapes:
        places = self.locations
        return {
            "market": (1 + places,),
            "demand": (places,),
            "count": (places,),
            "promotion": (2, places),
        }

    def init(self, uniforms, params: MarketParams) -> MarketState:
        """Any weekday of any week, shocks in their stationary law, no promotion running."""
        day, shock, until = jnp.split(uniforms["start"], (1, 2 + self.locations))
        day = jnp.floor(day[0] * (WEEK * YEAR))
        middle = params.gap.mean()
        longest = middle + (params.gap[1] - params.gap[0]) ** 2 / (
            12 * middle
        )  # twice the mean residual gap
        return MarketState(
            weekday=day % WEEK,
            yearday=day % YEAR,
            shock=_innovation(shock, params),
            since=jnp.zeros_like(until) + params.promotion_days + params.after[0],
            until=1.0 + jnp.floor(until * longest),
            uplift=jnp.ones_like(until),
        )

    def step(self, state: MarketState, uniforms, params: MarketParams):
        shock = _next_shock(state.shock, uniforms["market"], params)
        deviation = params.shock_deviation
        calendar = _week_factor(state.weekday, params.week) * _year_factor(
            state.yearday, params.year
        )
        level = (
            params.base
            * calendar
            * _promotion(state, params)
            * jnp.exp(deviation * (shock - deviation / 2))
        )
        level = level * quantiles.from_gamma_quantiles(uniforms["demand"], params.mixing)
        demand = quantiles.poisson(uniforms["count"], level)[:, None]
        return _next_day(state, uniforms["promotion"], params).replace(shock=shock), demand

    def known(self, state: MarketState, params: MarketParams) -> jax.Array:
        weekday, season = 2 * jnp.pi / WEEK * state.weekday, 2 * jnp.pi / YEAR * state.yearday
        calendar = jnp.stack([jnp.sin(weekday), jnp.cos(weekday), jnp.sin(season), jnp.cos(season)])
        days = params.promotion_days
        running = (state.since < days).astype(jnp.float32)
        this, following = (
            jnp.clip(days - state.since, 0.0, WEEK),
            jnp.clip(WEEK - state.until, 0.0, days),
        )
        soon = jnp.minimum((this + following) / WEEK, 1.0)
        return jnp.concatenate([calendar, running, soon, jnp.minimum(state.until / HORIZON, 1.0)])

    def under(self, state: MarketState, params: MarketParams, change, day):
        """A state that says of its promotion what `since`, `until` and `uplift` say of nature's
        own.
        """
        days, ahead, left = params.promotion_days, change.start - day, change.stop - day
        # A promotion longer than usual is on its first day until as many days are left as one
        # usually has.
        running, over = jnp.maximum(days - left, 0.0), jnp.minimum(state.since, days - left)
        seen = state.replace(
            since=jnp.where(change.within(day), running, jnp.where(left <= 0.0, over, state.since)),
            until=jnp.where(ahead > 0.0, jnp.minimum(state.until, ahead), state.until),
            uplift=jnp.where(change.within(day), change.promotion, state.uplift),
        )
        promoted = ~jnp.isnan(change.promotion)
        seen = jax.tree.map(lambda new, own: jnp.where(promoted, new, own), seen, state)
        return seen, params.replace(base=params.base * change.factor(day))


def _next_shock(shock, uniforms, params):
    keep = params.shock_persistence
    return keep * shock + jnp.sqrt(1.0 - keep**2) * _innovation(uniforms, params)


def _innovation(uniforms, params):
    """Correlated standard normals `[D]` from `[1 + D]` uniforms, the first of them common to all
    markets.
    """
    z = quantiles.standard_normal(uniforms)
    return jnp.sqrt(params.correlation) * z[0] + jnp.sqrt(1.0 - params.correlation) * z[1:]


def _week_factor(weekday, factors):
    return jnp.sum(jnp.where(weekday == jnp.arange(WEEK), factors, 0.0))


def _year_factor(yearday, factors):
    """Factor of a day, linear between the middles of months; sums of hats are faster than look-ups
    in a batch.
    """
    months = len(factors)
    distance = jnp.abs((yearday + 0.5) * (months / YEAR) - 0.5 - jnp.arange(months))
    hats = jnp.maximum(1.0 - jnp.minimum(distance, months - distance), 0.0)
    return jnp.sum(hats * factors)


def _promotion(state, params):
    days, since = params.promotion_days, state.since
    before = jnp.where(state.until <= params.before[0], params.before[1], 1.0)
    after = jnp.where(since < days + params.after[0], params.after[1], 1.0)
    return jnp.where(since < days, state.uplift, after * before)


def _next_day(state, uniforms, params):
    since, until = state.since + 1.0, state.until - 1.0
    begins = until <= 0.0
    uplift = params.uplift[0] + (params.uplift[1] - params.uplift[0]) * uniforms[0]
    gap = params.gap[0] + jnp.floor((params.gap[1] - params.gap[0] + 1.0) * uniforms[1])
    return state.replace(
        weekday=_wrap(state.weekday + 1.0, WEEK),
        yearday=_wrap(state.yearday + 1.0, YEAR),
        since=jnp.where(begins, 0.0, since),
        until=jnp.where(begins, gap, until),
        uplift=jnp.where(begins, uplift, state.uplift),
    )


def _wrap(day, period):
    return jnp.where(day >= period, 0.0, day)  # a remainder of floats is slow


# Parameters


@dataclass(frozen=True)
class Promotions:
    """Planned promotions of a market.

    Attributes:
      a_year: how many, on average; gaps between starts spread evenly by 45% about their mean. 0:
        none.
      uplift: least and most factor on demand while one runs.
      days: how long one lasts.
      before_days, before: length and factor of the dip before it; after_days, after: of the dip
        after it.
    """

    a_year: float = 6.0
    uplift: tuple[float, float] = (1.5, 4.0)
    days: int = 7
    before_days: int = 5
    before: float = 0.85
    after_days: int = 7
    after: float = 0.8

    def __post_init__(self):
        if not self.a_year >= 0 or not 0 < self.uplift[0] <= self.uplift[1]:
            raise UserError(
                f"promotions={self.a_year} must be at least 0, uplift={self.uplift} positive and"
                " rising"
            )
        if self.gap[0] < self.days + self.before_days + self.after_days:
            raise UserError(
                f"promotions={self.a_year} a year would overlap; give {self.most_a_year} or fewer"
            )

    @property
    def gap(self) -> tuple[float, float]:
        """Least and most days between starts."""
        if not self.a_year:
            return 1e6, 1e6
        least = math.ceil(0.55 * YEAR / self.a_year)
        return float(least), float(round(2 * YEAR / self.a_year) - least)

    @property
    def most_a_year(self) -> int:
        return int(0.55 * YEAR / (self.days + self.before_days + self.after_days))

    @property
    def average(self) -> float:
        """Mean factor of a day."""
        extra = self.days * (sum(self.uplift) / 2 - 1)
        extra += self.before_days * (self.before - 1) + self.after_days * (self.after - 1)
        return 1 + extra / (sum(self.gap) / 2)


def market_params(
    mean, dispersion: float, week, year, shock_variance: float, shock_persistence: float,
    correlation: float,
    promotions: Promotions,
) -> MarketParams:  # fmt: skip
    """Parameters with a given long-run mean.

    Args:
      mean: D mean units a day over a whole year, promotions included.
      dispersion: r of the negative binomial, variance = level + level^2 / r.
      week, year: 7 and 12 factors; they are scaled to mean 1.
      shock_variance: of the multiplicative shock, whose mean is 1.
      shock_persistence: its correlation from one week to the next.
      correlation: of the logarithms of the shocks of two markets.
    """
    week, year = (np.asarray(factors, float) / np.mean(factors) for factors in (week, year))
    numbers = MarketParams(
        base=np.asarray(mean, float) / promotions.average,
        week=week,
        year=year,
        mixing=mixing_quantiles(dispersion),
        shock_deviation=math.sqrt(math.log1p(shock_variance)),
        shock_persistence=shock_persistence ** (1 / WEEK),
        correlation=correlation,
        gap=promotions.gap,
        uplift=promotions.uplift,
        promotion_days=promotions.days,
        before=(promotions.before_days, promotions.before),
        after=(promotions.after_days, promotions.after),
    )
    return MarketParams(
        **{name: np.asarray(value, np.float32) for name, value in vars(numbers).items()}
    )


def mixing_quantiles(dispersion: float) -> np.ndarray:
    """`quantiles.gamma_quantiles` scaled so that what is interpolated between the knots has mean 1:
    `[KNOTS]`.
    """
    table = quantiles.gamma_quantiles(dispersion, KNOTS).astype(float)
    reach = math.log(1 / quantiles.TAIL - 1)
    logit = np.linspace(-reach, reach, 64 * KNOTS)
    density = 1 / (2 + 2 * np.cosh(logit))
    values = np.interp(logit, np.linspace(-reach, reach, KNOTS), table)
    return (table / (np.sum(values * density) * (logit[1] - logit[0]))).astype(np.float32)
