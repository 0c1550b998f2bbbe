"""Advice of a classical rule to a learner: four penalties on straying from it (seed 003's article;
methods A.4).

The teacher is an (s, S) policy from the numbers of the instance alone, on every edge for the
echelon it supplies: with b and h the weighted shortage and holding cost, K the fixed cost of an
order, and demand of mean mu and deviation sigma over L + P, the lead time down to the customer and
one review,

    s = mu + z sigma,   z = Phi^-1(b / (b + h)),   S = s + sqrt(2 K mu_1 / h)

(mu_1 of one period; S = s without K).

With q what is ordered, q_T what the teacher would order there, q1 the typical demand of a review,
and kappa the weight,

    reward      R1  r' = r - kappa |q - q_T| / q1               moves the optimum if large
    level       R2  r' = r - kappa |level - S| / S              for forms that order up to a level
    potential   R3  r' = r + phi_t - phi_{t-1} / discount       phi = -kappa |q - q_T| / q1
    actor       R4  actor loss + kappa_n E (q - q_T)^2 / q1^2   kappa_n = kappa decay^n, n updates

(R3: De Moor, Gijsbrechts & Boute 2022. Its terms cancel within an episode, so whatever is done
later, the discounted return from a decision on changes by -phi_{t-1} / discount alone, which that
decision cannot change, and the optimum stays.) Rewards count in standard deviations of a period's
cost, so that one weight means the same in any currency. On a network all distances are means over
edges and products, at those periods in which an edge accepts orders.
"""

from dataclasses import fields
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.agents.agent import Worlds
from jaxinv.envs import views
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import COSTS, InstanceParams
from jaxinv.envs.observation import Observation
from jaxinv.errors import UserError, unknown
from jaxinv.evaluation.rollout import BATCH, instances_at, play_world
from jaxinv.keys import Role, key_of, root
from jaxinv.policies.decode import Decode
from jaxinv.policies.rule import quantity_unit
from jaxinv.policies.rules import ReorderUpTo

ON_REWARDS = ("reward", "level", "potential")
PENALTIES = ("none", *ON_REWARDS, "actor")


def check_penalty(config: Any) -> None:
    """Raises for a penalty that a `LearnerConfig` has no use for."""
    penalty = config.penalty
    if penalty not in PENALTIES:
        raise unknown("penalty", penalty, PENALTIES)
    if penalty != "none" and not config.penalties:
        raise UserError(
            f"penalty={penalty} needs worlds to play in, and this agent has a log alone; leave it"
            " out"
        )
    if penalty not in ("none", *config.penalties):
        why = (
            "is added to the loss of an actor, and this agent has no actor"
            if penalty == "actor"
            else "is added to rewards, and this agent does not learn from rewards"
        )
        raise UserError(
            f"penalty={penalty} {why}; give penalty={' or penalty='.join(config.penalties)}"
        )
    if penalty == "level" and config.form in ("none", "coeff"):
        raise UserError(
            f"penalty=level compares order-up-to levels, and form={config.form} has none; "
            "give form=base or form=both, or penalty=reward"
        )
    if penalty != "none" and config.aligned_rewards:
        raise UserError(
            f"penalty={penalty} counts every period, and aligned_rewards=true rewards whole"
            " reviews; give one of the two"
        )
    if penalty == "potential" and getattr(config, "discount", None) == 0:
        raise UserError("penalty=potential divides by the discount; discount=0 must be above 0")
    if (config.penalty_decay or 0) > 1:
        raise UserError(f"penalty_decay={config.penalty_decay} must lie in 0..1")
    used = {"penalty_weight": penalty != "none", "penalty_decay": penalty == "actor"}
    for field in fields(config):
        value = getattr(config, field.name)
        if not used.get(field.name, True) and value not in (None, field.default):
            needs = (
                "penalty=actor"
                if penalty != "none"
                else f"penalty={' or penalty='.join(config.penalties)}"
            )
            raise UserError(
                f"{field.name}={value} does nothing with penalty={penalty}; it goes with {needs}"
            )


@struct.dataclass
class Moments:
    """Demand and lead times of the worlds that are learned in; a leading axis of instances where
    there are several.
    """

    mean: jax.Array  # [N, K] demand a period that passes each node
    variance: jax.Array  # [N, K]
    lead_variance: jax.Array | None  # [E] of realised lead times, where they are random


SAMPLES, EACH, PERIODS = 50_000, 2000, 200
"""Fewest periods of demand that moments are taken from, over all paths and of each instance (a rare
sale must come up), and most of one path."""


def with_moments(worlds: Worlds) -> Worlds:
    """The worlds with what a teacher has to know of them, from simulated demand; the same whatever
    the seed of a run.

    Raises:
      UserError: for costs that give no level.
    """
    env, several = worlds.env, worlds.instances
    periods = min(worlds.rollouts * worlds.periods, PERIODS)
    repeats = -(-max(SAMPLES, EACH * several) // (several * periods))
    params, axis = instances_at(worlds.params, np.tile(np.arange(several), repeats))
    _, world = play_world(
        env, key_of(root(0), Role.MOMENTS), params, several * repeats, periods, axis
    )

    def by_instance(series, moment):
        """A moment over time and paths of `[T, ..., paths]`, for each instance."""
        series = np.asarray(series, float)
        found = moment(series.reshape(*series.shape[:-1], repeats, several), axis=(0, -2))
        return jnp.asarray(np.moveaxis(found, -1, 0).astype(np.float32))

    demand = env.topology.at_demand_nodes(jnp.moveaxis(world.exogenous.demand, 0, 1))
    demand = jnp.moveaxis(views.echelon_sum(env.topology, demand), 1, 0)  # [T, N, K, paths]
    lead_time = world.exogenous.lead_time
    moments = Moments(
        mean=by_instance(demand, np.mean),
        variance=by_instance(demand, np.var),
        lead_variance=None if lead_time is None else by_instance(lead_time, np.var),
    )
    levels = jax.vmap(partial(teacher_levels, env))(worlds.params, moments)
    level = levels["reorder"] + levels["gap"]
    if not bool(jnp.all(jnp.isfinite(level) & (level > 0))):
        raise UserError(
            "a penalty needs a classical teacher, and its levels follow from costs: holding and"
            " shortage at the places of demand, and holding wherever an order has a fixed cost,"
            " must be above 0; give such costs or penalty=none"
        )
    return worlds.replace(moments=moments)


def teacher_levels(
    env: InventoryNetwork, instance: InstanceParams, moments: Moments
) -> dict[str, jax.Array]:
    """The teacher's numbers as those of the rule (s, S), multiples of typical demand over the
    coverage: `[E, K]` each.

    A node without customers of its own has the largest critical ratio that it supplies. Where lead
    times are random their variance counts mu_1^2 times beside that of demand (Silver, Pyke &
    Peterson 1998).
    """
    topology, facts = env.topology, env.facts(instance)
    holding = instance.weights[COSTS.index("holding")] * instance.holding
    shortage = instance.weights[COSTS.index("shortage")] * instance.shortage
    places = topology.among(topology.demand_nodes)[:, 0]
    served = (topology.echelon * places)[
        ..., None
    ] > 0  # [N, N, 1]: the column node has customers and the row supplies it
    ratio = jnp.max(jnp.where(served, shortage / (shortage + holding), -jnp.inf), 1)
    safety = topology.at_destination(jax.scipy.special.ndtri(ratio))
    mean, variance = (
        topology.at_destination(moments.mean),
        topology.at_destination(moments.variance),
    )
    cover = views.echelon_coverage(topology, facts)[:, None]
    spread = cover * variance
    if moments.lead_variance is not None:
        spread = spread + mean**2 * moments.lead_variance[:, None]
    reorder = jnp.maximum(cover * mean + safety * jnp.sqrt(spread), 0.0)
    gap = jnp.zeros_like(reorder)
    if topology.has("fixed_cost"):
        fixed = instance.weights[COSTS.index("ordering")] * instance.fixed_cost
        held = topology.at_destination(holding)
        gap = jnp.where(fixed > 0, jnp.sqrt(2.0 * fixed * mean / held), 0.0)
    unit = ReorderUpTo(topology).level_unit(facts)
    return {"reorder": reorder / unit, "gap": gap / unit}


def teacher_in(worlds: Worlds, instance: InstanceParams, index: jax.Array) -> dict[str, jax.Array]:
    """`teacher_levels` of a batch of worlds with the instances at `index`: `[E, K, B]`, or `[E, K]`
    where all share one.
    """
    moments, axis = instances_at(worlds.moments, index, apart=worlds.preferences)
    levels = partial(teacher_levels, worlds.env)
    if axis is None:
        return levels(instance, moments)
    return jax.vmap(levels, in_axes=BATCH, out_axes=BATCH)(instance, moments)


@struct.dataclass
class Advised:
    """A decision as a loss needs it to set its own order beside the teacher's."""

    observation: Observation  # without signals
    rates: jax.Array  # [E, K, RATES]
    order: jax.Array  # [E, K] the teacher's


def advise(
    penalty: str, decode: Decode, levels: dict[str, jax.Array], observation: Observation,
    rates: jax.Array,
    raw: jax.Array, order: jax.Array,
) -> Any:  # fmt: skip
    """What a penalty wants to know of one decision: its distance from the teacher's `[]`, or for
    "actor" the `Advised`.
    """
    teacher = ReorderUpTo(decode.topology)
    if penalty == "level":
        level = sum(levels.values()) * teacher.level_unit(observation.instance)
        return _mean_distance(
            decode, observation, decode.target(raw, observation, rates), level, level
        )
    advice = teacher.act(levels, observation, None)
    if penalty == "actor":
        return Advised(observation.replace(signals=None), rates, advice)
    return _mean_distance(
        decode, observation, order, advice, quantity_unit(decode.topology, observation.instance)
    )


def squared_distance(decode: Decode, raw: jax.Array, advised: Advised) -> jax.Array:
    """(q - q_T)^2 / q1^2 of what raw outputs order, mean over edges and products `[]`; the teacher
    has no gradient.
    """
    observation = advised.observation
    order, advice = decode(raw, observation, advised.rates), jax.lax.stop_gradient(advised.order)
    unit = quantity_unit(decode.topology, observation.instance)
    return _mean_distance(decode, observation, order, advice, unit, jnp.square)


def on_reward(
    penalty: str, distance: jax.Array, before: jax.Array | None, discount: jax.Array
) -> jax.Array:
    """What a penalty of weight 1 adds to rewards `[T, B]`.

    Args:
      distance: `[T, B]`, of `advise`.
      before: `[B]` of the decision before the first, 0 where an episode begins; for "potential".
    """
    if penalty != "potential":
        return -distance
    return jnp.concatenate([before[None], distance[:-1]]) / discount - distance


def _mean_distance(decode, observation, ours, theirs, unit, size=jnp.abs):
    """Mean size of (ours - theirs) / unit over edges and products, with 0 where an edge accepts no
    orders now, or serves customers, of whom the teacher knows nothing."""
    distance = size((ours - theirs) / jnp.maximum(unit, 1e-6))
    if decode.topology.storeless:
        distance = jnp.where(decode.topology.fulfilment[:, None], 0.0, distance)
    if decode.topology.has("review"):
        distance = jnp.where(
            (observation.time % observation.instance.review_period == 0)[:, None], distance, 0.0
        )
    return distance.mean()
