"""Networks that judge actions: actors with critics of state and action, and values on a grid of
actions.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.nets.actor_critic import Actor, Decision, head_input
from jaxinv.nets.mlp import MLP

SPAN = 3.0
"""Raw outputs lie within this of 0: factors of 0.08 to 3.6 on what an untrained network orders, see
`decode`.
"""


class ActorQ(Actor):
    """An actor with bounded raw outputs, and critics of raw outputs.

    Attributes:
      critics: how many there are, each with parameters of its own.
      quantiles: numbers that each critic says of the return: 1 for its mean, more for its
        distribution.
      spread: whether the actor gives each decision a log standard deviation of its own.
      log_deviation: what that one starts at and stays within 2 of; without, that of all.
    """

    critics: int = 2
    quantiles: int = 1
    spread: bool = False
    log_deviation: float = -1.5

    def setup(self):
        super().setup()
        self.q = ensemble(self)
        if self.spread:
            self.deviation = MLP(self.hidden, self.outputs, self.activation)
            self.log_temperature = self.param("log_temperature", nn.initializers.constant(-3.0), ())

    def __call__(self, signals, stock):
        states, _ = self.encode(signals)
        state = None if states is None else states[..., -1, :]
        decision = self.decide(state, stock)
        self.judge(state, stock, decision.mean)
        return decision

    def decide(self, state, stock):
        mean = SPAN * jnp.tanh(super().decide(state, stock).mean / SPAN)
        if not self.spread:
            return Decision(mean, jnp.full(self.outputs, self.log_deviation))
        # bounded softly, for a clipped one would have no gradient to come back by
        return Decision(
            mean,
            self.log_deviation + 2.0 * jnp.tanh(self.deviation(head_input(state, stock)) / 2.0),
        )

    def judge(self, state: jax.Array | None, stock: jax.Array, raw: jax.Array) -> jax.Array:
        """What each critic says of raw outputs `[..., A]`: `[critics, ..., quantiles]`."""
        return self.q(jnp.concatenate([head_input(state, stock), raw], -1))

    def temperature(self) -> jax.Array:
        """Log of the weight of entropy."""
        return self.log_temperature


def ensemble(network: ActorQ) -> nn.Module:
    """The critics of a network: what is judged `[..., C]` to `[critics, ..., quantiles]`."""
    critics = _side_by_side(MLP, network.critics)
    return critics(network.hidden, network.quantiles, network.activation)


def _side_by_side(kind: type[nn.Module], count: int, **options: Any) -> type[nn.Module]:
    """Several networks of a kind, with parameters of their own, that all read the same."""
    return nn.vmap(
        kind,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=None,
        axis_size=count,
        **options,
    )


class GridQ(Actor):
    """Values of every level of a grid, for each of several orders that are chosen apart (branches).

    Value and advantage are separate streams (dueling, Wang et al. 2016), the value shared by all
    branches (branching, Tavakoli et al. 2018): q_b(s, a) = v(s) + g_b(s, a) - mean_a g_b(s, a). The
    advantages of a branch are a cubic spline of the level, its weights told by the network.

    Attributes:
      levels: G, actions of each branch; `outputs` is the number of branches times G.
      knots: pieces of the spline, of equal length.
    """

    levels: int = 2
    knots: int = 1

    def setup(self):
        self.value = MLP(self.hidden, 1, self.activation)
        self.weights = MLP(
            self.hidden, self.outputs // self.levels * (self.knots + 3), self.activation
        )

    def decide(self, state, stock):
        weights = self.weights(head_input(state, stock))
        gain = weights.reshape(*weights.shape[:-1], -1, self.knots + 3) @ cubic_splines(
            self.knots, self.levels
        )
        q = self.value(head_input(state, stock))[..., None] + gain - gain.mean(-1, keepdims=True)
        return Decision(q.reshape(*q.shape[:-2], -1))


def cubic_splines(knots: int, levels: int) -> np.ndarray:
    """Cubic B-splines on `knots` pieces of equal length, at levels evenly from end to end:
    `[knots + 3, levels]`.
    """
    middles = np.arange(knots + 3) - 1.0
    distance = np.abs(np.linspace(0.0, knots, levels) - middles[:, None])
    near, far = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance) ** 3 / 6
    return np.where(distance < 1, near, np.maximum(far, 0.0)).astype(np.float32)


class GridQs(Actor):
    """Several `GridQ` behind one encoder, of which the lowest value of each level decides; and,
    where wanted, one network more that says what others chose.

    Attributes:
      levels, knots: see `GridQ`.
      critics: how many there are, each with parameters of its own.
      imitates: whether there is a head of what others chose.
    """

    levels: int = 2
    knots: int = 1
    critics: int = 2
    imitates: bool = False

    def setup(self):
        options = dict(
            outputs=self.outputs, series=self.series, encoder=None, hidden=self.hidden,
            activation=self.activation, levels=self.levels, knots=self.knots,
        )  # fmt: skip
        self.q = _side_by_side(GridQ, self.critics, methods=["decide"])(**options)
        if self.imitates:
            self.others = GridQ(**options)

    def __call__(self, signals, stock):
        states, _ = self.encode(signals)
        state = None if states is None else states[..., -1, :]
        if self.imitates:
            self.imitate(state, stock)
        return self.decide(state, stock)

    def decide(self, state, stock):
        values = self.judge(state, stock).min(0)
        return Decision(values.reshape(*values.shape[:-2], -1))

    def judge(self, state: jax.Array | None, stock: jax.Array) -> jax.Array:
        """What each critic says of each level: `[critics, ..., branches, levels]`."""
        return self._by_level(self.q.decide(state, stock).mean)

    def imitate(self, state: jax.Array | None, stock: jax.Array) -> jax.Array:
        """Logits of the level that others chose `[..., branches, levels]`."""
        return self._by_level(self.others.decide(state, stock).mean)

    def _by_level(self, values):
        return values.reshape(*values.shape[:-1], -1, self.levels)
