"""A log as the sequences that a Decision Transformer learns from: returns, states and orders."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.errors import UserError, called
from jaxinv.evaluation.rollout import BATCH
from jaxinv.evaluation.trajectories import Trajectories
from jaxinv.policies.sequence import SequencePolicy


@struct.dataclass
class Episodes:
    """A log as sequences, episodes first."""

    wanted: jax.Array  # [B, T] what came of each step, in units of `scale`
    seen: jax.Array  # [B, T, F]
    done: jax.Array  # [B, T, A]
    known: jax.Array  # [T] whether what came of it is known in full
    candidates: jax.Array  # [3] returns to want
    scale: jax.Array  # []
    cost: jax.Array  # [] of the log, a period


def episodes_of(policy: SequencePolicy, told: Trajectories, config: Any) -> Episodes:
    """A log in a learner's terms as sequences.

    Args:
      told: of `jaxinv.agents.logged.as_decided`.
      config: a `DecisionTransformerConfig`.

    Raises:
      UserError: where an advantage is asked for and the log has no baseline, or is too short.
    """
    tokens = jax.vmap(policy.tokens, BATCH, BATCH)(told.signals, told.facts)
    seen = jnp.concatenate([tokens[policy.history - 1 : -1], told.stock[:-1]], 1)
    reward, periods = told.reward, told.reward.shape[0]
    if config.condition == "return":
        came = jnp.cumsum(reward[::-1], 0)[::-1]
        known, scale = jnp.ones(periods), jnp.abs(came[0]).mean() + 1e-6
        first = came[0] / scale
    else:
        if told.baseline is None:
            raise UserError(
                "condition=advantage compares with a rule on the same noise, and this log has no"
                f" baseline; write it with {called('log')}, or give condition=return"
            )
        if periods < config.ahead:
            raise UserError(
                f"ahead={config.ahead} is longer than the log's episodes of {periods} periods;"
                " give less"
            )
        total = jnp.cumsum(jnp.pad(reward - told.baseline, ((1, 0), (0, 0))), 0)
        ends = jnp.minimum(jnp.arange(periods) + config.ahead, periods)
        came = (total[ends] - total[:-1]) / config.ahead
        known = (jnp.arange(periods) + config.ahead <= periods).astype(jnp.float32)
        first = came[: periods - config.ahead + 1].reshape(-1)
        scale = first.std() + 1e-6
        first = first / scale
    high = jnp.quantile(first, 0.9)
    return Episodes(
        wanted=(came / scale).T,
        seen=jnp.moveaxis(seen, BATCH, 0),
        done=jnp.moveaxis(told.kept, BATCH, 0),
        known=known,
        candidates=jnp.stack([first.max(), high, high + 0.1 * jnp.abs(high)]),
        scale=scale,
        cost=-reward.mean(),
    )
