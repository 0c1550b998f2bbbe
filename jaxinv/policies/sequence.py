"""A policy that reads what it did: a Decision Transformer in use (Chen et al. 2021).

It remembers the latest steps: what was wanted, what it saw, and what it ordered. Each is a token,
in the order wanted, seen, ordered, and a causal Transformer says the next order from the token of
what is seen now. What is wanted is a return, in the units of the log that was learned from:

- of the rest of an episode, from which every reward is taken off as it comes (`hear`); after as
  many periods as an episode of the log had, the next one begins;
- or, where nothing is taken off, a mean a period, which stays as it is.
"""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.envs.observation import Observation
from jaxinv.nets.encoder import TransformerEncoder
from jaxinv.nets.mlp import MLP
from jaxinv.policies.decode import factor, raw_of
from jaxinv.policies.learned import LearnedPolicy


class SequenceNetwork(nn.Module):
    """Tokens of returns, states and actions to the action of every state.

    Attributes:
      outputs: A, numbers of an action, each of 0 .. largest.
      encoder: a causal encoder of tokens.
      periods: of an episode, whose places have learned embeddings; 0 where the place does not
        matter.
    """

    outputs: int
    encoder: TransformerEncoder
    largest: float
    periods: int

    @nn.compact
    def __call__(
        self, wanted: jax.Array, seen: jax.Array, done: jax.Array, place: jax.Array
    ) -> jax.Array:
        """Actions `[..., T, A]` of steps, of which none sees what is later or its own action.

        Args:
          wanted, seen, done: returns `[..., T]`, states `[..., T, F]`, actions `[..., T, A]`.
          place: `[..., T]` int32 in the episode; below 0 for a blank before its first step.
        """
        exists = (place >= 0)[..., None]
        parts = [wanted[..., None], seen, done / self.largest]
        if self.periods:
            table = nn.Embed(self.periods, 8)
            when = [table(jnp.clip(place, 0, self.periods - 1))]
        else:
            when = []
        # A token has columns of its own in each kind, so the first layer of the encoder is a linear
        # embedding of each kind apart, as published.
        tokens = []
        for kind, part in enumerate(parts):
            columns = [part if at == kind else jnp.zeros_like(one) for at, one in enumerate(parts)]
            mark = jnp.broadcast_to(jnp.eye(3)[kind], (*place.shape, 3))
            tokens.append(jnp.where(exists, jnp.concatenate([*columns, mark, *when], -1), 0.0))
        tokens = jnp.stack(tokens, -2)  # [..., T, 3, C]
        tokens = tokens.reshape(*tokens.shape[:-3], -1, tokens.shape[-1])
        states = self.encoder(tokens)[..., 1::3, :]  # of what is seen
        raw = MLP((), self.outputs)(states)
        return self.largest * 0.5 * (1.0 + jnp.tanh(raw))


@struct.dataclass
class Sequence:
    """The latest K - 1 steps, and what is wanted now."""

    wanted: jax.Array  # [K - 1]
    seen: jax.Array  # [K - 1, F]
    done: jax.Array  # [K - 1, A]
    left: jax.Array  # [] return that is wanted of what is left of the episode
    place: jax.Array  # [] int32 of the coming step in the episode
    steps: jax.Array  # [] int32 so far


@dataclass(frozen=True)
class SequencePolicy(LearnedPolicy):
    """A `SequenceNetwork` as a policy. Parameters are `{"network": …, "target": [], "scale": []}`:
    what is wanted of an episode, and the reward that counts as 1.

    Attributes:
      context: K, steps that a decision sees, its own included.
      states: F, numbers of a state.
      episode: periods of an episode; 0 where what is wanted is a mean that stays.
    """

    context: int = 20
    states: int = 1
    episode: int = 0

    def init(self, key: jax.Array, observation: Observation) -> Any:
        blank = jnp.zeros((1, self.states)), jnp.zeros((1, self.decode.outputs))
        network = self.network.init(key, jnp.zeros(1), *blank, jnp.zeros(1, jnp.int32))
        return {"network": network, "target": jnp.float32(0.0), "scale": jnp.float32(1.0)}

    def encode(self, params, signals, facts):
        return self.read_rates(signals, facts).replace(state=self.tokens(signals, facts))

    def state(self, observation: Observation, context: Any) -> jax.Array:
        """What a decision sees `[F]`: the latest signals, and stock."""
        return jnp.concatenate([context.state, self.stock_features(observation, context)])

    def start(self, params, signals, facts):
        past = self.context - 1
        return Sequence(
            jnp.zeros(past), jnp.zeros((past, self.states)),
            jnp.zeros((past, self.decode.outputs)), params["target"] + 0.0, jnp.int32(0),
            jnp.int32(0),
        )  # fmt: skip

    def step(self, params, observation, context, memory, key):
        seen = self.state(observation, context)
        blank = jnp.zeros((1, self.decode.outputs))
        wanted = jnp.append(memory.wanted, memory.left)
        states = jnp.concatenate([memory.seen, seen[None]])
        back = jnp.arange(self.context) - (self.context - 1)
        place = (memory.place + back) % max(self.episode, 1)
        place = jnp.where(memory.steps + back >= 0, place, -1)
        done = jnp.concatenate([memory.done, blank])
        factors = self.network.apply(params["network"], wanted, states, done, place)[-1]
        order = self.orders(raw_of(factors), observation, context)
        chosen = self.chosen(self.decode.raw_for(order, observation, context.rates))
        return order, memory.replace(
            wanted=wanted[1:],
            seen=states[1:],
            done=jnp.concatenate([memory.done, chosen[None]])[1:],
            steps=memory.steps + 1,
        )

    def chosen(self, raw: jax.Array) -> jax.Array:
        """The action `[A]` of raw outputs: factors of 0 .. largest (`jaxinv.policies.decode`)."""
        return jnp.minimum(factor(raw), self.network.largest)

    def hear(self, params, memory, reward):
        if not self.episode:
            return memory
        place = memory.place + 1
        over = place >= self.episode
        left = jnp.where(over, params["target"], memory.left - reward / params["scale"])
        return memory.replace(left=left, place=jnp.where(over, 0, place))
