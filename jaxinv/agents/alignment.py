"""Rewards that stand beside the orders they are for (DeepStock, seed 003; methods A.2).

An order placed in period t arrives in t + L, and the next one that can be placed, P periods later,
in t + P + L. So what it alone adds is the cost of the window t + L .. t + P + L - 1, and nothing
earlier. A learner with aligned rewards takes one step a review: its decision in t, the mean reward
of that window, and the state at the next review. Discounts then count reviews.

The windows of a rollout's last orders reach L periods beyond it. These are played without orders
and forgotten again, which is exact: what is ordered after the rollout arrives after them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs.problem import Problem, charged_costs
from jaxinv.errors import UserError

AT_ONCE = ("ordering", "transport", "duty")
"""Cost parts that are charged when an order is placed or shipped, not when its goods are there."""


class Window(NamedTuple):
    """The periods whose cost an order decides: `review` of them, `lead` periods after it."""

    lead: int
    review: int

    @classmethod
    def of(cls, problem: Problem, periods: int) -> "Window":
        """The window of a problem whose rollouts have `periods`.

        Raises:
          UserError: if orders have no window in common, or a rollout is not whole reviews.
        """
        reason = cls.refusal(problem, periods)
        if reason:
            raise UserError(f"aligned_rewards=true makes no sense here: {reason}; leave it false")
        return cls(problem.env.topology.lead_times[0], _reviews(problem)[0])

    @classmethod
    def refusal(cls, problem: Problem, periods: int) -> str | None:
        """Why such rollouts have no windows; None where they have."""
        topology, reviews = problem.env.topology, _reviews(problem)
        if topology.random_lead_time or len(set(topology.lead_times)) > 1:
            return "orders have different lead times"
        if topology.has("calendar"):
            return "orders wait for the days that a calendar opens"
        if topology.has("goodwill"):
            return "an order moves the goodwill of all periods to come"
        if topology.storeless:
            return "an order serves the customers of the same period"
        if topology.internal or topology.order_delays:
            return "an order moves stock between nodes, or travels, before its lead time is over"
        if set(charged_costs(topology)) & set(AT_ONCE) or topology.has("transit_holding"):
            return "orders cost something before their goods arrive"
        if len(reviews) > 1:
            return "orders have different review periods"
        if periods % reviews[0]:
            return f"rollout={periods} must be a multiple of the review period {reviews[0]}"
        return None

    def mean(self, reward: jax.Array) -> jax.Array:
        """Rewards of periods `[T + L, B]` as the mean of each window `[T / P, B]`."""
        windows = reward[self.lead :].reshape(-1, self.review, *reward.shape[1:])
        return jnp.mean(windows, 1)


def _reviews(problem):
    """The different review periods of orders, rising."""
    if not problem.env.topology.has("review"):
        return [1]
    return [int(periods) for periods in np.unique(problem.train.review_period)]
