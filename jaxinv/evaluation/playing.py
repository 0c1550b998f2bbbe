"""A policy along a stretch of world that is there already: what it reads, remembers and draws."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import Action, InstanceParams, NetworkState
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH, WorldTrace, rollout_with_memory
from jaxinv.keys import Role, key_of
from jaxinv.policies.policy import Policy


def play(
    env: InventoryNetwork,
    params: InstanceParams,
    policy: Policy,
    policy_params: Any,
    network: NetworkState,
    memory: Any,
    trace: WorldTrace,
    key: jax.Array | None,
    period: jax.Array | int,
    *,
    record: Callable,
    total: Callable | None = None,
    orders: jax.Array | None = None,
    axis: int | None = None,
    policy_axis: int | None = None,
) -> tuple[NetworkState, Any, Any, Any]:
    """Plays a policy through T periods of world.

    Args:
      memory: `[..., B]`, of `first_memory` or of the stretch before.
      key: of the episodes, for a policy that draws.
      period: at which the stretch begins, as the episodes count them. Key and period decide all
        that is drawn, however a world is cut into stretches.
      record, total: see `rollout`; the note of a period is the `Action` as it was asked for, and
        the log-probability of what was drawn for it: None where nothing is, 0 where the orders were
        given.
      orders: `[T, E, K, B]` what is ordered instead, NaN where the policy decides.
      axis, policy_axis: batch axes of `params` and `policy_params`, None where all share one.

    Returns:
      The stock and the memory after it, the records, and the totals.
    """
    periods, batch = trace.exogenous.demand.shape[0], trace.signals.shape[BATCH]

    def encode(policy_params, signals, params):
        return policy.encode(policy_params, signals, env.facts(params))

    encode = jax.vmap(encode, in_axes=(policy_axis, BATCH, axis), out_axes=BATCH, axis_size=batch)
    contexts = encode(policy_params, trace.signals, params)
    contexts = jax.tree.map(lambda context: context[env.history - 1 :], contexts)

    def step(policy_params, observation, inputs, memory):
        context, key, instead = inputs
        drawn = (
            policy.log_prob(policy_params, observation, context, memory, key)
            if policy.draws
            else None
        )
        action, memory = policy.step(policy_params, observation, context, memory, key)
        action = Action.of(action)
        if instead is not None:
            free = jnp.isnan(instead)
            action = action.replace(orders=jnp.where(free, action.orders, instead))
            drawn = None if drawn is None else jnp.where(free.all(), drawn, 0.0)
        return action, memory, (action, drawn)

    return rollout_with_memory(
        env, params, step, policy_params, network, memory, trace.exogenous,
        (contexts, _keys(policy, key, period, periods, batch), orders), hear=policy.hear, axis=axis,
        policy_axis=policy_axis,
        signals=trace.signals if policy.wants_window else None, record=record, total=total,
    )  # fmt: skip


def first_memory(
    env: InventoryNetwork, params: InstanceParams, policy: Policy, policy_params: Any,
    signals: jax.Array, axis: int | None = None, policy_axis: int | None = None,
) -> Any:  # fmt: skip
    """What a policy remembers before its first decision `[..., B]`; None for one without memory.

    Args:
      signals: `[W + …, S, B]` from the first row on that the first decision may see.
    """
    if not policy.remembers:
        return None

    def start(policy_params, signals, params):
        return jax.tree.map(jnp.asarray, policy.start(policy_params, signals, env.facts(params)))

    start = jax.vmap(start, (policy_axis, BATCH, axis), BATCH, axis_size=signals.shape[BATCH])
    return start(policy_params, signals[: env.history - 1], params)


def _keys(policy, key, period, periods, batch):
    """A key of its own for every decision `[T, B]`; None for a policy that draws nothing."""
    if not policy.draws:
        return None
    if key is None:
        raise UserError(f"{type(policy).__name__} draws at random and needs a key; give one")

    def of_period(period):
        key_then = key_of(key, Role.DECISIONS, period)
        return jax.vmap(lambda number: jax.random.fold_in(key_then, number))(jnp.arange(batch))

    return jax.vmap(of_period)(period + jnp.arange(periods))
