"""What any policy costs, exactly: its orders in every state of a grid, and their costs on the
tables of the instance.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.shipping import ship
from jaxinv.exact.enumeration import decided, follow
from jaxinv.exact.mdp import MDP
from jaxinv.exact.state_space import StateSpace, network_state
from jaxinv.policies.policy import Policy


@partial(jax.jit, static_argnames=("env", "policy", "grid", "executed"))
def orders_in_every_state(
    env: InventoryNetwork,
    policy: Policy,
    grid: StateSpace,
    params: InstanceParams,
    policy_params: Any,
    executed: bool = True,
) -> jax.Array:
    """What a policy that needs no history orders in every state `[X, R, E * K]`, in whole units.

    Args:
      executed: what is really shipped, which is what the tables know the cost of; else what was
        asked for.
    """

    def single(stock, pipeline):
        state = network_state(env.topology, stock, pipeline)
        action = policy.act(policy_params, env.view(state, params), None)
        if executed:
            action = ship(env.topology, state, action, params)[0]
        return jnp.round(action).reshape(-1)

    stocks, pipelines = jnp.asarray(grid.stock.points()), jnp.asarray(grid.pipeline.points())
    return jax.vmap(jax.vmap(single, (None, 0)), (0, None))(stocks, pipelines)


def discounted_costs(mdp: MDP, orders: np.ndarray, discount: float) -> np.ndarray:
    """Expected discounted cost `[X, R]` of a policy from every state on.

    Args:
      orders: numbers `[X, R]` of the orders of the grid that it executes.
    """
    states = np.arange(orders.size)
    row, after, chance, _ = follow(mdp, orders, states, mdp.kernel.mass > 0)
    chain = sparse.csr_matrix((chance, (row, after)), (orders.size, orders.size))
    value = spsolve(
        sparse.identity(orders.size, format="csc") - discount * chain.tocsc(),
        decided(mdp, orders, states)[2],
    )
    return value.reshape(orders.shape)
