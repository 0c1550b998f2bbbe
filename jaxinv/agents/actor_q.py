"""DDPG and SAC: an actor that climbs critics of its raw outputs.

Both act by raw outputs a = mean(s) + deviation * noise, the mean bounded, which the decode turns
into orders; with critics q_i and their targets q'_i,

    DDPG   y = r + discount * min_i q'_i(s', mean'(s'))
           L_actor = -min_i q_i(s, mean(s))
    SAC    y = r + discount * (min_i q'_i(s', a') - tau log pi(a'|s'))
           L_actor = tau log pi(a|s) - min_i q_i(s, a)

Several agents have actors of their own, each of what its role sees, under critics of all that they
see and do together, which are rewarded as a team (Lowe et al. 2017); tau is then each agent's own,
and tau log pi a sum over them.

Here tau is learned so that the entropy of the policy stays at what `exploration` says (Lillicrap et
al. 2016; Fujimoto et al. 2018 for the minimum; Haarnoja et al. 2018). With `quantiles` SAC's
critics say the quantiles of the return and descend the quantile Huber loss (Dabney et al. 2018; Ma
et al. 2020): the distributional SAC that seed 003 speaks of.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxinv.agents.networks import make_policy
from jaxinv.agents.offpolicy import OffPolicy, OffPolicyConfig, squared_error
from jaxinv.nets.critics import SPAN, ActorQ


@dataclass(frozen=True)
class DDPGConfig(OffPolicyConfig):
    """Hyper-parameters beside those of every learner from a buffer (`OffPolicyConfig`).

    Attributes:
      critics: how many; 1 is DDPG as published, 2 or more take the lowest (TD3).
      exploration: log standard deviation of the noise on raw outputs.
    """

    critics: int = 2
    exploration: float = -1.5

    counts: ClassVar = (*OffPolicyConfig.counts, "critics")
    signed: ClassVar = ("exploration",)


@dataclass(frozen=True)
class SACConfig(OffPolicyConfig):
    """Hyper-parameters beside those of every learner from a buffer (`OffPolicyConfig`).

    Attributes:
      critics: how many; the lowest counts.
      quantiles: of the return that each critic tells; 0 for its mean alone.
      exploration: log standard deviation of raw outputs that the temperature steers to.
    """

    critics: int = 2
    quantiles: int = 0
    exploration: float = -1.5

    counts: ClassVar = (*OffPolicyConfig.counts, "critics")
    signed: ClassVar = ("exploration",)


@struct.dataclass
class ActorQLearner(OffPolicy):
    """What DDPG and SAC share: exploration by normal noise on raw outputs."""

    team_only: ClassVar = True

    def noise(self, key, update):
        return jax.random.normal(
            key, (self.config.rollout, self.policy.decode.outputs, self.config.envs)
        )

    def choose(self, decision, noise):
        raw = decision.mean + jnp.exp(decision.log_deviation) * noise
        return raw, raw

    def chosen(self, raw):
        return jnp.clip(raw, -SPAN, SPAN)

    def climb(self, params, state, stock, raw):
        """What the critics say of raw outputs `[n]`, the lowest; it moves the raw outputs alone."""
        fixed = jax.lax.stop_gradient(params)
        return self.apply(fixed, "judge", state, stock, raw).mean(-1).min(0)


@struct.dataclass
class DDPG(ActorQLearner):
    """DDPG as an `Agent`."""

    Config: ClassVar = DDPGConfig

    @classmethod
    def make_policy(cls, env, config):
        return make_policy(
            env, config, ActorQ, critics=config.critics, log_deviation=config.exploration
        )

    def loss(self, params, target, seen, key):
        raw = self.apply(target, "decide", seen.target_state, seen.next_stock).mean
        after = self.apply(target, "judge", seen.target_state, seen.next_stock, raw)[..., 0].min(0)
        wanted = self.bootstrapped(seen, after)
        q = self.apply(params, "judge", seen.state, seen.stock, seen.action)[..., 0]
        critic = squared_error(q, wanted[None])
        state = jax.lax.stop_gradient(seen.state)
        climbed = self.climb(
            params, state, seen.stock, self.apply(params, "decide", state, seen.stock).mean
        ).mean()
        return critic - climbed, {"value_loss": critic, "value": climbed}


@struct.dataclass
class SAC(ActorQLearner):
    """SAC as an `Agent`."""

    Config: ClassVar = SACConfig

    @classmethod
    def make_policy(cls, env, config):
        return make_policy(
            env, config, ActorQ, critics=config.critics, quantiles=max(config.quantiles, 1),
            spread=True,
            log_deviation=config.exploration,
        )  # fmt: skip

    def loss(self, params, target, seen, key):
        next_key, now_key = jax.random.split(key)
        together, temperature = (
            self.policy.owners.together,
            jnp.exp(self.apply(params, "temperature")),
        )
        weight = jax.lax.stop_gradient(temperature)
        raw, log_prob = self._sample(params, seen.next_state, seen.next_stock, next_key)
        after = self.apply(
            target, "judge", seen.target_state, seen.next_stock, raw
        )  # [critics, n, quantiles]
        after = jnp.sort(after, -1).min(0) - together(weight * log_prob)[:, None]
        wanted = self.bootstrapped(seen, after)
        told = self.apply(params, "judge", seen.state, seen.stock, seen.action)
        critic = (
            quantile_huber(told, wanted)
            if self.config.quantiles
            else squared_error(told, wanted[None])
        )
        state = jax.lax.stop_gradient(seen.state)
        raw, log_prob = self._sample(params, state, seen.stock, now_key)
        climbed = self.climb(params, state, seen.stock, raw)
        actor = (together(weight * log_prob) - climbed).mean()
        entropy = -jax.lax.stop_gradient(log_prob).mean(0)
        wished = self.policy.owners.count(raw.shape[-1]) * (
            self.config.exploration + _NORMAL_ENTROPY
        )
        metrics = {
            "value_loss": critic,
            "value": climbed.mean(),
            "entropy": together(entropy),
            "temperature": temperature.mean(),
        }
        return critic + actor + together(jnp.log(temperature) * (entropy - wished)), metrics

    def _sample(self, params, state, stock, key):
        """Raw outputs `[n, A]` of the policy and their log probability `[n]`, of agents `[n, G]`;
        gradients pass through both.
        """
        decision = self.apply(params, "decide", state, stock)
        noise = jax.random.normal(key, decision.mean.shape)
        raw = decision.mean + jnp.exp(decision.log_deviation) * noise
        return raw, -self.policy.owners.total(
            0.5 * noise**2 + decision.log_deviation + 0.5 * jnp.log(2 * jnp.pi)
        )


_NORMAL_ENTROPY = 1.4189385
"""Entropy of a standard normal."""


def quantile_huber(told: jax.Array, wanted: jax.Array) -> jax.Array:
    """The quantile Huber loss (Dabney et al. 2018, equation 10): mean over critics, transitions and
    pairs of quantiles.

    Args:
      told: `[critics, n, Q]`, entry i the quantile at level (i + 1/2) / Q.
      wanted: `[n, Q']`, equally likely values of the return.
    """
    count = told.shape[-1]
    levels = (jnp.arange(count) + 0.5) / count
    error = wanted[None, :, None, :] - told[..., None]  # [critics, n, Q, Q']
    return jnp.mean(jnp.abs(levels[:, None] - (error < 0)) * optax.huber_loss(error))
