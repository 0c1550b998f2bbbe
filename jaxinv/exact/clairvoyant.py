"""Lower bounds on what a store costs on one path of demand, from knowing the path in advance.

Pure functions of one path, for `jax.vmap`. A planner who knows demand lets stock arrive just when
it is needed. Two costs remain: those of the initial stock before a first order can arrive, and
those of ordering, a trade-off of lot sizes: the dynamic lot-sizing problem of Wagner & Whitin
(1958), with backlog (Zangwill 1966) or lost sales.
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import COSTS, InstanceParams, NetworkState
from jaxinv.exact.scope import require_store


def path_bound(
    env: InventoryNetwork,
    params: InstanceParams,
    demand: jax.Array,
    start: NetworkState | None = None,
) -> jax.Array:
    """The least total cost `[]` of a store on a path of demand; no policy from this start costs
    less on it.

    Orders need not be whole here, which can only cost less.

    Args:
      env: one store, one supplier with a fixed lead time, backlog or lost sales.
      params: of one instance.
      demand: `[T, 1, 1]` of the T periods whose cost is counted, as `Exogenous.demand`.
      start: stock at the first of them. None: whatever suits best, stock and what arrives in the
        first L periods having been paid for before, as in an evaluation that does not count its
        warm-up.

    Raises:
      UserError: for another network.
    """
    topology = env.topology
    require_store(env, "the clairvoyant bound", {"packs", "unit_cost", "fixed_cost"})
    weights = dict(zip(COSTS, params.weights))
    holding = weights["holding"] * params.holding[0, 0]
    shortage = weights["shortage"] * params.shortage[0, 0]
    lead, periods = topology.lead_times[0], demand.shape[0]
    path = demand[:, 0, 0]
    fixed = weights["ordering"] * params.fixed_cost[0, 0] if topology.has("fixed_cost") else 0.0
    unit = weights["ordering"] * params.unit_cost[0, 0] if topology.has("unit_cost") else 0.0
    solve = partial(lot_sizing, holding=holding, shortage=shortage, backlog=topology.backlog)
    if start is None:
        paid_before = jnp.arange(periods) < max(lead, 1)
        return solve(path, jnp.where(paid_before, 0.0, fixed), jnp.where(paid_before, 0.0, unit))
    forced, asked = _run_down(topology, start, path, holding, shortage)
    # nothing can arrive in the first L periods, whose demand `_run_down` has settled
    return forced + solve(
        asked, jnp.where(jnp.arange(periods) < lead, jnp.inf, fixed), jnp.full(periods, unit)
    )


def lot_sizing(demand, fixed, unit, *, holding, shortage, backlog: bool) -> jax.Array:
    """The least cost `[]` of meeting a known demand from nothing, by a dynamic programme over the
    periods.

    An order that arrives in period m serves whole periods, from the first that waits for it to the
    last before the next order: stock of two orders is never held at once.

    Args:
      demand: `[T]`.
      fixed, unit: `[T]` money per order, and per unit of it, that arrives in each period.
      holding: money per unit and period. shortage: money per unit lost, or per unit owed and
        period.
      backlog: whether unmet demand waits; at the end it may go on waiting.
    """
    periods = demand.shape[0]
    index = jnp.arange(periods)

    def period(carry, x):
        settled, waiting, owed, serving = carry
        time, asked = x
        # `settled` is the least cost when all earlier demand is settled; from there demand may
        # start to wait
        waiting = jnp.where(index == time, settled, waiting)  # [T] by the first period that waits
        owed = jnp.where(index <= time, owed, 0.0)
        before = jnp.min(waiting + unit[time] * owed) if backlog else settled
        serving = jnp.where(
            index == time, before + fixed[time], serving
        )  # [T] by the period of the order
        serving = serving + (unit + holding * (time - index)) * asked
        if backlog:
            owed = jnp.where(index <= time, owed + asked, 0.0)
            waiting = waiting + shortage * owed
            settled = jnp.min(serving)
        else:
            settled = jnp.minimum(settled + shortage * asked, jnp.min(serving))
        settled = jnp.where(
            asked > 0, settled, jnp.minimum(settled, carry[0])
        )  # no demand settles itself
        return (settled, waiting, owed, serving), None

    never = jnp.full(periods, jnp.inf)
    start = (jnp.zeros(()), never, jnp.zeros(periods), never)
    (settled, waiting, _, _), _ = jax.lax.scan(period, start, (index, demand))
    return jnp.minimum(settled, jnp.min(waiting)) if backlog else settled


def _run_down(topology, start: NetworkState, demand, holding, shortage):
    """What a start costs in any case, and the demand `[T]` that is left for orders yet to be
    placed.

    Stock and what is on its way serve first: all of it before period L, and after that what
    remains.
    """
    lead, periods = topology.lead_times[0], demand.shape[0]
    arrivals = jnp.zeros(periods)
    for age in range(min(lead - 1, periods)):  # slot i was ordered i + 1 periods ago
        if lead - 1 - age < periods:
            arrivals = arrivals.at[lead - 1 - age].add(start.pipeline[0, 0, age])
    owed = start.backorder[0, 0] if topology.backlog else jnp.zeros(())

    def period(carry, x):
        stock, owed = carry
        time, asked, arriving = x
        stock = stock + arriving
        sold = jnp.minimum(stock, asked + owed)
        stock, short = stock - sold, asked + owed - sold
        closed = time < lead
        cost = holding * stock + jnp.where(closed, shortage * short, 0.0)
        left = jnp.where(closed, 0.0, short)
        owed = jnp.where(closed, short, 0.0) if topology.backlog else owed
        return (stock, owed), (cost, left)

    carry = (start.on_hand[0, 0], owed)
    _, (cost, left) = jax.lax.scan(period, carry, (jnp.arange(periods), demand, arrivals))
    return cost.sum(), left
