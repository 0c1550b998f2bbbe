"""Value iteration on a tabulated network: average cost, discounted, and finite horizon.

All three are one Bellman sweep (`sweep`) over the tables of `jaxinv.exact.mdp`, in double precision
on the device. A sweep goes through groups of pipelines in blocks, so its memory is bounded whatever
the number of states.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxinv.errors import UserError
from jaxinv.exact.mdp import MDP

DAMPING = 0.9
"""Share of a step that is taken: a policy that orders every other period would otherwise swing the
values to and fro, with average cost for ever (the aperiodicity transformation of Schweitzer 1971).
The bounds stay what they are."""

BLOCK = {"cpu": 1 << 18, "gpu": 1 << 24}
"""Values that a sweep holds at a time besides those of all states: what a processor caches, what
keeps a GPU busy.
"""


class Values(NamedTuple):
    """What an iteration ends with."""

    value: jax.Array  # [X, R] relative (average cost) or discounted cost to go
    low: (
        jax.Array
    )  # [] and high: bounds of the average cost a period, or of the error of `value` if discounted
    high: jax.Array
    sweeps: jax.Array  # []


def action_costs(mdp: MDP, value: jax.Array, discount: jax.Array, groups: jax.Array) -> jax.Array:
    """Cost of every order `[X, b * M, A]` in the states of pipeline groups `groups` `[b]`, with
    `value` `[X, R]` to follow.
    """
    routes, states, orders = mdp.routes, mdp.serve_cost.shape[0], mdp.arrival.shape[1]
    arrivals = routes.arrivals[groups]
    after = sum(
        chance * value[landing[:, arrivals]]
        for chance, landing in zip(mdp.share, mdp.landing, strict=True)
    )  # [Y, b, n, R]
    expected = mdp.kernel.expect(after.reshape(after.shape[0], -1))  # [X, b * n * R]
    if routes.columns is not None:
        first = jnp.arange(len(groups)) * (expected.shape[1] // len(groups))
        expected = expected[:, first[:, None, None] + routes.columns[groups]]
    offered = mdp.serve_cost[:, None, None] + discount * expected.reshape(states, -1, orders)
    if mdp.on_offer is not None:
        offered = jnp.take_along_axis(offered, mdp.on_offer[:, None, :], 0)
    costs = mdp.move_cost[routes.rows[groups].reshape(-1)] + offered
    return costs if mdp.infeasible is None else costs + mdp.infeasible[:, None, :]


def sweep(mdp: MDP, value: jax.Array, discount: jax.Array, choose) -> jax.Array:
    """One pass over all states: `[X, R]` of what `choose(costs [X, c, A], rows [c])` keeps
    `[X, c]`.
    """
    groups, members = mdp.routes.rows.shape
    size = min(max(block_size() // mdp.grid.group_size, 1), groups)
    blocks = -(-groups // size)
    numbers = jnp.minimum(jnp.arange(blocks * size), groups - 1).reshape(blocks, size)

    def block(numbers):
        return choose(
            action_costs(mdp, value, discount, numbers), mdp.routes.rows[numbers].reshape(-1)
        )

    kept = jnp.moveaxis(jax.lax.map(block, numbers), 0, 1)  # [X, blocks, size * M]
    kept = kept.reshape(value.shape[0], -1)[:, : groups * members]
    return kept if mdp.routes.place is None else kept[:, mdp.routes.place]


def block_size() -> int:
    return BLOCK.get(jax.default_backend(), BLOCK["gpu"])


def cheapest(costs, rows):
    return costs.min(-1)


def best_order(costs, rows):
    return costs.argmin(-1).astype(jnp.int32)


@partial(jax.jit, static_argnames=("discounted", "most"))
def _iterate(mdp, discount, discounted, tolerance, most):
    start = jnp.zeros((mdp.serve_cost.shape[0], mdp.arrival.shape[0]))

    def going_on(carry):
        _, low, high, sweeps = carry
        return (sweeps < most) & (
            (sweeps == 0) | (high - low > tolerance * jnp.maximum(1.0, jnp.abs(high)))
        )

    def step(carry):
        value, _, _, sweeps = carry
        change = sweep(mdp, value, discount, cheapest) - value
        low, high = change.min(), change.max()
        after = value + DAMPING * change
        if discounted:  # on to the middle of the bounds
            reach = 1.0 / (1.0 - discount)
            return (
                after + (reach - DAMPING) * (low + high) / 2,
                reach * low,
                reach * high,
                sweeps + 1,
            )
        return (
            after - after[0, 0],
            low,
            high,
            sweeps + 1,
        )  # only differences matter; this keeps them small

    return Values(*jax.lax.while_loop(going_on, step, (start, -jnp.inf, jnp.inf, 0)))


def iterate(mdp: MDP, discount: float = 1.0, tolerance: float = 1e-7, most: int = 20_000) -> Values:
    """Value iteration of the best policy.

    - `discount=1`: relative value iteration (White 1963). The average cost lies between the least
      and the largest change of a sweep (Odoni 1969), which is what `low` and `high` are.
    - below 1: discounted cost to go, with MacQueen's bounds (1966): the true values lie within
      `high - low` of `value`.

    Args:
      tolerance: of `high - low`, relative to the cost.

    Raises:
      UserError: the bounds have not closed after `most` sweeps.
    """
    with jax.enable_x64(True):
        mdp = jax.tree.map(jnp.asarray, mdp)
        result = jax.device_get(
            _iterate(mdp, jnp.float64(discount), discount < 1, jnp.float64(tolerance), most)
        )
    if not result.high - result.low <= tolerance * max(1.0, abs(result.high)):
        raise UserError(
            f"value iteration did not converge: after {result.sweeps} sweeps the cost is only known"
            f" to lie between {result.low:.6g} and {result.high:.6g}; allow more sweeps or a larger"
            " tolerance"
        )
    return result


def greedy(mdp: MDP, value: jax.Array, discount: float = 1.0) -> jax.Array:
    """Number of the cheapest order `[X, R]` in every state, with `value` to follow."""
    with jax.enable_x64(True):
        mdp = jax.tree.map(jnp.asarray, mdp)
        return jax.device_get(
            jax.jit(sweep, static_argnums=3)(mdp, value, jnp.float64(discount), best_order)
        )
