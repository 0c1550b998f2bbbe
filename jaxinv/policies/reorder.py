"""Orders by (s, S): for algorithms that decide when to order and up to what."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxinv.envs.observation import Observation
from jaxinv.errors import UserError
from jaxinv.policies.decode import Decode
from jaxinv.policies.policy import fill_to


@dataclass(frozen=True)
class ReorderDecode(Decode):
    """Reads two levels of each order, of which the lower is s and the higher S. With raw outputs o
    and u, f the rate of demand, and s(.) of `Decode`,

        s = coverage * f * s(min(o, u)),    S = coverage * f * s(max(o, u)),
        order = S - IP where IP <= s, else 0

    so that s <= S whatever the outputs are, and base-stock is where they meet: that is what an
    untrained network does. IP is the inventory *position*: with stock on hand in its place a node
    orders again what is already on its way.
    """

    def __post_init__(self):
        super().__post_init__()
        if self.form != "base":
            raise UserError(
                f"form={self.form}: orders by (s, S) fill up to a level that is a multiple of one"
                " rate, as form=base; give that, or agent=ppo"
            )

    @property
    def per_order(self) -> int:
        """Those of two levels."""
        return 2

    def reorder_point(
        self, raw: jax.Array, observation: Observation, rates: jax.Array
    ) -> jax.Array:
        """s `[E, K]`, in units."""
        return self._levels(raw, observation, rates).min(-1)

    def target(self, raw, observation, rates):
        return self._levels(raw, observation, rates).max(-1)

    def raw_for(self, order, observation, rates):
        """Those with s = S."""
        return jnp.repeat(super().raw_for(order, observation, rates), self.per_order)

    def _levels(self, raw, observation, rates):
        """`[E, K, 2]`."""
        return self._factors(raw) * (
            self._weighable(rates) * self._coverage(observation.instance)[:, None, None]
        )

    def _fill(self, raw, observation, rates):
        position = self._position(observation)
        # the margin keeps whole numbers on the right side in float32
        due = position <= self.reorder_point(raw, observation, rates) + 1e-4
        target = jnp.where(due, self.target(raw, observation, rates), position)
        return fill_to(self.topology, observation, target, position, self._together)
