"""What policies do on held-out demand: every policy on the same noise, in groups of paths."""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams, NetworkState
from jaxinv.envs.problem import Problem
from jaxinv.evaluation.budget import instance_groups
from jaxinv.evaluation.rollout import BATCH, WorldTrace, instances_at, play_world
from jaxinv.evaluation.simulate import Totals, simulate_in
from jaxinv.keys import Role, key_of
from jaxinv.policies.policy import Policy

PATHS = 1024
"""Most paths in one program; it bounds the memory of an evaluation."""


class Contestant(NamedTuple):
    """A policy under evaluation.

    Attributes:
      name: what its row is called.
      params: its parameters; `policy_axis` is `BATCH` where their last axis is the instances of the
        problem.
    """

    name: str
    policy: Policy
    params: Any
    policy_axis: int | None = None


@struct.dataclass
class Periods:
    """What a policy did in each counted period of each instance, `[T, B]`."""

    cost: jax.Array
    demand: jax.Array  # units
    short: jax.Array  # units of demand not served at once
    on_hand: jax.Array  # units at the end of the period


def measure(problem: Problem, contestant: Contestant, key: jax.Array, paths: int = 512) -> Totals:
    """What a policy did on each path of the held-out noise: `Totals` of NumPy arrays `[..., B]`.

    The noise depends on the key, the problem and `paths` alone, so any two calls can be paired.
    Where instances share their periods there are the `Periods` too, 16 bytes a period and instance.
    """
    name, policy, params, policy_axis = contestant
    parts = []
    for index, instance, world in held_out_groups(problem, key, paths):
        own = params if policy_axis is None else own_params(params, index)
        parts.append(
            _simulate(
                problem.env, policy, SimulationSize.of(problem), policy_axis, instance, own, world
            )
        )
    return join_groups(parts, path_count(problem, paths))


def costs(problem: Problem, contestant: Contestant, key: jax.Array, paths: int = 512) -> np.ndarray:
    """What a policy costs a period on the noise of `measure`: `costs_of` what it did there."""
    return costs_of(problem, measure(problem, contestant, key, paths))


def costs_of(problem: Problem, total: Totals) -> np.ndarray:
    """What a policy cost a period on each path `[B]` or, where instances share their periods, in
    each of these `[T, B]`.
    """
    return (
        -total.reward / (problem.test_periods - problem.warm_up)
        if problem.shared is None
        else total.by_period.cost
    )


def forecast_error(
    problem: Problem, contestant: Contestant, key: jax.Array, paths: int = 512
) -> float | None:
    """WAPE of a policy's forecast of the coming period: sum |demand - forecast| over sum of demand.

    On the held-out demand of `measure`, which is the same for all policies and uncensored. None for
    policies that do not forecast (`Policy.predict`).
    """
    if not contestant.policy.forecasts:
        return None
    error = demand = 0.0
    params, policy_axis = contestant.params, contestant.policy_axis
    for index, instance, world in held_out_groups(problem, key, paths):
        own = params if policy_axis is None else own_params(params, index)
        sums = _forecast_sums(
            problem.env,
            contestant.policy,
            SimulationSize.of(problem),
            policy_axis,
            instance,
            own,
            world,
        )
        error, demand = error + float(sums[0]), demand + float(sums[1])
    return error / demand if demand > 0 else None


# Groups of paths


class SimulationSize(NamedTuple):
    """What a compiled evaluation depends on besides the environment."""

    warm_up: int
    periods: int
    axis: int | None
    by_period: bool

    @classmethod
    def of(cls, problem: Problem) -> "SimulationSize":
        axis = None if problem.tested == 1 else BATCH
        return cls(
            problem.warm_up,
            problem.test_periods - problem.warm_up,
            axis,
            problem.shared is not None,
        )

    def simulate(
        self, env: InventoryNetwork, policy: Policy, policy_axis, instance, params, world, keep=None
    ) -> Totals:
        """`simulate_in` at this size, in a world of `held_out_groups`."""
        return simulate_in(
            env,
            instance,
            policy,
            params,
            *world,
            warm_up=self.warm_up,
            axis=self.axis,
            policy_axis=policy_axis,
            keep=keep,
        )


def held_out_groups(
    problem: Problem, key: jax.Array, paths: int
) -> Iterator[tuple[np.ndarray, InstanceParams, tuple[NetworkState, WorldTrace, jax.Array]]]:
    """The paths in groups of equal size with their instances, worlds and keys; the last group is
    filled up.
    """
    for number, index in enumerate(instance_groups(path_count(problem, paths), PATHS)):
        index = index % problem.tested
        instance, axis = instances_at(problem.test, index)
        own = key_of(key, Role.EVIDENCE, number)
        yield (
            index,
            instance,
            (*play_world(problem.env, own, instance, len(index), problem.test_periods, axis), own),
        )


def path_count(problem: Problem, wanted: int) -> int:
    """One of each instance, in order; as many as are wanted of one whose noise is drawn."""
    return wanted if problem.single else problem.tested


def own_params(tree: Any, index: np.ndarray) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[..., index], tree)


def join_groups(parts: list, paths: int):
    """Groups along the last axis, without what filled up the last one."""
    return jax.tree.map(
        lambda *leaves: np.concatenate(leaves, BATCH)[..., :paths], *jax.device_get(parts)
    )


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _simulate(
    env: InventoryNetwork,
    policy: Policy,
    size: SimulationSize,
    policy_axis,
    instance,
    params,
    world,
) -> Totals:
    keep = _each_period if size.by_period else None
    return size.simulate(env, policy, policy_axis, instance, params, world, keep)


def _each_period(outcome):
    return Periods(
        -outcome.reward, outcome.demand.sum(), outcome.short.sum(), outcome.on_hand.sum()
    )


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _forecast_sums(env, policy: Policy, size: SimulationSize, policy_axis, instance, params, world):
    """Sums of absolute forecast errors and of demand over the counted periods of a group."""
    periods = min(size.warm_up + size.periods, 512)
    demand, signals = (
        world[1].exogenous.demand[:periods],
        world[1].signals[: env.history - 1 + periods],
    )

    def single(params, signals, demand, instance):
        contexts = policy.encode(params, signals, env.facts(instance))
        predicted = jax.vmap(policy.predict)(contexts)[env.history - 1 :]
        counted = slice(size.warm_up, None)
        return jnp.abs(demand - predicted)[counted].sum(), demand[counted].sum()

    sums = jax.vmap(single, in_axes=(policy_axis, BATCH, BATCH, size.axis))(
        params, signals, demand, instance
    )
    return jax.tree.map(jnp.sum, sums)
