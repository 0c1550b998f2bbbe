"""The best lower bound on the average cost that is known for a network which is not solved."""

import dataclasses

from jaxinv.demand.processes import Tabulated
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.scenarios import changes
from jaxinv.envs.topology import SUPPLIER
from jaxinv.errors import UserError
from jaxinv.exact.enumeration import enumerate_states
from jaxinv.exact.newsvendor import lost_sales_bound, table_mass
from jaxinv.exact.one_warehouse import pooled_bound
from jaxinv.exact.scope import weighted


def lower_bound(env: InventoryNetwork, params: InstanceParams, most: float) -> float | None:
    """A number that no policy's average cost a period is below, or None where nothing is known.

    - A warehouse with stores: the Federgruen-Zipkin relaxation (`one_warehouse.pooled_bound`).
    - A store with lost sales: the larger of its backlog system (`newsvendor.lost_sales_bound`) and
      its own optimum at a shorter lead time, the longest that can be solved. Who gets goods sooner
      than he must can put off every order, so a longer lead time costs no less.

    Args:
      most: states times orders that solving the shorter lead time may look at.
    """
    topology = env.topology
    if (
        topology.lead_times is None
        or topology.ages > 1
        or topology.return_lags
        or topology.products > 1
        or changes(params)
    ):
        return None
    if topology.advance_nodes:
        return None
    if topology.nodes > 1 and topology.sources == (SUPPLIER, *(0,) * (topology.nodes - 1)):
        try:
            return pooled_bound(env, params).average_cost
        except UserError:  # a mechanism or a demand that it says nothing about
            return None
    single = topology.edges == 1 and isinstance(env.world.demand, Tabulated)
    if not single or topology.backlog or not topology.mechanisms <= {"packs"}:
        return None
    holding, shortage = (
        float(weighted(params, "holding", "holding")[0]),
        float(weighted(params, "shortage", "shortage")[0]),
    )
    mass, lead_time = table_mass(params.demand.cdf[:, 0, 0]), topology.lead_times[0]
    waiting = float(lost_sales_bound(mass, lead_time, holding, shortage, longest=lead_time))
    return max(waiting, _at_a_shorter_lead_time(env, params, most))


def _at_a_shorter_lead_time(env: InventoryNetwork, params: InstanceParams, most: float) -> float:
    """The optimum at the longest lead time below the store's that is small enough; 0 where none
    is.
    """
    for lead_time in range(env.topology.lead_times[0] - 1, 0, -1):
        topology = dataclasses.replace(env.topology, lead_times=(lead_time,), max_lead_time=0)
        shorter = type(env)(topology, env.world, params, env.history, env.name)
        try:
            return enumerate_states(shorter, params, most=most).interval[0]
        except UserError:  # too large still, or orders that are not whole
            continue
    return 0.0
