"""How rules order perishable goods: up to a bound, beyond which a unit is more likely to be wasted
than to avoid a shortage.

One level for perishable and durable goods is wrong for one of them: stock of durable goods costs
little, and stock of perishable goods expires. So where products have shelf lives of their own, the
orders of a rule are bounded, product by product, by its costs. One more unit avoids a shortage if
demand over the coverage of an order exceeds the stock before it, and is wasted if demand until the
order expires does not reach it:

    P(coverage < bound) + waste * P(until it spoils < bound) = critical ratio,

`waste` being what a unit wasted costs, in what a unit short and a unit held cost together. That is
the newsvendor, with waste as well where goods last a period or two. Where an order has a fixed cost
or a minimum, it may cover later periods too, and only waste bounds it. The purchase cost of a unit
plays no part: it is paid in any case, or is part of the cost of waste.
"""

from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
from jax.scipy.special import erf

from jaxinv.envs import views
from jaxinv.envs.observation import Observation
from jaxinv.policies.rule import Rule

HALVINGS = 8
"""Of the interval in which the bound is sought, before a last step by its slope."""

FAR = 5.0
"""Standard deviations above the mean that the interval ends at."""


@cache
def kept_fresh(rule: type[Rule]) -> type[Rule]:
    """The same rule for goods with shelf lives of their own, with one number more: `variation`, how
    much more than Poisson demand varies, as a share of it."""

    def act(self, params, observation, context):
        orders = rule.act(self, params, observation, context)
        return jnp.minimum(orders, _most(self, params, observation, context))

    body = {
        "__doc__": rule.__doc__,
        "act": act,
        "ranges": rule.ranges | {"variation": (0.05, 2.0)},
        "scalars": rule.scalars | {"variation"},
    }
    return dataclass(frozen=True)(type(f"Fresh{rule.__name__}", (rule,), body))


def _most(rule: Rule, params, observation: Observation, context) -> jax.Array:
    """The largest orders `[E, K]` of a rule; infinite for goods that do not expire.

    The smallest possible order is still allowed where its sales within the shelf life are worth
    more than its waste.
    """
    topology, facts = rule.topology, observation.instance
    life, waste, ratio = (
        topology.at_destination(values)
        for values in (facts.shelf_life, facts.waste, facts.critical_ratio)
    )
    coverage, spoils = rule.coverage(facts)[:, None], facts.lead_time[:, None] + life
    rate = rule.units(params, observation, context).level / coverage
    for_later = any(map(topology.has, ("fixed_cost", "freight", "minimum_order")))
    target = freshness_bound(
        rate, spoils if for_later else coverage, spoils, ratio, waste, params["variation"]
    )
    position = views.edge_position(topology, observation)
    if not topology.backlog:  # what is asked for in vain until then, the order need not serve
        position = position + views.until_arrival(topology, observation).missed
    room = jnp.maximum(target - position, 0.0)
    sold = jnp.minimum(rate * life, facts.least)
    pays = (room >= 0.5) & (ratio * sold >= waste * (facts.least - sold))
    return jnp.where(life > 0, jnp.where(pays, jnp.maximum(room, facts.least), room), jnp.inf)


def freshness_bound(
    rate: jax.Array,
    coverage: jax.Array,
    spoils: jax.Array,
    ratio: jax.Array,
    waste: jax.Array,
    variation: jax.Array,
) -> jax.Array:
    """The bound in units.

    Args:
      rate: demand a period.
      coverage, spoils: periods until the next order could be here, and until this one spoils.
      ratio: critical ratio; waste: what a unit wasted costs, see above.
      variation: of the rate of demand, which is Poisson otherwise; taken as normal.
    """

    def wide(periods):
        return jnp.sqrt(periods * (rate + (variation * rate) ** 2) + 1e-9)

    def below(periods, stock):
        return 0.5 * (1.0 + erf((stock - rate * periods) / (wide(periods) * jnp.sqrt(2.0))))

    def density(periods, stock):
        scale = wide(periods)
        return jnp.exp(-0.5 * ((stock - rate * periods) / scale) ** 2) / (
            scale * jnp.sqrt(2.0 * jnp.pi)
        )

    def excess(stock):
        return below(coverage, stock) + waste * below(spoils, stock) - ratio

    longest = jnp.maximum(coverage, spoils)
    low = jnp.zeros_like(rate * longest)
    high = low + rate * longest + FAR * wide(longest)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (
            jnp.where(excess(middle) < 0, middle, low),
            jnp.where(excess(middle) < 0, high, middle),
        )
    low, middle, high = jax.lax.stop_gradient((low, 0.5 * (low + high), high))
    slope = density(coverage, middle) + waste * density(spoils, middle)
    return jnp.clip(middle - excess(middle) / jnp.maximum(slope, 1e-6), low, high)
