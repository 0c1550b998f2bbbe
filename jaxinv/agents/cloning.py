"""Behaviour cloning: what a log did, as a classification of levels or a regression on them.

On the grid a log's order is the level nearest to it, and the network maximises

    mean_b log softmax(f_b(s))[a_b]

over branches b of one order each; it then orders by the likeliest level. With `continuous=true`
orders are not cut to a grid: the network says factors (`jaxinv.policies.decode`) and descends the
squared distance from the log's. (Pomerleau 1989.) The policy of those who kept the log is the least
that a learner has to give back, and the best that one can give back of an expert's log.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.agents.level_grid import at_level
from jaxinv.agents.networks import make_policy
from jaxinv.agents.offline import OfflineConfig, OfflineLearner
from jaxinv.policies.decode import factor


@dataclass(frozen=True)
class BCConfig(OfflineConfig):
    """Hyper-parameters beside those of every learner on a grid (`GridConfig`).

    Attributes:
      continuous: a regression on factors up to `largest`, in place of a classification of levels.
    """

    continuous: bool = False


@struct.dataclass
class BC(OfflineLearner):
    """Behaviour cloning as an `Agent`."""

    Config: ClassVar = BCConfig

    @classmethod
    def make_policy(cls, env, config):
        return make_policy(env, config) if config.continuous else super().make_policy(env, config)

    def chosen(self, raw):
        if self.config.continuous:
            return jnp.minimum(factor(raw), self.config.largest)
        return super().chosen(raw)

    def loss(self, params, target, seen, key):
        said = self.apply(params, "decide", seen.state, seen.stock).mean
        if self.config.continuous:
            loss = jnp.square(factor(said) - seen.action).mean()
        else:
            loss = -at_level(jax.nn.log_softmax(self.branches(said)), seen.action).mean()
        return loss, {"imitation_loss": loss}
