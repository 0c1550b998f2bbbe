"""A store whose demand is a structural causal model and whose supplier is at times disrupted:
ground truth for effects.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from jaxinv.demand.causal import LARGEST, CausalDemand, CausalParams, with_mean
from jaxinv.demand.exogenous import RandomLeadTimesParams
from jaxinv.envs.presets import SingleStore
from jaxinv.envs.problem import mass_function, not_negative, positive, probability
from jaxinv.errors import UserError
from jaxinv.limits import check_memory


@dataclass(frozen=True, kw_only=True)
class CausalStore(SingleStore):
    """One store with lost sales; its promotions and prices follow the season that also moves its
    demand.

    What happens when a promotion is set, a price changed, an order delayed, has one true answer
    here (`jaxinv.adapt`), and logs show it only to those who account for the season. All numbers
    are chosen. See `jaxinv.demand.causal.CausalDemand`.

    Attributes:
      mean, dispersion: units a day over all seasons, and r of the negative binomial.
      amplitude, period: of the season, in the logarithm of demand and in days (whole).
      promotion_intercept, promotion_season: of the logit of a promotion; the defaults run one on 3
        in 10 days, from 1 in 20 off season to 6 in 10 in season.
      promotion_effect: on the logarithm of demand. elasticity: of demand in price, below 0.
      price_season, price_deviation: of the logarithm of the price.
      shock_deviation, persistence: of the logarithm of demand, and from one day to the next.
      lead_time_pmf: probabilities of a lead time of 0, 1, 2, … days while the supplier works
        normally.
      disruption_probability: a day, that he is disrupted; disruption_days: mean length;
        disruption_delay: days that orders placed meanwhile take longer.
      room: days by which lead times can exceed the longest of these under an intervention.
      deviation, low, high, variation: not read here, as the law has numbers of its own.
      holding_cost, shortage_cost, fixed_cost, unit_cost: see `SingleStore`.
    """

    horizon: int = 180
    demand: str = "causal"
    lead_time_pmf: tuple[float, ...] = (0.0, 0.0, 0.25, 0.5, 0.25)
    dispersion: float = 4.0
    persistence: float = 0.8
    amplitude: float = 0.4
    period: float = 28.0
    promotion_intercept: float = -1.2
    promotion_season: float = 1.6
    promotion_effect: float = 0.5
    elasticity: float = -1.5
    price_season: float = 0.05
    price_deviation: float = 0.08
    shock_deviation: float = 0.2
    disruption_probability: float = 0.01
    disruption_days: float = 10.0
    disruption_delay: int = 3
    room: int = 18

    name = "causal_store"

    def __post_init__(self):
        super().__post_init__()
        if self.demand != "causal":
            raise UserError(
                f"demand={self.demand}: causal_store has its own law; lost_sales has the others"
            )
        if not self.lead_time_pmf:
            raise UserError("causal_store needs lead_time_pmf, the probabilities of its lead times")
        positive(self, "mean", "dispersion")
        not_negative(
            self, "amplitude", "price_deviation", "shock_deviation", "disruption_delay", "room"
        )
        probability(self, "disruption_probability")
        longest = len(self.lead_time_pmf) + self.disruption_delay + self.room
        check_memory(
            64 * longest, f"lead times of up to {longest:,} days", "room or disruption_delay"
        )
        if not self.elasticity <= 0:
            raise UserError(
                f"elasticity={self.elasticity} must be at most 0: a higher price does not raise"
                " demand"
            )
        if not 0 <= self.persistence < 1:
            raise UserError(f"persistence={self.persistence} must lie in 0..1, 1 excluded")
        if self.period < 2 or self.period != int(self.period):
            raise UserError(f"period={self.period} must be whole days, at least 2")
        if not self.disruption_days >= 1:
            raise UserError(f"disruption_days={self.disruption_days} must be at least 1")
        self._check_range()

    def _check_range(self) -> None:
        """The law sums a fixed number of terms; a busy day in season has to lie within them."""
        numbers = self._causal_params()
        busy = float(
            np.exp(
                numbers.intercept
                + self.amplitude
                + max(self.promotion_effect, 0)
                + 2 * self.shock_deviation
            )
        )
        r = self.dispersion
        if stats.nbinom(r, r / (r + busy)).sf(LARGEST) > 1e-5:
            raise UserError(
                f"mean={self.mean} with these effects makes days of more than {LARGEST} units,"
                " which the law cannot draw; give a smaller mean or amplitude, or a larger"
                " dispersion"
            )

    def _causal_params(self):
        law = CausalParams(
            intercept=0.0,
            amplitude=self.amplitude,
            period=self.period,
            promotion_intercept=self.promotion_intercept,
            promotion_season=self.promotion_season,
            promotion_effect=self.promotion_effect,
            elasticity=self.elasticity,
            price_season=self.price_season,
            price_deviation=self.price_deviation,
            shock_deviation=self.shock_deviation,
            shock_persistence=self.persistence,
            dispersion=self.dispersion,
        )
        return with_mean(law, self.mean)

    def demand_process(self):
        return CausalDemand(), self._causal_params(), self.mean

    def lead_time_law(self):
        """Two regimes; the quoted lead time is the mean over both."""
        mass = mass_function("lead_time_pmf", self.lead_time_pmf)
        longest = len(mass) - 1 + self.disruption_delay + self.room
        normal = np.zeros(longest + 1)
        normal[: len(mass)] = mass
        both = np.stack([normal, np.roll(normal, self.disruption_delay)])
        leave = 1 / self.disruption_days
        disrupted = self.disruption_probability / (self.disruption_probability + leave)
        law = RandomLeadTimesParams(
            np.asarray(np.cumsum(both, 1)[:, :-1, None], np.float32),
            np.float32(self.disruption_probability),
            np.float32(leave),
        )
        return law, float(mass @ np.arange(len(mass)) + disrupted * self.disruption_delay)
