"""A learned policy that reads a series in units of itself, so that one network orders for any.

What it is shown has no scale: demand of the window as ratios to its own smoothed level, stock and
outstanding orders in periods of that level, and the facts of the instance (cost ratio, law of lead
times, review, time left). Periods before the first sale of the window are masked, so a history may
have any length; where there is none, the instance's typical demand is taken for the level.

Orders fill up to `coverage * level * s(o)`, less what is on hand and what is expected to arrive: an
order that is still outstanding after a periods arrives with probability

    q P(L > a) / (q P(L > a) + 1 - q)

for a lead time L and a share q of orders that come at all.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs import views
from jaxinv.envs.environment import Facts, Observation
from jaxinv.policies.decode import RATES, factor
from jaxinv.policies.learned import Context, LearnedPolicy

FADES = (0.5, 0.8, 0.95)
"""Factors a period of the smoothed levels that are compared; the middle one is the unit of all."""

LONGEST = 10
"""Lead times, and ages of outstanding orders, that are seen one by one; longer ones together."""

FAR, NEAR = 16.0, 4.0
"""Periods before the end of an episode from which on it is seen, and seen sharply."""


@dataclass(frozen=True)
class RelativePolicy(LearnedPolicy):
    """One store with one product and one supplier.

    Attributes:
      horizon: periods of an episode that ends; 0 where none does.
    """

    horizon: int = 0

    def init(self, key: jax.Array, observation: Observation) -> Any:
        context = self.context(None, observation, None)
        stock = self.stock_features(observation, context)
        return self.network.init(key, context.state, stock, method="decide")

    def encode(self, params: Any, signals: jax.Array, facts: Facts) -> Context:
        """Contexts of every period of a trace `[T, S]`; nothing of it is learned."""
        windows = _windows(signals[:, 0], self.history)  # [T, W]
        seen = (jnp.cumsum(windows > 0, -1) > 0).astype(jnp.float32)
        levels = [_smoothed(windows, seen, fade) for fade in FADES]
        mean = _smoothed(windows, seen, 1.0)
        guess = jnp.maximum(facts.scale[0, 0], 1e-3)
        sold = seen.sum(-1)
        unit = jnp.where(sold > 0, jnp.maximum(levels[1], 0.2 * mean), guess)
        ratio = windows / unit[:, None]
        spread = jnp.sqrt(_smoothed((ratio - 1.0) ** 2, seen, 1.0))
        parts = [
            jnp.log((ratio + 0.1) / 1.1) * seen,
            jnp.stack(
                [
                    *(_log(level / unit) for level in (*levels, mean)),
                    jnp.where(sold > 0, _log(guess / unit), 0.0),
                    jnp.minimum(spread, 4.0),
                    1.0 - _smoothed((windows > 0).astype(jnp.float32), seen, 1.0),
                    sold / self.history,
                    jnp.minimum(sold, 6.0) / 6.0,
                    1.0 / jnp.sqrt(1.0 + unit),
                ],
                -1,
            ),
            self._left(signals)[:, None] / np.array([FAR, NEAR]),
        ]
        state = jnp.concatenate([parts[0], parts[1], jnp.minimum(parts[2], 1.0)], -1)
        level = unit[:, None, None]
        rates = jnp.broadcast_to(level[..., None], (*level.shape, RATES))
        return Context(state, None, level, rates)

    def stock_features(self, observation: Observation, context: Context) -> jax.Array:
        facts, unit = observation.instance, context.recent[0, 0]
        law, arrives = lead_time_law(facts)
        ratio = jnp.clip(facts.critical_ratio[0, 0], 1e-3, 1.0 - 1e-3)
        review = facts.review_period[0]
        outstanding = _by_age(observation.pipeline[0, 0]) / unit
        expected = self._expected(observation) / unit
        cover = self.coverage(facts)
        held = views.net_inventory(self.topology, observation)[0, 0] / unit
        numbers = [
            _log1p(held),
            _log1p((held + expected) / cover),
            _log1p(expected),
            jnp.log(ratio / (1.0 - ratio)),
            ratio,
            cover / LONGEST,
            arrives,
            review / 5.0,
            (observation.time % review) / review,
        ]
        return jnp.concatenate([_log1p(outstanding), law, jnp.clip(jnp.stack(numbers), -5.0, 5.0)])

    def orders(self, raw: jax.Array, observation: Observation, context: Context) -> jax.Array:
        unit = context.recent[0, 0]
        target = unit * self.coverage(observation.instance) * factor(raw[0])
        held = views.net_inventory(self.topology, observation)[0, 0]
        order = jnp.maximum(target - held - self._expected(observation), 0.0)
        return order[None, None]

    def coverage(self, facts: Facts) -> jax.Array:
        """Periods that an order has to cover `[]`."""
        return facts.lead_time[0] + facts.review_period[0]

    def _expected(self, observation):
        """Outstanding units that are expected to arrive `[]`."""
        pipeline = observation.pipeline[0, 0]
        return pipeline @ arrival_odds(observation.instance, pipeline.shape[0])

    def _left(self, signals):
        """Periods that are left of the episode `[T]`; many where it does not end."""
        if not self.horizon:
            return jnp.full(signals.shape[0], FAR)
        return signals[:, -1] * self.horizon


def lead_time_law(facts: Facts) -> tuple[jax.Array, jax.Array]:
    """Probabilities of lead times 0 .. `LONGEST`, longer ones with the last, and of an order to
    come at all: `[LONGEST + 1]` and `[]`.
    """
    times = jnp.arange(LONGEST + 1)
    if facts.lead_times is None:
        law = (times == jnp.minimum(jnp.round(facts.lead_time[0]), LONGEST)).astype(jnp.float32)
    else:
        given = facts.lead_times[0]
        law = jnp.zeros(LONGEST + 1).at[np.minimum(np.arange(given.shape[0]), LONGEST)].add(given)
    return law, jnp.float32(1.0) if facts.arrives is None else facts.arrives[0]


def arrival_odds(facts: Facts, slots: int) -> jax.Array:
    """Probability `[slots]` that an order arrives which is outstanding after 1, 2, … periods."""
    if facts.arrives is None:
        return jnp.ones(slots)
    share = facts.arrives[0]
    if facts.lead_times is None:
        return jnp.full(slots, share)
    late = 1.0 - jnp.cumsum(facts.lead_times[0])[1 : slots + 1]
    late = jnp.maximum(late, 0.0)
    return share * late / jnp.maximum(share * late + 1.0 - share, 1e-6)


def _windows(series: jax.Array, length: int) -> jax.Array:
    """The latest `length` values at every period `[T, length]`, 0 before the first."""
    padded = jnp.concatenate([jnp.zeros(length - 1), series])
    return padded[np.arange(series.shape[0])[:, None] + np.arange(length)]


def _smoothed(windows: jax.Array, seen: jax.Array, fade: float) -> jax.Array:
    """The mean of what is seen of windows `[T, W]`, the latest most: `[T]`."""
    weights = seen * fade ** np.arange(windows.shape[-1], dtype=np.float32)[::-1]
    return (windows * weights).sum(-1) / jnp.maximum(weights.sum(-1), 1e-6)


def _by_age(pipeline: jax.Array) -> jax.Array:
    """Outstanding units by age `[LONGEST]`, the oldest together."""
    slots = pipeline.shape[-1]
    return jnp.zeros(LONGEST).at[np.minimum(np.arange(slots), LONGEST - 1)].add(pipeline)


def _log(ratio: jax.Array) -> jax.Array:
    return jnp.log(ratio + 0.02)


def _log1p(periods: jax.Array) -> jax.Array:
    return jnp.log1p(jnp.maximum(periods, 0.0))
