"""The one rollout: agents, rules, tuning and evaluation all run their policies through it.

It has two halves, because the world does not depend on actions. `unroll_world` plays the exogenous
process of a whole batch ahead; `rollout` then runs stock against it. Between the two a policy may
read the signals of the whole trace at once (encode once). The batch of environments is the last
axis of every array here; single environments are written without it and mapped.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.demand.exogenous import Exogenous, draw_uniforms
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams, NetworkState, Outcome
from jaxinv.envs.observation import Observation
from jaxinv.envs.problem import first_of
from jaxinv.errors import UserError
from jaxinv.placement import place

BATCH = -1
"""The axis of the environments."""


@struct.dataclass
class Episodes:
    """A batch of running episodes; the key and the period decide all noise to come."""

    key: jax.Array
    period: jax.Array  # [] int32
    network: NetworkState  # [..., B]
    world: Any  # [..., B]
    signals: jax.Array  # [W, S, B] the latest signal vectors


@struct.dataclass
class WorldTrace:
    """T periods of a world that was played ahead."""

    exogenous: Exogenous  # [T, ..., B]
    signals: jax.Array  # [W - 1 + T, S, B]; row W - 1 + t is the latest that decision t may see
    beyond: Exogenous | None = None  # [L, ..., B] some periods more, where a learner looks ahead


def batch_last(params: InstanceParams) -> InstanceParams:
    """Moves the leading instance axis of a batch of parameters to the end, where the rollout has
    its batch.
    """
    return jax.tree.map(lambda leaf: jnp.moveaxis(jnp.asarray(leaf), 0, BATCH), params)


def take_instances(params: InstanceParams, index: jax.Array) -> InstanceParams:
    """The instances at `index` `[B]` of a batch of parameters with a leading axis."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[index], params)


def instances_at(instances: Any, index: jax.Array, apart: bool = False) -> tuple[Any, int | None]:
    """The instance at `index` `[B]` for each environment of a rollout, and its `axis`.

    The numbers of one instance alone are not repeated for every environment, which would make
    programs slower: they come without an axis, and `axis` is None.

    Args:
      instances: parameters, or another tree of arrays, with a leading axis.
      apart: whether the environments differ otherwise, so that each needs numbers of its own.
    """
    if len(jax.tree.leaves(instances)[0]) == 1 and not apart:
        return first_of(instances), None
    return place(batch_last(take_instances(instances, index))), BATCH


def begin(
    env: InventoryNetwork,
    key: jax.Array,
    params: InstanceParams,
    batch: int,
    axis: int | None = None,
) -> Episodes:
    """Resets `batch` episodes, and plays their world until the history is full.

    Args:
      axis: None where all share one instance, `BATCH` where `params` is a batch of instances
        (`batch_last`).
    """
    return unroll_world(env, _reset(env, key, params, batch, axis), params, env.history, axis)[0]


@partial(jax.jit, static_argnames=("env", "batch", "periods", "axis"))
def play_world(
    env: InventoryNetwork,
    key: jax.Array,
    params: InstanceParams,
    batch: int,
    periods: int,
    axis: int | None = None,
) -> tuple[NetworkState, WorldTrace]:
    """The first stock and the whole world of `batch` fresh episodes, those that `begin` and
    `unroll_world` give.

    A program of its own: the world is most of what there is to compile in a simulation, and all
    policies that are tried on the same noise can share it. Memory: that of the trace, see
    `InventoryNetwork.memory`.
    """
    episodes = _reset(env, key, params, batch, axis)
    _, trace = unroll_world(env, episodes, params, env.history + periods, axis)
    return episodes.network, jax.tree.map(lambda leaf: leaf[env.history :], trace)


def _reset(env, key, params, batch, axis) -> Episodes:
    """Episodes whose signals are still blank."""
    uniforms = draw_uniforms(key, 0, env.start_noise, (batch,))
    shared = (BATCH, axis)
    network = jax.vmap(env.start, in_axes=shared, out_axes=BATCH, axis_size=batch)(uniforms, params)
    world = jax.vmap(env.world.init, in_axes=shared, out_axes=BATCH, axis_size=batch)(
        uniforms, params
    )
    blank = jnp.zeros((env.history, env.world.signals, batch))
    return place(Episodes(key, jnp.int32(0), network, world, blank))


def unroll_world(
    env: InventoryNetwork,
    episodes: Episodes,
    params: InstanceParams,
    periods: int,
    axis: int | None = None,
) -> tuple[Episodes, WorldTrace]:
    """Plays the exogenous process of every episode `periods` ahead; stock stays where it is."""
    world = env.world

    def step(state, uniforms, params):
        state, exogenous = world.step(state, uniforms, params)
        return state, exogenous, world.observe(state, exogenous.demand, params)

    step = jax.vmap(step, in_axes=(BATCH, BATCH, axis), out_axes=BATCH)
    batch = episodes.signals.shape[-1]

    def period(state, time):
        state, exogenous, signals = step(
            state, draw_uniforms(episodes.key, time, world.noise, (batch,)), params
        )
        return state, (exogenous, signals)

    times = episodes.period + jnp.arange(periods)
    state, (exogenous, signals) = jax.lax.scan(period, episodes.world, times)
    signals = jnp.concatenate([episodes.signals, signals])
    episodes = episodes.replace(
        period=episodes.period + periods,
        world=state,
        signals=signals[signals.shape[0] - env.history :],
    )
    return episodes, WorldTrace(exogenous, signals[:-1])


Act = Callable[[Any, Observation, Any], tuple[jax.Array, Any]]
"""One environment's decision: (policy parameters, observation, inputs of the period) -> (action [E,
K], a note).
"""

Step = Callable[[Any, Observation, Any, Any], tuple[jax.Array, Any, Any]]
"""The same with a memory: (…, inputs of the period, memory) -> (action [E, K], memory, a note)."""

Record = Callable[[Observation, Outcome, Any], Any]


def rollout(
    env: InventoryNetwork,
    params: InstanceParams,
    act: Act,
    policy_params: Any,
    start: NetworkState,
    exogenous: Exogenous,
    inputs: Any = None,
    *,
    axis: int | None = None,
    policy_axis: int | None = None,
    signals: jax.Array | None = None,
    record: Record = lambda observation, outcome, note: outcome.reward,
    total: Callable[[Observation, Outcome], Any] | None = None,
) -> tuple[NetworkState, Any, Any]:
    """Runs a batch of networks through T periods of given exogenous values.

    Args:
      act: decides for one environment; it is mapped over the batch.
      start: stock `[..., B]`.
      exogenous: `[T, ..., B]`.
      inputs: what `act` gets besides the observation, `[T, ..., B]`: encoded signals, exploration
        noise, …
      axis: batch axis of `params`, or None where all environments share one instance.
      policy_axis: batch axis of `policy_params`, or None where all share one policy.
      signals: `[W - 1 + T, S, B]`, where `act` wants the observation's window itself (window by
        window).
      record: what to keep of each period of one environment; stacked over time `[T, ..., B]`.
      total: what to add up over time instead; None for nothing.

    Returns:
      The final stock, the records, and the totals.
    """

    def step(policy_params, observation, inputs, memory):
        action, note = act(policy_params, observation, inputs)
        return action, memory, note

    state, _, kept, totals = rollout_with_memory(
        env, params, step, policy_params, start, None, exogenous, inputs,
        axis=axis, policy_axis=policy_axis, signals=signals, record=record, total=total,
    )  # fmt: skip
    return state, kept, totals


def rollout_with_memory(
    env: InventoryNetwork,
    params: InstanceParams,
    step: Step,
    policy_params: Any,
    start: NetworkState,
    memory: Any,
    exogenous: Exogenous,
    inputs: Any,
    *,
    hear: Callable[[Any, Any, jax.Array], Any] = lambda policy_params, memory, reward: memory,
    axis: int | None,
    policy_axis: Any,
    signals: jax.Array | None,
    record: Record,
    total: Callable[[Observation, Outcome], Any] | None,
) -> tuple[NetworkState, Any, Any, Any]:
    """`rollout` of decisions that remember: `memory` `[..., B]` goes into the first one, and what
    the last one leaves comes out behind the final stock.

    Args:
      hear: what becomes of the memory once the reward of the period is known (`Policy.hear`).

    Raises:
      UserError: for a memory that does not come out of a decision as it went in.
    """

    def single(state, memory, exogenous, inputs, window, params, policy_params):
        observation = env.view(state, params, window)
        action, memory, note = step(policy_params, observation, inputs, memory)
        state, outcome = env.transition(state, action, exogenous, params)
        return (
            state,
            hear(policy_params, memory, outcome.reward),
            record(observation, outcome, note),
            total(observation, outcome) if total else None,
        )

    single = jax.vmap(single, in_axes=(*[BATCH] * 5, axis, policy_axis), out_axes=BATCH)

    # Where a rollout is differentiated, writing down all that a period computes takes longer than
    # most of it takes to compute again: matrix products are kept, the rest is repeated on the way
    # back.
    @partial(jax.checkpoint, policy=jax.checkpoint_policies.dots_saveable, prevent_cse=False)
    def period(carry, x):
        time, state, memory, totals = carry
        exogenous, inputs = x
        window = (
            None if signals is None else jax.lax.dynamic_slice_in_dim(signals, time, env.history)
        )
        state, memory, kept, added = single(
            state, memory, exogenous, inputs, window, params, policy_params
        )
        return (time + 1, state, memory, jax.tree.map(jnp.add, totals, added)), kept

    first = jax.tree.map(lambda leaf: leaf[0], (exogenous, inputs))
    window = None if signals is None else signals[: env.history]
    _, after, _, shapes = jax.eval_shape(
        lambda: single(start, memory, *first, window, params, policy_params)
    )
    _check_memory(memory, after)
    totals = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    carry = (jnp.int32(0), start, memory, totals)
    (_, state, memory, totals), kept = jax.lax.scan(period, carry, (exogenous, inputs))
    return state, memory, kept, totals


def _check_memory(before, after):
    def shapes(memory):
        leaves, _ = jax.tree_util.tree_flatten_with_path(memory)
        return {
            jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape[:BATCH])}"
            for path, leaf in leaves
        }

    one, other = shapes(before), shapes(after)
    for part in [*one, *other]:
        if one.get(part) != other.get(part):
            raise UserError(
                f"a policy's memory{part} is {one.get(part, 'nothing')} before a decision and"
                f" {other.get(part, 'nothing')} after it; let start and step give arrays of the"
                " same shapes and types"
            )
