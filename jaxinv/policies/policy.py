"""What a policy is: a pure function of parameters and an observation."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs import views
from jaxinv.envs.observation import Facts, Observation
from jaxinv.envs.topology import Topology
from jaxinv.errors import UserError


@dataclass(frozen=True)
class Policy:
    """A policy: pure functions of its parameters and of what it may know.

    Rules and networks alike are split in two so that a rollout can read a whole trace at once:
    `encode` sees only signals (which no action moves), and a decision sees the context of one
    period and the stock. Most policies decide by `act` alone. One that remembers, or that draws,
    has a `start` and a `step`: the memory is any tree of arrays, which every decision gets and
    hands on changed; what is drawn comes from a key that is another in every period and path.

    Attributes:
      topology: the network it acts on.
    """

    topology: Topology

    wants_window = False
    """Whether a decision reads the signal window of the observation itself."""

    forecasts = False
    """Whether the policy forecasts demand (`predict`)."""

    @property
    def remembers(self) -> bool:
        """Whether it has a memory."""
        return type(self).start is not Policy.start

    draws = False
    """Whether `step` uses its key; one that does says the `log_prob` of what it draws."""

    def predict(self, context: Any) -> jax.Array:
        """Demand `[D, K]` that a context expects of the coming period; for policies that
        forecast.
        """
        raise TypeError(f"{type(self).__name__} does not forecast")

    def encode(self, params: Any, signals: jax.Array | None, facts: Facts) -> Any:
        """Contexts `[W' , ...]` for signals `[W', S]`; None for policies that need none."""
        return None

    def act(self, params: Any, observation: Observation, context: Any) -> jax.Array:
        """Order quantities `[E, K]`, of a policy without memory that draws nothing."""
        raise NotImplementedError

    def start(self, params: Any, signals: jax.Array, facts: Facts) -> Any:
        """What is remembered before the first decision; None for nothing.

        Args:
          signals: `[W - 1, S]` that were known before the row that the first decision sees as its
            latest.
        """
        return None

    def step(
        self,
        params: Any,
        observation: Observation,
        context: Any,
        memory: Any,
        key: jax.Array | None,
    ) -> tuple[jax.Array, Any]:
        """Order quantities `[E, K]`, and what is remembered afterwards: of the same shapes as what
        was before.

        Args:
          key: None unless the policy `draws`.
        """
        return self.act(params, observation, context), memory

    def log_prob(
        self, params: Any, observation: Observation, context: Any, memory: Any, key: jax.Array
    ) -> jax.Array:
        """Log of the probability, or of its density, of what `step` draws with this key `[]`."""
        raise TypeError(f"{type(self).__name__} draws nothing")

    def hear(self, params: Any, memory: Any, reward: jax.Array) -> Any:
        """What is remembered once the reward `[]` of the period that was decided is known."""
        return memory

    def __call__(
        self, params: Any, observation: Observation, key: jax.Array | None = None
    ) -> jax.Array:
        """One decision from one observation, of a policy without memory: the window is encoded and
        its last context used.
        """
        if self.remembers:
            raise UserError(
                f"{type(self).__name__} has a memory, which one observation does not hold; call"
                " respond with it"
            )
        if self.draws and key is None:
            raise UserError(f"{type(self).__name__} draws at random and needs a key; give one")
        return self.respond(params, observation, None, key)[0]

    def respond(
        self,
        params: Any,
        observation: Observation,
        memory: Any = None,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, Any]:
        """One decision from one observation and what is remembered: the orders, and what is
        remembered afterwards.
        """
        contexts = self.encode(params, observation.signals, observation.instance)
        context = jax.tree.map(lambda context: context[-1], contexts)
        return self.step(params, observation, context, memory, key)


def fill_to(
    topology: Topology,
    observation: Observation,
    target: jax.Array,
    position: jax.Array,
    together: np.ndarray | bool = True,
) -> jax.Array:
    """Orders that bring each edge's position up to its target `[E, K]`.

    Where several edges enter a node, a slower edge counts what a faster one orders in the same
    period, if it knows: if `together` `[E, E]`, who decides the row's edge decides the column's
    too.
    """
    order = jnp.maximum(target - position, 0.0)
    if not views.shared_destinations(topology):
        return order
    faster = _faster(topology, observation, together)
    widest = max(topology.destinations.count(node) for node in topology.destinations)
    for _ in range(widest - 1):
        order = jnp.maximum(
            target - position - jnp.tensordot(faster, order, axes=1, precision="highest"), 0.0
        )
    return order


def filled_to(
    topology: Topology,
    observation: Observation,
    order: jax.Array,
    position: jax.Array,
    together: np.ndarray | bool = True,
) -> jax.Array:
    """The targets `[E, K]` that `fill_to` orders so much for: of all, the highest where nothing is
    ordered.
    """
    if not views.shared_destinations(topology):
        return position + order
    return (
        position
        + order
        + jnp.tensordot(
            _faster(topology, observation, together), order, axes=1, precision="highest"
        )
    )


def _faster(topology, observation, together):
    """`[E, E]`, 1 where the column's edge enters the same node faster, and is decided together with
    the row's.
    """
    lead = views.known_lead_times(topology, observation)
    same = np.equal.outer(topology.destinations, topology.destinations)
    return 1.0 * (same & together & (lead[None, :] < lead[:, None]))
