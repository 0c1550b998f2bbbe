"""Networks of parties that keep their columns apart, and of the label holder who makes quantiles of
what they send (methods C.4).
"""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.nets.actor_critic import QUANTILES
from jaxinv.nets.mlp import MLP

HOLDER = "label_holder"
"""Whose weights make quantiles of what parties send."""

Parties = tuple[tuple[str, tuple[int, ...]], ...]
"""Names, and the columns of the signals that each owns."""


class Party(nn.Module):
    """What a party computes of its own columns `[..., T, C]`: an activation `[..., T, H]` within
    -1 .. 1.
    """

    encoder: nn.Module

    def __call__(self, own, rows=None):
        return jnp.tanh(self.encoder(own, rows))


class Holder(nn.Module):
    """What the label holder makes of activations: quantiles `[..., T, J, D * K, Q]` that rise."""

    horizon: int
    series: int
    hidden: tuple[int, ...]
    activation: str

    @nn.compact
    def __call__(self, sent):
        size = self.horizon * self.series * len(QUANTILES)
        steps = nn.softplus(MLP(self.hidden, size, self.activation)(jnp.concatenate(sent, -1)))
        steps = steps.reshape(*steps.shape[:-1], self.horizon, self.series, len(QUANTILES))
        return jnp.cumsum(steps, -1)


@dataclass(frozen=True)
class Federation:
    """The networks of all parties and of the label holder. Nobody applies another's."""

    parties: Parties
    party: Party
    holder: Holder

    @property
    def horizon(self) -> int:
        """Periods that are foreseen."""
        return self.holder.horizon

    def init(self, key: jax.Array, tokens: jax.Array, stock: Any = None) -> dict[str, Any]:
        """Fresh weights by party, for tokens `[..., T, C]` of all of them; stock is nobody's."""
        weights, sent = {}, []
        for number, (name, columns) in enumerate(self.parties):
            own = tokens[..., np.asarray(columns)]
            drawn = self.party.init(jax.random.fold_in(key, number), own)
            weights[name] = drawn["params"]
            sent.append(self.party.apply(drawn, own))
        key = jax.random.fold_in(key, len(self.parties))
        weights[HOLDER] = self.holder.init(key, sent)["params"]
        return {"params": weights}

    def send(self, weights: Any, own: jax.Array, rows: int | None = None) -> jax.Array:
        """What a party sends `[..., T, H]` of its own columns `[..., T, C]`."""
        return self.party.apply({"params": weights}, own, rows)

    def answer(self, weights: Any, sent: dict[str, jax.Array]) -> jax.Array:
        """Quantiles `[..., T, J, D * K, Q]` in units of recent demand, of what all parties sent."""
        return self.holder.apply({"params": weights}, [sent[name] for name, _ in self.parties])

    def apply(
        self, params: Any, tokens: jax.Array, rows: int | None = None, method: str = "encode"
    ) -> tuple[jax.Array, jax.Array]:
        """All that is sent `[..., T, K * H]`, and the quantiles."""
        weights = params["params"]
        sent = {
            name: self.send(weights[name], tokens[..., np.asarray(columns)], rows)
            for name, columns in self.parties
        }
        together = jnp.concatenate([sent[name] for name, _ in self.parties], -1)
        return together, self.answer(weights[HOLDER], sent)
