"""The cross-border network of seed 000: a bonded warehouse at home supplies Europe and the United
States by air or sea.

Where its numbers come from (the fits stand in `jaxinv.data.fits`, with how they were made; no file
is read):

- fitted: the spread of lead times by mode and the freight tariff by mode (USAID SCMS deliveries);
  volume of SKUs by velocity class, season of the year, size and persistence of demand shocks, and
  of wholesale buyers dispersion and week (Online Retail).
- methods.md D.5: three warehouses; supplier 7 days and ocean 21 and 28 days on average; the customs
  regime; review every 7 days, air daily; lost sales; margins of 20-40% of price; six promotions a
  year of 1.5-4 times demand with dips; correlation .3 between markets; 20/30/50% fast, medium and
  slow SKUs.
- chosen: everything else, each where it stands below.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from scipy import special

from jaxinv.data.fits import ONLINE_RETAIL_DEMAND, SCMS_FREIGHT, SCMS_LEAD_TIMES, TIER_EDGES_KG
from jaxinv.demand import quantiles
from jaxinv.demand.exogenous import LeadTimeProcess
from jaxinv.demand.market import MarketDemand, MarketParams, Promotions, market_params
from jaxinv.envs.builder import Network
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.problem import Preset, Problem, first_of, not_negative, positive, probability
from jaxinv.errors import UserError, unknown
from jaxinv.keys import instance_generator
from jaxinv.limits import check_memory

MARKETS = ("home", "EU", "US")
EDGES = ("supplier-home", "home-EU by air", "home-EU by sea", "home-US by air", "home-US by sea")
VELOCITIES = {"fast": "fast", "medium": "medium", "slow": "long_tail"}
CARTONS = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # chosen: units in a carton


@dataclass(frozen=True, kw_only=True)
class CrossBorder(Preset):
    """Three warehouses, each with its own market; a batch of SKUs, each an instance of its own.

    The supplier fills the home warehouse; from there each market abroad is supplied by air and by
    sea, two edges between the same two nodes. What a market lacks is lost. Time is in days, money
    in US dollars.

    Cost is what a planner can move: holding, capital in transit, freight, duty, and for each unit
    lost the price less the purchase value. Profit is then a constant minus this cost: revenue and
    purchase of a unit that is sold both lie in that constant, and a lost unit saves its freight and
    duty because it is never shipped. The supplier's price includes its transport. Prices abroad are
    set on the value landed by sea, so the margin is what is left after freight by sea and duty.

    Lead times are lognormal with the fitted coefficients of variation (by sea .32, by air and truck
    .58), in whole days of 1 to `max_lead_time` with the means below. The fits measure order to
    delivery with production, so only their spread is used. The air mean is chosen: the fitted
    sea/air ratio of 1.8 holds months of production on both sides, and without them 7 days door to
    door is what forwarders quote.

    A freight tariff has the fitted tiers as shares of the value shipped, per SKU: a week's demand
    of the market counts as the median consignment of the fit, with all SKUs shipped in the same
    way. A week's demand then costs 9.1% of its value by air (a day's, 12.9%) and 3.7% by sea.

    Attributes:
      velocity: SKUs that are "fast", "medium" or "slow" sellers, or "mixed", 20/30/50%.
      skus: how many, drawn once from `instance_seed`.
      equal_weights: the reward is in percent of a SKU's mean daily sales at purchase value, so that
        every SKU weighs the same; otherwise in dollars, where a few fast sellers are nearly all of
        it. The cost vector is in dollars always.
      instance_seed: of the SKUs' volumes, values and margins.
      buyers: "consumers" or "wholesale". Wholesale has the fitted dispersion of each class (.26
        fast, .15 medium, .10 slow: rare bulk orders) and the fitted week with no trade on
        Saturdays. Consumers order a few units at a time on all days: `dispersion`, and the fitted
        week with a Saturday like the Sunday.
      dispersion: r of consumers' demand about its level, variance = level + level^2 / r; chosen.
      market_shares: mean demand of home, EU and US relative to the fitted volume of an SKU, each
        SKU 35% about it; chosen, because the fitted shop has no warehouse abroad.
      correlation: of the demand shocks of two markets.
      promotions: a year, in each market. uplift: least and most factor on demand.
      supplier_lead_time, air_lead_time, ocean_lead_times: mean days; of the sea to EU and US.
      max_lead_time: the longest that any order takes.
      disruption_probability: a day, of customs being disrupted; disruption_days: mean length;
        disruption_delay: least and most days that an order to EU or US, placed meanwhile, takes
        longer.
      review_period: days between orders to the supplier and between sailings. air_review_period:
        between air shipments.
      holding_rate: cost of a day in stock as a share of value. D.5 says .02, 730% a year: at that
        rate three weeks of stock cost the whole margin, and no one would keep a warehouse abroad.
        The default .002 (73% a year: capital 18%, the rest fulfilment-centre storage and markdown
        of short-lived goods) leaves air and sea both worth having.
      transit_rate: the same in transit, capital alone.
      value: median purchase value of a unit, SKUs lognormal about it with standard deviation .5 of
        its logarithm; chosen.
      value_per_kg: of the goods; the fitted shares of value are for 82 dollars a kilogram and scale
        with its inverse.
      margin: least and most margin of a SKU as a share of price.
      duty: of EU and US as a share of value; of the size of their average tariffs on industrial
        goods.
      minimum_order_days: the supplier's minimum order, in days of total demand; chosen.
    """

    horizon: int = 180
    history: int = 28
    velocity: str = "mixed"
    skus: int = 256
    equal_weights: bool = True
    instance_seed: int = 0
    buyers: str = "consumers"
    dispersion: float = 2.0
    market_shares: tuple[float, ...] = (1.0, 0.6, 0.8)
    correlation: float = 0.3
    promotions: float = 6.0
    uplift: tuple[float, ...] = (1.5, 4.0)
    supplier_lead_time: float = 7.0
    air_lead_time: float = 7.0
    ocean_lead_times: tuple[float, ...] = (21.0, 28.0)
    max_lead_time: int = 45
    disruption_probability: float = 0.01
    disruption_days: float = 14.0
    disruption_delay: tuple[int, ...] = (3, 14)
    review_period: int = 7
    air_review_period: int = 1
    holding_rate: float = 0.002
    transit_rate: float = 0.0005
    value: float = 20.0
    value_per_kg: float = SCMS_FREIGHT.usd_value_per_kg
    margin: tuple[float, ...] = (0.2, 0.4)
    duty: tuple[float, ...] = (0.041, 0.031)
    minimum_order_days: float = 7.0

    def __post_init__(self):
        super().__post_init__()
        if self.velocity not in (*VELOCITIES, "mixed"):
            raise unknown("velocity", self.velocity, (*VELOCITIES, "mixed"))
        if self.buyers not in ("consumers", "wholesale"):
            raise unknown("buyers", self.buyers, ("consumers", "wholesale"))
        for name in (
            "market_shares",
            "uplift",
            "ocean_lead_times",
            "disruption_delay",
            "margin",
            "duty",
        ):
            length = 3 if name == "market_shares" else 2
            if len(getattr(self, name)) != length:
                raise UserError(f"{name}={getattr(self, name)} must be {length} numbers")
        positive(
            self,
            "skus",
            "dispersion",
            "review_period",
            "air_review_period",
            "value",
            "value_per_kg",
        )
        not_negative(
            self, "market_shares", "holding_rate", "transit_rate", "duty", "minimum_order_days"
        )
        not_negative(self, "disruption_delay")
        probability(self, "correlation", "disruption_probability")
        if not min(self.market_shares) > 0:
            raise UserError(f"market_shares={self.market_shares} must all be above 0")
        if not self.disruption_days >= 1:
            raise UserError(f"disruption_days={self.disruption_days} must be at least 1")
        if self.disruption_delay[0] > self.disruption_delay[1]:
            raise UserError(
                f"disruption_delay={self.disruption_delay} must be the least and the most days"
            )
        if not 0 < self.margin[0] <= self.margin[1] < 1:
            raise UserError(
                f"margin={self.margin} must be the least and the most share of price, within 0..1"
            )
        for name in ("supplier_lead_time", "air_lead_time", "ocean_lead_times"):
            for mean in np.atleast_1d(getattr(self, name)):
                if not 1 <= mean <= 0.8 * self.max_lead_time:
                    raise UserError(
                        f"{name}={getattr(self, name)} must be at least 1 and at most 0.8 of"
                        " max_lead_time"
                    )
        check_memory(10_000 * self.skus, f"{self.skus:,} SKUs", "skus")
        self.planned_promotions()

    def planned_promotions(self) -> Promotions:
        return Promotions(self.promotions, tuple(self.uplift))

    def build(self) -> Problem:
        skus = draw_skus(self)
        net, weights = self._network(skus)
        demand = stacked([self._demand(sku) for sku in skus])
        law = stacked([self._lead_time_law()] * self.skus)
        problem = net.problem(
            self, demand=(MarketDemand(locations=3), demand),
            lead_times=(CustomsLeadTimes(edges=5, longest=self.max_lead_time), law),
            name="cross_border",
            test_periods=60 + 365, warm_up=60,
            labels=tuple(f"{sku.velocity} {number}" for number, sku in enumerate(skus, 1)),
        )  # fmt: skip
        if not self.equal_weights:
            return problem
        own = np.asarray(problem.train.weights) * weights.astype(np.float32)
        params = problem.train.replace(weights=jax.device_put(own))
        env = InventoryNetwork(
            problem.env.topology, problem.env.world, first_of(params), self.history, "cross_border"
        )
        return replace(problem, env=env, train=params, test=params)

    def _network(self, skus: list["Sku"]) -> tuple[Network, np.ndarray]:
        """The network with numbers of all SKUs, and what makes their costs alike `[skus, 1]`."""
        net = Network(
            period="day",
            instances=self.skus,
            whole_units=self.integer_orders,
            longest_lead_time_periods=self.max_lead_time,
        )
        numbers = stacked([self._numbers(sku) for sku in skus])
        net.supplier("supplier")
        for n, market in enumerate(MARKETS):
            net.node(
                market, demand=True, typical_demand_units_per_period=numbers["at_node"][:, n],
                holding_cost_per_unit_period=numbers["holding"],
                shortage_cost_per_unit=numbers["shortage"][:, n],
                initial_stock_from_units=np.round(7 * numbers["at_node"][:, n]),
                initial_stock_to_units=np.round((21, 35, 42)[n] * numbers["at_node"][:, n]),
            )  # fmt: skip
        review = np.array(
            [self.review_period, *2 * (self.air_review_period, self.review_period)], float
        )
        ends = ("supplier", "home"), ("home", "EU"), ("home", "EU"), ("home", "US"), ("home", "US")
        for e, (name, (source, destination), lead_time) in enumerate(
            zip(EDGES, ends, self._lead_times())
        ):
            at_edge = numbers["at_edge"][:, e]
            net.edge(
                source, destination, name=name, lead_time_periods=lead_time,
                review_periods=review[e],
                duty_per_unit=numbers["duty"][:, e],
                transit_cost_per_unit_period=numbers["transit"],
                freight_from_units=numbers["breaks"][:, e],
                freight_rate_per_unit=numbers["rates"][:, e],
                pack_units=numbers["carton"][:, e] if self.integer_orders else None,
                minimum_order_units=numbers["minimum"][:, e] if self.minimum_order_days else None,
                initial_pipeline_units_per_period=np.round((1, 0, 1, 0, 1)[e] * at_edge),
                largest_order_units=at_edge * (lead_time + 2 * review[e]),
            )  # fmt: skip
        return net, 100 / numbers["value"].astype(np.float32)[:, None]

    def _numbers(self, sku: "Sku") -> dict[str, np.ndarray]:
        """Numbers of an SKU by node or edge."""
        total = sku.mean.sum()
        at_node = np.array([total, *sku.mean[1:]])
        at_edge = at_node[[0, 1, 1, 2, 2]]
        air, sea = (
            np.array(mode.tier_value_share) for mode in (SCMS_FREIGHT.air, SCMS_FREIGHT.ocean)
        )
        rates = (
            np.array([0 * air, air, sea, air, sea])
            * SCMS_FREIGHT.usd_value_per_kg
            / self.value_per_kg
        )
        landed = 1 + np.array([0.0, *self.duty]) + np.array([0.0, *2 * (week_freight(rates[2]),)])
        carton = np.array([carton_size(quantity) for quantity in 7 * at_edge])
        carton[[1, 3]] = 1  # by air single units
        minimum = np.ceil(self.minimum_order_days * total / carton[0]) * carton[0]
        return dict(
            at_node=at_node,
            at_edge=at_edge,
            value=sku.value * total,
            holding=self.holding_rate * sku.value,
            shortage=sku.value * landed / (1 - sku.margin) - sku.value,
            transit=self.transit_rate * sku.value,
            duty=np.array([0.0, *np.repeat(self.duty, 2)]) * sku.value,
            breaks=7
            * at_edge[:, None]
            * np.array([0.0, *TIER_EDGES_KG])
            / SCMS_FREIGHT.reference_kg,
            rates=rates * sku.value,
            carton=carton,
            minimum=np.array([minimum, 0, 0, 0, 0]),
        )

    def _demand(self, sku: "Sku") -> MarketParams:
        fit = ONLINE_RETAIL_DEMAND
        week, dispersion = list(fit.week), self.dispersion
        if self.buyers == "wholesale":
            dispersion = velocity_class(sku.velocity).dispersion
        else:
            week[5] = week[6]
        return market_params(
            sku.mean, dispersion, week, fit.year, fit.shock_variance, fit.shock_persistence,
            self.correlation,
            self.planned_promotions(),
        )  # fmt: skip

    def _lead_times(self) -> np.ndarray:
        eu, us = self.ocean_lead_times
        return np.array(
            [self.supplier_lead_time, self.air_lead_time, eu, self.air_lead_time, us], float
        )

    def _lead_time_law(self) -> "CustomsLaw":
        air, sea = SCMS_LEAD_TIMES.air.lognormal_cv, SCMS_LEAD_TIMES.ocean.lognormal_cv
        sigma = np.sqrt(
            np.log1p(np.array([air, air, sea, air, sea]) ** 2)
        )  # the supplier's truck borrows the air's
        least, most = self.disruption_delay
        law = CustomsLaw(
            median=[
                median_lead_time(*edge, self.max_lead_time)
                for edge in zip(self._lead_times(), sigma, strict=True)
            ],
            sigma=sigma,
            least_delay=[0, *4 * (least,)],
            most_delay=[0, *4 * (most,)],
            enter=self.disruption_probability,
            leave=1 / self.disruption_days,
        )
        return CustomsLaw(
            **{name: np.asarray(value, np.float32) for name, value in vars(law).items()}
        )


def stacked(trees: list[Any]) -> Any:
    """Trees of numbers as one with a leading axis."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


@struct.dataclass
class CustomsLaw:
    """Numbers of `CustomsLeadTimes`."""

    median: jax.Array  # [E] days, in the normal regime
    sigma: jax.Array  # [E] standard deviation of the logarithm
    least_delay: jax.Array  # [E] further days in the disrupted regime, whole numbers
    most_delay: jax.Array  # [E]
    enter: jax.Array  # [] probability a day that the normal regime ends
    leave: jax.Array  # [] probability a day that the disrupted regime ends


@dataclass(frozen=True)
class CustomsLeadTimes(LeadTimeProcess):
    """An independent lognormal lead time for each order, in whole days of 1 .. `longest`, longer
    while customs is disrupted.

    Regimes are a Markov chain of two states, as in `RandomLeadTimes`; in closed form, because a
    table of 45 days for every SKU of a batch costs more than the rest of the world. Monotone in the
    uniforms of "lead_time".
    """

    edges: int
    longest: int

    @property
    def noise(self):
        return {"lead_time": (2, self.edges), "regime": ()}

    def init(self, uniforms, params):
        return jnp.int32(0)

    def step(self, regime, uniforms, params):
        law: CustomsLaw = params.lead_time_law
        u = uniforms["regime"]
        regime = jnp.where(regime == 0, u < law.enter, u >= law.leave).astype(jnp.int32)
        spread, late = uniforms["lead_time"]
        days = jnp.round(law.median * jnp.exp(law.sigma * quantiles.standard_normal(spread)))
        delay = law.least_delay + jnp.floor((law.most_delay - law.least_delay + 1.0) * late)
        days = jnp.clip(days, 1.0, self.longest) + jnp.where(regime == 0, 0.0, delay)
        return regime, jnp.minimum(days, self.longest)

    def latest(self, params):
        return jnp.full(self.edges, float(self.longest))


@dataclass(frozen=True)
class Sku:
    """Attributes: velocity: class; mean: units a day in each market `[3]`; value: dollars; margin:
    share of price.
    """

    velocity: str
    mean: np.ndarray
    value: float
    margin: float


def draw_skus(preset: CrossBorder) -> list[Sku]:
    """The SKUs of a preset, fastest class first; home volume is lognormal as fitted, at least a
    unit in 20 days.
    """
    draw = instance_generator(preset.instance_seed)
    skus = []
    for number in range(preset.skus):
        share = (number + 0.5) / preset.skus
        velocity = preset.velocity
        if velocity == "mixed":
            velocity = "fast" if share < 0.2 else "medium" if share < 0.5 else "slow"
        fit = velocity_class(velocity)
        volume = max(draw.lognormal(fit.log_mean, fit.log_sd), 0.05)
        mean = volume * np.array(preset.market_shares) * draw.lognormal(-0.06, 0.35, 3)
        skus.append(
            Sku(velocity, mean, preset.value * draw.lognormal(0, 0.5), draw.uniform(*preset.margin))
        )
    return skus


def velocity_class(velocity: str):
    """The fitted class of a velocity."""
    return next(part for part in ONLINE_RETAIL_DEMAND.classes if part.name == VELOCITIES[velocity])


def week_freight(rates: np.ndarray) -> float:
    """Freight of a week's demand as a share of its value, at marginal rates `[B]`."""
    edges = np.array([0.0, *TIER_EDGES_KG, np.inf]) / SCMS_FREIGHT.reference_kg
    return float(np.sum(rates * np.diff(np.minimum(edges, 1.0))))


def carton_size(week: float) -> float:
    """The largest carton of which a week's demand fills five or more; at least 1."""
    return float(max([size for size in CARTONS if size <= week / 5], default=1))


def median_lead_time(mean: float, sigma: float, longest: int) -> float:
    """Median of the lognormal that, rounded and held to 1 .. `longest` days, has this mean (by
    bisection).
    """
    low, high = 1e-3, 10.0 * longest
    for _ in range(60):
        middle = np.sqrt(low * high)
        low, high = (
            (middle, high)
            if longest - _within(middle, sigma, longest).sum() < mean
            else (low, middle)
        )
    return high


def _within(median: float, sigma: float, longest: int) -> np.ndarray:
    """Probability of at most 1 .. `longest` - 1 days."""
    return special.ndtr(np.log((np.arange(1, longest) + 0.5) / median) / sigma)
