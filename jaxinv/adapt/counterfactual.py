"""What would have happened: exact counterfactuals of logged episodes, and true effects by paired
rollouts.

A log keeps the key of its noise, so abduction is exact; action is another intervention or other
orders; prediction is the same rollout again. Demand and lead times do not depend on what is done.
What does - sales where stock is short, and returns of what was sold - is played again from the same
noise, so it too is exact.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxinv.demand.interventions import Intervened, Intervention, check_movable
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.scenarios import intervene
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH, Episodes, begin
from jaxinv.evaluation.trajectories import Origin, Trajectories, record
from jaxinv.policies.policy import Policy

HORIZON = 7
"""Days over which an effect is measured."""

OUTCOMES = ("demand", "stock-outs", "cost")
"""Over the horizon: units asked for, periods (of a node and product) with demand unserved, weighted
costs.
"""


def log(
    env: InventoryNetwork, params: InstanceParams, policy: Policy, policy_params: Any,
    key: jax.Array, *, batch: int,
    periods: int, warm_up: int = 0, axis: int | None = None,
) -> Trajectories:  # fmt: skip
    """Episodes of a policy, logged after a warm-up.

    Args:
      env: open to change (`jaxinv.envs.scenarios.open_to_change`).
      axis: `BATCH` where `params` is a batch of instances, None where all episodes share one.
    """
    if not isinstance(env.world, Intervened):
        raise UserError(f"{env.name} is not open to change; log it on what open_to_change gives")
    episodes = _begin(env, key, params, batch, axis)
    memory = None
    if warm_up:
        episodes, before = record(env, params, policy, policy_params, episodes, warm_up, axis=axis)
        memory = before.memory
    _, played = record(
        env, params, policy, policy_params, episodes, periods, memory=memory, axis=axis
    )
    return played.replace(origin=Origin(params, episodes, policy_params, memory))


def counterfactual(
    env: InventoryNetwork, log: Trajectories, policy: Policy, change: Intervention | None = None,
    orders: jax.Array | None = None, axis: int | None = None,
) -> Trajectories:  # fmt: skip
    """The logged episodes under another world or other orders; with neither, the log itself, bit
    for bit.

    Args:
      change: its days count from the first logged decision. None: the world as it was.
      orders: `[T, E, K, B]` what is ordered instead, NaN where the policy decides on what it then
        sees. The log's own orders, `log.orders`, let the policy react to nothing. None: the policy
        decides throughout.

    Raises:
      UserError: for an intervention on what the world cannot move, or orders of another shape.
    """
    origin, (periods, batch) = log.origin, log.reward.shape
    params = origin.params
    if change is not None:
        check_movable(env.world, change, env.name)
        params = under(params, change.from_day(origin.start.period), batch, axis)
    if orders is not None and orders.shape != log.orders.shape:
        raise UserError(
            f"orders {orders.shape} must have the shape of the log's own, {log.orders.shape}"
        )
    given = dict(orders=orders, memory=origin.memory, axis=axis)
    return record(env, params, policy, origin.policy_params, origin.start, periods, **given)[1]


def order_instead(log: Trajectories, day: int, quantity) -> jax.Array:
    """Orders for `counterfactual` that set those of one day, `[E, K]` or one number, and leave the
    others to the policy.
    """
    blank = jnp.full_like(log.orders, jnp.nan)
    return blank.at[day].set(
        jnp.broadcast_to(jnp.asarray(quantity, jnp.float32), blank.shape[1:3])[..., None]
    )


def under(
    params: InstanceParams, change: Intervention, batch: int, axis: int | None
) -> InstanceParams:
    """Parameters of a rollout under one intervention that all its episodes share."""
    return intervene(params, change, None if axis is None else batch)


# True effects


def effects(
    env: InventoryNetwork, params: InstanceParams, policy: Policy, policy_params: Any,
    episodes: Episodes,
    treated: Intervention, control: Intervention = Intervention(), horizon: int = HORIZON,
    axis: int | None = None,
) -> jax.Array:  # fmt: skip
    """Y(treated) - Y(control) of each episode on the same noise, for Y in `OUTCOMES`: `[3, B]`.

    Their mean estimates tau = E[Y(do x) - Y(do 0)] over the states of the episodes.

    Args:
      treated, control: their days count from the present.
    """
    results = []
    for change in (treated, control):
        check_movable(env.world, change, env.name)
        batch = episodes.signals.shape[BATCH]
        changed = under(params, change.from_day(episodes.period), batch, axis)
        results.append(
            outcomes(record(env, changed, policy, policy_params, episodes, horizon, axis=axis)[1])
        )
    return results[0] - results[1]


def outcomes(played: Trajectories) -> jax.Array:
    """`OUTCOMES` over all periods `[3, B]`."""
    stockouts = (played.short > 0).sum((0, 1, 2)).astype(jnp.float32)
    return jnp.stack([played.demand.sum((0, 1, 2)), stockouts, -played.reward.sum(0)])


def branch_futures(episodes: Episodes, key: jax.Array, count: int) -> Episodes:
    """Each episode `count` times in a row with noise of its own from now on: batch `B count`.

    The mean effect over the copies is tau(s), the effect in the state s of the episode.
    """
    states = (episodes.network, episodes.world, episodes.signals)
    network, world, signals = jax.tree.map(lambda leaf: jnp.repeat(leaf, count, BATCH), states)
    return episodes.replace(key=key, network=network, world=world, signals=signals)


_begin = jax.jit(begin, static_argnums=(0, 3, 4))
