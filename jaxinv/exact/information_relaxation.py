"""A lower bound on lost sales from a clairvoyant who pays for what he knows (Brown, Smith & Sun
2010).

Who knows demand in advance pays nothing, a bound without use. So charge him a penalty that is zero
on average for anyone who does not know it: in every period, what he expected less what he got, of
this period's cost and of a value V of the stock x' at the start of the next one. His cost of a
period at stock x with arrivals a to come is then

    G(x) + E V((x - D)^+ + a) - V((x - d)^+ + a),

G the newsvendor's expected cost and d the demand that he knows. In the long run V(x) at the end of
a path costs what it brings in at its start, on average, so that is settled too. His best plan is a
dynamic programme over stock at hand, since with d known a lead time only brings forward when he
orders. The mean of its cost over paths is a lower bound for every policy, with any V. Here V = G,
what the stock will cost in the next period alone. The bound is at most the optimum at lead time 1,
and close to it.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.errors import UserError
from jaxinv.exact.lattice import cover, demand_law, newsvendor_costs
from jaxinv.exact.scope import require_store, weighted


def dual_bound(env: InventoryNetwork, params: InstanceParams, demand: jax.Array) -> np.ndarray:
    """Penalised cost a period `[B]` of each path; their mean is a lower bound on the average cost
    of every policy.

    Args:
      env: the `lost_sales` preset with whole demand, no ordering costs and a lead time of at least
        1.
      params: of one instance.
      demand: `[T, 1, 1, B]` paths, as `Exogenous.demand` of a batch.

    Raises:
      UserError: for another network.
    """
    require_store(env, "the information-relaxation bound", {"packs"}, backlog=False)
    topology = env.topology
    if topology.lead_times[0] < 1:
        raise UserError(
            "the information-relaxation bound needs lead_time of at least 1; at 0 use the"
            " newsvendor"
        )
    law = demand_law(env, params, points=1)
    if law.step != 1.0 or not topology.has("packs"):
        raise UserError("the information-relaxation bound is for whole demand and whole orders")
    holding = weighted(params, "holding", "holding").item()
    shortage = weighted(params, "shortage", "shortage").item()
    # some optimal policy never holds more than the newsvendor of the periods an order covers
    # (Zipkin 2008)
    ahead = np.cumsum(cover(law.total, topology.lead_times[0] + 1))
    size = int(np.searchsorted(ahead, shortage / (shortage + holding))) + 1
    value = newsvendor_costs(law.total, 2 * size, holding, shortage)
    mass, value, costs = (
        jnp.asarray(table, jnp.float32) for table in (law.total, value, value[:size])
    )
    solve = jax.jit(jax.vmap(partial(penalised_cost, mass, value, costs), in_axes=-1))
    return np.asarray(solve(jnp.asarray(demand)[:, 0, 0]), float) / demand.shape[0]


def penalised_cost(
    mass: jax.Array, value: jax.Array, costs: jax.Array, demand: jax.Array
) -> jax.Array:
    """The clairvoyant's least penalised cost `[]` of a path, from the stock and to the stock that
    suit him best.

    Args:
      mass: `[M]` probabilities of a demand of 0 .. M-1.
      value: `[2 X]` V at a stock of 0, 1, …
      costs: `[X]` G at a stock of 0 .. X-1, the most that he may hold.
      demand: `[T]` whole numbers.
    """
    size = costs.shape[0]
    stock, order = jnp.arange(size)[:, None], jnp.arange(size)[None, :]
    after = jnp.maximum(stock - jnp.arange(mass.shape[0]), 0)  # [X, M]
    chance = jnp.zeros((size, size)).at[stock, after].add(mass)
    expected = jnp.matmul(chance, value[stock + order], precision="highest")  # [X, A]

    def period(later, asked):
        at = jnp.maximum(stock - asked, 0) + order
        then = jnp.where(at < size, later[jnp.minimum(at, size - 1)], jnp.inf)
        least = costs + jnp.min(expected - value[at] + then, 1)
        return least - least.min(), least.min()

    first, paid = jax.lax.scan(period, value[:size], demand.astype(jnp.int32), reverse=True)
    return paid.sum() + jnp.min(first - value[:size])
