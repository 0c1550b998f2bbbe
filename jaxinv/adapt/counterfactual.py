"""What would have happened: exact counterfactuals of logged episodes, and true effects by paired rollouts.

A log keeps the key of its noise, so abduction is exact; action is another intervention or other orders; prediction is the
same rollout again. Demand and lead times do not depend on what is done. What does - sales where stock is short, and
returns of what was sold - is played again from the same noise, so it too is exact.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.demand.interventions import Intervened, Intervention, check_movable
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.scenarios import intervene
from jaxinv.errors import UserError
from jaxinv.evaluation.rollout import BATCH, Episodes, begin, rollout, unroll_world
from jaxinv.policies.policy import Policy

HORIZON = 7
"""Days over which an effect is measured."""

OUTCOMES = ("demand", "stock-outs", "cost")
"""Over the horizon: units asked for, periods (of a node and product) with demand unserved, weighted costs."""


@struct.dataclass
class Played:
    """What happened in T periods of B episodes, and what was known before each."""

    signals: jax.Array  # [T, S, B] the latest signal vector a decision saw
    on_hand: jax.Array  # [T, N, K, B] stock at the decision
    position: jax.Array  # [T, E, K, B] stock at the end of each edge, with what is in transit on it
    orders: jax.Array  # [T, E, K, B] as asked for
    demand: jax.Array  # [T, N, K, B]
    short: jax.Array  # [T, N, K, B]
    reward: jax.Array  # [T, B]


@struct.dataclass
class Log:
    """Logged episodes, and what it takes to play them again."""

    params: InstanceParams  # the world as it was, its intervention included
    start: Episodes  # before the first logged decision; holds the key of all noise
    policy_params: Any
    played: Played


def log(
    env: InventoryNetwork, params: InstanceParams, policy: Policy, policy_params: Any, key: jax.Array, *, batch: int,
    periods: int, warm_up: int = 0, axis: int | None = None,
) -> Log:  # fmt: skip
    """Episodes of a policy, logged after a warm-up.

    Args:
      env: open to change (`jaxinv.envs.scenarios.open_to_change`).
      axis: `BATCH` where `params` is a batch of instances, None where all episodes share one.
    """
    if not isinstance(env.world, Intervened):
        raise UserError(f"{env.name} is not open to change; log it on what open_to_change gives")
    episodes = _begin(env, key, params, batch, axis)
    if warm_up:
        episodes, _ = play(env, params, policy, policy_params, episodes, None, warm_up, axis)
    _, played = play(env, params, policy, policy_params, episodes, None, periods, axis)
    return Log(params, episodes, policy_params, played)


def counterfactual(
    env: InventoryNetwork, log: Log, policy: Policy, change: Intervention | None = None, orders: jax.Array | None = None,
    axis: int | None = None,
) -> Played:  # fmt: skip
    """The logged episodes under another world or other orders; with neither, the log itself, bit for bit.

    Args:
      change: its days count from the first logged decision. None: the world as it was.
      orders: `[T, E, K, B]` what is ordered instead, NaN where the policy decides on what it then sees. The log's own
        orders, `log.played.orders`, let the policy react to nothing. None: the policy decides throughout.

    Raises:
      UserError: for an intervention on what the world cannot move, or orders of another shape.
    """
    params = log.params
    if change is not None:
        check_movable(env.world, change, env.name)
        params = under(params, change.from_day(log.start.period), log.played.reward.shape[BATCH], axis)
    if orders is not None and orders.shape != log.played.orders.shape:
        raise UserError(f"orders {orders.shape} must have the shape of the log's own, {log.played.orders.shape}")
    periods = log.played.reward.shape[0]
    return play(env, params, policy, log.policy_params, log.start, orders, periods, axis)[1]


def order_instead(log: Log, day: int, quantity) -> jax.Array:
    """Orders for `counterfactual` that set those of one day, `[E, K]` or one number, and leave the others to the policy."""
    blank = jnp.full_like(log.played.orders, jnp.nan)
    return blank.at[day].set(jnp.broadcast_to(jnp.asarray(quantity, jnp.float32), blank.shape[1:3])[..., None])


def under(params: InstanceParams, change: Intervention, batch: int, axis: int | None) -> InstanceParams:
    """Parameters of a rollout under one intervention that all its episodes share."""
    return intervene(params, change, None if axis is None else batch)


@partial(jax.jit, static_argnames=("env", "policy", "periods", "axis"))
def play(
    env: InventoryNetwork, params: InstanceParams, policy: Policy, policy_params: Any, episodes: Episodes,
    orders: jax.Array | None, periods: int, axis: int | None = None,
) -> tuple[Episodes, Played]:  # fmt: skip
    """Plays a policy from given episodes on; see `counterfactual` for `orders`."""
    after, trace = unroll_world(env, episodes, params, periods, axis)
    orders = jnp.full((periods, *_order_shape(env, trace)), jnp.nan) if orders is None else orders

    def encode(signals, params):
        return policy.encode(policy_params, signals, env.facts(params))

    contexts = jax.vmap(encode, (BATCH, axis), BATCH, axis_size=trace.signals.shape[BATCH])(trace.signals, params)
    contexts = jax.tree.map(lambda leaf: leaf[env.history - 1 :], contexts)

    def act(policy_params, observation, inputs):
        context, instead = inputs
        own = policy.act(policy_params, observation, context)
        action = jnp.where(jnp.isnan(instead), own, instead)
        return action, action

    def record(observation, outcome, action):
        on_hand = observation.on_hand.sum(-1) if env.topology.ages > 1 else observation.on_hand
        position = env.topology.at_destination(on_hand) + observation.pipeline.sum(-1)
        return on_hand, position, action, outcome.demand, outcome.short, outcome.reward

    network, kept, _ = rollout(
        env, params, act, policy_params, episodes.network, trace.exogenous, (contexts, orders), axis=axis,
        signals=trace.signals if policy.wants_window else None, record=record,
    )  # fmt: skip
    return after.replace(network=network), Played(trace.signals[env.history - 1 :], *kept)


# True effects


def effects(
    env: InventoryNetwork, params: InstanceParams, policy: Policy, policy_params: Any, episodes: Episodes,
    treated: Intervention, control: Intervention = Intervention(), horizon: int = HORIZON, axis: int | None = None,
) -> jax.Array:  # fmt: skip
    """Y(treated) - Y(control) of each episode on the same noise, for Y in `OUTCOMES`: `[3, B]`.

    Their mean estimates tau = E[Y(do x) - Y(do 0)] over whatever states the episodes stand in.

    Args:
      treated, control: their days count from the present.
    """
    results = []
    for change in (treated, control):
        check_movable(env.world, change, env.name)
        batch = episodes.signals.shape[BATCH]
        changed = under(params, change.from_day(episodes.period), batch, axis)
        results.append(outcomes(play(env, changed, policy, policy_params, episodes, None, horizon, axis)[1]))
    return results[0] - results[1]


def outcomes(played: Played) -> jax.Array:
    """`OUTCOMES` over all periods `[3, B]`."""
    stockouts = (played.short > 0).sum((0, 1, 2)).astype(jnp.float32)
    return jnp.stack([played.demand.sum((0, 1, 2)), stockouts, -played.reward.sum(0)])


def futures(episodes: Episodes, key: jax.Array, count: int) -> Episodes:
    """Each episode `count` times in a row with noise of its own from now on: batch `B count`.

    The mean effect over the copies is tau(s), that of the very state an episode stands in.
    """
    states = (episodes.network, episodes.world, episodes.signals)
    network, world, signals = jax.tree.map(lambda leaf: jnp.repeat(leaf, count, BATCH), states)
    return episodes.replace(key=key, network=network, world=world, signals=signals)


def _order_shape(env, trace):
    return env.topology.edges, env.topology.products, trace.signals.shape[BATCH]


_begin = jax.jit(begin, static_argnums=(0, 3, 4))
