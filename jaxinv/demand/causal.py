"""Demand as a structural causal model: season moves promotions and prices, and all three move
demand (methods.md D.4).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.demand import quantiles
from jaxinv.demand.exogenous import Shapes
from jaxinv.demand.interventions import NATURE
from jaxinv.demand.processes import DemandProcess
from jaxinv.demand.signals import CALENDAR, Signal
from jaxinv.errors import UserError

LARGEST = 128
"""Units of a day's demand that the law can draw."""


@struct.dataclass
class CausalParams:
    """Numbers of `CausalDemand`; names of methods.md in brackets."""

    intercept: jax.Array  # [] (beta_0) of the logarithm of the level
    amplitude: jax.Array  # [] of the season, in the logarithm of the level
    period: jax.Array  # [] days of a season
    promotion_intercept: jax.Array  # [] (kappa_0)
    promotion_season: jax.Array  # [] (kappa_1) what makes promotions and the season go together
    promotion_effect: jax.Array  # [] (beta_p)
    elasticity: jax.Array  # [] (beta_e), below 0
    price_season: jax.Array  # [] of the logarithm of the price
    price_deviation: jax.Array  # [] of the logarithm of the price about its season
    shock_deviation: jax.Array  # []
    shock_persistence: jax.Array  # [] from one day to the next
    dispersion: jax.Array  # [] (r)
    shock: jax.Array = NATURE  # [] what an intervention sets the shock to


@struct.dataclass
class CausalState:
    """The coming day: what is planned for it, and the shock of the day before."""

    day: jax.Array  # [] of the season
    promotion: jax.Array  # [] 0 or 1
    price: jax.Array  # [] relative to the list price
    shock: jax.Array  # []


@dataclass(frozen=True)
class CausalDemand(DemandProcess):
    """One store's demand with confounded promotions:

        season_t    = sin(2 pi t / period)
        promotion_t = 1{ u^promotion < sigmoid(kappa_0 + kappa_1 season_t) }
        log price_t = price_season season_t + price_deviation z(u^price)
        shock_t     = persistence shock_{t-1} + sqrt(1 - persistence^2) shock_deviation z(u^market)
        log level_t = beta_0 + amplitude season_t + beta_p promotion_t + beta_e log price_t
                      + shock_t - shock_deviation^2 / 2
        demand_t    = F^-1( u^demand ),  F negative binomial of mean level_t and dispersion r

    Promotion and price of a day are planned on its eve, with that day's uniforms, and known before
    it. Demand is monotone in u^demand, u^market and u^promotion, and in u^price falling (elasticity
    below 0). An intervention on the shock sets it on its days alone: shocks are functions of all
    earlier innovations, not of earlier shocks.

    Known of the coming day `[4]`: sine and cosine of the season, promotion, logarithm of the price.
    """

    told = (
        Signal("season sine", owner=CALENDAR),
        Signal("season cosine", owner=CALENDAR),
        Signal("promotion", "1 where one runs", 0),
        Signal("price", "log of the share of the list price", 0),
    )
    start_noise = {"start": (4,)}
    moves = frozenset({"demand", "promotion", "price", "shock"})
    scales = True

    def __post_init__(self):
        if self.locations != 1 or self.products != 1:
            raise UserError("causal demand is that of one product in one store")

    @property
    def noise(self) -> Shapes:
        return {"promotion": (), "price": (), "market": (), "demand": ()}

    def init(self, uniforms, params: CausalParams) -> CausalState:
        """Any day of the season, the shock in its stationary law."""
        day, promotion, price, shock = uniforms["start"]
        day = jnp.floor(day * params.period)
        shock = params.shock_deviation * quantiles.standard_normal(shock)
        return self._plan(CausalState(day, promotion, price, shock), promotion, price, params)

    def step(self, state: CausalState, uniforms, params: CausalParams):
        keep, deviation = params.shock_persistence, params.shock_deviation
        innovation = (
            jnp.sqrt(1.0 - keep**2) * deviation * quantiles.standard_normal(uniforms["market"])
        )
        shock = keep * state.shock + innovation
        felt = jnp.where(jnp.isnan(params.shock), shock, params.shock)
        level = jnp.exp(
            params.intercept
            + params.amplitude * season(state, params)
            + params.promotion_effect * state.promotion
            + params.elasticity * jnp.log(state.price)
            + felt
            - 0.5 * deviation**2
        )
        demand = quantiles.negative_binomial(uniforms["demand"], level, params.dispersion, LARGEST)
        tomorrow = state.replace(
            day=jnp.where(state.day + 1.0 >= params.period, 0.0, state.day + 1.0), shock=shock
        )
        tomorrow = self._plan(tomorrow, uniforms["promotion"], uniforms["price"], params)
        return tomorrow, demand[None, None]

    def known(self, state: CausalState, params: CausalParams):
        angle = 2 * jnp.pi * state.day / params.period
        return jnp.stack([jnp.sin(angle), jnp.cos(angle), state.promotion, jnp.log(state.price)])

    def under(self, state: CausalState, params: CausalParams, change, day):
        seen = state.replace(
            promotion=(change.instead("promotion", state.promotion, day) > 0).astype(jnp.float32),
            price=change.instead("price", state.price, day),
        )
        numbers = params.replace(
            intercept=params.intercept + jnp.log(change.factor(day)),
            shock=change.instead("shock", params.shock, day),
        )
        return seen, numbers

    def _plan(self, state, promotion, price, params):
        """Promotion and price of the state's day."""
        now = season(state, params)
        likely = jax.nn.sigmoid(params.promotion_intercept + params.promotion_season * now)
        log_price = params.price_season * now + params.price_deviation * quantiles.standard_normal(
            price
        )
        return state.replace(
            promotion=(promotion < likely).astype(jnp.float32), price=jnp.exp(log_price)
        )


def season(state: CausalState, params: CausalParams) -> jax.Array:
    return jnp.sin(2 * jnp.pi * state.day / params.period)


def with_mean(law: CausalParams, mean: float) -> CausalParams:
    """The law with the intercept that gives a long-run mean: its other numbers as float32.

    Args:
      law: its intercept is not read.
      mean: units a day, over all seasons, promotions, prices and shocks.
    """
    sine = np.sin(2 * np.pi * np.arange(int(law.period)) / law.period)
    likely = 1 / (1 + np.exp(-law.promotion_intercept - law.promotion_season * sine))
    level = np.exp((law.amplitude + law.elasticity * law.price_season) * sine) * (
        1 + likely * np.expm1(law.promotion_effect)
    )
    level = level.mean() * np.exp((law.elasticity * law.price_deviation) ** 2 / 2)
    return jax.tree.map(np.float32, law.replace(intercept=np.log(mean / level)))
