"""Derivatives through the simulator beside finite differences."""

import jax
import jax.numpy as jnp

from jaxinv.evaluation.rollout import begin, rollout, unroll_world
from jaxinv.policies.rules import make_rule

WIDTH = 2.0**-9


def slopes_of_levels(env, params, levels, batch=4, periods=30):
    """Of the mean cost of echelon base-stock in its levels `[E, 1]`: the derivative, what it says
    of each level and of all together `[E + 1]`, and what central differences say of them. Costs are
    piecewise linear, so away from kinks the two differ by rounding alone."""
    rule = make_rule("echelon_base_stock", env.topology)
    episodes = begin(env, jax.random.key(3), params, batch)
    _, trace = unroll_world(env, episodes, params, periods)

    def cost(levels):
        def act(levels, observation, _):
            return rule.act({"level": levels}, observation, None), None

        return -rollout(env, params, act, levels, episodes.network, trace.exogenous)[1].mean()

    slope = jax.jit(jax.grad(cost))(levels)
    directions = jnp.concatenate([jnp.eye(levels.size), jnp.ones((1, levels.size))]).reshape(
        -1, *levels.shape
    )
    costs = jax.jit(jax.vmap(cost))
    difference = (costs(levels + WIDTH * directions) - costs(levels - WIDTH * directions)) / (
        2 * WIDTH
    )
    return slope, jnp.tensordot(directions, slope, axes=2), difference
