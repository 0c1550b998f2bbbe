"""The classical rules, each with the numbers that are tuned (`jaxinv.policies.rule`)."""

import math
from dataclasses import dataclass, fields

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.scipy.special import ndtri

from jaxinv.envs import views
from jaxinv.envs.environment import Facts, Observation
from jaxinv.envs.problem import Problem
from jaxinv.envs.topology import Topology
from jaxinv.errors import UserError, unknown
from jaxinv.policies.policy import echelon_coverage, fill_to
from jaxinv.policies.rule import Rule, quantity_unit


@dataclass(frozen=True)
class BaseStock(Rule):
    """Order up to a level, every node by itself."""

    name = "base_stock"
    ranges = {"level": (0.0, 4.0)}

    @classmethod
    def applies(cls, problem):
        """With two suppliers it is the dual index and goes by that name."""
        return not views.shared_destinations(problem.env.topology)

    def position(self, observation: Observation) -> jax.Array:
        return self.topology.at_destination(views.inventory_position(self.topology, observation))

    def act(self, params, observation, context):
        target = params["level"] * self.level_unit(observation.instance)
        return fill_to(self.topology, observation, target, self.position(observation))


@dataclass(frozen=True)
class EchelonBaseStock(BaseStock):
    """Order the echelon up to a level; shortages are rationed by the network (proportionally unless it says else).

    For a node with several suppliers the levels are those of a dual-index policy.
    """

    name = "echelon_base_stock"

    @classmethod
    def applies(cls, problem):
        """It differs from base-stock only where a node supplies another."""
        return super().applies(problem) and problem.env.topology.internal

    def coverage(self, facts):
        return echelon_coverage(self.topology, facts)

    def position(self, observation):
        return views.edge_position(self.topology, observation)


@dataclass(frozen=True)
class CappedBaseStock(EchelonBaseStock):
    """Base-stock with orders of at most a cap (Xin 2021); on two suppliers, the capped dual index."""

    name = "capped_base_stock"
    ranges = {"level": (0.0, 4.0), "cap": (0.3, 6.0)}

    @classmethod
    def applies(cls, problem):
        return True

    def act(self, params, observation, context):
        return jnp.minimum(
            super().act(params, observation, context), params["cap"] * quantity_unit(self.topology, observation.instance)
        )


@dataclass(frozen=True)
class DualIndex(EchelonBaseStock):
    """Two order-up-to levels for a fast and a slow supplier (Veeraraghavan & Scheller-Wolf 2008)."""

    name = "dual_index"

    @classmethod
    def applies(cls, problem):
        return views.shared_destinations(problem.env.topology)

    def __post_init__(self):
        if not views.shared_destinations(self.topology):
            raise UserError(f"{self.name} needs a node with two suppliers, as in dual_sourcing; try base_stock")


@dataclass(frozen=True)
class TailoredBaseSurge(DualIndex):
    """A constant order from the slow supplier, and a base-stock level for the fast one (Allon & Van Mieghem 2010)."""

    name = "tailored_base_surge"
    ranges = {"level": (0.0, 4.0), "quantity": (0.0, 2.0)}

    @classmethod
    def applies(cls, problem):
        return super().applies(problem) and not problem.env.topology.internal

    def act(self, params, observation, context):
        lead = observation.instance.lead_time
        same = jnp.asarray([[a == b for b in self.topology.destinations] for a in self.topology.destinations])
        slow = jnp.any(same & (lead[None, :] < lead[:, None]), 1)[:, None]
        constant = params["quantity"] * quantity_unit(self.topology, observation.instance)
        target = params["level"] * self.level_unit(observation.instance)
        surge = jnp.maximum(target - self.position(observation), 0.0)
        return jnp.where(slow, constant, surge)


@dataclass(frozen=True)
class ReorderUpTo(EchelonBaseStock):
    """(s, S): at or below the reorder point s, order up to S = s + gap."""

    name = "s_S"
    ranges = {"reorder": (0.0, 4.0), "gap": (0.0, 2.0)}
    bounds = {"gap": (0.0, math.inf)}
    jumps = True

    @classmethod
    def applies(cls, problem):
        return True

    def act(self, params, observation, context):
        unit = self.level_unit(observation.instance)
        reorder = params["reorder"] * unit
        position = self.position(observation)
        target = reorder + params["gap"] * unit
        # strictly above s nothing is ordered; the margin keeps whole numbers on the right side in float32
        return jnp.where(position <= reorder + 1e-4, fill_to(self.topology, observation, target, position), 0.0)


@dataclass(frozen=True)
class ReorderLots(EchelonBaseStock):
    """(R, nQ): at or below R, order the fewest lots of Q that lift the position above R."""

    name = "r_nQ"
    ranges = {"reorder": (0.0, 4.0), "lot": (0.2, 6.0)}
    jumps = True

    @classmethod
    def applies(cls, problem):
        return True

    def act(self, params, observation, context):
        reorder = params["reorder"] * self.level_unit(observation.instance)
        lot = params["lot"] * quantity_unit(self.topology, observation.instance)
        gap = reorder - self.position(observation)
        lots = jnp.floor(jnp.maximum(gap, 0.0) / lot + 1e-4) + 1.0
        return jnp.where(gap >= -1e-4, lots * lot, 0.0)


@dataclass(frozen=True)
class ConstantOrder(Rule):
    """The same order in every period."""

    name = "constant_order"
    ranges = {"quantity": (0.0, 2.0)}

    @classmethod
    def applies(cls, problem):
        """With backlog it has no steady state."""
        return not problem.env.topology.backlog

    def act(self, params, observation, context):
        return params["quantity"] * quantity_unit(self.topology, observation.instance)


@dataclass(frozen=True)
class AnchorAndAdjust(Rule):
    """How people order in the beer game (Sterman 1989): what they expect, plus a part of what stock and supply line lack,

        order = (expected + adjustment * (level - stock - supply_line * outstanding))^+

    where stock is net of what is owed; `level`, `adjustment`, `supply_line` and `smoothing` are Sterman's S', alpha_S, beta
    and theta. A stage expects the orders it received, smoothed exponentially over the window of history; what lies before
    counts as the typical demand. Smoothing 0 always expects the typical demand, 1 the order received last. Sterman's
    players decide before this period's arrivals, which here are in stock already: with `supply_line` below 1 that differs.

    Attributes:
      history: W, the window.
      settled: periods at the start in which nothing is adjusted; in the game all order 4 for the first weeks.
    """

    history: int = 1
    settled: int = 0

    name = "anchor_and_adjust"
    bounds = dict.fromkeys(("smoothing", "adjustment", "supply_line"), (0.0, 1.0))
    ranges = {"level": (0.0, 4.0), **bounds}

    @classmethod
    def applies(cls, problem):
        """It is how people order where orders take time."""
        return bool(problem.env.topology.order_delays)

    def __post_init__(self):
        needed = self.history + max(self.topology.order_delays, default=0)
        if self.topology.internal and self.topology.order_memory < needed:
            raise UserError(
                f"anchor_and_adjust needs the last {needed} orders between nodes (order_memory) and this network keeps "
                f"{self.topology.order_memory}; try serial with order_delays"
            )

    def encode(self, params, signals, facts):
        """Smoothed customer demand at the end of each edge `[T, E, K]`, without what lies before the window."""
        network = self.topology
        places, products = len(network.demand_nodes), network.products
        demand = signals[:, : places * products].reshape(-1, places, products)
        demand = jax.vmap(lambda demand: network.at_destination(network.at_demand_nodes(demand)))(demand)
        by_order = jax.vmap(jax.vmap(lagged_sum, 1, 1), 1, 1)
        return by_order(self._weights(params), demand)

    def act(self, params, observation, context):
        network, facts = self.topology, observation.instance
        before = (1.0 - params["smoothing"]) ** self.history
        expected = context + before * network.at_destination(facts.scale)
        if network.internal:
            delays = network.order_delays or (0,) * network.edges
            received = jnp.stack(
                [observation.orders[edge, :, delay : delay + self.history] for edge, delay in enumerate(delays)]
            )  # [E, K, W], at the source of each edge
            received = network.at_destination(network.out_of_nodes(received))
            expected += jnp.einsum("wek,ekw->ek", self._weights(params), received, precision="highest")
        stock = network.at_destination(views.net_inventory(network, observation))
        outstanding = views.on_order(network, observation)
        lacking = params["level"] * self.level_unit(facts) - stock - params["supply_line"] * outstanding
        adjusted = expected + params["adjustment"] * lacking
        return jnp.maximum(jnp.where(observation.time < self.settled, expected, adjusted), 0.0)

    def _weights(self, params) -> jax.Array:
        """Weights of the last W periods, the latest first `[W, E, K]`."""
        smoothing = params["smoothing"]
        return smoothing * (1.0 - smoothing) ** jnp.arange(self.history)[:, None, None]


@struct.dataclass
class Forecast:
    """What a forecasting rule knows of demand in each period `[T, ...]`."""

    total: jax.Array  # [E, K] expected over the coverage of an order on each edge, everything downstream included
    variance: jax.Array  # [D, K] of one period's demand
    next: jax.Array  # [D, K] expected in the coming period


@dataclass(frozen=True)
class ForecastNewsvendor(EchelonBaseStock):
    """Order up to a forecast of demand over the coverage plus a safety stock (the myopic newsvendor on a forecast).

    The forecast is exponential smoothing over the window of history: level and mean squared deviation with the same
    weights. `smoothing` and `safety` (standard deviations) are shared by all nodes and SKUs.

    Attributes:
      history: W, the window.
    """

    history: int = 1

    name = "newsvendor_smoothing"
    forecasts = True
    ranges = {"smoothing": (0.01, 0.6), "safety": (-1.0, 6.0)}
    bounds = {"smoothing": (0.0, 1.0)}
    scalars = frozenset({"smoothing", "safety"})

    @classmethod
    def applies(cls, problem):
        """It needs a history to forecast from."""
        return problem.env.history >= 4

    def encode(self, params, signals, facts):
        places, products = len(self.topology.demand_nodes), self.topology.products
        demand = signals[:, : places * products].reshape(-1, places, products)
        return self.forecast(params, demand, facts)

    def act(self, params, observation, context: Forecast):
        network, facts = self.topology, observation.instance
        deviation = jnp.sqrt(views.downstream(network, network.at_demand_nodes(context.variance)) + 1e-6)
        deviation = network.at_destination(deviation) * jnp.sqrt(self.coverage(facts))[:, None]
        target = context.total + self.safety(params, facts) * deviation
        return fill_to(network, observation, target, self.position(observation))

    def safety(self, params, facts: Facts) -> jax.Array:
        """Standard deviations of demand over the coverage that the level lies above its mean, `[]` or `[E, K]`."""
        return params["safety"]

    def predict(self, context: Forecast):
        return context.next

    def forecast(self, params, demand, facts) -> Forecast:
        """Forecasts from past demand `[T, D, K]`, made with what is known up to each row."""
        age = jnp.arange(self.history)
        weights = (1.0 - params["smoothing"]) ** age
        weights = weights / weights.sum()
        mean = lagged_sum(weights, demand)
        variance = jnp.maximum(lagged_sum(weights, demand**2) - mean**2, 0.0)
        return Forecast(self._along_edges(mean) * self.coverage(facts)[:, None], variance, mean)

    def _along_edges(self, demand: jax.Array) -> jax.Array:
        """Demand `[T, D, K]` that passes the end of each edge `[T, E, K]`."""
        network = self.topology

        def single(demand):
            return network.at_destination(views.downstream(network, network.at_demand_nodes(demand)))

        return jax.vmap(single)(demand)


@dataclass(frozen=True)
class QuantileNewsvendor(ForecastNewsvendor):
    """Order up to the quantile of forecast demand over the coverage that each node's own costs ask for:

        level = mean + (z(underage / (underage + holding)) + shift) * standard deviation,   z the standard normal quantile,

    the generalised newsvendor of Alvo et al. (2306.11246) with a normal forecast; shift 0 is the newsvendor itself, and
    what is tuned makes good for errors that add up over periods and for what is lost.
    """

    name = "newsvendor_quantile"
    ranges = {"smoothing": (0.01, 0.6), "shift": (-2.0, 4.0)}
    scalars = frozenset({"smoothing", "shift"})

    @classmethod
    def applies(cls, problem):
        """One safety serves all instances whose costs ask for the same quantile of demand."""
        alike = problem.env.topology.internal or not ratios_differ(problem)
        return super().applies(problem) and not alike

    def __post_init__(self):
        if self.topology.internal:
            raise UserError(f"{self.name} needs nodes that all sell: a warehouse has no critical ratio of its own")

    def safety(self, params, facts):
        ratio = jnp.clip(facts.critical_ratio, 1e-4, 1.0 - 1e-4)
        return self.topology.at_destination(ndtri(ratio)) + params["shift"]


@dataclass(frozen=True)
class SeasonalNewsvendor(ForecastNewsvendor):
    """The newsvendor on a rolling seasonal-naive forecast: each period to come is expected to be the mean of the same
    phase of the season in the window; the error is taken from differences one season apart.

    Attributes:
      season: periods of a season.
    """

    season: int = 7

    name = "newsvendor_seasonal"
    ranges = {"safety": (-1.0, 6.0)}
    scalars = frozenset({"safety"})

    @classmethod
    def applies(cls, problem):
        return problem.env.history >= 2 * problem.season

    def __post_init__(self):
        if self.history < 2 * self.season:
            raise UserError(
                f"newsvendor_seasonal needs history={2 * self.season} or more (two seasons), not {self.history}"
            )

    def forecast(self, params, demand, facts):
        season, seasons = self.season, self.history // self.season
        age = jnp.arange(seasons * season)

        def visits(cover):
            """How often the phase of each age comes up in the next `cover` periods."""
            return jnp.floor((cover + age) / season) - jnp.floor(age / season)

        flow = self._along_edges(demand)
        total = jax.vmap(lambda cover, flow: lagged_sum(visits(cover) / seasons, flow), (0, 1), 1)(
            self.coverage(facts), flow
        )
        pairs = self.history - season
        change = demand - jnp.concatenate([demand[:season], demand[:-season]])
        variance = lagged_sum(jnp.full(pairs, 0.5 / pairs), change**2)
        return Forecast(total, variance, lagged_sum(visits(1.0) / seasons, demand))


def lagged_sum(weights: jax.Array, series: jax.Array) -> jax.Array:
    """sum_a weights[a] * series[t - a] for every row t of `[T, ...]`; rows before the first count as zero.

    One product with a banded matrix, for any number of weights.
    """
    periods = series.shape[0]
    age = np.arange(periods)[:, None] - np.arange(periods)[None, :]
    inside = (age >= 0) & (age < weights.shape[0])
    band = jnp.where(inside, weights[np.clip(age, 0, weights.shape[0] - 1)], 0.0)
    return jnp.tensordot(band, series, axes=1, precision="highest")


RULES = {
    rule.name: rule
    for rule in (
        BaseStock, EchelonBaseStock, CappedBaseStock, ReorderUpTo, ReorderLots, ConstantOrder, DualIndex,
        TailoredBaseSurge, AnchorAndAdjust, ForecastNewsvendor, QuantileNewsvendor, SeasonalNewsvendor,
    )
}  # fmt: skip
"""All rules by name. One from elsewhere joins with `RULES[rule.name] = rule`."""


def make_rule(name: str, topology: Topology, history: int = 1, season: int = 7) -> Rule:
    """The rule of that name for a network; the window and the season go to those that have such a field."""
    if name not in RULES:
        raise unknown("rule", name, RULES)
    rule, known = RULES[name], {"history": history, "season": season}
    return rule(topology, **{field.name: known[field.name] for field in fields(rule) if field.name in known})


def rule_for(problem: Problem, name: str) -> Rule:
    """The rule of that name for a problem's network, window and season."""
    return make_rule(name, problem.env.topology, problem.env.history, problem.season)


def applicable_rules(problem: Problem) -> list[str]:
    """Names of the rules that make sense for a problem, each behaviour once."""
    return [name for name, rule in RULES.items() if rule.applies(problem)]


def ratios_differ(problem: Problem) -> bool:
    """Whether the costs of the instances ask for different quantiles of demand."""
    if problem.instances is None:
        return False
    return float(jnp.ptp(jax.vmap(problem.env.facts)(problem.train).critical_ratio)) > 1e-6
