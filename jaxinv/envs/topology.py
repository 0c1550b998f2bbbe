"""The static shape of a supply network: which nodes there are, what ships to where, and which
mechanisms exist at all.

A `Topology` is hashable and equal by value, so two equal networks share one compiled program.
Everything that is a number (costs, rates, levels) lives in `jaxinv.envs.network.InstanceParams`
instead and is traced. A mechanism that a topology does not list compiles to nothing.
"""

from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.errors import UserError, unknown

SUPPLIER = -1
"""Source of an edge that brings goods from outside the network."""

MECHANISMS = {
    "fixed_cost": "a cost for every order placed on an edge",
    "unit_cost": "a purchase cost per unit ordered",
    "freight": "tiered transport cost by quantity (the distance band of an edge is in its rates)",
    "duty": "import duty per unit",
    "transit_holding": "holding cost on units in transit",
    "packs": "orders are whole packs",
    "minimum_order": "orders are zero or at least a minimum",
    "order_limit": "an edge carries a limited volume a period, shared by products",
    "budget": "what is bought from suppliers in a period costs at most a budget",
    "review": "an edge accepts orders only every so many periods",
    "calendar": "an edge accepts orders only in periods that a calendar opens, which is exogenous",
    "capacity": "node capacity shared by products; volume above it costs",
    "revenue": "units sold earn a price",
    "orders_first": (
        "orders are shipped before what is due in a period arrives, which is then there for its"
        " demand alone"
    ),
    "shipping_capacity": (
        "what a node ships in a period is limited, over all of its edges and products"
    ),
    "processing_yield": (
        "of what an edge takes from its source a fixed share is shipped, the rest is lost in"
        " processing"
    ),
    "goodwill": "demand is multiplied by a level that service moves",
    "waiting": "of what is not served only a share waits for the next period, the rest is lost",
    "arrivals": "only a share of what is shipped arrives, and which is known when it is due",
    "loss_cost": "units that are lost on an edge cost",
    "dispositions": (
        "what is done with returns is decided in every period (`jaxinv.envs.network.Action`)"
    ),
    "resaleable": "only a share of what comes back can be sold again; the rest of it is liquidated",
    "shelf_lives": (
        "goods have shelf lives of their own, of at most `ages` periods, and some keep for ever"
    ),
}
"""Optional mechanisms by name; lead times, backlog, ages and returns have fields of their own."""

RATIONING = ("proportional", "equal_shortage", "priority")

RETURNS_OF = ("sales", "demand")

RELAXABLE = frozenset({"packs", "minimum_order"})


@dataclass(frozen=True)
class Topology:
    """A directed network of stocking nodes.

    Attributes:
      nodes: number of nodes N.
      sources: source node of each edge, or `SUPPLIER`; E entries.
      destinations: destination node of each edge.
      products: number of products K.
      lead_times: the lead time of each edge in periods where it is a fixed number; None where the
        exogenous process gives the lead time of every order (random, or different between instances
        of one batch).
      max_lead_time: the largest lead time L; needed where `lead_times` is None.
      demand_nodes: nodes that face customer demand, D of them.
      advance_nodes: those of them whose customers order a period before they are served (advance
        demand information): what they ask for in a period is known when its orders are decided. At
        reset nobody has ordered yet.
      storeless: those of the advance nodes that hold no stock, such as an online channel. A
        shipment to one arrives in the same period, and is never larger than the open orders of its
        customers.
      lateral: edges that move stock sideways (transshipment); they do not count for echelons.
      backlog: unmet demand waits (True) or is lost (False).
      internal_backlog: what a source node cannot ship waits there and is shipped later (True) or is
        cut (False).
      order_delays: periods that an order on each edge travels before its source can ship it; empty
        where none does.
      order_memory: how many past orders of each edge the state keeps, M; at least the longest order
        delay.
      ages: number of age classes A; 1 where nothing perishes. On receipt goods last A periods, or
        their own shelf life with mechanism "shelf_lives".
      issuing: which ages serve demand first, "oldest" or "freshest".
      return_lags: longest lag, in periods, after which a sold unit may come back; 0 without
        returns.
      returns_of: what a share of comes back: units sold 1 .. R periods ago ("sales"), or, with one
        lag, what is asked for in the period itself, whether it is served or not ("demand": seed
        002, equation 2 as printed).
      return_to: for each node, the node that the forwarded share of its returns goes to; empty for
        none.
      tiers: quantity tiers of the freight tariff, with mechanism "freight".
      rationing: how a node shares stock that falls short: "proportional" to what is asked,
        "equal_shortage" (the largest unfilled request is made as small as can be), or "priority"
        (edge order).
      mechanisms: names out of `MECHANISMS`.
      node_names, edge_names: for reports; numbered where empty.
    """

    nodes: int
    sources: tuple[int, ...]
    destinations: tuple[int, ...]
    demand_nodes: tuple[int, ...]
    advance_nodes: tuple[int, ...] = ()
    storeless: tuple[int, ...] = ()
    products: int = 1
    lead_times: tuple[int, ...] | None = None
    max_lead_time: int = 0
    lateral: tuple[int, ...] = ()
    backlog: bool = False
    internal_backlog: bool = False
    order_delays: tuple[int, ...] = ()
    order_memory: int = 0
    ages: int = 1
    issuing: str = "oldest"
    return_lags: int = 0
    returns_of: str = "sales"
    return_to: tuple[int, ...] = ()
    tiers: int = 0
    rationing: str = "proportional"
    mechanisms: frozenset[str] = frozenset()
    node_names: tuple[str, ...] = ()
    edge_names: tuple[str, ...] = ()

    def __post_init__(self):
        if self.lead_times is not None:
            object.__setattr__(self, "max_lead_time", max(self.lead_times, default=0))
        object.__setattr__(self, "order_memory", max(self.order_memory, *self.order_delays, 0))
        _check(self)

    @property
    def edges(self) -> int:
        return len(self.sources)

    @property
    def random_lead_time(self) -> bool:
        """Whether realised lead times come from the exogenous process, order by order."""
        return self.lead_times is None

    @property
    def slots(self) -> int:
        """Pipeline slots of the state, L - 1: what was ordered 1 .. L-1 periods ago and may be
        outstanding. They are L where orders come first: what was ordered L periods ago is then
        outstanding too."""
        return self.max_lead_time if self.has("orders_first") else max(self.max_lead_time - 1, 0)

    def has(self, mechanism: str) -> bool:
        return mechanism in self.mechanisms

    @property
    def from_supplier(self) -> np.ndarray:
        """`[E]` bool, whether each edge starts at an external supplier."""
        return np.equal(self.sources, SUPPLIER)

    @property
    def internal(self) -> bool:
        """Whether any edge starts at a node of the network."""
        return not bool(self.from_supplier.all())

    @property
    def fulfilment(self) -> np.ndarray:
        """`[E]` bool, whether each edge leads straight to customers: to a node that holds no
        stock.
        """
        return np.isin(self.destinations, self.storeless)

    @property
    def transfers(self) -> tuple[int, ...]:
        """Lateral edges between nodes that hold stock."""
        return tuple(edge for edge in self.lateral if self.destinations[edge] not in self.storeless)

    def among(self, nodes: tuple[int, ...]) -> np.ndarray:
        """`[N, 1]` bool, whether each node is one of these."""
        return np.isin(np.arange(self.nodes), nodes)[:, None]

    @cached_property
    def echelon(self) -> np.ndarray:
        """`[N, N]`, 1 where the column node lies in the echelon of the row node (itself and all it
        supplies).
        """
        reach = np.eye(self.nodes)
        for _ in range(self.nodes):
            for edge, (source, destination) in enumerate(zip(self.sources, self.destinations)):
                if source != SUPPLIER and edge not in self.lateral:
                    reach[source] = np.maximum(reach[source], reach[destination])
        return reach

    @cached_property
    def depth(self) -> int:
        """Edges between nodes on the longest way down, lateral ones aside."""
        below = np.zeros(self.nodes, int)
        for _ in range(self.nodes - 1):
            for edge, (source, destination) in enumerate(zip(self.sources, self.destinations)):
                if source != SUPPLIER and edge not in self.lateral:
                    below[source] = max(below[source], below[destination] + 1)
        return int(below.max())

    def into_nodes(self, per_edge: jax.Array) -> jax.Array:
        """Sums `[E, ...]` over the edges that enter each node: `[N, ...]`."""
        return add_rows(per_edge, self.destinations, self.nodes)

    def out_of_nodes(self, per_edge: jax.Array) -> jax.Array:
        """Sums `[E, ...]` over the edges that leave each node: `[N, ...]`."""
        return add_rows(per_edge, self.sources, self.nodes)

    def at_source(self, per_node: jax.Array) -> jax.Array:
        """`[N, ...]` read at the source of each edge, zero where that is a supplier: `[E, ...]`."""
        return take_rows(per_node, self.sources)

    def at_destination(self, per_node: jax.Array) -> jax.Array:
        """`[N, ...]` read at the destination of each edge: `[E, ...]`."""
        return take_rows(per_node, self.destinations)

    def at_demand_nodes(self, demand: jax.Array) -> jax.Array:
        """Places `[D, ...]` on the nodes that face demand: `[N, ...]`, zero elsewhere."""
        return add_rows(demand, self.demand_nodes, self.nodes)


def add_rows(rows: jax.Array, index: tuple[int, ...], size: int) -> jax.Array:
    """Adds row i of `rows` into row `index[i]` of a zero array of `size` rows; -1 drops the row.

    A product with a constant 0/1 matrix: on every backend this is faster inside a batched loop than
    a scatter. Full precision is asked for because accelerators would otherwise round the stock
    itself.
    """
    if index == tuple(range(size)):
        return rows
    matrix = (np.arange(size)[:, None] == np.asarray(index)[None, :]).astype(np.float32)
    return jnp.tensordot(matrix, rows, axes=1, precision="highest")


def take_rows(rows: jax.Array, index: tuple[int, ...]) -> jax.Array:
    """Row `index[i]` of `rows` for each i; -1 gives a row of zeros. See `add_rows` for why it is a
    product.
    """
    size = rows.shape[0]
    if index == tuple(range(size)):
        return rows
    matrix = (np.asarray(index)[:, None] == np.arange(size)[None, :]).astype(np.float32)
    return jnp.tensordot(matrix, rows, axes=1, precision="highest")


def _check(topology: Topology) -> None:
    """Refuses a topology that contradicts itself; the message names the field and the fix."""
    nodes, edges = topology.nodes, topology.edges
    if nodes < 1 or topology.products < 1 or topology.ages < 1:
        raise UserError("a network needs at least one node, one product and one age class")
    if len(topology.destinations) != edges:
        raise UserError(
            f"{edges} sources but {len(topology.destinations)} destinations; give one of each per"
            " edge"
        )
    for source, destination in zip(topology.sources, topology.destinations):
        if (
            not (source == SUPPLIER or 0 <= source < nodes)
            or not 0 <= destination < nodes
            or source == destination
        ):
            raise UserError(
                f"edge {source}->{destination} does not join two nodes of 0..{nodes - 1}"
            )
    if topology.lead_times is not None:
        if len(topology.lead_times) != edges:
            raise UserError(
                f"{edges} edges but {len(topology.lead_times)} lead times; give one per edge"
            )
        if any(not isinstance(lead, int) or lead < 0 for lead in topology.lead_times):
            raise UserError(
                f"lead_time {topology.lead_times} must be whole numbers of periods, 0 or more"
            )
    elif topology.max_lead_time < 1:
        raise UserError(
            f"max_lead_time {topology.max_lead_time} must be at least 1 where lead times are random"
        )
    if topology.order_delays:
        if len(topology.order_delays) != edges:
            raise UserError(
                f"{edges} edges but {len(topology.order_delays)} order_delays; give one per edge"
            )
        if any(not isinstance(delay, int) or delay < 0 for delay in topology.order_delays):
            raise UserError(
                f"order_delays {topology.order_delays} must be whole numbers of periods, 0 or more"
            )
        if len(set(topology.destinations)) < edges:
            raise UserError(
                "order_delays need nodes with one supplier each: dual-index positions do not know"
                " them"
            )
    if topology.internal_backlog and not topology.internal:
        raise UserError(
            "internal_backlog needs an edge between two nodes; suppliers ship everything at once"
        )
    if (
        sorted(set(topology.demand_nodes)) != list(topology.demand_nodes)
        or not topology.demand_nodes
    ):
        raise UserError("demand_nodes must name at least one node, each once, in rising order")
    if topology.demand_nodes[-1] >= nodes or topology.demand_nodes[0] < 0:
        raise UserError(f"demand_nodes {topology.demand_nodes} must lie in 0..{nodes - 1}")
    if topology.advance_nodes or topology.storeless:
        _check_advance(topology)
    for name in topology.mechanisms:
        if name not in MECHANISMS:
            raise unknown("mechanism", name, MECHANISMS)
    if topology.rationing not in RATIONING:
        raise unknown("rationing", topology.rationing, RATIONING)
    if topology.issuing not in ("oldest", "freshest"):
        raise unknown("issuing", topology.issuing, ("oldest", "freshest"))
    if topology.ages > 1 and topology.internal:
        raise UserError(
            "perishable goods are modelled in one echelon: an edge between nodes would lose"
            " their age"
        )
    if topology.has("shelf_lives") and topology.ages == 1:
        raise UserError(
            "mechanism 'shelf_lives' needs ages of 2 or more: goods that do not expire have an age"
            " class of their own"
        )
    if topology.has("freight") != (topology.tiers > 0):
        raise UserError("mechanism 'freight' and tiers of 1 or more go together")
    if topology.has("dispositions") and not topology.return_lags:
        raise UserError(
            "mechanism 'dispositions' decides on returns; give return_lags of 1 or more, or leave"
            " it out"
        )
    if topology.has("resaleable") and not topology.return_lags:
        raise UserError(
            "mechanism 'resaleable' is a share of returns; give return_lags of 1 or more, or leave"
            " it out"
        )
    if topology.has("waiting") and not topology.backlog:
        raise UserError(
            "mechanism 'waiting' is a share of backorders; give backlog=True, or leave it out"
        )
    if topology.returns_of not in RETURNS_OF:
        raise unknown("returns_of", topology.returns_of, RETURNS_OF)
    if topology.returns_of == "demand" and topology.return_lags != 1:
        raise UserError(
            "returns_of='demand' takes one share, of the demand of the same period: return_lags=1"
        )
    if topology.return_to and len(topology.return_to) != nodes:
        raise UserError("return_to needs one node per node (or none at all)")
    if any(not 0 <= node < nodes for node in topology.return_to):
        raise UserError(f"return_to {topology.return_to} must lie in 0..{nodes - 1}")
    if topology.storeless and topology.return_lags:
        for node in topology.storeless:
            if not topology.return_to or topology.return_to[node] in topology.storeless:
                raise UserError(
                    f"node {node} holds no stock: send its returns to a node that does (return_to)"
                )
        if set(topology.return_to) & set(topology.storeless):
            raise UserError(
                f"return_to {topology.return_to} sends returns to a node that holds no stock"
            )


def _check_advance(topology: Topology) -> None:
    """Refuses customers that order ahead, or nodes without stock, where the network cannot have
    them.
    """
    for name in ("advance_nodes", "storeless"):
        if sorted(set(getattr(topology, name))) != list(getattr(topology, name)):
            raise UserError(
                f"{name} {getattr(topology, name)} must name nodes once each, in rising order"
            )
    if not set(topology.advance_nodes) <= set(topology.demand_nodes):
        raise UserError(
            f"advance_nodes {topology.advance_nodes} must be among demand_nodes"
            f" {topology.demand_nodes}"
        )
    if not set(topology.storeless) <= set(topology.advance_nodes):
        raise UserError(
            f"storeless {topology.storeless} must be among advance_nodes {topology.advance_nodes}:"
            " only orders that customers placed before are shipped to a node without stock"
        )
    if not topology.storeless:
        return
    if topology.ages > 1:
        raise UserError("storeless nodes are modelled where nothing perishes (ages of 1)")
    if topology.internal_backlog:
        raise UserError(
            "internal_backlog makes no sense with storeless nodes: their customers wait or leave,"
            " no node does"
        )
    for edge, (source, destination) in enumerate(zip(topology.sources, topology.destinations)):
        if source in topology.storeless:
            raise UserError(f"edge {source}->{destination} leaves a node that holds no stock")
        if destination in topology.storeless:
            if topology.lead_times is None or topology.lead_times[edge] != 0:
                raise UserError(
                    f"edge {source}->{destination} leads to a node that holds no stock: its lead"
                    " time must be 0"
                )
            if topology.order_delays and topology.order_delays[edge]:
                raise UserError(
                    f"edge {source}->{destination} leads to a node that holds no stock: no"
                    " order_delays there"
                )
