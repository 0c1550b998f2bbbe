"""Equation 10, part 1: how the state of the supply chain answers to an intervention, fitted by
least squares.

The seed's Delta theta = argmin E sum ||Delta s_t - f(s_t, theta)||^2 fits dynamics, so its theta
cannot be the policy's; read literally it is the fit of a model of causal effects (methods.md D.1
row 12, D.4):

    theta_c = argmin E sum_t || Delta s_t - f(s_t, x_t; theta) ||^2,
    Delta s_t = s^{do x}_{t+1 .. t+H} - s^{do 0}_{t+1 .. t+H},

with f linear in theta, so the least squares are exact: f(s, x; theta) = theta^T (phi(s) (x) x), phi
the quadratic features of the state. It says 0 where nothing is done. s is stock on hand at the
decision and the demand before it.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxinv.adapt.counterfactual import HORIZON
from jaxinv.demand.interventions import Intervention
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.evaluation.rollout import BATCH, Episodes
from jaxinv.evaluation.trajectories import Trajectories, record
from jaxinv.policies.policy import Policy


def fit_response(states: jax.Array, done: jax.Array, changes: jax.Array) -> jax.Array:
    """theta `[P X, M]` from pairs.

    Args:
      states: `[n, F]`; done: `[n, X]` interventions as numbers, 0 where nothing is done; changes:
        `[n, M]`.
    """
    return least_squares(_design(states, done), changes)


def respond(theta: jax.Array, states: jax.Array, done: jax.Array) -> jax.Array:
    """The change of state `[n, M]` that interventions `[n, X]` bring about."""
    return _design(states, done) @ theta


def fit_from_log(states: jax.Array, treatment: jax.Array, following: jax.Array) -> jax.Array:
    """theta of one treatment of 0 and 1 from an observational log: what follows the treated less
    what follows the others.

    Right where nothing but the features of the state moves both treatment and what follows.

    Args:
      states: `[n, F]`; treatment: `[n]`; following: `[n, M]` the states after each.
    """
    features = quadratic(states)
    treated, other = (
        least_squares(features * of[:, None], following * of[:, None])
        for of in (treatment, 1.0 - treatment)
    )
    return treated - other


def pairs(
    env: InventoryNetwork, params: InstanceParams, policy: Policy, policy_params: Any,
    episodes: Episodes,
    treated: Intervention, control: Intervention, horizon: int = HORIZON,
) -> jax.Array:  # fmt: skip
    """Delta s `[B, M]` of two worlds on the same noise.

    Args:
      params: of one instance.
      treated, control: their days count from the present; numbers `[]`, or `[B]` for a change of
        each episode's own.
    """
    batch = episodes.signals.shape[BATCH]
    spread = jax.tree.map(
        lambda leaf: jnp.broadcast_to(jnp.asarray(leaf)[..., None], (*jnp.shape(leaf), batch)),
        params,
    )
    after = []
    for change in (treated, control):
        change = change.from_day(episodes.period)
        own = jax.tree.map(
            lambda number: jnp.broadcast_to(jnp.asarray(number, jnp.float32), (batch,)), change
        )
        changed = spread.replace(intervention=own)
        _, played = record(env, changed, policy, policy_params, episodes, horizon + 1, axis=BATCH)
        after.append(trajectory(played, horizon)[0])
    return after[0] - after[1]


def trajectory(played: Trajectories, horizon: int = HORIZON) -> jax.Array:
    """s_{t+1 .. t+H} for every day t that has them: `[T - H, B, M]`, stock on hand day by day, then
    demand.
    """
    days = played.reward.shape[0] - horizon
    on_hand = [played.on_hand[ahead : ahead + days].sum((1, 2)) for ahead in range(1, horizon + 1)]
    demand = [played.demand[ahead : ahead + days].sum((1, 2)) for ahead in range(horizon)]
    return jnp.stack(on_hand + demand, -1)


def least_squares(design: jax.Array, target: jax.Array, ridge: float = 1e-5) -> jax.Array:
    """argmin ||target - design theta||^2, with a ridge that is slight beside the data and keeps
    float32 solvable.
    """
    gram = design.T @ design
    slight = ridge * jnp.trace(gram) / len(gram) * jnp.eye(len(gram))
    return jnp.linalg.solve(gram + slight, design.T @ target)


def quadratic(states: jax.Array) -> jax.Array:
    """Features `[n, P]`: a constant, the state `[n, F]`, its squares and products."""
    rows, columns = jnp.triu_indices(states.shape[1])
    return jnp.concatenate(
        [jnp.ones((len(states), 1)), states, states[:, rows] * states[:, columns]], 1
    )


def _design(states, done):
    features = quadratic(states)
    return (features[:, :, None] * done[:, None, :]).reshape(len(states), -1)
