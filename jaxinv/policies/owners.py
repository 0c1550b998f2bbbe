"""Whose each number is, where several agents act as one policy."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np


@dataclass(frozen=True)
class Owners:
    """The agent of each output; of one planner, who has no axis, without entries.

    Attributes:
      of: the agent, of G, that each of A outputs is of; empty for one planner.
      agents: G.
    """

    of: tuple[int, ...] = ()
    agents: int = 1

    def __bool__(self) -> bool:
        """Whether there is an axis of agents."""
        return bool(self.of)

    def every(self, step: int) -> "Owners":
        """Of outputs that come in groups of `step`, each of one agent: whose each group is."""
        return Owners(self.of[::step], self.agents)

    def total(self, values: jax.Array) -> jax.Array:
        """Sums of outputs `[..., A]` by agent `[..., G]`, or `[...]` over all."""
        return jnp.dot(values, self._shares, precision="highest") if self else values.sum(-1)

    def mean(self, values: jax.Array) -> jax.Array:
        """Means likewise; 0 for an agent without outputs."""
        if not self:
            return values.mean(-1)
        return self.total(values) / np.maximum(self.count(0), 1.0)

    def each(self, values: jax.Array) -> jax.Array:
        """Values by agent `[..., G]` at each output `[..., A]`; a value for all `[...]` as
        `[..., 1]`.
        """
        return values[..., np.asarray(self.of)] if self else values[..., None]

    def spread(self, values: jax.Array) -> jax.Array:
        """Values for all `[...]` as those of every agent `[..., G]`, or as they are."""
        return values[..., None] if self else values

    def count(self, outputs: int) -> np.ndarray | int:
        """How many of the outputs are of each agent `[G]`; of one planner, all."""
        return self._shares.sum(0) if self else outputs

    def together(self, values: jax.Array) -> jax.Array:
        """Sums `[...]` over agents of values `[..., G]`; those of one planner as they are."""
        return values.sum(-1) if self else values

    @property
    def _shares(self) -> np.ndarray:
        return np.eye(self.agents, dtype=np.float32)[np.asarray(self.of)]  # [A, G]


def with_agent_axis(values: jax.Array, by_agent: jax.Array) -> jax.Array:
    """Values `[n, ...]` beside those that may have an axis of agents `[n, G, ...]`: with an axis of
    one there.
    """
    return jnp.expand_dims(values, 1) if by_agent.ndim > values.ndim else values
