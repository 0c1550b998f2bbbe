"""Networks with parts that a switch turns off: the ablations of D3S-CI as numbers of one network
(seed 000, section 4.5).

A switch is a number 0 or 1 in the collection "switches" of a network's parameters, beside what is
learned. So variants are runs of one program, they are saved and played as any other parameters are,
and no gradient moves them.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxinv.nets.actor_critic import ActorCritic

SWITCHES = "switches"
"""The collection of parameters that holds them."""

TUNING = 10.0
"""A level is this many times its parameter: tuned numbers are few and have far to go where weights
are many and move little.
"""


class SwitchedEncoder(nn.Module):
    """An encoder; off, another one in its place.

    Attributes:
      whole: with the switch "state" on.
      last: with it off: a perceptron of the last token, for no state representation.
    """

    whole: nn.Module
    last: nn.Module

    def setup(self):
        self.state = self.variable(SWITCHES, "state", jnp.ones, ())

    @property
    def memory(self) -> int:
        return self.whole.memory

    def __call__(self, signals: jax.Array, rows: int | None = None) -> jax.Array:
        return jnp.where(_on(self.state), self.whole(signals, rows), self.last(signals, rows))


class SwitchedActorCritic(ActorCritic):
    """An actor-critic; with the switch "core" off its raw outputs are a few learned levels, the
    same at every decision.
    """

    def setup(self):
        super().setup()
        self.core = self.variable(SWITCHES, "core", jnp.ones, ())
        self.level = self.param("level", nn.initializers.zeros, (self.outputs,))

    def decide(self, state, stock):
        decision = super().decide(state, stock)
        return decision.replace(mean=jnp.where(_on(self.core), decision.mean, TUNING * self.level))


def _on(switch) -> jax.Array:
    return jax.lax.stop_gradient(switch.value) > 0
