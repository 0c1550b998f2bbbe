"""Running moments that bring rewards and values to the order of 1."""

import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class Scales:
    """Moments of rewards and returns; fresh ones are those of the first rollout."""

    reward_mean: jax.Array  # [] average reward, taken off so that values do not carry the level of cost
    reward_deviation: jax.Array  # []
    return_deviation: jax.Array  # [] of the return within a rollout

    @classmethod
    def fresh(cls) -> "Scales":
        return cls(jnp.float32(0.0), jnp.float32(0.0), jnp.float32(0.0))

    def follow(self, reward: jax.Array, discount: jax.Array) -> "Scales":
        """Moves towards the moments of the rewards `[T, B]` of a rollout; the first rollout sets them."""
        keep = jnp.where(self.reward_deviation == 0, 0.0, 0.98)
        mean = keep * self.reward_mean + (1 - keep) * reward.mean()
        _, returns = jax.lax.scan(
            lambda total, now: (now + discount * total,) * 2, jnp.zeros_like(reward[0]), reward - mean
        )
        deviations = jnp.stack([reward.std(), returns.std()]) + 1e-6
        moved = keep * jnp.stack([self.reward_deviation, self.return_deviation]) + (1 - keep) * deviations
        return Scales(mean, moved[0], moved[1])
