"""How parties train a forecaster together while each keeps its data to itself (methods C.4).

Of a `Lesson` each party sees its own columns of the tokens, and the label holder alone the rest.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.agents.losses import pinball
from jaxinv.nets.federated import HOLDER, Federation


@struct.dataclass
class Lesson:
    """What a rollout teaches, environments first."""

    tokens: jax.Array  # [B, W + T, C] of all parties
    demand: jax.Array  # [B, T, D * K]
    recent: jax.Array  # [B, T, D * K] the unit of forecasts
    share: jax.Array  # [B] weight of each environment in the loss, 1 in sum

    def loss(self, forecast: jax.Array) -> jax.Array:
        """Weighted mean pinball loss of quantiles `[B, W + T, J, D * K, Q]`."""
        history = self.tokens.shape[1] - self.demand.shape[1]
        losses = jax.vmap(lambda *own: pinball(*(part[None] for part in own)))(
            forecast[:, history - 1 : -1], self.demand, self.recent
        )
        return jnp.sum(self.share * losses)


def federated_gradient(
    federation: Federation, params: Any, lesson: Lesson, key: jax.Array, noise: jax.Array | float
) -> tuple[jax.Array, Any]:
    """The loss and its gradient, as the parties find it: activations go to the label holder, and
    their gradients come back. Nothing else crosses.

    Args:
      noise: standard deviation of what is added to every activation that is sent.
    """
    weights = params["params"]
    sent, backward = {}, {}
    for number, (name, columns) in enumerate(federation.parties):
        own = lesson.tokens[..., np.asarray(columns)]
        activation, backward[name] = jax.vjp(partial(federation.send, own=own), weights[name])
        drawn = jax.random.normal(jax.random.fold_in(key, number), activation.shape)
        sent[name] = activation + noise * drawn

    def of_holder(held, sent):
        return lesson.loss(federation.answer(held, sent))

    loss, (own, replies) = jax.value_and_grad(of_holder, (0, 1))(weights[HOLDER], sent)
    grads = {name: backward[name](replies[name])[0] for name in sent}
    return loss, {"params": {**grads, HOLDER: own}}


def central_loss(federation: Federation, params: Any, lesson: Lesson) -> jax.Array:
    """The loss of one who has all columns and labels."""
    return lesson.loss(federation.apply(params, lesson.tokens)[1])
