"""Policies around another one: what they change is theirs, all else that of the policy within."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

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


@dataclass(frozen=True)
class Varied(Around):
    """A policy that strays from the one within, for logs that shall show what other orders bring:
    each order is multiplied by exp(spread z), with z standard normal.

    Parameters are `{"policy": …, "spread": [] above 0}`. What is drawn is the logarithm of the
    factors.
    """

    draws = True

    def step(self, params, observation, context, memory, key):
        own, within = jax.random.split(key)
        order, memory = self.policy.step(params["policy"], observation, context, memory, within)
        return order * jnp.exp(params["spread"] * self._normal(own)), memory

    def log_prob(self, params, observation, context, memory, key):
        own, within = jax.random.split(key)
        density = jnp.sum(
            jax.scipy.stats.norm.logpdf(self._normal(own)) - jnp.log(params["spread"])
        )
        if not self.policy.draws:
            return density
        return density + self.policy.log_prob(
            params["policy"], observation, context, memory, within
        )

    def _normal(self, key):
        return jax.random.normal(key, (self.topology.edges, self.topology.products))
