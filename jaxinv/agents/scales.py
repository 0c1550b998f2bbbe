"""Running moments that bring rewards and values to the order of 1."""

import jax
import jax.numpy as jnp
from flax import struct


@struct.dataclass
class Scales:
    """Moments of rewards and returns, each by agent `[G]` where rewards are; fresh ones are those
    of the first rollout.
    """

    reward_mean: (
        jax.Array
    )  # [] average reward, taken off so that values do not carry the level of cost
    reward_deviation: jax.Array  # []
    return_deviation: jax.Array  # [] of the return within a rollout

    @classmethod
    def fresh(cls, agents: tuple[int, ...] = ()) -> "Scales":
        """Args:
        agents: their number G, as a shape; empty where rewards are of one planner.
        """
        return cls(*(jnp.zeros(agents) for _ in range(3)))

    def follow(self, reward: jax.Array, discount: jax.Array) -> "Scales":
        """Moves towards the moments of the rewards `[T, B]` or `[T, G, B]` of a rollout; the first
        rollout sets them.
        """
        keep = jnp.where(self.reward_deviation == 0, 0.0, 0.98)
        mean = keep * self.reward_mean + (1 - keep) * reward.mean(over(reward))
        _, returns = jax.lax.scan(
            lambda total, now: (now + discount * total,) * 2,
            jnp.zeros_like(reward[0]),
            reward - along(mean),
        )
        deviations = jnp.stack([reward.std(over(reward)), returns.std(over(returns))]) + 1e-6
        moved = (
            keep * jnp.stack([self.reward_deviation, self.return_deviation])
            + (1 - keep) * deviations
        )
        return Scales(mean, moved[0], moved[1])


def over(rewards: jax.Array) -> tuple[int, int] | None:
    """Axes of rewards `[T, B]` or `[T, G, B]` that moments are taken over: all but that of
    agents.
    """
    return None if rewards.ndim == 2 else (0, -1)


def along(moment: jax.Array) -> jax.Array:
    """A moment `[]` or `[G]` as it stands beside such rewards."""
    return moment if moment.ndim == 0 else moment[:, None]
