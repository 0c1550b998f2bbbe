"""What a policy is: a pure function of parameters and an observation."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs import views
from jaxinv.envs.environment import Facts, Observation
from jaxinv.envs.topology import SUPPLIER, Topology


@dataclass(frozen=True)
class Policy:
    """A deterministic policy `(params, observation, key) -> action`; stochastic ones use the key.

    Rules and networks alike are split in two so that a rollout can read a whole trace at once: `encode` sees only
    signals (which no action moves), `act` sees the context of one period and the stock.

    Attributes:
      topology: the network it acts on.
    """

    topology: Topology

    wants_window = False
    """Whether `act` reads the signal window of the observation itself."""

    forecasts = False
    """Whether the policy forecasts demand (`predict`)."""

    def predict(self, context: Any) -> jax.Array:
        """Demand `[D, K]` that a context expects of the coming period; for policies that forecast."""
        raise TypeError(f"{type(self).__name__} does not forecast")

    def encode(self, params: Any, signals: jax.Array, facts: Facts) -> Any:
        """Contexts `[W' , ...]` for signals `[W', S]`; None for policies that need none."""
        return None

    def act(self, params: Any, observation: Observation, context: Any) -> jax.Array:
        """Order quantities `[E, K]`."""
        raise NotImplementedError

    def __call__(self, params: Any, observation: Observation, key: jax.Array | None = None) -> jax.Array:
        """One decision from one observation: the window is encoded and its last context used."""
        contexts = self.encode(params, observation.signals, observation.instance)
        return self.act(params, observation, jax.tree.map(lambda context: context[-1], contexts))


def fill_to(topology: Topology, observation: Observation, target: jax.Array, position: jax.Array) -> jax.Array:
    """Orders that bring each edge's position up to its target `[E, K]`.

    Where several edges enter a node, a slower edge counts what a faster one orders in the same period.
    """
    order = jnp.maximum(target - position, 0.0)
    if not views.shared_destinations(topology):
        return order
    lead = views.known_lead_times(topology, observation)
    same = np.equal.outer(topology.destinations, topology.destinations)
    faster = 1.0 * (same & (lead[None, :] < lead[:, None]))  # [E, E]: the column edge is faster
    widest = max(topology.destinations.count(node) for node in topology.destinations)
    for _ in range(widest - 1):
        order = jnp.maximum(target - position - jnp.tensordot(faster, order, axes=1, precision="highest"), 0.0)
    return order


def coverage(facts: Facts) -> jax.Array:
    """Periods that an order has to cover at its own node `[E]`: its quoted lead time and one review."""
    return facts.lead_time + facts.review_period


def echelon_coverage(topology: Topology, facts: Facts) -> jax.Array:
    """Periods that an order has to cover for the echelon of its node `[E]`: the longest way down comes on top."""
    down = [source != SUPPLIER and edge not in topology.lateral for edge, source in enumerate(topology.sources)]
    leaves = (np.asarray(topology.sources) == np.arange(topology.nodes)[:, None]) & np.asarray(down)  # [N, E]
    destinations = np.asarray(topology.destinations)
    onward = jnp.zeros(topology.nodes)
    for _ in range(topology.depth):
        onward = jnp.max(jnp.where(leaves, facts.lead_time + onward[destinations], 0.0), 1)
    return coverage(facts) + onward[destinations]
