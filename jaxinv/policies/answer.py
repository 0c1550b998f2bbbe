"""Orders that answer to the orders that came in: for algorithms that choose among a few steps."""

from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs import views
from jaxinv.envs.observation import Observation
from jaxinv.policies.decode import raw_of
from jaxinv.policies.grid import GridDecode


@dataclass(frozen=True)
class AnswerDecode(GridDecode):
    """Orders what was asked for last, and a step x more or less (Oroojlooyjadid et al. 2022):

        order = (d + x)^+,    x = (g - c) * typical demand,    g on the grid 0 .. 2c

    for every period of a review. d is what the end of the edge was asked for in the last period: at
    a node without customers the orders that reached it, where the network remembers these
    (`Topology.order_memory`); elsewhere demand at all nodes that it supplies, as who decides the
    edge knows it. Edges that supply one node share its d out equally; a lateral one has d = 0.
    """

    def raw_for(self, order, observation, rates):
        unit = self._unit(observation)
        level = (order - self._asked(observation, rates)) / jnp.maximum(unit, 1e-9) + self._middle
        raw = raw_of(jnp.clip(level, 0.0, self.levels[-1]))[..., None]
        return jnp.broadcast_to(raw, (*order.shape, 1))[np.asarray(self.edges)].reshape(-1)

    def _order(self, raw, observation, rates):
        step = (self._factors(raw)[..., 0] - self._middle) * self._unit(observation)
        return jnp.maximum(self._asked(observation, rates) + step, 0.0)

    def _asked(self, observation: Observation, rates: jax.Array) -> jax.Array:
        """d `[E, K]`."""
        asked = rates[..., 0]
        if self._told.any():
            came = views.received(self.topology, observation)[..., 0]
            came = self.topology.at_destination(came)
            asked = jnp.where(self._told[:, None], came, asked)
        return asked * (self._share * observation.instance.review_period)[:, None]

    def _unit(self, observation: Observation) -> jax.Array:
        """What a step of 1 is `[E, K]`."""
        typical = self.topology.at_destination(observation.instance.scale)
        return typical * observation.instance.review_period[:, None]

    @property
    def _middle(self) -> float:
        """The level c at which x = 0."""
        return self.levels[-1] / 2

    @cached_property
    def _told(self) -> np.ndarray:
        """Whether orders that reach the end of each edge are all that it is asked for, and who
        decides it knows them `[E]`.
        """
        topology, ends = self.topology, np.asarray(self.topology.destinations)
        supplies = np.isin(ends, topology.sources) & ~np.isin(ends, topology.demand_nodes)
        sees = True if self.roles is None else self._sees_end
        return supplies & sees & (views.remembered(topology) > 0)

    @cached_property
    def _share(self) -> np.ndarray:
        """The share of each edge in what its end is asked for `[E]`."""
        supply = ~np.isin(np.arange(self.topology.edges), self.topology.lateral)
        ends = np.asarray(self.topology.destinations)
        beside = (ends[:, None] == ends) & supply
        return (supply / np.maximum(beside.sum(1), 1)).astype(np.float32)
