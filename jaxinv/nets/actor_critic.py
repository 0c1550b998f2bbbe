"""The networks of learned policies: encoder, actor, critic, forecast and stock-out heads (methods
D.2).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.nets.mlp import MLP

QUANTILES = (0.1, 0.5, 0.9)
"""Levels of the forecast head."""


@struct.dataclass
class Decision:
    """What the heads say of one decision; None where a network has no such head."""

    mean: jax.Array  # [..., A] raw outputs, the mode of the policy
    log_deviation: jax.Array | None = None  # [A]
    value: jax.Array | None = None  # [...]
    stockout: jax.Array | None = None  # [...] logit of a stock-out within the next coverage
    q: jax.Array | None = (
        None  # [..., A, levels] value of each level of a grid, for each order apart
    )


class Actor(nn.Module):
    """Encoder and actor; stock enters after the encoder, so a trace is encoded once whatever is
    ordered.

    Attributes:
      outputs: A, raw outputs of the actor.
      series: D * K demand series.
      encoder: maps signals `[..., T, C]` to states, or None for a policy that sees stock alone.
      hidden: widths of the perceptrons.
      activation: of them.
      horizon: periods that the forecast head looks ahead; 0 for no forecast.
    """

    outputs: int
    series: int
    encoder: nn.Module | None
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    horizon: int = 0

    def setup(self):
        self.actor = MLP(self.hidden, self.outputs, self.activation)
        if self.horizon:
            self.forecast = nn.Dense(self.horizon * self.series * len(QUANTILES))

    def __call__(self, signals: jax.Array, stock: jax.Array) -> Decision:
        """Everything once, for initialisation."""
        states, _ = self.encode(signals)
        return self.decide(None if states is None else states[..., -1, :], stock)

    def encode(
        self, signals: jax.Array, rows: int | None = None
    ) -> tuple[jax.Array | None, jax.Array | None]:
        """Signals `[..., T, C]` to states `[..., T, H]` and demand quantiles
        `[..., T, horizon, D * K, Q]`.

        With `rows` those of the latest rows alone; for some encoders that is less work.
        Quantiles are in the unit of recent demand, never negative, and rise with their level.
        """
        if self.encoder is None:
            return None, None
        states = self.encoder(signals, rows)
        if not self.horizon:
            return states, None
        steps = nn.softplus(self.forecast(states))
        steps = steps.reshape(*states.shape[:-1], self.horizon, self.series, len(QUANTILES))
        return states, jnp.cumsum(steps, -1)

    def decide(self, state: jax.Array | None, stock: jax.Array) -> Decision:
        """States `[..., H]` and stock features `[..., F]` to a decision."""
        return Decision(self.actor(head_input(state, stock)))


class ActorCritic(Actor):
    """An actor that explores, a critic of states, a stock-out head, and values of actions on a
    grid.

    Attributes:
      log_deviation: first log standard deviation of the raw outputs.
      levels: of the grid that actions are valued on; 0 for no such head.
    """

    log_deviation: float = -1.5
    levels: int = 0

    def setup(self):
        super().setup()
        self.critic = MLP(self.hidden, 2, self.activation)
        if self.levels:
            self.q = MLP(self.hidden, self.outputs * self.levels, self.activation)
        self.spread = self.param(
            "log_deviation", nn.initializers.constant(self.log_deviation), (self.outputs,)
        )

    def decide(self, state, stock):
        judged, q = self.critic(head_input(state, stock)), None
        if self.levels:
            q = self.q(head_input(state, stock)).reshape(
                *judged.shape[:-1], self.outputs, self.levels
            )
        mean = super().decide(state, stock).mean
        return Decision(mean, jnp.clip(self.spread, -5.0, 1.0), judged[..., 0], judged[..., 1], q)


def head_input(state: jax.Array | None, stock: jax.Array) -> jax.Array:
    """What a head sees: the encoded state, where there is one, and the stock features."""
    return stock if state is None else jnp.concatenate([state, stock], -1)
