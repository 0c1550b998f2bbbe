"""Where the parameters of a rule are searched: as far as demand itself asks for, and further where
the best lies at an end.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.reach import Flow
from jaxinv.envs.topology import Topology
from jaxinv.evaluation.rollout import BATCH
from jaxinv.policies.rule import Rule, quantity_unit

MARGIN = 0.02
"""A parameter within this share of an end of its range lies at that end."""

INSIDE = 0.1
"""How far from the ends, as a share of the range, a point is put that shows whether an end
matters.
"""


@struct.dataclass
class Ranges:
    """A box `[d, C]` in which points are sought: d entries of all parameters, C sets of parameters
    side by side.

    Points of the unit cube are shares of the box. A range of sizes (`Rule.ranges`) is read on a
    logarithmic scale. Where demand makes another range wider than twice that of the rule, shares
    are bent so that half of them stay within that: one lumpy series must not coarsen the search of
    all others.
    """

    low: jax.Array
    high: jax.Array
    least: jax.Array  # ends that cannot be passed
    most: jax.Array
    grain: (
        jax.Array
    )  # steps of a level below which whole orders stay the same; 0 where orders are divisible
    usual: jax.Array  # [d, 1] width of the rule's own range
    sizes: jax.Array  # [d, 1] bool, whether on a logarithmic scale

    def values(self, shares: jax.Array) -> jax.Array:
        """Points `[..., d, C]` from shares of each range."""
        low, high = self._safe_ends()
        straight = self.low + (self.high - self.low) * shares ** self._bend()
        return jnp.where(self.sizes, low * (high / low) ** shares, straight)

    def shares(self, values: jax.Array) -> jax.Array:
        """Shares of each range from points within: the inverse of `values`."""
        low, high = self._safe_ends()
        straight = jnp.clip((values - self.low) / (self.high - self.low), 0.0, 1.0) ** (
            1 / self._bend()
        )
        size = jnp.log(jnp.where(self.sizes, values, low) / low) / jnp.log(high / low)
        return jnp.clip(jnp.where(self.sizes, size, straight), 0.0, 1.0)

    def at_ends(self, values: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Whether points lie at the lower and the upper end, where the search could have gone on
        `[..., d, C]` bool.

        At the lower end lies too what orders the same whole units as the end itself.
        """
        shares = self.shares(values)
        lower = ((shares <= MARGIN) | (values < self.low + 0.999 * self.grain)) & (
            self.low > self.least
        )
        return lower, (shares >= 1.0 - MARGIN) & (self.high < self.most)

    def widened(self, best: jax.Array) -> "Ranges":
        """The ranges moved on where the best point `[d, C]` lies at an end: by as much again, or to
        four times the size.
        """
        lower, upper = self.at_ends(best)
        width = self.high - self.low
        further = jnp.where(self.sizes, 4.0 * self.high, self.high + width)
        before = jnp.where(self.sizes, 0.25 * self.low, self.low - width)
        return self.replace(
            low=jnp.where(lower, jnp.maximum(before, self.least), self.low),
            high=jnp.where(upper, jnp.minimum(further, self.most), self.high),
        )

    def inside(self, point: jax.Array) -> jax.Array:
        """The point with all that lies at an end put inside: if it costs as little, the end does
        not matter.
        """
        lower, upper = self.at_ends(point)
        shares = self.shares(point)
        moved = jnp.where(lower, INSIDE, jnp.where(upper, 1.0 - INSIDE, shares))
        return jnp.where(lower | upper, self.values(moved), point)

    def _bend(self):
        return jnp.maximum(1.0, jnp.log2(jnp.maximum((self.high - self.low) / self.usual, 1.0)))

    def _safe_ends(self):
        return jnp.where(self.sizes, self.low, 1.0), jnp.where(self.sizes, self.high, 2.0)


def first_ranges(
    env: InventoryNetwork,
    rule: Rule,
    instance: InstanceParams,
    axis: int | None,
    shared: bool,
    demand: jax.Array,
) -> Ranges:
    """The ranges that a search begins with: those of the rule, levels and quantities as far as
    demand asks for.

    Args:
      axis: `BATCH` where `instance` is a batch of instances.
      shared: whether all instances share one set of parameters: then it is the widest of their
        needs.
      demand: `[C, T, D, K, B]` of the training instances.
    """
    topology = env.topology
    need = jax.vmap(
        lambda instance, demand: _needs(env, rule, instance, demand), (axis, BATCH), BATCH
    )
    levels, quantities, grain = need(instance, demand)  # [E, K, B]
    if shared or axis is None:
        levels, quantities = (jnp.max(need, BATCH, keepdims=True) for need in (levels, quantities))
        grain = jnp.min(grain, BATCH, keepdims=True)
    columns = levels.shape[BATCH]
    ends = []
    for name, shape in rule.shapes().items():
        low, high = rule.ranges[name]
        need = (
            levels
            if name in rule.levels
            else quantities
            if name in rule.quantities
            else jnp.zeros_like(levels)
        )
        steps = grain if name in rule.levels else jnp.zeros_like(grain)
        need, steps = (
            (_entries(need, shape), _entries(steps, shape))
            if shape
            else (need.max((0, 1)), steps.min((0, 1)))
        )
        least, most = rule.bounds.get(name, _bounds(rule, topology, name))
        rows = math.prod(shape)
        full = [jnp.full((rows, columns), end) for end in (low, least, most)]
        need, steps = (values.reshape(rows, columns) for values in (need, steps))
        rest = (np.full((rows, 1), high - low), np.full((rows, 1), low > 0))
        ends.append((full[0], jnp.clip(need, high, most), *full[1:], steps, *rest))
    return Ranges(*(jnp.concatenate(end) for end in zip(*ends)))


def _entries(per_edge, shape):
    """Values `[E, K, C]` for each entry `[E, K, ..., C]` of a parameter of that shape."""
    further = len(shape) - 2
    values = per_edge.reshape(*per_edge.shape[:2], *(1,) * further, per_edge.shape[-1])
    return jnp.broadcast_to(values, (*shape, per_edge.shape[-1]))


def _bounds(rule: Rule, topology: Topology, name: str) -> tuple[float, float]:
    """What a parameter can be at all: a level is negative only where something can be owed, a
    quantity never.
    """
    signed = name not in rule.levels | rule.quantities or (name in rule.levels and topology.backlog)
    low = rule.ranges[name][0]
    return (-math.inf if signed and low <= 0 else min(low, 0.0)), math.inf


def _needs(env, rule, instance, demand):
    """How far levels and quantities have to be searched, and the grain of levels, in their own
    units `[E, K]`.

    A level is to reach what demand over the coverage of an order seldom passes, a quantity likewise
    over a review. A level also has to reach what is ordered at least, above all that is used up
    meanwhile: of packs that are larger than demand, an order below half of one is never placed.
    """
    topology, facts = env.topology, env.facts(instance)
    flow = Flow.of(topology, instance, demand)
    level_unit = jnp.maximum(rule.level_unit(facts), 1e-9)
    level = (flow.most(rule.coverage(facts)) + flow.least) / level_unit
    quantity = jnp.maximum(flow.most(facts.review_period), flow.least) / jnp.maximum(
        quantity_unit(topology, facts), 1e-9
    )
    return level, quantity, flow.least / level_unit
