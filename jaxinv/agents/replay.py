"""A replay buffer on the device: a ring of items in one array a field, drawn from uniformly."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.errors import UserError


@struct.dataclass
class ReplayBuffer:
    """The latest items, at most `capacity` of them.

    Items are any struct of arrays; the buffer is that struct with a leading axis, so
    `4 * capacity * numbers` bytes for items of so many numbers.
    """

    items: Any  # [capacity, ...]
    place: jax.Array  # [] int32 where the next ones go
    size: jax.Array  # [] int32 how many there are

    @classmethod
    def empty(cls, item: Any, capacity: int) -> "ReplayBuffer":
        """A buffer without items.

        Args:
          item: one item, or its shapes and types.
        """
        items = jax.tree.map(lambda leaf: jnp.zeros((capacity, *leaf.shape), leaf.dtype), item)
        return cls(items, jnp.int32(0), jnp.int32(0))

    @classmethod
    def of(cls, items: Any) -> "ReplayBuffer":
        """A buffer that holds just these items `[n, ...]`."""
        size = jnp.int32(jax.tree.leaves(items)[0].shape[0])
        return cls(items, jnp.int32(0), size)

    @property
    def capacity(self) -> int:
        return jax.tree.leaves(self.items)[0].shape[0]

    def add(self, items: Any) -> "ReplayBuffer":
        """The buffer with `items` `[n, ...]` in place of the oldest; n must divide the capacity, so
        that none wraps.
        """
        count = jax.tree.leaves(items)[0].shape[0]
        if self.capacity % count:
            raise UserError(
                f"capacity={self.capacity} must be a multiple of the {count} transitions of an"
                " update"
            )

        def put(kept, new):
            return jax.lax.dynamic_update_slice_in_dim(kept, new.astype(kept.dtype), self.place, 0)

        return ReplayBuffer(
            items=jax.tree.map(put, self.items, items),
            place=(self.place + count) % self.capacity,
            size=jnp.minimum(self.size + count, self.capacity),
        )

    def sample(self, key: jax.Array, count: int) -> Any:
        """Items `[count, ...]` drawn uniformly, with replacement, from those that are there."""
        index = jax.random.randint(key, (count,), 0, self.size)
        return jax.tree.map(lambda leaf: leaf[index], self.items)
