"""The classical rules, each with the numbers that are tuned (`jaxinv.policies.rule`)."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri

from jaxinv.envs import views
from jaxinv.envs.observation import Observation
from jaxinv.envs.problem import Problem
from jaxinv.envs.topology import Topology
from jaxinv.errors import UserError, unknown
from jaxinv.policies.choice import best_forecasts
from jaxinv.policies.following import Smoothing, following, lagged_sum
from jaxinv.policies.fresh import kept_fresh
from jaxinv.policies.fulfilment import fulfilling
from jaxinv.policies.registry import CLASSICAL, FORECASTS, RULES
from jaxinv.policies.rule import Rule, of_supply


@dataclass(frozen=True)
class BaseStock(Rule):
    """Order up to a level, every node by itself."""

    name = "base_stock"
    ranges = {"level": (0.0, 4.0)}

    @classmethod
    def applies(cls, problem):
        """With two suppliers it is the dual index and goes by that name."""
        return not views.several_suppliers(problem.env.topology)

    def position(self, observation: Observation) -> jax.Array:
        return views.end_position(self.topology, observation)

    def act(self, params, observation, context):
        target = params["level"] * self.units(params, observation, context).level
        return self.fill(observation, target, self.position(observation))


@dataclass(frozen=True)
class EchelonBaseStock(BaseStock):
    """Order the echelon up to a level; shortages are rationed by the network (proportionally unless
    it says else).

    For a node with several suppliers the levels are those of a dual-index policy.
    """

    name = "echelon_base_stock"

    @classmethod
    def applies(cls, problem):
        """It differs from base-stock only where a node supplies another."""
        return super().applies(problem) and problem.env.topology.depth > 0

    def coverage(self, facts):
        return views.echelon_coverage(self.topology, facts)

    def position(self, observation):
        return views.edge_position(self.topology, observation)


@dataclass(frozen=True)
class CappedBaseStock(EchelonBaseStock):
    """Base-stock with orders of at most a cap (Xin 2021); on two suppliers, the capped dual
    index.
    """

    name = "capped_base_stock"
    ranges = {"level": (0.0, 4.0), "cap": (0.3, 6.0)}

    @classmethod
    def applies(cls, problem):
        return True

    def act(self, params, observation, context):
        cap = params["cap"] * self.units(params, observation, context).quantity
        return jnp.minimum(super().act(params, observation, context), cap)


@dataclass(frozen=True)
class DualIndex(EchelonBaseStock):
    """Two order-up-to levels for a fast and a slow supplier (Veeraraghavan & Scheller-Wolf
    2008).
    """

    name = "dual_index"

    @classmethod
    def applies(cls, problem):
        return views.several_suppliers(problem.env.topology)

    def __post_init__(self):
        if not views.several_suppliers(self.topology):
            raise UserError(
                f"{self.name} needs a node with two suppliers, as in dual_sourcing; try base_stock"
            )


@dataclass(frozen=True)
class TailoredBaseSurge(DualIndex):
    """A constant order from the slow supplier, and a base-stock level for the fast one (Allon & Van
    Mieghem 2010).
    """

    name = "tailored_base_surge"
    ranges = {"level": (0.0, 4.0), "quantity": (0.0, 2.0)}

    @classmethod
    def applies(cls, problem):
        return super().applies(problem) and not problem.env.topology.depth

    def act(self, params, observation, context):
        lead = observation.instance.lead_time
        supply = np.isin(np.arange(self.topology.edges), self.topology.lateral, invert=True)
        same = np.equal.outer(self.topology.destinations, self.topology.destinations) & supply
        slow = jnp.any(same & (lead[None, :] < lead[:, None]), 1)[:, None]
        units = self.units(params, observation, context)
        constant = params["quantity"] * units.quantity
        surge = jnp.maximum(params["level"] * units.level - self.position(observation), 0.0)
        return of_supply(self.topology, jnp.where(slow, constant, surge))


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
        unit = self.units(params, observation, context).level
        reorder = params["reorder"] * unit
        position = self.position(observation)
        target = reorder + params["gap"] * unit
        # strictly above s nothing is ordered; the margin keeps whole numbers on the right side in
        # float32
        return jnp.where(position <= reorder + 1e-4, self.fill(observation, target, position), 0.0)


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
        units = self.units(params, observation, context)
        reorder, lot = params["reorder"] * units.level, params["lot"] * units.quantity
        gap = reorder - self.position(observation)
        lots = jnp.floor(jnp.maximum(gap, 0.0) / lot + 1e-4) + 1.0
        return of_supply(self.topology, jnp.where(gap >= -1e-4, lots * lot, 0.0))


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
        return of_supply(
            self.topology, params["quantity"] * self.units(params, observation, context).quantity
        )


@dataclass(frozen=True)
class AnchorAndAdjust(Rule):
    """How people order in the beer game (Sterman 1989): what they expect, plus a part of what stock
    and supply line lack,

        order = (expected + adjustment * (level - stock - supply_line * outstanding))^+

    where stock is on-hand minus backorders; `level`, `adjustment`, `supply_line` and `smoothing`
    are Sterman's S', alpha_S, beta and theta. A stage expects the orders it received, smoothed
    exponentially over the window of history; what lies before counts as the typical demand.
    Smoothing 0 always expects the typical demand, 1 the order received last. Sterman's players
    decide before this period's arrivals, which here are in stock already: with `supply_line` below
    1 that differs.

    Attributes:
      history: W, the window.
      settled: periods at the start in which nothing is adjusted; in the game all order 4 for the
        first weeks.
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
                f"anchor_and_adjust needs the last {needed} orders between nodes (order_memory) and"
                f" this network keeps {self.topology.order_memory}; try serial with order_delays"
            )

    def encode(self, params, signals, facts):
        """Smoothed customer demand at the end of each edge `[T, E, K]`, without what lies before
        the window.
        """
        network = self.topology
        places, products = len(network.demand_nodes), network.products
        demand = signals[:, : places * products].reshape(-1, places, products)
        demand = jax.vmap(lambda demand: network.at_destination(network.at_demand_nodes(demand)))(
            demand
        )
        by_order = jax.vmap(jax.vmap(lagged_sum, 1, 1), 1, 1)
        return by_order(self._weights(params), demand)

    def act(self, params, observation, context):
        network, facts = self.topology, observation.instance
        before = (1.0 - params["smoothing"]) ** self.history
        expected = context + before * network.at_destination(facts.scale)
        if network.internal:
            received = views.received(network, observation)[..., : self.history]
            received = network.at_destination(received)
            expected += jnp.einsum(
                "wek,ekw->ek", self._weights(params), received, precision="highest"
            )
        stock = network.at_destination(views.net_inventory(network, observation))
        outstanding = views.on_order(network, observation)
        lacking = (
            params["level"] * self.level_unit(facts) - stock - params["supply_line"] * outstanding
        )
        adjusted = expected + params["adjustment"] * lacking
        return jnp.maximum(jnp.where(observation.time < self.settled, expected, adjusted), 0.0)

    def _weights(self, params) -> jax.Array:
        """Weights of the last W periods, the latest first `[W, E, K]`."""
        smoothing = params["smoothing"]
        return smoothing * (1.0 - smoothing) ** jnp.arange(self.history)[:, None, None]


@dataclass(frozen=True)
class Newsvendor(EchelonBaseStock):
    """Order up to forecast demand over the coverage plus a safety stock: the myopic newsvendor on a
    forecast.

    It has no number of its own; the safety is that of its forecast (`jaxinv.policies.following`).
    """

    name = "newsvendor"
    ranges = {}

    @classmethod
    def applies(cls, problem):
        return True

    def act(self, params, observation, context):
        target = self.units(params, observation, context).level
        return self.fill(observation, target, self.position(observation))


@dataclass(frozen=True)
class QuantileNewsvendor(following(Newsvendor, Smoothing)):
    """Order up to the quantile of forecast demand over the coverage that each node's own costs ask
    for:

        level = mean + (z(underage / (underage + holding)) + shift) * standard deviation,
        z the standard normal quantile,

    the generalised newsvendor of Alvo et al. (2306.11246) with a normal forecast; shift 0 is the
    newsvendor itself, and what is tuned makes good for errors that add up over periods and for what
    is lost. A node that supplies others has the mean ratio of all below it that sell, by what they
    sell.
    """

    name = "newsvendor_quantile"
    ranges = Smoothing.numbers | {"shift": (-2.0, 4.0)}
    scalars = frozenset(ranges)

    @classmethod
    def applies(cls, problem):
        """One safety serves all instances whose costs ask for the same quantile of demand."""
        return super().applies(problem) and ratios_differ(problem)

    def safety(self, params, facts):
        return (
            self.topology.at_destination(ndtri(_ratio_below(self.topology, facts)))
            + params["shift"]
        )


def make_rule(
    name: str, topology: Topology, history: int = 1, season: int = 7, covariates: int = 0
) -> Rule:
    """The rule of that name for a network, in the form that its mechanisms ask for.

    Args:
      history, season, covariates: of the environment; see `Rule.create`.
    """
    if name not in RULES:
        raise unknown("rule", name, RULES)
    rule = RULES[name]
    rule = fulfilling(rule) if topology.storeless else rule
    rule = kept_fresh(rule) if topology.has("shelf_lives") else rule
    return rule.create(topology, history=history, season=season, covariates=covariates)


def rule_for(problem: Problem, name: str) -> Rule:
    """The rule of that name for a problem's network, window, season and covariates, fitted to its
    training demand.
    """
    env = problem.env
    rule = make_rule(name, env.topology, env.history, problem.season, env.world.covariates)
    return rule.fitted_to(problem)


def applicable_rules(problem: Problem) -> list[str]:
    """Names of the rules that make sense for a problem."""
    return [name for name, rule in RULES.items() if rule.applies(problem)]


def default_rules(problem: Problem) -> list[str]:
    """Names of the rules that an evaluation tries unasked: those that apply, and of the forms that
    follow a forecast only those of forecasts that were about the best on training demand, if they
    were better than none (`jaxinv.policies.choice`).
    """
    forms = {f"{rule}_{forecast}": forecast for forecast in FORECASTS for rule in CLASSICAL}
    names = applicable_rules(problem)
    best = best_forecasts(problem, [RULES[f"newsvendor_{forecast}"] for forecast in FORECASTS])
    return [
        name for name in names if name not in forms or forms[name] in {one.suffix for one in best}
    ]


def ratios_differ(problem: Problem) -> bool:
    """Whether the costs of the instances, or of places that sell, ask for different quantiles of
    demand.
    """
    ratio = jax.vmap(problem.env.facts)(problem.train).critical_ratio
    return float(jnp.ptp(ratio[:, np.asarray(problem.env.topology.demand_nodes)])) > 1e-6


def _ratio_below(topology, facts):
    """The critical ratio `[N, K]` of each node, or of those below it that sell, kept from 0 and
    1.
    """
    sells = topology.among(topology.demand_nodes)
    ratio = jnp.clip(facts.critical_ratio, 1e-4, 1.0 - 1e-4)
    if not topology.depth:
        return ratio
    weight = jnp.where(sells, facts.scale, 0.0)
    below = views.echelon_sum(topology, weight * ratio) / jnp.maximum(
        views.echelon_sum(topology, weight), 1e-9
    )
    return jnp.clip(below, 1e-4, 1.0 - 1e-4)
