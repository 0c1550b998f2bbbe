"""Runs a policy over long episodes and keeps, for every path, what an evaluation needs."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import COSTS, InstanceParams, Outcome
from jaxinv.evaluation.rollout import BATCH, begin, rollout, unroll_world
from jaxinv.policies.policy import Policy

CHUNK = 64
"""Periods whose world is held in memory at a time."""


@struct.dataclass
class Totals:
    """Sums over the counted periods of each path."""

    costs: jax.Array  # [len(COSTS), B]
    reward: jax.Array  # [B]
    demand: jax.Array  # [B] units
    short: jax.Array  # [B] units of demand not served at once
    sold: jax.Array  # [B]
    on_hand: jax.Array  # [B] unit-periods
    ordered: jax.Array  # [B]
    stockouts: jax.Array  # [B] node-product-periods with demand unserved


def simulate(
    env: InventoryNetwork,
    params: InstanceParams,
    policy: Policy,
    policy_params: Any,
    key: jax.Array,
    *,
    batch: int,
    periods: int,
    warm_up: int = 0,
    axis: int | None = None,
    policy_axis: int | None = None,
) -> Totals:
    """Simulates `batch` episodes of `warm_up + periods` periods; only the latter are counted.

    The same key gives the same world under any policy.

    Args:
      axis: `BATCH` where `params` is a batch of instances (`batch_last`), None where all share one.
      policy_axis: likewise for the policy's parameters: levels of each SKU, or one set for all.
    """

    def act(policy_params, observation, context):
        return policy.act(policy_params, observation, context), None

    def encode(policy_params, signals, params):
        return policy.encode(policy_params, signals, env.facts(params))

    encode = jax.vmap(encode, in_axes=(policy_axis, BATCH, axis), out_axes=BATCH, axis_size=batch)

    last = warm_up + periods
    chunks = -(-last // CHUNK)
    chunk = -(-last // chunks)  # equal chunks; the few periods beyond the last one are not counted

    def measure(observation, outcome):
        counted = (observation.time >= warm_up) & (observation.time < last)
        return jax.tree.map(lambda amount: jnp.where(counted, amount, 0.0), _measure(outcome))

    def play(running, _):
        episodes, before = running
        after, trace = unroll_world(env, episodes, params, chunk, axis)
        contexts = encode(policy_params, trace.signals, params)
        network, _, totals = rollout(
            env, params, act, policy_params, episodes.network, trace.exogenous,
            jax.tree.map(lambda context: context[env.history - 1 :], contexts),
            axis=axis, policy_axis=policy_axis, signals=trace.signals if policy.wants_window else None,
            record=lambda *_: None, total=measure,
        )  # fmt: skip
        return (after.replace(network=network), jax.tree.map(jnp.add, before, totals)), None

    nothing = Totals(jnp.zeros((len(COSTS), batch)), *[jnp.zeros(batch)] * 7)
    (_, totals), _ = jax.lax.scan(play, (begin(env, key, params, batch, axis), nothing), length=chunks)
    return totals


def _measure(outcome: Outcome) -> Totals:
    return Totals(
        costs=outcome.costs,
        reward=outcome.reward,
        demand=outcome.demand.sum(),
        short=outcome.short.sum(),
        sold=outcome.sold.sum(),
        on_hand=outcome.on_hand.sum(),
        ordered=outcome.ordered.sum(),
        stockouts=(outcome.short > 0).sum().astype(jnp.float32),
    )
