"""The classical rules.

Parameters are pure numbers: a level is a multiple of the typical demand over an order's coverage (lead time and review),
a quantity a multiple of the typical demand of one review period. So one search range fits every instance, and one level
can be shared by SKUs of any size. `natural` turns them back into units.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxinv.envs import views
from jaxinv.envs.environment import Facts, Observation
from jaxinv.envs.topology import Topology
from jaxinv.errors import UserError, unknown
from jaxinv.policies.policy import Policy, coverage, fill_to

Range = tuple[float, float]


@dataclass(frozen=True)
class Rule(Policy):
    """A classical rule: a policy with a few numbers, each with the range they are searched in."""

    name: ClassVar[str]
    ranges: ClassVar[dict[str, Range]]  # per parameter; each is an array [E, K] unless listed in `scalars`
    scalars: ClassVar[frozenset[str]] = frozenset()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter."""
        full = (self.topology.edges, self.topology.products)
        return {name: () if name in self.scalars else full for name in self.ranges}

    def natural(self, params: dict[str, Any], facts: Facts) -> dict[str, Any]:
        """Parameters in product units."""
        units = {"level": level_unit, "reorder": level_unit, "gap": level_unit}
        units |= {"cap": quantity_unit, "lot": quantity_unit, "quantity": quantity_unit}
        return {
            name: value * units[name](self.topology, facts) if name in units else value
            for name, value in params.items()
        }


def level_unit(topology: Topology, facts: Facts) -> jax.Array:
    """Typical demand over the coverage of an order on each edge `[E, K]`."""
    return topology.at_destination(facts.scale) * coverage(facts)[:, None]


def quantity_unit(topology: Topology, facts: Facts) -> jax.Array:
    """Typical demand of one review period at the end of each edge `[E, K]`."""
    return topology.at_destination(facts.scale) * facts.review_period[:, None]


@dataclass(frozen=True)
class BaseStock(Rule):
    """Order up to a level. For a node with several suppliers the levels are those of a dual-index policy."""

    name = "base_stock"
    ranges = {"level": (0.0, 3.0)}

    def position(self, observation: Observation) -> jax.Array:
        if views.shared_destinations(self.topology):
            return views.edge_position(self.topology, observation)
        return self.topology.at_destination(views.inventory_position(self.topology, observation))

    def act(self, params, observation, context):
        target = params["level"] * level_unit(self.topology, observation.instance)
        return fill_to(self.topology, observation, target, self.position(observation))


@dataclass(frozen=True)
class EchelonBaseStock(BaseStock):
    """Order the echelon up to a level; shortages are rationed by the network (proportionally unless it says else)."""

    name = "echelon_base_stock"

    def position(self, observation):
        return views.edge_position(self.topology, observation)


@dataclass(frozen=True)
class CappedBaseStock(BaseStock):
    """Base-stock with orders of at most a cap (Xin 2021); on two suppliers, the capped dual index."""

    name = "capped_base_stock"
    ranges = {"level": (0.0, 3.0), "cap": (0.3, 6.0)}

    def act(self, params, observation, context):
        return jnp.minimum(
            super().act(params, observation, context), params["cap"] * quantity_unit(self.topology, observation.instance)
        )


@dataclass(frozen=True)
class DualIndex(BaseStock):
    """Two order-up-to levels for a fast and a slow supplier (Veeraraghavan & Scheller-Wolf 2008)."""

    name = "dual_index"

    def __post_init__(self):
        if not views.shared_destinations(self.topology):
            raise UserError("dual_index needs a node with two suppliers, as in dual_sourcing; try base_stock")


@dataclass(frozen=True)
class ReorderUpTo(EchelonBaseStock):
    """(s, S): at or below the reorder point s, order up to S = s + gap."""

    name = "s_S"
    ranges = {"reorder": (0.0, 3.0), "gap": (0.0, 2.0)}

    def act(self, params, observation, context):
        unit = level_unit(self.topology, observation.instance)
        reorder = params["reorder"] * unit
        position = self.position(observation)
        target = reorder + params["gap"] * unit
        # strictly above s nothing is ordered; the margin keeps whole numbers on the right side in float32
        return jnp.where(position <= reorder + 1e-4, fill_to(self.topology, observation, target, position), 0.0)


@dataclass(frozen=True)
class ReorderLots(EchelonBaseStock):
    """(R, nQ): at or below R, order the fewest lots of Q that lift the position above R."""

    name = "r_nQ"
    ranges = {"reorder": (0.0, 3.0), "lot": (0.2, 6.0)}

    def act(self, params, observation, context):
        reorder = params["reorder"] * level_unit(self.topology, observation.instance)
        lot = params["lot"] * quantity_unit(self.topology, observation.instance)
        gap = reorder - self.position(observation)
        lots = jnp.floor(jnp.maximum(gap, 0.0) / lot + 1e-4) + 1.0
        return jnp.where(gap >= -1e-4, lots * lot, 0.0)


@dataclass(frozen=True)
class ConstantOrder(Rule):
    """The same order in every period."""

    name = "constant_order"
    ranges = {"quantity": (0.0, 2.0)}

    def act(self, params, observation, context):
        return params["quantity"] * quantity_unit(self.topology, observation.instance)


@dataclass(frozen=True)
class ForecastNewsvendor(EchelonBaseStock):
    """Order up to a forecast of demand over the coverage plus a safety stock (the myopic newsvendor on a forecast).

    The forecast is exponential smoothing over the window of history: level and mean squared deviation with the same
    weights. `smoothing` and `safety` (standard deviations) are shared by all nodes and SKUs.
    """

    name = "newsvendor_smoothing"
    ranges = {"smoothing": (0.01, 0.6), "safety": (-0.5, 3.5)}
    scalars = frozenset({"smoothing", "safety"})
    wants_window = True

    def act(self, params, observation, context):
        total, variance = self.forecast(params, self.demand(observation), observation)
        network = self.topology
        deviation = jnp.sqrt(views.downstream(network, network.at_demand_nodes(variance)) + 1e-6)
        deviation = network.at_destination(deviation) * jnp.sqrt(coverage(observation.instance))[:, None]
        target = total + params["safety"] * deviation
        return fill_to(network, observation, target, self.position(observation))

    def demand(self, observation: Observation) -> jax.Array:
        """Past demand `[W, D, K]`, latest last."""
        places, products = len(self.topology.demand_nodes), self.topology.products
        return observation.signals[:, : places * products].reshape(-1, places, products)

    def forecast(self, params, demand, observation):
        """Demand over each edge's coverage `[E, K]` and the variance of one period's demand `[D, K]`."""
        age = jnp.arange(demand.shape[0])[::-1]
        weights = (1.0 - params["smoothing"]) ** age
        weights = weights / weights.sum()
        mean = jnp.tensordot(weights, demand, axes=1)
        variance = jnp.tensordot(weights, (demand - mean) ** 2, axes=1)
        network = self.topology
        rate = network.at_destination(views.downstream(network, network.at_demand_nodes(mean)))
        return rate * coverage(observation.instance)[:, None], variance


@dataclass(frozen=True)
class SeasonalNewsvendor(ForecastNewsvendor):
    """The newsvendor on a rolling seasonal-naive forecast: each period to come is expected to be the mean of the same
    phase of the season in the window; the error is taken from differences one season apart.

    Attributes:
      season: periods of a season.
    """

    season: int = 7

    name = "newsvendor_seasonal"
    ranges = {"safety": (-0.5, 3.5)}
    scalars = frozenset({"safety"})

    def forecast(self, params, demand, observation):
        window, season = demand.shape[0], self.season
        if window < 2 * season:
            raise UserError(f"newsvendor_seasonal needs history={2 * season} or more (two seasons), not {window}")
        whole = demand[window % season :].reshape(-1, season, *demand.shape[1:])
        profile = whole.mean(0)  # [season, D, K]; entry 0 is the phase of the coming period
        network = self.topology
        rate = jax.vmap(lambda mean: views.downstream(network, network.at_demand_nodes(mean)))(profile)
        rate = jax.vmap(network.at_destination)(rate)  # [season, E, K]
        cover = coverage(observation.instance)
        times = jnp.clip((cover[None] - jnp.arange(season)[:, None]) / season, 0.0, None)
        visits = jnp.ceil(times)  # how often each phase lies within the coverage [season, E]
        variance = jnp.mean((demand[season:] - demand[:-season]) ** 2, 0) / 2
        return jnp.sum(visits[..., None] * rate, 0), variance


RULES = {
    rule.name: rule
    for rule in (
        BaseStock, EchelonBaseStock, CappedBaseStock, ReorderUpTo, ReorderLots, ConstantOrder, DualIndex,
        ForecastNewsvendor, SeasonalNewsvendor,
    )
}  # fmt: skip


def make_rule(name: str, topology: Topology, season: int = 7) -> Rule:
    """The rule of that name for a network; `season` matters to the seasonal newsvendor alone."""
    if name not in RULES:
        raise unknown("rule", name, RULES)
    rule = RULES[name]
    return rule(topology, season=season) if rule is SeasonalNewsvendor else rule(topology)
