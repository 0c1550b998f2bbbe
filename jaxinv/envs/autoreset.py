"""Fresh episodes only where old ones ended: a reset plays a history, and most steps end no
episode.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

SHARE = 16
"""A batch is reset in shares of this size: each as many environments as the batch over `SHARE`."""


def fresh_where(
    over: jax.Array, reset: Callable[[jax.Array, Any], Any], key: jax.Array, params: Any
) -> Any:
    """`reset(key, params)` where an episode is over, and zeros of that shape elsewhere, which cost
    next to nothing.

    Under `vmap` the environments that are over are gathered and reset, a share of the batch at a
    time: one that all end in costs one reset of all, and one in which few end a sixteenth of that.
    Nothing is differentiated through it.
    """
    shapes = jax.eval_shape(reset, key, params)

    def blank(*batch):
        return jax.tree.map(lambda leaf: jnp.zeros((*batch, *leaf.shape), leaf.dtype), shapes)

    @custom_vmap
    def fresh(over, key, params):
        return jax.lax.cond(over, lambda: reset(key, params), blank)

    @fresh.def_vmap
    def fresh_batch(size, batched, over, key, params):
        _, key_batched, params_batched = batched
        over = jnp.broadcast_to(over, (size,))
        share = -(-size // SHARE)
        rows = jnp.nonzero(over, size=share * SHARE, fill_value=size)[0]

        def one_share(carry):
            turn, state = carry
            here = jax.lax.dynamic_slice_in_dim(rows, turn * share, share)

            def take(leaf, batched):
                return leaf.at[here].get(mode="clip") if batched else leaf

            def axes(batched):
                return jax.tree.map(lambda own: 0 if own else None, batched)

            given = jax.tree.map(take, (key, params), (key_batched, params_batched))
            begun = jax.vmap(reset, (axes(key_batched), axes(params_batched)), axis_size=share)(
                *given
            )
            put = jax.tree.map(lambda leaf, new: leaf.at[here].set(new, mode="drop"), state, begun)
            return turn + 1, put

        ended = jnp.sum(over)
        start = (jnp.int32(0), blank(size))
        _, state = jax.lax.while_loop(lambda carry: carry[0] * share < ended, one_share, start)
        return state, jax.tree.map(lambda _: True, state)

    return fresh(*jax.lax.stop_gradient((over, key, params)))
