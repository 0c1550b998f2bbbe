"""Conservative Q-learning on a grid of orders: CQL(H), whose log-sum-exp is exact here.

With critics q_i, their targets q'_i, and branches b of one order each,

    y = r + discount * mean_b max_a min_i q'_ib(s', a),
    L = mean_ib (q_ib(s, a_b) - y)^2 / 2
        + conservatism * mean_ib (log sum_a exp q_ib(s, a) - q_ib(s, a_b))

The second term lowers what is said of levels that the log never chose, so that a maximum over
levels is not one over errors (Kumar, Zhou, Tucker & Levine 2020, equation 4). Where actions are
continuous the sum is estimated from samples; on a grid it is a sum.
"""

from dataclasses import dataclass
from typing import ClassVar

import flax.linen as nn
import jax
from flax import struct

from jaxinv.agents.agent import traced
from jaxinv.agents.level_grid import at_level
from jaxinv.agents.offline import OfflineConfig, OfflineLearner
from jaxinv.agents.offpolicy import squared_error
from jaxinv.nets.critics import GridQs


@dataclass(frozen=True)
class CQLConfig(OfflineConfig):
    """Hyper-parameters beside those of every learner on a grid (`GridConfig`).

    Attributes:
      critics: how many; the lowest counts.
      conservatism: weight of the second term; 0 is Q-learning from a log.
    """

    critics: int = 2
    conservatism: float = traced(0.1)

    counts: ClassVar = (*OfflineConfig.counts, "critics")


@struct.dataclass
class CQL(OfflineLearner):
    """CQL(H) as an `Agent`."""

    Config: ClassVar = CQLConfig
    network: ClassVar[type[nn.Module]] = GridQs

    @classmethod
    def options(cls, config):
        return {"critics": config.critics}

    def loss(self, params, target, seen, key):
        after = self.apply(target, "judge", seen.target_state, seen.next_stock).min(0).max(-1)
        wanted = self.bootstrapped(seen, after.mean(-1))
        values = self.apply(params, "judge", seen.state, seen.stock)  # [critics, n, branches, G]
        told = at_level(values, seen.action[None])
        error = squared_error(told, wanted[:, None])
        too_high = conservative_gap(values, told).mean()
        loss = error + self.numbers["conservatism"] * too_high
        return loss, {"value_loss": error, "value": told.mean(), "conservative_gap": too_high}


def conservative_gap(values: jax.Array, told: jax.Array) -> jax.Array:
    """How far the soft maximum of values `[..., G]` lies above the value of what was chosen
    `[...]`.
    """
    return jax.nn.logsumexp(values, -1) - told
