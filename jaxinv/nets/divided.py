"""Several agents as one network: the same modules over an axis of agents, each with its own inputs
and outputs.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.nets.actor_critic import Decision, head_input
from jaxinv.nets.critics import ensemble


class Divided(nn.Module):
    """G agents of one kind, side by side. Outputs are those of the joint decision, in its order.

    Attributes:
      agent: the network of one agent (an `Actor`).
      agents: G.
      columns: of the signals, those that each agent reads; -1 reads zero. All have as many.
      places: where among the outputs of all agents, one agent after another, each joint output is.
      shared: all agents have the same parameters; else each its own, with a leading axis `[G]`.
      team_critic: of what all of them see together `[..., G, F]`, in the place of their own.
    """

    agent: nn.Module
    agents: int
    columns: tuple[tuple[int, ...], ...]
    places: tuple[int, ...]
    shared: bool = False
    team_critic: nn.Module | None = None

    @property
    def horizon(self) -> int:
        return self.agent.horizon

    @property
    def encoder(self) -> nn.Module | None:
        return self.agent.encoder

    def __call__(self, signals: jax.Array, stock: jax.Array) -> Decision:
        """Everything once, for initialisation."""
        states, _ = self.encode(signals)
        return self.decide(None if states is None else states[..., -1, :, :], stock)

    def encode(
        self, signals: jax.Array, rows: int | None = None
    ) -> tuple[jax.Array | None, jax.Array | None]:
        """Signals `[..., T, C]` to states `[..., T, G, H]` and demand quantiles
        `[..., T, horizon, G * D * K, Q]`.
        """
        if self.agent.encoder is None:
            return None, None
        padded = jnp.concatenate([signals, jnp.zeros_like(signals[..., :1])], -1)
        own = jnp.moveaxis(padded[..., np.asarray(self.columns)], -2, 0)  # [G, ..., T, C of one]
        states, forecast = self._each(lambda agent, signals: agent.encode(signals, rows), own)
        if forecast is not None:
            forecast = jnp.moveaxis(forecast, 0, -3)
            forecast = forecast.reshape(*forecast.shape[:-3], -1, forecast.shape[-1])
        return jnp.moveaxis(states, 0, -2), forecast

    def decide(self, state: jax.Array | None, stock: jax.Array) -> Decision:
        """States `[..., G, H]` and stock features `[..., G, F]` to a joint decision, its values by
        agent `[..., G]`.
        """
        told = self._each(
            lambda agent, *inputs: agent.decide(*inputs), agents_first(state), agents_first(stock)
        )
        value = None if told.value is None else jnp.moveaxis(told.value, 0, -1)
        if self.team_critic is not None:
            whole = self.team_critic(head_input(state, stock))[..., None]
            value = jnp.broadcast_to(whole, value.shape)
        return Decision(
            mean=self._joint(told.mean),
            log_deviation=None if told.log_deviation is None else self._joint(told.log_deviation),
            value=value,
            stockout=None if told.stockout is None else jnp.moveaxis(told.stockout, 0, -1),
            q=(
                None
                if told.q is None
                else jnp.moveaxis(self._joint(jnp.moveaxis(told.q, -1, 1)), 0, -1)
            ),
        )

    def _each(self, function, *inputs):
        """A function of one agent and its inputs, of all; a leading axis of agents on inputs and
        outputs.
        """
        axis = None if self.shared else 0
        side_by_side = nn.vmap(
            function,
            variable_axes={"params": axis},
            split_rngs={"params": not self.shared},
            axis_size=self.agents,
        )
        return side_by_side(self.agent, *inputs)

    def _joint(self, outputs):
        """Outputs `[G, ..., A of one]` as those of the joint decision `[..., A]`."""
        outputs = jnp.moveaxis(outputs, 0, -2)
        outputs = outputs.reshape(*outputs.shape[:-2], -1)
        if self.places == tuple(range(outputs.shape[-1])):
            return outputs
        return outputs[..., np.asarray(self.places)]


class DividedActorQ(Divided):
    """Agents with the actor of an `ActorQ` each, and its critics of what all of them see and do
    together.
    """

    def setup(self):
        self.q = ensemble(self.agent)

    def __call__(self, signals, stock):
        states, _ = self.encode(signals)
        state = None if states is None else states[..., -1, :, :]
        decision = self.decide(state, stock)
        self.judge(state, stock, decision.mean)
        return decision

    def judge(self, state: jax.Array | None, stock: jax.Array, raw: jax.Array) -> jax.Array:
        """What each critic says of joint raw outputs `[..., A]`: `[critics, ..., quantiles]`."""
        seen = [part.reshape(*part.shape[:-2], -1) for part in (state, stock) if part is not None]
        return self.q(jnp.concatenate([*seen, raw], -1))

    def temperature(self) -> jax.Array:
        """Log of the weight of each agent's entropy `[G]`."""
        return self._each(lambda agent: agent.temperature())


def agents_first(inputs: jax.Array | None) -> jax.Array | None:
    """Inputs `[..., G, F]` with the axis of agents first."""
    return None if inputs is None else jnp.moveaxis(inputs, -2, 0)
