"""From raw network outputs to feasible orders: the four forms of DeepStock, for every algorithm
alike.

With o the raw output, f the demand rates of the coefficient forms and IP the inventory position,

    none   order = review * rate * s(o)
    base   order = (coverage * rate * s(o) - IP)^+
    coeff  order = review * mean_i s(o_i) f_i
    both   order = (coverage * mean_i s(o_i) f_i - IP)^+

where s is a softplus shifted so that s(0) = 1: an untrained network orders the recent rate of
demand, or up to what that rate uses over the coverage, and never falls silent. (DeepStock, seed
003; methods A.3. Under lost sales the optimal target still depends on the stock, so the network
sees the stock in every form.) Orders that draw on a node of the network can share out its stock
instead, whatever the form (`jaxinv.policies.allocation`). An edge that serves the customers of a
channel without stock offers s(o) times what these have booked, in every form, and ships what those
before it leave of that (`jaxinv.policies.fulfilment`).

Where agents share the network, position, coverage and rates of an order are those that the agent
who gives it sees (`jaxinv.policies.sight`); an edge whose end that agent does not see has no level
to order up to, and orders by rate alone: in the form `none` for `base`, and `coeff` for `both`.
Where dispositions of returns are decided, three more outputs a node with customers and product are
a softmax of what is restocked, sent on and liquidated.
"""

from dataclasses import dataclass, field
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs import flat, views
from jaxinv.envs.network import Action
from jaxinv.envs.observation import Facts, Observation
from jaxinv.envs.roles import Roles
from jaxinv.envs.topology import SUPPLIER, Topology, add_rows
from jaxinv.errors import UserError, unknown
from jaxinv.policies.allocation import check_allocation, share_out
from jaxinv.policies.fulfilment import in_turn
from jaxinv.policies.policy import fill_to, filled_to
from jaxinv.policies.sight import as_steered, steers_echelon

FORMS = ("none", "base", "coeff", "both")

RATES = 4
"""Demand rates of the coefficient forms: near history, far history, forecast, and the constant
typical demand.
"""

_UNIT_SHIFT = 0.5413249  # softplus(0.5413249) = 1


def raw_of(factor):
    """The raw output that stands for a factor above 0: what `Decode` multiplies its rates by."""
    return jnp.log(jnp.expm1(factor)) - _UNIT_SHIFT


@dataclass(frozen=True)
class Decode:
    """Turns raw outputs into order quantities.

    Attributes:
      topology: the network.
      form: one of `FORMS`.
      allocation: how edges that draw on a node share its stock, see `jaxinv.policies.allocation`.
      roles: of the agents that decide; what none of them decides is not ordered. None for one
        planner of everything.
    """

    topology: Topology
    form: str = "base"
    allocation: str = "rationing"
    roles: Roles | None = field(default=None, kw_only=True)

    def __post_init__(self):
        if self.form not in FORMS:
            raise unknown("decode form", self.form, FORMS)
        check_allocation(self.topology, self.allocation)
        if self.roles is not None:
            self._check_roles(self.roles)

    @property
    def edges(self) -> tuple[int, ...]:
        """Edges whose orders are decided."""
        if self.roles is None:
            return tuple(range(self.topology.edges))
        return tuple(sorted(edge for role in self.roles.agents for edge in role.decides))

    @property
    def returning(self) -> tuple[int, ...]:
        """Nodes whose dispositions are decided: those with customers, of the ones that are
        somebody's.
        """
        if not self.topology.has("dispositions"):
            return ()
        ours = (
            [node for role in self.roles.agents for node in role.returns]
            if self.roles
            else self.topology.demand_nodes
        )
        return tuple(node for node in self.topology.demand_nodes if node in ours)

    @property
    def per_order(self) -> int:
        """Raw outputs of an order."""
        return RATES if self.form in ("coeff", "both") else 1

    @property
    def per_disposition(self) -> int:
        """Raw outputs of what becomes of the returns of a product at a node."""
        return 3

    @property
    def outputs(self) -> int:
        """How many raw outputs there are, those of orders first."""
        return self._ordering + len(self.returning) * self.topology.products * self.per_disposition

    @property
    def owners(self) -> tuple[int, ...]:
        """The agent of each raw output."""
        edges = {
            edge: agent for agent, role in enumerate(self.roles.agents) for edge in role.decides
        }
        nodes = {
            node: agent for agent, role in enumerate(self.roles.agents) for node in role.returns
        }
        orders = [
            edges[edge]
            for edge in self.edges
            for _ in range(self.topology.products * self.per_order)
        ]
        returns = [
            nodes[node]
            for node in self.returning
            for _ in range(self.topology.products * self.per_disposition)
        ]
        return (*orders, *returns)

    def __call__(
        self, raw: jax.Array, observation: Observation, rates: jax.Array
    ) -> jax.Array | Action:
        """Order quantities `[E, K]`, in an `Action` where dispositions are decided.

        Args:
          raw: `[outputs]`.
          rates: `[E, K, RATES]` demand a period at the end of each edge, everything downstream
            included.
        """
        orders = self._order(raw, observation, rates)
        if self.topology.storeless:
            to_customers = self._rate(raw, self._wanted(observation, rates))
            served = in_turn(self.topology, observation, to_customers)
            orders = jnp.where(self.topology.fulfilment[:, None], served, orders)
        if self.allocation != "rationing":
            shared = share_out(
                self.topology, observation, self._by_edge(raw), self._weighable(rates)
            )
            orders = jnp.where(~self.topology.from_supplier[:, None], shared, orders)
        if not self.topology.has("dispositions"):
            return orders
        ours = raw[self._ordering :].reshape(len(self.returning), self.topology.products, -1)
        return Action(
            orders, add_rows(self._dispositions(ours), self.returning, self.topology.nodes)
        )

    def target(self, raw: jax.Array, observation: Observation, rates: jax.Array) -> jax.Array:
        """The levels `[E, K]` that the forms `base` and `both` order up to; arguments as for
        orders.
        """
        return self._rate(raw, rates) * self._coverage(observation.instance)[:, None]

    def raw_for(self, order: jax.Array, observation: Observation, rates: jax.Array) -> jax.Array:
        """Raw outputs, one for each factor, that order `[E, K]`, for what others decided: of the
        many that may, those that weigh all rates alike, and the largest of those that order
        nothing. A factor of 0 is minus infinity.
        """
        facts = observation.instance
        if self.form in ("none", "coeff"):
            rate = order / facts.review_period[:, None]
        else:
            target = filled_to(
                self.topology, observation, order, self._position(observation), self._together
            )
            rate = target / self._coverage(facts)[:, None]
        if self.topology.storeless:
            rate = jnp.where(self.topology.fulfilment[:, None], order, rate)
            rates = self._wanted(observation, rates)
        weighed = self._weighable(rates)
        raw = raw_of(jnp.maximum(rate, 0.0) / jnp.maximum(jnp.mean(weighed, -1), 1e-9))
        return jnp.broadcast_to(raw[..., None], weighed.shape)[np.asarray(self.edges)].reshape(-1)

    def _order(self, raw, observation, rates):
        """What the form orders `[E, K]`."""
        if self.form in ("none", "coeff"):
            return self._rate(raw, rates) * observation.instance.review_period[:, None]
        orders = self._fill(raw, observation, rates)
        if self.roles is None or self._sees_end.all():
            return orders
        by_rate = self._rate(raw, rates) * observation.instance.review_period[:, None]
        return jnp.where(self._sees_end[:, None], orders, by_rate)

    def _fill(self, raw, observation, rates):
        """Orders `[E, K]` up to the target."""
        target = self.target(raw, observation, rates)
        return fill_to(
            self.topology, observation, target, self._position(observation), self._together
        )

    def _dispositions(self, raw: jax.Array) -> jax.Array:
        """Shares `[..., 3]` of raw outputs `[..., per_disposition]`."""
        return jax.nn.softmax(raw)

    def _wanted(self, observation, rates):
        """The rates `[E, K, RATES]` with what is booked in the place of those of edges that serve a
        channel.
        """
        booked = self.topology.at_destination(observation.booked)[..., None]
        return jnp.where(self.topology.fulfilment[:, None, None], booked, rates)

    def _rate(self, raw, rates):
        return jnp.mean(self._factors(raw) * self._weighable(rates), -1)

    def _factors(self, raw):
        """What each rate is multiplied by `[E, K, R]`."""
        return factor(self._by_edge(raw))

    def _by_edge(self, raw):
        """Raw outputs of orders `[E, K, per_order]`, zero for edges that nobody decides."""
        raw = raw[: self._ordering] if self.returning else raw
        return add_rows(
            raw.reshape(len(self.edges), self.topology.products, -1),
            self.edges,
            self.topology.edges,
        )

    @property
    def _ordering(self) -> int:
        """Raw outputs of orders."""
        return len(self.edges) * self.topology.products * self.per_order

    def _weighable(self, rates):
        return rates if self.form in ("coeff", "both") else rates[..., 1:2]

    # What those who decide see

    def _position(self, observation: Observation) -> jax.Array:
        """What an order on each edge adds to `[E, K]`."""
        if self.roles is None:
            return views.edge_position(self.topology, observation)
        return as_steered(
            np.arange(self.topology.edges), self._steers_echelon,
            lambda: views.edge_position(self.topology, observation),
            lambda: views.own_position(self.topology, observation),
        )  # fmt: skip

    def _coverage(self, facts: Facts) -> jax.Array:
        """Periods that it has to cover `[E]`."""
        if self.roles is None:
            return views.echelon_coverage(self.topology, facts)
        return as_steered(
            np.arange(self.topology.edges), self._steers_echelon,
            lambda: views.echelon_coverage(self.topology, facts),
            lambda: views.coverage(facts),
        )  # fmt: skip

    @cached_property
    def _sees(self) -> np.ndarray:
        """Whether who decides each edge sees each node `[E, N]`."""
        owners = self.roles.owners(self.topology)
        return self.roles.sight(self.topology)[owners] & (owners >= 0)[:, None]

    @cached_property
    def _sees_end(self) -> np.ndarray:
        """Whether who decides each edge sees where it leads to `[E]`."""
        return self._sees[np.arange(self.topology.edges), np.asarray(self.topology.destinations)]

    @cached_property
    def _steers_echelon(self) -> np.ndarray:
        return steers_echelon(self.topology, self._sees, np.arange(self.topology.edges))

    @cached_property
    def _together(self) -> np.ndarray | bool:
        """Whether two edges are decided by the same agent `[E, E]`."""
        if self.roles is None:
            return True
        owners = self.roles.owners(self.topology)
        return owners[:, None] == owners[None, :]

    def _check_roles(self, roles: Roles) -> None:
        """Refuses to order by what an agent does not see."""
        topology = self.topology
        nodes, edges = flat.labels(topology, "node"), flat.labels(topology, "edge")
        for role in roles.agents:
            for edge in role.decides:
                source, end = topology.sources[edge], topology.destinations[edge]
                if end in topology.storeless and end not in role.sees:
                    raise UserError(
                        f"role {role.name} decides {edges[edge]}, which ships what customers of"
                        f" {nodes[end]} have ordered, and does not see that node; let it, or give"
                        " information=shared"
                    )
                if self.allocation == "rationing" or source == SUPPLIER:
                    continue
                beside = {other for other, start in enumerate(topology.sources) if start == source}
                if source not in role.sees or not beside <= set(role.decides):
                    raise UserError(
                        f"allocation={self.allocation} shares out the stock of {nodes[source]},"
                        " which takes one role that sees it and decides all that leaves it, and"
                        f" {role.name} decides {edges[edge]}; leave it out"
                    )


def factor(raw: jax.Array) -> jax.Array:
    """What raw outputs multiply a rate by: s(o) above."""
    return jax.nn.softplus(raw + _UNIT_SHIFT)
