"""What decisions are made from: the whole network, or for each of several agents the part that its
role sees.

An agent knows the stock of the nodes that it sees, what is on its way to or from them, their
demand, what all may know (the calendar, the facts of the instance), and nothing else. Demand that
it does not see it takes for the typical one. An order is steered by the echelon of the node that it
leads to where the agent sees all of that, and by the node alone elsewhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs import views
from jaxinv.envs.observation import Facts, Observation
from jaxinv.envs.roles import Roles
from jaxinv.envs.topology import Topology, take_rows

NODES, EDGES, ENDS, ALL = "nodes", "edges", "ends", "all"
"""What the rows of a part of the features are: nodes, edges with an end that is seen, or with a
destination that is; and what has no rows and is told to all."""


@dataclass(frozen=True)
class Sight:
    """All of a network. Features have a row for each node and each edge."""

    topology: Topology

    def known(self, rate: jax.Array, typical: jax.Array) -> jax.Array:
        """Rates of demand `[T, D, K]` as they are known, where `typical` `[D, K]` is what they
        would be taken for.
        """
        return rate

    def along_edges(self, rate: jax.Array) -> jax.Array:
        """Known rates `[D, K, ...]` of all that each edge leads to: `[E, K, ...]`."""
        return self.topology.at_destination(
            views.echelon_sum(self.topology, self.topology.at_demand_nodes(rate))
        )

    def rates(self, known: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Known rates `[D, K]` of all that the node of each row supplies, and that the edge of each
        row leads to.
        """
        rate = views.echelon_sum(self.topology, self.topology.at_demand_nodes(known))
        return rate, self.topology.at_destination(rate)

    def times(
        self, factor: jax.Array, rate: jax.Array, edge_rate: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Rates of `rates` times a factor."""
        rate = factor * rate
        return rate, self.topology.at_destination(rate)

    def nodes(self, per_node: jax.Array) -> jax.Array:
        """`[N, ...]` by row of nodes."""
        return per_node

    def edges(self, per_edge: jax.Array) -> jax.Array:
        """`[E, ...]` by row of edges."""
        return per_edge

    def position(self, observation: Observation) -> jax.Array:
        """What an order on the edge of each row adds to `[rows, K]`."""
        return views.edge_position(self.topology, observation)

    def coverage(self, facts: Facts) -> tuple[jax.Array, jax.Array]:
        """Periods that it has to cover `[rows]`, and the most that any order has to `[]`."""
        cover = views.echelon_coverage(self.topology, facts)
        return cover, jnp.max(cover)

    def features(self, parts: Sequence[tuple[str, jax.Array]]) -> jax.Array:
        """Parts by row, each with what its rows are (`NODES`, `EDGES`, `ENDS`, `ALL`), as features
        `[F]`.
        """
        return jnp.concatenate([_clipped(part).reshape(-1) for _, part in parts])


@dataclass(frozen=True)
class RoleSight(Sight):
    """What each of G agents sees. Rows are those of the first agent, then of the next, filled up to
    the same number.

    Attributes:
      roles: of the agents.
      numbered: features say which agent it is that sees them.
    """

    roles: Roles
    numbered: bool = False

    def known(self, rate, typical):
        """`[T, G, D, K]`."""
        seen = self._sees[:, np.asarray(self.topology.demand_nodes)]
        return jnp.where(seen[..., None], rate[:, None], typical)

    def along_edges(self, rate):
        """Of known rates `[G, D, K, ...]`, those of the agent that decides each edge."""
        topology = self.topology
        owners = np.maximum(self.roles.owners(topology), 0)
        leads_to = topology.echelon[np.ix_(topology.destinations, topology.demand_nodes)].astype(
            np.float32
        )
        return jnp.einsum("ed,ed...->e...", leads_to, rate[owners], precision="highest")

    def rates(self, known):
        supplies = self.topology.echelon[:, np.asarray(self.topology.demand_nodes)].astype(
            np.float32
        )

        def by_row(nodes):
            rows = supplies[nodes].reshape(
                len(self.roles), -1, supplies.shape[1]
            )  # [G, rows of one, D]
            return jnp.einsum("grd,gdk->grk", rows, known, precision="highest").reshape(
                len(nodes), -1
            )

        return by_row(self._nodes[0]), by_row(self._ends[self._edges[0]])

    def times(self, factor, rate, edge_rate):
        return factor * rate, factor * edge_rate

    def nodes(self, per_node):
        return take_rows(per_node, tuple(self._nodes[0]))

    def edges(self, per_edge):
        return take_rows(per_edge, tuple(self._edges[0]))

    def position(self, observation):
        return as_steered(
            self._edges[0],
            self._steers_echelon,
            lambda: views.edge_position(self.topology, observation),
            lambda: views.own_position(self.topology, observation),
        )

    def coverage(self, facts):
        cover = as_steered(
            self._edges[0],
            self._steers_echelon,
            lambda: views.echelon_coverage(self.topology, facts),
            lambda: views.coverage(facts),
        )
        return cover, jnp.max(cover)

    def features(self, parts):
        """`[G, F]`."""
        agents, found = len(self.roles), []
        there = {NODES: self._nodes[1], EDGES: self._edges[1], ENDS: self._seen_ends}
        for rows, part in parts:
            if rows == ALL:
                found.append(jnp.broadcast_to(_clipped(part).reshape(-1), (agents, part.size)))
            else:
                mask = there[rows].reshape(-1, *[1] * (part.ndim - 1))
                found.append(jnp.where(mask, _clipped(part), 0.0).reshape(agents, -1))
        return jnp.concatenate([*found, jnp.eye(agents)] if self.numbered else found, -1)

    @cached_property
    def _sees(self) -> np.ndarray:
        return self.roles.sight(self.topology)  # [G, N]

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.asarray(self.topology.destinations)

    @cached_property
    def _nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """The node of each row, and whether the row is there at all."""
        return _rows(self._sees)

    @cached_property
    def _edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Likewise the edges with an end that is seen."""
        known = np.concatenate(
            [self._sees, np.zeros((len(self.roles), 1), bool)], 1
        )  # the supplier is seen by nobody
        return _rows(known[:, np.asarray(self.topology.sources)] | known[:, self._ends])

    @cached_property
    def _agents(self) -> np.ndarray:
        """The agent of each row of edges."""
        return np.repeat(np.arange(len(self.roles)), len(self._edges[0]) // len(self.roles))

    @cached_property
    def _seen_ends(self) -> np.ndarray:
        return self._edges[1] & self._sees[self._agents, self._ends[self._edges[0]]]

    @cached_property
    def _steers_echelon(self) -> np.ndarray:
        return steers_echelon(self.topology, self._sees[self._agents], self._edges[0])


def steers_echelon(topology: Topology, sees: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Whether orders on some edges `[R]` are steered by an echelon of several nodes: all of it is
    seen, `sees` being `[R, N]`.
    """
    echelon = topology.echelon[np.asarray(topology.destinations)[edges]] > 0
    return (echelon.sum(1) > 1) & ~(echelon & ~sees).any(1)


def as_steered(
    edges: np.ndarray,
    echelon: np.ndarray,
    by_echelon: Callable[[], jax.Array],
    alone: Callable[[], jax.Array],
) -> jax.Array:
    """What orders on some edges `[R]` are steered by, out of `[E, ...]` for all by their `echelon`
    or by their node alone.
    """
    rows = tuple(edges.tolist())
    if echelon.all() or not echelon.any():
        return take_rows(by_echelon() if echelon.any() else alone(), rows)
    own = take_rows(alone(), rows)
    return jnp.where(echelon.reshape(-1, *[1] * (own.ndim - 1)), take_rows(by_echelon(), rows), own)


def _rows(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of what each agent knows, of `[G, places]`: the place of each, 0 where an agent has
    fewer, and whether there is one.
    """
    most = known.sum(1).max()
    places = np.argsort(~known, 1, kind="stable")[:, :most]
    there = np.take_along_axis(known, places, 1)
    return np.where(there, places, 0).reshape(-1), there.reshape(-1)


def _clipped(part):
    return jnp.clip(part, -10.0, 20.0)
