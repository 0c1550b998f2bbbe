"""Order days: the periods in which a supplier, or a warehouse, takes orders, such as Mondays and
Thursdays.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp


@dataclass(frozen=True)
class OrderDays:
    """Which edges are open for orders in a period, by a cycle that repeats; the numbers are
    `params.order_days` `[W, E]`, 1 for open and 0 for closed, whose first row is that of the first
    period of the demand that is recorded.
    """

    def open(self, row: jax.Array, params: Any) -> jax.Array:
        """`[E]`, of the period at a row of recorded demand."""
        return params.order_days[jnp.asarray(row, jnp.int32) % params.order_days.shape[0]]
