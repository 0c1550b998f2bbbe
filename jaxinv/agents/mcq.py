"""Mildly conservative Q-learning on a grid of orders (Lyu, Ma, Li & Lu 2022, algorithm 1).

Levels that the log never chose are not lowered as far as they go, as in CQL: they are held a margin
below the best that levels of the log are worth in the same state. With critics q_i, targets q'_i,
the policy pi = softmax(min_i q_i / temperature), and a model mu of what the log chose,

    L = trust mean_i (q_i(s, a) - y)^2 / 2
        + (1 - trust) mean_i sum_{a outside} pi(a|s) (q_i(s, a) - y')^2 / 2,
    y = r + discount * E_{a' ~ pi(s')} min_i q'_i(s', a'),
    y' = min_i max_j q_i(s, a_j) - margin,  a_1 .. a_N ~ mu(s)

for each branch of one order, of which the mean counts. A level is outside where mu(a|s) is less
than `support` times that of the likeliest. Support and margin are those of the operator that is
proved (definition 1); the published code has neither, for a density has no support to look up: it
holds all of pi at y' without a margin. With `support=1 margin=0` that is what comes out here too,
but for the likeliest level, and then what was never ordered ties with what was.

The published mu is a variational autoencoder of continuous actions; on a grid mu is a softmax that
is fitted to the log beside the critics, which can be any distribution there, so nothing would be
won by sampling one through a latent variable. For the same reason the actor needs no network: the
softmax is the policy that soft actor-critic climbs to. Nothing is cut off
at 0, as the published code does with y': rewards here are costs, and y' is mostly below 0 (methods
C.3).
"""

from dataclasses import dataclass
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from jaxinv.agents.agent import traced
from jaxinv.agents.level_grid import at_level
from jaxinv.agents.offline import OfflineConfig, OfflineLearner
from jaxinv.agents.offpolicy import squared_error
from jaxinv.errors import UserError
from jaxinv.nets.critics import GridQs


@dataclass(frozen=True)
class MCQConfig(OfflineConfig):
    """Hyper-parameters beside those of every learner on a grid (`GridConfig`).

    Attributes:
      critics: how many; the lowest counts.
      samples: N, levels drawn of what the log may have chosen.
      trust: lambda, the share of the loss that is learned from what the log did.
      temperature: of the policy, in standard deviations of a reward.
      support: share of the probability of the likeliest level below which a level is outside of
        what the log does.
      margin: what levels outside are held below the best of those inside, in the same unit.
    """

    critics: int = 2
    samples: int = 10
    trust: float = traced(0.7)
    temperature: float = traced(0.05)
    support: float = traced(0.05)
    margin: float = traced(0.2)

    counts: ClassVar = (*OfflineConfig.counts, "critics", "samples")
    shares: ClassVar = (*OfflineConfig.shares, "trust", "support")

    def __post_init__(self):
        super().__post_init__()
        if self.temperature == 0:
            raise UserError("temperature=0 makes no distribution of levels; give a small one")


@struct.dataclass
class MCQ(OfflineLearner):
    """MCQ as an `Agent`."""

    Config: ClassVar = MCQConfig
    network: ClassVar[type[nn.Module]] = GridQs

    @classmethod
    def options(cls, config):
        return {"critics": config.critics, "imitates": True}

    def loss(self, params, target, seen, key):
        after = self.apply(target, "judge", seen.target_state, seen.next_stock).min(0)
        wanted = self.bootstrapped(seen, (self.policy_of(after) * after).sum(-1).mean(-1))
        values = self.apply(params, "judge", seen.state, seen.stock)  # [critics, n, branches, G]
        inside = squared_error(at_level(values, seen.action[None]), wanted[:, None])

        state = jax.lax.stop_gradient(seen.state)
        logits = self.apply(params, "imitate", state, seen.stock)  # [n, branches, G]
        imitation = -at_level(jax.nn.log_softmax(logits), seen.action).mean()
        mu = jax.lax.stop_gradient(jax.nn.softmax(logits))
        outside = mu < self.numbers["support"] * mu.max(-1, keepdims=True)
        likely = self.policy_of(jax.lax.stop_gradient(values.min(0))) * outside
        held = pseudo_target(values, logits, key, self.config.samples) - self.numbers["margin"]
        strayed = 0.5 * (likely * jnp.square(values - held[..., None])).sum(-1).mean()

        trust = self.numbers["trust"]
        loss = trust * inside + (1 - trust) * strayed + imitation
        return loss, {
            "value_loss": inside, "value": held.mean(), "outside_loss": strayed,
            "imitation_loss": imitation,
        }  # fmt: skip

    def policy_of(self, values: jax.Array) -> jax.Array:
        """Probabilities of levels `[..., G]`, of their values."""
        return jax.nn.softmax(values / self.numbers["temperature"])


def pseudo_target(values: jax.Array, logits: jax.Array, key: jax.Array, samples: int) -> jax.Array:
    """y' `[n, branches]` of values `[critics, n, branches, G]` and logits of mu: the best of some
    levels that the log may have chosen, by the critic that says the least of it. Any number, above
    0 or below; no gradient passes.
    """
    drawn = jax.random.categorical(key, logits, shape=(samples, *logits.shape[:-1]))
    found = jax.vmap(lambda index: at_level(values, index[None]))(
        drawn
    )  # [N, critics, n, branches]
    return jax.lax.stop_gradient(found.max(0).min(0))
