"""Roles: where several agents share one network, who sees what, who decides what, and who pays for
what.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs import flat
from jaxinv.envs.costs import COSTS, Places
from jaxinv.envs.topology import Topology
from jaxinv.errors import UserError, unknown

INFORMATION = ("own", "shared")
"""What agents may see: what their roles say, or all."""


@dataclass(frozen=True)
class AgentRole:
    """One agent of a network. Nodes and edges are numbers, in rising order.

    Attributes:
      name: what it is called.
      sees: nodes whose stock, and what is on its way to or from them, it knows.
      decides: edges whose orders it gives.
      returns: nodes for whose returns it decides what becomes of them.
      pays_nodes, pays_edges: places whose costs are its own.
    """

    name: str
    sees: tuple[int, ...]
    decides: tuple[int, ...] = ()
    returns: tuple[int, ...] = ()
    pays_nodes: tuple[int, ...] = ()
    pays_edges: tuple[int, ...] = ()


@dataclass(frozen=True)
class Roles:
    """The agents of one network. Every edge, and every decision on returns, is one agent's.

    Attributes:
      agents: in the order of their axis everywhere, G of them.
    """

    agents: tuple[AgentRole, ...]

    @classmethod
    def one(cls, topology: Topology) -> "Roles":
        """A single agent, which sees, decides and pays for everything."""
        nodes, edges = tuple(range(topology.nodes)), tuple(range(topology.edges))
        returns = nodes if topology.has("dispositions") else ()
        return cls((AgentRole("planner", nodes, edges, returns, nodes, edges),))

    @classmethod
    def by_node(cls, topology: Topology) -> "Roles":
        """An agent at each node: it sees its node, decides what comes in and what becomes of
        returns, and pays for both.
        """
        names, agents = flat.labels(topology, "node"), []
        for node in range(topology.nodes):
            into = tuple(edge for edge, end in enumerate(topology.destinations) if end == node)
            returns = (node,) if topology.has("dispositions") else ()
            agents.append(AgentRole(names[node], (node,), into, returns, (node,), into))
        return cls(tuple(agents))

    @classmethod
    def told(cls, topology: Topology, agents: Mapping[str, Mapping[str, Sequence[str]]]) -> "Roles":
        """Roles in words: for each agent the names of the nodes that it `sees` (by default all),
        the edges that it `decides`, the nodes whose `returns` it decides on, and the nodes and
        edges that it `pays` for (by default the edges that it decides and the nodes that they lead
        to).

        Raises:
          UserError: for a name that is no node or edge.
        """
        nodes, edges = flat.labels(topology, "node"), flat.labels(topology, "edge")

        def numbers(given, known, what):
            for name in given:
                if name not in known:
                    raise unknown(what, name, known)
            return tuple(sorted(known.index(name) for name in given))

        roles = []
        for name, spec in agents.items():
            for word in spec:
                if word not in ("sees", "decides", "returns", "pays"):
                    raise unknown(
                        f"word of role {name}", word, ("sees", "decides", "returns", "pays")
                    )
            decides = numbers(spec.get("decides", ()), edges, f"edge of role {name}")
            returns = numbers(spec.get("returns", ()), nodes, f"node of role {name}")
            ends = sorted({topology.destinations[edge] for edge in decides} | set(returns))
            paid = spec.get(
                "pays", [nodes[end] for end in ends] + [edges[edge] for edge in decides]
            )
            for place in paid:
                if place not in nodes and place not in edges:
                    raise unknown(f"place that role {name} pays for", place, [*nodes, *edges])
            roles.append(
                AgentRole(
                    name,
                    numbers(spec.get("sees", nodes), nodes, f"node of role {name}"),
                    decides,
                    returns,
                    numbers([place for place in paid if place in nodes], nodes, ""),
                    numbers([place for place in paid if place in edges], edges, ""),
                )  # fmt: skip
            )
        return cls(tuple(roles))

    @classmethod
    def named(
        cls, name: str, topology: Topology, known: Mapping[str, "Roles"], information: str = "own"
    ) -> "Roles":
        """The roles of a name: "one", "nodes", or one that a preset knows.

        Args:
          information: of `INFORMATION`: agents see what is their "own", or all where it is
            "shared".

        Raises:
          UserError: where there is none of that name, or they do not share out the decisions of the
            network.
        """
        always = {"one": cls.one, "nodes": cls.by_node}
        if name not in known and name not in always:
            raise unknown("roles", name, [*always, *known])
        roles = (known[name] if name in known else always[name](topology)).checked(topology)
        return roles.informed(topology) if information == "shared" else roles

    def __len__(self) -> int:
        return len(self.agents)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(role.name for role in self.agents)

    def whole(self, topology: Topology) -> bool:
        """Whether a single agent sees, decides and pays for everything, by whatever name."""
        return (
            len(self) == 1
            and replace(self.agents[0], name="planner") == Roles.one(topology).agents[0]
        )

    def only(self, names: Sequence[str]) -> "Roles":
        """Some of the agents alone, in their order.

        Raises:
          UserError: for a name that is no role.
        """
        for name in names:
            if name not in self.names:
                raise unknown("role that learns", name, self.names)
        return Roles(tuple(role for role in self.agents if role.name in names))

    def sight(self, topology: Topology) -> np.ndarray:
        """Whether each agent sees each node `[G, N]`."""
        return np.asarray(
            [[node in role.sees for node in range(topology.nodes)] for role in self.agents]
        )

    def informed(self, topology: Topology) -> "Roles":
        """The same roles, each of which sees all nodes: information is shared."""
        return Roles(
            tuple(replace(role, sees=tuple(range(topology.nodes))) for role in self.agents)
        )

    def checked(self, topology: Topology) -> "Roles":
        """The same roles.

        Raises:
          UserError: roles that do not share out the decisions of the network: names the role, and
            what it overlaps or leaves.
        """
        if not self.agents:
            raise UserError("roles without an agent decide nothing; give at least one")
        if len(set(self.names)) < len(self):
            raise UserError(f"roles {', '.join(self.names)}: give each a name of its own")
        nodes, edges = flat.labels(topology, "node"), flat.labels(topology, "edge")
        for role in self.agents:
            if not role.decides and not role.returns:
                raise UserError(
                    f"role {role.name} has nothing to decide; give it edges or returns to decide,"
                    " or leave it out"
                )
            if not role.sees:
                raise UserError(
                    f"role {role.name} sees no node; let it see at least one, such as the one that"
                    " it orders for"
                )
            for place in (*role.sees, *role.returns, *role.pays_nodes):
                if not 0 <= place < topology.nodes:
                    raise UserError(
                        f"role {role.name}: there is no node {place} among {topology.nodes}"
                    )
            for place in (*role.decides, *role.pays_edges):
                if not 0 <= place < topology.edges:
                    raise UserError(
                        f"role {role.name}: there is no edge {place} among {topology.edges}"
                    )
        self._shared_out(
            "edge", [role.decides for role in self.agents], edges, range(topology.edges)
        )
        returning = range(topology.nodes) if topology.has("dispositions") else ()
        self._shared_out(
            "returns of node", [role.returns for role in self.agents], nodes, returning
        )
        return self

    def _shared_out(self, what, shares, labels, wanted) -> None:
        owners = {
            place: [role.name for role, share in zip(self.agents, shares) if place in share]
            for place in range(len(labels))
        }
        for place, names in owners.items():
            label = labels[place]
            if len(names) > 1:
                raise UserError(
                    f"{what} {label} is decided by {' and '.join(names)}; roles may not overlap"
                )
            if place in wanted and not names:
                raise UserError(
                    f"{what} {label} is decided by no role; give it to one of"
                    f" {', '.join(self.names)}"
                )
            if names and place not in wanted:
                raise UserError(
                    f"{what} {label} is decided by {names[0]}, and this network has no decision"
                    " there"
                )

    def owners(self, topology: Topology) -> np.ndarray:
        """The agent that decides each edge `[E]`; -1 where none of these does."""
        agent = {edge: number for number, role in enumerate(self.agents) for edge in role.decides}
        return np.asarray([agent.get(edge, -1) for edge in range(topology.edges)])

    def rewards(
        self, topology: Topology, weights: jax.Array, places: Places, share: jax.Array | float
    ) -> jax.Array:
        """The reward of each agent `[G]`: minus its weighted own costs, mixed with the mean over
        all agents.

        What no agent pays for, or several do, counts as the roles say; the mean is of all that the
        network costs, so that with `share` 1 all agents together are rewarded with what one planner
        is.

        Args:
          weights: `[len(COSTS)]`.
          share: of the team's reward in the mix: 0, each for itself, to 1, all for one.
        """
        at_nodes, at_edges = (
            -sum(weights[part] * table[:, part] for part in range(len(COSTS)))
            for table in (places.nodes, places.edges)
        )
        return self.mixed(topology, at_nodes, at_edges, share)

    def mixed(
        self, topology: Topology, at_nodes: jax.Array, at_edges: jax.Array, share: jax.Array | float
    ) -> jax.Array:
        """Money at nodes `[N]` and on edges `[E]` as it counts for each agent `[G]`."""
        values = jnp.concatenate([at_nodes, at_edges])
        team = _sums(values, np.ones((1, len(values)), np.float32)) / len(self)
        if isinstance(share, (int, float)) and share == 1:
            return jnp.repeat(team, len(self))
        return share * team + (1.0 - share) * _sums(values, self.pays(topology))

    def pays(self, topology: Topology) -> np.ndarray:
        """What each agent pays for, as ones `[G, N + E]`."""
        found = np.zeros((len(self), topology.nodes + topology.edges), np.float32)
        for agent, role in enumerate(self.agents):
            found[
                agent, [*role.pays_nodes, *(topology.nodes + edge for edge in role.pays_edges)]
            ] = 1.0
        return found


FEW = 64
"""Up to so many places are added one by one, which XLA fuses into its loops: on CPU a sum over a
short axis is a kernel of its own, and costs a small network a tenth of a period. Of many places
that would take minutes to compile."""


def _sums(values: jax.Array, picked: np.ndarray) -> jax.Array:
    """The sum of the values `[P]` that each row of ones `[G, P]` picks."""
    if len(values) > FEW:
        return jnp.sum(picked * values, -1)
    numbers = list(values)
    return jnp.stack(
        [sum((numbers[place] for place in np.flatnonzero(row)), jnp.zeros(())) for row in picked]
    )
