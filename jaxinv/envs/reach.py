"""How much an order may have to be: as far as demand itself asks for, in the search of a rule and
in the action space.

A multiple of mean demand says little where demand comes in lumps: one in twenty days 250 units and
else nothing is 12 a day, and what is ordered at a time is 250.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from jaxinv.demand.exogenous import draw_uniforms
from jaxinv.demand.processes import TraceReplay
from jaxinv.envs import views
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.shipping import least_order
from jaxinv.envs.topology import Topology
from jaxinv.keys import Role, key_of, root

QUANTILE = 0.999
"""Of demand over the periods that an order is for."""

PATHS, PERIODS = 64, 256
"""Of demand that is drawn."""


@dataclass(frozen=True)
class Flow:
    """Demand that passes the end of each edge, everything downstream included.

    Attributes:
      flow: `[C, T, E, K]` of C paths.
      least: what an order is at least `[E, K]`: a pack, or the minimum.
    """

    flow: jax.Array
    least: jax.Array

    @classmethod
    def of(cls, topology: Topology, instance: InstanceParams, demand: jax.Array) -> "Flow":
        """Of demand `[C, T, D, K]`."""
        flow = jax.vmap(jax.vmap(lambda demand: topology.at_destination(
            views.echelon_sum(topology, topology.at_demand_nodes(demand)))))(demand)  # fmt: skip
        return cls(flow, least_order(topology, instance))

    def most(self, periods: jax.Array) -> jax.Array:
        """A high quantile of what passes in so many `periods` `[E]`, rounded up: `[E, K]`."""
        sums = jax.vmap(lambda flow: _running_sums(flow, periods))(self.flow)
        return jnp.quantile(sums.reshape(-1, *sums.shape[2:]), QUANTILE, axis=0, method="higher")


def reaching(env: InventoryNetwork, params: InstanceParams) -> InstanceParams:
    """An instance whose action space holds any order that a rule may place: up to a level that
    demand over the coverage of the order, and that of all nodes below, seldom passes, and a pack.
    No `max_order` becomes smaller.
    """
    return params.replace(
        max_order=jnp.maximum(params.max_order, _most(env.within(env.ends), params))
    )


@partial(jax.jit, static_argnums=0)
def _most(env, params):
    demand, law = env.world.demand, params.demand
    recorded = isinstance(demand, TraceReplay) and not demand.goes_on
    flow = Flow.of(env.topology, params, law.demand[None] if recorded else _drawn(demand, law))
    return flow.most(views.echelon_coverage(env.topology, env.facts(params))) + flow.least


def _drawn(process, law):
    """Demand `[C, T, D, K]`."""
    key = key_of(root(0), Role.MOMENTS)
    size = dict(out_axes=-1, axis_size=PATHS)
    state = jax.vmap(process.init, (-1, None), **size)(
        draw_uniforms(key, 0, process.start_noise, (PATHS,)), law
    )

    def period(state, time):
        uniforms = draw_uniforms(key, time, process.noise, (PATHS,))
        return jax.vmap(process.step, (-1, -1, None), **size)(state, uniforms, law)

    _, demand = jax.lax.scan(period, state, jnp.arange(PERIODS))
    return jnp.moveaxis(demand, -1, 0)


def _running_sums(flow, periods):
    """Sums `[T, E, K]` over the next `periods` `[E]` (rounded up) of each row; at the end over what
    is left.
    """
    last = flow.shape[0]
    total = jnp.concatenate([jnp.zeros_like(flow[:1]), jnp.cumsum(flow, 0)])
    ends = jnp.arange(last)[:, None] + jnp.ceil(periods - 1e-4).astype(int)
    ends = jnp.minimum(ends, last)[..., None]
    return jnp.take_along_axis(total, ends, 0) - total[:-1]
