"""Policies that are told what their costs weigh: what of a preference they see, and how one acts at
a wanted preference.
"""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from jaxinv.envs.network import COSTS
from jaxinv.envs.objectives import membership
from jaxinv.envs.observation import Facts
from jaxinv.envs.topology import Topology
from jaxinv.policies.around import Around

FAINTEST = 1e-3
"""Shares below this look alike to a policy."""


def preference_features(topology: Topology, facts: Facts) -> jax.Array:
    """What a network sees of a preference `[2 G]`: the share of each objective and its logarithm, 0
    at equal shares.
    """
    groups = membership(topology)
    relative = weight_factors(facts)[
        groups.argmax(1)
    ]  # G * share, by a part that the objective has
    return jnp.concatenate([relative / len(groups), jnp.log(jnp.maximum(relative, FAINTEST))])


def preferred_ratio(facts: Facts) -> jax.Array:
    """The critical ratio `[N, K]` at the preference: holding and shortage are as dear as it makes
    them.
    """
    factor = weight_factors(facts)
    short = facts.critical_ratio * factor[COSTS.index("shortage")]
    held = (1.0 - facts.critical_ratio) * factor[COSTS.index("holding")]
    return short / jnp.maximum(short + held, 1e-6)


def weight_factors(facts: Facts) -> jax.Array:
    """Factors on the weights `[len(COSTS)]`: 1 for an instance without a preference."""
    return jnp.ones(len(COSTS)) if facts.preference is None else facts.preference


@dataclass(frozen=True)
class AtPreference(Around):
    """A policy trained on preferences, acting at the one among its parameters whatever the instance
    charges.

    Parameters are `{"policy": those of the policy, "preference": [len(COSTS)]
    factors}` (`jaxinv.envs.objectives.factors`), so one compiled program serves every preference.
    """

    def step(self, params, observation, context, memory, key):
        return super().step(params, self._told(params, observation), context, memory, key)

    def log_prob(self, params, observation, context, memory, key):
        return super().log_prob(params, self._told(params, observation), context, memory, key)

    def _told(self, params, observation):
        return replace(
            observation, instance=observation.instance.replace(preference=params["preference"])
        )
