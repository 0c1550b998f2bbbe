"""Policies around another one: what they change is theirs, all else that of the policy within."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.policies.policy import Policy


@dataclass(frozen=True)
class Around(Policy):
    """A policy whose parameters are `{"policy": those of the policy within, …}`.

    Attributes:
      policy: the one within.
    """

    policy: Policy

    @property
    def wants_window(self) -> bool:
        return self.policy.wants_window

    @property
    def forecasts(self) -> bool:
        return self.policy.forecasts

    @property
    def remembers(self) -> bool:
        return self.policy.remembers

    @property
    def draws(self) -> bool:
        return self.policy.draws

    def predict(self, context: Any) -> jax.Array:
        return self.policy.predict(context)

    def encode(self, params, signals, facts):
        return self.policy.encode(params["policy"], signals, facts)

    def start(self, params, signals, facts):
        return self.policy.start(params["policy"], signals, facts)

    def step(self, params, observation, context, memory, key):
        return self.policy.step(params["policy"], observation, context, memory, key)

    def log_prob(self, params, observation, context, memory, key):
        return self.policy.log_prob(params["policy"], observation, context, memory, key)

    def hear(self, params, memory, reward):
        return self.policy.hear(params["policy"], memory, reward)


@dataclass(frozen=True)
class Multiplied(Around):
    """A policy that strays from the one within, for logs that shall show what other orders bring:
    each order is multiplied by a factor of its own, which is drawn anew in every period.
    """

    draws = True

    def factors(self, params: Any, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Factors `[E, K]`, and the log density `[]` of what was drawn for them."""
        raise NotImplementedError

    def step(self, params, observation, context, memory, key):
        own, within = jax.random.split(key)
        order, memory = self.policy.step(params["policy"], observation, context, memory, within)
        return order * self.factors(params, own)[0], memory

    def log_prob(self, params, observation, context, memory, key):
        own, within = jax.random.split(key)
        density = self.factors(params, own)[1]
        if not self.policy.draws:
            return density
        return density + self.policy.log_prob(
            params["policy"], observation, context, memory, within
        )

    @property
    def _shape(self):
        return self.topology.edges, self.topology.products


@dataclass(frozen=True)
class Varied(Multiplied):
    """Factors exp(spread z), with z standard normal: near the policy within.

    Parameters are `{"policy": …, "spread": [] above 0}`. What is drawn is the logarithm of the
    factors.
    """

    def factors(self, params, key):
        normal = jax.random.normal(key, self._shape)
        density = jnp.sum(jax.scipy.stats.norm.logpdf(normal) - jnp.log(params["spread"]))
        return jnp.exp(params["spread"] * normal), density


@dataclass(frozen=True)
class Scattered(Multiplied):
    """Factors anywhere between 0 and 2: around a constant order, orders by chance."""

    def factors(self, params, key):
        density = -np.prod(self._shape) * np.log(2.0)
        return 2.0 * jax.random.uniform(key, self._shape), jnp.float32(density)
