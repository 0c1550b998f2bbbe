"""What a policy knows of demand and stock-outs to come, read from what it sees.

A policy that forecasts, or whose network has a stock-out head, is asked. For any other a linear
probe is fitted to its frozen features (methods C, common rule c): of a network its state and stock
features, of a rule what a network without an encoder would see.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.network import InstanceParams
from jaxinv.evaluation.rollout import BATCH, begin
from jaxinv.evaluation.trajectories import Trajectories, record
from jaxinv.nets.actor_critic import Actor, ActorCritic
from jaxinv.policies.decode import Decode
from jaxinv.policies.learned import LearnedPolicy
from jaxinv.policies.policy import Policy

RIDGE = 1e-2
"""Penalty of a probe, per sample and squared weight of a standardised feature."""


class Knowledge(NamedTuple):
    """What there is to read at each decision, `[T, ..., B]`."""

    features: np.ndarray  # [T, F, B]
    unit: np.ndarray  # [T, B] recent demand, of all places
    forecast: np.ndarray | None  # [T, B] demand of the coming period
    stockout: np.ndarray | None  # [T, B] logit


def play_recorded(
    env: InventoryNetwork, instances: InstanceParams, policy: Policy, params: Any, key: jax.Array,
    batch: int, periods: int, axis: int | None,
) -> Trajectories:  # fmt: skip
    """Fresh episodes of a policy, all that happened kept (`record`).

    Args:
      key: of the noise; that of `held_out_groups` gives its worlds.
      instances: of the batch, or the one where `axis` is None.
    """
    episodes = begin(env, key, instances, batch, axis)
    return record(env, instances, policy, params, episodes, periods, axis=axis)[1]


def knowledge(env: InventoryNetwork, policy: Policy, params: Any, seen: Trajectories) -> Knowledge:
    """What a policy knows along trajectories, its own or another's."""
    found = jax.device_get(_knowledge(env, policy, params, seen))
    return Knowledge(*found)


@partial(jax.jit, static_argnums=(0, 1))
def _knowledge(env, policy, params, seen):
    networked = isinstance(policy, LearnedPolicy)
    reader = policy if networked else _plain(env)
    has_head = networked and isinstance(policy.network, ActorCritic)

    def of_one(signals, facts, observation):
        def of_decisions(contexts):
            return jax.tree.map(lambda rows: rows[env.history - 1 :], contexts)

        own = of_decisions(policy.encode(params, signals[:-1], facts))
        read = own if networked else of_decisions(reader.read_rates(signals[:-1], facts))
        latest = reader.tokens(signals, facts)[env.history - 1 : -1]

        def at(observation, own, read, latest):
            observation = observation.replace(instance=facts)
            stock = reader.stock_features(observation, read)
            state = latest if read.state is None else read.state
            features = jnp.concatenate([state.reshape(-1), stock.reshape(-1)])
            forecast = policy.predict(own).sum() if policy.forecasts else None
            stockout = policy.decide(params, observation, own).stockout if has_head else None
            return features, read.recent.sum(), forecast, stockout

        now = jax.tree.map(lambda rows: rows[:-1], observation)
        return jax.vmap(at)(now, own, read, latest)

    return jax.vmap(of_one, BATCH, BATCH)(seen.signals, seen.facts, seen.observation)


def _plain(env: InventoryNetwork) -> LearnedPolicy:
    """A policy that sees stock and recent demand alone; it has no parameters to read them."""
    return LearnedPolicy(env.topology, Actor(1, 1, None), Decode(env.topology), env.history)


class Probe(NamedTuple):
    """A linear map of standardised features."""

    centre: np.ndarray  # [F]
    spread: np.ndarray  # [F]
    weights: np.ndarray  # [1 + F], the constant first

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """`[T, F, B]` to `[T, B]`."""
        flat = (np.moveaxis(features, 1, -1) - self.centre) / self.spread
        return self.weights[0] + flat @ self.weights[1:]


def fit_linear(features: np.ndarray, target: np.ndarray) -> Probe:
    """Ridge regression of targets `[T, B]` on features `[T, F, B]`."""
    centre, spread, design = _design(features)
    penalty = _penalty(design)
    weights = np.linalg.solve(design.T @ design + penalty, design.T @ target.reshape(-1))
    return Probe(centre, spread, weights)


def fit_logistic(features: np.ndarray, label: np.ndarray, steps: int = 20) -> Probe:
    """Logistic regression of labels `[T, B]` with a ridge, by Newton's method; its value is the
    logit.
    """
    centre, spread, design = _design(features)
    label, penalty = label.reshape(-1).astype(float), _penalty(design)
    weights = np.zeros(design.shape[1])
    for _ in range(steps):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        slope = design.T @ (label - chance) - penalty @ weights
        curve = (design * (chance * (1 - chance))[:, None]).T @ design + penalty
        weights = weights + np.linalg.solve(curve, slope)
    return Probe(centre, spread, weights)


def _design(features):
    flat = np.moveaxis(np.asarray(features, float), 1, -1)
    flat = flat.reshape(-1, flat.shape[-1])
    centre, spread = flat.mean(0), flat.std(0)
    spread = np.where(spread > 1e-6, spread, 1.0)
    design = (flat - centre) / spread
    return centre, spread, np.concatenate([np.ones((len(flat), 1)), design], 1)


def _penalty(design):
    samples, size = design.shape
    return RIDGE * samples * np.diag(np.append(1e-6, np.ones(size - 1)))
