"""A policy that looks the value of every order up in tables, one for each agent of a network in
whole units.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs import views
from jaxinv.envs.observation import Observation
from jaxinv.envs.roles import AgentRole
from jaxinv.envs.topology import Topology
from jaxinv.exact.state_space import Box, StateSpace, open_slots, vectors
from jaxinv.policies.policy import Policy


@dataclass(frozen=True)
class Index:
    """How the table of one agent is numbered: a row for each state that it can tell apart, a column
    for each of its orders.

    A state is the on-hand stock of the nodes that the agent sees, the pipelines to and from them,
    and the period where episodes end. Stock and orders are counted in steps; values beyond the
    bounds count as the nearest bound.

    Attributes:
      grid: bounds of the whole network, in units.
      role: what the agent sees and decides.
      step: units of a step.
      periods: of an episode that ends; None where states have no period.
    """

    grid: StateSpace
    role: AgentRole
    step: int = 1
    periods: int | None = None

    @cached_property
    def columns(self) -> tuple[int, ...]:
        """What is seen of the stock vector and the pipeline vector of the grid, one behind the
        other.
        """
        topology, sees = self.grid.topology, self.role.sees
        cells = topology.products * topology.ages
        stock = [node * cells + cell for node in sees for cell in range(cells)]
        ways = [
            edge
            for edge in range(topology.edges)
            if {topology.sources[edge], topology.destinations[edge]} & {*sees}
        ]
        first = topology.nodes * cells
        slots = [
            first + slot for slot, (edge, *_) in enumerate(open_slots(topology)) if edge in ways
        ]
        return (*stock, *slots)

    @cached_property
    def states(self) -> Box:
        """The states, in steps; the period first."""
        low = (*self.grid.stock.low, *self.grid.pipeline.low)
        high = (*self.grid.stock.high, *self.grid.pipeline.high)
        low, high = (
            [bound[column] // self.step for column in self.columns] for bound in (low, high)
        )
        if self.periods is None:
            return Box(tuple(low), tuple(high))
        return Box((0, *low), (self.periods - 1, *high))

    def state(self, observation: Observation) -> jax.Array:
        """The number `[]` of a state."""
        seen = (
            jnp.concatenate(vectors(self.grid.topology, observation))[np.asarray(self.columns)]
            // self.step
        )
        if self.periods is not None:
            seen = jnp.concatenate([observation.time[None], seen])
        return self.states.index(seen)

    @property
    def most_orders(self) -> int:
        """How many orders there are, those that `orders` leaves out included."""
        return math.prod(high // self.step + 1 for high in self._highest)

    @cached_property
    def orders(self) -> np.ndarray:
        """The orders that the agent chooses among `[A, e * K]`, for its e edges, in units. It never
        ships both ways between two nodes at once, which would only cost."""
        steps = Box((0,) * len(self._highest), tuple(high // self.step for high in self._highest))
        orders = steps.points() * self.step
        opposite = np.kron(opposite_ways(self.grid.topology), np.eye(self.grid.topology.products))
        places = np.asarray(self._places, int)
        both = (
            (orders[:, :, None] > 0)
            & (orders[:, None, :] > 0)
            & (opposite[np.ix_(places, places)] > 0)
        )
        return orders[~both.any((1, 2))]

    @property
    def shape(self) -> tuple[int, int]:
        """Of the table: states by orders."""
        return self.states.size, len(self.orders)

    @property
    def _places(self) -> list[int]:
        products = self.grid.topology.products
        return [
            edge * products + product for edge in self.role.decides for product in range(products)
        ]

    @property
    def _highest(self) -> list[int]:
        return [self.grid.orders.high[place] for place in self._places]


@dataclass(frozen=True)
class TabularPolicy(Policy):
    """Every agent gives the order that its table values most. Parameters are the tables, one
    `[states, orders]` an agent.

    Orders are put together, transfers that cross are set off against each other, and a node takes
    in no more than its bound has room for, all that is on its way included: so no stock leaves the
    grid from above.

    Attributes:
      indices: how the table of each agent is numbered.
    """

    indices: tuple[Index, ...]

    def act(self, params, observation, context):
        best = [
            jnp.argmax(table[index.state(observation)])
            for index, table in zip(self.indices, params)
        ]
        return self.orders(best, observation)

    def orders(self, chosen: list[jax.Array], observation: Observation) -> jax.Array:
        """Order quantities `[E, K]` of the numbers of the orders that the agents chose."""
        topology = self.topology
        orders = jnp.zeros((topology.edges, topology.products))
        for index, number in zip(self.indices, chosen):
            own = jnp.asarray(index.orders, jnp.float32)[number].reshape(-1, topology.products)
            orders = orders.at[np.asarray(index.role.decides)].set(own)
        opposite = opposite_ways(topology)
        if opposite.any():
            orders = jnp.maximum(
                orders - jnp.tensordot(opposite, orders, axes=1, precision="highest"), 0.0
            )
        return self._within_room(orders, observation)

    def _within_room(self, orders: jax.Array, observation: Observation) -> jax.Array:
        topology = self.topology
        most = np.reshape(
            self.indices[0].grid.stock.high, (topology.nodes, topology.products, -1)
        ).sum(-1)
        room = topology.at_destination(most - views.inventory_position(topology, observation))
        same = np.equal.outer(topology.destinations, topology.destinations)
        earlier = np.tril(same, -1).astype(np.float32)
        return jnp.clip(
            orders,
            0.0,
            jnp.maximum(room - jnp.tensordot(earlier, orders, axes=1, precision="highest"), 0.0),
        )


def opposite_ways(topology: Topology) -> np.ndarray:
    """`[E, E]`, 1 where two lateral edges join the same nodes in opposite directions."""
    ways = list(zip(topology.sources, topology.destinations))
    return np.asarray(
        [
            [
                one in topology.lateral
                and other in topology.lateral
                and ways[one] == ways[other][::-1]
                for other in range(topology.edges)
            ]
            for one in range(topology.edges)
        ],
        np.float32,
    )
