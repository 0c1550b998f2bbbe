"""Agents who each propose the whole decision, and a coordinator who makes one decision of their
proposals (seed 002).

Every agent values every level of every order (and of what becomes of every return), and proposes
the level that it values most. The paper averages what agents decide (its equation 6), and calls
that a weighted average; both are here, beside the two ends of the question what coordination is
worth.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.nets.actor_critic import Decision
from jaxinv.nets.divided import Divided, agents_first

COORDINATORS = {
    "owner": "each order as the agent decides whose it is: no coordination",
    "mean": "the mean level of all proposals (equation 6)",
    "weighted": (
        "a weighted mean, in which the owner of an order has `owner_weight` and the others share"
        " the rest"
    ),
    "learned": (
        "a mean weighted by how much each agent, by its own values, gains by its proposal over the"
        " mean of all levels"
    ),
    "hierarchy": (
        "a further agent, the allocator, chooses a range of levels for every order, and its owner a"
        " level within it"
    ),
}
"""How proposals become a decision, by name."""

RANGES = 5
"""Ranges of levels that an allocator chooses among, of about equal length."""


class Council(Divided):
    """G agents whose decisions are one. The decision chooses a level of each of A branches:
    `Decision.mean` has 1 there and 0 elsewhere, `Decision.q` is what each agent thinks of each
    level `[..., G, A, levels]`.

    Attributes:
      coordinator: a name in `COORDINATORS`. With "hierarchy" the last agent is the allocator.
      owners: the agent whose each branch is `[A]`.
      levels: of a branch.
      owner_weight: of "weighted".
    """

    coordinator: str = "mean"
    owners: tuple[int, ...] = ()
    levels: int = 2
    owner_weight: float = 0.8

    def decide(self, state, stock):
        told = self._each(
            lambda agent, *inputs: agent.decide(*inputs), agents_first(state), agents_first(stock)
        )
        q = jnp.moveaxis(told.mean, 0, -2)
        q = q.reshape(*q.shape[:-1], len(self.owners), self.levels)
        chosen = jax.nn.one_hot(self.coordinated(q), self.levels)
        return Decision(chosen.reshape(*chosen.shape[:-2], -1), q=q)

    def coordinated(self, q: jax.Array) -> jax.Array:
        """The level of each branch `[..., A]` that comes of values `[..., G, A, levels]`."""
        owned = self._owned(q)
        if self.coordinator == "owner":
            return owned.argmax(-1)
        if self.coordinator == "hierarchy":
            return within(range_of(q[..., -1, :, :]), owned)
        return jnp.round(jnp.sum(self._weights(q) * q.argmax(-1), -2)).astype(jnp.int32)

    def _owned(self, q):
        """What the owner of each branch thinks of its levels `[..., A, levels]`."""
        mine = np.asarray(self.owners) == np.arange(self.agents)[:, None]  # [G, A]
        return jnp.sum(jnp.where(mine[..., None], q, 0.0), -3)

    def _weights(self, q):
        """The weight of each agent's proposal `[..., G, A]`; they sum to 1."""
        if self.coordinator == "learned":
            return jax.nn.softmax(q.max(-1) - q.mean(-1), -2)
        if self.coordinator == "mean":
            return jnp.full(q.shape[:-1], 1.0 / self.agents)
        mine = np.asarray(self.owners) == np.arange(self.agents)[:, None]
        return jnp.where(mine, self.owner_weight, (1.0 - self.owner_weight) / (self.agents - 1))


def ranges(levels: int) -> np.ndarray:
    """The range `[levels]` that each level lies in, of `RANGES` or as many as there are levels."""
    return np.arange(levels) * min(RANGES, levels) // levels


def range_of(q: jax.Array) -> jax.Array:
    """The range of levels `[...]` that is worth most on average by values `[..., levels]`."""
    belongs = np.eye(min(RANGES, q.shape[-1]), dtype=np.float32)[
        ranges(q.shape[-1])
    ]  # [levels, ranges]
    return jnp.argmax(jnp.dot(q, belongs / belongs.sum(0), precision="highest"), -1)


def within(chosen: jax.Array, q: jax.Array) -> jax.Array:
    """The best level `[...]` of a range by values `[..., levels]`."""
    return jnp.argmax(jnp.where(ranges(q.shape[-1]) == chosen[..., None], q, -jnp.inf), -1)
