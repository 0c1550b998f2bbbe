"""What a classical rule is: a policy with a few numbers, and all that a tuning needs to know of
them.

Parameters are pure numbers: a level is a multiple of the typical demand over an order's coverage
(lead time and review), a quantity a multiple of the typical demand of one review period. So one
level can be shared by SKUs of any size. `natural` turns them back into units.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs import views
from jaxinv.envs.observation import Facts, Observation
from jaxinv.envs.problem import Problem
from jaxinv.envs.topology import Topology
from jaxinv.policies.policy import Policy, fill_to

Range = tuple[float, float]


class Units(NamedTuple):
    """What the numbers of a rule are multiples of, `[E, K]` each."""

    level: jax.Array  # demand over the coverage of an order on each edge
    quantity: jax.Array  # demand of one review period at the end of each edge


@dataclass(frozen=True)
class Rule(Policy):
    """A classical rule: a policy with a few numbers. All that a tuning needs to know is on its
    class.

    Fields `history` and `season`, where a rule has them, are filled with the window of the
    environment and the periods of a season (`create`).

    Attributes:
      name: what it is called in commands and tables.
      ranges: where each parameter is searched first. The upper end of a level or quantity is raised
        to what demand asks for, and an end where the best lies is moved on
        (`jaxinv.evaluation.ranges`), so a range is a place to begin and no bound. One that begins
        above zero is of sizes: it stays above zero and is read on a logarithmic scale, as half of
        the caps are then below 1.3 periods of demand, which is where a cap changes anything.
      bounds: ends `(low, high)` that a parameter cannot pass, where they are others than those that
        follow from its kind: no quantity or size is negative, and a level only where something can
        be owed.
      scalars: parameters that are one number `[]`; all others are arrays `[E, K]`.
      levels: parameters that are multiples of the typical demand over the coverage of an order.
      quantities: parameters that are multiples of the typical demand of one review period.
      jumps: whether orders jump in the parameters, so that a derivative is of no use.
    """

    name: ClassVar[str]
    ranges: ClassVar[dict[str, Range]]
    bounds: ClassVar[dict[str, Range]] = {}
    scalars: ClassVar[frozenset[str]] = frozenset()
    levels: ClassVar[frozenset[str]] = frozenset({"level", "reorder", "gap"})
    quantities: ClassVar[frozenset[str]] = frozenset({"cap", "lot", "quantity"})
    jumps: ClassVar[bool] = False

    def __post_init__(self):
        """Refuses a network that the rule is not for."""

    @classmethod
    def applies(cls, problem: Problem) -> bool:
        """Whether the rule makes sense for a problem and no other rule behaves the same there."""
        return True

    @classmethod
    def create(cls, topology: Topology, **known: int) -> "Rule":
        """The rule for a network, with those of `known` (`history`, `season`, `covariates`) that it
        has a field for.
        """
        own = {field.name for field in fields(cls)}
        return cls(topology, **{name: value for name, value in known.items() if name in own})

    @property
    def dimensions(self) -> int:
        """How many numbers a tuning has to find."""
        return sum(math.prod(shape) for shape in self.shapes().values())

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter."""
        full = (self.topology.edges, self.topology.products)
        return {name: () if name in self.scalars else full for name in self.ranges}

    def fitted_to(self, problem: Problem) -> "Rule":
        """The rule with what it takes from training demand at once, before its numbers are tuned;
        most take nothing.
        """
        return self

    def units(self, params: dict[str, Any], observation: Observation, context: Any) -> Units:
        """What levels and quantities are multiples of in this period: typical demand, or a forecast
        of it.
        """
        facts, goodwill = (
            observation.instance,
            views.goodwill_along_edges(self.topology, observation),
        )
        return Units(
            self.level_unit(facts) * goodwill, quantity_unit(self.topology, facts) * goodwill
        )

    def natural(self, params: dict[str, Any], facts: Facts) -> dict[str, Any]:
        """Parameters in product units."""
        level, quantity = self.level_unit(facts), quantity_unit(self.topology, facts)
        units = dict.fromkeys(self.levels, level) | dict.fromkeys(self.quantities, quantity)
        return {name: value * units.get(name, 1.0) for name, value in params.items()}

    def fill(self, observation: Observation, target: jax.Array, position: jax.Array) -> jax.Array:
        """Orders that bring positions up to targets `[E, K]`; nothing moves along lateral edges."""
        return fill_to(
            self.topology, observation, of_supply(self.topology, target, -jnp.inf), position
        )

    def level_unit(self, facts: Facts) -> jax.Array:
        """Typical demand over the coverage of an order on each edge `[E, K]`."""
        return self.topology.at_destination(facts.scale) * self.coverage(facts)[:, None]

    def coverage(self, facts: Facts) -> jax.Array:
        """Periods an order covers `[E]`."""
        return views.coverage(facts)


def of_supply(
    topology: Topology, values: jax.Array | float, lateral: jax.Array | float = 0.0
) -> jax.Array:
    """Values `[E, K]` on edges of supply, and others on lateral ones: a rule that knows no
    transfers orders nothing on these.
    """
    if not topology.lateral:
        return values
    return jnp.where(np.isin(np.arange(topology.edges), topology.lateral)[:, None], lateral, values)


def quantity_unit(topology: Topology, facts: Facts) -> jax.Array:
    """Typical demand of one review period at the end of each edge `[E, K]`."""
    return topology.at_destination(facts.scale) * facts.review_period[:, None]
