"""The states and orders of a network in whole units as numbered vectors: what a table of the exact
solvers has a row or a column for.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs.network import NetworkState
from jaxinv.envs.topology import Topology


@dataclass(frozen=True)
class Box:
    """Whole-number vectors between bounds, both included, numbered with the last entry running
    fastest.
    """

    low: tuple[int, ...]
    high: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(high - low + 1 for low, high in zip(self.low, self.high))

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def points(self) -> np.ndarray:
        """All vectors `[size, C]`."""
        if not self.shape:
            return np.zeros((1, 0), np.int32)
        return np.stack(np.unravel_index(np.arange(self.size), self.shape), -1).astype(
            np.int32
        ) + np.array(self.low, np.int32)

    def index(self, vectors):
        """Numbers `[...]` of vectors `[..., C]`; what lies outside counts as the nearest bound."""
        index = 0
        for column, (low, high) in enumerate(zip(self.low, self.high)):
            entry = vectors[..., column].clip(low, high) - low
            index = index * (high - low + 1) + entry
        return index + 0 * vectors.sum(-1) if not self.shape else index


@dataclass(frozen=True)
class StateSpace:
    """The states and orders of the finite problem.

    Attributes:
      topology: of the network.
      stock: per node, product and age: units on hand, less backorders where there are any.
      pipeline: per open slot, the oldest of each edge first.
      orders: per edge and product.
    """

    topology: Topology
    stock: Box
    pipeline: Box
    orders: Box

    @classmethod
    def of(cls, topology: Topology, stock_low, stock_high, order_high) -> "StateSpace":
        """A grid from the bounds of every stock cell (N * K * A of them) and of every order (E *
        K).
        """
        slots = [
            order_high[edge * topology.products + product]
            for edge, product, _ in open_slots(topology)
        ]
        return cls(
            topology,
            Box(tuple(stock_low), tuple(stock_high)),
            Box((0,) * len(slots), tuple(slots)),
            Box((0,) * len(order_high), tuple(order_high)),
        )

    @property
    def states(self) -> int:
        return self.stock.size * self.pipeline.size

    @property
    def group_size(self) -> int:
        """Numbers that a sweep needs at a time, for the pipelines that bring the same arrivals
        (`Routes`).
        """
        leads = np.repeat(self.topology.lead_times, self.topology.products)
        orders = np.array(self.orders.shape)
        next_ones, groups = (
            math.prod(orders[leads == 1].tolist()),
            math.prod(orders[leads > 1].tolist()),
        )
        return self.stock.size * self.pipeline.size * max(next_ones, self.orders.size // groups)


def network_state(
    topology: Topology, stock: jax.Array, pipeline: jax.Array, share: jax.Array | None = None
) -> NetworkState:
    """The state of one network from a stock vector and a pipeline vector of a `StateSpace`, and the
    share `[E]` of what is on its way that will arrive (None: all)."""
    shape = (topology.nodes, topology.products) + ((topology.ages,) if topology.ages > 1 else ())
    stock = stock.astype(jnp.float32).reshape(shape)
    slots = jnp.zeros((topology.edges, topology.products, topology.slots))
    for column, (edge, product, age) in enumerate(open_slots(topology)):
        slots = slots.at[edge, product, age].set(pipeline[column].astype(jnp.float32))
    return NetworkState(
        time=jnp.int32(0),
        on_hand=jnp.maximum(stock, 0.0),
        pipeline=slots,
        arriving=_every_slot(topology, share) if topology.has("arrivals") else None,
        backorder=jnp.maximum(-stock, 0.0) if topology.backlog else None,
    )


def _every_slot(topology: Topology, share: jax.Array | None) -> jax.Array:
    share = jnp.ones(topology.edges) if share is None else share
    return jnp.broadcast_to(share[:, None], (topology.edges, topology.slots))


def vectors(topology: Topology, state) -> tuple[jax.Array, jax.Array]:
    """Stock vector and pipeline vector of a `NetworkState` or an `Observation`."""
    stock = state.on_hand if state.backorder is None else state.on_hand - state.backorder
    slots = [state.pipeline[edge, product, age] for edge, product, age in open_slots(topology)]
    pipeline = jnp.stack(slots) if slots else jnp.zeros(0)
    return jnp.round(stock.reshape(-1)).astype(jnp.int32), jnp.round(pipeline).astype(jnp.int32)


def open_slots(topology: Topology) -> list[tuple[int, int, int]]:
    """(edge, product, age) of the pipeline slots that can hold goods, the oldest of each edge and
    product first.
    """
    return [
        (edge, product, age)
        for edge, lead in enumerate(topology.lead_times)
        for product in range(topology.products)
        for age in reversed(range(lead - 1))
    ]
