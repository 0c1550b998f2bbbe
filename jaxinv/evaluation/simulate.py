"""Runs a policy over long episodes and keeps, for every path, what an evaluation needs."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams, Outcome
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

    def play(episodes, periods):
        after, trace = unroll_world(env, episodes, params, periods, axis)
        contexts = encode(policy_params, trace.signals, params)
        network, _, totals = rollout(
            env, params, act, policy_params, episodes.network, trace.exogenous,
            jax.tree.map(lambda context: context[env.history - 1 :], contexts),
            axis=axis, policy_axis=policy_axis, signals=trace.signals if policy.wants_window else None,
            record=lambda *_: None, total=_measure,
        )  # fmt: skip
        return after.replace(network=network), totals

    def play_equal(episodes, chunk, count):
        return jax.lax.scan(lambda running, _: play(running, chunk), episodes, length=count)

    def play_chunks(episodes, periods):
        chunk = min(periods, CHUNK)
        episodes, totals = play_equal(episodes, chunk, periods // chunk)
        totals = jax.tree.map(lambda total: total.sum(0), totals)
        if rest := periods % chunk:
            episodes, last = play(episodes, rest)
            totals = jax.tree.map(jnp.add, totals, last)
        return episodes, totals

    episodes = begin(env, key, params, batch, axis)
    common = math.gcd(warm_up, periods)
    chunk = max(divisor for divisor in range(1, CHUNK + 1) if common % divisor == 0)
    if chunk > CHUNK // 4:  # one loop for warm-up and the rest, a fraction of the time to compile
        _, totals = play_equal(episodes, chunk, (warm_up + periods) // chunk)
        return jax.tree.map(lambda total: total[warm_up // chunk :].sum(0), totals)
    if warm_up:
        episodes, _ = play_chunks(episodes, warm_up)
    return play_chunks(episodes, periods)[1]


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
