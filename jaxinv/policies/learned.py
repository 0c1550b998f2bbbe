"""A network as a policy: what it is shown, and how its outputs become orders."""

from dataclasses import dataclass, replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxinv.envs import views
from jaxinv.envs.network import Action
from jaxinv.envs.observation import Facts, Observation
from jaxinv.policies.decode import Decode
from jaxinv.policies.owners import Owners
from jaxinv.policies.policy import Policy
from jaxinv.policies.preference import preference_features, preferred_ratio
from jaxinv.policies.sight import ALL, EDGES, ENDS, NODES, Sight

STOCK_BUCKETS = 8
"""Most pipeline slots a network sees one by one; longer pipelines are added up in stretches of
equal length.
"""


@struct.dataclass
class Context:
    """What a decision takes from the signals; a leading time axis on every array."""

    state: jax.Array | None  # [H]
    forecast: (
        jax.Array | None
    )  # [horizon, D * K, Q] in units of `recent`, the series of one agent after another's
    # [D, K] mean demand of the window, held off zero; [G, D, K] where agents see different demand
    recent: jax.Array
    rates: jax.Array  # [E, K, RATES] see `decode`
    partners: Any = None  # what a rule reads that decides for some agents


@dataclass(frozen=True)
class LearnedPolicy(Policy):
    """An `ActorCritic` that acts by its mode.

    Attributes:
      network: the module; its parameters are the policy's.
      decode: from raw outputs to orders.
      history: W, periods of signals that a decision may see.
      window_by_window: encode the window at every decision instead of the whole trace once; the
        same decisions, slower.
      preferences: whether it sees the preference among objectives.
      columns: of the signals that its encoder reads; None for all.
      answers: it decides by what was asked for last: the near past is one period, and it sees the
        orders that came in, where the network remembers them.
    """

    network: nn.Module
    decode: Decode
    history: int = 1
    window_by_window: bool = False
    preferences: bool = False
    columns: tuple[int, ...] | None = None
    answers: bool = False

    @property
    def wants_window(self) -> bool:
        return self.window_by_window

    def init(self, key: jax.Array, observation: Observation) -> Any:
        """Parameters of a fresh network for observations of this shape, signals included."""
        tokens = self.tokens(observation.signals, observation.instance)
        blank = self.read_rates(observation.signals, observation.instance)
        stock = self.stock_features(observation, jax.tree.map(lambda leaf: leaf[-1], blank))
        return self.network.init(key, tokens, stock)

    def tokens(self, signals: jax.Array, facts: Facts) -> jax.Array:
        """Signals `[T, S]` as the network reads them: demand as log(1 + demand / typical demand),
        the rest as it is.
        """
        scale = facts.scale[np.asarray(self.topology.demand_nodes)].reshape(-1)
        demand, known = signals[:, : scale.shape[0]], signals[:, scale.shape[0] :]
        tokens = jnp.concatenate([jnp.log1p(demand / scale), known], -1)
        return tokens if self.columns is None else tokens[:, np.asarray(self.columns)]

    def encode(self, params, signals, facts):
        """Contexts of every period of a trace; row t of the signals is the latest that context t
        saw.
        """
        if self.window_by_window:
            return None
        states, forecast = self.network.apply(params, self.tokens(signals, facts), method="encode")
        return self._context(states, forecast, signals, facts)

    def read_rates(self, signals: jax.Array, facts: Facts) -> Context:
        """Contexts `[T, ...]` of signals `[T, S]` without what an encoder makes of them."""
        return self._context(None, None, signals, facts)

    def encode_decisions(
        self, params, tokens: jax.Array
    ) -> tuple[jax.Array | None, jax.Array | None]:
        """States `[B, T, H]` and forecasts `[B, T, ...]` of T decisions from tokens `[B, W + T, C]`
        (`tokens`).

        The last row of the tokens is that of the decision after the last.
        """
        if not self.window_by_window:
            encoded = self.network.apply(params, tokens, method="encode")
            return jax.tree.map(lambda leaf: leaf[:, self.history - 1 : -1], encoded)
        starts = np.arange(tokens.shape[1] - self.history)
        windows = tokens[:, starts[:, None] + np.arange(self.history)]  # [B, T, W, C]
        states, forecast = self.network.apply(params, windows, rows=1, method="encode")
        return jax.tree.map(lambda leaf: leaf[:, :, -1], (states, forecast))

    def context(self, params, observation: Observation, context: Context | None) -> Context:
        """The context of a decision: the one that is given, or that of the observation's own
        window.
        """
        if context is not None:
            return context
        whole = replace(self, window_by_window=False)
        contexts = whole.encode(params, observation.signals, observation.instance)
        return jax.tree.map(lambda leaf: leaf[-1], contexts)

    def act(self, params, observation, context):
        context = self.context(params, observation, context)
        raw = self.decide(params, observation, context).mean
        return self.orders(raw, observation, context)

    def orders(
        self, raw: jax.Array, observation: Observation, context: Context
    ) -> jax.Array | Action:
        """What raw outputs order, whether they are the mode's or varied."""
        return self.decode(raw, observation, context.rates)

    @property
    def sight(self) -> Sight:
        """What decisions are made from."""
        return Sight(self.topology)

    @property
    def owners(self) -> Owners:
        """The agent of each raw output."""
        return Owners()

    @property
    def forecasts(self) -> bool:
        return self.network.horizon > 0 and not self.window_by_window

    def predict(self, context: Context):
        """The median of the forecast head."""
        return context.recent * context.forecast[0, :, 1].reshape(context.recent.shape)

    def decide(self, params, observation: Observation, context: Context):
        """What the heads say (`Decision`) of one observation."""
        return self.network.apply(
            params, context.state, self.stock_features(observation, context), method="decide"
        )

    def stock_features(self, observation: Observation, context: Context) -> jax.Array:
        """Stock, pipeline and position in units of recent demand, and the facts of the instance:
        `[F]`, or `[G, F]` of agents.
        """
        topology, facts, sight = self.topology, observation.instance, self.sight
        rate, edge_rate = sight.rates(context.recent)
        cover, longest = sight.coverage(facts)
        pipeline = sight.edges(_bucket(observation.pipeline))
        position = sight.position(observation) / (edge_rate * cover[:, None])
        unit, edge_unit = sight.times(jnp.sqrt(longest), rate, edge_rate)
        parts = [
            (
                NODES,
                sight.nodes(observation.on_hand)
                / (unit if topology.ages == 1 else unit[..., None]),
            ),
            (EDGES, pipeline / edge_unit[..., None]),
            (ENDS, position - 1.0),
            (NODES, jnp.log(rate / jnp.maximum(sight.nodes(facts.scale), 1e-6) + 1e-3)),
            (
                NODES,
                sight.nodes(preferred_ratio(facts) if self.preferences else facts.critical_ratio),
            ),
            (ENDS, cover / longest),
        ]
        if observation.backorder is not None:
            parts.append((NODES, sight.nodes(observation.backorder) / unit))
        if observation.owed is not None:
            parts.append((EDGES, sight.edges(observation.owed) / edge_unit))
        if topology.order_delays:  # its source does not know of such an order yet
            parts.append((ENDS, sight.edges(views.travelling(topology, observation)) / edge_unit))
        if self.answers and topology.internal and views.remembered(topology) > 0:
            came = sight.nodes(views.received(topology, observation))
            parts.append((NODES, came / rate[..., None]))
        if observation.booked is not None:
            parts.append((NODES, sight.nodes(observation.booked) / unit))
        if observation.goodwill is not None:
            parts.append((NODES, jnp.log(sight.nodes(observation.goodwill))))
        if topology.has("review"):
            parts.append(
                (ENDS, sight.edges((observation.time % facts.review_period) / facts.review_period))
            )
        if observation.returns is not None:
            parts.append((NODES, sight.nodes(observation.returns) / rate))
        if facts.shelf_life is not None:  # 0 for what keeps for ever
            shares = jnp.where(facts.shelf_life > 0, 1.0 / jnp.maximum(facts.shelf_life, 1.0), 0.0)
            parts.append((NODES, sight.nodes(shares)))
        if self.preferences:
            parts.append((ALL, preference_features(topology, facts)))
        return sight.features(parts)

    def _context(self, states, forecast, signals, facts) -> Context:
        """Adds demand rates to encoded states."""
        places = np.asarray(self.topology.demand_nodes)
        typical = facts.scale[places]
        demand = signals[:, : typical.size].reshape(-1, *typical.shape)
        far = (
            _trailing_mean(demand, self.history) + 0.05 * typical
            if self.history > 1
            else typical + 0.0 * demand
        )
        near = _trailing_mean(demand, 1 if self.answers else max(self.history // 4, 1))
        near, far = self.sight.known(near, typical), self.sight.known(far, typical)
        ahead = far
        if forecast is not None:
            median = jax.lax.stop_gradient(forecast[..., 1].mean(-2))  # over the horizon
            ahead = far * median.reshape(far.shape)
        rates = jnp.stack(
            [near, far, ahead, jnp.broadcast_to(typical, far.shape)], -1
        )  # [T, D, K, RATES]

        return Context(states, forecast, far, jax.vmap(self.sight.along_edges)(rates))


def _trailing_mean(series: jax.Array, window: int) -> jax.Array:
    """Mean of the latest `window` rows at every row `[T, ...]`; fewer at the start."""
    total = jax.lax.reduce_window(
        series, 0.0, jax.lax.add, (window,) + (1,) * (series.ndim - 1), (1,) * series.ndim,
        [(window - 1, 0)] + [(0, 0)] * (series.ndim - 1),
    )  # fmt: skip
    count = np.minimum(np.arange(series.shape[0]) + 1, window).astype(np.float32)
    return total / count.reshape(-1, *(1,) * (series.ndim - 1))


def _bucket(pipeline: jax.Array) -> jax.Array:
    """Adds up pipeline slots `[E, K, L - 1]` so that at most `STOCK_BUCKETS` are left."""
    slots = pipeline.shape[-1]
    if slots <= STOCK_BUCKETS:
        return pipeline
    stretch = -(-slots // STOCK_BUCKETS)
    padded = jnp.pad(pipeline, [(0, 0), (0, 0), (0, stretch * STOCK_BUCKETS - slots)])
    return padded.reshape(*pipeline.shape[:-1], STOCK_BUCKETS, stretch).sum(-1)
