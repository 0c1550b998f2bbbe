"""What learners share that choose each order from a grid of levels (`GridDecode`)."""

from dataclasses import dataclass
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.agents.networks import make_policy
from jaxinv.agents.offpolicy import OffPolicy, OffPolicyConfig
from jaxinv.errors import UserError
from jaxinv.nets.critics import GridQ
from jaxinv.policies.decode import factor
from jaxinv.policies.grid import GridDecode


@dataclass(frozen=True)
class GridConfig(OffPolicyConfig):
    """Hyper-parameters beside those of every learner from a buffer (`OffPolicyConfig`).

    Attributes:
      actions: levels of the grid of each order.
      largest: the largest level; the smallest is 0.
      knots: pieces of the spline that what is said of the levels lies on.
    """

    actions: int = 76
    largest: float = 3.0
    knots: int = 25

    counts: ClassVar = (*OffPolicyConfig.counts, "knots")

    def __post_init__(self):
        super().__post_init__()
        if self.actions < 2 or self.largest == 0:
            raise UserError(
                f"a grid of actions={self.actions} up to largest={self.largest} leaves nothing to"
                " choose"
            )


@struct.dataclass
class GridLearner(OffPolicy):
    """The stem of algorithms with a value for each level of each order (branch)."""

    network: ClassVar[type[nn.Module]] = GridQ

    @classmethod
    def make_policy(cls, env, config):
        levels = tuple(float(level) for level in np.linspace(0.0, config.largest, config.actions))
        decode = GridDecode(env.topology, config.form, config.allocation, levels)
        options = dict(levels=config.actions, knots=config.knots, **cls.options(config))
        return make_policy(env, config, cls.network, decode, **options)

    @classmethod
    def options(cls, config: Any) -> dict[str, Any]:
        """Further attributes of the network."""
        return {}

    def chosen(self, raw):
        levels = jnp.asarray(self.policy.decode.levels)
        return jnp.abs(jnp.minimum(factor(raw), levels[-1])[..., None] - levels).argmin(-1)

    def branches(self, values: jax.Array) -> jax.Array:
        """Values `[..., outputs]` by branch and level `[..., branches, G]`."""
        return values.reshape(*values.shape[:-1], -1, self.config.actions)


def at_level(values: jax.Array, index: jax.Array) -> jax.Array:
    """Values `[..., G]` at levels `[...]`."""
    return jnp.take_along_axis(values, index[..., None], -1)[..., 0]
