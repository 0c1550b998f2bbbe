"""Policies of ours in gym-invmgmt's own environment, which tells what it tells everybody."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.demand.exogenous import Exogenous
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams, NetworkState
from jaxinv.envs.topology import Topology
from jaxinv.policies.policy import Policy
from jaxinv.studies.invmgmt_scenarios import PERIODS, Scenario


class Played(NamedTuple):
    """Episodes of some seeds in their environment.

    Attributes:
      profit: `[S]` of all periods.
      orders: `[S, T, E]` asked for.
      demand: `[S, T]`, what goodwill makes of it included; goodwill `[S, T]`.
    """

    profit: np.ndarray
    orders: np.ndarray
    demand: np.ndarray
    goodwill: np.ndarray


def translated(
    topology: Topology, params: InstanceParams, seen: jax.Array
) -> tuple[NetworkState, jax.Array]:
    """Our state from what theirs tells `[...]`, and the demand of the period before `[D, K]`.

    They tell: last demand, what is unserved, stock by node, what is on its way by edge and the
    periods until it arrives, the period, and goodwill as it was before the last period moved it.
    """
    nodes, lead = topology.nodes, topology.lead_times
    demand, unserved, time, goodwill = seen[:1], seen[1], seen[-2], seen[-1]
    pipeline, place = [], 2 + nodes
    for periods in lead:  # they count until arrival, we since the order
        slots = seen[place : place + periods][::-1]
        pipeline.append(jnp.pad(slots, (0, topology.slots - periods)))
        place += periods
    factor = jnp.where(unserved > 0, params.goodwill_decay, params.goodwill_growth)
    moved = jnp.clip(goodwill * factor, params.goodwill_low, params.goodwill_high)
    shop = topology.among(topology.demand_nodes)
    state = NetworkState(
        time=time.astype(jnp.int32),
        on_hand=seen[2 : 2 + nodes, None],
        pipeline=jnp.stack(pipeline)[:, None],
        backorder=jnp.where(shop, unserved * params.waiting_share, 0.0),
        goodwill=jnp.where(shop & (time > 0), moved, 1.0),
    )
    return state, demand[:, None]


@partial(jax.jit, static_argnums=(0, 1))
def decide(
    env: InventoryNetwork, policy: Policy, numbers: Any, seen: jax.Array, params: InstanceParams
) -> jax.Array:
    """Orders `[S, E]` for what their environment tells `[S, ...]`."""

    def one(seen):
        state, demand = translated(env.topology, params, seen)
        signals = env.world.observe((state.time, None), demand, params)
        return policy(numbers, env.view(state, params, signals[None]))[:, 0]

    return jax.vmap(one)(seen)


def play(
    scenario: Scenario,
    env: InventoryNetwork,
    params: InstanceParams,
    policy: Policy,
    numbers: Any,
    seeds: Sequence[int],
) -> Played:
    """Plays the published seeds of a scenario in their environment.

    Args:
      env, params: of our copy of it, which says what a policy may know of the law.
    """

    def act(period, seen):
        return decide(env, policy, numbers, jnp.asarray(seen, jnp.float32), params)

    return play_orders(scenario, act, seeds)


def play_orders(scenario: Scenario, act: Any, seeds: Sequence[int]) -> Played:
    """The same for any `act` (period, what is told `[S, ...]`) -> orders `[S, E]`."""
    worlds = [scenario.theirs() for _ in seeds]
    seen = np.stack([world.reset(seed=seed)[0] for world, seed in zip(worlds, seeds)])
    asked = []
    for period in range(PERIODS):
        asked.append(np.asarray(act(period, seen), np.float64))
        seen = np.stack([world.step(order)[0] for world, order in zip(worlds, asked[-1])])
    return Played(
        np.array([world.P.sum() for world in worlds]),
        np.stack(asked, 1),
        np.stack([world.D[:, 0] for world in worlds]),
        np.stack([world.GW for world in worlds]),
    )


@partial(jax.jit, static_argnums=0)
def profit_in_ours(
    env: InventoryNetwork, params: InstanceParams, orders: jax.Array, base: jax.Array
) -> jax.Array:
    """What orders `[T, E]` earn in our world on demand `[T]` at a goodwill of 1."""
    nodes = env.topology.nodes
    start = env.start({"stock": jnp.zeros((nodes, 1))}, params)

    def period(state, x):
        order, asked = x
        return env.transition(state, order[:, None], Exogenous(asked[None, None]), params)

    _, outcome = jax.lax.scan(period, start, (orders, base))
    return outcome.reward.sum()
