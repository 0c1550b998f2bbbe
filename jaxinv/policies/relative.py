"""A learned policy that reads a series in units of itself, so that one network orders for any.

What it is shown has no scale: demand of the window as ratios to its own smoothed level, what sold
there in as many periods as an order has to last, stock and outstanding orders in periods of that
level, and the facts of the instance (cost ratio, law of lead times, review, time left). Periods
before the first sale of the window are masked, so a history may have any length; the instance's
typical demand counts for a part of a period, and is the level where there is no history.

Orders fill up to `coverage * level * s(o)`, less what is on hand and what is expected to arrive: an
order that is still outstanding after a periods arrives with probability

    q P(L > a) / (q P(L > a) + 1 - q)

for a lead time L and a share q of orders that come at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinv.envs import views
from jaxinv.envs.environment import InventoryNetwork
from jaxinv.envs.observation import Facts, Observation
from jaxinv.envs.topology import SUPPLIER, Topology
from jaxinv.nets.actor_critic import Actor
from jaxinv.policies.decode import RATES, Decode, factor
from jaxinv.policies.learned import Context, LearnedPolicy

WINDOW = 56
"""Periods of sales that are read at most."""

FADES = (0.5, 0.8, 0.95)
"""Factors a period of the smoothed levels that are compared; the middle one is the unit of all."""

GUESS = 0.5
"""Periods of sales that the instance's typical demand counts for where a level is smoothed."""

LONGEST = 14
"""Lead times, and ages of outstanding orders, that are seen one by one; longer ones together."""

MULTIPLES = (0.7, 1.0, 1.4)
"""Of that quantile; how many stretches sold less tells how far their law is from a normal one."""

FAR, NEAR = 24.0, 4.0
"""Periods before the end of an episode from which on it is seen, and seen sharply."""


@dataclass(frozen=True)
class RelativePolicy(LearnedPolicy):
    """Stores with one supplier each: every product in every store is decided by itself.

    Pairs P of an edge and a product are an axis of what the network reads, not of the network.

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
        demand = self._at_stores(self._by_product(signals))  # [P, T]
        guess = self._at_stores(facts.scale[np.asarray(self.topology.demand_nodes)])
        length = min(self.history, WINDOW)
        ratio = self._of_pairs(self.topology.at_destination(facts.critical_ratio))
        cover = self._of_pairs(views.coverage(facts)[:, None])
        read, unit = jax.vmap(partial(_read, length=length), out_axes=1)(
            demand, guess, cover, ratio
        )  # [T, P, …]
        left = self._left(signals)[:, None, None] / np.array([FAR, NEAR])
        left = jnp.broadcast_to(jnp.minimum(left, 1.0), (*unit.shape, 2))
        rates = unit.reshape(-1, self.topology.edges, self.topology.products, 1)
        rates = jnp.broadcast_to(rates, (*rates.shape[:-1], RATES))
        return Context(jnp.concatenate([read, left], -1), None, unit, rates)

    def stock_features(self, observation: Observation, context: Context) -> jax.Array:
        """What is seen of each pair beside its sales `[P, F]`."""
        facts, topology = observation.instance, self.topology
        held = views.net_inventory(topology, observation)
        by_edge = (
            observation.pipeline,
            topology.at_destination(held),
            topology.at_destination(facts.critical_ratio),
        )
        per_edge = (lead_time_law(facts), _odds(observation), *_review(observation))

        def of_edge(by_product, whole):
            return jax.vmap(lambda *one: _stock(*one, *whole))(*by_product)

        unit = context.recent.reshape(topology.edges, topology.products)
        found = jax.vmap(of_edge)((*by_edge, unit), per_edge)
        return found.reshape(-1, found.shape[-1])

    def orders(self, raw: jax.Array, observation: Observation, context: Context) -> jax.Array:
        topology, facts = self.topology, observation.instance
        shape = (topology.edges, topology.products)
        level = (context.recent * factor(raw[:, 0])).reshape(shape)
        target = level * views.coverage(facts)[:, None]
        held = topology.at_destination(views.net_inventory(topology, observation))
        expected = (observation.pipeline * _odds(observation)[:, None]).sum(-1)
        return jnp.maximum(target - held - expected, 0.0)

    def _by_product(self, signals):
        """Demand `[D, K, T]` of signals."""
        demand = signals[:, : len(self.topology.demand_nodes) * self.topology.products]
        return demand.T.reshape(-1, self.topology.products, signals.shape[0])

    def _at_stores(self, by_store):
        """Values `[P, …]` of pairs, from those of stores and products `[D, K, …]`."""
        stores = [self.topology.demand_nodes.index(end) for end in self.topology.destinations]
        return by_store[np.asarray(stores)].reshape(-1, *by_store.shape[2:])

    def _of_pairs(self, by_edge):
        """Values `[P]` of pairs, from those of edges and products `[E, K]` or of edges `[E, 1]`."""
        shape = (self.topology.edges, self.topology.products)
        return jnp.broadcast_to(by_edge, shape).reshape(-1)

    def _left(self, signals):
        """Periods that are left of the episode `[T]`; many where it does not end."""
        if not self.horizon:
            return jnp.full(signals.shape[0], FAR)
        return signals[:, -1] * self.horizon


def relative_policy(
    env: InventoryNetwork, hidden: Sequence[int], activation: str
) -> RelativePolicy:
    """The policy for a network of stores with one supplier each (`refusal`), with perceptrons of
    these widths.
    """
    clock = env.world.clock
    network = Actor(1, 1, None, tuple(hidden), activation)
    horizon = clock.horizon if clock else 0
    return RelativePolicy(env.topology, network, Decode(env.topology), env.history, horizon=horizon)


def refusal(topology: Topology) -> str | None:
    """Why a network is none that such a policy can decide for; None where it is."""
    if any(source != SUPPLIER for source in topology.sources):
        return "some of its nodes supply others"
    if sorted(topology.destinations) != sorted(topology.demand_nodes):
        return "not every store has one supplier"
    if topology.has("dispositions") or topology.storeless or topology.ages > 1:
        return "its goods spoil, or come back, or are sold from elsewhere"
    return None


def _read(
    demand: jax.Array, guess: jax.Array, cover: jax.Array, ratio: jax.Array, length: int
) -> tuple[jax.Array, jax.Array]:
    """What a network reads of one series `[T]` in every period `[T, F]`, and the level that is its
    unit `[T]`.
    """
    guess = jnp.maximum(guess, 1e-3)
    windows = _windows(demand, length)  # [T, WINDOW]
    seen = (jnp.cumsum(windows > 0, -1) > 0).astype(jnp.float32)
    levels = [_smoothed(windows, seen, fade, guess) for fade in FADES]
    mean = _smoothed(windows, seen, 1.0, guess)
    unit = jnp.maximum(levels[1], 0.2 * mean)
    relative, sold = windows / unit[:, None], seen.sum(-1)
    spread = jnp.sqrt(_mean((relative - 1.0) ** 2, seen))
    numbers = [
        *_of_cover(windows, seen, unit, cover, ratio),
        *(jnp.log(level / unit + 0.02) for level in (*levels, mean, guess)),
        jnp.minimum(spread, 4.0),
        1.0 - _mean((windows > 0).astype(jnp.float32), seen),
        sold / WINDOW,
        jnp.minimum(sold, 6.0) / 6.0,
        1.0 / jnp.sqrt(1.0 + unit),
    ]
    shape = jnp.log((relative + 0.1) / 1.1) * seen
    return jnp.concatenate([shape, jnp.stack(numbers, -1)], -1), unit


def _of_cover(windows, seen, unit, cover, ratio) -> list[jax.Array]:
    """What sells in the periods that an order has to last, by all such stretches of the window: the
    quantile at the critical ratio of a normal law with their moments, as the logarithm of its ratio
    to the level `[T]`, and the shares of stretches that sold less than some multiples of it. All 0
    where there are fewer than two stretches.
    """
    periods = jnp.clip(jnp.round(cover), 1, WINDOW // 2).astype(jnp.int32)
    before = np.arange(WINDOW) - periods + 1  # the place of the first period of each stretch
    first = jnp.maximum(before, 0)
    totals = jnp.concatenate([jnp.zeros((len(windows), 1)), jnp.cumsum(windows, -1)], -1)
    sums = totals[:, 1:] - jnp.take(totals, first, axis=-1)
    whole = (before >= 0) * jnp.take(seen, first, axis=-1)
    mean = _mean(sums, whole)
    deviation = jnp.sqrt(_mean((sums - mean[:, None]) ** 2, whole))
    z = jax.scipy.special.ndtri(jnp.clip(ratio, 1e-3, 1.0 - 1e-3))
    quantile = jnp.maximum(mean + z * deviation, 0.0)
    told = [jnp.log(quantile / (unit * periods) + 0.02)]
    told += [
        _mean((sums <= multiple * quantile[:, None]).astype(jnp.float32), whole)
        for multiple in MULTIPLES
    ]
    return [jnp.where(whole.sum(-1) >= 2.0, number, 0.0) for number in told]


def _stock(pipeline, held, ratio, unit, law, odds, review, phase) -> jax.Array:
    """What a network sees of the stock of one pair `[F]`, and of the facts of its instance."""
    probabilities, arrives, lead_time = law
    ratio = jnp.clip(ratio, 1e-3, 1.0 - 1e-3)
    cover, expected = lead_time + review, pipeline @ odds / unit
    held = held / unit
    numbers = [
        held,
        (held + expected) / cover,
        expected,
    ]
    facts = [jnp.log(ratio / (1.0 - ratio)), ratio, cover / LONGEST, arrives, review / 5.0, phase]
    return jnp.concatenate(
        [
            _log1p(_by_age(pipeline / unit)),
            _log1p(jnp.stack(numbers)),
            probabilities,
            jnp.stack(facts),
        ]
    )


def _review(observation):
    """The review period of each edge `[E]`, and the share of it that is over."""
    review = observation.instance.review_period
    return review, (observation.time % review) / review


def _odds(observation):
    return arrival_odds(observation.instance, observation.pipeline.shape[-1])


def lead_time_law(facts: Facts) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Probabilities of lead times 0 .. `LONGEST`, longer ones with the last, and of an order to
    come at all, and the quoted lead time: `[E, LONGEST + 1]`, `[E]` and `[E]`.
    """
    quoted = facts.lead_time
    if facts.lead_times is None:
        times = np.arange(LONGEST + 1)
        law = (times == jnp.minimum(jnp.round(quoted), LONGEST)[:, None]).astype(jnp.float32)
    else:
        given = facts.lead_times
        place = np.minimum(np.arange(given.shape[1]), LONGEST)
        law = jnp.zeros((given.shape[0], LONGEST + 1)).at[:, place].add(given)
    return law, jnp.ones_like(quoted) if facts.arrives is None else facts.arrives, quoted


def arrival_odds(facts: Facts, slots: int) -> jax.Array:
    """Probability `[E, slots]` that an order arrives which is outstanding after 1, 2, …
    periods.
    """
    edges = facts.lead_time.shape[0]
    if facts.arrives is None:
        return jnp.ones((edges, slots))
    share = facts.arrives[:, None]
    if facts.lead_times is None:
        return jnp.broadcast_to(share, (edges, slots))
    late = jnp.maximum(1.0 - jnp.cumsum(facts.lead_times, 1)[:, 1 : slots + 1], 0.0)
    return share * late / jnp.maximum(share * late + 1.0 - share, 1e-6)


def _windows(series: jax.Array, length: int) -> jax.Array:
    """The latest `length` values at every period `[T, WINDOW]`, 0 before them and before the
    first.
    """
    padded = jnp.concatenate([jnp.zeros(WINDOW - 1), series])
    windows = padded[np.arange(series.shape[0])[:, None] + np.arange(WINDOW)]
    return jnp.where(np.arange(WINDOW) >= WINDOW - length, windows, 0.0)


def _smoothed(windows: jax.Array, seen: jax.Array, fade: float, guess: jax.Array) -> jax.Array:
    """The mean of what is seen of windows `[T, WINDOW]`, the latest most, and of a guess: `[T]`."""
    weights = seen * fade ** np.arange(WINDOW, dtype=np.float32)[::-1]
    return ((windows * weights).sum(-1) + GUESS * guess) / (weights.sum(-1) + GUESS)


def _mean(windows: jax.Array, seen: jax.Array) -> jax.Array:
    """The mean of what is seen of windows; 0 where nothing is `[T]`."""
    return (windows * seen).sum(-1) / jnp.maximum(seen.sum(-1), 1.0)


def _by_age(pipeline: jax.Array) -> jax.Array:
    """Outstanding units by age `[LONGEST]`, the oldest together."""
    slots = pipeline.shape[-1]
    return jnp.zeros(LONGEST).at[np.minimum(np.arange(slots), LONGEST - 1)].add(pipeline)


def _log1p(periods: jax.Array) -> jax.Array:
    return jnp.log1p(jnp.maximum(periods, 0.0))
