"""What a period costs: named parts, each charged where it arises, at a node or on an edge."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.envs.shipping import ROUNDING
from jaxinv.envs.topology import Topology

COSTS = (
    "holding",
    "shortage",
    "ordering",
    "transport",
    "duty",
    "returns",
    "expiry",
    "overflow",
    "revenue",
    "loss",
)
"""Parts of the cost vector. Revenue is a negative cost."""


@struct.dataclass
class Places:
    """The cost parts of a period by the node or edge where they arise; their sum is the cost
    vector.

    `at_nodes` charges the costs of an edge to its buyer, the node it leads to.
    """

    nodes: jax.Array  # [N, len(COSTS)]
    edges: jax.Array  # [E, len(COSTS)]

    def at_nodes(self, topology: Topology) -> jax.Array:
        """The parts by node `[N, len(COSTS)]`, those of an edge charged to the node that it leads
        to.
        """
        return self.nodes + topology.into_nodes(self.edges)


class Flows(NamedTuple):
    """The units that moved, and were held, in a period: what costs are charged on."""

    ordered: jax.Array  # [E, K] units shipped, which are paid for
    in_transit: jax.Array  # [E, K] pipeline at the end of the period
    lost: jax.Array  # [E, K] units that were due and did not arrive, or were lost in processing
    on_hand: jax.Array  # [N, K] stock at the end of the period, before goods expire
    sold: jax.Array  # [N, K] units handed over, backorders included
    price: jax.Array | None  # [N, K] money per unit sold; None where there is no revenue
    unmet: jax.Array  # [N, K] lost sales, or backorders of customers and of other nodes
    returned: jax.Array  # [N, K]
    liquidated: jax.Array  # [N, K]
    expired: jax.Array  # [N, K]


class Charge(NamedTuple):
    """Money that is due in a period."""

    part: str  # of `COSTS`
    edges: bool  # whether it is charged on edges, and not at nodes
    amount: jax.Array  # [N, K] or [N], [E, K] or [E]


def charge(topology: Topology, params: Any, flows: Flows) -> list[Charge]:
    """All that a period costs in a network."""
    charges = []

    def at_nodes(part, amount):
        charges.append(Charge(part, False, amount))

    def on_edges(part, amount):
        charges.append(Charge(part, True, amount))

    at_nodes("holding", params.holding * flows.on_hand)
    at_nodes("shortage", params.shortage * flows.unmet)
    if topology.has("transit_holding"):
        on_edges("holding", params.transit_holding * flows.in_transit)
    if topology.has("unit_cost"):
        on_edges("ordering", params.unit_cost * flows.ordered)
    if topology.has("fixed_cost"):
        on_edges("ordering", params.fixed_cost * (flows.ordered > 0))
    if topology.has("freight"):
        on_edges("transport", freight(flows.ordered.sum(-1), params))
    if topology.has("duty"):
        on_edges("duty", params.duty * flows.ordered)
    if topology.return_lags:
        at_nodes("returns", params.return_cost * flows.returned)
        # less than a millionth of a unit is what float32 left of a sale of nothing
        at_nodes("returns", params.return_fixed_cost * (flows.returned.sum(-1) > ROUNDING))
        at_nodes("returns", -(params.liquidation_value * flows.liquidated))
    if topology.ages > 1:
        at_nodes("expiry", params.expiry_cost * flows.expired)
    if topology.has("capacity"):
        over = jnp.maximum(jnp.dot(flows.on_hand, params.volume) - params.capacity, 0.0)
        at_nodes("overflow", params.overflow_cost * over)
    if topology.has("revenue"):
        at_nodes("revenue", -(flows.price * flows.sold))
    if topology.has("loss_cost"):
        on_edges("loss", params.loss_cost * flows.lost)
    return charges


def totals(charges: list[Charge]) -> dict[str, jax.Array]:
    """The parts that a network has, summed over all places: `[]` each."""
    parts = {}
    for part, _, amount in charges:
        parts[part] = parts[part] + jnp.sum(amount) if part in parts else jnp.sum(amount)
    return parts


def by_place(topology: Topology, charges: list[Charge]) -> Places:
    """The same charges by place."""

    def table(places, edges):
        columns = dict.fromkeys(COSTS, jnp.zeros(places))
        for part, on_edges, amount in charges:
            if on_edges == edges:
                columns[part] = columns[part] + amount.reshape(places, -1).sum(-1)
        return jnp.stack(list(columns.values()), -1)

    return Places(table(topology.nodes, False), table(topology.edges, True))


def freight(quantity: jax.Array, params: Any) -> jax.Array:
    """Transport cost of a shipment of `quantity` `[E]`: a fixed amount and a marginal rate for each
    tier `[E]`.

    A tariff with fewer tiers than others has the further ones start at infinity.
    """
    upper = jnp.concatenate(
        [params.freight_breaks[:, 1:], jnp.full_like(params.freight_breaks[:, :1], jnp.inf)], 1
    )
    within = jnp.maximum(jnp.minimum(quantity[:, None], upper) - params.freight_breaks, 0.0)
    return params.freight_fixed * (quantity > 0) + jnp.sum(params.freight_rates * within, -1)
