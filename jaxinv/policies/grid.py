"""Orders from a grid, for algorithms that choose among a few actions."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.errors import UserError
from jaxinv.policies.decode import Decode, factor

GRID_FORMS = ("none", "base")
"""Decode forms whose one factor an order can be read off a grid."""


@dataclass(frozen=True)
class GridDecode(Decode):
    """Reads a value for each level of a grid and orders by the best: its factor stands where s(o)
    stands in `Decode`.

    Attributes:
      levels: factors, rising: in the form `base` multiples of the demand over the coverage to order
        up to, in `none` multiples of the demand of a review.
    """

    levels: tuple[float, ...] = (0.0, 1.0)

    def __post_init__(self):
        super().__post_init__()
        if self.form not in GRID_FORMS:
            raise UserError(
                f"form={self.form} weighs several rates with continuous coefficients, which a grid"
                f" of orders has not; give form={' or form='.join(GRID_FORMS)}, or an agent with"
                " continuous actions"
            )
        if self.allocation != "rationing":
            raise UserError(
                f"allocation={self.allocation} shares out stock by continuous shares, which a grid"
                " of orders has not; leave it out, or take an agent with continuous actions"
            )
        if len(self.levels) < 2 or min(self.levels) < 0:
            raise UserError(
                f"levels={self.levels}: a grid needs at least two factors, none below 0"
            )

    @property
    def per_order(self) -> int:
        """A value for each level."""
        return len(self.levels)

    @property
    def per_disposition(self) -> int:
        """A value for each level, of which the lowest restocks, the one in the middle sends on, and
        the highest liquidates.
        """
        return len(self.levels)

    def _factors(self, raw):
        best = jnp.argmax(self._by_edge(raw), -1)
        return factor(jnp.asarray(self._raw_levels)[best][..., None])

    def _dispositions(self, raw):
        place = 2.0 * jnp.argmax(raw, -1) / (len(self.levels) - 1)
        return jnp.maximum(1.0 - jnp.abs(place[..., None] - jnp.arange(3.0)), 0.0)

    @property
    def _raw_levels(self) -> np.ndarray:
        """The raw output that has each level as its factor."""
        with np.errstate(divide="ignore"):
            return (np.log(np.expm1(self.levels)) - np.log(np.expm1(1.0))).astype(np.float32)

    def one_hot(self, index: jax.Array) -> jax.Array:
        """Raw outputs `[outputs]` that choose the levels at `index` of each order, then of each
        disposition.
        """
        return jax.nn.one_hot(index, len(self.levels)).reshape(-1)
