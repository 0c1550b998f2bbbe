"""Targets and losses that are learned from a trajectory, and the layouts that they want."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.evaluation.rollout import BATCH
from jaxinv.nets.actor_critic import QUANTILES


def generalised_advantage(reward, value, last_value, discount, lam):
    """Generalised advantages and value targets (Schulman et al. 2016), `[T, ..., B]` each.

    Every step bootstraps; the value after the end of an episode, where there is one, is given as 0.

    Args:
      reward, value: `[T, ..., B]`; last_value: `[..., B]` of the state after the last step.
    """

    def back(carry, step):
        advantage, next_value = carry
        reward, value = step
        advantage = reward + discount * next_value - value + discount * lam * advantage
        return (advantage, value), advantage

    start = (jnp.zeros_like(last_value), last_value)
    _, advantage = jax.lax.scan(back, start, (reward, value), reverse=True)
    return advantage, advantage + value


def pinball(forecast: jax.Array, demand: jax.Array, recent: jax.Array) -> jax.Array:
    """Mean pinball loss of demand quantiles in units of recent demand.

    Args:
      forecast: `[B, T, J, D * K, Q]`; entry j of period t is for demand t + j.
      demand, recent: `[B, T, D * K]` in units. Of G agents, `forecast` and `recent` have G times as
        many series.
    """
    periods, horizon = forecast.shape[1:3]
    ahead = jnp.arange(periods)[:, None] + jnp.arange(horizon)
    known = (ahead < periods)[None, :, :, None, None]
    agents = forecast.shape[3] // demand.shape[2]  # each of them forecasts all that it might see
    demand = demand if agents == 1 else jnp.tile(demand, (1, 1, agents))
    actual = demand[:, jnp.minimum(ahead, periods - 1)] / recent[:, :, None]  # [B, T, J, D * K]
    error = actual[..., None] - forecast
    levels = jnp.asarray(QUANTILES)
    loss = jnp.maximum(levels * error, (levels - 1) * error)
    return jnp.sum(jnp.where(known, loss, 0.0)) / (
        known.sum() * forecast.shape[0] * forecast.shape[3] * len(QUANTILES)
    )


def soon(flag, horizon):
    """Whether a flag `[B, T]` is up in any of the next `horizon` periods; past the end it is
    down.
    """
    padded = jnp.pad(flag, ((0, 0), (0, horizon - 1)))
    return jax.lax.reduce_window(padded, 0.0, jax.lax.max, (1, horizon), (1, 1), "VALID")


def seen_ahead(periods, horizon):
    """Whether the `horizon` periods from each of `[T]` on all lie within a rollout: what comes
    after it is not known.
    """
    return np.arange(periods) + horizon <= periods


def flat(series):
    """`[T, D, K, B]` to `[T, D * K, B]`."""
    return series.reshape(series.shape[0], -1, series.shape[-1])


def by_environment(array):
    """`[T, ..., B]` to `[B, T, ...]`."""
    return jnp.moveaxis(array, BATCH, 0)
