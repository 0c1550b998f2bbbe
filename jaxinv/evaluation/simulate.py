"""Runs a policy over long episodes and keeps, for every path, what an evaluation needs."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import COSTS, InstanceParams, NetworkState, Outcome
from jaxinv.evaluation.playing import first_memory, play
from jaxinv.evaluation.rollout import BATCH, WorldTrace, begin, unroll_world
from jaxinv.policies.policy import Policy

CHUNK = 64
"""Periods that a policy encodes at a time; it bounds the memory of a simulation."""


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
    orders: jax.Array  # [B] orders placed: edges, products and periods with a quantity above zero
    by_period: Any = (
        None  # [T, ..., B] what was kept of each counted period, where it was asked for
    )


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

    The same key gives the same world under any policy. No more than `CHUNK` periods of it are held
    in memory.

    Args:
      axis: `BATCH` where `params` is a batch of instances (`batch_last`), None where all share one.
      policy_axis: likewise for the policy's parameters: levels of each SKU, or one set for all.
    """
    last = warm_up + periods
    chunks, chunk = chunks_of(last)
    play_on = _player(env, params, policy, policy_params, warm_up, last, axis, policy_axis)
    episodes = begin(env, key, params, batch, axis)
    memory = first_memory(env, params, policy, policy_params, episodes.signals, axis, policy_axis)

    def play_chunk(running, _):
        episodes, memory, totals = running
        after, trace = unroll_world(env, episodes, params, chunk, axis)
        network, memory, totals, _ = play_on(
            episodes.network, memory, totals, trace, episodes.key, episodes.period
        )
        return (after.replace(network=network), memory, totals), None

    (_, _, totals), _ = jax.lax.scan(play_chunk, (episodes, memory, _nothing(batch)), length=chunks)
    return totals


def simulate_in(
    env: InventoryNetwork,
    params: InstanceParams,
    policy: Policy,
    policy_params: Any,
    network: NetworkState,
    world: WorldTrace,
    key: jax.Array | None = None,
    *,
    warm_up: int = 0,
    axis: int | None = None,
    policy_axis: int | None = None,
    keep: Callable[[Outcome], Any] | None = None,
) -> Totals:
    """`simulate` in a world that is there already (`play_world`), from the stock `network` on.

    Args:
      key: of the world, for a policy that draws.
      keep: also gives this of each period; a number takes 4 bytes a period and path.
    """
    last, batch = world.exogenous.demand.shape[0], world.exogenous.demand.shape[BATCH]
    chunks, chunk = chunks_of(last)
    play_on = _player(env, params, policy, policy_params, warm_up, last, axis, policy_axis, keep)
    memory = first_memory(env, params, policy, policy_params, world.signals, axis, policy_axis)
    world = jax.tree.map(partial(lengthen, by=chunks * chunk - last), world)

    def play_chunk(running, number):
        length = chunk + (env.history - 1)
        exogenous = jax.tree.map(
            partial(stretch, start=number * chunk, length=chunk), world.exogenous
        )
        trace = WorldTrace(exogenous, stretch(world.signals, number * chunk, length))
        *running, kept = play_on(*running, trace, key, env.history + number * chunk)
        return tuple(running), kept

    (_, _, totals), kept = jax.lax.scan(
        play_chunk, (network, memory, _nothing(batch)), jnp.arange(chunks)
    )
    return totals.replace(
        by_period=jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[warm_up:last], kept)
    )


def _player(env, params, policy, policy_params, warm_up, last, axis, policy_axis, keep=None):
    """A function that runs the policy through a further stretch of world and adds up what it
    does.
    """

    def measure(observation, outcome):
        counted = (observation.time >= warm_up) & (observation.time < last)
        return jax.tree.map(lambda amount: jnp.where(counted, amount, 0.0), _measure(outcome))

    def play_on(network, memory, before, trace, key, period):
        network, memory, kept, totals = play(
            env, params, policy, policy_params, network, memory, trace, key, period, axis=axis,
            policy_axis=policy_axis,
            record=lambda _, outcome, note: keep(outcome) if keep else None, total=measure,
        )  # fmt: skip
        return network, memory, jax.tree.map(jnp.add, before, totals), kept

    return play_on


def chunks_of(periods: int) -> tuple[int, int]:
    """How many equal chunks hold that many periods, and their length; what is beyond the last
    period is not counted.
    """
    chunks = -(-periods // CHUNK)
    return chunks, -(-periods // chunks)


def _nothing(batch: int) -> Totals:
    return Totals(jnp.zeros((len(COSTS), batch)), *[jnp.zeros(batch)] * 8)


def lengthen(leaf, by):
    """Repeats the last row `by` times."""
    return jnp.concatenate([leaf, jnp.repeat(leaf[-1:], by, 0)]) if by else leaf


def stretch(leaf, start, length):
    return jax.lax.dynamic_slice_in_dim(leaf, start, length)


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
        orders=(outcome.ordered > 0).sum().astype(jnp.float32),
    )
