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
    """Reads two numbers of each order. With raw outputs o and u, f the rate of demand, and s(.) of
    `Decode`,

        s = coverage * f * s(o),    S = s + review * f * s(u),
        order = S - IP where IP <= s, else 0

    so that s <= S whatever the outputs are. IP is the inventory *position*: with stock on hand in
    its place a node orders again what is already on its way.
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
        """Those of the reorder point and of the gap."""
        return 2

    def reorder_point(
        self, raw: jax.Array, observation: Observation, rates: jax.Array
    ) -> jax.Array:
        """s `[E, K]`, in units."""
        rate = self._factors(raw)[..., 0] * self._weighable(rates)[..., 0]
        return rate * self._coverage(observation.instance)[:, None]

    def target(self, raw, observation, rates):
        gap = self._factors(raw)[..., 1] * self._weighable(rates)[..., 0]
        review = observation.instance.review_period[:, None]
        return self.reorder_point(raw, observation, rates) + gap * review

    def raw_for(self, order, observation, rates):
        """Those with s = S, minus infinity being the raw output of no gap."""
        reorder = super().raw_for(order, observation, rates)
        return jnp.stack([reorder, jnp.full_like(reorder, -jnp.inf)], -1).reshape(-1)

    def _fill(self, raw, observation, rates):
        position = self._position(observation)
        # the margin keeps whole numbers on the right side in float32
        due = position <= self.reorder_point(raw, observation, rates) + 1e-4
        target = jnp.where(due, self.target(raw, observation, rates), position)
        return fill_to(self.topology, observation, target, position, self._together)
