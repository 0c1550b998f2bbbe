"""The best lower bound on the average cost that is known for a network which is not solved."""

from jaxinv.demand.processes import Tabulated
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.envs.topology import SUPPLIER
from jaxinv.errors import UserError
from jaxinv.exact.lattice import weight
from jaxinv.exact.newsvendor import lost_sales_bound, table_mass
from jaxinv.exact.one_warehouse import pooled_bound


def lower_bound(env: InventoryNetwork, params: InstanceParams) -> float | None:
    """A number that no policy's average cost a period is below, or None where nothing is known.

    A warehouse with stores is bounded by the Federgruen-Zipkin relaxation, a store with lost sales by Janakiraman,
    Seshadri and Shanthikumar's backlog system. Costs other than of holding and shortage are beyond both.
    """
    topology = env.topology
    if topology.lead_times is None or topology.ages > 1 or topology.return_lags:
        return None
    if topology.nodes > 1 and topology.sources == (SUPPLIER, *(0,) * (topology.nodes - 1)):
        try:
            return pooled_bound(env, params).average_cost
        except UserError:  # another mechanism, or demand with a memory
            return None
    single = topology.edges == 1 and isinstance(env.world.demand, Tabulated) and env.world.demand.products == 1
    if single and not topology.backlog and topology.mechanisms <= {"packs"}:
        return float(
            lost_sales_bound(
                table_mass(params.demand.cdf[:, 0, 0]), topology.lead_times[0],
                weight(params, "holding") * params.holding[0, 0], weight(params, "shortage") * params.shortage[0, 0],
                longest=topology.lead_times[0],
            )
        )  # fmt: skip
    return None
